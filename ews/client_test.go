package ews

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/crm"
)

func TestRequestHeaders(t *testing.T) {
	s := newServer(t, anything)
	var calls []Call
	c := s.client(t, func(cfg *Config) { cfg.Observe = func(c Call) { calls = append(calls, c) } })
	for range 2 {
		if err := ask(c, "ann@example.com"); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.requests) != 3 { // one tells the schemes
		t.Fatalf("%d requests, want 3", len(s.requests))
	}
	ids := map[string]bool{}
	for i, r := range s.requests {
		ids[r.Header.Get("Client-Request-Id")] = true
		for name, want := range map[string]string{
			"User-Agent": "Postern/test", "X-Anchormailbox": "ann@example.com", "Return-Client-Request-Id": "true",
			"Content-Type": "text/xml; charset=utf-8", "Accept-Encoding": "",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("request %d: %s = %q, want %q", i, name, got, want)
			}
		}
		if r.ContentLength <= 0 || len(r.TransferEncoding) > 0 {
			t.Errorf("request %d: length %d, encoding %v, want a length alone", i, r.ContentLength, r.TransferEncoding)
		}
	}
	if len(ids) != 3 {
		t.Errorf("%d request ids for 3 requests", len(ids))
	}
	if len(calls) != 3 || calls[0].Status != 401 || calls[1].Status != 200 || calls[2].Status != 200 {
		t.Fatalf("calls told of: %+v", calls)
	}
	for _, c := range calls {
		if c.Operation != "GetFolder" || c.Mailbox != "ann@example.com" || c.Sent == 0 || c.Received == 0 || !ids[c.RequestID] {
			t.Errorf("call %+v", c)
		}
	}
	if got := s.ops[0].Impersonation.PrimarySmtpAddress; got != "ann@example.com" {
		t.Errorf("impersonates %q", got)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	s := newServer(t, anything)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL+"/owa/auth/logon.aspx", http.StatusFound)
		return true
	}
	f := verdict(ask(s.client(t), "ann@example.com"))
	if f.Code != "logon-page" || f.Verdict != crm.Refused {
		t.Errorf("fault %+v", f)
	}
	if elsewhere.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

// TestWrongPasswordIsTriedOnce: whatever is asked by however many, one attempt.
func TestWrongPasswordIsTriedOnce(t *testing.T) {
	s := newServer(t, anything)
	var password atomic.Value
	password.Store("wrong")
	c := s.client(t, func(cfg *Config) { cfg.Password = func() string { return password.Load().(string) } })
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if f := verdict(ask(c, fmt.Sprintf("box%d@example.com", i))); f.Code != "password-refused" || f.Verdict != crm.Reauth {
				t.Errorf("fault %+v", f)
			}
		})
	}
	wg.Wait()
	tries := 0
	for _, r := range s.requests {
		if r.Header.Get("Authorization") != "" {
			tries++
		}
	}
	if tries != 1 {
		t.Errorf("the password was tried %d times", tries)
	}
	password.Store("pw")
	if err := ask(c, "ann@example.com"); err != nil {
		t.Errorf("with the right password: %v", err)
	}
}

// TestRefusedLaterIsPatient: credentials that worked may be refused under load.
func TestRefusedLaterIsPatient(t *testing.T) {
	s := newServer(t, anything)
	c := s.client(t)
	if err := ask(c, ""); err != nil {
		t.Fatal(err)
	}
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("WWW-Authenticate", "Basic")
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	for i, want := range []string{"logon-failed", "logon-failed", "password-refused", "password-refused"} {
		if f := verdict(ask(c, "")); f.Code != want {
			t.Errorf("call %d: %s, want %s", i, f.Code, want)
		}
	}
	if n := s.count(); n != 5 {
		t.Errorf("%d requests, want 5: the last call must not be sent", n)
	}
}

