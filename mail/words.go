package mail

import (
	"io"
	"mime"
	"regexp"
	"strings"
	"unicode"
)

// decodeWords resolves the encoded words of a header value (RFC 2047), also where they
// stand in quotes or hold blanks, as they do in real mail. What is none stays as it stands.
func decodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return s
	}
	d := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		b, err := io.ReadAll(r)
		charset, _, _ = strings.Cut(charset, "*") // RFC 2231 lets a language follow
		return strings.NewReader(toUTF8(b, charset)), err
	}}
	decoded, err := d.DecodeHeader(latin1.ReplaceAllString(s, "=?windows-1252?"))
	if err != nil {
		return s
	}
	return toUTF8([]byte(decoded), "") // the bytes of words in UTF-8 come unchecked
}

// latin1 is Windows-1252 in practice, and the decoder, left to itself, takes it literally.
var latin1 = regexp.MustCompile(`(?i)=\?iso-8859-1\?`)

// encodedWord returns the encoded word that s begins with, "" if it does not.
func encodedWord(s string) string {
	const maxLen = 4096 // RFC 2047 allows 75; some senders put a whole subject into one word
	p := strings.SplitN(s[:min(len(s), maxLen)], "?", 4)
	if len(p) < 4 || p[0] != "=" || len(p[2]) != 1 || !strings.Contains("bBqQ", p[2]) {
		return ""
	}
	text, _, ok := strings.Cut(p[3], "?=")
	if !ok {
		return ""
	}
	return s[:len("=?")+len(p[1])+len("?q?")+len(text)+len("?=")]
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
