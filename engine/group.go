package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"postern/crm"
)

const (
	pullEvery   = time.Minute            // pause between two questions, where the server does not tell by itself
	gatherGroup = 500 * time.Millisecond // a new group waits so long for members
	gatherJoins = 3 * time.Second        // newcomers wait so long for others before a connection is opened anew
	subscribers = 4                      // subscriptions of one group made at once
	pollFor     = time.Hour              // how long a mailbox is polled whose subscription keeps getting lost
	shortest    = 10 * time.Second       // a connection that the server closes sooner is no good
	goodbye     = 5 * time.Second        // for giving subscriptions back
	goodLife    = 10 * time.Minute       // who loses a subscription later than that starts afresh
	pullers     = 8                      // subscriptions of one group pulled at once
	pullTries   = 3                      // answers in a row that a pulled subscription may fail to give
)

// A group is the mailboxes that share a connection. Its fields are guarded by
// watcher.mu; run is its goroutine.
type group struct {
	*watcher
	server  string
	login   string // of the account that opens its mailboxes
	alone   bool   // for a mailbox that a shared connection did not suit
	members []*followed
	anchor  *crm.Mailbox
	changed chan struct{} // somebody came or left
	hurry   bool          // somebody left, who may not be listened to any longer
	losses  int           // subscriptions lost on the connection at hand
	settled bool          // it has had a connection before
	lag     time.Duration // its own, so that the groups do not come all in one instant when something ends for all
}

func (g *group) enter(f *followed) {
	f.group = g
	g.members = append(g.members, f)
	g.wake()
}

func (g *group) leave(f *followed) {
	g.members = slices.DeleteFunc(g.members, func(m *followed) bool { return m == f })
	g.hurry = true
	g.wake()
}

func (g *group) wake() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// lost takes note that a subscription has ended. One that keeps getting lost is tried on
// a connection of its own, then not for a while: the mailbox is polled. The caller holds
// the lock.
func (g *group) lost(f *followed, why *crm.Fault) (polled bool) {
	if g.Now().Sub(f.since) > goodLife {
		f.tries = 0
	}
	f.sub = crm.Subscription{}
	g.losses++
	f.tries++
	g.Log.Warn("subscription lost", "mailbox", f.box.Address, "code", why.Code, "tries", f.tries, "err", why)
	switch {
	case f.tries == 2 && !g.alone:
		g.leave(f)
		g.join(f, true)
	case f.tries > 2:
		f.after = g.Now().Add(pollFor)
		f.watch = g.polling(why.Message)
		return true
	}
	return false
}

// run keeps the group's mailboxes followed until none is left.
func (g *group) run() {
	defer g.unsubscribe()
	rest(g.ctx, gatherGroup+g.lag)
	for tries := 0; g.ctx.Err() == nil && !g.disbanded(); {
		began := g.Now()
		fault := g.session()
		if fault == nil || g.ctx.Err() != nil {
			tries = 0
			continue
		}
		if g.Now().Sub(began) > time.Minute {
			tries = 0
		}
		g.fallBack(fault)
		g.refused(fault)
		rest(g.ctx, g.lag+max(fault.After, ladder(tries, 2*time.Second, 5*time.Second, 15*time.Second, 30*time.Second, time.Minute)))
		if fault.Code != resting {
			tries++
		}
	}
}

// rest waits, but not beyond the end of ctx.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// disbanded tells whether nobody is left; then nobody can join any more.
func (g *group) disbanded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.members) > 0 {
		return false
	}
	g.groups = slices.DeleteFunc(g.groups, func(other *group) bool { return other == g })
	return true
}

// session subscribes whom it must and listens until the connection ends. It returns nil
// when the next one is to begin at once: after a good end, or when members came, left or
// lost their subscription.
func (g *group) session() *crm.Fault {
	if held := g.line.stopped(g.Now()); held != nil {
		return held
	}
	if fault := g.subscribe(); fault != nil {
		return fault
	}
	streams, pulls, again := g.subscriptions()
	ctx, cancel := context.WithCancel(g.ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { defer cancel(); g.awaitChange(ctx, again) })
	if len(pulls) > 0 {
		wg.Go(func() { g.pull(ctx, pulls) })
	}
	if len(streams) == 0 {
		<-ctx.Done()
		return nil
	}
	began, opened := g.Now(), false
	err := g.notifier.Listen(ctx, streams, func(n crm.Notice) {
		if !opened { // what came between subscribing and now is found by looking
			opened = true
			g.listening(streams, crm.Watch{Mode: crm.Streaming, Since: g.Now()})
		}
		if n.Box != 0 {
			g.notice(g, n)
		}
	})
	lost := g.lostOf(len(streams))
	switch {
	case ctx.Err() != nil:
		return nil
	case lost > 0 && lost < len(streams):
		return nil // the others are to be heard again at once
	case err != nil:
		return crm.AsFault(err)
	case g.Now().Sub(began) < shortest:
		return &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "stream-short", Message: "Exchange closes the connection for notifications at once."}
	}
	return nil
}

