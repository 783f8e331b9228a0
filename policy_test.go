package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPolicyCommand: what is named is changed and the rest stays; the export of one policy is
// the import of another.
func TestPolicyCommand(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.json")
	users := filepath.Join(dir, "users.csv")
	for path, text := range map[string]string{users: "name,email\nAnn,ann@acme.example\nBob,bob@acme.example\n", filepath.Join(dir, "bad.json"): `{"domains":["acme.example"],"excuded":["x.example"]}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		args   string
		status int
		words  string // separated by |
	}{
		{"users import " + users, 0, ""},
		{"policy", 0, "never saved|private, confidential|25 MB"},
		{"policy set --exclude client.example", 1, "At least one domain|[required]|policy-invalid"},
		{"policy set --domain ACME.example --exclude Cyn@client.example --exclude *.bank.example --max-size 10MB --lock since", 0, "version 1|acme.example|cyn@client.example, *.bank.example|10 MB|since"},
		{"policy set --since 2026-01-31 --attachments names", 0, "version 2|2026-01-31|cyn@client.example|names"},
		{"policy dry-run --sensitivity personal", 0, "sensitivities: + personal"},
		{"policy dry-run --marked personal", 0, "sensitivities: + personal"},
		{"policy set --since soon", 1, "is not a day"},
		{"policy set --max-size lots", 1, "is not a size"},
		{"policy dry-run --exclude=", 0, "excluded: − cyn@client.example (wider)|would not be filed   0 messages"},
		{"policy history", 0, "version 2|attachments: store → names|version 1|domains: + acme.example (wider)"},
		{"policy show 1", 0, "version 1|no limit"},
		{"policy show 7", 1, "no-such-version"},
		{"policy import " + filepath.Join(dir, "bad.json"), 1, "excuded|bad-argument"},
		{"policy import " + file, 0, "version 2"},
		{"policy set --deny group:board@acme.example", 0, "version 3|group:board@acme.example"},
		{"policy group board@acme.example ann@acme.example", 0, "board@acme.example|ann@acme.example"},
		{"policy user bob@acme.example --exclude dan@client.example --since 2020-01-01", 0, "dan@client.example|cyn@client.example, *.bank.example, dan@client.example|locked"},
		{"policy user nobody@acme.example", 1, "no-such-user"},
		{"policy set --allow ann@acme.example --deny bo@acme.example --deny eve-*@acme.example", 0, "deny: + bo@acme.example|--deny bo@acme.example names no mailbox: no user has"},
		{"policy set --allow= --deny=", 0, "allow: − ann@acme.example (wider)|deny: − bo@acme.example (wider)|version 5"},
	} {
		if strings.HasSuffix(step.args, file) {
			var out bytes.Buffer
			if status := run([]string{"policy", "export", "--data", filepath.Join(dir, "data")}, &out, &out); status != 0 {
				t.Fatalf("export: %d %s", status, &out)
			}
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		status := run(append(strings.Fields(step.args), "--data", filepath.Join(dir, "data")), &out, &out)
		if status != step.status {
			t.Errorf("%s: status %d, want %d\n%s", step.args, status, step.status, &out)
		}
		for word := range strings.SplitSeq(step.words, "|") {
			if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), strings.Join(strings.Fields(word), " ")) {
				t.Errorf("%s: %q is missing in\n%s", step.args, word, &out)
			}
		}
	}
}
