package store_test

import (
	"errors"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

func TestNewContactBringsOlderMail(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		draft := letter("4", dan, string(ann))
		draft.Draft = true
		s.save(s.page(&s.ann, letter("1", dan, string(ann)), letter("2", cyn, string(ann), "cc:"+string(dan)), letter("3", who, string(ann)), draft))
		box, err := s.org.Mailbox(t.Context(), s.ann.ID)
		s.must(err)
		box.Due = time.Now().Add(time.Hour)
		s.must(s.org.SaveMailbox(t.Context(), &box.Mailbox))

		saved := s.saveContacts(crm.Contact{Name: "Dan", Addresses: []mail.Address{dan}})
		if saved != (store.Saved{New: 1, Rematch: 1, Linked: 1}) {
			t.Errorf("saved: %+v", saved)
		}
		soon := time.Now().Add(time.Minute)
		due, err := s.org.DueItems(t.Context(), s.ann.ID, soon, 10)
		s.must(err)
		if len(due) != 1 || due[0].Item != "item-1" || due[0].Outcome != crm.NotFiled {
			t.Fatalf("due: %+v", due)
		}
		boxes, err := s.org.DueMailboxes(t.Context(), soon, 10)
		s.must(err)
		if len(boxes) == 0 || !hasBox(boxes, s.ann.ID) {
			t.Errorf("the mailbox is not due: %+v", boxes)
		}
		entries, rev := s.entries(letter("1", dan, string(ann)))
		res := s.save(store.Page{Mailbox: &s.ann, Rev: rev, Entries: []store.Entry{{Header: entries[0].Header, Decision: entries[0].Decision,
			Item: entries[0].Item, Folder: due[0].Folder}}})
		if len(res.Filed) != 1 {
			t.Errorf("rematch filed %+v", res)
		}
		if due, _ = s.org.DueItems(t.Context(), s.ann.ID, soon, 10); len(due) != 0 {
			t.Errorf("still due: %+v", due)
		}
		s.sound(&s.ann)
		if rows := s.activities(store.MailQuery{Text: "", Contact: contactNamed(s, "Dan")}); len(rows) != 2 {
			t.Errorf("Dan's activities: %+v", rows)
		}
	})
}

func hasBox(boxes []crm.Mailbox, id crm.MailboxID) bool {
	for _, b := range boxes {
		if b.ID == id {
			return true
		}
	}
	return false
}

func contactNamed(s *stage, name string) crm.ContactID {
	s.t.Helper()
	list, _, err := s.org.Contacts(s.t.Context(), store.ListQuery{Text: name})
	s.must(err)
	if len(list) != 1 {
		s.t.Fatalf("%d contacts named %s", len(list), name)
	}
	return list[0].ID
}

func TestSaveContactsMatches(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		s.save(s.page(&s.ann, letter("1", cyn, string(ann)), letter("2", cyn2, string(ann))))
		if got := s.saveContacts(crm.Contact{Name: "CYN", Company: "Client", Addresses: []mail.Address{cyn2, cyn}},
			crm.Contact{Name: "Cyn", Company: "Client", Addresses: []mail.Address{cyn}}); got.New != 0 || got.Changed != 2 {
			t.Errorf("one who shares name and address: %+v", got)
		}
		if got := s.saveContacts(crm.Contact{Name: "Cyn", Company: "Client", Addresses: []mail.Address{cyn}}); got != (store.Saved{Same: 1}) {
			t.Errorf("the same again: %+v", got)
		}
		if got := s.saveContacts(crm.Contact{Name: "Assistant", Addresses: []mail.Address{cyn}}); got != (store.Saved{New: 1, Linked: 1}) {
			t.Errorf("another contact who shares the address: %+v", got)
		}
		// The second address moves to another contact; the link by it follows.
		s.saveContacts(crm.Contact{ID: s.cyn, Name: "Cyn", Addresses: []mail.Address{cyn}}, crm.Contact{Name: "Cy", Addresses: []mail.Address{cyn2}})
		if n := len(s.activities(store.MailQuery{Contact: s.cyn})); n != 1 {
			t.Errorf("Cyn has %d activities, want 1", n)
		}
		if n := len(s.activities(store.MailQuery{Contact: contactNamed(s, "cy c y client")})); n != 1 {
			t.Errorf("Cy has %d activities, want 1", n)
		}
		s.sound(&s.ann)
		if _, err := s.org.SaveContacts(t.Context(), []crm.Contact{{ID: 999, Name: "Nobody"}}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("saving a contact that is not there: %v", err)
		}
	})
}

