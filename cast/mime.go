package cast

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"path"
	"strings"
)

// A part is a node of a message's MIME tree, ready to be written.
type part struct {
	headers []header
	body    []byte
}

// content is the message below its heading.
func (e *entry) content(i issue) part {
	switch e.format {
	case bounce:
		return e.deliveryReport(i)
	case meeting:
		return join("alternative", e.key, e.textPart(i), e.calendarPart(i))
	}
	body := e.textPart(i)
	switch e.format {
	case outlook:
		body = join("alternative", e.key, body, e.encoded("text/html", e.html(i)))
		if pictures := e.pictures(); len(pictures) > 0 {
			body = join("related", e.key, append([]part{body}, pictures...)...)
		}
	case rawHTML:
		body = e.encoded("text/html", e.fill(i, e.body))
	}
	if len(e.attach) == 0 {
		return body
	}
	parts := []part{body}
	for _, name := range e.attach {
		parts = append(parts, file(e.fill(i, name), e.key))
	}
	return join("mixed", e.key, parts...)
}

func (e *entry) textPart(i issue) part { return e.encoded("text/plain", e.text(i)) }

// encoded is a part of text in the charset of the letter's language.
func (e *entry) encoded(mediaType, text string) part {
	content, charset := e.language.encode(text)
	kind := header{"Content-Type", fmt.Sprintf("%s; charset=%q", mediaType, charset)}
	if charset == "iso-2022-jp" { // made for seven bits
		return part{[]header{kind, {"Content-Transfer-Encoding", "7bit"}}, crlf(content)}
	}
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	w.Write(content) // writing to a bytes.Buffer does not fail
	w.Close()
	return part{[]header{kind, {"Content-Transfer-Encoding", "quoted-printable"}}, b.Bytes()}
}

// pictures are those shown in the text.
func (e *entry) pictures() []part {
	var found []part
	for line := range strings.SplitSeq(e.body, "\n") {
		if name, ok := picture(line); ok {
			p := file(name, e.key)
			p.headers = append(p.headers[:1:1],
				header{"Content-ID", "<" + contentID(name) + ">"},
				header{"Content-Disposition", fmt.Sprintf("inline; filename=%q", name)},
				header{"Content-Transfer-Encoding", "base64"})
			found = append(found, p)
		}
	}
	return found
}

func contentID(name string) string { return name + "@pictures.example" }

// file is an attachment; what is in it is made up by the ending of its name.
func file(name, key string) part {
	var kind string
	var content []byte
	switch path.Ext(name) {
	case ".pdf":
		kind, content = "application/pdf", pdf(name)
	case ".png":
		kind, content = "image/png", chart(seed(key+name))
	case ".csv":
		kind, content = "text/csv; charset=utf-8", readings(seed(key+name))
	}
	return part{[]header{
		{"Content-Type", mimeParameter(kind, "name", name)},
		{"Content-Disposition", mimeParameter("attachment", "filename", name)},
		{"Content-Transfer-Encoding", "base64"},
	}, base64Lines(content)}
}

// mimeParameter adds a parameter, in the form of RFC 2231 when it is not plain ASCII.
func mimeParameter(value, name, parameter string) string {
	mediaType, parameters, err := mime.ParseMediaType(value)
	if err != nil {
		panic(err) // ours
	}
	parameters[name] = parameter
	return mime.FormatMediaType(mediaType, parameters)
}

// join makes a multipart of parts. The boundary hangs on kind and key only, so that the same letter
// is always the same bytes.
func join(kind, key string, parts ...part) part {
	boundary := fmt.Sprintf("=_%s_%016x", kind, seed(kind+key))
	var b bytes.Buffer
	for _, p := range parts {
		b.WriteString("--" + boundary + "\r\n")
		for _, h := range p.headers {
			b.WriteString(h.name + ": " + h.value + "\r\n")
		}
		b.WriteString("\r\n")
		b.Write(p.body)
		b.WriteString("\r\n")
	}
	b.WriteString("--" + boundary + "--\r\n")
	return part{[]header{{"Content-Type", fmt.Sprintf("multipart/%s; boundary=%q", kind, boundary)}}, b.Bytes()}
}

func base64Lines(content []byte) []byte {
	var b bytes.Buffer
	for len(content) > 0 {
		n := min(len(content), 57) // 76 characters
		b.WriteString(base64.StdEncoding.EncodeToString(content[:n]) + "\r\n")
		content = content[n:]
	}
	return b.Bytes()
}

func crlf(text []byte) []byte { return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")) }

// encodeWords writes a text for a header field: as it is, or as encoded words.
func encodeWords(text string) string {
	wide := strings.ContainsFunc(text, func(r rune) bool { return r > 0x24f })
	if wide { // beyond the Latin scripts base64 is shorter
		return fold(mime.BEncoding.Encode("utf-8", text))
	}
	return fold(mime.QEncoding.Encode("utf-8", text))
}

// fold breaks a field between encoded words.
func fold(encoded string) string { return strings.ReplaceAll(encoded, "?= =?", "?=\r\n =?") }
