package ews

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/ntlm"
)

// ntlmServer is a web server with Windows authentication, by the server's half of NTLM: it
// lets everything pass on a connection that it has authenticated.
type ntlmServer struct {
	passwords map[string]string // by user
	binding   []byte            // what the channel binding must be, nil: any
	handler   func(user string, w http.ResponseWriter, r *http.Request)

	mu    sync.Mutex
	conns map[net.Conn]*ntlmConn
	legs  int // log-ons completed
}

type ntlmConn struct {
	begun *ntlm.LogOn
	user  string
}

type connKey struct{}

func (s *ntlmServer) start(t *testing.T, secure bool) *httptest.Server {
	t.Helper()
	s.conns = map[net.Conn]*ntlmConn{}
	srv := httptest.NewUnstartedServer(s)
	srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	if secure {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv
}

func (s *ntlmServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	key := r.Context().Value(connKey{}).(net.Conn)
	c := s.conns[key]
	if c == nil {
		c = &ntlmConn{}
		s.conns[key] = c
	}
	token, sent := strings.CutPrefix(r.Header.Get("Authorization"), "NTLM ")
	message, _ := base64.StdEncoding.DecodeString(token)
	switch {
	case !sent:
	case ntlm.IsNegotiate(message):
		c.begun, _ = ntlm.Challenge(message, "EXAMPLE", "EX01", time.Now())
		c.user = ""
		w.Header().Set("WWW-Authenticate", "NTLM "+base64.StdEncoding.EncodeToString(c.begun.Message))
	case ntlm.IsAuthenticate(message) && c.begun != nil:
		c.user = s.check(message, c.begun)
		c.begun = nil
		s.legs++
	}
	user := c.user
	s.mu.Unlock()
	if user == "" {
		if w.Header().Get("WWW-Authenticate") == "" {
			w.Header()["Www-Authenticate"] = []string{"Negotiate", "NTLM", "Basic realm=x"}
		}
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.handler(user, w, r)
}

// check returns the user whom a message proves, "" when it proves nobody.
func (s *ntlmServer) check(message []byte, begun *ntlm.LogOn) string {
	p, err := begun.Read(message)
	if err != nil || !p.Coded || s.binding != nil && !bytes.Equal(p.Binding, s.binding) || !p.By(s.passwords[p.User]) {
		return ""
	}
	return p.User
}

// TestNTLM runs two logins side by side: each call must run as its own login, and each
// connection is logged on once.
func TestNTLM(t *testing.T) {
	s := &ntlmServer{passwords: map[string]string{"alice": "a", "bob": "b"}}
	s.handler = func(user string, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		WriteResponse(w, ServerVersion{}, "GetFolder", &FoldersResult{Result: Succeeded(), Folders: []Folder{{Element: PlainFolder, Name: user}}})
	}
	srv := s.start(t, false)
	var wg sync.WaitGroup
	for login, password := range s.passwords {
		c, err := New(Config{URL: srv.URL, Login: `EXAMPLE\` + login, Password: func() string { return password }, UserAgent: named("x"), Dial: dialer, MaxConns: 4})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 8 {
			wg.Go(func() {
				for range 20 {
					answers, err := c.As("").GetFolder(t.Context(), rootFolder())
					if err != nil {
						t.Errorf("%s: %v", login, err)
					} else if got := answers[0].Folders[0].Name; got != login {
						t.Errorf("a call of %s ran as %s", login, got)
					}
				}
			})
		}
	}
	wg.Wait()
	if s.legs > 8 {
		t.Errorf("%d log-ons for at most 8 connections", s.legs)
	}
}

func TestNTLMWrongPassword(t *testing.T) {
	s := &ntlmServer{passwords: map[string]string{"alice": "a"}}
	srv := s.start(t, false)
	c, err := New(Config{URL: srv.URL, Login: "alice", Password: func() string { return "x" }, UserAgent: named("x"), Dial: dialer})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 {
		if f := verdict(ask(c, "")); f.Code != "password-refused" {
			t.Errorf("fault %+v", f)
		}
	}
	if s.legs != 1 {
		t.Errorf("the password was tried %d times", s.legs)
	}
}

// TestNTLMIsBoundToTheChannel: a server with Extended Protection gets the hash of its
// own certificate, also after the connection was forgotten.
func TestNTLMIsBoundToTheChannel(t *testing.T) {
	s := &ntlmServer{passwords: map[string]string{"alice": "a"}}
	s.handler = func(user string, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		WriteResponse(w, ServerVersion{}, "GetFolder", folderAnswers(rootFolder())...)
	}
	srv := s.start(t, true)
	s.binding = ntlm.Binding(srv.Certificate())
	c := tlsClient(t, srv, "")
	c.cfg.Login, c.cfg.Password = "alice", func() string { return "a" }
	if err := ask(c, ""); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	for _, conn := range s.conns {
		conn.user = ""
	}
	s.mu.Unlock()
	if err := ask(c, ""); err != nil {
		t.Errorf("after the server forgot: %v", err)
	}
	s.binding = bytes.Repeat([]byte{1}, 16)
	other := tlsClient(t, srv, "")
	other.cfg.Login, other.cfg.Password = "alice", func() string { return "a" }
	if f := verdict(ask(other, "")); f.Code != "password-refused" {
		t.Errorf("another channel: %+v", f)
	}
}

// TestHostileChallenge: what a stranger sends as a challenge is an error at worst.
func TestHostileChallenge(t *testing.T) {
	first, err := newNTLM(`EXAMPLE\alice`, "a")
	if err != nil {
		t.Fatal(err)
	}
	hello, err := first.Authenticate(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	begun, err := ntlm.Challenge(hello, "EXAMPLE", "EX01", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	good := begun.Message
	for cut := range len(good) {
		client, err := newNTLM(`EXAMPLE\alice`, "a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Authenticate(nil, nil); err != nil {
			t.Fatal(err)
		}
		answerChallenge(client, good[:cut], nil)
		damaged := bytes.Clone(good)
		damaged[cut] ^= 0xff
		answerChallenge(client, damaged, nil)
	}
}

// tlsClient trusts the server's certificate. host, when not empty, is the name to call
// it by.
func tlsClient(t *testing.T, srv *httptest.Server, host string) *Client {
	t.Helper()
	address := srv.Listener.Addr().String()
	url := srv.URL
	if host != "" {
		url = "https://" + host
	}
	c, err := New(Config{
		URL: url, Login: "svc", Password: func() string { return "pw" }, UserAgent: named("x"),
		TLS: srv.Client().Transport.(*http.Transport).TLSClientConfig,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestSecureConnections: each way in which TLS may fail has its own code.
func TestSecureConnections(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = quiet
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	defer srv.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()

	if f := verdict(ask(tlsClient(t, srv, "example.com"), "")); f.Code != "no-ews-here" {
		t.Errorf("right name: %+v", f)
	}
	if f := verdict(ask(tlsClient(t, srv, "mail.wrong.example"), "")); f.Code != "tls-name-wrong" {
		t.Errorf("wrong name: %+v", f)
	}
	late := tlsClient(t, srv, "")
	late.cfg.Now = func() time.Time { return srv.Certificate().NotAfter.Add(time.Hour) }
	if f := verdict(ask(late, "")); f.Code != "tls-expired" {
		t.Errorf("expired: %+v", f)
	}
	stranger := tlsClient(t, srv, "")
	stranger.cfg.TLS = new(tls.Config)
	if f := verdict(ask(stranger, "")); f.Code != "tls-unknown-authority" {
		t.Errorf("unknown authority: %+v", f)
	}
	noTLS := tlsClient(t, srv, "example.com")
	noTLS.cfg.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, plain.Listener.Addr().String())
	}
	if f := verdict(ask(noTLS, "")); f.Code != "tls-failed" {
		t.Errorf("no TLS there: %+v", f)
	}
}

// TestNoConnection: what keeps a connection from coming about has its own code, too.
func TestNoConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c, err := New(Config{URL: "http://" + l.Addr().String(), UserAgent: named("x"), Dial: dialer})
	if err != nil {
		t.Fatal(err)
	}
	if f := verdict(ask(c, "")); f.Code != "port-closed" {
		t.Errorf("port closed: %+v", f)
	}
	c.cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "mail.example", IsNotFound: true}}
	}
	if f := verdict(ask(c, "")); f.Code != "dns-unknown" {
		t.Errorf("name unknown: %+v", f)
	}
}
