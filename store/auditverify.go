package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"postern/crm"
)

// VerifyAudit reads the whole audit log and names the first entry that is not as it was
// written, by the chain of hashes, by where the chain ends, and by the signed checkpoints
// outside of the database. Further files of checkpoints, such as a sink, are believed as
// well. The error tells only that it could not be looked at.
//
// Where the log lost its end and the operator accepted that (see [Org.AcceptAuditGap]), the
// checkpoints of what was lost are held against nothing; all else is, as before.
//
// Who can write to the database and to the data folder can put the log and the file of
// checkpoints back together to an earlier state of both, or begin the log anew, without any
// key: only a sink elsewhere tells. To write entries takes the master key as well.
func (o *Org) VerifyAudit(ctx context.Context, files ...string) (crm.AuditVerdict, error) {
	v, err := o.verify(ctx, files)
	if err != nil {
		return v, err
	}
	v.Sink, err = o.sink(ctx)
	return v, err
}

func (o *Org) verify(ctx context.Context, files []string) (crm.AuditVerdict, error) {
	_, noFile := os.Stat(o.checkpointFile())
	head, err := o.lastHead(ctx)
	if err != nil {
		return crm.AuditVerdict{}, err
	}
	if noFile == nil && len(head.signingKey) == 0 {
		return crm.AuditVerdict{Code: "audit-truncated", Bad: 1, Why: "There is no log, but there are checkpoints of one: all of it was taken away."}, nil
	}
	if len(head.signingKey) == 0 {
		if lost, err := o.lostLog(ctx); err != nil {
			return crm.AuditVerdict{}, err
		} else if lost {
			return crm.AuditVerdict{Code: "audit-deleted", Bad: 1, Why: "There is no log, but settings or a policy were saved, and each of them leaves an entry: all of it was taken away."}, nil
		}
	}
	key, err := o.openSigningKey(head.signingKey)
	if fault, ok := errors.AsType[*crm.Fault](err); ok && len(head.signingKey) > 0 {
		return crm.AuditVerdict{Code: "audit-key-unusable", Bad: 1, Why: "The key that signs checkpoints cannot be opened: " + fault.Message}, nil
	}
	if len(head.signingKey) > 0 && err != nil {
		return crm.AuditVerdict{}, err
	}
	a, err := o.examine(ctx, head, key, files)
	if err != nil {
		return crm.AuditVerdict{}, err
	}
	return a.verdict, nil
}

// examine looks at the whole log and at all checkpoints.
func (o *Org) examine(ctx context.Context, head auditHead, key ed25519.PrivateKey, files []string) (*auditor, error) {
	a := &auditor{org: o, key: key}
	if err := a.readFiles(ctx, head, key, append([]string{o.checkpointFile()}, files...)); err != nil {
		return nil, err
	}
	// Others may add entries meanwhile. So the log must reach at least the end that was
	// read before it, and at most the one read after it.
	var err error
	if a.head, err = o.lastHead(ctx); err != nil {
		return nil, err
	}
	if err := a.walk(ctx); err != nil {
		return nil, err
	}
	after, err := o.lastHead(ctx)
	if err != nil {
		return nil, err
	}
	a.judge(after)
	return a, nil
}

// lastHead returns the end of the chain as the database has it; the zero value when
// nothing was written yet.
func (o *Org) lastHead(ctx context.Context) (auditHead, error) {
	var h auditHead
	err := one(ctx, o.read(), "select "+auditHeadColumns+" from audit_head where org_id = $1", []any{o.id}, h.fields()...)
	if errors.Is(err, ErrNotFound) {
		return auditHead{}, nil
	}
	return h, err
}

// lostLog tells whether settings or a policy stand there without a log, although
// saving either leaves an entry.
func (o *Org) lostLog(ctx context.Context) (bool, error) {
	var lost bool
	err := one(ctx, o.read(), `select not exists (select 1 from audit_head where org_id = $1) and
		(exists (select 1 from connection where org_id = $1 and saved_at > 0) or exists (select 1 from policy where org_id = $1))`, []any{o.id}, &lost)
	return lost, err
}

