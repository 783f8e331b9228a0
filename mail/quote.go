package mail

import (
	"regexp"
	"strings"

	"golang.org/x/net/html"
)

// TrimQuoted cuts a text where the quotation of an earlier message begins: own + quoted
// is the text. An answer below or between quoted lines is left whole, and so is a text
// that is nothing but a quotation.
func TrimQuoted(text string) (own, quoted string) {
	lines := strings.SplitAfter(text, "\n")
	end := beforeFooter(lines)
	last := -1 // the last line that is not quoted
	for i, line := range lines[:end] {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, ">") {
			last = i
		}
	}
	at := 0 // where lines[i] begins
	for i, line := range lines {
		if quoteBegins(lines[:end], i, last) {
			if strings.TrimSpace(text[:at]) == "" {
				return text, ""
			}
			return text[:at], text[at:]
		}
		at += len(line)
	}
	return text, ""
}

// quoteBegins tells whether all from line i on is a quotation.
func quoteBegins(lines []string, i, last int) bool {
	if i >= len(lines) {
		return false
	}
	line := strings.TrimSpace(lines[i])
	switch {
	case line == "":
		return false
	case line[0] == '>':
		return i > last
	case isOriginal(line), isHeaderBlock(lines[i:]):
		return true
	case strings.HasPrefix(line, "____") && strings.Trim(line, "_") == "":
		next := i + 1
		for next < len(lines) && next < i+3 && strings.TrimSpace(lines[next]) == "" {
			next++
		}
		return next < len(lines) && isHeaderBlock(lines[next:])
	}
	n := attribution(lines[i:])
	if n == 0 {
		return false
	}
	for j := i + n; j < len(lines); j++ {
		if next := strings.TrimSpace(lines[j]); next != "" {
			return next[0] != '>' || last < j // without > all that follows is quoted
		}
	}
	return true
}

// beforeFooter returns the number of lines without the footer that a mailing list adds
// below everything.
func beforeFooter(lines []string) int {
	const longest = 8
	for i := max(0, len(lines)-longest); i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if len(line) >= 40 && (strings.Trim(line, "_") == "" || strings.Trim(line, "-") == "") {
			return i
		}
	}
	return len(lines)
}

var original = regexp.MustCompile(`(?i)^-{2,} *(?:original message|original appointment|forwarded message|ursprüngliche nachricht|originalnachricht|` +
	`weitergeleitete nachricht|message d'origine|message transféré|mensaje original|mensaje reenviado|messaggio originale|messaggio inoltrato|` +
	`oorspronkelijk bericht|doorgestuurd bericht|mensagem original|mensagem encaminhada|wiadomość oryginalna|oryginalna wiadomość|` +
	`ursprungligt meddelande|originalmeddelande|原始邮件|原始郵件|邮件原件|元のメッセージ|original-nachricht) *-{2,}$`)

// isOriginal recognises the line that Outlook and others put above a quotation.
func isOriginal(line string) bool {
	return line[0] == '-' && len(line) < 200 && original.MatchString(line)
}

var (
	headFrom = regexp.MustCompile(`(?i)^\*?(?:from|von|de|da|van|od|från|fra|expéditeur|差出人|发件人|寄件者|寄件人)\*? ?[:：]`)
	headDate = regexp.MustCompile(`(?i)^\*?(?:sent|date|gesendet|datum|envoyé|date d'envoi|enviado(?: el)?|fecha|inviato|data|verzonden|enviada(?: em)?|wysłano|data|skickat|送信日時|日付|发送时间|傳送時間|日期)\*? ?[:：]`)
	headTo   = regexp.MustCompile(`(?i)^\*?(?:to|an|à|para|a|aan|do|till|til|subject|betreff|objet|asunto|oggetto|onderwerp|assunto|temat|ämne|宛先|件名|收件人|收件者|主题|主旨)\*? ?[:：]`)
)

// isHeaderBlock recognises the lines From, Sent, To … of a quoted message.
func isHeaderBlock(lines []string) bool {
	first := strings.TrimSpace(lines[0])
	if len(first) > 500 || !headFrom.MatchString(first) {
		return false
	}
	date, to := false, false
	for _, line := range lines[1:min(len(lines), 6)] {
		line = strings.TrimSpace(line)
		date = date || headDate.MatchString(line)
		to = to || headTo.MatchString(line)
	}
	return date && to
}

