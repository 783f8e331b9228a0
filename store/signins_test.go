package store_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/store"
	"postern/store/storetest"
)

// howOpened are settings with every secret that there is.
func howOpened() crm.Settings {
	s := settings("acme.example")
	s.Model, s.Scheme = crm.ByDelegation, crm.Kerberos
	s.Login, s.Password, s.Keytab = "svc@ACME.EXAMPLE", crm.NewSecret("canary one"), crm.NewSecret("canary two")
	s.KDC, s.ClientCertificate, s.ClientKey = "[libdefaults]", "-----BEGIN CERTIFICATE-----", crm.NewSecret("canary three")
	s.Others = []crm.Account{
		{Login: "svc2@ACME.EXAMPLE", Password: crm.NewSecret("canary four")},
		{Login: "svc3@ACME.EXAMPLE", Keytab: crm.NewSecret("canary five")},
	}
	return s
}

func TestHowMailboxesAreOpenedIsKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		want := howOpened()
		for range 2 {
			s.must(s.org.SaveSettings(t.Context(), want))
			got, _, err := s.org.Settings(t.Context())
			s.must(err)
			got.Saved, want.Saved = time.Time{}, time.Time{}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("read again: %+v, want %+v", got, want)
			}
			want.Others = want.Others[1:]
			want.ClientKey, want.ClientCertificate = crm.Secret{}, ""
		}
		keys, err := s.org.Keys(t.Context())
		s.must(err)
		if _, err := s.org.RotateKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, _, err := s.org.Settings(t.Context())
		if err != nil || got.Others[0].Keytab.Reveal() != "canary five" || got.Keytab.Reveal() != "canary two" {
			t.Errorf("after a rotation of %d values: %+v, %v", keys.Values, got, err)
		}
	})
}

func TestUsersOpenTheirOwnMailboxes(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		login := crm.Account{Login: `ACME\ann`, Password: crm.NewSecret("canary of ann")}
		if err := s.org.SaveSignIn(t.Context(), s.annUser, login); code(err) != "sign-in-not-asked" {
			t.Errorf("under a service account: %v", err)
		}
		own := settings("acme.example")
		own.Model = crm.ByOwnSignIn
		s.must(s.org.SaveSettings(t.Context(), own))
		if all, err := s.org.SignIns(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("before anybody signed in: %v, %v", all, err)
		}

		box := s.ann
		box.State, box.Due = crm.Attention, time.Now().Add(24*time.Hour)
		box.Trouble = &crm.Fault{Verdict: crm.Reauth, Scope: crm.MailboxScope, Code: "password-refused"}
		s.must(s.org.SaveMailbox(t.Context(), &box))
		before, err := s.org.Revision(t.Context())
		s.must(err)
		s.must(s.org.SaveSignIn(crm.WithActor(t.Context(), "Ann"), s.annUser, login))
		if after, err := s.org.Revision(t.Context()); err != nil || after <= before {
			t.Errorf("the revision was not raised (%v), so nobody would notice", err)
		}
		if got, err := s.org.Box(t.Context(), box.ID); err != nil || got.Trouble != nil || !got.Due.Before(box.Due) {
			t.Errorf("the mailbox is left alone: %+v, %v", got, err)
		}
		all, err := s.org.SignIns(t.Context())
		if err != nil || len(all) != 1 || !all[ann].Equal(login) {
			t.Errorf("got %v, %v: want ann's alone", all, err)
		}
		if view, err := s.org.SignInOf(t.Context(), s.annUser); err != nil || view.Login != login.Login || view.Saved.IsZero() {
			t.Errorf("what ann is shown: %+v, %v", view, err)
		}
		if _, err := s.org.SignInOf(t.Context(), s.bobUser); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("what bob is shown: %v", err)
		}
		if all, err := db.Org(2).SignIns(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("another organization: %v, %v", all, err)
		}

		s.must(s.org.ForgetSignIn(t.Context(), s.annUser))
		s.must(s.org.ForgetSignIn(t.Context(), s.annUser))
		if all, err := s.org.SignIns(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("after it was forgotten: %v, %v", all, err)
		}
		in, out := audited(t, db, 1, "mailbox.sign-in"), audited(t, db, 1, "mailbox.sign-out")
		if len(in) != 1 || len(out) != 1 || in[0].Actor != "Ann" || in[0].Subject != string(ann) || !in[0].Widens || strings.Contains(in[0].Detail, "canary") {
			t.Errorf("the audit log has %+v and %+v", in, out)
		}
	})
}

// TestSignInsEndWithWhatTheyWereGivenFor: a password that a user gave for one server does
// not go to another, and none is kept that serves nothing.
func TestSignInsEndWithWhatTheyWereGivenFor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		own := settings("acme.example")
		own.Model = crm.ByOwnSignIn
		own.Scheme, own.KDC = crm.NTLM, "[libdefaults]"
		elsewhere, shared, realm, trusting, inTheClear := own, own, own, own, own
		elsewhere.Server, shared.Model, realm.KDC, inTheClear.Scheme = "other.example", crm.ByImpersonation, "[realms]", crm.Basic
		trusting.RootCAs = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
		for _, other := range []crm.Settings{elsewhere, shared, realm, trusting, inTheClear} {
			s.must(s.org.SaveSettings(t.Context(), own))
			s.must(s.org.SaveSignIn(t.Context(), s.annUser, crm.Account{Login: "ann", Password: crm.NewSecret("pw")}))
			s.must(s.org.SaveSettings(t.Context(), own))
			if all, err := s.org.SignIns(t.Context()); err != nil || len(all) != 1 {
				t.Errorf("saved again unchanged: %v, %v", all, err)
			}
			s.must(s.org.SaveSettings(t.Context(), other))
			if _, err := s.org.SignInOf(t.Context(), s.annUser); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("it outlived the change: %v", err)
			}
			if list, _, err := s.org.AuditLog(t.Context(), store.AuditQuery{Action: "settings.save", Limit: 1}); err != nil || !strings.Contains(list[0].Detail, "own sign-ins: taken away") {
				t.Errorf("the audit log does not say so: %+v, %v", list, err)
			}
		}
	})
}
