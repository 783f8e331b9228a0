package ews

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/crm"
	"postern/mail"
)

// A world is an Internet of a few hosts on this machine, each with a valid certificate
// unless it is among the impostors. It is the transport of those who search in it.
type world struct {
	direct
	t         *testing.T
	hosts     map[string]http.HandlerFunc // by name, of https; "http://NAME" of plain http
	impostors map[string]bool             // show the certificate of somebody else
	srv       []*net.SRV

	days          int // that certificates are good for
	roots         *x509.CertPool
	secure, plain *httptest.Server

	mu       sync.Mutex
	asked    []string // "scheme://host path", in order
	signed   []string // hosts that got an Authorization header
	agents   map[string]int
	accesses []crm.Access
}

func newWorld(t *testing.T, hosts map[string]http.HandlerFunc) *world {
	t.Helper()
	w := &world{t: t, hosts: hosts, days: 90, impostors: map[string]bool{}, agents: map[string]int{}}
	w.direct = direct{crm.Unpaced{}, crm.Settings{Version: "Exchange2019", Login: "svc", Password: crm.NewSecret("pw"), UserAgent: "Acme-CRM-Sync/1.0"}}
	ca, caKey := w.certificate(nil, nil, "authority")
	w.roots = x509.NewCertPool()
	w.roots.AddCert(ca)
	w.secure = httptest.NewUnstartedServer(w)
	w.secure.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		name := hello.ServerName
		if w.impostors[name] {
			name = "somebody.else.example"
		}
		leaf, key := w.certificate(ca, caKey, name)
		return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}, nil
	}}
	w.secure.Config.ErrorLog = quiet
	w.secure.StartTLS()
	w.plain = httptest.NewServer(w)
	t.Cleanup(w.secure.Close)
	t.Cleanup(w.plain.Close)
	return w
}

// certificate makes one for a name, signed by the authority or, without one, an authority.
func (w *world) certificate(ca *x509.Certificate, caKey *ecdsa.PrivateKey, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name},
		Subject:   pkix.Name{CommonName: name},
		NotBefore: time.Now().AddDate(0, 0, -2), NotAfter: time.Now().AddDate(0, 0, w.days)}
	parent, signer := ca, caKey
	if ca == nil {
		template.IsCA, template.BasicConstraintsValid, template.DNSNames = true, true, nil
		template.NotAfter = time.Now().AddDate(1, 0, 0)
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Fatal(err)
	}
	return cert, key
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	scheme, host := "https://", r.Host
	if r.TLS == nil {
		scheme = "http://"
	}
	w.mu.Lock()
	w.asked = append(w.asked, scheme+host+r.URL.Path)
	w.agents[r.UserAgent()]++
	if r.Header.Get("Authorization") != "" {
		w.signed = append(w.signed, host)
	}
	w.mu.Unlock()
	name := host
	if r.TLS == nil {
		name = scheme + host
	}
	handler := w.hosts[name]
	if handler == nil {
		http.NotFound(rw, r)
		return
	}
	handler(rw, r)
}

func (w *world) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	to, name := w.secure.Listener.Addr().String(), host
	if port == "80" {
		to, name = w.plain.Listener.Addr().String(), "http://"+host
	}
	if w.hosts[name] == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return w.direct.Dial(ctx, network, to)
}

func (w *world) Resolve(context.Context, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func (w *world) TLS(string) *tls.Config { return &tls.Config{RootCAs: w.roots} }

func (w *world) Services(context.Context, string, string, string) ([]*net.SRV, error) {
	return w.srv, nil
}

func (w *world) Record(a crm.Access) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accesses = append(w.accesses, a)
}

// discover looks for the server of Ann's mailbox.
func (w *world) discover(server string) (found string, told []crm.Finding, err error) {
	w.t.Helper()
	s := w.settings
	s.Server = server
	found, err = Connector().Discover(w.t.Context(), "ann@acme.example", s, w, func(f crm.Finding) { told = append(told, f) })
	return found, told, err
}

// Answers of hosts. All but JSON ask for a log-on first.
func basic(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "svc" || password != "pw" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer(w, r)
	}
}

