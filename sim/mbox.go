package sim

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxLetter is the size beyond which one letter is taken for something else: no server
// takes mail that large.
const maxLetter = 256 << 20

// decompress looks at the first bytes of r and unpacks gzip and Zstandard; anything else
// is passed on as it is. done gives the decoder's memory back.
func decompress(r io.Reader) (in *bufio.Reader, done func(), err error) {
	in = bufio.NewReaderSize(r, 64<<10)
	magic, _ := in.Peek(4)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, fmt.Errorf("unpack gzip: %w", err)
		}
		return bufio.NewReaderSize(z, 64<<10), func() { _ = z.Close() }, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, fmt.Errorf("unpack Zstandard: %w", err)
		}
		return bufio.NewReaderSize(z, 64<<10), z.Close, nil
	}
	return in, func() {}, nil
}

// readMbox hands each letter of an mbox file to take. The slice is only good until take
// returns. Of the dialects it reads mboxrd, in which ">From " at the start of a line
// stands for "From "; an unquoted "From " within a text does not split a letter as long
// as no blank line and time of day make it look like a separator.
func readMbox(in *bufio.Reader, take func(raw []byte) error) error {
	var letter []byte
	open := false              // inside a letter
	start, blank := true, true // the next bytes begin a line; the line before was blank
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case len(line) > 0 && start && blank && isSeparator(line):
			if open {
				if err := take(dropBlank(letter)); err != nil {
					return err
				}
			}
			open, letter = true, letter[:0]
			if err := finishLine(in, err); err != nil {
				return err
			}
			start, blank = true, false
			continue
		case !open && len(bytes.TrimSpace(line)) > 0:
			return errors.New("text before the first \"From \" line of the mbox")
		case open:
			if quoted := bytes.TrimLeft(line, ">"); start && len(quoted) < len(line) && bytes.HasPrefix(quoted, []byte("From ")) {
				line = line[1:]
			}
			if len(letter)+len(line) > maxLetter {
				return fmt.Errorf("a letter of more than %d bytes", maxLetter)
			}
			letter = append(letter, line...)
		}
		blank = start && len(bytes.TrimRight(line, "\r\n")) == 0
		start = bytes.HasSuffix(line, []byte("\n"))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	if !open {
		return nil
	}
	return take(dropBlank(letter))
}

// finishLine skips the rest of a separator that did not fit into the buffer.
func finishLine(in *bufio.Reader, err error) error {
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = in.ReadSlice('\n')
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// dropBlank takes off the blank line that an mbox has between letters.
func dropBlank(letter []byte) []byte {
	if cut, ok := bytes.CutSuffix(letter, []byte("\r\n")); ok && bytes.HasSuffix(cut, []byte("\n")) {
		return cut
	}
	if cut, ok := bytes.CutSuffix(letter, []byte("\n")); ok && bytes.HasSuffix(cut, []byte("\n")) {
		return cut
	}
	return letter
}

// isSeparator tells whether a line is "From ADDRESS DATE": it must hold a time of day.
func isSeparator(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("From ")) {
		return false
	}
	for i := 5; i+5 <= len(line); i++ {
		if line[i+2] == ':' && isDigit(line[i]) && isDigit(line[i+1]) && isDigit(line[i+3]) && isDigit(line[i+4]) {
			return true
		}
	}
	return false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
