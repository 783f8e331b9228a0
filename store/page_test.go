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

func TestMailIsInTheThreePlaces(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		it := letter("1", cyn, string(ann), "cc:"+string(who))
		it.Attachments = []crm.Attachment{{ID: "a1", Name: "offer.pdf", Type: "application/pdf", Size: 1000}}
		p := s.page(&s.ann, it, letter("2", who, string(ann)))
		p.SetCursor, p.Next, p.Last, p.Mark = true, "cursor-1", true, "mark-1"
		res := s.save(p)
		if len(res.Filed) != 1 || res.Copies != 1 {
			t.Fatalf("filed %v, %d copies; want 1 and 1", res.Filed, res.Copies)
		}
		if f := s.folder(&s.ann, "inbox"); f.Cursor != "cursor-1" || !f.Listed || f.SavedMark != "mark-1" {
			t.Errorf("folder after the page: %+v", f)
		}
		outcomes := s.sound(&s.ann)
		if outcomes["item-1"] != crm.Filed || outcomes["item-2"] != crm.NotFiled || len(outcomes) != 2 {
			t.Errorf("ledger: %v", outcomes)
		}
		for name, q := range map[string]store.MailQuery{
			"contact":   {Viewer: s.annUser, Contact: s.cyn},
			"user":      {Viewer: s.annUser, User: s.annUser},
			"mine":      {Viewer: s.annUser, Mine: true},
			"all":       {Viewer: s.annUser},
			"search":    {Viewer: s.annUser, Text: "text letter"},
			"prefix":    {Viewer: s.annUser, Text: "lett"},
			"phrase":    {Viewer: s.annUser, Text: `"text of letter"`},
			"from":      {Viewer: s.annUser, Text: "from:cyn@client.example "},
			"to":        {Viewer: s.annUser, Text: "to:nowhere"},
			"unread":    {Viewer: s.annUser, Unread: true, Mine: true},
			"threads":   {Viewer: s.annUser, Mine: true, Threads: true},
			"direction": {Viewer: s.annUser, Direction: "in"},
		} {
			rows := s.activities(q)
			if len(rows) != 1 || rows[0].Activity != res.Filed[0] {
				t.Errorf("%s: %+v", name, rows)
				continue
			}
			r := rows[0]
			if r.Subject != "Letter 1" || r.From.Contact != s.cyn || r.From.Name != "Cyn" || len(r.To) != 2 || r.To[0].User != s.annUser ||
				r.Contact.Contact != s.cyn || r.Company != "Client" || r.Attachments != 1 || r.Thread != 1 || !r.Unread || !r.When.Equal(noon) {
				t.Errorf("%s: %+v", name, r)
			}
		}
		for name, q := range map[string]store.MailQuery{
			"bob's":         {Viewer: s.bobUser, Mine: true},
			"other word":    {Text: "nothing"},
			"other phrase":  {Text: `"letter text"`},
			"other from":    {Text: "from:ann"},
			"only signs":    {Text: "!!"},
			"outbound":      {Direction: "out"},
			"other contact": {Contact: s.cyn + 1},
		} {
			if rows := s.activities(q); len(rows) != 0 {
				t.Errorf("%s: %+v; want none", name, rows)
			}
		}
	})
}

func TestOneMessageInTwoMailboxes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		first := s.save(s.page(&s.ann, letter("1", cyn, string(ann), string(bob))))
		copyOf := letter("1", cyn, string(ann), string(bob))
		copyOf.ID, copyOf.Read = "bobs-item", true
		second := s.save(s.page(&s.bob, copyOf))
		if len(first.Filed) != 1 || len(second.Filed) != 0 || second.Copies != 1 {
			t.Fatalf("first page %+v, second %+v", first, second)
		}
		s.sound(&s.ann)
		s.sound(&s.bob)
		if rows := s.activities(store.MailQuery{Viewer: s.annUser, Contact: s.cyn}); len(rows) != 1 || !rows[0].Unread {
			t.Errorf("Ann sees %+v", rows)
		}
		if rows := s.activities(store.MailQuery{Viewer: s.bobUser, Mine: true}); len(rows) != 1 || rows[0].Unread {
			t.Errorf("Bob sees %+v", rows)
		}
		p := s.page(&s.ann)
		p.Gone = []string{"item-1", "never-seen"}
		s.save(p)
		s.settle(&s.ann, 1)
		rows := s.activities(store.MailQuery{Viewer: s.annUser, Mine: true})
		if len(rows) != 1 || !rows[0].Gone || rows[0].Unread {
			t.Errorf("after Ann deleted hers: %+v", rows)
		}
		m, err := s.org.Message(t.Context(), s.bobUser, rows[0].Message)
		s.must(err)
		if len(m.Copies) != 2 || m.Copies[0].Gone.IsZero() == m.Copies[1].Gone.IsZero() {
			t.Errorf("copies: %+v", m.Copies)
		}
		if len(s.ledger(&s.ann)) != 0 || len(s.sound(&s.bob)) != 1 {
			t.Error("the ledger does not follow")
		}
		if n, err := s.org.Duplicates(t.Context()); n != 0 || err != nil {
			t.Errorf("%d duplicates, %v", n, err)
		}
	})
}

func TestBccIsForItsSenderAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		// Ann writes to Cyn with Bob and Cyn's other address as Bcc; only her copy says so.
		res := s.save(s.page(&s.ann, letter("1", ann, string(cyn), "bcc:"+string(bob)), letter("2", ann, string(who), "bcc:"+string(cyn))))
		bobs := letter("1", ann, string(cyn))
		bobs.ID = "bobs-item"
		s.save(s.page(&s.bob, bobs))
		if len(res.Filed) != 2 {
			t.Fatalf("filed %v", res.Filed)
		}
		s.sound(&s.ann)
		s.sound(&s.bob)
		people := func(viewer crm.UserID) (bcc, copies, links int) {
			for _, row := range s.activities(store.MailQuery{Viewer: s.annUser, Mine: true}) {
				m, err := s.org.Message(t.Context(), viewer, row.Message)
				s.must(err)
				for _, p := range m.People {
					if p.Part == crm.Bcc {
						bcc++
					}
				}
				copies += len(m.Copies)
				links += len(m.Links)
			}
			return bcc, copies, links
		}
		if bcc, copies, links := people(s.annUser); bcc != 2 || copies != 3 || links != 5 {
			t.Errorf("Ann sees %d Bcc, %d copies, %d links; want 2, 3, 5", bcc, copies, links)
		}
		if bcc, copies, links := people(s.bobUser); bcc != 0 || copies != 3 || links != 3 {
			t.Errorf("Bob sees %d Bcc, %d copies, %d links; want 0, 3, 3", bcc, copies, links)
		}
		if bcc, copies, links := people(0); bcc != 0 || copies != 2 || links != 3 {
			t.Errorf("a stranger sees %d Bcc, %d copies, %d links; want 0, 2, 3", bcc, copies, links)
		}
		if n := len(s.activities(store.MailQuery{Viewer: s.annUser, Contact: s.cyn})); n != 2 {
			t.Errorf("Ann sees %d activities of Cyn, want 2", n)
		}
		if n := len(s.activities(store.MailQuery{Viewer: s.bobUser, Contact: s.cyn})); n != 1 {
			t.Errorf("Bob sees %d activities of Cyn, want 1", n)
		}
		if n := len(s.activities(store.MailQuery{Viewer: s.bobUser, Text: "to:cyn"})); n != 1 {
			t.Errorf("the search tells Bob of a Bcc: %d found", n)
		}
	})
}

func TestVariantsOfOneMessageID(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		again := letter("1", cyn, string(ann)) // a list put a footer under it
		again.ID, again.Text = "again", again.Text+"\n-- \nlist"
		later := letter("1", cyn, string(ann)) // a fax machine with one Message-ID for all
		later.ID, later.Subject, later.Sent = "later", "Another", noon.Add(3*60*1e9)
		other := letter("1", cyn2, string(ann))
		other.ID = "other"
		res := s.save(s.page(&s.ann, letter("1", cyn, string(ann)), again, later, other))
		if len(res.Filed) != 3 || res.Copies != 4 {
			t.Fatalf("filed %d, copies %d; want 3 and 4", len(res.Filed), res.Copies)
		}
		if res := s.save(s.page(&s.ann, other, later, again)); len(res.Filed) != 0 || res.Copies != 0 {
			t.Errorf("the page again: %+v", res)
		}
		s.sound(&s.ann)
		if n, err := s.org.Duplicates(t.Context()); n != 0 || err != nil {
			t.Errorf("%d duplicates, %v", n, err)
		}
	})
}

func TestStalePageSavesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		p := s.page(&s.ann, letter("1", who, string(ann)))
		p.SetCursor, p.Next = true, "next"
		s.saveContacts(crm.Contact{Name: "New", Addresses: []mail.Address{who}})
		if _, err := s.org.SavePage(t.Context(), p); !errors.Is(err, store.ErrStale) {
			t.Fatalf("saving a page decided by old people: %v", err)
		}
		if len(s.ledger(&s.ann)) != 0 || s.folder(&s.ann, "inbox").Cursor != "" {
			t.Error("something was saved")
		}
		p = s.page(&s.ann, letter("1", who, string(ann)))
		s.must(s.org.ResetFolder(t.Context(), p.Folder))
		if _, err := s.org.SavePage(t.Context(), p); !errors.Is(err, store.ErrStale) {
			t.Fatalf("saving a page of a listing that was begun anew: %v", err)
		}
	})
}

