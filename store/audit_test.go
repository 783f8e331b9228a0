package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"postern/crm"
	"postern/store"
	"postern/store/storetest"
)

// logged writes entries and returns the organization.
func logged(t *testing.T, db *storetest.DB, n int) *store.Org {
	t.Helper()
	org := db.Org(1)
	logMore(t, org, 1, n)
	return org
}

func logMore(t *testing.T, org *store.Org, from, to int) {
	t.Helper()
	ctx := crm.WithActor(t.Context(), "Ann Smith <ann@acme.example>")
	for i := from; i <= to; i++ {
		if err := org.Audit(ctx, crm.AuditEntry{Action: "test", Subject: fmt.Sprint(i), Detail: "a → b", Widens: i%2 == 0}); err != nil {
			t.Fatal(err)
		}
	}
}

func verdict(t *testing.T, org *store.Org) crm.AuditVerdict {
	t.Helper()
	v, err := org.VerifyAudit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func checkpointFile(db *storetest.DB) string {
	return filepath.Join(db.Options.Dir, "audit", "1.checkpoints")
}

// editCheckpoints changes the lines of the file of checkpoints.
func editCheckpoints(t *testing.T, db *storetest.DB, edit func(lines [][]byte) [][]byte) {
	t.Helper()
	data, err := os.ReadFile(checkpointFile(db))
	if err != nil {
		t.Fatal(err)
	}
	lines := edit(slices.Collect(bytes.Lines(data)))
	if err := os.WriteFile(checkpointFile(db), bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Whatever is done to the log, the verdict names the first entry that is not as it was
// written.
func TestAuditTampering(t *testing.T) {
	const n = 9
	tests := []struct {
		name   string
		code   string
		bad    int64
		tamper func(t *testing.T, db *storetest.DB)
	}{
		{"nothing", "", 0, func(*testing.T, *storetest.DB) {}},
		{"edit time", "audit-edited", 4, sql("update audit set done_at = done_at + 1 where seq = 4")},
		{"edit actor", "audit-edited", 4, sql("update audit set actor = 'Eve' where seq = 4")},
		{"edit action", "audit-edited", 4, sql("update audit set action = 'sign-in' where seq = 4")},
		{"edit subject", "audit-edited", 4, sql("update audit set subject = '5' where seq = 4")},
		{"edit detail", "audit-edited", 4, sql("update audit set detail = '' where seq = 4")},
		{"edit widens", "audit-edited", 4, sql("update audit set widens = not widens where seq = 4")},
		{"edit hash", "audit-edited", 4, sql("update audit set hash = (select hash from audit_head) where seq = 4")},
		{"move between columns", "audit-edited", 4, sql("update audit set subject = subject || 'a', detail = substr(detail, 2) where seq = 4")},
		{"edit the first", "audit-edited", 1, sql("update audit set actor = 'Eve' where seq = 1")},
		{"edit the last", "audit-edited", n, sql("update audit set actor = 'Eve' where seq = 9")},
		{"edit two", "audit-edited", 3, sql("update audit set actor = 'Eve' where seq in (3, 7)")},
		{"another organization", "audit-deleted", 4, sql("update audit set org_id = 2 where seq = 4")},
		{"delete the first", "audit-deleted", 1, sql("delete from audit where seq = 1")},
		{"delete one in the middle", "audit-deleted", 5, sql("delete from audit where seq = 5")},
		{"delete the last", "audit-truncated", n, sql("delete from audit where seq = 9")},
		{"delete one and close the gap", "audit-edited", 5, sql("delete from audit where seq = 5", "update audit set seq = seq + 100 where seq > 5", "update audit set seq = seq - 101 where seq > 100")},
		{"swap neighbours", "audit-swapped", 4, swap(4, 5)},
		{"swap two", "audit-swapped", 2, swap(2, 8)},
		{"swap what two say", "audit-swapped", 3, swapTexts(3, 6)},
		{"truncate", "audit-truncated", 6, sql("delete from audit where seq > 5")},
		{"truncate, head as well", "audit-truncated", 6, sql("delete from audit where seq > 5", "update audit_head set seq = 5, hash = (select hash from audit where seq = 5)")},
		{"all rows", "audit-truncated", 1, sql("delete from audit")},
		{"rows and head", "audit-truncated", 1, sql("delete from audit", "delete from audit_head")},
		{"head's number", "audit-forked", 9, sql("update audit_head set seq = 8")},
		{"head's hash", "audit-forked", n, sql("update audit_head set hash = (select hash from audit where seq = 3)")},
		{"one added", "audit-edited", n + 1, sql("insert into audit select org_id, 10, done_at, actor, action, subject, detail, widens, hash from audit where seq = 9")},
		{"signing key", "audit-key-unusable", 1, sql("update audit_head set signing_key = (select hash_key from org where id = 1)")},
		{"checkpoint edited", "audit-checkpoint-forged", 4, func(t *testing.T, db *storetest.DB) {
			editCheckpoints(t, db, func(lines [][]byte) [][]byte {
				var c map[string]any
				if err := json.Unmarshal(lines[3], &c); err != nil {
					t.Fatal(err)
				}
				c["hash"] = strings.Repeat("0", 64)
				lines[3], _ = json.Marshal(c)
				lines[3] = append(lines[3], '\n')
				return lines
			})
		}},
		{"checkpoint taken out", "audit-checkpoint-forged", 4, func(t *testing.T, db *storetest.DB) {
			editCheckpoints(t, db, func(lines [][]byte) [][]byte { return slices.Delete(lines, 3, 4) })
		}},
		{"checkpoints swapped", "audit-checkpoint-forged", 4, func(t *testing.T, db *storetest.DB) {
			editCheckpoints(t, db, func(lines [][]byte) [][]byte { lines[3], lines[4] = lines[4], lines[3]; return lines })
		}},
		{"checkpoints garbled", "audit-checkpoint-forged", 4, func(t *testing.T, db *storetest.DB) {
			editCheckpoints(t, db, func(lines [][]byte) [][]byte { lines[3] = []byte("{\n"); return lines })
		}},
		{"checkpoints cut off", "audit-checkpoint-forged", 6, func(t *testing.T, db *storetest.DB) {
			editCheckpoints(t, db, func(lines [][]byte) [][]byte { return lines[:5] })
		}},
		{"checkpoints gone", "audit-checkpoint-forged", 1, func(t *testing.T, db *storetest.DB) {
			if err := os.Remove(checkpointFile(db)); err != nil {
				t.Fatal(err)
			}
		}},
		{"half a checkpoint, as a power cut leaves", "", 0, func(t *testing.T, db *storetest.DB) {
			editCheckpoints(t, db, func(lines [][]byte) [][]byte { return append(lines, []byte(`{"org":1,"se`)) })
		}},
	}
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		org := logged(t, db, n)
		good, err := os.ReadFile(checkpointFile(db))
		if err != nil {
			t.Fatal(err)
		}
		keep(t, db)
		for _, c := range tests {
			t.Run(c.name, func(t *testing.T) {
				c.tamper(t, db)
				if v := verdict(t, org); v.Code != c.code || v.Bad != c.bad {
					t.Errorf("verdict %q at entry %d, want %q at %d: %s", v.Code, v.Bad, c.code, c.bad, v.Why)
				}
				putBack(t, db)
				if err := os.WriteFile(checkpointFile(db), good, 0o600); err != nil {
					t.Fatal(err)
				}
				if v := verdict(t, org); !v.OK() || v.Entries != n || v.Checkpoint != n {
					t.Fatalf("after it was put back: %+v", v)
				}
			})
		}
	})
}

// Who has the database and the file of checkpoints, but no key, takes back the proof of the
// last entries and writes them anew: a chain that is sound in itself. What is added later
// does not cover it up.
func TestAuditWrittenAnew(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		const n, proved = 9, 4
		org := logged(t, db, n)
		editCheckpoints(t, db, func(lines [][]byte) [][]byte {
			line := sha256.Sum256(bytes.TrimSuffix(lines[proved-1], []byte("\n")))
			db.Exec(t, "update audit_head set checkpoint = $1", hex.EncodeToString(line[:]))
			return lines[:proved]
		})
		db.Exec(t, "update audit set actor = 'Eve' where seq = 7")
		rewrite(t, db, org)
		forged := func() {
			t.Helper()
			if v := verdict(t, org); v.Code != "audit-forked" || v.Bad != proved+1 {
				t.Errorf("verdict %q at entry %d, want audit-forked at %d: %s", v.Code, v.Bad, proved+1, v.Why)
			}
		}
		forged()
		logMore(t, org, n+1, n+2)
		forged()
		if err := org.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		forged()
		if _, err := org.AcceptAuditGap(t.Context(), "a restore"); code(err) != "audit-not-acceptable" {
			t.Errorf("to accept it: %v", err)
		}
	})
}

