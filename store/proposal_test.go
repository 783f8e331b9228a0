package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

const (
	eve = mail.Address("eve@acme.example")
	fay = mail.Address("fay@acme.example")
)

// admins gives an organization two administrators who can sign in, and has it ask for four
// eyes. It returns who acts as each.
func admins(t testing.TB, org *store.Org) (first, second context.Context) {
	t.Helper()
	var acting []context.Context
	for _, a := range []mail.Address{eve, fay} {
		u := crm.User{Name: string(a[:3]), Addresses: []mail.Address{a}, Admin: true, Active: true}
		if _, err := org.SaveUsers(t.Context(), []crm.User{u}); err != nil {
			t.Fatal(err)
		}
		kept, _, err := org.SignIn(t.Context(), a)
		if err == nil {
			err = org.SetPassword(t.Context(), kept.ID, "hash")
		}
		if err != nil {
			t.Fatal(err)
		}
		acting = append(acting, crm.WithUser(t.Context(), kept))
	}
	if err := org.SetFourEyes(acting[0], true); err != nil {
		t.Fatal(err)
	}
	return acting[0], acting[1]
}

// held returns the proposal that a change became.
func held(t testing.TB, err error) crm.Proposal {
	t.Helper()
	h, ok := errors.AsType[*store.HeldError](err)
	if !ok {
		t.Fatalf("the change was not held: %v", err)
	}
	return h.Proposal
}

// waiting leaves a proposal that waits.
func waiting(t testing.TB, org *store.Org) {
	t.Helper()
	first, _ := admins(t, org)
	held(t, org.SetAccessRetention(first, 89))
}

// wider returns the policy that holds with one mailbox less denied, and denies it first.
func (s *stage) wider() crm.Policy {
	s.t.Helper()
	p := s.savePolicy(func(p *crm.Policy) { p.Deny = []crm.Selector{crm.Selector(bob)} })
	p.Deny = nil
	return p
}

// TestWideningWaitsForASecondPerson: what widens access is not done until somebody else
// approves it; who proposed it cannot, in no session and by no other name.
func TestWideningWaitsForASecondPerson(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		first, second := admins(t, s.org)
		next := s.wider()
		_, err := s.org.SavePolicy(first, next, false)
		p := held(t, err)
		if p.ID != 1 || p.Kind != crm.PolicyProposal || p.By != "eve <eve@acme.example>" || p.Expires.Sub(p.At) != store.ProposalTerm || len(p.Effects) != 1 ||
			!strings.Contains(p.Effects[0].Detail, "deny: − bob@acme.example (wider)") {
			t.Errorf("proposed: %+v", p)
		}
		if got := s.boxes(); strings.Contains(got, "bob") {
			t.Errorf("mailboxes before the approval: %s", got)
		}
		if now, err := s.org.Policy(t.Context()); err != nil || now.Version != next.Version {
			t.Errorf("the policy that holds: %+v, %v", now, err)
		}
		if _, err := s.org.SavePolicy(first, next, false); held(t, err).ID != p.ID {
			t.Errorf("the same once more: %v", err)
		}
		renamed := crm.WithUser(t.Context(), &crm.User{ID: crm.Acting(first).User(), Name: "Somebody else", Addresses: []mail.Address{"other@acme.example"}})
		plain, _, err := s.org.SignIn(t.Context(), zed)
		s.must(err)
		for name, c := range map[string]struct {
			ctx  context.Context
			want string
		}{
			"who proposed it":       {first, "four-eyes-same-person"},
			"the same, renamed":     {renamed, "four-eyes-same-person"},
			"no administrator":      {crm.WithUser(t.Context(), plain), "four-eyes-nobody"},
			"nobody":                {t.Context(), "four-eyes-nobody"},
			"a name alone":          {crm.WithActor(t.Context(), "fay <fay@acme.example>"), "four-eyes-nobody"},
			"a user who is not one": {crm.WithUser(t.Context(), &crm.User{ID: 999, Admin: true}), "four-eyes-nobody"},
		} {
			if err := s.org.Approve(c.ctx, p.ID); code(err) != c.want {
				t.Errorf("approved by %s: %v", name, err)
			}
		}
		if err := s.org.Approve(second, 99); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a proposal that there is not: %v", err)
		}
		s.must(s.org.Approve(second, p.ID))
		now, err := s.org.Policy(t.Context())
		s.must(err)
		if now.Version != next.Version+1 || len(now.Deny) != 0 || now.By != "eve <eve@acme.example>, approved by fay <fay@acme.example>" {
			t.Errorf("after the approval: %+v", now)
		}
		if got := s.boxes(); !strings.Contains(got, "bob") {
			t.Errorf("mailboxes after the approval: %s", got)
		}
		for range 2 {
			if err := s.org.Approve(second, p.ID); code(err) != "proposal-closed" {
				t.Errorf("approved once more: %v", err)
			}
			if err := s.org.Reject(first, p.ID); code(err) != "proposal-closed" {
				t.Errorf("rejected afterwards: %v", err)
			}
		}
		actions(t, s.org, "proposal.make", "policy.save", "proposal.approve")
	})
}

