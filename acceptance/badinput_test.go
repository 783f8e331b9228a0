package acceptance

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/sim"
	"postern/store"
)

// refused runs the program, which must end in an error, and returns all that it says.
func refused(t *testing.T, program string, args ...string) string {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() < 1 {
		t.Fatalf("postern %s: got %v, want an exit status above 0\n%s", strings.Join(args, " "), err, text)
	}
	return string(text)
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBadInputIsExplained drives the program into what people do wrong. It must say what
// happened with a stable code, and more than the code.
func TestBadInputIsExplained(t *testing.T) {
	dir := t.TempDir()
	program := build(t, dir)
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("note.txt"), "Not a letter.\n")
	write(t, in("words.eml"), "Nor is this.\n")
	write(t, in("empty.mbox"), "")
	write(t, in("notes/a.txt"), "Not a letter.\n")
	write(t, in("half.mbox.gz"), "\x1f\x8b\x08\x00")
	write(t, in("people.csv"), "name,email\nAnn,ann@acme.example\n")
	write(t, in("columns.csv"), "a,b\n1,2\n")
	write(t, in("binary.csv"), "\x7fELF\x00\x00\n")
	write(t, in("secret"), password)
	if err := os.Mkdir(in("nothing"), 0o755); err != nil {
		t.Fatal(err)
	}
	data := in("data")
	run(t, program, "users", "import", "--data", data, in("people.csv"))
	kept := run(t, program, "settings", "--data", data, "--server", "mail.acme.example", "--login", login, "--password-file", in("secret"))

	for _, tt := range []struct {
		code string
		args []string
	}{
		{"letters-missing", []string{"demo", "--once", "--letters", in("nowhere")}},
		{"letters-empty", []string{"demo", "--once", "--letters", in("nothing")}},
		{"letters-empty", []string{"demo", "--once", "--letters", in("empty.mbox")}},
		{"letters-empty", []string{"demo", "--once", "--letters", in("notes")}},
		{"letters-not-mail", []string{"demo", "--once", "--letters", in("note.txt")}},
		{"letters-not-mail", []string{"sim", "--listen", "127.0.0.1:0", "--letters", in("words.eml")}},
		{"letters-unreadable", []string{"demo", "--once", "--letters", in("half.mbox.gz")}},
		{"letters-company", []string{"demo", "--once", "--letters", in("empty.mbox"), "--company", "no domain"}},
		{"people-file-unreadable", []string{"contacts", "import", "--data", data, in("nowhere.csv")}},
		{"people-file-empty", []string{"contacts", "import", "--data", data, in("empty.mbox")}},
		{"people-file-columns", []string{"contacts", "import", "--data", data, in("columns.csv")}},
		{"people-file-not-text", []string{"users", "import", "--data", data, in("binary.csv")}},
		{"data-folder-missing", []string{"mailboxes", "--data", in("elsewhere")}},
		{"data-folder-missing", []string{"collect", "--data", in("elsewhere")}},
		{"data-folder-unusable", []string{"settings", "--data", in("note.txt")}},
		{"nothing-to-collect", []string{"collect", "--data", data}},
		{"nothing-to-prove", []string{"reconcile", "--data", data}},
		{"no-such-mailbox", []string{"explain", "--data", data, "bob@acme.example", "id@acme.example"}},
		{"no-such-user", []string{"users", "password", "--data", data, "bob@acme.example"}},
		{"bad-argument", []string{"mailboxes", "look", "--data", data, "bob"}},
		{"bad-argument", []string{"settings", "--data", data, "--password-file", in("nowhere")}},
		{"listen", []string{"serve", "--data", data, "--listen", "nowhere"}},
		{"settings-invalid", []string{"settings", "--data", data, "--server", "http://mail.acme.example"}},
		{"settings-invalid", []string{"settings", "--data", data, "--version", "Exchange5"}},
		{"settings-invalid", []string{"settings", "--data", data, "--domain", "no domain"}},
		{"settings-invalid", []string{"settings", "--data", data, "--user-agent", "a\nb"}},
		{"settings-invalid", []string{"settings", "--data", data, "--root-cas", in("note.txt")}},
		{"settings-invalid", []string{"settings", "--data", data, "--enable", "--login", "another"}},
	} {
		said := refused(t, program, tt.args...)
		first, advice, _ := strings.Cut(said[strings.LastIndex(said, "postern: "):], "["+tt.code+"]\n")
		if len(first) < len("postern: ")+10 || strings.TrimSpace(advice) == "" {
			t.Errorf("postern %s: want a message, [%s] and advice, got\n%s", strings.Join(tt.args, " "), tt.code, said)
		}
		if strings.Contains(said, password) {
			t.Errorf("postern %s tells the password", strings.Join(tt.args, " "))
		}
	}
	if got := run(t, program, "settings", "--data", data); got != kept {
		t.Errorf("refused settings changed what is kept:\n%s\nbefore:\n%s", got, kept)
	}
	if _, err := os.Stat(in("elsewhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a command that reads has made a data folder")
	}
}

