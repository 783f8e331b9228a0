package mail

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// An Address is an e-mail address in the form in which addresses are compared:
// local part case-folded, domain a lower-case A-label, no quotes that are not needed.
// "" is no address.
type Address string

// Direction of a message as seen from the company.
type Direction string

const (
	Inbound  Direction = "in"
	Outbound Direction = "out"
)

// maxAddress is more than RFC 5321 allows (254): the return addresses of lists and
// forwarders pack another address into the local part and do exceed it.
const maxAddress = 512

// What can be wrong with an address. The texts do not repeat the address, so that they
// may be logged; whoever shows one names the entry.
var (
	errEmpty    = errors.New("no address given")
	errTooLong  = fmt.Errorf("longer than %d characters", maxAddress)
	errNoAt     = errors.New("no @ in it: a name, not an address")
	errLegacyDN = errors.New("an Exchange legacy name (/o=…/cn=…), not an SMTP address")
	errTwoAt    = errors.New("more than one @")
	errSeveral  = errors.New("more than one address")
	errGroup    = errors.New("a group or a link, not an address")
	errLoose    = errors.New("words around the address without <>")
	errNoLocal  = errors.New("nothing before the @")
	errBlank    = errors.New("a blank inside the address")
	errComment  = errors.New("a comment or quotation that does not end")
	errUTF8     = errors.New("not valid UTF-8")
)

// ParseAddress reads one address as people write it: bare, as "Name <a@b.example>", with
// comments, with an "SMTP:" or "mailto:" prefix, with an international domain. The error
// says what is wrong with it. A name and an Exchange legacy name are no addresses.
func ParseAddress(s string) (Address, error) {
	if !utf8.ValidString(s) {
		return "", errUTF8
	}
	s = strings.TrimSpace(s)
	for _, scheme := range [...]string{"smtp:", "mailto:"} {
		if len(s) > len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
			s = s[len(scheme):]
			break
		}
	}
	l := lister{s: s}
	l.run()
	switch {
	case l.groups > 0 && strings.Contains(strings.ToLower(s), "/o="):
		return "", errLegacyDN
	case l.groups > 0:
		return "", errGroup
	case len(l.found) == 0:
		return "", errEmpty
	case len(l.found) > 1:
		return "", errSeveral
	case l.found[0].err != nil:
		return "", l.found[0].err
	}
	return l.found[0].Address, nil
}

// Local returns the part before the @, in quotes if it needs them.
func (a Address) Local() string {
	if at := strings.LastIndexByte(string(a), '@'); at >= 0 {
		return string(a[:at])
	}
	return ""
}

// Domain returns the part after the @, an A-label.
func (a Address) Domain() string {
	return string(a[strings.LastIndexByte(string(a), '@')+1:])
}

func (a Address) String() string { return string(a) }

// Display returns the address as people like to read it, with the domain as a U-label.
func (a Address) Display() string {
	if a == "" {
		return ""
	}
	return a.Local() + "@" + DisplayDomain(a.Domain())
}

// parseSpec reads an addr-spec of RFC 5322, the obsolete forms included.
func parseSpec(s string) (Address, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return "", errEmpty
	case len(s) > maxAddress:
		return "", errTooLong
	case s[0] == '@': // a source route: <@relay.example:ann@acme.example>
		_, target, ok := strings.Cut(s, ":")
		if !ok {
			return "", errNoLocal
		}
		s = target
	}
	local, domain, err := cutLocal(s)
	if err != nil {
		return "", err
	}
	if local, err = foldLocal(local); err != nil {
		return "", err
	}
	if domain, err = foldDomain(domain); err != nil {
		return "", err
	}
	if len(local)+1+len(domain) > maxAddress {
		return "", errTooLong
	}
	return Address(local + "@" + domain), nil
}

// cutLocal reads the local part up to the @ and returns its meaning: quotes, escapes,
// comments and blanks around dots are gone. The rest is returned as it stands.
func cutLocal(s string) (local, rest string, err error) {
	if !strings.Contains(s, "@") {
		if low := strings.ToLower(s); strings.HasPrefix(low, "/o=") || strings.Contains(low, "/cn=") {
			return "", "", errLegacyDN
		}
		return "", "", errNoAt
	}
	var b strings.Builder
	last, gap := byte('.'), false // as at the start, a blank may follow a dot
	for i := 0; i < len(s); {
		c := s[i]
		if gap && last != '.' && c != '.' && c != '@' && c != '(' && !isBlank(c) {
			return "", "", errBlank
		}
		switch {
		case c == '@':
			return b.String(), s[i+1:], nil
		case c == '"':
			end := closingQuote(s, i)
			if end < 0 {
				return "", "", errComment
			}
			b.WriteString(unquote(s[i+1 : end]))
			i = end
		case c == '(':
			end := closingParen(s, i)
			if end < 0 {
				return "", "", errComment
			}
			i = end
		case isBlank(c):
		case isAtext(c) || c == '.':
			b.WriteByte(c)
		default:
			return "", "", fmt.Errorf("unexpected %q", c)
		}
		if isBlank(c) || c == '(' {
			gap = true
		} else {
			last, gap = c, false
		}
		i++
	}
	return "", "", errNoAt // it is only in a quotation or a comment
}

// foldLocal brings the meaning of a local part into the form for comparison, quoted if
// it must be. Servers may tell "Ann" from "ann"; no provider does.
func foldLocal(s string) (string, error) {
	if s == "" {
		return "", errNoLocal
	}
	quote := false
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError {
			return "", fmt.Errorf("unexpected character %U", r)
		}
		quote = quote || r < utf8.RuneSelf && r != '.' && !isAtext(byte(r)) || r >= utf8.RuneSelf && unicode.IsSpace(r)
	}
	s = norm.NFC.String(strings.ToLower(norm.NFC.String(s)))
	if quote {
		s = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	return s, nil
}

// foldDomain brings the domain of an address into its canonical form. Unlike a domain
// that is configured (NormalizeDomain) it may be a host without a dot or an IP literal.
func foldDomain(s string) (string, error) {
	s, err := stripComments(s)
	if err != nil {
		return "", err
	}
	if strings.ContainsRune(s, '@') {
		return "", errTwoAt
	}
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		ip, six := strings.CutPrefix(strings.ToLower(s[1:len(s)-1]), "ipv6:")
		addr, err := netip.ParseAddr(ip)
		if err != nil || addr.Zone() != "" || six != addr.Is6() {
			return "", errors.New("no IP address between [ and ]")
		}
		if six {
			return "[ipv6:" + addr.String() + "]", nil
		}
		return "[" + addr.String() + "]", nil
	}
	return asciiDomain(s)
}

// stripComments removes comments, and blanks where none matter.
func stripComments(s string) (string, error) {
	s = strings.TrimSpace(s)
	if !strings.ContainsAny(s, "( \t\r\n") {
		return s, nil
	}
	var b strings.Builder
	last, gap := byte('.'), false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '(':
			end := closingParen(s, i)
			if end < 0 {
				return "", errComment
			}
			i, gap = end, true
		case isBlank(c):
			gap = true
		default:
			if gap && last != '.' && c != '.' {
				return "", errBlank
			}
			b.WriteByte(c)
			last, gap = c, false
		}
	}
	return b.String(), nil
}

// closingQuote returns the index of the quote that ends the one at s[i], or -1.
func closingQuote(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// closingParen returns the index of the parenthesis that ends the one at s[i], or -1.
func closingParen(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// unquote removes the backslashes of quoted pairs.
func unquote(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// isAtext tells whether c may stand in an atom; bytes of UTF-8 may (RFC 6532).
func isAtext(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}
