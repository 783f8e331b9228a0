package ews

import (
	"context"
	"time"
)

// GetEvents asks what has happened since a watermark of a pull subscription.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/getevents-operation
type GetEvents struct{ SubscriptionID, Watermark string }

func (*GetEvents) Operation() string { return "GetEvents" }

func (v *GetEvents) fields(x *codec) {
	x.text("m:SubscriptionId", &v.SubscriptionID)
	x.text("m:Watermark", &v.Watermark)
}

// A Notification tells what happened in the mailbox of one subscription. Streamed, it
// carries neither watermarks nor MoreEvents.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/notification-ex15websvcsotherref
type Notification struct {
	SubscriptionID    string
	PreviousWatermark string
	MoreEvents        *bool
	Events            []MailboxEvent
}

func (v *Notification) fields(x *codec) {
	x.text("t:SubscriptionId", &v.SubscriptionID)
	x.text("t:PreviousWatermark", &v.PreviousWatermark)
	x.bool("t:MoreEvents", &v.MoreEvents)
	each(x, &v.Events, mailboxEvent)
}

// A MailboxEvent is something that happened to an item or a folder. One thing that a
// user does makes several.
type MailboxEvent struct {
	Kind      EventKind
	Watermark string // of pull
	TimeStamp time.Time
	Folder    *FolderID // what it happened to: one of the two
	Item      *ItemID
	Parent    *FolderID // the folder that holds it
	// Of MovedEvent and CopiedEvent: what and where it was before.
	OldFolder *FolderID
	OldItem   *ItemID
	OldParent *FolderID
	Unread    *int // of ModifiedEvent about a folder
}

var eventKinds = [...]EventKind{
	NewMailEvent, CreatedEvent, ModifiedEvent, MovedEvent, CopiedEvent, DeletedEvent, FreeBusyChangedEvent, StatusEvent,
}

func mailboxEvent(x *codec, v *MailboxEvent) {
	if !x.reading() {
		x.elem("t:"+string(v.Kind), v)
		return
	}
	for _, kind := range eventKinds {
		if x.child("t:" + string(kind)) {
			v.Kind = kind
			x.take()
			x.read(v)
			return
		}
	}
}

func (v *MailboxEvent) fields(x *codec) {
	x.text("t:Watermark", &v.Watermark)
	x.time("t:TimeStamp", &v.TimeStamp)
	opt(x, "t:FolderId", &v.Folder)
	opt(x, "t:ItemId", &v.Item)
	opt(x, "t:ParentFolderId", &v.Parent)
	opt(x, "t:OldFolderId", &v.OldFolder)
	opt(x, "t:OldItemId", &v.OldItem)
	opt(x, "t:OldParentFolderId", &v.OldParent)
	x.int("t:UnreadCount", &v.Unread)
}

// either is the name under which the child at hand goes: the one that the schema has, or
// another one that is met. The first is written.
func (x *codec) either(name, other string) string {
	if x.reading() && x.child(other) {
		return other
	}
	return name
}

// A GetEventsResult answers GetEvents.
type GetEventsResult struct {
	Result
	Notification *Notification
}

func (v *GetEventsResult) fields(x *codec) {
	v.Result.fields(x)
	opt(x, x.either("m:Notification", "t:Notification"), &v.Notification)
}

// GetEvents returns what happened; a refused one is an *Error.
func (s *Session) GetEvents(ctx context.Context, g *Group, op *GetEvents) (*GetEventsResult, error) {
	return single[GetEventsResult](ctx, s, exchange{op: op, want: 1, group: g})
}
