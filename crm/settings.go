package crm

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"postern/mail"
)

// A FieldError says what is wrong with one field of a form, in words for the person who
// filled it in.
type FieldError struct {
	Field   string // the field's name in the API: server, version, model, login, …
	Code    string // stable: required, unknown, malformed, …
	Message string
}

// DefaultUserAgent is sent until the customer chooses another.
const DefaultUserAgent = "Postern/1"

// Check returns the settings as they are to be saved, or what is wrong with each field.
// An empty secret keeps the one in kept, unless the login changed or it would go Further:
// to somebody it was not given for. Then it is asked for again.
// Fields may stay empty while collecting is disabled; what is filled in must be valid.
func (s Settings) Check(c Connector, kept Settings) (Settings, []FieldError) {
	var errs []FieldError
	var wrong complaint = func(field, code, format string, args ...any) {
		errs = append(errs, FieldError{field, code, fmt.Sprintf(format, args...)})
	}
	s.Server = strings.TrimSpace(s.Server)

	if s.Server == "" {
		if s.Enabled {
			wrong("server", "required", "Enter the name of the Exchange server, for example mail.example.com.")
		}
	} else if why := badServer(s.Server); why != "" {
		wrong("server", "malformed", "%s", why)
	}
	known := slices.ContainsFunc(c.Versions, func(v Version) bool { return v.Name == s.Version })
	switch {
	case s.Version == "" && s.Enabled:
		wrong("version", "required", "Choose the version of the Exchange server: %s.", c.versionNames())
	case s.Version != "" && !known:
		wrong("version", "unknown", "There is no version %q to choose; there are %s.", s.Version, c.versionNames())
	}
	s.checkLogOn(kept, wrong)
	domains, bad := checkDomains(s.Domains)
	for _, err := range bad {
		wrong("domains", "malformed", "%s", err)
	}
	if len(domains) == 0 && len(bad) == 0 && s.Enabled {
		wrong("domains", "required", "At least one domain is required: only mailboxes of these domains are ever touched.")
	}
	s.Domains = domains
	switch s.UserAgent = strings.Trim(s.UserAgent, " "); {
	case s.UserAgent == "":
		s.UserAgent = DefaultUserAgent
	case !fitsHeader(s.UserAgent):
		wrong("user_agent", "malformed", "The User-Agent must be one line of at most %d letters, digits and signs of ASCII, without line ends and other control characters.", maxHeader)
	case strings.Contains(s.UserAgent, "*"): // the script for the Exchange admin puts its beginning on an allow list
		wrong("user_agent", "malformed", "The User-Agent must have no *: in the lists of Exchange that stands for any text, and would let other programs in.")
	}
	if s.RootCAs = strings.TrimSpace(s.RootCAs); s.RootCAs != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(s.RootCAs)) {
		wrong("root_cas", "malformed", "There is no certificate in it: paste the text from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----.")
	}
	if c.Vet != nil && len(errs) == 0 {
		errs = c.Vet(s)
	}
	return s, errs
}

// maxHeader bounds what is sent as a header.
const maxHeader = 256

// fitsHeader tells whether a text can be sent as a header as it is.
func fitsHeader(s string) bool {
	return len(s) <= maxHeader && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// versionNames lists the versions to choose from, as menus have them and as programs do.
func (c Connector) versionNames() string {
	var names []string
	for _, v := range c.Versions {
		names = append(names, v.Title+" ("+v.Name+")")
	}
	return strings.Join(names, ", ")
}

// Host is the name of the server and its port, if that is told.
func (s Settings) Host() string {
	raw := s.Server
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	if u, err := url.Parse(raw); err == nil {
		return strings.ToLower(u.Host)
	}
	return strings.ToLower(s.Server)
}

// port is the one of the server, EgressPort as long as none is set.
func (s Settings) port() int {
	if _, port, err := net.SplitHostPort(s.Host()); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
			return int(n)
		}
	}
	if s.Plain() {
		return 80
	}
	return EgressPort
}

// Plain tells whether the server is asked by http, which only one on this machine may be.
func (s Settings) Plain() bool {
	u, err := url.Parse(s.Server)
	return err == nil && u.Scheme == "http"
}

// KDCs lists the Kerberos servers that the settings name, host or host:port, as the lines
// "kdc = HOST" of a krb5.conf do; none unless Kerberos is the way to log on.
func (s Settings) KDCs() (list []string) {
	if s.Scheme != Kerberos {
		return nil
	}
	for line := range strings.Lines(s.KDC) {
		key, value, ok := strings.Cut(line, "=")
		if value = strings.TrimSpace(value); ok && strings.TrimSpace(key) == "kdc" && value != "" {
			list = append(list, value)
		}
	}
	return list
}

// badServer says why a server field is neither a host name nor a usable URL. It does not
// repeat a text with an @: a password may stand in front of it.
func badServer(server string) string {
	named := fmt.Sprintf("%q", server)
	if strings.Contains(server, "@") {
		named = "This"
	}
	if strings.ContainsAny(server, " \t\r\n") || hasControl(server) {
		return named + " is not a server name: it holds a blank or a control character."
	}
	raw := server
	if !strings.Contains(server, "://") {
		raw = "https://" + server
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "":
		return named + " is neither a server name nor a URL such as https://mail.example.com/EWS/Exchange.asmx."
	case u.User != nil:
		return "Leave login and password out of the server field; they have fields of their own."
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return "Only https is used, so that the password is not sent in the clear; write https:// or the server name alone."
	}
	return ""
}

// CheckHost says what is wrong with a host that somebody confirms as the server's; nil =
// nothing. The text itself is not repeated: whatever may stand there.
func CheckHost(host string) *FieldError {
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil && port != "" && strings.Trim(port, "0123456789") == "" {
		name = h
	}
	part := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-._", r) }
	_, err := netip.ParseAddr(name)
	if err == nil || name != "" && len(name) <= 253 && !strings.ContainsFunc(name, func(r rune) bool { return !part(r) }) {
		return nil
	}
	return &FieldError{"confirm", "malformed", "Confirm the host by its name alone, for example mail.example.com."}
}

func loopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}

// checkDomains normalises the list, drops blanks and repetitions, and says which entries
// are no domains.
func checkDomains(list []string) (domains []string, bad []error) {
	for _, entry := range list {
		if strings.TrimSpace(entry) == "" {
			continue
		}
		domain, err := mail.NormalizeDomain(entry)
		if err != nil {
			bad = append(bad, err)
		} else if !slices.Contains(domains, domain) {
			domains = append(domains, domain)
		}
	}
	return domains, bad
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
