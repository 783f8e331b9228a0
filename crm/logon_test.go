package crm_test

import (
	"encoding/base64"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/crm"
)

// The secrets of saved settings, by the field that complains when one is to be typed again.
// With "sign-ins", what users entered is not lent to a test any more; with "search", a search
// does not show the account's.
const (
	everySecret = "client_key others password search sign-ins"
	noSecret    = ""
)

// saved are settings with a secret of each kind.
func saved(t *testing.T) crm.Settings {
	s := whole()
	s.Scheme, s.Password, s.Others = crm.NTLM, crm.NewSecret("kept"), []crm.Account{{Login: "svc2", Password: crm.NewSecret("kept-too")}}
	s.KDC, s.UserAgent = "[realms]\nACME.EXAMPLE = {\nkdc = dc.acme.example\n}", "Acme/1"
	authority, _ := clientPair(t, "Acme CA")
	s.RootCAs = strings.TrimSpace(authority)
	certificate, key := clientPair(t, "svc")
	s.ClientCertificate, s.ClientKey = strings.TrimSpace(certificate), key
	return s
}

// TestKeptSecretsGoNoFurther says for each field of the settings which secrets are to be typed
// again once it is another. A field that is added must be decided on here.
func TestKeptSecretsGoNoFurther(t *testing.T) {
	kept := saved(t)
	other, _ := clientPair(t, "other")
	_, strangeKey := clientPair(t, "other")
	both := crm.Connector{Versions: []crm.Version{{Name: "2013"}, {Name: "2019"}}}
	decisions := map[string]struct {
		change func(*crm.Settings)
		again  string
	}{
		"Enabled":           {func(s *crm.Settings) { s.Enabled = false }, noSecret},
		"Server":            {func(s *crm.Settings) { s.Server = "mail.evil.test" }, everySecret},
		"Version":           {func(s *crm.Settings) { s.Version = "2013" }, noSecret},
		"Model":             {func(s *crm.Settings) { s.Model = crm.ByDelegation }, noSecret}, // the same account logs on to the same server
		"Scheme":            {func(s *crm.Settings) { s.Scheme = crm.Basic }, everySecret},    // TestSchemesThatShowMore
		"Login":             {func(s *crm.Settings) { s.Login = "another" }, "password search"},
		"Password":          {func(s *crm.Settings) { s.Password = crm.NewSecret("typed") }, noSecret},
		"Keytab":            {func(s *crm.Settings) { s.Keytab = crm.NewSecret(base64.StdEncoding.EncodeToString([]byte{5, 2})) }, "password"}, // which takes its place
		"Others":            {func(s *crm.Settings) { s.Others = []crm.Account{{Login: "svc3"}} }, "others"},
		"KDC":               {func(s *crm.Settings) { s.KDC = strings.Replace(s.KDC, "dc.acme.example", "dc.evil.test", 1) }, everySecret},
		"ClientCertificate": {func(s *crm.Settings) { s.ClientCertificate = other }, "client_key search"},
		"ClientKey":         {func(s *crm.Settings) { s.ClientKey = strangeKey }, "search"}, // which does not fit
		"Domains":           {func(s *crm.Settings) { s.Domains = append(s.Domains[:1:1], "evil.test") }, "search"},
		"UserAgent":         {func(s *crm.Settings) { s.UserAgent = "Acme/2" }, noSecret},
		"Gzip":              {func(s *crm.Settings) { s.Gzip = true }, noSecret},
		"RootCAs":           {func(s *crm.Settings) { s.RootCAs += "\n" + other }, everySecret},
		"Saved":             {func(s *crm.Settings) { s.Saved = time.Unix(1, 0) }, noSecret},
	}
	fields := reflect.TypeFor[crm.Settings]()
	if fields.NumField() != len(decisions) {
		t.Errorf("%d fields, %d decisions", fields.NumField(), len(decisions))
	}
	for field := range fields.Fields() {
		d, decided := decisions[field.Name]
		if !decided {
			t.Errorf("%s: it is not decided whether kept secrets go further by it", field.Name)
			continue
		}
		s := kept.WithoutSecrets()
		d.change(&s)
		if got := again(both, s, kept); got != d.again {
			t.Errorf("%s: to be typed again are %q, want %q", field.Name, got, d.again)
		}
	}
}

