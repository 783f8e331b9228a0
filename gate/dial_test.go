package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/crm"
)

// A doorbell listens on loopback and notes who comes.
type doorbell struct {
	net.Listener
	port uint16

	mu   sync.Mutex
	from []netip.Addr
}

// newDoorbell greets each caller and hangs up.
func newDoorbell(t *testing.T, address string) *doorbell {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Skipf("nothing can listen at %s here: %v", address, err)
	}
	d := &doorbell{Listener: l, port: l.Addr().(*net.TCPAddr).AddrPort().Port()}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.from = append(d.from, conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
			d.mu.Unlock()
			fmt.Fprintln(conn, "welcome")
			conn.Close()
		}
	}()
	return d
}

// callers are the addresses that connections came from.
func (d *doorbell) callers() []netip.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.from)
}

// answering is a name service in which every name has these addresses.
func answering(list ...string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) ([]netip.Addr, error) { return addresses(list...), nil }
}

func addresses(list ...string) (all []netip.Addr) {
	for _, text := range list {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// pool is an egress of these addresses, as people write them.
func pool(t *testing.T, list ...string) crm.Egress {
	t.Helper()
	var e crm.Egress
	for _, text := range list {
		a, err := crm.ParseEgressAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		e.Addresses = append(e.Addresses, a)
	}
	return e
}

// loopback is what the operator of a test machine approves.
var loopback = crm.Deployment{Ranges: prefixes("127.0.0.0/8", "::1/128")}

// wayTo leads to mail.acme.example at a port.
func wayTo(m Machine, port uint16, e crm.Egress) way {
	g := New(Config{Machine: m})
	return g.way(&Terms{Settings: crm.Settings{Server: fmt.Sprintf("https://mail.acme.example:%d", port)}, Egress: e, Deployment: loopback})
}

// visit opens a connection to mail.acme.example and waits until the other end has noted it.
func visit(ctx context.Context, w way, port uint16) error {
	conn, err := w.dial(ctx, "tcp", fmt.Sprintf("mail.acme.example:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.ReadAll(conn)
	return err
}

// codeOf is the code of the fault that an error is; "" of none.
func codeOf(err error) string {
	if f, ok := errors.AsType[*crm.Fault](err); ok {
		return f.Code
	}
	if err != nil {
		return "no fault: " + err.Error()
	}
	return ""
}

func TestConnectionsLeaveFromThePoolAlone(t *testing.T) {
	bell := newDoorbell(t, "127.0.0.1")
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name  string
		pool  []string
		code  string
		seen  string // by the other end, of six connections
		lies  bool   // the machine claims to have every address
		alone bool   // the machine has no address at all
	}{
		{name: "one", pool: []string{"127.0.0.2"}, seen: "127.0.0.2"},
		{name: "spread", pool: []string{"127.0.0.2", "127.0.0.3"}, seen: "127.0.0.2 127.0.0.3 127.0.0.2 127.0.0.3 127.0.0.2 127.0.0.3"},
		{name: "missing", pool: []string{"192.0.2.9"}, code: "source-address-missing"},
		{name: "all missing", pool: []string{"192.0.2.9", "192.0.2.10"}, code: "source-address-missing"},
		{name: "one of two missing", pool: []string{"192.0.2.9", "127.0.0.3"}, seen: "127.0.0.3"},
		{name: "taken away before it is used", pool: []string{"192.0.2.9"}, code: "source-address-missing", lies: true},
		{name: "taken from the machine", pool: []string{"127.0.0.2"}, code: "source-address-missing", alone: true},
		{name: "planned", pool: []string{"127.0.0.2 from=2026-12-01T12:01Z"}, code: "no-source-address"},
		{name: "over", pool: []string{"127.0.0.2 until=2026-12-01T12:00Z"}, code: "no-source-address"},
		{name: "between two", pool: []string{"127.0.0.2 until=2026-12-01T12:00Z", "127.0.0.3 from=2026-12-01T12:00Z"}, seen: "127.0.0.3"},
		{name: "another family", pool: []string{"::1"}, code: "no-source-address"},
		{name: "none prescribed", seen: "127.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := Machine{Resolve: answering("127.0.0.1"), Now: func() time.Time { return now }}
			e := pool(t, test.pool...)
			switch {
			case test.lies:
				m.Addresses = func() ([]netip.Addr, error) { return addresses(test.pool...), nil }
			case test.alone:
				m.Addresses = func() ([]netip.Addr, error) { return nil, nil }
			}
			w := wayTo(m, bell.port, e)
			before := len(bell.callers())
			for range 6 {
				if code := codeOf(visit(t.Context(), w, bell.port)); code != test.code {
					t.Fatalf("got %q, want %q", code, test.code)
				}
			}
			want := strings.Fields(test.seen)
			for len(want) > 0 && len(want) < 6 {
				want = append(want, want[0])
			}
			if got := bell.callers()[before:]; !slices.Equal(got, addresses(want...)) {
				t.Errorf("the server saw %v, want %v", got, want)
			}
		})
	}
}

// TestMissingAddressComesBack: the fault passes by itself, and the way is open again.
func TestMissingAddressComesBack(t *testing.T) {
	bell := newDoorbell(t, "127.0.0.1")
	own := []netip.Addr{}
	w := wayTo(Machine{Resolve: answering("127.0.0.1"), Addresses: func() ([]netip.Addr, error) { return own, nil }}, bell.port, pool(t, "127.0.0.2"))
	err := visit(t.Context(), w, bell.port)
	if f, ok := errors.AsType[*crm.Fault](err); !ok || f.Verdict != crm.Retry || f.Scope != crm.OrgScope || !strings.Contains(f.Message, "127.0.0.2") {
		t.Errorf("without the address: %v", err)
	}
	own = addresses("127.0.0.1")
	if err := visit(t.Context(), w, bell.port); err != nil {
		t.Errorf("with the address: %v", err)
	}
	if got := bell.callers(); !slices.Equal(got, addresses("127.0.0.2")) {
		t.Errorf("the server saw %v", got)
	}
}

func TestFamilyOfTheTargetIsMatched(t *testing.T) {
	bell := newDoorbell(t, "::1")
	w := wayTo(Machine{Resolve: answering("127.0.0.1", "::1")}, bell.port, pool(t, "::1"))
	if err := visit(t.Context(), w, bell.port); err != nil {
		t.Fatal(err)
	}
	if got := bell.callers(); !slices.Equal(got, addresses("::1")) {
		t.Errorf("the server saw %v, want ::1", got)
	}
}

// TestNextAddressIsTried: a server with several addresses is reached while one answers.
func TestNextAddressIsTried(t *testing.T) {
	bell := newDoorbell(t, "127.0.0.1")
	w := wayTo(Machine{Resolve: answering("127.0.0.9", "127.0.0.1")}, bell.port, pool(t, "127.0.0.2"))
	if err := visit(t.Context(), w, bell.port); err != nil {
		t.Fatal(err)
	}
}

// TestAddressEndsWithItsTime: what is under way ends when the address is no longer ours.
func TestAddressEndsWithItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		e := pool(t, "127.0.0.2")
		e.Addresses[0].Until = time.Now().Add(time.Hour)
		w := wayTo(Machine{
			Resolve: answering("127.0.0.1"), Addresses: func() ([]netip.Addr, error) { return addresses("127.0.0.1"), nil },
			Dial: func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) { return ours, nil },
		}, 443, e)
		conn, err := w.dial(t.Context(), "tcp", "mail.acme.example:443")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		start := time.Now()
		if _, err := io.ReadAll(conn); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v, want the connection closed", err)
		}
		if open := time.Since(start); open != time.Hour {
			t.Errorf("it was open for %v, want an hour", open)
		}
	})
}

