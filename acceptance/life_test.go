package acceptance

import (
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/sim"
	"postern/store"
)

// TestLifeOfAMailbox lets happen to Ann's mailbox what happens to mailboxes. Each has a
// name, a cause in words and advice; the administrators are told once; Bob notices
// nothing; and when it is over, all mail is there, once, without anybody's doing.
func TestLifeOfAMailbox(t *testing.T) {
	for _, test := range []struct {
		name   string
		happen func(w *world, box *sim.Mailbox)
		mend   func(w *world, box *sim.Mailbox)
		state  crm.MailboxState
		cause  crm.Cause
		code   string
	}{
		{"disabled", func(_ *world, b *sim.Mailbox) { b.Disable() }, func(_ *world, b *sim.Mailbox) { b.Enable() },
			crm.Attention, crm.Disabled, "ErrorAccountDisabled"},
		{"licence removed", func(_ *world, b *sim.Mailbox) { b.RemoveLicence() }, func(_ *world, b *sim.Mailbox) { b.Enable() },
			crm.Attention, crm.Unlicensed, "ews-forbidden"},
		{"licence removed, as other versions say it", func(_ *world, b *sim.Mailbox) { b.BreakLogon() }, func(_ *world, b *sim.Mailbox) { b.Enable() },
			crm.Attention, crm.Unlicensed, "ErrorMailboxLogonFailed"},
		{"being moved to another server", func(w *world, b *sim.Mailbox) { w.must(b.MoveTo(1, time.Hour)) }, func(w *world, b *sim.Mailbox) { w.must(b.MoveTo(1, 0)) },
			crm.Waiting, crm.Moving, "ErrorMailboxMoveInProgress"},
		{"out of the account's scope", func(w *world, b *sim.Mailbox) {
			w.exchange.AddAccount(sim.Account{Login: login, Password: password, Scope: []mail.Address{bob}})
		}, func(w *world, b *sim.Mailbox) { w.exchange.AddAccount(sim.Account{Login: login, Password: password}) },
			crm.Attention, crm.NotPermitted, "ErrorImpersonateUserDenied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, sim.Options{Servers: 2})
			w.connect("acme.example")
			w.many(2)
			w.collect()
			box := w.exchange.Mailbox(ann)
			test.happen(w, box)
			for range 3 {
				w.send(letter{from: cyn, to: ann + ", " + bob, subject: "meanwhile", text: "Text."})
				w.pass(time.Hour)
				w.collect()
			}
			row := w.box(ann)
			if f := row.Trouble; f == nil || row.State != test.state || f.Cause != test.cause || f.Code != test.code || f.Cause.Title() == "" || f.Message == "" || f.Advice == "" {
				t.Errorf("got state %s, trouble %+v; want %s because of %q (%s), in words", row.State, f, test.state, test.cause, test.code)
			}
			if bobs := w.box(bob); bobs.State != crm.Live || bobs.Counts.Filed != 3 {
				t.Errorf("Bob's mailbox: state %s, %d filed; want live and 3", bobs.State, bobs.Counts.Filed)
			}
			w.alerts(map[crm.MailboxState]int{crm.Attention: 1}[test.state], test.code)
			test.mend(w, box)
			w.pass(time.Hour)
			w.collect()
			w.live(ann, 5)
		})
	}
}

// live demands that a mailbox is well, has so many items filed, and that nothing is open.
func (w *world) live(address mail.Address, filed int) {
	w.Helper()
	w.pass(time.Hour)
	w.collect()
	w.prove()
	row, err := w.org.MailboxByAddress(w.Context(), address)
	w.must(err)
	if row.State != crm.Live || row.Trouble != nil || row.Counts.Filed != filed {
		w.Errorf("in the end: state %s, trouble %v, %d filed; want live and %d", row.State, row.Trouble, row.Counts.Filed, filed)
	}
	if n, err := w.org.Duplicates(w.Context()); err != nil || n > 0 {
		w.Errorf("%d activities twice (%v)", n, err)
	}
	w.alerts(0, "")
}

