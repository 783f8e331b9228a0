package sim

import (
	"bytes"
	"strings"
	"time"

	"postern/mail"
)

// A letter is a raw message in the spool and the little that is kept of it in memory;
// the rest is derived from the bytes when it is asked for.
type letter struct {
	at       span
	class    string // item class
	sent     time.Time
	received time.Time
}

// An envelope is whom a letter names.
type envelope struct {
	senders    []Person // From, then Sender
	recipients []Person // To, Cc, Bcc
	toAndCc    []mail.Address
}

// newLetter puts a raw message into the spool. A message without a date was received now.
func (x *Exchange) newLetter(raw []byte) (letter, envelope, error) {
	at, err := x.letters.add(raw)
	if err != nil {
		return letter{}, envelope{}, err
	}
	h, _ := mail.ParseHeader(bytes.NewReader(raw)) // reading from memory does not fail
	l := letter{at: at, class: itemClass(h, raw), sent: h.Date(), received: receivedAt(h)}
	if l.received.IsZero() {
		l.received = x.now().UTC().Truncate(time.Second)
	}
	return l, envelopeOf(h), nil
}

func envelopeOf(h *mail.Header) envelope {
	e := envelope{senders: people(h.From(), h.Sender()), recipients: people(h.To(), h.Cc())}
	for _, p := range e.recipients {
		if p.Address != "" {
			e.toAndCc = append(e.toAndCc, p.Address)
		}
	}
	e.recipients = append(e.recipients, people(h.Bcc())...)
	return e
}

func people(lists ...[]mail.Named) []Person {
	var all []Person
	for _, list := range lists {
		for _, n := range list {
			all = append(all, Person{n.Name, n.Address})
		}
	}
	return all
}

// receivedAt is when the last server on the way took the message, else when it was sent.
func receivedAt(h *mail.Header) time.Time {
	trace := h.Get("Received")
	if i := strings.LastIndexByte(trace, ';'); i >= 0 {
		if t, err := mail.ParseDate(trace[i+1:]); err == nil {
			return t
		}
	}
	return h.Date()
}

// Item classes that Exchange gives to mail as it comes in.
// https://learn.microsoft.com/office/vba/outlook/concepts/forms/item-types-and-message-classes
const (
	classNote          = "IPM.Note"
	classEncrypted     = "IPM.Note.SMIME"
	classSigned        = "IPM.Note.SMIME.MultipartSigned"
	classBounce        = "REPORT.IPM.Note.NDR"
	classDelivered     = "REPORT.IPM.Note.DR"
	classReadReceipt   = "REPORT.IPM.Note.IPNRN"
	classRequest       = "IPM.Schedule.Meeting.Request"
	classCancelled     = "IPM.Schedule.Meeting.Canceled"
	classAccepted      = "IPM.Schedule.Meeting.Resp.Pos"
	classDeclined      = "IPM.Schedule.Meeting.Resp.Neg"
	classTentative     = "IPM.Schedule.Meeting.Resp.Tent"
	classRightsManaged = "IPM.Note.rpmsg.Microsoft.IRM"
)

// itemClass tells what Exchange would take a message for.
func itemClass(h *mail.Header, raw []byte) string {
	contentType := strings.ToLower(h.Get("Content-Type"))
	kind, _, _ := strings.Cut(contentType, ";")
	switch strings.TrimSpace(kind) {
	case "multipart/report":
		switch {
		case strings.Contains(contentType, "disposition-notification"):
			return classReadReceipt
		case strings.Contains(contentType, "delivery-status") && containsFold(raw, "action: delivered"):
			return classDelivered
		case strings.Contains(contentType, "delivery-status"):
			return classBounce
		}
	case "multipart/signed":
		return classSigned
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		return classEncrypted
	case "text/calendar":
		return meetingClass(raw)
	case "multipart/alternative", "multipart/mixed":
		switch { // exact spellings: these letters are the large ones, and folding case is slow
		case bytes.Contains(raw, []byte("text/calendar")), bytes.Contains(raw, []byte("TEXT/CALENDAR")):
			return meetingClass(raw)
		case bytes.Contains(raw, []byte("application/x-microsoft-rpmsg-message")):
			return classRightsManaged
		}
	}
	return classNote
}

// meetingClass goes by the method that the calendar part is declared with; without one
// the calendar is but an attachment.
func meetingClass(raw []byte) string {
	switch {
	case containsFold(raw, "method=request"), containsFold(raw, "method=\"request\""):
		return classRequest
	case containsFold(raw, "method=cancel"), containsFold(raw, "method=\"cancel\""):
		return classCancelled
	case containsFold(raw, "method=reply"), containsFold(raw, "method=\"reply\""):
		switch {
		case containsFold(raw, "partstat=declined"):
			return classDeclined
		case containsFold(raw, "partstat=tentative"):
			return classTentative
		}
		return classAccepted
	}
	return classNote
}

// containsFold looks for lower-case ASCII text whatever its case in raw.
func containsFold(raw []byte, text string) bool {
	first := text[0]
	for {
		i := bytes.IndexAny(raw, string([]byte{first, first - 'a' + 'A'}))
		if i < 0 || len(raw)-i < len(text) {
			return false
		}
		if bytes.EqualFold(raw[i:i+len(text)], []byte(text)) {
			return true
		}
		raw = raw[i+1:]
	}
}
