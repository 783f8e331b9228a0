package gate

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/crm"
)

// A testProxy passes bytes on, by its own name service: every name is this machine.
type testProxy struct {
	net.Listener
	scheme, login string // login is NAME:PASSWORD; "" = anybody
	status        int    // said in place of passing on, HTTP's or that of SOCKS; 0 = none

	mu    sync.Mutex
	asked []string // targets
	from  []netip.Addr
}

func newTestProxy(t *testing.T, scheme, login string, cfg *tls.Config) *testProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if cfg != nil {
		l = tls.NewListener(l, cfg)
	}
	p := &testProxy{Listener: l, scheme: scheme, login: login}
	var serving sync.WaitGroup
	t.Cleanup(func() { l.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				p.mu.Lock()
				p.from = append(p.from, conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
				p.mu.Unlock()
				if scheme == "socks5" {
					p.socks(conn)
				} else {
					p.http(conn)
				}
			})
		}
	})
	return p
}

// at is the proxy as the egress names it. Its name is not in any name service but the test's.
func (p *testProxy) at() string {
	return fmt.Sprintf("%s://proxy.acme.example:%d", p.scheme, p.Addr().(*net.TCPAddr).Port)
}

func (p *testProxy) targets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *testProxy) http(conn net.Conn) {
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil || req.Method != http.MethodConnect || req.Header.Get("Authorization") != "" {
		return
	}
	// Proxy-Authorization is Basic as Authorization is.
	req.Header.Set("Authorization", req.Header.Get("Proxy-Authorization"))
	name, password, _ := req.BasicAuth()
	switch {
	case p.login != "" && name+":"+password != p.login:
		io.WriteString(conn, "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n")
	case p.status != 0:
		fmt.Fprintf(conn, "HTTP/1.1 %d no\r\nContent-Length: 0\r\n\r\n", p.status)
	default:
		p.pass(conn, r, req.Host, "HTTP/1.1 200 OK\r\n\r\n")
	}
}

