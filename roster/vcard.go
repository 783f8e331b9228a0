package roster

import (
	"cmp"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"

	"golang.org/x/text/encoding/htmlindex"

	"postern/crm"
	"postern/mail"
)

// readCards reads vCards of the versions 2.1, 3.0 (RFC 2426) and 4.0 (RFC 6350). Only the
// properties that a contact has are looked at, so what is odd about the others does not
// matter. It is done by hand, because what is told about a broken card needs its line, and
// the quoted-printable of 2.1, which phones still write, breaks lines in a way of its own.
func readCards(in *lines) (*File[crm.Contact], error) {
	f := &File[crm.Contact]{}
	var c *card
	var groups int
	for {
		p, ok := in.property(c != nil && c.old)
		if !ok {
			break
		}
		switch {
		case p.name == "BEGIN":
			if c != nil {
				f.Bad = append(f.Bad, RowError{Row: c.line, Code: "broken-card", Message: fmt.Sprintf("the card does not end before the next one begins in line %d", p.line)})
			}
			c = &card{line: p.line}
		case c == nil && p.name == "" && strings.TrimSpace(p.value) == "":
			// a blank line between two cards
		case c == nil:
			f.Bad = append(f.Bad, RowError{Row: p.line, Value: show(in.text(p.value)), Code: "broken-card", Message: "stands outside of a card"})
		case p.name == "END" && c.group:
			groups++
			c = nil
		case p.name == "END":
			f.add(c.contact(), c.line, c.bad)
			c = nil
		default:
			c.read(in, p)
		}
	}
	if in.err != nil {
		return nil, unreadable(in.name, in.err)
	}
	if c != nil {
		f.Bad = append(f.Bad, RowError{Row: c.line, Code: "broken-card", Message: "the file ends within the card"})
	}
	f.Notes = in.notes()
	if groups > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("%d groups were left out; only people are read.", groups))
	}
	return f, nil
}

// A card is what is known so far of one contact.
type card struct {
	line      int
	old       bool // version 2.1
	group     bool // a list of people, not a person
	full      string
	parts     string // the name in parts, in the order in which it is said
	company   string
	title     string
	addresses []mail.Address
	bad       []RowError
}

// read takes what a contact needs of a property. Of several names, companies and titles
// the first one counts.
func (c *card) read(in *lines, p property) {
	switch p.name {
	case "VERSION":
		c.old = strings.TrimSpace(p.value) == "2.1"
	case "KIND", "X-ADDRESSBOOKSERVER-KIND":
		c.group = strings.EqualFold(strings.TrimSpace(p.value), "group")
	case "FN":
		c.full = cmp.Or(c.full, c.text(in, p, p.value))
	case "N":
		n := p.fields()
		for len(n) < 3 {
			n = append(n, "")
		}
		c.parts = cmp.Or(c.parts, c.text(in, p, n[1]+" "+n[2]+" "+n[0]))
	case "ORG":
		c.company = cmp.Or(c.company, c.text(in, p, p.fields()[0]))
	case "TITLE":
		c.title = cmp.Or(c.title, c.text(in, p, p.value))
	case "EMAIL":
		s := c.text(in, p, p.value)
		var bad string
		var err error
		if c.addresses, bad, err = addAddresses(c.addresses, s); err != nil {
			c.wrong(p, bad, "bad-address", err.Error())
		}
	}
}

// text reads a value, or one field of it.
func (c *card) text(in *lines, p property, value string) string {
	if p.long {
		c.wrong(p, "", "too-long", fmt.Sprintf("longer than %d characters", maxLine))
		return ""
	}
	value = p.decode(in, value)
	s, code, message := clean(value)
	if code != "" {
		c.wrong(p, value, code, message)
	}
	return s
}

func (c *card) wrong(p property, value, code, message string) {
	c.bad = append(c.bad, RowError{Row: p.line, Column: p.name, Value: show(value), Code: code, Message: message})
}

