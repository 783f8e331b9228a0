package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/store"
	"postern/store/storetest"
)

func accept(t *testing.T, org *store.Org, files ...string) crm.AuditVerdict {
	t.Helper()
	v, err := org.AcceptAuditGap(crm.WithActor(t.Context(), "command line (root)"), "disk broke, copy of Monday", files...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// wantGap looks at the only gap of a sound log.
func wantGap(t *testing.T, v crm.AuditVerdict, from, to, after, entry int64) {
	t.Helper()
	if !v.OK() || len(v.Gaps) != 1 {
		t.Fatalf("verdict %+v, want one gap that is accepted", v)
	}
	g := v.Gaps[0]
	if g.From != from || g.To != to || g.After != after || g.Entry != entry || g.By != "command line (root)" || g.Why != "disk broke, copy of Monday" || g.At.IsZero() {
		t.Errorf("gap %+v, want %d to %d behind %d, by entry %d", g, from, to, after, entry)
	}
}

// rollBack has entries 6 to 8 lost, and more written since.
func rollBack(t *testing.T, db *storetest.DB, more int) *store.Org {
	t.Helper()
	org := logged(t, db, 5)
	keep(t, db)
	logMore(t, org, 6, 8)
	putBack(t, db)
	logMore(t, org, 16, 15+more)
	return org
}

// What a restore lost is accepted once, said for ever, and the log goes on.
func TestAuditAccept(t *testing.T) {
	for _, c := range []struct {
		name         string
		more         int
		after, entry int64
	}{{"at once", 0, 5, 9}, {"after an entry", 1, 6, 9}, {"after as many", 3, 8, 9}, {"after more", 5, 10, 11}} {
		t.Run(c.name, func(t *testing.T) {
			storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
				org := rollBack(t, db, c.more)
				wantGap(t, accept(t, org), 6, 8, c.after, c.entry)
				logMore(t, org, 20, 22)
				v := verdict(t, org)
				wantGap(t, v, 6, 8, c.after, c.entry)
				if v.Entries != c.after+4 || v.Checkpoint != c.entry+3 {
					t.Errorf("%d entries, covered to %d", v.Entries, v.Checkpoint)
				}
				list, _, err := org.AuditLog(t.Context(), store.AuditQuery{Action: "audit.accept"})
				if err != nil || len(list) != 1 {
					t.Fatal(list, err)
				}
				e := list[0]
				if e.Seq != c.entry || e.Actor != "command line (root)" || e.Subject != "entries 6 to 8" || !strings.HasSuffix(e.Detail, "\nreason: disk broke, copy of Monday") {
					t.Errorf("entry %+v", e)
				}
				if _, err := org.AcceptAuditGap(t.Context(), "again"); code(err) != "audit-no-gap" {
					t.Errorf("accepted twice: %v", err)
				}
			})
		})
	}
}

// An accepted gap hides nothing: what is done before it, in what was written between, to the
// entry that accepts and behind it is found as ever, and the gap goes on being told.
func TestAuditTamperingWithAGap(t *testing.T) {
	tests := []struct {
		name   string
		code   string
		bad    int64
		tamper func(t *testing.T, db *storetest.DB)
	}{
		{"edit before", "audit-edited", 4, sql("update audit set actor = 'Eve' where seq = 4")},
		{"edit between", "audit-edited", 6, sql("update audit set actor = 'Eve' where seq = 6")},
		{"edit what accepts", "audit-edited", 9, sql("update audit set detail = 'nothing was lost' where seq = 9")},
		{"edit behind", "audit-edited", 10, sql("update audit set actor = 'Eve' where seq = 10")},
		{"delete before", "audit-deleted", 2, sql("delete from audit where seq = 2")},
		{"delete between", "audit-deleted", 7, sql("delete from audit where seq = 7")},
		{"delete what accepts", "audit-forked", 6, sql("delete from audit where seq = 9")},
		{"delete behind", "audit-deleted", 10, sql("delete from audit where seq = 10")},
		{"swap over the gap", "audit-swapped", 3, swap(3, 10)},
		{"truncate behind", "audit-truncated", 11, sql("delete from audit where seq > 10", "update audit_head set seq = 10, hash = (select hash from audit where seq = 10)")},
		{"truncate with what accepts", "audit-forked", 6, sql("delete from audit where seq > 7", "update audit_head set seq = 7, hash = (select hash from audit where seq = 7)")},
		{"put back once more", "audit-truncated", 6, putBack},
		{"another reason", "audit-forked", 6, editAcceptance("why", "routine")},
		{"another range", "audit-forked", 6, editAcceptance("from", 2)},
		{"no acceptance", "audit-forked", 6, editAcceptance("", nil)},
		{"acceptance taken out", "audit-forked", 6, func(t *testing.T, db *storetest.DB) {
			editCheckpoints(t, db, func(lines [][]byte) [][]byte { return slices.Delete(lines, 8, 9) })
		}},
	}
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		org := rollBack(t, db, 2)
		accept(t, org)
		logMore(t, org, 20, 22)
		good, err := os.ReadFile(checkpointFile(db))
		if err != nil {
			t.Fatal(err)
		}
		whole := snapshot(t, db)
		for _, c := range tests {
			t.Run(c.name, func(t *testing.T) {
				c.tamper(t, db)
				v := verdict(t, org)
				if v.Code != c.code || v.Bad != c.bad {
					t.Errorf("verdict %q at entry %d, want %q at %d: %s", v.Code, v.Bad, c.code, c.bad, v.Why)
				}
				whole(t)
				if err := os.WriteFile(checkpointFile(db), good, 0o600); err != nil {
					t.Fatal(err)
				}
				wantGap(t, verdict(t, org), 6, 8, 7, 9)
			})
		}
	})
}

