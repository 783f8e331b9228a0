package ews

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
)

// Names of versions that advice depends on.
const (
	version2007   = "Exchange2007_SP1"
	versionOnline = "ExchangeOnline"
)

// versions that there are, oldest first, with the newest schema that each one takes.
var versions = []struct{ name, title, schema string }{
	{version2007, "Exchange 2007 SP1 or later", Exchange2007SP1},
	{"Exchange2010", "Exchange 2010", Exchange2010},
	{"Exchange2010_SP1", "Exchange 2010 SP1", Exchange2010SP1},
	{"Exchange2010_SP2", "Exchange 2010 SP2 or SP3", Exchange2010SP2},
	{"Exchange2013", "Exchange 2013", Exchange2013},
	{"Exchange2013_SP1", "Exchange 2013 SP1 or later", Exchange2013SP1},
	{"Exchange2016", "Exchange 2016", Exchange2013SP1},
	{"Exchange2019", "Exchange 2019", Exchange2013SP1},
	{"ExchangeSE", "Exchange Server Subscription Edition", Exchange2013SP1},
	{versionOnline, "Exchange Online", Exchange2013SP1},
}

func versionIndex(name string) int {
	return slices.IndexFunc(versions, func(v struct{ name, title, schema string }) bool { return v.name == name })
}

// Connector is what there is to know of Exchange before connecting: its versions, how to
// open a source and how to test settings. tune changes what the settings do not say, such
// as Config.Now.
func Connector(tune ...func(*Config)) crm.Connector {
	c := crm.Connector{
		Name: "ews", Title: "Microsoft Exchange", Operations: slices.Clone(operations), Vet: vet,
		Source: func(s crm.Settings, transport crm.Transport) (crm.Source, error) {
			src, err := open(s, transport, tune...)
			if err != nil {
				return nil, unopened(err)
			}
			return src, nil
		},
	}
	for _, v := range versions {
		c.ScriptVersions = append(c.ScriptVersions, crm.Version{Name: v.name, Title: v.title})
		if v.name != versionOnline { // takes no password any more, so it is not to be chosen here
			c.Versions = append(c.Versions, crm.Version{Name: v.name, Title: v.title})
		}
	}
	c.Discover = discover
	c.Check = func(ctx context.Context, t crm.Trial, tell func(crm.Finding)) {
		(&check{Trial: t, tune: tune, tell: tell, patience: stepTimeout}).run(ctx)
	}
	c.Scripts = scripts
	return c
}

// unopened is the fault of settings that no source can be made of.
func unopened(err error) *crm.Fault {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "server-malformed", Err: err,
		Message: "The server is neither a host name nor the address of an EWS endpoint.",
		Advice:  "Write the host name, for example mail.example.com, or https://HOST/EWS/Exchange.asmx."}
}

// config turns settings, the way to the server and an account into a client's.
func config(s crm.Settings, transport crm.Transport, a crm.Account) Config {
	secret := a.Password
	if s.Scheme == crm.Kerberos && !a.Keytab.Empty() { // no server is shown it as a password
		secret = a.Keytab
	}
	cfg := Config{
		URL: s.Server, Login: a.Login, Password: secret.Reveal, Scheme: schemeOf[s.Scheme], Delegate: s.Model != crm.ByImpersonation,
		Gzip: s.Gzip, MaxConns: maxConns, Dial: transport.Dial, UserAgent: transport.UserAgent,
		Observe: func(c Call) { transport.Record(access(s, a.Login, c)) },
	}
	host := ""
	if u, err := Endpoint(s.Server); err == nil {
		host = u.Hostname()
		cfg.TLS = transport.TLS(host)
	}
	if cfg.Scheme == Kerberos {
		cfg.Ticket = tickets(s, transport, a, host)
	}
	if i := versionIndex(s.Version); i >= 0 {
		cfg.Version = versions[i].schema
	}
	return cfg
}

// tickets returns what gets the tickets for requests to a host.
func tickets(s crm.Settings, transport crm.Transport, a crm.Account, host string) func(context.Context, *x509.Certificate) ([]byte, error) {
	t, err := NewTickets(Realm{Config: s.KDC, Login: a.Login, Password: a.Password.Reveal(), Keytab: a.Keytab.Reveal(),
		Host: strings.ToLower(host), Dial: transport.Dial, Now: time.Now})
	if err != nil {
		return func(context.Context, *x509.Certificate) ([]byte, error) { return nil, err }
	}
	return t.Token
}

// vet says what is wrong with the Kerberos settings.
func vet(s crm.Settings) []crm.FieldError {
	if s.Scheme != crm.Kerberos || s.Login == "" {
		return nil
	}
	var wrong []crm.FieldError
	for _, a := range append([]crm.Account{{Login: s.Login, Password: s.Password, Keytab: s.Keytab}}, s.Others...) {
		r := Realm{Config: s.KDC, Login: a.Login}
		if _, err := NewTickets(r); err != nil {
			return append(wrong, crm.FieldError{Field: "kdc", Code: "malformed",
				Message: fmt.Sprintf("This names no server of the realm of %s: write it as in krb5.conf, with a line “kdc = HOST” in the realm.", a.Login)})
		}
		if r.Keytab = a.Keytab.Reveal(); r.Keytab == "" {
			continue
		}
		if _, err := NewTickets(r); err != nil {
			wrong = append(wrong, crm.FieldError{Field: "keytab", Code: "malformed", Message: fmt.Sprintf("The keytab of %s cannot be read.", a.Login)})
		}
	}
	return wrong
}

// schemeOf has the schemes by the words of settings.
var schemeOf = map[crm.Scheme]Scheme{
	crm.AnyScheme: AnyScheme, crm.NTLM: NTLM, crm.Basic: Basic, crm.Kerberos: Kerberos, crm.ClientTLS: Certificate,
}

// access is a request in the words of the access log.
func access(s crm.Settings, login string, c Call) crm.Access {
	if c.Err != nil && c.Code == "" {
		c.Code = judge{version: s.Version}.fault(c.Err, crm.MailboxScope).Code
	}
	return crm.Access{
		At: c.Start, Took: c.Took, Mailbox: mail.Address(c.Mailbox), Operation: c.Operation, Folder: c.Folder, Items: c.Items,
		Sent: c.Sent, Received: c.Received, UserAgent: c.UserAgent, Source: c.Source, Host: s.Host(), Account: login,
		RequestID: c.RequestID, ServerRequestID: c.ServerRequestID, Status: c.Status, Code: c.Code, Hanging: c.Hanging,
	}
}
