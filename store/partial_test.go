package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/crm"
	"postern/store"
	"postern/store/storetest"
)

// cut is an item as it comes from the last rungs of the ladder.
func cut(it *crm.Item, missing crm.Missing) *crm.Item {
	part := *it
	part.HTML, part.Text, part.Missing = "", "", missing
	part.Fault = &crm.Fault{Verdict: crm.Retry, Scope: crm.ItemScope, Code: "ErrorCorruptData", Message: "Exchange cannot read its text."}
	if missing == crm.BodyMissing {
		part.Attachments = nil
	}
	return &part
}

// partial makes a page of items of which something is missing, to be tried again at noon.
func (s *stage) partial(box *crm.Mailbox, tries int, items ...*crm.Item) store.Page {
	s.t.Helper()
	p := s.page(box, items...)
	for i := range p.Entries {
		p.Entries[i].Decision.RetryAt, p.Entries[i].Decision.Tries = noon, tries
	}
	return p
}

func withAttachment(it *crm.Item) *crm.Item {
	it.Attachments = []crm.Attachment{{ID: "a1", Name: "offer.pdf", Size: 1000}}
	return it
}

func TestPartialMessageIsShownOwedAndCompleted(t *testing.T) {
	for _, missing := range []crm.Missing{crm.TextMissing, crm.BodyMissing} {
		for _, id := range []string{"1@mail.example", ""} {
			t.Run(fmt.Sprintf("%s %q", missing, id), func(t *testing.T) {
				storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) { partialIsCompleted(t, db, missing, id) })
			})
		}
	}
}

func partialIsCompleted(t *testing.T, db *storetest.DB, missing crm.Missing, messageID string) {
	s := newStage(t, db.Store)
	it := withAttachment(letter("1", cyn, string(ann)))
	it.MessageID = messageID
	s.save(s.page(&s.ann, it))
	want := dump(t, db)
	forget(t, db)

	s.save(s.partial(&s.ann, 1, cut(it, missing)))
	if res := s.save(s.partial(&s.ann, 2, cut(it, missing))); len(res.Filed) != 0 || res.Copies != 0 {
		t.Errorf("the second time it is new again: %+v", res)
	}
	rows := s.activities(store.MailQuery{Viewer: s.annUser, Mine: true, Text: "Letter"})
	if len(rows) != 1 || rows[0].Missing != missing || rows[0].Subject != "Letter 1" || (rows[0].Attachments == 1) != (missing == crm.TextMissing) {
		t.Fatalf("My Emails: %+v", rows)
	}
	m, err := s.org.Message(t.Context(), s.annUser, rows[0].Message)
	s.must(err)
	if m.Missing != missing || m.MissingCode != "ErrorCorruptData" || m.MissingWhy != "Exchange cannot read its text." || len(m.Links) != 2 {
		t.Errorf("message: %+v", m)
	}
	if row := s.ledger(&s.ann)["item-1"]; row.Problem != "" || row.Missing != missing || row.Outcome != crm.Filed {
		t.Errorf("proof: %+v", row)
	}
	if known, err := s.org.Known(t.Context(), s.ann.ID, []string{"item-1"}); err != nil || len(known) != 0 {
		t.Errorf("it counts as complete: %v, %v", known, err)
	}
	due := func(at time.Time) []store.DueItem {
		list, err := s.org.DueItems(t.Context(), s.ann.ID, at, 10)
		s.must(err)
		return list
	}
	if list := due(noon); len(list) != 1 || list[0].Item != "item-1" || list[0].Outcome != crm.Filed || list[0].Tries != 2 || len(due(noon.Add(-1))) != 0 {
		t.Errorf("due: %+v", list)
	}

	// A try that fails altogether puts it off; it stays filed.
	p := s.page(&s.ann, it)
	p.Entries[0].Item, p.Entries[0].Decision = nil, crm.Decision{Item: it.ID, Outcome: crm.Failed, Reason: "busy", RetryAt: noon.Add(time.Hour), Tries: 3}
	s.save(p)
	if list := due(noon.Add(time.Hour)); len(list) != 1 || list[0].Tries != 3 || list[0].Outcome != crm.Filed || len(due(noon)) != 0 {
		t.Errorf("after another try: %+v", list)
	}

	if res := s.save(s.page(&s.ann, it)); len(res.Filed) != 0 || res.Copies != 0 {
		t.Errorf("completed, it is new: %+v", res)
	}
	if got := dump(t, db); !slices.Equal(got, want) {
		t.Errorf("completed, it is not as if it had been filed at once:\n%s", difference(want, got))
	}
	s.sound(&s.ann)
	if n := len(s.activities(store.MailQuery{Text: `"text of letter"`})); n != 1 {
		t.Errorf("the search finds %d", n)
	}
}

