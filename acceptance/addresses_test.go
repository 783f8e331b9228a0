package acceptance

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/mail"
	"postern/sim"
	"postern/store"
)

// leaveFrom sets the organization's source addresses.
func (w *world) leaveFrom(addresses ...string) {
	w.Helper()
	w.must(w.org.SaveEgress(w.Context(), egressOf(addresses...)))
}

func egressOf(addresses ...string) crm.Egress {
	var e crm.Egress
	for _, a := range addresses {
		e.Addresses = append(e.Addresses, crm.EgressAddress{Local: netip.MustParseAddr(a)})
	}
	return e
}

// sources are the addresses that the Exchange saw requests of a program come from.
func sources(x *sim.Exchange, agent string) map[string]int {
	seen := map[string]int{}
	for _, r := range x.Requests() {
		if r.UserAgent == agent {
			seen[r.Source]++
		}
	}
	return seen
}

// TestScenario05FixedAddresses: every request leaves from a listed address, tests and
// retries included; without one that can be used none leaves.
func TestScenario05FixedAddresses(t *testing.T) {
	w := connected(t)
	w.leaveFrom("127.0.0.2", "127.0.0.3")
	w.exchange.MakeTrouble(sim.Trouble{Kind: sim.BusyFault, Times: 2})
	w.many(30)
	for range 4 {
		w.collect()
		w.pass(time.Hour)
	}
	w.must(w.engine.Test(t.Context(), w.settings("acme.example"), func(crm.Finding) {}))
	w.until(30)
	seen := sources(w.exchange, crm.DefaultUserAgent)
	for source, n := range seen {
		if source != "127.0.0.2" && source != "127.0.0.3" {
			t.Errorf("%d requests came from %s", n, source)
		}
	}
	if len(seen) == 0 {
		t.Fatal("no request was made")
	}
	w.leaveFrom("192.0.2.9") // an address that this machine does not have
	w.exchange.ForgetRequests()
	w.send(letter{from: cyn, to: ann, subject: "later", text: "Text."})
	w.pass(time.Hour)
	w.collect()
	if n := len(w.exchange.Requests()); n > 0 {
		t.Errorf("%d requests left by another address", n)
	}
	if f := w.box(ann).Trouble; f == nil || f.Code != "source-address-missing" || !strings.Contains(f.Message, "192.0.2.9") || f.Advice == "" {
		t.Errorf("the mailbox is in trouble %+v; want source-address-missing, which names the address and says what to do", f)
	}
	w.leaveFrom("127.0.0.2")
	w.pass(time.Hour)
	w.collect()
	w.until(31)
}

// TestTwoOrganizationsAtOnce: each with addresses and a name of its own.
func TestTwoOrganizationsAtOnce(t *testing.T) {
	w := newWorld(t, sim.Options{})
	w.must(w.store.SaveDeployment(t.Context(), crm.Deployment{Mode: crm.MultiTenant, Ranges: loopback.Ranges}))
	added, err := w.store.AddOrg(t.Context(), "beta")
	w.must(err)
	type tenant struct {
		org             *store.Org
		engine          *engine.Engine
		box             mail.Address
		domain          string
		address, agent  string
		account, secret string
	}
	tenants := []*tenant{
		{org: w.org, box: ann, domain: "acme.example", address: "127.0.0.2", agent: "Acme-CRM/1.0", account: "svc-acme", secret: "one"},
		{org: w.store.Org(added.ID), box: zed, domain: "other.example", address: "127.0.0.3", agent: "Other-CRM/9.9", account: "svc-other", secret: "two"},
	}
	for _, n := range tenants {
		w.exchange.AddAccount(sim.Account{Login: n.account, Password: n.secret})
		_, err := n.org.SaveUsers(t.Context(), []crm.User{{Name: "User", Addresses: []mail.Address{n.box}, Active: true}})
		w.must(err)
		_, err = n.org.SaveContacts(t.Context(), []crm.Contact{{Name: "Cyn", Addresses: []mail.Address{cyn}}})
		w.must(err)
		s := w.settings(n.domain)
		s.Login, s.Password, s.UserAgent = n.account, crm.NewSecret(n.secret), n.agent
		w.must(n.org.SaveSettings(t.Context(), s))
		w.must(n.org.SaveEgress(t.Context(), egressOf(n.address)))
		n.engine = engine.New(engine.Config{Org: n.org, Connector: ews.Connector(), Now: w.clock})
	}
	for range 20 {
		w.send(letter{from: cyn, to: ann + ", " + zed, subject: "both", text: "Text."})
	}
	var wg sync.WaitGroup
	for _, n := range tenants {
		wg.Go(func() {
			for range 5 {
				if err := n.engine.CatchUp(t.Context()); err != nil {
					t.Error(err)
				}
				w.pass(time.Hour)
			}
		})
	}
	wg.Wait()
	count := map[string]int{}
	for _, r := range w.exchange.Requests() {
		for _, n := range tenants {
			if r.Impersonated.Domain() == n.domain || r.UserAgent == n.agent || r.Source == n.address {
				count[n.domain]++
				if r.UserAgent != n.agent || r.Source != n.address || r.Account != "" && r.Account != n.account || r.Impersonated != "" && r.Impersonated.Domain() != n.domain {
					t.Errorf("%s: a request for %q as %q by %q from %s", n.domain, r.Impersonated, r.Account, r.UserAgent, r.Source)
				}
			}
		}
	}
	if count["acme.example"]+count["other.example"] != len(w.exchange.Requests()) || count["acme.example"] == 0 || count["other.example"] == 0 {
		t.Errorf("of %d requests %v belong to somebody", len(w.exchange.Requests()), count)
	}
	for _, n := range tenants {
		if counts, err := n.org.Counts(t.Context()); err != nil || counts.Filed != 20 {
			t.Errorf("%s: %d filed, %v; want 20", n.domain, counts.Filed, err)
		}
	}
	// The address of the one goes: the other is not held up, and nothing leaves by it.
	w.must(tenants[0].org.SaveEgress(t.Context(), egressOf("192.0.2.9")))
	w.exchange.ForgetRequests()
	w.send(letter{from: cyn, to: ann + ", " + zed, subject: "later", text: "Text."})
	w.pass(time.Hour)
	for _, n := range tenants {
		w.must(n.engine.CatchUp(t.Context()))
	}
	for _, r := range w.exchange.Requests() {
		if r.UserAgent != tenants[1].agent || r.Source != tenants[1].address {
			t.Errorf("a request by %q from %s", r.UserAgent, r.Source)
		}
	}
	if f := w.box(ann).Trouble; f == nil || f.Code != "source-address-missing" {
		t.Errorf("the organization without an address: %+v, want source-address-missing", f)
	}
	if counts, err := tenants[1].org.Counts(t.Context()); err != nil || counts.Filed != 21 {
		t.Errorf("the other organization: %d filed, %v; want 21", counts.Filed, err)
	}
}
