package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/crm"
	"postern/store"
	"postern/store/storetest"
)

func TestMoveIsNotADelete(t *testing.T) {
	now := noon
	storetest.EachDB(t, store.Options{Now: func() time.Time { return now }}, func(t *testing.T, db *storetest.DB) {
		now = noon
		s := newStage(t, db.Store)
		mine := func() store.ActivityRow {
			t.Helper()
			rows := s.activities(store.MailQuery{Viewer: s.annUser, Mine: true})
			if len(rows) != 1 {
				t.Fatalf("My Emails: %+v", rows)
			}
			return rows[0]
		}
		gone := func(item string) {
			p := s.page(&s.ann)
			p.Gone = []string{item}
			s.save(p)
		}
		s.save(s.page(&s.ann, letter("1", cyn, string(ann))))
		gone("item-1")
		if r := mine(); r.Gone || !r.Unread || len(s.ledger(&s.ann)) != 0 {
			t.Errorf("while it may be moving: %+v, ledger %v", r, s.ledger(&s.ann))
		}
		if n, since, err := s.org.Missing(t.Context(), s.ann.ID); err != nil || n != 1 || !since.Equal(noon) {
			t.Errorf("missing: %d since %v, %v", n, since, err)
		}
		if n, err := s.org.SettleMissing(t.Context(), s.ann.ID, noon); err != nil || n != 0 || mine().Gone {
			t.Errorf("settled before its time: %d, %v", n, err)
		}

		now = noon.Add(time.Minute)
		moved := letter("1", cyn, string(ann))
		moved.ID = "item-1-moved"
		s.save(s.page(&s.ann, moved))
		m, err := s.org.Message(t.Context(), s.annUser, mine().Message)
		s.must(err)
		if len(m.Copies) != 2 || !m.Copies[0].Gone.Equal(noon) || !m.Copies[0].Missing.IsZero() || !m.Copies[1].Gone.IsZero() {
			t.Errorf("after the move: %+v", m.Copies)
		}
		s.settle(&s.ann, 0)

		// The other order: it is seen where it went before it is missed where it was.
		again := letter("1", cyn, string(ann))
		again.ID = "item-1-again"
		s.save(s.page(&s.ann, again))
		gone("item-1-moved")
		s.settle(&s.ann, 0)
		if r := mine(); r.Gone || len(s.sound(&s.ann)) != 1 {
			t.Errorf("after the second move: %+v", r)
		}

		gone("item-1-again")
		s.settle(&s.ann, 1)
		if r := mine(); !r.Gone || r.Unread {
			t.Errorf("after it was deleted: %+v", r)
		}
		s.save(s.page(&s.ann, again)) // restored under its id
		if r := mine(); r.Gone || len(s.sound(&s.ann)) != 1 {
			t.Errorf("after it came back: %+v", r)
		}
	})
}

// A listing from the start gives up nothing until it has ended, and then as a move would.
func TestListingAnewEmptiesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		s.save(s.page(&s.ann, letter("1", cyn, string(ann)), letter("2", cyn, string(ann))))
		s.must(s.org.ResetFolder(t.Context(), s.folder(&s.ann, "inbox").ID))
		s.save(s.page(&s.ann, letter("2", cyn, string(ann))))
		s.settle(&s.ann, 0)
		p := s.page(&s.ann)
		p.Last = true
		s.save(p)
		rows := s.activities(store.MailQuery{Viewer: s.annUser, Mine: true})
		if len(rows) != 2 || rows[0].Gone || rows[1].Gone || len(s.sound(&s.ann)) != 1 {
			t.Errorf("after the listing: %+v", rows)
		}
		if known, err := s.org.Known(t.Context(), s.ann.ID, []string{"item-1"}); err != nil || len(known) != 1 {
			t.Errorf("a missing item that comes back is to be loaded again: %v, %v", known, err)
		}
		s.settle(&s.ann, 1)
	})
}

