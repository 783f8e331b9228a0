package mail

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Named is one entry of an address header.
type Named struct {
	Name    string  // display name, decoded; says nothing about who it is
	Address Address // "" when no address could be read with certainty
	Raw     string  // the entry as it stood in the header, unfolded
}

// ParseList reads the value of an address header. Groups are opened, so
// "undisclosed-recipients:;" has no entries. Whatever is broken around them, entries
// that are sure are returned; an entry without a readable address comes with Address "".
// Only what stands as the address counts: a name that looks like one is still a name.
func ParseList(header string) []Named {
	l := lister{s: unfold(toUTF8([]byte(header), ""))}
	l.run()
	if len(l.found) == 0 {
		return nil
	}
	list := make([]Named, len(l.found))
	for i, f := range l.found {
		list[i] = f.Named
	}
	return list
}

// A lister walks once over a list of addresses.
type lister struct {
	s      string
	i      int
	groups int
	found  []entry
	entry  struct { // the one under way
		start    int
		words    strings.Builder // outside of <>, quotes resolved: the name
		bare     strings.Builder // the same, quotes kept: the address if there are no <>
		comment  string
		hasAngle bool
		angle    string // what stands in it
		before   string // the words in front of it
		behind   int    // where it ends
		at       bool   // a bare @ was seen
	}
	noQuote, noParen bool // none closes any more: the next opening one stands for itself
}

type entry struct {
	Named
	err error // why there is no address, or why it is not beyond doubt
}

func (l *lister) run() {
	for l.i < len(l.s) {
		c := l.s[l.i]
		switch {
		case c == '"' && l.quoted(), c == '(' && l.commented(), c == '=' && l.encoded():
			// taken whole
		case c == '<':
			l.angled()
		case c == ',' || c == ';':
			l.end()
			l.i++
			l.begin()
		case c == ':' && !l.entry.at && !l.entry.hasAngle:
			l.groups++ // what stood before is the group's name
			l.i++
			l.begin()
		default:
			l.entry.at = l.entry.at || c == '@'
			l.entry.words.WriteByte(c)
			l.entry.bare.WriteByte(c)
			l.i++
		}
	}
	l.end()
}

func (l *lister) begin() {
	e := &l.entry
	e.start = l.i
	e.words.Reset()
	e.bare.Reset()
	e.comment, e.angle, e.before, e.hasAngle, e.at = "", "", "", false, false
}

// quoted takes a quoted string; false when it never ends.
func (l *lister) quoted() bool {
	if l.noQuote {
		return false
	}
	end := closingQuote(l.s, l.i)
	if end < 0 {
		l.noQuote = true
		return false
	}
	l.entry.words.WriteString(unquote(l.s[l.i+1 : end]))
	l.entry.bare.WriteString(l.s[l.i : end+1])
	l.i = end + 1
	return true
}

// commented takes a comment; false when it never ends.
func (l *lister) commented() bool {
	if l.noParen {
		return false
	}
	end := closingParen(l.s, l.i)
	if end < 0 {
		l.noParen = true
		return false
	}
	l.entry.comment = unquote(l.s[l.i+1 : end])
	l.entry.words.WriteByte(' ')
	l.entry.bare.WriteString(l.s[l.i : end+1])
	l.i = end + 1
	return true
}

// encoded takes an encoded word, which may hold commas and colons although it should
// not; false when none begins here. One with <> in it is a whole entry that was encoded
// by mistake, and is read as it stands.
func (l *lister) encoded() bool {
	word := encodedWord(l.s[l.i:])
	if word == "" || strings.ContainsAny(word, "<>@\" ") {
		return false
	}
	l.entry.words.WriteString(word)
	l.entry.bare.WriteString(word)
	l.i += len(word)
	return true
}

// angled takes what stands between < and >. Where the > is missing, the next separator ends it.
func (l *lister) angled() {
	words := l.entry.words.String()
	if l.entry.hasAngle { // the comma between two entries is missing
		l.entry.words.Reset()
		l.endAt(l.entry.behind)
		l.begin()
		l.entry.start = l.entry.behind
	}
	l.entry.words.Reset()
	start := l.i + 1
	route := strings.HasPrefix(l.s[start:], "@") // its commas separate relays
	j := start
scan:
	for ; j < len(l.s); j++ {
		switch c := l.s[j]; {
		case c == '>' || c == '<' || (c == ',' || c == ';') && !route:
			break scan
		case c == ':':
			route = false
		case c == '"' && !l.noQuote:
			end := closingQuote(l.s, j)
			if end < 0 {
				l.noQuote = true
				continue
			}
			j = end
		}
	}
	l.entry.angle, l.entry.before, l.entry.hasAngle = l.s[start:j], words, true
	if j < len(l.s) && l.s[j] == '>' {
		j++
	}
	l.i, l.entry.behind = j, j
}

// end adds the entry under way.
func (l *lister) end() { l.endAt(l.i) }

func (l *lister) endAt(i int) {
	e := &l.entry
	raw := strings.TrimSpace(l.s[e.start:i])
	name := displayName(e.words.String())
	switch {
	case e.hasAngle:
		name = cmp.Or(displayName(e.before), name, displayName(e.comment))
		a, err := parseSpec(stripApostrophes(e.angle))
		if a != "" || name != "" || strings.TrimSpace(e.angle) != "" {
			l.add(name, a, raw, err)
		}
	case e.at:
		l.endBare(raw)
	case name != "" && !isUndisclosed(name):
		_, err := parseSpec(e.bare.String())
		l.add(name, "", raw, err)
	}
}

// endBare adds an entry without <>: an address, or words with addresses among them.
func (l *lister) endBare(raw string) {
	e := &l.entry
	bare := e.bare.String()
	a, err := parseSpec(stripApostrophes(bare))
	if err == nil {
		l.add(displayName(e.comment), a, raw, nil)
		return
	}
	if strings.ContainsAny(bare, "\"()") { // an @ could stand in a quotation
		l.add(displayName(e.words.String()), "", raw, err)
		return
	}
	var words []string
	var sure []entry
	for word := range strings.FieldsSeq(bare) {
		if a, err := parseSpec(strings.Trim(word, "<>[]'.")); err == nil {
			sure = append(sure, entry{Named{Address: a, Raw: word}, errLoose})
		} else {
			words = append(words, word)
		}
	}
	switch name := displayName(strings.Join(words, " ")); len(sure) {
	case 0:
		l.add(name, "", raw, err)
	case 1:
		l.add(name, sure[0].Address, raw, errLoose)
	default: // the words could belong to any of them
		l.found = append(l.found, sure...)
	}
}

// add adds an entry, of which no more is kept than a line holds.
func (l *lister) add(name string, a Address, raw string, err error) {
	const line = 998
	l.found = append(l.found, entry{Named{clip(name, line), a, clip(raw, line)}, err})
}

// clip cuts s to at most n bytes, not within a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// displayName makes a phrase fit to be shown: words decoded, on one line, without
// characters that steer the screen.
func displayName(s string) string {
	s = oneLine(decodeWords(s))
	return strings.TrimSpace(stripApostrophes(s))
}

// stripApostrophes removes the quotes that Outlook puts around addresses and names.
func stripApostrophes(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	return s
}

// isUndisclosed recognises the placeholder of a list that is not told, where it is not
// written as an empty group.
func isUndisclosed(name string) bool {
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
	switch letters {
	case "undisclosedrecipients", "undisclosedrecipient", "unlistedrecipients", "recipientlistnotshown", "recipientlistsuppressed":
		return true
	}
	return false
}
