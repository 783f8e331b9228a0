package acceptance

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/sim"
	"postern/store"
)

func TestA07DomainListGrantsAccess(t *testing.T) {
	w := connected(t)
	w.send(letter{from: cyn, to: zed, subject: "to Zed"})
	w.send(letter{from: cyn, to: ann, subject: "to Ann"})
	w.collect()
	if w.box(ann) == nil || w.box(bob) == nil {
		t.Error("Ann or Bob has no mailbox, want both")
	}
	if box := w.box(zed); box != nil && box.State != crm.Off {
		t.Errorf("Zed's mailbox is %s, want none in use", box.State)
	}
	w.same("mailboxes asked for", w.impersonated(), ann, bob)

	w.connect("acme.example", "other.example")
	w.collect()
	w.same("mailboxes asked for with the second domain", w.impersonated(), ann, bob, zed)
	w.same("filed for Zed", w.filed(store.MailQuery{User: w.userID(zed)}), "to Zed")

	w.connect("acme.example")
	w.exchange.ForgetRequests()
	w.pass(time.Hour)
	w.collect()
	w.same("mailboxes asked for without it again", w.impersonated(), ann, bob)
	w.same("what was filed for Zed stays", w.filed(store.MailQuery{User: w.userID(zed)}), "to Zed")
}

