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

// decodeQuoted reads quoted-printable. Blanks at the end of a line were added on the way and
// go (RFC 2045, 6.7). A = that begins no code stands for itself.
func decodeQuoted(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for line := range bytes.Lines(b) {
		text, end := line, line[len(line):]
		if n := len(line); line[n-1] == '\n' {
			if n--; n > 0 && line[n-1] == '\r' {
				n--
			}
			text, end = bytes.TrimRight(line[:n], " \t"), line[n:]
		}
		if soft, ok := bytes.CutSuffix(text, []byte("=")); ok {
			text, end = soft, nil
		}
		for {
			eq := bytes.IndexByte(text, '=')
			if eq < 0 {
				break
			}
			out = append(out, text[:eq]...)
			text = text[eq+1:]
			var c [1]byte
			if n, _ := hex.Decode(c[:], text[:min(2, len(text))]); n == 1 {
				out = append(out, c[0])
				text = text[2:]
			} else {
				out = append(out, '=')
			}
		}
		out = append(append(out, text...), end...)
	}
	return out
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
