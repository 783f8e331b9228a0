package store_test

import (
	"errors"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/crm"
	"postern/store"
	"postern/store/storetest"
)

// TestChecksAreKept: the latest run with all that it found, who ran it, and when Exchange
// was last seen to refuse what it must refuse.
func TestChecksAreKept(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		if _, err := s.org.LastCheck(t.Context()); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("before the first: %v", err)
		}
		ctx := crm.WithActor(t.Context(), "Ann")
		first := store.Check{Began: noon, Took: 3 * time.Second, Server: "mail.acme.example", UserAgent: "Acme/1", Outside: "boss@acme.example", Stranger: true, Findings: []crm.Finding{
			{Code: "dns", Step: "Name and address", OK: true, Detail: "found", Took: time.Millisecond},
			{Code: "tls", Step: "Certificate", OK: true, Warn: true, Fault: &crm.Fault{Code: "tls-expires-soon", Message: "soon", Err: errors.New("of the log")}},
			{Code: "must-fail-mailbox", Step: "Mailbox that must be refused", For: crm.ForExchangeAdmin, Fix: "narrow", Fault: &crm.Fault{Code: "wider-than-needed", Scope: crm.MailboxScope}},
		}}
		saved, err := s.org.SaveCheck(ctx, first)
		s.must(err)
		if saved.ID != 1 || saved.By != "Ann" || saved.Red() != 1 || saved.Warnings() != 1 {
			t.Errorf("saved %+v", saved)
		}
		_, err = s.org.SaveCheck(ctx, store.Check{Began: noon, Findings: []crm.Finding{{Code: "must-fail-mailbox", Skip: true}}})
		s.must(err)
		list, err := s.org.Checks(t.Context(), 10)
		s.must(err)
		if len(list) != 2 || list[0].ID != 2 {
			t.Fatalf("kept %+v", list)
		}
		if d := gocmp.Diff(saved, &list[1]); d != "" {
			t.Errorf("read again: %s", d)
		}
		if f := list[1].Finding("tls"); f == nil || f.Fault.Err != nil {
			t.Errorf("kept %+v", f)
		}
	})
}

// TestOldChecksGo: only so many are kept.
func TestOldChecksGo(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		for range 55 {
			_, err := s.org.SaveCheck(t.Context(), store.Check{Began: noon})
			s.must(err)
		}
		list, err := s.org.Checks(t.Context(), 100)
		s.must(err)
		if len(list) != 50 || list[0].ID != 55 || list[49].ID != 6 {
			t.Errorf("%d are kept", len(list))
		}
	})
}
