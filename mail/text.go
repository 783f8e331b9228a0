package mail

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxText bounds the text made from HTML, in bytes. It is for search and preview; who
// wants to read more than a novel opens the message.
const maxText = 4 << 20

// Text turns HTML into text for search and preview: one line per paragraph, row and line
// break, an empty line between paragraphs, a dash before each item of a list; the text
// of links but not their targets. What a reader would not see is left out: scripts,
// styles, hidden elements. It works on tokens without building a tree, because it runs
// for each message that is filed.
func Text(html string) string {
	t := texter{hidden: true}
	for html != "" && len(t.out) < maxText {
		html = t.run(html)
	}
	out := t.out
	if len(out) > maxText {
		out = out[:maxText]
	}
	s := strings.ToValidUTF8(strings.TrimSpace(string(out)), "")
	return strings.ReplaceAll(s, "\x00", "")
}

type texter struct {
	out    []byte
	breaks int  // line ends owed before the next word
	blank  bool // a blank is owed before the next word
	pre    int  // depth of <pre>
	cells  int  // cells so far in the row
	hidden bool // elements that are not shown are left out, until one of them never ends
	skip   atom.Atom
	depth  int // of elements like skip within it
}

// run reads html to its end and returns "". When an element that was left out never ended,
// it returns what follows its start, to be read as if it were not hidden: broken HTML
// must not hide the rest of a letter.
func (t *texter) run(s string) (again string) {
	z := html.NewTokenizer(strings.NewReader(s))
	pos, skipped := 0, 0 // where the token ends; where the element that is left out begins
	for len(t.out) < maxText {
		kind := z.Next()
		pos += len(z.Raw())
		switch kind {
		case html.ErrorToken:
			if t.skip == 0 || isRaw(t.skip) {
				return ""
			}
			t.skip, t.hidden = 0, false
			return s[min(skipped, len(s)):]
		case html.TextToken:
			if t.skip == 0 {
				t.text(z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, hasAttr := z.TagName()
			a := atom.Lookup(name)
			if t.skip != 0 {
				t.within(a, kind)
				if t.skip != 0 {
					continue
				}
			}
			if t.leftOut(a, kind, hasAttr, z) {
				t.skip, t.depth, skipped = a, 1, pos
				continue
			}
			t.start(a)
		case html.EndTagToken:
			name, _ := z.TagName()
			a := atom.Lookup(name)
			if t.skip == 0 {
				t.end(a)
			} else if a == t.skip {
				if t.depth--; t.depth == 0 {
					t.skip = 0
				}
			}
		}
	}
	return ""
}

// within handles a start tag inside an element that is left out.
func (t *texter) within(a atom.Atom, kind html.TokenType) {
	switch {
	case t.skip == atom.Head && a == atom.Body, t.skip == atom.P && blocks[a] > 0:
		t.skip = 0 // these end without an end tag
	case a == t.skip && kind == html.StartTagToken:
		t.depth++
	}
}

// leftOut tells whether the element that begins, and all in it, is not for readers.
func (t *texter) leftOut(a atom.Atom, kind html.TokenType, hasAttr bool, z *html.Tokenizer) bool {
	if kind != html.StartTagToken || a == 0 || isVoid(a) || a == atom.Html || a == atom.Body {
		return false
	}
	if isRaw(a) || !t.hidden {
		return isRaw(a)
	}
	switch a {
	case atom.Head, atom.Template, atom.Object, atom.Svg, atom.Math:
		return true
	}
	for hasAttr {
		var key, val []byte
		key, val, hasAttr = z.TagAttr()
		if string(key) == "hidden" || string(key) == "style" && hides(val) {
			return true
		}
	}
	return false
}

// isRaw names the elements that are left out and hold no elements, but only text up to
// their end tag.
func isRaw(a atom.Atom) bool { return a == atom.Script || a == atom.Style || a == atom.Title }

// hides tells whether a style makes its element invisible.
func hides(style []byte) bool {
	if !bytes.Contains(style, []byte("none")) && !bytes.Contains(style, []byte("hid")) && !bytes.Contains(style, []byte("NONE")) {
		return false
	}
	s := bytes.ToLower(bytes.Join(bytes.Fields(style), nil))
	return bytes.Contains(s, []byte("display:none")) || bytes.Contains(s, []byte("visibility:hidden")) || bytes.Contains(s, []byte("mso-hide:all"))
}

func isVoid(a atom.Atom) bool {
	switch a {
	case atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta, atom.Source, atom.Wbr:
		return true
	}
	return false
}

// blocks are the elements that begin and end a line; 2 = with an empty line around.
var blocks = map[atom.Atom]int{
	atom.P: 2, atom.H1: 2, atom.H2: 2, atom.H3: 2, atom.H4: 2, atom.H5: 2, atom.H6: 2, atom.Blockquote: 2, atom.Pre: 2,
	atom.Ul: 2, atom.Ol: 2, atom.Dl: 2,
	atom.Div: 1, atom.Table: 1, atom.Tr: 1, atom.Li: 1, atom.Dt: 1, atom.Dd: 1, atom.Hr: 1, atom.Section: 1, atom.Article: 1,
	atom.Header: 1, atom.Footer: 1, atom.Address: 1, atom.Center: 1, atom.Form: 1, atom.Fieldset: 1, atom.Body: 1, atom.Caption: 1,
}

func (t *texter) start(a atom.Atom) {
	t.lines(blocks[a])
	switch a {
	case atom.Br:
		t.breaks = min(t.breaks+1, 2)
	case atom.Li:
		t.text([]byte("- "))
		t.blank = true
	case atom.Tr:
		t.cells = 0
	case atom.Td, atom.Th:
		if t.cells > 0 {
			t.blank = true
		}
		t.cells++
	case atom.Pre:
		t.pre++
	}
}

func (t *texter) end(a atom.Atom) {
	t.lines(blocks[a])
	if a == atom.Pre && t.pre > 0 {
		t.pre--
	}
}

func (t *texter) lines(n int) { t.breaks = max(t.breaks, n) }

// text adds the text of a token, which it owns.
func (t *texter) text(b []byte) {
	for len(b) > 0 {
		n := 0
		for n < len(b) && b[n] > ' ' && b[n] < utf8.RuneSelf { // the main road
			n++
		}
		if n > 0 {
			t.word(b[:n])
			b = b[n:]
			continue
		}
		r, size := utf8.DecodeRune(b)
		switch {
		case r == '\n' && t.pre > 0:
			t.breaks = min(t.breaks+1, 2)
		case t.pre > 0 && (r == ' ' || r == '\t'):
			t.word([]byte{' '})
		case r == ' ', r >= '\t' && r <= '\r', r == 0xA0, r == 0x2028, r == 0x2029, r == 0x3000:
			t.blank = true
		case r < ' ': // no text
		case r == 0x200B, r == 0xFEFF, r == 0xAD, r == 0x34F, r == 0x2060: // padding of newsletters
		default:
			t.word(b[:size])
		}
		b = b[size:]
	}
}

func (t *texter) word(b []byte) {
	switch {
	case len(t.out) == 0:
	case t.breaks > 0:
		t.out = append(t.out, "\n\n"[:t.breaks]...)
	case t.blank:
		t.out = append(t.out, ' ')
	}
	t.breaks, t.blank = 0, false
	t.out = append(t.out, b...)
}