func TestSchemes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		pinned Scheme
		offer  []string
		code   string
		told   string
	}{
		{"NTLM pinned, Basic offered", NTLM, []string{"Basic realm=x"}, "scheme-not-offered", "offers Basic to log on"},
		{"Basic pinned, NTLM offered", Basic, []string{"Negotiate", "NTLM"}, "scheme-not-offered", "offers Negotiate, NTLM to log on"},
		{"certificate, others offered", Certificate, []string{"NTLM", "Basic realm=x"}, "certificate-refused", "offers NTLM, Basic"},
		{"unknown", AnyScheme, []string{"Bearer"}, "no-logon-scheme", "offers Bearer"},
		{"no name at all", AnyScheme, []string{"<b>x</b> y", strings.Repeat("x", 99)}, "no-logon-scheme", "offers nothing"},
		{"none", AnyScheme, nil, "no-logon-scheme", "offers nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, anything)
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				if a := r.Header.Get("Authorization"); a != "" {
					t.Errorf("sends %s", a)
				}
				for _, o := range tt.offer {
					w.Header().Add("WWW-Authenticate", o)
				}
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			c := s.client(t, func(cfg *Config) { cfg.Scheme = tt.pinned })
			for range 3 {
				if f := verdict(ask(c, "")); f.Code != tt.code || f.Verdict != crm.Refused || f.Scope != crm.OrgScope || !strings.Contains(f.Message, tt.told) {
					t.Errorf("fault %+v", f)
				}
			}
		})
	}
}

