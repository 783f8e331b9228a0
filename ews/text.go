package ews

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"
)

// text returns the text of the current element and moves behind its end tag. Elements
// inside are left out. The bytes are valid until the next call.
func (d *decoder) text() []byte {
	var whole []byte // the text, when it is one clean piece of the window
	d.scratch, d.high = d.scratch[:0], 0
	d.pieces(func(seg []byte, verbatim, last bool) {
		if last && !verbatim && len(d.scratch) == 0 && d.high == 0 && clean(seg) {
			whole = seg
			return
		}
		if !d.charge(len(seg)) {
			return
		}
		if verbatim {
			d.scratch = appendValid(d.flushHigh(d.scratch), seg)
		} else {
			d.scratch = d.unescape(d.scratch, seg)
		}
	})
	if d.err != nil {
		return nil
	}
	if whole != nil {
		d.charge(len(whole))
		return whole
	}
	d.scratch = d.flushHigh(d.scratch)
	return d.scratch
}

// content decodes the base64 text of the current element into w, moves behind its end
// tag and returns how many bytes it was. Its error says that the text is no base64 or
// that w refused it; the document itself can be read on.
func (d *decoder) content(w io.Writer) (int64, error) {
	d.b64.start(w)
	d.high = 0
	var bad error
	d.pieces(func(seg []byte, verbatim, _ bool) {
		if bad != nil {
			return
		}
		if !verbatim && bytes.IndexByte(seg, '&') >= 0 {
			d.scratch = d.unescape(d.scratch[:0], seg)
			seg = d.scratch
		}
		bad = d.b64.write(seg)
	})
	if bad == nil {
		bad = d.b64.finish()
	}
	return d.b64.written, bad
}

// pieces hands the text of the current element piece by piece to take and moves behind
// its end tag. verbatim pieces hold no references; a piece never ends inside a character
// or a reference. last is set on a piece that ends right before the end tag.
func (d *decoder) pieces(take func(seg []byte, verbatim, last bool)) {
	if d.empty {
		d.close()
		return
	}
	for d.err == nil {
		seg := d.buf[d.pos:d.end]
		if i := bytes.IndexByte(seg, '<'); i >= 0 {
			seg = seg[:i]
			d.pos += i
			take(seg, false, d.endAtHand())
			switch d.markup() {
			case endTag, failed:
				return
			case startTag:
				d.skip()
			case cdata:
				d.section(func(b []byte) { take(b, true, false) })
			}
			continue
		}
		seg = seg[:wholeReferences(seg)]
		take(seg, false, false)
		d.pos += len(seg)
		if !d.more() {
			d.torn("text")
		}
	}
}

// endAtHand tells whether a whole end tag follows in the window, so that reading it
// does not move what lies before it.
func (d *decoder) endAtHand() bool {
	b := d.buf[d.pos:d.end]
	return len(b) > 1 && b[1] == '/' && bytes.IndexByte(b, '>') > 0
}

// longestReference is the longest that is understood, leading zeros included.
const longestReference = 16

// wholeReferences returns how much of b, which goes on, can be read without what follows.
func wholeReferences(b []byte) int {
	for i := len(b) - 1; i >= 0 && i > len(b)-longestReference; i-- {
		if b[i] == ';' {
			break
		}
		if b[i] == '&' {
			return i
		}
	}
	return wholeRunes(b)
}

// wholeRunes leaves out a character or a line end that may be cut at the end of b.
func wholeRunes(b []byte) int {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		return n - 1
	}
	for i := 1; i <= len(b) && i < utf8.UTFMax; i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-i:]) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}

// special marks bytes that cannot be copied as they are (1) or need a look at the
// whole character (2).
var special = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c == '\t' || c == '\n':
		case c < ' ' || c == '&':
			t[c] = 1
		case c >= utf8.RuneSelf:
			t[c] = 2
		}
	}
	return t
}()