// Whatever copies come in part first, in whatever mailbox and order, also of messages
// that differ in nothing but their texts: when all have been loaded again, the same rows
// stand as if each had come in full.
func TestPartialCopiesEndAsIfWhole(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		rapid.Check(t, func(rt *rapid.T) {
			copies := drawCopies(rt, s)
			forget(t, db)
			for _, c := range copies {
				s.save(s.page(c.box, c.item))
			}
			want := dump(t, db)

			forget(t, db)
			items := map[string]copyOf{}
			for _, c := range rapid.Permutation(copies).Draw(rt, "order") {
				items[c.item.ID] = c
				s.save(s.partial(c.box, 1, c.first))
				s.sound(c.box)
			}
			for _, box := range []*crm.Mailbox{&s.ann, &s.bob} {
				due, err := s.org.DueItems(t.Context(), box.ID, noon, 100)
				s.must(err)
				for _, d := range rapid.Permutation(due).Draw(rt, "due") {
					if known, err := s.org.Known(t.Context(), box.ID, []string{d.Item}); err != nil || len(known) != 0 {
						rt.Fatalf("%s is due and known: %v, %v", d.Item, known, err)
					}
					s.save(s.page(box, items[d.Item].item))
					s.sound(box)
				}
			}
			if got := dump(t, db); !slices.Equal(got, want) {
				rt.Fatalf("in part first:\n%s", difference(want, got))
			}
		})
	})
}

type copyOf struct {
	box         *crm.Mailbox
	first, item *crm.Item // as it comes at first, and in full
}

func drawCopies(rt *rapid.T, s *stage) []copyOf {
	var copies []copyOf
	for i := range rapid.IntRange(1, 3).Draw(rt, "letters") {
		hasID := rapid.Bool().Draw(rt, "has id")
		for _, text := range []string{"one", "other"}[:rapid.IntRange(1, 2).Draw(rt, "twins")] {
			for _, box := range []*crm.Mailbox{&s.ann, &s.bob} {
				it := withAttachment(letter(fmt.Sprint(i), cyn, string(ann), string(bob)))
				it.ID = fmt.Sprintf("%d-%d-%s", box.ID, i, text)
				if it.MessageID += text; !hasID {
					it.MessageID = ""
				}
				it.Text += text
				missing := rapid.SampledFrom([]crm.Missing{crm.NothingMissing, crm.TextMissing, crm.BodyMissing}).Draw(rt, "missing")
				c := copyOf{box: box, first: it, item: it}
				if missing != crm.NothingMissing {
					c.first = cut(it, missing)
				}
				copies = append(copies, c)
			}
		}
	}
	return copies
}

func TestPartialIsProvedAsPartial(t *testing.T) {
	for name, sql := range map[string]string{
		"passed off as whole": "update message set missing = ''",
		"not owed":            "update decision set due_at = 0",
		"text put in":         "update body set text = 'x'",
	} {
		t.Run(name, func(t *testing.T) {
			storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
				s := newStage(t, db.Store)
				s.save(s.partial(&s.ann, 1, cut(letter("1", cyn, string(ann)), crm.TextMissing)))
				s.sound(&s.ann)
				if n := db.Exec(t, sql); n != 1 {
					t.Fatalf("touched %d rows", n)
				}
				if row := s.ledger(&s.ann)["item-1"]; row.Problem == "" {
					t.Errorf("not noticed: %+v", row)
				}
			})
		})
	}
}

func TestPartialThatWouldNotBeFiledTodayIsOwedNoMore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		it := letter("1", cyn, string(ann))
		s.save(s.partial(&s.ann, 1, cut(it, crm.TextMissing)))
		s.savePolicy(func(p *crm.Policy) { p.Excluded = []crm.Pattern{crm.Pattern(cyn)} })
		s.save(s.page(&s.ann, it))
		if due, err := s.org.DueItems(t.Context(), s.ann.ID, noon.AddDate(1, 0, 0), 10); err != nil || len(due) != 0 {
			t.Errorf("due: %+v, %v", due, err)
		}
		if got := s.sound(&s.ann); got["item-1"] != crm.Filed {
			t.Errorf("ledger: %v", got)
		}
	})
}