func TestHostsThatAreGranted(t *testing.T) {
	settings := crm.Settings{Server: "https://Mail.Acme.example./EWS/Exchange.asmx", Domains: []string{"acme.example"}}
	terms := &Terms{Settings: settings, Deployment: loopback}
	explicit := *terms
	explicit.Settings.Server = "mail.acme.example:8443"
	plain := *terms
	plain.Settings.Server = "http://127.0.0.1:8080/EWS/Exchange.asmx"
	var dialled []netip.AddrPort
	g := New(Config{Machine: Machine{Resolve: answering("198.51.100.1"), Dial: func(_ context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
		dialled = append(dialled, to)
		ours, _ := net.Pipe()
		return ours, nil
	}}})
	terms.Deployment.Ranges = prefixes("198.51.100.0/24", "127.0.0.0/8")
	explicit.Deployment, plain.Deployment = terms.Deployment, terms.Deployment
	inside := *terms
	inside.Deployment.Mode = crm.OnPremises
	server, finding := g.way(terms), g.anyWay(terms)
	for _, test := range []struct {
		name    string
		way     way
		address string
		code    string
	}{
		{"the server", server, "mail.acme.example:443", ""},
		{"the server, written otherwise", server, "MAIL.ACME.example.:443", ""},
		{"another port", server, "mail.acme.example:8443", "host-not-granted"},
		{"the plain port", server, "mail.acme.example:80", "host-not-granted"},
		{"no port", server, "mail.acme.example:0", "host-malformed"},
		{"another host of the domain", server, "autodiscover.acme.example:443", "host-not-granted"},
		{"a host below the server", server, "x.mail.acme.example:443", "host-not-granted"},
		{"the server by its address", server, "198.51.100.1:443", "host-not-granted"},
		{"a port that the settings name", g.way(&explicit), "mail.acme.example:8443", ""},
		{"then not the usual one", g.way(&explicit), "mail.acme.example:443", "host-not-granted"},
		{"a test server on this machine", g.way(&plain), "127.0.0.1:8080", ""},
		{"its neighbour", g.way(&plain), "127.0.0.2:8080", "host-not-granted"},
		{"to find: the domain", finding, "acme.example:443", ""},
		{"to find: below the domain", finding, "autodiscover.acme.example:443", ""},
		{"to find: the question without credentials", finding, "autodiscover.acme.example:80", ""},
		{"to find: another port", finding, "autodiscover.acme.example:8443", "host-not-granted"},
		{"to find: another domain", finding, "autodiscover.other.example:443", "host-not-granted"},
		{"to find: a domain that ends alike", finding, "autodiscover.notacme.example:443", "host-not-granted"},
		{"to find: the domain above", finding, "autodiscover.example:443", "host-not-granted"},
		{"to find, on premises: the server", g.anyWay(&inside), "mail.acme.example:443", ""},
		{"to find, on premises: the domain", g.anyWay(&inside), "autodiscover.acme.example:443", "host-not-granted"},
		{"nothing granted", g.way(&Terms{}), "mail.acme.example:443", "host-malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialled = nil
			conn, err := test.way.dial(t.Context(), "tcp", test.address)
			if code := codeOf(err); code != test.code {
				t.Errorf("got %q, want %q", code, test.code)
			}
			if want := map[bool]int{true: 1}[test.code == ""]; len(dialled) != want {
				t.Errorf("dialled %v", dialled)
			}
			if conn != nil {
				conn.Close()
			}
		})
	}
}

