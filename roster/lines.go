package roster

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// maxLine bounds a line, and what a row or property of several lines may hold, in bytes.
const maxLine = 64 << 10

// A line of a file, without its end.
type line struct {
	n    int    // counted from 1
	raw  string // bytes that need not be UTF-8
	long bool   // longer than maxLine: raw is its beginning, the rest was skipped
}

// lines reads a file line by line. Lines that were taken too early can be given back.
type lines struct {
	name   string
	vcard  bool // the file begins as a vCard does
	r      *bufio.Reader
	end    byte // what ends a line: LF, or the CR of an old Mac
	n      int
	back   []line // given back, to be taken first
	legacy int    // lines that were not UTF-8
	err    error  // why there are no more lines, if not for the end of the file
}

// open looks at the beginning of a file: whether it is text, and in which encoding.
func open(r io.Reader, name string) (*lines, error) {
	l := &lines{name: name, r: bufio.NewReaderSize(r, maxLine), end: '\n'}
	head, err := l.peek()
	if err != nil {
		return nil, unreadable(name, err)
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0")):
		return nil, unusable("workbook", name+" is a workbook of a spreadsheet program, not a CSV file.", "Open it there and save it as “CSV UTF-8”.")
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		l.r.Discard(3) // peeked at, so it is there
	default:
		if enc := wide(head); enc != nil {
			l.r = bufio.NewReaderSize(transform.NewReader(l.r, enc.NewDecoder()), maxLine)
		}
	}
	if head, err = l.peek(); err != nil {
		return nil, unreadable(name, err)
	}
	head = bytes.TrimSpace(head)
	if len(head) == 0 {
		return nil, unusable("empty", name+" is empty.", "Choose a CSV file whose first row names the columns, or a vCard file.")
	}
	if heading, _, _ := bytes.Cut(head, []byte("\n")); bytes.IndexByte(heading, 0) >= 0 {
		return nil, unusable("not-text", name+" is not a text file.", "Choose a CSV file whose first row names the columns, or a vCard file.")
	}
	if bytes.IndexByte(head, '\n') < 0 && bytes.IndexByte(head, '\r') >= 0 {
		l.end = '\r'
	}
	const begin = "BEGIN:VCARD"
	l.vcard = len(head) >= len(begin) && bytes.EqualFold(head[:len(begin)], []byte(begin))
	return l, nil
}

// peek returns the beginning of what is still to be read.
func (l *lines) peek() ([]byte, error) {
	head, err := l.r.Peek(4096)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return head, err
}

// wide recognises UTF-16, which spreadsheets call "Unicode text", with and without a byte
// order mark: half the bytes of Latin text are zero then.
func wide(head []byte) encoding.Encoding {
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	}
	var zeros [2]int
	for i, c := range head {
		if c == 0 {
			zeros[i%2]++
		}
	}
	const few = 4 // one in so many characters is Latin even in Japanese lists: delimiters, addresses
	switch half := len(head) / 2; {
	case half > 0 && zeros[1] > half/few && zeros[0] == 0:
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case half > 0 && zeros[0] > half/few && zeros[1] == 0:
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	}
	return nil
}

// next returns the next line; false at the end of the file or when l.err says why.
func (l *lines) next() (line, bool) {
	if n := len(l.back); n > 0 {
		ln := l.back[n-1]
		l.back = l.back[:n-1]
		return ln, true
	}
	raw, err := l.r.ReadSlice(l.end)
	if err != nil && len(raw) == 0 || l.err != nil {
		l.fail(err)
		return line{}, false
	}
	l.n++
	ln := line{n: l.n}
	if err == bufio.ErrBufferFull {
		ln.raw = string(raw[:256])
		for err == bufio.ErrBufferFull {
			_, err = l.r.ReadSlice(l.end)
		}
		ln.long = true
	} else {
		ln.raw = string(bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte{l.end}), []byte{'\r'}))
	}
	l.fail(err)
	return ln, true
}

func (l *lines) fail(err error) {
	if l.err == nil && err != nil && !errors.Is(err, io.EOF) {
		l.err = err
	}
}

// giveBack puts lines back, which come again in the same order.
func (l *lines) giveBack(list ...line) {
	for i := len(list) - 1; i >= 0; i-- {
		l.back = append(l.back, list[i])
	}
}

// text reads bytes as UTF-8 or, where they are none, as Windows-1252, in which
// spreadsheets of the West save their CSV.
func (l *lines) text(raw string) string {
	if utf8.ValidString(raw) {
		return raw
	}
	l.legacy++
	s, _ := charmap.Windows1252.NewDecoder().String(raw) // it has a meaning for each byte
	return s
}

// notes tells how the bytes were understood.
func (l *lines) notes() []string {
	if l.legacy == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d lines are not UTF-8 and were read as Windows-1252: check names with accents.", l.legacy)}
}
