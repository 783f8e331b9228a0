package ews

import (
	"context"
)

// GetFolder reads folders by id. Distinguished folders that do not exist answer
// ErrorFolderNotFound one by one.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/getfolder-operation
type GetFolder struct {
	Shape FolderShape
	IDs   []FolderID
}

func (*GetFolder) Operation() string { return "GetFolder" }

func (v *GetFolder) fields(x *codec) {
	x.elem("m:FolderShape", &v.Shape)
	folderIDs(x, "m:FolderIds", &v.IDs)
}

// A FoldersResult answers GetFolder and CreateFolder, for one folder each.
type FoldersResult struct {
	Result
	Folders []Folder
}

func (v *FoldersResult) fields(x *codec) {
	v.Result.fields(x)
	folders(x, "m:Folders", &v.Folders)
}

// GetFolder returns one result for each id, in order.
func (s *Session) GetFolder(ctx context.Context, op *GetFolder) ([]FoldersResult, error) {
	return collect[FoldersResult](ctx, s, exchange{op: op, want: len(op.IDs)})
}
