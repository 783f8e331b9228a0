package acceptance

import (
	"context"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/crm"
	"postern/ews"
	"postern/gate"
	"postern/sim"
	"postern/store"
)

// TestScenario07UserAgentOnEveryCall: from the test of the connection to notifications.
func TestScenario07UserAgentOnEveryCall(t *testing.T) {
	const agent = "Acme-CRM-Sync/1.0"
	w := newWorld(t, sim.Options{})
	settings := w.settings("acme.example")
	settings.UserAgent = agent
	w.save(settings)
	w.discover(settings)
	w.must(w.engine.Test(t.Context(), settings, func(crm.Finding) {}))
	w.exchange.MakeTrouble(sim.Trouble{Kind: sim.BusyFault, Times: 1})
	w.send(letter{from: cyn, to: ann, subject: "with a file", extra: "Content-Type: multipart/mixed; boundary=b\r\nMIME-Version: 1.0\r\n",
		body: "--b\r\nContent-Type: text/plain\r\n\r\nText.\r\n--b\r\nContent-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nFile.\r\n--b--"})
	for range 3 { // the busy server is left alone for a while
		w.collect()
		w.pass(time.Hour)
	}
	w.live(ann, 1)
	operations := map[string]int{}
	for _, r := range w.exchange.Requests() {
		if operations[r.Operation]++; r.UserAgent != agent {
			t.Errorf("%s %s was asked by %q", r.Operation, r.Path, r.UserAgent)
		}
	}
	for _, op := range []string{"GetFolder", "SyncFolderItems", "GetItem", "GetAttachment", "Subscribe", "GetStreamingEvents"} {
		if operations[op] == 0 {
			t.Errorf("%s was not asked for: %v", op, operations)
		}
	}
	autodiscover := 0
	for op, n := range operations {
		if strings.HasPrefix(op, "Autodiscover") {
			autodiscover += n
		}
	}
	if autodiscover == 0 {
		t.Errorf("autodiscover was not asked for: %v", operations)
	}
}

// TestScenario08ExchangeSideFilter: Exchange enforces an allow list of programs.
func TestScenario08ExchangeSideFilter(t *testing.T) {
	w := newWorld(t, sim.Options{})
	w.must(w.exchange.Govern(sim.Governance{Policy: sim.EnforceAllowList, Programs: []string{"Acme-CRM-Sync/*"}}))
	settings := w.settings("acme.example")
	settings.UserAgent = "Acme-CRM-Sync/1.0"
	w.save(settings)
	w.many(5)
	w.collect()
	w.until(5)

	settings.UserAgent = "Something-Else/1.0"
	w.save(settings)
	w.exchange.ForgetRequests()
	for range 12 { // an hour
		w.pass(5 * time.Minute)
		w.collect()
	}
	f := w.box(ann).Trouble
	if f == nil || w.box(ann).State != crm.Attention || f.Cause != crm.BlockedByPolicy || !strings.Contains(f.Advice, "Set-OrganizationConfig") || !strings.Contains(f.Advice, "Something-Else/") {
		t.Fatalf("the mailbox is %s, in trouble %+v; want it blocked by Exchange's policy, with the command that lets us in", w.box(ann).State, f)
	}
	if n := len(w.exchange.Requests()); n == 0 || n > 20 {
		t.Errorf("%d requests were made in an hour of refusals, at most 20 are allowed", n)
	}
	settings.UserAgent = "Acme-CRM-Sync/2.0"
	w.save(settings)
	w.send(letter{from: cyn, to: ann, subject: "let in again", text: "Text."})
	w.collect()
	w.until(6)
}

// inspector is a firewall that ends TLS with an authority of the company's own and lets
// through whoever bears the right name.
type inspector struct {
	next    http.Handler
	agent   string
	dropped atomic.Int64
}

func (i *inspector) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.UserAgent(), i.agent) {
		i.dropped.Add(1)
		panic(http.ErrAbortHandler)
	}
	i.next.ServeHTTP(rw, r)
}

