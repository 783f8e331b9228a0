package ews

import (
	stdbase64 "encoding/base64"
	"io"

	"github.com/segmentio/asm/base64"
)

// A base64Decoder decodes base64 that comes in pieces of any length, by vector
// instructions. Line breaks, blanks and missing padding all occur.
type base64Decoder struct {
	w        io.Writer
	out      []byte
	stripped []byte
	carry    [4]byte // digits of an unfinished group
	n        int     // how many
	padded   bool    // padding was seen: nothing may follow
	written  int64
}

func (b *base64Decoder) start(w io.Writer) {
	*b = base64Decoder{w: w, out: b.out, stripped: b.stripped}
	if b.out == nil {
		b.out = make([]byte, windowSize/4*3)
	}
}

func (b *base64Decoder) write(p []byte) error {
	for len(p) > 0 {
		// Finish the group that the last piece left open, so that the rest can be fast.
		k := min((4-b.n)%4, len(p))
		if b.n > 0 {
			if err := b.slow(p[:k]); err != nil {
				return err
			}
			p = p[k:]
			continue
		}
		piece := p[:min(len(p), windowSize)]
		p = p[len(piece):]
		done, err := b.fast(piece)
		if err != nil {
			return err
		}
		if !done {
			piece = b.strip(piece)
			if done, err = b.fast(piece); err != nil {
				return err
			}
		}
		if done {
			piece = piece[len(piece)/4*4:]
		}
		if err := b.slow(piece); err != nil {
			return err
		}
	}
	return nil
}

// fast decodes the whole groups at the start of p, if they are nothing but groups.
func (b *base64Decoder) fast(p []byte) (bool, error) {
	whole := p[:len(p)/4*4]
	if len(whole) == 0 || b.padded {
		return false, nil
	}
	n, err := base64.StdEncoding.Decode(b.out, whole)
	if err != nil {
		return false, nil
	}
	b.padded = whole[len(whole)-1] == '='
	return true, b.emit(n)
}

// strip copies p without white space.
func (b *base64Decoder) strip(p []byte) []byte {
	b.stripped = b.stripped[:0]
	for len(p) > 0 {
		n := 0
		for n < len(p) && p[n] > ' ' {
			n++
		}
		b.stripped = append(b.stripped, p[:n]...)
		for n < len(p) && isBlank(p[n]) {
			n++
		}
		if n == 0 {
			b.stripped = append(b.stripped, p[0]) // no base64: slow will say so
			n = 1
		}
		p = p[n:]
	}
	return b.stripped
}

func isBlank(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// slow decodes group by group.
func (b *base64Decoder) slow(p []byte) error {
	fill := 0
	for _, c := range p {
		switch {
		case isBlank(c):
			continue
		case c == '=':
			b.padded = true
		case b.padded && (b.n == 0 || b.carry[b.n-1] == '='):
			return stdbase64.CorruptInputError(b.written)
		}
		b.carry[b.n] = c
		if b.n++; b.n == 4 {
			n, err := stdbase64.StdEncoding.Decode(b.out[fill:], b.carry[:])
			if err != nil {
				return err
			}
			fill += n
			b.n = 0
		}
	}
	return b.emit(fill)
}

func (b *base64Decoder) emit(n int) error {
	if n == 0 {
		return nil
	}
	b.written += int64(n)
	_, err := b.w.Write(b.out[:n])
	return err
}

// finish decodes a last group whose padding is missing.
func (b *base64Decoder) finish() error {
	rest := b.carry[:b.n]
	for len(rest) > 0 && rest[len(rest)-1] == '=' {
		rest = rest[:len(rest)-1]
	}
	b.n = 0
	if len(rest) == 0 {
		return nil
	}
	n, err := stdbase64.RawStdEncoding.Decode(b.out, rest)
	if err != nil {
		return err
	}
	return b.emit(n)
}