// actions checks the last actions of the audit log, which must be whole.
func actions(t testing.TB, org *store.Org, want ...string) {
	t.Helper()
	list, _, err := org.AuditLog(t.Context(), store.AuditQuery{Limit: len(want)})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range slices.Backward(list) {
		got = append(got, e.Action)
	}
	if !slices.Equal(got, want) {
		t.Errorf("audit log: %q, want %q", got, want)
	}
	if v, err := org.VerifyAudit(t.Context()); err != nil || !v.OK() {
		t.Errorf("audit log: %+v, %v", v, err)
	}
}

// TestNarrowingIsDoneAtOnce: what does not widen waits for nobody.
func TestNarrowingIsDoneAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		first, _ := admins(t, s.org)
		p, err := s.org.Policy(first)
		s.must(err)
		p.Deny = []crm.Selector{crm.Selector(ann)}
		if _, err := s.org.SavePolicy(first, p, false); err != nil {
			t.Error(err)
		}
		s.must(s.org.SetAccessRetention(first, 120))
		off := settings("acme.example")
		off.Enabled = false
		s.must(s.org.SaveSettings(first, off))
		if list, err := s.org.Proposals(first); err != nil || len(list) > 0 {
			t.Errorf("proposals: %+v, %v", list, err)
		}
	})
}

