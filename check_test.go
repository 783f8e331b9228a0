package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/docs"
	"postern/mail"
	"postern/report"
	"postern/sim"
	"postern/store"
	"postern/web"
)

// A site is an Exchange organization as it should be, to be broken in one place, and the
// settings that fit it.
type site struct {
	x           *sim.Exchange
	account     sim.Account
	front       sim.Front
	authority   *sim.Authority
	settings    crm.Settings
	egress      crm.Egress
	logOn       sim.LogOn
	governance  sim.Governance
	flags       []string
	certificate sim.Wish
	shared      []*sim.Mailbox         // with the account
	off         *sim.Mailbox           // whose own EWS is off; nil = none's
	refusal     string                 // code of the fault with which the command ends; "" = it reports
	prepare     func(*store.Org) error // more of what is kept; nil = nothing
}

const (
	agent = "Acme-CRM-Sync/1.0"
	svc   = "svc-postern"
)

// checked runs the command against the site and returns its report.
func (s *site) checked(t *testing.T) (found web.CheckJSON, status int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s.x.AddAccount(s.account)
	for _, box := range s.shared {
		must(box.Share(svc, sim.Reviewer))
	}
	if s.off != nil {
		must(s.off.Govern(sim.Governance{EWS: new(false)}))
	}
	must(s.x.SetLogOn(s.logOn))
	must(s.x.Govern(s.governance))
	certificate, err := s.authority.Certificate(s.certificate)
	must(err)
	s.front.Certificate = &certificate
	face, err := s.x.Listen("127.0.0.1:0", s.front)
	must(err)
	defer face.Close()
	s.settings.Server = face.EWS()

	data := t.TempDir()
	st, err := store.Open(t.Context(), store.Options{Dir: data})
	must(err)
	must(st.SaveDeployment(t.Context(), crm.Deployment{Mode: crm.MultiTenant, Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}))
	org := st.Org(1)
	must(org.SaveSettings(t.Context(), s.settings))
	must(org.SaveEgress(t.Context(), s.egress))
	_, err = org.SaveUsers(t.Context(), []crm.User{{Name: "Ann", Addresses: []mail.Address{"ann@acme.example"}, Active: true}, {Name: "Bob", Addresses: []mail.Address{"bob@acme.example"}, Active: true}})
	must(err)
	if s.prepare != nil {
		must(s.prepare(org))
	}
	must(st.Close())

	var out, errOut strings.Builder
	status = run(append([]string{"check", "--data", data, "--json"}, s.flags...), &out, &errOut)
	if s.refusal != "" {
		if status != 1 || !strings.Contains(errOut.String(), "["+s.refusal+"]") {
			t.Errorf("status %d: %s%s", status, out.String(), errOut.String())
		}
		return found, status
	}
	if err := json.Unmarshal([]byte(out.String()), &found); err != nil {
		t.Fatalf("status %d: %v\n%s%s", status, err, out.String(), errOut.String())
	}
	failuresAreTold(t, data)
	return found, status
}

// failuresAreTold holds the access log of an installation in which nothing but the check ran
// against what it says: all that failed, failed in the check.
func failuresAreTold(t *testing.T, data string) {
	t.Helper()
	var out strings.Builder
	var sum report.Summary
	if status := run([]string{"access", "summary", "--json", "--data", data}, &out, &out); status != 0 || json.Unmarshal([]byte(out.String()), &sum) != nil {
		t.Fatalf("status %d: %s", status, out.String())
	}
	for _, o := range sum.Operations {
		if o.Tests != o.Failed {
			t.Errorf("%s: %d of %d that failed are told to be the check's", o.Operation, o.Tests, o.Failed)
		}
	}
}