// TestIdentitiesShareNoConnection: a connection that served one login never serves another.
func TestIdentitiesShareNoConnection(t *testing.T) {
	var mu sync.Mutex
	who := map[string]string{} // by the client's port
	s := newServer(t, anything)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		user, _, ok := r.BasicAuth()
		if !ok {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		if before := who[r.RemoteAddr]; before != "" && before != user {
			t.Errorf("%s and %s share a connection", before, user)
		}
		who[r.RemoteAddr] = user
		w.Header().Set("Content-Type", "text/xml")
		WriteResponse(w, s.server, "GetFolder", folderAnswers(rootFolder())...)
		return true
	}
	var wg sync.WaitGroup
	for _, login := range []string{"alice", "bob"} {
		c := s.client(t, func(cfg *Config) { cfg.Login = login })
		for range 4 {
			wg.Go(func() {
				for range 10 {
					if err := ask(c, ""); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
}

func TestIdleConnectionClosedByServer(t *testing.T) {
	s := newServer(t, anything)
	c := s.client(t)
	if err := ask(c, ""); err != nil {
		t.Fatal(err)
	}
	s.CloseClientConnections()
	if err := ask(c, ""); err != nil {
		t.Errorf("after the server hung up: %v", err)
	}
}

// TestBlindRepeatIsNotForWrites: a request that changes something is not sent again when
// nobody knows what became of it.
func TestBlindRepeatIsNotForWrites(t *testing.T) {
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) { return []Answer{&ItemsResult{Result: Succeeded()}}, nil })
	c := s.client(t)
	create := func() error {
		_, err := c.As("").CreateItem(context.Background(), &CreateItem{Items: []Item{{Element: MessageItem}}})
		return err
	}
	if err := create(); err != nil {
		t.Fatal(err)
	}
	s.CloseClientConnections()
	if err := create(); err == nil {
		t.Error("it was repeated")
	}
	if n := s.operations()["CreateItem"]; n != 1 {
		t.Errorf("%d were carried out", n)
	}
}

func TestGzip(t *testing.T) {
	answer := text(func(b *bytes.Buffer) { WriteResponse(b, ServerVersion{}, "GetFolder", folderAnswers(rootFolder())...) })
	bomb := strings.Replace(answer, "</s:Body>", strings.Repeat(" ", 10<<20)+"</s:Body>", 1)
	for _, tt := range []struct {
		name, body, want string
	}{{"packed", answer, ""}, {"bomb", bomb, "answer-too-large"}} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, anything)
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Accept-Encoding") != "gzip" {
					t.Error("gzip was not asked for")
				}
				w.Header().Set("Content-Type", "text/xml")
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				io.WriteString(z, tt.body)
				z.Close()
				return true
			}
			c := s.client(t, func(cfg *Config) { cfg.Gzip, cfg.MaxAnswer = true, 1<<20 })
			err := ask(c, "")
			if tt.want == "" && err != nil || tt.want != "" && verdict(err).Code != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestAnswersOfOthers are answers that are not Exchange's.
func TestAnswersOfOthers(t *testing.T) {
	const page = "<!DOCTYPE html><html><head><title>Outlook</title></head><body>Sign in</body></html>"
	tests := []struct {
		name    string
		status  int
		header  string
		body    string
		code    string
		verdict crm.Verdict
		after   time.Duration
	}{
		{"web page", 200, "Content-Type: text/html", page, "not-exchange-web-page", crm.Refused, 0},
		{"web page that says it is XML", 200, "Content-Type: text/xml", page, "not-exchange-web-page", crm.Refused, 0},
		{"other XML", 200, "Content-Type: text/xml", "<rss/>", "not-exchange-web-page", crm.Refused, 0},
		{"error page", 302, "Location: /ews/genericerrorpage.htm", "", "server-error-page", crm.Retry, time.Minute},
		{"bad request", 400, "", "", "bad-request", crm.Retry, time.Minute},
		{"forbidden", 403, "", "", "ews-blocked", crm.Refused, time.Hour},
		{"not found", 404, "Content-Type: text/html", page, "no-ews-here", crm.Refused, 0},
		{"proxy", 407, "", "", "proxy-logon", crm.Refused, 0},
		{"too large", 413, "", "", "request-too-large", crm.Retry, 0},
		{"throttled", 429, "Retry-After: 77", "", "too-many-requests", crm.Retry, 77 * time.Second},
		{"log-on time-out", 440, "Content-Type: text/html", page, "owa-not-ews", crm.Refused, 0},
		{"activesync", 449, "", "", "activesync-not-ews", crm.Refused, 0},
		{"blocked", 456, "", "", "account-blocked", crm.Reauth, 0},
		{"crash", 500, "Content-Type: text/html", "Server Error in '/EWS' Application", "server-error-page", crm.Retry, time.Minute},
		{"front end error", 500, "X-CasErrorCode: ErrorMailboxMoveInProgress", "", "ErrorMailboxMoveInProgress", crm.Retry, 15 * time.Minute},
		{"gateway", 502, "", "", "http-502", crm.Retry, 10 * time.Second},
		{"unavailable", 503, "Retry-After: 120", "", "service-unavailable", crm.Retry, 2 * time.Minute},
		{"unknown", 418, "", "", "http-418", crm.Retry, time.Minute},
		{"empty", 200, "Content-Type: text/xml", "", "torn-answer", crm.Retry, 0},
		{"no XML", 200, "Content-Type: text/xml", "<a b></a>", "unreadable-answer", crm.Retry, 0},
		{"unknown encoding", 200, "Content-Encoding: br", "", "unreadable-answer", crm.Retry, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, anything)
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				if name, value, ok := strings.Cut(tt.header, ": "); ok {
					w.Header().Set(name, value)
				}
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
				return true
			}
			f := verdict(ask(s.client(t), ""))
			if f.Code != tt.code || f.Verdict != tt.verdict || f.After != tt.after {
				t.Errorf("got %s %s after %v, want %s %s after %v", f.Code, f.Verdict, f.After, tt.code, tt.verdict, tt.after)
			}
			if f.Message == "" || f.Advice == "" {
				t.Errorf("without words: %+v", f)
			}
			if n := s.count(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

// TestSOAPFaults are faults as servers really send them.
func TestSOAPFaults(t *testing.T) {
	const envelope = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>%s</s:Body></s:Envelope>`
	busy := `<s:Fault><faultcode xmlns:t="` + nsTypes + `">t:ErrorServerBusy</faultcode><faultstring xml:lang="de-DE">beschäftigt &#x1;</faultstring>` +
		`<detail><e:ResponseCode xmlns:e="` + nsErrors + `">ErrorServerBusy</e:ResponseCode><t:MessageXml xmlns:t="` + nsTypes + `">` +
		`<t:Value Name="Policy">x</t:Value><t:Value Name="BackOffMilliseconds">297749</t:Value></t:MessageXml></detail></s:Fault>`
	tests := []struct {
		name, body, code string
		after            time.Duration
	}{
		{"busy", busy, "ErrorServerBusy", 297749 * time.Millisecond},
		{"without detail", `<s:Fault><faultcode>t:ErrorServerBusy</faultcode></s:Fault>`, "ErrorServerBusy", 0},
		{"without prefix", `<s:Fault><faultcode>ErrorMailboxStoreUnavailable</faultcode></s:Fault>`, "ErrorMailboxStoreUnavailable", time.Minute},
		{"in a namespace", `<f:Fault xmlns:f="http://www.w3.org/2003/05/soap-envelope"><f:Code><f:Value>f:ErrorServerBusy</f:Value></f:Code></f:Fault>`, "ErrorServerBusy", 0},
		{"inner code", `<s:Fault><detail><ResponseCode>ErrorInternalServerError</ResponseCode><MessageXml><Value Name="InnerErrorResponseCode">ErrorServerBusy</Value></MessageXml></detail></s:Fault>`, "ErrorServerBusy", 0},
		{"unknown code", `<s:Fault><faultcode>ErrorNewlyInvented</faultcode></s:Fault>`, "ErrorNewlyInvented", 0},
	}
	for _, tt := range tests {
		for _, status := range []int{200, 500} {
			t.Run(fmt.Sprint(tt.name, status), func(t *testing.T) {
				s := newServer(t, anything)
				s.before = func(w http.ResponseWriter, r *http.Request) bool {
					w.Header().Set("Content-Type", "text/xml")
					w.WriteHeader(status)
					fmt.Fprintf(w, envelope, tt.body)
					return true
				}
				f := verdict(ask(s.client(t), ""))
				if f.Code != tt.code || f.Verdict != crm.Retry || f.After != tt.after {
					t.Errorf("got %+v, want %s after %v", f, tt.code, tt.after)
				}
			})
		}
	}
}

// TestTornAnswer: what is cut short at any byte is never taken for an answer.
func TestTornAnswer(t *testing.T) {
	whole := text(func(b *bytes.Buffer) { WriteResponse(b, ServerVersion{}, "GetFolder", folderAnswers(rootFolder())...) })
	cut := 0
	s := newServer(t, anything)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "text/xml")
		io.WriteString(w, whole[:cut])
		return true
	}
	c := s.client(t)
	for cut = range len(whole) {
		f := verdict(ask(c, ""))
		if f.Code != "torn-answer" {
			t.Fatalf("cut at %d of %d: %+v", cut, len(whole), f)
		}
	}
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "text/xml")
		w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
		io.WriteString(w, whole[:len(whole)/2])
		panic(http.ErrAbortHandler)
	}
	if f := verdict(ask(c, "")); f.Code != "torn-answer" {
		t.Errorf("connection cut: %+v", f)
	}
}

