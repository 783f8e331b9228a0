package ews

import (
	"context"
)

// UpdateItem changes properties of items, one property a step.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/updateitem-operation
type UpdateItem struct {
	Conflict         string // ConflictResolution: NeverOverwrite, AutoResolve, AlwaysOverwrite
	Disposition      string // MessageDisposition
	Invitations      string // SendMeetingInvitationsOrCancellations
	SuppressReceipts *bool
	Folder           *FolderID // SavedItemFolderId
	Changes          []ItemChange
}

func (*UpdateItem) Operation() string { return "UpdateItem" }

func (v *UpdateItem) fields(x *codec) {
	x.attr("ConflictResolution", &v.Conflict)
	x.attr("MessageDisposition", &v.Disposition)
	x.attr("SendMeetingInvitationsOrCancellations", &v.Invitations)
	x.attrBool("SuppressReadReceipts", &v.SuppressReceipts)
	x.target("m:SavedItemFolderId", &v.Folder)
	list(x, "m:ItemChanges", &v.Changes, elements[ItemChange]("t:ItemChange"))
}

// An ItemChange is what is to be done to one item.
type ItemChange struct {
	ID      ItemID
	Updates []FieldUpdate
}

func (v *ItemChange) fields(x *codec) {
	x.elem("t:ItemId", &v.ID)
	list(x, "t:Updates", &v.Updates, fieldUpdate)
}

// Kinds of updates.
const (
	SetField    = "SetItemField"
	AppendField = "AppendToItemField"
	DeleteField = "DeleteItemField"
)

// A FieldUpdate is one step of a change: the property of Path gets the value that the
// item has for it.
type FieldUpdate struct {
	Element string
	Path    Path
	Item    Item // not for DeleteField
}

func fieldUpdate(x *codec, v *FieldUpdate) {
	if !x.reading() {
		x.elem("t:"+v.Element, v)
		return
	}
	for _, name := range [...]string{SetField, AppendField, DeleteField} {
		if x.child("t:" + name) {
			v.Element = name
			x.take()
			x.read(v)
			return
		}
	}
}

func (v *FieldUpdate) fields(x *codec) {
	v.Path.fields(x)
	if v.Element != DeleteField {
		item(x, &v.Item)
	}
}

// UpdateItem returns one result for each change, in order.
func (s *Session) UpdateItem(ctx context.Context, op *UpdateItem) ([]ItemsResult, error) {
	return collect[ItemsResult](ctx, s, exchange{op: op, want: len(op.Changes), writes: true})
}