// TestEveryWideningWaits: each kind of change is held by the mark that the audit log gives
// it, and done as it was proposed, secrets included.
func TestEveryWideningWaits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		s.must(s.org.SaveUserLimits(t.Context(), s.bobUser, crm.Limits{HeadersOnly: true}))
		first, second := admins(t, s.org)
		moved := settings("acme.example", "other.example")
		moved.Server, moved.Password = "other.test", crm.NewSecret("an0ther-passw0rd")
		moved.Others = []crm.Account{{Login: "further", Password: crm.NewSecret("f-urther")}}
		pool := crm.Egress{Proxy: "http://proxy.example:3128", ProxyLogin: "us", ProxyPassword: crm.NewSecret("pr0xy"), Addresses: []crm.EgressAddress{{Local: netip.MustParseAddr("10.0.0.7")}}}
		for _, c := range []struct {
			kind crm.ProposalKind
			do   func(context.Context) error
			done func() bool
		}{
			{crm.SettingsProposal, func(ctx context.Context) error { return s.org.SaveSettings(ctx, moved) }, func() bool {
				kept, _, err := s.org.Settings(t.Context())
				s.must(err)
				return kept.Server == "other.test" && kept.Password.Reveal() == "an0ther-passw0rd" && len(kept.Domains) == 2 && len(kept.Others) == 1 && kept.Others[0].Password.Reveal() == "f-urther"
			}},
			{crm.EgressProposal, func(ctx context.Context) error { return s.org.SaveEgress(ctx, pool) }, func() bool {
				e, err := s.org.Egress(t.Context())
				s.must(err)
				return e.Proxy == pool.Proxy && e.ProxyPassword.Reveal() == "pr0xy" && len(e.Addresses) == 1
			}},
			{crm.GroupProposal, func(ctx context.Context) error {
				return s.org.SaveGroup(ctx, "sales@acme.example", []mail.Address{bob})
			}, func() bool {
				list, err := s.org.Groups(t.Context())
				s.must(err)
				return len(list) == 1 && len(list[0].Members) == 1
			}},
			{crm.UsersProposal, func(ctx context.Context) error {
				_, err := s.org.SaveUsers(ctx, []crm.User{{ID: s.bobUser, Name: "Bob", Addresses: []mail.Address{bob}, Admin: true, Active: true}})
				return err
			}, func() bool {
				u, _, err := s.org.SignIn(t.Context(), bob)
				s.must(err)
				return u.Admin
			}},
			{crm.LimitsProposal, func(ctx context.Context) error { return s.org.SaveUserLimits(ctx, s.bobUser, crm.Limits{}) }, func() bool {
				all, err := s.org.UserLimits(t.Context())
				s.must(err)
				return !all[s.bobUser].HeadersOnly
			}},
			{crm.RetentionProposal, func(ctx context.Context) error { return s.org.SetAccessRetention(ctx, 89) }, func() bool {
				days, err := s.org.AccessRetention(t.Context())
				s.must(err)
				return days == 89
			}},
			{crm.ContactsProposal, func(ctx context.Context) error {
				s.must(s.org.SaveSecurityContacts(ctx, []mail.Address{"sec@acme.example", "out@other.example"})) // at once: more are told
				return s.org.SaveSecurityContacts(ctx, []mail.Address{"sec@acme.example"})
			}, func() bool {
				list, err := s.org.SecurityContacts(t.Context())
				s.must(err)
				return len(list) == 1
			}},
			{crm.FourEyesProposal, func(ctx context.Context) error { return s.org.SetFourEyes(ctx, false) }, func() bool {
				f, err := s.org.FourEyes(t.Context())
				s.must(err)
				return !f.On()
			}},
		} {
			p := held(t, c.do(first))
			if p.Kind != c.kind || c.done() {
				t.Errorf("%s: proposed %+v, done %v", c.kind, p, c.done())
			}
			if text := fmt.Sprintf("%+v", p); strings.Contains(text, "passw0rd") || strings.Contains(text, "pr0xy") {
				t.Errorf("%s: a secret in the proposal: %s", c.kind, text)
			}
			if _, err := s.org.RotateKeys(t.Context()); err != nil {
				t.Errorf("%s: other keys while it waits: %v", c.kind, err)
			}
			if err := s.org.Approve(second, p.ID); err != nil || !c.done() {
				t.Errorf("%s: approved: %v, done %v", c.kind, err, c.done())
			}
		}
	})
}

// TestProposedRemoval: what a proposal is to remove stays until it is approved, and is
// removed then.
func TestProposedRemoval(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		first, second := admins(t, s.org)
		next := s.wider()
		next.Excluded = []crm.Pattern{"client.example"}
		_, err := s.org.SavePolicy(first, next, true)
		p := held(t, err)
		change, remove, err := s.org.DryRunProposal(second, &p)
		if err != nil || !remove || change.Of != next.Version || len(change.Lines) != 2 || change.Lines[0].Old != string(bob) || change.Lines[1].New != "client.example" {
			t.Errorf("proposed: %+v, remove %v, %v", change, remove, err)
		}
		removed := func() *store.Removed {
			list, err := s.org.PolicyHistory(second)
			s.must(err)
			return list[0].Removed
		}
		if r := removed(); r != nil {
			t.Errorf("removed before the approval: %+v", r)
		}
		s.must(s.org.Approve(second, p.ID))
		if r := removed(); r == nil || !r.Done {
			t.Errorf("removed: %+v", r)
		}
		if _, _, err := s.org.DryRunProposal(second, &p); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("what it was to save is kept: %v", err)
		}
	})
}

