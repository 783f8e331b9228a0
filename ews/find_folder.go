package ews

import (
	"context"
)

// FindFolder lists folders below others.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/findfolder-operation
type FindFolder struct {
	Traversal   string // Shallow, Deep or SoftDeleted
	Shape       FolderShape
	View        *PageView
	Restriction *Condition
	Parents     []FolderID
}

func (*FindFolder) Operation() string { return "FindFolder" }

func (v *FindFolder) fields(x *codec) {
	x.attr("Traversal", &v.Traversal)
	x.elem("m:FolderShape", &v.Shape)
	opt(x, "m:IndexedPageFolderView", &v.View)
	x.restriction("m:Restriction", &v.Restriction)
	folderIDs(x, "m:ParentFolderIds", &v.Parents)
}

// A FindFolderResult answers FindFolder, for one parent each.
type FindFolderResult struct {
	Result
	Paging
	Folders []Folder
}

func (v *FindFolderResult) fields(x *codec) {
	v.Result.fields(x)
	x.wrapped("m:RootFolder", v.Folders != nil, func(x *codec) {
		v.Paging.fields(x)
		folders(x, "t:Folders", &v.Folders)
	})
}

// FindFolder returns one result for each parent, in order.
func (s *Session) FindFolder(ctx context.Context, op *FindFolder) ([]FindFolderResult, error) {
	return collect[FindFolderResult](ctx, s, exchange{op: op, want: len(op.Parents)})
}
