package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/publicsuffix"

	"postern/crm"
)

// A way is how connections of one organization leave: to which hosts, to which addresses
// behind their names, from which addresses of ours. It holds for the terms that it was made
// of.
type way struct {
	machine Machine
	terms   *Terms
	owned   []string                      // domains whose hosts may be asked as well, to find the server
	tls     func(host string) *tls.Config // of the proxy
	turn    *atomic.Uint32
}

// connectTime is how long a connection may take until it can be used, with all of its tries.
const connectTime = 20 * time.Second

// way leads to the server of the settings alone.
func (g *Gate) way(t *Terms) way {
	return way{machine: g.Machine, terms: t, tls: (&transport{gate: g, terms: t}).TLS, turn: new(atomic.Uint32)}
}

// anyWay leads to any host of those who own the domains whose mailboxes are read as well, at
// the ports of HTTP. To a host elsewhere no answer of autodiscover leads: an administrator
// does, by entering it as the server. On premises that is the only way.
func (g *Gate) anyWay(t *Terms) way {
	w := g.way(t)
	if t.Deployment.Mode == crm.OnPremises {
		return w
	}
	for _, domain := range slices.Concat(t.Policy.Domains, t.Settings.Domains) {
		if owned, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
			domain = owned
		}
		w.owned = append(w.owned, domain)
	}
	return w
}

// granted says whether connections may lead there, and whether it is the very server that
// the settings name.
func (w way) granted(d destination) (named bool, err error) {
	own, err := server(w.terms.Settings)
	named = err == nil && own.host == d.host
	switch {
	case w.isKDC(d):
		return true, nil
	case named && own.port == d.port, w.owns(d.host) && (d.port == httpsPort || d.port == httpPort):
		return named, nil
	case err != nil && len(w.owned) == 0:
		return false, err
	}
	return false, notGranted(d)
}

// isKDC tells whether it is one of the Kerberos servers that the settings name.
func (w way) isKDC(d destination) bool {
	return slices.ContainsFunc(w.terms.Settings.KDCs(), func(text string) bool {
		if _, _, err := net.SplitHostPort(text); err != nil {
			text = net.JoinHostPort(text, "88")
		}
		kdc, err := parse(text)
		return err == nil && kdc == d
	})
}

// owns tells whether a host is in one of the domains that may be searched.
func (w way) owns(host string) bool {
	return slices.ContainsFunc(w.owned, func(domain string) bool { return below(host, domain) })
}

// dial opens a connection to host:port, by the proxy if there is one.
func (w way) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" {
		return nil, fmt.Errorf("no way over %s", network)
	}
	to, err := parse(address)
	if err != nil {
		return nil, err
	}
	named, err := w.granted(to)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	if w.terms.Egress.Proxy != "" {
		if a, err := netip.ParseAddr(to.host); err == nil {
			if err := checkAddress(to.host, a, w.terms.Deployment, named); err != nil {
				return nil, err
			}
		}
		return w.byProxy(ctx, to)
	}
	return w.connect(ctx, to, named)
}