// TestSilence: a server that accepts and says nothing, or drips its header, costs no
// more than the timeout.
func TestSilence(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := New(Config{URL: "http://" + l.Addr().String(), Timeout: time.Millisecond, UserAgent: named("x"), Dial: dialer})
	if err != nil {
		t.Fatal(err)
	}
	if f := verdict(ask(c, "")); f.Code != "timeout" {
		t.Errorf("fault %+v", f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = c.As("").GetFolder(ctx, rootFolder())
	if f := verdict(err); f.Code != "cancelled" || !errors.Is(err, context.Canceled) {
		t.Errorf("fault %+v", f)
	}
}

// TestNothingIsSentOnceTheContextHasEnded: also by a connection that stands open.
func TestNothingIsSentOnceTheContextHasEnded(t *testing.T) {
	s := newServer(t, anything)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	asked := 0
	c := s.client(t, func(cfg *Config) { cfg.Observe = func(Call) { asked++ } })
	for range 20 { // the end of a context closes the connection, which may come too late
		if err := ask(c, "ann@example.com"); err != nil {
			t.Fatal(err)
		}
		before := asked
		if _, err := c.As("ann@example.com").GetFolder(ctx, rootFolder()); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if asked > before {
			t.Error("a request was sent")
		}
	}
}

func TestEndlessHeaderIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
		for err == nil {
			_, err = io.WriteString(conn, "X-Filler: "+strings.Repeat("x", 1000)+"\r\n")
		}
	}()
	c, err := New(Config{URL: "http://" + l.Addr().String(), UserAgent: named("x"), Dial: dialer})
	if err != nil {
		t.Fatal(err)
	}
	if err := ask(c, ""); !errors.Is(err, errHeaderSize) {
		t.Errorf("got %v", err)
	}
}