// TestWhatIsNobodysToApprove: who belongs to a group is Exchange's to say; the own
// limits are the user's.
func TestWhatIsNobodysToApprove(t *testing.T) {
	st := storetest.OpenDB(t, store.Options{})
	s := newStage(t, st.Store)
	admins(t, s.org)
	s.must(s.org.SaveGroup(t.Context(), "sales@acme.example", []mail.Address{bob}))
	own := crm.WithUser(t.Context(), &crm.User{ID: s.bobUser, Name: "Bob"})
	s.must(s.org.SaveUserLimits(own, s.bobUser, crm.Limits{HeadersOnly: true}))
	s.must(s.org.SaveUserLimits(own, s.bobUser, crm.Limits{}))
}

// TestUsersWhoGetMore: an address in place of another and another mailbox of the same user
// widen as one more does, and a second person is told which they are.
func TestUsersWhoGetMore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		bob2 := mail.Address("bob2@acme.example")
		first, second := admins(t, s.org)
		save := func(active bool, list ...mail.Address) error {
			_, err := s.org.SaveUsers(first, []crm.User{{ID: s.bobUser, Name: "Bob", Addresses: list, Active: active}})
			return err
		}
		for _, c := range []struct {
			active bool
			list   []mail.Address
			want   string // in the audit log; "" = done at once
		}{
			{true, []mail.Address{bob2}, "Bob <bob2@acme.example>: address added: bob2@acme.example"},
			{true, []mail.Address{bob2, bob}, "Bob <bob2@acme.example>: address added: bob@acme.example"},
			{true, []mail.Address{bob, bob2}, "Bob <bob@acme.example>: mailbox: bob2@acme.example → bob@acme.example"},
			{false, []mail.Address{bob, bob2}, ""},
			{true, []mail.Address{bob, bob2}, "Bob <bob@acme.example>: address added: bob2@acme.example"},
			{true, []mail.Address{bob}, ""},
		} {
			err := save(c.active, c.list...)
			if c.want == "" {
				s.must(err)
				continue
			}
			p := held(t, err)
			if !strings.Contains("\n"+p.Effects[0].Detail+"\n", "\n"+c.want+"\n") {
				t.Errorf("%v: no line %q in\n%s", c.list, c.want, p.Effects[0].Detail)
			}
			s.must(s.org.Approve(second, p.ID))
		}
	})
}

// TestProposalsThatAreNotApproved: one is rejected by somebody else, withdrawn by who made
// it, or expires; none does anything then.
func TestProposalsThatAreNotApproved(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		first, second := admins(t, s.org)
		rejected := held(t, s.org.SetAccessRetention(first, 60))
		s.must(s.org.Reject(second, rejected.ID))
		withdrawn := held(t, s.org.SetAccessRetention(first, 60))
		s.must(s.org.Reject(first, withdrawn.ID))
		late := held(t, s.org.SetAccessRetention(first, 60))
		db.Exec(t, fmt.Sprintf("update proposal set expires_at = %d where id = %d", time.Now().Add(-time.Second).UnixMicro(), late.ID))
		if n, err := s.org.WaitingProposals(first); err != nil || n != 0 {
			t.Errorf("%d wait, %v", n, err)
		}
		if err := s.org.Approve(second, late.ID); code(err) != "proposal-closed" {
			t.Errorf("approved too late: %v", err)
		}
		list, err := s.org.Proposals(first)
		s.must(err)
		if len(list) != 3 || list[0].State != crm.ProposalExpired || list[1].State != crm.ProposalWithdrawn || list[2].State != crm.ProposalRejected || list[2].ClosedBy != "fay <fay@acme.example>" {
			t.Errorf("proposals: %+v", list)
		}
		if days, err := s.org.AccessRetention(first); err != nil || days != 90 {
			t.Errorf("kept for %d days, %v", days, err)
		}
		actions(t, s.org, "proposal.make", "proposal.reject", "proposal.make", "proposal.withdraw", "proposal.make", "proposal.expire")
		var left int
		if err := db.SQL.QueryRowContext(t.Context(), "select count(*) from proposal where change is not null").Scan(&left); err != nil || left != 0 {
			t.Errorf("%d changes are kept of what is decided, %v", left, err)
		}
	})
}

