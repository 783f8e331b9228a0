package sim

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/bodgit/ntlmssp"

	"postern/ews"
	"postern/ntlm"
)

// faceOf serves the organization with a certificate for this machine.
func faceOf(t *testing.T, x *Exchange, f Front) (*Face, *Authority) {
	t.Helper()
	authority, err := NewAuthority("Private CA")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Certificate(Wish{Names: []string{"127.0.0.1", "mail.company.example"}})
	if err != nil {
		t.Fatal(err)
	}
	f.Certificate, f.ClientRoots = &certificate, authority.Pool()
	face, err := x.Listen("127.0.0.1:0", f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := face.Close(); err != nil {
			t.Error(err)
		}
	})
	return face, authority
}

// oneConnection is a client that has a single connection.
func oneConnection(t *testing.T, config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config, MaxConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// say sends a request with an Authorization header, none when it is empty.
func say(t *testing.T, client *http.Client, url, authorization string) *http.Response {
	t.Helper()
	var body bytes.Buffer
	req := &ews.Request{Header: ews.Header{Version: ews.Exchange2013SP1}, Op: getFolder()}
	req.Impersonation.PrimarySmtpAddress = string(ann)
	if err := ews.WriteRequest(&body, req); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, url, &body)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp
}

// ntlmLogOn logs on by NTLM and returns the status of the last answer. tamper may change the
// last message.
func ntlmLogOn(t *testing.T, client *http.Client, url string, scheme Scheme, user, pass string, bound *x509.Certificate, tamper func([]byte)) int {
	t.Helper()
	domain, name, ok := strings.Cut(user, `\`)
	if !ok {
		domain, name = "", user
	}
	half, err := ntlmssp.NewClient(ntlmssp.SetUserInfo(name, pass), ntlmssp.SetDomain(domain))
	if err != nil {
		t.Fatal(err)
	}
	hello, err := half.Authenticate(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp := say(t, client, url, string(scheme)+" "+base64.StdEncoding.EncodeToString(hello))
	token, ok := strings.CutPrefix(resp.Header.Get("WWW-Authenticate"), string(scheme)+" ")
	challenge, err := base64.StdEncoding.DecodeString(token)
	if !ok || err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Fatalf("no challenge: status %d, %q", resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
	}
	var binding *ntlmssp.ChannelBindings
	if bound != nil {
		sum := sha256.Sum256(bound.Raw)
		binding = &ntlmssp.ChannelBindings{ApplicationData: append([]byte("tls-server-end-point:"), sum[:]...)}
	}
	proof, err := half.Authenticate(challenge, binding)
	if err != nil {
		t.Fatal(err)
	}
	if tamper != nil {
		tamper(proof)
	}
	return say(t, client, url, string(scheme)+" "+base64.StdEncoding.EncodeToString(proof)).StatusCode
}

func TestNTLM(t *testing.T) {
	x := newExchange(t, Options{})
	x.AddAccount(Account{Login: `COMPANY\svc-crm`, Password: password})
	face, authority := faceOf(t, x, Front{})
	other, err := authority.Certificate(Wish{Names: []string{"elsewhere.example"}})
	if err != nil {
		t.Fatal(err)
	}
	trust := &tls.Config{RootCAs: authority.Pool()}
	var own *x509.Certificate
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(face.URL, "https://"), trust); err != nil {
		t.Fatal(err)
	} else {
		own = conn.ConnectionState().PeerCertificates[0]
		conn.Close()
	}
	breakCode := func(m []byte) { m[72] ^= 1 }
	dropCode := func(m []byte) { clear(m[72:88]) }
	for _, tt := range []struct {
		name       string
		schemes    []Scheme
		protection Protection
		scheme     Scheme
		user, pass string
		bound      *x509.Certificate
		tamper     func([]byte)
		want       int
	}{
		{"down-level login", []Scheme{NTLM}, ProtectionOff, NTLM, `COMPANY\svc-crm`, password, nil, nil, 200},
		{"as an address", []Scheme{NTLM}, ProtectionOff, NTLM, login, password, nil, nil, 200},
		{"in Negotiate", []Scheme{Negotiate, Basic}, ProtectionOff, Negotiate, login, password, nil, nil, 200},
		{"wrong password", []Scheme{NTLM}, ProtectionOff, NTLM, login, "x", nil, nil, 401},
		{"unknown user", []Scheme{NTLM}, ProtectionOff, NTLM, "nobody", password, nil, nil, 401},
		{"wrong code", []Scheme{NTLM}, ProtectionOff, NTLM, login, password, nil, breakCode, 401},
		{"code taken out", []Scheme{NTLM}, ProtectionOff, NTLM, login, password, nil, dropCode, 401},
		{"bound, though nobody asks", []Scheme{NTLM}, ProtectionOff, NTLM, login, password, other.Leaf, nil, 200},
		{"bound where it is allowed", []Scheme{NTLM}, ProtectionAllowed, NTLM, login, password, own, nil, 200},
		{"not bound where it is allowed", []Scheme{NTLM}, ProtectionAllowed, NTLM, login, password, nil, nil, 200},
		{"bound to another where it is allowed", []Scheme{NTLM}, ProtectionAllowed, NTLM, login, password, other.Leaf, nil, 401},
		{"bound where it must be", []Scheme{NTLM}, ProtectionRequired, NTLM, login, password, own, nil, 200},
		{"not bound where it must be", []Scheme{NTLM}, ProtectionRequired, NTLM, login, password, nil, nil, 401},
		{"bound to another where it must be", []Scheme{NTLM}, ProtectionRequired, NTLM, login, password, other.Leaf, nil, 401},
	} {
		if err := x.SetLogOn(LogOn{Schemes: tt.schemes, Protection: tt.protection}); err != nil {
			t.Fatal(err)
		}
		client := oneConnection(t, trust)
		if got := ntlmLogOn(t, client, face.EWS(), tt.scheme, tt.user, tt.pass, tt.bound, tt.tamper); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
		again := say(t, client, face.EWS(), "")
		if again.StatusCode != tt.want {
			t.Errorf("%s: the next request on the connection: got %d, want %d", tt.name, again.StatusCode, tt.want)
		}
		if got := say(t, oneConnection(t, trust), face.EWS(), "").StatusCode; got != 401 {
			t.Errorf("%s: another connection is signed in, too: %d", tt.name, got)
		}
		list := x.Requests()
		r := list[len(list)-2]
		if want := map[int]Scheme{200: tt.scheme}[tt.want]; r.Scheme != want || r.Authorization != "" {
			t.Errorf("%s: on record as signed in by %q with %q", tt.name, r.Scheme, r.Authorization)
		}
		if proof := list[len(list)-3]; proof.Authorization != tt.scheme || proof.Source != "127.0.0.1" || !proof.Secure {
			t.Errorf("%s: the proof is on record as %+v", tt.name, proof)
		}
	}
	if got := x.WrongPasswords(login); got != 3 {
		t.Errorf("%d wrong proofs were counted, want 3", got)
	}
}

// TestSchemesOnOffer: what is not offered is not taken, and not looked at.
func TestSchemesOnOffer(t *testing.T) {
	x := newExchange(t, Options{})
	if err := x.SetLogOn(LogOn{Schemes: []Scheme{Negotiate, NTLM}}); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(""))
	r.SetBasicAuth(login, "wrong")
	w := httptest.NewRecorder()
	x.ServeHTTP(w, r)
	if got := w.Header().Values("WWW-Authenticate"); w.Code != 401 || !slices.Equal(got, []string{"Negotiate", "NTLM"}) {
		t.Errorf("status %d, offered %v", w.Code, got)
	}
	if x.WrongPasswords(login) != 0 {
		t.Error("a password that was not asked for was tried")
	}
	if r := x.Requests()[0]; r.Authorization != Basic || r.Scheme != "" {
		t.Errorf("on record: %+v", r)
	}
	for _, bad := range []LogOn{{Schemes: []Scheme{"Digest"}}, {Protection: "perhaps"}} {
		if x.SetLogOn(bad) == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestClientCertificate(t *testing.T) {
	x := newExchange(t, Options{})
	x.AddAccount(Account{Login: login, Password: password, Certificates: []string{"svc-crm@company.example"}})
	face, authority := faceOf(t, x, Front{})
	if err := x.SetLogOn(LogOn{Schemes: []Scheme{Certificate}}); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		names []string
		want  int
	}{
		"the account's own":  {[]string{"Postern", "svc-crm@company.example"}, 200},
		"somebody else's":    {[]string{"eve@company.example"}, 401},
		"without any at all": {nil, 401},
	} {
		config := &tls.Config{RootCAs: authority.Pool(), ServerName: "mail.company.example"}
		if tt.names != nil {
			certificate, err := authority.Certificate(Wish{Names: tt.names})
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{certificate}
		}
		if got := say(t, oneConnection(t, config), face.EWS(), "").StatusCode; got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
		list := x.Requests()
		r := list[len(list)-1]
		if want := map[int]Scheme{200: Certificate}[tt.want]; r.Scheme != want || r.ServerName != "mail.company.example" {
			t.Errorf("%s: on record: %+v", name, r)
		}
	}
}

// TestBindingIsThatOfTheRFC works the hash out by hand.
func TestBindingIsThatOfTheRFC(t *testing.T) {
	authority, err := NewAuthority("Private CA")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(authority.certificate.Raw)
	data := "tls-server-end-point:" + string(sum[:])
	want := md5.Sum([]byte(strings.Repeat("\x00", 16) + string(rune(len(data))) + "\x00\x00\x00" + data))
	if got := ntlm.Binding(authority.certificate); !bytes.Equal(got, want[:]) {
		t.Errorf("got %x, want %x", got, want)
	}
}
