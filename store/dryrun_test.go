package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

// TestDryRunReadsAllThatItIsAbout: however few or many people, mailboxes or dates a policy is
// about, each message that it would not file is counted, and named.
func TestDryRunReadsAllThatItIsAbout(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		const size = 600 // and so many people
		var items []*crm.Item
		for n := range size {
			items = append(items, letter(fmt.Sprint(n), cyn, string(ann), fmt.Sprintf("cc:x%d@nowhere.example", n)))
			items[n].Sent = noon.Add(-time.Duration(n) * time.Hour)
		}
		s.save(s.page(&s.ann, items...))
		s.save(s.page(&s.bob, letter("of Bob", cyn, string(bob))))
		for name, c := range map[string]struct {
			change func(*crm.Policy)
			want   int
			reason crm.Reason
		}{
			"nothing":     {func(*crm.Policy) {}, 0, ""},
			"nobody":      {func(p *crm.Policy) { p.Excluded = []crm.Pattern{"elsewhere.example"} }, 0, ""},
			"one person":  {func(p *crm.Policy) { p.Excluded = []crm.Pattern{"x7@nowhere.example"} }, 1, crm.ExcludedAddress},
			"some people": {func(p *crm.Policy) { p.Excluded = []crm.Pattern{"x1*@nowhere.example"} }, 111, crm.ExcludedAddress},
			"most people": {func(p *crm.Policy) { p.Excluded = []crm.Pattern{"nowhere.example"} }, size, crm.ExcludedDomain},
			"period":      {func(p *crm.Policy) { p.Since = noon.Add(-99*time.Hour - time.Minute) }, size - 100, crm.OutsidePeriod},
			"mailbox":     {func(p *crm.Policy) { p.Deny = []crm.Selector{crm.Selector(ann)} }, size, crm.ExcludedMailbox},
			"domains":     {func(p *crm.Policy) { p.Domains = []string{mail.Address(zed).Domain()} }, size + 1, crm.ExcludedMailbox},
		} {
			p, err := s.org.Policy(t.Context())
			s.must(err)
			c.change(&p)
			got, err := s.org.DryRun(t.Context(), p)
			s.must(err)
			if got.Filed.Messages != c.want || got.Filed.Copies != c.want || got.Filed.By[c.reason] != c.want || len(got.Filed.Examples) != min(c.want, 100) {
				t.Errorf("%s: %d messages, %d copies, %v, %d examples; want %d, %s", name, got.Filed.Messages, got.Filed.Copies, got.Filed.By, len(got.Filed.Examples), c.want, c.reason)
			}
			for _, e := range got.Filed.Examples {
				if e.Subject == "" {
					t.Fatalf("%s: an example without a subject: %+v", name, e)
				}
			}
		}
	})
}

// TestDeniedByThePrimaryAddress: a mailbox that is denied by the address that Exchange told of
// it goes, and what was filed from it is taken out, as by its own; and it comes back.
func TestDeniedByThePrimaryAddress(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		s.save(s.page(&s.ann, letter("anns", cyn, string(ann)), letter("both", cyn, string(ann), string(bob))))
		s.save(s.page(&s.bob, letter("bobs", cyn, string(bob))))
		s.ann.Primary = "ann.smith@acme.example"
		s.must(s.org.SaveMailbox(t.Context(), &s.ann))
		p, err := s.org.Policy(t.Context())
		s.must(err)
		p.Deny = []crm.Selector{"ann.smith@*"}
		change, err := s.org.DryRun(t.Context(), p)
		s.must(err)
		if change.Filed.Messages != 2 || change.Filed.By[crm.ExcludedMailbox] != 2 || !slices.Equal(change.Goes, []string{string(ann)}) || len(change.Comes) > 0 {
			t.Errorf("dry run: %+v", change)
		}
		p, err = s.org.SavePolicy(t.Context(), p, true)
		s.must(err)
		history, err := s.org.PolicyHistory(t.Context())
		s.must(err)
		if r := history[0].Removed; r == nil || *r != (store.Removed{Messages: 2, Copies: 2, Done: true}) {
			t.Errorf("removed: %+v", r)
		}
		grant, err := s.org.Grant(t.Context(), &s.ann)
		s.must(err)
		if grant.Refused == nil || grant.Refused.Code != "mailbox-denied" || !strings.Contains(grant.Refused.Message, string(s.ann.Primary)) {
			t.Errorf("granted: %+v", grant.Refused)
		}
		if got := s.boxes(); got != "ann bob" {
			t.Errorf("it does not say so itself any more: %s", got)
		}
		s.sound(&s.ann)

		p.Deny = nil
		change, err = s.org.DryRun(t.Context(), p)
		s.must(err)
		if change.Again != 2 || change.AgainBy[crm.ExcludedMailbox] != 2 || !slices.Equal(change.Comes, []string{string(ann)}) || len(change.Goes) > 0 {
			t.Errorf("dry run of its return: %+v", change)
		}
		before, err := s.org.Mailbox(t.Context(), s.ann.ID)
		s.must(err)
		_, err = s.org.SavePolicy(t.Context(), p, false)
		s.must(err)
		if after, err := s.org.Mailbox(t.Context(), s.ann.ID); err != nil || after.Bell == before.Bell || len(s.due()) != 2 {
			t.Errorf("it is not asked again, %v; due: %v", err, s.due())
		}

		// One of which nothing was looked at while it was denied is asked all the same.
		s.bob.Primary = "robert@acme.example"
		s.must(s.org.SaveMailbox(t.Context(), &s.bob))
		s.savePolicy(func(p *crm.Policy) { p.Deny = []crm.Selector{"robert@acme.example"} })
		before, err = s.org.Mailbox(t.Context(), s.bob.ID)
		s.must(err)
		s.savePolicy(func(p *crm.Policy) { p.Deny = nil })
		if after, err := s.org.Mailbox(t.Context(), s.bob.ID); err != nil || after.Bell == before.Bell {
			t.Errorf("Bob's is not asked again: %v", err)
		}
	})
}
