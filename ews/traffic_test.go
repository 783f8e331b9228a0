package ews

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/crm"
)

// A booth is a Traffic that writes down who passes, and what is said afterwards.
type booth struct {
	t      *testing.T
	mu     sync.Mutex
	log    []string
	faults []*crm.Fault
	open   int
	// closed, when it returns a fault, lets the n-th request not pass.
	closed func(n int) *crm.Fault
	passed int
}

func (b *booth) Admit(ctx context.Context, r crm.Request) (func(*crm.Fault), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed != nil {
		if f := b.closed(b.passed); f != nil {
			return nil, f
		}
	}
	n := len(b.log)
	b.passed++
	b.open++
	b.log = append(b.log, fmt.Sprintf("%s %s", r.Operation, r.Mailbox))
	if r.Hanging {
		b.log[n] += " hanging"
	}
	said := false
	return func(f *crm.Fault) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if said {
			b.t.Errorf("request %d is told of twice", n)
		}
		said = true
		b.open--
		b.faults = append(b.faults, f)
		if f == nil {
			b.log[n] += ": well"
		} else {
			b.log[n] += ": " + f.Code
		}
	}, nil
}

// paced returns a source whose requests pass a booth.
func (s *server) paced(t *testing.T) (crm.Source, *booth) {
	t.Helper()
	b := &booth{t: t}
	src, err := Connector().Source(s.settings(), direct{b, s.settings()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		src.(*source).Close()
		if b.open != 0 {
			t.Errorf("%d requests were never told of", b.open)
		}
	})
	return src, b
}

// TestEveryRequestIsAdmitted: also those that only log on, those that are repeated, and
// those that hang; what a request says of the server is told once.
func TestEveryRequestIsAdmitted(t *testing.T) {
	m, headers := letters(1)
	m.t = t
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		if _, ok := r.Op.(*GetStreamingEvents); ok {
			return []Answer{closing()}, nil
		}
		return m.answer(r)
	})
	src, b := s.paced(t)
	load := func() error {
		return src.Load(t.Context(), ann, headers, func(*crm.Item) error { return nil })
	}
	if err := load(); err != nil {
		t.Fatal(err)
	}
	s.CloseClientConnections()
	if err := load(); err != nil {
		t.Fatal(err)
	}
	if err := src.(crm.Notifier).Listen(t.Context(), subscriptions, func(crm.Notice) {}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"GetItem ann@example.com: cancelled", // asks for the schemes
		"GetItem ann@example.com: well",
		"GetItem ann@example.com: torn-answer", // on a connection that is no more
		"GetItem ann@example.com: well",
		"GetStreamingEvents ann@example.com hanging: well",
	}
	if d := gocmp.Diff(want, b.log); d != "" {
		t.Error(d)
	}
	if n := s.count(); n != b.passed-1 { // one was sent into the void
		t.Errorf("%d requests came in, %d were admitted", n, b.passed)
	}
}

