package web

import (
	"context"
	"net/http"
	"slices"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// A sought is a search for the server of one mailbox.
type sought struct {
	settings crm.Settings // checked
	box      mail.Address // whose server is looked for
}

// searchCode is the code of how a search ended.
const searchCode = "autodiscover"

// findForm looks for the server by what the domain of the first mailbox publishes, and
// puts it into the form. Nothing is saved.
func (s *server) findForm(w http.ResponseWriter, r *http.Request, d settingsData, kept crm.Settings, confirmed string) error {
	look, wrong, err := s.seek(r.Context(), d.Settings, kept, confirmed)
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		d.setErrors(wrong)
		d.Trial = true
		return s.showSettings(w, r, http.StatusUnprocessableEntity, d)
	}
	d.Tested, d.Sought = s.Now(), look.box
	found, err := s.Discover(r.Context(), look.box, look.settings, confirmed, func(f crm.Finding) { d.Steps = append(d.Steps, NewStepJSON(f)) })
	if err != nil {
		f := crm.AsFault(err)
		d.ToFix++
		d.Steps = append(d.Steps, NewStepJSON(notFound(f)))
		if f.Code == "autodiscover-confirm" {
			d.Confirm = found
		}
		return s.showSettings(w, r, http.StatusOK, d)
	}
	d.Server = found
	d.Steps = append(d.Steps, NewStepJSON(crm.Finding{Code: searchCode, Step: "Server", OK: true, Detail: found + " stands in the form now. Test it, then save."}))
	return s.showSettings(w, r, http.StatusOK, d)
}

// notFound is how a search ended that found nothing.
func notFound(f *crm.Fault) crm.Finding {
	return crm.Finding{Code: searchCode, Step: "Server", Fault: f, For: crm.ForCRMAdmin}
}

// seek checks what stands in the form as far as a search needs it, and chooses a mailbox.
// Nobody who finds an open page can have a kept password sent elsewhere.
func (s *server) seek(ctx context.Context, typed, kept crm.Settings, confirmed string) (look sought, wrong []crm.FieldError, err error) {
	look.settings, wrong = typed.CheckSearch(s.Connector, kept, confirmed)
	if len(wrong) > 0 {
		return look, wrong, nil
	}
	users, _, err := s.Org.Users(ctx, store.ListQuery{Limit: store.Everything})
	if err != nil {
		return look, nil, err
	}
	for _, u := range users {
		if u.Active && len(u.Addresses) > 0 && slices.Contains(look.settings.Domains, u.Addresses[0].Domain()) {
			look.box = u.Addresses[0]
			return look, nil, nil
		}
	}
	return look, []crm.FieldError{{Field: "domains", Code: "nobody-there", Message: "No user has an address in these domains, so that there is no mailbox to look for."}}, nil
}

// foundJSON is the answer to a search.
type foundJSON struct {
	Mailbox mail.Address `json:"mailbox"`
	Server  string       `json:"server,omitempty"`
	Confirm string       `json:"confirm,omitempty"` // host that is to be confirmed
	Steps   []StepJSON   `json:"steps"`
}

// apiFind looks for the server of the settings that it is sent.
func (s *server) apiFind(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		settingsJSON
		Confirm string `json:"confirm"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	kept, _, err := s.Org.Settings(r.Context())
	if err != nil {
		return err
	}
	look, wrong, err := s.seek(r.Context(), body.settings(), kept, body.Confirm)
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		writeFieldErrors(w, "looked for", wrong)
		return nil
	}
	answer := foundJSON{Mailbox: look.box, Steps: []StepJSON{}}
	found, err := s.Discover(r.Context(), look.box, look.settings, body.Confirm, func(f crm.Finding) { answer.Steps = append(answer.Steps, NewStepJSON(f)) })
	if err == nil {
		answer.Server = found
	} else {
		f := crm.AsFault(err)
		answer.Steps = append(answer.Steps, NewStepJSON(notFound(f)))
		if f.Code == "autodiscover-confirm" {
			answer.Confirm = found
		}
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}
