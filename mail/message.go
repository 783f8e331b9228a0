package mail

import (
	"cmp"
	"html"
	"io"
	"slices"
	"strings"
)

// Kind of a message, beyond an ordinary letter.
type Kind string

const (
	Ordinary     Kind = ""
	Report       Kind = "delivery report" // of success, delay or failure
	Receipt      Kind = "read receipt"
	Meeting      Kind = "meeting" // request, answer or cancellation
	Signed       Kind = "signed"  // clear-signed: the text can be read
	OpaqueSigned Kind = "opaque-signed"
	Encrypted    Kind = "encrypted" // S/MIME, PGP or rights-protected: the text cannot be read
)

// A Message is a message taken apart.
type Message struct {
	Header
	Kind        Kind
	HTML        string // as it came: make it safe before it is shown; "" when there is none
	Text        string // plain text as sent, else made from HTML
	Attachments []Attachment
	Odd         []string // what was broken and how it was taken, in English; for logs and help, not for code
}

// An Attachment is a part that is not the text of the message.
type Attachment struct {
	Name      string // as sent: may be empty, repeated, hostile; never a path
	Type      string // media type as sent, lower case
	ContentID string // without <>
	Inline    bool   // meant to be shown within the text
	Content   []byte // decoded
}

// Parse reads a message, however broken: it yields what can be read and lists in Odd
// what was odd. The error is r's own; what was read until then is returned with it.
func Parse(r io.Reader) (*Message, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	s := splitter{}
	if len(data) > maxSize {
		data = data[:maxSize]
		s.note("the message is longer than %d bytes", maxSize)
	}
	s.data = newlines(data)
	s.start()
	root, _ := s.part("text/plain")
	if len(root.fields) == 0 {
		s.note("no header")
	}
	a := assembler{odd: s.note}
	m := &Message{Header: root.Header}
	m.HTML, m.Text = a.add(root, letter)
	if m.Text == "" && m.HTML != "" {
		m.Text = Text(m.HTML)
	}
	m.Attachments = a.attachments
	markInline(m.Attachments, m.HTML)
	m.Kind, m.Odd = a.kind, s.odd
	return m, err
}

// markInline marks the attachments that the HTML shows, also where their own header does not
// say so.
func markInline(attachments []Attachment, html string) {
	shown := map[string]bool{}
	for {
		_, rest, ok := strings.Cut(html, "cid:")
		if !ok {
			break
		}
		end := strings.IndexAny(rest[:min(len(rest), maxMessageID)], "\"'>) \t\r\n")
		shown[normalID(rest[:max(end, 0)])] = true
		html = rest
	}
	for i := range attachments {
		if at := &attachments[i]; at.ContentID != "" && shown[at.ContentID] {
			at.Inline = true
		}
	}
}

// An assembler puts the text of a message together from its parts and collects the rest.
type assembler struct {
	kind        Kind
	attachments []Attachment
	odd         func(format string, args ...any)
}

// A place is where a part stands, as far as it tells what the part is for.
type place int

const (
	letter   place = iota // it is the text, even if it has a file name
	listed                // one of several: a file name makes it an attachment
	referred              // the text refers to it
)

// add takes a part and returns its text in the two forms, as far as they were sent.
func (a *assembler) add(p *part, at place) (html, text string) {
	a.judge(p)
	if len(p.children) > 0 {
		switch p.kind {
		case "multipart/alternative":
			return a.alternative(p.children)
		case "multipart/related":
			return a.related(p)
		case "multipart/report":
			return a.report(p.children)
		}
		return a.mixed(p.children)
	}
	if len(p.body) == 0 && (strings.HasPrefix(p.kind, "multipart/") || p.kind == "text/plain") {
		return "", ""
	}
	disposition, params := parseParams(p.Get("Content-Disposition"))
	name := oneLine(decodeWords(cmp.Or(params["filename"], p.params["name"])))
	isText := p.kind == "text/plain" || p.kind == "text/html"
	if !isText || disposition == "attachment" || at == referred || at == listed && name != "" {
		a.attach(p, name, at == referred || disposition == "inline")
		return "", ""
	}
	return a.text(p)
}

func (a *assembler) text(p *part) (html, text string) {
	b := a.decode(p)
	charset := p.params["charset"]
	if p.kind == "text/html" {
		return toUTF8(b, cmp.Or(charset, metaCharset(b))), ""
	}
	text = toUTF8(b, charset)
	if strings.IndexByte(text, '\r') >= 0 {
		text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	}
	if strings.EqualFold(p.params["format"], "flowed") {
		text = unflow(text, strings.EqualFold(p.params["delsp"], "yes"))
	}
	return "", text
}

// metaCharset finds the charset that HTML declares for itself, "" if it does not.
func metaCharset(b []byte) string {
	head := strings.ToLower(string(b[:min(len(b), 1024)]))
	_, after, _ := strings.Cut(head, "charset=")
	after = strings.TrimLeft(after, "\"' ")
	name := after[:max(0, strings.IndexAny(after, "\"' />;"))]
	if strings.HasPrefix(name, "utf-16") {
		return "" // then this could not have been read
	}
	return name
}

