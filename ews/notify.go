package ews

import (
	"context"
	"errors"
	"slices"

	"postern/crm"
)

const (
	listenMinutes = 29 // of a connection; the most that a server grants is 30
	pullMinutes   = 60 // that a pull subscription lives without being asked
	maxPulls      = 20 // GetEvents calls in a row
)

// allEvents is what a subscription asks for: which folder moved is all that matters.
// Whether somebody is free does not, and not every server can tell it.
var allEvents = []EventKind{NewMailEvent, CreatedEvent, ModifiedEvent, MovedEvent, CopiedEvent, DeletedEvent}

// errNoNotifications says that a server grants no kind of subscription.
var errNoNotifications = errors.New("neither streaming nor pull subscriptions are to be had")

// subscriptionEnded tells by code whether a fault is about a subscription that is of no
// use any more, because it is unknown, has a gap, or lies where it cannot be read.
func subscriptionEnded(code string) bool {
	switch code {
	case "ErrorInvalidSubscription", "ErrorInvalidPullSubscriptionId", "ErrorSubscriptionNotFound", "ErrorExpiredSubscription",
		"ErrorSubscriptionUnsubscribed", "ErrorSubscriptionIds", "ErrorSubscriptionAccessDenied",
		"ErrorInvalidWatermark", "ErrorEventNotFound", "ErrorMissedNotificationEvents", // a gap
		"ErrorReadEventsFailed", "ErrorProxiedSubscriptionCallFailure", "ErrorProxyRequestNotAllowed": // the wrong group
		return true
	}
	return false
}

// unsubscribable tells whether a fault says that this kind of subscription is not to be
// had, so that the other kind is worth trying.
func unsubscribable(f *crm.Fault) bool {
	switch f.Code {
	case "no-notifications", "soap-fault", "ErrorInvalidRequest", "ErrorSchemaValidation", "ErrorInvalidSubscriptionRequest",
		"ErrorSubscriptionAccessDenied", "ErrorSubscriptionDelegateAccessNotSupported",
		"ErrorInvalidServerVersion", "ErrorIncorrectSchemaVersion", "ErrorInvalidSchemaVersionForMailboxVersion":
		return true
	}
	return false
}

// Subscribe asks for a streaming subscription, else for one to be pulled. It never begins
// at an old watermark: the server would search its whole history for it.
func (s *source) Subscribe(ctx context.Context, box, anchor *crm.Mailbox) (crm.Subscription, error) {
	ss, group := s.session(box), s.group(anchor)
	if box.Address == anchor.Address {
		group.Forget() // a new affinity begins with it
	}
	op := &Subscribe{Streaming: true, AllFolders: true, Events: allEvents}
	if ss.c.cfg.Delegate { // who is not the owner may ask for folders only
		if err := s.eachFolder(ctx, box, op); err != nil {
			return crm.Subscription{}, err
		}
	}
	r, err := ss.Subscribe(ctx, group, op)
	if err == nil && r.SubscriptionID != "" {
		return crm.Subscription{Box: box, Anchor: anchor, ID: r.SubscriptionID, Streaming: true}, nil
	}
	if err != nil {
		if f := s.fault(err, crm.MailboxScope); ctx.Err() != nil || !unsubscribable(f) {
			return crm.Subscription{}, f
		}
	}
	return s.subscribeToPull(ctx, box, &Subscribe{AllFolders: op.AllFolders, Folders: op.Folders, Events: allEvents, Timeout: pullMinutes})
}

// eachFolder has a subscription ask for each folder that is collected, as of now: in one
// that is made later nothing is told until the mailbox is subscribed to anew.
func (s *source) eachFolder(ctx context.Context, box *crm.Mailbox, op *Subscribe) error {
	folders, err := s.Folders(ctx, box)
	if err != nil {
		return err
	}
	op.AllFolders = false
	for i, in := range crm.InScope(folders) {
		if in {
			op.Folders = append(op.Folders, FolderID{ID: folders[i].ID})
		}
	}
	return nil
}

// subscribeToPull asks for a subscription to be pulled, from Exchange 2007 to each folder
// that is collected.
func (s *source) subscribeToPull(ctx context.Context, box *crm.Mailbox, op *Subscribe) (crm.Subscription, error) {
	ss, group := s.session(box), s.group(box)
	r, err := ss.Subscribe(ctx, group, op)
	if errors.Is(err, ErrOldServer) {
		if err := s.eachFolder(ctx, box, op); err != nil {
			return crm.Subscription{}, err
		}
		r, err = ss.Subscribe(ctx, group, op)
	}
	if err == nil && r.SubscriptionID != "" {
		return crm.Subscription{Box: box, Anchor: box, ID: r.SubscriptionID, Watermark: r.Watermark}, nil
	}
	if err != nil {
		if f := s.fault(err, crm.MailboxScope); ctx.Err() != nil || !unsubscribable(f) {
			return crm.Subscription{}, f
		}
	}
	return crm.Subscription{}, s.fault(&Error{Err: errors.Join(errNoNotifications, err)}, crm.MailboxScope)
}

