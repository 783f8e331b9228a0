// Package engine moves: from the mailboxes to activities, and from a new contact to the
// older messages.
//
// The rows of the store are the truth: where each folder stands, what was decided, when a
// mailbox is due. The engine looks at them once a second and rings the bell for what is
// due; it may be killed at any moment and goes on where the last committed page ended.
// One mailbox is read by one pass at a time; several mailboxes are read at once.
//
// There are two kinds of pass. A look asks which folders there are and reads those whose
// mark has moved; it is due by the mailbox's row, and misses nothing. An event pass reads
// the folders in which, as the server told, something has just happened; it is quick, and
// nothing depends on it.
//
// The road of a message is in capture.go, who is listened to in watch.go and group.go,
// event passes in event.go, answers that are doubted in doubt.go, what is tried again in
// recheck.go, attachments in attachments.go, how a pass ends in settle.go, the completeness
// proof in reconcile.go.
package engine

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"reflect"
	"strconv"
	"sync"
	"time"

	"postern/crm"
	"postern/gate"
	"postern/jobs"
	"postern/pace"
	"postern/store"
)

// Config is what an engine needs. Zero values of all but Org and Connector have defaults.
type Config struct {
	Org       *store.Org
	Connector crm.Connector
	Pace      *pace.Pace    // what the servers bear; default one of its own, forgotten at the end
	Machine   gate.Machine  // the host that it runs on; default the real one
	AccessLog gate.Log      // of requests; default none is kept
	Workers   int           // mailboxes imported at once; default 4
	Looks     int           // mailboxes looked at at once after their import; default twice Workers
	Events    int           // mailboxes at once in which something happened; default four times Workers
	Poll      time.Duration // pause between two looks at a mailbox that nobody tells us about; default 30 s
	Tick      time.Duration // how often the rows are asked what is due; default 1 s
	Now       func() time.Time
	Log       *slog.Logger
}

// Engine collects the mail of one organization.
type Engine struct {
	Config
	bell     *jobs.Bell
	gate     *gate.Gate
	progress progressBoard

	mu      sync.Mutex
	line    *line                       // the connection as opened from settings; nil until they are read
	terms   gate.Terms                  // what the gate was told
	rows    bool                        // whether there are the mailboxes that they grant
	read    int64                       // the revision at which they were read
	watcher *watcher                    // of the line; nil while nothing is followed
	counted map[crm.MailboxID]time.Time // when the ledger was last counted against the server
	unsaved error                       // why the end of a pass could not be written down
	since   time.Time                   // when that began
	rest    time.Time                   // until when nothing is rung for because of that
}

// A line is one opened connection. Its first contact with the server is made by one
// mailbox alone, so that a wrong password is tried once and not by every worker.
type line struct {
	src    crm.Source
	closer io.Closer     // of src; nil = it holds nothing open
	first  chan struct{} // held by who makes the first contact

	mu     sync.Mutex
	proven bool
	held   *crm.Fault // what stops the whole connection
	until  time.Time  // and how long
}

