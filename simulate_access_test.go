package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"postern/sim"
)

// simulated is what `postern sim` makes of these arguments.
func simulated(t *testing.T, args ...string) (*sim.Exchange, *simCommand, error) {
	t.Helper()
	var s simCommand
	parser, err := kong.New(&s, kong.Vars{"kinds": kindNames()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"--mailboxes", "2"}, args...)); err != nil {
		return nil, nil, err
	}
	x, err := sim.New(sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	people, err := s.fill(x)
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := s.addAccounts(x)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(s.close)
	return x, &s, s.arrange(x, accounts, people.company)
}

// look asks for the page of EWS and returns the status.
func look(x *sim.Exchange, login, password, agent string) int {
	r := httptest.NewRequest(http.MethodGet, sim.Path, nil)
	r.SetBasicAuth(login, password)
	r.Header.Set("User-Agent", agent)
	w := httptest.NewRecorder()
	x.ServeHTTP(w, r)
	return w.Code
}

func TestSimLetsInAsTheFlagsSay(t *testing.T) {
	user := string(sim.CrowdUser(0).Address)
	for _, tt := range []struct {
		args                   string
		login, password, agent string
		want                   int
	}{
		{"", "svc-postern", "postern", "Acme/1", 200},
		{"", user, "pw", "Acme/1", 401},
		{"--user-password pw", user, "pw", "Acme/1", 200},
		{"--log-on NTLM", "svc-postern", "postern", "Acme/1", 401},
		{"--log-on NTLM,Basic", "svc-postern", "postern", "Acme/1", 200},
		{"--allow-agent Acme/*", "svc-postern", "postern", "Acme/1", 200},
		{"--allow-agent Acme/*", "svc-postern", "postern", "Other/1", 403},
		{"--block-agent Acme/*", "svc-postern", "postern", "Acme/1", 403},
		{"--no-ews", "svc-postern", "postern", "Acme/1", 403},
		{"--no-ews --account svc@company.example:pw", "svc@company.example", "pw", "Acme/1", 200},
		{"--account svc:pw:group=crm@company.example,ann@company.example --group crm@company.example:bob@company.example,eve@company.example", "svc", "pw", "Acme/1", 200},
		{"--delegate " + user + ":svc-postern:Reviewer:inbox,calendar", "svc-postern", "postern", "Acme/1", 200},
	} {
		x, _, err := simulated(t, strings.Fields(tt.args)...)
		if err != nil {
			t.Errorf("%s: %v", tt.args, err)
			continue
		}
		if got := look(x, tt.login, tt.password, tt.agent); got != tt.want {
			t.Errorf("%s: %s as %s: got %d, want %d", tt.args, tt.login, tt.agent, got, tt.want)
		}
	}
	for _, bad := range []string{
		"--log-on Digest", "--protection perhaps", "--allow-agent A --block-agent B", "--group nonsense", "--group g@company.example:nonsense",
		"--delegate nonsense", "--delegate zoe@company.example:svc:Reviewer", "--delegate " + user + ":svc:Friend", "--delegate " + user + ":svc:Reviewer:cellar",
		"--autodiscover =nonsense", "--account svc:pw:group=nonsense",
	} {
		if _, _, err := simulated(t, strings.Fields(bad)...); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestSimFront(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	_, s, err := simulated(t, "--tls", "--ca", ca, "--name", "mail.company.example", "--kerberos", filepath.Join(dir, "krb"), "--autodiscover", `@company.example={"hops":2,"group":"x"}`)
	if err != nil {
		t.Fatal(err)
	}
	front, err := s.front("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mail.company.example", "localhost", "127.0.0.1"} {
		if err := front.Certificate.Leaf.VerifyHostname(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for file, want := range map[string]string{ca: "BEGIN CERTIFICATE", filepath.Join(dir, "krb", "krb5.conf"): ".company.example = COMPANY.EXAMPLE", filepath.Join(dir, "krb", "svc-postern.keytab"): "svc-postern"} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v in %q", file, err, text)
		}
	}
	if _, s, err = simulated(t, "--ca", ca); err != nil {
		t.Fatal(err)
	}
	if _, err := s.front("127.0.0.1"); err == nil {
		t.Error("an authority without TLS was taken")
	}
}

// TestSimAutodiscoverFlag: the fields are those of the control face.
func TestSimAutodiscoverFlag(t *testing.T) {
	said, err := json.Marshal(sim.Discovery{Location: "https://elsewhere.example/"})
	if err != nil {
		t.Fatal(err)
	}
	x, _, err := simulated(t, "--autodiscover", "@company.example="+string(said))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/autodiscover/autodiscover.json?Protocol=EWS&Email="+string(sim.CrowdUser(1).Address), nil)
	w := httptest.NewRecorder()
	x.ServeHTTP(w, r)
	if w.Code != http.StatusFound || w.Header().Get("Location") != "https://elsewhere.example/" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}
