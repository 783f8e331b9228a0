package conformance

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"strings"
	"time"
)

// A letter is a message to be laid into the system. The zero value of a field is left out
// or filled in from n.
type letter struct {
	n       int // makes it differ from the others
	from    string
	to      string
	cc      string
	bcc     string
	subject string
	headers []string // further header lines
	text    string
	html    string
	kind    string // content type in place of text and html
	files   []file
}

// A file is attached to a letter.
type file struct {
	name    string
	kind    string
	inline  string // Content-ID of one that belongs into the text
	content []byte
}

var base = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// sent is when the n-th letter was sent.
func sent(n int) time.Time { return base.Add(time.Duration(n) * time.Minute) }

func messageID(n int) string { return fmt.Sprintf("<conformance-%d@customer.example>", n) }

// raw writes the letter as mail programs do.
func (l letter) raw() []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	either := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	line("From: %s", either(l.from, "Clara Contact <clara@customer.example>"))
	line("To: %s", either(l.to, "Ursula User <ursula@company.example>"))
	if l.cc != "" {
		line("Cc: %s", l.cc)
	}
	if l.bcc != "" {
		line("Bcc: %s", l.bcc)
	}
	line("Subject: %s", mime.BEncoding.Encode("utf-8", either(l.subject, fmt.Sprintf("Letter %d", l.n))))
	line("Date: %s", sent(l.n).Format(time.RFC1123Z))
	line("Message-ID: %s", messageID(l.n))
	for _, h := range l.headers {
		line("%s", h)
	}
	line("MIME-Version: 1.0")
	text := part("text/plain; charset=utf-8", "", []byte(either(l.text, fmt.Sprintf("Text of letter %d.", l.n))))
	switch {
	case l.kind != "":
		text = part(l.kind, "", []byte(l.text))
	case l.html != "":
		text = part("text/html; charset=utf-8", "", []byte(l.html))
	}
	if len(l.files) == 0 {
		b.Write(text)
		return b.Bytes()
	}
	const boundary = "between-the-parts"
	line("Content-Type: multipart/mixed; boundary=%q\r\n", boundary)
	line("--%s", boundary)
	b.Write(text)
	for _, f := range l.files {
		disposition := mime.FormatMediaType("attachment", map[string]string{"filename": f.name})
		if f.inline != "" {
			disposition = mime.FormatMediaType("inline", map[string]string{"filename": f.name}) + "\r\nContent-ID: <" + f.inline + ">"
		}
		line("--%s", boundary)
		b.Write(part(f.kind, disposition, f.content))
	}
	line("--%s--", boundary)
	return b.Bytes()
}

// part writes the lower header and the body of a part in base64, which any bytes survive.
func part(kind, disposition string, content []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Content-Type: %s\r\nContent-Transfer-Encoding: base64\r\n", kind)
	if disposition != "" {
		fmt.Fprintf(&b, "Content-Disposition: %s\r\n", disposition)
	}
	b.WriteString("\r\n")
	encoded := base64.StdEncoding.EncodeToString(content)
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\r\n")
		encoded = encoded[76:]
	}
	b.WriteString(encoded + "\r\n")
	return b.Bytes()
}

// squeeze makes texts comparable whose blanks and line ends differ.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }
