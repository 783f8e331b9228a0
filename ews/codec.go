package ews

import (
	"bytes"
	"encoding/base64"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// An element describes the attributes and children of an XML element, once for reading
// and writing, in the order of the schema. Names are written with the prefixes of
// Microsoft's pages: "t:Subject". The element's own tag is its parent's matter.
type element interface{ fields(*codec) }

// A codec reads or writes elements. Reading asks the description again and again
// for the child at hand; as servers keep the schema's order, one pass is the rule. What
// the description does not know is passed over.
type codec struct {
	d  *decoder // set when reading
	at frame
	// loose reads names in any namespace: faults are written by front ends and proxies, too.
	loose bool
	// sink, when set, is asked for a writer for each MimeContent or Content read.
	sink func() io.Writer

	w    io.Writer // set when writing
	out  []byte
	open bool // the last start tag still lacks its '>'
	err  error
	// references writes characters that XML forbids as references, which is what
	// Exchange does; else they are replaced, so that our own requests are always XML.
	references bool
}

// A frame is where reading stands inside an element.
type frame struct {
	fresh bool // its attributes are still at hand
	have  bool // the decoder stands on the start tag of a child
	done  bool // its end tag was read
	took  int  // children read so far
}

func (x *codec) reading() bool { return x.d != nil }

// read reads the element whose start tag is at hand, to behind its end tag.
func (x *codec) read(v element) { x.within(v.fields) }

func (x *codec) within(fields func(*codec)) {
	outer := x.at
	x.at = frame{fresh: true}
	for !x.at.done {
		before := x.at.took
		fields(x)
		x.advance()
		if x.at.took == before && x.at.have {
			x.d.skip()
			x.at.have = false
		}
	}
	x.at = outer
}

// advance moves to the next child, or notes that there is none.
func (x *codec) advance() {
	x.at.fresh = false
	if x.at.have || x.at.done {
		return
	}
	if x.d.next() == startTag {
		x.at.have = true
	} else {
		x.at.done = true
	}
}

// child tells whether the child at hand has this name.
func (x *codec) child(name string) bool {
	x.advance()
	return x.at.have && string(x.d.local) == name[2:] && (x.d.ns == name[0] || x.loose)
}

// take claims the child at hand; the caller must read it to its end.
func (x *codec) take() {
	x.at.have = false
	x.at.took++
}

// elem is an element that is always there.
func (x *codec) elem(name string, v element) {
	if x.reading() {
		if x.child(name) {
			x.take()
			x.read(v)
		}
		return
	}
	x.begin(name)
	v.fields(x)
	x.finish(name)
}

// named is an element that is there under one of several names, and keeps under which. Of
// a name that is read, known returns what is kept: "" = it is none of them.
func (x *codec) named(name *string, v element, known func(local []byte) string) {
	if !x.reading() {
		x.elem("t:"+*name, v)
		return
	}
	x.advance()
	if !x.at.have || x.d.ns != 't' {
		return
	}
	if is := known(x.d.local); is != "" {
		*name = is
		x.take()
		x.read(v)
	}
}

// picks decides a choice between elements: when reading by the child at hand, when
// writing by what the value says.
func (x *codec) picks(name string, value bool) bool {
	if x.reading() {
		return x.child(name)
	}
	return value
}

// pointer to an element type: how optional elements and lists make new ones.
type pointer[T any] interface {
	*T
	element
}

// opt is an element that may be absent.
func opt[T any, P pointer[T]](x *codec, name string, v **T) {
	if x.reading() {
		if x.child(name) {
			*v = new(T)
			x.elem(name, P(*v))
		}
		return
	}
	if *v != nil {
		x.elem(name, P(*v))
	}
}

// each is any number of children next to each other; one describes one of them.
func each[T any](x *codec, list *[]T, one func(*codec, *T)) {
	if !x.reading() {
		for i := range *list {
			one(x, &(*list)[i])
		}
		return
	}
	for {
		var v T
		before := x.at.took
		if one(x, &v); x.at.took == before || !x.d.charge(256) {
			return
		}
		*list = append(*list, v)
	}
}

// fill reads what an element that is a list holds; other children are passed over. The
// values are read in their place, since items are large.
func fill[T any](x *codec, list *[]T, one func(*codec, *T)) {
	for x.advance(); x.at.have && x.d.charge(256); x.advance() {
		n, before := len(*list), x.at.took
		*list = append(*list, *new(T))
		if one(x, &(*list)[n]); x.at.took == before {
			*list = (*list)[:n]
			return
		}
	}
}

// list is an element that holds nothing but a list; it is absent when the list is nil.
func list[T any](x *codec, name string, v *[]T, one func(*codec, *T)) {
	if x.reading() {
		if x.child(name) {
			x.take()
			if *v == nil {
				*v = []T{}
			}
			x.within(func(x *codec) { fill(x, v, one) })
		}
		return
	}
	if *v != nil {
		x.begin(name)
		each(x, v, one)
		x.finish(name)
	}
}

// elements describes a list of one kind of element.
func elements[T any, P pointer[T]](name string) func(*codec, *T) {
	return func(x *codec, v *T) { x.elem(name, P(v)) }
}

func texts(name string) func(*codec, *string) {
	return func(x *codec, v *string) { x.keep(name, v) }
}

// text is a string; it is absent when empty.
func (x *codec) text(name string, v *string) {
	if x.reading() || *v != "" {
		x.keep(name, v)
	}
}

// keep is a string that is written even when it is empty.
func (x *codec) keep(name string, v *string) {
	if x.reading() {
		if x.child(name) {
			x.take()
			*v = word(x.d.text())
		}
		return
	}
	x.begin(name)
	x.chars(*v)
	x.finish(name)
}

// word makes a string of text; the words that occur in every item cost nothing.
func word(b []byte) string {
	switch string(b) {
	case RoutingSMTP:
		return RoutingSMTP
	case "Mailbox":
		return "Mailbox"
	case "OneOff":
		return "OneOff"
	case "Normal":
		return "Normal"
	case "IPM.Note":
		return "IPM.Note"
	case NoError:
		return NoError
	}
	return string(b)
}

// parsed is a value with a text form; a form that cannot be read leaves the value as it
// is, because no single odd value is worth the whole answer.
func parsed[T any](x *codec, name string, v *T, read func(string) (T, error)) {
	if x.child(name) {
		x.take()
		if value, err := read(strings.TrimSpace(string(x.d.text()))); err == nil {
			*v = value
		}
	}
}

func (x *codec) bool(name string, v **bool) {
	if x.reading() {
		parsed(x, name, v, func(s string) (*bool, error) {
			b, err := strconv.ParseBool(s)
			return &b, err
		})
		return
	}
	if *v != nil {
		s := strconv.FormatBool(**v)
		x.keep(name, &s)
	}
}

// flag is a boolean that is absent when false.
func (x *codec) flag(name string, v *bool) {
	if x.reading() {
		parsed(x, name, v, strconv.ParseBool)
		return
	}
	if *v {
		s := "true"
		x.keep(name, &s)
	}
}

// always is a boolean that is written in either case.
func (x *codec) always(name string, v *bool) {
	if x.reading() {
		parsed(x, name, v, strconv.ParseBool)
		return
	}
	s := strconv.FormatBool(*v)
	x.keep(name, &s)
}

func (x *codec) int(name string, v **int) {
	if x.reading() {
		parsed(x, name, v, func(s string) (*int, error) {
			n, err := strconv.Atoi(s)
			return &n, err
		})
		return
	}
	if *v != nil {
		s := strconv.Itoa(**v)
		x.keep(name, &s)
	}
}

// number is an integer that is absent when zero.
func (x *codec) number(name string, v *int64) {
	if x.reading() {
		parsed(x, name, v, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
		return
	}
	if *v != 0 {
		s := strconv.FormatInt(*v, 10)
		x.keep(name, &s)
	}
}

// time is an instant; it is absent when zero. A time without an offset is UTC, which is
// what Exchange means unless a time zone context was sent.
func (x *codec) time(name string, v *time.Time) {
	if x.reading() {
		parsed(x, name, v, parseTime)
		return
	}
	if !v.IsZero() {
		s := v.UTC().Format(time.RFC3339)
		x.keep(name, &s)
	}
}

func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", s)
	}
	return t.UTC(), err
}

