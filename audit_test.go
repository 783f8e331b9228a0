package main

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAuditCommands: contacts are named and taken off, and a restore is accepted once, with its
// reason; the file that the environment names as a sink is held against the log by itself.
func TestAuditCommands(t *testing.T) {
	data, sink := newFolder(t), filepath.Join(t.TempDir(), "sink")
	t.Setenv("POSTERN_AUDIT_SINK", sink)
	step := func(args []string, status int, words string) {
		t.Helper()
		var out bytes.Buffer
		if got := run(append(args, "--data", data), &out, &out); got != status {
			t.Errorf("%s: status %d, want %d\n%s", args, got, status, &out)
		}
		for word := range strings.SplitSeq(words, "|") {
			if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), word) {
				t.Errorf("%s: %q is missing in\n%s", args, word, &out)
			}
		}
	}
	say := func(line string, status int, words string) {
		t.Helper()
		step(strings.Fields(line), status, words)
	}
	database := func(statements ...string) {
		t.Helper()
		db, err := sql.Open("sqlite", filepath.Join(data, "postern.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, s := range statements {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(s, err)
			}
		}
	}
	say("policy set --domain acme.example", 0, "version 1")
	say("audit contacts", 0, "No security contact is named")
	say("audit contacts --add sec@acme.example --add out@other.example", 0, "sec@acme.example yes 1|out@other.example yes 1")
	say("audit contacts --add nobody", 1, "nobody")
	say("audit contacts --remove who@acme.example", 1, "who@acme.example is no security contact")
	say("audit contacts --remove out@other.example", 0, "sec@acme.example yes 2|out@other.example no more 2")
	say("audit verify", 0, "3 entries, all as they were written")
	step([]string{"audit", "accept", "--reason", "nothing is missing"}, 1, "audit-no-gap")

	lose := func(line, words string) { // what a command writes, by a restore of what was before it
		t.Helper()
		database("create table kept as select * from audit", "create table kept_head as select * from audit_head")
		file := filepath.Join(data, "audit", "1.checkpoints")
		kept, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		say(line, 0, words)
		database("delete from audit", "insert into audit select * from kept", "delete from audit_head", "insert into audit_head select * from kept_head",
			"drop table kept", "drop table kept_head")
		if err := os.WriteFile(file, kept, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lose("audit contacts --add third@acme.example", "third@acme.example yes 1")
	say("audit verify", 1, "first bad entry: 4 [audit-truncated]")
	say("audit accept", 2, "--reason")
	step([]string{"audit", "accept", "--reason", "disk broke"}, 0, "accepted gap: entries 4..4|because: disk broke|but for the gap above")
	say("audit verify --json", 0, `"ok": true|"accepted_gaps"`)
	lose("audit contacts --remove third@acme.example", "third@acme.example no more")
	say("audit verify", 1, "first bad entry: 6 [audit-truncated]")
	step([]string{"audit", "accept", "--reason", "disk broke again"}, 0, "entries 4..4|entries 6..6|but for the 2 gaps above, the first of them entries 4..4")

	t.Setenv("POSTERN_AUDIT_SINK", "syslog://user:hunter2@sink.example")
	var out bytes.Buffer
	if status := run([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, &out, &out); status == 0 || !strings.Contains(out.String(), "audit-sink-malformed") || strings.Contains(out.String(), "hunter2") {
		t.Errorf("serve: status %d\n%s", status, &out)
	}
}
