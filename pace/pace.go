// Package pace lets requests out at the pace that a server bears: [crm.Traffic].
//
// A server bears only so much from one mailbox, from one account and in all. Each of these
// scopes has a budget: how many requests may be open at once, and until when nothing may
// leave at all. A budget learns from the answers. A server that asks for less gets
// silence, for as long as it asks and longer each time, and half of what was open at
// once; after each five good minutes one more is tried (additive increase, multiplicative
// decrease, as TCP does it). Requests a minute and host have a hard cap on top, whatever
// happens, and failing log-ons are so few that no account is ever locked by them.
//
// One process has one Pace. All organizations share it, since a server bears what it
// bears, whoever asks. A request waits without holding anything: it takes its slots of
// mailbox, account and host at the moment when all three are free, so that a mailbox in
// trouble never stands in the way of another. Among those that may leave, accounts take
// turns, within an account mailboxes, within a mailbox the first come goes first; and no
// account takes the last quarter of a host's slots while others are about.
//
// What a server asked for outlives the process: Config.Keep is told of each change worth
// keeping, Config.Kept brings it back.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/exchange-web-services/ews-throttling-in-exchange
package pace

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/crm"
)

// Config says how much may leave. Zero values have defaults.
type Config struct {
	// PerMailbox, PerAccount and PerHost are how many requests may be open at once; those
	// that hang to wait for notifications are not counted. The defaults are 2, 10 and 20.
	// Exchange 2010 closes the door at ten for one account, later versions at 27; 20 is
	// what an on-premises server does not notice. With answers within 50 ms, ten at once
	// are 200 requests a second, enough to subscribe to 5,000 mailboxes within a minute
	// or two.
	PerMailbox, PerAccount, PerHost int
	// PerMinute is how many HTTP requests may leave for one host within any minute;
	// default 30,000.
	PerMinute int
	// Patience is how long a request waits for the end of a silence; with more ahead it
	// is refused at once. Default 2 s. For a free slot it waits as long as its ctx does.
	Patience time.Duration

	Now  func() time.Time // for silences; what is counted by the minute goes by the machine's clock
	Rand func() float64   // in [0, 1), for jitter; called one at a time

	Kept []crm.Budget // what Keep was told before the restart
	// Keep is told of a budget that became silent, narrower, or good again: at most once a
	// second and scope, silence apart. It is called by whoever caused the change, one call
	// at a time, and may block: nobody else waits for it. nil = nothing is kept.
	Keep func(crm.Budget)
}

// Pace is the traffic of one process. It is safe for concurrent use.
type Pace struct {
	Config

	mu      sync.Mutex
	clock   uint64 // counts arrivals, departures and strikes, to tell their order
	hosts   []*host
	boxes   map[string]*scope // mailboxes, by address
	swept   time.Time
	changed []*scope // to be told to Keep
	keeping bool
}

// New returns a pace that knows of the servers what was kept.
func New(c Config) *Pace {
	c.PerMailbox = cmp.Or(c.PerMailbox, 2)
	c.PerAccount = cmp.Or(c.PerAccount, 10)
	c.PerHost = cmp.Or(c.PerHost, 20)
	c.PerMinute = cmp.Or(c.PerMinute, 30_000)
	c.Patience = cmp.Or(c.Patience, 2*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	p := &Pace{Config: c, boxes: map[string]*scope{}}
	p.swept = c.Now()
	for _, b := range c.Kept {
		switch b.Scope {
		case crm.HostBudget:
			p.host(b.Key).recall(b, p.swept)
		case crm.AccountBudget:
			if login, name, ok := cutAccount(b.Key); ok {
				p.account(p.host(name), login).recall(b, p.swept)
			}
		case crm.MailboxBudget:
			p.box(b.Key).recall(b, p.swept)
		}
	}
	p.Kept = nil
	return p
}

// Traffic returns the traffic of one account on one host.
func (p *Pace) Traffic(account, host string) crm.Traffic {
	return &traffic{p, account, host}
}

type traffic struct {
	p             *Pace
	account, host string
}

// Admit implements crm.Traffic.
func (t *traffic) Admit(ctx context.Context, r crm.Request) (func(*crm.Fault), error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := t.p
	w, err := p.arrive(t, r)
	p.keepChanges()
	if err != nil {
		return nil, err
	}
	select {
	case <-w.called:
	case <-ctx.Done():
		p.mu.Lock()
		gaveUp := p.giveUp(w)
		p.mu.Unlock()
		if gaveUp {
			return nil, ctx.Err()
		}
	}
	if w.fault != nil {
		return nil, w.fault
	}
	return func(f *crm.Fault) { p.done(w, f) }, nil
}

// arrive puts a request in line, or refuses it when it would rest for too long.
func (p *Pace) arrive(t *traffic, r crm.Request) (*waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Now()
	p.sweep(now)
	h := p.host(t.host)
	a := p.account(h, t.account)
	w := &waiter{Request: r, host: h, account: a, arrived: p.tick(), called: make(chan struct{})}
	w.scopes = []*scope{&h.scope, &a.scope}
	if r.Mailbox != "" {
		w.scopes = append(w.scopes, p.box(string(r.Mailbox)))
	}
	for _, s := range w.scopes {
		s.used = now
		p.settle(s, now)
	}
	if f := p.tooLong(w, now); f != nil {
		return nil, f
	}
	for _, s := range w.scopes {
		s.pending++
	}
	a.waiting = append(a.waiting, w)
	if _, ok := w.notBefore(h.gate(a, now)); ok { // else nobody can leave who could not before
		p.letOut()
	}
	return w, nil
}

// done hears what an answer says of the server.
func (p *Pace) done(w *waiter, f *crm.Fault) {
	p.mu.Lock()
	if w.done {
		p.mu.Unlock()
		return
	}
	w.done = true
	p.release(w)
	p.judge(w, f)
	p.letOut()
	p.mu.Unlock()
	p.keepChanges()
}

// Resting says what silences the account or its host at that time; nil = nothing does.
func (p *Pace) Resting(account, host string, now time.Time) *crm.Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.host(host)
	return longest(now, &h.scope, &p.account(h, account).scope)
}

