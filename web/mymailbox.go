package web

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// myMailboxPath is where a user opens the own mailbox.
const myMailboxPath = "/my/mailbox"

func (s *server) myMailboxRoutes(on func(pattern string, who role, do action)) {
	on("GET "+myMailboxPath, signedIn, s.myMailbox)
	on("POST "+myMailboxPath, signedIn, s.saveMySignIn)
	on("GET /api"+myMailboxPath, signedIn, s.apiMyMailbox)
	on("PUT /api"+myMailboxPath, signedIn, s.apiSaveMySignIn)
	on("DELETE /api"+myMailboxPath, signedIn, s.apiForgetMySignIn)
}

// myMailboxData is the page on which a user opens the own mailbox, where that is for users
// to do. Which mailbox it is nobody can change there.
type myMailboxData struct {
	Own     bool // each user signs in to the own mailbox
	Enabled bool
	Box     *store.MailboxView // nil = the user has none that is read
	Server  string
	SignIn  store.SignIn // zero = not signed in yet
	Login   string       // as typed
	Errors  map[string][]crm.FieldError
	Saved   bool
}

// Field is what is wrong with a field of the form.
func (d myMailboxData) Field(name string) field { return field{name, d.Errors[name]} }

func (s *server) myMailboxOf(r *http.Request) (d myMailboxData, err error) {
	settings, _, err := s.Org.Settings(r.Context())
	if err != nil {
		return d, err
	}
	d.Own, d.Enabled, d.Server = settings.Model == crm.ByOwnSignIn, settings.Enabled, settings.Host()
	viewer := viewerOf(r)
	boxes, _, err := s.Org.Mailboxes(r.Context(), store.ListQuery{Limit: store.Everything})
	if err != nil {
		return d, err
	}
	for i := range boxes {
		if boxes[i].User == viewer.ID && boxes[i].State != crm.Off {
			d.Box = &boxes[i]
		}
	}
	d.SignIn, err = s.Org.SignInOf(r.Context(), viewer.ID)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	d.Login = d.SignIn.Login
	return d, err
}

func (s *server) myMailbox(w http.ResponseWriter, r *http.Request) error {
	d, err := s.myMailboxOf(r)
	if err != nil {
		return err
	}
	d.Saved = r.URL.Query().Get("saved") == "1"
	return s.showMyMailbox(w, r, http.StatusOK, d)
}

func (s *server) showMyMailbox(w http.ResponseWriter, r *http.Request, status int, d myMailboxData) error {
	return s.show(w, r, status, "my-mailbox", page{Title: "My mailbox", Place: "mails", Crumbs: []crumb{{"My Emails", "/mails"}}, Data: d})
}

func (s *server) saveMySignIn(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	if r.PostForm.Get("do") == "forget" {
		if err := s.Org.ForgetSignIn(r.Context(), viewerOf(r).ID); err != nil {
			return err
		}
		http.Redirect(w, r, myMailboxPath, http.StatusSeeOther)
		return nil
	}
	login := r.PostForm.Get("login")
	wrong, err := s.saveSignIn(r, login, r.PostForm.Get("password"))
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		d, err := s.myMailboxOf(r)
		if err != nil {
			return err
		}
		d.Login, d.Errors = login, byField(wrong)
		return s.showMyMailbox(w, r, http.StatusUnprocessableEntity, d)
	}
	http.Redirect(w, r, myMailboxPath+"?saved=1", http.StatusSeeOther)
	return nil
}

// saveSignIn keeps the credentials of whoever asks, for the own mailbox.
func (s *server) saveSignIn(r *http.Request, login, password string) ([]crm.FieldError, error) {
	login = strings.TrimSpace(login)
	wrong := crm.CheckSignIn(login, password)
	if len(wrong) > 0 {
		return wrong, nil
	}
	return nil, s.Org.SaveSignIn(r.Context(), viewerOf(r).ID, crm.Account{Login: login, Password: crm.NewSecret(password)})
}

// myMailboxJSON is what a user is told of the own mailbox. The password goes in only.
type myMailboxJSON struct {
	Mailbox  mail.Address     `json:"mailbox"` // "" = none is read
	State    crm.MailboxState `json:"state,omitempty"`
	SignIn   bool             `json:"sign_in"` // it is for the user to sign in to it
	SignedIn bool             `json:"signed_in"`
	Login    string           `json:"login,omitempty"`
	Saved    time.Time        `json:"saved,omitzero"`
	Code     string           `json:"code,omitempty"` // of what is in the way
}

func (s *server) apiMyMailbox(w http.ResponseWriter, r *http.Request) error {
	d, err := s.myMailboxOf(r)
	if err != nil {
		return err
	}
	j := myMailboxJSON{SignIn: d.Own, SignedIn: d.SignIn.Login != "", Login: d.SignIn.Login, Saved: d.SignIn.Saved}
	if d.Box != nil {
		j.Mailbox, j.State = d.Box.Address, d.Box.State
		if d.Box.Trouble != nil {
			j.Code = d.Box.Trouble.Code
		}
	}
	writeJSON(w, http.StatusOK, j)
	return nil
}

func (s *server) apiSaveMySignIn(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Login    string `json:"login"`
		Password string `json:"password"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	wrong, err := s.saveSignIn(r, body.Login, body.Password)
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		writeFieldErrors(w, "saved", wrong)
		return nil
	}
	return s.apiMyMailbox(w, r)
}

func (s *server) apiForgetMySignIn(w http.ResponseWriter, r *http.Request) error {
	if err := s.Org.ForgetSignIn(r.Context(), viewerOf(r).ID); err != nil {
		return err
	}
	return s.apiMyMailbox(w, r)
}