// group is that of an anchor, under the account that opens it.
func (s *source) group(anchor *crm.Mailbox) *Group {
	return s.session(anchor).c.Group(string(anchor.Address))
}

// Listen hangs on one connection in the name of the group's anchor.
func (s *source) Listen(ctx context.Context, list []crm.Subscription, tell func(crm.Notice)) error {
	if len(list) == 0 {
		return nil
	}
	boxes := make(map[string]crm.MailboxID, len(list))
	op := &GetStreamingEvents{Timeout: listenMinutes}
	for _, sub := range list {
		boxes[sub.ID] = sub.Box.ID
		op.SubscriptionIDs = append(op.SubscriptionIDs, sub.ID)
	}
	anchor := list[0].Anchor
	var bad []string
	err := s.session(anchor).GetStreamingEvents(ctx, s.group(anchor), op, func(r *GetStreamingEventsResult) error {
		if !r.OK() {
			bad = r.ErrorIDs
			return nil
		}
		told := false
		for i := range r.Notifications {
			n := &r.Notifications[i]
			if box := boxes[n.SubscriptionID]; box != 0 && happened(n.Events) {
				tell(noticeOf(box, n.Events))
				told = true
			}
		}
		if !told {
			tell(crm.Notice{})
		}
		return nil
	})
	if err == nil {
		return nil
	}
	f := s.fault(err, crm.MailboxScope)
	switch {
	case f.Code == "ErrorNewEventStreamConnectionOpened":
		bad = nil // they live, on the newer connection
	case len(bad) == 0 && subscriptionEnded(f.Code):
		bad = op.SubscriptionIDs
	}
	for _, id := range bad {
		if box := boxes[id]; box != 0 {
			tell(crm.Notice{Box: box, Lost: f})
		}
	}
	return f
}

// happened tells whether there is more than a sign of life.
func happened(events []MailboxEvent) bool {
	return slices.ContainsFunc(events, func(e MailboxEvent) bool { return e.Kind != StatusEvent })
}

// noticeOf boils events down to where something happened.
func noticeOf(box crm.MailboxID, events []MailboxEvent) crm.Notice {
	// A modified folder is one whose counts have changed, as with each new item.
	tree := slices.ContainsFunc(events, func(e MailboxEvent) bool { return e.Folder != nil && e.Kind != ModifiedEvent })
	return crm.Notice{Box: box, Folders: foldersOf(events), Tree: tree}
}

// foldersOf lists the ids of the folders in which something happened to items, or whose
// counts have changed, each once. In the parent of a folder nothing happens.
func foldersOf(events []MailboxEvent) []string {
	var ids []string
	for i := range events {
		e := &events[i]
		where := [...]*FolderID{e.Folder, e.OldFolder}
		if e.Folder == nil {
			where = [...]*FolderID{e.Parent, e.OldParent}
		}
		for _, f := range where {
			if f != nil && f.ID != "" && !slices.Contains(ids, f.ID) {
				ids = append(ids, f.ID)
			}
		}
	}
	return ids
}

// Pull reads what has gathered. A watermark that an answer lacks leaves the last one in
// force; events may then come twice, which does no harm.
func (s *source) Pull(ctx context.Context, sub *crm.Subscription) (crm.Notice, error) {
	var events []MailboxEvent
	for range maxPulls {
		r, err := s.session(sub.Box).GetEvents(ctx, s.group(sub.Anchor), &GetEvents{SubscriptionID: sub.ID, Watermark: sub.Watermark})
		if err != nil {
			f := s.fault(err, crm.MailboxScope)
			if ctx.Err() == nil && (subscriptionEnded(f.Code) || sub.Watermark == "" && f.Verdict == crm.Refused) {
				return crm.Notice{Box: sub.Box.ID, Lost: f}, nil
			}
			return crm.Notice{}, f
		}
		n := r.Notification
		if n == nil {
			break
		}
		events = append(events, n.Events...)
		moved := advance(sub, n)
		if !is(n.MoreEvents) || !moved {
			break
		}
	}
	if !happened(events) {
		return crm.Notice{}, nil
	}
	return noticeOf(sub.Box.ID, events), nil
}

// advance moves a subscription's watermark to that of the last event that has one.
func advance(sub *crm.Subscription, n *Notification) (moved bool) {
	for i := len(n.Events) - 1; i >= 0; i-- {
		if w := n.Events[i].Watermark; w != "" {
			moved = w != sub.Watermark
			sub.Watermark = w
			return moved
		}
	}
	if sub.Watermark == "" {
		sub.Watermark = n.PreviousWatermark
	}
	return false
}

// Unsubscribe gives a subscription back.
func (s *source) Unsubscribe(ctx context.Context, sub crm.Subscription) error {
	err := s.session(sub.Box).Unsubscribe(ctx, s.group(sub.Anchor), &Unsubscribe{SubscriptionID: sub.ID})
	if e, ok := errors.AsType[*Error](err); ok && subscriptionEnded(e.inner()) {
		return nil
	}
	return s.err(err, crm.MailboxScope)
}
