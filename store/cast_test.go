package store_test

import (
	"fmt"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/match"
	"postern/store"
)

// The cast: Ann and Bob work for acme.example, Zed for other.example, which is not
// allowed; Cyn is a contact with two addresses.
const (
	ann  = mail.Address("ann@acme.example")
	bob  = mail.Address("bob@acme.example")
	zed  = mail.Address("zed@other.example")
	cyn  = mail.Address("cyn@client.example")
	cyn2 = mail.Address("c.y@client.example")
	dan  = mail.Address("dan@client.example")
	who  = mail.Address("x@nowhere.example")
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// A stage is an organization with the cast and an inbox in Ann's and Bob's mailboxes.
type stage struct {
	t        testing.TB
	org      *store.Org
	ann, bob crm.Mailbox
	annUser  crm.UserID
	bobUser  crm.UserID
	cyn      crm.ContactID
}

func settings(domains ...string) crm.Settings {
	return crm.Settings{Enabled: true, Server: "ex.test", Version: "Exchange2013_SP1", Login: `EX\svc`, Password: crm.NewSecret("s3cret-passw0rd"), Domains: domains}
}

func newStage(t testing.TB, st *store.Store) *stage {
	t.Helper()
	s := &stage{t: t, org: st.Org(1)}
	s.must(s.org.SaveSettings(t.Context(), settings("acme.example")))
	s.saveUsers(crm.User{Name: "Ann", Addresses: []mail.Address{ann}, Admin: true, Active: true},
		crm.User{Name: "Bob", Addresses: []mail.Address{bob}, Active: true},
		crm.User{Name: "Zed", Addresses: []mail.Address{zed}, Active: true})
	s.saveContacts(crm.Contact{Name: "Cyn", Company: "Client", Addresses: []mail.Address{cyn, cyn2}})
	for i, box := range []*crm.Mailbox{&s.ann, &s.bob} {
		view, err := s.org.MailboxByAddress(t.Context(), []mail.Address{ann, bob}[i])
		s.must(err)
		*box = view.Mailbox
		s.folders(box, "inbox", "sent")
	}
	s.annUser, s.bobUser = s.ann.User, s.bob.User
	contacts, _, err := s.org.Contacts(t.Context(), store.ListQuery{Text: "cyn"})
	s.must(err)
	s.cyn = contacts[0].ID
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// savePolicy saves the policy that holds with a change.
func (s *stage) savePolicy(change func(*crm.Policy)) crm.Policy {
	s.t.Helper()
	p, err := s.org.Policy(s.t.Context())
	s.must(err)
	change(&p)
	saved, err := s.org.SavePolicy(s.t.Context(), p, false)
	s.must(err)
	return saved
}

func (s *stage) saveUsers(list ...crm.User) store.Saved {
	s.t.Helper()
	saved, err := s.org.SaveUsers(s.t.Context(), list)
	s.must(err)
	return saved
}

func (s *stage) saveContacts(list ...crm.Contact) store.Saved {
	s.t.Helper()
	saved, err := s.org.SaveContacts(s.t.Context(), list)
	s.must(err)
	return saved
}

func (s *stage) folders(box *crm.Mailbox, names ...string) []store.Folder {
	s.t.Helper()
	var list []store.Folder
	for _, n := range names {
		list = append(list, store.Folder{Folder: crm.Folder{ID: n + "-id", Name: n, Kind: crm.Email, Total: 7}, Path: n, InScope: true})
	}
	saved, err := s.org.SaveFolders(s.t.Context(), box.ID, list)
	s.must(err)
	return saved
}

func (s *stage) folder(box *crm.Mailbox, name string) store.Folder {
	s.t.Helper()
	list, err := s.org.Folders(s.t.Context(), box.ID)
	s.must(err)
	for _, f := range list {
		if f.Name == name {
			return f
		}
	}
	s.t.Fatalf("no folder %q", name)
	return store.Folder{}
}

// letter makes an item; to are recipients, with "cc:" or "bcc:" in front if they are.
func letter(id string, from mail.Address, to ...string) *crm.Item {
	it := &crm.Item{Header: crm.Header{ID: "item-" + id, Version: "v1", Envelope: crm.Envelope{
		Kind: crm.Email, Class: "IPM.Note", MessageID: id + "@mail.example", Subject: "Letter " + id,
		Sent: noon, Received: noon.Add(time.Second),
		People: []crm.Participant{{Part: crm.From, Name: "", Address: from}},
	}}}
	it.Text = "The text of letter " + id + "."
	it.HTML = "<p>" + it.Text + "</p>"
	for _, a := range to {
		part := crm.To
		if n := len("cc:"); len(a) > n && a[:n] == "cc:" {
			part, a = crm.Cc, a[n:]
		} else if n := len("bcc:"); len(a) > n && a[:n] == "bcc:" {
			part, a = crm.Bcc, a[n:]
		}
		it.People = append(it.People, crm.Participant{Part: part, Address: mail.Address(a)})
	}
	return it
}

// entries decides about items as the engine does.
func (s *stage) entries(items ...*crm.Item) ([]store.Entry, int64) {
	s.t.Helper()
	headers := make([]crm.Header, len(items))
	for i, it := range items {
		headers[i] = it.Header
	}
	people, rev, err := s.org.People(s.t.Context(), headers)
	s.must(err)
	policy, err := s.org.Policy(s.t.Context())
	s.must(err)
	decisions := match.Decide(headers, people, match.Rules{Domains: policy.Domains, Limits: policy.Tighten(crm.Limits{})})
	entries := make([]store.Entry, len(items))
	for i, it := range items {
		entries[i] = store.Entry{Header: &it.Header, Decision: decisions[i]}
		if decisions[i].Outcome == crm.Filed {
			entries[i].Item = it
		}
	}
	return entries, rev
}

// page makes a page of the inbox out of items.
func (s *stage) page(box *crm.Mailbox, items ...*crm.Item) store.Page {
	s.t.Helper()
	f := s.folder(box, "inbox")
	entries, rev := s.entries(items...)
	return store.Page{Mailbox: box, Folder: f.ID, Epoch: f.Epoch, Rev: rev, Entries: entries}
}

func (s *stage) save(p store.Page) store.PageResult {
	s.t.Helper()
	res, err := s.org.SavePage(s.t.Context(), p)
	s.must(err)
	return res
}

// settle gives up what is missing from a mailbox by now, which want copies are.
func (s *stage) settle(box *crm.Mailbox, want int) {
	s.t.Helper()
	missing, _, err := s.org.Missing(s.t.Context(), box.ID)
	s.must(err)
	settled, err := s.org.SettleMissing(s.t.Context(), box.ID, time.Now().Add(time.Hour))
	s.must(err)
	if missing != want || settled != want {
		s.t.Errorf("%d copies are missing, %d settled; want %d", missing, settled, want)
	}
}

// sound fails the test when the ledger reports a problem, and returns outcomes by item.
func (s *stage) sound(box *crm.Mailbox) map[string]crm.Outcome {
	s.t.Helper()
	outcomes := map[string]crm.Outcome{}
	for item, row := range s.ledger(box) {
		if row.Problem != "" {
			s.t.Errorf("%s: %s", item, row.Problem)
		}
		outcomes[item] = row.Outcome
	}
	return outcomes
}

func (s *stage) ledger(box *crm.Mailbox) map[string]store.LedgerRow {
	s.t.Helper()
	found := map[string]store.LedgerRow{}
	s.must(s.org.Ledger(s.t.Context(), box.ID, 0, func(r store.LedgerRow) error {
		if _, twice := found[r.Item]; twice {
			return fmt.Errorf("%s stands twice in the ledger", r.Item)
		}
		found[r.Item] = r
		return nil
	}))
	return found
}

func (s *stage) activities(q store.MailQuery) []store.ActivityRow {
	s.t.Helper()
	rows, total, next, err := s.org.Activities(s.t.Context(), q)
	s.must(err)
	if next == "" && q.Before == "" && total != len(rows) {
		s.t.Errorf("%d activities in all, but the only page has %d", total, len(rows))
	}
	return rows
}
