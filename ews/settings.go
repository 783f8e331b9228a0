package ews

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"slices"

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
// open a source and how to test settings. observe, when not nil, is told of every HTTP
// request. tune changes what the settings do not say, such as Config.Dial.
func Connector(observe func(Call), tune ...func(*Config)) crm.Connector {
	c := crm.Connector{
		Name: "ews", Title: "Microsoft Exchange",
		Source: func(s crm.Settings, traffic crm.Traffic) (crm.Source, error) {
			src, err := open(s, traffic, observe, tune...)
			if err != nil {
				return nil, unopened(err)
			}
			return src, nil
		},
	}
	for _, v := range versions {
		if v.name != versionOnline { // takes no password any more, so it is not to be chosen here
			c.Versions = append(c.Versions, crm.Version{Name: v.name, Title: v.title})
		}
	}
	c.Check = func(ctx context.Context, s crm.Settings, boxes []mail.Address, tell func(crm.Finding)) {
		(&check{settings: s, observe: observe, tune: tune, tell: tell}).run(ctx, boxes)
	}
	return c
}

// ErrRootCAs says that a list of certificate authorities holds no certificate.
var ErrRootCAs = errors.New("the certificate authorities are not in PEM form: paste the text from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----")

// unopened is the fault of settings that no source can be made of.
func unopened(err error) *crm.Fault {
	f := &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "server-malformed", Err: err,
		Message: "The server is neither a host name nor the address of an EWS endpoint.",
		Advice:  "Write the host name, for example mail.example.com, or https://HOST/EWS/Exchange.asmx."}
	if errors.Is(err, ErrRootCAs) {
		f.Code, f.Message, f.Advice = "root-cas-malformed", "The certificate authorities cannot be read.", ErrRootCAs.Error()+"."
	}
	return f
}

// config turns settings into a client's.
func config(s crm.Settings, observe func(Call)) (Config, error) {
	cfg := Config{
		URL: s.Server, Login: s.Login, Password: s.Password.Reveal,
		UserAgent: cmp.Or(s.UserAgent, "Postern"), Gzip: s.Gzip, Observe: observe,
	}
	if i := versionIndex(s.Version); i >= 0 {
		cfg.Version = versions[i].schema
	}
	if s.RootCAs != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM([]byte(s.RootCAs)) {
			return cfg, ErrRootCAs
		}
		cfg.RootCAs = pool
	}
	return cfg, nil
}