// New returns an engine at rest.
func New(c Config) *Engine {
	if c.Workers == 0 {
		c.Workers = 4
	}
	c.Looks, c.Events, c.Tick = cmp.Or(c.Looks, 2*c.Workers), cmp.Or(c.Events, 4*c.Workers), cmp.Or(c.Tick, time.Second)
	if c.Poll == 0 {
		c.Poll = 30 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Pace == nil {
		c.Pace = pace.New(pace.Config{Now: c.Now})
	}
	if c.Machine.Now == nil {
		c.Machine.Now = c.Now
	}
	e := &Engine{Config: c, bell: jobs.New(), gate: gate.New(gate.Config{Machine: c.Machine, Traffic: c.Pace.Traffic, Log: c.AccessLog, Operations: c.Connector.Operations}), read: -1, counted: map[crm.MailboxID]time.Time{}}
	e.bell.Handle("import", c.Workers, e.pass)
	e.bell.Handle("look", c.Looks, e.pass)
	e.bell.Handle("event", c.Events, e.event)
	return e
}

// Run collects and follows until ctx ends, then waits for the passes under way.
func (e *Engine) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { e.bell.Run(ctx) })
	wg.Go(func() { e.obey(ctx) })
	wg.Go(func() { e.keepHouse(ctx) })
	defer wg.Wait()
	defer func() { e.watching().stop() }()
	tick, members := time.NewTicker(e.Tick), e.newDirectory()
	defer tick.Stop()
	for {
		if !e.resting() {
			members.glance(ctx, &wg)
			err := e.ringDue(ctx)
			if err == nil {
				err = e.follow(ctx)
			}
			if err != nil && ctx.Err() == nil {
				e.Log.Error("look for what is due", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// obeying has what was changed about what is granted taken over until stop is called, for
// work outside of Run.
func (e *Engine) obeying(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { e.obey(ctx) })
	return func() {
		cancel()
		wg.Wait()
	}
}

// obey takes over what was changed about what is granted, a few times a tick and not at the
// same moments: what is not granted any more must end within a second, whatever else the
// engine is doing.
func (e *Engine) obey(ctx context.Context) {
	tick := time.NewTicker(e.Tick*10/37 + time.Microsecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := e.open(ctx); err != nil && ctx.Err() == nil {
			e.Log.Error("read what is granted", "err", err)
		}
	}
}

// CatchUp collects until every mailbox was read to its end and nothing is due at once.
// What failed and waits for a later try does not hold it up, and a mailbox in trouble is
// left alone until its time has come: a busy server is not to be asked at each call.
func (e *Engine) CatchUp(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { e.bell.Run(ctx) })
	wg.Go(func() { e.obey(ctx) })
	if err := e.open(ctx); err != nil {
		return err
	}
	e.newDirectory().ask(ctx)
	if err := e.lookAtSound(ctx); err != nil {
		return err
	}
	for {
		due, err := e.ring(ctx)
		if err != nil || due == 0 {
			return err
		}
		if err := e.bell.Idle(ctx); err != nil {
			return err
		}
		e.mu.Lock()
		err, e.unsaved, e.rest = e.unsaved, nil, time.Time{}
		e.mu.Unlock()
		if err != nil {
			return err // the row still says due: going on would turn in a circle
		}
	}
}

// cannotSave notes that the end of a pass could not be written down, as on a full disk.
// The row still says due, so without a rest it would be tried each second.
func (e *Engine) cannotSave(err error) {
	_, wait := consequence(crm.AsFault(err), 0)
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now()
	if now.Sub(e.rest) > wait { // else it goes on
		e.since = now
	}
	e.unsaved, e.rest = err, now.Add(wait)
}

func (e *Engine) resting() bool {
	f, _ := e.Trouble()
	return f != nil
}

// Trouble tells why nothing can be written down at the moment, as on a full disk, and
// since when; nil when it can. The rows cannot tell that.
func (e *Engine) Trouble() (*crm.Fault, time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.Now().Before(e.rest) {
		return nil, time.Time{}
	}
	return crm.AsFault(e.unsaved), e.since
}

// lookAtSound makes the mailboxes due that are not in trouble.
func (e *Engine) lookAtSound(ctx context.Context) error {
	boxes, err := e.Org.Boxes(ctx)
	if err != nil {
		return err
	}
	var ids []crm.MailboxID
	for i := range boxes {
		if boxes[i].Trouble == nil {
			ids = append(ids, boxes[i].ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return e.Org.LookNow(ctx, ids...)
}

// LookNow makes mailboxes due at once (none named: all) and rings for them.
func (e *Engine) LookNow(ctx context.Context, ids ...crm.MailboxID) error {
	if err := e.Org.LookNow(ctx, ids...); err != nil {
		return err
	}
	return e.ringDue(ctx)
}

func (e *Engine) ringDue(ctx context.Context) error {
	_, err := e.ring(ctx)
	return err
}

// ring reads the settings and rings for the mailboxes that are due.
func (e *Engine) ring(ctx context.Context) (due int, err error) {
	if err := e.open(ctx); err != nil {
		return 0, err
	}
	e.mu.Lock()
	line, wanted := e.line, e.terms.Settings
	e.mu.Unlock()
	sole := wanted.Model != crm.ByOwnSignIn && len(wanted.Others) == 0
	if sole && wanted.Server != "" && e.Pace.Resting(wanted.Login, wanted.Host(), e.Now()) != nil {
		return 0, nil // whoever is due would be sent away
	}
	limit := 1000
	if !line.isProven() {
		limit = 1 // the first contact is made by one mailbox alone
	}
	boxes, err := e.Org.DueMailboxes(ctx, e.Now(), limit)
	for _, box := range boxes {
		lane := "look"
		if box.Checked.IsZero() {
			lane = "import"
		}
		e.bell.Ring(lane, strconv.FormatInt(int64(box.ID), 10))
	}
	return len(boxes), err
}

// open tells the gate what is granted, when that may have changed, and opens the connection
// anew when it must be. What is under way by the old one ends.
func (e *Engine) open(ctx context.Context) error {
	rev, err := e.Org.Revision(ctx)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	lost := e.gate.Lost()
	if rev == e.read && !lost {
		return nil
	}
	terms, err := e.readTerms(ctx)
	if err != nil {
		if crm.AsFault(err).Verdict == crm.Refused {
			e.shut()
		}
		return err
	}
	if e.line != nil && e.rows && !lost && reflect.DeepEqual(terms, e.terms) {
		e.read = rev
		return nil
	}
	suits := e.gate.Suits(terms)
	if !suits && e.watcher != nil {
		e.watcher.cancel() // it is followed by the new one, see follow
	}
	e.terms = terms
	e.gate.Set(terms)
	if !suits {
		if e.line != nil {
			e.line.close()
		}
		e.line = &line{first: make(chan struct{}, 1)}
		if e.line.src, e.line.closer, err = e.gate.Open(e.Connector); err != nil { // each mailbox says so then
			e.line.hold(crm.AsFault(err), e.Now().Add(forever))
		}
	}
	_, err = e.Org.Provision(ctx)
	if e.rows = err == nil; e.rows {
		e.read = rev
	}
	return err
}

// shut grants nothing any more, since what is granted cannot be read: its keys were
// destroyed, say. The caller holds the lock.
func (e *Engine) shut() {
	if reflect.DeepEqual(e.terms, gate.Terms{}) {
		return
	}
	if e.watcher != nil {
		e.watcher.cancel()
	}
	e.terms, e.read = gate.Terms{}, -1
	e.gate.Set(e.terms)
	if e.line != nil {
		e.line.close()
	}
}

// readTerms reads all that is granted at this moment.
func (e *Engine) readTerms(ctx context.Context) (t gate.Terms, err error) {
	if t.Settings, _, err = e.Org.Settings(ctx); err != nil {
		return t, err
	}
	if t.Egress, err = e.Org.Egress(ctx); err != nil {
		return t, err
	}
	if t.Deployment, err = e.Org.Deployment(ctx); err != nil {
		return t, err
	}
	if t.SignIns, err = e.Org.SignIns(ctx); err != nil {
		return t, err
	}
	t.Policy, t.Groups, t.Limits, err = e.Org.Granted(ctx)
	return t, err
}

// forever is how long a line is held whose settings cannot work.
const forever = 100 * 365 * 24 * time.Hour

func (e *Engine) current(ctx context.Context) (*line, error) {
	if err := e.open(ctx); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.line, nil
}

// close gives idle connections back; calls under way end by themselves.
func (l *line) close() {
	if l.closer != nil {
		l.closer.Close()
	}
}

// stopped returns what holds the whole connection up, if anything does.
func (l *line) stopped(now time.Time) *crm.Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil || !now.Before(l.until) {
		return nil
	}
	held := *l.held
	held.After = l.until.Sub(now)
	return &held
}

func (l *line) hold(f *crm.Fault, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held, l.until, l.proven = f, until, false
}

// prove runs the first call on the line alone; once one has succeeded, all may call.
func (l *line) prove(ctx context.Context, call func() error) error {
	if l.isProven() {
		return call()
	}
	select {
	case l.first <- struct{}{}:
		defer func() { <-l.first }()
		return call()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *line) isProven() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.proven
}

// works takes note that a call has succeeded, and tells whether that is news.
func (l *line) works() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	news := !l.proven
	l.proven, l.held = true, nil
	return news
}