// An auditor goes along a chain.
type auditor struct {
	org     *Org
	key     ed25519.PrivateKey
	head    auditHead              // read before the entries
	atHead  []byte                 // the hash that the entry at its end has
	proved  map[int64][]checkpoint // what checkpoints say of an entry
	last    checkpoint             // the one that covers most
	gaps    map[int64]*checkpoint  // those that accept a gap, by their entry, which is in the log
	file    *badCheckpoint         // the first checkpoint that is not genuine
	order   *badCheckpoint         // the first that stands behind one of a later entry
	end     int64                  // the last entry that was looked at
	before  []byte                 // its hash
	covered int64                  // the last entry that a checkpoint confirmed
	fork    int64                  // the first that a checkpoint denies, 0 = none
	kept    int64                  // the last that was confirmed before that
	lost    checkpoint             // the one that covers most of what the log does not have
	inner   string                 // what is wrong with the log itself, whatever checkpoints say
	verdict crm.AuditVerdict
}

func (a *auditor) readFiles(ctx context.Context, head auditHead, key ed25519.PrivateKey, paths []string) error {
	a.proved, a.gaps = map[int64][]checkpoint{}, map[int64]*checkpoint{}
	if len(head.signingKey) == 0 {
		return nil // nothing was written yet
	}
	var err error
	if a.verdict.PublicKey, err = publicKey(key); err != nil {
		return err
	}
	var files []checkpoints
	for i, path := range paths {
		f, err := a.org.readCheckpoints(path, key.Public().(ed25519.PublicKey))
		if err != nil {
			return err
		}
		files = append(files, f)
		switch {
		case a.file != nil:
		case f.bad != nil:
			a.file = f.bad
		case i == 0 && head.checkpoint != "" && !f.lines[head.checkpoint]:
			a.file = &badCheckpoint{len(f.lines) + 1, f.end() + 1, "is missing, although it had been written"}
		}
	}
	if err := a.findGaps(ctx, files); err != nil {
		return err
	}
	for _, f := range files {
		a.take(&f)
	}
	return nil
}

// take notes what the checkpoints of a file say.
func (a *auditor) take(f *checkpoints) {
	var end int64
	for _, c := range f.list {
		if c.Seq <= end && !a.excused(c.Seq) && a.order == nil {
			a.order = &badCheckpoint{c.line, end + 1, "goes back behind the one before it"}
		}
		end = max(end, c.Seq)
		a.proved[c.Seq] = append(a.proved[c.Seq], c)
		if c.Seq > a.last.Seq {
			a.last = c
		}
	}
}

// errFound ends the walk: what follows the first bad entry proves nothing.
var errFound = errors.New("found")

func (a *auditor) walk(ctx context.Context) error {
	err := rows(ctx, a.org.read(), "select "+auditColumns+" from audit where org_id = $1 order by seq", []any{a.org.id}, func(r *sql.Rows) error {
		e, hash, err := scanAudit(r)
		if err != nil {
			return err
		}
		return a.entry(&e, hash)
	})
	if !errors.Is(err, errFound) {
		return err
	}
	if a.verdict.Code == "audit-edited" {
		return a.findSwap(ctx)
	}
	return nil
}

// entry looks at the next entry.
func (a *auditor) entry(e *crm.AuditEntry, hash []byte) error {
	next := a.end + 1
	if g := a.gaps[e.Seq]; g != nil && g.Accepts.After == a.end {
		next = e.Seq // the numbers of what was lost are not given again
	}
	switch {
	case e.Seq != next:
		return a.found("audit-deleted", next, fmt.Sprintf("Entry %d is not there; the next one is %d.", next, e.Seq))
	case !bytes.Equal(hash, auditHash(a.org.id, e, a.before)):
		return a.found("audit-edited", next, fmt.Sprintf("Entry %d does not say what it said when it was written.", next))
	}
	a.compare(next, hex.EncodeToString(hash))
	if next == a.head.seq {
		a.atHead = hash
	}
	a.before, a.end = hash, next
	a.verdict.Entries, a.verdict.Head = a.verdict.Entries+1, hex.EncodeToString(hash)
	return nil
}

// compare holds an entry against what checkpoints say of it. What one denies no other
// confirms.
func (a *auditor) compare(seq int64, hash string) {
	var confirms, denies *checkpoint
	for _, c := range a.proved[seq] {
		if c.Hash == hash {
			confirms = &c
		} else if !a.excused(seq) {
			denies = &c
		}
	}
	switch {
	case denies != nil:
		if a.fork == 0 {
			a.fork, a.kept = seq, a.covered
		}
		a.lost = *denies
	case confirms != nil && a.fork == 0:
		a.covered, a.verdict.Signed = seq, confirms.At
	}
}