// connect opens a connection by ourselves. The addresses that were checked are those that are
// dialled: the name is not looked up a second time.
func (w way) connect(ctx context.Context, to destination, named bool) (net.Conn, error) {
	list, err := w.lookup(ctx, to.host, named)
	if err != nil {
		return nil, err
	}
	var first error
	for i, a := range list {
		conn, err := w.reach(ctx, netip.AddrPortFrom(a, to.port), len(list)-i)
		if err == nil {
			return conn, nil
		}
		if first == nil || noSource(first) {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// reach dials one address, and leaves time for those after it.
func (w way) reach(ctx context.Context, to netip.AddrPort, left int) (net.Conn, error) {
	from, until, err := w.source(to.Addr())
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	conn, err := w.machine.dial(ctx, from, to)
	switch {
	case err != nil && notOurs(err):
		return nil, sourceMissing([]netip.Addr{from})
	case err != nil || until.IsZero():
		return conn, err
	}
	// From then on the address is not ours to use, whatever is under way.
	expiring := &expiring{Conn: conn}
	expiring.timer = time.AfterFunc(until.Sub(w.machine.now()), func() { conn.Close() })
	return expiring, nil
}

// notOurs tells whether the system refused to let a connection leave from an address.
func notOurs(err error) bool {
	call, ok := errors.AsType[*os.SyscallError](err)
	return ok && call.Syscall == "bind" && errors.Is(err, syscall.EADDRNOTAVAIL)
}

// An expiring connection closes when the time of its address is over.
type expiring struct {
	net.Conn
	timer *time.Timer
}

func (c *expiring) Close() error {
	c.timer.Stop()
	return c.Conn.Close()
}

// resolve looks a host up as dial does. What is returned beside a fault is what the name
// service said. A proxy looks names up by itself: there is nothing to return then.
func (w way) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	host, err := canonical(host)
	if err != nil {
		return nil, err
	}
	port := uint16(httpsPort)
	if own, err := server(w.terms.Settings); err == nil && own.host == host {
		port = own.port
	}
	named, err := w.granted(destination{host, port})
	if err != nil {
		return nil, err
	}
	if w.terms.Egress.Proxy != "" {
		return nil, nil
	}
	return w.lookup(ctx, host, named)
}

// services looks up a domain's records of a service, where that domain may be searched. What
// they name is a host like any other. Behind a proxy nobody is asked.
func (w way) services(ctx context.Context, service, proto, domain string) ([]*net.SRV, error) {
	domain, err := canonical(domain)
	if err != nil {
		return nil, err
	}
	if !w.owns(domain) {
		return nil, notGranted(destination{domain, httpsPort})
	}
	if w.terms.Egress.Proxy != "" {
		return nil, nil
	}
	return w.machine.services(ctx, service, proto, domain)
}

// lookup returns the addresses of a host when a connection may lead to every one of them. One
// that may not spoils them all: who mixes bad answers with good ones is not to be trusted.
func (w way) lookup(ctx context.Context, host string, named bool) ([]netip.Addr, error) {
	list := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, checkAddress(host, a, w.terms.Deployment, named)
	}
	found, err := w.machine.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range found {
		if a = a.Unmap(); !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	for _, a := range list {
		if err := checkAddress(host, a, w.terms.Deployment, false); err != nil {
			return list, err
		}
	}
	return list, nil
}

// source chooses the address that a connection leaves from, in turn among those of the pool
// that hold at this moment, are of the target's family and are on this machine, and tells until
// when it holds. With an empty pool any will do; with another there is no other.
func (w way) source(to netip.Addr) (from netip.Addr, until time.Time, err error) {
	pool := w.terms.Egress.Addresses
	if len(pool) == 0 {
		return netip.Addr{}, time.Time{}, nil
	}
	now := w.machine.now()
	var ours []crm.EgressAddress
	var missing []netip.Addr
	for _, e := range pool {
		if !e.InUse(now) || e.Local.Is4() != to.Is4() {
			continue
		}
		has, err := w.machine.Has(e.Local)
		if err != nil {
			return netip.Addr{}, time.Time{}, err
		}
		if has {
			ours = append(ours, e)
		} else {
			missing = append(missing, e.Local)
		}
	}
	switch {
	case len(ours) > 0:
		e := ours[int(w.turn.Add(1)-1)%len(ours)]
		return e.Local, e.Until, nil
	case len(missing) > 0:
		return netip.Addr{}, time.Time{}, sourceMissing(missing)
	}
	return netip.Addr{}, time.Time{}, noSourceFor(to)
}

// noSource tells whether an error says that there is no address of ours to leave from.
func noSource(err error) bool {
	f, ok := errors.AsType[*crm.Fault](err)
	return ok && f.Code == "no-source-address"
}

func sourceMissing(list []netip.Addr) error {
	return &crm.Fault{Verdict: crm.Retry, Scope: crm.OrgScope, Code: "source-address-missing",
		Message: fmt.Sprintf("Requests are to leave from %s, which this machine does not have; they leave from no other.", names(list)),
		Advice:  "Give the address to this machine again, or take it off the list of addresses; it goes on by itself then."}
}

func noSourceFor(to netip.Addr) error {
	family := "IPv6"
	if to.Is4() {
		family = "IPv4"
	}
	return &crm.Fault{Verdict: crm.Retry, Scope: crm.OrgScope, Code: "no-source-address",
		Message: fmt.Sprintf("The server's address %s is one of %s, and the list of addresses that requests leave from holds none of that kind for now.", to, family),
		Advice:  "Add an address of that kind, or one whose time has come; it goes on by itself then."}
}

// names says addresses to people.
func names(list []netip.Addr) string {
	text := list[0].String()
	for _, a := range list[1:] {
		text += " or " + a.String()
	}
	return text
}
