package gate

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"postern/crm"
)

// A destination is a host and a port that connections may lead to.
type destination struct {
	host string // as canonical has it
	port uint16
}

// The ports of HTTP. The plain one is for the one question of autodiscover that carries no
// credentials, and for a test server on the machine itself.
const (
	httpPort  = 80
	httpsPort = 443
)

// server is the destination that the settings name.
func server(s crm.Settings) (destination, error) {
	text := strings.TrimSpace(s.Server)
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.User != nil {
		return destination{}, malformed(s.Server)
	}
	host, err := canonical(u.Hostname())
	if err != nil {
		return destination{}, err
	}
	d := destination{host, map[string]uint16{"http": httpPort, "https": httpsPort}[u.Scheme]}
	if u.Port() != "" {
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			return destination{}, malformed(s.Server)
		}
		d.port = uint16(n)
	}
	return d, nil
}

// parse reads the host:port that a connector asks for.
func parse(address string) (destination, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return destination{}, malformed(address)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return destination{}, malformed(address)
	}
	host, err = canonical(host)
	return destination{host, uint16(n)}, err
}

// canonical is the one form of a host: lower case, A-labels, without the dot at the end; an
// address as netip writes it. What other programs read as an address in disguise, such as
// 2130706433, 0x7f.1 or 127.1, is no host at all, nor is an address with a zone.
func canonical(host string) (string, error) {
	host = strings.TrimSuffix(host, ".")
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return "", malformed(host)
		}
		return a.Unmap().String(), nil
	}
	if len(host) > 4*253 { // no name, however it is written
		return "", malformed(host[:253])
	}
	name, err := idna.Lookup.ToASCII(host) // refuses blanks, control characters, @, /, %, and the like
	if err == nil {
		_, err = idna.Lookup.ToASCII(name) // what it makes of text that is not UTF-8 it does not take itself
	}
	if err != nil || name == "" || len(name) > 253 {
		return "", malformed(host)
	}
	labels := strings.Split(name, ".")
	if slices.Contains(labels, "") || numeric(labels[len(labels)-1]) {
		return "", malformed(host)
	}
	return name, nil
}

// numeric tells whether the last label of a name makes an address of the name, for those who
// read it as the URL standard does.
//
// https://url.spec.whatwg.org/#ends-in-a-number-checker
func numeric(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

func malformed(host string) error {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "host-malformed",
		Message: fmt.Sprintf("%q is not the name of a server.", host), Advice: "Write the name as it stands in the server's certificate, for example mail.example.com."}
}

func notGranted(d destination) error {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "host-not-granted",
		Message: fmt.Sprintf("No connection may be opened to %s, port %d: it is not the server of the settings.", d.host, d.port),
		Advice:  "If this server is yours, enter it in the Email settings."}
}

// below tells whether a host is a domain or lies in it.
func below(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}
