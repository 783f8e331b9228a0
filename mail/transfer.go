package mail

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// decodeTransfer undoes a Content-Transfer-Encoding. ok is false when the encoding is
// not known; the bytes are then returned as they are.
func decodeTransfer(encoding string, b []byte) (out []byte, ok bool) {
	switch strings.ToLower(strings.Trim(encoding, " \t\r\n\"';")) {
	case "", "7bit", "8bit", "binary", "7-bit", "8-bit", "7bits", "8bits", "7 bit", "8 bit", "none":
		return b, true
	case "quoted-printable", "quotedprintable", "qp":
		return decodeQuoted(b), true
	case "base64", "base-64", "b64":
		return decodeBase64(b), true
	case "x-uuencode", "uuencode", "x-uue", "uue":
		return decodeUU(b), true
	}
	return b, false
}

// decodeBase64 reads base64 with whatever stands between its characters. It ends at the
// padding only if nothing more follows: some senders pad each line.
func decodeBase64(b []byte) []byte {
	out := make([]byte, 0, base64.StdEncoding.DecodedLen(len(b))+3)
	var quad [4]byte
	n := 0
	flush := func() {
		if n > 1 {
			var three [3]byte
			m, _ := base64.RawStdEncoding.Decode(three[:], quad[:n])
			out = append(out, three[:m]...)
		}
		n = 0
	}
	for len(b) > 0 {
		if n == 0 { // the main road: a run of whole groups
			run := base64Run(b)
			out, _ = base64.RawStdEncoding.AppendDecode(out, b[:run])
			if b = b[run:]; len(b) == 0 {
				break
			}
		}
		switch c := b[0]; {
		case isBase64(c):
			quad[n] = c
			if n++; n == 4 {
				flush()
			}
		case c == '=':
			flush()
		}
		b = b[1:]
	}
	flush()
	return out
}

// base64Run returns how many bytes at the start of b are whole groups of base64.
func base64Run(b []byte) int {
	n := 0
	for n < len(b) && isBase64(b[n]) {
		n++
	}
	return n - n%4
}

func isBase64(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}

// decodeQuoted reads quoted-printable. A = that begins no code stands for itself.
func decodeQuoted(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		eq := bytes.IndexByte(b, '=')
		if eq < 0 {
			return append(out, b...)
		}
		out = append(out, b[:eq]...)
		b = b[eq+1:]
		if n := softBreak(b); n >= 0 {
			b = b[n:]
			continue
		}
		var c [1]byte
		if len(b) >= 2 {
			if _, err := hex.Decode(c[:], b[:2]); err == nil {
				out = append(out, c[0])
				b = b[2:]
				continue
			}
		}
		out = append(out, '=')
	}
	return out
}

// softBreak returns the length of the line end that b begins with, blanks before it
// included; -1 when there is none. The end of the text counts.
func softBreak(b []byte) int {
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	switch {
	case i == len(b):
		return i
	case b[i] == '\n':
		return i + 1
	case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
		return i + 2
	}
	return -1
}

// decodeUU reads uuencoded lines between "begin" and "end".
func decodeUU(b []byte) []byte {
	var out []byte
	begun := false
	for line := range bytes.Lines(b) {
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case !begun:
			begun = bytes.HasPrefix(line, []byte("begin "))
		case bytes.Equal(line, []byte("end")):
			return out
		case len(line) > 0:
			out = append(out, decodeUULine(line)...)
		}
	}
	return out
}

func decodeUULine(line []byte) []byte {
	want := int(line[0]-' ') & 0x3F
	var out []byte
	for data := line[1:]; len(out) < want && len(data) > 0; data = data[min(4, len(data)):] {
		var q [4]byte
		for i := range min(4, len(data)) {
			q[i] = (data[i] - ' ') & 0x3F
		}
		out = append(out, q[0]<<2|q[1]>>4, q[1]<<4|q[2]>>2, q[2]<<6|q[3])
	}
	return out[:min(want, len(out))]
}
