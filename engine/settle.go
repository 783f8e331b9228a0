package engine

import (
	"context"
	"time"

	"postern/crm"
	"postern/store"
)

// settle writes down how a pass over a mailbox ended and when the next is due. What a
// fault means is decided in consequence; the fault itself was judged by the package that
// knows the protocol.
func (e *Engine) settle(ctx context.Context, line *line, box *crm.Mailbox, err error) error {
	now := e.Now()
	if err == nil {
		box.State, box.Since = enter(box, crm.Live, now)
		box.Trouble, box.Tries, box.Checked, box.Due = nil, 0, now, now.Add(e.Poll)
		return e.Org.SaveMailbox(ctx, box)
	}
	e.stop(ctx, line, box, err)
	f := crm.AsFault(err)
	state, wait := consequence(f, box.Tries)
	e.Log.Warn("pass ended in trouble", "mailbox", box.ID, "code", f.Code, "verdict", f.Verdict, "again_in", wait)
	box.State, box.Since = enter(box, state, now)
	box.Trouble = &crm.Fault{Verdict: f.Verdict, Scope: f.Scope, After: f.After, Code: f.Code, Message: f.Message, Advice: f.Advice}
	box.Tries, box.Due = box.Tries+1, now.Add(wait)
	return e.Org.SaveMailbox(ctx, box)
}

// consequence is the one switch over what a fault means.
func consequence(f *crm.Fault, tries int) (crm.MailboxState, time.Duration) {
	switch {
	case f.Code == store.DiskFull: // our own trouble: a longer pause spares nobody anything
		return crm.Waiting, 30 * time.Second
	case f.Verdict == crm.Retry, f.Verdict == crm.Resync:
		return crm.Waiting, max(f.After, ladder(tries, 10*time.Second, 30*time.Second, 2*time.Minute, 5*time.Minute, 15*time.Minute))
	}
	return crm.Attention, max(f.After, 15*time.Minute) // Reauth, Gone, Refused; of the first, lockout says more
}

// stop holds the whole connection up when a fault concerns it, unless it is held already.
func (e *Engine) stop(ctx context.Context, line *line, box *crm.Mailbox, err error) {
	f, now := crm.AsFault(err), e.Now()
	if ctx.Err() != nil || f.Scope != crm.OrgScope || line == nil || line.stopped(now) != nil {
		return
	}
	_, wait := consequence(f, box.Tries)
	line.hold(f, now.Add(wait))
	e.Log.Warn("connection stopped", "code", f.Code, "for", wait, "err", err)
}

// lockout returns the refusal of the login that stands in the mailbox's row and so
// outlives the process: each try with a wrong password counts towards the lock-out of
// the account. One that never worked is tried once; one that did, and was refused as
// servers do under load, a few times. Saving the settings clears the row.
func lockout(box *crm.Mailbox) error {
	const patience = 3
	f := box.Trouble
	if f == nil || f.Verdict != crm.Reauth || !box.Checked.IsZero() && box.Tries < patience {
		return nil
	}
	return f
}

// enter returns the state and since when the mailbox is in it.
func enter(box *crm.Mailbox, state crm.MailboxState, now time.Time) (crm.MailboxState, time.Time) {
	if box.State == state && !box.Since.IsZero() {
		return state, box.Since
	}
	return state, now
}
