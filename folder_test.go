package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/store"
)

// newFolder makes the data folder of an installation in which nothing was done yet.
func newFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestWrongFolder: a command that is run in the wrong place says so, and makes no empty
// installation that the next one would answer from.
func TestWrongFolder(t *testing.T) {
	for _, args := range []string{
		"settings", "deployment", "egress", "egress --format json", "egress --address 127.0.0.2", "policy", "policy show", "policy set --domain acme.example",
		"policy dry-run --exclude x.example", "policy history", "policy export", "policy import /dev/null", "policy pending", "policy four-eyes on", "policy group",
		"policy user ann@acme.example", "check", "audit", "audit verify", "audit contacts", "access", "access summary", "access retention", "evidence", "keys", "orgs",
		"orgs add acme", "mailboxes", "reconcile", "exchange", "exchange shares", "users password ann@acme.example", "users deactivate ann@acme.example",
		"autodiscover ann@acme.example", "explain ann@acme.example x", "collect",
	} {
		data := filepath.Join(t.TempDir(), "data")
		var out bytes.Buffer
		if status := run(append(strings.Fields(args), "--data", data), &out, &out); status != 1 || !strings.Contains(out.String(), "[data-folder-missing]") {
			t.Errorf("%s: status %d\n%s", args, status, &out)
		}
		if _, err := os.Stat(data); err == nil {
			t.Errorf("%s made a data folder", args)
		}
	}
}

// TestNewFolder: the commands with which an installation begins make the folder, and say so
// once.
func TestNewFolder(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(users, []byte("name,email\nAnn,ann@acme.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"users import " + users, "contacts import " + users, "settings --gzip", "deployment --allow-range 10.20.0.0/16"} {
		data := filepath.Join(t.TempDir(), "data")
		for i, want := range []string{"A new data folder was made at " + data + ".\n", ""} {
			var out, errOut bytes.Buffer
			status := run(append(strings.Fields(args), "--data", data), &out, &errOut)
			if errOut.String() != want && status == 0 {
				t.Errorf("%s, run %d, says %q, want %q", args, i+1, &errOut, want)
			}
			if _, err := os.Stat(filepath.Join(data, "postern.db")); err != nil {
				t.Errorf("%s: %v", args, err)
			}
		}
	}
}

// TestVersion: the program says its build, and leaves commands the flag of that name.
func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if status := run([]string{"--version"}, &out, &out); status != 0 || !strings.HasPrefix(out.String(), "Postern ") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("status %d: %s", status, &out)
	}
	out.Reset()
	if status := run([]string{"settings", "--version", "Exchange5", "--data", t.TempDir()}, &out, &out); status != 1 || !strings.Contains(out.String(), "settings-invalid") {
		t.Errorf("status %d: %s", status, &out)
	}
}
