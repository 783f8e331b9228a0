package store_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	checks := flag.Lookup("rapid.checks")
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f == checks })
	if !set {
		checks.Value.Set("20") // each one saves many pages
	}
	os.Exit(m.Run())
}

// Whatever pages two mailboxes bring, in whatever order, by however many workers and
// however often, the same rows stand in the end.
func TestAnyOrderLeavesTheSameRows(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		rapid.Check(t, func(rt *rapid.T) {
			pages := drawPages(rt, s)
			forget(t, db)
			for _, p := range pages {
				s.save(p)
			}
			want := dump(t, db)

			again := rapid.Permutation(append(slices.Clone(pages), rapid.SliceOfN(rapid.SampledFrom(pages), 0, 4).Draw(rt, "repeated")...)).Draw(rt, "order")
			forget(t, db)
			saveByWorkers(rt, s, again, rapid.IntRange(1, 4).Draw(rt, "workers"))
			if got := dump(t, db); !slices.Equal(got, want) {
				rt.Fatalf("in another order:\n%s", difference(want, got))
			}
			for _, box := range []*crm.Mailbox{&s.ann, &s.bob} {
				for item, row := range s.ledger(box) {
					if row.Problem != "" {
						rt.Fatalf("%s: %s", item, row.Problem)
					}
				}
			}
			if n, err := s.org.Duplicates(t.Context()); n != 0 || err != nil {
				rt.Fatalf("%d duplicates, %v", n, err)
			}
		})
	})
}

// drawPages draws letters, copies of them in the folders of two mailboxes, and pages.
func drawPages(rt *rapid.T, s *stage) []store.Page {
	senders := rapid.SampledFrom([]mail.Address{cyn, cyn2, ann, bob, who})
	recipients := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{string(cyn), string(ann), string(bob), string(who), string(zed)}), 1, 4, rapid.ID[string])
	var letters []*crm.Item
	for i := range rapid.IntRange(1, 8).Draw(rt, "letters") {
		it := letter(fmt.Sprint(i), senders.Draw(rt, "from"), recipients.Draw(rt, "to")...)
		for _, ref := range rapid.SliceOfN(rapid.IntRange(0, 9), 0, 2).Draw(rt, "references") {
			it.References = append(it.References, fmt.Sprintf("%d@mail.example", ref))
		}
		if rapid.IntRange(0, 4).Draw(rt, "has no id") == 0 {
			it.MessageID = ""
		}
		it.Attachments = []crm.Attachment{{ID: "a", Name: "a.txt", Size: 10}}
		letters = append(letters, it)
	}
	var pages []store.Page
	for _, box := range []*crm.Mailbox{&s.ann, &s.bob} {
		for _, name := range []string{"inbox", "sent"} {
			folder := s.folder(box, name)
			for _, list := range rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, len(letters)-1), 1, 5), 1, 3).Draw(rt, "pages") {
				var items []*crm.Item
				for _, i := range list {
					copyOf := *letters[i]
					copyOf.ID = fmt.Sprintf("%d-%s-%d", box.ID, name, i)
					copyOf.Read = i%2 == 0
					if copyOf.People[0].Address == box.Address {
						copyOf.People = append(slices.Clone(copyOf.People), crm.Participant{Part: crm.Bcc, Address: cyn})
					}
					items = append(items, &copyOf)
				}
				entries, rev := s.entries(items...)
				pages = append(pages, store.Page{Mailbox: box, Folder: folder.ID, Epoch: folder.Epoch, Rev: rev, Entries: entries})
			}
		}
	}
	return pages
}

func saveByWorkers(rt *rapid.T, s *stage, pages []store.Page, workers int) {
	work := make(chan store.Page)
	errs := make(chan error, len(pages))
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for p := range work {
				_, err := s.org.SavePage(s.t.Context(), p)
				errs <- err
			}
		})
	}
	for _, p := range pages {
		work <- p
	}
	close(work)
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			rt.Fatal(err)
		}
	}
}

var mailTables = []string{"decision", "trace", "message", "thread_ref", "body", "participant", "copy", "activity", "activity_link", "user_message", "attachment", "search"}

