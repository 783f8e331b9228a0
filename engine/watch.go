package engine

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"postern/crm"
)

// How mailboxes are followed once they have been read for the first time.
const (
	sweep       = time.Hour              // each is looked at so often, whatever the server tells
	gatherFirst = 250 * time.Millisecond // what follows an event is gathered so long before it is acted on,
	gatherBurst = 2 * time.Second        // twice as long each time, and at most so long
)

// A watcher follows the mailboxes of one line: it subscribes to each, listens to them in
// groups, and rings for a mailbox when the server tells of something. What is told is a
// hint and lives in memory only; after each gap the mailboxes are looked at, and now and
// then without any reason.
type watcher struct {
	*Engine
	line     *line
	notifier crm.Notifier
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	revision int64 // of the mailboxes as they were read last; of the one goroutine that refreshes

	mu     sync.Mutex
	boxes  map[crm.MailboxID]*followed
	groups []*group
	later  map[crm.MailboxID]bool // to be looked at as soon as something can be written down
}

// A followed mailbox. All but the box is guarded by watcher.mu.
type followed struct {
	box   *crm.Mailbox
	group *group
	watch crm.Watch
	sub   crm.Subscription // ID "" = none
	since time.Time        // when it was made
	after time.Time        // no subscribing before
	tries int              // subscriptions in a row that were refused or soon lost
	alone bool             // it has been looked at since nobody tells of it, and is polled from there on

	dirty   map[string]bool // the source's ids of folders in which something happened
	strange map[string]bool // ids told that are no folder of ours
	rung    time.Time       // when its bell was rung last
	gather  time.Duration   // how long what follows is gathered
	waiting bool            // a ring is on its way
}

// maxStrange bounds what is remembered of folders that are none of ours.
const maxStrange = 100

func (e *Engine) newWatcher(ctx context.Context, l *line) *watcher {
	w := &watcher{Engine: e, line: l, notifier: careful{l.src.(crm.Notifier)}, revision: -1, boxes: map[crm.MailboxID]*followed{}}
	w.ctx, w.cancel = context.WithCancel(ctx)
	return w
}

// A careful notifier makes errors of panics: what a server tells is read by goroutines in
// which they would end the program.
type careful struct{ crm.Notifier }

func (c careful) Subscribe(ctx context.Context, box, anchor *crm.Mailbox) (s crm.Subscription, err error) {
	defer caught(&err)
	return c.Notifier.Subscribe(ctx, box, anchor)
}

func (c careful) Listen(ctx context.Context, list []crm.Subscription, tell func(crm.Notice)) (err error) {
	defer caught(&err)
	return c.Notifier.Listen(ctx, list, tell)
}

func (c careful) Pull(ctx context.Context, s *crm.Subscription) (n crm.Notice, err error) {
	defer caught(&err)
	return c.Notifier.Pull(ctx, s)
}

func (c careful) Unsubscribe(ctx context.Context, s crm.Subscription) (err error) {
	defer caught(&err)
	return c.Notifier.Unsubscribe(ctx, s)
}

// follow sees to it that the mailboxes of the line in use are followed.
func (e *Engine) follow(ctx context.Context) error {
	e.mu.Lock()
	l, w := e.line, e.watcher
	e.mu.Unlock()
	if l == nil {
		return nil
	}
	if w != nil && w.line != l {
		w.stop()
		w = nil
	}
	if _, can := l.src.(crm.Notifier); w == nil && can {
		w = e.newWatcher(ctx, l)
	}
	e.mu.Lock()
	e.watcher = w
	e.mu.Unlock()
	if w == nil {
		return nil
	}
	return w.refresh(ctx)
}

// watching returns the watcher in use; nil when there is none, whose methods do nothing.
func (e *Engine) watching() *watcher {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.watcher
}

// stop ends all connections and gives the subscriptions back.
func (w *watcher) stop() {
	if w != nil {
		w.cancel()
		w.wg.Wait()
	}
}

