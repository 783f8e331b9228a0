package acceptance

import (
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/sim"
	"postern/store"
)

// TestNoTextIsFetchedWherePolicyWithholdsIt: of what matches the header alone is filed, and
// the text as soon as the policy lets it in.
func TestNoTextIsFetchedWherePolicyWithholdsIt(t *testing.T) {
	w := connected(t)
	w.policy(func(p *crm.Policy) { p.HeadersOnly = true })
	item := w.send(attached())[0]
	nameless := w.send(letter{from: cyn, to: ann, subject: "without an id", id: "-", body: "The nameless text."})[0]
	w.collect()
	w.collect()
	w.same("filed by the header", w.filed(store.MailQuery{}), "with a table", "without an id")
	for _, it := range []*sim.Item{item, nameless} {
		if asked := it.Asked(); asked.Body+asked.MIME+asked.Attachments > 0 {
			t.Errorf("content was asked for: %+v", asked)
		}
	}
	w.prove()
	rows, _, _, err := w.org.Activities(t.Context(), store.MailQuery{})
	w.must(err)
	if _, page := w.visit(ann).get("/messages/" + itoa(int64(rows[0].Message))); !strings.Contains(page, "the header alone is filed") {
		t.Error("the page does not say that the header alone is filed")
	}
	w.policy(func(p *crm.Policy) { p.HeadersOnly = false })
	w.collect()
	w.same("filed in full", w.filed(store.MailQuery{Text: "nameless"}), "without an id")
	if asked := item.Asked(); asked.Body != 1 || asked.Attachments != 1 {
		t.Errorf("content was asked for: %+v, want the text and the attachment once", asked)
	}
	w.prove()
}

// TestUserKeepsTheOwnMailboxCloser: what one user leaves alone is neither read nor filed from
// that mailbox, and is from others.
func TestUserKeepsTheOwnMailboxCloser(t *testing.T) {
	w := connected(t)
	w.must(w.org.SaveUserLimits(t.Context(), w.userID(ann), crm.Limits{Excluded: []crm.Pattern{"client.example"}}))
	items := w.send(letter{from: cyn, to: ann, cc: bob, subject: "to both"})
	w.collect()
	for _, item := range items {
		if want := map[bool]int{true: 0, false: 1}[item.Mailbox().Address() == ann]; item.Asked().Body != want {
			t.Errorf("the text in %s was asked for %d times, want %d", item.Mailbox().Address(), item.Asked().Body, want)
		}
	}
	w.same("Ann's own mail", w.filed(store.MailQuery{Viewer: w.userID(ann), Mine: true}))
	w.same("Bob's own mail", w.filed(store.MailQuery{Viewer: w.userID(bob), Mine: true}), "to both")
	w.prove()
}

// TestExcludedFolderIsLeftAlone: from the moment that a folder is excluded no request is about
// it or what lies below, and a removal takes out what was filed from there.
func TestExcludedFolderIsLeftAlone(t *testing.T) {
	w := connected(t)
	inbox := w.exchange.Mailbox(ann).Folder(sim.Inbox)
	private := w.exchange.Mailbox(ann).CreateFolder(inbox, "Private")
	below := w.exchange.Mailbox(ann).CreateFolder(private, "Doctor")
	for _, f := range []*sim.Folder{private, below} {
		_, err := f.Put(letter{from: cyn, to: ann, subject: "in " + f.Name()}.raw(w.clock()))
		w.must(err)
	}
	w.send(letter{from: cyn, to: ann, subject: "in the inbox"})
	w.collect()
	w.same("before", w.filed(store.MailQuery{}), "in Doctor", "in Private", "in the inbox")

	p, err := w.org.Policy(t.Context())
	w.must(err)
	p.ExcludedFolders = []string{"*/private"}
	change, err := w.org.DryRun(t.Context(), p)
	w.must(err)
	if change.Filed.Messages != 2 || change.Filed.By[crm.ExcludedFolder] != 2 {
		t.Errorf("the dry run said %+v", change.Filed)
	}
	_, err = w.org.SavePolicy(t.Context(), p, true)
	w.must(err)
	w.same("after the removal", w.filed(store.MailQuery{}), "in the inbox")
	asked := len(w.exchange.Requests())
	_, err = private.Put(letter{from: cyn, to: ann, subject: "one more"}.raw(w.clock()))
	w.must(err)
	w.collect()
	for _, r := range w.exchange.Requests()[asked:] {
		for _, f := range r.Touched {
			if f.Folder == private.ID() || f.Folder == below.ID() {
				t.Errorf("%s touched the excluded folder", r.Operation)
			}
		}
	}
	w.same("afterwards", w.filed(store.MailQuery{}), "in the inbox")
	w.prove()

	w.policy(func(p *crm.Policy) { p.ExcludedFolders = nil })
	w.collect()
	w.same("let in again", w.filed(store.MailQuery{}), "in Doctor", "in Private", "in the inbox", "one more")
	w.prove()
}

