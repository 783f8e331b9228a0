package store

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"postern/crm"
)

// Full-text search. Both databases index words that we made ourselves ([fold]), so that
// one query finds the same mail in both: letters and digits only, lower case, without
// accents; of scripts that are written without spaces each character is a word, and a
// run of them is searched as a phrase, which is how "東京" is found in "東京都".
//
// What is indexed: the subject, names and addresses of From and Sender, of To and Cc,
// and the text. Bcc is not, since not everybody may see it.

const (
	indexedText = 256 << 10 // bytes of a text that are indexed
	longestWord = 64        // bytes; the rest of a longer one is not looked at
)

// A query is what a person asked for: all of its terms.
type query []term

type term struct {
	column string   // "" = any
	words  []string // one after the other
	prefix bool     // the last word may go on
}

var columnWeight = map[string]string{"": "", "sender": "B", "recipient": "C"}

// parseQuery reads words, "phrases", from: and to:. The last word, while it is being
// typed, stands for all that begin with it.
func parseQuery(text string) query {
	var q query
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		var t term
		rest, t.column = cutColumn(rest)
		var words string
		if strings.HasPrefix(rest, `"`) {
			words, rest, _ = strings.Cut(rest[1:], `"`)
		} else {
			end := strings.IndexFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || r == '"' })
			if end < 0 {
				end = len(rest)
				t.prefix = true
			}
			words, rest = rest[:end], rest[end:]
		}
		if t.words = strings.Fields(fold(words, len(words))); len(t.words) > 0 {
			q = append(q, t)
		}
	}
	return q
}

func cutColumn(s string) (rest, column string) {
	for prefix, column := range map[string]string{"from:": "sender", "to:": "recipient"} {
		if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
			return s[len(prefix):], column
		}
	}
	return s, ""
}

// fts5 is the query in SQLite's words.
func (q query) fts5() string {
	var b strings.Builder
	for i, t := range q {
		if i > 0 {
			b.WriteString(" AND ")
		}
		if t.column != "" {
			b.WriteString(t.column + " : ")
		}
		b.WriteString(`"` + strings.Join(t.words, " ") + `"`)
		if t.prefix {
			b.WriteString(" *")
		}
	}
	return b.String()
}

// tsquery is the query in PostgreSQL's words.
func (q query) tsquery() string {
	var b strings.Builder
	for i, t := range q {
		if i > 0 {
			b.WriteString(" & ")
		}
		b.WriteByte('(')
		for j, word := range t.words {
			if j > 0 {
				b.WriteString(" <-> ")
			}
			b.WriteString("'" + word + "'")
			star := t.prefix && j == len(t.words)-1
			if star || t.column != "" {
				b.WriteByte(':')
			}
			if star {
				b.WriteByte('*')
			}
			b.WriteString(columnWeight[t.column])
		}
		b.WriteByte(')')
	}
	return b.String()
}

// fold makes the words of a text, separated by single spaces, of its first limit bytes.
func fold(s string, limit int) string {
	f := folding{out: make([]byte, 0, min(len(s), limit)+16)}
	for i := 0; i < len(s) && i < limit; {
		if c := s[i]; c < utf8.RuneSelf {
			f.add(asciiFold[c])
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		f.rune(r, s[i:i+size])
		i += size
	}
	return strings.TrimSuffix(string(f.out), " ")
}

// folding is a text on its way through fold.
type folding struct {
	out  []byte
	word int // bytes of the word being written
}

// asciiFold maps letters to lower case and all that belongs to no word to a space.
var asciiFold = func() (t [utf8.RuneSelf]byte) {
	for c := range t {
		switch r := rune(c); {
		case unicode.IsLetter(r), unicode.IsDigit(r):
			t[c] = byte(unicode.ToLower(r))
		default:
			t[c] = ' '
		}
	}
	return t
}()

func (f *folding) add(c byte) {
	switch {
	case c == ' ':
		if f.word > 0 {
			f.out = append(f.out, ' ')
		}
		f.word = 0
	case f.word < longestWord:
		f.out = append(f.out, c)
		f.word++
	}
}

// rune takes the rune apart into its base and marks, and drops the marks.
func (f *folding) rune(r rune, text string) {
	if unicode.In(r, unspaced...) {
		f.add(' ')
		f.out = append(f.out, norm.NFKC.String(text)...)
		f.word = len(text)
		f.add(' ')
		return
	}
	if d := norm.NFKD.PropertiesString(text).Decomposition(); d != nil {
		text = string(d)
	}
	for _, r := range text {
		switch {
		case r < utf8.RuneSelf:
			f.add(asciiFold[r])
		case unicode.In(r, unicode.Mn):
		case !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.In(r, unicode.Mc):
			f.add(' ')
		case f.word+utf8.RuneLen(r) <= longestWord:
			n := len(f.out)
			f.out = utf8.AppendRune(f.out, unicode.ToLower(r))
			f.word += len(f.out) - n
		}
	}
}

// unspaced are scripts that are written without spaces between words.
var unspaced = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar}

// peopleWords are the words of names and addresses for the index.
func peopleWords(people []crm.Participant, parts ...crm.Part) string {
	var b strings.Builder
	for _, p := range people {
		for _, part := range parts {
			if p.Part == part {
				b.WriteString(p.Name)
				b.WriteByte(' ')
				b.WriteString(string(p.Address))
				b.WriteByte(' ')
			}
		}
	}
	return fold(b.String(), indexedText)
}

// like is a pattern that finds text anywhere in a folded column.
func like(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(fold(text, len(text))) + "%"
}