// TestEveryAnswerIsChecked: one forbidden address spoils all, the checked addresses are the
// ones that are dialled, and the name is not asked for twice.
func TestEveryAnswerIsChecked(t *testing.T) {
	lookups, dialled := 0, []netip.AddrPort{}
	answers := [][]string{{"198.41.0.4", "127.0.0.1"}, {"198.41.0.4"}, {"127.0.0.1"}}
	m := Machine{
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			lookups++
			return addresses(answers[lookups-1]...), nil
		},
		Dial: func(_ context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
			dialled = append(dialled, to)
			ours, _ := net.Pipe()
			return ours, nil
		},
	}
	w := New(Config{Machine: m}).way(&Terms{Settings: crm.Settings{Server: "mail.acme.example"}})
	for i, code := range []string{"address-not-allowed", "", "address-not-allowed"} {
		_, err := w.dial(t.Context(), "tcp", "mail.acme.example:443")
		if got := codeOf(err); got != code {
			t.Errorf("answers %v: got %q, want %q", answers[i], got, code)
		}
	}
	if lookups != 3 || !slices.Equal(dialled, []netip.AddrPort{netip.MustParseAddrPort("198.41.0.4:443")}) {
		t.Errorf("%d look-ups, dialled %v", lookups, dialled)
	}
}

