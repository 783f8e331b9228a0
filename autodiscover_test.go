package main

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/gate"
	"postern/mail"
	"postern/sim"
	"postern/store"
)

// TestAutodiscoverDistrusts: whatever a hostile Autodiscover says, by the real gate no
// connection leads to where it wants us, and no credentials leave for anybody but the
// domain's own host. Each request is in the access log, under the organization's name.
func TestAutodiscoverDistrusts(t *testing.T) {
	const ann, endpoint = mail.Address("ann@acme.example"), "https://autodiscover.acme.example/EWS/Exchange.asmx"
	for _, tt := range []struct {
		name   string
		says   sim.Discovery
		lookup map[string]string // addresses of hosts; others are 127.0.0.1
		code   string            // of the fault; "" = the server is found
		hop    string            // in what is told of a hop
	}{
		{"the truth", sim.Discovery{}, nil, "", "credentials were sent"},
		{"to a host of somebody else", sim.Discovery{Location: "https://evil.test/autodiscover/autodiscover.xml"}, nil, "autodiscover-confirm", "evil.test belongs to another domain"},
		{"to plain http", sim.Discovery{Location: "http://autodiscover.acme.example/autodiscover/autodiscover.xml"}, nil, "autodiscover-nothing", "only https is"},
		{"to the metadata of a cloud", sim.Discovery{Location: "https://169.254.169.254/latest/meta-data/"}, nil, "autodiscover-confirm", "169.254.169.254 belongs to another domain"},
		{"to another protocol", sim.Discovery{Location: "gopher://autodiscover.acme.example/"}, nil, "autodiscover-nothing", "only https is"},
		{"in a circle", sim.Discovery{Hops: -1}, nil, "autodiscover-nothing", "we were there"},
		{"on and on", sim.Discovery{Hops: 1000}, nil, "autodiscover-loop", "too many redirects"},
		{"an answer that leads elsewhere", sim.Discovery{RedirectURL: "https://evil.test/autodiscover/autodiscover.svc"}, nil, "autodiscover-confirm", "waits until the host is confirmed"},
		{"an address of somebody else", sim.Discovery{RedirectAddress: "ann@evil.test"}, nil, "autodiscover-confirm", "evil.test belongs to another domain"},
		{"EWS at somebody else's", sim.Discovery{EWS: "https://evil.test/EWS/Exchange.asmx"}, nil, "autodiscover-confirm", "to be confirmed"},
		{"EWS by plain http", sim.Discovery{EWS: "http://autodiscover.acme.example/EWS/Exchange.asmx"}, nil, "autodiscover-nothing", "not taken"},
		{"a name that leads inside", sim.Discovery{}, map[string]string{"autodiscover.acme.example": "10.0.0.5"}, "autodiscover-nothing", "address-not-allowed"},
		{"a name that leads to the metadata", sim.Discovery{}, map[string]string{"autodiscover.acme.example": "169.254.169.254"}, "autodiscover-nothing", "address-not-allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newSearched(t, tt.lookup)
			w.exchange.Discover("", tt.says)
			var told strings.Builder
			found, err := w.engine.Discover(t.Context(), ann, w.settings, "", func(f crm.Finding) {
				told.WriteString(f.Step + ": " + f.Detail + "\n")
			})
			switch {
			case tt.code == "" && (err != nil || !strings.EqualFold(found, endpoint)):
				t.Errorf("found %q, %v\n%s", found, err, &told)
			case tt.code != "" && (err == nil || crm.AsFault(err).Code != tt.code):
				t.Errorf("%v, want %s\n%s", err, tt.code, &told)
			}
			if !strings.Contains(told.String(), tt.hop) {
				t.Errorf("told:\n%s", &told)
			}
			if len(w.elsewhere) > 0 {
				t.Errorf("connections were opened to %v", w.elsewhere)
			}
			w.wroteDown(t)
		})
	}
}

// A searched is an organization whose domain publishes a server, and the ways there.
type searched struct {
	exchange *sim.Exchange
	settings crm.Settings
	engine   *engine.Engine
	org      *store.Org
	log      *store.AccessWriter

	mu        sync.Mutex
	elsewhere []string // addresses that were dialled, besides this machine's
}

