package gate_test

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
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/crm"
	"postern/ews"
	"postern/gate"
)

// The host that is granted, and where its name honestly leads.
const (
	ownHost    = "mail.acme.example"
	finderHost = "autodiscover.acme.example"
	ownAddress = "198.41.0.4"
)

// A trap is the whole Internet on one listener of this machine: wherever a connection leads,
// it ends here and is noted, whatever it asks for is taken down, and every certificate is
// good. Whoever is asked for a password would get it.
type trap struct {
	t      *testing.T
	server net.Listener
	roots  string
	answer func(w http.ResponseWriter, r *http.Request) // of the own hosts

	mu      sync.Mutex
	dialled []netip.AddrPort
	visited []string // hosts that were asked
	signed  []string // hosts that were given credentials, and the addresses that they were reached at
	reached map[string]netip.AddrPort
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	x := &trap{t: t, reached: map[string]netip.AddrPort{}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "trap"}}, nil, key)
	if err != nil {
		t.Fatal(err)
	}
	x.roots = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw}))
	if x.server, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.server.Close() })
	forName := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		leaf := &x509.Certificate{DNSNames: []string{hello.ServerName}}
		if hello.ServerName == "" { // the host is an address
			x.mu.Lock()
			to := x.reached[hello.Conn.RemoteAddr().String()]
			x.mu.Unlock()
			leaf = &x509.Certificate{IPAddresses: []net.IP{to.Addr().AsSlice()}}
		}
		cert, err := sign(leaf, authority, key)
		if err != nil { // no certificate can be for such a name
			return nil, err
		}
		return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, nil
	}
	server := &http.Server{Handler: x, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	t.Cleanup(func() { server.Close() })
	go server.Serve(&eitherListener{x.server, &tls.Config{GetCertificate: forName}})
	return x
}

