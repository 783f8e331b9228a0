package ews

import (
	"context"
)

// ResolveNames looks an address, a name or a legacy distinguished name up in the
// directory and the user's contacts.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/resolvenames-operation
type ResolveNames struct {
	FullContact bool   // ReturnFullContactData
	Scope       string // ActiveDirectory, ActiveDirectoryContacts, Contacts, ContactsActiveDirectory
	Parents     []FolderID
	Entry       string
}

func (*ResolveNames) Operation() string { return "ResolveNames" }

func (v *ResolveNames) fields(x *codec) {
	full := &v.FullContact
	x.attrBool("ReturnFullContactData", &full)
	v.FullContact = full != nil && *full
	x.attr("SearchScope", &v.Scope)
	folderIDs(x, "m:ParentFolderIds", &v.Parents)
	x.text("m:UnresolvedEntry", &v.Entry)
}

// A Resolution is one entry that the name may mean.
type Resolution struct {
	Mailbox Mailbox
	Contact *Contact
}

func (v *Resolution) fields(x *codec) {
	x.elem("t:Mailbox", &v.Mailbox)
	opt(x, "t:Contact", &v.Contact)
}

// A ResolveNamesResult answers ResolveNames. Several matches come as a warning,
// none as the error ErrorNameResolutionNoResults.
type ResolveNamesResult struct {
	Result
	Paging
	Resolutions []Resolution
}

func (v *ResolveNamesResult) fields(x *codec) {
	v.Result.fields(x)
	x.wrapped("m:ResolutionSet", v.Resolutions != nil, func(x *codec) {
		v.Paging.fields(x)
		each(x, &v.Resolutions, elements[Resolution]("t:Resolution"))
	})
}

// ResolveNames returns what the name may mean; no match is an *Error.
func (s *Session) ResolveNames(ctx context.Context, op *ResolveNames) (*ResolveNamesResult, error) {
	return single[ResolveNamesResult](ctx, s, exchange{op: op, want: 1})
}
