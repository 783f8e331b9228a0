package report

import (
	"testing"

	"postern/crm"
	"postern/mail"
)

// A rule that lets a mailbox in is named as the policy has it.
func TestAllowingRule(t *testing.T) {
	p := crm.Policy{Domains: []string{"acme.example"}, Allow: []crm.Selector{"*@sales.acme.example", "group:crm@acme.example", "bob@acme.example"}}
	groups := crm.Groups{"crm@acme.example": {"ann@acme.example"}}
	for a, want := range map[mail.Address]string{"ann@acme.example": "allowed by group:crm@acme.example", "bob@acme.example": "allowed by bob@acme.example"} {
		if got := allowingRule(&p, a, groups); got != want {
			t.Errorf("%s: %q, want %q", a, got, want)
		}
	}
}