// TestVersionIsNegotiatedForEachMailbox: stepping down happens once and is remembered.
func TestVersionIsNegotiatedForEachMailbox(t *testing.T) {
	old := map[string]string{"ann@example.com": Exchange2010, "bob@example.com": Exchange2013SP1, "cleo@example.com": Exchange2007SP1}
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		newest := old[r.Impersonation.PrimarySmtpAddress]
		if schemaRank(r.Version) < schemaRank(newest) {
			return nil, &SOAPFault{Code: "ErrorInvalidServerVersion", Text: "die Version ist ungültig"}
		}
		if r.TimeZone != "" && schemaRank(r.Version) > schemaRank(Exchange2010) {
			t.Error("a time zone was sent to Exchange 2007")
		}
		return anything(r)
	})
	c := s.client(t)
	for range 2 {
		for mailbox, want := range old {
			if err := ask(c, mailbox); err != nil {
				t.Fatal(err)
			}
			if got := c.As(mailbox).Schema(); got != want {
				t.Errorf("%s speaks %s, want %s", mailbox, got, want)
			}
		}
	}
	if got, want := s.operations()["GetFolder"], 2*3+3+4; got != want {
		t.Errorf("%d requests, want %d: each step down once", got, want)
	}
}

func TestVersionEndsSomewhere(t *testing.T) {
	for _, code := range []string{"ErrorInvalidServerVersion", "ErrorSchemaValidation", "Client"} {
		s := newServer(t, func(*Request) ([]Answer, *SOAPFault) { return nil, &SOAPFault{Faultcode: code} })
		if err := ask(s.client(t), "ann@example.com"); err == nil {
			t.Error("no error")
		}
		if n := s.operations()["GetFolder"]; n != len(schemas) {
			t.Errorf("%s: %d tries, want %d", code, n, len(schemas))
		}
	}
}

func TestPrimaryAddressIsLearned(t *testing.T) {
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		if r.Impersonation.PrimarySmtpAddress == "alias@example.com" {
			return nil, &SOAPFault{Code: "ErrorNonPrimarySmtpAddress", XML: MessageXML{{Name: "Primary", Text: "ann@example.com"}}}
		}
		return anything(r)
	})
	c := s.client(t)
	for range 2 {
		if err := ask(c, "alias@example.com"); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.operations()["GetFolder"]; n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

func TestCountMismatch(t *testing.T) {
	for _, n := range []int{0, 1, 3} {
		s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
			return folderAnswers(&GetFolder{IDs: make([]FolderID, n)}), nil
		})
		_, err := s.client(t).As("").GetFolder(context.Background(), &GetFolder{IDs: make([]FolderID, 2)})
		if !errors.Is(err, ErrCount) || verdict(err).Code != "count-mismatch" {
			t.Errorf("%d answers for 2: %v", n, err)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for in, want := range map[string]string{
		"mail.example.com": "https://mail.example.com/EWS/Exchange.asmx", " mail.example.com ": "https://mail.example.com/EWS/Exchange.asmx",
		"mail.example.com:8443":             "https://mail.example.com:8443/EWS/Exchange.asmx",
		"https://mail.example.com/ews/x":    "https://mail.example.com/ews/x",
		"https://mail.example.com/":         "https://mail.example.com/EWS/Exchange.asmx",
		"http://127.0.0.1:8080/EWS/E.asmx":  "http://127.0.0.1:8080/EWS/E.asmx",
		"http://localhost":                  "http://localhost/EWS/Exchange.asmx",
		"http://mail.example.com":           "",
		"ftp://mail.example.com":            "",
		"":                                  "",
		"mail example com":                  "",
		"https://user:secret@mail.test/EWS": "",
		"https://mail.example.com/?x=1":     "",
		"https://":                          "",
		"ann@example.com":                   "",
	} {
		u, err := Endpoint(in)
		if want == "" && err == nil || want != "" && (err != nil || u.String() != want) {
			t.Errorf("Endpoint(%q) = %v, %v, want %q", in, u, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells a password: %v", err)
		}
	}
}

func TestErrorTellsNoContent(t *testing.T) {
	s := newServer(t, anything)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "text/xml")
		io.WriteString(w, "<a>a private word<b></a>")
		return true
	}
	err := ask(s.client(t), "")
	if err == nil || strings.Contains(err.Error(), "private") || strings.Contains(err.Error(), "pw") {
		t.Errorf("error: %v", err)
	}
}