// snapshot keeps the log as it is, and returns what puts it back; keep has another copy.
func snapshot(t *testing.T, db *storetest.DB) (restore func(*testing.T)) {
	t.Helper()
	tables := []string{"audit", "audit_head"}
	for _, table := range tables {
		db.Exec(t, "create table whole_"+table+" as select * from "+table)
	}
	return func(t *testing.T) {
		t.Helper()
		for _, table := range tables {
			db.Exec(t, "delete from "+table)
			db.Exec(t, "insert into "+table+" select * from whole_"+table)
		}
	}
}

// editAcceptance changes a field of the line that accepts, or takes the acceptance out of it.
func editAcceptance(field string, value any) func(t *testing.T, db *storetest.DB) {
	return func(t *testing.T, db *storetest.DB) {
		editCheckpoints(t, db, func(lines [][]byte) [][]byte {
			i := slices.IndexFunc(lines, func(l []byte) bool { return bytes.Contains(l, []byte(`"accepts"`)) })
			var c map[string]any
			if err := json.Unmarshal(lines[i], &c); err != nil {
				t.Fatal(err)
			}
			if field == "" {
				delete(c, "accepts")
			} else {
				c["accepts"].(map[string]any)[field] = value
			}
			lines[i], _ = json.Marshal(c)
			lines[i] = append(lines[i], '\n')
			return lines
		})
	}
}

// Nothing but a missing end can be accepted, and what is refused leaves no trace.
func TestAuditAcceptRefuses(t *testing.T) {
	tests := []struct {
		name   string
		code   string
		tamper func(t *testing.T, db *storetest.DB)
	}{
		{"nothing is wrong", "audit-no-gap", func(*testing.T, *storetest.DB) {}},
		{"edited", "audit-not-acceptable", sql("update audit set actor = 'Eve' where seq = 4")},
		{"edited, the last", "audit-not-acceptable", sql("update audit set actor = 'Eve' where seq = 9")},
		{"deleted", "audit-not-acceptable", sql("delete from audit where seq = 5")},
		{"swapped", "audit-not-acceptable", swap(2, 8)},
		{"rows alone", "audit-not-acceptable", sql("delete from audit where seq > 5")},
		{"all rows", "audit-not-acceptable", sql("delete from audit")},
		{"rows and head", "audit-not-acceptable", sql("delete from audit", "delete from audit_head")},
		{"head's number", "audit-not-acceptable", sql("update audit_head set seq = 8")},
		{"head's hash", "audit-not-acceptable", sql("update audit_head set hash = (select hash from audit where seq = 3)")},
		{"edited and cut off", "audit-not-acceptable", sql("update audit set actor = 'Eve' where seq = 4", "delete from audit where seq > 5", "update audit_head set seq = 5, hash = (select hash from audit where seq = 5)")},
		{"a checkpoint that is not genuine", "audit-not-acceptable", func(t *testing.T, db *storetest.DB) {
			editCheckpoints(t, db, func(lines [][]byte) [][]byte { lines[3] = []byte("{\n"); return lines })
		}},
	}
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		org := logged(t, db, 9)
		good, err := os.ReadFile(checkpointFile(db))
		if err != nil {
			t.Fatal(err)
		}
		keep(t, db)
		for _, c := range tests {
			t.Run(c.name, func(t *testing.T) {
				c.tamper(t, db)
				before := verdict(t, org)
				if _, err := org.AcceptAuditGap(t.Context(), "trust me"); code(err) != c.code {
					t.Errorf("accepted: %v, want %s", err, c.code)
				}
				if v := verdict(t, org); v.Code != before.Code || v.Entries != before.Entries || len(v.Gaps) > 0 {
					t.Errorf("afterwards %+v, before %+v", v, before)
				}
				putBack(t, db)
				if err := os.WriteFile(checkpointFile(db), good, 0o600); err != nil {
					t.Fatal(err)
				}
			})
		}
		for _, why := range []string{"", " \t", "two\nlines", "\x1b[2J", strings.Repeat("x", 401), "\xff"} {
			if _, err := org.AcceptAuditGap(t.Context(), why); code(err) != "audit-reason" {
				t.Errorf("reason %q: %v", why, err)
			}
		}
	})
}

