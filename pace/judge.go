package pace

import (
	"slices"
	"strings"
	"time"

	"postern/crm"
)

// What a code says of a server's load, where verdict, scope and hint do not.
const (
	logonFailed = iota + 1 // the server does not let the account in
	perAccount             // of the account, not of the host
	nothing                // its hint is about something else than the pace of requests
	rough                  // no proper answer: a sign of trouble when it comes again and again
)

var meaning = map[string]int{
	"password-refused":                               logonFailed,
	"logon-failed":                                   logonFailed,
	"ErrorExceededConnectionCount":                   perAccount,
	"ErrorExceededSubscriptionCount":                 nothing, // the mailbox is polled meanwhile
	"ErrorQuotaExceeded":                             nothing, // reading goes on
	"ErrorMessagePerFolderCountReceiveQuotaExceeded": nothing,

	"timeout":                           rough,
	"torn-answer":                       rough,
	"unreadable-answer":                 rough,
	"network":                           rough,
	"dns-trouble":                       rough,
	"soap-fault":                        rough,
	"ErrorInternalServerError":          rough,
	"ErrorInternalServerTransientError": rough,
	"ErrorTimeoutExpired":               rough,
	"ErrorConnectionFailed":             rough,
}

const (
	roughInRow = 3 // so many make a strike
	lockAfter  = 3 // failing log-ons a minute, at most
)

// judge learns from an answer. The slots are given back already.
func (p *Pace) judge(w *waiter, f *crm.Fault) {
	if f == nil {
		p.good(w)
		p.observe(w)
		return
	}
	says := meaning[f.Code]
	if says == 0 && strings.HasPrefix(f.Code, "http-5") {
		says = rough
	}
	throttled := f.Cause == crm.Throttled
	// Who cannot be reached asks for nothing; whoever called knows how long to wait.
	asked := f.Verdict == crm.Retry && f.After > 0 && says != nothing && f.Cause != crm.Unreachable && (f.Scope == crm.MailboxScope || f.Scope == crm.OrgScope)
	switch {
	case says == logonFailed || f.Verdict == crm.Reauth:
		p.refuse(w, f.Code)
	case throttled:
		p.strike(w.meant(f), w, f.Code, f.After, len(ladder))
	case asked:
		p.strike(w.meant(f), w, f.Code, f.After, unasked)
	case says == rough && f.Verdict == crm.Retry:
		p.roughly(w, f)
	case f.Verdict != crm.Retry && f.Scope != crm.OrgScope:
		p.good(w) // what was asked for is not there or not allowed; the server is well
	}
}

// meant is the scope that a fault is about. Item and folder count for their mailbox.
func (w *waiter) meant(f *crm.Fault) *scope {
	switch {
	case f.Scope != crm.OrgScope:
		return w.scopes[len(w.scopes)-1] // of a request without a mailbox: the account
	case meaning[f.Code] == perAccount:
		return &w.account.scope
	}
	return &w.host.scope
}

// good hears an answer that shows the server in order and the account let in.
func (p *Pace) good(w *waiter) {
	for _, s := range w.scopes {
		p.forgive(s, w)
	}
	w.host.roughBy = nil
	if w.left > w.account.doubt {
		w.account.doubted, w.account.trial = false, nil
	}
}

// observe looks at how long a good answer took.
func (p *Pace) observe(w *waiter) {
	if w.Hanging {
		return
	}
	took := p.Now().Sub(w.leftAt)
	for _, s := range w.scopes {
		if w.left > s.since && s.speed.observe(w.Operation, took) {
			p.slacken(s)
		}
	}
}

// roughly counts requests without a proper answer: for the mailbox each of them, for the
// host one of each mailbox, so that a single bad mailbox does not silence the others.
func (p *Pace) roughly(w *waiter, f *crm.Fault) {
	own := w.scopes[len(w.scopes)-1]
	if own.rough++; own.rough >= roughInRow {
		p.strike(own, w, f.Code, 0, unasked)
	}
	h := w.host
	if !slices.Contains(h.roughBy, own.key) {
		h.roughBy = append(h.roughBy, own.key)
	}
	if len(h.roughBy) >= roughInRow {
		p.strike(&h.scope, w, f.Code, 0, unasked)
		h.roughBy = h.roughBy[:roughInRow-1] // the next of another mailbox is enough
	}
}

// refuse counts a failing log-on. What is under way by then cannot be called back, but
// from there on one request tries alone, and after three within a minute none does.
func (p *Pace) refuse(w *waiter, code string) {
	a, now := w.account, p.Now()
	a.doubted, a.doubt = true, p.tick()
	a.refused = append(a.refused, now)
	a.refused = a.refused[max(0, len(a.refused)-lockAfter):]
	if len(a.refused) == lockAfter {
		p.silence(&a.scope, code, a.refused[0].Add(time.Minute))
	}
}
