package ews

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
)

// Tags of the SMTP addresses behind a sender that the directory knows by another name.
const (
	tagSenderSMTP = 0x5D01
	tagFromSMTP   = 0x5D02
)

// headerPaths are all that is asked before a message is decided about: no body, no
// attachment. ConversationId came with 2010.
var headerPaths = []Path{
	Field("item:ItemClass"), Field("item:Subject"), Field("item:Sensitivity"), Field("item:DateTimeReceived"), Field("item:Size"),
	Field("item:Categories"), Field("item:InReplyTo"), Field("item:IsDraft"), Field("item:DateTimeSent"),
	Field("message:Sender"), Field("message:ToRecipients"), Field("message:CcRecipients"), Field("message:BccRecipients"),
	Field("message:From"), Field("message:InternetMessageId"), Field("message:IsRead"), Field("message:References"), Field("message:ReplyTo"),
	Tag(tagSenderSMTP, "String"), Tag(tagFromSMTP, "String"),
}

func headerShape(schema string) ItemShape {
	paths := headerPaths
	if schema != Exchange2007SP1 {
		paths = append(slices.Clip(paths), Field("item:ConversationId"))
	}
	return ItemShape{Base: IDOnly, Additional: paths}
}

// headers gets the headers of listed items, in their order. What is no message by its
// element is not asked for: its kind is known, and that it is not filed. also are
// properties to ask for besides.
func (s *source) headers(ctx context.Context, box *crm.Mailbox, listed []Item, also ...Path) ([]crm.Header, error) {
	list := make([]crm.Header, len(listed))
	var ask []int
	for i := range listed {
		list[i] = crm.Header{ID: listed[i].ID.ID, Version: listed[i].ID.ChangeKey}
		kind, class := kindOf(listed[i].Element)
		list[i].Envelope = crm.Envelope{Kind: kind, Class: class}
		if class == "" {
			ask = append(ask, i)
		}
	}
	ss := s.session(box)
	b := &batch{s: s, answered: make([]bool, len(listed))}
	b.ask = func(ctx context.Context, part []int) error {
		ids := make([]ItemID, len(part))
		for k, i := range part {
			ids[k] = ItemID{ID: list[i].ID}
		}
		shape := headerShape(ss.Schema())
		shape.Additional = slices.Concat(shape.Additional, also)
		return s.getItems(ctx, ss, shape, ids, func(k int, item *Item, f *crm.Fault) error {
			i := part[k]
			b.answered[i] = true
			if f != nil {
				list[i].Fault = f
				return nil
			}
			return s.header(ctx, ss, item, &list[i])
		})
	}
	b.alone = func(i int, f *crm.Fault) error { list[i].Fault = f; return nil }
	for part := range slices.Chunk(ask, headerPack) {
		if err := b.run(ctx, part); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// kindOf tells what an element is, and its item class where it need not be asked for.
func kindOf(element string) (crm.Kind, string) {
	switch element {
	case CalendarItem:
		return crm.Event, "IPM.Appointment"
	case TaskItem:
		return crm.Task, "IPM.Task"
	case ContactItem:
		return crm.ContactKind, "IPM.Contact"
	case DistributionList:
		return crm.ContactKind, "IPM.DistList"
	case PostItem:
		return "", "IPM.Post"
	}
	return crm.Email, ""
}

// header translates an item's properties.
func (s *source) header(ctx context.Context, ss *Session, item *Item, h *crm.Header) error {
	kind, class := kindOf(item.Element)
	*h = crm.Header{ID: h.ID, Version: item.ID.ChangeKey, Size: item.Size, Read: is(item.IsRead)}
	if item.Class != "" {
		class = item.Class
	}
	if item.Parent != nil {
		h.Folder = item.Parent.ID
	}
	h.Envelope = crm.Envelope{
		Kind: kind, Class: class, Subject: item.Subject,
		MessageID: mail.MessageID(item.InternetMessageID), References: mail.References(item.References, item.InReplyTo),
		Sent: sensible(item.Sent), Received: sensible(item.Received),
		Sensitivity: sensitivity(item.Sensitivity), Draft: is(item.IsDraft), Categories: item.Categories,
	}
	if item.ConversationID != nil {
		h.Thread = item.ConversationID.ID
	}
	var err error
	h.People, err = s.people(ctx, ss, item)
	return err
}

func is(b *bool) bool { return b != nil && *b }

func sensitivity(s string) crm.Sensitivity {
	switch s {
	case "Personal":
		return crm.Personal
	case "Private":
		return crm.Private
	case "Confidential":
		return crm.Confidential
	}
	return crm.Normal
}

// people lists everybody in the header. A sender who is the author is listed once.
func (s *source) people(ctx context.Context, ss *Session, item *Item) ([]crm.Participant, error) {
	list := make([]crm.Participant, 0, 2+len(item.To)+len(item.Cc))
	add := func(part crm.Part, m *Mailbox, smtp string) error {
		p, err := s.participant(ctx, ss, m, smtp)
		p.Part = part
		list = append(list, p)
		return err
	}
	fromSMTP, _ := Property(item.Extended, tagFromSMTP)
	senderSMTP, _ := Property(item.Extended, tagSenderSMTP)
	if item.From != nil {
		if err := add(crm.From, item.From, fromSMTP); err != nil {
			return nil, err
		}
	}
	if item.Sender != nil && (item.From == nil || !strings.EqualFold(item.Sender.EmailAddress, item.From.EmailAddress)) {
		part := crm.Sender
		if item.From == nil {
			part = crm.From
		}
		if err := add(part, item.Sender, senderSMTP); err != nil {
			return nil, err
		}
	}
	for _, group := range [...]struct {
		part crm.Part
		list []Mailbox
	}{{crm.To, item.To}, {crm.Cc, item.Cc}, {crm.Bcc, item.Bcc}, {crm.ReplyTo, item.ReplyTo}} {
		for i := range group.list {
			if err := add(group.part, &group.list[i], ""); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// participant reads one address. smtp is what the item itself says to be the address
// behind a directory name, "" if nothing.
func (s *source) participant(ctx context.Context, ss *Session, m *Mailbox, smtp string) (crm.Participant, error) {
	p := crm.Participant{Name: m.Name}
	address := m.EmailAddress
	if strings.EqualFold(m.RoutingType, RoutingEX) || strings.HasPrefix(address, "/o=") || strings.HasPrefix(address, "/O=") {
		if smtp == "" {
			var err error
			if smtp, err = s.resolve(ctx, ss, address); err != nil {
				return p, err
			}
		}
		address = smtp
	}
	p.Address, _ = mail.ParseAddress(address)
	if m.EmailAddress != string(p.Address) {
		p.Raw = m.EmailAddress
	}
	return p, nil
}

// resolved is what the directory said of a name; "" that it does not know it.
type resolved struct {
	smtp string
	at   time.Time
}

const (
	resolvedLife = 24 * time.Hour
	maxResolved  = 50_000
)

// resolve asks the directory for the SMTP address behind a legacy distinguished name.
// Deleted users have none. Only trouble that passes is an error: to go on without the
// address would decide about the message on half the truth.
func (s *source) resolve(ctx context.Context, ss *Session, dn string) (string, error) {
	if dn == "" {
		return "", nil
	}
	now := s.client.now()
	s.mu.Lock()
	known, ok := s.names[dn]
	s.mu.Unlock()
	if ok && now.Sub(known.at) < resolvedLife {
		return known.smtp, nil
	}
	r, err := ss.ResolveNames(ctx, &ResolveNames{Entry: dn, Scope: "ActiveDirectory"})
	smtp := ""
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		f := s.fault(err, crm.MailboxScope)
		if !ok || e.Status != 200 || f.Verdict == crm.Retry {
			return "", f
		}
	} else if len(r.Resolutions) == 1 {
		if m := &r.Resolutions[0].Mailbox; !strings.EqualFold(m.RoutingType, RoutingEX) {
			smtp = m.EmailAddress
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.names) >= maxResolved {
		clear(s.names)
	}
	s.names[dn] = resolved{smtp, now}
	return smtp, nil
}

// sensible drops the times that stand for none.
func sensible(t time.Time) time.Time {
	if y := t.Year(); y <= 1601 || y >= 4500 {
		return time.Time{}
	}
	return t
}