// awaitChange returns when the connection at hand no longer suits the members.
func (g *group) awaitChange(ctx context.Context, again time.Duration) {
	timer := time.NewTimer(again)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
		return
	case <-g.changed:
	}
	g.mu.Lock()
	hurry := g.hurry
	g.mu.Unlock()
	if hurry {
		return
	}
	rest(ctx, gatherJoins)
}

// refused stops the whole connection when a fault concerns it. A refused log-on is written
// into the rows of all members, so that no process tries it again.
func (g *group) refused(f *crm.Fault) {
	if f.Scope != crm.OrgScope || f.Code == resting || g.line.stopped(g.Now()) != nil {
		return
	}
	g.mu.Lock()
	members := slices.Clone(g.members)
	g.mu.Unlock()
	if len(members) == 0 {
		return
	}
	g.Engine.stop(g.ctx, g.line, members[0].box, f)
	if f.Verdict == crm.Reauth {
		ids := make([]crm.MailboxID, len(members))
		for i, m := range members {
			ids[i] = m.box.ID
		}
		g.look(ids...)
	}
}

// lostOf tells how many of so many subscriptions were lost. When all were, the server has
// forgotten them, which is held against none.
func (g *group) lostOf(all int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.losses == all && !g.alone {
		for _, f := range g.members {
			f.tries = 0
		}
	}
	return g.losses
}

// subscribe makes the subscriptions that are missing. A fault concerns them all; what
// fails for one mailbox is tried again later and polled until then.
func (g *group) subscribe() *crm.Fault {
	for g.ctx.Err() == nil {
		anchor, missing := g.missing()
		if len(missing) == 0 {
			return nil
		}
		if missing[0].box == anchor {
			missing = missing[:1] // the others follow to where the server has put the anchor
		}
		if fault := g.subscribeTo(missing, anchor); fault != nil {
			return fault
		}
	}
	return nil
}

// missing returns the members without a subscription that are due for one, the anchor
// first if it is among them.
func (g *group) missing() (anchor *crm.Mailbox, list []*followed) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.Now()
	var able []*followed
	for _, f := range g.members {
		if f.sub.ID != "" || !f.after.After(now) {
			able = append(able, f)
		}
	}
	if len(able) == 0 {
		return nil, nil
	}
	if !slices.ContainsFunc(able, func(f *followed) bool { return f.box == g.anchor }) {
		g.anchor = able[0].box
	}
	for _, f := range able {
		switch {
		case f.sub.ID != "":
		case f.box == g.anchor:
			list = slices.Insert(list, 0, f)
		default:
			list = append(list, f)
		}
	}
	return g.anchor, list
}

func (g *group) subscribeTo(list []*followed, anchor *crm.Mailbox) *crm.Fault {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var whole *crm.Fault
	var alone []*followed // that fell back to polling by themselves
	next := make(chan *followed)
	for range min(subscribers, len(list)) {
		wg.Go(func() {
			for f := range next {
				sub, err := g.notifier.Subscribe(g.ctx, f.box, anchor)
				fault, fell := g.subscribed(f, sub, err)
				mu.Lock()
				if fault != nil {
					whole = fault
				}
				if fell {
					alone = append(alone, f)
				}
				mu.Unlock()
			}
		})
	}
	for _, f := range list {
		mu.Lock()
		stop := whole != nil || g.ctx.Err() != nil
		mu.Unlock()
		if stop {
			break
		}
		next <- f
	}
	close(next)
	wg.Wait()
	g.lookAlone(alone...)
	return whole
}

// subscribed takes note of what came of subscribing. It returns a fault that concerns
// all, or that the mailbox is polled until it is tried again.
func (g *group) subscribed(f *followed, sub crm.Subscription, err error) (whole *crm.Fault, fell bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		f.sub, f.since = sub, g.Now()
		return nil, false
	}
	fault := crm.AsFault(err)
	if fault.Scope == crm.OrgScope || g.ctx.Err() != nil {
		return fault, false
	}
	wait := max(fault.After, ladder(f.tries, time.Minute, 5*time.Minute, 15*time.Minute, time.Hour))
	if fault.Verdict == crm.Refused {
		wait = 24 * time.Hour // the server cannot, or will not
	}
	f.tries++
	f.after = g.Now().Add(wait)
	f.watch = g.polling(fault.Message)
	g.Log.Info("not notified", "mailbox", f.box.Address, "code", fault.Code, "again_in", wait.Round(time.Second), "err", fault)
	return nil, true
}

