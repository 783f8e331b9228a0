package mail

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The bounds of a message. Real mail stays far below; what lies beyond is made to keep
// parsers busy. The rest of the message is read all the same.
const (
	maxSize   = 256 << 20 // bytes of a message; Exchange allows 150 MB at most
	maxHeader = 1 << 20   // bytes of one header
	maxDepth  = 30        // multiparts in one another
	maxParts  = 1000
)

// A part is a node of the tree of a message: children if it is a multipart that could
// be taken apart, else the body as it came.
type part struct {
	Header
	kind     string // media type, lower case; text/plain if none is said
	params   map[string]string
	body     []byte
	children []*part
}

// ParseHeader reads the header of a message and no more of r than it must. The error is
// r's own; what was read until then is returned with it.
func ParseHeader(r io.Reader) (*Header, error) {
	var data []byte
	var err error
	for !headerEnds(data) && len(data) < maxHeader && err == nil {
		size := max(4096, 2*len(data))
		chunk := make([]byte, len(data)+size)
		copy(chunk, data)
		var n int
		n, err = io.ReadFull(r, chunk[len(data):])
		data = chunk[:len(data)+n]
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	s := splitter{data: newlines(data)}
	s.start()
	h := s.header()
	return &h, err
}

// headerEnds tells whether data holds an empty line behind its first field.
func headerEnds(data []byte) bool {
	data = bytes.TrimLeft(data, "\r\n")
	return bytes.Contains(data, []byte("\n\n")) || bytes.Contains(data, []byte("\n\r\n")) || bytes.Contains(data, []byte("\r\r"))
}

// newlines turns the line ends of a message that knows only CR into LF.
func newlines(data []byte) []byte {
	if bytes.IndexByte(data, '\n') < 0 && bytes.IndexByte(data, '\r') >= 0 {
		return bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	}
	return data
}

// A splitter takes a message apart in one pass over its bytes, whatever it is made of.
// It follows the boundaries of all open multiparts at once: so a missing terminator of
// an inner one does not swallow what follows, and 5,000 nested ones cost no more than
// their bytes. General parsers read each level through the reader of the level above,
// which is quadratic, and stop at the first line that they do not expect.
type splitter struct {
	data  []byte
	pos   int
	parts int
	open  [][]byte // boundaries of the multiparts around pos, outermost first
	odd   []string
}

// A delimiter is what ended a part: the boundary line of the open multipart number level,
// or the end of the data.
type delimiter struct {
	level int // noLevel at the end of the data
	last  bool
}

const noLevel = -1

// note adds to what is odd, each thing once.
func (s *splitter) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(s.odd, text) {
		s.odd = append(s.odd, text)
	}
}

// start skips what may stand before a header: empty lines and the From line of an mbox.
func (s *splitter) start() {
	for s.pos < len(s.data) && (s.data[s.pos] == '\n' || s.data[s.pos] == '\r') {
		s.pos++
	}
	if rest := s.data[s.pos:]; bytes.HasPrefix(rest, []byte("From ")) || bytes.HasPrefix(rest, []byte(">From ")) {
		s.line()
		s.note("a From line of an mbox")
	}
}

// line returns the next line without its end, and steps over it.
func (s *splitter) line() []byte {
	line := s.data[s.pos:]
	if n := bytes.IndexByte(line, '\n'); n >= 0 {
		line = line[:n]
		s.pos++
	}
	s.pos += len(line)
	return bytes.TrimRight(line, "\r")
}

// header reads the fields up to the empty line, or to where they plainly end without one.
func (s *splitter) header() Header {
	var h Header
	begin := s.pos
	for s.pos < len(s.data) {
		at := s.pos
		line := s.line()
		if len(line) == 0 || len(bytes.TrimSpace(line)) == 0 && !s.headerGoesOn() {
			break
		}
		if d := s.delimiter(line); d.level != noLevel {
			s.pos = at
			break
		}
		n := fieldName(line)
		if n == 0 && !s.headerGoesOn() {
			s.note("no empty line behind the header")
			s.pos = at
			break
		}
		if n == 0 {
			s.note("a header line without a colon")
			continue
		}
		end := s.folded(at + len(line))
		if s.pos-begin > maxHeader {
			s.note("the header is longer than %d bytes", maxHeader)
			s.skipHeader()
			break
		}
		colon := at + bytes.IndexByte(line, ':')
		h.fields = append(h.fields, Field{string(line[:n]), string(s.data[colon+1 : end])})
	}
	return h
}

// folded steps over the lines that continue a field and returns where its value ends.
func (s *splitter) folded(end int) int {
	for s.pos < len(s.data) && (s.data[s.pos] == ' ' || s.data[s.pos] == '\t') {
		at := s.pos
		line := s.line()
		if len(bytes.TrimSpace(line)) == 0 && !s.headerGoesOn() {
			s.pos = at // blanks on the line that should be empty
			break
		}
		end = at + len(line)
	}
	return end
}

// headerGoesOn tells whether the next line belongs to a header for sure.
func (s *splitter) headerGoesOn() bool {
	next := splitter{data: s.data, pos: s.pos}
	line := next.line()
	return len(line) > 0 && (line[0] == ' ' || line[0] == '\t' || fieldName(line) > 0)
}

// skipHeader steps behind the next empty line.
func (s *splitter) skipHeader() {
	for s.pos < len(s.data) && len(s.line()) > 0 {
	}
}

