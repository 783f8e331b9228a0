package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

func TestActivitiesPageByPage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		var items []*crm.Item
		for i := range 25 {
			it := letter(fmt.Sprint(i), cyn, string(ann))
			it.Sent = noon.Add(time.Duration(i/2) * time.Minute) // pairs at one time
			it.References = []string{fmt.Sprintf("root%d@mail.example", i%5)}
			items = append(items, it)
		}
		s.save(s.page(&s.ann, items...))
		for name, q := range map[string]store.MailQuery{
			"contact": {Contact: s.cyn}, "user": {User: s.annUser}, "mine": {Viewer: s.annUser, Mine: true}, "all": {}, "search": {Text: "letter"},
			"both": {Contact: s.cyn, User: s.annUser, Viewer: s.annUser, Mine: true},
		} {
			for _, threads := range []bool{false, true} {
				want := 25
				if threads {
					want = 5
				}
				q.Threads, q.Limit, q.Before = threads, 4, ""
				seen := map[crm.ActivityID]bool{}
				last := noon.Add(time.Hour)
				for pages := 0; ; pages++ {
					rows, total, next, err := s.org.Activities(t.Context(), q)
					s.must(err)
					if total != want || len(rows) > 4 || pages > 7 {
						t.Fatalf("%s, threads %v: %d in all, %d on page %d", name, threads, total, len(rows), pages)
					}
					for _, r := range rows {
						if seen[r.Activity] || r.When.After(last) || r.Thread != 5 {
							t.Errorf("%s, threads %v: %+v after %v", name, threads, r, last)
						}
						seen[r.Activity], last = true, r.When
					}
					if next == "" {
						break
					}
					q.Before = next
				}
				if len(seen) != want {
					t.Errorf("%s, threads %v: %d rows, want %d", name, threads, len(seen), want)
				}
			}
		}
		if _, _, _, err := s.org.Activities(t.Context(), store.MailQuery{Before: "nonsense"}); err == nil {
			t.Error("a place that is none is no error")
		}
	})
}

func TestThreadsMergeWhenAMessageJoinsThem(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		reply := func(id string, to ...string) *crm.Item {
			it := letter(id, cyn, string(ann))
			for _, ref := range to {
				it.References = append(it.References, ref+"@mail.example")
			}
			return it
		}
		sizes := func() []int {
			var n []int
			for _, r := range s.activities(store.MailQuery{Threads: true}) {
				n = append(n, r.Thread)
			}
			slices.Sort(n)
			return n
		}
		s.save(s.page(&s.ann, reply("a2", "a1"), reply("b2", "b1"), reply("c2", "c1"), reply("d")))
		if got := sizes(); !slices.Equal(got, []int{1, 1, 1, 1}) {
			t.Fatalf("threads of %v", got)
		}
		s.save(s.page(&s.ann, reply("ab", "a2", "b1")))
		s.save(s.page(&s.ann, reply("bc", "b2", "c1")))
		s.save(s.page(&s.ann, reply("a1"), reply("late", "c2")))
		if got := sizes(); !slices.Equal(got, []int{1, 7}) {
			t.Errorf("threads of %v after they were joined, want 1 and 7", got)
		}
		rows := s.activities(store.MailQuery{})
		m, err := s.org.Message(t.Context(), s.annUser, rows[0].Message)
		s.must(err)
		if len(m.Thread) != rows[0].Thread {
			t.Errorf("the message shows a thread of %d, the list one of %d", len(m.Thread), rows[0].Thread)
		}
	})
}

// TestCopiesInTwoConversationsAreOneThread: each mailbox has conversation ids of its own,
// and without a Message-ID nothing else ties the copies together.
func TestCopiesInTwoConversationsAreOneThread(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		nameless := func(item, conversation string) *crm.Item {
			it := letter("", cyn, string(ann), string(bob))
			it.ID, it.MessageID, it.Thread = item, "", conversation
			return it
		}
		s.save(s.page(&s.ann, nameless("a", "conversation of Ann")))
		s.save(s.page(&s.bob, nameless("b", "conversation of Bob")))
		reply := letter("reply", bob, string(cyn))
		reply.Thread = "conversation of Bob"
		s.save(s.page(&s.bob, reply))
		rows := s.activities(store.MailQuery{Threads: true})
		if len(rows) != 1 || rows[0].Thread != 2 {
			t.Errorf("got %d threads, want one of two messages: %+v", len(rows), rows)
		}
	})
}

