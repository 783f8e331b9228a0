package acceptance

import (
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/sim"
)

// TestScenario11OnlyListedMailboxes: the service account may open Ann's and Bob's mailboxes,
// and the domain has a third.
func TestScenario11OnlyListedMailboxes(t *testing.T) {
	const third = "tom@acme.example"
	w := newWorld(t, sim.Options{})
	w.exchange.AddMailbox(sim.Person{Name: "Tom", Address: third})
	w.users(crm.User{Name: "Tom", Addresses: []mail.Address{third}, Active: true})
	w.exchange.AddAccount(sim.Account{Login: login, Password: password, Scope: []mail.Address{ann, bob}})
	w.connect("acme.example")
	for range 3 {
		w.send(letter{from: cyn, to: ann + ", " + bob + ", " + third, subject: "to all three", text: "Text."})
		w.pass(time.Hour)
		w.collect()
	}
	if f := w.box(third).Trouble; f == nil || f.Code != "ErrorImpersonateUserDenied" || f.Cause != crm.NotPermitted || f.Advice == "" {
		t.Errorf("Tom's mailbox: %+v; want the server's code and what to do", f)
	}
	for _, box := range []mail.Address{ann, bob} {
		if b := w.box(box); b.State != crm.Live || b.Counts.Filed != 3 {
			t.Errorf("%s is %s with %d filed, want live with 3", box, b.State, b.Counts.Filed)
		}
	}
	for _, r := range w.exchange.Requests() {
		if r.Impersonated == third && (len(r.Touched) > 0 || len(r.Content) > 0) {
			t.Errorf("%s saw %v of Tom's mailbox", r.Operation, r.Touched)
		}
	}
}

// TestDeniedMailboxIsNotReadByItsAlias: the policy denies a mailbox by its primary address, and
// our user has an alias of it. Nothing of it is read, whether Exchange told so before or not.
func TestDeniedMailboxIsNotReadByItsAlias(t *testing.T) {
	const primary, alias = "orders@acme.example", "tom@acme.example"
	for _, known := range []bool{false, true} {
		w := newWorld(t, sim.Options{})
		w.exchange.AddMailbox(sim.Person{Name: "Tom", Address: primary}, alias)
		w.users(crm.User{Name: "Tom", Addresses: []mail.Address{alias}, Active: true})
		w.connect("acme.example")
		w.send(letter{from: cyn, to: alias + ", " + bob, subject: "one", text: "Text."})
		if known {
			w.collect()
			if b := w.box(alias); b.Primary != primary || b.Counts.Filed != 1 {
				t.Fatalf("before it is denied: %+v", b)
			}
		}
		w.policy(func(p *crm.Policy) { p.Deny = []crm.Selector{primary} })
		w.exchange.ForgetRequests()
		w.send(letter{from: cyn, to: alias + ", " + bob, subject: "two", text: "Text."})
		w.pass(time.Hour)
		w.collect()
		if f := w.box(alias).Trouble; f == nil || f.Code != "mailbox-denied" || !strings.Contains(f.Message, primary) {
			t.Errorf("known before %t: the mailbox is in trouble by %+v", known, f)
		}
		if b := w.box(bob); b.Counts.Filed != 2 {
			t.Errorf("known before %t: Bob's mailbox has %d filed, want 2", known, b.Counts.Filed)
		}
		for _, r := range w.exchange.Requests() {
			if r.Impersonated == primary || r.Mailbox == primary && len(r.Touched)+len(r.Content) > 0 {
				t.Errorf("known before %t: %s saw %v of the mailbox", known, r.Operation, r.Touched)
			}
		}
	}
}