// alerts demands so many open alerts of a code.
func (w *world) alerts(n int, code string) {
	w.Helper()
	open, err := w.org.Alerts(w.Context(), true, 10)
	w.must(err)
	if len(open) != n || n > 0 && (open[0].Code != code || open[0].Message == "" || open[0].Advice == "") {
		w.Errorf("open alerts: got %+v, want %d of %q", open, n, code)
	}
}

func TestRenamedMailboxIsReadAsBefore(t *testing.T) {
	w := connected(t)
	w.many(2)
	w.collect()
	w.must(w.exchange.Mailbox(ann).Rename("ann.new@acme.example"))
	w.send(letter{from: cyn, to: ann, subject: "to the old address", text: "Text."})
	for range 2 {
		w.pass(time.Hour)
		w.collect()
	}
	row := w.box(ann)
	if row.State != crm.Live || row.Counts.Filed != 3 || row.Primary != "ann.new@acme.example" {
		t.Errorf("got state %s, %d filed, primary address %q; want live, 3, the new one", row.State, row.Counts.Filed, row.Primary)
	}
	w.alerts(1, "address-changed")
	w.must(w.exchange.Mailbox("ann.new@acme.example").Rename(ann))
	w.live(ann, 3)
}

func TestMailboxCreatedAnewIsReadAnewAndNothingTwice(t *testing.T) {
	for name, restored := range map[string]bool{"from a backup": true, "empty": false} {
		t.Run(name, func(t *testing.T) {
			w := connected(t)
			w.many(3)
			w.collect()
			before := w.filed(store.MailQuery{})
			w.exchange.Mailbox(ann).Recreate(restored)
			w.send(letter{from: cyn, to: ann, subject: "filed new", text: "Text."})
			w.pass(time.Hour)
			w.collect()
			w.same("filed", w.filed(store.MailQuery{}), append(before, "filed new")...)
			w.live(ann, map[bool]int{true: 4, false: 1}[restored])
			told, err := w.org.Alerts(t.Context(), false, 10)
			w.must(err)
			if len(told) != 1 || told[0].Code != "mailbox-recreated" || told[0].Cause != crm.Recreated || told[0].Count != 1 {
				t.Errorf("alerts so far: %+v, want that the mailbox was created anew", told)
			}
		})
	}
}

// TestExpiredPasswordIsToldOnceAndNotTriedOverAndOver: two mailboxes, one account.
func TestExpiredPasswordIsToldOnceAndNotTriedOverAndOver(t *testing.T) {
	w := connected(t)
	w.many(2)
	w.collect()
	w.must(w.exchange.ExpirePassword(login))
	w.exchange.ForgetRequests()
	for range 60 {
		w.send(letter{from: cyn, to: ann, subject: "meanwhile", text: "Text."})
		w.pass(time.Minute)
		w.collect()
	}
	if n := len(w.exchange.Requests()); n > 12 {
		t.Errorf("the account was tried %d times in an hour", n)
	}
	for _, address := range []mail.Address{ann, bob} {
		row := w.box(address)
		if row.State != crm.Attention || row.Trouble == nil || row.Trouble.Cause != crm.PasswordExpired {
			t.Errorf("%s: state %s, trouble %+v; want that the password has expired", address, row.State, row.Trouble)
		}
	}
	w.alerts(1, "ErrorPasswordExpired")
	w.must(w.exchange.SetPassword(login, "a new one"))
	settings := w.settings("acme.example")
	settings.Password = crm.NewSecret("a new one")
	w.save(settings)
	w.collect()
	w.live(ann, 62)
}

// TestClockSetBack: a clock that was a year ahead for a while must not keep us waiting for
// a year.
func TestClockSetBack(t *testing.T) {
	w := connected(t)
	late := w.send(letter{from: cyn, to: ann, subject: "unreadable at first", text: "Text."})[0]
	late.Damage(sim.DamagedAll)
	w.pass(365 * 24 * time.Hour)
	w.collect()
	w.pass(-365 * 24 * time.Hour)
	late.Damage(sim.Intact)
	w.send(letter{from: cyn, to: ann, subject: "offer", text: "Text."})
	due, err := w.org.DueMailboxes(t.Context(), w.clock(), 10)
	w.must(err)
	if len(due) != 2 {
		t.Errorf("%d mailboxes are due after the clock was set right, want both", len(due))
	}
	w.collect()
	w.live(ann, 2)
}
