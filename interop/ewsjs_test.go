package interop

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// seen is what ewsjs.js prints.
type seen struct {
	Folders     []string
	Hierarchy   int
	Inbox, Sent []struct {
		Subject, Body, Mime, From string
		HTML                      bool
	}
	Sync             map[string][]struct{ Kind, ID string }
	Streamed, Pulled []string
}

// runEWSJavaScript installs the client where it is missing and runs it once.
func runEWSJavaScript(t *testing.T, url string) seen {
	t.Helper()
	if _, err := os.Stat("node_modules/.package-lock.json"); err != nil { // which npm writes at the end
		// How long that takes is a matter of the network, and says nothing of the client.
		if out, err := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
			t.Fatalf("install ews-javascript-api: %v\n%s", err, out)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "ewsjs.js", url, user, password)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ews-javascript-api: %v\n%s", err, said.String())
	}
	var s seen
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatalf("%v in %.300s", err, out)
	}
	return s
}

// TestEWSJavaScript reads the mailbox of one user with ews-javascript-api.
func TestEWSJavaScript(t *testing.T) {
	url := startServer(t)
	s := runEWSJavaScript(t, url)

	slices.Sort(s.Folders)
	want := []string{"Calendar", "Contacts", "Deleted Items", "Drafts", "Inbox", "Journal", "Junk Email", "Notes", "Outbox", "Sent Items", "Tasks"}
	if !slices.Equal(s.Folders, want) || s.Hierarchy != len(want) {
		t.Errorf("folders %v, %d in the hierarchy", s.Folders, s.Hierarchy)
	}
	if len(s.Inbox) != 13 || len(s.Sent) != 1 {
		t.Errorf("%d messages in the Inbox and %d in Sent Items, want 13 and 1", len(s.Inbox), len(s.Sent))
	}
	expected := expectations(t)
	compared := 0
	for _, m := range append(s.Inbox, s.Sent...) {
		e, ok := expected[m.Subject]
		if !ok {
			continue // meeting, report and S/MIME: what they say is for programs
		}
		compared++
		text := e.Text
		if m.HTML {
			text = e.HTML
		}
		if !sameText(m.Body, text) {
			t.Errorf("%s: body %q, want %q", e.File, m.Body, text)
		}
		mime, err := base64.StdEncoding.DecodeString(m.Mime)
		if err != nil {
			t.Errorf("%s: MIME: %v", e.File, err)
			continue
		}
		compareMIME(t, e, mime)
	}
	if compared != 10 {
		t.Errorf("compared %d messages, want the 10 of this mailbox that people can read", compared)
	}
	checkSteps(t, s, len(s.Inbox))
	// This client sorts the events of a notification by what they are about.
	slices.Sort(s.Streamed)
	slices.Sort(s.Pulled)
	wantEvents := []string{"Created", "Deleted", "Modified", "Modified", "Modified", "Modified", "Modified", "Modified", "Moved", "Moved"}
	if !slices.Equal(s.Streamed, wantEvents) {
		t.Errorf("streamed events %v, want %v", s.Streamed, wantEvents)
	}
	// The new count of the folder that the message was moved to is not the Inbox' affair.
	wantEvents = slices.Delete(slices.Clone(wantEvents), 2, 3)
	if !slices.Equal(s.Pulled, wantEvents) {
		t.Errorf("pulled events of the Inbox %v, want %v", s.Pulled, wantEvents)
	}
}

// checkSteps judges what sync told the client while it changed the mailbox.
func checkSteps(t *testing.T, s seen, inbox int) {
	t.Helper()
	kinds := func(step string) string {
		var list []string
		for _, c := range s.Sync[step] {
			list = append(list, c.Kind)
		}
		return strings.Join(list, " ")
	}
	for step, want := range map[string]string{
		"first": strings.TrimSpace(strings.Repeat("Create ", inbox)),
		"idle":  "", "put": "Create", "read": "ReadFlagChange", "moved": "Delete", "back": "Create", "deleted": "Delete",
	} {
		if got := kinds(step); got != want {
			t.Errorf("step %s: sync told %q, want %q", step, got, want)
		}
	}
	if t.Failed() {
		return
	}
	put, read, moved, back := s.Sync["put"][0].ID, s.Sync["read"][0].ID, s.Sync["moved"][0].ID, s.Sync["back"][0].ID
	if put != read || put != moved || put == back {
		t.Errorf("ids: put %q, read %q, moved %q, back %q", put, read, moved, back)
	}
}