func (p *testProxy) socks(conn net.Conn) {
	r := bufio.NewReader(conn)
	b := make([]byte, 300)
	read := func(n int) []byte { io.ReadFull(r, b[:n]); return slices.Clone(b[:n]) }
	ways := read(int(read(2)[1]))
	want := byte(0)
	if p.login != "" {
		want = 2
	}
	if !slices.Contains(ways, want) {
		conn.Write([]byte{5, 0xff})
		return
	}
	conn.Write([]byte{5, want})
	if p.login != "" {
		name := read(int(read(2)[1]))
		password := read(int(read(1)[0]))
		if string(name)+":"+string(password) != p.login {
			conn.Write([]byte{1, 1})
			return
		}
		conn.Write([]byte{1, 0})
	}
	var host string
	switch head := read(4); head[3] {
	case 1:
		host = netip.AddrFrom4([4]byte(read(4))).String()
	case 3:
		host = string(read(int(read(1)[0])))
	case 4:
		host = netip.AddrFrom16([16]byte(read(16))).String()
	}
	port := read(2)
	if p.status != 0 {
		conn.Write([]byte{5, byte(p.status), 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	p.pass(conn, r, net.JoinHostPort(host, fmt.Sprint(int(port[0])<<8|int(port[1]))), "\x05\x00\x00\x03\x05proxy\x00\x00")
}

func (p *testProxy) pass(conn net.Conn, r io.Reader, target, hello string) {
	p.mu.Lock()
	p.asked = append(p.asked, target)
	p.mu.Unlock()
	_, port, _ := net.SplitHostPort(target)
	there, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return
	}
	defer there.Close()
	io.WriteString(conn, hello)
	go io.Copy(there, r)
	io.Copy(conn, there)
}

// selfSigned makes a certificate for a name, and its PEM.
func selfSigned(t *testing.T, name string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// onlyProxy is a name service that knows the proxy alone.
func onlyProxy(_ context.Context, host string) ([]netip.Addr, error) {
	if host == "proxy.acme.example" {
		return addresses("127.0.0.1"), nil
	}
	return nil, &net.DNSError{Name: host, IsNotFound: true}
}

// TestByProxy goes by each kind of proxy, with a login and without, from a fixed address.
func TestByProxy(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1") // nobody looks
	}
	cert, authority := selfSigned(t, "proxy.acme.example")
	for _, scheme := range []string{"http", "https", "socks5"} {
		for _, login := range []string{"", "svc:pass:word"} {
			t.Run(scheme+" "+login, func(t *testing.T) {
				bell := newDoorbell(t, "127.0.0.1")
				var cfg *tls.Config
				if scheme == "https" {
					cfg = &tls.Config{Certificates: []tls.Certificate{cert}}
				}
				p := newTestProxy(t, scheme, login, cfg)
				e := pool(t, "127.0.0.3")
				e.Proxy = p.at()
				name, password, _ := strings.Cut(login, ":")
				e.ProxyLogin, e.ProxyPassword = name, crm.NewSecret(password)
				w := wayTo(Machine{Resolve: onlyProxy}, bell.port, e)
				w.terms.Settings.RootCAs = authority
				if err := visit(t.Context(), w, bell.port); err != nil {
					t.Fatal(err)
				}
				if got := p.targets(); !slices.Equal(got, []string{fmt.Sprintf("mail.acme.example:%d", bell.port)}) {
					t.Errorf("the proxy was asked for %v", got)
				}
				if !slices.Equal(p.from, addresses("127.0.0.3")) {
					t.Errorf("the proxy saw %v", p.from)
				}
				if len(bell.callers()) != 1 {
					t.Errorf("the server saw %v", bell.callers())
				}
			})
		}
	}
}

func TestProxyThatDoesNotPassUsOn(t *testing.T) {
	bell := newDoorbell(t, "127.0.0.1")
	for _, test := range []struct {
		name, scheme, login string
		status              int
		change              func(*crm.Egress, *way)
		code                string
		verdict             crm.Verdict
	}{
		{name: "wrong password", scheme: "http", login: "svc:other", code: "proxy-password-refused", verdict: crm.Reauth},
		{name: "wrong password", scheme: "socks5", login: "svc:other", code: "proxy-password-refused", verdict: crm.Reauth},
		{name: "no login", scheme: "socks5", login: "svc:x", change: func(e *crm.Egress, _ *way) { e.ProxyLogin = "" }, code: "proxy-password-refused", verdict: crm.Reauth},
		{name: "forbidden", scheme: "http", status: 403, code: "proxy-refused", verdict: crm.Refused},
		{name: "forbidden", scheme: "socks5", status: 2, code: "proxy-refused", verdict: crm.Refused},
		{name: "no way", scheme: "http", status: 502, code: "proxy-failed", verdict: crm.Retry},
		{name: "no way", scheme: "socks5", status: 4, code: "proxy-failed", verdict: crm.Retry},
		{name: "not a proxy", scheme: "http", change: func(e *crm.Egress, _ *way) { e.Proxy = fmt.Sprintf("http://proxy.acme.example:%d", bell.port) }, code: "proxy-unreachable", verdict: crm.Retry},
		{name: "not a proxy", scheme: "socks5", change: func(e *crm.Egress, _ *way) { e.Proxy = fmt.Sprintf("socks5://proxy.acme.example:%d", bell.port) }, code: "proxy-unreachable", verdict: crm.Retry},
		{name: "not there", scheme: "http", change: func(e *crm.Egress, _ *way) { e.Proxy = "http://proxy.acme.example:1" }, code: "proxy-unreachable", verdict: crm.Retry},
		{name: "name unknown", scheme: "http", change: func(e *crm.Egress, _ *way) { e.Proxy = "http://elsewhere.acme.example:3128" }, code: "proxy-unreachable", verdict: crm.Retry},
		{name: "private, not approved", scheme: "http", change: func(_ *crm.Egress, w *way) { w.terms.Deployment.Ranges = nil }, code: "address-not-allowed", verdict: crm.Refused},
		{name: "our address missing", scheme: "socks5", change: func(e *crm.Egress, _ *way) {
			*e = crm.Egress{Proxy: e.Proxy, Addresses: pool(t, "192.0.2.9").Addresses}
		}, code: "source-address-missing", verdict: crm.Retry},
	} {
		t.Run(test.scheme+" "+test.name, func(t *testing.T) {
			p := newTestProxy(t, test.scheme, test.login, nil)
			p.status = test.status
			w := wayTo(Machine{Resolve: onlyProxy}, bell.port, crm.Egress{Proxy: p.at(), ProxyLogin: "svc", ProxyPassword: crm.NewSecret("x")})
			if test.login == "" {
				w.terms.Egress.ProxyLogin = ""
			}
			if test.change != nil {
				test.change(&w.terms.Egress, &w)
			}
			err := visit(t.Context(), w, bell.port)
			if codeOf(err) != test.code || crm.AsFault(err).Verdict != test.verdict || crm.AsFault(err).Scope != crm.OrgScope {
				t.Errorf("got %v, want %s, %s", err, test.code, test.verdict)
			}
			if len(p.targets()) != 0 {
				t.Errorf("the proxy passed on %v", p.targets())
			}
		})
	}
}

// TestWhatAProxyIsNotAskedFor: a proxy looks names up by itself, but hosts are granted and
// addresses allowed by us.
func TestWhatAProxyIsNotAskedFor(t *testing.T) {
	p := newTestProxy(t, "http", "", nil)
	terms := &Terms{Settings: crm.Settings{Server: "https://10.1.2.3"}, Egress: crm.Egress{Proxy: p.at()}, Deployment: loopback}
	w := New(Config{Machine: Machine{Resolve: onlyProxy}}).way(terms)
	for address, code := range map[string]string{"10.1.2.3:443": "address-not-allowed", "other.example:443": "host-not-granted", "[::ffff:10.1.2.3]:443": "address-not-allowed"} {
		if _, err := w.dial(t.Context(), "tcp", address); codeOf(err) != code {
			t.Errorf("%s: got %v, want %s", address, err, code)
		}
	}
	if len(p.from) != 0 {
		t.Errorf("the proxy was asked: %v", p.from)
	}
}

// TestEndlessProxy: what a proxy says is bounded, and so is how long it is waited for.
func TestEndlessProxy(t *testing.T) {
	for name, say := range map[string]func(net.Conn) error{
		"silent": func(net.Conn) error { return nil },
		"talking": func(c net.Conn) error {
			_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				m := Machine{Resolve: onlyProxy, Dial: func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) { return ours, nil }}
				w := wayTo(m, 443, crm.Egress{Proxy: "http://proxy.acme.example:3128"})
				go io.Copy(io.Discard, theirs)
				go say(theirs)
				start := time.Now()
				_, err := w.dial(t.Context(), "tcp", "mail.acme.example:443")
				if code := codeOf(err); code != "proxy-unreachable" && code != "proxy-refused" {
					t.Errorf("got %v", err)
				}
				if waited := time.Since(start); waited > connectTime {
					t.Errorf("it took %v", waited)
				}
				if _, err := ours.Write([]byte("x")); err == nil {
					t.Error("the connection is still open")
				}
				theirs.Close()
			})
		})
	}
}