// Entries that were written in place of others, with the dates of those, are no restore.
func TestAuditAcceptRefusesOldDates(t *testing.T) {
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	storetest.EachDB(t, store.Options{Now: func() time.Time { return now }}, func(t *testing.T, db *storetest.DB) {
		now = now.Add(time.Hour)
		org := logged(t, db, 5)
		keep(t, db)
		now = now.Add(time.Hour)
		logMore(t, org, 6, 8)
		putBack(t, db)
		now = now.Add(-time.Minute)
		logMore(t, org, 16, 17)
		if _, err := org.AcceptAuditGap(t.Context(), "trust me"); code(err) != "audit-not-acceptable" || !strings.Contains(err.Error(), "Entry 6 is dated before") {
			t.Errorf("accepted: %v", err)
		}
	})
}

// restart puts the file of checkpoints back, and returns the organization as a program sees it
// that is started then.
func restart(t *testing.T, db *storetest.DB, kept []byte) *store.Org {
	t.Helper()
	if err := os.WriteFile(checkpointFile(db), kept, 0o600); err != nil {
		t.Fatal(err)
	}
	return storetest.OpenDB(t, db.Options).Org(1)
}

// A sink knows what is missing when the data folder was put back as well, also while Postern
// went on writing to both.
func TestAuditAcceptBySink(t *testing.T) {
	sink := filepath.Join(t.TempDir(), "sink")
	db := storetest.OpenDB(t, store.Options{AuditSink: sink})
	org := logged(t, db, 5)
	keep(t, db)
	kept, err := os.ReadFile(checkpointFile(db))
	if err != nil {
		t.Fatal(err)
	}
	logMore(t, org, 6, 9)
	putBack(t, db)
	org = restart(t, db, kept)
	logMore(t, org, 16, 17)
	if _, err := org.AcceptAuditGap(t.Context(), "no gap by the file alone"); code(err) != "audit-no-gap" {
		t.Errorf("without the sink: %v", err)
	}
	if v, err := org.VerifyAudit(t.Context(), sink); err != nil || v.Code != "audit-forked" || v.Bad != 6 {
		t.Errorf("with the sink: %+v, %v", v, err)
	}
	wantGap(t, accept(t, org, sink), 6, 9, 7, 10)
	logMore(t, org, 20, 21)
	wantGap(t, verdict(t, org), 6, 9, 7, 10)
	v, err := org.VerifyAudit(t.Context(), sink)
	if err != nil {
		t.Fatal(err)
	}
	wantGap(t, v, 6, 9, 7, 10)
	sql("update audit set actor = 'Eve' where seq = 7")(t, db)
	if v, err := org.VerifyAudit(t.Context(), sink); err != nil || v.Code != "audit-edited" || v.Bad != 7 {
		t.Errorf("edited between: %+v, %v", v, err)
	}
}

// A sink that was not asked when a gap was accepted may know of more; that is accepted then.
func TestAuditAcceptTwice(t *testing.T) {
	sink := filepath.Join(t.TempDir(), "sink")
	db := storetest.OpenDB(t, store.Options{AuditSink: sink})
	org := logged(t, db, 5)
	keep(t, db)
	logMore(t, org, 6, 7)
	kept, err := os.ReadFile(checkpointFile(db))
	if err != nil {
		t.Fatal(err)
	}
	logMore(t, org, 8, 12)
	putBack(t, db)
	org = restart(t, db, kept)
	wantGap(t, accept(t, org), 6, 7, 5, 8)
	if v, err := org.VerifyAudit(t.Context(), sink); err != nil || v.Code != "audit-forked" || v.Bad != 6 {
		t.Errorf("by the sink: %+v, %v", v, err)
	}
	v := accept(t, org, sink)
	if !v.OK() || len(v.Gaps) != 2 || v.Gaps[1].From != 6 || v.Gaps[1].To != 12 || v.Gaps[1].After != 8 || v.Gaps[1].Entry != 13 {
		t.Errorf("both: %+v", v)
	}
	if v := verdict(t, org); !v.OK() || len(v.Gaps) != 2 {
		t.Errorf("by the file alone: %+v", v)
	}
}

// A power cut between the signed line and the entry makes one more that is missing.
func TestAuditAcceptIsRepeated(t *testing.T) {
	cut := false
	storetest.EachDB(t, store.Options{Step: func(step string) error {
		if cut && step == "commit before: accept audit gap" {
			return context.Canceled
		}
		return nil
	}}, func(t *testing.T, db *storetest.DB) {
		org := rollBack(t, db, 0)
		cut = true
		if _, err := org.AcceptAuditGap(t.Context(), "disk broke"); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		cut = false
		if v := verdict(t, org); v.Code != "audit-truncated" || v.Bad != 6 {
			t.Errorf("before it is repeated: %+v", v)
		}
		v := accept(t, org)
		if !v.OK() || len(v.Gaps) != 2 || v.Gaps[1].To != 9 || v.Gaps[1].Entry != 10 {
			t.Errorf("afterwards: %+v", v)
		}
	})
}