// TestApprovedByTwoAtOnce: of several who decide at the same moment, one does.
func TestApprovedByTwoAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		first, second := admins(t, s.org)
		p := held(t, s.org.SetAccessRetention(first, 60))
		var done sync.WaitGroup
		errs := make([]error, 6)
		for i := range errs {
			done.Go(func() {
				switch i % 3 {
				case 0:
					errs[i] = s.org.Approve(second, p.ID)
				case 1:
					errs[i] = s.org.Approve(crm.WithOperator(t.Context(), "command line (root)"), p.ID)
				default:
					errs[i] = s.org.Reject(second, p.ID)
				}
			})
		}
		done.Wait()
		decided := 0
		for i, err := range errs {
			switch {
			case err == nil:
				decided++
			case code(err) != "proposal-closed":
				t.Errorf("%d: %v", i, err)
			}
		}
		if decided != 1 {
			t.Errorf("decided %d times: %v", decided, errs)
		}
		list, n, err := s.org.AuditLog(t.Context(), store.AuditQuery{Action: "access-log.retention"})
		kept, err2 := s.org.Proposal(t.Context(), p.ID)
		if err != nil || err2 != nil || n != map[bool]int{true: 1}[kept.State == crm.ProposalApproved] {
			t.Errorf("%s: done %d times: %+v, %v, %v", kept.State, n, list, err, err2)
		}
	})
}

// TestFourEyesLockNobodyOut: it takes two administrators who can sign in to turn it on; who
// runs commands is one person, the other pair of eyes of whoever is left.
func TestFourEyesLockNobodyOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		s.must(s.org.SetPassword(t.Context(), s.annUser, "hash"))
		annActs := crm.WithUser(t.Context(), &crm.User{ID: s.annUser, Name: "Ann"})
		if err := s.org.SetFourEyes(annActs, true); code(err) != "four-eyes-one-administrator" {
			t.Errorf("turned on by the only administrator: %v", err)
		}
		s.saveUsers(crm.User{Name: "Eve", Addresses: []mail.Address{eve}, Admin: true, Active: true})
		if err := s.org.SetFourEyes(annActs, true); code(err) != "four-eyes-one-administrator" {
			t.Errorf("turned on where the second cannot sign in: %v", err)
		}
		first, second := admins(t, s.org)
		if err := s.org.SetPassword(first, crm.Acting(second).User(), "known"); code(err) != "four-eyes-password" {
			t.Errorf("the password of another administrator: %v", err)
		}
		s.must(s.org.SetPassword(first, crm.Acting(first).User(), "own"))
		s.must(s.org.SetPassword(first, s.bobUser, "no administrator's"))

		root, other := crm.WithOperator(t.Context(), "command line (root)"), crm.WithOperator(t.Context(), "command line (ops)")
		p := held(t, s.org.SetAccessRetention(root, 60))
		if err := s.org.Approve(other, p.ID); code(err) != "four-eyes-same-person" {
			t.Errorf("approved by another name on the command line: %v", err)
		}
		s.must(s.org.Approve(first, p.ID))

		// One is left, with the operator.
		leave := func(ids ...crm.UserID) {
			for _, id := range ids {
				u, err := s.org.User(t.Context(), id)
				s.must(err)
				u.Admin = false
				s.saveUsers(u.User)
			}
		}
		leave(s.annUser, crm.Acting(second).User())
		p = held(t, s.org.SetAccessRetention(first, 30))
		if err := s.org.Approve(second, p.ID); code(err) != "four-eyes-nobody" {
			t.Errorf("approved by who is no administrator any more: %v", err)
		}
		s.must(s.org.Approve(root, p.ID))

		// Nobody is left: the operator is not locked out.
		leave(crm.Acting(first).User())
		s.must(s.org.SetFourEyes(root, false))
	})
}