// binary is base64 text that is small enough to be held.
func (x *codec) binary(name string, v *[]byte) {
	if x.reading() {
		if x.child(name) {
			x.take()
			if b, err := x.held(); err == nil {
				*v = b
			}
		}
		return
	}
	if *v != nil {
		x.begin(name)
		x.encode(*v)
		x.finish(name)
	}
}

// held decodes the base64 text of the element at hand into memory.
func (x *codec) held() ([]byte, error) {
	b := bounded{d: x.d}
	_, err := x.d.content(&b)
	return b.Bytes(), err
}

// bounded is a buffer that counts against what may be held.
type bounded struct {
	bytes.Buffer
	d *decoder
}

func (b *bounded) Write(p []byte) (int, error) {
	if !b.d.charge(len(p)) {
		return 0, errBounds
	}
	return b.Buffer.Write(p)
}

// attr is an attribute of the element itself; it is absent when empty.
func (x *codec) attr(name string, v *string) {
	if x.reading() {
		if x.at.fresh {
			*v, _ = x.d.attr(name)
		}
		return
	}
	if *v != "" {
		x.attrs(name, *v)
	}
}

func (x *codec) attrInt(name string, v **int) {
	if x.reading() {
		if x.at.fresh {
			if s, ok := x.d.attr(name); ok {
				if n, err := strconv.Atoi(s); err == nil {
					*v = &n
				}
			}
		}
		return
	}
	if *v != nil {
		x.attrs(name, strconv.Itoa(**v))
	}
}

