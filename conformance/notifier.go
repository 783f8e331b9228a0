package conformance

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"postern/crm"
)

// Notifier tries what a source that notifies must do besides. Each part opens a fixture of
// its own, whose source is a [crm.Notifier].
func Notifier(t *testing.T, open func(t *testing.T) Fixture) {
	for _, part := range []struct {
		name string
		run  func(*watch)
	}{
		{"NoticeTellsWhereMailCame", noticeTellsWhereMailCame},
		{"MoveIsToldOfBothFolders", moveIsToldOfBothFolders},
		{"DeletionAndNewFolderAreTold", deletionAndNewFolderAreTold},
		{"WhatCameBeforeListeningIsTold", whatCameBeforeListeningIsTold},
		{"LostSubscriptionIsSaid", lostSubscriptionIsSaid},
		{"UnsubscribedIsGone", unsubscribedIsGone},
		{"EndedContextEndsListening", endedContextEndsListening},
		{"AbsentMailboxIsNotSubscribed", absentMailboxIsNotSubscribed},
	} {
		t.Run(part.name, func(t *testing.T) {
			f := open(t)
			n, ok := f.Source.(crm.Notifier)
			if !ok {
				t.Fatal("the source does not notify")
			}
			b := &bench{T: t, Fixture: f, box: f.Boxes[0]}
			b.folders = b.listFolders(b.box)
			part.run(&watch{bench: b, notifier: n})
		})
	}
}

// A watch is a bench on which both mailboxes are followed, whichever way the system has.
type watch struct {
	*bench
	notifier crm.Notifier
	subs     []crm.Subscription
	stream   *stream // when it is not pulled
}

// A stream is one Listen under way.
type stream struct {
	notices chan crm.Notice
	stop    context.CancelFunc
	done    chan struct{}
	err     error // when done
}

// patience is how long a notice is waited for, until it counts as lost.
const patience = time.Minute

// subscribe subscribes to both mailboxes, the first as the anchor.
func (w *watch) subscribe() {
	w.Helper()
	w.subs = nil
	for _, box := range w.Boxes {
		sub, err := w.notifier.Subscribe(w.Context(), box, w.Boxes[0])
		if err != nil {
			w.Fatalf("Subscribe: %v", err)
		}
		if sub.ID == "" || sub.Box != box || sub.Anchor == nil {
			w.Fatalf("subscription %+v", sub)
		}
		w.subs = append(w.subs, sub)
	}
	if w.subs[0].Streaming != w.subs[1].Streaming {
		w.Fatal("one mailbox is streamed, another of the same server is not")
	}
}

func (w *watch) streaming() bool { return w.subs[0].Streaming }

// listen opens a stream for subscriptions, if they are streamed, and waits for its first
// sign of life.
func (w *watch) listen() {
	w.Helper()
	if w.streaming() {
		w.stream = w.open(w.subs)
		w.next()
	}
}

func (w *watch) open(subs []crm.Subscription) *stream {
	ctx, cancel := context.WithCancel(w.Context())
	s := &stream{notices: make(chan crm.Notice, 1000), stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = w.notifier.Listen(ctx, subs, func(n crm.Notice) { s.notices <- n })
	}()
	w.Cleanup(func() { cancel(); <-s.done })
	return s
}

// next returns what is told next.
func (w *watch) next() crm.Notice {
	w.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case n := <-w.stream.notices:
		return n
	case <-w.stream.done:
		w.Fatalf("the connection ended: %v", w.stream.err)
	case <-timer.C:
		w.Fatal("nothing is told")
	}
	return crm.Notice{}
}

// told waits until every one of the folders of a mailbox was told of.
func (w *watch) told(box *crm.Mailbox, folders ...string) {
	w.Helper()
	missing := slices.Clone(folders)
	hear := func(n crm.Notice) {
		switch {
		case n.Lost != nil:
			w.Fatalf("the subscription was lost: %v", n.Lost)
		case n.Box != 0 && n.Box != box.ID:
			w.Fatalf("told of mailbox %d, where nothing happened", n.Box)
		case n.Box != 0 && len(n.Folders) == 0:
			missing = nil
		case n.Box != 0:
			missing = slices.DeleteFunc(missing, func(id string) bool { return slices.Contains(n.Folders, id) })
		}
	}
	for tries := 0; len(missing) > 0; tries++ {
		if w.streaming() {
			hear(w.next())
			continue
		}
		for i := range w.subs {
			n, err := w.notifier.Pull(w.Context(), &w.subs[i])
			if err != nil {
				w.Fatalf("Pull: %v", err)
			}
			hear(n)
		}
		if tries == 10 {
			w.Fatalf("folders %q are not told of", missing)
		}
	}
}

func (w *watch) inbox(box *crm.Mailbox) string { return w.listFolders(box)[crm.Inbox].ID }

