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

func TestBoxesAreRowsThatAreOn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		box := s.ann
		box.Facts = crm.Facts{Server: "MBX-1", Primary: "ann.lee@acme.example"}
		box.State, box.Checked = crm.Live, noon
		box.Trouble = &crm.Fault{Verdict: crm.Retry, Code: "ErrorServerBusy", Cause: crm.Throttled}
		s.must(s.org.SaveMailbox(t.Context(), &box))
		got, err := s.org.Box(t.Context(), box.ID)
		s.must(err)
		if got.Facts != box.Facts || got.State != crm.Live || !got.Checked.Equal(noon) || got.Trouble.Cause != crm.Throttled || got.User != s.annUser || got.Address != ann {
			t.Errorf("read again: %+v", got)
		}
		if _, err := s.org.Box(t.Context(), 999); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("unknown mailbox: %v", err)
		}
		if list, err := s.org.Boxes(t.Context()); err != nil || len(list) != 2 || !hasBox(list, s.ann.ID) || !hasBox(list, s.bob.ID) {
			t.Errorf("boxes: %+v, %v", list, err)
		}
		s.saveUsers(crm.User{ID: s.annUser, Name: "Ann", Addresses: []mail.Address{ann}, Active: false})
		if list, err := s.org.Boxes(t.Context()); err != nil || len(list) != 1 || hasBox(list, s.ann.ID) {
			t.Errorf("with Ann's switched off: %+v, %v", list, err)
		}
		s.saveUsers(crm.User{ID: s.annUser, Name: "Ann", Addresses: []mail.Address{ann}, Active: true})
		if got, err := s.org.Box(t.Context(), s.ann.ID); err != nil || got.State != crm.Provisioned || got.Facts != (crm.Facts{}) {
			t.Errorf("on again, it still knows what may have changed: %+v, %v", got, err)
		}
	})
}

func TestBudgetsOutliveTheProcess(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		silent := crm.Budget{Scope: crm.MailboxBudget, Key: string(ann), Limit: 1, Until: noon.Add(time.Minute), Changed: noon, Code: "ErrorServerBusy", Strikes: 2}
		narrow := crm.Budget{Scope: crm.HostBudget, Key: "ex.test", Limit: 3, Changed: noon, Code: "http-503"}
		save := func(b crm.Budget) {
			t.Helper()
			if err := db.SaveBudget(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		save(crm.Budget{Scope: crm.MailboxBudget, Key: string(ann), Limit: 9, Code: "older", Strikes: 1})
		save(silent)
		save(narrow)
		again := storetest.OpenDB(t, db.Options)
		list, err := again.Budgets(t.Context())
		if err != nil || len(list) != 2 || list[0] != narrow || list[1] != silent {
			t.Fatalf("after a restart: %+v, %v", list, err)
		}
		narrow.Code, narrow.Limit = "", 10
		save(narrow)
		if list, err := again.Budgets(t.Context()); err != nil || len(list) != 1 || list[0] != silent {
			t.Errorf("one that says nothing any more is kept: %+v, %v", list, err)
		}
	})
}

func TestOneAlertUntilItIsClosed(t *testing.T) {
	now := noon
	storetest.EachDB(t, store.Options{Now: func() time.Time { return now }}, func(t *testing.T, db *storetest.DB) {
		now = noon
		s := newStage(t, db.Store)
		raise := func(code, subject string) bool {
			t.Helper()
			fresh, err := s.org.RaiseAlert(t.Context(), store.Alert{Cause: crm.Disabled, Code: code, Subject: subject, Message: "It is disabled.", Advice: "Enable it."})
			s.must(err)
			now = now.Add(time.Minute)
			return fresh
		}
		if !raise("disabled", "mailbox ann") || raise("disabled", "mailbox ann") || !raise("disabled", "mailbox bob") || !raise("moved", "mailbox ann") || raise("disabled", "mailbox ann") {
			t.Error("an alert is fresh when, and only when, it was not open")
		}
		list, err := s.org.Alerts(t.Context(), true, 10)
		s.must(err)
		if len(list) != 3 {
			t.Fatalf("open: %+v", list)
		}
		a := list[2]
		if a.Code != "disabled" || a.Subject != "mailbox ann" || a.Cause != crm.Disabled || a.Message != "It is disabled." || a.Advice != "Enable it." || a.Count != 3 ||
			!a.Opened.Equal(noon) || !a.Seen.Equal(noon.Add(4*time.Minute)) || !a.Closed.IsZero() {
			t.Errorf("alert: %+v", a)
		}
		closing := func(subject, code string, want int) {
			t.Helper()
			if n, err := s.org.CloseAlerts(t.Context(), subject, code); err != nil || n != want {
				t.Errorf("closed %d of %s %s, want %d (%v)", n, subject, code, want, err)
			}
		}
		closing("mailbox ann", "disabled", 1)
		closing("mailbox ann", "disabled", 0)
		closing("nobody", "", 0)
		if !raise("disabled", "mailbox ann") {
			t.Error("raised again after it was closed, it is fresh")
		}
		closing("mailbox ann", "", 2)
		if list, err := s.org.Alerts(t.Context(), true, 10); err != nil || len(list) != 1 || list[0].Subject != "mailbox bob" {
			t.Errorf("open in the end: %+v, %v", list, err)
		}
		if list, err := s.org.Alerts(t.Context(), false, 3); err != nil || len(list) != 3 || list[0].Closed.IsZero() {
			t.Errorf("the newest three: %+v, %v", list, err)
		}
	})
}