// newSite returns one at which all is well: NTLM alone, a role with a scope, a list of
// programs.
func newSite(t *testing.T) *site {
	t.Helper()
	x, err := sim.New(sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	for _, a := range []mail.Address{"ann@acme.example", "bob@acme.example", "boss@acme.example"} {
		x.AddMailbox(sim.Person{Name: string(a), Address: a})
	}
	authority, err := sim.NewAuthority("Acme Issuing CA")
	if err != nil {
		t.Fatal(err)
	}
	return &site{
		x: x, authority: authority, certificate: sim.Wish{Names: []string{"127.0.0.1"}},
		account: sim.Account{Login: svc, Password: "correct", Scope: []mail.Address{"ann@acme.example", "bob@acme.example"}},
		settings: crm.Settings{Enabled: true, Version: "ExchangeSE", Scheme: crm.NTLM, Login: svc, Password: crm.NewSecret("correct"),
			Domains: []string{"acme.example"}, UserAgent: agent, RootCAs: string(authority.PEM())},
		logOn:      sim.LogOn{Schemes: []sim.Scheme{sim.NTLM}, Protection: sim.ProtectionRequired},
		governance: sim.Governance{Policy: sim.EnforceAllowList, Programs: []string{"Acme-CRM-Sync/*"}},
		flags:      []string{"--outside", "boss@acme.example", "--stranger"},
	}
}

// TestCheckNamesTheCause breaks a good site in one place after the other: the first red
// step names the cause, and has the remedy to copy.
func TestCheckNamesTheCause(t *testing.T) {
	day := 24 * time.Hour
	for _, tt := range []struct {
		name   string
		breaks func(*site)
		step   string // of the first red finding
		code   string // of its fault; "" = all is well
		told   string // in its text
		fix    string // in what is to be copied
		who    crm.Audience
	}{
		{"nothing", func(*site) {}, "", "", "", "", ""},
		{"the certificate is for another name", func(s *site) { s.certificate.Names = []string{"mail.other.example"} },
			"tls", "tls-name-wrong", "not for the name 127.0.0.1, but for mail.other.example", "Get-ExchangeCertificate", crm.ForExchangeAdmin},
		{"the certificate has expired", func(s *site) { s.certificate.From, s.certificate.To = time.Now().Add(-9*day), time.Now().Add(-2*day) },
			"tls", "tls-expired", "only; here it is", "Enable-ExchangeCertificate", crm.ForExchangeAdmin},
		{"a firewall signs anew", func(s *site) { s.authority, _ = sim.NewAuthority("Firewall Inspection CA") },
			"tls", "tls-unknown-authority", `"Firewall Inspection CA"`, "--root-cas", crm.ForCRMAdmin},
		{"the password is wrong", func(s *site) { s.settings.Password = crm.NewSecret("wrong") },
			"logon", "password-refused", "refuses the login or the password", "postern settings --login", crm.ForCRMAdmin},
		{"the pinned scheme is not offered", func(s *site) { s.logOn.Schemes = []sim.Scheme{sim.Basic} },
			"schemes", "scheme-not-offered", "offers Basic", "-WindowsAuthentication $true", crm.ForExchangeAdmin},
		{"there is no right to impersonate", func(s *site) { s.account.NoRole = true },
			"mailbox", "ErrorImpersonateUserDenied", "may not impersonate", "Add-RoleGroupMember -Identity 'Postern impersonation'", crm.ForExchangeAdmin},
		{"the scope is too wide", func(s *site) { s.account.Scope = nil },
			"must-fail-mailbox", "wider-than-needed", "boss@acme.example", "-CustomRecipientWriteScope", crm.ForExchangeAdmin},
		{"there is no filter by User-Agent", func(s *site) { s.governance = sim.Governance{} },
			"must-fail-agent", "wider-than-needed", "does not hold the account to the User-Agent", "EnforceAllowList", crm.ForExchangeAdmin},
		{"the filter lacks our User-Agent", func(s *site) { s.governance.Programs = []string{"Other/*"} },
			"logon", "ews-blocked", `(User-Agent "Acme-CRM-Sync/1.0")`, "-EwsAllowList @{Add='Acme-CRM-Sync/*'}", crm.ForExchangeAdmin},
		{"the filter blocks our User-Agent", func(s *site) {
			s.governance = sim.Governance{Policy: sim.EnforceBlockList, Programs: []string{"Acme-*"}}
		}, "logon", "agent-blocked", `"Acme-CRM-Sync/1.0"`, "-EwsBlockList @{Remove=", crm.ForExchangeAdmin},
		{"EWS is off for the account", func(s *site) { s.governance.EWS = new(false) },
			"logon", "ews-blocked", "EWS is switched off", "-EwsEnabled $true", crm.ForExchangeAdmin},
		{"EWS is off for one mailbox of the policy", func(s *site) {
			s.governance.OwnersToo = true
			for _, box := range s.x.Mailboxes() {
				if box.Address() == "bob@acme.example" {
					s.off = box
				}
			}
		}, "mailbox", "ews-forbidden", "closes EWS to the mailbox bob@acme.example", "Set-CASMailbox -Identity 'bob@acme.example' -EwsEnabled $true", crm.ForExchangeAdmin},
		{"the source address is missing", func(s *site) {
			s.egress.Addresses = []crm.EgressAddress{{Local: netip.MustParseAddr("192.0.2.77")}}
		}, "connection", "source-address-missing", "192.0.2.77, which this machine does not have", "postern egress", crm.ForOperator},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			tt.breaks(s)
			report, status := s.checked(t)
			i := slices.IndexFunc(report.Steps, func(j web.StepJSON) bool { return j.State == "bad" })
			if tt.code == "" {
				if i >= 0 || status != 0 {
					t.Fatalf("status %d, %+v", status, report.Steps[max(i, 0)])
				}
				s.showedItAll(t, report)
				return
			}
			if i < 0 || status != 1 {
				t.Fatalf("status %d, nothing is red: %+v", status, report.Steps)
			}
			red := report.Steps[i]
			if red.Code != tt.step || red.Fault != tt.code || red.For != tt.who || !strings.Contains(red.Detail, tt.told) || !strings.Contains(red.Fix, tt.fix) {
				t.Errorf("the first red step: %+v", red)
			}
			if _, ok := docs.Check(red.Fault); !ok || red.Page == "" {
				t.Errorf("%s has no page", red.Fault)
			}
			s.triedOnce(t, tt.code)
		})
	}
}

