package sim

import (
	"net/http"
	"testing"

	"postern/ews"
)

// status is what a folder's listing is answered with, or the code of Exchange.
func (c *caller) verdict(op ews.Operation) string {
	c.t.Helper()
	status, body := c.send(op)
	if status == http.StatusForbidden {
		return "403"
	}
	a := readAnswer(c.t, body)
	return a.code()
}

func TestProgramsByList(t *testing.T) {
	x := newExchange(t, Options{})
	service := x.AddMailbox(Person{"Service", login})
	allow := func(programs ...string) Governance {
		return Governance{Policy: EnforceAllowList, Programs: programs}
	}
	block := func(programs ...string) Governance {
		return Governance{Policy: EnforceBlockList, Programs: programs}
	}
	exempt := allow("Other/*")
	exempt.ImpersonationPasses = true
	for _, tt := range []struct {
		name         string
		org, account Governance
		agent        string
		want         string
	}{
		{"nothing is set", Governance{}, Governance{}, "Acme-CRM-Sync/1.0", "NoError"},
		{"on the allow list", allow("OWA/*", "Acme-CRM-Sync/*"), Governance{}, "Acme-CRM-Sync/1.0", "NoError"},
		{"in other letters", allow("acme-crm-sync/*"), Governance{}, "Acme-CRM-Sync/1.0", "NoError"},
		{"not on the allow list", allow("Acme-CRM-Sync/*"), Governance{}, "Other/1.0", "403"},
		{"the list has no wildcard", allow("Acme-CRM-Sync"), Governance{}, "Acme-CRM-Sync/1.0", "403"},
		{"wildcards anywhere", allow("*CRM*/1.?", "A*e-*-Sync/*0"), Governance{}, "Acme-CRM-Sync/1.0", "NoError"},
		{"an empty allow list", allow(), Governance{}, "Acme-CRM-Sync/1.0", "403"},
		{"no name at all", allow("Acme-CRM-Sync/*"), Governance{}, "", "403"},
		{"on the block list", block("Acme-CRM-Sync/*"), Governance{}, "Acme-CRM-Sync/1.0", "403"},
		{"not on the block list", block("OWA/*"), Governance{}, "Acme-CRM-Sync/1.0", "NoError"},
		{"an empty block list", block(), Governance{}, "Acme-CRM-Sync/1.0", "NoError"},
		{"the account's own list allows", allow(), allow("Acme-CRM-Sync/*"), "Acme-CRM-Sync/1.0", "NoError"},
		{"the account's own list forbids", Governance{}, allow("OWA/*"), "Acme-CRM-Sync/1.0", "403"},
		{"EWS is off", Governance{EWS: new(false)}, Governance{}, "Acme-CRM-Sync/1.0", "403"},
		{"off, but on for the account", Governance{EWS: new(false)}, Governance{EWS: new(true)}, "Acme-CRM-Sync/1.0", "NoError"},
		{"on, but off for the account", Governance{EWS: new(true)}, Governance{EWS: new(false)}, "Acme-CRM-Sync/1.0", "403"},
		{"the list goes on for whom it is on", Governance{EWS: new(false), Policy: EnforceAllowList}, Governance{EWS: new(true)}, "Acme-CRM-Sync/1.0", "403"},
		{"impersonation passes by the list", exempt, Governance{}, "Acme-CRM-Sync/1.0", "NoError"},
	} {
		if err := x.Govern(tt.org); err != nil {
			t.Fatal(err)
		}
		if err := service.Govern(tt.account); err != nil {
			t.Fatal(err)
		}
		c := asUser(t, x, ann)
		c.agent = tt.agent
		if got := c.verdict(getFolder()); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	self := asSelf(t, x, login)
	if err := x.Govern(exempt); err != nil {
		t.Fatal(err)
	}
	if got := self.verdict(getFolder()); got != "403" {
		t.Errorf("who impersonates nobody passes by the list: %s", got)
	}
	if x.Govern(Governance{Policy: "Maybe"}) == nil || service.Govern(Governance{Policy: "Maybe"}) == nil {
		t.Error("an unknown policy was taken")
	}
}

// TestOnlyTheServiceAccountHasEWS: what users may not do by themselves is done for them.
func TestOnlyTheServiceAccountHasEWS(t *testing.T) {
	x := newExchange(t, Options{})
	x.AddUser(Person{"Cleo Clark", "cleo@company.example"}, password)
	if err := x.AddMailbox(Person{"Service", login}).Govern(Governance{EWS: new(true)}); err != nil {
		t.Fatal(err)
	}
	if err := x.Govern(Governance{EWS: new(false)}); err != nil {
		t.Fatal(err)
	}
	if got := asSelf(t, x, "cleo@company.example").verdict(getFolder()); got != "403" {
		t.Errorf("a user on her own: %s", got)
	}
	if got := asUser(t, x, "cleo@company.example").verdict(getFolder()); got != "NoError" {
		t.Errorf("on behalf of the user: %s", got)
	}
	for _, tt := range []struct {
		ownersToo bool
		want      string
	}{{false, "NoError"}, {true, "403"}} {
		if err := x.Govern(Governance{OwnersToo: tt.ownersToo}); err != nil {
			t.Fatal(err)
		}
		if err := x.Mailbox(cleo).Govern(Governance{EWS: new(false)}); err != nil {
			t.Fatal(err)
		}
		if got := asUser(t, x, cleo).verdict(getFolder()); got != tt.want {
			t.Errorf("of a user without EWS, where owners count %v: got %s, want %s", tt.ownersToo, got, tt.want)
		}
	}
}