// clean tells whether b stands for itself.
func clean(b []byte) bool {
	var all uint8
	for _, c := range b {
		all |= special[c]
	}
	return all == 0 || all == 2 && utf8.Valid(b) && !bytes.Contains(b, []byte("\uFFFE")) && !bytes.Contains(b, []byte("\uFFFF"))
}

// unescape appends b to out with references resolved, line ends made \n, as XML asks,
// and forbidden characters replaced.
func (d *decoder) unescape(out, b []byte) []byte {
	for i := 0; i < len(b); {
		start := i
		for i < len(b) && special[b[i]] == 0 {
			i++
		}
		if i > start {
			out = append(d.flushHigh(out), b[start:i]...)
			continue
		}
		if b[i] == '&' {
			r, n := reference(b[i:])
			if n > 0 {
				out = d.appendRune(out, r)
				i += n
				continue
			}
			out = append(d.flushHigh(out), '&')
			i++
			continue
		}
		out = d.flushHigh(out)
		r, n := utf8.DecodeRune(b[i:])
		i += n
		switch {
		case r == '\r':
			out = append(out, '\n')
			if i < len(b) && b[i] == '\n' {
				i++
			}
		case !allowed(r):
			out = append(out, "\uFFFD"...)
		default:
			out = append(out, b[i-n:i]...)
			if r == utf8.RuneError && n == 1 {
				out = append(out[:len(out)-1], "\uFFFD"...)
			}
		}
	}
	return out
}

// appendValid is unescape for text without references.
func appendValid(out, b []byte) []byte {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		i += n
		switch {
		case r == '\r':
			out = append(out, '\n')
			if i < len(b) && b[i] == '\n' {
				i++
			}
		case !allowed(r):
			out = append(out, "\uFFFD"...)
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// appendRune appends a character that came as a reference. Exchange writes characters
// outside of the basic plane as two references, one for each surrogate.
func (d *decoder) appendRune(out []byte, r rune) []byte {
	switch {
	case r >= 0xD800 && r < 0xDC00:
		out = d.flushHigh(out)
		d.high = r
		return out
	case r >= 0xDC00 && r < 0xE000 && d.high != 0:
		r = 0x10000 + (d.high-0xD800)<<10 + (r - 0xDC00)
		d.high = 0
		return utf8.AppendRune(out, r)
	}
	out = d.flushHigh(out)
	if !allowed(r) {
		r = utf8.RuneError
	}
	return utf8.AppendRune(out, r)
}

// flushHigh gives up waiting for the other half of a surrogate pair.
func (d *decoder) flushHigh(out []byte) []byte {
	if d.high == 0 {
		return out
	}
	d.high = 0
	return append(out, "\uFFFD"...)
}

// allowed is XML's production Char.
func allowed(r rune) bool {
	switch {
	case r < ' ':
		return r == '\t' || r == '\n' || r == '\r'
	case r < 0xD800:
		return true
	case r < 0xE000:
		return false
	}
	return r <= 0x10FFFF && r != 0xFFFE && r != 0xFFFF
}

// reference reads the reference at the start of b and returns its length, 0 when it is
// none that XML knows without a document type.
func reference(b []byte) (rune, int) {
	end := bytes.IndexByte(b[:min(len(b), longestReference)], ';')
	if end < 2 {
		return 0, 0
	}
	name := b[1:end]
	if name[0] == '#' {
		digits, base := name[1:], 10
		if len(digits) > 0 && digits[0] == 'x' {
			digits, base = digits[1:], 16
		}
		if len(digits) == 0 || digits[0] == '+' || digits[0] == '-' || bytes.IndexByte(digits, '_') >= 0 {
			return 0, 0
		}
		n, err := strconv.ParseUint(string(digits), base, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, 0
		}
		return rune(min(n, 0x110000)), end + 1
	}
	switch string(name) {
	case "lt":
		return '<', end + 1
	case "gt":
		return '>', end + 1
	case "amp":
		return '&', end + 1
	case "quot":
		return '"', end + 1
	case "apos":
		return '\'', end + 1
	}
	return 0, 0
}
