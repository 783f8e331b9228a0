package ews

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Bounds of what a server may make us hold. They are far above what Exchange sends and
// far below what hurts.
const (
	windowSize    = 64 << 10 // of the answer, at a time; also the longest tag
	maxDepth      = 64       // of elements; twenty item attachments inside each other fit
	maxName       = 256      // of an element or attribute, prefix included
	maxAttributes = 64
	maxBindings   = 256      // namespace declarations in force at once
	maxHeld       = 64 << 20 // bytes of text kept from one response message
)

// Errors of the decoder. A document that ends early is io.ErrUnexpectedEOF.
var (
	errDoctype = errors.New("document type declarations are refused")
	errBounds  = errors.New("exceeds what is accepted")
	errSyntax  = errors.New("not well-formed")
)

// A DecodeError says where in a document reading ended, and why. Its text never quotes
// the document, which may be private.
type DecodeError struct {
	Offset int64
	What   string
	Err    error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("xml at byte %d: %s: %v", e.Offset, e.What, e.Err)
}

func (e *DecodeError) Unwrap() error { return e.Err }

// A token is what the decoder stands on.
type token int

const (
	failed   token = iota // err says why
	startTag              // name, ns and attributes are those of the element
	endTag                // of the innermost open element
	docEnd                // the root element is closed
)

// A decoder reads XML as Exchange writes it, token by token over a window of the stream,
// without holding the document and without allocating for names.
//
// It is tolerant of what real servers send: characters that XML forbids, raw or as
// references, and bad UTF-8 come out as U+FFFD; a surrogate pair written as two references
// is joined; unknown references stay as they are; encoding and version of the
// declaration are not believed. It is strict about structure: tags must match,
// a document type is refused, bounds hold, and a document cut short is an error.
//
// Namespaces are resolved to the one letter that Microsoft's pages use as their prefix:
// s SOAP, m messages, t types, e errors, '?' any other.
type decoder struct {
	r        io.Reader
	buf      []byte
	pos, end int   // unread part of the window
	base     int64 // offset of buf[0] in the document
	err      error
	held     int // text kept since the last reset, against maxHeld

	ns    byte   // of the current start tag
	local []byte // its name, valid until the next token
	attrs []attribute
	empty bool // the current start tag is <closed/>

	names    []byte // qualified names of the open elements, one after the other
	starts   []int  // where each begins in names
	bindings []binding

	scratch []byte // text that could not be taken from the window as it stood
	high    rune   // high surrogate waiting for its other half
	closed  bool   // the root element was closed
	b64     base64Decoder
}

type attribute struct{ name, value []byte }

type binding struct {
	prefix string
	ns     byte
	depth  int
}

func newDecoder(r io.Reader) *decoder {
	return &decoder{r: r, buf: make([]byte, windowSize)}
}

// reset makes a decoder that keeps its buffers ready for another document.
func (d *decoder) reset(r io.Reader) {
	*d = decoder{
		r: r, buf: d.buf, names: d.names[:0], starts: d.starts[:0], attrs: d.attrs[:0],
		bindings: d.bindings[:0], scratch: d.scratch[:0], b64: base64Decoder{out: d.b64.out, stripped: d.b64.stripped},
	}
	if cap(d.scratch) > 1<<20 {
		d.scratch = nil
	}
}

// again makes a decoder whose document has ended ready for another one in the same
// stream: what was read ahead is kept.
func (d *decoder) again() { d.closed, d.held, d.high = false, 0, 0 }

// leave moves behind the end of the root element, and no further: on a stream, what
// follows may be minutes away.
func (d *decoder) leave() error {
	for d.err == nil && !d.closed {
		if d.next() == startTag {
			d.skip()
		}
	}
	return d.err
}

// fail keeps the first error; nothing moves after it.
func (d *decoder) fail(what string, err error) token {
	if d.err == nil {
		d.err = &DecodeError{Offset: d.base + int64(d.pos), What: what, Err: err}
	}
	return failed
}

// more reads on. It keeps the unread part of the window and returns false at the end of
// the stream, on an error, or when the window is full.
func (d *decoder) more() bool {
	if d.err != nil {
		return false
	}
	if d.pos > 0 {
		d.base += int64(d.pos)
		d.end = copy(d.buf, d.buf[d.pos:d.end])
		d.pos = 0
	}
	if d.end == len(d.buf) {
		d.fail("tag", errBounds)
		return false
	}
	for range 100 {
		n, err := d.r.Read(d.buf[d.end:])
		d.end += n
		if n > 0 {
			return true
		}
		if err == io.EOF {
			return false
		}
		if err != nil {
			d.fail("read", err)
			return false
		}
	}
	d.fail("read", io.ErrNoProgress)
	return false
}