func TestQuarantine(t *testing.T) {
	now := noon
	storetest.EachDB(t, store.Options{Now: func() time.Time { return now }}, func(t *testing.T, db *storetest.DB) {
		now = noon
		s := newStage(t, db.Store)
		broken, part := letter("1", cyn, string(ann)), letter("2", cyn, string(ann))
		fail := func(it *crm.Item) {
			p := s.page(&s.ann, it)
			p.Entries[0].Item = nil
			p.Entries[0].Decision = crm.Decision{Item: it.ID, Outcome: crm.Failed, Reason: "ErrorItemCorrupt", Rule: "It is corrupt.", RetryAt: noon.Add(time.Hour), Tries: 1}
			s.save(p)
		}
		again := func() {
			fail(broken)
			s.save(s.partial(&s.ann, 1, cut(part, crm.TextMissing)))
		}
		look := func(q store.QuarantineQuery, want int) []store.QuarantineRow {
			t.Helper()
			list, total, err := s.org.Quarantine(t.Context(), q)
			s.must(err)
			if len(list) != want || total != want {
				t.Fatalf("%+v: %d of %d rows, want %d: %+v", q, len(list), total, want, list)
			}
			if n, err := s.org.QuarantineCount(t.Context()); !q.Left && q.Mailbox == 0 && (err != nil || n != want) {
				t.Errorf("count %d, want %d, %v", n, want, err)
			}
			return list
		}
		again()
		s.save(s.page(&s.bob, letter("3", who, string(bob))))
		list := look(store.QuarantineQuery{}, 2)
		p, f := list[0], list[1]
		if !p.Partial || p.Message == 0 || p.Item != "item-2" || p.Code != "ErrorCorruptData" || p.Why != "Exchange cannot read its text." || !p.RetryAt.Equal(noon) || p.Tries != 1 {
			t.Errorf("in part: %+v", p)
		}
		if f.Partial || f.Message != 0 || f.Item != "item-1" || f.Code != "ErrorItemCorrupt" || f.Why != "It is corrupt." || f.Address != ann || f.Folder != "inbox" ||
			!f.RetryAt.Equal(noon.Add(time.Hour)) || !f.Since.Equal(noon) || !f.When.Equal(noon) {
			t.Errorf("failed: %+v", f)
		}
		look(store.QuarantineQuery{Mailbox: s.ann.ID}, 2)
		look(store.QuarantineQuery{Mailbox: s.bob.ID}, 0)
		look(store.QuarantineQuery{Left: true}, 0)
		both := []int64{p.Decision, f.Decision}
		change := func(name string, do func() (int, error), want int) {
			t.Helper()
			if n, err := do(); err != nil || n != want {
				t.Errorf("%s: %d, want %d, %v", name, n, want, err)
			}
		}
		tryNow := func() (int, error) { return s.org.TryNow(t.Context(), append(both, 999)...) }
		leave := func() (int, error) { return s.org.Leave(t.Context(), append(both, 999)...) }
		dueItems := func(want int) {
			t.Helper()
			if due, err := s.org.DueItems(t.Context(), s.ann.ID, now, 10); err != nil || len(due) != want {
				t.Errorf("due: %+v, want %d, %v", due, want, err)
			}
		}

		now = noon.Add(time.Minute)
		before, err := s.org.Box(t.Context(), s.ann.ID)
		s.must(err)
		change("try now", tryNow, 2)
		dueItems(2)
		if box, err := s.org.Box(t.Context(), s.ann.ID); err != nil || box.Bell == before.Bell || !box.Due.Equal(now) {
			t.Errorf("the bell was not rung: %+v, %v", box, err)
		}

		change("leave", leave, 2)
		change("leave again", leave, 0)
		for range 2 {
			look(store.QuarantineQuery{}, 0)
			left := look(store.QuarantineQuery{Left: true}, 2)
			if !left[0].RetryAt.IsZero() || !left[1].RetryAt.IsZero() {
				t.Errorf("left, but tried again: %+v", left)
			}
			dueItems(0)
			counts, err := s.org.Counts(t.Context())
			s.must(err)
			if got := s.sound(&s.ann); got["item-1"] != crm.NotFiled || got["item-2"] != crm.Filed || counts.By[crm.Left] != 1 {
				t.Errorf("ledger %v, counts %+v", got, counts)
			}
			again() // a later look changes nothing
		}
		change("try what was left", tryNow, 2)
		look(store.QuarantineQuery{Left: true}, 0)
		dueItems(2)
		again()
		list = look(store.QuarantineQuery{}, 2)
		if list[0].Code == "left" || list[1].Code == "left" {
			t.Errorf("tried again in vain: %+v", list)
		}
		change("leave", leave, 2)
		s.save(s.page(&s.ann, broken, part)) // both can be had after all
		look(store.QuarantineQuery{}, 0)
		look(store.QuarantineQuery{Left: true}, 0)
		if got := s.sound(&s.ann); got["item-1"] != crm.Filed || got["item-2"] != crm.Filed {
			t.Errorf("ledger %v", got)
		}
		if rows := s.activities(store.MailQuery{Viewer: s.annUser, Mine: true}); len(rows) != 2 || rows[0].Missing+rows[1].Missing != "" {
			t.Errorf("My Emails: %+v", rows)
		}
	})
}