// TestFirstAdministratorIsNoSecondPerson: the account of the first start is nobody's own. Who
// has its password besides an account could be both pairs of eyes.
func TestFirstAdministratorIsNoSecondPerson(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		s.must(s.org.SetPassword(t.Context(), s.annUser, "hash"))
		ann := crm.WithUser(t.Context(), &crm.User{ID: s.annUser, Name: "Ann"})
		s.saveUsers(crm.User{Name: "Administrator", Addresses: []mail.Address{crm.FirstAdmin}, Admin: true, Active: true})
		bootstrap, _, err := s.org.SignIn(t.Context(), crm.FirstAdmin)
		s.must(err)
		s.must(s.org.SetPassword(t.Context(), bootstrap.ID, "hash"))
		if err := s.org.SetFourEyes(ann, true); code(err) != "four-eyes-one-administrator" {
			t.Errorf("turned on by one administrator and the first account: %v", err)
		}
		s.saveUsers(crm.User{Name: "Eve", Addresses: []mail.Address{eve}, Admin: true, Active: true})
		second, _, err := s.org.SignIn(t.Context(), eve)
		s.must(err)
		s.must(s.org.SetPassword(t.Context(), second.ID, "hash"))
		if err := s.org.SetFourEyes(ann, true); code(err) != "four-eyes-first-administrator" {
			t.Errorf("turned on while the first account can sign in: %v", err)
		}
		bootstrap.Active = false
		s.saveUsers(*bootstrap)
		s.must(s.org.SetFourEyes(ann, true))

		// It comes back, which takes two people, and decides nothing all the same.
		bootstrap.Active = true
		_, err = s.org.SaveUsers(ann, []crm.User{*bootstrap})
		s.must(s.org.Approve(crm.WithUser(t.Context(), second), held(t, err).ID))
		p := held(t, s.org.SetAccessRetention(ann, 30))
		if err := s.org.Approve(crm.WithUser(t.Context(), bootstrap), p.ID); code(err) != "four-eyes-nobody" {
			t.Errorf("approved by the first account: %v", err)
		}
		if f, err := s.org.FourEyes(t.Context()); err != nil || f.Admins != 2 || !f.First {
			t.Errorf("who can sign in: %+v, %v", f, err)
		}
	})
}

// TestProposalsOfAnotherOrganization: they are neither seen nor decided from outside.
func TestProposalsOfAnotherOrganization(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		if err := st.SaveDeployment(t.Context(), crm.Deployment{Mode: crm.MultiTenant}); err != nil {
			t.Fatal(err)
		}
		waiting(t, st.Org(1))
		other, err := st.AddOrg(t.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		root := crm.WithOperator(t.Context(), "command line (root)")
		for _, err := range []error{st.Org(other.ID).Approve(root, 1), st.Org(other.ID).Reject(root, 1)} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("decided from another organization: %v", err)
			}
		}
		if list, err := st.Org(other.ID).Proposals(root); err != nil || len(list) > 0 {
			t.Errorf("seen: %+v, %v", list, err)
		}
		if f, err := st.Org(other.ID).FourEyes(root); err != nil || f.On() {
			t.Errorf("asked for in the other: %+v, %v", f, err)
		}
	})
}
