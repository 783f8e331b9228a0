package web

import (
	"net/http"

	"postern/crm"
)

// limitsData is the page on which a user tightens what is read of the own mailbox.
type limitsData struct {
	Rows   []limitRow
	Wrong  int
	Saved  bool
	Locked int // of the rows
}

func (s *server) myLimits(w http.ResponseWriter, r *http.Request) error {
	own, policy, err := s.ownLimits(r)
	if err != nil {
		return err
	}
	rows := limitRows(own, policy.Locked)
	return s.showLimits(w, r, http.StatusOK, policy, limitsData{Rows: rows, Saved: r.URL.Query().Get("saved") == "1"})
}

func (s *server) ownLimits(r *http.Request) (crm.Limits, crm.Policy, error) {
	policy, err := s.Org.Policy(r.Context())
	if err != nil {
		return crm.Limits{}, policy, err
	}
	all, err := s.Org.UserLimits(r.Context())
	return all[viewerOf(r).ID], policy, err
}

func (s *server) showLimits(w http.ResponseWriter, r *http.Request, status int, policy crm.Policy, d limitsData) error {
	set := policy.Tighten(crm.Limits{})
	for i, f := range set.Text() {
		d.Rows[i].Org = f.Values
		if d.Rows[i].Locked {
			d.Locked++
		}
	}
	return s.show(w, r, status, "limits", page{Title: "My limits", Place: "mails", Crumbs: []crumb{{"My Emails", "/mails"}}, Data: d})
}

func (s *server) saveMyLimits(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	own, policy, err := s.ownLimits(r)
	if err != nil {
		return err
	}
	typed, wrong := readLimits(r.PostForm)
	checked, more := typed.Check()
	if wrong = append(wrong, more...); len(wrong) > 0 {
		f := policyForm{Limits: limitRows(typed, policy.Locked)}
		asTyped(f.Limits, r.PostForm)
		return s.showLimits(w, r, http.StatusUnprocessableEntity, policy, limitsData{Rows: f.Limits, Wrong: f.setErrors(wrong)})
	}
	if err := s.Org.SaveUserLimits(r.Context(), viewerOf(r).ID, policy.KeepLocked(own, checked)); err != nil {
		return err
	}
	http.Redirect(w, r, "/my/limits?saved=1", http.StatusSeeOther)
	return nil
}

// limitsJSON is what the API says of the limits of whoever asks.
type limitsJSON struct {
	Own       crm.Limits `json:"own"`
	Effective crm.Limits `json:"effective"`
	Locked    []string   `json:"locked"`
}

func (s *server) apiMyLimits(w http.ResponseWriter, r *http.Request) error {
	own, policy, err := s.ownLimits(r)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, limitsJSON{own, policy.Tighten(own), append([]string{}, policy.Locked...)})
	return nil
}

func (s *server) apiSaveMyLimits(w http.ResponseWriter, r *http.Request) error {
	var own crm.Limits
	if err := readJSON(r, &own); err != nil {
		return err
	}
	checked, wrong := own.Check()
	if len(wrong) > 0 {
		writeFieldErrors(w, "saved", wrong)
		return nil
	}
	was, policy, err := s.ownLimits(r)
	if err != nil {
		return err
	}
	if err := s.Org.SaveUserLimits(r.Context(), viewerOf(r).ID, policy.KeepLocked(was, checked)); err != nil {
		return err
	}
	return s.apiMyLimits(w, r)
}
