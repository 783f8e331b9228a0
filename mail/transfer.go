package mail

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"

	message "github.com/emersion/go-message"
)

// decodeTransfer undoes a Content-Transfer-Encoding. ok is false when the encoding is
// not known; the bytes are then returned as they are.
func decodeTransfer(encoding string, b []byte) (out []byte, ok bool) {
	var mend func([]byte) []byte
	switch strings.ToLower(strings.Trim(encoding, " \t\r\n\"';")) {
	case "", "7bit", "8bit", "binary", "7-bit", "8-bit", "7bits", "8bits", "7 bit", "8 bit", "none":
		return b, true
	case "quoted-printable", "quotedprintable", "qp":
		encoding, mend = "quoted-printable", mendQuoted
	case "base64", "base-64", "b64":
		encoding, mend = "base64", mendBase64
	case "x-uuencode", "uuencode", "x-uue", "uue":
		return decodeUU(b), true
	default:
		return b, false
	}
	if out, err := decodeStrict(encoding, b); err == nil {
		return out, true
	}
	return mend(b), true // rare: one body in a thousand
}

// decodeStrict fails at the first byte that the encoding does not allow.
func decodeStrict(encoding string, b []byte) ([]byte, error) {
	h := message.HeaderFromMap(map[string][]string{"Content-Transfer-Encoding": {encoding}})
	e, err := message.New(h, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(make([]byte, 0, len(b)+bytes.MinRead)) // decoded it is shorter
	_, err = out.ReadFrom(e.Body)
	return out.Bytes(), err
}

// mendBase64 reads base64 with dirt in it. Padding ends a group but not the text: some
// senders pad each line.
func mendBase64(b []byte) []byte {
	var out []byte
	for group := range bytes.SplitSeq(b, []byte("=")) {
		group = bytes.Map(func(r rune) rune {
			if r < 0x80 && isBase64(byte(r)) {
				return r
			}
			return -1
		}, group)
		if len(group)%4 == 1 { // half a byte
			group = group[:len(group)-1]
		}
		out, _ = base64.RawStdEncoding.AppendDecode(out, group)
	}
	return out
}

func isBase64(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}

// mendQuoted reads quoted-printable with dirt in it. A = that begins no code stands for
// itself.
func mendQuoted(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for line := range bytes.Lines(b) {
		text := bytes.TrimRight(line, " \t\r\n")
		end := bytes.TrimLeft(line[len(text):], " \t")
		if soft, ok := bytes.CutSuffix(text, []byte("=")); ok {
			text, end = soft, nil
		}
		for len(text) > 0 {
			var c [1]byte
			if n, _ := hex.Decode(c[:], text[1:min(3, len(text))]); text[0] == '=' && n == 1 {
				out, text = append(out, c[0]), text[3:]
			} else {
				out, text = append(out, text[0]), text[1:]
			}
		}
		out = append(out, end...)
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