// fieldName returns the length of the name that a header line begins with, 0 if it does not.
func fieldName(line []byte) int {
	n := 0
	for n < len(line) && line[n] > ' ' && line[n] < 0x7F && line[n] != ':' {
		n++
	}
	rest := bytes.TrimLeft(line[n:], " \t")
	if len(rest) == 0 || rest[0] != ':' {
		return 0
	}
	return n
}

// part reads one part, header and body, and returns what ended it.
func (s *splitter) part(preset string) (*part, delimiter) {
	s.parts++
	p := &part{Header: s.header()}
	p.kind, p.params = parseParams(p.Get("Content-Type"))
	if !strings.Contains(p.kind, "/") {
		p.kind = preset
	}
	if !strings.HasPrefix(p.kind, "multipart/") {
		return p, s.leaf(p)
	}
	if len(s.open) >= maxDepth {
		s.note("more than %d multiparts in one another", maxDepth)
		return p, s.leaf(p)
	}
	return p, s.multipart(p)
}

func (s *splitter) leaf(p *part) delimiter {
	begin := s.pos
	end, d := s.next()
	p.body = s.data[begin:end]
	return d
}

// multipart reads the children of p. When no line has the boundary that p declares, the
// boundary is guessed from the lines; failing that, p is plain text.
func (s *splitter) multipart(p *part) delimiter {
	begin := s.pos
	boundary := strings.TrimRight(p.params["boundary"], " ")
	if boundary != "" {
		if d, found := s.children(p, boundary); found {
			return d
		}
	}
	s.pos = begin
	end, d := s.next()
	behind := s.pos
	if guessed := guessBoundary(s.data[begin:end]); guessed != "" {
		s.note("a multipart whose boundary is another than declared")
		s.pos = begin
		if d, found := s.children(p, guessed); found {
			return d
		}
	}
	s.note("a multipart without parts")
	s.pos = behind
	p.kind, p.body = "text/plain", s.data[begin:end]
	return d
}

// children reads the parts between the lines of a boundary; found is false when there
// is no such line.
func (s *splitter) children(p *part, boundary string) (d delimiter, found bool) {
	level, begin := len(s.open), s.pos
	s.open = append(s.open, []byte(boundary))
	end, d := s.next() // what stands before the first part is for programs without MIME
	if d.level != level {
		s.open = s.open[:level]
		return d, false
	}
	if d.last {
		s.note("a multipart without parts")
		p.kind, p.body = "text/plain", s.data[begin:end]
	}
	preset := "text/plain"
	if p.kind == "multipart/digest" {
		preset = "message/rfc822"
	}
	for d.level == level && !d.last {
		if s.parts >= maxParts {
			s.note("more than %d parts", maxParts)
			s.pos = len(s.data)
			d = delimiter{noLevel, false}
			break
		}
		var child *part
		child, d = s.part(preset)
		p.children = append(p.children, child)
	}
	s.open = s.open[:level]
	if d.level == level {
		_, d = s.next() // and what stands behind the last one
	} else {
		s.note("a multipart that does not end")
	}
	return d, true
}

// next steps behind the next boundary line of an open multipart. end is where the text
// before that line ends; the line end in front of the line belongs to the boundary.
func (s *splitter) next() (end int, d delimiter) {
	begin := s.pos
	for len(s.open) > 0 && s.seekDashes() {
		end = s.pos
		if d = s.delimiter(s.line()); d.level == noLevel {
			continue
		}
		for _, c := range [...]byte{'\n', '\r'} {
			if end > begin && s.data[end-1] == c {
				end--
			}
		}
		return end, d
	}
	s.pos = len(s.data)
	return s.pos, delimiter{noLevel, false}
}

// seekDashes moves to the next line that begins with two dashes; the one at pos counts.
func (s *splitter) seekDashes() bool {
	if bytes.HasPrefix(s.data[s.pos:], []byte("--")) {
		return true
	}
	n := bytes.Index(s.data[s.pos:], []byte("\n--"))
	s.pos += n + 1
	return n >= 0
}

// delimiter tells whose boundary line this is.
func (s *splitter) delimiter(line []byte) delimiter {
	if len(s.open) == 0 || !bytes.HasPrefix(line, []byte("--")) {
		return delimiter{noLevel, false}
	}
	line = bytes.TrimRight(line[2:], " \t\r")
	for i := len(s.open) - 1; i >= 0; i-- {
		rest, ok := bytes.CutPrefix(line, s.open[i])
		if !ok {
			continue
		}
		// What follows behind a blank does not count (RFC 2046, 5.1.1).
		if after, last := bytes.CutPrefix(rest, []byte("--")); len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t' {
			return delimiter{i, false}
		} else if last && (len(after) == 0 || after[0] == ' ' || after[0] == '\t') {
			return delimiter{i, true}
		}
	}
	return delimiter{noLevel, false}
}

// guessBoundary returns the boundary of the first line that looks like one: dashes, and
// a field of a part's header on the line behind it.
func guessBoundary(body []byte) string {
	s := splitter{data: body}
	for s.pos < len(s.data) {
		line := s.line()
		if b, ok := bytes.CutPrefix(line, []byte("--")); ok && len(b) > 0 && len(b) < 200 {
			rest := s.data[s.pos:]
			if n := len("Content-"); len(rest) > n && bytes.EqualFold(rest[:n], []byte("Content-")) {
				return string(bytes.TrimRight(b, " \t"))
			}
		}
	}
	return ""
}
