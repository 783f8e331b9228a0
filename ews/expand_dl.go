package ews

import (
	"context"
)

// ExpandDL lists the members of a distribution group: those of the group itself alone. A
// member that is a group is named with BoxType PublicDL, and is to be expanded in its turn.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/expanddl-operation
type ExpandDL struct {
	Group Mailbox // its EmailAddress, or the ItemID of one in a mailbox's contacts
}

func (*ExpandDL) Operation() string { return "ExpandDL" }

func (v *ExpandDL) fields(x *codec) { x.elem("m:Mailbox", &v.Group) }

// An ExpandDLResult answers ExpandDL. A name that nothing answers to is the error
// ErrorNameResolutionNoResults, or a success without members.
type ExpandDLResult struct {
	Result
	Paging
	Members []Mailbox
}

func (v *ExpandDLResult) fields(x *codec) {
	v.Result.fields(x)
	x.wrapped("m:DLExpansion", v.Members != nil, func(x *codec) {
		v.Paging.fields(x)
		each(x, &v.Members, elements[Mailbox]("t:Mailbox"))
	})
}

// Values of Mailbox.BoxType that name a group.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/mailboxtype
const (
	PublicGroup  = "PublicDL"  // of the directory
	PrivateGroup = "PrivateDL" // of a mailbox's contacts
)

// ExpandDL returns the members of one group; one that is not there is an *Error.
func (s *Session) ExpandDL(ctx context.Context, op *ExpandDL) (*ExpandDLResult, error) {
	return single[ExpandDLResult](ctx, s, exchange{op: op, want: 1})
}
