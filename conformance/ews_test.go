package conformance_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"postern/conformance"
	"postern/crm"
	"postern/ews"
	"postern/gate"
	"postern/mail"
	"postern/sim"
)

// The same connector against servers of different ages and habits.
func TestEWS(t *testing.T) {
	for _, c := range []struct {
		name     string
		exchange sim.Options
		settings crm.Settings
	}{
		{"SubscriptionEdition", sim.Options{Version: sim.ExchangeSE}, crm.Settings{Version: "ExchangeSE"}},
		{"2007", sim.Options{Version: sim.Exchange2007SP1}, crm.Settings{Version: "Exchange2007_SP1"}},
		{"LegacyRoutingLongCursorsGzipGerman", sim.Options{
			LegacyRouting: true, SyncStatePadding: 50_000,
			FolderNames: map[sim.Role]string{sim.Inbox: "Posteingang", sim.SentItems: "Gesendete Elemente", sim.Drafts: "Entwürfe", sim.DeletedItems: "Inbox"},
		}, crm.Settings{Version: "Exchange2013_SP1", Gzip: true}},
		{"Delegate", sim.Options{Version: sim.ExchangeSE}, crm.Settings{Version: "ExchangeSE", Model: crm.ByDelegation}},
		{"Delegate2007", sim.Options{Version: sim.Exchange2007SP1}, crm.Settings{Version: "Exchange2007_SP1", Model: crm.ByDelegation}},
		{"OwnSignIn", sim.Options{Version: sim.ExchangeSE}, crm.Settings{Version: "ExchangeSE", Model: crm.ByOwnSignIn}},
	} {
		t.Run(c.name, func(t *testing.T) {
			open := func(t *testing.T) conformance.Fixture { return overEWS(t, c.exchange, c.settings) }
			conformance.Source(t, open)
			switch {
			case c.settings.Model == crm.ByOwnSignIn: // no connection is shared by two accounts
			case c.name == "Delegate2007": // tells delegates nothing
			default:
				conformance.Notifier(t, open)
			}
		})
	}
}

const (
	login    = `COMPANY\svc-postern`
	password = "correct horse battery"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// overEWS starts a simulated Exchange on loopback and opens a source on it.
func overEWS(t *testing.T, o sim.Options, s crm.Settings) conformance.Fixture {
	t.Helper()
	if o.Now == nil {
		var ticks atomic.Int64
		o.Now = func() time.Time { return noon.Add(time.Duration(ticks.Add(1)) * time.Second) }
	}
	x, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(x)
	s.Server, s.Login, s.Password = server.URL+sim.Path, login, crm.NewSecret(password)
	src := openEWS(t, s)
	t.Cleanup(func() {
		server.Close()
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	x.AddMailbox(sim.Person{Name: "Postern", Address: "svc-postern@company.example"})
	x.AddAccount(sim.Account{Login: login, Password: password, Mailbox: "svc-postern@company.example", NoRole: s.Model != crm.ByImpersonation})
	for name, address := range map[string]mail.Address{"Ursula User": "ursula@company.example", "Boss": "boss@company.example"} {
		box := x.AddMailbox(sim.Person{Name: name, Address: address})
		x.AddAccount(sim.Account{Login: string(address), Password: string(address), NoRole: true})
		if s.Model == crm.ByDelegation {
			if err := box.Share(login, sim.Reviewer); err != nil {
				t.Fatal(err)
			}
		}
	}
	return conformance.Fixture{
		System: &exchange{t, x},
		Source: src,
		Boxes: [2]*crm.Mailbox{
			{ID: 1, Org: 1, Address: "ursula@company.example"},
			{ID: 2, Org: 1, Address: "boss@company.example"},
		},
		Absent:   &crm.Mailbox{ID: 3, Org: 1, Address: "nobody@company.example"},
		Delegate: s.Model == crm.ByDelegation,
	}
}

// openEWS opens a source that is closed at the end of the test.
func openEWS(t *testing.T, s crm.Settings) crm.Source {
	t.Helper()
	s.Enabled = true
	g := gate.New(gate.Config{})
	g.Set(gate.Terms{
		Settings:   s,
		Policy:     crm.Policy{Domains: append(s.Domains, "company.example"), Kinds: []crm.Kind{crm.Email, crm.Event, crm.Task, crm.ContactKind}},
		SignIns:    signIns("ursula@company.example", "boss@company.example", "nobody@company.example"),
		Deployment: crm.Deployment{Ranges: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}},
	})
	src, closer, err := g.Open(ews.Connector())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closer.Close(); err != nil {
			t.Error(err)
		}
	})
	return src
}

// signIns are those of users whose login and password are their address; of one who has
// no account here, the first one's.
func signIns(list ...mail.Address) map[mail.Address]crm.Account {
	all := map[mail.Address]crm.Account{}
	for _, a := range list {
		who := string(a)
		if a == "nobody@company.example" {
			who = string(list[0])
		}
		all[a] = crm.Account{Login: who, Password: crm.NewSecret(who)}
	}
	return all
}

// exchange is a simulated one as a conformance.System.
type exchange struct {
	t *testing.T
	x *sim.Exchange
}

func (e *exchange) folder(box *crm.Mailbox, id string) *sim.Folder {
	e.t.Helper()
	for _, f := range e.x.Mailbox(box.Address).Folders() {
		if f.ID() == id {
			return f
		}
	}
	e.t.Fatalf("no folder %q", id)
	return nil
}

func (e *exchange) item(box *crm.Mailbox, id string) *sim.Item {
	e.t.Helper()
	for _, f := range e.x.Mailbox(box.Address).Folders() {
		for _, it := range f.Items() {
			if it.ID() == id {
				return it
			}
		}
	}
	e.t.Fatalf("no item %q", id)
	return nil
}