// TestScenario12EWSOnlyForTheImpersonatingAccount: EWS is switched off for everybody, and on
// for the service account alone.
func TestScenario12EWSOnlyForTheImpersonatingAccount(t *testing.T) {
	w := connected(t)
	w.exchange.AddMailbox(sim.Person{Name: "Service", Address: "svc-crm@acme.example"})
	w.exchange.AddAccount(sim.Account{Login: "svc-crm@acme.example", Password: password})
	w.must(w.exchange.Govern(sim.Governance{EWS: new(false)}))
	w.must(w.exchange.Mailbox("svc-crm@acme.example").Govern(sim.Governance{EWS: new(true)}))
	settings := w.settings("acme.example")
	settings.Login = "svc-crm@acme.example"
	w.save(settings)
	w.many(4)
	w.collect()
	w.until(4)
	var findings []crm.Finding
	w.must(w.engine.Test(t.Context(), settings, func(f crm.Finding) { findings = append(findings, f) }))
	for _, f := range findings {
		if !f.OK && !f.Skip {
			t.Errorf("the test calls an error what was meant so: %s: %v", f.Step, f.Fault)
		}
	}
	// A user who signs in for the own mailbox is refused there, and told why.
	w.exchange.AddUser(sim.Person{Name: "Ann", Address: ann}, "ann's own")
	own := settings
	own.Model, own.Login, own.Password = crm.ByOwnSignIn, "", crm.Secret{}
	w.save(own)
	w.must(w.org.SaveSignIn(t.Context(), w.userID(ann), crm.Account{Login: ann, Password: crm.NewSecret("ann's own")}))
	w.pass(time.Hour)
	w.collect()
	if f := w.box(ann).Trouble; f == nil || f.Cause != crm.BlockedByPolicy || f.Advice == "" {
		t.Errorf("Ann's own sign-in: %+v; want that Exchange's policy blocks it, and what to do", f)
	}
}

// TestScenario13ChoiceOfAuthenticationModel: under the one model no user signs in, under
// the other each does, and only those who did are read.
func TestScenario13ChoiceOfAuthenticationModel(t *testing.T) {
	w := connected(t)
	w.send(letter{from: cyn, to: ann + ", " + bob, subject: "first", text: "Text."})
	w.collect()
	own := crm.Account{Login: ann, Password: crm.NewSecret("ann's own")}
	if err := w.org.SaveSignIn(t.Context(), w.userID(ann), own); err == nil || crm.AsFault(err).Code != "sign-in-not-asked" {
		t.Errorf("a personal login under the service account: %v, want sign-in-not-asked", err)
	}
	w.exchange.AddUser(sim.Person{Name: "Ann", Address: ann}, "ann's own")
	w.exchange.AddUser(sim.Person{Name: "Bob", Address: bob}, "bob's own")
	settings := w.settings("acme.example")
	settings.Model, settings.Login, settings.Password = crm.ByOwnSignIn, "", crm.Secret{}
	w.save(settings)
	w.must(w.org.SaveSignIn(t.Context(), w.userID(ann), own))
	w.exchange.ForgetRequests()
	w.send(letter{from: cyn, to: ann + ", " + bob, subject: "second", text: "Text."})
	w.pass(time.Hour)
	w.collect()
	for _, r := range w.exchange.Requests() {
		if r.Impersonated != "" || r.Account != "" && !strings.EqualFold(r.Account, ann) {
			t.Errorf("%s as %q for %q: want Ann for herself alone", r.Operation, r.Account, r.Impersonated)
		}
	}
	if b := w.box(ann); b.State != crm.Live || b.Counts.Filed != 2 {
		t.Errorf("Ann's mailbox is %s with %d filed: %+v", b.State, b.Counts.Filed, b.Trouble)
	}
	if f := w.box(bob).Trouble; f == nil || f.Code != "not-signed-in" {
		t.Errorf("Bob's mailbox: %+v; want not-signed-in", f)
	}
}

// TestMailOnlyLeavesCalendarsAlone: no request names a folder of appointments, contacts or
// tasks.
func TestMailOnlyLeavesCalendarsAlone(t *testing.T) {
	w := connected(t)
	w.many(10)
	w.live(ann, 10)
	w.prove()
	looked := 0
	for _, r := range w.exchange.Requests() {
		for _, f := range r.Touched {
			looked++
			for _, class := range []string{"IPF.Appointment", "IPF.Contact", "IPF.Task", "IPF.StickyNote"} {
				if strings.HasPrefix(f.Class, class) {
					t.Errorf("%s touched a folder of class %s", r.Operation, f.Class)
				}
			}
		}
	}
	if looked == 0 {
		t.Error("no request touched any folder")
	}
}