// TestWhatIsNotAdmittedIsNotSent: the fault comes back as it is, at the first request and
// between the legs of a log-on.
func TestWhatIsNotAdmittedIsNotSent(t *testing.T) {
	for allowed := range 2 {
		s := newServer(t, anything)
		src, b := s.paced(t)
		resting := &crm.Fault{Verdict: crm.Retry, Scope: crm.OrgScope, Code: "resting", After: time.Hour}
		b.closed = func(n int) *crm.Fault {
			if n < allowed {
				return nil
			}
			return resting
		}
		if _, err := src.Folders(t.Context(), ann); err != resting {
			t.Errorf("after %d requests: got %v, want the fault itself", allowed, err)
		}
		if n := s.count(); n != allowed {
			t.Errorf("%d requests were sent, want %d", n, allowed)
		}
		b.closed = nil
		if err := ask(src.(*source).client, "ann@example.com"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
}

// TestRefusedPasswordAsksNobody: what is not to be sent needs no admission.
func TestRefusedPasswordAsksNobody(t *testing.T) {
	s := newServer(t, anything)
	settings := s.settings()
	settings.Password = crm.NewSecret("wrong")
	b := &booth{t: t}
	src, err := Connector().Source(settings, direct{b, settings})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := src.Folders(t.Context(), ann); crm.AsFault(err).Code != "password-refused" {
			t.Errorf("got %v", err)
		}
	}
	if d := gocmp.Diff([]string{"GetFolder ann@example.com: cancelled", "GetFolder ann@example.com: password-refused"}, b.log); d != "" {
		t.Error(d)
	}
}

// TestBusyIsHeardInEveryForm: a server that asks for a pause is understood by its codes,
// wherever they stand and whatever language it speaks.
func TestBusyIsHeardInEveryForm(t *testing.T) {
	status := func(status int, header ...string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if _, _, ok := r.BasicAuth(); !ok {
				return false
			}
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, "Der Dienst ist nicht verfügbar")
			return true
		}
	}
	hint := MessageXML{{Name: "Policy", Text: "x"}, {Name: "BackOffMilliseconds", Text: "5000"}}
	for _, tt := range []struct {
		name   string
		before func(w http.ResponseWriter, r *http.Request) bool
		fault  *SOAPFault
		entry  *Result // in the middle of a batch
		code   string
		after  time.Duration
		scope  crm.Scope
	}{
		{name: "503", before: status(503), code: "service-unavailable", after: 10 * time.Second, scope: crm.OrgScope},
		{name: "503 with a hint", before: status(503, "Retry-After", "60"), code: "service-unavailable", after: time.Minute, scope: crm.OrgScope},
		{name: "429", before: status(429, "Retry-After", "60"), code: "too-many-requests", after: time.Minute, scope: crm.MailboxScope},
		{name: "named in a header", before: status(500, "X-CasErrorCode", "ErrorServerBusy"), code: "ErrorServerBusy", scope: crm.MailboxScope},
		{name: "fault", fault: &SOAPFault{Code: "ErrorServerBusy", Text: "Der Server kann diese Anfrage jetzt nicht bedienen.", XML: hint}, code: "ErrorServerBusy", after: 5 * time.Second, scope: crm.MailboxScope},
		{name: "fault in disguise", fault: &SOAPFault{Code: "ErrorInternalServerError", XML: append(hint, Value{Name: "InnerErrorResponseCode", Text: "ErrorServerBusy"})}, code: "ErrorServerBusy", after: 5 * time.Second, scope: crm.MailboxScope},
		{name: "entry", entry: &Result{Class: Failure, Code: "ErrorServerBusy", Text: "服务器忙", XML: hint}, code: "ErrorServerBusy", after: 5 * time.Second, scope: crm.MailboxScope},
		{name: "entry in disguise", entry: &Result{Class: Failure, Code: "ErrorInternalServerError", XML: append(hint, Value{Name: "InnerErrorResponseCode", Text: "ErrorServerBusy"})}, code: "ErrorServerBusy", after: 5 * time.Second, scope: crm.MailboxScope},
		{name: "too many objects", entry: &Result{Class: Failure, Code: "ErrorTooManyObjectsOpened"}, code: "ErrorTooManyObjectsOpened", after: 30 * time.Second, scope: crm.MailboxScope},
		{name: "too many connections", fault: &SOAPFault{Code: "ErrorExceededConnectionCount"}, code: "ErrorExceededConnectionCount", after: 30 * time.Second, scope: crm.MailboxScope},
		{name: "too many rows", fault: &SOAPFault{Code: "ErrorExceededFindCountLimit"}, code: "ErrorExceededFindCountLimit", after: 10 * time.Second, scope: crm.MailboxScope},
		{name: "overloaded", fault: &SOAPFault{Code: "ErrorInsufficientResources"}, code: "ErrorInsufficientResources", after: time.Minute, scope: crm.OrgScope},
		{name: "a code to come", fault: &SOAPFault{Code: "ErrorDatacenterBusy"}, code: "ErrorDatacenterBusy", scope: crm.MailboxScope},
		{name: "401 under load", before: status(401, "WWW-Authenticate", "Basic"), code: "logon-failed", after: time.Minute, scope: crm.OrgScope},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, headers := letters(3)
			m.t = t
			s := newServer(t, m.answer)
			src, b := s.paced(t)
			load := func() error { return src.Load(t.Context(), ann, headers, func(*crm.Item) error { return nil }) }
			if err := load(); err != nil { // logs on
				t.Fatal(err)
			}
			s.before = tt.before
			s.answer = func(r *Request) ([]Answer, *SOAPFault) {
				if tt.fault != nil {
					return nil, tt.fault
				}
				answers, _ := m.answer(r)
				answers[1] = &ItemsResult{Result: *tt.entry}
				return answers, nil
			}
			n := b.passed
			err := load()
			heard := b.faults[len(b.faults)-1]
			if b.passed != n+1 || heard == nil {
				t.Fatalf("%d requests, heard %+v", b.passed-n, heard)
			}
			for _, f := range []*crm.Fault{heard, crm.AsFault(err)} {
				if f.Code != tt.code || f.Cause != crm.Throttled || f.Verdict != crm.Retry || f.After != tt.after || f.Scope != tt.scope {
					t.Errorf("got %+v, want %s after %v for the %s", f, tt.code, tt.after, tt.scope)
				}
			}
		})
	}
}