// subscriptions returns the members' subscriptions and how long until one that failed is
// to be tried again.
func (g *group) subscriptions() (streams []crm.Subscription, pulls []crm.Subscription, again time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hurry, g.losses = false, 0
	select {
	case <-g.changed: // they are all in the list
	default:
	}
	again = sweep
	if !g.settled && len(g.members) > 0 {
		// Many groups begin together; their connections are not to end together for ever.
		g.settled = true
		again = 5*time.Minute + time.Duration(int64(g.members[0].box.ID)*7919%1440)*time.Second
	}
	for _, f := range g.members {
		switch {
		case f.sub.ID == "":
			again = max(time.Second, min(again, f.after.Sub(g.Now())))
		case f.sub.Streaming:
			f.sub.Anchor = g.anchor
			streams = append(streams, f.sub)
		default:
			pulls = append(pulls, f.sub)
		}
	}
	return streams, pulls, again
}

// listening takes note that we are told of changes from now on, and looks for what came
// before that.
func (g *group) listening(list []crm.Subscription, watch crm.Watch) {
	ids := make([]crm.MailboxID, len(list))
	g.mu.Lock()
	for i := range list {
		ids[i] = list[i].Box.ID
		f := g.boxes[ids[i]]
		if f == nil || f.group != g {
			continue
		}
		if f.alone = false; f.watch.Mode != watch.Mode {
			f.watch = watch
		}
	}
	g.mu.Unlock()
	g.countAgain(ids)
	g.look(ids...)
}

// pull asks for each subscription what happened, again and again. One that does not answer
// holds up no other, and counts as lost when it fails over and over.
func (g *group) pull(ctx context.Context, list []crm.Subscription) {
	g.listening(list, crm.Watch{Mode: crm.Pulling, Since: g.Now(), Every: pullEvery,
		Why: "This version of Exchange does not tell by itself; it is asked what happened."})
	failed := make([]int, len(list))
	for rest(ctx, pullEvery); ctx.Err() == nil; rest(ctx, pullEvery) {
		round, cancel := context.WithTimeout(ctx, pullEvery)
		turn := make(chan struct{}, pullers)
		var wg sync.WaitGroup
		for i := range list {
			turn <- struct{}{}
			wg.Go(func() {
				defer func() { <-turn }()
				n, err := g.notifier.Pull(round, &list[i])
				switch {
				case ctx.Err() != nil:
				case err == nil:
					failed[i] = 0
					g.pulled(&list[i], n)
				default:
					if failed[i]++; failed[i] >= pullTries {
						g.pulled(&list[i], crm.Notice{Box: list[i].Box.ID, Lost: crm.AsFault(err)})
					}
				}
			})
		}
		wg.Wait()
		cancel()
		if g.lostOf(len(list)) > 0 {
			g.wake()
		}
	}
}

// pulled takes note of an answer and of how far it came.
func (g *group) pulled(sub *crm.Subscription, n crm.Notice) {
	g.mu.Lock()
	if f := g.boxes[sub.Box.ID]; f != nil && f.sub.ID == sub.ID {
		f.sub.Watermark = sub.Watermark
	}
	g.mu.Unlock()
	if len(n.Folders) > 0 || n.Lost != nil {
		g.notice(g, n)
	}
}

// fallBack takes note that nobody is told of changes, and looks by itself.
func (g *group) fallBack(why *crm.Fault) {
	g.mu.Lock()
	members := slices.Clone(g.members)
	for _, f := range members {
		f.watch = g.polling(why.Message)
	}
	g.mu.Unlock()
	g.Log.Warn("not notified", "mailboxes", len(members), "server", g.server, "code", why.Code, "err", why)
	g.lookAlone(members...)
}

// unsubscribe gives the subscriptions back when the program ends in good order; after a
// crash, or once the connection is another, they expire by themselves.
func (g *group) unsubscribe() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(g.ctx), goodbye)
	defer cancel()
	g.mu.Lock()
	var list []crm.Subscription
	for _, f := range g.members {
		if f.sub.ID != "" {
			list = append(list, f.sub)
			f.sub = crm.Subscription{}
		}
	}
	g.mu.Unlock()
	for _, sub := range list {
		if err := g.notifier.Unsubscribe(ctx, sub); err != nil && crm.AsFault(err).Verdict != crm.Refused {
			return // it expires by itself, as do those after it
		}
	}
}
