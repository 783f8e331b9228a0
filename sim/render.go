package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"unicode/utf8"

	"postern/ews"
	"postern/mail"
)

// A view is an item as the server shows it: a snapshot of its state with the letter
// opened as far as it is looked at.
type view struct {
	x      *Exchange
	item   *Item        // a snapshot, safe to read without a lock
	header *mail.Header // nil until asked for
	body   *mail.Message
	// restless makes MIME of another length each time.
	restless bool
}

// element is the name of the XML element that an item class goes by.
func element(class string) string {
	switch {
	case class == classRequest:
		return ews.MeetingRequest
	case class == classCancelled:
		return ews.MeetingCancellation
	case strings.HasPrefix(class, "IPM.Schedule.Meeting.Resp."):
		return ews.MeetingResponse
	}
	return ews.MessageItem
}

var errDamaged = errors.New("damaged")

// render shows an item as the plan wants it.
func (v *view) render(p *plan) (ews.Item, error) {
	it := v.item
	out := ews.Item{Element: element(it.letter.class), ID: ews.ItemID{ID: it.id(), ChangeKey: it.changeKey()}}
	if p.onlyIDs() {
		return out, nil
	}
	switch {
	case it.damage == DamagedAll,
		it.damage == DamagedMIME && p.mime,
		it.damage == DamagedBody && (p.mime || p.fields["item:Body"] || p.fields["item:TextBody"]):
		return out, errDamaged
	}
	if err := v.open(p); err != nil {
		return out, err
	}
	v.state(p, &out)
	v.envelope(p, &out)
	if p.fields["item:HasAttachments"] {
		out.HasAttachments = new(hasFiles(v.attachments()))
	}
	if p.content() {
		if err := v.content(p, &out); err != nil {
			return out, err
		}
	}
	for _, field := range p.extended {
		if value, values, ok := v.extended(field); ok {
			out.Extended = append(out.Extended, ews.ExtendedProperty{Field: field, Value: value, Values: values})
		}
	}
	return out, nil
}

// open reads as much of the letter as the plan needs.
func (v *view) open(p *plan) error {
	var err error
	if p.content() || p.fields["item:HasAttachments"] {
		if v.body, err = v.x.opened.message(v.item.letter.at); err != nil {
			return err
		}
		v.header = &v.body.Header
		return nil
	}
	return v.openHeader()
}

func (v *view) openHeader() error {
	if v.header != nil {
		return nil
	}
	h, err := mail.ParseHeader(v.x.letters.reader(v.item.letter.at))
	v.header = h
	return err
}

// state fills in what the store knows without looking at the letter.
func (v *view) state(p *plan, out *ews.Item) {
	it, want := v.item, p.fields
	if want["item:ParentFolderId"] {
		out.Parent = &ews.FolderID{ID: it.folder.ID(), ChangeKey: unknownKey}
	}
	if want["item:ItemClass"] {
		out.Class = it.letter.class
	}
	if want["item:DateTimeReceived"] {
		out.Received = it.letter.received
	}
	if want["item:DateTimeSent"] {
		out.Sent = it.letter.sent
	}
	if want["item:DateTimeCreated"] {
		out.Created = it.added
	}
	if want["item:LastModifiedTime"] {
		out.LastModified = it.modified
	}
	if want["item:Size"] {
		out.Size = it.letter.at.len
	}
	if want["item:IsDraft"] {
		out.IsDraft = &it.draft
	}
	if want["item:IsFromMe"] {
		out.IsFromMe = &it.own
	}
	if want["message:IsRead"] {
		out.IsRead = &it.read
	}
	if want["item:Importance"] {
		out.Importance = v.importance()
	}
	if want["item:Categories"] && it.edits != nil {
		out.Categories = it.edits.categories
	}
}

func (v *view) importance() string {
	if e := v.item.edits; e != nil && e.importance != "" {
		return e.importance
	}
	switch strings.ToLower(v.header.Get("Importance")) {
	case "high":
		return "High"
	case "low":
		return "Low"
	}
	return "Normal"
}

func (v *view) subject() string {
	if e := v.item.edits; e != nil && e.subject != nil {
		return *e.subject
	}
	return v.header.Subject()
}

// envelope fills in what the letter's header says.
func (v *view) envelope(p *plan, out *ews.Item) {
	h, want := v.header, p.fields
	if want["item:Subject"] {
		out.Subject = v.subject()
		if p.listing {
			out.Subject = cut(out.Subject, 255)
		}
	}
	if want["item:Sensitivity"] {
		out.Sensitivity = sensitivity(h)
	}
	if want["item:InReplyTo"] {
		out.InReplyTo = h.Get("In-Reply-To")
	}
	if want["item:InternetMessageHeaders"] && !v.item.own {
		for f := range h.All() {
			out.InternetHeaders = append(out.InternetHeaders, ews.InternetHeader{Name: f.Name, Value: h.Get(f.Name)})
		}
	}
	if want["item:DisplayTo"] {
		out.DisplayTo = displayNames(h.To())
	}
	if want["item:DisplayCc"] {
		out.DisplayCc = displayNames(h.Cc())
	}
	if want["item:ConversationId"] {
		out.ConversationID = &ews.ItemID{ID: v.conversation()}
	}
	if want["message:ConversationTopic"] {
		out.ConversationTopic = topic(v.subject())
	}
	if want["message:ConversationIndex"] {
		out.ConversationIndex = v.conversationIndex()
	}
	if want["message:InternetMessageId"] {
		out.InternetMessageID = h.Get("Message-ID")
	}
	if want["message:References"] {
		out.References = strings.Join(h.Values("References"), " ")
	}
	v.people(p, out)
}