func TestSearchFindsTheSameInBothDatabases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		it := letter("1", cyn, string(ann))
		it.People[0].Name = "Zoë Müller"
		it.Subject = "Ångström: 3.14 <offer> no. A-17/b"
		it.Text = "来週の東京都の会議。 See https://example.com/path?x=1 and don't reply; e-mail cyn@client.example. " + string(make([]byte, 3)) + "\xff end"
		s.save(s.page(&s.ann, it))
		for text, want := range map[string]int{
			"angstrom": 1, "ÅNGSTRÖM": 1, "3.14": 1, "a-17": 1, "A-17/b": 1, `"no. a"`: 1, "offe": 1, "offe x": 0, `"offe"`: 0,
			"東京": 1, "京東": 0, "会議": 1, "来週 会議": 1, "example.com": 1, "example.net": 0, "don't": 1, "path end": 1,
			"from:muller": 1, "from:zoe": 1, "to:zoe": 0, "to:ann": 1, `from:"zoe muller"`: 1, `from:"muller zoe"`: 0, "cyn@client.example": 1,
			"NOT offer": 0, "offer OR nothing": 0, "'": 0, `"`: 0, "offer)": 1, "offer:*": 1, `\`: 0, "%": 0,
		} {
			if got := len(s.activities(store.MailQuery{Text: text})); got != want {
				t.Errorf("%s: %d found, want %d", text, got, want)
			}
		}
		s.sound(&s.ann)
	})
}

func TestFigures(t *testing.T) {
	now := noon
	storetest.EachDB(t, store.Options{Now: func() time.Time { return now }}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		var items []*crm.Item
		for i, ago := range []int{0, 1, 8, 15, 16, 40} {
			it := letter(fmt.Sprint(i), cyn, string(ann))
			if i == 0 {
				it = letter(fmt.Sprint(i), cyn, string(ann), string(bob))
			}
			it.Sent = noon.AddDate(0, 0, -ago)
			items = append(items, it)
		}
		items = append(items, letter("x", who, string(ann)))
		s.save(s.page(&s.ann, items...))
		if weeks, err := s.org.Weeks(t.Context(), s.cyn, 4); err != nil || !slices.Equal(weeks, []int{0, 2, 1, 2}) {
			t.Errorf("weeks: %v, %v", weeks, err)
		}
		list, err := s.org.WhoKnows(t.Context(), s.cyn)
		s.must(err)
		if len(list) != 2 || list[0].Name != "Ann" || list[0].Count != 6 || !list[0].Last.Equal(noon) || list[1].User != s.bobUser || list[1].Count != 1 {
			t.Errorf("who knows Cyn: %+v", list)
		}
		h, err := s.org.Home(t.Context(), noon)
		s.must(err)
		if h.Seen != 7 || h.Filed != 6 || h.NotFiled != 1 || h.Failed != 0 || !h.LastFiled.Equal(noon) || h.Mailboxes[crm.Provisioned] != 2 {
			t.Errorf("home: %+v", h)
		}
		if n := len(h.ByDay); n != 30 || h.ByDay[n-1].Seen != 2 || h.ByDay[n-1].Filed != 1 || h.ByDay[n-2].Seen != 1 || !h.ByDay[n-1].Day.Equal(noon.Truncate(24*time.Hour)) {
			t.Errorf("by day: %+v", h.ByDay)
		}
		c, err := s.org.Contact(t.Context(), s.cyn)
		s.must(err)
		if c.Activities != 6 || !c.Last.Equal(noon) || c.Company != "Client" || !slices.Equal(c.Addresses, []mail.Address{cyn, cyn2}) {
			t.Errorf("contact: %+v", c)
		}
		boxes, total, err := s.org.Mailboxes(t.Context(), store.ListQuery{Text: "ann"})
		s.must(err)
		if total != 1 || boxes[0].Counts.Filed != 6 || boxes[0].Counts.By[crm.NoContact] != 1 || boxes[0].UserName != "Ann" || boxes[0].Counts.Items() != 7 {
			t.Errorf("mailboxes: %+v", boxes)
		}
	})
}

// An organization sees nothing of another one, whose ids it can only guess.
func TestOrganizationsAreApart(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		s.save(s.page(&s.ann, letter("1", cyn, string(ann)), letter("2", who, string(ann))))
		mine := s.activities(store.MailQuery{})
		other := db.Org(2)
		if rows, _, _, err := other.Activities(t.Context(), store.MailQuery{Viewer: s.annUser, Mine: true}); err != nil || len(rows) != 0 {
			t.Errorf("activities: %+v, %v", rows, err)
		}
		if rows, _, _, err := other.Activities(t.Context(), store.MailQuery{Text: "letter"}); err != nil || len(rows) != 0 {
			t.Errorf("search: %+v, %v", rows, err)
		}
		if m, err := other.Message(t.Context(), s.annUser, mine[0].Message); err == nil {
			t.Errorf("message: %+v", m)
		}
		if c, err := other.Contact(t.Context(), s.cyn); err == nil {
			t.Errorf("contact: %+v", c)
		}
		if b, err := other.Mailbox(t.Context(), s.ann.ID); err == nil {
			t.Errorf("mailbox: %+v", b)
		}
		if f, err := other.Folders(t.Context(), s.ann.ID); err != nil || len(f) != 0 {
			t.Errorf("folders: %+v, %v", f, err)
		}
		if list, err := other.DueMailboxes(t.Context(), time.Now().Add(time.Hour), 10); err != nil || len(list) != 0 {
			t.Errorf("due: %+v, %v", list, err)
		}
		if got, _, err := other.Settings(t.Context()); err != nil || got.Server != "" {
			t.Errorf("settings: %+v, %v", got, err)
		}
		if counts, err := other.Counts(t.Context()); err != nil || counts.Items() != 0 {
			t.Errorf("counts: %+v, %v", counts, err)
		}
	})
}