func (a *auditor) found(code string, bad int64, why string) error {
	a.verdict.Code, a.verdict.Bad, a.verdict.Why = code, bad, why
	return errFound
}

// judge looks whether the log ends where it should, and tells of checkpoints that are not
// genuine where the entries are.
func (a *auditor) judge(after auditHead) {
	n := a.end
	a.verdict.Checkpoint = a.covered
	if a.last.Seq > n {
		a.lost = a.last
	}
	if a.verdict.OK() {
		a.judgeEnd(after)
	}
	foreign := a.foreign()
	a.inner = cmp.Or(a.verdict.Why, foreign)
	switch {
	case a.fork > 0:
		_ = a.found("audit-forked", a.kept+1, fmt.Sprintf("Entries %d to %d are others than those that the signed checkpoint for entry %d covers: they were written in place of them.", a.kept+1, a.fork, a.fork))
	case !a.verdict.OK():
	case a.last.Seq > n:
		_ = a.found("audit-truncated", n+1, fmt.Sprintf("The log ends with entry %d, but a checkpoint signed on %s covers %d: the later ones were taken away, or an older copy of the database was put back.",
			n, a.last.At.Format("2 January 2006 15:04:05 MST"), a.last.Seq))
	case foreign != "":
		_ = a.found("audit-forked", a.unproved(), foreign)
	default:
		a.judgeFiles()
	}
}

// foreign says that the end of the chain was written by somebody without the key, if it was.
// There is no key yet where the log began after it was asked for.
func (a *auditor) foreign() string {
	if a.key == nil || a.head.sealed(a.org.id, a.key) {
		return ""
	}
	return fmt.Sprintf("Entries from %d on, or the end of the log, were not written by Postern: the end does not bear its signature.", a.unproved())
}

// unproved is the first entry that no checkpoint confirms, at most the last one.
func (a *auditor) unproved() int64 { return max(1, min(a.covered+1, a.head.seq)) }

// judgeEnd holds the end of the chain against what the database says of it.
func (a *auditor) judgeEnd(after auditHead) {
	switch n := a.end; {
	case a.head.seq > n:
		_ = a.found("audit-truncated", n+1, fmt.Sprintf("The log ends with entry %d, but %d had been written.", n, a.head.seq))
	case n > after.seq:
		_ = a.found("audit-forked", after.seq+1, fmt.Sprintf("Entry %d was not written by Postern, which wrote %d.", after.seq+1, after.seq))
	case !bytes.Equal(a.head.hash, a.atHead):
		_ = a.found("audit-forked", a.head.seq, fmt.Sprintf("Entry %d is another than the one that was written last.", a.head.seq))
	}
}

func (a *auditor) judgeFiles() {
	bad := a.file
	if bad == nil {
		bad = a.order
	}
	if bad != nil {
		_ = a.found("audit-checkpoint-forged", max(1, bad.seq), fmt.Sprintf("Line %d of the file of checkpoints %s. The entries are a sound chain.", bad.line, bad.why))
	}
}

// findSwap looks whether the entry that was edited stands in the place of another, and
// that one in its place.
func (a *auditor) findSwap(ctx context.Context) error {
	type row struct {
		crm.AuditEntry
		hash []byte
	}
	var bad *row
	before := a.before
	err := rows(ctx, a.org.read(), "select "+auditColumns+" from audit where org_id = $1 and seq >= $2 order by seq", []any{a.org.id, a.verdict.Bad}, func(r *sql.Rows) error {
		e, hash, err := scanAudit(r)
		if err != nil {
			return err
		}
		if bad == nil {
			bad, before = &row{e, hash}, hash
			return nil
		}
		moved := bad.AuditEntry
		moved.Seq = e.Seq
		for _, before := range [][]byte{before, hash} { // neighbours stand for each other's
			if sum := auditHash(a.org.id, &moved, before); bytes.Equal(sum, bad.hash) || bytes.Equal(sum, hash) {
				return a.found("audit-swapped", bad.Seq, fmt.Sprintf("Entry %d stands in the place of entry %d.", e.Seq, bad.Seq))
			}
		}
		before = hash
		return nil
	})
	if errors.Is(err, errFound) {
		return nil
	}
	return err
}
