package conformance_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	"postern/crm"
	"postern/sim"
)

// guarded is a simulated Exchange behind TLS, and a realm of Kerberos.
type guarded struct {
	x         *sim.Exchange
	realm     *sim.Realm
	authority *sim.Authority
	settings  crm.Settings
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	g := &guarded{}
	var err error
	g.x, err = sim.New(sim.Options{Version: sim.ExchangeSE})
	must(err)
	g.authority, err = sim.NewAuthority("Private CA")
	must(err)
	certificate, err := g.authority.Certificate(sim.Wish{Names: []string{"127.0.0.1"}})
	must(err)
	face, err := g.x.Listen("127.0.0.1:0", sim.Front{Certificate: &certificate, ClientRoots: g.authority.Pool()})
	must(err)
	g.realm, err = sim.NewRealm("company.example", "127.0.0.1:0")
	must(err)
	for principal, password := range map[string]string{"svc": "ticket please", "HTTP/127.0.0.1": "of the machine"} {
		must(g.realm.Set(principal, password))
	}
	t.Cleanup(func() {
		for _, c := range []interface{ Close() error }{face, g.realm, g.x} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	g.x.AddAccount(sim.Account{Login: "svc@COMPANY.EXAMPLE", Password: "ticket please", Certificates: []string{"svc-certificate"}})
	g.x.AddMailbox(sim.Person{Name: "Ursula User", Address: "ursula@company.example"})
	g.settings = crm.Settings{Server: face.EWS(), Version: "ExchangeSE", Login: "svc@COMPANY.EXAMPLE", Password: crm.NewSecret("ticket please"),
		KDC: g.realm.Config("company.example"), RootCAs: string(g.authority.PEM())}
	return g
}

// try asks for the folders of a mailbox, and returns the fault's code.
func (g *guarded) try(t *testing.T, s crm.Settings) string {
	t.Helper()
	src := openEWS(t, s)
	code := ""
	for range 3 { // what is refused once is refused again, without another try
		if _, err := src.Folders(t.Context(), &crm.Mailbox{ID: 1, Org: 1, Address: "ursula@company.example"}); err != nil {
			code = crm.AsFault(err).Code
		}
	}
	return code
}

// wrongLogOns says what is wrong with requests of which some are to be signed in by a scheme, or
// none by "". None may answer by what lets a password be guessed where the log-on is to be refused.
func wrongLogOns(requests []sim.RequestRecord, by sim.Scheme, refused bool) (wrong []string) {
	signed := 0
	for _, r := range requests {
		if r.Account != "" && r.Scheme != by {
			wrong = append(wrong, "signed in by "+string(r.Scheme))
		}
		if r.Account != "" {
			signed++
		}
		if refused && slices.Contains([]sim.Scheme{sim.Basic, sim.NTLM}, r.Authorization) {
			wrong = append(wrong, "answered by "+string(r.Authorization))
		}
	}
	if (signed > 0) != (by != "") {
		wrong = append(wrong, fmt.Sprintf("%d requests were signed in", signed))
	}
	return wrong
}

func TestLogOnByEachScheme(t *testing.T) {
	g := newGuarded(t)
	keys, err := g.realm.Keytab("HTTP/127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	own, err := g.realm.Keytab("svc")
	if err != nil {
		t.Fatal(err)
	}
	keytab := crm.NewSecret(base64.StdEncoding.EncodeToString(own))
	pair, err := g.authority.Certificate(sim.Wish{Names: []string{"svc-certificate"}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := sim.KeyPEM(pair)
	if err != nil {
		t.Fatal(err)
	}
	all := []sim.Scheme{sim.Negotiate, sim.NTLM, sim.Basic}
	for _, test := range []struct {
		about  string
		logOn  sim.LogOn
		change func(*crm.Settings)
		code   string
		by     sim.Scheme // on record; "" = nobody
	}{
		{"Kerberos by keytab, bound to the channel", sim.LogOn{Schemes: all, Protection: sim.ProtectionRequired},
			func(s *crm.Settings) { s.Scheme, s.Keytab, s.Password = crm.Kerberos, keytab, crm.Secret{} }, "", sim.Negotiate},
		{"Kerberos by password", sim.LogOn{Schemes: all}, func(s *crm.Settings) { s.Scheme = crm.Kerberos }, "", sim.Negotiate},
		{"Kerberos, wrong password", sim.LogOn{Schemes: all},
			func(s *crm.Settings) { s.Scheme, s.Password = crm.Kerberos, crm.NewSecret("wrong") }, "password-refused", ""},
		{"Kerberos, account unknown", sim.LogOn{Schemes: all},
			func(s *crm.Settings) { s.Scheme, s.Login = crm.Kerberos, "nobody@COMPANY.EXAMPLE" }, "password-refused", ""},
		{"Kerberos, another realm", sim.LogOn{Schemes: all},
			func(s *crm.Settings) { s.Scheme, s.Login = crm.Kerberos, "svc@OTHER.EXAMPLE" }, "kerberos-settings", ""},
		{"Kerberos, server not there", sim.LogOn{Schemes: all},
			func(s *crm.Settings) {
				s.Scheme, s.KDC = crm.Kerberos, "[realms]\nCOMPANY.EXAMPLE = {\nkdc = 127.0.0.1:1\n}\n"
			}, "kerberos-unreachable", ""},
		{"Kerberos, only Basic offered", sim.LogOn{Schemes: []sim.Scheme{sim.Basic}}, func(s *crm.Settings) { s.Scheme = crm.Kerberos }, "scheme-not-offered", ""},
		{"NTLM, bound to the channel", sim.LogOn{Schemes: all, Protection: sim.ProtectionRequired}, func(s *crm.Settings) { s.Scheme = crm.NTLM }, "", sim.NTLM},
		{"NTLM, only Basic offered", sim.LogOn{Schemes: []sim.Scheme{sim.Basic}}, func(s *crm.Settings) { s.Scheme = crm.NTLM }, "scheme-not-offered", ""},
		{"Basic", sim.LogOn{Schemes: all}, func(s *crm.Settings) { s.Scheme = crm.Basic }, "", sim.Basic},
		{"Basic, beside a keytab, which is no password", sim.LogOn{Schemes: all}, func(s *crm.Settings) { s.Scheme, s.Keytab = crm.Basic, keytab }, "", sim.Basic},
		{"any, the strongest is taken", sim.LogOn{Schemes: []sim.Scheme{sim.Basic, sim.NTLM}}, func(*crm.Settings) {}, "", sim.NTLM},
		{"client certificate", sim.LogOn{Schemes: []sim.Scheme{sim.Certificate}}, func(s *crm.Settings) {
			s.Scheme, s.ClientCertificate, s.ClientKey, s.Password = crm.ClientTLS, string(sim.CertificatePEM(pair)), crm.NewSecret(string(key)), crm.Secret{}
		}, "", sim.Certificate},
		{"client certificate that is not shown", sim.LogOn{Schemes: []sim.Scheme{sim.Certificate, sim.Basic}},
			func(s *crm.Settings) { s.Scheme = crm.ClientTLS }, "certificate-refused", ""},
	} {
		test.logOn.Keytab = keys
		if err := g.x.SetLogOn(test.logOn); err != nil {
			t.Fatal(err)
		}
		s, before := g.settings, len(g.x.Requests())
		test.change(&s)
		if got := g.try(t, s); got != test.code {
			t.Errorf("%s: got %q, want %q", test.about, got, test.code)
		}
		if wrong := wrongLogOns(g.x.Requests()[before:], test.by, test.code != ""); len(wrong) > 0 {
			t.Errorf("%s: %q", test.about, wrong)
		}
	}
	if g.realm.Tickets() != 3 {
		t.Errorf("%d tickets for services were asked for, want one for each of the three connections that came so far", g.realm.Tickets())
	}
}
