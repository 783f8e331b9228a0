package crm_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/crm"
)

var connector = crm.Connector{Versions: []crm.Version{{Name: "2019", Title: "2019"}}}

// whole are settings with nothing wrong.
func whole() crm.Settings {
	return crm.Settings{Enabled: true, Server: "mail.acme.example", Version: "2019", Login: "svc", Password: crm.NewSecret("pw"), Domains: []string{"acme.example"}}
}

func TestUserAgentsThatFitAHeader(t *testing.T) {
	for agent, fits := range map[string]bool{
		"Acme-CRM-Sync/1.0": true, "Acme CRM (mail; sync)/1": true, strings.Repeat("a", 256): true, "": true, " padded ": true,
		"a\r\nX-Evil: 1": false, "a\nb": false, "a\rb": false, "trailing\r\n": false, "\nleading": false, "a\x00b": false, "a\tb": false, "a\x7fb": false,
		strings.Repeat("a", 257): false, "Ächme": false, "a\u0085b": false, "a\u2028b": false, "a\xffb": false,
		"*": false, "*/1": false, "Acme*/1": false, "Acme/*": false, // any text, in a list of Exchange
	} {
		s := whole()
		s.UserAgent = agent
		checked, wrong := s.Check(connector, crm.Settings{})
		if (len(wrong) == 0) != fits || !fits && wrong[0].Field != "user_agent" {
			t.Errorf("%q: %+v", agent, wrong)
		}
		if fits && checked.UserAgent != strings.TrimSpace(agent) && !(agent == "" && checked.UserAgent == crm.DefaultUserAgent) {
			t.Errorf("%q became %q", agent, checked.UserAgent)
		}
	}
}

// TestServersThatMayHoldAPassword: what is wrong with them is said without repeating them.
func TestServersThatMayHoldAPassword(t *testing.T) {
	for _, server := range []string{"https://svc:CANARY@[mail", "https://svc:CANARY@", "svc:CANARY@mail example", "https://svc:CANARY\x01@mail", "svc:CANARY@mail.example",
		"https://svc:%zzCANARY@mail.example", "https://mail.example:CANARY@", "ftp://svc:CANARY@mail.example"} {
		s := whole()
		s.Server = server
		_, wrong := s.Check(connector, whole())
		if len(wrong) == 0 || wrong[0].Field != "server" || wrong[0].Code != "malformed" {
			t.Errorf("%q: %+v", server, wrong)
		}
		for _, w := range wrong {
			if strings.Contains(w.Message, "CANARY") {
				t.Errorf("%q: %s", server, w.Message)
			}
		}
	}
	s := whole()
	s.Server = "https://[mail"
	if _, wrong := s.Check(connector, whole()); len(wrong) == 0 || !strings.Contains(wrong[0].Message, s.Server) {
		t.Errorf("what cannot hold one is named: %+v", wrong)
	}
}

func TestHostsThatAreConfirmed(t *testing.T) {
	for host, ok := range map[string]bool{
		"mail.hoster.test": true, "mail.hoster.test:8443": true, "ex_1": true, "10.0.0.5": true, "::1": true, "[fd00::5]:443": true, "bücher.example": true,
		"": false, "svc:CANARY@mail": false, "https://mail.hoster.test": false, "mail/EWS": false, "mail example": false, "mail\nexample": false, "mail:CANARY": false, strings.Repeat("a", 254): false,
	} {
		if wrong := crm.CheckHost(host); (wrong == nil) != ok || wrong != nil && strings.Contains(wrong.Message, "CANARY") {
			t.Errorf("%q: %+v", host, wrong)
		}
	}
}

// clientPair is a certificate with its key, both PEM.
func clientPair(t *testing.T, name string) (certificate string, key crm.Secret) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})),
		crm.NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