// sign makes a certificate; without a parent it signs itself.
func sign(cert, parent *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	cert.SerialNumber, cert.NotBefore, cert.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent = cert
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// An eitherListener takes TLS and plain connections at one port.
type eitherListener struct {
	net.Listener
	tls *tls.Config
}

func (l *eitherListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &eitherConn{Conn: conn, tls: l.tls}, nil
}

// An eitherConn is the one or the other by the first byte that comes.
type eitherConn struct {
	net.Conn
	tls    *tls.Config
	chosen bool
}

type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

func (c *eitherConn) Read(b []byte) (int, error) {
	if !c.chosen {
		p := &peeked{c.Conn, bufio.NewReader(c.Conn)}
		first, err := p.r.Peek(1)
		if err != nil {
			return 0, err
		}
		c.chosen, c.Conn = true, p
		if first[0] == 0x16 {
			c.Conn = tls.Server(p, c.tls)
		}
	}
	return c.Conn.Read(b)
}

func (x *trap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	to := x.reached[r.RemoteAddr]
	x.visited = append(x.visited, r.Host)
	if r.Header.Get("Authorization") != "" || r.Header.Get("Proxy-Authorization") != "" {
		x.signed = append(x.signed, r.Host+" at "+to.String())
	}
	x.mu.Unlock()
	if x.answer != nil && (r.Host == ownHost || r.Host == finderHost) && to.Addr().String() == ownAddress {
		x.answer(w, r)
		return
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="give it to me"`)
	w.WriteHeader(http.StatusUnauthorized)
}

// Dial leads everything into the trap.
func (x *trap) Dial(ctx context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
	x.mu.Lock()
	x.dialled = append(x.dialled, to)
	x.mu.Unlock()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", x.server.Addr().String())
	if err == nil {
		x.mu.Lock()
		x.reached[conn.LocalAddr().String()] = to
		x.mu.Unlock()
	}
	return conn, err
}

// forget makes the trap ready for the next try.
func (x *trap) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dialled, x.visited, x.signed = nil, nil, nil
}

// A hostileRow is one try. What it names is the server of the settings, or, when answers come
// with it, the own host, whose name is answered so, look-up for look-up.
type hostileRow struct {
	server  string
	answers []string // each a list of addresses; the last one stays
}

// A family is rows of a kind, and its control: what gets through when the operator allowed
// it, so that it is the gate that keeps the others out.
type family struct {
	name     string
	approved []netip.Prefix // ranges that hold for all rows, since they must not help
	control  hostileRow
	opened   []netip.Prefix // ranges by which the control gets through
	rows     []hostileRow
}

var (
	thisMachine = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	everything  = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	honest      = hostileRow{server: "https://" + ownHost, answers: []string{ownAddress}}
)

// forbidden are addresses behind which no server may be looked for unless the operator
// approved it; those of the second list never.
var (
	forbidden = strings.Fields(`127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.254 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.254 192.168.0.1 192.168.1.254
		169.254.0.1 169.254.1.1 100.64.0.1 100.127.255.254 192.0.0.1 192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1 198.19.255.254 192.88.99.1 240.0.0.1
		::1 fc00::1 fd00::1 fd12:3456::1 fe80::1 febf::1 fec0::1 2001:db8::1 2001:2::1 3fff::1 100::1 5f00::1
		::127.0.0.1 ::10.0.0.1 64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 2002:7f00:1:: 2002:a00:1:: 2001:0:4136:e378::1
		::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:192.168.0.1 ::ffff:7f00:1 0:0:0:0:0:ffff:7f00:1`)
	neverAllowed = strings.Fields(`0.0.0.0 0.1.2.3 255.255.255.255 224.0.0.1 239.1.2.3 :: ff02::1 ff05::2
		169.254.169.254 169.254.170.2 100.100.100.200 192.0.0.192 168.63.129.16 fd00:ec2::254 fd20:ce::254 ::ffff:169.254.169.254 64:ff9b::169.254.169.254 ::ffff:0.0.0.0`)
)

func url(host string) string {
	if strings.Contains(host, ":") {
		return "https://[" + host + "]/EWS/Exchange.asmx"
	}
	return "https://" + host + "/EWS/Exchange.asmx"
}

// servers are rows of settings that name something else than a server.
func servers(list ...string) (rows []hostileRow) {
	for _, text := range list {
		rows = append(rows, hostileRow{server: text, answers: []string{"127.0.0.1"}})
	}
	return rows
}

// families is the table.
func families() []family {
	all := slices.Concat(forbidden, neverAllowed)
	never := family{name: "what cannot be approved", approved: everything, opened: everything, control: hostileRow{server: url("127.0.0.1")}}
	for _, a := range neverAllowed {
		never.rows = append(never.rows, hostileRow{server: url(a)}, hostileRow{server: url(ownHost), answers: []string{a}})
	}
	addressed, named, mixed := family{name: "addresses", opened: thisMachine, control: hostileRow{server: url("127.0.0.1")}},
		family{name: "names that lead to them", opened: thisMachine, control: hostileRow{server: url(ownHost), answers: []string{"127.0.0.1"}}},
		family{name: "answers that mix good and bad", opened: thisMachine, control: hostileRow{server: url(ownHost), answers: []string{ownAddress + " 127.0.0.1"}}}
	for i, a := range all {
		addressed.rows = append(addressed.rows, hostileRow{server: url(a)})
		named.rows = append(named.rows, hostileRow{server: url(ownHost), answers: []string{a}})
		if i%4 == 0 {
			mixed.rows = append(mixed.rows, hostileRow{server: url(ownHost), answers: []string{ownAddress + " " + a}}, hostileRow{server: url(ownHost), answers: []string{a + " " + ownAddress}})
		}
	}
	return []family{
		addressed, named, mixed, never,
		{name: "answers that change", control: honest, rows: []hostileRow{
			{server: url(ownHost), answers: []string{"127.0.0.1", ownAddress, "10.0.0.1"}},
			{server: url(ownHost), answers: []string{"10.0.0.1", "169.254.169.254", "::1"}},
			{server: url(ownHost), answers: []string{"::ffff:127.0.0.1", "127.0.0.1 " + ownAddress, "192.168.0.1"}},
			{server: url(ownHost), answers: []string{"fd00::1", "0.0.0.0"}},
			{server: url(ownHost), answers: []string{ownAddress, "127.0.0.1"}},
			{server: url(ownHost), answers: []string{ownAddress, "169.254.169.254", ownAddress, "10.0.0.1"}},
		}},
		{name: "addresses in disguise", approved: everything, opened: everything, control: hostileRow{server: url("127.0.0.1")}, rows: servers(
			"https://2130706433/", "https://3232235521/", "https://2852039166/", "https://017700000001/", "https://0x7f000001/", "https://0x7F000001/", "https://0X7f000001/", "https://0xa9fea9fe/",
			"https://127.1/", "https://127.0.1/", "https://10.1/", "https://0/", "https://0x0/", "https://0177.0.0.1/", "https://0x7f.0.0.1/", "https://127.0.0.0x1/", "https://0x7f.1/", "https://0177.1/",
			"https://127.0.0.01/", "https://127.000.000.001/", "https://0000127.0.0.1/", "https://127.0.0.1.2/", "https://127.0.0.256/", "https://4294967296/", "https://127.65535/", "https://00000000177.1/",
			"https://169.254.43518/", "https://0251.0376.0251.0376/", "https://0xa9.0xfe.0xa9.0xfe/", "2130706433", "0x7f000001", "127.1", "0177.0.0.1:443")},
		{name: "login in the address", approved: everything, opened: everything, control: honest, rows: servers(
			"https://mail.acme.example@127.0.0.1/", "https://mail.acme.example:443@127.0.0.1/", "https://svc:pw@127.0.0.1/", "https://svc:pw@mail.acme.example/", "https://127.0.0.1@mail.acme.example/", "https://@127.0.0.1/", "https://:@127.0.0.1/",
			"https://mail.acme.example%40127.0.0.1/", "https://mail.acme.example\\@127.0.0.1/", "https://127.0.0.1\\@mail.acme.example/", "https://mail.acme.example#@127.0.0.1/", "https://mail.acme.example?@127.0.0.1/",
			"https://mail.acme.example%00@127.0.0.1/", "https://mail.acme.example%2f@127.0.0.1/", "mail.acme.example@127.0.0.1", "svc:pw@127.0.0.1")},
		{name: "names that are mapped", approved: everything, opened: everything, control: hostileRow{server: "https://xn--bcher-kva.example/", answers: []string{"127.0.0.1"}}, rows: servers(
			"https://１２７.0.0.1/", "https://１２７．０．０．１/", "https://①②⑦.⓪.⓪.①/", "https://127。0。0。1/", "https://127｡0｡0｡1/", "https://０x7f000001/", "https://２１３０７０６４３３/", "https://𝟏𝟐𝟕.𝟎.𝟎.𝟏/",
			"https://xn--/", "https://xn--a/", "https://xn--zzzzzzzzzzzz9999/", "https://mail.acme.example／x/", "https://mail.acme.example﹫127.0.0.1/", "https://mail\u00ad\u200b@127.0.0.1/", "https://[::ffff:１２７.0.0.1]/")},
		{name: "dots at the end", control: hostileRow{server: "https://mail.acme.example./", answers: []string{ownAddress}}, rows: servers(
			"https://127.0.0.1./", "https://127.0.0.1../", "https://2130706433./", "https://0x7f.1./", "https://localhost./", "https://localhost../", "https://mail.acme.example./", "https://mail.acme.example../", "https://./", "https://.mail.acme.example/", "https://mail..acme.example/",
			"https://169.254.169.254./", "https://10.0.0.1./", "https://metadata.google.internal./")},
		{name: "names of the inside", opened: thisMachine, control: hostileRow{server: "https://localhost/", answers: []string{"127.0.0.1"}}, rows: servers(
			"https://localhost/", "https://LOCALHOST/", "http://localhost/", "http://localhost:80/", "https://localhost:8443/", "https://localhost.localdomain/", "https://ip6-localhost/", "https://metadata.google.internal/", "https://127.0.0.1.nip.example/", "https://exchange01/")},
		{name: "plain http", approved: everything, opened: everything, control: hostileRow{server: "http://127.0.0.1/"}, rows: servers(
			"http://mail.acme.example/", "http://mail.acme.example/EWS/Exchange.asmx", "http://mail.acme.example:443/", "HTTP://mail.acme.example/", "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://[fd00::1]/", "http://2130706433/", "http://127.1/", "http://0x7f.1/")},
		{name: "other schemes", approved: everything, opened: everything, control: honest, rows: servers(
			"file:///etc/passwd", "file://mail.acme.example/etc/passwd", "gopher://127.0.0.1:70/_x", "gopher://mail.acme.example/", "ftp://127.0.0.1/", "ldap://127.0.0.1/", "dict://127.0.0.1:11211/stat", "jar:https://127.0.0.1!/x", "data://text/plain,x",
			"javascript://127.0.0.1/%0aalert(1)", "unix:///var/run/docker.sock", "tcp://127.0.0.1:2375", "ssh://127.0.0.1", "ws://127.0.0.1/", "wss://mail.acme.example/", "smb://10.0.0.1/share", "//127.0.0.1/", "https:///127.0.0.1/", "https:127.0.0.1", "://127.0.0.1")},
		{name: "zones, ports and control characters", approved: everything, opened: everything, control: honest, rows: servers(
			"https://[fe80::1%25eth0]/", "https://[::1%25lo]/", "https://[::1%lo]/", "https://[::1", "https://::1/", "https://[127.0.0.1]/", "https://[mail.acme.example]/", "https://mail.acme.example:0/", "https://mail.acme.example:65536/", "https://mail.acme.example:-1/", "https://mail.acme.example:443:22/",
			"https://127.0.0.1\r\nHost: mail.acme.example/", "https://mail.acme.example\t@127.0.0.1/", "https://mail.acme.example\x00.127.0.0.1/", "https://mail.acme.example 127.0.0.1/", "https://mail_acme.example/", "https://mail.acme.example,127.0.0.1/", "https://mail.acme.example;127.0.0.1/", "")},
	}
}

// settings of a row. Basic is pinned, so that whoever is asked first is given the password.
func (x *trap) settings(row hostileRow) crm.Settings {
	return crm.Settings{Enabled: true, Server: row.server, Version: "ExchangeSE", Scheme: crm.Basic, Login: `ACME\svc`, Password: crm.NewSecret("hidden-password"),
		Domains: []string{"acme.example"}, UserAgent: "Acme-CRM-Sync/1.0", RootCAs: x.roots}
}

// names is the name service of a row.
func (row hostileRow) names() func(context.Context, string) ([]netip.Addr, error) {
	lookups := 0
	return func(_ context.Context, host string) (list []netip.Addr, err error) {
		if len(row.answers) == 0 {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		for _, a := range strings.Fields(row.answers[min(lookups, len(row.answers)-1)]) {
			list = append(list, netip.MustParseAddr(a))
		}
		lookups++
		return list, nil
	}
}

// open opens the gate for a row.
func (x *trap) open(row hostileRow, ranges []netip.Prefix) *gate.Gate {
	x.forget()
	g := gate.New(gate.Config{Machine: gate.Machine{Dial: x.Dial, Resolve: row.names()}})
	g.Set(gate.Terms{Settings: x.settings(row), Policy: crm.Policy{Domains: []string{"acme.example"}, Kinds: []crm.Kind{crm.Email}},
		Deployment: crm.Deployment{Mode: crm.MultiTenant, Ranges: ranges}})
	return g
}

// read lets the real client read a mailbox, several times, as the engine does.
func (x *trap) read(g *gate.Gate) error {
	src, closer, err := g.Open(ews.Connector())
	if err != nil {
		return err
	}
	defer closer.Close()
	for range 4 {
		if _, err = src.Folders(x.t.Context(), &crm.Mailbox{Address: "ann@acme.example"}); err == nil {
			return nil
		}
	}
	return err
}

// stray are connections that led elsewhere than to the own server.
func (x *trap) stray() (list []netip.AddrPort) {
	for _, to := range x.dialled {
		if to.Addr().String() != ownAddress {
			list = append(list, to)
		}
	}
	return list
}

// TestHostileURLs: whatever is entered as the server, whatever the name service says and
// wherever autodiscover leads, no connection goes to an address that nobody allowed, and no
// credential to anybody but the own server.
func TestHostileURLs(t *testing.T) {
	x, rows := newTrap(t), 0
	for _, f := range families() {
		t.Run(f.name, func(t *testing.T) {
			for _, row := range f.rows {
				rows++
				err := x.read(x.open(row, f.approved))
				if err == nil || len(x.stray()) > 0 || slices.ContainsFunc(x.signed, func(s string) bool { return !strings.HasSuffix(s, "at "+ownAddress+":443") }) {
					t.Errorf("%q, answered %q: connections to %v, credentials to %q, %v", row.server, row.answers, x.dialled, x.signed, err)
				}
				if len(row.answers) < 2 && len(x.dialled)+len(x.signed) > 0 {
					t.Errorf("%q: connections to %v, credentials to %q", row.server, x.dialled, x.signed)
				}
			}
			if _ = x.read(x.open(f.control, f.opened)); len(x.dialled) == 0 || len(x.signed) == 0 {
				t.Errorf("the control %q does not get through, so that the others show nothing", f.control.server)
			}
		})
	}
	t.Run("redirects", func(t *testing.T) { rows += x.redirects(t) })
	if rows < 200 {
		t.Errorf("%d rows, want 200 at least", rows)
	}
	t.Logf("%d hostile rows", rows)
}

// redirects lets autodiscover lead to hostile places, in each way that it can lead anywhere.
func (x *trap) redirects(t *testing.T) (rows int) {
	ways := map[string]func(to string) http.HandlerFunc{
		"plain http": func(to string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if r.TLS != nil {
					http.NotFound(w, r)
					return
				}
				w.Header().Set("Location", to)
				w.WriteHeader(http.StatusFound)
			}
		},
		"https": func(to string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", to)
				w.WriteHeader(http.StatusFound)
			}
		},
		"a chain": func(to string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				next := to
				if n := len(r.URL.Query().Get("n")); n < 3 {
					next = "https://" + finderHost + r.URL.Path + "?n=" + strings.Repeat("x", n+1)
				}
				w.Header().Set("Location", next)
				w.WriteHeader(http.StatusFound)
			}
		},
		"an answer": func(to string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/xml; charset=utf-8")
				if strings.HasSuffix(r.URL.Path, ".svc") {
					_ = ews.WriteUserSettingsAnswer(w, &ews.UserSettingsAnswer{Code: ews.NoError, Users: []ews.UserSettings{{Code: ews.AutodiscoverRedirectURL, RedirectTarget: to}}})
					return
				}
				_ = ews.WritePOXAnswer(w, &ews.POXAnswer{Action: ews.POXRedirectURL, RedirectURL: to})
			}
		},
		"the endpoint": func(to string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/xml; charset=utf-8")
				_ = ews.WritePOXAnswer(w, &ews.POXAnswer{Action: ews.POXSettings, Protocols: []ews.POXProtocol{{Type: "EXPR", EWSURL: to}}})
			}
		},
	}
	targets := strings.Fields(`https://127.0.0.1/autodiscover/autodiscover.xml https://10.0.0.1/x https://169.254.169.254/latest/meta-data/ https://[::1]/x https://[::ffff:127.0.0.1]/x https://[fd00:ec2::254]/x
		https://2130706433/x https://0x7f.1/x https://127.1/x https://0177.0.0.1/x https://autodiscover.other.example/autodiscover/autodiscover.xml https://autodiscover.acme.example.other.example/x https://notacme.example/x https://example/x
		http://autodiscover.acme.example:8080/x http://mail.acme.example/x http://127.0.0.1/x file:///etc/passwd gopher://127.0.0.1:70/_x ftp://autodiscover.acme.example/x
		https://autodiscover.acme.example@127.0.0.1/x https://svc:pw@autodiscover.acme.example/x https://autodiscover.acme.example:22/x https://１２７.0.0.1/x https://localhost/x https://inside.acme.example/x //127.0.0.1/x \\127.0.0.1\x`)
	for name, way := range ways {
		for _, to := range targets {
			rows++
			found, err := x.discover(way(to))
			for _, d := range x.dialled {
				if d.Addr().String() != ownAddress || d.Port() != 443 && d.Port() != 80 {
					t.Errorf("%s to %s: a connection to %s", name, to, d)
				}
			}
			for _, s := range x.signed {
				if s != finderHost+" at "+ownAddress+":443" {
					t.Errorf("%s to %s: credentials to %s", name, to, s)
				}
			}
			if len(x.visited) == 0 || err == nil && !ownDomain.MatchString(found) {
				t.Errorf("%s to %s: found %q, %v, having asked %q", name, to, found, err, x.visited)
			}
		}
		// The control: within the domain, redirects are followed and the log-on reaches it.
		found, _ := x.discover(way("https://" + ownHost + "/autodiscover/autodiscover.xml"))
		if !slices.Contains(x.visited, ownHost) && !strings.Contains(found, ownHost) {
			t.Errorf("%s: what leads to a host of the domain gets nowhere either: %q", name, x.visited)
		}
	}
	for _, to := range targets { // the endpoint itself leads away while a mailbox is read
		rows++
		x.answer = ways["https"](to)
		err := x.read(x.open(honest, nil))
		x.answer = nil
		if err == nil || len(x.visited) == 0 || len(x.stray()) > 0 || slices.ContainsFunc(x.signed, func(s string) bool { return s != ownHost+" at "+ownAddress+":443" }) {
			t.Errorf("reading leads to %s: %v, connections to %v, credentials to %q", to, err, x.dialled, x.signed)
		}
	}
	return rows
}

// ownDomain is an endpoint that may be told to the administrator. Nobody has connected to it.
var ownDomain = regexp.MustCompile(`^https://[a-z]+\.acme\.example[:/]`)

// discover looks for the server of a mailbox where the honest hosts answer so. Each name has an
// address, and of those that are not the own ones it is public: no look-up keeps us away.
func (x *trap) discover(answer http.HandlerFunc) (string, error) {
	x.forget()
	x.answer = answer
	defer func() { x.answer = nil }()
	names := func(_ context.Context, host string) ([]netip.Addr, error) {
		switch host {
		case finderHost, ownHost:
			return []netip.Addr{netip.MustParseAddr(ownAddress)}, nil
		case "acme.example":
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		case "localhost", "inside.acme.example":
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("198.41.0.5")}, nil
	}
	services := func(context.Context, string, string, string) ([]*net.SRV, error) {
		return []*net.SRV{{Target: "autodiscover.other.example.", Port: 443}, {Target: "inside.acme.example.", Port: 443}, {Target: "127.0.0.1", Port: 443}}, nil
	}
	s := x.settings(hostileRow{})
	g := gate.New(gate.Config{Machine: gate.Machine{Dial: x.Dial, Resolve: names, Services: services}})
	g.Set(gate.Terms{Settings: s, Policy: crm.Policy{Domains: s.Domains, Kinds: []crm.Kind{crm.Email}}, Deployment: crm.Deployment{Mode: crm.MultiTenant}})
	return ews.Connector().Discover(x.t.Context(), "ann@acme.example", s, g.Discovery(s, "ann@acme.example"), func(crm.Finding) {})
}

// An ungated transport dials whatever it is told to, as a client without a gate does.
type ungated struct {
	crm.Transport
	dial    func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error)
	resolve func(context.Context, string) ([]netip.Addr, error)
}

func (u ungated) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	list, err := u.resolve(ctx, host)
	if a, literal := netip.ParseAddr(host); literal == nil {
		list, err = []netip.Addr{a}, nil
	}
	if err != nil {
		return nil, err
	}
	to, err := netip.ParseAddrPort(net.JoinHostPort(list[len(list)-1].String(), port))
	if err != nil {
		return nil, err
	}
	return u.dial(ctx, netip.Addr{}, to)
}

// TestHostileURLsWithoutTheGate shows that the rows are hostile: without the gate they lead
// where they want to.
func TestHostileURLsWithoutTheGate(t *testing.T) {
	x, strays, rows := newTrap(t), 0, 0
	for _, f := range families() {
		for _, row := range f.rows {
			rows++
			s, g := x.settings(row), x.open(row, nil)
			src, err := ews.Connector().Source(s, ungated{g.Trial(s, "", "ann@acme.example"), x.Dial, row.names()})
			if err != nil {
				continue // the connector itself refuses it
			}
			_, _ = src.Folders(t.Context(), &crm.Mailbox{Address: "ann@acme.example"})
			if len(x.stray()) > 0 {
				strays++
			}
		}
	}
	t.Logf("%d of %d rows lead astray", strays, rows)
	if strays < 150 {
		t.Errorf("only %d of %d rows lead astray without the gate", strays, rows)
	}
}
