package web

import (
	"io"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// messageData is a message as the reading pane shows it.
type messageData struct {
	*store.MessageView
	From, Sender *store.PersonRef
	To, Cc, Bcc  []store.PersonRef
	Contacts     []store.LinkView
	Users        []store.LinkView
	Live         int // copies that are still in a mailbox
	Body         bodyView
	Files        []store.AttachmentView // those not shown within the text
	Back         string
	Alone        bool // on a page of its own
	ByAdmin      bool // an administrator reads it
}

// Outbound tells whether we wrote it.
func (m *messageData) Outbound() bool { return m.Direction == mail.Outbound }

// Companion returns the other messages of the thread.
func (m *messageData) Companions() []row {
	others := slices.DeleteFunc(slices.Clone(m.Thread), func(a store.ActivityRow) bool { return a.Message == m.ID })
	return rowsOf(others, messageURL, 0)
}

// loadMessage reads the message for whoever asks. What this reader may not see is left
// out by the store.
func (s *server) loadMessage(r *http.Request, id crm.MessageID) (*messageData, error) {
	view, err := s.Org.Message(r.Context(), viewerOf(r).ID, id)
	if err != nil {
		return nil, err
	}
	m := &messageData{MessageView: view, Body: newBodyView(view), ByAdmin: viewerOf(r).Admin}
	for i, p := range view.People {
		switch p.Part {
		case crm.From:
			m.From = &view.People[i]
		case crm.Sender:
			m.Sender = &view.People[i]
		case crm.To:
			m.To = append(m.To, p)
		case crm.Cc:
			m.Cc = append(m.Cc, p)
		case crm.Bcc:
			m.Bcc = append(m.Bcc, p)
		}
	}
	if m.Sender != nil && m.From != nil && m.Sender.Address == m.From.Address {
		m.Sender = nil
	}
	for _, l := range view.Links {
		if l.Contact != 0 {
			m.Contacts = append(m.Contacts, l)
		} else {
			m.Users = append(m.Users, l)
		}
	}
	for _, c := range view.Copies {
		if c.Gone.IsZero() {
			m.Live++
		}
	}
	for _, a := range view.Attachments {
		if !a.Inline || !m.Body.shows(a) {
			m.Files = append(m.Files, a)
		}
	}
	return m, nil
}

func (s *server) message(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	m, err := s.loadMessage(r, crm.MessageID(id))
	if err != nil {
		return err
	}
	m.Alone = true
	title := m.Subject
	if title == "" {
		title = "No subject"
	}
	p := page{Title: title, Place: "mails", Data: m}
	if len(m.Contacts) > 0 {
		c := m.Contacts[0]
		p.Place = "contacts"
		p.Crumbs = []crumb{{"Contacts", "/contacts"}, {c.Name, "/contacts/" + strconv.FormatInt(int64(c.Contact), 10)}, {"Message", ""}}
	}
	return s.show(w, r, http.StatusOK, "message", p)
}

// original hands on the message as MIME, as the mail system makes it now.
func (s *server) original(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	content, err := s.Original(r.Context(), viewerOf(r).ID, crm.MessageID(id))
	if err != nil {
		return err
	}
	defer content.Close()
	asDownload(w, "message-"+strconv.FormatInt(id, 10)+".eml", "message/rfc822")
	if _, err := io.Copy(w, content); err != nil {
		s.torn(r, err)
	}
	return nil
}

// attachment hands on the content of an attachment, fetching it first where that is done
// on demand. It must be one of a message that the reader may see.
func (s *server) attachment(w http.ResponseWriter, r *http.Request) error {
	message, err := pathID(r, "id")
	if err != nil {
		return err
	}
	id, err := pathID(r, "attachment")
	if err != nil {
		return err
	}
	view, err := s.Org.Message(r.Context(), viewerOf(r).ID, crm.MessageID(message))
	if err != nil {
		return err
	}
	at := slices.IndexFunc(view.Attachments, func(a store.AttachmentView) bool { return a.ID == id })
	if at < 0 {
		return store.ErrNotFound
	}
	if view.Attachments[at].State != store.AttachmentStored {
		if err := s.LoadAttachment(r.Context(), id); err != nil {
			return err
		}
	}
	a, content, err := s.Org.OpenAttachment(r.Context(), id)
	if err != nil {
		return err
	}
	if content == nil {
		return problem{http.StatusNotFound, "attachment-not-here", "The content of this attachment is not here", attachmentNote(*a), "Open the message in the mailbox itself, or ask the sender for the file."}
	}
	defer content.Close()
	asDownload(w, a.Name, a.Type)
	http.ServeContent(w, r, "", view.When, content)
	return nil
}

// attachmentNote says why the content of an attachment is not here.
func attachmentNote(a store.AttachmentView) string {
	if a.Note != "" {
		return a.Note
	}
	switch a.State {
	case store.AttachmentTooLarge:
		return "It is larger than what is stored here."
	case store.AttachmentBlocked:
		return "The mail server does not give it."
	case store.AttachmentFailed:
		return "It could not be fetched from the mail server."
	case store.AttachmentPending:
		return "It is about to be fetched from the mail server."
	}
	return "Only its name is kept."
}

// asDownload makes a browser save what follows, whatever it says to be: nothing that a
// stranger sent is ever run or shown in our origin.
func asDownload(w http.ResponseWriter, name, kind string) {
	h := w.Header()
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fileName(name)}))
	h.Set("Content-Type", downloadType(kind))
}

// harmless are the types that are said as they are; all others go as bytes.
var harmless = []string{
	"application/pdf", "application/zip", "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint",
	"image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "text/csv", "text/calendar", "message/rfc822",
}

func downloadType(kind string) string {
	kind, _, err := mime.ParseMediaType(kind)
	if err == nil && (slices.Contains(harmless, kind) || strings.HasPrefix(kind, "application/vnd.openxmlformats-officedocument.") || strings.HasPrefix(kind, "application/vnd.oasis.opendocument.")) {
		return kind
	}
	return "application/octet-stream"
}

// maxFileName is what common file systems take, less a little for " (1)".
const maxFileName = 200

// fileName makes a name safe to save under: no path, no control or direction character
// that would hide what it ends with, no leading dot, and not too long. The extension is
// kept.
func fileName(name string) string {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == unicode.ReplacementChar:
			return -1
		case strings.ContainsRune(`<>:"|?*/`, r):
			return '_'
		}
		return r
	}, name)
	name = strings.TrimLeft(strings.TrimSpace(name), ".")
	if name == "" {
		return "attachment"
	}
	if len(name) > maxFileName {
		ext := path.Ext(name)
		if len(ext) > 20 {
			ext = ""
		}
		name = strings.ToValidUTF8(name[:maxFileName-len(ext)], "") + ext
	}
	return name
}

// pathID reads a numeric id from the route; anything else is a page that does not exist.
func pathID(r *http.Request, name string) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue(name), 10, 64)
	if err != nil || id <= 0 {
		return 0, errNoPage
	}
	return id, nil
}
