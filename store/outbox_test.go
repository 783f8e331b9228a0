package store_test

import (
	"fmt"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

// TestWordsThatDoNotFitInOneMail: while a server takes none, what did not fit waits with the
// rest, and does not have the server asked at every look.
func TestWordsThatDoNotFitInOneMail(t *testing.T) {
	now := time.Now()
	clock := store.Options{Now: func() time.Time { return now }}
	storetest.EachDB(t, clock, func(t *testing.T, db *storetest.DB) {
		org := db.Org(1)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		owed := func() []store.Word {
			t.Helper()
			list, err := org.OwedWords(t.Context())
			must(err)
			return list
		}
		must(org.SaveSecurityContacts(t.Context(), []mail.Address{"sec@acme.example"}))
		for i := range 60 {
			must(org.Audit(t.Context(), crm.AuditEntry{Action: "settings.save", Detail: fmt.Sprint("change ", i), Widens: true}))
		}
		now = now.Add(2 * time.Minute)
		list := owed()
		if len(list) != 1 || len(list[0].Entries) != 50 {
			t.Fatalf("owed: %+v", list)
		}
		must(org.WordFailed(t.Context(), list[0], "451 not now"))
		if list := owed(); len(list) > 0 {
			t.Errorf("tried again at once, after %d attempts", list[0].Attempts)
		}
		now = now.Add(2 * time.Minute)
		for _, want := range []int{50, 11} {
			list := owed()
			if len(list) != 1 || len(list[0].Entries) != want {
				t.Fatalf("owed: %+v, want %d entries", list, want)
			}
			must(org.WordSent(t.Context(), list[0]))
		}
		if list := owed(); len(list) > 0 {
			t.Errorf("owed after all was sent: %+v", list)
		}
	})
}

// TestSentWordsGo: what was sent goes by the retention of the access log, but for the last to
// each address, which is shown; what waits and what was given up stays.
func TestSentWordsGo(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := store.Options{Now: func() time.Time { return now }}
	storetest.EachDB(t, clock, func(t *testing.T, db *storetest.DB) {
		now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		org := db.Org(1)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		widen := func(later time.Duration, done func(store.Word) error) {
			t.Helper()
			must(org.Audit(t.Context(), crm.AuditEntry{Action: "settings.save", Widens: true}))
			now = now.Add(later)
			list, err := org.OwedWords(t.Context())
			must(err)
			for _, w := range list {
				must(done(w))
			}
		}
		sent := func(w store.Word) error { return org.WordSent(t.Context(), w) }
		rows := func(want int) {
			t.Helper()
			must(org.ExpireWords(t.Context()))
			var n int
			must(db.SQL.QueryRowContext(t.Context(), "select count(*) from outbox").Scan(&n))
			if n != want {
				t.Errorf("on %s there are %d rows, want %d", now.Format(time.DateOnly), n, want)
			}
		}
		must(org.SaveSecurityContacts(t.Context(), []mail.Address{"sec@acme.example"})) // which is told
		widen(time.Hour, sent)
		widen(6*24*time.Hour, func(w store.Word) error { return org.WordFailed(t.Context(), w, "550 who?") })
		last := now.Add(24 * time.Hour)
		widen(24*time.Hour, sent)
		rows(4)
		now = last.AddDate(0, 0, 91)
		widen(time.Hour, func(store.Word) error { return nil })
		rows(3)
		boxes, err := org.Outboxes(t.Context())
		if err != nil || len(boxes) != 1 || !boxes[0].Sent.Equal(last) || boxes[0].GivenUp != 1 || boxes[0].Waiting != 1 {
			t.Errorf("outboxes %+v, %v", boxes, err)
		}
		list, err := org.OwedWords(t.Context())
		must(err)
		must(sent(list[0]))
		rows(2)
	})
}
