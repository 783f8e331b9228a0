package ews

import (
	"bytes"
	"context"
	"strings"

	"postern/crm"
	"postern/mail"
)

var bodyShape = ItemShape{Base: IDOnly, BodyType: "Best", Additional: []Path{Field("item:Body"), Field("item:Attachments")}}

// A rung is one way to have a body, which gives less than the one above it.
type rung struct {
	shape   ItemShape
	count   int // of ids in a call
	body    func(*Item) (crm.Body, *crm.Fault)
	missing crm.Missing
}

// rungs are tried from the top. Properties come first, many in a call; Exchange makes
// MIME anew for each request, dearly, but sometimes where it cannot give the properties.
func (s *source) rungs() []rung {
	properties := func(item *Item) (crm.Body, *crm.Fault) { return bodyOf(item), nil }
	mime := func(item *Item) (crm.Body, *crm.Fault) { return s.bodyOfMIME(item.Mime) }
	return []rung{
		{bodyShape, bodyPack, properties, crm.NothingMissing},
		{ItemShape{Base: IDOnly, IncludeMimeContent: true}, mimePack, mime, crm.NothingMissing},
		{ItemShape{Base: IDOnly, Additional: []Path{Field("item:Attachments")}}, bodyPack, properties, crm.TextMissing},
	}
}

// Load brings each item down the ladder as far as it must: S/MIME, whose text is in a
// part of the original, begins at the second rung; of what cannot be had at all, the
// header remains. An item that fell says by Fault why it first did.
func (s *source) Load(ctx context.Context, box *crm.Mailbox, headers []crm.Header, take func(*crm.Item) error) error {
	l := ladder{s: s, ss: s.session(box), headers: headers, why: map[int]*crm.Fault{}, take: take}
	var todo, originals []int
	for i := range headers {
		if sealed(headers[i].Class) {
			originals = append(originals, i)
		} else {
			todo = append(todo, i)
		}
	}
	for k, r := range s.rungs() {
		if k == 1 {
			todo = append(originals, todo...)
		}
		var err error
		if todo, err = l.try(ctx, r, todo); err != nil {
			return err
		}
	}
	for _, i := range todo {
		if err := take(&crm.Item{Header: l.header(i), Missing: crm.BodyMissing}); err != nil {
			return err
		}
	}
	return nil
}

// A ladder is one Load under way.
type ladder struct {
	s       *source
	ss      *Session
	headers []crm.Header
	why     map[int]*crm.Fault // the first reason for which an item fell
	take    func(*crm.Item) error
}

// header is an item's header; with a fault once it fell to where something is missing.
func (l *ladder) header(i int) crm.Header {
	h := l.headers[i]
	h.Fault = l.why[i]
	return h
}

// try loads items by one rung and returns those that it could not have.
func (l *ladder) try(ctx context.Context, r rung, list []int) (fallen []int, err error) {
	b := &batch{s: l.s, answered: make([]bool, len(l.headers))}
	fall := func(i int, f *crm.Fault) error {
		if f.Verdict == crm.Gone {
			return nil
		}
		if l.why[i] == nil {
			l.why[i] = f
		}
		fallen = append(fallen, i)
		return nil
	}
	b.ask = func(ctx context.Context, part []int) error {
		ids := make([]ItemID, len(part))
		for k, i := range part {
			ids[k] = ItemID{ID: l.headers[i].ID}
		}
		return l.s.getItems(ctx, l.ss, r.shape, ids, func(k int, item *Item, f *crm.Fault) error {
			i := part[k]
			if b.answered[i] {
				return nil
			}
			b.answered[i] = true
			var body crm.Body
			if f == nil {
				body, f = r.body(item)
			}
			if f != nil {
				return fall(i, f)
			}
			out := &crm.Item{Header: l.headers[i], Body: body, Missing: r.missing}
			if r.missing != crm.NothingMissing {
				out.Header = l.header(i)
			}
			return l.take(out)
		})
	}
	b.alone = fall
	for _, pack := range packs(len(list), r.count, func(k int) int64 { return l.headers[list[k]].Size }) {
		for k := range pack {
			pack[k] = list[pack[k]]
		}
		if err := b.run(ctx, pack); err != nil {
			return nil, err
		}
	}
	return fallen, nil
}

// sealed tells whether the class is S/MIME, whose text is in a part of the original.
func sealed(class string) bool {
	const smime = "IPM.NOTE.SMIME"
	upper := strings.ToUpper(class)
	return strings.HasPrefix(upper, smime) || strings.HasPrefix(upper, "REPORT."+smime)
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
