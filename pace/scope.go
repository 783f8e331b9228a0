package pace

import (
	"slices"
	"time"

	"postern/crm"
)

const (
	recovery = 5 * time.Minute // of peace, silence not counted, before one more request is let out at once
	maxRest  = time.Hour       // the longest silence, whatever is asked for: a wrong clock must not silence us for ever
	oblivion = time.Hour       // after which strikes count no more
)

// ladder is how long a scope rests after the first strike, the second in a row, and so
// on, unless the server asks for more.
var ladder = [...]time.Duration{10 * time.Second, 30 * time.Second, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute}

// unasked is how far the ladder goes when the server did not ask for silence but was out
// of order. That it works again is to be noticed within two minutes.
const unasked = 2

// A scope is the budget of one mailbox, account or host.
type scope struct {
	kind crm.BudgetScope
	key  string

	limit, max int       // requests open at once: now, and as configured
	open       int       // that take a slot
	pending    int       // all, waiting ones included
	until      time.Time // silence
	changed    time.Time // of limit, or the last strike
	code       string    // of the fault behind until and limit
	strikes    int       // in a row
	rough      int       // answers in a row that are none; see judge
	since      uint64    // answers to what left before say nothing new of the limit
	served     uint64    // when something left last
	used       time.Time
	speed      speed

	unkept, urgent bool      // to be told to Keep, at once
	kept           time.Time // when Keep was told last
}

func newScope(kind crm.BudgetScope, key string, limit int) scope {
	return scope{kind: kind, key: key, limit: limit, max: limit}
}

// recall takes up what was kept.
func (s *scope) recall(b crm.Budget, now time.Time) {
	if b.Code == "" {
		return
	}
	s.limit = min(max(b.Limit, 1), s.max)
	s.until, s.changed = b.Until, b.Changed
	if s.until.After(now.Add(maxRest)) {
		s.until = now.Add(maxRest)
	}
	if s.changed.After(now) {
		s.changed = now
	}
	s.code, s.strikes, s.used = b.Code, b.Strikes, now
}

func (s *scope) budget(now time.Time) crm.Budget {
	b := crm.Budget{Scope: s.kind, Key: s.key, Limit: s.limit, Changed: s.changed, Code: s.code, Strikes: s.strikes}
	if now.Before(s.until) {
		b.Until = s.until
	}
	return b
}

// unburdened tells whether the scope is as if nothing had ever happened.
func (s *scope) unburdened() bool { return s.code == "" && s.strikes == 0 }

// settle applies what time alone has brought: a wider limit, strikes forgotten.
func (p *Pace) settle(s *scope, now time.Time) {
	if s.unburdened() || now.Before(s.until) {
		return
	}
	from := later(s.changed, s.until)
	if steps := min(int(now.Sub(from)/recovery), s.max-s.limit); steps > 0 {
		s.limit += steps
		s.changed = from.Add(time.Duration(steps) * recovery)
	}
	if now.Sub(s.changed) > oblivion {
		s.strikes = 0
	}
	if s.limit == s.max && s.strikes == 0 {
		s.code, s.until = "", time.Time{}
		p.note(s, false)
	}
}

// strike silences a scope and halves its limit. Several answers to what was open at the
// same time are one strike; each may prolong the silence by what it asks for. rungs is
// how far the ladder goes.
func (p *Pace) strike(s *scope, w *waiter, code string, hint time.Duration, rungs int) {
	now := p.Now()
	rest := min(hint, maxRest)
	if w.left > s.since {
		s.strikes++
		s.limit = max(1, s.limit/2)
		s.changed, s.since, s.code = now, p.tick(), code
		jitter := 0.8 + 0.4*p.Rand()
		rest = max(rest, time.Duration(jitter*float64(ladder[min(s.strikes, rungs)-1])))
	}
	p.silence(s, code, now.Add(rest))
}

func (p *Pace) silence(s *scope, code string, until time.Time) {
	if until.After(s.until) && until.After(p.Now()) {
		s.until, s.code = until, code
		p.note(s, true)
		p.turnAway()
	}
}

// forgive hears a good answer: what left after the last strike came back well.
func (p *Pace) forgive(s *scope, w *waiter) {
	s.rough = 0
	if w.left > s.since && s.strikes > 0 {
		s.strikes = 0
		p.note(s, false)
		p.settle(s, p.Now())
	}
}

// slacken lowers the limit by one at an early sign of trouble.
func (p *Pace) slacken(s *scope) {
	s.since = p.tick()
	if s.limit > 1 {
		s.limit--
		s.changed = p.Now()
		s.code = "slow-answers"
		p.note(s, false)
	}
}

// speed is how fast a scope answers, operation by operation.
type speed struct {
	medians []median
	slow    int // slow answers in a row
}

// A median follows the middle of a stream: a step up for each value above it, a step down
// for each below.
type median struct {
	operation string
	n         int
	value     time.Duration
}

const (
	slowFactor = 3           // times the median, and
	slowFloor  = time.Second // at least so long, is slow;
	slowInRow  = 3           // so many in a row are a sign,
	slowSample = 10          // once so many answers have been seen
	medianStep = 20          // one part of so many
)

// observe takes an answer's time and tells whether the server shows that it is too much.
// A single slow answer is no sign, since answers differ in size.
func (v *speed) observe(operation string, took time.Duration) bool {
	i := slices.IndexFunc(v.medians, func(m median) bool { return m.operation == operation })
	if i < 0 {
		i = len(v.medians)
		v.medians = append(v.medians, median{operation: operation, value: took})
	}
	m := &v.medians[i]
	slow := m.n >= slowSample && took > slowFloor && took > slowFactor*m.value
	m.n++
	switch step := m.value/medianStep + 1; {
	case took > m.value:
		m.value += step
	case took < m.value:
		m.value -= step
	}
	if !slow {
		v.slow = 0
		return false
	}
	v.slow++
	if v.slow < slowInRow {
		return false
	}
	v.slow = 0
	return true
}
