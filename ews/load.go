package ews

import (
	"bytes"
	"context"
	"strings"

	"postern/crm"
	"postern/mail"
)

var bodyShape = ItemShape{Base: IDOnly, BodyType: "Best", Additional: []Path{Field("item:Body"), Field("item:Attachments")}}

// Load gets bodies as properties, many in a call; Exchange makes MIME anew for each
// request, dearly. MIME is the last rung, for what properties do not give: items that
// Exchange cannot read otherwise, and S/MIME.
func (s *source) Load(ctx context.Context, box *crm.Mailbox, headers []crm.Header, take func(*crm.Item) error) error {
	ss := s.session(box)
	b := &batch{s: s, answered: make([]bool, len(headers))}
	var rest []rung // to be tried as MIME
	b.ask = func(ctx context.Context, part []int) error {
		ids := make([]ItemID, len(part))
		for k, i := range part {
			ids[k] = ItemID{ID: headers[i].ID}
		}
		return s.getItems(ctx, ss, bodyShape, ids, func(k int, item *Item, f *crm.Fault) error {
			i := part[k]
			if b.answered[i] {
				return nil
			}
			b.answered[i] = true
			switch {
			case f == nil:
				out := &crm.Item{Header: headers[i], Body: bodyOf(item)}
				return take(out)
			case f.Verdict != crm.Gone:
				rest = append(rest, rung{i, f})
			}
			return nil
		})
	}
	b.alone = func(i int, f *crm.Fault) error {
		rest = append(rest, rung{i, f})
		return nil
	}
	var plain []int
	for i := range headers {
		if sealed(headers[i].Class) {
			b.answered[i] = true
			rest = append(rest, rung{i: i})
		} else {
			plain = append(plain, i)
		}
	}
	for _, pack := range packs(len(plain), bodyPack, func(k int) int64 { return headers[plain[k]].Size }) {
		for k := range pack {
			pack[k] = plain[pack[k]]
		}
		if err := b.run(ctx, pack); err != nil {
			return err
		}
	}
	return s.loadMIME(ctx, ss, headers, rest, take)
}

// A rung is an item to be tried as MIME, and why.
type rung struct {
	i     int
	fault *crm.Fault
}

// sealed tells whether the class is S/MIME, whose text is in a part of the original.
func sealed(class string) bool {
	const smime = "IPM.NOTE.SMIME"
	upper := strings.ToUpper(class)
	return strings.HasPrefix(upper, smime) || strings.HasPrefix(upper, "REPORT."+smime)
}

// loadMIME reads items from their originals, a few in a call.
func (s *source) loadMIME(ctx context.Context, ss *Session, headers []crm.Header, list []rung, take func(*crm.Item) error) error {
	b := &batch{s: s, answered: make([]bool, len(headers))}
	why := map[int]*crm.Fault{}
	give := func(i int, body crm.Body, f *crm.Fault) error {
		if f != nil && f.Verdict == crm.Gone {
			return nil
		}
		out := &crm.Item{Header: headers[i], Body: body}
		if f != nil && why[i] != nil {
			f = why[i] // what the properties said tells more
		}
		out.Fault = f
		return take(out)
	}
	b.ask = func(ctx context.Context, part []int) error {
		ids := make([]ItemID, len(part))
		for k, i := range part {
			ids[k] = ItemID{ID: headers[i].ID}
		}
		shape := ItemShape{Base: IDOnly, IncludeMimeContent: true}
		return s.getItems(ctx, ss, shape, ids, func(k int, item *Item, f *crm.Fault) error {
			i := part[k]
			if b.answered[i] {
				return nil
			}
			b.answered[i] = true
			if f != nil {
				return give(i, crm.Body{}, f)
			}
			body, f := s.bodyOfMIME(item.Mime)
			return give(i, body, f)
		})
	}
	b.alone = func(i int, f *crm.Fault) error { return give(i, crm.Body{}, f) }
	for _, r := range list {
		why[r.i] = r.fault
	}
	for _, pack := range packs(len(list), mimePack, func(k int) int64 { return headers[list[k].i].Size }) {
		for k := range pack {
			pack[k] = list[pack[k]].i
		}
		if err := b.run(ctx, pack); err != nil {
			return err
		}
	}
	return nil
}

// bodyOf translates what GetItem says of body and attachments.
func bodyOf(item *Item) crm.Body {
	var body crm.Body
	if b := item.Body; b != nil {
		if b.IsHTML() {
			body.HTML, body.Text = b.Text, mail.Text(b.Text)
		} else {
			body.Text = b.Text
		}
	}
	for i := range item.Attachments {
		a := &item.Attachments[i]
		out := crm.Attachment{
			ID: a.ID, Name: a.Name, Type: a.Type, ContentID: strings.Trim(a.ContentID, "<>"), Inline: is(a.IsInline), Size: a.Size,
		}
		switch a.Element {
		case ItemAttachment:
			out.Type = "message/rfc822"
		case ReferenceAttachment:
			out.Note = "link to a cloud file"
		}
		if strings.EqualFold(a.Name, "message.rpmsg") || a.Type == "application/x-microsoft-rpmsg-message" {
			body.Encrypted = true // rights-protected: the text is a placeholder
		}
		body.Attachments = append(body.Attachments, out)
	}
	return body
}

// noMIME is the fault of an original that is empty or missing.
var noMIME = Error{Code: "ErrorMimeContentConversionFailed"}

// bodyOfMIME takes an original apart.
func (s *source) bodyOfMIME(content *Content) (crm.Body, *crm.Fault) {
	if content == nil || len(content.Bytes) == 0 || content.Err != nil {
		return crm.Body{}, s.fault(&noMIME, crm.ItemScope)
	}
	m, err := mail.Parse(bytes.NewReader(content.Bytes))
	if err != nil {
		return crm.Body{}, s.fault(err, crm.ItemScope)
	}
	body := crm.Body{HTML: m.HTML, Text: m.Text, Encrypted: m.Kind == mail.Encrypted || m.Kind == mail.OpaqueSigned}
	for _, a := range m.Attachments {
		body.Attachments = append(body.Attachments, crm.Attachment{
			Name: a.Name, Type: a.Type, ContentID: a.ContentID, Inline: a.Inline, Size: int64(len(a.Content)), Content: a.Content,
		})
	}
	return body, nil
}