// However letters move between folders while those are read one by one, in whatever
// order: one that still lies in the mailbox never looks gone, and what stands in the end
// is what lies there.
func TestNothingFlickersWhileItMoves(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		rapid.Check(t, func(rt *rapid.T) {
			forget(t, db)
			m := &movingMail{letters: rapid.IntRange(1, 4).Draw(rt, "letters")}
			for i := range m.letters {
				m.put(i, "inbox")
			}
			for range rapid.IntRange(0, 12).Draw(rt, "moves") {
				if len(m.lying) > 0 {
					m.move(rapid.IntRange(0, len(m.lying)-1).Draw(rt, "item"), rapid.SampledFrom([]string{"inbox", "sent", "sent", ""}).Draw(rt, "to"))
				}
			}
			for len(m.inbox)+len(m.sent) > 0 {
				p := s.page(&s.ann)
				name, queue := "inbox", &m.inbox
				if len(*queue) == 0 || len(m.sent) > 0 && rapid.Bool().Draw(rt, "sent") {
					name, queue = "sent", &m.sent
				}
				n := rapid.IntRange(1, len(*queue)).Draw(rt, "events")
				m.page(s, &p, name, (*queue)[:n])
				*queue = (*queue)[n:]
				s.save(p)
				for _, row := range s.activities(store.MailQuery{Viewer: s.annUser, Mine: true}) {
					if row.Gone && m.lies(row.Subject) {
						rt.Fatalf("%s looks gone while it moves", row.Subject)
					}
				}
			}
			_, err := s.org.SettleMissing(t.Context(), s.ann.ID, time.Now().Add(time.Hour))
			s.must(err)
			for _, row := range s.activities(store.MailQuery{Viewer: s.annUser, Mine: true}) {
				if row.Gone == m.lies(row.Subject) {
					rt.Fatalf("%s: gone is %v in the end", row.Subject, row.Gone)
				}
			}
			got := s.sound(&s.ann)
			for _, item := range m.lying {
				if got[item] != crm.Filed || len(got) != len(m.lying) {
					rt.Fatalf("ledger %v, want %v", got, m.lying)
				}
			}
		})
	})
}

// movingMail is a mailbox whose letters move, and what each folder tells of it.
type movingMail struct {
	letters     int
	ids         int
	lying       []string // item ids: "letter.number"
	where       map[string]string
	inbox, sent []string // item ids that came, those that left with "-" in front
}

func (m *movingMail) tell(folder, event string) {
	if folder == "inbox" {
		m.inbox = append(m.inbox, event)
	} else {
		m.sent = append(m.sent, event)
	}
}

func (m *movingMail) put(letter int, folder string) {
	m.ids++
	item := fmt.Sprintf("%d.%d", letter, m.ids)
	if m.where == nil {
		m.where = map[string]string{}
	}
	m.lying, m.where[item] = append(m.lying, item), folder
	m.tell(folder, item)
}

// move moves an item to a folder under a new id, or deletes it.
func (m *movingMail) move(i int, to string) {
	item := m.lying[i]
	m.lying = slices.Delete(m.lying, i, i+1)
	if to != "" {
		var letter int
		fmt.Sscanf(item, "%d.", &letter)
		m.put(letter, to)
	}
	m.tell(m.where[item], "-"+item)
}

func (m *movingMail) lies(subject string) bool {
	return slices.ContainsFunc(m.lying, func(item string) bool {
		letter, _, _ := strings.Cut(item, ".")
		return subject == "Letter "+letter
	})
}

// page fills a page with events of a folder. Like Exchange, it tells the last of an item.
func (m *movingMail) page(s *stage, p *store.Page, folder string, events []string) {
	var items []*crm.Item
	for _, e := range events {
		if left, gone := strings.CutPrefix(e, "-"); gone {
			p.Gone = append(p.Gone, left)
		} else if !slices.Contains(events, "-"+e) {
			number, _, _ := strings.Cut(e, ".")
			it := letter(number, cyn, string(ann))
			it.ID = e
			items = append(items, it)
		}
	}
	f := s.folder(&s.ann, folder)
	p.Folder, p.Epoch = f.ID, f.Epoch
	p.Entries, p.Rev = s.entries(items...)
}
