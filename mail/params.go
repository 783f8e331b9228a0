package mail

import (
	"maps"
	"mime"
	"net/url"
	"strings"
)

// parseParams reads "value; name=value; …" of Content-Type and Content-Disposition. Names
// and the value are lower case.
func parseParams(s string) (value string, params map[string]string) {
	value, params = looseParams(s)
	if v, strict, err := mime.ParseMediaType(s); err == nil {
		value = v
		maps.Copy(params, strict)
	}
	return value, params
}

// looseParams reads what mime.ParseMediaType refuses, and it refuses all for one fault:
// blanks without quotes, a quote without end, a name twice; and charsets other than UTF-8
// in the extended values of RFC 2231.
func looseParams(s string) (value string, params map[string]string) {
	value, rest := cutParam(s)
	value = strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`))
	params = map[string]string{}
	for rest != "" {
		var p string
		p, rest = cutParam(rest)
		name, v, ok := strings.Cut(p, "=")
		name, v = strings.ToLower(strings.TrimSpace(name)), paramValue(v)
		if base, extended := strings.CutSuffix(name, "*"); extended {
			name, v = base, extendedValue(v)
		}
		if _, twice := params[name]; ok && name != "" && !twice {
			params[name] = v
		}
	}
	return value, params
}

// extendedValue reads charset'language'value, with its bytes as in URLs.
func extendedValue(s string) string {
	p := strings.SplitN(s, "'", 3)
	if len(p) < 3 {
		return s
	}
	v, err := url.PathUnescape(p[2])
	if err != nil {
		return p[2]
	}
	return toUTF8([]byte(v), p[0])
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