// contact returns what the card holds; c.bad says whether it is whole.
func (c *card) contact() crm.Contact {
	if len(c.addresses) == 0 && len(c.bad) == 0 {
		c.bad = append(c.bad, RowError{Row: c.line, Column: "EMAIL", Value: show(cmp.Or(c.full, c.parts)), Code: "no-address", Message: "no e-mail address"})
	}
	return crm.Contact{
		Name:      cmp.Or(c.full, c.parts, firstDisplay(c.addresses)),
		Company:   c.company,
		Title:     c.title,
		Addresses: c.addresses,
	}
}

// A property is one unfolded line of a card, as group.NAME;PARAMETER=…:value.
type property struct {
	line   int
	name   string // upper case; "" when the line is no property
	params string // as they stand
	value  string // still encoded
	long   bool   // longer than maxLine: only the beginning is in value
}

// property reads the next property and the lines that continue it. In vCard 2.1 the blank
// at which a line was folded belongs to the text; later versions add one.
func (in *lines) property(old bool) (property, bool) {
	ln, ok := in.next()
	if !ok {
		return property{}, false
	}
	p := parseProperty(ln)
	soft := p.quoted()
	var value strings.Builder
	value.WriteString(p.value)
	for {
		broken := soft && strings.HasSuffix(value.String(), "=")
		if ln, ok = in.next(); !ok {
			break
		}
		folded := strings.HasPrefix(ln.raw, " ") || strings.HasPrefix(ln.raw, "\t")
		if !broken && !folded {
			in.giveBack(ln)
			break
		}
		more := ln.raw
		if folded && !broken && !old {
			more = more[1:]
		}
		if p.long = p.long || ln.long || value.Len()+len(more) > maxLine; !p.long {
			if broken {
				more = "\n" + more
			}
			value.WriteString(more)
		}
	}
	p.value = value.String()
	return p, true
}

// parseProperty takes a line apart. The colon may stand quoted in a parameter.
func parseProperty(ln line) property {
	p := property{line: ln.n, value: ln.raw, long: ln.long}
	quoted := false
	for i := range len(ln.raw) {
		switch c := ln.raw[i]; {
		case c == '"':
			quoted = !quoted
		case c == ':' && !quoted:
			head := ln.raw[:i]
			p.value = ln.raw[i+1:]
			p.name, p.params, _ = strings.Cut(head, ";")
			p.name = strings.ToUpper(strings.TrimSpace(p.name[strings.LastIndexByte(p.name, '.')+1:]))
			return p
		}
	}
	return p
}

// quoted tells whether the value is quoted-printable, which only 2.1 has.
func (p *property) quoted() bool {
	return strings.Contains(strings.ToUpper(p.params), "QUOTED-PRINTABLE")
}

// fields cuts a structured value at its semicolons; there is always one field.
func (p *property) fields() []string {
	var list []string
	start := 0
	for i := 0; i < len(p.value); i++ {
		switch p.value[i] {
		case '\\':
			i++
		case ';':
			list = append(list, p.value[start:i])
			start = i + 1
		}
	}
	return append(list, p.value[start:])
}

// decode reads the text of a value: transfer encoding, character set, escapes.
func (p *property) decode(in *lines, s string) string {
	if p.quoted() {
		if plain, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(s))); err == nil {
			s = string(plain)
		}
	}
	s = p.charset(in, s)
	return strings.NewReplacer(`\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";", `\:`, ":", `\\`, `\`).Replace(s)
}

// charset reads the bytes of a value in the character set that 2.1 names with it.
func (p *property) charset(in *lines, s string) string {
	for param := range strings.SplitSeq(p.params, ";") {
		key, label, ok := strings.Cut(param, "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(key), "CHARSET") {
			continue
		}
		if enc, err := htmlindex.Get(strings.Trim(label, `" `)); err == nil {
			text, _ := enc.NewDecoder().String(s) // it replaces what it cannot read
			return strings.ToValidUTF8(text, "\uFFFD")
		}
	}
	return in.text(s)
}
