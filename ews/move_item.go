package ews

import (
	"context"
)

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

// MoveItem returns one result for each id, in order.
func (s *Session) MoveItem(ctx context.Context, op *MoveItem) ([]ItemsResult, error) {
	return collect[ItemsResult](ctx, s, exchange{op: op, want: len(op.IDs), writes: true})
}

// CopyItem returns one result for each id, in order.
func (s *Session) CopyItem(ctx context.Context, op *CopyItem) ([]ItemsResult, error) {
	return collect[ItemsResult](ctx, s, exchange{op: op, want: len(op.IDs), writes: true})
}
