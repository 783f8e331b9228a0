package report

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"time"

	"postern/crm"
	"postern/store"
)

// An AuditEntry is an entry of the audit log as other programs read it.
type AuditEntry struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Subject string    `json:"subject,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Widens  bool      `json:"widens"`
	Hash    string    `json:"hash"`
}

// A Verdict is one on the audit log as other programs read it.
type Verdict struct {
	OK         bool      `json:"ok"`
	Entries    int64     `json:"entries"`
	Head       string    `json:"head"`
	Checkpoint int64     `json:"checkpoint"` // the last entry that a signed checkpoint covers
	Signed     time.Time `json:"signed,omitzero"`
	PublicKey  string    `json:"public_key"`
	Code       string    `json:"code,omitempty"`
	Bad        int64     `json:"first_bad_entry,omitempty"`
	Why        string    `json:"why,omitempty"`
	Gaps       []gap     `json:"accepted_gaps,omitempty"`
	Sink       *sink     `json:"sink,omitempty"` // absent = no server beyond this machine is told the checkpoints
}

// A sink is one as other programs read it.
type sink struct {
	Address string    `json:"address"`
	Told    int64     `json:"told"` // the last entry of which it took the checkpoint
	ToldAt  time.Time `json:"told_at,omitzero"`
	Waiting int       `json:"waiting"` // checkpoints
	Since   time.Time `json:"silent_since,omitzero"`
	Trouble string    `json:"trouble,omitempty"`
}

func sinkOf(s crm.AuditSink) *sink {
	if s.Address == "" {
		return nil
	}
	return new(sink(s))
}

// A gap is one that was accepted, as other programs read it.
type gap struct {
	From  int64     `json:"from"` // the entries that are missing
	To    int64     `json:"to"`
	After int64     `json:"after"` // the last entry that the log had then
	Entry int64     `json:"entry"` // the one that accepts it
	At    time.Time `json:"at"`
	By    string    `json:"by"`
	Why   string    `json:"why"`
}

func gaps(list []crm.AuditGap) (gaps []gap) {
	for _, g := range list {
		gaps = append(gaps, gap(g))
	}
	return gaps
}

// NewVerdict puts a verdict into JSON.
func NewVerdict(v crm.AuditVerdict) Verdict {
	return Verdict{v.OK(), v.Entries, v.Head, v.Checkpoint, v.Signed, v.PublicKey, v.Code, v.Bad, v.Why, gaps(v.Gaps), sinkOf(v.Sink)}
}

// ExportAudit notes in the audit log that somebody exports it, and returns what writes the
// entries that match, the first one first.
func ExportAudit(ctx context.Context, org *store.Org, format string, q store.AuditQuery) (write func(io.Writer) error, err error) {
	filter := []filtered{{"actor", q.Actor}, {"action", q.Action}}
	if q.Widens {
		filter = append(filter, filtered{"entries", "that widen access"})
	}
	if q.Quiet {
		filter = append(filter, filtered{"entries", "without sign-ins"})
	}
	if err := noteExport(ctx, org, "audit-log.export", format, filter); err != nil {
		return nil, err
	}
	return func(w io.Writer) error {
		return WriteAudit(w, format, func(take func(*crm.AuditEntry) error) error { return org.EachAudit(ctx, q, take) })
	}, nil
}

// WriteAudit writes what each hands out, as it comes: CSV, or JSON with an entry a line.
func WriteAudit(w io.Writer, format string, each func(take func(*crm.AuditEntry) error) error) error {
	if format == JSON {
		out := json.NewEncoder(w)
		return each(func(e *crm.AuditEntry) error { return out.Encode(AuditEntry(*e)) })
	}
	out := csv.NewWriter(w)
	if err := out.Write([]string{"seq", "at", "actor", "action", "subject", "detail", "widens", "hash"}); err != nil {
		return err
	}
	err := each(func(e *crm.AuditEntry) error {
		return out.Write([]string{strconv.FormatInt(e.Seq, 10), e.At.Format(time.RFC3339Nano), crm.SafeCell(e.Actor), crm.SafeCell(e.Action),
			crm.SafeCell(e.Subject), crm.SafeCell(e.Detail), strconv.FormatBool(e.Widens), e.Hash})
	})
	out.Flush()
	if err == nil {
		err = out.Error()
	}
	return err
}
