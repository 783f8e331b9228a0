package mail

import (
	"strings"
	"unicode"
)

// decodeWords resolves the encoded words of a header value (RFC 2047), also where they
// stand in quotes or hold blanks, as they do in real mail. Neighbouring words are
// joined before their characters are decoded: some senders cut characters in two.
func decodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return s
	}
	var out strings.Builder
	var charset string
	var pending []byte // decoded bytes of the words since the last plain text
	flush := func() {
		if pending != nil {
			out.WriteString(toUTF8(pending, charset))
			pending = nil
		}
	}
	for {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		cs, data, rest, ok := cutEncodedWord(s[i:])
		between := s[:i]
		if !ok {
			flush()
			skip := i + 2
			if rest != "" { // it looks like a word up to here, but is none
				skip = len(s) - len(rest)
			}
			out.WriteString(s[:skip])
			s = s[skip:]
			continue
		}
		if pending == nil || strings.TrimSpace(between) != "" {
			flush()
			out.WriteString(between)
		} else if !strings.EqualFold(cs, charset) {
			flush()
		}
		charset = cs
		pending = append(pending, data...)
		if pending == nil {
			pending = []byte{}
		}
		s = rest
	}
	flush()
	out.WriteString(s)
	return out.String()
}

// cutEncodedWord reads the encoded word at the start of s and returns its bytes and
// what follows it. When it is no word but has the shape of one, rest is what follows the
// shape, so that nothing is searched twice.
func cutEncodedWord(s string) (charset string, data []byte, rest string, ok bool) {
	if !strings.HasPrefix(s, "=?") {
		return "", nil, "", false
	}
	const (
		maxLabel = 80   // longer than any name of a charset with its language
		maxText  = 4096 // RFC 2047 allows 75; some senders put a whole subject into one word
	)
	head := s[2:min(len(s), 2+maxLabel)]
	q := strings.IndexByte(head, '?')
	if q <= 0 || len(s) < q+5 || s[q+4] != '?' {
		return "", nil, "", false
	}
	charset, _, _ = strings.Cut(head[:q], "*") // RFC 2231 lets a language follow
	encoding, text := s[q+3], s[q+5:]
	end := strings.Index(text[:min(len(text), maxText)], "?=")
	if end < 0 {
		return "", nil, "", false
	}
	text, rest = text[:end], text[end+2:]
	switch encoding {
	case 'q', 'Q':
		data = decodeQuoted([]byte(strings.ReplaceAll(text, "_", " ")))
	case 'b', 'B':
		data = decodeBase64([]byte(text))
	default:
		return "", nil, rest, false
	}
	return charset, data, rest, true
}

// unfold joins the lines of a folded header value.
func unfold(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return strings.TrimSpace(s)
	}
	return strings.TrimSpace(lineEnds.Replace(s))
}

var lineEnds = strings.NewReplacer("\r", "", "\n", "")

// oneLine makes text from outside fit for one line on a page: white space becomes one
// blank, and characters that control a terminal or turn the direction of writing go.
func oneLine(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	gap := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			gap = true
		case unicode.IsControl(r), r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069, r == 0xFEFF:
		default:
			if gap && b.Len() > 0 {
				b.WriteByte(' ')
			}
			gap = false
			b.WriteRune(r)
		}
	}
	return b.String()
}