// torn reports a stream that ended inside what.
func (d *decoder) torn(what string) token { return d.fail(what, io.ErrUnexpectedEOF) }

// next moves to the next tag; text on the way is dropped. At an empty element it gives
// the start tag first, then the end tag.
func (d *decoder) next() token {
	if d.err != nil {
		return failed
	}
	if d.empty {
		return d.close()
	}
	for {
		i := bytes.IndexByte(d.buf[d.pos:d.end], '<')
		if i < 0 {
			d.pos = d.end
			if !d.more() {
				return d.docEnd()
			}
			continue
		}
		d.pos += i
		switch t := d.markup(); t {
		case cdata:
			d.section(nil)
		case none:
		default:
			return t
		}
		if d.err != nil {
			return failed
		}
	}
}

// docEnd judges the end of the stream.
func (d *decoder) docEnd() token {
	switch {
	case d.err != nil:
		return failed
	case !d.closed:
		return d.torn("document")
	}
	return docEnd
}

// What markup may find besides tags.
const (
	none  token = 100 + iota // a comment, a declaration or a processing instruction; passed over
	cdata                    // d stands behind <![CDATA[
)

// markup reads what begins with the '<' at hand.
func (d *decoder) markup() token {
	for d.end-d.pos < 2 {
		if !d.more() {
			return d.torn("tag")
		}
	}
	switch d.buf[d.pos+1] {
	case '/':
		return d.endElement()
	case '?':
		return d.passOver(2, "?>")
	case '!':
		return d.declaration()
	}
	return d.startElement()
}

func (d *decoder) declaration() token {
	const cdataStart = "<![CDATA["
	for d.end-d.pos < len(cdataStart) {
		if !d.more() {
			return d.torn("declaration")
		}
	}
	switch head := d.buf[d.pos : d.pos+len(cdataStart)]; {
	case bytes.HasPrefix(head, []byte("<!--")):
		return d.passOver(4, "-->")
	case string(head) == cdataStart:
		if len(d.starts) == 0 {
			return d.fail("text outside of the document", errSyntax)
		}
		d.pos += len(cdataStart)
		return cdata
	case bytes.EqualFold(head, []byte("<!DOCTYPE")):
		return d.fail("document", errDoctype)
	}
	return d.fail("declaration", errSyntax)
}

// passOver skips to behind the mark.
func (d *decoder) passOver(skip int, mark string) token {
	d.pos += skip
	for {
		if i := bytes.Index(d.buf[d.pos:d.end], []byte(mark)); i >= 0 {
			d.pos += i + len(mark)
			return none
		}
		d.pos = max(d.pos, d.end-len(mark)+1)
		if !d.more() {
			return d.torn("comment or instruction")
		}
	}
}

// section hands the text of a CDATA section to take and moves behind it.
func (d *decoder) section(take func([]byte)) {
	for d.err == nil {
		seg := d.buf[d.pos:d.end]
		i := bytes.Index(seg, []byte("]]>"))
		if i >= 0 {
			seg = seg[:i]
		} else {
			seg = seg[:wholeRunes(seg[:max(0, len(seg)-2)])]
		}
		if take != nil {
			take(seg)
		}
		d.pos += len(seg)
		if i >= 0 {
			d.pos += 3
			return
		}
		if !d.more() {
			d.torn("text")
		}
	}
}

// tag moves behind the tag at hand and returns what stands between < and >.
func (d *decoder) tag() []byte {
	var quote byte
	for i := 1; ; {
		for _, c := range d.buf[d.pos+i : d.end] {
			i++
			switch {
			case quote != 0:
				if c == quote {
					quote = 0
				}
			case c == '>':
				t := d.buf[d.pos+1 : d.pos+i-1]
				d.pos += i
				return t
			case c == '"' || c == '\'':
				quote = c
			}
		}
		if !d.more() {
			d.torn("tag")
			return nil
		}
	}
}

func (d *decoder) startElement() token {
	if d.closed {
		return d.fail("second root element", errSyntax)
	}
	t := d.tag()
	if d.err != nil {
		return failed
	}
	d.empty = false
	if n := len(t); n > 0 && t[n-1] == '/' {
		d.empty = true
		t = t[:n-1]
	}
	n := nameLength(t)
	switch {
	case n == 0:
		return d.fail("element name", errSyntax)
	case n > maxName || len(d.starts) == maxDepth:
		return d.fail("element", errBounds)
	}
	name := t[:n]
	d.starts = append(d.starts, len(d.names))
	d.names = append(d.names, name...)
	if !d.attributes(t[n:]) {
		return failed
	}
	prefix := []byte(nil)
	d.local = name
	if i := bytes.IndexByte(name, ':'); i >= 0 {
		prefix, d.local = name[:i], name[i+1:]
	}
	d.ns = d.namespace(prefix)
	return startTag
}