// TestRemovalOfAMailboxAndItsReturn: what was filed from a mailbox alone goes with it when
// that is asked for, and comes back with it.
func TestRemovalOfAMailboxAndItsReturn(t *testing.T) {
	w := connected(t)
	w.send(letter{from: cyn, to: ann, cc: bob, subject: "to both"})
	w.send(letter{from: cyn, to: bob, subject: "to Bob"})
	w.collect()
	p, err := w.org.Policy(t.Context())
	w.must(err)
	p.Deny = []crm.Selector{"group:board@acme.example"}
	w.must(w.org.SaveGroup(t.Context(), "board@acme.example", []mail.Address{bob}))
	change, err := w.org.DryRun(t.Context(), p)
	w.must(err)
	if len(change.Goes) != 1 || change.Filed.Messages != 1 || change.Filed.Copies != 2 {
		t.Errorf("the dry run said %+v", change)
	}
	_, err = w.org.SavePolicy(t.Context(), p, true)
	w.must(err)
	w.collect()
	w.same("without Bob's mailbox", w.filed(store.MailQuery{}), "to both")
	w.same("Bob's own mail", w.filed(store.MailQuery{Viewer: w.userID(bob), Mine: true}))
	w.prove()
	w.policy(func(p *crm.Policy) { p.Deny = nil })
	w.collect()
	w.same("with it again", w.filed(store.MailQuery{}), "to Bob", "to both")
	w.same("Bob's own mail", w.filed(store.MailQuery{Viewer: w.userID(bob), Mine: true}), "to Bob", "to both")
	w.prove()
}

// TestMailboxesOfAGroup: a policy that names a group reads the mailboxes of its members, and
// follows who joins and who leaves; one that Exchange does not know opens nothing.
func TestMailboxesOfAGroup(t *testing.T) {
	const sales, inner = mail.Address("sales@acme.example"), mail.Address("inner@acme.example")
	w := connected(t)
	w.exchange.SetGroup(sim.Group{Address: sales, Members: []mail.Address{inner, cyn}})
	w.exchange.SetGroup(sim.Group{Address: inner, Members: []mail.Address{ann, sales}})
	w.policy(func(p *crm.Policy) { p.Allow = []crm.Selector{crm.Selector("group:" + sales)} })
	w.send(letter{from: cyn, to: ann, subject: "to Ann"})
	w.send(letter{from: cyn, to: bob, subject: "to Bob"})
	w.collect()
	w.same("of the members", w.filed(store.MailQuery{}), "to Ann")
	w.same("mailboxes asked for", w.impersonated(), ann)

	w.exchange.SetGroup(sim.Group{Address: inner, Members: []mail.Address{bob}})
	w.pass(20 * time.Minute)
	w.collect()
	w.same("after the group has changed", w.filed(store.MailQuery{}), "to Ann", "to Bob")
	if box := w.box(ann); box.State != crm.Off {
		t.Errorf("the mailbox of who has left is %s", box.State)
	}

	w.exchange.RemoveGroup(sales) // what is known of it holds
	w.pass(20 * time.Minute)
	w.collect()
	if box := w.box(bob); box.State == crm.Off {
		t.Error("a group that cannot be asked for has no members any more")
	}
	w.policy(func(p *crm.Policy) { p.Allow, p.Deny = nil, []crm.Selector{"group:nobody-knows@acme.example"} })
	w.collect()
	for _, a := range []mail.Address{ann, bob} {
		if box := w.box(a); box.State != crm.Off {
			t.Errorf("%s is read, although who is denied is not known", a)
		}
	}
}
