package mail

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxMessageID is the longest line that RFC 5322 allows.
const maxMessageID = 998

// junkIDs are Message-IDs that broken senders give to all of their messages. To take
// them for an identity would make one message of many.
var junkIDs = []string{
	"0", "none", "null", "nil", "undefined", "unknown", "message-id", "messageid", "no-id", "empty", "test",
	"null@null", "none@none", "undefined@undefined", "@", "@localhost", "@localhost.localdomain",
}

// MessageID returns the normalised form of a Message-ID, without <>: comments, folding
// and blanks gone, the right side in lower case, the left as it is. It returns "" for
// what identifies nothing: an empty id, one of more than 998 bytes, a known constant.
func MessageID(s string) string {
	ids := cutIDs(s, 1)
	if len(ids) == 1 {
		return normalID(ids[0])
	}
	return normalID(s)
}

// References returns the normalised Message-IDs that a message answers to, oldest first
// and without repetition; the one of In-Reply-To comes last.
func References(references, inReplyTo string) []string {
	const maxReferences = 1000
	var list []string
	seen := map[string]bool{}
	add := func(raw string) {
		if id := normalID(raw); id != "" && !seen[id] {
			seen[id] = true
			list = append(list, id)
		}
	}
	for _, raw := range idsOf(references, maxReferences) {
		add(raw)
	}
	for _, raw := range idsOf(inReplyTo, maxReferences) {
		if id := normalID(raw); seen[id] {
			list = slices.DeleteFunc(list, func(x string) bool { return x == id })
			delete(seen, id)
		}
		add(raw)
	}
	return list[max(0, len(list)-maxReferences):]
}

// idsOf returns the ids of a References or In-Reply-To field: what stands in <>. Some
// senders leave the <> out; then words with an @ count, if there are no other words,
// because old mail has "Your message of Monday, from ann@acme.example" there.
func idsOf(s string, limit int) []string {
	if ids := cutIDs(s, limit); len(ids) > 0 {
		return ids
	}
	words := strings.Fields(s)
	for _, w := range words {
		if !strings.Contains(w, "@") {
			return nil
		}
	}
	return words[:min(len(words), limit)]
}

// cutIDs returns what stands between < and >, outside of comments and quotes, the last
// limit of them when there are more.
func cutIDs(s string, limit int) []string {
	var ids []string
	noParen := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			if noParen {
				continue
			}
			if end := closingParen(s, i); end > 0 {
				i = end
			} else {
				noParen = true
			}
		case '<':
			end := strings.IndexByte(s[i:], '>')
			if end < 0 {
				return ids
			}
			ids = append(ids, s[i+1:i+end])
			if limit == 1 {
				return ids
			}
			i += end
		}
	}
	return ids[max(0, len(ids)-limit):]
}

func normalID(s string) string {
	if len(s) > 4*maxMessageID { // not even without its folding
		return ""
	}
	s = withoutBlanks(s)
	s = strings.Trim(s, "<>")
	if s == "" || len(s) > maxMessageID {
		return ""
	}
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		s = s[:at] + strings.ToLower(s[at:])
	}
	if slices.Contains(junkIDs, strings.ToLower(s)) {
		return ""
	}
	return s
}

// withoutBlanks drops comments, blanks and control characters.
func withoutBlanks(s string) string {
	var b strings.Builder
	noParen := false
	for i := 0; i < len(s); {
		if s[i] == '(' && !noParen {
			if end := closingParen(s, i); end > 0 {
				i = end + 1
				continue
			}
			noParen = true
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		if r > ' ' && r != 0x7F && (r != utf8.RuneError || n > 1) {
			b.WriteRune(r)
		}
	}
	return b.String()
}
