package ews

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"postern/crm"
)

// name opens the source, which judges the settings, and looks the host up.
func (c *check) name(ctx context.Context) (found, error) {
	src, err := open(c.Settings, c.Transport, c.tune...)
	if err != nil {
		return found{}, unopened(err)
	}
	c.src = src
	list, err := c.Transport.Resolve(ctx, src.host)
	if err != nil {
		return found{}, err
	}
	if len(list) == 0 {
		return found{detail: fmt.Sprintf("%s; the proxy looks the name up", src.client.url)}, nil
	}
	var shown []string
	for _, a := range list {
		shown = append(shown, a.String())
	}
	return found{detail: fmt.Sprintf("%s is %s", src.client.url, strings.Join(shown, ", "))}, nil
}

// connection opens one, and tells from which address it left.
func (c *check) connection(ctx context.Context) (found, error) {
	client := c.src.client
	start := time.Now()
	conn, err := client.cfg.Dial(ctx, "tcp", client.address())
	if err != nil {
		return found{}, err
	}
	defer conn.Close()
	return found{detail: fmt.Sprintf("from %s to %s in %s", hostPart(conn.LocalAddr()), conn.RemoteAddr(), ms(time.Since(start)))}, nil
}

func hostPart(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// soon is how long before a certificate ends it is time to renew it.
const soon = 30 * 24 * time.Hour

// certificate secures a connection, and tells by whose word and for how long.
func (c *check) certificate(ctx context.Context) (found, error) {
	client := c.src.client
	if client.url.Scheme != "https" {
		return found{detail: "without TLS, on this machine", skip: true}, nil
	}
	conn, err := client.cfg.Dial(ctx, "tcp", client.address())
	if err != nil {
		return found{}, err
	}
	defer conn.Close()
	secure := tls.Client(conn, client.tlsConfig())
	if err := secure.HandshakeContext(ctx); err != nil {
		return found{}, c.distrusted(fmt.Errorf("%w: %w", errHandshake, err))
	}
	state := secure.ConnectionState()
	leaf := state.PeerCertificates[0]
	left := leaf.NotAfter.Sub(client.now())
	by := leaf.Issuer.CommonName
	if len(state.VerifiedChains) > 0 {
		chain := state.VerifiedChains[0]
		by = chain[len(chain)-1].Subject.CommonName
	}
	got := found{detail: fmt.Sprintf("%s, for %s, good until %s (%d days), vouched for by %s", tls.VersionName(state.Version),
		strings.Join(names(leaf), ", "), leaf.NotAfter.UTC().Format(time.DateOnly), int(left.Hours()/24), by)}
	if left < soon {
		got.warn = c.fault("tls-expires-soon", fmt.Sprintf("The server's certificate ends on %s, in %d days.", leaf.NotAfter.UTC().Format(time.DateOnly), int(left.Hours()/24)),
			"Renew it on the server before that; Postern stops reading when it has ended.")
	}
	return got, nil
}

// distrusted says more of a certificate that was not believed: whom it is for, who vouches
// for it, when it ended.
func (c *check) distrusted(err error) error {
	f := c.src.fault(err, crm.OrgScope)
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name) && name.Certificate != nil:
		f.Message = fmt.Sprintf("The server's certificate is not for the name %s, but for %s.", c.src.host, strings.Join(names(name.Certificate), ", "))
	case errors.As(err, &authority) && authority.Cert != nil:
		f.Message = fmt.Sprintf("The server's certificate is signed by %q, an authority that is not trusted here: your company's own, or a firewall that reads along.", authority.Cert.Issuer.CommonName)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		f.Message = fmt.Sprintf("The server's certificate is good from %s until %s only; here it is %s.", invalid.Cert.NotBefore.UTC().Format(time.DateOnly),
			invalid.Cert.NotAfter.UTC().Format(time.DateOnly), c.src.client.now().UTC().Format(time.DateOnly))
	}
	return f
}

// names that a certificate is for, a few of them.
func names(cert *x509.Certificate) []string {
	list := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		list = append(list, ip.String())
	}
	if len(list) == 0 {
		list = []string{cert.Subject.CommonName}
	}
	if more := len(list) - 6; more > 0 {
		list = append(list[:6:6], fmt.Sprintf("%d more", more))
	}
	return list
}
