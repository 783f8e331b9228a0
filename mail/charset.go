package mail

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode/utf32"
)

// toUTF8 reads text of the named charset. Where the name is missing, unknown or plainly
// wrong, bytes that are valid UTF-8 are taken for that, others for Windows-1252, which
// gives each byte a meaning. The result is valid UTF-8 without NUL and without a mark of
// the byte order.
func toUTF8(b []byte, charset string) string {
	charset = strings.ToLower(strings.Trim(charset, " \t\r\n\"'"))
	var s string
	switch charset {
	case "utf-7", "unicode-1-1-utf-7", "x-unicode-2-0-utf-7", "unicode-2-0-utf-7":
		s = decodeUTF7(b)
	case "", "us-ascii", "ascii", "utf-8", "utf8", "unicode-1-1-utf-8":
		s = guess(b)
	default:
		if enc := lookupCharset(charset); enc != nil {
			// A decoder of x/text replaces what it cannot read, it does not fail.
			t, _ := enc.NewDecoder().Bytes(b)
			s = string(t)
		} else {
			s = guess(b)
		}
	}
	s = strings.TrimPrefix(s, "\uFEFF")
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// guess reads text of which nothing is known.
func guess(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	if mostlyUTF8(b) {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	s, _ := charmap.Windows1252.NewDecoder().Bytes(b)
	return string(s)
}

// mostlyUTF8 tells whether b has more whole characters beyond ASCII than broken ones:
// then it is UTF-8 that was cut or patched, not another charset.
func mostlyUTF8(b []byte) bool {
	good, bad := 0, 0
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			bad++
		} else {
			good++
		}
		i += n
	}
	return good > bad
}

// lookupCharset finds the encoding of a charset by the names that mail uses; nil when
// it is not known.
func lookupCharset(name string) encoding.Encoding {
	switch name {
	case "hz-gb-2312": // browsers refuse it, mail still has it
		return simplifiedchinese.HZGB2312
	case "gb2312_charset", "gb_2312-80", "chinese":
		return simplifiedchinese.GB18030
	case "utf-32", "utf-32be":
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	case "utf-32le":
		return utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)
	case "iso-8859-8-i", "iso-8859-8-e":
		return charmap.ISO8859_8
	case "ks_c_5601", "ksc5601", "ks_c_5601_1987":
		name = "euc-kr"
	case "chinesebig5", "big-5":
		name = "big5"
	case "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258":
		name = "windows-" + name[2:]
	}
	if e, err := htmlindex.Get(name); err == nil && e != encoding.Replacement {
		return e
	}
	for _, index := range []*ianaindex.Index{ianaindex.MIME, ianaindex.IANA} {
		if e, err := index.Encoding(name); err == nil && e != nil {
			return e
		}
	}
	return nil
}

var utf7Base64 = base64.StdEncoding.WithPadding(base64.NoPadding)

// decodeUTF7 reads UTF-7 (RFC 2152). What is broken stays as it stands.
func decodeUTF7(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		plus := bytes.IndexByte(b, '+')
		if plus < 0 {
			break
		}
		out.Write(b[:plus])
		b = b[plus+1:]
		n := 0
		for n < len(b) && isBase64(b[n]) {
			n++
		}
		shifted := b[:n]
		b = b[n:]
		switch minus := len(b) > 0 && b[0] == '-'; {
		case minus && n == 0:
			out.WriteByte('+')
			b = b[1:]
		case n < 3: // too short for a character: a plus that was not escaped
			out.WriteByte('+')
			out.Write(shifted)
		default:
			if minus {
				b = b[1:]
			}
			out.WriteString(decodeShifted(shifted))
		}
	}
	out.Write(b)
	return strings.ToValidUTF8(out.String(), "\uFFFD")
}

func decodeShifted(s []byte) string {
	raw := make([]byte, utf7Base64.DecodedLen(len(s)))
	n, _ := utf7Base64.Decode(raw, s[:len(s)-len(s)%4])
	if tail := s[len(s)-len(s)%4:]; len(tail) > 1 {
		m, _ := utf7Base64.Decode(raw[n:], tail)
		n += m
	}
	units := make([]uint16, n/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	return string(utf16.Decode(units))
}