// again tells which of the secrets that are kept s cannot have.
func again(c crm.Connector, s, kept crm.Settings) string {
	var list []string
	checked, wrong := s.Check(c, kept)
	for _, w := range wrong {
		if w.Field == "password" || w.Field == "others" || w.Field == "client_key" {
			list = append(list, w.Field)
		}
	}
	for _, used := range []struct {
		field       string
		secret, was crm.Secret
	}{{"password", checked.Password, kept.Password}, {"others", secretOf(checked.Others), secretOf(kept.Others)}, {"client_key", checked.ClientKey, kept.ClientKey}} {
		if slices.Contains(list, used.field) && used.secret.Equal(used.was) {
			list = append(list, used.field+" is used all the same")
		}
	}
	s.Enabled = false // when less is asked for
	if checked, _ := s.Check(c, kept); slices.Contains(list, "password") && checked.Password.Equal(kept.Password) {
		list = append(list, "password is used once collecting is switched off")
	}
	if s.Further(kept) != "" {
		list = append(list, "sign-ins")
	}
	if look, wrong := s.CheckSearch(c, kept, ""); len(wrong) > 0 {
		list = append(list, "search")
	} else if look.Password.Empty() && look.Keytab.Empty() {
		list = append(list, "search has nothing, and nothing is said")
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func secretOf(list []crm.Account) crm.Secret {
	if len(list) == 0 {
		return crm.Secret{}
	}
	return list[0].Password
}

// TestSchemesThatShowMore: what a server learns of a kept password may become less, not more.
func TestSchemesThatShowMore(t *testing.T) {
	order := []crm.Scheme{crm.ClientTLS, crm.Kerberos, crm.NTLM, crm.AnyScheme}
	for i, was := range order {
		for j, is := range order {
			if further := (crm.Settings{Scheme: is}).Further(crm.Settings{Scheme: was}) != ""; further != (j > i) {
				t.Errorf("%q → %q: further %v", was, is, further)
			}
		}
	}
	for _, s := range crm.Schemes {
		if (crm.Settings{Scheme: s}).Further(crm.Settings{Scheme: crm.Basic}) != "" || s != crm.Basic && s != crm.AnyScheme && (crm.Settings{Scheme: crm.Basic}).Further(crm.Settings{Scheme: s}) == "" {
			t.Errorf("%q against Basic, which shows the password", s)
		}
	}
}

// TestAuthoritiesThatAreKnown: one fewer, or the same otherwise written, vouches for nobody else.
func TestAuthoritiesThatAreKnown(t *testing.T) {
	one, _ := clientPair(t, "one")
	two, _ := clientPair(t, "two")
	kept := crm.Settings{RootCAs: one + two}
	for about, c := range map[string]struct {
		text    string
		further bool
	}{
		"none": {"", false}, "one fewer": {one, false}, "turned round": {two + one, false}, "with a remark": {"# ours\r\n" + strings.ReplaceAll(one, "\n", "\r\n"), false},
		"another": {"", true},
	} {
		if c.further {
			c.text, _ = clientPair(t, "one") // by its name only
		}
		if got := (crm.Settings{RootCAs: c.text}).Further(kept) != ""; got != c.further {
			t.Errorf("%s: further %v", about, got)
		}
	}
}

// TestKeytabsAreTypedAgain: it says so of the keytab where that is what is kept.
func TestKeytabsAreTypedAgain(t *testing.T) {
	kept := whole()
	kept.Scheme, kept.KDC, kept.Login, kept.Password = crm.Kerberos, "[realms]", "svc@ACME.EXAMPLE", crm.Secret{}
	kept.Keytab = crm.NewSecret(base64.StdEncoding.EncodeToString([]byte{5, 2}))
	s := kept.WithoutSecrets()
	s.KDC = "[realms]\nkdc = evil.test"
	checked, wrong := s.Check(connector, kept)
	if len(wrong) != 1 || wrong[0].Field != "keytab" || wrong[0].Code != "required-again" || !checked.Keytab.Empty() {
		t.Errorf("%+v, %+v", wrong, checked)
	}
}

// TestSearchShowsKeptSecretsToNobodyNew: a host that is confirmed is one more, unless it is the
// server that they were saved with; accounts without a secret are left out of a search.
func TestSearchShowsKeptSecretsToNobodyNew(t *testing.T) {
	kept := whole()
	kept.Server, kept.Others = "https://Mail.acme.example/EWS/Exchange.asmx", []crm.Account{{Login: "svc2", Password: crm.NewSecret("kept-too")}}
	for about, c := range map[string]struct {
		confirmed string
		change    func(*crm.Settings)
		want      string // fields that are not right
		accounts  int    // in a search that may be made
	}{
		"as it was saved":         {"", func(*crm.Settings) {}, "", 2},
		"the server is confirmed": {"mail.acme.example", func(*crm.Settings) {}, "", 2},
		"another is":              {"mail.evil.test", func(*crm.Settings) {}, "password", 0},
		"another is, and typed":   {"mail.hoster.test", func(s *crm.Settings) { s.Password = crm.NewSecret("typed") }, "", 1},
		"no host":                 {"https://mail.acme.example", func(*crm.Settings) {}, "confirm", 0},
		"one domain of two":       {"", func(s *crm.Settings) { s.Domains = []string{"ACME.example", "evil.test"} }, "password", 0},
		"another domain, typed":   {"", func(s *crm.Settings) { s.Domains, s.Password = []string{"other.example"}, crm.NewSecret("typed") }, "", 1},
		"no domain":               {"", func(s *crm.Settings) { s.Domains = nil }, "domains", 0},
		"no login":                {"", func(s *crm.Settings) { s.Login = "" }, "", 1}, // what can be asked without one is asked
	} {
		s := kept.WithoutSecrets()
		c.change(&s)
		look, wrong := s.CheckSearch(connector, kept, c.confirmed)
		var fields []string
		for _, w := range wrong {
			fields = append(fields, w.Field)
		}
		if strings.Join(fields, " ") != c.want {
			t.Errorf("%s: %+v, want %q", about, wrong, c.want)
		}
		accounts := len(look.Others)
		if !look.Password.Empty() {
			accounts++
		}
		if len(wrong) == 0 && accounts != c.accounts {
			t.Errorf("%s: %d accounts, want %d", about, accounts, c.accounts)
		}
	}
}
