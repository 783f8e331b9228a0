package gate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"testing"

	"postern/crm"
	"postern/mail"
)

// TestTryEndsWithWhatItWasGranted: a test that waits for the server ends when something that
// held as it began is taken away, and with nothing else.
func TestTryEndsWithWhatItWasGranted(t *testing.T) {
	const outside = mail.Address("eve@other.example")
	for name, test := range map[string]struct {
		change func(*Terms)
		ends   bool
	}{
		"mailbox":          {func(t *Terms) { t.Policy.Deny = []crm.Selector{crm.Selector(ann)} }, true},
		"domain":           {func(t *Terms) { t.Policy.Domains = []string{"b.example"} }, true},
		"kind":             {func(t *Terms) { t.Policy.Kinds = nil }, true},
		"folder":           {func(t *Terms) { t.Policy.ExcludedFolders = []string{"inbox"} }, true},
		"user's limits":    {func(t *Terms) { t.Limits = map[mail.Address]crm.Limits{ann: {HeadersOnly: true}} }, true},
		"connection":       {func(t *Terms) { t.Settings.Enabled = false }, true},
		"account":          {func(t *Terms) { t.Settings.Login = "another" }, true},
		"proxy":            {func(t *Terms) { t.Egress.Proxy = "http://proxy.example:3128" }, true},
		"ranges":           {func(t *Terms) { t.Deployment.Mode = crm.OnPremises }, true},
		"own sign-in":      {func(t *Terms) { t.SignIns = nil }, true},
		"all":              {func(t *Terms) { *t = Terms{} }, true},
		"another mailbox":  {func(t *Terms) { t.Policy.Deny = []crm.Selector{crm.Selector(bob)} }, false},
		"one from outside": {func(t *Terms) { t.Policy.Deny = []crm.Selector{crm.Selector(outside)} }, false},
		"more":             {func(t *Terms) { t.Policy.Kinds = append(t.Policy.Kinds, crm.Task) }, false},
		"User-Agent":       {func(t *Terms) { t.Settings.UserAgent = "Another/1" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := New(Config{})
			terms := granting(true, "acme.example")
			terms.Settings.Model = crm.ByOwnSignIn
			terms.SignIns = map[mail.Address]crm.Account{ann: {Login: "ann", Password: crm.NewSecret("x")}}
			g.Set(terms)
			err := g.Try(t.Context(), []mail.Address{ann, outside}, func(ctx context.Context) error {
				g.Set(terms)
				if ctx.Err() != nil {
					t.Fatal("the same terms ended it")
				}
				test.change(&terms)
				g.Set(terms)
				return ctx.Err()
			})
			switch {
			case test.ends && (err == nil || crm.AsFault(err).Code != "test-ended"):
				t.Errorf("it ended with %v, want test-ended", err)
			case !test.ends && err != nil:
				t.Errorf("it ended with %v, want it to go on", err)
			}
		})
	}
}

// TestOwnSignInsServeNoTestElsewhere: what users entered for the server that is saved is lent
// to a test of that, and to no other.
func TestOwnSignInsServeNoTestElsewhere(t *testing.T) {
	_, authority := selfSigned(t, "Acme CA")
	_, other := selfSigned(t, "Other CA")
	g := New(Config{})
	terms := granting(true, "acme.example")
	terms.Settings.Model, terms.Settings.Scheme, terms.Settings.RootCAs = crm.ByOwnSignIn, crm.NTLM, authority
	terms.SignIns = map[mail.Address]crm.Account{ann: {Login: "ann", Password: crm.NewSecret("x")}}
	g.Set(terms)
	for name, test := range map[string]struct {
		change func(*crm.Settings)
		lent   bool
	}{
		"as saved":            {func(*crm.Settings) {}, true},
		"another name":        {func(s *crm.Settings) { s.UserAgent = "Another/1" }, true},
		"another server":      {func(s *crm.Settings) { s.Server = "mail.evil.test" }, false},
		"another realm":       {func(s *crm.Settings) { s.Scheme, s.KDC = crm.Kerberos, "kdc = dc.evil.test" }, false},
		"in the clear":        {func(s *crm.Settings) { s.Scheme = crm.Basic }, false},
		"a further authority": {func(s *crm.Settings) { s.RootCAs += other }, false},
	} {
		s := terms.Settings
		test.change(&s)
		for where, way := range map[string]crm.Transport{"test": g.Trial(s, "", ann), "search": g.Discovery(s, ann)} {
			if a, err := way.Account(ann); err != nil || a.Empty() == test.lent {
				t.Errorf("%s by a %s: %v, lent %v", name, where, err, !a.Empty())
			}
		}
	}
}

// TestTrialVouchesForNoProxy: an authority that nobody has saved yet does not have a stranger
// shown the password of the proxy.
func TestTrialVouchesForNoProxy(t *testing.T) {
	cert, authority := selfSigned(t, "proxy.acme.example")
	block, _ := pem.Decode([]byte(authority))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	bell := newDoorbell(t, "127.0.0.1")
	for _, saved := range []bool{true, false} {
		p := newTestProxy(t, "https", "svc:pass", &tls.Config{Certificates: []tls.Certificate{cert}})
		g := New(Config{Machine: Machine{Resolve: onlyProxy}})
		terms := granting(true, "acme.example")
		terms.Deployment, terms.Settings.Server = loopback, fmt.Sprintf("https://mail.acme.example:%d", bell.port)
		terms.Egress = crm.Egress{Proxy: p.at(), ProxyLogin: "svc", ProxyPassword: crm.NewSecret("pass")}
		s := terms.Settings
		s.RootCAs = authority
		if saved {
			terms.Settings = s
		}
		g.Set(terms)
		trial := g.Trial(s, "", ann)
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: trial.TLS("mail.acme.example").RootCAs}); err != nil {
			t.Errorf("the server is not vouched for by what is tried: %v", err)
		}
		conn, _ := trial.Dial(t.Context(), "tcp", fmt.Sprintf("mail.acme.example:%d", bell.port))
		if conn != nil {
			conn.Close()
		}
		if asked := len(p.targets()) > 0; asked != saved {
			t.Errorf("authority saved: %v, the proxy was shown the password: %v", saved, asked)
		}
	}
}
