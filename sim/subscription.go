package sim

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/ews"
)

const (
	// streamLife is how long a streaming subscription lives when nobody listens.
	streamLife = 30 * time.Minute
	// maxQueued bounds what a subscription keeps for whoever asks; what comes then is lost,
	// and the loss is told.
	maxQueued = 1000
	// maxEvents is how many events one notification carries.
	maxEvents = 50
)

// A subscription tells one account what happens in one mailbox. What changes of it is
// guarded by the switchboard.
type subscription struct {
	id        string
	n         uint64 // counts the subscriptions of the mailbox
	box       *Mailbox
	login     string // whose it is, in lower case
	backEnd   int    // the server on which it lives
	streaming bool
	folders   map[uint64]bool // by number; nil = all
	kinds     map[ews.EventKind]bool
	life      time.Duration

	heard  time.Time // when somebody last listened or asked
	stream *stream   // who listens; nil = nobody
	queue  []occurrence
	told   uint64 // occurrences that went before the queue
	missed bool   // some were dropped
	queued bool   // the stream knows that there is something
}

// An occurrence is one event of a mailbox, small enough to be kept for many.
type occurrence struct {
	kind     ews.EventKind
	at       time.Time
	item     place // of an item
	folder   *Folder
	was      place // where the item was
	version  uint64
	unread   int
	ofFolder bool // it is about the folder itself
}

// event is the occurrence on the wire.
func (o *occurrence) event() ews.MailboxEvent {
	in := func(f *Folder) *ews.FolderID { return &ews.FolderID{ID: f.ID(), ChangeKey: unknownKey} }
	e := ews.MailboxEvent{Kind: o.kind, TimeStamp: o.at}
	if o.ofFolder {
		e.Folder = in(o.folder)
		if o.folder.parent != nil {
			e.Parent = in(o.folder.parent)
		}
		if o.kind == ews.ModifiedEvent {
			e.Unread = &o.unread
		}
		return e
	}
	e.Item = &ews.ItemID{ID: o.item.id(), ChangeKey: changeKey(o.folder.box.guid, "\x09", o.version)}
	e.Parent = in(o.folder)
	if o.was.folder != nil {
		e.OldItem = &ews.ItemID{ID: o.was.id(), ChangeKey: unknownKey}
		e.OldParent = in(o.was.folder)
	}
	return e
}

// A switchboard knows all subscriptions and who listens to them. Whoever holds the lock of
// the organization may ask for this one, but not the other way round.
type switchboard struct {
	mu      sync.Mutex
	byID    map[string]*subscription
	hanging map[string]int // open streams by who is charged for them
	streams int
}

// wants tells whether the subscription was made for such an event.
func (s *subscription) wants(o *occurrence) bool {
	if !s.kinds[o.kind] {
		return false
	}
	if s.folders == nil {
		return true
	}
	return s.folders[o.folder.n] || o.was.folder != nil && s.folders[o.was.folder.n]
}

func (s *subscription) expired(now time.Time) bool {
	return s.stream == nil && now.Sub(s.heard) > s.life
}

// tell gives occurrences to all who subscribed to the mailbox.
func (b *switchboard) tell(box *Mailbox, list ...occurrence) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range box.subscriptions {
		for i := range list {
			if !s.wants(&list[i]) {
				continue
			}
			if len(s.queue) == maxQueued {
				s.missed = true
				break
			}
			s.queue = append(s.queue, list[i])
		}
		if s.stream != nil && len(s.queue) > 0 && !s.queued {
			s.queued = true
			s.stream.ready = append(s.stream.ready, s)
			s.stream.ring()
		}
	}
}

// notify tells the subscribers what became of an item. The caller holds the lock.
func (it *Item) notify(kind string, was place) {
	if len(it.box.subscriptions) == 0 { // changes under both locks only
		return
	}
	f, now := it.folder, it.box.x.now()
	of := func(kind ews.EventKind, was place) occurrence {
		return occurrence{kind: kind, at: now, item: it.place(), folder: f, was: was, version: it.changed}
	}
	counts := occurrence{kind: ews.ModifiedEvent, at: now, folder: f, unread: f.unread, ofFolder: true}
	var list []occurrence
	switch {
	case kind == Arrived && was.folder != nil:
		list = []occurrence{of(ews.CopiedEvent, was), counts}
	case kind == Arrived && it.mail:
		list = []occurrence{of(ews.CreatedEvent, place{}), of(ews.NewMailEvent, place{}), counts}
	case kind == Arrived:
		list = []occurrence{of(ews.CreatedEvent, place{}), counts}
	case kind == Moved:
		list = []occurrence{of(ews.MovedEvent, was), counts}
	case kind == Gone:
		list = []occurrence{of(ews.DeletedEvent, place{}), counts}
	case kind == ReadMarked:
		list = []occurrence{of(ews.ModifiedEvent, place{}), counts}
	default:
		list = []occurrence{of(ews.ModifiedEvent, place{})}
	}
	it.box.x.switchboard.tell(it.box, list...)
}

