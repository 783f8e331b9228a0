package gate

import (
	"fmt"
	"net/netip"
	"slices"

	"postern/crm"
)

// never are addresses at which no mail server is, whatever the operator approved: the
// services in which clouds keep the credentials of their machines, and what is no address
// of a single host.
var never = prefixes(
	"0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "ff00::/8", // unspecified, multicast, broadcast
	"169.254.169.0/24", "169.254.170.0/24", // metadata of nearly all clouds, and of containers
	"100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32", // Alibaba, Oracle, Azure
	"fd00:ec2::/32", "fd20:ce::/32", // Amazon, Google
)

// special are addresses that belong to nobody in the public Internet, or that lead to others
// in disguise. The operator may approve ranges of them: an Exchange server on premises has
// a private address.
//
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
var special = prefixes(
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10", // private, loopback, link-local, shared
	"192.0.0.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", // protocols, documentation, benchmarking
	"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.175.48.0/24", "240.0.0.0/4", // AS112, AMT, 6to4 relays, reserved
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", // protocols and Teredo, documentation, 6to4, AS112
)

// global is where all public addresses of IPv6 are.
var global = netip.MustParsePrefix("2000::/3")

// nat64 is how a network without IPv4 names public addresses of IPv4.
//
// https://www.rfc-editor.org/rfc/rfc6052
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range list {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func within(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// meant is the address that another one stands for.
func meant(a netip.Addr) netip.Addr {
	if nat64.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

// public tells whether an address is one of the public Internet.
func public(a netip.Addr) bool {
	a = meant(a)
	return !within(never, a) && !within(special, a) && (a.Is4() || global.Contains(a))
}

// checkAddress says whether a connection may lead to an address, which is not one of IPv4
// written as IPv6. named tells that the settings themselves hold the address, not a name.
func checkAddress(host string, a netip.Addr, d crm.Deployment, named bool) error {
	approved := within(d.Ranges, a)
	onPremises := d.Mode == crm.OnPremises && !named
	switch {
	case within(never, meant(a)), a.Zone() != "":
		return notAllowed(host, a, "which is no address of a mail server", "Check what the name service answers for this name: the address cannot be approved.")
	case approved, public(a) && !onPremises:
		return nil
	case public(a):
		return notAllowed(host, a, "which is outside of the ranges that this installation may reach", approve(a))
	}
	return notAllowed(host, a, "which is private or reserved, and nobody approved it", approve(a))
}

func approve(a netip.Addr) string {
	return fmt.Sprintf("If the server is meant, whoever operates this installation approves its range: postern deployment --allow-range %s.", netip.PrefixFrom(a, a.BitLen()))
}

func notAllowed(host string, a netip.Addr, why, advice string) error {
	where := fmt.Sprintf("%s leads to the address %s", host, a)
	if host == a.String() {
		where = "The connection would lead to the address " + host
	}
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "address-not-allowed", Message: where + ", " + why + ".", Advice: advice}
}
