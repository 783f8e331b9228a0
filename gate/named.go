package gate

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Named is the way to one destination that whoever operates the installation named at its
// start: a mail server that takes word for the security contacts, a sink of the audit log. Nothing
// of a mailbox goes there, and no page and no answer of a server moves it. Naming it approves
// private addresses behind it, in all modes; the services that keep the credentials of clouds
// stay out of reach. It has no part in the addresses, the proxy and the policy of an organization.
type Named struct {
	machine Machine
	to      destination
}

// To returns the way to host:port. Anything else than a name or an address with a port is the
// fault "host-malformed".
func (m Machine) To(address string) (*Named, error) {
	to, err := parse(address)
	if err != nil {
		return nil, err
	}
	return &Named{m, to}, nil
}

// DialContext opens a connection to the destination, and to no other.
func (n *Named) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := parse(address)
	switch {
	case err != nil:
		return nil, err
	case network != "tcp":
		return nil, fmt.Errorf("no way over %s", network)
	case to != n.to:
		return nil, notGranted(to)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	list, err := n.lookup(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		var conn net.Conn
		if conn, err = n.machine.dial(ctx, netip.Addr{}, netip.AddrPortFrom(a, to.port)); err == nil || ctx.Err() != nil {
			return conn, err
		}
	}
	return nil, err
}

// lookup returns the addresses of the destination. They are dialled as they were checked.
func (n *Named) lookup(ctx context.Context) ([]netip.Addr, error) {
	list := []netip.Addr{}
	if a, err := netip.ParseAddr(n.to.host); err == nil {
		list = append(list, a)
	} else if list, err = n.machine.resolve(ctx, n.to.host); err != nil {
		return nil, err
	}
	for i, a := range list {
		if a = a.Unmap(); within(never, meant(a)) || a.Zone() != "" {
			return nil, notAllowed(n.to.host, a, "which is no address of a server", "Check what the name service answers for this name: the address cannot be approved.")
		}
		list[i] = a
	}
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: n.to.host, IsNotFound: true}
	}
	return slices.Compact(list), nil
}
