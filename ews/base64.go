package ews

import (
	stdbase64 "encoding/base64"
	"io"

	"github.com/segmentio/asm/base64"
)

// A base64Decoder decodes base64 that comes in pieces of any length. Pieces without
// white space go through vector instructions; line breaks, blanks and missing padding,
// which all occur, take the slower way.
type base64Decoder struct {
	w       io.Writer
	out     []byte
	carry   [4]byte // digits of an unfinished group
	n       int     // how many
	padded  bool    // padding was seen: nothing may follow
	written int64
}

func (b *base64Decoder) start(w io.Writer) {
	*b = base64Decoder{w: w, out: b.out}
	if b.out == nil {
		b.out = make([]byte, windowSize/4*3)
	}
}

func (b *base64Decoder) write(p []byte) error {
	for len(p) > 0 {
		piece := p[:min(len(p), windowSize)]
		p = p[len(piece):]
		if b.n == 0 && !b.padded {
			whole := piece[:len(piece)/4*4]
			if n, err := base64.StdEncoding.Decode(b.out, whole); err == nil {
				if k := len(whole); k > 0 {
					b.padded = whole[k-1] == '='
				}
				if err := b.emit(n); err != nil {
					return err
				}
				piece = piece[len(whole):]
			}
		}
		if err := b.slow(piece); err != nil {
			return err
		}
	}
	return nil
}

// slow drops white space and decodes group by group into out. It leaves the decoder at
// a group's border as often as white space allows, so that write is fast again.
func (b *base64Decoder) slow(p []byte) error {
	fill := 0
	for _, c := range p {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '=':
			b.padded = true
		default:
			if b.padded && (b.n == 0 || b.carry[b.n-1] == '=') {
				return stdbase64.CorruptInputError(b.written)
			}
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