func TestServicesOfTheOwnDomainsAlone(t *testing.T) {
	asked := ""
	g := New(Config{Machine: Machine{Services: func(_ context.Context, service, proto, domain string) ([]*net.SRV, error) {
		asked = "_" + service + "._" + proto + "." + domain
		return []*net.SRV{{Target: "mail.acme.example.", Port: 443}}, nil
	}}})
	terms := &Terms{Policy: crm.Policy{Domains: []string{"emea.acme.example"}}}
	if list, err := g.anyWay(terms).services(t.Context(), "autodiscover", "tcp", "Acme.example"); err != nil || len(list) != 1 || asked != "_autodiscover._tcp.acme.example" {
		t.Errorf("got %v, %v, asked for %s", list, err, asked)
	}
	asked = ""
	for domain, code := range map[string]string{"other.example": "host-not-granted", "example": "host-not-granted", "a..b": "host-malformed"} {
		if _, err := g.anyWay(terms).services(t.Context(), "autodiscover", "tcp", domain); codeOf(err) != code {
			t.Errorf("%s: got %v, want %s", domain, err, code)
		}
	}
	if _, err := g.way(terms).services(t.Context(), "autodiscover", "tcp", "acme.example"); codeOf(err) != "host-not-granted" {
		t.Errorf("while reading: %v", err)
	}
	terms.Egress.Proxy = "http://proxy.acme.example:3128"
	if list, err := g.anyWay(terms).services(t.Context(), "autodiscover", "tcp", "acme.example"); list != nil || err != nil || asked != "" {
		t.Errorf("behind a proxy: %v, %v, asked for %q", list, err, asked)
	}
}

// TestResolveSaysWhatDialWouldDo: what the name service said comes with the reason why it is
// of no use.
func TestResolveSaysWhatDialWouldDo(t *testing.T) {
	terms := &Terms{Settings: crm.Settings{Server: "mail.acme.example:8443"}, Policy: crm.Policy{Domains: []string{"acme.example"}}}
	g := New(Config{Machine: Machine{Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
		switch host {
		case "mail.acme.example":
			return addresses("198.41.0.4", "::ffff:198.41.0.4", "2001:503:ba3e::2:30"), nil
		case "autodiscover.acme.example":
			return addresses("198.41.0.4", "10.0.0.1"), nil
		case "empty.acme.example":
			return nil, nil
		}
		return nil, &net.DNSError{Name: host, IsNotFound: true}
	}}})
	for _, test := range []struct {
		host, found, code string
	}{
		{"Mail.Acme.Example.", "198.41.0.4 2001:503:ba3e::2:30", ""},
		{"autodiscover.acme.example", "198.41.0.4 10.0.0.1", "address-not-allowed"},
		{"mail.other.example", "", "host-not-granted"},
		{"127.1", "", "host-malformed"},
	} {
		found, err := g.anyWay(terms).resolve(t.Context(), test.host)
		if codeOf(err) != test.code || !slices.Equal(found, addresses(strings.Fields(test.found)...)) {
			t.Errorf("%s: got %v, %v", test.host, found, err)
		}
	}
	for _, host := range []string{"nowhere.acme.example", "empty.acme.example"} {
		if _, err := g.anyWay(terms).resolve(t.Context(), host); !errors.As(err, new(*net.DNSError)) {
			t.Errorf("%s: got %v", host, err)
		}
	}
	if _, err := g.way(terms).resolve(t.Context(), "autodiscover.acme.example"); codeOf(err) != "host-not-granted" {
		t.Errorf("while reading: %v", err)
	}
	terms.Egress.Proxy = "http://proxy.acme.example:3128"
	if found, err := g.way(terms).resolve(t.Context(), "mail.acme.example"); found != nil || err != nil {
		t.Errorf("behind a proxy: %v, %v", found, err)
	}
}