func (d *decoder) endElement() token {
	t := d.tag()
	if d.err != nil {
		return failed
	}
	for t = t[1:]; len(t) > 0 && isBlank(t[len(t)-1]); {
		t = t[:len(t)-1]
	}
	n := len(d.starts)
	if n == 0 || string(t) != string(d.names[d.starts[n-1]:]) {
		return d.fail("end tag", errSyntax)
	}
	return d.close()
}

// close leaves the innermost element.
func (d *decoder) close() token {
	d.empty = false
	n := len(d.starts)
	for len(d.bindings) > 0 && d.bindings[len(d.bindings)-1].depth == n {
		d.bindings = d.bindings[:len(d.bindings)-1]
	}
	d.names = d.names[:d.starts[n-1]]
	d.starts = d.starts[:n-1]
	d.closed = n == 1
	return endTag
}

// attributes reads the rest of a start tag.
func (d *decoder) attributes(t []byte) bool {
	d.attrs = d.attrs[:0]
	for {
		rest := skipBlanks(t)
		if len(rest) == 0 {
			return true
		}
		n := nameLength(rest)
		if n == 0 || len(rest) == len(t) {
			d.fail("attribute", errSyntax)
			return false
		}
		name := rest[:n]
		rest = skipBlanks(rest[n:])
		if len(rest) < 2 || rest[0] != '=' {
			d.fail("attribute", errSyntax)
			return false
		}
		rest = skipBlanks(rest[1:])
		if len(rest) < 2 || rest[0] != '"' && rest[0] != '\'' {
			d.fail("attribute", errSyntax)
			return false
		}
		end := bytes.IndexByte(rest[1:], rest[0])
		if end < 0 {
			d.fail("attribute", errSyntax)
			return false
		}
		value := rest[1 : 1+end]
		t = rest[end+2:]
		if n > maxName || len(d.attrs) == maxAttributes {
			d.fail("attribute", errBounds)
			return false
		}
		d.attrs = append(d.attrs, attribute{name, value})
		if !d.bind(name, value) {
			return false
		}
	}
}

func skipBlanks(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	return b
}

// bind takes note of a namespace declaration.
func (d *decoder) bind(name, value []byte) bool {
	const xmlns = "xmlns"
	if len(name) < len(xmlns) || string(name[:len(xmlns)]) != xmlns {
		return true
	}
	prefix := name[len(xmlns):]
	if len(prefix) > 0 {
		if prefix[0] != ':' {
			return true
		}
		prefix = prefix[1:]
	}
	if len(d.bindings) == maxBindings {
		d.fail("namespaces", errBounds)
		return false
	}
	d.bindings = append(d.bindings, binding{string(prefix), namespaceLetter(value), len(d.starts)})
	return true
}

// namespaceLetter maps a namespace to its letter. Documents whose names were damaged to
// https are met in the field, copied from documentation that is.
func namespaceLetter(uri []byte) byte {
	if rest, ok := bytes.CutPrefix(uri, []byte("https:")); ok {
		uri = append([]byte("http:"), rest...)
	}
	switch string(uri) {
	case nsSOAP, "http://www.w3.org/2003/05/soap-envelope":
		return 's'
	case nsMessages:
		return 'm'
	case nsTypes:
		return 't'
	case nsErrors:
		return 'e'
	}
	return '?'
}

func (d *decoder) namespace(prefix []byte) byte {
	for i := len(d.bindings) - 1; i >= 0; i-- {
		if d.bindings[i].prefix == string(prefix) {
			return d.bindings[i].ns
		}
	}
	return '?'
}

// attr returns an attribute of the current start tag by its local name.
func (d *decoder) attr(name string) (string, bool) {
	for _, a := range d.attrs {
		if string(a.name) == name {
			if clean(a.value) {
				return string(a.value), d.charge(len(a.value))
			}
			d.scratch = d.unescape(d.scratch[:0], a.value)
			d.scratch = d.flushHigh(d.scratch)
			return string(d.scratch), d.charge(len(d.scratch))
		}
	}
	return "", false
}

// charge counts what is kept in memory against the bound for one response message.
func (d *decoder) charge(n int) bool {
	if d.held += n; d.held > maxHeld {
		d.fail("text", errBounds)
		return false
	}
	return true
}

// skip leaves the current element with all that is in it.
func (d *decoder) skip() {
	for depth := 1; depth > 0; {
		switch d.next() {
		case startTag:
			depth++
		case endTag:
			depth--
		default:
			return
		}
	}
}

// nameLength returns the length of the name at the start of b.
func nameLength(b []byte) int {
	for i, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == ':', c >= utf8.RuneSelf:
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.'):
		default:
			return i
		}
	}
	return len(b)
}
