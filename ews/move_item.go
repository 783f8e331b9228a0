package ews

// MoveItem moves items to a folder, where they get new ids.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/moveitem-operation
type MoveItem struct {
	To        *FolderID
	IDs       []ItemID
	ReturnIDs *bool // ReturnNewItemIds
}

func (*MoveItem) Operation() string { return "MoveItem" }

func (v *MoveItem) fields(x *codec) {
	x.target("m:ToFolderId", &v.To)
	itemIDs(x, "m:ItemIds", &v.IDs)
	x.bool("m:ReturnNewItemIds", &v.ReturnIDs)
}

// CopyItem copies items to a folder.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/copyitem-operation
type CopyItem struct{ MoveItem }

func (*CopyItem) Operation() string { return "CopyItem" }