// TestScenario09FirewallFilter: a firewall that reads along drops what does not bear our
// name. Its certificate is checked by the company's own authority, never waved through.
func TestScenario09FirewallFilter(t *testing.T) {
	w := newWorld(t, sim.Options{})
	firewall := &inspector{next: w.exchange, agent: "Acme-CRM-Sync/"}
	server := httptest.NewUnstartedServer(firewall)
	server.Config.ErrorLog = quiet
	server.StartTLS()
	defer server.Close()
	settings := w.settings("acme.example")
	settings.Server, settings.UserAgent = server.URL+sim.Path, "Acme-CRM-Sync/1.0"
	w.save(settings)
	w.many(10)
	w.collect()
	w.trouble(ann, "tls-unknown-authority")
	if n := len(w.exchange.Requests()); n > 0 {
		t.Errorf("%d requests went to a server whose certificate nobody vouches for", n)
	}
	settings.RootCAs = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	w.save(settings)
	w.collect()
	w.until(10)
	w.must(w.engine.Test(t.Context(), settings, func(f crm.Finding) {
		if f.Fault != nil && !f.OK {
			t.Errorf("the test of the connection: %s: %v", f.Step, f.Fault)
		}
	}))
	if n := firewall.dropped.Load(); n > 0 {
		t.Errorf("%d requests did not bear our name", n)
	}
}

// TestScenario10ValueChosenByTheCustomer: another name is used at once, by that
// organization alone; what could smuggle a header in is refused.
func TestScenario10ValueChosenByTheCustomer(t *testing.T) {
	w := connected(t)
	w.many(3)
	ctx, stop := context.WithCancel(crm.WithActor(t.Context(), "Ann Admin"))
	defer stop()
	w.collect()
	settings := w.settings("acme.example")
	settings.UserAgent = "Acme-New-Name/2"
	checked, wrong := settings.Check(ews.Connector(), settings)
	if len(wrong) > 0 {
		t.Fatalf("refused: %v", wrong)
	}
	w.must(w.org.SaveSettings(ctx, checked))
	w.exchange.ForgetRequests()
	w.send(letter{from: cyn, to: ann, subject: "after", text: "Text."})
	w.pass(time.Hour)
	w.collect()
	for _, r := range w.exchange.Requests() {
		if r.UserAgent != "Acme-New-Name/2" {
			t.Errorf("%s was asked by %q after the change", r.Operation, r.UserAgent)
		}
	}
	if len(w.exchange.Requests()) == 0 {
		t.Error("nothing was asked after the change")
	}
	for _, bad := range []string{"a\r\nX-Evil: 1", "a\nb", "a\rb", "tab\there", "nul\x00", "del\x7f", "umlaut ü", strings.Repeat("x", 257)} {
		settings.UserAgent = bad
		if _, wrong := settings.Check(ews.Connector(), settings); !slices.ContainsFunc(wrong, func(e crm.FieldError) bool { return e.Field == "user_agent" }) {
			t.Errorf("%q was not refused", bad)
		}
	}
	entries, _, err := w.org.AuditLog(t.Context(), store.AuditQuery{})
	w.must(err)
	if !slices.ContainsFunc(entries, func(e crm.AuditEntry) bool {
		return e.Actor == "Ann Admin" && strings.Contains(e.Detail, "Acme-New-Name/2")
	}) {
		t.Errorf("the change is not in the audit log: %+v", entries)
	}
}

// discover finds the server of Ann's mailbox by the settings' name, credentials and gate.
func (w *world) discover(s crm.Settings) {
	w.Helper()
	authority, err := sim.NewAuthority("Acme")
	w.must(err)
	certificate, err := authority.Certificate(sim.Wish{Names: []string{"acme.example", "autodiscover.acme.example"}})
	w.must(err)
	front, err := w.exchange.Listen("127.0.0.1:0", sim.Front{Certificate: &certificate})
	w.must(err)
	defer front.Close()
	s.RootCAs = string(authority.PEM())
	g := gate.New(gate.Config{Machine: gate.Machine{
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
		Dial: func(ctx context.Context, _ netip.Addr, _ netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(front.URL, "https://"))
		},
	}})
	g.Set(gate.Terms{Settings: s, Deployment: loopback})
	if _, err := ews.Connector().Discover(w.Context(), ann, s, g.Discovery(s, ann), func(f crm.Finding) { w.Logf("%+v", f) }); err != nil {
		w.Errorf("autodiscover: %v", err)
	}
}
