package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// settingsData is the form of the connection, as saved or as typed.
type settingsData struct {
	crm.Settings
	logOnData
	Versions    []crm.Version
	Entries     []string // domains as typed, an empty one to type into at the end
	PasswordSet bool     // a password is kept
	Retype      bool     // a password was typed, which does not come back with the form
	Errors      map[string][]crm.FieldError
	Wrong       int  // fields with errors
	Trial       bool // they were to be tested, not saved
	Saved       bool
	Tested      time.Time    // zero = no test was made, and no search
	Sought      mail.Address // whose server was looked for; "" = it was a test
	Confirm     string       // host that a search ended at, and that is to be confirmed
	Steps       []StepJSON
	ToFix       int
	Mailboxes   int
	Blank       StepJSON // what the script fills in
	Waiting     []crm.Proposal
}

// A field is what is wrong with one field of the form.
type field struct {
	Name   string
	Errors []crm.FieldError
}

func newField(d settingsData, name string) field { return field{name, d.Errors[name]} }

func (s *server) settingsForm(w http.ResponseWriter, r *http.Request) error {
	kept, _, err := s.Org.Settings(r.Context())
	if err != nil {
		return err
	}
	d := settingsData{Settings: kept, logOnData: logOnOf(kept, kept), Entries: append(shownDomains(kept.Domains), ""), PasswordSet: !kept.Password.Empty(), Saved: r.URL.Query().Get("saved") == "1"}
	return s.showSettings(w, r, http.StatusOK, d)
}

func (s *server) showSettings(w http.ResponseWriter, r *http.Request, status int, d settingsData) error {
	d.Versions = s.Connector.Versions
	var err error
	if d.Waiting, err = s.waiting(r.Context(), crm.SettingsProposal); err != nil {
		return err
	}
	d.Password, d.Keytab, d.ClientKey, d.Others = crm.Secret{}, crm.Secret{}, crm.Secret{}, nil // not even as dots of the right number
	boxes, _, err := s.Org.Mailboxes(r.Context(), store.ListQuery{Limit: store.Everything})
	if err != nil {
		return err
	}
	for _, b := range boxes {
		if b.State != crm.Off {
			d.Mailboxes++
		}
	}
	return s.show(w, r, status, "settings", page{
		Title: "Email settings", Place: "configuration",
		Crumbs: []crumb{{"System", ""}, {"Configuration", "/system/configuration"}, {"Integrations", ""}},
		Data:   d,
	})
}

// saveSettingsForm answers all buttons of the form: save, test, and, where no script
// runs, adding and removing an entry of the domain list.
func (s *server) saveSettingsForm(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	typed := readSettings(r.PostForm)
	kept, _, err := s.Org.Settings(r.Context())
	if err != nil {
		return err
	}
	d := settingsData{Settings: typed, logOnData: logOnOf(typed, kept), Entries: typed.Domains, PasswordSet: !kept.Password.Empty(), Retype: !typed.Password.Empty()}
	d.RetypeMore = secretsBeside(typed)
	do, arg, _ := strings.Cut(r.PostForm.Get("do"), " ")
	switch do {
	case "add":
		d.Entries = append(d.Entries, "")
		return s.showSettings(w, r, http.StatusOK, d)
	case "remove":
		if i, err := strconv.Atoi(arg); err == nil && i >= 0 && i < len(d.Entries) {
			d.Entries = append(d.Entries[:i:i], d.Entries[i+1:]...)
		}
		return s.showSettings(w, r, http.StatusOK, d)
	case "test":
		return s.testForm(w, r, d, kept)
	case "find", "confirm":
		return s.findForm(w, r, d, kept, arg)
	}
	checked, wrong := typed.Check(s.Connector, kept)
	if len(wrong) > 0 {
		d.setErrors(wrong)
		return s.showSettings(w, r, http.StatusUnprocessableEntity, d)
	}
	if err := s.applySettings(r.Context(), checked); err != nil {
		return err
	}
	http.Redirect(w, r, settingsPath+"?saved=1", http.StatusSeeOther)
	return nil
}

// testForm tries what stands in the form, saved or not.
func (s *server) testForm(w http.ResponseWriter, r *http.Request, d settingsData, kept crm.Settings) error {
	checked, wrong := checkForTest(d.Settings, s.Connector, kept)
	if len(wrong) > 0 {
		d.setErrors(wrong)
		d.Trial = true
		return s.showSettings(w, r, http.StatusUnprocessableEntity, d)
	}
	d.Tested = s.Now()
	err := s.test(r.Context(), checked, func(f crm.Finding) {
		v := NewStepJSON(f)
		if v.State == "bad" {
			d.ToFix++
		}
		d.Steps = append(d.Steps, v)
	})
	if err != nil {
		return err
	}
	return s.showSettings(w, r, http.StatusOK, d)
}