// rewrite gives all entries the hashes of what they say now.
func rewrite(t *testing.T, db *storetest.DB, org *store.Org) {
	t.Helper()
	var hashes [][]byte
	err := org.EachAudit(t.Context(), store.AuditQuery{}, func(e *crm.AuditEntry) error {
		var before []byte
		if len(hashes) > 0 {
			before = hashes[len(hashes)-1]
		}
		hashes = append(hashes, store.AuditHash(1, e, before))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, hash := range hashes {
		db.Exec(t, "update audit set hash = $1 where seq = $2", hash, i+1)
	}
	db.Exec(t, "update audit_head set hash = $1", hashes[len(hashes)-1])
}

func sql(statements ...string) func(t *testing.T, db *storetest.DB) {
	return func(t *testing.T, db *storetest.DB) {
		for _, s := range statements {
			if db.Exec(t, s) == 0 {
				t.Fatalf("%s: touched nothing", s)
			}
		}
	}
}

// swap has two entries change places.
func swap(a, b int) func(t *testing.T, db *storetest.DB) {
	return sql(fmt.Sprintf("update audit set seq = 0 where seq = %d", a), fmt.Sprintf("update audit set seq = %d where seq = %d", a, b), fmt.Sprintf("update audit set seq = %d where seq = 0", b))
}

// swapTexts has two entries change places but for their hashes.
func swapTexts(a, b int) func(t *testing.T, db *storetest.DB) {
	move := func(column string) string {
		return fmt.Sprintf("update audit set %[1]s = (select k.%[1]s from kept_audit k where k.seq = case when audit.seq = %[2]d then %[3]d else %[2]d end) where seq in (%[2]d, %[3]d)", column, a, b)
	}
	return sql(move("done_at"), move("subject"), move("widens"))
}

// keep keeps a copy of the log, and putBack puts it back: an older copy of the database,
// as far as the log is concerned.
func keep(t *testing.T, db *storetest.DB) {
	t.Helper()
	for _, table := range []string{"audit", "audit_head"} {
		db.Exec(t, "drop table if exists kept_"+table)
		db.Exec(t, "create table kept_"+table+" as select * from "+table)
	}
}

func putBack(t *testing.T, db *storetest.DB) {
	t.Helper()
	for _, table := range []string{"audit", "audit_head"} {
		db.Exec(t, "delete from "+table)
		db.Exec(t, "insert into "+table+" select * from kept_"+table)
	}
}

// An older copy of the whole database is sound in itself; the checkpoints know more. What
// is written on top of it does not hide that.
func TestAuditRolledBack(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		org := logged(t, db, 5)
		keep(t, db)
		logMore(t, org, 6, 8)
		putBack(t, db)
		if v := verdict(t, org); v.Code != "audit-truncated" || v.Bad != 6 {
			t.Errorf("rolled back: %+v", v)
		}
		logMore(t, org, 16, 17)
		if v := verdict(t, org); v.Code != "audit-forked" || v.Bad != 6 {
			t.Errorf("rolled back and gone on: %+v", v)
		}
		logMore(t, org, 18, 20)
		if v := verdict(t, org); v.Code != "audit-forked" || v.Bad != 6 {
			t.Errorf("with more entries than before: %+v", v)
		}
	})
}

