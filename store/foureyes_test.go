package store_test

import (
	"context"
	"testing"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

// TestPasswordBeforePromotion: who set a user's password, or could act as who did, is no
// second person beside that user, though the user became an administrator only afterwards.
// A new password by the operator parts the two.
func TestPasswordBeforePromotion(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		cyd, dan := s.plainUser("cyd@acme.example"), s.plainUser("dan@acme.example")
		first, second := admins(t, s.org)
		root := crm.WithOperator(t.Context(), "command line (root)")
		s.must(s.org.SetPassword(first, crm.Acting(cyd).User(), "known to the first"))
		s.promote(first, second, crm.Acting(cyd).User())
		s.must(s.org.SetPassword(cyd, crm.Acting(cyd).User(), "the own, by whoever knew that one"))
		s.must(s.org.SetPassword(cyd, crm.Acting(dan).User(), "known to who acts as Cyd"))
		s.promote(first, second, crm.Acting(dan).User())

		byFirst, byCyd := held(t, s.org.SetAccessRetention(first, 60)), held(t, s.org.SetAccessRetention(cyd, 50))
		for name, c := range map[string]struct {
			who context.Context
			p   crm.Proposal
		}{
			"whose password the proposer set":          {cyd, byFirst},
			"whose password one of the proposer's set": {dan, byFirst},
			"who set the proposer's":                   {first, byCyd},
			"whose password the proposer set, in Cyd":  {dan, byCyd},
		} {
			if err := s.org.Approve(c.who, c.p.ID); code(err) != "four-eyes-password" {
				t.Errorf("approved by one %s: %v", name, err)
			}
		}
		if days, err := s.org.AccessRetention(first); err != nil || days != 90 {
			t.Errorf("kept for %d days, %v", days, err)
		}
		s.must(s.org.Reject(cyd, byCyd.ID)) // to withdraw takes no second person

		s.must(s.org.SetPassword(root, crm.Acting(cyd).User(), "known to no administrator"))
		s.must(s.org.SetPassword(cyd, crm.Acting(cyd).User(), "the own"))
		if err := s.org.Approve(second, held(t, s.org.SetAccessRetention(dan, 70)).ID); err != nil {
			t.Errorf("approved by one who set neither password: %v", err)
		}
		p := held(t, s.org.SetAccessRetention(first, 40))
		if err := s.org.Approve(cyd, p.ID); err != nil {
			t.Errorf("approved after the operator set a new password: %v", err)
		}
	})
}

// TestOneWhoSetBothPasswords: two administrators whose passwords a third set are not two.
func TestOneWhoSetBothPasswords(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		cyd, dan := s.plainUser("cyd@acme.example"), s.plainUser("dan@acme.example")
		first, second := admins(t, s.org)
		for _, who := range []context.Context{cyd, dan} {
			s.must(s.org.SetPassword(first, crm.Acting(who).User(), "known to the first"))
			s.promote(first, second, crm.Acting(who).User())
		}
		p := held(t, s.org.SetAccessRetention(cyd, 60))
		if err := s.org.Approve(dan, p.ID); code(err) != "four-eyes-password" {
			t.Errorf("approved by one whose password the same person set: %v", err)
		}
		s.must(s.org.SetPassword(crm.WithOperator(t.Context(), "command line (root)"), crm.Acting(dan).User(), "known to nobody else"))
		s.must(s.org.Approve(dan, p.ID))
	})
}

// plainUser adds a user who is no administrator, and returns who acts as that user.
func (s *stage) plainUser(a mail.Address) context.Context {
	s.t.Helper()
	s.saveUsers(crm.User{Name: string(a[:3]), Addresses: []mail.Address{a}, Active: true})
	u, _, err := s.org.SignIn(s.t.Context(), a)
	s.must(err)
	return crm.WithUser(s.t.Context(), u)
}

// promote makes a user an administrator, as one proposes and another approves.
func (s *stage) promote(proposer, approver context.Context, id crm.UserID) {
	s.t.Helper()
	u, err := s.org.User(s.t.Context(), id)
	s.must(err)
	u.Admin = true
	_, err = s.org.SaveUsers(proposer, []crm.User{u.User})
	s.must(s.org.Approve(approver, held(s.t, err).ID))
}

// TestLessTraceWaits: who could shorten the access log alone could hide what was done with
// it; a longer one is kept at once.
func TestLessTraceWaits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		first, second := admins(t, s.org)
		days := func(want int) {
			t.Helper()
			if got, err := s.org.AccessRetention(first); err != nil || got != want {
				t.Errorf("kept for %d days, %v; want %d", got, err, want)
			}
		}
		s.must(s.org.SetAccessRetention(first, 120))
		days(120)
		p := held(t, s.org.SetAccessRetention(first, 3))
		if len(p.Effects) != 1 || !p.Effects[0].Widens || p.Effects[0].Detail != "days 120 → 3" {
			t.Errorf("proposed: %+v", p)
		}
		days(120)
		s.must(s.org.Approve(second, p.ID))
		days(3)
		list, _, err := s.org.AuditLog(t.Context(), store.AuditQuery{Action: "access-log.retention"})
		s.must(err)
		if len(list) != 2 || !list[0].Widens || list[1].Widens {
			t.Errorf("audit log: %+v", list)
		}
	})
}