// forget empties the tables of mail.
func forget(t *testing.T, db *storetest.DB) {
	t.Helper()
	for _, table := range mailTables {
		db.Exec(t, "delete from "+table)
	}
}

// dump is all that stands about mail, our own row ids and times apart.
func dump(t *testing.T, db *storetest.DB) []string {
	t.Helper()
	const name = "m.message_id || '/' || m.subject || '/' || m.from_address"
	return query(t, db,
		"select 'decision', d.mailbox_id, d.item, d.folder_id, d.outcome, d.reason, d.rule, d.due_at, d.tries from decision d",
		"select 'trace', t.hash, d.item from trace t left join decision d on d.id = t.decision_id",
		"select 'message', "+name+", m.message_key, m.variant, m.missing, m.missing_why, m.sent_at, m.preview, m.attachments, b.html, b.text from message m left join body b on b.message_id = m.id",
		"select 'participant', "+name+", p.part, p.who, p.mailbox_id, p.position from participant p left join message m on m.id = p.message_id",
		"select 'copy', "+name+", c.mailbox_id, c.item, c.folder_id, c.is_read, c.missing_at > 0, c.gone_at > 0 from copy c left join message m on m.id = c.message_id",
		"select 'activity', "+name+", a.when_at from activity a left join message m on m.id = a.message_id",
		"select 'link', "+name+`, l.person, l.person_id, l.address, l.part, l.when_at from activity_link l
			left join activity a on a.id = l.activity_id left join message m on m.id = a.message_id`,
		"select 'mine', "+name+", u.user_id, u.when_at, u.unread, u.gone from user_message u left join message m on m.id = u.message_id",
		"select 'attachment', "+name+", t.position, t.name, t.state from attachment t left join message m on m.id = t.message_id",
		"select 'thread', "+name+", (select min("+strings.ReplaceAll(name, "m.", "o.")+") from message o where o.thread_id = m.thread_id) from message m")
}

// query returns the rows of queries, sorted, a line each.
func query(t *testing.T, db *storetest.DB, queries ...string) []string {
	t.Helper()
	var lines []string
	for _, query := range queries {
		rows, err := db.SQL.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		for rows.Next() {
			if err := rows.Scan(values...); err != nil {
				t.Fatal(err)
			}
			var line []string
			for _, v := range values {
				line = append(line, fmt.Sprint(*v.(*any)))
			}
			lines = append(lines, strings.Join(line, " | "))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(lines)
	return lines
}

func difference(want, got []string) string {
	var b strings.Builder
	for _, line := range want {
		if !slices.Contains(got, line) {
			b.WriteString("- " + line + "\n")
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			b.WriteString("+ " + line + "\n")
		}
	}
	return b.String()
}

// A page that is cut off at any moment has left all of itself or nothing.
func TestCursorOnlyWithItsPage(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		rapid.Check(t, func(rt *rapid.T) {
			forget(t, db)
			db.Exec(t, "update folder set cursor = ''")
			var items []*crm.Item
			for i := range 30 {
				items = append(items, letter(fmt.Sprint(i), rapid.SampledFrom([]mail.Address{cyn, who}).Draw(rt, "from"), string(ann)))
			}
			p := s.page(&s.ann, items...)
			p.SetCursor, p.Next = true, "after"
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rapid.IntRange(0, 20_000).Draw(rt, "µs"))*time.Microsecond)
			defer cancel()
			_, err := s.org.SavePage(ctx, p)
			// Asked in one statement: PostgreSQL may still commit what nobody waits for any more.
			left := query(t, db, fmt.Sprintf("select (select count(*) from decision), cursor from folder where id = %d", p.Folder))[0]
			if whole := fmt.Sprintf("%d | after", len(items)); left != whole && (left != "0 | " || err == nil) {
				rt.Fatalf("rows and cursor: %s (%v)", left, err)
			}
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				rt.Fatalf("the context ended, and the error is: %v", err)
			}
			s.save(p)
			if got := s.sound(&s.ann); len(got) != len(items) {
				rt.Fatalf("%d rows after the page was repeated", len(got))
			}
		})
	})
}