// TestBadRowsAreToldAndGoodOnesImported: row, column and reason; and which way it went.
func TestBadRowsAreToldAndGoodOnesImported(t *testing.T) {
	dir := t.TempDir()
	program := build(t, dir)
	data := filepath.Join(dir, "data")
	people := write(t, filepath.Join(dir, "people.csv"), "name,email\nAnn,ann@acme.example\nBob,bob@\nCyn,cyn@acme.example\n")
	for _, tt := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--dry-run"}, "would import 2; 1 rows cannot be imported; nothing was changed"},
		{[]string{"--all-or-nothing"}, "imported nothing; 1 rows are bad, 2 are good"},
		{nil, "imported 2 (2 new, 0 changed, 0 same); 1 rows not imported"},
		{nil, "imported 2 (0 new, 0 changed, 2 same); 1 rows not imported"},
	} {
		for _, kind := range []string{"users", "contacts"} {
			said := refused(t, program, append([]string{kind, "import", "--data", data, people}, tt.flags...)...)
			for _, want := range []string{tt.want, `row 3, column email, "bob@"`, "(bad-address)"} {
				if !strings.Contains(said, want) {
					t.Errorf("%s import %v: %q is missing in\n%s", kind, tt.flags, want, said)
				}
			}
		}
	}
}

// TestDamagedDataFolderIsRefused: nothing is repaired in silence, and what was there
// stays as it was.
func TestDamagedDataFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	program := build(t, dir)
	sound := filepath.Join(dir, "sound")
	run(t, program, "users", "import", "--data", sound, write(t, filepath.Join(dir, "people.csv"), "name,email\nAnn,ann@acme.example\n"))
	for code, damage := range map[string]func(data string) error{
		"key-missing":      func(data string) error { return os.Remove(filepath.Join(data, "key")) },
		"key-damaged":      func(data string) error { return os.WriteFile(filepath.Join(data, "key"), nil, 0o600) },
		"database-damaged": func(data string) error { return os.Truncate(filepath.Join(data, "postern.db"), 5000) },
		"database-newer": func(data string) error {
			db, err := sql.Open("sqlite", filepath.Join(data, "postern.db"))
			if err != nil {
				return err
			}
			_, err = db.Exec("insert into goose_db_version (version_id, is_applied) values (99, 1)")
			return errors.Join(err, db.Close())
		},
	} {
		data := clone(t, sound, filepath.Join(dir, code))
		if err := damage(data); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"mailboxes"}, {"serve", "--listen", "127.0.0.1:0"}, {"collect"}} {
			if said := refused(t, program, append(args, "--data", data)...); !strings.Contains(said, "["+code+"]\n  ") {
				t.Errorf("%s: want [%s] and advice, got\n%s", args[0], code, said)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "key-missing", "key")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a lost key was replaced by another")
	}
}

