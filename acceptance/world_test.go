package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/mail"
	"postern/pace"
	"postern/sim"
	"postern/store"
	"postern/web"
)

// The people of all scenarios.
const (
	ann  = "ann@acme.example"
	bob  = "bob@acme.example"
	zed  = "zed@other.example"
	cyn  = "cyn@client.example"
	cyn2 = "c.y@client.example" // Cyn's second address
	who  = "x@nowhere.example"  // nobody whom the CRM knows

	login    = "svc-crm"
	password = "correct horse"
)

// A world is one company with its Exchange, and Postern beside it.
type world struct {
	*testing.T
	dir      string
	exchange *sim.Exchange
	url      string // of EWS
	store    *store.Store
	org      *store.Org
	engine   *engine.Engine
	pages    *httptest.Server
	log      *lockedBuffer

	mu  sync.Mutex
	now time.Time
}

// lockedBuffer is the log.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// newWorld makes the company; Postern knows its people, but no connection is set up.
func newWorld(t *testing.T, options sim.Options) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir(), options)
}

// newWorldIn is newWorld with the data folder at a certain place.
func newWorldIn(t *testing.T, dir string, options sim.Options) *world {
	t.Helper()
	w := &world{T: t, dir: dir, now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), log: &lockedBuffer{}}
	if options.Now == nil {
		options.Now = w.clock
	}
	var err error
	w.exchange, err = sim.New(options)
	w.must(err)
	t.Cleanup(func() { w.exchange.Close() })
	for address, name := range map[mail.Address]string{ann: "Ann", bob: "Bob", zed: "Zed"} {
		w.exchange.AddMailbox(sim.Person{Name: name, Address: address})
	}
	w.exchange.AddAccount(sim.Account{Login: login, Password: password})
	server := httptest.NewServer(w.exchange)
	t.Cleanup(server.Close)
	w.url = server.URL + "/EWS/Exchange.asmx"

	w.store, err = store.Open(t.Context(), store.Options{Dir: w.dir, Exclusive: true, Now: w.clock})
	w.must(err)
	t.Cleanup(func() { w.store.Close() })
	w.must(w.store.SaveDeployment(t.Context(), loopback))
	w.org = w.store.Org(1)
	w.users(crm.User{Name: "Ann", Addresses: []mail.Address{ann}, Admin: true, Active: true},
		crm.User{Name: "Bob", Addresses: []mail.Address{bob}, Active: true},
		crm.User{Name: "Zed", Addresses: []mail.Address{zed}, Active: true})
	w.contacts(crm.Contact{Name: "Cyn", Company: "Client", Addresses: []mail.Address{cyn, cyn2}})

	logger := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.engine = w.newEngine(logger)
	w.openPages(func(*web.Config) {})
	return w
}

// newEngine makes an engine as a process that is started has it: it knows what servers
// asked for from the database.
func (w *world) newEngine(log *slog.Logger) *engine.Engine {
	w.Helper()
	kept, err := w.store.Budgets(w.Context())
	w.must(err)
	return engine.New(engine.Config{Org: w.org, Connector: ews.Connector(), Now: w.clock, Log: log,
		Pace: pace.New(pace.Config{Now: w.clock, Kept: kept, Keep: func(b crm.Budget) { w.must(w.store.SaveBudget(w.Context(), b)) }})})
}

// loopback is an installation that may connect to this machine, where the servers of the
// tests are.
var loopback = crm.Deployment{Mode: crm.SingleTenant, Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// connected is a world in which collecting is enabled for acme.example.
func connected(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, sim.Options{})
	w.connect("acme.example")
	return w
}

func (w *world) connect(domains ...string) {
	w.Helper()
	w.save(w.settings(domains...))
}

func (w *world) settings(domains ...string) crm.Settings {
	return crm.Settings{Enabled: true, Server: w.url, Version: "Exchange2013_SP1", Login: login, Password: crm.NewSecret(password), Domains: domains}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) users(list ...crm.User) {
	w.Helper()
	_, err := w.org.SaveUsers(w.Context(), list)
	w.must(err)
}

func (w *world) contacts(list ...crm.Contact) store.Saved {
	w.Helper()
	saved, err := w.org.SaveContacts(w.Context(), list)
	w.must(err)
	return saved
}

// collect runs the engine until it has caught up.
func (w *world) collect() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), enough)
	defer cancel()
	w.must(w.engine.CatchUp(ctx))
}

// A letter is a message to be sent; the text stands for itself.
type letter struct {
	from, to, cc, bcc string
	id, subject, text string
	extra             string // header lines
	sent              time.Time
	body              string // with Content-Type in extra: the whole body in place of text
}

var letters struct {
	mu sync.Mutex
	n  int
}

func (l letter) raw(now time.Time) []byte {
	if l.id == "" {
		letters.mu.Lock()
		letters.n++
		l.id = fmt.Sprintf("letter-%d@test.example", letters.n)
		letters.mu.Unlock()
	}
	if l.sent.IsZero() {
		l.sent = now.Add(-time.Hour)
	}
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	field("From", l.from)
	field("To", l.to)
	field("Cc", l.cc)
	field("Bcc", l.bcc)
	field("Subject", l.subject)
	field("Date", l.sent.Format(time.RFC1123Z))
	field("Message-ID", "<"+l.id+">")
	b.WriteString(l.extra)
	if l.body == "" {
		l.body = l.text
	}
	return []byte(b.String() + "\r\n" + l.body + "\r\n")
}