// showedItAll: with all well, every step was made, and what must fail has failed.
func (s *site) showedItAll(t *testing.T, report web.CheckJSON) {
	t.Helper()
	for _, step := range report.Steps {
		if step.State != "ok" && step.Code != "autodiscover" && step.Code != "autodiscover-hop" && step.Code != "users-ews" {
			t.Errorf("%s: %s: %s", step.Code, step.State, step.Detail)
		}
	}
	if report.Outside != "boss@acme.example" || !report.Stranger || report.UserAgent != agent {
		t.Errorf("kept %+v", report)
	}
}

// triedOnce: a password is tried once, by the pinned scheme, and not at all where something
// is wrong before.
func (s *site) triedOnce(t *testing.T, code string) {
	t.Helper()
	refused, sent := 0, 0
	for _, r := range s.x.Requests() {
		if r.Authorization == sim.Basic {
			t.Errorf("Basic was sent with %s", r.Operation)
		}
		if r.Authorization != "" {
			sent++
		}
		if r.Authorization != "" && r.Account == "" && r.Status == 401 {
			refused++
		}
	}
	// NTLM takes two messages: the first is answered by a challenge.
	if code == "password-refused" && refused != 2 || code != "password-refused" && refused > sent/2+1 {
		t.Errorf("%d of %d log-ons were refused", refused, sent)
	}
	switch code {
	case "tls-name-wrong", "tls-expired", "tls-unknown-authority", "scheme-not-offered", "source-address-missing":
		if sent > 0 {
			t.Errorf("credentials were sent %d times", sent)
		}
	}
}

