package ews

import (
	"context"
)

// CreateFolder makes folders below a parent.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/createfolder-operation
type CreateFolder struct {
	Parent  *FolderID
	Folders []Folder
}

func (*CreateFolder) Operation() string { return "CreateFolder" }

func (v *CreateFolder) fields(x *codec) {
	x.target("m:ParentFolderId", &v.Parent)
	folders(x, "m:Folders", &v.Folders)
}

// CreateFolder returns one result for each folder, in order.
func (s *Session) CreateFolder(ctx context.Context, op *CreateFolder) ([]FoldersResult, error) {
	return collect[FoldersResult](ctx, s, exchange{op: op, want: len(op.Folders), writes: true})
}
