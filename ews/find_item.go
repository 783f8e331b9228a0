package ews

import (
	"context"
)

// FindItem searches folders. Texts are cut at 255 characters and senders are names only:
// use it for ids.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/finditem-operation
type FindItem struct {
	Traversal   string // Shallow, SoftDeleted or Associated
	Shape       ItemShape
	View        *PageView
	Restriction *Condition
	Sort        []Order
	Parents     []FolderID
	Query       string // QueryString, 2010 and later
}

func (*FindItem) Operation() string { return "FindItem" }

func (v *FindItem) fields(x *codec) {
	x.attr("Traversal", &v.Traversal)
	x.elem("m:ItemShape", &v.Shape)
	opt(x, "m:IndexedPageItemView", &v.View)
	x.restriction("m:Restriction", &v.Restriction)
	list(x, "m:SortOrder", &v.Sort, elements[Order]("t:FieldOrder"))
	folderIDs(x, "m:ParentFolderIds", &v.Parents)
	x.text("m:QueryString", &v.Query)
}

// A FindItemResult answers FindItem, for one folder each.
type FindItemResult struct {
	Result
	Paging
	Items []Item
}

func (v *FindItemResult) fields(x *codec) {
	v.Result.fields(x)
	x.wrapped("m:RootFolder", v.Items != nil, func(x *codec) {
		v.Paging.fields(x)
		items(x, "t:Items", &v.Items)
	})
}

// FindItem returns one result for each folder, in order.
func (s *Session) FindItem(ctx context.Context, op *FindItem) ([]FindItemResult, error) {
	return collect[FindItemResult](ctx, s, exchange{op: op, want: len(op.Parents)})
}
