package ews

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
