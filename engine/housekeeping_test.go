package engine_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/mail"
	"postern/store"
)

// Day by day what the access log has kept for long enough goes; the rest stays.
func TestAccessLogIsKeptForAsLongAsItIsToBe(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Open(t.Context(), store.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		org := st.Org(1)
		days, err := org.AccessRetention(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w := org.AccessWriter()
		for _, younger := range []time.Duration{-time.Hour, 12 * time.Hour, 36 * time.Hour} {
			w.Record(crm.Access{At: time.Now().AddDate(0, 0, -days).Add(younger), Operation: "GetItem", Status: 200})
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		defer keepsHouse(t, org)()
		for day, want := range []int{2, 1} {
			time.Sleep(time.Minute)
			list, _, err := org.AccessLog(t.Context(), store.AccessQuery{})
			if err != nil || len(list) != want {
				t.Errorf("on day %d there are %d requests, %v; want %d", day, len(list), err, want)
			}
			time.Sleep(24 * time.Hour)
		}
	})
}

// keepsHouse runs an engine that has nothing else to do, until it is stopped.
func keepsHouse(t *testing.T, org *store.Org) (stop func()) {
	nothing := crm.Connector{Source: func(crm.Settings, crm.Transport) (crm.Source, error) { return newExchange(), nil }}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		engine.New(engine.Config{Org: org, Connector: nothing, Tick: time.Hour}).Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// What was told the security contacts goes after as many days, but for the last.
func TestSentWordsAreNotKeptForEver(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Open(t.Context(), store.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		org := st.Org(1)
		if err := org.SaveSecurityContacts(t.Context(), []mail.Address{"sec@acme.example"}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := org.Audit(t.Context(), crm.AuditEntry{Action: "settings.save", Widens: true}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(91 * 24 * time.Hour)
			list, err := org.OwedWords(t.Context())
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			if err := org.WordSent(t.Context(), list[0]); err != nil {
				t.Fatal(err)
			}
		}
		defer keepsHouse(t, org)()
		time.Sleep(time.Minute)
		db, err := sql.Open("sqlite", filepath.Join(dir, "postern.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var n int
		if err := db.QueryRowContext(t.Context(), "select count(*) from outbox").Scan(&n); err != nil || n != 1 {
			t.Errorf("%d rows in the outbox, %v", n, err)
		}
	})
}
