package mail

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// lookup maps an international domain as browsers and mail servers do (UTS 46,
// non-transitional). Which ASCII characters a label may hold is judged by asciiDomain,
// because host names with an underscore do send mail.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(false))

// NormalizeDomain reads a mail domain as an administrator enters it, such as
// " @ACME.example", and returns its A-label in lower case. A sub-domain is a domain of
// its own. The error names the entry and says what is wrong.
func NormalizeDomain(s string) (string, error) {
	name := strings.TrimSpace(s)
	name = strings.TrimPrefix(name, "@")
	d, err := asciiDomain(name)
	if err == nil {
		err = registrable(d)
	}
	if err != nil {
		return "", fmt.Errorf("%q is not a domain: %w", s, err)
	}
	return d, nil
}

// DisplayDomain returns the U-label of a domain, as people like to read it.
func DisplayDomain(d string) string {
	if u, err := lookup.ToUnicode(d); err == nil {
		return u
	}
	return d
}

// asciiDomain returns the lower-case A-label of a domain name, without the dot of the root.
func asciiDomain(s string) (string, error) {
	s = strings.TrimSuffix(s, ".")
	if s == "" {
		return "", errors.New("no domain given")
	}
	d := strings.ToLower(s)
	if !isASCII(s) {
		var err error
		if d, err = lookup.ToASCII(s); err != nil {
			return "", errors.New("not allowed as an international domain")
		}
		d = strings.TrimSuffix(d, ".")
	}
	if len(d) > 253 {
		return "", errors.New("the domain is longer than 253 characters")
	}
	for label := range strings.SplitSeq(d, ".") {
		switch {
		case label == "":
			return "", errors.New("a dot too many in the domain")
		case len(label) > 63:
			return "", errors.New("a part of the domain is longer than 63 characters")
		case label[0] == '-' || label[len(label)-1] == '-':
			return "", errors.New("a part of the domain begins or ends with a hyphen")
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return "", fmt.Errorf("unexpected %q in the domain", c)
			}
		}
	}
	return d, nil
}

// registrable refuses what cannot be the mail domain of a company.
func registrable(d string) error {
	if !strings.Contains(d, ".") {
		return errors.New("it needs a dot, as in acme.example")
	}
	if _, err := netip.ParseAddr(d); err == nil {
		return errors.New("an IP address is not a mail domain")
	}
	if strings.Contains(d, "xn--") {
		if _, err := lookup.ToUnicode(d); err != nil {
			return errors.New("not allowed as an international domain")
		}
	}
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