// Budgets returns how all hosts and accounts stand, and those mailboxes that are silent or
// narrowed.
func (p *Pace) Budgets() []crm.Budget {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Now()
	var list []crm.Budget
	for _, h := range p.hosts {
		p.settle(&h.scope, now)
		list = append(list, h.budget(now))
		for _, a := range h.accounts {
			p.settle(&a.scope, now)
			list = append(list, a.budget(now))
		}
	}
	for _, s := range p.boxes {
		p.settle(s, now)
		if !s.unburdened() {
			list = append(list, s.budget(now))
		}
	}
	slices.SortFunc(list, func(a, b crm.Budget) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Key, b.Key))
	})
	return list
}

// tooLong returns the silence that a request would have to wait for, when that is longer
// than it has patience for.
func (p *Pace) tooLong(w *waiter, now time.Time) *crm.Fault {
	if f := longest(now, w.scopes...); f != nil && f.After > p.Patience {
		return f
	}
	return nil
}

// longest returns the silence among the scopes that lasts longest; nil = none.
func longest(now time.Time, scopes ...*scope) *crm.Fault {
	s := slices.MaxFunc(scopes, func(a, b *scope) int { return a.until.Compare(b.until) })
	if !now.Before(s.until) {
		return nil
	}
	who, stops := "This mailbox", crm.MailboxScope
	switch s.kind {
	case crm.AccountBudget:
		who, stops = "The account "+s.key, crm.OrgScope
	case crm.HostBudget:
		who, stops = "The server "+s.key, crm.OrgScope
	}
	return &crm.Fault{
		Verdict: crm.Retry, Scope: stops, After: s.until.Sub(now), Cause: crm.Throttled, Code: "resting",
		Message: fmt.Sprintf("%s is left alone until %s UTC because of the answer %s.", who, s.until.UTC().Format(time.TimeOnly), s.code),
		Advice:  "Nothing to do: it goes on by itself.",
	}
}

// keepChanges tells Keep what has changed. While one caller does so, others leave theirs
// to it.
func (p *Pace) keepChanges() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keeping || p.Keep == nil {
		return
	}
	p.keeping = true
	defer func() { p.keeping = false }()
	for {
		now := p.Now()
		i := slices.IndexFunc(p.changed, func(s *scope) bool { return s.urgent || now.Sub(s.kept) >= time.Second })
		if i < 0 {
			return
		}
		s := p.changed[i]
		p.changed = slices.Delete(p.changed, i, i+1)
		s.urgent, s.unkept, s.kept = false, false, now
		b := s.budget(now)
		p.mu.Unlock()
		p.Keep(b)
		p.mu.Lock()
	}
}

// note remembers that a change of s is to be kept; an urgent one even when the last was
// within the same second.
func (p *Pace) note(s *scope, urgent bool) {
	s.urgent = s.urgent || urgent
	if !s.unkept && p.Keep != nil {
		s.unkept = true
		p.changed = append(p.changed, s)
	}
}

func (p *Pace) tick() uint64 {
	p.clock++
	return p.clock
}

func (p *Pace) host(name string) *host {
	name = strings.ToLower(name)
	i := slices.IndexFunc(p.hosts, func(h *host) bool { return h.key == name })
	if i < 0 {
		i = len(p.hosts)
		p.hosts = append(p.hosts, &host{scope: newScope(crm.HostBudget, name, p.PerHost), meter: newMeter(p.PerMinute)})
	}
	return p.hosts[i]
}

func (p *Pace) account(h *host, login string) *account {
	key := accountKey(login, h.key)
	i := slices.IndexFunc(h.accounts, func(a *account) bool { return a.key == key })
	if i < 0 {
		i = len(h.accounts)
		h.accounts = append(h.accounts, &account{scope: newScope(crm.AccountBudget, key, p.PerAccount), doubted: true})
	}
	return h.accounts[i]
}

func (p *Pace) box(address string) *scope {
	s, ok := p.boxes[address]
	if !ok {
		fresh := newScope(crm.MailboxBudget, address, p.PerMailbox)
		s = &fresh
		p.boxes[address] = s
	}
	return s
}

// Accounts of one name on two servers are two accounts.
const on = " on "

func accountKey(login, host string) string { return login + on + host }

func cutAccount(key string) (login, host string, ok bool) {
	i := strings.LastIndex(key, on)
	if i < 0 {
		return "", "", false
	}
	return key[:i], key[i+len(on):], true
}

// idle is after how long nothing is known any more of a mailbox at rest.
const idle = 10 * time.Minute

// sweep forgets mailboxes of which there is nothing to remember, once a minute. Hosts and
// accounts are as few as the settings are and stay.
func (p *Pace) sweep(now time.Time) {
	if now.Sub(p.swept) < time.Minute {
		return
	}
	p.swept = now
	for _, key := range slices.Sorted(maps.Keys(p.boxes)) { // so that Keep is told in the same order each time
		s := p.boxes[key]
		p.settle(s, now)
		if s.pending == 0 && !s.unkept && s.unburdened() && now.Sub(s.used) > idle {
			delete(p.boxes, key)
		}
	}
}
