package ews

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"

	"postern/crm"
	"postern/mail"
)

// direct is a transport without a gate.
type direct struct {
	crm.Traffic
	settings crm.Settings
}

func (direct) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

func (direct) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

func (d direct) TLS(string) *tls.Config {
	cfg := new(tls.Config)
	if d.settings.RootCAs != "" {
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AppendCertsFromPEM([]byte(d.settings.RootCAs))
	}
	return cfg
}

func (d direct) UserAgent() string { return d.settings.UserAgent }

func (d direct) Account(mail.Address) (crm.Account, error) {
	return crm.Account{Login: d.settings.Login, Password: d.settings.Password, Keytab: d.settings.Keytab}, nil
}

func (direct) Record(crm.Access) {}

// named is a User-Agent that does not change.
func named(s string) func() string { return func() string { return s } }

// dialer is the way to the network of clients under test.
var dialer = new(net.Dialer).DialContext
