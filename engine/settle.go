package engine

import (
	"context"
	"time"

	"postern/crm"
	"postern/store"
)

// end settles a pass and tells whether that could be written down; if not, everything
// rests for a while.
func (e *Engine) end(ctx context.Context, line *line, box *crm.Mailbox, began time.Time, err error) (saved bool) {
	err = e.settle(ctx, line, box, began, err)
	if err != nil && ctx.Err() == nil { // else the process is ending; the row still says due
		e.Log.Error("save state of mailbox", "mailbox", box.Address, "err", err)
		e.cannotSave(err)
	}
	return err == nil
}

// settle writes down how a pass over a mailbox ended and when the next is due. What a
// fault means is decided in consequence; the fault itself was judged by the package that
// knows the protocol.
func (e *Engine) settle(ctx context.Context, line *line, box *crm.Mailbox, began time.Time, err error) error {
	if err == nil {
		return e.well(ctx, line, box, began)
	}
	now := e.Now()
	f := crm.AsFault(err)
	if f.Code == connectionChanged || f.Code == textNotGranted { // no trouble of the mailbox
		box.Due = now.Add(f.After)
		return e.Org.SaveMailbox(ctx, box)
	}
	e.stop(ctx, line, box, err)
	state, wait := consequence(f, triesFor(f, box))
	e.Log.Warn("pass ended in trouble", "mailbox", box.Address, "code", f.Code, "verdict", f.Verdict, "again_in", wait.Round(time.Second), "err", f)
	news := state == crm.Attention && (box.State != crm.Attention || box.Trouble == nil || box.Trouble.Code != f.Code)
	box.State, box.Since = enter(box, state, now)
	box.Trouble = &crm.Fault{Verdict: f.Verdict, Scope: f.Scope, After: f.After, Code: f.Code, Message: f.Message, Advice: f.Advice, Cause: f.Cause}
	if box.Due = now.Add(wait); f.Code != resting {
		box.Tries++
	}
	if !followable(box) {
		e.watching().drop(box.ID)
	}
	if err := e.Org.SaveMailbox(ctx, box); err != nil {
		return err
	}
	if news && f.Scope != crm.OrgScope {
		return e.raiseAlert(ctx, theMailbox(box), f)
	}
	return nil
}

// The gate's codes for a call that ended because something else holds now.
const (
	connectionChanged = "connection-changed"
	textNotGranted    = "text-not-granted" // decided by a policy that is another now
)

// followable tells whether news of the mailbox are of use: it has been read once, and what
// trouble there is, is with a folder alone or passes by itself.
func followable(box *crm.Mailbox) bool {
	return !box.Checked.IsZero() && (box.State != crm.Attention || box.Trouble != nil && box.Trouble.Scope == crm.FolderScope)
}

// well settles a complete look that found no trouble.
func (e *Engine) well(ctx context.Context, line *line, box *crm.Mailbox, began time.Time) error {
	healed := box.Trouble != nil
	box.State, box.Since = enter(box, crm.Live, e.Now())
	box.Trouble, box.Tries, box.Checked = nil, 0, began
	facts := line.src.Facts(box)
	if facts.Server != box.Server && box.Server != "" && facts.Server != "" {
		e.Log.Info("mailbox lives on another server", "mailbox", box.Address, "server", facts.Server)
	}
	if facts.Server == "" {
		facts.Server = box.Server // not asked in this process yet
	}
	renamed := facts.Primary != box.Primary
	box.Facts = facts
	w, follow := e.watching(), *box
	w.admit(&follow)
	var err error
	if box.Due, err = e.nextDue(ctx, box, e.Now().Add(w.pause(box.ID, e.Poll))); err != nil {
		return err
	}
	if err := e.Org.SaveMailbox(ctx, box); err != nil {
		return err
	}
	if healed || renamed && box.Primary == "" {
		if err := e.closeAlerts(ctx, theMailbox(box)); err != nil {
			return err
		}
	}
	if renamed && box.Primary != "" {
		return e.raiseAlert(ctx, theMailbox(box), &crm.Fault{Code: "address-changed", Cause: crm.Renamed,
			Message: "Exchange knows this mailbox by another primary address now: " + string(box.Primary) + ".",
			Advice:  "Nothing is lost: it is read as before. Enter the new address as the user's primary address."})
	}
	return nil
}

