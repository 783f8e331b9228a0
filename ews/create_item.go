package ews

import (
	"context"
)

// CreateItem makes items, and sends them when Disposition says so.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/createitem-operation
type CreateItem struct {
	Disposition string // MessageDisposition: SaveOnly, SendOnly, SendAndSaveCopy
	Invitations string // SendMeetingInvitations
	Folder      *FolderID
	Items       []Item
}

func (*CreateItem) Operation() string { return "CreateItem" }

func (v *CreateItem) fields(x *codec) {
	x.attr("MessageDisposition", &v.Disposition)
	x.attr("SendMeetingInvitations", &v.Invitations)
	x.target("m:SavedItemFolderId", &v.Folder)
	items(x, "m:Items", &v.Items)
}

// CreateItem returns one result for each item, in order. It is never repeated by itself.
func (s *Session) CreateItem(ctx context.Context, op *CreateItem) ([]ItemsResult, error) {
	return collect[ItemsResult](ctx, s, exchange{op: op, want: len(op.Items), writes: true})
}