// TestServeStartsOnceAndEnds: the first start says how to sign in, a second process is
// refused, commands that read are not, and a signal ends it in order.
func TestServeStartsOnceAndEnds(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs SIGTERM")
	}
	dir := t.TempDir()
	program := build(t, dir)
	data := filepath.Join(dir, "data")
	for i, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		where := filepath.Join(dir, itoa(int64(i))+".json")
		serve := exec.CommandContext(t.Context(), program, "serve", "--data", data, "--listen", "127.0.0.1:0", "--url-file", where)
		var out bytes.Buffer
		serve.Stdout, serve.Stderr = &out, &out
		if err := serve.Start(); err != nil {
			t.Fatal(err)
		}
		awaitURL(t, where)
		for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"collect"}} {
			said := refused(t, program, append(args, "--data", data)...)
			if !strings.Contains(said, "[data-folder-in-use]") || !strings.Contains(said, itoa(int64(serve.Process.Pid))) {
				t.Errorf("a second process is told\n%s", said)
			}
		}
		run(t, program, "mailboxes", "--data", data)
		if err := serve.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := serve.Wait(); err != nil {
			t.Errorf("after %v: %v\n%s", signal, err, out.String())
		}
		if hello := strings.Contains(out.String(), "Nobody could sign in yet"); hello != (i == 0) {
			t.Errorf("start %d says\n%s", i+1, out.String())
		}
	}
}

// TestFullDiskLosesNothing collects into a small file system until it is full, and goes
// on by itself when there is room again.
func TestFullDiskLosesNothing(t *testing.T) {
	small := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small).CombinedOutput(); err != nil {
		t.Skipf("needs the right to mount a small file system: %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", small).Run() })
	w := newWorldIn(t, filepath.Join(small, "data"), sim.Options{})
	w.connect("acme.example")
	want := []string{}
	for i := range 40 {
		l := letter{from: cyn, to: ann, subject: "offer " + string(rune('A'+i)), text: strings.Repeat(itoa(int64(i))+" words of a letter. ", 2000)}
		w.send(l)
		want = append(want, l.subject)
	}
	ballast := filepath.Join(small, "ballast")
	fill(t, ballast)
	w.collect()
	w.trouble(ann, store.DiskFull)
	if got := w.filed(store.MailQuery{Limit: 100}); len(got) == len(want) {
		t.Fatal("the disk was not full")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	w.collect()
	w.same("filed when there is room again", w.filed(store.MailQuery{Limit: 100}), want...)
	w.prove()
}

// fill writes a file until there is room for some small transactions only.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := int64(0)
	for block := make([]byte, 16<<10); ; size += int64(len(block)) {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size - 200<<10); err != nil {
		t.Fatal(err)
	}
}

// TestSettingsFormWithEachFieldWrong goes through the API of the form.
func TestSettingsFormWithEachFieldWrong(t *testing.T) {
	w := connected(t)
	admin := w.visit(ann)
	_, before := admin.get("/api/settings")
	for field, value := range map[string]any{
		"server": "mail server", "version": "Exchange5", "login": "a\x00b", "domains": []string{"no domain"},
		"user_agent": "a\nb", "root_cas": "no certificate",
	} {
		var form map[string]any
		w.must(json.Unmarshal([]byte(before), &form))
		form[field] = value
		status, answer := admin.json("PUT", "/api/settings", form)
		var got struct {
			Fields []struct{ Field, Code, Message string }
		}
		w.must(json.Unmarshal([]byte(answer), &got))
		found := false
		for _, f := range got.Fields {
			found = found || f.Field == field && f.Code != "" && f.Message != ""
		}
		if status != 422 || !found {
			t.Errorf("%s = %v: got status %d, %s", field, value, status, answer)
		}
	}
	if _, after := admin.get("/api/settings"); after != before {
		t.Errorf("refused settings changed what is kept: %s, before %s", after, before)
	}
}
