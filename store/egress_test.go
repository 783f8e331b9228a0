package store_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/store"
	"postern/store/storetest"
)

func TestEgressIsKeptAndAudited(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		if e, err := s.org.Egress(t.Context()); err != nil || len(e.Addresses) != 0 || e.Proxy != "" || !e.Saved.IsZero() {
			t.Fatalf("before anything was saved: %+v, %v", e, err)
		}
		address := func(text string) crm.EgressAddress {
			t.Helper()
			a, err := crm.ParseEgressAddress(text)
			s.must(err)
			return a
		}
		first := crm.Egress{
			Addresses: []crm.EgressAddress{address("10.0.0.7=198.51.100.7"), address("2001:db8::7 from=2026-12-01 until=2027-01-01T06:30Z")},
			Proxy:     "http://proxy.acme.example:3128", ProxyLogin: "svc", ProxyPassword: crm.NewSecret("hidden-password"),
		}
		before, err := s.org.Revision(t.Context())
		s.must(err)
		s.must(s.org.SaveEgress(crm.WithActor(t.Context(), "Ann"), first))
		if after, err := s.org.Revision(t.Context()); err != nil || after <= before {
			t.Errorf("the revision was not raised (%v), so nobody would notice", err)
		}
		got, err := s.org.Egress(t.Context())
		s.must(err)
		if !slices.Equal(got.Addresses, first.Addresses) || got.Proxy != first.Proxy || got.ProxyLogin != "svc" || got.ProxyPassword.Reveal() != "hidden-password" || got.Saved.IsZero() {
			t.Errorf("read again: %+v", got)
		}

		second := first
		second.Addresses, second.ProxyPassword = first.Addresses[:1], crm.NewSecret("another")
		s.must(s.org.SaveEgress(t.Context(), second))
		s.must(s.org.SaveEgress(t.Context(), second))
		s.must(s.org.SaveEgress(t.Context(), crm.Egress{}))
		if got, err := s.org.Egress(t.Context()); err != nil || len(got.Addresses) != 0 || got.Proxy != "" || !got.ProxyPassword.Empty() {
			t.Errorf("emptied: %+v, %v", got, err)
		}
		if other, err := db.Org(2).Egress(t.Context()); err != nil || other.Proxy != "" {
			t.Errorf("another organization: %+v, %v", other, err)
		}

		want := []struct {
			widens bool
			lines  string
		}{
			{true, "address added: 10.0.0.7=198.51.100.7|address added: 2001:db8::7 from=2026-12-01T00:00Z until=2027-01-01T06:30Z|proxy: none → http://proxy.acme.example:3128|proxy login: none → svc|proxy password: set"},
			{false, "address removed: 2001:db8::7 from=2026-12-01T00:00Z until=2027-01-01T06:30Z|proxy password: changed"},
			{false, "saved unchanged"},
			{true, "address removed: 10.0.0.7=198.51.100.7|no address is prescribed any more|proxy: http://proxy.acme.example:3128 → none|proxy login: svc → none|proxy password: taken away"},
		}
		entries := audited(t, db, 1, "egress.save")
		if len(entries) != len(want) {
			t.Fatalf("%d entries, want %d", len(entries), len(want))
		}
		for i, e := range entries {
			if e.Widens != want[i].widens || e.Detail != strings.ReplaceAll(want[i].lines, "|", "\n") {
				t.Errorf("entry %d: widens %v\n%s\nwant %v\n%s", i, e.Widens, e.Detail, want[i].widens, want[i].lines)
			}
			if strings.Contains(e.Detail, "hidden") {
				t.Error("the audit log holds a password")
			}
		}
		if entries[0].Actor != "Ann" {
			t.Errorf("the actor is %q", entries[0].Actor)
		}
	})
}

// TestFirstAddressNarrows: as long as no address is prescribed, requests leave from any.
func TestFirstAddressNarrows(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		pool := func(list ...string) {
			t.Helper()
			var e crm.Egress
			for _, text := range list {
				e.Addresses = append(e.Addresses, crm.EgressAddress{Local: netip.MustParseAddr(text)})
			}
			s.must(s.org.SaveEgress(t.Context(), e))
		}
		pool("10.0.0.7")
		pool("10.0.0.7", "10.0.0.8")
		pool("10.0.0.9")
		pool()
		var widens []bool
		for _, e := range audited(t, db, 1, "egress.save") {
			widens = append(widens, e.Widens)
		}
		if want := []bool{false, true, true, true}; !slices.Equal(widens, want) {
			t.Errorf("the first, a further one, another one, none: %v, want %v", widens, want)
		}
	})
}

// TestEgressTriesAgain: who stands still for want of an address is tried at once when the
// list is saved.
func TestEgressTriesAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		box := s.ann
		box.State, box.Due = crm.Attention, time.Now().Add(24*time.Hour)
		box.Trouble = &crm.Fault{Verdict: crm.Reauth, Scope: crm.OrgScope, Code: "proxy-password-refused"}
		s.must(s.org.SaveMailbox(t.Context(), &box))
		s.must(s.org.SaveEgress(t.Context(), crm.Egress{Addresses: []crm.EgressAddress{{Local: netip.MustParseAddr("127.0.0.2")}}}))
		got, err := s.org.Box(t.Context(), box.ID)
		s.must(err)
		if got.Trouble != nil || !got.Due.Before(box.Due) {
			t.Errorf("the mailbox is left alone: %+v", got)
		}
	})
}
