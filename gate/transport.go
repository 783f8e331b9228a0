package gate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"slices"
	"strings"

	"postern/crm"
	"postern/mail"
)

// A transport is the way of one connection. It has the terms by which it was opened, and
// the gate says what of them still holds.
type transport struct {
	gate  *Gate
	era   int
	terms *Terms // by which it was opened
	trial *trial // nil: the gate's terms hold
	way   way
}

func (g *Gate) transport(t *Terms, era int) *transport {
	return &transport{gate: g, era: era, terms: t, way: g.way(t)}
}

// Admit asks the terms, then whether it can be written down, then the server's pace.
func (t *transport) Admit(ctx context.Context, r crm.Request) (func(*crm.Fault), error) {
	login, err := t.admit(r)
	if err != nil {
		return nil, err
	}
	return t.gate.Traffic(login, t.terms.Settings.Host()).Admit(ctx, r)
}

func (t *transport) admit(r crm.Request) (login string, err error) {
	if err := t.granted(r.Mailbox); err != nil {
		return "", err
	}
	if err := t.grantedAs(r); err != nil {
		return "", err
	}
	if err := t.gate.sends(r.Operation); err != nil {
		return "", err
	}
	if err := t.gate.Log.Ready(); err != nil {
		return "", &crm.Fault{Verdict: crm.Retry, Scope: crm.OrgScope, Code: "access-log-unwritable", Err: err,
			Message: "The access log cannot be written, so nothing is asked of Exchange.", Advice: "Free space for the data folder, or bring the database back; it goes on by itself then."}
	}
	return t.account(r.Mailbox).Login, nil
}

// sends says whether an operation is one of those that may leave at all.
func (g *Gate) sends(operation string) error {
	if g.Operations == nil || slices.ContainsFunc(g.Operations, func(o crm.Operation) bool { return o.Name == operation }) {
		return nil
	}
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "operation-not-allowed",
		Message: "The operation " + operation + " is none of those that Postern sends to Exchange.", Advice: "This is a mistake in the program; please report it."}
}

// granted says whether requests for a mailbox may leave. One that is for none is the
// connection's own, as a log-on.
func (t *transport) granted(box mail.Address) error {
	t.gate.mu.RLock()
	defer t.gate.mu.RUnlock()
	if t.era != t.gate.era {
		return connectionChanged()
	}
	if t.trial != nil {
		return t.trial.allows(box, &t.gate.terms)
	}
	if box == "" {
		return t.gate.terms.enabled()
	}
	return t.gate.terms.allow(box)
}

// grantedAs says whether a mailbox may be asked for by the primary address that Exchange
// told. One that a test names to be refused may have any.
func (t *transport) grantedAs(r crm.Request) error {
	if t.trial != nil && !t.trial.granted(r.Mailbox) {
		return nil
	}
	t.gate.mu.RLock()
	defer t.gate.mu.RUnlock()
	return t.gate.terms.allowPrimary(r.Primary)
}

// Dial implements crm.Transport.
func (t *transport) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := t.granted(""); err != nil {
		return nil, err
	}
	return t.way.dial(ctx, network, address)
}

// Resolve implements crm.Transport.
func (t *transport) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return t.way.resolve(ctx, host)
}

// Services looks up the SRV records of a domain, for a connector that finds its server by them.
func (t *transport) Services(ctx context.Context, service, proto, domain string) ([]*net.SRV, error) {
	return t.way.services(ctx, service, proto, domain)
}

// TLS implements crm.Transport. Settings whose certificates cannot be read are refused
// when they are saved; should they be there all the same, nothing is trusted.
func (t *transport) TLS(host string) *tls.Config {
	s := &t.terms.Settings
	cfg := &tls.Config{ServerName: strings.TrimSuffix(host, "."), MinVersion: tls.VersionTLS12, Time: t.gate.Machine.Now}
	if s.RootCAs != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM([]byte(s.RootCAs)) {
			pool = x509.NewCertPool()
		}
		cfg.RootCAs = pool
	}
	if s.ClientCertificate != "" {
		if cert, err := tls.X509KeyPair([]byte(s.ClientCertificate), []byte(s.ClientKey.Reveal())); err == nil {
			cfg.Certificates = []tls.Certificate{cert}
		}
	}
	return cfg
}

// UserAgent implements crm.Transport.
func (t *transport) UserAgent() string {
	if t.trial != nil {
		return t.trial.userAgent
	}
	t.gate.mu.RLock()
	defer t.gate.mu.RUnlock()
	return t.gate.terms.Settings.UserAgent
}

// Account implements crm.Transport.
func (t *transport) Account(box mail.Address) (crm.Account, error) {
	if err := t.granted(box); err != nil {
		return crm.Account{}, err
	}
	return t.account(box), nil
}

// account is the one of this moment: a user may have signed in anew.
func (t *transport) account(box mail.Address) crm.Account {
	if t.trial != nil {
		return t.terms.account(box)
	}
	t.gate.mu.RLock()
	defer t.gate.mu.RUnlock()
	return t.gate.terms.account(box)
}

// Record implements crm.Transport.
func (t *transport) Record(a crm.Access) {
	a.Test = t.trial != nil
	t.gate.Log.Record(a)
}
