package sim

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/ews"
	"postern/mail"
)

const (
	login    = "svc-crm@company.example"
	password = "correct horse"
	ann      = mail.Address("ann@company.example")
	bob      = mail.Address("bob@company.example")
)

var epoch = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// newExchange is an organization with the mailboxes of Ann and Bob and one account.
func newExchange(t testing.TB, o Options) *Exchange {
	t.Helper()
	if o.Now == nil {
		now := epoch
		o.Now = func() time.Time { now = now.Add(time.Second); return now }
	}
	x, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	x.AddAccount(Account{Login: login, Password: password})
	x.AddMailbox(Person{"Ann Archer", ann}, "ann.archer@company.example")
	x.AddMailbox(Person{"Bob Baker", bob})
	return x
}

// letter is a raw message with these fields and text; "\n" becomes the line end.
func letterOf(lines ...string) []byte {
	return []byte(strings.Join(lines, "\r\n") + "\r\n")
}

// plain is an ordinary letter with a number in it.
func plain(n int) []byte {
	return letterOf(
		"From: Clara Contact <clara@customer.example>",
		"To: Ann Archer <ann@company.example>",
		fmt.Sprintf("Subject: Letter %d", n),
		fmt.Sprintf("Date: Mon, 02 Mar 2026 %02d:%02d:00 +0000", n/60, n%60),
		fmt.Sprintf("Message-ID: <letter-%d@customer.example>", n),
		"",
		fmt.Sprintf("Text of letter %d.", n))
}

// A caller is a signed-in client.
type caller struct {
	t       testing.TB
	x       *Exchange
	mailbox mail.Address
	version string
}

func asUser(t testing.TB, x *Exchange, mailbox mail.Address) *caller {
	return &caller{t, x, mailbox, ews.Exchange2013SP1}
}

// send posts an operation and returns status and body.
func (c *caller) send(op ews.Operation) (int, []byte) {
	c.t.Helper()
	req := &ews.Request{Header: ews.Header{Version: c.version}, Op: op}
	if c.mailbox != "" {
		req.Impersonation.PrimarySmtpAddress = string(c.mailbox)
	}
	var body bytes.Buffer
	if err := ews.WriteRequest(&body, req); err != nil {
		c.t.Fatal(err)
	}
	return post(c.t, c.x, body.Bytes())
}

// post sends a whole request to the server.
func post(t testing.TB, x *Exchange, body []byte) (int, []byte) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
	r.SetBasicAuth(login, password)
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
		}()
		x.ServeHTTP(w, r)
	}()
	answer, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, answer
}

// shared is the folder with the corpus, fixtures and schemas; the test is skipped where
// there is none.
func shared(t testing.TB, path string) string {
	t.Helper()
	root := os.Getenv("POSTERN_SHARED")
	if root == "" {
		root = "../../shared"
	}
	path = filepath.Join(root, path)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not here", path)
	}
	return path
}

func TestSmoke(t *testing.T) {
	x := newExchange(t, Options{})
	for i := range 3 {
		if _, err := x.Deliver(plain(i)); err != nil {
			t.Fatal(err)
		}
	}
	c := asUser(t, x, ann)
	fmt.Println(c.send(&ews.GetFolder{Shape: ews.FolderShape{Base: ews.AllProperties}, IDs: []ews.FolderID{{Distinguished: "inbox"}, {Distinguished: "archivemsgfolderroot"}}}))
	_, b := c.send(&ews.SyncFolderItems{Shape: ews.ItemShape{Base: ews.IDOnly}, Folder: &ews.FolderID{Distinguished: "inbox"}, Max: 512})
	fmt.Println(string(b))
	it := x.Mailbox(ann).Folder(Inbox).Items()[0]
	_, b = c.send(&ews.GetItem{Shape: ews.ItemShape{Base: ews.AllProperties, IncludeMimeContent: true}, IDs: []ews.ItemID{{ID: it.ID()}}})
	fmt.Println(string(b))
	for _, p := range []string{"small", "large.mbox.zst"} {
		y := newExchange(t, Options{})
		s := time.Now()
		sum, err := y.Load(shared(t, "corpus/"+p), "")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(sum.Company, len(sum.Users), len(sum.Contacts), sum.Messages, sum.Items, sum.Archive, sum.Skipped, time.Since(s))
	}
}