func newSearched(t *testing.T, lookup map[string]string) *searched {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	x, err := sim.New(sim.Options{})
	must(err)
	t.Cleanup(func() { x.Close() })
	x.AddMailbox(sim.Person{Name: "Ann", Address: "ann@acme.example"})
	x.AddAccount(sim.Account{Login: svc, Password: "correct"})
	authority, err := sim.NewAuthority("Acme")
	must(err)
	certificate, err := authority.Certificate(sim.Wish{Names: []string{"autodiscover.acme.example", "evil.test"}})
	must(err)
	face, err := x.Listen("127.0.0.1:0", sim.Front{Certificate: &certificate})
	must(err)
	t.Cleanup(func() { face.Close() })

	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	must(err)
	t.Cleanup(func() { st.Close() })
	must(st.SaveDeployment(t.Context(), crm.Deployment{Mode: crm.MultiTenant, Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}))
	w := &searched{exchange: x, org: st.Org(1)}
	w.settings = crm.Settings{Version: "ExchangeSE", Login: svc, Password: crm.NewSecret("correct"), Domains: []string{"acme.example"},
		UserAgent: agent, RootCAs: string(authority.PEM())}
	must(w.org.SaveSettings(t.Context(), w.settings))
	w.log = w.org.AccessWriter()
	t.Cleanup(func() { w.log.Close() }) // before the store, which it writes to
	w.engine = engine.New(engine.Config{Org: w.org, Connector: ews.Connector(), AccessLog: w.log, Machine: gate.Machine{
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			switch {
			case lookup[host] != "":
				return []netip.Addr{netip.MustParseAddr(lookup[host])}, nil
			case host == "acme.example":
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
		Services: func(context.Context, string, string, string) ([]*net.SRV, error) { return nil, nil },
		Dial: func(ctx context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
			if !to.Addr().IsLoopback() {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.elsewhere = append(w.elsewhere, to.String())
				return nil, context.Canceled
			}
			if to.Port() == 80 {
				return nil, syscall.ECONNREFUSED
			}
			return new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(face.URL, "https://"))
		},
	}})
	return w
}

// wroteDown compares what the server saw with the access log.
func (w *searched) wroteDown(t *testing.T) {
	t.Helper()
	if err := w.log.Close(); err != nil {
		t.Fatal(err)
	}
	seen := w.exchange.Requests()
	for _, r := range seen {
		if r.UserAgent != agent || r.ServerName != "autodiscover.acme.example" {
			t.Errorf("a request under the name %q to %q", r.UserAgent, r.ServerName)
		}
	}
	rows, _, err := w.org.AccessLog(t.Context(), store.AccessQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(seen) || slices.ContainsFunc(rows, func(r store.AccessRow) bool {
		return r.Operation != "Autodiscover" || r.Mailbox != "ann@acme.example" || r.UserAgent != agent || r.Host != "autodiscover.acme.example"
	}) {
		t.Errorf("the server saw %d requests, the log has %+v", len(seen), rows)
	}
}

// TestPasswordsInServerNames: a name that may hold a password is refused, not repeated, and
// written down nowhere.
func TestPasswordsInServerNames(t *testing.T) {
	data := t.TempDir()
	for _, args := range [][]string{
		{"settings", "--server", "https://svc:CANARY@[mail"},
		{"autodiscover", "ann@acme.example", "--confirm", "https://svc:CANARY@[mail"},
		{"autodiscover", "ann@acme.example", "--json", "--confirm", "svc:CANARY@mail.acme.example"},
	} {
		code, out, errOut := imported(t, data, args...)
		if code == 0 || errOut == "" || strings.Contains(out+errOut, "CANARY") {
			t.Errorf("%q: exit %d, %s%s", args, code, out, errOut)
		}
	}
	st, err := store.Open(t.Context(), store.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, n, err := st.Org(1).AuditLog(t.Context(), store.AuditQuery{}); err != nil || n != 0 {
		t.Errorf("%d entries, %v", n, err)
	}
}
