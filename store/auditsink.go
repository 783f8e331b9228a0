package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"postern/crm"
)

// A sink beyond this machine is told each line of the file of checkpoints, in their order, by
// whoever serves: the file is the queue, and the database has how far it was told. So nothing
// waits for the sink, entries that commands write are told as well, and none is forgotten when
// the process ends. Whose answer was lost is told again: a line stands for itself.

const (
	auditSinkAction = "audit.sink"
	// sinkSubject is that of alerts about the sink, be it a file or another machine.
	sinkSubject = "audit sink"
	// maxSinkWait is the longest pause between two attempts.
	maxSinkWait = 5 * time.Minute
	// maxUntold is how many checkpoints are handed out at once.
	maxUntold = 200
)

// UseSink says which machine is told the checkpoints; "" = none. Another one than before is
// written into the log, and is told all from the first.
func (o *Org) UseSink(ctx context.Context, address string) error {
	changed := false
	err := o.db.update(ctx, "use sink", func(t *tx) error {
		if err := o.lock(ctx, t); err != nil {
			return err
		}
		var old string
		err := one(ctx, t, "select address from audit_sink where org_id = $1", []any{o.id}, &old)
		if err != nil && !errors.Is(err, ErrNotFound) || old == address {
			return ignoreNotFound(err)
		}
		if _, err := t.exec(ctx, "delete from audit_sink where org_id = $1", o.id); err != nil {
			return err
		}
		if address != "" {
			if _, err := t.exec(ctx, `insert into audit_sink (org_id, address, told_seq, told_hash, told_at, since, attempts, trouble, due_at)
				values ($1, $2, 0, '', 0, 0, 0, '', 0)`, o.id, address); err != nil {
				return err
			}
		}
		changed = true
		var c changes
		c.note("checkpoints are told to", old, address, false)
		return o.audit(ctx, t, c.entry(auditSinkAction, ""))
	})
	if err == nil && changed {
		_, err = o.CloseAlerts(ctx, sinkSubject, "")
	}
	return err
}

