package crm

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"postern/mail"
)

// A Selector picks mailboxes: an address, a Pattern of addresses such as crm-*@acme.example,
// or group:ADDRESS for the members of a group in Exchange.
type Selector string

// A Pattern picks addresses: an address, a domain such as bank.example (which includes no
// sub-domain), or either with * for any run of characters. A * before the @ never reaches
// beyond it. There is nothing more to it: no pattern takes longer than its length times that
// of the address.
type Pattern string

const (
	groupPrefix = "group:"
	maxPattern  = 320 // bytes
	maxStars    = 8
)

// Group returns the group that the selector names.
func (s Selector) Group() (mail.Address, bool) {
	group, ok := strings.CutPrefix(string(s), groupPrefix)
	if !ok {
		return "", false
	}
	return mail.Address(group), true
}

// Matches tells whether the pattern picks an address. Both are in normal form.
func (p Pattern) Matches(a mail.Address) bool {
	at := strings.LastIndexByte(string(p), '@')
	if at < 0 {
		return glob(string(p), a.Domain())
	}
	return glob(string(p[at+1:]), a.Domain()) && glob(string(p[:at]), a.Local())
}

// ofDomain tells whether the pattern is one of domains.
func (p Pattern) ofDomain() bool { return !strings.Contains(string(p), "@") }

// glob matches a text against a pattern in which * stands for any run of bytes. It goes back
// to the last star alone, which is enough: an earlier one has found the first place that it
// can have.
func glob(pattern, text string) bool {
	star, resume := -1, 0
	p := 0
	for t := 0; t < len(text); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// NormalizeSelector reads a selector as a person enters it.
func NormalizeSelector(text string) (Selector, error) {
	text = strings.TrimSpace(text)
	if len(text) >= len(groupPrefix) && strings.EqualFold(text[:len(groupPrefix)], groupPrefix) {
		a, err := mail.ParseAddress(text[len(groupPrefix):])
		if err != nil {
			return "", fmt.Errorf("%q names no group by its address: %w", text, err)
		}
		return groupPrefix + Selector(a), nil
	}
	if !strings.Contains(text, "@") {
		return "", fmt.Errorf("%q is neither an address, nor a pattern such as *@sales.acme.example, nor group:ADDRESS", text)
	}
	if text[0] == '@' { // all of a domain
		text = "*" + text
	}
	p, err := NormalizePattern(text)
	return Selector(p), err
}

// NormalizePattern reads a pattern as a person enters it: addresses and domains in any form
// that mail.ParseAddress and mail.NormalizeDomain read. The error names the entry.
func NormalizePattern(text string) (Pattern, error) {
	text = strings.TrimSpace(text)
	wrong := func(why error) (Pattern, error) {
		if strings.HasPrefix(why.Error(), strconv.Quote(text)) {
			return "", why // names the entry already
		}
		return "", fmt.Errorf("%q: %w", text, why)
	}
	switch {
	case len(text) > maxPattern:
		return "", fmt.Errorf("%.20q…: longer than %d characters", text, maxPattern)
	case strings.Count(text, "*") > maxStars:
		return wrong(fmt.Errorf("more than %d stars", maxStars))
	case strings.Trim(text, "*@. ") == "" && text != "":
		return wrong(errors.New("it would match everybody"))
	}
	at := strings.LastIndexByte(text, '@')
	if at > 0 && !strings.Contains(text, "*") {
		a, err := mail.ParseAddress(text)
		if err != nil {
			return wrong(err)
		}
		return Pattern(a), nil
	}
	domain, err := normalizeStarred(text[at+1:])
	if err != nil {
		return wrong(err)
	}
	if at <= 0 {
		return Pattern(domain), nil
	}
	// A star may stand in a local part, so that one with stars reads like any other.
	local := text[:at]
	if strings.ContainsAny(local, " \t\"<>(),;:\\") {
		return wrong(errors.New("a pattern has no blanks, quotes, names or comments before the @"))
	}
	a, err := mail.ParseAddress(local + "@example.com")
	if err != nil {
		return wrong(err)
	}
	return Pattern(a.Local() + "@" + domain), nil
}

// normalizeStarred reads a domain in which labels may hold stars.
func normalizeStarred(text string) (string, error) {
	if !strings.Contains(text, "*") {
		return mail.NormalizeDomain(text)
	}
	text = strings.ToLower(strings.TrimSuffix(text, "."))
	labels := strings.Split(text, ".")
	for i, label := range labels {
		if plain := strings.ReplaceAll(label, "*", ""); plain != label {
			if strings.ContainsFunc(plain, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_') }) {
				return "", fmt.Errorf("a part of a domain with a star may hold letters of English, digits and hyphens")
			}
			continue
		}
		d, err := mail.NormalizeDomain(label + ".example")
		if err != nil {
			return "", err
		}
		labels[i] = strings.TrimSuffix(d, ".example")
	}
	if text = strings.Join(labels, "."); len(text) > 253 {
		return "", errors.New("the domain is longer than 253 characters")
	}
	return text, nil
}