// notify tells the subscribers what became of a folder. The caller holds the lock.
func (f *Folder) notify(kind ews.EventKind) {
	if len(f.box.subscriptions) > 0 {
		f.box.x.switchboard.tell(f.box, occurrence{kind: kind, at: f.box.x.now(), folder: f, ofFolder: true})
	}
}

// add makes a subscription known, unless the mailbox has its fill of them. The caller
// holds the lock of the organization.
func (b *switchboard) add(s *subscription, limit int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, old := range slices.Clone(s.box.subscriptions) {
		if old.expired(s.heard) {
			b.drop(old, "")
		}
	}
	if len(s.box.subscriptions) >= limit {
		return false
	}
	s.box.subscribed++
	s.n = s.box.subscribed
	s.id = subscriptionID(s)
	s.box.subscriptions = append(s.box.subscriptions, s)
	b.byID[s.id] = s
	return true
}

// drop forgets a subscription. Whoever listens is told by the code.
func (b *switchboard) drop(s *subscription, code string) {
	delete(b.byID, s.id)
	s.box.subscriptions = slices.DeleteFunc(s.box.subscriptions, func(other *subscription) bool { return other == s })
	if s.stream != nil {
		s.stream.end(code, s.id)
		s.stream = nil
	}
}

// dropAll forgets the subscriptions of a mailbox. The caller holds the lock.
func (b *switchboard) dropAll(box *Mailbox) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range slices.Clone(box.subscriptions) {
		b.drop(s, "ErrorSubscriptionNotFound")
	}
}

// LoseSubscriptions forgets every subscription, as servers do that are started anew.
func (x *Exchange) LoseSubscriptions() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, box := range x.boxes {
		x.switchboard.dropAll(box)
	}
}

// find returns the subscription that an account names to a back end. The caller holds both
// locks.
func (c *call) find(id string) (*subscription, string) {
	b := &c.x.switchboard
	s := b.byID[id]
	switch {
	case s == nil && !plausibleSubscription(id):
		return nil, "ErrorInvalidSubscription"
	case s == nil || s.backEnd != c.backEnd:
		return nil, "ErrorSubscriptionNotFound"
	case s.login != strings.ToLower(c.account.Login) || !c.x.may(c.account, s.box) && !c.enters(s.box):
		return nil, "ErrorSubscriptionAccessDenied"
	case s.expired(c.x.now()):
		b.drop(s, "")
		return nil, "ErrorExpiredSubscription"
	}
	return s, ""
}

// subscriptionText is what goes with the codes of find.
var subscriptionText = map[string]string{
	"ErrorInvalidSubscription":      "The specified subscription is invalid.",
	"ErrorSubscriptionNotFound":     "The specified subscription was not found.",
	"ErrorSubscriptionAccessDenied": "The subscription belongs to somebody else.",
	"ErrorExpiredSubscription":      "The specified subscription has expired.",
	"ErrorSubscriptionUnsubscribed": "The subscription has been unsubscribed.",
}

const subscriptionBytes = 1 + 16 + 8

// subscriptionID names the server, the mailbox and the number of the subscription, as the
// ids of real servers do.
func subscriptionID(s *subscription) string {
	name := backEndName(s.backEnd)
	b := append([]byte{byte(len(name))}, name...)
	b = append(b, s.box.guid[:]...)
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, s.n))
}

// plausibleSubscription tells whether an id may have been given out once.
func plausibleSubscription(id string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(id)
	return err == nil && len(b) > 0 && len(b) == subscriptionBytes+int(b[0])
}

// watermark is how far the occurrences of a subscription were told.
func (s *subscription) watermark(told uint64) string {
	b := binary.BigEndian.AppendUint64(slices.Clone(s.box.guid[:]), s.n)
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, told))
}

// toldUpTo reads a watermark; ok is false when it is none of this subscription, or one of
// a past that is not kept any more.
func (s *subscription) toldUpTo(watermark string) (told uint64, ok bool) {
	b, err := base64.StdEncoding.DecodeString(watermark)
	if err != nil || len(b) != 32 || guid(b[:16]) != s.box.guid || binary.BigEndian.Uint64(b[16:]) != s.n {
		return 0, false
	}
	told = binary.BigEndian.Uint64(b[24:])
	return told, told >= s.told && told <= s.told+uint64(len(s.queue))
}
