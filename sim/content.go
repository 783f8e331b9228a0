package sim

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"strings"

	"postern/ews"
	"postern/mail"
)

// content fills in body, attachments and MIME.
func (v *view) content(p *plan, out *ews.Item) error {
	want := p.fields
	if want["item:Body"] {
		out.Body = p.cut(v.text(p.bodyType))
	}
	if want["item:UniqueBody"] {
		out.UniqueBody = p.cut(v.text(p.bodyType))
	}
	if want["item:NormalizedBody"] {
		out.NormalizedBody = p.cut(v.text(p.bodyType))
	}
	if want["item:TextBody"] {
		out.TextBody = p.cut(v.text("Text"))
	}
	if want["item:Preview"] {
		out.Preview = cut(strings.Join(strings.Fields(v.text("Text").Text), " "), 255)
	}
	parts := v.attachments()
	if want["item:Attachments"] {
		for i, part := range parts {
			out.Attachments = append(out.Attachments, v.attachment(i, part))
		}
	}
	if p.mime {
		mime, err := v.mime()
		if err != nil {
			return err
		}
		out.Mime = &ews.Content{Bytes: mime, CharacterSet: "UTF-8"}
	}
	return nil
}

// hasFiles is false when all attachments are pictures within the text.
func hasFiles(parts []mail.Attachment) bool {
	for _, part := range parts {
		if !part.Inline {
			return true
		}
	}
	return false
}

// text is the body in the form asked for. "Best", and nothing said, means as it was sent.
// Line ends of plain text are those of Windows.
func (v *view) text(form string) *ews.Body {
	if e := v.item.edits; e != nil && e.body != nil {
		return &ews.Body{Type: e.body.Type, Text: e.body.Text}
	}
	m := v.body
	if v.item.letter.class == classEncrypted {
		return &ews.Body{Type: "Text"}
	}
	switch {
	case m.HTML != "" && form != "Text":
		return &ews.Body{Type: "HTML", Text: m.HTML}
	case form == "HTML":
		return &ews.Body{Type: "HTML", Text: "<html><body><pre>" + html.EscapeString(m.Text) + "</pre></body></html>"}
	}
	return &ews.Body{Type: "Text", Text: strings.ReplaceAll(m.Text, "\n", "\r\n")}
}

// cut obeys MaximumBodySize.
func (p *plan) cut(b *ews.Body) *ews.Body {
	if p.maxBody > 0 && len(b.Text) > p.maxBody {
		b.Text, b.Truncated = cut(b.Text, p.maxBody), new(true)
	}
	return b
}

// smimeName is what Exchange calls the one attachment of an S/MIME message.
const smimeName = "smime.p7m"

// attachments are the parts that are not the text. A signed or encrypted message has one
// only, which holds everything.
// https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxosmime
func (v *view) attachments() []mail.Attachment {
	switch v.item.letter.class {
	case classEncrypted:
		for _, part := range v.body.Attachments {
			if strings.HasSuffix(part.Type, "pkcs7-mime") {
				return []mail.Attachment{{Name: smimeName, Type: part.Type, Content: part.Content}}
			}
		}
	case classSigned:
		raw, err := v.x.letters.read(v.item.letter.at)
		if err != nil {
			return nil
		}
		return []mail.Attachment{{Name: smimeName, Type: "multipart/signed", Content: signedEntity(raw)}}
	}
	return v.body.Attachments
}

// signedEntity is a message without the header fields that are not the signed part's own.
func signedEntity(raw []byte) []byte {
	head, body := splitHead(raw)
	var out bytes.Buffer
	for _, field := range foldedFields(head) {
		if len(field) > 8 && strings.EqualFold(string(field[:8]), "content-") || len(field) > 5 && strings.EqualFold(string(field[:5]), "mime-") {
			out.Write(field)
		}
	}
	out.WriteString("\r\n")
	out.Write(body)
	return out.Bytes()
}

// splitHead cuts a message behind the blank line after its header.
func splitHead(raw []byte) (head, body []byte) {
	for _, blank := range []string{"\r\n\r\n", "\n\n"} {
		if i := bytes.Index(raw, []byte(blank)); i >= 0 && (head == nil || i < len(head)) {
			head, body = raw[:i+len(blank)/2], raw[i+len(blank):]
		}
	}
	if head == nil {
		return raw, nil
	}
	return head, body
}

// foldedFields splits a header into its fields, each with its continuation lines.
func foldedFields(head []byte) [][]byte {
	var fields [][]byte
	for begin := 0; begin < len(head); {
		end := begin
		for end < len(head) {
			n := bytes.IndexByte(head[end:], '\n')
			if n < 0 {
				end = len(head)
				break
			}
			end += n + 1
			if end < len(head) && head[end] != ' ' && head[end] != '\t' {
				break
			}
		}
		fields = append(fields, head[begin:end])
		begin = end
	}
	return fields
}

