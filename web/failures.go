package web

import (
	"fmt"
	"sync"
	"time"

	"postern/crm"
	"postern/mail"
)

// failures keeps sign-ins that failed from filling the audit log: the first is written
// down at once, those that follow within a minute, for the same account from the same
// place, are counted and told together by whatever sign-in comes next.
type failures struct {
	now func() time.Time
	mu  sync.Mutex
	by  map[attemptKey]*attempt
}

const (
	failureWindow = time.Minute
	failuresKept  = 50 // accounts and places told apart in a window
)

func newFailures(now func() time.Time) *failures {
	return &failures{now: now, by: map[attemptKey]*attempt{}}
}

// note takes a failure and returns what is to be written down.
func (f *failures) note(account, host string) []crm.AuditEntry {
	list := f.over()
	f.mu.Lock()
	defer f.mu.Unlock()
	key := attemptKey{account, host}
	if f.by[key] == nil && len(f.by) >= failuresKept {
		key = attemptKey{}
	}
	if t := f.by[key]; t != nil {
		t.n++
		return list
	}
	f.by[key] = &attempt{since: f.now()}
	return append(list, key.entry())
}

// over returns what is to be written down of the windows that have ended.
func (f *failures) over() []crm.AuditEntry {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []crm.AuditEntry
	for key, t := range f.by {
		if f.now().Sub(t.since) < failureWindow {
			continue
		}
		if t.n > 0 {
			e := key.entry()
			e.Detail += fmt.Sprintf("\nfurther attempts in the minute after %s: %d", t.since.UTC().Format("15:04:05 MST"), t.n)
			list = append(list, e)
		}
		delete(f.by, key)
	}
	return list
}

// entry names the account only where it can be one: people type their passwords into the
// wrong field.
func (k attemptKey) entry() crm.AuditEntry {
	e := crm.AuditEntry{Action: "sign-in.failed", Actor: stranger, Subject: "many accounts", Detail: "from many places"}
	if k.host != "" {
		e.Subject, e.Detail = "no address", "from "+k.host
	}
	if address, err := mail.ParseAddress(k.account); err == nil {
		e.Subject = string(address)
	}
	return e
}
