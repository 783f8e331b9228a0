package pace

import (
	"slices"
	"time"

	"postern/crm"
)

// A host is a server, and whoever waits to be let out to it.
type host struct {
	scope
	meter    meter
	accounts []*account
	roughBy  []string    // mailboxes whose last answers were none
	timer    *time.Timer // looks again when time alone lets somebody out
}

// An account logs on to one host.
type account struct {
	scope
	waiting []*waiter // first come first

	// Whether the password is good is found out by one request alone, at the first log-on
	// and after each that failed.
	doubted bool
	doubt   uint64      // when it began
	trial   *waiter     // the request that finds out
	trialBy time.Time   // when another may try, too: a request can hang
	refused []time.Time // the last failing log-ons, lockAfter at most
}

// A waiter is a request from its arrival to its end.
type waiter struct {
	crm.Request
	host    *host
	account *account
	scopes  []*scope // host, account and, if there is one, mailbox
	arrived uint64
	called  chan struct{} // closed when it may leave, or with fault
	fault   *crm.Fault
	left    uint64
	leftAt  time.Time
	done    bool
}

// letOut lets out whoever may leave now, and sees to it that those who only wait for
// time to pass are looked at again.
func (p *Pace) letOut() {
	for _, h := range p.hosts {
		for {
			w, wake := p.next(h)
			if w == nil {
				p.lookAgain(h, wake)
				break
			}
			p.leave(w)
		}
	}
}

// next chooses who leaves for a host: of the account that has waited longest for a turn,
// the mailbox that has. Without one that may leave, wake is when the first may if nothing
// comes in between; zero = not by time alone.
func (p *Pace) next(h *host) (best *waiter, wake time.Time) {
	now := p.Now()
	sooner := func(at time.Time) {
		if wake.IsZero() || at.Before(wake) {
			wake = at
		}
	}
	var bestTurn uint64
	for _, a := range h.accounts {
		if len(a.waiting) == 0 {
			continue
		}
		at, free := h.gate(a, now)
		if at.After(now) {
			sooner(at)
			continue
		}
		var mine *waiter
		var myTurn uint64
		for _, w := range a.waiting {
			at, ok := w.notBefore(at, free)
			switch {
			case !ok:
			case at.After(now):
				sooner(at)
			default:
				turn := max(w.arrived, w.scopes[len(w.scopes)-1].served)
				if mine == nil || turn < myTurn {
					mine, myTurn = w, turn
				}
			}
		}
		if mine == nil {
			continue
		}
		if turn := max(a.waiting[0].arrived, a.served); best == nil || turn < bestTurn {
			best, bestTurn = mine, turn
		}
	}
	return best, wake
}

// gate says before when nothing leaves for the account, and whether there is a slot.
// Waits of a moment are counted on the machine's own clock, silences on Config.Now.
func (h *host) gate(a *account, now time.Time) (at time.Time, free bool) {
	wait := time.Until(h.meter.notBefore())
	if a.trial != nil {
		wait = max(wait, time.Until(a.trialBy))
	}
	at = later(h.until, a.until)
	if wait > 0 {
		at = later(at, now.Add(wait))
	}
	return at, h.open < h.limit && a.open < min(a.limit, h.share(a, now))
}

// share is how many of the host's slots an account may take. While others are about, a
// quarter is left free for them, so that they need not wait for the slow answers of one
// that asks for a lot.
func (h *host) share(a *account, now time.Time) int {
	others := slices.ContainsFunc(h.accounts, func(o *account) bool {
		return o != a && (o.pending > 0 || now.Sub(o.used) < time.Minute)
	})
	if !others {
		return h.limit
	}
	return max(1, h.limit-max(1, h.limit/4))
}

// notBefore says when a request may leave that the gate lets out at that time; not ok =
// not before another has ended.
func (w *waiter) notBefore(gate time.Time, free bool) (at time.Time, ok bool) {
	at = gate
	for _, box := range w.scopes[2:] {
		at = later(at, box.until)
		free = free && box.open < box.limit
	}
	return at, free || w.Hanging
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// trialTime is how long others wait for the one request that finds out whether a password
// is good.
const trialTime = 10 * time.Second

func (p *Pace) leave(w *waiter) {
	a := w.account
	a.waiting = remove(a.waiting, w)
	w.left, w.leftAt = p.tick(), p.Now()
	for _, s := range w.scopes {
		s.served = w.left
		if !w.Hanging {
			s.open++
		}
	}
	w.host.meter.count()
	if a.doubted {
		a.trial, a.trialBy = w, time.Now().Add(trialTime)
	}
	close(w.called)
}

// release gives back what a request held.
func (p *Pace) release(w *waiter) {
	now := p.Now()
	for _, s := range w.scopes {
		s.pending--
		s.used = now
		if !w.Hanging {
			s.open--
		}
	}
	if w.account.trial == w {
		w.account.trial = nil
	}
}

// giveUp takes a request out of the line; false when it was called already.
func (p *Pace) giveUp(w *waiter) bool {
	if !slices.Contains(w.account.waiting, w) {
		return false
	}
	w.account.waiting = remove(w.account.waiting, w)
	for _, s := range w.scopes {
		s.pending--
	}
	return true
}

// turnAway refuses those who would now wait for too long.
func (p *Pace) turnAway() {
	now := p.Now()
	for _, h := range p.hosts {
		for _, a := range h.accounts {
			for _, w := range slices.Clone(a.waiting) {
				if f := p.tooLong(w, now); f != nil {
					p.giveUp(w)
					w.fault = f
					close(w.called)
				}
			}
		}
	}
}

func remove(list []*waiter, w *waiter) []*waiter {
	i := slices.Index(list, w)
	return slices.Delete(list, i, i+1)
}

// lookAgain sets the host's timer.
func (p *Pace) lookAgain(h *host, at time.Time) {
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	if !at.IsZero() {
		h.timer = time.AfterFunc(at.Sub(p.Now()), func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.letOut()
		})
	}
}

// A meter holds requests down to so many in any minute. It is a token bucket, kept as the
// time until which what has left is paid for (the generic cell rate algorithm). It holds
// a hundredth of the minute's requests, so that a burst is not spread out without need,
// and is filled a little slower, so that a full one and a minute's filling make no more
// than the cap. It is empty at first: a process that is restarted over and over keeps
// the cap, too.
type meter struct {
	interval time.Duration // what one request costs
	burst    time.Duration // what may be owed
	paid     time.Time
}

func newMeter(perMinute int) meter {
	burst := max(1, perMinute/100)
	rate := time.Duration(perMinute - burst + 1)
	m := meter{interval: (time.Minute + rate - 1) / rate}
	m.burst = time.Duration(burst-1) * m.interval
	m.paid = time.Now().Add(m.burst)
	return m
}

func (m *meter) notBefore() time.Time { return m.paid.Add(-m.burst) }

func (m *meter) count() { m.paid = later(m.paid, time.Now()).Add(m.interval) }