// mime makes the message anew, as Exchange does at each call: with the line ends of the
// wire, a trace of this making, and Bcc in the sender's copy only. So no two answers are
// equal, while subject, people and text are.
func (v *view) mime() ([]byte, error) {
	raw, err := v.x.letters.read(v.item.letter.at)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Grow(len(raw) + len(raw)/32 + 128)
	n := v.x.made.Add(1)
	fmt.Fprintf(&out, "X-MS-Exchange-Organization-Network-Message-Id: %s-%d\r\n", v.item.box.guid, n)
	if v.restless {
		fmt.Fprintf(&out, "X-MS-Exchange-Transport-EndToEndLatency: %s\r\n", strings.Repeat("0", int(n%50)+1))
	}
	head, _ := splitHead(raw)
	rest := raw
	if !v.item.own && containsFold(head, "bcc:") {
		for _, field := range foldedFields(head) {
			if len(field) < 4 || !strings.EqualFold(string(field[:4]), "bcc:") {
				writeCRLF(&out, field)
			}
		}
		rest = raw[len(head):]
	}
	writeCRLF(&out, rest)
	return out.Bytes(), nil
}

// writeCRLF writes text with each line end as CR LF.
func writeCRLF(out *bytes.Buffer, text []byte) {
	for line := range bytes.Lines(text) {
		if n := len(line); line[n-1] == '\n' && (n == 1 || line[n-2] != '\r') {
			out.Write(line[:n-1])
			out.WriteString("\r\n")
			continue
		}
		out.Write(line)
	}
}

// attachment lists one part without its content.
func (v *view) attachment(i int, part mail.Attachment) ews.Attachment {
	it := v.item
	a := ews.Attachment{
		Element:   ews.FileAttachment,
		ID:        attachmentID(it.box.guid, it.folder.n, it.n, it.version, uint32(i)),
		Name:      part.Name,
		Type:      part.Type,
		ContentID: part.ContentID,
		Size:      int64(len(part.Content)) + 250, // what the store adds
		IsInline:  new(part.Inline),
	}
	if part.Type == "message/rfc822" {
		a.Element = ews.ItemAttachment
	}
	return a
}

// withContent adds what GetAttachment returns.
func (v *view) withContent(a *ews.Attachment, part mail.Attachment, shape *ews.AttachmentShape) {
	if a.Element == ews.FileAttachment {
		a.Content = &ews.Content{Bytes: part.Content}
		return
	}
	m, _ := mail.Parse(bytes.NewReader(part.Content)) // reading from memory does not fail
	nested := view{x: v.x, item: &Item{box: v.item.box, letter: letter{class: classNote}, own: true}, header: &m.Header, body: m}
	inner := ews.Item{Element: ews.MessageItem, Class: classNote, Sent: m.Date(), Received: receivedAt(&m.Header)}
	p := &plan{fields: map[string]bool{}}
	p.add([]string{"item:Subject", "message:From", "message:Sender", "message:ToRecipients", "message:CcRecipients", "message:InternetMessageId", "message:References"})
	nested.envelope(p, &inner)
	inner.Body = nested.text("Best")
	if shape != nil && shape.IncludeMimeContent {
		inner.Mime = &ews.Content{Bytes: part.Content, CharacterSet: "UTF-8"}
	}
	a.Item = []ews.Item{inner}
}

// rawFrom builds a message from the properties of an item, for CreateItem without MIME.
func rawFrom(it *ews.Item, from Person, date string) []byte {
	var out bytes.Buffer
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&out, "%s: %s\r\n", name, strings.NewReplacer("\r", "", "\n", " ").Replace(value))
		}
	}
	list := func(boxes []ews.Mailbox) string {
		var all []string
		for _, b := range boxes {
			all = append(all, fmt.Sprintf("%q <%s>", b.Name, b.EmailAddress))
		}
		return strings.Join(all, ", ")
	}
	sender := fmt.Sprintf("%q <%s>", from.Name, from.Address)
	if it.From != nil && it.From.EmailAddress != "" {
		sender = list([]ews.Mailbox{*it.From})
	}
	field("From", sender)
	field("To", list(it.To))
	field("Cc", list(it.Cc))
	field("Bcc", list(it.Bcc))
	field("Subject", it.Subject)
	field("Date", date)
	field("Message-ID", it.InternetMessageID)
	field("Sensitivity", it.Sensitivity)
	field("MIME-Version", "1.0")
	kind, text := "plain", ""
	if it.Body != nil {
		text = it.Body.Text
		if it.Body.IsHTML() {
			kind = "html"
		}
	}
	field("Content-Type", "text/"+kind+"; charset=utf-8")
	field("Content-Transfer-Encoding", "base64")
	out.WriteString("\r\n")
	coded := base64.StdEncoding.EncodeToString([]byte(text))
	for len(coded) > 76 {
		out.WriteString(coded[:76] + "\r\n")
		coded = coded[76:]
	}
	out.WriteString(coded + "\r\n")
	return out.Bytes()
}
