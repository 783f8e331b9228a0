package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"postern/crm"
	"postern/store"
	"postern/store/storetest"
)

// TestStaleProposals: what is another by now than it was is not done, and says so.
func TestStaleProposals(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		first, second := admins(t, s.org)
		next := s.wider()
		_, err := s.org.SavePolicy(first, next, false)
		policy := held(t, err)
		moved := settings("acme.example")
		moved.Server = "other.test"
		server := held(t, s.org.SaveSettings(first, moved))
		next.Deny = []crm.Selector{crm.Selector(bob), crm.Selector(ann)}
		_, err = s.org.SavePolicy(second, next, false) // narrower, at once
		s.must(err)
		renamed := settings("acme.example")
		renamed.UserAgent = "Other/1"
		s.must(s.org.SaveSettings(second, renamed)) // not wider, at once
		if _, _, err := s.org.DryRunProposal(second, &policy); !errors.Is(err, store.ErrStale) {
			t.Errorf("what it would do: %v", err)
		}
		for _, p := range []crm.Proposal{policy, server} {
			if err := s.org.Approve(second, p.ID); code(err) != "proposal-stale" {
				t.Errorf("%s: %v", p.Kind, err)
			}
			kept, err := s.org.Proposal(t.Context(), p.ID)
			if err != nil || kept.State != crm.ProposalStale || kept.Closed.IsZero() {
				t.Errorf("%s: %+v, %v", p.Kind, kept, err)
			}
		}
		now, err := s.org.Policy(t.Context())
		s.must(err)
		kept, _, err := s.org.Settings(t.Context())
		s.must(err)
		if len(now.Deny) != 2 || kept.Server != "ex.test" || kept.UserAgent != "Other/1" {
			t.Errorf("deny %v, server %s, User-Agent %s", now.Deny, kept.Server, kept.UserAgent)
		}
		actions(t, s.org, "proposal.stale", "proposal.stale")
	})
}

// TestReplacedSecretIsNotPutBack: of a secret the audit log says that it was changed, not to
// what. So a change of what holds one is not done once that was saved anew, whatever it says.
func TestReplacedSecretIsNotPutBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		first, second := admins(t, s.org)
		for name, c := range map[string]struct {
			save func(ctx context.Context, to, secret string) error // what is named otherwise widens
			kept func() (to, secret string)
		}{
			"password": {func(ctx context.Context, to, secret string) error {
				next := settings("acme.example")
				next.Server, next.Password = to+".test", crm.NewSecret(secret)
				return s.org.SaveSettings(ctx, next)
			}, func() (string, string) {
				kept, _, err := s.org.Settings(t.Context())
				s.must(err)
				return strings.TrimSuffix(kept.Server, ".test"), kept.Password.Reveal()
			}},
			"password of a further account": {func(ctx context.Context, to, secret string) error {
				next := settings("acme.example")
				next.Server, next.Others = to+".test", []crm.Account{{Login: "further", Password: crm.NewSecret(secret)}}
				return s.org.SaveSettings(ctx, next)
			}, func() (string, string) {
				kept, _, err := s.org.Settings(t.Context())
				s.must(err)
				return strings.TrimSuffix(kept.Server, ".test"), kept.Others[0].Password.Reveal()
			}},
			"password of the proxy": {func(ctx context.Context, to, secret string) error {
				return s.org.SaveEgress(ctx, crm.Egress{Proxy: "http://" + to + ".test:3128", ProxyLogin: "us", ProxyPassword: crm.NewSecret(secret)})
			}, func() (string, string) {
				kept, err := s.org.Egress(t.Context())
				s.must(err)
				return strings.TrimSuffix(strings.TrimPrefix(kept.Proxy, "http://"), ".test:3128"), kept.ProxyPassword.Reveal()
			}},
		} {
			s.must(s.org.Approve(second, held(t, c.save(first, "old", "first")).ID))
			older := held(t, c.save(first, "new", "second"))
			s.must(c.save(second, "old", "third")) // no widening: at once
			if err := s.org.Approve(second, older.ID); code(err) != "proposal-stale" {
				t.Errorf("%s: approved on what was saved anew: %v", name, err)
			}
			if to, secret := c.kept(); to != "old" || secret != "third" {
				t.Errorf("%s: afterwards %q at %q", name, secret, to)
			}
			anew := held(t, c.save(first, "new", "second"))
			if anew.ID == older.ID || held(t, c.save(first, "new", "second")).ID != anew.ID {
				t.Errorf("%s: made once more: %+v", name, anew)
			}
			s.must(s.org.Approve(second, anew.ID))
			if to, secret := c.kept(); to != "new" || secret != "second" {
				t.Errorf("%s: after the approval %q at %q", name, secret, to)
			}
		}
	})
}

// TestProposedAnew: what was proposed when something else held is not given out for what
// somebody proposes now.
func TestProposedAnew(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		first, second := admins(t, s.org)
		old := held(t, s.org.SetAccessRetention(first, 60))
		s.must(s.org.SetAccessRetention(second, 120)) // longer, at once
		anew := held(t, s.org.SetAccessRetention(first, 60))
		if anew.ID == old.ID || anew.Effects[0].Detail != "days 120 → 60" {
			t.Errorf("proposed anew: %+v", anew)
		}
		s.must(s.org.Approve(second, anew.ID))
	})
}
