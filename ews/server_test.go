package ews

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"postern/crm"
)

// quiet is the log of servers whose handshakes are meant to fail.
var quiet = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

// A server is an Exchange for tests: its script answers one request after the other.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	ops      []*Request
	// answer decides about a request that is logged on; nil answers mean a fault.
	answer func(r *Request) ([]Answer, *SOAPFault)
	// before may answer instead, with anything; it returns whether it did.
	before func(w http.ResponseWriter, r *http.Request) bool
	server ServerVersion
	// passwords by login; nil is that of svc.
	passwords map[string]string
}

// newServer starts an Exchange that asks svc for its password pw.
func newServer(t testing.TB, answer func(r *Request) ([]Answer, *SOAPFault)) *server {
	t.Helper()
	s := &server{answer: answer, server: ServerVersion{Major: new(15), Minor: new(2), MajorBuild: new(1544)}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	if s.before != nil && s.before(w, r) {
		return
	}
	passwords := s.passwords
	if passwords == nil {
		passwords = map[string]string{"svc": "pw"}
	}
	if login, password, ok := r.BasicAuth(); !ok || passwords[login] != password {
		w.Header().Add("WWW-Authenticate", `Basic realm="exchange"`)
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	req, err := ReadRequest(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.ops = append(s.ops, req)
	s.mu.Unlock()
	answers, fault := s.answer(req)
	s.reply(w, req.Op.Operation(), answers, fault)
}

func (s *server) reply(w http.ResponseWriter, operation string, answers []Answer, fault *SOAPFault) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	if fault != nil {
		w.WriteHeader(http.StatusInternalServerError)
		WriteFault(w, s.server, fault)
		return
	}
	WriteResponse(w, s.server, operation, answers...)
}

// count returns how many HTTP requests came in.
func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// operations returns how many requests of each operation were carried out.
func (s *server) operations() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{}
	for _, r := range s.ops {
		n[r.Op.Operation()]++
	}
	return n
}

// client returns a client of the server, logged on as svc.
func (s *server) client(t testing.TB, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{URL: s.URL + "/EWS/Exchange.asmx", Login: "svc", Password: func() string { return "pw" }, UserAgent: named("Postern/test"), Dial: dialer}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// source returns a source on the server.
func (s *server) source(t testing.TB) crm.Source {
	t.Helper()
	src, err := Connector().Source(s.settings(), direct{crm.Unpaced{}, s.settings()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.(*source).Close() })
	return src
}

func (s *server) settings() crm.Settings {
	return crm.Settings{Server: s.URL, Version: "Exchange2019", Login: "svc", Password: crm.NewSecret("pw")}
}

var ann = &crm.Mailbox{Address: "ann@example.com"}

// folderAnswers answers GetFolder: each distinguished folder exists and is called by its
// name.
func folderAnswers(op *GetFolder) []Answer {
	var list []Answer
	for _, id := range op.IDs {
		list = append(list, &FoldersResult{Result: Succeeded(), Folders: []Folder{{
			Element: PlainFolder, ID: FolderID{ID: "F-" + id.Distinguished}, Name: id.Distinguished, Total: new(7),
		}}})
	}
	return list
}

// anything answers GetFolder and nothing else.
func anything(r *Request) ([]Answer, *SOAPFault) {
	if op, ok := r.Op.(*GetFolder); ok {
		return folderAnswers(op), nil
	}
	return nil, &SOAPFault{Code: "ErrorInvalidRequest", Text: "?"}
}

// ask makes a simple call.
func ask(c *Client, mailbox string) error {
	_, err := c.As(mailbox).GetFolder(context.Background(), rootFolder())
	return err
}

// verdict judges an error as the source does.
func verdict(err error) *crm.Fault { return judge{}.fault(err, crm.MailboxScope) }

// text turns an envelope written for other purposes into text to be damaged.
func text(write func(*bytes.Buffer)) string {
	var b bytes.Buffer
	write(&b)
	return strings.TrimSpace(b.String())
}