func TestUserAddressConflict(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		_, err := s.org.SaveUsers(t.Context(), []crm.User{
			{Name: "Eve", Addresses: []mail.Address{"eve@acme.example"}, Active: true},
			{ID: s.bobUser, Name: "Bob", Addresses: []mail.Address{bob, ann}, Active: true}})
		conflict, ok := errors.AsType[*store.ConflictError](err)
		if !ok || conflict.Index != 1 || conflict.Address != ann || conflict.Owner != s.annUser {
			t.Fatalf("conflict: %v", err)
		}
		if _, total, err := s.org.Users(t.Context(), store.ListQuery{Text: "eve"}); total != 0 || err != nil {
			t.Errorf("half of the list was saved: %d, %v", total, err)
		}
		// Ann leaves, and Bob takes over her address.
		s.saveUsers(crm.User{ID: s.annUser, Name: "Ann", Addresses: []mail.Address{ann}})
		s.saveUsers(crm.User{ID: s.bobUser, Name: "Bob", Addresses: []mail.Address{bob, ann}, Active: true})
		box, err := s.org.Mailbox(t.Context(), s.ann.ID)
		s.must(err)
		if box.State != crm.Off {
			t.Errorf("the mailbox of one who left is %s", box.State)
		}
		people, _, err := s.org.People(t.Context(), []crm.Header{letter("1", ann, string(cyn)).Header})
		s.must(err)
		if people[ann].User != s.bobUser || len(people[cyn].Contacts) != 1 || len(people) != 2 {
			t.Errorf("people: %+v", people)
		}
	})
}

func TestDomainsMakeAndSwitchOffMailboxes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		s.save(s.page(&s.ann, letter("1", cyn, string(ann), string(zed)), letter("2", cyn, string(zed))))
		state := func(a mail.Address) crm.MailboxState {
			view, err := s.org.MailboxByAddress(t.Context(), a)
			if errors.Is(err, store.ErrNotFound) {
				return ""
			}
			s.must(err)
			return view.State
		}
		if state(ann) != crm.Provisioned || state(zed) != "" {
			t.Errorf("Ann %q, Zed %q", state(ann), state(zed))
		}
		s.must(s.org.SaveSettings(t.Context(), settings("acme.example", "other.example")))
		if state(zed) != crm.Provisioned {
			t.Errorf("Zed %q after his domain was added", state(zed))
		}
		if due, err := s.org.DueItems(t.Context(), s.ann.ID, time.Now().Add(time.Minute), 10); err != nil || len(due) != 1 || due[0].Item != "item-2" {
			t.Errorf("due after the domain was added: %+v, %v", due, err)
		}
		users, _, err := s.org.Users(t.Context(), store.ListQuery{Text: "zed"})
		s.must(err)
		if len(users) != 1 || users[0].Activities != 1 || users[0].Mailbox == 0 {
			t.Errorf("Zed after his domain was added: %+v", users)
		}
		s.sound(&s.ann)
		s.must(s.org.SaveSettings(t.Context(), settings("acme.example")))
		if state(zed) != crm.Off || state(ann) != crm.Provisioned {
			t.Errorf("Ann %q, Zed %q after his domain was removed", state(ann), state(zed))
		}
		off := settings("acme.example")
		off.Enabled = false
		s.must(s.org.SaveSettings(t.Context(), off))
		if state(ann) != crm.Off {
			t.Errorf("Ann %q while disabled", state(ann))
		}
		s.must(s.org.SaveMailbox(t.Context(), &s.ann)) // the pass under way ends
		if state(ann) != crm.Off {
			t.Error("the end of a pass switched the mailbox on again")
		}
		if due, err := s.org.DueMailboxes(t.Context(), time.Now().Add(time.Hour), 10); err != nil || len(due) != 0 {
			t.Errorf("due while disabled: %+v, %v", due, err)
		}
	})
}