// TestCheckByEachModel: service accounts, delegates and own log-ons are tried as they are
// used, and each of several accounts must be held to the mailboxes that it is meant for.
func TestCheckByEachModel(t *testing.T) {
	second := func(s *site, password string, scope ...mail.Address) {
		s.x.AddAccount(sim.Account{Login: "svc-two", Password: "second", Scope: scope})
		s.settings.Others = []crm.Account{{Login: "svc-two", Password: crm.NewSecret(password)}}
	}
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *site)
		status int
		want   map[string]string // what steps tell, by their names; "-" before what was skipped
	}{
		{"several accounts", func(_ *testing.T, s *site) { second(s, "second", "ann@acme.example", "bob@acme.example") }, 0,
			map[string]string{"Log-on of svc-two": "ok svc-two by NTLM", "Mailbox that must be refused": "ok Exchange refuses boss@acme.example"}},
		{"one of them with a wide scope", func(_ *testing.T, s *site) { second(s, "second") }, 1,
			map[string]string{"Log-on of svc-two": "ok", "Mailbox that must be refused": "bad Exchange lets the account svc-two open boss@acme.example"}},
		{"one of them with a wrong password", func(_ *testing.T, s *site) { second(s, "wrong", "ann@acme.example", "bob@acme.example") }, 1,
			map[string]string{"Log-on": "ok", "Log-on of svc-two": "bad The server refuses the login or the password"}},
		{"a delegate", func(t *testing.T, s *site) {
			s.settings.Model, s.account.NoRole = crm.ByDelegation, true
			for _, box := range s.x.Mailboxes() {
				if box.Address() != "boss@acme.example" {
					s.shared = append(s.shared, box)
				}
			}
		}, 0, map[string]string{"Mailbox ann@acme.example": "ok as a delegate", "Mailbox that must be refused": "ok Exchange", "Notifications": "ok"}},
		{"own log-ons", func(_ *testing.T, s *site) {
			s.settings.Model = crm.ByOwnSignIn
			s.x.AddAccount(sim.Account{Login: "ann@acme.example", Password: "anns", NoRole: true})
			s.prepare = func(org *store.Org) error {
				ann, _, err := org.SignIn(t.Context(), "ann@acme.example")
				if err != nil {
					return err
				}
				return org.SaveSignIn(t.Context(), ann.ID, crm.Account{Login: "ann@acme.example", Password: crm.NewSecret("anns")})
			}
		}, 0, map[string]string{"Log-on": "skip each user logs on", "Mailbox ann@acme.example": "ok by the own log-on", "Mailbox bob@acme.example": "skip not initialized",
			"Mailbox that must be refused": "ok Exchange", "EWS of the users themselves": "skip needed"}},
		{"EWS on for the service account alone", func(t *testing.T, s *site) {
			own := s.x.AddMailbox(sim.Person{Name: "Service", Address: "svc@acme.example"})
			s.account.Mailbox = own.Address()
			s.governance = sim.Governance{EWS: new(false), Policy: sim.EnforceAllowList, Programs: []string{"Acme-CRM-Sync/*"}}
			if err := own.Govern(sim.Governance{EWS: new(true)}); err != nil {
				t.Fatal(err)
			}
		}, 0, map[string]string{"Mailbox ann@acme.example": "ok by impersonation", "EWS of the users themselves": "skip not needed"}},
		{"Extended Protection is not required", func(_ *testing.T, s *site) { s.logOn.Protection = sim.ProtectionAllowed }, 0,
			map[string]string{"Extended Protection": "warn The server takes a log-on by NTLM that is not bound"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			tt.change(t, s)
			report, status := s.checked(t)
			told := map[string]string{}
			for _, step := range report.Steps {
				told[step.Step] = step.State + " " + step.Detail
			}
			if status != tt.status {
				t.Errorf("status %d", status)
			}
			for step, want := range tt.want {
				if !strings.HasPrefix(told[step], want) {
					t.Errorf("%s: %s", step, told[step])
				}
			}
			if t.Failed() {
				t.Logf("%+v", told)
			}
		})
	}
}

