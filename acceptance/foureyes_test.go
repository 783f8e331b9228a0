package acceptance

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// TestWiderPolicyReadsNothingUntilApproved: where four eyes are asked for, one administrator
// alone opens no mailbox; what is narrower holds at once.
func TestWiderPolicyReadsNothingUntilApproved(t *testing.T) {
	w := connected(t)
	w.users(crm.User{Name: "Bob", Addresses: []mail.Address{bob}, Admin: true, Active: true})
	first, second := w.visit(ann), w.visit(bob)
	if status, page := first.json("PUT", "/api/access/policy/four-eyes", map[string]bool{"on": true}); status != http.StatusOK {
		t.Fatalf("turned on: status %d: %s", status, page)
	}
	w.send(letter{from: cyn, to: ann, subject: "to Ann"})
	w.send(letter{from: cyn, to: zed, subject: "to Zed"})
	w.collect()
	w.same("filed before", w.filed(store.MailQuery{}), "to Ann")

	p, err := w.org.Policy(t.Context())
	w.must(err)
	p.Domains = append(p.Domains, "other.example")
	if status, answer := first.json("PUT", "/api/access/policy", p); status != http.StatusAccepted || !strings.Contains(answer, `"state":"waiting"`) {
		t.Fatalf("a wider policy: status %d: %s", status, answer)
	}
	w.collect()
	if status, answer := first.json("POST", "/api/access/policy/proposals/1/approve", nil); status != http.StatusForbidden {
		t.Errorf("approved by who proposed it: status %d: %s", status, answer)
	}
	w.collect()
	if asked := w.impersonated(); slices.Contains(asked, zed) {
		t.Errorf("Exchange was asked for %v before anybody approved it", asked)
	}
	w.same("filed while it waits", w.filed(store.MailQuery{}), "to Ann")

	status, answer := second.json("POST", "/api/access/policy/proposals/1/approve", nil)
	if status != http.StatusOK {
		t.Fatalf("approved by the other: status %d: %s", status, answer)
	}
	w.collect()
	if asked := w.impersonated(); !slices.Contains(asked, zed) {
		t.Errorf("Exchange was asked for %v after the approval", asked)
	}
	w.same("filed after the approval", w.filed(store.MailQuery{}), "to Ann", "to Zed")

	now, err := w.org.Policy(t.Context())
	w.must(err)
	now.Deny = []crm.Selector{zed}
	if status, answer := second.json("PUT", "/api/access/policy", now); status != http.StatusOK {
		t.Errorf("a narrower policy: status %d: %s", status, answer)
	}
	before := len(w.exchange.Requests())
	w.send(letter{from: cyn, to: zed, subject: "too late"})
	w.collect()
	for _, r := range w.exchange.Requests()[before:] {
		if r.Mailbox == zed {
			t.Errorf("%s was asked for %s after it was denied", r.Operation, r.Mailbox)
		}
	}
	w.prove()
}
