package ews

import (
	"context"
)

// SyncFolderHierarchy tells how the folders below a root have changed since a state.
// The root must be the same in every call. Changes of item counts alone are not told.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/syncfolderhierarchy-operation
type SyncFolderHierarchy struct {
	Shape     FolderShape
	Folder    *FolderID
	SyncState string
}

func (*SyncFolderHierarchy) Operation() string { return "SyncFolderHierarchy" }

func (v *SyncFolderHierarchy) fields(x *codec) {
	x.elem("m:FolderShape", &v.Shape)
	x.target("m:SyncFolderId", &v.Folder)
	x.text("m:SyncState", &v.SyncState)
}

// A FolderChange is one step of a hierarchy's history. Of a deleted folder only the id
// is known.
type FolderChange struct {
	Kind   ChangeKind // Created, Updated or Deleted
	Folder Folder
}

// A SyncFolderHierarchyResult answers SyncFolderHierarchy. The error form carries an
// empty SyncState and Last = true: look at the Result first.
type SyncFolderHierarchyResult struct {
	Result
	SyncState string
	Last      bool
	Changes   []FolderChange
}

func (v *SyncFolderHierarchyResult) fields(x *codec) {
	v.Result.fields(x)
	x.keep("m:SyncState", &v.SyncState)
	x.always("m:IncludesLastFolderInRange", &v.Last)
	if x.reading() || v.OK() {
		x.wrapped("m:Changes", true, func(x *codec) { each(x, &v.Changes, folderChange) })
	}
}

func folderChange(x *codec, v *FolderChange) {
	x.change(&v.Kind, func(x *codec) {
		if v.Kind == Deleted {
			x.elem("t:FolderId", &v.Folder.ID)
			return
		}
		folder(x, &v.Folder)
	})
}

// SyncFolderHierarchy returns a page of changes; a refused one is an *Error.
func (s *Session) SyncFolderHierarchy(ctx context.Context, op *SyncFolderHierarchy) (*SyncFolderHierarchyResult, error) {
	return single[SyncFolderHierarchyResult](ctx, s, exchange{op: op, want: 1})
}