func (a *assembler) attach(p *part, name string, inline bool) {
	at := Attachment{Name: name, Type: p.kind, ContentID: normalID(p.Get("Content-ID")), Content: a.decode(p)}
	at.Inline = inline && (at.ContentID != "" || p.Has("Content-Location") || strings.HasPrefix(p.kind, "image/"))
	if at.Name == "" && p.kind == "message/rfc822" {
		s := splitter{data: at.Content}
		s.start()
		h := s.header()
		at.Name = h.Subject()
	}
	a.attachments = append(a.attachments, at)
}

func (a *assembler) decode(p *part) []byte {
	encoding := p.Get("Content-Transfer-Encoding")
	b, ok := decodeTransfer(encoding, p.body)
	if !ok {
		a.odd("a part in an unknown encoding")
	}
	return b
}

// alternative takes the last form of each kind, which by the rule is the best one.
func (a *assembler) alternative(parts []*part) (html, text string) {
	for _, p := range parts {
		h, t := a.add(p, letter)
		html, text = cmp.Or(h, html), cmp.Or(t, text)
	}
	return html, text
}

// related takes the root, which is the part named by "start" or else the first one, as
// the text, and the others as what it refers to.
func (a *assembler) related(p *part) (html, text string) {
	root := p.children[0]
	if start := normalID(p.params["start"]); start != "" {
		for _, c := range p.children {
			if normalID(c.Get("Content-ID")) == start {
				root = c
				break
			}
		}
	}
	html, text = a.add(root, letter)
	for _, c := range p.children {
		if c != root {
			h, t := a.add(c, referred)
			html, text = html+h, text+t
		}
	}
	return html, text
}

// report takes the explanation for people as text; the parts for machines are attached.
func (a *assembler) report(parts []*part) (html, text string) {
	html, text = a.add(parts[0], letter)
	for _, p := range parts[1:] {
		if len(p.children) > 0 {
			a.add(p, referred)
		} else {
			a.attach(p, oneLine(decodeWords(p.params["name"])), false)
		}
	}
	return html, text
}

// mixed joins the texts one after another: a list adds its footer as a part of its own,
// Apple Mail cuts a letter at each picture.
func (a *assembler) mixed(parts []*part) (html, text string) {
	type form struct{ html, text string }
	var forms []form
	anyHTML, anyText := false, false
	for _, p := range parts {
		h, t := a.add(p, listed)
		if strings.TrimSpace(h) != "" || strings.TrimSpace(t) != "" {
			forms = append(forms, form{h, t})
			anyHTML, anyText = anyHTML || h != "", anyText || t != ""
		}
	}
	var hs, ts []string
	for _, f := range forms {
		if anyHTML && f.html == "" {
			f.html = textToHTML(f.text)
		}
		if anyText && f.text == "" {
			f.text = Text(f.html)
		}
		hs, ts = append(hs, f.html), append(ts, f.text)
	}
	return strings.Join(hs, "\n"), strings.Join(ts, "\n")
}

func textToHTML(text string) string {
	return `<div style="white-space:pre-wrap">` + html.EscapeString(text) + `</div>`
}

// judge learns the kind of the message from one of its parts. What cannot be read weighs
// more than what it would be.
func (a *assembler) judge(p *part) {
	kind := Ordinary
	switch p.kind {
	case "multipart/report":
		kind = Report
		if t := strings.ToLower(p.params["report-type"]); t == "disposition-notification" {
			kind = Receipt
		}
	case "multipart/encrypted", "application/pgp-encrypted", "application/x-microsoft-rpmsg-message":
		kind = Encrypted
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		switch strings.ToLower(p.params["smime-type"]) {
		case "signed-data", "signed-receipt":
			kind = OpaqueSigned
		case "certs-only":
		default:
			kind = Encrypted
		}
	case "multipart/signed":
		kind = Signed
	case "text/calendar":
		if p.params["method"] != "" && !strings.EqualFold(p.params["method"], "publish") {
			kind = Meeting
		}
	}
	if slices.Index(kinds, kind) > slices.Index(kinds, a.kind) {
		a.kind = kind
	}
}

// kinds in the order of their weight.
var kinds = []Kind{Ordinary, Signed, Meeting, Receipt, Report, OpaqueSigned, Encrypted}

// unflow joins the lines that a sender broke for narrow screens only (RFC 3676).
func unflow(s string, delsp bool) string {
	var b strings.Builder
	b.Grow(len(s))
	depth, flowing := 0, false
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\r\n")
		text := strings.TrimLeft(line, ">")
		quotes := len(line) - len(text)
		text = strings.TrimPrefix(text, " ")
		if flowing && quotes != depth {
			b.WriteByte('\n')
			flowing = false
		}
		if !flowing && quotes > 0 {
			b.WriteString(strings.Repeat(">", quotes) + " ")
		}
		depth = quotes
		flowing = strings.HasSuffix(text, " ") && text != "-- "
		if flowing && delsp {
			text = text[:len(text)-1]
		}
		b.WriteString(text)
		if !flowing {
			b.WriteByte('\n')
		}
	}
	return b.String()
}