func (e *exchange) Put(box *crm.Mailbox, folder string, raw []byte) string {
	e.t.Helper()
	it, err := e.folder(box, folder).Put(raw)
	if err != nil {
		e.t.Fatal(err)
	}
	return it.ID()
}

func (e *exchange) Move(box *crm.Mailbox, item, folder string) string {
	e.t.Helper()
	it := e.item(box, item)
	it.Move(e.folder(box, folder))
	return it.ID()
}

func (e *exchange) Delete(box *crm.Mailbox, item string) { e.t.Helper(); e.item(box, item).Delete() }

func (e *exchange) MarkRead(box *crm.Mailbox, item string, read bool) {
	e.t.Helper()
	e.item(box, item).MarkRead(read)
}

func (e *exchange) SetSubject(box *crm.Mailbox, item, subject string) {
	e.t.Helper()
	e.item(box, item).SetSubject(subject)
}

func (e *exchange) Damage(box *crm.Mailbox, item string, headerLeft bool) {
	e.t.Helper()
	damage := sim.DamagedAll
	if headerLeft {
		damage = sim.DamagedBody
	}
	e.item(box, item).Damage(damage)
}

func (e *exchange) NewFolder(box *crm.Mailbox, parent, name string) string {
	e.t.Helper()
	return e.x.Mailbox(box.Address).CreateFolder(e.folder(box, parent), name).ID()
}

func (e *exchange) DeleteFolder(box *crm.Mailbox, folder string) {
	e.t.Helper()
	e.folder(box, folder).Delete()
}

func (e *exchange) LoseCursors() { e.x.LoseSyncStates() }

func (e *exchange) LoseSubscriptions() { e.x.LoseSubscriptions() }

// Garble alternates between raw bytes and references, both of which were seen in the wild.
func (e *exchange) Garble() {
	e.x.MakeTrouble(sim.Trouble{Kind: sim.ForbiddenRaw, Every: 2})
	e.x.MakeTrouble(sim.Trouble{Kind: sim.ForbiddenReferences})
}

// Exchange tells the time of a folder's last change in seconds, and several messages may
// come within one. A folder whose mark stands still is not asked for.
func TestEWSMarkMovesWithinOneSecond(t *testing.T) {
	f := overEWS(t, sim.Options{Now: func() time.Time { return noon }}, crm.Settings{Version: "ExchangeSE"})
	box := f.Boxes[0]
	inbox := func() crm.Folder {
		list, err := f.Source.Folders(t.Context(), box)
		if err != nil {
			t.Fatal(err)
		}
		return list[slices.IndexFunc(list, func(f crm.Folder) bool { return f.Role == crm.Inbox })]
	}
	var item string
	before := inbox()
	for what, do := range []func(){
		func() { item = f.System.Put(box, before.ID, []byte("Subject: One\r\n\r\n")) },
		func() { f.System.Put(box, before.ID, []byte("Subject: Two\r\n\r\n")) },
		func() { f.System.Delete(box, item) },
	} {
		do()
		after := inbox()
		if after.Mark != "" && after.Mark == before.Mark {
			t.Errorf("step %d: the mark is still %q", what+1, after.Mark)
		}
		before = after
	}
}

// A real server, if one is named, is read and never written to. What a mailbox holds is
// not printed.
func TestEWSOnARealServer(t *testing.T) {
	url := os.Getenv("POSTERN_TEST_EWS_URL")
	if url == "" {
		t.Skip("POSTERN_TEST_EWS_URL names no server; with it come POSTERN_TEST_EWS_LOGIN, _PASSWORD, _MAILBOX and, if not the newest, _VERSION")
	}
	s, box, err := realServer(url, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	conformance.Reader(t, openEWS(t, s), box, 300)
}

// The part for real servers is tried here, so that it does not fail where nobody can mend it.
func TestReaderOnASimulatedServer(t *testing.T) {
	f := overEWS(t, sim.Options{}, crm.Settings{Version: "ExchangeSE"})
	folders, err := f.Source.Folders(t.Context(), f.Boxes[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if folder.Role != crm.Inbox && folder.Role != crm.SentItems {
			continue
		}
		for n := range 700 {
			f.System.Put(f.Boxes[0], folder.ID, []byte("From: clara@customer.example\r\nTo: ursula@company.example\r\nSubject: Letter "+strconv.Itoa(n)+"\r\n\r\nText.\r\n"))
		}
	}
	for _, limit := range []int{300, 10_000} {
		conformance.Reader(t, f.Source, f.Boxes[0], limit)
	}
}

// realServer reads the settings from the environment.
func realServer(url string, env func(string) string) (crm.Settings, *crm.Mailbox, error) {
	address, err := mail.ParseAddress(env("POSTERN_TEST_EWS_MAILBOX"))
	if err != nil {
		return crm.Settings{}, nil, fmt.Errorf("POSTERN_TEST_EWS_MAILBOX: %w", err)
	}
	version := env("POSTERN_TEST_EWS_VERSION")
	if version == "" {
		version = "ExchangeSE"
	}
	s := crm.Settings{Enabled: true, Server: url, Version: version, Login: env("POSTERN_TEST_EWS_LOGIN"),
		Password: crm.NewSecret(env("POSTERN_TEST_EWS_PASSWORD")), Domains: []string{address.Domain()}}
	s, wrong := s.Check(ews.Connector(), crm.Settings{})
	var all []error
	for _, w := range wrong {
		all = append(all, fmt.Errorf("%s: %s", w.Field, w.Message))
	}
	return s, &crm.Mailbox{ID: 1, Org: 1, Address: address}, errors.Join(all...)
}
