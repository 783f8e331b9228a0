package web

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/crm"
	"postern/store"
)

// exchangePath is the page with what an Exchange administrator runs to let Postern in.
const exchangePath = "/access/exchange"

func (s *server) exchangeRoutes(on func(pattern string, who role, do action)) {
	on("GET "+exchangePath, administrator, s.exchange)
	on("GET "+exchangePath+"/{script}", administrator, s.exchangeScript)
	for _, done := range []string{"/decide", "/share", "/revoke"} { // what a form led to, loaded again
		on("GET "+exchangePath+done, administrator, func(w http.ResponseWriter, r *http.Request) error {
			http.Redirect(w, r, exchangePath, http.StatusSeeOther)
			return nil
		})
	}
	on("POST "+exchangePath+"/decide", administrator, s.decide)
	on("POST "+exchangePath+"/share", administrator, s.makeShare)
	on("POST "+exchangePath+"/revoke", administrator, s.revokeShare)
	on("GET /api"+exchangePath, administrator, s.apiExchange)
	on("POST /api"+exchangePath+"/shares", administrator, s.apiMakeShare)
	on("DELETE /api"+exchangePath+"/shares/{id}", administrator, s.apiRevokeShare)
	on("GET /share/{token}", anybody, s.shared)
	on("GET /share/{token}/{script}", anybody, s.sharedScript)
}

// A choice is what scripts are made for, besides the settings that hold.
type choice struct {
	Version string // of Exchange; "" = that of the settings
	App     string // id of the application, for Exchange Online
}

// An exchangeStep is one thing that an Exchange administrator does, and how it stands by the
// last check.
type exchangeStep struct {
	crm.Script
	Number int
	URL    string             // of the script, to be downloaded
	State  string             // ok, bad, skip; "" when no check can tell
	Told   string             // what the check found
	Try    string             // where more can be tried; "" = nowhere, or there is no need
	Rules  []crm.FirewallRule // in place of a script
	Listed bool               // addresses are published
}

// A proof says how a check shows that a step is done. That we are let in does not show that
// others are refused: a step that is to limit is done only when that was tried, too.
type proof struct {
	works  string   // finding without which the step was not reached
	shows  string   // finding that shows it; "" = no check does
	open   string   // what is told when it works and is not shown; when a check can show it, the reason follows
	faults []string // those that are about the step; others mean that it was not reached. nil = all
}

var proofs = map[string]proof{
	"firewall": {works: "connection", shows: "connection"},
	"grant": {works: "mailbox", shows: crm.MustFail + "mailbox", open: "Mailboxes open. Not shown that others are refused: ",
		faults: []string{"ErrorImpersonateUserDenied", "ErrorAccessDenied", "ErrorImpersonationDenied", "no-inbox", "wider-than-needed"}},
	"user-agent": {works: "logon", shows: crm.MustFail + "agent", open: "Postern is let in. Not shown that other programs are refused: ",
		faults: []string{"agent-blocked", "ews-blocked", "wider-than-needed"}},
	"ews-enabled": {works: "logon", open: "EWS answers the account. No check shows that it is off for others: the first script lists the switches.",
		faults: []string{"ews-forbidden", "ews-blocked"}},
	"allowed-apps": {works: "logon", shows: "logon", faults: []string{"ews-forbidden", "ews-blocked"}},
}

// stepStanding tells how a step stands by a run of the check; nil = there was none.
func stepStanding(name string, run *store.Check) (state, told string) {
	proof, provable := proofs[name]
	switch {
	case name == "verify":
		return runStanding(run)
	case !provable:
		return "", ""
	case run == nil:
		return "skip", "Not checked yet."
	}
	works, detail, reason := false, "", "this was not tried."
	for i := range run.Findings {
		f := &run.Findings[i]
		if f.Code != proof.works && f.Code != proof.shows {
			continue
		}
		if f.Fault != nil && !f.OK && !f.Skip && (proof.faults == nil || slices.Contains(proof.faults, f.Fault.Code)) {
			return "bad", f.Fault.Message
		}
		works = works || f.Code == proof.works && f.OK && !f.Skip
		if f.Code == proof.shows && f.State() == "ok" && detail == "" {
			detail = f.Detail
		} else if f.Code == proof.shows {
			reason = reasonOf(f)
		}
	}
	switch {
	case !works:
		return "skip", "The last check did not come so far."
	case proof.shows == "":
		return "skip", proof.open
	case detail == "":
		return "skip", proof.open + reason
	}
	if proof.shows == "logon" { // begins with the login, which is as it is
		return "ok", "Let in: " + detail + "."
	}
	return "ok", capital(detail)
}

