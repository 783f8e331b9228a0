package crm

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// maxEgress bounds the pool; firewalls are told of each.
const maxEgress = 64

// InUse tells whether requests may leave from the address.
func (a EgressAddress) InUse(now time.Time) bool { return !a.Planned(now) && !a.Past(now) }

// Planned tells whether the time of the address is yet to come.
func (a EgressAddress) Planned(now time.Time) bool { return now.Before(a.From) }

// Past tells whether the time of the address is over.
func (a EgressAddress) Past(now time.Time) bool { return !a.Until.IsZero() && !now.Before(a.Until) }

// Seen is the address as others see it. Behind a proxy that is the proxy's, and none is known
// unless it was entered as the public one.
func (e Egress) Seen(a EgressAddress) (seen netip.Addr, known bool) {
	if a.Public.IsValid() {
		return a.Public, true
	}
	return a.Local, e.Proxy == ""
}

// Check returns the egress as it is to be saved, or what is wrong with each field. An empty
// password keeps the one in kept, unless proxy or login changed: it was not given for another.
func (e Egress) Check(kept Egress) (Egress, []FieldError) {
	var errs []FieldError
	wrong := func(field, code, format string, args ...any) {
		errs = append(errs, FieldError{field, code, fmt.Sprintf(format, args...)})
	}
	e.Proxy, e.ProxyLogin = strings.TrimSpace(e.Proxy), strings.TrimSpace(e.ProxyLogin)
	addresses := make([]EgressAddress, 0, len(e.Addresses))
	taken := map[netip.Addr]bool{}
	for _, a := range e.Addresses {
		a.Local, a.Public = a.Local.Unmap(), a.Public.Unmap()
		switch {
		case !usable(a.Local):
			wrong("addresses", "malformed", "%s is not an address that requests can leave from.", a.Local)
		case taken[a.Local]:
			wrong("addresses", "twice", "%s is there twice.", a.Local)
		case a.Public.IsValid() && (!usable(a.Public) || a.Public.Is4() != a.Local.Is4()):
			wrong("addresses", "malformed", "%s cannot be how others see %s: give an address of the same kind.", a.Public, a.Local)
		case !a.Until.IsZero() && !a.From.Before(a.Until):
			wrong("addresses", "malformed", "%s would end before it begins.", a.Local)
		}
		if a.Public == a.Local {
			a.Public = netip.Addr{}
		}
		taken[a.Local] = true
		addresses = append(addresses, a)
	}
	if e.Addresses = addresses; len(addresses) > maxEgress {
		wrong("addresses", "too-many", "There may be %d addresses at most.", maxEgress)
	}
	if e.Proxy != "" {
		if why := badProxy(e.Proxy); why != "" {
			wrong("proxy", "malformed", "%s", why)
		}
	}
	if e.ProxyPassword.Empty() && e.Proxy == kept.Proxy && e.ProxyLogin == kept.ProxyLogin {
		e.ProxyPassword = kept.ProxyPassword
	}
	switch {
	case e.ProxyLogin == "":
		e.ProxyPassword = Secret{}
	case e.Proxy == "":
		wrong("proxy", "required", "There is a login, but no proxy to log on to.")
	case hasControl(e.ProxyLogin) || strings.Contains(e.ProxyLogin, ":") || len(e.ProxyLogin) > 255:
		wrong("proxy_login", "malformed", "The login must be one line of at most 255 characters without a colon.")
	case e.ProxyPassword.Empty() && !kept.ProxyPassword.Empty():
		wrong("proxy_password", "required-again", "Proxy or login changed: enter the password again, so that the old one is not sent elsewhere.")
	case e.ProxyPassword.Empty():
		wrong("proxy_password", "required", "Enter the password for the proxy.")
	case hasControl(e.ProxyPassword.Reveal()) || len(e.ProxyPassword.Reveal()) > 255:
		wrong("proxy_password", "malformed", "The password must be one line of at most 255 characters.")
	}
	return e, errs
}

// usable tells whether an address may be one host's.
func usable(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// badProxy says why a text is not the address of a proxy.
func badProxy(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Port() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return "Write the proxy as http://proxy.example.com:3128, with the port."
	case u.User != nil:
		return "Leave login and password out of the proxy's address; they have fields of their own."
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5":
		return "The proxy must begin with http://, https:// or socks5://."
	}
	return ""
}

// ParseEgressAddress reads an address of the pool as people write it: the address of this
// machine, and behind it, as far as they are wanted, =PUBLIC, from=TIME and until=TIME, with
// blanks in between. A time is 2026-12-01 or 2026-12-01T06:00Z, in UTC.
func ParseEgressAddress(text string) (EgressAddress, error) {
	var a EgressAddress
	words := strings.Fields(text)
	if len(words) == 0 {
		return a, fmt.Errorf("no address in %q", text)
	}
	local, public, translated := strings.Cut(words[0], "=")
	var err error
	if a.Local, err = netip.ParseAddr(local); err != nil {
		return a, fmt.Errorf("%q is no address", local)
	}
	if translated {
		if a.Public, err = netip.ParseAddr(public); err != nil {
			return a, fmt.Errorf("%q is no address", public)
		}
	}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		to := map[string]*time.Time{"from": &a.From, "until": &a.Until}[name]
		if to == nil {
			return a, fmt.Errorf("%q is neither from=TIME nor until=TIME", word)
		}
		if *to, err = parseMoment(value); err != nil {
			return a, err
		}
	}
	return a, nil
}

// String writes the address as ParseEgressAddress reads it.
func (a EgressAddress) String() string {
	text := a.Local.String()
	if a.Public.IsValid() {
		text += "=" + a.Public.String()
	}
	for _, t := range []struct {
		name string
		at   time.Time
	}{{"from", a.From}, {"until", a.Until}} {
		if !t.at.IsZero() {
			text += " " + t.name + "=" + t.at.UTC().Format(moment)
		}
	}
	return text
}

const moment = "2006-01-02T15:04Z"

func parseMoment(text string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, moment, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write 2026-12-01 or 2026-12-01T06:00Z", text)
}
