package ews

import "context"

// EventKind is the element name of what happened in a mailbox, and the name by which a
// subscription asks for it. StatusEvent cannot be asked for.
type EventKind string

const (
	NewMailEvent         EventKind = "NewMailEvent"
	CreatedEvent         EventKind = "CreatedEvent"
	ModifiedEvent        EventKind = "ModifiedEvent"
	MovedEvent           EventKind = "MovedEvent"
	CopiedEvent          EventKind = "CopiedEvent"
	DeletedEvent         EventKind = "DeletedEvent"
	FreeBusyChangedEvent EventKind = "FreeBusyChangedEvent"
	StatusEvent          EventKind = "StatusEvent" // nothing happened
)

// Subscribe asks for notifications about one mailbox: to be streamed, or to be pulled.
// (Notifications that are pushed, for which the server calls the client, are not known
// here.)
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/subscribe-operation
type Subscribe struct {
	Streaming  bool       // Exchange2010_SP1 and later; else to be pulled
	AllFolders bool       // Exchange2010 and later; else Folders
	Folders    []FolderID // that nothing below them belongs to
	Events     []EventKind
	Watermark  string // of pull: where to begin; "" is now
	Timeout    int64  // of pull: minutes without GetEvents until it expires, 1 to 1440
}

func (*Subscribe) Operation() string { return "Subscribe" }

func (v *Subscribe) fields(x *codec) {
	const streaming, pull = "m:StreamingSubscriptionRequest", "m:PullSubscriptionRequest"
	switch {
	case x.picks(streaming, v.Streaming):
		v.Streaming = true
		x.wrapped(streaming, true, v.request)
	case x.picks(pull, !v.Streaming):
		x.wrapped(pull, true, func(x *codec) {
			v.request(x)
			x.text("t:Watermark", &v.Watermark)
			x.number("t:Timeout", &v.Timeout)
		})
	}
}

func (v *Subscribe) request(x *codec) {
	var all *bool
	if v.AllFolders {
		all = &v.AllFolders
	}
	x.attrBool("SubscribeToAllFolders", &all)
	v.AllFolders = all != nil && *all
	folderIDs(x, "t:FolderIds", &v.Folders)
	list(x, "t:EventTypes", &v.Events, func(x *codec, kind *EventKind) { x.keep("t:EventType", (*string)(kind)) })
}

// A SubscribeResult answers Subscribe.
type SubscribeResult struct {
	Result
	SubscriptionID string
	Watermark      string // of pull
}

func (v *SubscribeResult) fields(x *codec) {
	v.Result.fields(x)
	x.text("m:SubscriptionId", &v.SubscriptionID)
	x.text("m:Watermark", &v.Watermark)
}

// Unsubscribe gives a subscription back. Result answers it.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/unsubscribe-operation
type Unsubscribe struct{ SubscriptionID string }

func (*Unsubscribe) Operation() string { return "Unsubscribe" }

func (v *Unsubscribe) fields(x *codec) { x.text("m:SubscriptionId", &v.SubscriptionID) }

// Subscribe returns a new subscription in a group; a refused one is an *Error. The
// group's anchor is to be subscribed first.
func (s *Session) Subscribe(ctx context.Context, g *Group, op *Subscribe) (*SubscribeResult, error) {
	ex := exchange{op: op, want: 1, group: g}
	switch {
	case op.Streaming:
		ex.since = Exchange2010SP1
	case op.AllFolders:
		ex.since = Exchange2010
	}
	return single[SubscribeResult](ctx, s, ex)
}

// Unsubscribe ends a subscription of a group.
func (s *Session) Unsubscribe(ctx context.Context, g *Group, op *Unsubscribe) error {
	_, err := single[Result](ctx, s, exchange{op: op, want: 1, group: g})
	return err
}
