package web

import (
	"sync"
	"time"
)

const (
	attemptWindow     = 15 * time.Minute
	attemptsByAccount = 5   // from one address for one account
	attemptsByHost    = 50  // from one address for all accounts
	attemptsKept      = 1e4 // keys remembered at most
)

// attempts counts sign-ins that did not succeed, for each account and address they came
// from. It does not count by account alone: then anybody could lock anybody out.
type attempts struct {
	now func() time.Time
	mu  sync.Mutex
	by  map[attemptKey]*attempt
}

type attemptKey struct{ account, host string }

type attempt struct {
	n     int
	since time.Time
}

func newAttempts(now func() time.Time) *attempts {
	return &attempts{now: now, by: map[attemptKey]*attempt{}}
}

// take counts one attempt and returns how long to wait when it is one too many.
func (a *attempts) take(account, host string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.by) >= attemptsKept {
		a.prune()
	}
	wait := a.count(attemptKey{account, host}, attemptsByAccount)
	return max(wait, a.count(attemptKey{"", host}, attemptsByHost))
}

func (a *attempts) count(key attemptKey, limit int) time.Duration {
	now := a.now()
	t := a.by[key]
	if t == nil || now.Sub(t.since) >= attemptWindow {
		t = &attempt{since: now}
		a.by[key] = t
	}
	if t.n >= limit {
		return attemptWindow - now.Sub(t.since)
	}
	t.n++
	return 0
}

// forget clears the count after a sign-in that succeeded.
func (a *attempts) forget(account, host string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.by, attemptKey{account, host})
}

// prune drops what has lapsed; when nothing has, everything, for memory comes first.
func (a *attempts) prune() {
	for key, t := range a.by {
		if a.now().Sub(t.since) >= attemptWindow {
			delete(a.by, key)
		}
	}
	if len(a.by) >= attemptsKept {
		clear(a.by)
	}
}
