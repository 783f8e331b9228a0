package ews

import (
	"context"
	"io"
)

// GetItem reads items by id. There is one response message for each id, in order.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/getitem-operation
type GetItem struct {
	Shape ItemShape
	IDs   []ItemID
}

func (*GetItem) Operation() string { return "GetItem" }

func (v *GetItem) fields(x *codec) {
	x.elem("m:ItemShape", &v.Shape)
	itemIDs(x, "m:ItemIds", &v.IDs)
}

// An ItemsResult answers GetItem, CreateItem, UpdateItem, MoveItem and CopyItem: one item
// each, or none when it failed.
type ItemsResult struct {
	Result
	Items []Item
	// Conflicts is how many properties UpdateItem found changed meanwhile.
	Conflicts *int
}

func (v *ItemsResult) fields(x *codec) {
	v.Result.fields(x)
	if !x.reading() && v.Items == nil {
		v.Items = []Item{} // the schema wants the element in errors, too
	}
	items(x, "m:Items", &v.Items)
	x.wrapped("m:ConflictResults", v.Conflicts != nil, func(x *codec) { x.int("t:Count", &v.Conflicts) })
}

// GetItem hands one result for each id, in order, to take while the answer is coming in.
// sink, when not nil, gives the writer for the MIME content of item i; nil keeps it in
// memory. When the call ends with an error, what was handed out may be incomplete; with
// ErrCount, it may belong to other ids.
func (s *Session) GetItem(ctx context.Context, op *GetItem, sink func(i int) io.Writer, take func(i int, r *ItemsResult) error) error {
	return call[ItemsResult](ctx, s, exchange{op: op, want: len(op.IDs), sink: sink}, take)
}