func TestA08InboundIsFiledByItself(t *testing.T) {
	w := connected(t)
	sent := time.Date(2026, 11, 20, 9, 31, 7, 0, time.UTC)
	pdf := []byte("%PDF-1.4 not much of a document")
	w.send(letter{from: `"Cyn" <` + cyn + ">", to: ann, subject: "Offer", sent: sent, id: "offer@client.example",
		extra: "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
		body: "--b\r\nContent-Type: text/plain\r\n\r\nThe offer is attached.\r\n--b\r\nContent-Type: application/pdf; name=offer.pdf\r\n" +
			"Content-Disposition: attachment; filename=offer.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(pdf) + "\r\n--b--\r\n"})
	w.collect()
	rows, total, _, err := w.org.Activities(t.Context(), store.MailQuery{})
	w.must(err)
	if total != 1 {
		t.Fatalf("got %d records, want 1", total)
	}
	m, err := w.org.Message(t.Context(), w.userID(ann), rows[0].Message)
	w.must(err)
	if m.Subject != "Offer" || strings.TrimSpace(m.Text) != "The offer is attached." || !m.When.Equal(sent) || m.Direction != mail.Inbound {
		t.Errorf("got subject %q, text %q, sent %s, direction %s", m.Subject, m.Text, m.When, m.Direction)
	}
	var linked []string
	for _, l := range m.Links {
		linked = append(linked, l.Name+" "+string(l.Part))
	}
	slices.Sort(linked)
	w.same("links", linked, "Ann to", "Cyn from")
	if len(m.Attachments) != 1 || m.Attachments[0].Name != "offer.pdf" || m.Attachments[0].State != store.AttachmentStored {
		t.Fatalf("got attachments %+v, want offer.pdf stored", m.Attachments)
	}
	_, content, err := w.org.OpenAttachment(t.Context(), m.Attachments[0].ID)
	w.must(err)
	defer content.Close()
	if got := readAll(t, content); got != string(pdf) {
		t.Errorf("got attachment %q, want %q", got, pdf)
	}
	w.prove()
}

// TestAttachmentThatIsTooLargeKeepsItsName: its content stays in Exchange, and a click on
// it says so.
func TestAttachmentThatIsTooLargeKeepsItsName(t *testing.T) {
	w := connected(t)
	w.policy(func(p *crm.Policy) { p.AttachmentLimit = 10 })
	w.send(letter{from: cyn, to: ann, subject: "Plan", extra: "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
		body: "--b\r\nContent-Type: text/plain\r\n\r\nThe plan.\r\n--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=plan.csv\r\n\r\n1,2,3,4,5,6,7,8\r\n--b--\r\n"})
	w.collect()
	rows, _, _, err := w.org.Activities(t.Context(), store.MailQuery{})
	w.must(err)
	if len(rows) != 1 {
		t.Fatalf("got %d records, want 1", len(rows))
	}
	m, err := w.org.Message(t.Context(), w.userID(ann), rows[0].Message)
	w.must(err)
	if len(m.Attachments) != 1 || m.Attachments[0].Name != "plan.csv" || m.Attachments[0].State != store.AttachmentTooLarge {
		t.Fatalf("got attachments %+v, want plan.csv, too large", m.Attachments)
	}
	status, page := w.visit(ann).get(fmt.Sprintf("/messages/%d/attachments/%d", m.ID, m.Attachments[0].ID))
	if status != http.StatusNotFound || !strings.Contains(page, "attachment-not-here") || !strings.Contains(page, "larger") {
		t.Errorf("status %d, page %s", status, page)
	}
	w.prove()
}

func TestA09OutboundIsFiledByTheSecondAddress(t *testing.T) {
	w := connected(t)
	before, _, err := w.org.Contacts(t.Context(), store.ListQuery{})
	w.must(err)
	w.send(letter{from: ann, to: cyn2, cc: who, subject: "Reply"})
	w.collect()
	w.same("on Cyn", w.filed(store.MailQuery{Contact: w.contactID("Cyn")}), "Reply")
	w.same("on Ann", w.filed(store.MailQuery{User: w.userID(ann)}), "Reply")
	rows, _, _, err := w.org.Activities(t.Context(), store.MailQuery{})
	w.must(err)
	m, err := w.org.Message(t.Context(), w.userID(ann), rows[0].Message)
	w.must(err)
	i := slices.IndexFunc(m.People, func(p store.PersonRef) bool { return p.Address == who })
	if i < 0 || m.People[i].Contact != 0 || m.People[i].User != 0 {
		t.Errorf("got people %+v, want %s shown and not linked", m.People, who)
	}
	after, _, err := w.org.Contacts(t.Context(), store.ListQuery{})
	w.must(err)
	if len(after) != len(before) {
		t.Errorf("got %d contacts, had %d: none may be created", len(after), len(before))
	}
}

// marked is in the text, subject or attachment of everything that must not be kept.
const marked = "XYZZYPLUGH"

func TestA10WhatMustNotBeCollected(t *testing.T) {
	w := connected(t)
	attached := "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
	body := "--b\r\nContent-Type: text/html\r\n\r\n<p>" + marked + " text</p>\r\n--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=" + marked + ".csv\r\n\r\n" + marked + ",1\r\n--b--\r\n"
	var items []*sim.Item
	unfiled := func(l letter) {
		l.subject, l.extra, l.body = marked+" subject", l.extra+attached, body
		items = append(items, w.send(l)...)
	}
	unfiled(letter{from: `"` + marked + ` Person" <` + who + ">", to: ann})
	items = append(items, w.lay(ann, sim.Inbox, letter{from: cyn, to: who, subject: marked, extra: attached, body: body}))
	unfiled(letter{from: ann, to: bob})
	items = append(items, w.lay(ann, sim.Inbox, letter{from: cyn, to: zed, subject: marked, extra: attached, body: body}))
	unfiled(letter{from: cyn, to: ann, extra: "Sensitivity: Private\r\n"})
	draft := w.lay(ann, sim.Drafts, letter{from: ann, to: cyn, subject: marked, text: marked})
	w.send(letter{from: cyn, to: ann, subject: "kept", text: "this one is filed"})
	w.collect()

	want := map[crm.Reason]int{crm.NoContact: 1, crm.NoUser: 2, crm.Internal: 2, crm.IsPrivate: 1, crm.Matched: 1}
	if got := w.reasons(); !equalCounts(got, want) {
		t.Errorf("got decisions %v, want %v", got, want)
	}
	for _, item := range append(items, draft) {
		if asked := item.Asked(); asked != (sim.Asked{}) {
			t.Errorf("content of an item in %s was asked for: %+v", item.Folder().Name(), asked)
		}
	}
	w.absent(marked)
	w.absent(who) // nor the address of a stranger
	w.prove()
}

func TestA11EitherSideAnyRecipientField(t *testing.T) {
	tests := []struct {
		name   string
		letter letter
		sent   bool // lay into Ann's Sent Items in place of delivering
		want   crm.Reason
	}{
		{"To", letter{from: cyn, to: ann}, false, crm.Matched},
		{"Cc", letter{from: cyn, to: who, cc: ann}, false, crm.Matched},
		{"Bcc in the sender's copy", letter{from: ann, to: who, bcc: cyn}, true, crm.Matched},
		{"several recipients", letter{from: ann, to: who + ", y@nowhere.example, " + cyn}, true, crm.Matched},
		{"capitals", letter{from: "CYN@Client.EXAMPLE", to: "ANN@ACME.example"}, false, crm.Matched},
		{"the contact's address as a display name", letter{from: `"` + cyn + `" <` + who + ">", to: ann}, false, crm.NoContact},
		{"the user's address as a display name", letter{from: ann, to: `"` + cyn + `" <` + who + ">"}, true, crm.NoContact},
		{"quoted local part", letter{from: `"cyn"@client.example`, to: ann}, false, crm.Matched},
		{"group syntax", letter{from: cyn, to: "Team: " + ann + ", " + who + ";"}, false, crm.Matched},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := connected(t)
			if test.sent {
				w.lay(ann, sim.SentItems, test.letter)
			} else {
				w.send(test.letter)
			}
			w.collect()
			if got := w.reasons(); !equalCounts(got, map[crm.Reason]int{test.want: 1}) {
				t.Errorf("got decisions %v, want one %s", got, test.want)
			}
		})
	}
	t.Run("legacy names of the directory", func(t *testing.T) {
		w := newWorld(t, sim.Options{LegacyRouting: true})
		w.connect("acme.example")
		w.send(letter{from: ann, to: cyn, subject: "by legacy name"})
		w.collect()
		w.same("filed on Ann", w.filed(store.MailQuery{User: w.userID(ann)}), "by legacy name")
	})
}