// reasonOf says why a finding shows nothing.
func reasonOf(f *crm.Finding) string {
	if f.Fault != nil && f.Fault.Message != "" {
		return f.Fault.Message
	}
	return strings.TrimPrefix(f.Detail, "not shown: ") + "."
}

// runStanding tells how all of it stands: it is verified when nothing is to be fixed and
// Exchange refused all that it must refuse.
func runStanding(run *store.Check) (state, told string) {
	switch {
	case run == nil:
		return "skip", "Not checked yet."
	case run.Red() > 0:
		return "bad", plural(run.Red(), "thing", "things") + " to fix, by the last check."
	}
	for _, name := range []string{"grant", "user-agent"} {
		if state, told := stepStanding(name, run); state != "ok" {
			return state, told
		}
	}
	return "ok", "The last check found nothing to fix, and Exchange refused what it must refuse."
}

// scripts are those for a choice; none before there is a version that they can be for.
func (s *server) scripts(ctx context.Context, c choice) ([]crm.Script, error) {
	permit, err := s.Org.Permit(ctx, c.Version, c.App)
	if err != nil || permit.Settings.Version == "" {
		return nil, err
	}
	return s.Connector.Scripts(permit), nil
}

// exchangeSteps are the steps in their order. base is where their scripts are downloaded.
func (s *server) exchangeSteps(ctx context.Context, c choice, base string) ([]exchangeStep, *store.Check, error) {
	scripts, err := s.scripts(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	published, err := s.publication(ctx)
	if err != nil {
		return nil, nil, err
	}
	checks, err := s.Org.Checks(ctx, 1)
	if err != nil {
		return nil, nil, err
	}
	var run *store.Check
	if len(checks) > 0 {
		run = &checks[0]
	}
	var steps []exchangeStep
	add := func(step exchangeStep) {
		step.Number = len(steps) + 1
		if step.Rules == nil || step.Listed { // what is not to be done is not judged
			step.State, step.Told = stepStanding(step.Name, run)
		}
		steps = append(steps, step)
	}
	for _, script := range scripts {
		add(exchangeStep{Script: script, URL: base + "/" + script.Name + ".ps1"})
		if script.Name == "inventory" {
			add(exchangeStep{Script: crm.Script{Name: "firewall", Title: "Firewall", Says: "Lets the addresses in from which Postern comes. It only adds."},
				Rules: published.Rules(crm.DefaultChain), Listed: len(published.Addresses) > 0})
		}
	}
	return steps, run, nil
}

// exchangeData is the page.
type exchangeData struct {
	Tab       string
	Decisions []decision
	Steps     []exchangeStep
	Checked   time.Time // zero = never
	Versions  []crm.Version
	Choice    choice
	Online    bool // the chosen version asks for an application
	Shares    []store.Share
	Link      string // just made; shown this once
	Wrong     string
}

// VersionTitle is how the menu calls a version.
func (d *exchangeData) VersionTitle(name string) string { return versionTitle(d.Versions, name) }

func versionTitle(list []crm.Version, name string) string {
	if i := slices.IndexFunc(list, func(v crm.Version) bool { return v.Name == name }); i >= 0 {
		return list[i].Title
	}
	return name
}

func (s *server) exchange(w http.ResponseWriter, r *http.Request) error {
	return s.showExchange(w, r, http.StatusOK, exchangeData{})
}

func (s *server) showExchange(w http.ResponseWriter, r *http.Request, status int, d exchangeData) error {
	var err error
	if d.Choice, err = s.readChoice(r); err != nil {
		return err
	}
	d.Tab, d.Versions = "exchange", s.Connector.ScriptVersions
	var run *store.Check
	if d.Steps, run, err = s.exchangeSteps(r.Context(), d.Choice, exchangePath); err != nil {
		return err
	}
	for i := range d.Steps {
		if d.Steps[i].URL != "" {
			d.Steps[i].URL += "?version=" + d.Choice.Version + "&app=" + d.Choice.App
		}
		if proof, of := proofs[d.Steps[i].Name]; d.Steps[i].State == "skip" && (!of || proof.shows != "") {
			d.Steps[i].Try = accessURL("check")
		}
		d.Online = d.Online || d.Steps[i].Name == "allowed-apps"
	}
	if run != nil {
		d.Checked = run.Began
	}
	if d.Decisions, err = s.decisions(r.Context()); err != nil {
		return err
	}
	if d.Shares, err = s.Org.Shares(r.Context()); err != nil {
		return err
	}
	return s.show(w, r, status, "access-exchange", page{Title: "For the Exchange admin", Place: "access", Data: &d})
}

// readChoice reads what scripts are to be made for, from a form or the address.
func (s *server) readChoice(r *http.Request) (choice, error) {
	return s.choose(r.Context(), r.FormValue("version"), r.FormValue("app"))
}

// choose returns a choice that scripts can be made for.
func (s *server) choose(ctx context.Context, version, app string) (choice, error) {
	c := choice{Version: version, App: strings.TrimSpace(app)}
	if !slices.ContainsFunc(s.Connector.ScriptVersions, func(v crm.Version) bool { return v.Name == c.Version }) {
		kept, _, err := s.Org.Settings(ctx)
		if err != nil {
			return c, err
		}
		c.Version = kept.Version
	}
	if strings.Trim(c.App, "0123456789abcdefABCDEF-") != "" {
		c.App = "" // an application's id is a GUID
	}
	return c, nil
}

// exchangeScript is a script as a file.
func (s *server) exchangeScript(w http.ResponseWriter, r *http.Request) error {
	c, err := s.readChoice(r)
	if err != nil {
		return err
	}
	return s.scriptFile(w, r, c)
}

func (s *server) scriptFile(w http.ResponseWriter, r *http.Request, c choice) error {
	scripts, err := s.scripts(r.Context(), c)
	if err != nil {
		return err
	}
	for _, script := range scripts {
		if script.Name+".ps1" == r.PathValue("script") {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Content-Disposition", `attachment; filename="postern-`+script.Name+`.ps1"`)
			// Windows PowerShell takes a file without this mark for one in the code page of the machine.
			_, _ = io.WriteString(w, "\ufeff"+script.Text) // the reader may have left
			return nil
		}
	}
	return errNoPage
}

// exchangeStepJSON is a step as the API has it.
type exchangeStepJSON struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Says  string `json:"says"`
	Reads bool   `json:"reads_only"`
	State string `json:"state,omitempty"` // ok, bad, skip
	Told  string `json:"detail,omitempty"`
	Text  string `json:"text,omitempty"`
}

