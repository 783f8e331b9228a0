package mail

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// parseParams reads "value; name=value; …" of Content-Type and Content-Disposition, with
// the continued and encoded values of RFC 2231, and with the blanks without quotes that
// occur instead. Names and the value are lower case.
func parseParams(s string) (value string, params map[string]string) {
	value, rest := cutParam(s)
	value = strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`))
	params = map[string]string{}
	var pieces []piece
	for rest != "" {
		var p string
		p, rest = cutParam(rest)
		name, v, ok := strings.Cut(p, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if !ok || name == "" {
			continue
		}
		v = paramValue(v)
		if base, n, encoded, ok := continued(name); ok {
			pieces = append(pieces, piece{base, n, encoded, v})
		} else if _, twice := params[name]; !twice {
			params[name] = v
		}
	}
	for name, v := range joinPieces(pieces) {
		params[name] = v
	}
	return value, params
}

// cutParam cuts at the next semicolon outside of quotes.
func cutParam(s string) (head, rest string) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			end := closingQuote(s, i)
			if end < 0 { // never closed: a quote that stands for itself
				head, rest, _ = strings.Cut(s[i:], ";")
				return s[:i] + head, rest
			}
			i = end
		case ';':
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func paramValue(s string) string {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, `"`) {
		if end := closingQuote(s, 0); end > 0 {
			return unquote(s[1:end])
		}
		return strings.Trim(s, `"`)
	}
	return s
}

// A piece is one part of a value that RFC 2231 cut up: name*2*="…".
type piece struct {
	name    string
	n       int
	encoded bool
	value   string
}

func continued(name string) (base string, n int, encoded, ok bool) {
	base, tail, ok := strings.Cut(name, "*")
	if !ok {
		return "", 0, false, false
	}
	if tail == "" {
		return base, 0, true, true
	}
	num, encoded := strings.CutSuffix(tail, "*")
	n, err := strconv.Atoi(num)
	return base, n, encoded, err == nil && n >= 0
}

func joinPieces(pieces []piece) map[string]string {
	slices.SortStableFunc(pieces, func(a, b piece) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.n, b.n)) })
	values := map[string]string{}
	for len(pieces) > 0 {
		name, charset := pieces[0].name, ""
		var raw []byte
		for i := 0; len(pieces) > 0 && pieces[0].name == name; i, pieces = i+1, pieces[1:] {
			v := pieces[0].value
			if pieces[0].encoded {
				if i == 0 {
					if p := strings.SplitN(v, "'", 3); len(p) == 3 {
						charset, v = p[0], p[2]
					}
				}
				if u, err := url.PathUnescape(v); err == nil {
					v = u
				}
			}
			raw = append(raw, v...)
		}
		values[name] = toUTF8(raw, charset)
	}
	return values
}