func TestFiledStaysFiled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		s.save(s.page(&s.ann, letter("1", cyn, string(ann))))
		changed := letter("1", cyn, string(ann))
		changed.Version, changed.Read, changed.Sensitivity = "v2", true, crm.Private
		failed := letter("1", cyn, string(ann))
		failed.Fault = &crm.Fault{Verdict: crm.Retry, Code: "ErrorServerBusy"}
		for _, e := range []store.Entry{
			{Header: &changed.Header, Decision: crm.Decision{Item: changed.ID, Outcome: crm.NotFiled, Reason: crm.IsPrivate}},
			{Header: &failed.Header, Decision: crm.Decision{Item: failed.ID, Outcome: crm.Failed, Reason: "ErrorServerBusy", RetryAt: noon}},
		} {
			p := s.page(&s.ann)
			_, rev := s.entries()
			p.Rev, p.Entries = rev, []store.Entry{e}
			s.save(p)
			if got := s.sound(&s.ann); got["item-1"] != crm.Filed {
				t.Errorf("after %s: %v", e.Decision.Outcome, got)
			}
		}
		known, err := s.org.Known(t.Context(), s.ann.ID, []string{"item-1", "item-2"})
		s.must(err)
		if len(known) != 1 || known["item-1"] != "v2" {
			t.Errorf("known: %v", known)
		}
		if rows := s.activities(store.MailQuery{Viewer: s.annUser, Mine: true}); rows[0].Unread {
			t.Error("the new read state was not kept")
		}
		p := s.page(&s.ann)
		p.Read = map[string]bool{"item-1": false, "unknown": true}
		s.save(p)
		if rows := s.activities(store.MailQuery{Viewer: s.annUser, Mine: true}); !rows[0].Unread {
			t.Error("the read state that changed alone was not kept")
		}
	})
}

func TestFiledWithoutCopyIsLoadedAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		p := s.page(&s.ann, letter("1", cyn, string(ann)))
		p.Entries[0].Item = nil
		s.save(p)
		due, err := s.org.DueItems(t.Context(), s.ann.ID, time.Now().Add(time.Minute), 10)
		s.must(err)
		if len(due) != 1 || due[0].Item != "item-1" || due[0].Outcome != crm.Failed || due[0].Folder != p.Folder {
			t.Errorf("due: %+v", due)
		}
		s.save(s.page(&s.ann, letter("1", cyn, string(ann))))
		if got := s.sound(&s.ann); got["item-1"] != crm.Filed {
			t.Errorf("ledger: %v", got)
		}
	})
}

func TestFullListingTakesAwayWhatItDoesNotBring(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		s.save(s.page(&s.ann, letter("1", cyn, string(ann)), letter("2", who, string(ann)), letter("3", cyn, string(ann))))
		s.must(s.org.ResetFolder(t.Context(), s.folder(&s.ann, "inbox").ID))
		p := s.page(&s.ann, letter("3", cyn, string(ann)), letter("4", cyn, string(ann)))
		s.save(p)
		if n := len(s.sound(&s.ann)); n != 4 {
			t.Fatalf("%d rows before the last page, want all 4", n)
		}
		p = s.page(&s.ann)
		p.Last, p.SetCursor, p.Next = true, true, "end"
		s.save(p)
		if got := s.sound(&s.ann); len(got) != 2 || got["item-3"] == "" || got["item-4"] == "" {
			t.Errorf("after the last page: %v", got)
		}
		if rows, total, err := s.org.NotFiled(t.Context(), store.NotFiledQuery{Address: who}); err != nil || total != 0 {
			t.Errorf("a trace of what is gone is left: %v, %v", rows, err)
		}
	})
}

func TestItemMovesUnderItsOwnID(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		s.save(s.page(&s.ann, letter("1", cyn, string(ann))))
		inbox, sent := s.folder(&s.ann, "inbox"), s.folder(&s.ann, "sent")
		p := s.page(&s.ann, letter("1", cyn, string(ann)))
		p.Folder, p.Epoch, p.Entries[0].Item = sent.ID, sent.Epoch, nil
		s.save(p)
		p = s.page(&s.ann)
		p.Gone = []string{"item-1"}
		s.save(p)
		counts, err := s.org.FolderCounts(t.Context(), s.ann.ID)
		s.must(err)
		if s.sound(&s.ann)["item-1"] != crm.Filed || counts[sent.ID].Filed != 1 || counts[inbox.ID].Items() != 0 {
			t.Errorf("after the move: %+v", counts)
		}
		s.folders(&s.ann, "inbox") // the other folder was deleted
		if len(s.ledger(&s.ann)) != 0 {
			t.Error("the deleted folder's item is still in the ledger")
		}
		s.settle(&s.ann, 1)
		if rows := s.activities(store.MailQuery{Viewer: s.annUser, Mine: true}); len(rows) != 1 || !rows[0].Gone {
			t.Errorf("My Emails: %+v", rows)
		}
	})
}
