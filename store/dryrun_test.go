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
