package ews

import (
	"bytes"
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	//lint:ignore SA1019 NTLM is built on MD4
	"golang.org/x/crypto/md4"
)

// ntlmServer is a web server with Windows authentication: it checks NTLMv2 proofs by
// itself and lets everything pass on a connection that it has authenticated.
type ntlmServer struct {
	passwords map[string]string // by user
	binding   []byte            // what the channel binding must be, nil: any
	handler   func(user string, w http.ResponseWriter, r *http.Request)

	mu    sync.Mutex
	conns map[net.Conn]*ntlmConn
	legs  int // log-ons completed
}

type ntlmConn struct {
	negotiate, challenge []byte
	user                 string
}

type connKey struct{}

var serverChallenge = []byte("\x01\x23\x45\x67\x89\xab\xcd\xef")

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
	case len(message) > 12 && message[8] == 1:
		c.negotiate, c.challenge, c.user = message, challengeMessage(), ""
		w.Header().Set("WWW-Authenticate", "NTLM "+base64.StdEncoding.EncodeToString(c.challenge))
	case len(message) > 12 && message[8] == 3 && c.challenge != nil:
		c.user = s.check(message, c)
		c.challenge = nil
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

func wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// challengeMessage asks for NTLMv2 with a code over all messages.
//
// https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-nlmp/801a4681-8809-4be9-ab0d-61dcfe762786
func challengeMessage() []byte {
	var info []byte
	pair := func(id uint16, value []byte) {
		info = binary.LittleEndian.AppendUint16(info, id)
		info = binary.LittleEndian.AppendUint16(info, uint16(len(value)))
		info = append(info, value...)
	}
	pair(2, wide("EXAMPLE"))
	pair(1, wide("EX01"))
	pair(7, []byte("\x00\x80\x3e\xd5\xde\xb1\x9d\x01")) // the time: whoever answers must add a code
	pair(0, nil)
	name := wide("EXAMPLE")
	b := append([]byte("NTLMSSP\x00"), 2, 0, 0, 0)
	field := func(n, offset int) {
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = binary.LittleEndian.AppendUint32(b, uint32(offset))
	}
	field(len(name), 56)
	b = binary.LittleEndian.AppendUint32(b, 0x1|0x4|0x10|0x20|0x200|0x8000|0x10000|0x80000|0x800000|0x2000000|0x20000000|0x40000000|0x80000000)
	b = append(b, serverChallenge...)
	b = append(b, make([]byte, 8)...)
	field(len(info), 56+len(name))
	b = append(b, 10, 0, 0x61, 0x4a, 0, 0, 0, 15)
	return append(append(b, name...), info...)
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// check returns the user whom a message proves, "" when it proves nobody.
func (s *ntlmServer) check(m []byte, c *ntlmConn) string {
	field := func(at int) []byte {
		n, offset := int(binary.LittleEndian.Uint16(m[at:])), int(binary.LittleEndian.Uint32(m[at+4:]))
		if offset+n > len(m) {
			return nil
		}
		return m[offset : offset+n]
	}
	response, domain, user := field(20), field(28), narrow(field(36))
	password, known := s.passwords[user]
	if !known || len(response) < 44 {
		return ""
	}
	h := md4.New()
	h.Write(wide(password))
	key := mac(h.Sum(nil), wide(strings.ToUpper(user)), domain)
	proof, blob := response[:16], response[16:]
	if !hmac.Equal(proof, mac(key, serverChallenge, blob)) {
		return ""
	}
	binding, coded := []byte(nil), false
	for p := blob[28:]; len(p) >= 4; {
		id, n := binary.LittleEndian.Uint16(p), int(binary.LittleEndian.Uint16(p[2:]))
		switch id {
		case 10:
			binding = p[4 : 4+n]
		case 6:
			coded = p[4]&2 != 0
		}
		p = p[4+n:]
	}
	if !coded || s.binding != nil && !bytes.Equal(binding, s.binding) {
		return ""
	}
	return user
}

func narrow(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
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
	h := crypto.SHA256.New()
	h.Write(srv.Certificate().Raw)
	data := h.Sum([]byte("tls-server-end-point:"))
	sum := md5.Sum(append(binary.LittleEndian.AppendUint32(make([]byte, 16), uint32(len(data))), data...))
	s.binding = sum[:]
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
	good := challengeMessage()
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
	srv.Config.ErrorLog = nil
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
