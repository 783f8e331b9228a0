package gate

import (
	"context"
	"net"
	"net/netip"
)

// A way is how connections of one organization leave.
type way struct{ machine Machine }

// way leads to the server of the settings alone.
func (g *Gate) way(*Terms) way { return way{g.Machine} }

// anyWay leads to any host that the rules of addresses let through.
func (g *Gate) anyWay(*Terms) way { return way{g.Machine} }

func (w way) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if w.machine.Dial != nil {
		return w.machine.Dial(ctx, netip.Addr{}, netip.AddrPort{})
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

func (w way) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