func TestBellDuringPassIsNotLost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		later := time.Now().Add(time.Hour)
		due := func() bool {
			boxes, err := s.org.DueMailboxes(t.Context(), time.Now().Add(time.Minute), 10)
			s.must(err)
			return hasBox(boxes, s.ann.ID)
		}
		pass := s.ann // as read before the pass
		s.must(s.org.LookNow(t.Context(), s.ann.ID))
		pass.Due, pass.State = later, crm.Live
		s.must(s.org.SaveMailbox(t.Context(), &pass))
		if !due() {
			t.Fatal("the request that came during the pass was lost")
		}
		view, err := s.org.Mailbox(t.Context(), s.ann.ID)
		s.must(err)
		pass = view.Mailbox
		pass.Due = later
		pass.Trouble = &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "ErrorServerBusy", Err: errors.New("not kept")}
		s.must(s.org.SaveMailbox(t.Context(), &pass))
		if due() {
			t.Error("the mailbox stays due after a pass that no request came during")
		}
		view, err = s.org.Mailbox(t.Context(), s.ann.ID)
		s.must(err)
		if view.State != crm.Live || view.Trouble == nil || view.Trouble.Code != "ErrorServerBusy" || view.Trouble.Err != nil || view.Items != 14 {
			t.Errorf("mailbox: %+v", view)
		}
	})
}

func TestSessions(t *testing.T) {
	now := noon
	storetest.EachDB(t, store.Options{Now: func() time.Time { return now }}, func(t *testing.T, db *storetest.DB) {
		now = noon
		s := newStage(t, db.Store)
		s.must(s.org.SetPassword(t.Context(), s.annUser, "argon2id$hash"))
		user, hash, err := s.org.SignIn(t.Context(), ann)
		s.must(err)
		if user.ID != s.annUser || !user.Admin || hash != "argon2id$hash" {
			t.Errorf("sign-in: %+v %q", user, hash)
		}
		if _, _, err := s.org.SignIn(t.Context(), who); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("sign-in of a stranger: %v", err)
		}
		first, err := s.org.NewSession(t.Context(), s.annUser, time.Hour)
		s.must(err)
		second, err := s.org.NewSession(t.Context(), s.annUser, 2*time.Hour)
		s.must(err)
		if u, err := s.org.Session(t.Context(), first, false); err != nil || u.ID != s.annUser {
			t.Errorf("session: %+v, %v", u, err)
		}
		if n := db.Exec(t, "update session set user_id = user_id where token_hash = $1", []byte(first)); n != 0 {
			t.Error("the token itself stands in the database")
		}
		now = noon.Add(29 * time.Minute)
		if _, err := s.org.Session(t.Context(), first, false); err != nil {
			t.Errorf("a session that lay idle for 29 minutes: %v", err)
		}
		now = noon.Add(58 * time.Minute)
		if _, err := s.org.Session(t.Context(), first, true); err != nil {
			t.Errorf("29 minutes after it was used: %v", err)
		}
		now = noon.Add(59*time.Minute + time.Second)
		if _, err := s.org.Session(t.Context(), first, false); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a session that lay idle for half an hour: %v", err)
		}
		third, err := s.org.NewSession(t.Context(), s.annUser, time.Minute)
		s.must(err)
		u, err := s.org.User(t.Context(), s.annUser)
		s.must(err)
		u.Admin = false
		_, err = s.org.SaveUsers(t.Context(), []crm.User{u.User})
		s.must(err)
		if _, err := s.org.Session(t.Context(), third, false); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a session of before the rights changed: %v", err)
		}
		now = noon.Add(time.Hour)
		if _, err := s.org.Session(t.Context(), first, false); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("expired session: %v", err)
		}
		s.must(s.org.EndSession(t.Context(), second))
		if _, err := s.org.Session(t.Context(), second, false); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("ended session: %v", err)
		}
	})
}