// applySettings saves settings. Mailboxes come and go by them, so that the figures at the
// top of the pages are counted anew.
func (s *server) applySettings(ctx context.Context, checked crm.Settings) error {
	defer s.counted.forget()
	return s.Org.SaveSettings(ctx, checked)
}

// test tries settings step by step. That they would open no mailbox at all is a step of
// its own: the server cannot tell it.
func (s *server) test(ctx context.Context, checked crm.Settings, tell func(crm.Finding)) error {
	if err := s.Test(ctx, checked, tell); err != nil {
		return err
	}
	n, err := s.Org.MailboxesIn(ctx, checked.Domains)
	if err != nil || n > 0 {
		return err
	}
	tell(crm.Finding{Step: "Mailboxes", Fault: &crm.Fault{
		Verdict: crm.Refused, Scope: crm.OrgScope, Code: "nothing-to-collect",
		Message: "No user has an address in " + strings.Join(shownDomains(checked.Domains), ", ") + ": nothing would be read.",
		Advice:  "Correct the Domain List, or import users who have their main address in it: postern users import FILE.csv.",
	}})
	return nil
}

// checkForTest checks settings as if collecting were enabled: a test needs every field.
func checkForTest(typed crm.Settings, c crm.Connector, kept crm.Settings) (crm.Settings, []crm.FieldError) {
	typed.Enabled = true
	return typed.Check(c, kept)
}

func (d *settingsData) setErrors(list []crm.FieldError) {
	d.Errors = byField(list)
	d.Wrong = len(d.Errors)
	if d.Errors["server"] != nil && strings.Contains(d.Server, "@") {
		d.Server = "" // a password may stand in it, and no password stays on the page
	}
}

// byField spreads errors over the fields that they are about.
func byField(list []crm.FieldError) map[string][]crm.FieldError {
	fields := map[string][]crm.FieldError{}
	for _, e := range list {
		fields[e.Field] = append(fields[e.Field], e)
	}
	return fields
}

func shownDomains(domains []string) []string {
	var shown []string
	for _, d := range domains {
		shown = append(shown, mail.DisplayDomain(d))
	}
	return shown
}

func (s *server) apiSettings(w http.ResponseWriter, r *http.Request) error {
	kept, _, err := s.Org.Settings(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, settingsToJSON(kept))
	return nil
}

func (s *server) apiSaveSettings(w http.ResponseWriter, r *http.Request) error {
	var body settingsJSON
	if err := readJSON(r, &body); err != nil {
		return err
	}
	kept, _, err := s.Org.Settings(r.Context())
	if err != nil {
		return err
	}
	checked, wrong := body.settings().Check(s.Connector, kept)
	if len(wrong) > 0 {
		writeFieldErrors(w, "saved", wrong)
		return nil
	}
	if err := s.applySettings(r.Context(), checked); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, settingsToJSON(checked))
	return nil
}

type fieldErrorJSON struct {
	Field   string `json:"field"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// writeFieldErrors says what is wrong with settings that were to be done ("saved") so.
func writeFieldErrors(w http.ResponseWriter, done string, list []crm.FieldError) {
	var fields []fieldErrorJSON
	for _, e := range list {
		fields = append(fields, fieldErrorJSON(e))
	}
	p := problem{Code: "settings-invalid", Message: "Nothing was " + done, Why: plural(len(fields), "field is", "fields are") + " not right.", Advice: "Correct what the list of fields names and send all again."}
	writeJSON(w, http.StatusUnprocessableEntity, map[string]any{"error": p, "fields": fields})
}

// apiTestSettings sends each step as soon as it has ended.
func (s *server) apiTestSettings(w http.ResponseWriter, r *http.Request) error {
	var body settingsJSON
	if err := readJSON(r, &body); err != nil {
		return err
	}
	kept, _, err := s.Org.Settings(r.Context())
	if err != nil {
		return err
	}
	checked, wrong := checkForTest(body.settings(), s.Connector, kept)
	if len(wrong) > 0 {
		writeFieldErrors(w, "tested", wrong)
		return nil
	}
	s.stream(w, r, "test the settings", func(tell func(crm.Finding)) error { return s.test(r.Context(), checked, tell) })
	return nil
}