// refresh reads which mailboxes are on, when that may have changed.
func (w *watcher) refresh(ctx context.Context) error {
	rev, err := w.Org.Revision(ctx)
	if err != nil || rev == w.revision {
		return err
	}
	boxes, err := w.Org.Boxes(ctx)
	if err != nil {
		return err
	}
	w.revision = rev
	on := make(map[crm.MailboxID]bool, len(boxes))
	for i := range boxes {
		if box := &boxes[i]; w.gate.Allows(box) == nil {
			on[box.ID] = true
			w.admit(box)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, f := range w.boxes {
		if !on[id] {
			w.dismiss(f)
		}
	}
	return nil
}

// admit begins to follow a mailbox, or goes on. One that was not read yet is left to its
// first pass, one that somebody must see to first to the one who does.
func (w *watcher) admit(box *crm.Mailbox) {
	if w == nil || !followable(box) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.boxes[box.ID]
	login := w.gate.Account(box.Address)
	if f != nil && (f.group.server == box.Server && f.group.login == login || f.group.alone) && f.box.Address == box.Address {
		return
	}
	if f != nil {
		w.dismiss(f)
	}
	f = &followed{box: box, watch: w.polling("It has not been subscribed to yet."), dirty: map[string]bool{}, strange: map[string]bool{}}
	w.boxes[box.ID] = f
	w.join(f, false)
}

// drop ends following a mailbox that needs somebody's attention.
func (w *watcher) drop(id crm.MailboxID) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.boxes[id]; f != nil {
		w.dismiss(f)
	}
}

// dismiss takes a mailbox out of its group at once.
func (w *watcher) dismiss(f *followed) {
	delete(w.boxes, f.box.ID)
	f.group.leave(f)
}

// join puts a mailbox into a group: one of its server and account that has room, or, when it is to be
// alone, one of its own.
func (w *watcher) join(f *followed, alone bool) {
	login := w.gate.Account(f.box.Address)
	for _, g := range w.groups {
		if !alone && !g.alone && g.server == f.box.Server && g.login == login && len(g.members) < crm.MaxListen {
			g.enter(f)
			return
		}
	}
	g := &group{watcher: w, server: f.box.Server, login: login, alone: alone, changed: make(chan struct{}, 1), lag: spread(f.box.ID, gatherGroup/2)}
	w.groups = append(w.groups, g)
	g.enter(f)
	w.wg.Go(g.run)
}

// polling is the way of a mailbox that we are not told about.
func (w *watcher) polling(why string) crm.Watch {
	return crm.Watch{Mode: crm.Polling, Why: why, Since: w.Now(), Every: w.Poll}
}

// Watch tells how new mail in a mailbox comes to notice.
func (e *Engine) Watch(id crm.MailboxID) crm.Watch {
	w := e.watching()
	if w == nil {
		return crm.Watch{Mode: crm.Polling, Why: "Nothing is followed at the moment.", Every: e.Poll}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.boxes[id]; f != nil {
		return f.watch
	}
	return crm.Watch{Mode: crm.Polling, Why: "It is followed as soon as it has been read for the first time.", Every: e.Poll}
}

// pause is how long after a look the next one is due. The sweeps of many mailboxes are
// spread by their ids, so that they do not fall together.
func (w *watcher) pause(id crm.MailboxID, poll time.Duration) time.Duration {
	if w == nil {
		return poll
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.boxes[id]; f == nil || f.watch.Mode == crm.Polling {
		return poll
	}
	return sweep - spread(id, 10*time.Minute)
}

// spread is a share of a time that is the mailbox's own: what is due for many at once is
// kept apart by it.
func spread(id crm.MailboxID, over time.Duration) time.Duration {
	return over / 600 * time.Duration(int64(id)*7919%600)
}

// notice takes down what the server told of a mailbox and rings for it: at once after a
// quiet time, else when the burst has been gathered.
func (w *watcher) notice(g *group, n crm.Notice) {
	w.mu.Lock()
	f := w.boxes[n.Box]
	if f == nil || f.group != g {
		w.mu.Unlock()
		return
	}
	if n.Lost != nil {
		polled := g.lost(f, n.Lost)
		w.mu.Unlock()
		if polled {
			w.lookAlone(f)
		}
		return
	}
	f.tries = 0
	if n.Tree || len(n.Folders) == 0 {
		w.mu.Unlock()
		w.look(n.Box)
		return
	}
	fresh := false
	for _, id := range n.Folders {
		if !f.strange[id] {
			f.dirty[id], fresh = true, true
		}
	}
	if fresh && !f.waiting {
		w.ringFor(f)
	}
	w.mu.Unlock()
}

func (w *watcher) ringFor(f *followed) {
	quiet := w.Now().Sub(f.rung)
	if quiet < 0 || quiet > gatherBurst { // the former when the clock was set back
		f.gather = gatherFirst
	} else if wait := f.gather - quiet; wait > 0 {
		f.gather = min(2*f.gather, gatherBurst)
		w.ringLater(f, wait)
		return
	}
	f.rung = w.Now()
	w.bell.Ring("event", strconv.FormatInt(int64(f.box.ID), 10))
}

func (w *watcher) ringLater(f *followed, wait time.Duration) {
	f.waiting = true
	time.AfterFunc(wait, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		f.waiting, f.rung = false, w.Now()
		w.bell.Ring("event", strconv.FormatInt(int64(f.box.ID), 10))
	})
}

// putBack takes back folders that could not be read, because nothing can be written down
// at the moment.
func (w *watcher) putBack(id crm.MailboxID, dirty map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.boxes[id]
	if f == nil {
		return
	}
	maps.Copy(f.dirty, dirty)
	if !f.waiting {
		w.ringLater(f, restAfterFailure+spread(id, time.Second))
	}
}

// restAfterFailure is how long nothing is tried that has to be written down, after that
// was not possible.
const restAfterFailure = 30 * time.Second

// lookLater keeps mailboxes that could not be made due for another try of all of them.
func (w *watcher) lookLater(ids []crm.MailboxID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.later) == 0 {
		time.AfterFunc(restAfterFailure, func() {
			w.mu.Lock()
			ids := slices.Collect(maps.Keys(w.later))
			w.later = nil
			w.mu.Unlock()
			w.look(ids...)
		})
	}
	if w.later == nil {
		w.later = map[crm.MailboxID]bool{}
	}
	for _, id := range ids {
		w.later[id] = true
	}
}

// take hands over the folders in which something happened.
func (w *watcher) take(id crm.MailboxID) map[string]bool {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.boxes[id]
	if f == nil || len(f.dirty) == 0 {
		return nil
	}
	dirty := f.dirty
	f.dirty = map[string]bool{}
	return dirty
}

// unknown takes note of folders that are none of ours and tells whether they are new to
// us, and so a reason to ask which folders there are.
func (w *watcher) unknown(id crm.MailboxID, folders []string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.boxes[id]
	if f == nil || len(folders) == 0 {
		return false
	}
	if len(f.strange) > maxStrange {
		clear(f.strange)
	}
	fresh := false
	for _, folder := range folders {
		fresh = fresh || !f.strange[folder]
		f.strange[folder] = true
	}
	return fresh
}

// lookAlone looks at those mailboxes of which nobody tells, unless that has been done: their
// rows may be due in an hour, as while somebody told, and each look makes the next one due
// after the pause of polling.
func (w *watcher) lookAlone(list ...*followed) {
	var ids []crm.MailboxID
	w.mu.Lock()
	for _, f := range list {
		if !f.alone {
			ids = append(ids, f.box.ID)
		}
		f.alone = true
	}
	w.mu.Unlock()
	if len(ids) > 0 {
		w.look(ids...)
	}
}

// look makes mailboxes due. What cannot be written down is tried again after a rest.
func (w *watcher) look(ids ...crm.MailboxID) {
	if w.ctx.Err() != nil {
		return
	}
	if err := w.Org.LookNow(w.ctx, ids...); err != nil && w.ctx.Err() == nil {
		w.Log.Error("make mailboxes due", "mailboxes", len(ids), "err", err)
		w.lookLater(ids)
		return
	}
	if err := w.ringDue(w.ctx); err != nil && w.ctx.Err() == nil {
		w.Log.Error("look for what is due", "err", err)
	}
}
