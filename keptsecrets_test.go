package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/crm"
	"postern/mail"
	"postern/sim"
	"postern/store"
)

// shown lists the hosts that were shown credentials.
func (w *searched) shown() (hosts []string) {
	for _, r := range w.exchange.Requests() {
		if r.Authorization != "" && !slices.Contains(hosts, r.ServerName) {
			hosts = append(hosts, r.ServerName)
		}
	}
	return hosts
}

// newTested is an organization that has saved its server, with a user of another domain, too.
func newTested(t *testing.T, model crm.AuthModel) *searched {
	t.Helper()
	w := newSearched(t, nil)
	w.settings.Enabled, w.settings.Server, w.settings.Model = true, "autodiscover.acme.example", model
	if err := w.org.SaveSettings(t.Context(), w.settings); err != nil {
		t.Fatal(err)
	}
	_, err := w.org.SaveUsers(t.Context(), []crm.User{{Name: "Ann", Addresses: []mail.Address{"ann@acme.example"}, Active: true}, {Name: "Eve", Addresses: []mail.Address{"eve@evil.test"}, Active: true}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestTestShowsNoCredentialsToNewDomains: a test searches the domains that are saved, not those
// that stand in the form. It is in the audit log.
func TestTestShowsNoCredentialsToNewDomains(t *testing.T) {
	for _, tt := range []struct {
		domain string
		looked bool
	}{{"acme.example", true}, {"evil.test", false}} {
		w := newTested(t, crm.ByImpersonation)
		w.settings.Domains = []string{tt.domain}
		looked := false
		if err := w.engine.Test(t.Context(), w.settings, func(f crm.Finding) { looked = looked || f.Code == "autodiscover" && !f.Skip }); err != nil {
			t.Fatal(err)
		}
		if hosts := w.shown(); !slices.Equal(hosts, []string{"autodiscover.acme.example"}) || looked != tt.looked {
			t.Errorf("%s: credentials were shown to %v; looked for: %v", tt.domain, hosts, looked)
		}
		list, n, err := w.org.AuditLog(t.Context(), store.AuditQuery{Action: "settings.test"})
		if err != nil || n != 1 || list[0].Subject != "autodiscover.acme.example" || list[0].Detail != "domains: "+tt.domain {
			t.Errorf("%s: %+v, %v", tt.domain, list, err)
		}
	}
}

// TestTestShowsNoSignInsElsewhere: what a user entered for the saved server is not used to try
// another one.
func TestTestShowsNoSignInsElsewhere(t *testing.T) {
	for _, tt := range []struct {
		server string
		shown  []string
	}{{"autodiscover.acme.example", []string{"autodiscover.acme.example"}}, {"evil.test", nil}} {
		w := newTested(t, crm.ByOwnSignIn)
		w.exchange.AddAccount(sim.Account{Login: "ann", Password: "anns", Mailbox: "ann@acme.example"})
		ann, _, err := w.org.SignIn(t.Context(), "ann@acme.example")
		if err == nil {
			err = w.org.SaveSignIn(t.Context(), ann.ID, crm.Account{Login: "ann", Password: crm.NewSecret("anns")})
		}
		if err != nil {
			t.Fatal(err)
		}
		w.settings.Server = tt.server
		if err := w.engine.Test(t.Context(), w.settings, func(crm.Finding) {}); err != nil {
			t.Fatal(err)
		}
		if hosts := w.shown(); !slices.Equal(hosts, tt.shown) || len(w.exchange.Requests()) == 0 {
			t.Errorf("%s: credentials were shown to %v", tt.server, hosts)
		}
	}
}

// TestSearchShowsNoCredentialsElsewhere: by settings that were not checked for it, a search
// shows credentials to no host that is confirmed, and to no domain that they do not name.
func TestSearchShowsNoCredentialsElsewhere(t *testing.T) {
	for _, box := range []mail.Address{"ann@acme.example", "eve@evil.test"} {
		w := newTested(t, crm.ByImpersonation)
		w.exchange.Discover("", sim.Discovery{EWS: "https://evil.test/EWS/Exchange.asmx"})
		_, err := w.engine.Discover(t.Context(), box, w.settings, "evil.test", func(crm.Finding) {})
		if hosts := w.shown(); slices.Contains(hosts, "evil.test") || err == nil {
			t.Errorf("%s: credentials were shown to %v; %v", box, hosts, err)
		}
	}
}

// TestAutodiscoverCommand: the kept password is shown to no domain and no host that it was not
// saved with, and what is saved is whole.
func TestAutodiscoverCommand(t *testing.T) {
	for _, tt := range []struct {
		name    string
		args    string
		change  func(*crm.Settings)
		refusal string // in what is said; "" = the server is found and saved
	}{
		{"as it was saved", "ann@acme.example --save", func(*crm.Settings) {}, ""},
		{"another domain", "ann@evil.test --save", func(*crm.Settings) {}, "password: Enter the password again"},
		{"another host", "ann@acme.example --save --confirm mail.evil.test", func(*crm.Settings) {}, "password: Enter the password again"},
		{"another host, and typed", "ann@acme.example --save --confirm SERVER --password-file PASSWORD", func(s *crm.Settings) { s.Server, s.Password = "old.acme.example", crm.NewSecret("old") }, ""},
		{"what cannot be saved", "ann@acme.example --save", func(s *crm.Settings) { s.Version = "Exchange1999" }, "version: There is no version"},
		{"one account of two typed", "ann@acme.example --save --confirm SERVER --password-file PASSWORD", func(s *crm.Settings) {
			s.Server, s.Others = "old.acme.example", []crm.Account{{Login: "svc-two", Password: crm.NewSecret("kept")}}
		}, "others: svc-two: The server changed"},
		{"another host, and a keytab", "ann@acme.example --confirm mail.evil.test", func(s *crm.Settings) {
			s.Scheme, s.Login, s.Keytab, s.Password = crm.Kerberos, "svc@ACME.EXAMPLE", crm.NewSecret("BQI="), crm.Secret{}
			s.KDC = "[realms]\nACME.EXAMPLE = {\nkdc = 127.0.0.1\n}\n"
		}, "password: Enter the password again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, data := newSite(t), t.TempDir()
			face := s.face(t)
			host := strings.TrimPrefix(strings.TrimSuffix(face.EWS(), "/EWS/Exchange.asmx"), "https://")
			password := filepath.Join(data, "password")
			if err := os.WriteFile(password, []byte("correct\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s.settings.Server = host
			tt.change(&s.settings)
			s.save(t, data)

			args := strings.Fields(strings.NewReplacer("SERVER", host, "PASSWORD", password).Replace(tt.args))
			code, out, errOut := imported(t, data, append([]string{"autodiscover"}, args...)...)
			kept := keptSettings(t, data)
			if tt.refusal != "" {
				if code == 0 || !strings.Contains(errOut, tt.refusal) || kept.Server != s.settings.Server {
					t.Errorf("exit %d, %s is saved: %s%s", code, kept.Server, out, errOut)
				}
				if !strings.Contains(errOut, "postern settings --server") { // where all can be typed
					t.Errorf("no way out: %s", errOut)
				}
				if strings.HasPrefix(tt.refusal, "password") && len(s.x.Requests()) > 0 {
					t.Errorf("%d requests were sent", len(s.x.Requests()))
				}
				return
			}
			if code != 0 || kept.Server != face.EWS() || kept.Password.Reveal() != "correct" || !strings.Contains(out, face.EWS()) {
				t.Errorf("exit %d, %s is saved: %s%s", code, kept.Server, out, errOut)
			}
		})
	}
}

// face has the site's Exchange listen, with a log-on by its account.
func (s *site) face(t *testing.T) *sim.Face {
	t.Helper()
	s.x.AddAccount(s.account)
	certificate, err := s.authority.Certificate(s.certificate)
	if err == nil {
		err = s.x.SetLogOn(s.logOn)
	}
	if err != nil {
		t.Fatal(err)
	}
	face, err := s.x.Listen("127.0.0.1:0", sim.Front{Certificate: &certificate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { face.Close() })
	return face
}

// save keeps the site's settings in a data folder, of which this machine may be reached.
func (s *site) save(t *testing.T, data string) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	err = st.SaveDeployment(t.Context(), crm.Deployment{Mode: crm.MultiTenant, Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err == nil {
		err = st.Org(1).SaveSettings(t.Context(), s.settings)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func keptSettings(t *testing.T, data string) crm.Settings {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s, _, err := st.Org(1).Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}
