package web

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// wordData is who is told by mail what widens access, and what became of that.
type wordData struct {
	Server string // that takes the mail; "" = none: nobody is told
	Boxes  []store.Outbox
	Form   string // the contacts, one a line
	Wrong  string // why the form was not saved
	Saved  bool
}

func (s *server) word(ctx context.Context) (wordData, error) {
	boxes, err := s.Org.Outboxes(ctx)
	d := wordData{Server: s.MailServer, Boxes: boxes}
	for _, b := range boxes {
		if b.Contact {
			d.Form += string(b.Address) + "\n"
		}
	}
	return d, err
}

// Told tells whether word of what happens now reaches anybody.
func (d wordData) Told() bool { return d.Server != "" && d.Form != "" }

// saveSecurityContacts saves the form with the contacts, one a line.
func (s *server) saveSecurityContacts(w http.ResponseWriter, r *http.Request) error {
	var list []mail.Address
	wrong := ""
	for line := range strings.FieldsFuncSeq(r.PostFormValue("contacts"), func(r rune) bool { return r == '\n' || r == '\r' || r == ',' || r == ';' }) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		a, err := mail.ParseAddress(line)
		if err != nil {
			wrong = line + " is no mail address."
			break
		}
		list = append(list, a)
	}
	if wrong == "" {
		err := s.Org.SaveSecurityContacts(r.Context(), list)
		f, refused := errors.AsType[*crm.Fault](err)
		switch {
		case err == nil:
			return redirectTo(auditPath+"?saved=contacts#contacts")(w, r)
		case !refused || f.Verdict != crm.Refused:
			return err
		}
		wrong = f.Message + " " + f.Advice
	}
	word, err := s.word(r.Context())
	if err != nil {
		return err
	}
	word.Form, word.Wrong = r.PostFormValue("contacts"), wrong
	return s.showAudit(w, r, http.StatusUnprocessableEntity, word)
}
