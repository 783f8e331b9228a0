package engine

import (
	"context"
	"time"

	"postern/crm"
)

// settle writes down how a pass over a mailbox ended and when the next is due. It holds
// the one switch over what a fault means; the fault itself was judged by the package
// that knows the protocol.
func (e *Engine) settle(ctx context.Context, line *line, box *crm.Mailbox, err error) error {
	now := e.Now()
	if err == nil {
		box.State, box.Since = enter(box, crm.Live, now)
		box.Trouble, box.Tries, box.Checked, box.Due = nil, 0, now, now.Add(e.Poll)
		return e.Org.SaveMailbox(ctx, box)
	}
	f := crm.AsFault(err)
	var wait time.Duration
	state := crm.Attention
	switch f.Verdict {
	case crm.Retry, crm.Resync:
		state = crm.Waiting
		wait = max(f.After, ladder(box.Tries, 10*time.Second, 30*time.Second, 2*time.Minute, 5*time.Minute, 15*time.Minute))
	case crm.Reauth:
		wait = max(f.After, 15*time.Minute) // each try counts towards a lock-out
	case crm.Gone, crm.Refused:
		wait = max(f.After, 15*time.Minute)
	}
	if f.Scope == crm.OrgScope && line != nil && line.stopped(now) == nil {
		line.hold(f, now.Add(wait))
		e.Log.Warn("connection stopped", "code", f.Code, "for", wait, "err", err)
	}
	e.Log.Warn("pass ended in trouble", "mailbox", box.ID, "code", f.Code, "verdict", f.Verdict, "again_in", wait)
	box.State, box.Since = enter(box, state, now)
	box.Trouble = &crm.Fault{Verdict: f.Verdict, Scope: f.Scope, After: f.After, Code: f.Code, Message: f.Message, Advice: f.Advice}
	box.Tries, box.Due = box.Tries+1, now.Add(wait)
	return e.Org.SaveMailbox(ctx, box)
}

// enter returns the state and since when the mailbox is in it.
func enter(box *crm.Mailbox, state crm.MailboxState, now time.Time) (crm.MailboxState, time.Time) {
	if box.State == state && !box.Since.IsZero() {
		return state, box.Since
	}
	return state, now
}