var wrote = regexp.MustCompile(`(?i)^(?:` + strings.Join([]string{
	`on .{6,}\bwrote ?`, // English
	`.{0,80}<[^<>\s]+@[^<>\s]+>.{0,80} (?:wrote|writes) ?`,
	`(?:am|den) .{6,}\bschrieb\b.{0,200}`, // German
	`.{3,200} schrieb am .{6,80}`,
	`le .{6,}\ba écrit ?`,                                                    // French
	`el .{6,}\bescribió ?`,                                                   // Spanish
	`(?:il|in data) .{6,}\bha scritto ?`,                                     // Italian
	`op .{6,}\bschreef\b.{0,200}`,                                            // Dutch
	`(?:em|no dia) .{6,}\bescreveu ?`,                                        // Portuguese
	`(?:w dniu|dnia|.{6,60}) .{3,}(?:napisał|napisała|napisał\(a\)|pisze) ?`, // Polish
	`(?:den|på) .{6,}\bskrev\b.{0,200}`,                                      // Swedish
	`.{0,40}\d{4}年\d{1,2}月\d{1,2}日.{3,200}`,                                  // Japanese
	`(?:在|于|於)?.{4,200}(?:写道|寫道) ?`,                                          // Chinese
}, "|") + `)[:：]$`)

// attribution returns how many lines "On …, Ann wrote:" takes here, 0 if it is none.
func attribution(lines []string) int {
	const most = 3 // it is often broken
	var joined string
	for n, line := range lines[:min(len(lines), most)] {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '>' || len(joined)+len(line) > 500 {
			return 0
		}
		joined = strings.TrimSpace(joined + " " + line)
		if strings.HasSuffix(joined, ":") || strings.HasSuffix(joined, "：") {
			if wrote.MatchString(joined) {
				return n + 1
			}
			return 0
		}
	}
	return 0
}

// TrimQuotedHTML cuts HTML where the quotation of an earlier message begins, by the marks
// that mail programs leave. cut is false, and own is all, when there is no such mark,
// when the sender wrote below or between the quotation, and when there is nothing but
// the quotation. Elements may be left open; SafeHTML closes them.
func TrimQuotedHTML(s string) (own string, cut bool) {
	z := html.NewTokenizer(strings.NewReader(s))
	pos, at := 0, -1 // where the token begins; where the quotation begins
	wrote := false   // the sender wrote something in front of it
	var element string
	depth := 0 // > 0 within a quotation that has an end
	for {
		kind := z.Next()
		begin := pos
		pos += len(z.Raw())
		switch kind {
		case html.ErrorToken:
			if at >= 0 && wrote {
				return s[:at], true
			}
			return s, false
		case html.TextToken:
			text := strings.TrimSpace(string(z.Text()))
			switch {
			case text == "" || depth > 0:
			case at >= 0: // an answer below it
				at, wrote = -1, true
			case isOriginal(text) && wrote:
				return s[:begin], true
			default:
				wrote = true
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			switch {
			case t.Data == "style" || t.Data == "script" || t.Data == "title":
				if kind == html.StartTagToken {
					z.Next() // its raw text
					pos += len(z.Raw())
				}
			case depth > 0 && t.Data == element && kind == html.StartTagToken:
				depth++
			case depth == 0 && endsLetter(t):
				if wrote {
					return s[:begin], true
				}
			case depth == 0 && isQuotation(t) && kind == html.StartTagToken:
				element, depth = t.Data, 1
				if at < 0 {
					at = begin
				}
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if depth > 0 && string(name) == element {
				depth--
			}
		}
	}
}

// endsLetter recognises the element behind which all is quoted: Outlook's.
func endsLetter(t html.Token) bool {
	switch strings.ToLower(attr(t, "id")) {
	case "divrplyfwdmsg", "appendonsend", "x_divrplyfwdmsg", "x_appendonsend", "mail-editor-reference-message-container", "stopspelling":
		return true
	}
	style := strings.ToLower(strings.ReplaceAll(attr(t, "style"), " ", ""))
	return t.Data == "div" && strings.HasPrefix(style, "border:none;border-top:solid#") // Outlook for Windows
}

// isQuotation recognises the element that holds a quotation.
func isQuotation(t html.Token) bool {
	if t.Data == "blockquote" && strings.EqualFold(attr(t, "type"), "cite") {
		return true
	}
	for class := range strings.FieldsSeq(attr(t, "class")) {
		switch class {
		case "gmail_quote", "gmail_quote_container", "gmail_attr", "yahoo_quoted", "moz-cite-prefix", "protonmail_quote", "zmail_extra":
			return true
		}
	}
	return false
}

func attr(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
