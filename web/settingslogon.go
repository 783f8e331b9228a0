package web

import (
	"net/url"

	"postern/crm"
)

// logOnData is the part of the form that says how mailboxes are opened. Of secrets it
// knows only whether there are any.
type logOnData struct {
	Models     []crm.AuthModel
	Schemes    []crm.Scheme
	Accounts   []accountRow // the further ones, with rows to type more into at the end
	KeytabSet  bool
	KeySet     bool // of the client certificate
	RetypeMore bool // secrets were typed here, which do not come back with the form
	OwnLogOn   bool // more is set than the one account and password
}

type accountRow struct {
	Login                  string
	PasswordSet, KeytabSet bool
}

const emptyAccounts = 2

func logOnOf(s, kept crm.Settings) logOnData {
	d := logOnData{
		Models: crm.AuthModels, Schemes: crm.Schemes, KeytabSet: !kept.Keytab.Empty(), KeySet: !kept.ClientKey.Empty(),
		OwnLogOn: s.Model != crm.ByImpersonation || s.Scheme != crm.AnyScheme || len(s.Others) > 0 || s.ClientCertificate != "" || s.KDC != "",
	}
	has := map[string]crm.Account{}
	for _, a := range kept.Others {
		has[a.Login] = a
	}
	for _, a := range s.Others {
		if a.Login != "" {
			d.Accounts = append(d.Accounts, accountRow{a.Login, !has[a.Login].Password.Empty(), !has[a.Login].Keytab.Empty()})
		}
	}
	d.Accounts = append(d.Accounts, make([]accountRow, emptyAccounts)...)
	return d
}

// readSettings reads what was typed into the form.
func readSettings(f url.Values) crm.Settings {
	secret := func(name string) crm.Secret { return crm.NewSecret(f.Get(name)) }
	s := crm.Settings{
		Enabled: f.Get("enabled") != "", Server: f.Get("server"), Version: f.Get("version"),
		Model: crm.AuthModel(f.Get("model")), Scheme: crm.Scheme(f.Get("scheme")),
		Login: f.Get("login"), Password: secret("password"), Keytab: secret("keytab"), KDC: f.Get("kdc"),
		ClientCertificate: f.Get("client_certificate"), ClientKey: secret("client_key"),
		Domains: f["domain"], UserAgent: f.Get("user_agent"), Gzip: f.Get("gzip") != "", RootCAs: f.Get("root_cas"),
	}
	at := func(name string, i int) string {
		if list := f[name]; i < len(list) {
			return list[i]
		}
		return ""
	}
	for i, login := range f["other_login"] {
		a := crm.Account{Login: login, Password: crm.NewSecret(at("other_password", i)), Keytab: crm.NewSecret(at("other_keytab", i))}
		if login != "" || !a.Password.Empty() || !a.Keytab.Empty() {
			s.Others = append(s.Others, a)
		}
	}
	return s
}

// secretsBeside tells whether a secret was typed beside the password.
func secretsBeside(s crm.Settings) bool {
	typed := !s.Keytab.Empty() || !s.ClientKey.Empty()
	for _, a := range s.Others {
		typed = typed || !a.Password.Empty() || !a.Keytab.Empty()
	}
	return typed
}

// settingsJSON is the connection as the API has it. Secrets go in only.
type settingsJSON struct {
	Enabled bool          `json:"enabled"`
	Server  string        `json:"server"`
	Version string        `json:"version"`
	Model   crm.AuthModel `json:"model"`
	Scheme  crm.Scheme    `json:"scheme"`
	accountJSON
	Others            []accountJSON `json:"others"`
	KDC               string        `json:"kdc"`
	ClientCertificate string        `json:"client_certificate"`
	ClientKey         string        `json:"client_key,omitempty"`
	ClientKeySet      bool          `json:"client_key_set"`
	Domains           []string      `json:"domains"`
	UserAgent         string        `json:"user_agent"`
	Gzip              bool          `json:"gzip"`
	RootCAs           string        `json:"root_cas"`
}

type accountJSON struct {
	Login       string `json:"login"`
	Password    string `json:"password,omitempty"`
	PasswordSet bool   `json:"password_set"`
	Keytab      string `json:"keytab,omitempty"`
	KeytabSet   bool   `json:"keytab_set"`
}

func accountToJSON(a crm.Account) accountJSON {
	return accountJSON{Login: a.Login, PasswordSet: !a.Password.Empty(), KeytabSet: !a.Keytab.Empty()}
}

func (j accountJSON) account() crm.Account {
	return crm.Account{Login: j.Login, Password: crm.NewSecret(j.Password), Keytab: crm.NewSecret(j.Keytab)}
}

func settingsToJSON(s crm.Settings) settingsJSON {
	j := settingsJSON{
		Enabled: s.Enabled, Server: s.Server, Version: s.Version, Model: s.Model, Scheme: s.Scheme,
		accountJSON: accountToJSON(crm.Account{Login: s.Login, Password: s.Password, Keytab: s.Keytab}), Others: []accountJSON{},
		KDC: s.KDC, ClientCertificate: s.ClientCertificate, ClientKeySet: !s.ClientKey.Empty(),
		Domains: append([]string{}, s.Domains...), UserAgent: s.UserAgent, Gzip: s.Gzip, RootCAs: s.RootCAs,
	}
	for _, a := range s.Others {
		j.Others = append(j.Others, accountToJSON(a))
	}
	return j
}

func (j settingsJSON) settings() crm.Settings {
	first := j.account()
	s := crm.Settings{
		Enabled: j.Enabled, Server: j.Server, Version: j.Version, Model: j.Model, Scheme: j.Scheme,
		Login: first.Login, Password: first.Password, Keytab: first.Keytab,
		KDC: j.KDC, ClientCertificate: j.ClientCertificate, ClientKey: crm.NewSecret(j.ClientKey),
		Domains: j.Domains, UserAgent: j.UserAgent, Gzip: j.Gzip, RootCAs: j.RootCAs,
	}
	for _, a := range j.Others {
		s.Others = append(s.Others, a.account())
	}
	return s
}