// TestCheckOpensWhatThePolicyLets: a mailbox that is denied is not tried, by name neither;
// and one that is read is no proof of what is refused.
func TestCheckOpensWhatThePolicyLets(t *testing.T) {
	deny := func(org *store.Org) error {
		p, err := org.Policy(t.Context())
		if err != nil {
			return err
		}
		p.Deny = []crm.Selector{"bob@acme.example"}
		_, err = org.SavePolicy(t.Context(), p, false)
		return err
	}
	s := newSite(t)
	s.prepare = deny
	report, status := s.checked(t)
	if status != 0 || slices.ContainsFunc(report.Steps, func(j web.StepJSON) bool { return j.Step == "Mailbox bob@acme.example" }) {
		t.Errorf("status %d, %+v", status, report.Steps)
	}
	for _, r := range s.x.Requests() {
		if r.Impersonated == "bob@acme.example" {
			t.Errorf("%s was sent for a mailbox that is denied", r.Operation)
		}
	}
	for flags, code := range map[string]string{"--mailbox bob@acme.example": "mailbox-denied", "--outside ann@acme.example": "outside-is-read"} {
		s := newSite(t)
		s.prepare, s.flags, s.refusal = deny, strings.Fields(flags), code
		s.checked(t)
		if n := len(s.x.Requests()); n > 0 {
			t.Errorf("%s: %d requests", flags, n)
		}
	}
}

// TestCheckForgetsAMailboxThatIsReadNow: what the last run named to be refused does not keep the
// next one from running once the policy grants it.
func TestCheckForgetsAMailboxThatIsReadNow(t *testing.T) {
	s := newSite(t)
	s.flags = nil
	s.prepare = func(org *store.Org) error {
		_, err := org.SaveCheck(t.Context(), store.Check{Began: time.Now(), Outside: "bob@acme.example"})
		return err
	}
	report, _ := s.checked(t)
	if report.Outside != "" || len(report.Steps) == 0 {
		t.Errorf("%q is to be refused, %d steps", report.Outside, len(report.Steps))
	}
}

// TestEveryFindingHasAPage: each step of the test, and each fault for which it has a
// remedy; and no page is about nothing.
func TestEveryFindingHasAPage(t *testing.T) {
	source := ""
	for _, name := range []string{"check.go", "check_remedy.go", "autodiscover_find.go", "faults.go"} {
		text, err := os.ReadFile(filepath.Join("ews", name))
		if err != nil {
			t.Fatal(err)
		}
		source += string(text)
	}
	pages := docs.Codes()
	for _, form := range []string{`(?m)^\t+(?:step)?\{"([a-z-]+)", "[A-Z]`, `(?m)^\t+step\{"([a-z-]+)", "[A-Z]`, `(?m)^\t"([A-Za-z-]+)": +\{who: `, `hopCode = "([a-z-]+)"`} {
		found := regexp.MustCompile(form).FindAllStringSubmatch(source, -1)
		if len(found) == 0 {
			t.Errorf("nothing has the form %s", form)
		}
		for _, m := range found {
			if p, ok := docs.Check(m[1]); !ok || p.Title == "" || len(p.Blocks) == 0 {
				t.Errorf("%s has no page", m[1])
			}
		}
	}
	all := sources(t)
	for _, code := range pages {
		if !strings.Contains(all, `"`+code+`"`) && !strings.Contains(all, code+" ") {
			t.Errorf("the page %s is about nothing", code)
		}
	}
	if _, ok := docs.Check("../errors"); ok {
		t.Error("a page outside of its folder was shown")
	}
}
