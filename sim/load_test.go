package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"postern/mail"
)

// expectation is what a person reads in one of the letters in testdata.
type expectation struct{ File, Subject, Text, HTML string }

func expectations(t testing.TB) []expectation {
	t.Helper()
	data, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []expectation
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// fillFromTestdata loads the letters in testdata and returns one with attachments.
func fillFromTestdata(t testing.TB, x *Exchange) *Item {
	t.Helper()
	if _, err := x.Load("testdata/letters", "company.example"); err != nil {
		t.Fatal(err)
	}
	return itemNamed(t, x, ann, Inbox, "Re: The plan for <next week> & after")
}

// itemNamed finds an item by its subject.
func itemNamed(t testing.TB, x *Exchange, owner mail.Address, role Role, subject string) *Item {
	t.Helper()
	for _, it := range x.Mailbox(owner).Folder(role).Items() {
		v := view{x: x, item: it}
		if err := v.openHeader(); err != nil {
			t.Fatal(err)
		}
		if v.subject() == subject {
			return it
		}
	}
	t.Fatalf("%s has no %q in %s", owner, subject, role)
	return nil
}

func TestLoadFollowsTheCompanyRule(t *testing.T) {
	x, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	sum, err := x.Load("testdata/letters", "")
	if err != nil {
		t.Fatal(err)
	}
	if sum.Company != "company.example" || sum.Messages != 17 || sum.Archive != "" || len(sum.Skipped) != 0 {
		t.Errorf("%+v", sum)
	}
	wantUsers := []Person{{"Ann Archer", ann}, {"Bob Baker", bob}, {"Carol Cooper", "carol@company.example"}}
	if !slices.Equal(sum.Users, wantUsers) {
		t.Errorf("users %v", sum.Users)
	}
	wantContacts := []Person{{"Clara Contact", "clara@customer.example"}, {"Jan Jansen", "jan@supplier.example"}}
	if !slices.Equal(sum.Contacts, wantContacts) {
		t.Errorf("contacts %v, want those met at least twice", sum.Contacts)
	}
	count := func(owner mail.Address, role Role) int { return len(x.Mailbox(owner).Folder(role).Items()) }
	if got := count(ann, SentItems); got != 1 {
		t.Errorf("Ann sent %d", got)
	}
	if got := count("carol@company.example", Inbox); got != 1 {
		t.Errorf("Carol got %d as Bcc", got)
	}
	items := 0
	for _, box := range x.Mailboxes() {
		for _, f := range box.Folders() {
			items += len(f.Items())
		}
	}
	if items != sum.Items {
		t.Errorf("the mailboxes hold %d items, the summary says %d", items, sum.Items)
	}
}

func TestLettersWithoutUserGoToTheArchive(t *testing.T) {
	x, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	sum, err := x.Load("testdata/letters/08-internal.eml", "other.example")
	if err != nil {
		t.Fatal(err)
	}
	if sum.Archive != "archive@other.example" || sum.Items != 1 || len(x.Mailbox(sum.Archive).Folder(Inbox).Items()) != 1 {
		t.Errorf("%+v", sum)
	}
}

func packed(t *testing.T, wrap func(io.Writer) io.WriteCloser, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := wrap(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestLoadReadsEachFormat(t *testing.T) {
	mbox := []byte("From a@b.example Mon Mar  2 09:00:00 2026\nFrom: a@b.example\nTo: c@d.example\nSubject: one\n\n>From the start\n>>From deeper\n\nFrom nobody on, no separator\n\n" +
		"From a@b.example Mon Mar  2 10:00:00 2026\nFrom: a@b.example\nTo: c@d.example\nSubject: two\n\nText\n\n")
	one := plain(1)
	gz := func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
	zst := func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	tests := []struct {
		name  string
		files map[string][]byte // in a folder
		path  string            // within it
		want  int
	}{
		{"letter", map[string][]byte{"a.eml": one}, "a.eml", 1},
		{"letter without ending", map[string][]byte{"a": one}, "a", 1},
		{"folder of letters", map[string][]byte{"a.eml": one, "deep/b.EML": one, "c.eml.gz": packed(t, gz, one), "list.tsv": []byte("name\tsize\n")}, "", 3},
		{"Maildir", map[string][]byte{"cur/1:2,S": one, "new/2": []byte("no header at all"), "tmp/3": one, "dovecot.index": {0, 1, 2}}, "", 2},
		{"mbox", map[string][]byte{"mbox": mbox}, "mbox", 2},
		{"mbox packed by gzip", map[string][]byte{"mbox.gz": packed(t, gz, mbox)}, "mbox.gz", 2},
		{"mbox packed by Zstandard", map[string][]byte{"mbox.zst": packed(t, zst, mbox)}, "mbox.zst", 2},
		{"mbox with CR LF", map[string][]byte{"mbox": bytes.ReplaceAll(mbox, []byte("\n"), []byte("\r\n"))}, "mbox", 2},
		{"folder of mboxes", map[string][]byte{"in": mbox, "out": mbox}, "", 4},
		{"broken letter", map[string][]byte{"a.eml": []byte("\x00\x01 nothing\r\nSubject: that is mail")}, "a.eml", 1},
		{"broken letter of a folder", map[string][]byte{"a.eml": []byte("\x00\x01 nothing that is mail")}, ".", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range tt.files {
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			sum, err := newExchange(t, Options{}).Load(filepath.Join(dir, tt.path), "")
			if err != nil {
				t.Fatal(err)
			}
			if sum.Messages != tt.want || sum.Items < sum.Messages {
				t.Errorf("got %d letters and %d items, want %d letters", sum.Messages, sum.Items, tt.want)
			}
		})
	}
}

func bufioReader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }

func TestMboxQuotingIsUndone(t *testing.T) {
	var got []string
	err := readMbox(bufioReader("From x Mon Mar  2 09:00:00 2026\nSubject: a\n\n>From here\n>>From there\n> quoted\n\nFrom 10:00 on\nno\n\nFrom y Mon Mar  2 09:00:01 2026\n\n"),
		func(raw []byte) error { got = append(got, string(raw)); return nil })
	// The third "From " stands for itself in mbox files that quote nothing; what tells it from
	// a separator is a time of day, and this one has it.
	want := []string{"Subject: a\n\nFrom here\n>From there\n> quoted\n", "no\n", "\n"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	cut := packed(t, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }, bytes.Repeat(plain(1), 500))
	tests := []struct{ name, path, company, want string }{
		{"nothing there", filepath.Join(dir, "missing"), "", "letters-missing"},
		{"an empty file", write("zero", nil), "", "letters-empty"},
		{"an empty folder", empty, "", "letters-empty"},
		{"a program", write("main.go", []byte("package main\n\nfunc main() {}\n")), "", "letters-not-mail"},
		{"a page", write("page.html", []byte("<!DOCTYPE html>\n<html></html>\n")), "", "letters-not-mail"},
		{"a picture", write("a.png", []byte("\x89PNG\r\n\x1a\n\x00\x00")), "", "letters-not-mail"},
		{"a torn archive", write("a.eml.gz", cut[:len(cut)/2]), "", "letters-unreadable"},
		{"no domain", "testdata/letters", "not a domain", "letters-company"},
	}
	for _, tt := range tests {
		_, err := newExchange(t, Options{}).Load(tt.path, tt.company)
		var wrong *LoadError
		if !errors.As(err, &wrong) || wrong.Code != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
			continue
		}
		if text := wrong.Error(); !strings.Contains(text, tt.path) || wrong.Problem == "" || wrong.Advice == "" {
			t.Errorf("%s: %q does not say what and where", tt.name, text)
		}
	}
}

func TestCorpusIsLoadedWhole(t *testing.T) {
	for path, want := range map[string]int{"corpus/small": 403, "corpus/large.mbox.zst": 9962} {
		if testing.Short() && want > 1000 {
			continue
		}
		x := newExchange(t, Options{})
		sum, err := x.Load(shared(t, path), "")
		if err != nil {
			t.Fatal(err)
		}
		if sum.Messages != want || sum.Items < want {
			t.Errorf("%s: %d letters, %d items, want %d letters", path, sum.Messages, sum.Items, want)
		}
	}
}

// FuzzMbox: whatever the file, all of its bytes but separators, quoting and the blank
// lines between letters come back.
func FuzzMbox(f *testing.F) {
	f.Add([]byte("From a Mon Mar  2 09:00:00 2026\nSubject: a\n\n>From b\n\nFrom c Mon Mar  2 09:00:00 2026\n\nd"))
	f.Add([]byte("From a 09:00\r\n\r\n\r\nFrom b 10:00\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		letters, total := 0, 0
		err := readMbox(bufioReader(string(data)), func(raw []byte) error { letters++; total += len(raw); return nil })
		if err == nil && letters == 0 && len(bytes.TrimSpace(data)) > 0 {
			t.Error("no letter and no error")
		}
		if total > len(data) {
			t.Errorf("%d bytes came out of %d", total, len(data))
		}
	})
}

// FuzzIDs: ids and states made up by a client are refused or taken, never a panic, and
// what is taken says the same when it is written again.
func FuzzIDs(f *testing.F) {
	var box guid
	f.Add(itemID(box, 1, 2))
	f.Add(folderID(box, 1))
	f.Add(attachmentID(box, 1, 2, 3, 4))
	f.Add(syncState{box: box, folder: 1, base: 2}.text(10))
	f.Fuzz(func(t *testing.T, text string) {
		if id, ok := parseID(text); ok && id.text() != text {
			t.Errorf("%q came back as %q", text, id.text())
		}
		if s, ok := parseSyncState(text); ok && s.text(0) == "" {
			t.Error("a state without text")
		}
	})
}
