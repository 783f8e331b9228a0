package ews

import (
	"context"
)

// ConvertID changes the form of ids. It computes only and does not ask whether the item
// is there.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/convertid-operation
type ConvertID struct {
	Format string // DestinationFormat: EwsId, HexEntryId, StoreId, OwaId, EntryId, EwsLegacyId
	IDs    []AlternateID
}

func (*ConvertID) Operation() string { return "ConvertId" }

func (v *ConvertID) fields(x *codec) {
	x.attr("DestinationFormat", &v.Format)
	list(x, "m:SourceIds", &v.IDs, elements[AlternateID]("t:AlternateId"))
}

// An AlternateID is an id in one of its forms.
type AlternateID struct {
	Format, ID, Mailbox string
	Archive             *bool // IsArchive
}

func (v *AlternateID) fields(x *codec) {
	x.attr("Format", &v.Format)
	x.attr("Id", &v.ID)
	x.attr("Mailbox", &v.Mailbox)
	x.attrBool("IsArchive", &v.Archive)
}

// A ConvertIDResult answers ConvertID, one id each.
type ConvertIDResult struct {
	Result
	ID *AlternateID
}

func (v *ConvertIDResult) fields(x *codec) {
	v.Result.fields(x)
	x.alternate(&v.ID)
}

// alternate needs its type said: the schema declares the base type only.
func (x *codec) alternate(v **AlternateID) {
	if !x.reading() && *v != nil {
		x.begin("m:AlternateId")
		x.attrs("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
		x.attrs("xsi:type", "t:AlternateIdType")
		(*v).fields(x)
		x.finish("m:AlternateId")
		return
	}
	opt(x, "m:AlternateId", v)
}

// ConvertID returns one result for each id, in order.
func (s *Session) ConvertID(ctx context.Context, op *ConvertID) ([]ConvertIDResult, error) {
	return collect[ConvertIDResult](ctx, s, exchange{op: op, want: len(op.IDs)})
}