func (x *codec) attrBool(name string, v **bool) {
	if x.reading() {
		if x.at.fresh {
			if s, ok := x.d.attr(name); ok {
				b := s == "true" || s == "1"
				*v = &b
			}
		}
		return
	}
	if *v != nil {
		x.attrs(name, strconv.FormatBool(**v))
	}
}

// value is the text of the element itself, after its attributes.
func (x *codec) value(v *string) {
	if x.reading() {
		if x.at.fresh {
			*v = string(x.d.text())
			x.at = frame{done: true}
		}
		return
	}
	x.chars(*v)
}

// begin, chars, attrs, encode and finish write.

func (x *codec) begin(name string) {
	x.closeTag()
	x.out = append(x.out, '<')
	x.out = append(x.out, plain(name)...)
	x.open = true
}

func (x *codec) closeTag() {
	if x.open {
		x.out = append(x.out, '>')
		x.open = false
	}
	if x.w != nil && len(x.out) >= windowSize {
		x.flush()
	}
}

func (x *codec) finish(name string) {
	if x.open {
		x.out = append(x.out, "/>"...)
		x.open = false
		return
	}
	x.out = append(x.out, "</"...)
	x.out = append(x.out, plain(name)...)
	x.out = append(x.out, '>')
}

// plain is a name as it is written: those of no namespace that we know have no prefix.
func plain(name string) string { return strings.TrimPrefix(name, "?:") }

// declare is an attribute that is written and never read.
func (x *codec) declare(name, value string) {
	if !x.reading() {
		x.attrs(name, value)
	}
}

func (x *codec) flush() {
	if x.err == nil {
		_, x.err = x.w.Write(x.out)
	}
	x.out = x.out[:0]
}

func (x *codec) attrs(name, value string) {
	x.out = append(x.out, ' ')
	x.out = append(x.out, name...)
	x.out = append(x.out, '=', '"')
	x.out = x.escape(x.out, value)
	x.out = append(x.out, '"')
}

func (x *codec) chars(s string) {
	if s == "" {
		return
	}
	x.closeTag()
	x.out = x.escape(x.out, s)
}

// encode writes base64 piece by piece, so that a large content is held once.
func (x *codec) encode(b []byte) {
	if len(b) == 0 {
		return
	}
	for x.closeTag(); len(b) > 0; x.closeTag() {
		piece := b[:min(len(b), windowSize/4*3)]
		x.out = base64.StdEncoding.AppendEncode(x.out, piece)
		b = b[len(piece):]
	}
}

func (x *codec) escape(out []byte, s string) []byte {
	last := 0
	for i := 0; i < len(s); {
		c := s[i]
		var subst string
		n := 1
		switch {
		case c == '&':
			subst = "&amp;"
		case c == '<':
			subst = "&lt;"
		case c == '>':
			subst = "&gt;"
		case c == '"':
			subst = "&quot;"
		case c == '\r':
			subst = "&#xD;"
		case c < ' ' && c != '\t' && c != '\n':
			subst = x.forbidden(rune(c))
		case c >= utf8.RuneSelf:
			var r rune
			r, n = utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				subst = "\uFFFD"
			case !allowed(r):
				subst = x.forbidden(r)
			}
		}
		if subst != "" {
			out = append(out, s[last:i]...)
			out = append(out, subst...)
			last = i + n
		}
		i += n
	}
	return append(out, s[last:]...)
}

func (x *codec) forbidden(r rune) string {
	if !x.references {
		return "\uFFFD"
	}
	return "&#x" + strings.ToUpper(strconv.FormatInt(int64(r), 16)) + ";"
}