func (v *view) people(p *plan, out *ews.Item) {
	h, want := v.header, p.fields
	from, sender := h.From(), h.Sender()
	if len(sender) == 0 {
		sender = from
	}
	if want["message:From"] && len(from) > 0 {
		out.From = v.mailbox(from[0], p.listing)
	}
	if want["message:Sender"] && len(sender) > 0 {
		out.Sender = v.mailbox(sender[0], p.listing)
	}
	if want["message:ToRecipients"] {
		out.To = v.mailboxes(h.To())
	}
	if want["message:CcRecipients"] {
		out.Cc = v.mailboxes(h.Cc())
	}
	if want["message:BccRecipients"] && v.item.own {
		out.Bcc = v.mailboxes(h.Bcc())
	}
	if want["message:ReplyTo"] {
		out.ReplyTo = v.mailboxes(h.ReplyTo())
	}
}

func (v *view) mailboxes(list []mail.Named) []ews.Mailbox {
	var boxes []ews.Mailbox
	for _, n := range list {
		boxes = append(boxes, *v.mailbox(n, false))
	}
	return boxes
}

// mailbox shows a person. People of the organization may come by their legacy DN; what
// is no address at all is shown where the address would be.
func (v *view) mailbox(n mail.Named, nameOnly bool) *ews.Mailbox {
	m := &ews.Mailbox{Name: n.Name}
	address := spelled(n)
	if m.Name == "" {
		m.Name = address
	}
	if nameOnly {
		return m
	}
	m.EmailAddress, m.RoutingType, m.BoxType = address, ews.RoutingSMTP, "OneOff"
	if box := v.x.Mailbox(n.Address); box != nil {
		m.BoxType = "Mailbox"
		if v.x.options.LegacyRouting {
			m.EmailAddress, m.RoutingType = box.dn, ews.RoutingEX
		}
	}
	if m.EmailAddress == "" {
		m.RoutingType = ""
	}
	return m
}

// spelled is an address as its sender wrote it; clients must fold case themselves.
func spelled(n mail.Named) string {
	raw := n.Raw
	if i := strings.LastIndexByte(raw, '<'); i >= 0 {
		raw, _, _ = strings.Cut(raw[i+1:], ">")
	}
	raw = strings.TrimSpace(raw)
	if n.Address != "" && !strings.EqualFold(raw, string(n.Address)) {
		return string(n.Address)
	}
	return raw
}

func displayNames(list []mail.Named) string {
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = n.Name
		if n.Name == "" {
			names[i] = spelled(n)
		}
	}
	return strings.Join(names, "; ")
}

func sensitivity(h *mail.Header) string {
	switch h.Sensitivity() {
	case "personal":
		return "Personal"
	case "private":
		return "Private"
	case "confidential":
		return "Confidential"
	}
	return "Normal"
}

// conversation is one id for all letters that answer to the same first one.
func (v *view) conversation() string {
	root := topic(v.subject())
	if id := v.header.MessageID(); id != "" {
		root = id
	}
	if refs := v.header.References(); len(refs) > 0 {
		root = refs[0]
	}
	digest := sha256.Sum256([]byte(root))
	return base64.StdEncoding.EncodeToString(append(idHead(9, v.item.box.guid, 16), digest[:16]...))
}

func (v *view) conversationIndex() []byte {
	digest := sha256.Sum256([]byte(v.conversation()))
	return append([]byte{1}, digest[:21]...)
}

// topic is a subject without the prefixes of answers and forwards.
func topic(subject string) string {
	for {
		prefix, rest, ok := strings.Cut(subject, ":")
		if !ok || len(prefix) > 3 || strings.ContainsAny(prefix, " []") {
			return strings.TrimSpace(subject)
		}
		subject = strings.TrimSpace(rest)
	}
}

// cut shortens text to n bytes at most, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// openLetters keeps the letters taken apart last: a client asks for the attachments of
// an item one after another.
type openLetters struct {
	letters *spool
	mu      sync.Mutex
	latest  [4]openLetter
	next    int
}

type openLetter struct {
	at      span
	message *mail.Message
}

// maxOpen is the size of a letter beyond which it is not kept in memory.
const maxOpen = 8 << 20

func (o *openLetters) message(at span) (*mail.Message, error) {
	o.mu.Lock()
	for _, l := range o.latest {
		if l.message != nil && l.at == at {
			o.mu.Unlock()
			return l.message, nil
		}
	}
	o.mu.Unlock()
	raw, err := o.letters.read(at)
	if err != nil {
		return nil, err
	}
	m, err := mail.Parse(bytes.NewReader(raw))
	if err != nil || at.len > maxOpen {
		return m, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latest[o.next] = openLetter{at, m}
	o.next = (o.next + 1) % len(o.latest)
	return m, nil
}