// What an alert is about.
const theConnection = "connection"

func theMailbox(box *crm.Mailbox) string { return "mailbox " + string(box.Address) }

// raiseAlert tells the administrators that somebody must see to something, once for each
// trouble and what it befalls.
func (e *Engine) raiseAlert(ctx context.Context, subject string, f *crm.Fault) error {
	fresh, err := e.Org.RaiseAlert(ctx, store.Alert{Cause: f.Cause, Code: f.Code, Subject: subject, Message: f.Message, Advice: f.Advice})
	if fresh {
		e.Log.Error("attention", "subject", subject, "code", f.Code, "what", f.Message, "advice", f.Advice)
	}
	return err
}

// closeAlerts tells that all is well again.
func (e *Engine) closeAlerts(ctx context.Context, subject string) error {
	n, err := e.Org.CloseAlerts(ctx, subject, "")
	if n > 0 {
		e.Log.Info("well again", "subject", subject)
	}
	return err
}

// longest is how long a mailbox is left alone at most, whatever a server asks for.
const longest = time.Hour

// resting is the code of a request that our own pace sent back: nobody was asked, so it
// says nothing about the mailbox.
const resting = "resting"

// triesFor is how far up its ladder a fault stands. What stops the whole connection is not
// to be held against it as long as the mailbox' own troubles were.
func triesFor(f *crm.Fault, box *crm.Mailbox) int {
	if f.Scope == crm.OrgScope {
		return min(box.Tries, patient)
	}
	return box.Tries
}

// consequence is the one switch over what a fault means: the state that the mailbox is in,
// and when it is tried again.
func consequence(f *crm.Fault, tries int) (crm.MailboxState, time.Duration) {
	after := min(f.After, longest)
	switch {
	case f.Code == store.DiskFull: // our own trouble: a longer pause spares nobody anything
		return crm.Waiting, restAfterFailure
	case f.Code == resting:
		return crm.Waiting, max(after, time.Second)
	case f.Verdict == crm.Retry && (f.Cause == crm.Unreachable || f.Code == "torn-answer"):
		// Nobody asked for silence, and the network may be well again at any moment.
		return crm.Waiting, max(after, ladder(tries, 5*time.Second, 10*time.Second, 30*time.Second, time.Minute))
	case f.Verdict == crm.Retry, f.Verdict == crm.Resync:
		return crm.Waiting, max(after, ladder(tries, 10*time.Second, 30*time.Second, 2*time.Minute, 5*time.Minute, 15*time.Minute))
	}
	const quarter = 15 * time.Minute // Reauth, Gone, Refused; of the first, lockout says more
	return crm.Attention, max(after, ladder(tries, quarter, quarter, quarter, quarter, time.Hour))
}

// stop holds the whole connection up when a fault concerns it, unless it is held already.
func (e *Engine) stop(ctx context.Context, line *line, box *crm.Mailbox, err error) {
	f, now := crm.AsFault(err), e.Now()
	if ctx.Err() != nil || f.Scope != crm.OrgScope || f.Code == resting || line == nil || line.stopped(now) != nil {
		return
	}
	state, wait := consequence(f, triesFor(f, box))
	line.hold(f, now.Add(wait))
	e.Log.Warn("connection stopped", "code", f.Code, "for", wait.Round(time.Second), "err", err)
	if (state == crm.Attention || box.Tries >= patient) && f.Code != "collecting-disabled" {
		if err := e.raiseAlert(ctx, theConnection, f); err != nil {
			e.Log.Error("raise an alert", "err", err)
		}
	}
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