func TestA11BccIsSeenOnlyByThoseWhoMaySeeTheSendersCopy(t *testing.T) {
	w := connected(t)
	l := letter{from: ann, to: cyn + ", " + bob, bcc: "secret@client.example", subject: "with a blind copy", id: "bcc@acme.example"}
	w.lay(ann, sim.SentItems, l)
	l.bcc = ""
	w.lay(bob, sim.Inbox, l)
	w.collect()
	rows, total, _, err := w.org.Activities(t.Context(), store.MailQuery{})
	w.must(err)
	if total != 1 {
		t.Fatalf("got %d records, want 1", total)
	}
	for viewer, sees := range map[mail.Address]bool{ann: true, bob: false} {
		m, err := w.org.Message(t.Context(), w.userID(viewer), rows[0].Message)
		w.must(err)
		got := slices.ContainsFunc(m.People, func(p store.PersonRef) bool { return p.Part == crm.Bcc })
		if got != sees {
			t.Errorf("%s sees the Bcc: %v, want %v", viewer, got, sees)
		}
	}
	for viewer, sees := range map[mail.Address]bool{ann: true, bob: false} {
		_, page := w.visit(viewer).get("/messages/" + itoa(int64(rows[0].Message)))
		if got := strings.Contains(page, "secret@client.example"); got != sees {
			t.Errorf("%s's page shows the Bcc: %v, want %v", viewer, got, sees)
		}
	}
}

func TestA12TheThreePlaces(t *testing.T) {
	w := connected(t)
	w.send(letter{from: cyn, to: ann, subject: "Question", id: "q@client.example", sent: w.clock().Add(-3 * time.Hour)})
	w.send(letter{from: ann, to: cyn, subject: "Re: Question", id: "a@acme.example", extra: "In-Reply-To: <q@client.example>\r\nReferences: <q@client.example>\r\n", sent: w.clock().Add(-2 * time.Hour)})
	w.collect()
	viewer := w.userID(ann)
	places := map[string]store.MailQuery{
		"Cyn's activities": {Viewer: viewer, Contact: w.contactID("Cyn")},
		"Ann's activities": {Viewer: viewer, User: viewer},
		"Ann's My Emails":  {Viewer: viewer, Mine: true},
	}
	var first []store.ActivityRow
	for place, q := range places {
		rows, total, _, err := w.org.Activities(t.Context(), q)
		w.must(err)
		if total != 2 || len(rows) != 2 || rows[0].Subject != "Re: Question" || rows[1].Subject != "Question" {
			t.Fatalf("%s: got %+v, want reply and question", place, rows)
		}
		if first == nil {
			first = rows
		}
		for i := range rows {
			if rows[i].Message != first[i].Message || !rows[i].When.Equal(first[i].When) {
				t.Errorf("%s: row %d is record %d of %s, elsewhere %d of %s", place, i, rows[i].Message, rows[i].When, first[i].Message, first[i].When)
			}
		}
		q.Threads = true
		rows, _, _, err = w.org.Activities(t.Context(), q)
		w.must(err)
		if len(rows) != 1 || rows[0].Thread != 2 {
			t.Errorf("%s by thread: got %+v, want one row that counts 2", place, rows)
		}
	}
	w.same("Bob's My Emails", w.filed(store.MailQuery{Viewer: w.userID(bob), Mine: true}))

	v := w.visit(ann)
	link := "/messages/" + itoa(int64(first[0].Message))
	for _, path := range []string{"/contacts/" + itoa(int64(w.contactID("Cyn"))), "/users/" + itoa(int64(viewer)), "/mails"} {
		status, page := v.get(path)
		if status != 200 || !strings.Contains(page, "Re: Question") {
			t.Errorf("%s: got status %d, want the reply on it", path, status)
		}
	}
	if status, page := v.get(link); status != 200 || !strings.Contains(page, "Re: Question") {
		t.Errorf("%s: got status %d, want the message", link, status)
	}
}

