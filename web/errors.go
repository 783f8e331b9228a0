package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"postern/crm"
	"postern/store"
)

// A problem is an answer that is not what was asked for: what happened, why, what to do,
// and a stable code.
type problem struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Why     string `json:"why,omitempty"`
	Advice  string `json:"advice"`
}

func (p problem) Error() string { return p.Code + ": " + p.Message }

var (
	errSignIn   = problem{http.StatusUnauthorized, "sign-in-needed", "Nobody is signed in", "There is no session, or it has ended.", "Sign in and try again."}
	errNotAdmin = problem{http.StatusForbidden, "not-an-administrator", "This page is for administrators", "Your account may read mail, but not change how it is collected.", "Ask an administrator to do it, or to make you one."}
	errNoPage   = problem{http.StatusNotFound, "not-found", "There is nothing here", "The address is mistyped, or what it led to was removed.", "Search for it, or start again from the first page."}
	errBadForm  = problem{http.StatusBadRequest, "bad-request", "This request could not be read", "It is too long, or a value in it is not of the kind expected.", "Go back and fill in the form again."}
)

// problemOf finds the words for an error. What nobody foresaw tells no details to the
// reader; they are in the log.
func problemOf(err error) problem {
	var fault *crm.Fault
	if p, ok := errors.AsType[problem](err); ok {
		return p
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errNoPage
	case errors.Is(err, store.ErrPlace):
		return errBadForm
	case errors.As(err, &fault):
		return problem{cmp.Or(faultStatus[fault.Code], http.StatusBadGateway), fault.Code, "This could not be done", fault.Message, fault.Advice}
	}
	return problem{http.StatusInternalServerError, "internal", "Something went wrong on our side", "Nothing was lost: what was saved before stays.", "Try again. If it stays, send the time and the code to whoever looks after Postern."}
}

// faultStatus are the statuses of faults that are not those of an outside system.
var faultStatus = map[string]int{
	"four-eyes-first-administrator": http.StatusConflict,
	"four-eyes-nobody":              http.StatusForbidden,
	"four-eyes-one-administrator":   http.StatusConflict,
	"four-eyes-password":            http.StatusForbidden,
	"four-eyes-same-person":         http.StatusForbidden,
	"proposal-closed":               http.StatusConflict,
	"proposal-stale":                http.StatusConflict,
	"too-many-contacts":             http.StatusUnprocessableEntity,
}

func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }

// fail answers with a problem: as JSON to programs, as the sign-in page to a reader who
// is not signed in, else as a page.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the reader has left
	}
	if held, ok := errors.AsType[*store.HeldError](err); ok {
		s.answerHeld(w, r, held)
		return
	}
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		s.Log.Error("answer a request", "method", r.Method, "route", r.Pattern, "err", err)
	}
	switch {
	case isAPI(r):
		writeJSON(w, p.Status, map[string]problem{"error": p})
	case p.Code == errSignIn.Code:
		to := "/sign-in"
		if r.Method == http.MethodGet && r.URL.Path != "/" {
			to += "?next=" + url.QueryEscape(r.URL.RequestURI())
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	default:
		s.showProblem(w, r, p)
	}
}

// torn ends an answer that was begun and cannot be completed, so that nobody takes it for
// whole.
func (s *server) torn(r *http.Request, err error) {
	if r.Context().Err() == nil { // else the reader has left
		s.Log.Error("complete an answer", "route", r.Pattern, "err", err)
	}
	panic(http.ErrAbortHandler)
}

func (s *server) showProblem(w http.ResponseWriter, r *http.Request, p problem) {
	name := "problem"
	if viewerOf(r) == nil {
		name = "problem-outside" // a stranger is not shown the rail
	}
	if err := s.show(w, r, p.Status, name, page{Title: p.Message, Data: p}); err != nil {
		s.Log.Error("show an error page", "err", err)
		http.Error(w, p.Message+" ("+p.Code+")", p.Status)
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// The status is sent: an error here can only mean that the reader has left.
	_ = json.NewEncoder(w).Encode(v)
}
