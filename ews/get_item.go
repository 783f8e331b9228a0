package ews

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