func TestA13OneMessageInTwoMailboxes(t *testing.T) {
	w := connected(t)
	items := w.send(letter{from: cyn, to: ann + ", " + bob, subject: "To both"})
	if len(items) != 2 {
		t.Fatalf("got %d copies, want 2", len(items))
	}
	for _, item := range items {
		item.MarkRead(item.Mailbox().Address() == ann)
	}
	w.collect() // by several workers at the same time
	rows, total, _, err := w.org.Activities(t.Context(), store.MailQuery{Contact: w.contactID("Cyn")})
	w.must(err)
	if total != 1 {
		t.Fatalf("Cyn's activities: got %d records, want 1", total)
	}
	m, err := w.org.Message(t.Context(), w.userID(ann), rows[0].Message)
	w.must(err)
	if len(m.Copies) != 2 {
		t.Errorf("got %d occurrences, want 2", len(m.Copies))
	}
	for address, unread := range map[mail.Address]bool{ann: false, bob: true} {
		mine, _, _, err := w.org.Activities(t.Context(), store.MailQuery{Viewer: w.userID(address), Mine: true})
		w.must(err)
		if len(mine) != 1 || mine[0].Message != rows[0].Message || mine[0].Unread != unread {
			t.Errorf("My Emails of %s: got %+v, want the record, unread %v", address, mine, unread)
		}
	}
	for _, item := range items {
		if item.Mailbox().Address() == ann {
			item.Delete()
		}
	}
	w.pass(time.Hour)
	w.collect()
	if mine, _, _, err := w.org.Activities(t.Context(), store.MailQuery{Viewer: w.userID(ann), Mine: true}); err != nil || len(mine) != 1 || mine[0].Gone {
		t.Errorf("My Emails of Ann before a whole look has missed it: got %+v (%v), want it as before", mine, err)
	}
	w.pass(time.Hour) // a move is never a delete: it must be missing for a whole look
	w.collect()
	w.same("Cyn's activities after Ann deleted hers", w.filed(store.MailQuery{Contact: w.contactID("Cyn")}), "To both")
	for address, gone := range map[mail.Address]bool{ann: true, bob: false} {
		mine, _, _, err := w.org.Activities(t.Context(), store.MailQuery{Viewer: w.userID(address), Mine: true})
		w.must(err)
		if len(mine) == 1 && mine[0].Gone != gone || len(mine) == 0 && !gone {
			t.Errorf("My Emails of %s: got %+v, want gone %v", address, mine, gone)
		}
	}
	w.prove()
}

// TestA15ContactAddedLater is the first part of A15.
func TestA15ContactAddedLaterBringsOlderMail(t *testing.T) {
	const dan = "dan@client.example"
	w := connected(t)
	hers := w.send(letter{from: dan, to: ann, subject: "from Dan", sent: w.clock().AddDate(0, -1, 0)})
	others := w.send(letter{from: who, to: ann, subject: "from a stranger"})
	w.send(letter{from: cyn, to: ann, cc: "eve@client.example", subject: "Eve in copy"})
	w.collect()
	w.same("filed before", w.filed(store.MailQuery{}), "Eve in copy")
	w.exchange.ForgetRequests()

	saved := w.contacts(crm.Contact{Name: "Dan", Addresses: []mail.Address{dan}}, crm.Contact{Name: "Eve", Addresses: []mail.Address{"eve@client.example"}})
	if saved.Rematch == 0 {
		t.Error("no ledger row became due")
	}
	w.collect()
	w.same("Dan's activities", w.filed(store.MailQuery{Contact: w.contactID("Dan")}), "from Dan")
	w.same("Eve's activities", w.filed(store.MailQuery{Contact: w.contactID("Eve")}), "Eve in copy")
	if hers[0].Asked().Body != 1 || others[0].Asked() != (sim.Asked{}) {
		t.Errorf("Dan's letter was read %+v, the stranger's %+v, want once and never", hers[0].Asked(), others[0].Asked())
	}
	w.prove()
}

func TestA15WrongPasswordIsTriedOnce(t *testing.T) {
	w := connected(t)
	w.send(letter{from: cyn, to: ann, subject: "later"})
	w.exchange.AddAccount(sim.Account{Login: login, Password: "changed by the Exchange admin"})
	w.collect()
	w.collect()
	if got := w.exchange.WrongPasswords(login); got != 1 {
		t.Errorf("got %d tries with the wrong password, want 1", got)
	}
	for _, address := range []mail.Address{ann, bob} {
		box := w.box(address)
		if box.State != crm.Attention || box.Trouble == nil || box.Trouble.Advice == "" {
			t.Errorf("mailbox %s: got state %s and trouble %v, want attention and what to do", address, box.State, box.Trouble)
		}
	}
	w.pass(14 * time.Minute)
	w.collect()
	if got := w.exchange.WrongPasswords(login); got > 2 {
		t.Errorf("got %d tries within a quarter of an hour, want no hammering", got)
	}
	w.exchange.AddAccount(sim.Account{Login: login, Password: password})
	w.connect("acme.example")
	s := w.settings("acme.example")
	s.UserAgent = "Acme/2" // saved anew
	w.save(s)
	w.collect()
	w.same("filed after the right password was saved", w.filed(store.MailQuery{}), "later")
}