func noticeTellsWhereMailCame(w *watch) {
	w.subscribe()
	w.listen()
	for i, box := range []*crm.Mailbox{w.Boxes[0], w.Boxes[1], w.Boxes[0]} {
		w.System.Put(box, w.inbox(box), letter{n: i + 1}.raw())
		w.told(box, w.inbox(box))
	}
}

func moveIsToldOfBothFolders(w *watch) {
	from, to := w.folders[crm.Inbox].ID, w.folders[crm.SentItems].ID
	item := w.put(crm.Inbox, letter{n: 1})
	w.subscribe()
	w.listen()
	w.System.Move(w.box, item, to)
	w.told(w.box, from, to)
}

func deletionAndNewFolderAreTold(w *watch) {
	item := w.put(crm.Inbox, letter{n: 1})
	w.subscribe()
	w.listen()
	w.System.Delete(w.box, item)
	w.told(w.box, w.folders[crm.Inbox].ID)
	folder := w.System.NewFolder(w.box, w.folders[crm.Inbox].ID, "Projects")
	w.System.Put(w.box, folder, letter{n: 2}.raw())
	if w.streaming() && !w.Delegate { // what is pulled may be told of the folders that were there
		w.told(w.box, folder)
	}
}

// What happens between subscribing and listening is either told, or found by looking; it
// must not keep later news back.
func whatCameBeforeListeningIsTold(w *watch) {
	w.subscribe()
	w.put(crm.Inbox, letter{n: 1})
	w.listen()
	w.put(crm.SentItems, letter{n: 2})
	w.told(w.box, w.folders[crm.SentItems].ID)
}

func lostSubscriptionIsSaid(w *watch) {
	w.subscribe()
	w.listen()
	w.System.LoseSubscriptions()
	lost := map[crm.MailboxID]bool{}
	if w.streaming() {
		w.put(crm.Inbox, letter{n: 1})
		w.awaitLost(lost)
	} else {
		for i := range w.subs {
			n, err := w.notifier.Pull(w.Context(), &w.subs[i])
			if err != nil || n.Lost == nil {
				w.Fatalf("Pull of a lost subscription: %+v, %v", n, err)
			}
			lost[n.Box] = true
		}
	}
	if len(lost) != len(w.Boxes) {
		w.Fatalf("lost are %v, not both", lost)
	}
	w.subscribe()
	w.listen()
	w.put(crm.Inbox, letter{n: 2})
	w.told(w.box, w.folders[crm.Inbox].ID)
}

// awaitLost listens until both subscriptions were told as lost, as the engine does: anew
// with those that are left. A system may tell them one by one.
func (w *watch) awaitLost(lost map[crm.MailboxID]bool) {
	w.Helper()
	left := slices.Clone(w.subs)
	for tries := 0; len(left) > 0 && tries < 10; tries++ {
		<-w.stream.done
		for len(w.stream.notices) > 0 {
			if n := <-w.stream.notices; n.Lost != nil {
				lost[n.Box] = true
				w.judged("lost subscription", n.Lost, crm.Retry, crm.Refused)
			}
		}
		if w.stream.err == nil {
			w.Error("a connection that ends because of a lost subscription is no good end")
		}
		left = slices.DeleteFunc(left, func(s crm.Subscription) bool { return lost[s.Box.ID] })
		w.stream = w.open(left)
	}
}

func unsubscribedIsGone(w *watch) {
	w.subscribe()
	for range 2 {
		for _, sub := range w.subs {
			if err := w.notifier.Unsubscribe(w.Context(), sub); err != nil {
				w.Errorf("Unsubscribe: %v", err)
			}
		}
	}
	w.subscribe()
	w.listen()
	w.put(crm.Inbox, letter{n: 1})
	w.told(w.box, w.folders[crm.Inbox].ID)
}

func endedContextEndsListening(w *watch) {
	w.subscribe()
	if !w.streaming() {
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		if _, err := w.notifier.Pull(ctx, &w.subs[0]); !errors.Is(err, context.Canceled) {
			w.Errorf("Pull after the end: %v", err)
		}
		return
	}
	w.listen()
	w.stream.stop()
	if <-w.stream.done; !errors.Is(w.stream.err, context.Canceled) {
		w.Errorf("Listen after the end: %v", w.stream.err)
	}
}

func absentMailboxIsNotSubscribed(w *watch) {
	sub, err := w.notifier.Subscribe(w.Context(), w.Absent, w.Absent)
	if err == nil {
		w.Fatalf("subscribed to a mailbox that does not exist: %+v", sub)
	}
	w.fault("Subscribe", err, crm.Refused, crm.Gone)
	if f := crm.AsFault(err); f.Scope != crm.MailboxScope || f.Code == "no-notifications" {
		w.Errorf("a mailbox that does not exist: %+v", f)
	}
}
