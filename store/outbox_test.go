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
