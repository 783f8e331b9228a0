package gate

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"
)

// A Machine is the host that the program runs on. The zero value is the real one; tests
// put another in its place.
type Machine struct {
	Resolve   func(ctx context.Context, host string) ([]netip.Addr, error)
	Services  func(ctx context.Context, service, proto, domain string) ([]*net.SRV, error)
	Dial      func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) // from is invalid when any will do
	Addresses func() ([]netip.Addr, error)                                                    // its own
	Now       func() time.Time
}

func (m Machine) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if m.Resolve != nil {
		return m.Resolve(ctx, host)
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

func (m Machine) services(ctx context.Context, service, proto, domain string) ([]*net.SRV, error) {
	if m.Services != nil {
		return m.Services(ctx, service, proto, domain)
	}
	_, list, err := net.DefaultResolver.LookupSRV(ctx, service, proto, domain)
	return list, err
}

// dial asks no name service and no proxy of the environment: what it is given is where it
// goes.
func (m Machine) dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	if m.Dial != nil {
		return m.Dial(ctx, from, to)
	}
	var d net.Dialer
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d.DialContext(ctx, "tcp", to.String())
}

func (m Machine) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

// Has tells whether an address is one of this machine's at this moment. A machine that has
// 127.0.0.1 has all of 127.0.0.0/8, although its interface names but one.
func (m Machine) Has(a netip.Addr) (bool, error) {
	list := m.Addresses
	if list == nil {
		list = ownAddresses
	}
	own, err := list()
	if err != nil {
		return false, err
	}
	a = a.Unmap()
	same := func(b netip.Addr) bool {
		return a == b.Unmap() || a.Is4() && a.IsLoopback() && b.IsLoopback() && b.Unmap().Is4()
	}
	return slices.ContainsFunc(own, same), nil
}

func ownAddresses() ([]netip.Addr, error) {
	nets, err := net.InterfaceAddrs()
	var list []netip.Addr
	for _, n := range nets {
		if n, ok := n.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok {
				list = append(list, a.Unmap())
			}
		}
	}
	return list, err
}
