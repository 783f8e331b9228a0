package store_test

import (
	"testing"

	"postern/crm"
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