func stepsJSON(steps []exchangeStep) []exchangeStepJSON {
	list := []exchangeStepJSON{}
	for _, step := range steps {
		list = append(list, exchangeStepJSON{step.Name, step.Title, step.Says, step.Reads, step.State, step.Told, step.Text})
	}
	return list
}

func (s *server) apiExchange(w http.ResponseWriter, r *http.Request) error {
	c, err := s.readChoice(r)
	if err != nil {
		return err
	}
	steps, _, err := s.exchangeSteps(r.Context(), c, exchangePath)
	if err != nil {
		return err
	}
	decided, err := s.decisions(r.Context())
	if err != nil {
		return err
	}
	shares, err := s.Org.Shares(r.Context())
	if err != nil {
		return err
	}
	list := []shareJSON{}
	for _, sh := range shares {
		list = append(list, newShareJSON(sh))
	}
	decisions := []decisionJSON{}
	for _, d := range decided {
		decisions = append(decisions, d.json())
	}
	writeJSON(w, http.StatusOK, map[string]any{"version": c.Version, "decisions": decisions, "steps": stepsJSON(steps), "shares": list})
	return nil
}

// formID reads the number of a row from a form.
func formID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PostFormValue("id"), 10, 64)
	if err != nil {
		return 0, errBadForm
	}
	return id, nil
}
