package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/crm"
	"postern/store"
	"postern/web"
)

// TestPolicyApproveCommand: who runs commands is the other pair of eyes of an administrator,
// and no pair of eyes for what commands proposed.
func TestPolicyApproveCommand(t *testing.T) {
	dir := t.TempDir()
	data, users := filepath.Join(dir, "data"), filepath.Join(dir, "users.csv")
	if err := os.WriteFile(users, []byte("name,email,admin\nAnn,ann@acme.example,yes\nBob,bob@acme.example,yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	step := func(args string, status int, words string) {
		t.Helper()
		var out bytes.Buffer
		if got := run(append(strings.Fields(args), "--data", data), &out, &out); got != status {
			t.Errorf("%s: status %d, want %d\n%s", args, got, status, &out)
		}
		for word := range strings.SplitSeq(words, "|") {
			if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), word) {
				t.Errorf("%s: %q is missing in\n%s", args, word, &out)
			}
		}
	}
	step("users import "+users, 0, "2 new")
	step("policy set --domain acme.example --deny bob@acme.example", 0, "version 1")
	step("policy four-eyes on", 1, "four-eyes-one-administrator|two administrators who can sign in")
	step("policy pending", 0, "Nothing waits for a second person.")
	step("policy pending --all", 0, "Nothing was proposed so far.")
	step("policy four-eyes", 0, "off|0 who can sign in")

	asAnn := func(do func(org *store.Org, who *crm.User)) {
		t.Helper()
		st, err := store.Open(t.Context(), store.Options{Dir: data})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		org, err := st.FindOrg(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		who, _, err := org.SignIn(t.Context(), "ann@acme.example")
		if err != nil {
			t.Fatal(err)
		}
		do(org, who)
	}
	asAnn(func(org *store.Org, who *crm.User) {
		bob, _, err := org.SignIn(t.Context(), "bob@acme.example")
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []crm.UserID{who.ID, bob.ID} {
			if err := org.SetPassword(t.Context(), id, web.HashPassword("a long enough password")); err != nil {
				t.Fatal(err)
			}
		}
	})
	step("policy four-eyes on", 0, "on since|2 who can sign in")

	step("policy set --deny=", 1, "waits as proposal 1|four-eyes-waiting")
	step("access retention 30", 1, "waits as proposal 2")
	step("users import "+users, 0, "2 same")
	step("policy pending", 0, "1 Policy waiting|2 Retention of the access log waiting|command line (")
	step("policy pending 1", 0, "deny: − bob@acme.example (wider)|mailboxes that come")
	step("policy pending 2", 0, "days 90 → 30")
	step("policy pending 9", 1, "no-such-proposal")
	step("policy approve 1", 1, "all who run commands are one person|four-eyes-same-person")
	step("policy show", 0, "version 1|bob@acme.example")
	step("policy reject 2", 0, "proposal 2 is withdrawn|Would change the retention of the access log")
	step("policy pending 2", 0, "withdrawn|Would change the retention of the access log|days 90 → 30")
	step("policy pending --json", 0, `"id":1,"kind":"policy","state":"waiting"`)

	asAnn(func(org *store.Org, who *crm.User) {
		if err := org.SetAccessRetention(crm.WithUser(t.Context(), who), 60); err == nil {
			t.Error("an administrator alone kept less of the access log")
		}
	})
	step("policy approve 3", 0, "proposal 3 is approved|Retention of the access log changed|days 90 → 60")
	step("policy approve 3", 1, "Proposal 3 is approved already|proposal-closed")
	step("access retention", 0, "60 days")
	step("policy set --exclude bank.example", 0, "version 2")
	step("policy pending 1", 0, "It is stale")
	step("policy pending --all", 0, "3 Retention of the access log approved|2 Retention of the access log withdrawn")
}