func ignoreNotFound(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// SinkFile names the file that takes the checkpoints as well, where it can be read back: what a
// verdict is to be held against besides. None or one.
func (o *Org) SinkFile() []string {
	info, err := os.Stat(o.s.auditSink)
	if o.s.auditSink == "" || err != nil || !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(o.s.auditSink)
	if err != nil {
		return nil // one that can only be written to is as good a sink
	}
	f.Close()
	return []string{o.s.auditSink}
}

// A Checkpoint is a signed line to be told.
type Checkpoint struct {
	Seq    int64     // of the entry that it covers, with all before it
	At     time.Time // when it was signed
	Line   []byte    // JSON, without an end of line
	Failed int       // attempts to tell it, or one before it
}

// sinkState is what the database has of the sink.
type sinkState struct {
	crm.AuditSink
	hash     string // of the last line that was told
	attempts int
	due      time.Time
}

func (o *Org) sinkState(ctx context.Context) (s sinkState, err error) {
	err = one(ctx, o.read(), "select address, told_seq, told_hash, told_at, since, attempts, trouble, due_at from audit_sink where org_id = $1", []any{o.id},
		&s.Address, &s.Told, &s.hash, stamp{&s.ToldAt}, stamp{&s.Since}, &s.attempts, &s.Trouble, stamp{&s.due})
	return s, ignoreNotFound(err)
}

// sink tells what became of the checkpoints that were to be told; the zero value where nobody is.
func (o *Org) sink(ctx context.Context) (crm.AuditSink, error) {
	s, err := o.sinkState(ctx)
	if err != nil || s.Address == "" {
		return crm.AuditSink{}, err
	}
	lines, err := o.untold(s.hash)
	s.Waiting = len(lines)
	return s.AuditSink, err
}

// UntoldCheckpoints returns what the sink is to be told now, the first one first: none while an
// attempt that failed is to be waited for.
func (o *Org) UntoldCheckpoints(ctx context.Context) ([]Checkpoint, error) {
	s, err := o.sinkState(ctx)
	if err != nil || s.Address == "" || s.due.After(o.s.now()) {
		return nil, err
	}
	lines, err := o.untold(s.hash)
	var list []Checkpoint
	for _, line := range lines[:min(len(lines), maxUntold)] {
		var c checkpoint
		_ = json.Unmarshal(line, &c) // one that was spoilt is told as it is: that is proof as well
		list = append(list, Checkpoint{Seq: c.Seq, At: c.At, Line: line, Failed: s.attempts})
	}
	return list, err
}

// untold returns the lines behind the one with that hash; all, where there is none such, as when
// an older copy of the file was put back.
func (o *Org) untold(hash string) ([][]byte, error) {
	data, err := o.endOfFile(hash)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	var list [][]byte
	for line := range bytes.Lines(data) {
		line, whole := bytes.CutSuffix(line, []byte("\n"))
		if !whole {
			break
		}
		list = append(list, line)
		if hash != "" && lineHash(line) == hash {
			list = nil
		}
	}
	return list, nil
}

// endOfFile returns the file of checkpoints; nothing when its last line is the one with that
// hash, for that is so nearly always.
func (o *Org) endOfFile(hash string) ([]byte, error) {
	f, err := os.Open(o.checkpointFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, folderFault(o.s.dir, err)
	}
	defer f.Close()
	last, _, err := lastLine(f)
	if err != nil {
		return nil, folderFault(o.s.dir, err)
	}
	if last == nil || lineHash(last) == hash {
		return nil, nil
	}
	data, err := os.ReadFile(o.checkpointFile())
	if err != nil {
		return nil, folderFault(o.s.dir, err)
	}
	return data, nil
}

// CheckpointTold notes that the sink took a checkpoint.
func (o *Org) CheckpointTold(ctx context.Context, c Checkpoint) error {
	err := o.db.update(ctx, "checkpoint told", func(t *tx) error {
		_, err := t.exec(ctx, "update audit_sink set told_seq = $2, told_hash = $3, told_at = $4, since = 0, attempts = 0, trouble = '', due_at = 0 where org_id = $1",
			o.id, c.Seq, lineHash(c.Line), micros(o.s.now()))
		return err
	})
	if err == nil && c.Failed > 0 {
		_, err = o.CloseAlerts(ctx, sinkSubject, "")
	}
	return err
}

// CheckpointNotTold notes that the sink did not take a checkpoint, and when to try again: after
// growing waits, for ever.
func (o *Org) CheckpointNotTold(ctx context.Context, c Checkpoint, why string) error {
	now := micros(o.s.now())
	err := o.db.update(ctx, "checkpoint not told", func(t *tx) error {
		_, err := t.exec(ctx, `update audit_sink set since = case when since = 0 then $2 else since end, attempts = $3, trouble = $4, due_at = $5 where org_id = $1`,
			o.id, now, c.Failed+1, clean(why), micros(o.s.now().Add(sinkWait(c.Failed))))
		return err
	})
	if err != nil || c.Failed+1 < alertAfter {
		return err
	}
	_, err = o.RaiseAlert(ctx, Alert{Code: "audit-sink-silent", Subject: sinkSubject,
		Message: fmt.Sprintf("The sink outside does not take the checkpoints of the audit log: %s.", strings.TrimSuffix(clean(why), ".")),
		Advice:  "See that the server that POSTERN_AUDIT_SINK names takes them. What it missed is told when it does."})
	return err
}

// sinkWait is the pause after an attempt that failed, with as many before it.
func sinkWait(attempts int) time.Duration {
	return min(5*time.Second<<min(attempts, 20), maxSinkWait)
}

// watchSinkFile raises an alert while the sink, a file, does not take checkpoints.
func (o *Org) watchSinkFile(ctx context.Context, trouble error) error {
	if o.s.auditSink == "" {
		return trouble
	}
	const unwritable = "audit-sink-unwritable"
	f, ok := errors.AsType[*crm.Fault](trouble)
	var err error
	switch {
	case ok && f.Code == unwritable:
		_, err = o.RaiseAlert(ctx, Alert{Code: unwritable, Subject: sinkSubject, Message: f.Message, Advice: f.Advice})
	case trouble == nil:
		_, err = o.CloseAlerts(ctx, sinkSubject, unwritable)
	}
	return errors.Join(trouble, err)
}