// Settings and versions of the policy leave entries: where they stand and no entry does, the
// log was taken away, whatever became of the checkpoints. What was never used has none.
func TestAuditTakenAwayWhole(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		org := db.Org(1)
		if v := verdict(t, org); !v.OK() || v.Entries != 0 {
			t.Errorf("nothing was written yet: %+v", v)
		}
		if err := org.SaveSettings(t.Context(), crm.Settings{Server: "mail.acme.example", Domains: []string{"acme.example"}}); err != nil {
			t.Fatal(err)
		}
		if v := verdict(t, org); !v.OK() || v.Entries == 0 {
			t.Errorf("as it was written: %+v", v)
		}
		gone := func(left string) {
			t.Helper()
			if v := verdict(t, org); v.Code != "audit-deleted" || v.Bad != 1 || v.Why == "" {
				t.Errorf("with %s left: %+v", left, v)
			}
		}
		sql("delete from audit", "delete from audit_head")(t, db)
		if err := os.Remove(checkpointFile(db)); err != nil {
			t.Fatal(err)
		}
		gone("settings and a policy")
		sql("delete from policy")(t, db)
		gone("settings")
	})
}

// A checkpoint that could not be written when its entry was is made up for.
func TestAuditCheckpointIsMadeUpFor(t *testing.T) {
	db := storetest.OpenDB(t, store.Options{})
	org := logged(t, db, 2)
	if err := os.Chmod(checkpointFile(db), 0); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // whom a mode does not stop
		if err := os.Rename(checkpointFile(db), checkpointFile(db)+"-"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(checkpointFile(db), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	logMore(t, org, 3, 4)
	if err := org.Checkpoint(t.Context()); code(err) != "data-folder-unusable" {
		t.Errorf("a checkpoint that cannot be written: %v", err)
	}
	if os.Getuid() == 0 {
		if err := os.Remove(checkpointFile(db)); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(checkpointFile(db)+"-", checkpointFile(db)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(checkpointFile(db), 0o600); err != nil {
		t.Fatal(err)
	}
	if v := verdict(t, org); !v.OK() || v.Checkpoint != 2 {
		t.Errorf("before it is made up for: %+v", v)
	}
	if err := org.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := verdict(t, org); !v.OK() || v.Checkpoint != 4 || v.Signed.IsZero() {
		t.Errorf("after: %+v", v)
	}
}

// A sink has the checkpoints as well, and betrays who changed both database and folder.
func TestAuditSink(t *testing.T) {
	sink := filepath.Join(t.TempDir(), "sink")
	db := storetest.OpenDB(t, store.Options{AuditSink: sink})
	org := logged(t, db, 4)
	keep(t, db)
	kept, err := os.ReadFile(checkpointFile(db))
	if err != nil {
		t.Fatal(err)
	}
	logMore(t, org, 5, 6)
	putBack(t, db)
	if err := os.WriteFile(checkpointFile(db), kept, 0o600); err != nil {
		t.Fatal(err)
	}
	if v := verdict(t, org); !v.OK() {
		t.Fatalf("a rollback of everything cannot be told without the sink, yet: %+v", v)
	}
	v, err := org.VerifyAudit(t.Context(), sink)
	if err != nil || v.Code != "audit-truncated" || v.Bad != 5 {
		t.Errorf("with the sink: %+v, %v", v, err)
	}
}

// A sink that cannot be written to for a while is told so, and misses nothing.
func TestAuditSinkIsMadeUpFor(t *testing.T) {
	sink := filepath.Join(t.TempDir(), "away", "sink")
	db := storetest.OpenDB(t, store.Options{AuditSink: sink})
	org := logged(t, db, 3)
	if err := org.Checkpoint(t.Context()); code(err) != "audit-sink-unwritable" {
		t.Errorf("while it cannot be written to: %v", err)
	}
	if err := os.Mkdir(filepath.Dir(sink), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := org.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	logMore(t, org, 4, 4)
	want, err := os.ReadFile(checkpointFile(db))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(sink); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the sink has\n%s, %v; want\n%s", got, err, want)
	}
}

// Entries that several processes write at once are one chain, whole at any instant.
func TestAuditOfTwoProcesses(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		other, err := store.Open(t.Context(), db.Options)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		ctx, stop := context.WithCancel(t.Context())
		var writers, reader sync.WaitGroup
		for i, st := range []*store.Store{db.Store, other} {
			writers.Go(func() { logMore(t, st.Org(1), 100*i, 100*i+29) })
		}
		reader.Go(func() {
			for ctx.Err() == nil {
				if v := verdict(t, db.Org(1)); !v.OK() {
					t.Errorf("meanwhile: %+v", v)
					return
				}
			}
		})
		writers.Wait()
		stop()
		reader.Wait()
		if v := verdict(t, other.Org(1)); !v.OK() || v.Entries != 60 || v.Checkpoint != 60 {
			t.Errorf("at the end: %+v", v)
		}
	})
}