// TestWellMeansTheServer: what is wrong with an item, or ended by us, is not held against
// the server.
func TestWellMeansTheServer(t *testing.T) {
	m, headers := letters(3)
	m.t = t
	m.trouble = func(op *GetItem, id string) string {
		if id == "id-001" {
			return "ErrorCorruptData"
		}
		return ""
	}
	s := newServer(t, m.answer)
	src, b := s.paced(t)
	enough := fmt.Errorf("enough")
	err := src.Load(t.Context(), ann, headers, func(*crm.Item) error { return enough })
	if err != enough || b.faults[len(b.faults)-1] != nil {
		t.Errorf("the caller stopped: %v, told %+v", err, b.faults)
	}
	if err := src.Load(t.Context(), ann, headers, func(*crm.Item) error { return nil }); err != nil || b.faults[len(b.faults)-1] != nil {
		t.Errorf("a bad item: %v, told %+v", err, b.faults)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.before = func(http.ResponseWriter, *http.Request) bool { cancel(); return false }
	err = src.Load(ctx, ann, headers, func(*crm.Item) error { return nil })
	if f := b.faults[len(b.faults)-1]; err == nil || f == nil || f.Code != "cancelled" {
		t.Errorf("ended by us: %v, told %+v", err, f)
	}
	if strings.Contains(strings.Join(b.log, "\n"), "Corrupt") {
		t.Errorf("an item's trouble was told: %q", b.log)
	}
}

// A turnstile lets few requests be out at once, and no more.
type turnstile chan struct{}

func (c turnstile) Admit(ctx context.Context, _ crm.Request) (func(*crm.Fault), error) {
	select {
	case c <- struct{}{}:
		return func(*crm.Fault) { <-c }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestNobodyWaitsInACircle: with one request out at a time, twenty mailboxes log on, in
// legs and on connections of their own, and all get through.
func TestNobodyWaitsInACircle(t *testing.T) {
	exchange := &ntlmServer{passwords: map[string]string{"svc": "pw"}}
	exchange.handler = func(_ string, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		WriteResponse(w, ServerVersion{}, "GetFolder", folderAnswers(rootFolder())...)
	}
	srv := exchange.start(t, false)
	settings := crm.Settings{Server: srv.URL, Version: "Exchange2019", Login: "svc", Password: crm.NewSecret("pw")}
	src, err := open(settings, direct{make(turnstile, 1), settings})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for range 3 {
				if err := ask(src.client, fmt.Sprintf("box%d@example.com", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