func TestHowMailboxesAreOpenedIsChecked(t *testing.T) {
	certificate, key := clientPair(t, "svc-certificate")
	_, strange := clientPair(t, "other")
	keytab := crm.NewSecret(base64.StdEncoding.EncodeToString([]byte{5, 2, 0, 0}))
	secret := crm.NewSecret("x")
	kept := whole()
	kept.Others = []crm.Account{{Login: "svc2", Password: secret}}
	kept.ClientCertificate, kept.ClientKey = strings.TrimSpace(certificate), key
	for _, test := range []struct {
		about  string
		change func(*crm.Settings)
		want   string // field and code of each complaint
		holds  func(crm.Settings) bool
	}{
		{"as they are", func(*crm.Settings) {}, "", nil},
		{"no such model", func(s *crm.Settings) { s.Model = "guess" }, "model unknown", nil},
		{"no such scheme", func(s *crm.Settings) { s.Scheme = "digest" }, "scheme unknown", nil},
		{"the password is kept", func(s *crm.Settings) { s.Password = crm.Secret{} }, "", func(s crm.Settings) bool { return s.Password.Reveal() == "pw" }},
		{"another server", func(s *crm.Settings) { s.Password, s.Server = crm.Secret{}, "other.example" }, "password required-again", nil},
		{"another login", func(s *crm.Settings) { s.Password, s.Login = crm.Secret{}, "other" }, "password required-again", nil},
		{"a further account", func(s *crm.Settings) { s.Others = []crm.Account{{Login: " svc2 "}, {}} }, "",
			func(s crm.Settings) bool { return len(s.Others) == 1 && s.Others[0].Equal(kept.Others[0]) }},
		{"a further account without a password", func(s *crm.Settings) { s.Others = []crm.Account{{Login: "svc3"}} }, "others required", nil},
		{"a further account, elsewhere", func(s *crm.Settings) { s.Others, s.Server = []crm.Account{{Login: "svc2"}}, "other.example" }, "others required-again", nil},
		{"a password without an account", func(s *crm.Settings) { s.Others = []crm.Account{{Password: secret}} }, "others required", nil},
		{"the same account twice", func(s *crm.Settings) { s.Others = []crm.Account{{Login: "SVC", Password: secret}} }, "others twice", nil},
		{"Kerberos without anything", func(s *crm.Settings) { s.Scheme = crm.Kerberos }, "kdc required, login malformed", nil},
		{"Kerberos by keytab", func(s *crm.Settings) {
			s.Scheme, s.KDC, s.Login, s.Keytab, s.Password = crm.Kerberos, "[realms]", "svc@ACME.EXAMPLE", crm.NewSecret(keytab.Reveal()+"\n"), crm.Secret{}
		}, "", func(s crm.Settings) bool { return s.Keytab.Equal(keytab) }},
		{"Kerberos without a key", func(s *crm.Settings) {
			s.Scheme, s.KDC, s.Login, s.Password = crm.Kerberos, "[realms]", "svc@ACME.EXAMPLE", crm.Secret{}
		}, "keytab required", nil},
		{"no keytab", func(s *crm.Settings) { s.Keytab = crm.NewSecret("aGVsbG8=") }, "keytab malformed", nil},
		{"certificate", func(s *crm.Settings) {
			s.Scheme, s.Login, s.Password, s.ClientCertificate, s.ClientKey = crm.ClientTLS, "", crm.Secret{}, certificate, key
		}, "", func(s crm.Settings) bool { return s.Login == "svc-certificate" }},
		{"the key is kept", func(s *crm.Settings) { s.ClientCertificate = strings.ReplaceAll(certificate, "\n", "\r\n") }, "", func(s crm.Settings) bool { return s.ClientKey.Equal(key) }},
		{"certificate without a key", func(s *crm.Settings) { s.ClientCertificate = certificate + "\n# another" }, "client_key required", nil},
		{"the key of another", func(s *crm.Settings) { s.ClientCertificate, s.ClientKey = certificate, strange }, "client_certificate malformed", nil},
		{"a key alone", func(s *crm.Settings) { s.ClientKey = key }, "", func(s crm.Settings) bool { return s.ClientKey.Empty() }},
		{"log-on by a certificate that is not there", func(s *crm.Settings) { s.Scheme = crm.ClientTLS }, "client_certificate required", nil},
		{"own sign-ins", func(s *crm.Settings) { s.Model, s.Others = crm.ByOwnSignIn, kept.Others }, "",
			func(s crm.Settings) bool { return s.Login == "" && s.Password.Empty() && s.Others == nil }},
		{"own sign-ins by one certificate", func(s *crm.Settings) {
			s.Model, s.Scheme, s.ClientCertificate, s.ClientKey = crm.ByOwnSignIn, crm.ClientTLS, certificate, key
		}, "scheme unfit", nil},
	} {
		s := whole()
		test.change(&s)
		checked, wrong := s.Check(connector, kept)
		var got []string
		for _, w := range wrong {
			got = append(got, w.Field+" "+w.Code)
			if strings.Contains(w.Message, "BEGIN") || w.Message == "" {
				t.Errorf("%s: says %q", test.about, w.Message)
			}
		}
		slices.Sort(got)
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s: got %v, want %s", test.about, got, test.want)
		}
		if test.holds != nil && !test.holds(checked) {
			t.Errorf("%s: became %+v", test.about, checked)
		}
	}
}

// TestTheConnectorIsAskedLast: it judges what is whole.
func TestTheConnectorIsAskedLast(t *testing.T) {
	c, asked := connector, 0
	c.Vet = func(crm.Settings) []crm.FieldError {
		asked++
		return []crm.FieldError{{Field: "kdc", Code: "malformed"}}
	}
	if _, wrong := whole().Check(c, crm.Settings{}); len(wrong) != 1 || asked != 1 {
		t.Errorf("got %+v, asked %d times", wrong, asked)
	}
	s := whole()
	s.Server = ""
	if _, wrong := s.Check(c, crm.Settings{}); len(wrong) != 1 || wrong[0].Field != "server" || asked != 1 {
		t.Errorf("got %+v, asked %d times", wrong, asked)
	}
}

// Each choice of the log-on has its words, and a name of its own on the command line.
func TestWordsOfLogOn(t *testing.T) {
	all := map[string]crm.Words{}
	for _, m := range crm.AuthModels {
		if all["model "+m.Words().Name] = m.Words(); m.Words().Decision == "" {
			t.Errorf("the model %q cannot be decided on", m)
		}
	}
	for _, s := range crm.Schemes {
		all["scheme "+s.Words().Name] = s.Words()
	}
	if len(all) != len(crm.AuthModels)+len(crm.Schemes) {
		t.Errorf("two have one name: %v", all)
	}
	for what, w := range all {
		if w.Name == "" || w.Title == "" || w.Audit == "" || w.Evidence == "" {
			t.Errorf("%s: %+v", what, w)
		}
	}
}
