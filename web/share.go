package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// shareDays is how long a link for the Exchange admin holds unless told otherwise.
const shareDays = 7

func shareURL(r *http.Request, token string) string { return ownAddress(r) + "/share/" + token }

// noVersion says why there is nothing to share.
const noVersion = "Choose the version of Exchange first: there are no scripts to share before."

// makeShare makes a link and shows it, this once.
func (s *server) makeShare(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	c, err := s.readChoice(r)
	if err != nil {
		return err
	}
	days, err := strconv.Atoi(r.PostForm.Get("days"))
	if err != nil || days < 1 || days > store.MaxShareDays {
		return errBadForm
	}
	if c.Version == "" {
		return s.showExchange(w, r, http.StatusUnprocessableEntity, exchangeData{Wrong: noVersion})
	}
	token, _, err := s.Org.NewShare(r.Context(), c.Version, c.App, time.Duration(days)*24*time.Hour)
	if err != nil {
		return err
	}
	return s.showExchange(w, r, http.StatusOK, exchangeData{Link: shareURL(r, token)})
}

func (s *server) revokeShare(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	id, err := formID(r)
	if err != nil {
		return err
	}
	if err := s.Org.RevokeShare(r.Context(), id); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	http.Redirect(w, r, exchangePath, http.StatusSeeOther)
	return nil
}

// shareJSON is a link as the API has it.
type shareJSON struct {
	ID      int64     `json:"id"`
	Version string    `json:"version"`
	Made    time.Time `json:"made"`
	By      string    `json:"by"`
	Expires time.Time `json:"expires"`
	URL     string    `json:"url,omitempty"` // only when it is made
}

func newShareJSON(sh store.Share) shareJSON {
	return shareJSON{ID: sh.ID, Version: sh.Version, Made: sh.Made, By: sh.By, Expires: sh.Expires}
}

func (s *server) apiMakeShare(w http.ResponseWriter, r *http.Request) error {
	in := struct {
		Days    int    `json:"days"`
		Version string `json:"version"`
		App     string `json:"app"`
	}{Days: shareDays}
	if err := readJSON(r, &in); err != nil {
		return err
	}
	if in.Days < 1 || in.Days > store.MaxShareDays {
		return errBadForm
	}
	c, err := s.choose(r.Context(), in.Version, in.App)
	if err != nil {
		return err
	}
	if c.Version == "" {
		writeFieldErrors(w, "made", []crm.FieldError{{Field: "version", Code: "required", Message: noVersion}})
		return nil
	}
	token, made, err := s.Org.NewShare(r.Context(), c.Version, c.App, time.Duration(in.Days)*24*time.Hour)
	if err != nil {
		return err
	}
	j := newShareJSON(made)
	j.URL = shareURL(r, token)
	writeJSON(w, http.StatusCreated, j)
	return nil
}

func (s *server) apiRevokeShare(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	if err := s.Org.RevokeShare(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// sharedData is the page behind a link: what it is about, the steps, and how they stand.
type sharedData struct {
	About   about
	Steps   []exchangeStep
	Checked time.Time
	Expires time.Time
}

// about tells whoever runs Exchange what is to be let in, and to what.
type about struct {
	Domains   []string // of the organization
	Server    string
	Version   string
	Model     string
	Accounts  []string // logins; none where all sign in themselves
	UserAgent string
	Group     string   // of the directory, whose members are read
	Mailboxes []string // those that are read, where no group is named
}

func (s *server) about(ctx context.Context, c choice) (about, error) {
	p, err := s.Org.Permit(ctx, c.Version, c.App)
	if err != nil {
		return about{}, err
	}
	a := about{Domains: shownDomains(p.Policy.Domains), Server: p.Settings.Host(), Model: p.Settings.Model.Words().Decision,
		Version: versionTitle(s.Connector.ScriptVersions, p.Settings.Version), Accounts: p.Settings.Logins(),
		UserAgent: cmp.Or(p.Settings.UserAgent, crm.DefaultUserAgent), Group: p.Group}
	if a.Group == "" {
		for _, box := range p.Policy.Allow {
			a.Mailboxes = append(a.Mailboxes, mail.Address(box).Display())
		}
	}
	return a, nil
}

// shared is the page behind a link. Whoever has the link sees it, without a sign-in, and
// nothing else.
func (s *server) shared(w http.ResponseWriter, r *http.Request) error {
	sh, err := s.Org.Share(r.Context(), r.PathValue("token"))
	if err != nil {
		return err
	}
	if r.Header.Get(refreshHeader) != "" {
		if err := s.checkAgain(r, sh); err != nil {
			return err
		}
	}
	steps, run, err := s.exchangeSteps(r.Context(), choice{sh.Version, sh.App}, "/share/"+r.PathValue("token"))
	if err != nil {
		return err
	}
	d := sharedData{Steps: steps, Expires: sh.Expires}
	if d.About, err = s.about(r.Context(), choice{sh.Version, sh.App}); err != nil {
		return err
	}
	if run != nil {
		d.Checked = run.Began
	}
	private(w)
	return s.show(w, r, http.StatusOK, "share", page{Title: "Access to Exchange", Data: d})
}

func (s *server) sharedScript(w http.ResponseWriter, r *http.Request) error {
	sh, err := s.Org.Share(r.Context(), r.PathValue("token"))
	if err != nil {
		return err
	}
	private(w)
	return s.scriptFile(w, r, choice{sh.Version, sh.App})
}

// private keeps the address, which is the secret, from other sites and from search engines.
func private(w http.ResponseWriter) {
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("X-Robots-Tag", "noindex, nofollow")
}

// checkEvery is how soon a check is run again for those who look at a shared page.
const checkEvery = time.Minute

// checkAgain runs the check anew while somebody looks at a shared page on which something is
// not green yet, so that it turns green by itself. It is not run for the first time here,
// and not when the log-on was refused: a password is not tried because a page is open.
func (s *server) checkAgain(r *http.Request, sh store.Share) error {
	if !s.checking.TryLock() {
		return nil
	}
	defer s.checking.Unlock()
	list, err := s.Org.Checks(r.Context(), 1)
	if err != nil || len(list) == 0 || list[0].Red() == 0 || s.Now().Sub(list[0].Began) < checkEvery {
		return err
	}
	if f := list[0].Finding("logon"); f != nil && f.Fault != nil && f.Fault.Verdict == crm.Reauth {
		return nil
	}
	ctx := crm.WithActor(r.Context(), "link "+strconv.FormatInt(sh.ID, 10)+" for the Exchange admin")
	up, err := s.NextCheck(ctx)
	if err != nil {
		return err
	}
	_, err = s.Check(ctx, up, func(crm.Finding) {})
	return err
}
