package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

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

// wordJSON is wordData as other programs read it.
type wordJSON struct {
	Told  bool      `json:"told"` // whether word of what happens now reaches anybody
	Items []boxJSON `json:"items"`
}

type boxJSON struct {
	Address  mail.Address `json:"address"`
	Contact  bool         `json:"contact"` // false = not any more, and owed some
	Waiting  int          `json:"waiting"`
	Oldest   time.Time    `json:"waiting_since,omitzero"`
	Trouble  string       `json:"trouble,omitempty"`
	Next     time.Time    `json:"next_attempt,omitzero"`
	Sent     time.Time    `json:"last_told,omitzero"`
	GivenUp  int          `json:"given_up"`
	GaveUp   time.Time    `json:"last_given_up,omitzero"`
	Attempts int          `json:"attempts"`
}

func (s *server) apiSecurityContacts(w http.ResponseWriter, r *http.Request) error {
	d, err := s.word(r.Context())
	if err != nil {
		return err
	}
	answer := wordJSON{d.Told(), []boxJSON{}}
	for _, b := range d.Boxes {
		answer.Items = append(answer.Items, boxJSON(b))
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// apiSaveSecurityContacts takes {"addresses": [...]}, all that are to be told from now on.
func (s *server) apiSaveSecurityContacts(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Addresses []string `json:"addresses"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if body.Addresses == nil {
		return errBadForm // to leave them out is no way to take all off
	}
	var list []mail.Address
	for _, text := range body.Addresses {
		a, err := mail.ParseAddress(text)
		if err != nil {
			return errBadForm
		}
		list = append(list, a)
	}
	if err := s.Org.SaveSecurityContacts(r.Context(), list); err != nil {
		return err
	}
	return s.apiSecurityContacts(w, r)
}