// at answers at paths that end so, and says 404 elsewhere.
func at(suffix string, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, suffix) {
			http.NotFound(w, r)
			return
		}
		answer(w, r)
	}
}

func soap(u UserSettings) http.HandlerFunc {
	return at(".svc", basic(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		_ = WriteUserSettingsAnswer(w, &UserSettingsAnswer{Code: NoError, Users: []UserSettings{u}})
	}))
}

func soapEWS(url string) http.HandlerFunc {
	return soap(UserSettings{Code: NoError, Settings: []UserSetting{{SettingExternalEWS, url}}})
}

func pox(v POXAnswer) http.HandlerFunc {
	return at(".xml", basic(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		_ = WritePOXAnswer(w, &v)
	}))
}

func poxEWS(url string) http.HandlerFunc {
	return pox(POXAnswer{AccountType: "email", Action: POXSettings, Protocols: []POXProtocol{{Type: "EXPR", EWSURL: url}}})
}

func moved(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

func text200(contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, text)
	}
}

const outside = "https://mail.acme.example/EWS/Exchange.asmx"

// TestDiscoverFindsTheServer: each road that leads to it.
func TestDiscoverFindsTheServer(t *testing.T) {
	tests := []struct {
		name   string
		server string
		hosts  map[string]http.HandlerFunc
		want   string
		signed []string
	}{
		{"by SOAP at the domain", "", map[string]http.HandlerFunc{"acme.example": soapEWS(outside)}, outside, []string{"acme.example"}},
		{"by SOAP, from inside only", "", map[string]http.HandlerFunc{"acme.example": soap(UserSettings{Code: NoError, Settings: []UserSetting{{SettingInternalEWS, outside}}})}, outside, []string{"acme.example"}},
		{"by POX, the domain being a web site", "", map[string]http.HandlerFunc{"acme.example": text200("text/html", "<html>welcome</html>"), "autodiscover.acme.example": poxEWS(outside)}, outside, []string{"autodiscover.acme.example"}},
		{"by JSON, without a log-on", "", map[string]http.HandlerFunc{"autodiscover.acme.example": at(".json", func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.Query().Get("Email") != "ann@acme.example" || r.URL.Query().Get("Protocol") != "EWS" {
				http.Error(w, "what?", http.StatusBadRequest)
				return
			}
			text200("application/json", `{"Protocol":"EWS","Url":"`+outside+`"}`)(w, r)
		})}, outside, nil},
		{"at the server that was set", "mail.hoster.test", map[string]http.HandlerFunc{"mail.hoster.test": poxEWS("https://mail.hoster.test/EWS/Exchange.asmx")}, "https://mail.hoster.test/EWS/Exchange.asmx", []string{"mail.hoster.test"}},
		{"a redirect within the domain", "", map[string]http.HandlerFunc{"acme.example": at(".xml", moved("https://ex.acme.example/autodiscover/autodiscover.xml")), "ex.acme.example": poxEWS(outside)}, outside, []string{"ex.acme.example"}},
		{"a redirect in an answer", "", map[string]http.HandlerFunc{
			"acme.example":    soap(UserSettings{Code: AutodiscoverRedirectURL, RedirectTarget: "https://ex.acme.example/autodiscover/autodiscover.svc"}),
			"ex.acme.example": soapEWS(outside)}, outside, []string{"acme.example", "ex.acme.example"}},
		{"another address", "", map[string]http.HandlerFunc{"acme.example": func(w http.ResponseWriter, r *http.Request) {
			at(".xml", basic(func(w http.ResponseWriter, r *http.Request) {
				q, _ := ReadPOXRequest(r.Body)
				answer := POXAnswer{Action: POXRedirect, RedirectAddress: "ann@sales.acme.example"}
				if q.Address == "ann@sales.acme.example" {
					answer = POXAnswer{Action: POXSettings, Protocols: []POXProtocol{{Type: "EXPR", EWSURL: outside}}}
				}
				_ = WritePOXAnswer(w, &answer)
			}))(w, r)
		}, "sales.acme.example": moved("https://acme.example/autodiscover/autodiscover.xml")}, outside, []string{"acme.example", "acme.example"}},
		{"401 at one place", "", map[string]http.HandlerFunc{"acme.example": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="intranet"`)
			w.WriteHeader(http.StatusUnauthorized)
		}, "autodiscover.acme.example": soapEWS(outside)}, outside, []string{"acme.example", "autodiscover.acme.example"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.hosts)
			found, told, err := w.discover(tt.server)
			if err != nil || found != tt.want {
				t.Fatalf("found %q, %v; told %+v", found, err, told)
			}
			if d := gocmp.Diff(tt.signed, w.signed); d != "" {
				t.Error(d)
			}
			if len(w.agents) != 1 || w.agents["Acme-CRM-Sync/1.0"] != len(w.asked) {
				t.Errorf("User-Agents %v of %d requests", w.agents, len(w.asked))
			}
			if len(w.accesses) != len(w.asked) || slices.ContainsFunc(w.accesses, func(a crm.Access) bool {
				return a.Operation != "Autodiscover" || a.Mailbox != "ann@acme.example" || a.Host == "" || a.UserAgent == ""
			}) {
				t.Errorf("%d requests, written down: %+v", len(w.asked), w.accesses)
			}
		})
	}
}

// TestDiscoverSendsNoCredentialsToStrangers: whatever hosts say, none but those of the
// mailbox' own domain, named by itself, sees the account; and where the search ends, the
// administrator is told the host.
func TestDiscoverSendsNoCredentialsToStrangers(t *testing.T) {
	evil := func(t *testing.T) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="give"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	tests := []struct {
		name  string
		hosts map[string]http.HandlerFunc
		srv   []*net.SRV
		code  string
		named string // in the fault
	}{
		{"redirected to another domain", map[string]http.HandlerFunc{"acme.example": moved("https://evil.test/autodiscover/autodiscover.xml")}, nil, "autodiscover-confirm", "evil.test"},
		{"redirected by plain http, even within the domain", map[string]http.HandlerFunc{"http://autodiscover.acme.example": moved("https://evil.acme.example/autodiscover/autodiscover.xml"), "evil.acme.example": nil}, nil, "autodiscover-confirm", "evil.acme.example"},
		{"named by DNS", nil, []*net.SRV{{Target: "evil.acme.example.", Port: 443}}, "autodiscover-confirm", "evil.acme.example"},
		{"named by DNS on another port", nil, []*net.SRV{{Target: "evil.acme.example.", Port: 8443}}, "autodiscover-nothing", "acme.example"},
		{"from https to http", map[string]http.HandlerFunc{"acme.example": moved("http://acme.example/autodiscover/autodiscover.xml"), "http://acme.example": nil}, nil, "autodiscover-nothing", "acme.example"},
		{"to another protocol", map[string]http.HandlerFunc{"acme.example": moved("file:///etc/passwd")}, nil, "autodiscover-nothing", "acme.example"},
		{"with a login in the URL", map[string]http.HandlerFunc{"acme.example": moved("https://svc:pw@evil.acme.example/")}, nil, "autodiscover-nothing", "acme.example"},
		{"an address instead of a name", map[string]http.HandlerFunc{"acme.example": moved("https://169.254.169.254/latest/meta-data")}, nil, "autodiscover-confirm", "169.254.169.254"},
		{"by plain http to plain http", map[string]http.HandlerFunc{"http://autodiscover.acme.example": moved("http://autodiscover.acme.example/other.xml")}, nil, "autodiscover-nothing", "acme.example"},
		{"plain http with an answer of its own", map[string]http.HandlerFunc{"http://autodiscover.acme.example": poxEWS(outside)}, nil, "autodiscover-nothing", "acme.example"},
		{"the wrong certificate", map[string]http.HandlerFunc{"autodiscover.acme.example": nil}, nil, "autodiscover-nothing", "acme.example"},
		{"a document type", map[string]http.HandlerFunc{"acme.example": at(".json", text200("text/xml", `<!DOCTYPE x []><x/>`))}, nil, "autodiscover-nothing", "acme.example"},
		{"EWS in another domain", map[string]http.HandlerFunc{"acme.example": at(".json", text200("application/json", `{"Url":"https://evil.test/EWS/Exchange.asmx"}`))}, nil, "autodiscover-confirm", "evil.test"},
		{"EWS by plain http", map[string]http.HandlerFunc{"acme.example": at(".json", text200("application/json", `{"Url":"http://mail.acme.example/EWS/Exchange.asmx"}`))}, nil, "autodiscover-nothing", "acme.example"},
		{"EWS on this machine", map[string]http.HandlerFunc{"acme.example": at(".json", text200("application/json", `{"Url":"http://127.0.0.1/EWS/Exchange.asmx"}`))}, nil, "autodiscover-nothing", "acme.example"},
		{"EWS with a login in the URL", map[string]http.HandlerFunc{"acme.example": at(".json", text200("application/json", `{"Url":"https://mail.acme.example@evil.test/"}`))}, nil, "autodiscover-nothing", "acme.example"},
		{"an answer without end", map[string]http.HandlerFunc{"acme.example": at(".json", func(w http.ResponseWriter, r *http.Request) {
			for range 2 * maxDocument / 1024 {
				if _, err := w.Write([]byte(strings.Repeat(" ", 1024))); err != nil {
					return
				}
			}
		})}, nil, "autodiscover-nothing", "acme.example"},
		{"addresses in a circle", map[string]http.HandlerFunc{"acme.example": at(".json", text200("application/json", `{}`)), "autodiscover.acme.example": moved("https://autodiscover.acme.example/autodiscover/autodiscover.xml")}, nil, "autodiscover-nothing", "acme.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hosts := map[string]http.HandlerFunc{"evil.test": evil(t), "evil.acme.example": evil(t)}
			for name, h := range tt.hosts {
				if h == nil {
					h = evil(t)
				}
				hosts[name] = h
			}
			w := newWorld(t, hosts)
			w.impostors["autodiscover.acme.example"] = strings.Contains(tt.name, "certificate")
			w.srv = tt.srv
			found, told, err := w.discover("")
			f, _ := errors.AsType[*crm.Fault](err)
			if (found != "") != (tt.code == "autodiscover-confirm") || found != "" && found != tt.named || f == nil || f.Code != tt.code || !strings.Contains(f.Message, tt.named) {
				t.Fatalf("found %q, %v", found, err)
			}
			if tt.code == "autodiscover-confirm" && !strings.Contains(f.Advice, "--confirm "+tt.named) {
				t.Errorf("advice %q", f.Advice)
			}
			if len(w.signed) > 0 {
				t.Errorf("credentials went to %v", w.signed)
			}
			for _, f := range told {
				if strings.Contains(f.Detail, "; credentials were sent") {
					t.Errorf("told: %s: %s", f.Step, f.Detail)
				}
			}
		})
	}
}

// TestDiscoverEnds: no chain of redirects is followed for ever, and no place asked twice.
func TestDiscoverEnds(t *testing.T) {
	n := 0
	w := newWorld(t, map[string]http.HandlerFunc{"acme.example": func(w http.ResponseWriter, r *http.Request) {
		n++
		http.Redirect(w, r, fmt.Sprintf("https://acme.example/%d/autodiscover.xml", n), http.StatusFound)
	}})
	_, told, err := w.discover("")
	if f, _ := errors.AsType[*crm.Fault](err); f == nil || f.Code != "autodiscover-loop" {
		t.Errorf("%v", err)
	}
	if n != maxRedirects+1 {
		t.Errorf("%d requests, told %d hops", n, len(told))
	}
	again := map[string]bool{}
	for _, url := range w.asked {
		if again[url] {
			t.Errorf("%s was asked twice", url)
		}
		again[url] = true
	}

	addresses := 0
	w = newWorld(t, map[string]http.HandlerFunc{"acme.example": at(".xml", basic(func(w http.ResponseWriter, r *http.Request) {
		addresses++
		_ = WritePOXAnswer(w, &POXAnswer{Action: POXRedirect, RedirectAddress: fmt.Sprintf("ann%d@acme.example", addresses%3)})
	}))})
	if _, _, err := w.discover(""); crm.AsFault(err).Code != "autodiscover-nothing" || addresses != 4 {
		t.Errorf("%v after %d answers", err, addresses)
	}
}

// TestDiscoverLocksNoAccount: a wrong password is tried at two places and no more.
func TestDiscoverLocksNoAccount(t *testing.T) {
	refuse := basic(nil)
	w := newWorld(t, map[string]http.HandlerFunc{"mail.acme.example": refuse, "acme.example": refuse, "autodiscover.acme.example": refuse})
	w.settings.Password = crm.NewSecret("wrong")
	_, told, err := w.discover("mail.acme.example")
	if f := crm.AsFault(err); f.Code != "autodiscover-nothing" || !strings.Contains(f.Message, "2 refused it") {
		t.Errorf("%v", err)
	}
	if d := gocmp.Diff([]string{"mail.acme.example", "acme.example"}, w.signed); d != "" {
		t.Errorf("%s told %+v", d, told)
	}
}

// TestDiscoverTellsEachHop: where it asked, what came, what follows, whether credentials
// were sent.
func TestDiscoverTellsEachHop(t *testing.T) {
	w := newWorld(t, map[string]http.HandlerFunc{
		"acme.example":              text200("text/html", "<html>welcome</html>"),
		"autodiscover.acme.example": at(".xml", moved("https://ex.acme.example/autodiscover/autodiscover.xml")),
		"ex.acme.example":           poxEWS(outside),
	})
	_, told, err := w.discover("")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range told {
		got = append(got, f.Step+": "+strings.ReplaceAll(f.Detail, w.secure.Listener.Addr().String(), "ADDRESS"))
	}
	want := []string{
		"SOAP https://acme.example/autodiscover/autodiscover.svc: something else than autodiscover; on to the next place; at ADDRESS; no credentials were sent",
		"POX https://acme.example/autodiscover/autodiscover.xml: something else than autodiscover; on to the next place; at ADDRESS; no credentials were sent",
		"JSON https://acme.example/autodiscover/autodiscover.json?Email=ann%40acme.example&Protocol=EWS: something else than autodiscover; on to the next place; at ADDRESS; no credentials were sent",
		"SOAP https://autodiscover.acme.example/autodiscover/autodiscover.svc: no endpoint: http 404; on to the next place; at ADDRESS; no credentials were sent",
		"POX https://autodiscover.acme.example/autodiscover/autodiscover.xml: redirects to https://ex.acme.example/autodiscover/autodiscover.xml; followed; at ADDRESS; no credentials were sent",
		"POX https://ex.acme.example/autodiscover/autodiscover.xml: EWS is at https://mail.acme.example/EWS/Exchange.asmx; found; at ADDRESS; credentials were sent",
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestOnlyOneOwnerIsTrusted: neighbours below a public suffix are strangers.
func TestOnlyOneOwnerIsTrusted(t *testing.T) {
	for _, tt := range []struct {
		host, domain string
		want         bool
	}{
		{"acme.example", "acme.example", true},
		{"autodiscover.acme.example", "sales.acme.example", true},
		{"mail.acme.local", "acme.local", true},
		{"autodiscover.example", "acme.example", false},
		{"acme.co.uk", "other.co.uk", false},
		{"autodiscover.co.uk", "acme.co.uk", false},
		{"mail.acme.co.uk", "acme.co.uk", true},
		{"co.uk", "co.uk", false},
		{"evil.github.io", "acme.github.io", false},
		{"acme.example.evil.test", "acme.example", false},
		{"127.0.0.1", "0.1", false},
		{"::1", "acme.example", false},
		{"", "acme.example", false},
	} {
		if got := sameOwner(tt.host, tt.domain); got != tt.want {
			t.Errorf("%s for %s: %v", tt.host, tt.domain, got)
		}
	}
}

var _ crm.Transport = (*world)(nil)

// Account implements crm.Transport.
func (w *world) Account(mail.Address) (crm.Account, error) {
	return crm.Account{Login: w.settings.Login, Password: w.settings.Password}, nil
}
