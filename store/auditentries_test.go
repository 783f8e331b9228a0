package store_test

import (
	"strings"
	"testing"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

// Each change leaves an entry that says who did what, what was and is, and whether more is
// allowed by it; of secrets only that they changed.
func TestChangesAreAudited(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		org := db.Org(1)
		ctx := crm.WithActor(t.Context(), "Ann Smith <ann@acme.example>")
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		last := func(action, subject string, widens bool, details ...string) {
			t.Helper()
			list, total, err := org.AuditLog(t.Context(), store.AuditQuery{Limit: 1})
			do(err)
			e := list[0]
			if e.Seq != int64(total) || e.Actor != "Ann Smith <ann@acme.example>" || e.Action != action || e.Subject != subject || e.Widens != widens || len(e.Hash) != 64 || e.At.IsZero() {
				t.Errorf("entry %+v, want %s %q, widens: %v", e, action, subject, widens)
			}
			for _, d := range details {
				if !strings.Contains("\n"+e.Detail+"\n", "\n"+d+"\n") {
					t.Errorf("%s: no line %q in\n%s", action, d, e.Detail)
				}
			}
			if strings.Contains(e.Detail, "word") && strings.Contains(e.Detail, "xyzzy") {
				t.Errorf("a secret stands in %q", e.Detail)
			}
		}

		s := crm.Settings{Server: "ews.acme.example", Login: "svc", Password: crm.NewSecret("xyzzy-word"), Domains: []string{"acme.example"}}
		do(org.SaveSettings(ctx, s))
		last("settings.save", "", true, "server: none → ews.acme.example", "account: none → svc", "password: set", "domain added: acme.example")
		do(org.SaveSettings(ctx, s))
		last("settings.save", "", false, "saved unchanged")
		s.Password, s.UserAgent = crm.NewSecret("xyzzy-other-word"), "Acme/1"
		do(org.SaveSettings(ctx, s))
		last("settings.save", "", false, "password: changed", "User-Agent: none → Acme/1")
		s.Enabled = true
		do(org.SaveSettings(ctx, s))
		last("settings.save", "", true, "collecting: off → on")
		s.Enabled, s.Domains = false, nil
		do(org.SaveSettings(ctx, s))
		last("settings.save", "", false, "collecting: on → off", "domain removed: acme.example")
		_, err := org.SaveUsers(ctx, []crm.User{{Name: "Bob", Addresses: []mail.Address{"bob@acme.example"}, Active: true}})
		do(err)
		last("users.save", "Bob <bob@acme.example>", true, "1 new, 0 changed, 0 as before", "Bob <bob@acme.example>: address added: bob@acme.example")
		bob := crm.User{Name: "Bob", Addresses: []mail.Address{"bob@acme.example"}, Active: true, Admin: true}
		_, err = org.SaveUsers(ctx, []crm.User{bob, {Name: "Cy", Addresses: []mail.Address{"cy@acme.example"}}})
		do(err)
		last("users.save", "", true, "1 new, 1 changed, 0 as before", "administrator added: Bob <bob@acme.example>")
		bob.Admin = false
		_, err = org.SaveUsers(ctx, []crm.User{bob})
		do(err)
		last("users.save", "Bob <bob@acme.example>", false, "administrator removed: Bob <bob@acme.example>")
		_, n, err := org.AuditLog(ctx, store.AuditQuery{})
		do(err)
		if _, err = org.SaveUsers(ctx, []crm.User{bob}); err != nil {
			t.Fatal(err)
		}
		if _, again, err := org.AuditLog(ctx, store.AuditQuery{}); err != nil || again != n {
			t.Errorf("users that were saved without a change left an entry")
		}

		user, _, err := org.SignIn(ctx, "bob@acme.example")
		do(err)
		do(org.SetPassword(ctx, user.ID, "a hash"))
		last("password.set", "Bob <bob@acme.example>", false)
		_, err = org.SaveContacts(ctx, []crm.Contact{{Name: "Dee", Addresses: []mail.Address{"dee@client.example"}}})
		do(err)
		last("contacts.save", "Dee", false, "1 new, 0 changed, 0 as before")
		_, err = org.Leave(ctx, 1, 2)
		do(err)
		last("quarantine.leave", "", false, "items: 0")

		widening, total, err := org.AuditLog(ctx, store.AuditQuery{Widens: true, Action: "settings.save", Actor: "Ann Smith <ann@acme.example>"})
		if err != nil || total != 2 || len(widening) != 2 || widening[0].Seq != 5 {
			t.Errorf("entries that widen: %v, %d, %v", widening, total, err)
		}
		actors, actions, err := org.AuditWords(ctx)
		if err != nil || len(actors) != 1 || strings.Join(actions, " ") != "contacts.save password.set policy.save quarantine.leave settings.save users.save" {
			t.Errorf("words: %v, %v, %v", actors, actions, err)
		}
		if v := verdict(t, org); !v.OK() || v.Entries != int64(n+3) {
			t.Errorf("%+v", v)
		}
	})
}

// TestTrustIsNamed: whom a connection trusts from now on is said so that a second person can
// tell it from another, not only that it changed.
func TestTrustIsNamed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		org := st.Org(1)
		s := crm.Settings{Server: "ews.acme.example", KDC: "[realms]\nACME = {\n\tkdc = kdc.acme.example\n}",
			RootCAs: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}
		if err := org.SaveSettings(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		list, _, err := org.AuditLog(t.Context(), store.AuditQuery{Limit: 1})
		if err != nil || !list[0].Widens {
			t.Fatalf("%+v, %v", list, err)
		}
		for _, want := range []string{"Kerberos realm: changed", "Kerberos realm, line added: \tkdc = kdc.acme.example",
			`trusted authority added: "unreadable", SHA-256 709e80c88487a2411e1ee4dfb9f22a861492d20c4765150c0c794abd70f8147c`} {
			if !strings.Contains(list[0].Detail+"\n", want+"\n") {
				t.Errorf("no line %q in\n%s", want, list[0].Detail)
			}
		}
	})
}
