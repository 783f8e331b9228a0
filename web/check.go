package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"postern/crm"
	"postern/docs"
	"postern/engine"
	"postern/mail"
	"postern/store"
)

// earlierChecks is how many earlier runs the page lists.
const earlierChecks = 10

// checkData is the page of the connection test: the last run, and what the next is to try.
type checkData struct {
	Tab      string
	Run      *store.Check // nil = there was none
	Steps    []StepJSON
	Earlier  []store.Check
	Outside  string // as typed
	Stranger bool
	Wrong    string // what is wrong with Outside
	Agent    string // User-Agent of the settings
	Ready    bool   // there are settings to try
	Blank    StepJSON
}

func (s *server) checkRoutes(on func(pattern string, who role, do action)) {
	on("GET /access/check", administrator, s.checkPage)
	on("POST /access/check", administrator, s.runCheckForm)
	on("GET /access/check/{code}", administrator, s.checkCode)
	on("GET /api/access/check", administrator, s.apiCheck)
	on("POST /api/access/check", administrator, s.apiRunCheck)
	on("GET /api/access/check/{code}", administrator, s.apiCheckCode)
}

func (s *server) checkPage(w http.ResponseWriter, r *http.Request) error {
	up, err := s.NextCheck(r.Context())
	if err != nil {
		return err
	}
	return s.showCheck(w, r, http.StatusOK, checkData{Outside: string(up.Outside), Stranger: up.Stranger})
}

func (s *server) showCheck(w http.ResponseWriter, r *http.Request, status int, d checkData) error {
	d.Tab = "check"
	settings, _, err := s.Org.Settings(r.Context())
	if err != nil {
		return err
	}
	d.Agent, d.Ready = settings.UserAgent, settings.Server != ""
	list, err := s.Org.Checks(r.Context(), earlierChecks+1)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		d.Run, d.Earlier = &list[0], list[1:]
		for _, f := range d.Run.Findings {
			d.Steps = append(d.Steps, NewStepJSON(f))
		}
	}
	return s.show(w, r, status, "access-check", page{Title: "Check", Place: "access", Data: d})
}

// runCheckForm runs the test for those without a script: the page comes when it has ended.
func (s *server) runCheckForm(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	d := checkData{Outside: strings.TrimSpace(r.PostForm.Get("outside")), Stranger: r.PostForm.Get("stranger") != ""}
	up, wrong := checkUp(d.Outside, d.Stranger, nil)
	if len(wrong) > 0 {
		d.Wrong = wrong[0].Message
		return s.showCheck(w, r, http.StatusUnprocessableEntity, d)
	}
	_, err := s.Check(r.Context(), up, func(crm.Finding) {})
	if f, ok := errors.AsType[*crm.Fault](err); ok && f.Code == "outside-is-read" {
		d.Wrong = f.Message + " " + f.Advice
		return s.showCheck(w, r, http.StatusUnprocessableEntity, d)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, accessURL("check"), http.StatusSeeOther)
	return nil
}

// checkUp reads what is to be tried, and says what is wrong with it.
func checkUp(outside string, stranger bool, boxes []string) (up engine.CheckUp, wrong []crm.FieldError) {
	read := func(field, text string) mail.Address {
		a, err := mail.ParseAddress(text)
		if err != nil {
			wrong = append(wrong, crm.FieldError{Field: field, Code: "malformed", Message: capital(err.Error()) + "."})
		}
		return a
	}
	up.Stranger = stranger
	if outside = strings.TrimSpace(outside); outside != "" {
		up.Outside = read("outside", outside)
	}
	for _, text := range boxes {
		up.Boxes = append(up.Boxes, read("mailboxes", text))
	}
	return up, wrong
}

// checkCode shows the page about a code.
func (s *server) checkCode(w http.ResponseWriter, r *http.Request) error {
	about, ok := docs.Check(r.PathValue("code"))
	if !ok {
		return errNoPage
	}
	return s.show(w, r, http.StatusOK, "access-check-code", page{Title: about.Title, Place: "access",
		Crumbs: []crumb{{"Check", accessURL("check")}, {about.Code, ""}},
		Data: struct {
			Tab string
			*docs.Page
		}{"check", about}})
}

func (s *server) apiCheckCode(w http.ResponseWriter, r *http.Request) error {
	about, ok := docs.Check(r.PathValue("code"))
	if !ok {
		return errNoPage
	}
	writeJSON(w, http.StatusOK, map[string]any{"code": about.Code, "title": about.Title, "text": about.Text()})
	return nil
}

// CheckJSON is a run of the connection test as the API and the command have it.
type CheckJSON struct {
	ID        int64        `json:"id"`
	Began     time.Time    `json:"began"`
	Seconds   float64      `json:"seconds"`
	By        string       `json:"by"`
	Server    string       `json:"server"`
	UserAgent string       `json:"user_agent"`
	Outside   mail.Address `json:"outside,omitempty"`
	Stranger  bool         `json:"stranger"`
	Red       int          `json:"red"`
	Warnings  int          `json:"warnings"`
	Steps     []StepJSON   `json:"steps"`
}

// NewCheckJSON turns a run into JSON.
func NewCheckJSON(c *store.Check) CheckJSON {
	j := CheckJSON{ID: c.ID, Began: c.Began, Seconds: c.Took.Seconds(), By: c.By, Server: c.Server, UserAgent: c.UserAgent,
		Outside: c.Outside, Stranger: c.Stranger, Red: c.Red(), Warnings: c.Warnings(), Steps: []StepJSON{}}
	for _, f := range c.Findings {
		j.Steps = append(j.Steps, NewStepJSON(f))
	}
	return j
}

// apiCheck tells the last run.
func (s *server) apiCheck(w http.ResponseWriter, r *http.Request) error {
	run, err := s.Org.LastCheck(r.Context())
	if errors.Is(err, store.ErrNotFound) {
		writeJSON(w, http.StatusOK, nil)
		return nil
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, NewCheckJSON(run))
	return nil
}

// apiRunCheck runs the test and sends each step as soon as it has ended, a line each.
func (s *server) apiRunCheck(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Outside   string   `json:"outside"`
		Stranger  bool     `json:"stranger"`
		Mailboxes []string `json:"mailboxes"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	up, wrong := checkUp(body.Outside, body.Stranger, body.Mailboxes)
	if len(wrong) > 0 {
		writeFieldErrors(w, "tested", wrong)
		return nil
	}
	s.stream(w, r, "check", func(tell func(crm.Finding)) error {
		_, err := s.Check(r.Context(), up, tell)
		return err
	})
	return nil
}

// stream sends findings line by line as they come, and an error as one more.
func (s *server) stream(w http.ResponseWriter, r *http.Request, what string, run func(tell func(crm.Finding)) error) {
	w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	send := func(j StepJSON) {
		_ = out.Encode(j) // the reader may have left; ctx ends the test
		_ = flush.Flush()
	}
	err := run(func(f crm.Finding) { send(NewStepJSON(f)) })
	if err != nil && r.Context().Err() == nil {
		s.Log.Error(what, "err", err)
		p := problemOf(err)
		send(StepJSON{State: "bad", Step: "Test", Detail: p.Message, Fault: p.Code, Advice: p.Advice, Parts: splitAdvice(p.Advice)})
	}
}