// send delivers a letter by way of the Exchange.
func (w *world) send(l letter) []*sim.Item {
	w.Helper()
	items, err := w.exchange.Deliver(l.raw(w.clock()))
	w.must(err)
	return items
}

// lay puts a letter into one folder.
func (w *world) lay(box mail.Address, role sim.Role, l letter) *sim.Item {
	w.Helper()
	item, err := w.exchange.Mailbox(box).Folder(role).Put(l.raw(w.clock()))
	w.must(err)
	return item
}

// filed lists the subjects of what a query finds, in alphabetical order.
func (w *world) filed(q store.MailQuery) []string {
	w.Helper()
	rows, _, _, err := w.org.Activities(w.Context(), q)
	w.must(err)
	subjects := []string{}
	for _, row := range rows {
		subjects = append(subjects, row.Subject)
	}
	slices.Sort(subjects)
	return subjects
}

// same compares lists.
func (w *world) same(what string, got []string, want ...string) {
	w.Helper()
	if !slices.Equal(got, append([]string{}, want...)) {
		w.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func (w *world) userID(address mail.Address) crm.UserID {
	w.Helper()
	user, _, err := w.org.SignIn(w.Context(), address)
	w.must(err)
	return user.ID
}

func (w *world) contactID(name string) crm.ContactID {
	w.Helper()
	list, _, err := w.org.Contacts(w.Context(), store.ListQuery{Text: name})
	w.must(err)
	if len(list) != 1 {
		w.Fatalf("got %d contacts named %s, want 1", len(list), name)
	}
	return list[0].ID
}

// box returns the mailbox of an address, nil if there is none.
func (w *world) box(address mail.Address) *store.MailboxView {
	w.Helper()
	box, err := w.org.MailboxByAddress(w.Context(), address)
	if err == store.ErrNotFound {
		return nil
	}
	w.must(err)
	return box
}

// reasons counts all decisions by reason; filed ones stand under "matched".
func (w *world) reasons() map[crm.Reason]int {
	w.Helper()
	counts, err := w.org.Counts(w.Context())
	w.must(err)
	by := counts.By
	if by == nil {
		by = map[crm.Reason]int{}
	}
	if counts.Filed > 0 {
		by[crm.Matched] = counts.Filed
	}
	return by
}

// prove runs the completeness proof.
func (w *world) prove() {
	w.Helper()
	folders := 0
	w.must(w.engine.Reconcile(w.Context(), func(r engine.Report) error {
		folders++
		if !r.Proved() {
			w.Errorf("%s %s is not proved: %+v", r.Address, r.Folder, r)
		}
		return nil
	}))
	if folders == 0 {
		w.Error("the proof looked at no folder")
	}
}

// impersonated lists the mailboxes that the Exchange was asked for.
func (w *world) impersonated() []string {
	seen := map[string]bool{}
	list := []string{}
	for _, r := range w.exchange.Requests() {
		if box := string(r.Mailbox); box != "" && !seen[box] {
			seen[box] = true
			list = append(list, box)
		}
	}
	slices.Sort(list)
	return list
}

// A visitor is somebody signed in to the pages.
type visitor struct {
	*world
	client *http.Client
}

// visit signs a user in.
func (w *world) visit(address mail.Address) *visitor {
	w.Helper()
	w.must(w.org.SetPassword(w.Context(), w.userID(address), web.HashPassword("a long enough password")))
	jar, err := cookiejar.New(nil)
	w.must(err)
	v := &visitor{w, &http.Client{Jar: jar}}
	status, page := v.post("/sign-in", url.Values{"address": {string(address)}, "password": {"a long enough password"}})
	if status != http.StatusOK {
		w.Fatalf("sign-in of %s: got status %d: %s", address, status, page)
	}
	return v
}

func (v *visitor) do(method, path, contentType string, body io.Reader) (int, string) {
	v.Helper()
	req, err := http.NewRequestWithContext(v.Context(), method, v.pages.URL+path, body)
	v.must(err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	answer, err := v.client.Do(req)
	v.must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	v.must(err)
	return answer.StatusCode, string(text)
}

func (v *visitor) get(path string) (int, string) { v.Helper(); return v.do("GET", path, "", nil) }

func (v *visitor) post(path string, form url.Values) (int, string) {
	v.Helper()
	return v.do("POST", path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

func (v *visitor) json(method, path string, value any) (int, string) {
	v.Helper()
	text, err := json.Marshal(value)
	v.must(err)
	return v.do(method, path, "application/json", bytes.NewReader(text))
}

var ewsConnector = ews.Connector()

// quiet is the log of servers whose handshakes are meant to fail.
var quiet = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

// absent proves that a word stands nowhere in the data folder, the log or the pages.
func (w *world) absent(word string) {
	w.Helper()
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(bytes.ToLower(content), bytes.ToLower([]byte(word))) {
			w.Errorf("%q stands in %s", word, filepath.Base(path))
		}
		return err
	})
	w.must(err)
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	if strings.Contains(strings.ToLower(w.log.String()), strings.ToLower(word)) {
		w.Errorf("%q stands in the log", word)
	}
}

func equalCounts(got, want map[crm.Reason]int) bool {
	for _, m := range []map[crm.Reason]int{got, want} {
		for reason := range m {
			if got[reason] != want[reason] {
				return false
			}
		}
	}
	return true
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
