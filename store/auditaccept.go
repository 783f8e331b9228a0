package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern/crm"
)

// An acceptance, signed as a part of the checkpoint of its own entry, says that the log lost
// its end and that the operator knows. It stands outside of the database, so that who can
// write to that alone can neither make one nor take one away. Its entry gets a number behind
// all that were lost, and carries the hash of what the log had when it was accepted.
type acceptance struct {
	After int64  `json:"after"` // the last entry that the log had
	From  int64  `json:"from"`  // the first that is missing; those before it are as the checkpoints say
	To    int64  `json:"to"`    // the last that is known outside
	Hash  string `json:"hash"`  // of that one, hexadecimal
	By    string `json:"by"`
	Why   string `json:"why"`
}

// findGaps lists the gaps that were accepted, and notes those whose entry is in the log.
func (a *auditor) findGaps(ctx context.Context, files []checkpoints) error {
	seen := map[string]bool{}
	for _, f := range files {
		for i := range f.list {
			c := &f.list[i]
			if c.Accepts == nil || seen[c.Hash] {
				continue
			}
			seen[c.Hash] = true
			a.verdict.Gaps = append(a.verdict.Gaps, crm.AuditGap{From: c.Accepts.From, To: c.Accepts.To, After: c.Accepts.After,
				Entry: c.Seq, At: c.At, By: c.Accepts.By, Why: c.Accepts.Why})
			var hash []byte
			err := one(ctx, a.org.read(), "select hash from audit where org_id = $1 and seq = $2", []any{a.org.id, c.Seq}, &hash)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			if hex.EncodeToString(hash) == c.Hash {
				a.gaps[c.Seq] = c
			}
		}
	}
	slices.SortFunc(a.verdict.Gaps, func(x, y crm.AuditGap) int { return cmp.Compare(x.Entry, y.Entry) })
	return nil
}

// excused tells whether an entry may be another than a checkpoint says: it has a number of
// those that were lost, or that were given while nobody had accepted that yet.
func (a *auditor) excused(seq int64) bool {
	for end, c := range a.gaps {
		if c.Accepts.From <= seq && seq < end {
			return true
		}
	}
	return false
}

// maxReason is how long a reason may be, in bytes: a checkpoint stays a line that is read at
// once.
const maxReason = 400

// AcceptAuditGap writes down that the log lost its end: that an older copy of the database was
// put back, by whom and why. Verdicts go on saying so, and find nothing wrong in it any more.
// Only a missing end can be accepted, told by genuine checkpoints, behind which the log is a
// sound chain; what was written since must have been written later. Anything else is the fault
// "audit-not-acceptable", no gap at all "audit-no-gap", no fit reason "audit-reason".
func (o *Org) AcceptAuditGap(ctx context.Context, why string, files ...string) (crm.AuditVerdict, error) {
	why = strings.TrimSpace(why)
	if why == "" || len(why) > maxReason || !utf8.ValidString(why) || strings.ContainsFunc(why, unicode.IsControl) {
		return crm.AuditVerdict{}, &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "audit-reason",
			Message: "A reason is needed, in one line of no more than 400 bytes.", Advice: "Say which copy was put back, and why: it is shown for ever."}
	}
	for {
		err := o.acceptGap(ctx, why, files)
		switch {
		case err == nil:
			return o.VerifyAudit(ctx, files...)
		case !errors.Is(err, ErrStale):
			return crm.AuditVerdict{}, err
		}
	}
}

// acceptGap accepts what is missing now; ErrStale when the log grew meanwhile. The signed
// line is written before the entry is saved: when that fails, one more entry is missing, and
// can be accepted as well. The other way round there would be an entry that nothing proves.
func (o *Org) acceptGap(ctx context.Context, why string, files []string) error {
	a, err := o.findLoss(ctx, files)
	if err != nil {
		return err
	}
	g := acceptance{After: a.end, From: a.end + 1, To: a.lost.Seq, Hash: a.lost.Hash, By: clean(crm.ActorOf(ctx)), Why: why}
	if a.fork > 0 {
		g.From = a.kept + 1
	}
	seq := max(a.last.Seq, a.end) + 1
	err = o.db.update(ctx, "accept audit gap", func(t *tx) error {
		head, err := o.auditHead(ctx, t)
		if err != nil {
			return err
		}
		if head.seq != a.end || !bytes.Equal(head.hash, a.before) {
			return ErrStale
		}
		if head, err = o.append(ctx, t, head, seq, g.entry(a.lost.At)); err != nil {
			return err
		}
		if err = o.sign(head, &g); errors.Is(err, errSigned) {
			return ErrStale
		}
		return err
	})
	if err != nil {
		return err
	}
	return o.paySink()
}

// entry is the one that accepts the gap.
func (g *acceptance) entry(signed time.Time) crm.AuditEntry {
	lines := []string{
		fmt.Sprintf("last entry known outside: %d, checkpoint signed %s", g.To, signed.UTC().Format(time.RFC3339)),
		"its hash: " + g.Hash,
		fmt.Sprintf("first entry missing: %d", g.From),
	}
	if g.After >= g.From {
		lines = append(lines, fmt.Sprintf("written since: %d to %d", g.From, g.After))
	}
	return crm.AuditEntry{Action: "audit.accept", Actor: g.By, Subject: fmt.Sprintf("entries %d to %d", g.From, g.To), Detail: strings.Join(append(lines, "reason: "+g.Why), "\n")}
}

// findLoss looks at the whole log; the fault says why what is wrong with it cannot be accepted.
func (o *Org) findLoss(ctx context.Context, files []string) (*auditor, error) {
	head, err := o.lastHead(ctx)
	if err != nil {
		return nil, err
	}
	if head.seq == 0 {
		return nil, notAcceptable("There is no log that could go on.")
	}
	key, err := o.openSigningKey(head.signingKey)
	if err != nil {
		return nil, err
	}
	a, err := o.examine(ctx, head, key, files)
	switch {
	case err != nil:
		return nil, err
	case a.inner != "":
		return nil, notAcceptable(a.inner)
	case a.end != a.head.seq:
		return nil, ErrStale // others wrote meanwhile
	case a.file != nil:
		return nil, notAcceptable(fmt.Sprintf("Line %d of the file of checkpoints %s.", a.file.line, a.file.why))
	case a.lost.Seq == 0:
		return nil, &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "audit-no-gap", Message: "No entry is missing.",
			Advice: "If another file has later checkpoints, name it by --checkpoints."}
	case a.fork > 0:
		return a, o.writtenLater(ctx, a)
	}
	return a, nil
}

// writtenLater refuses entries that stand in the place of lost ones and are dated before the
// lost ones were signed: they were not written after a restore.
func (o *Org) writtenLater(ctx context.Context, a *auditor) error {
	var bad int64
	err := one(ctx, o.read(), "select coalesce(min(seq), 0) from audit where org_id = $1 and seq >= $2 and done_at < $3",
		[]any{o.id, a.fork, micros(a.lost.At)}, &bad)
	if err == nil && bad > 0 {
		err = notAcceptable(fmt.Sprintf("Entry %d is dated before the checkpoint of %s for entry %d: it was not written after an older copy was put back, but in place of what was there.",
			bad, a.lost.At.Format("2 January 2006 15:04:05 MST"), a.lost.Seq))
	}
	return err
}

func notAcceptable(why string) error {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "audit-not-acceptable", Message: why + " That is more than a missing end, and cannot be accepted.",
		Advice: "Find out who can write to the database and to the data folder, and put back a copy from before."}
}
