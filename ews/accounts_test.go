package ews

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"postern/crm"
	"postern/mail"
)

// spread is a transport with an account for each mailbox, which keeps what was recorded.
type spread struct {
	direct
	byBox map[mail.Address]crm.Account

	mu  sync.Mutex
	log []crm.Access
}

func (s *spread) Account(box mail.Address) (crm.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.byBox[box]; ok {
		return a, nil
	}
	return crm.Account{}, &crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "not-signed-in"}
}

func (s *spread) set(box mail.Address, a crm.Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byBox[box] = a
}

func (s *spread) Record(a crm.Access) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, a)
}

func account(login, password string) crm.Account {
	return crm.Account{Login: login, Password: crm.NewSecret(password)}
}

func box(address mail.Address) *crm.Mailbox { return &crm.Mailbox{Address: address} }

// open returns a source that goes by the transport.
func (s *spread) open(t *testing.T, settings crm.Settings) *source {
	t.Helper()
	s.direct = direct{crm.Unpaced{}, settings}
	src, err := open(settings, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return crm.AsFault(err).Code
}

// oneFolder is a mailbox with an inbox.
func oneFolder(r *Request) ([]Answer, *SOAPFault) {
	if _, ok := r.Op.(*SyncFolderHierarchy); ok {
		return []Answer{&SyncFolderHierarchyResult{Result: Succeeded(), SyncState: "H", Last: true, Changes: []FolderChange{
			{Kind: Created, Folder: Folder{Element: PlainFolder, ID: FolderID{ID: "F-inbox"}, Name: "Inbox"}},
		}}}, nil
	}
	return anything(r)
}

// TestAccountsShareNothing: mailboxes spread over accounts are read by their own one each,
// on connections of its own, and the access log says by which.
func TestAccountsShareNothing(t *testing.T) {
	logins := map[string]map[string]bool{} // by the client's port
	var mu sync.Mutex
	s := newServer(t, oneFolder)
	s.before = func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if login, _, ok := r.BasicAuth(); ok {
			if logins[r.RemoteAddr] == nil {
				logins[r.RemoteAddr] = map[string]bool{}
			}
			logins[r.RemoteAddr][login] = true
		}
		return false
	}
	s.passwords = map[string]string{"svc": "pw", "svc2": "pw", "svc3": "pw"}
	tr := &spread{byBox: map[mail.Address]crm.Account{}}
	want := map[mail.Address]string{"ann@example.com": "svc", "bob@example.com": "svc2", "cyn@example.com": "svc", "dan@example.com": "svc3"}
	for address, login := range want {
		tr.byBox[address] = account(login, "pw")
	}
	settings := s.settings()
	settings.Others = []crm.Account{account("svc2", "pw"), account("svc3", "pw")}
	src := tr.open(t, settings)
	var wg sync.WaitGroup
	for address := range want {
		for range 5 {
			wg.Go(func() {
				if _, err := src.Folders(t.Context(), box(address)); err != nil {
					t.Errorf("%s: %v", address, err)
				}
			})
		}
	}
	wg.Wait()
	for _, on := range logins {
		if len(on) != 1 {
			t.Errorf("one connection was used by %v", on)
		}
	}
	for _, r := range s.ops {
		if r.Impersonation.PrimarySmtpAddress == "" {
			t.Errorf("%s without the mailbox that it is for", r.Op.Operation())
		}
	}
	for _, a := range tr.log {
		if a.Account != want[a.Mailbox] {
			t.Errorf("the log has %s read by %s, want %s", a.Mailbox, a.Account, want[a.Mailbox])
		}
	}
	if len(tr.log) != s.count() {
		t.Errorf("%d requests are in the log, %d were sent", len(tr.log), s.count())
	}
}

// TestOneRefusedAccountStopsItsMailboxesAlone: its password is tried once for all of its
// mailboxes, and those of the others go on; with another password it is tried anew.
func TestOneRefusedAccountStopsItsMailboxesAlone(t *testing.T) {
	var tries atomic.Int32
	s := newServer(t, oneFolder)
	s.before = func(_ http.ResponseWriter, r *http.Request) bool {
		login, password, ok := r.BasicAuth()
		if ok && login == "svc2" && password != "new" {
			tries.Add(1)
		}
		return false
	}
	s.passwords = map[string]string{"svc": "pw", "svc2": "new"}
	tr := &spread{byBox: map[mail.Address]crm.Account{
		"ann@example.com": account("svc", "pw"), "bob@example.com": account("svc2", "old"), "cyn@example.com": account("svc2", "old"),
	}}
	settings := s.settings()
	settings.Others = []crm.Account{account("svc2", "old")}
	src := tr.open(t, settings)
	try := func(address mail.Address, want string) {
		t.Helper()
		_, err := src.Folders(t.Context(), box(address))
		if got := codeOf(err); got != want {
			t.Fatalf("%s: got %q, want %q", address, got, want)
		}
		if err != nil && crm.AsFault(err).Scope != crm.MailboxScope {
			t.Errorf("%s: %+v stops more than the mailbox", address, err)
		}
	}
	try("bob@example.com", "password-refused")
	try("cyn@example.com", "password-refused")
	try("ann@example.com", "")
	try("bob@example.com", "password-refused")
	if tries.Load() != 1 {
		t.Errorf("the password was tried %d times", tries.Load())
	}
	for _, address := range []mail.Address{"bob@example.com", "cyn@example.com"} {
		tr.set(address, account("svc2", "new"))
		try(address, "")
	}
	if tr.log[len(tr.log)-1].Code != "" || !slices.ContainsFunc(tr.log, func(a crm.Access) bool { return a.Code == "password-refused" && a.Status == 401 }) {
		t.Errorf("the log does not say that the password was refused: %+v", tr.log)
	}
}

// TestTheSoleAccountStopsAll: nothing of the connection can work then.
func TestTheSoleAccountStopsAll(t *testing.T) {
	s := newServer(t, oneFolder)
	s.passwords = map[string]string{"svc": "another"}
	_, err := s.source(t).Folders(t.Context(), ann)
	if f := crm.AsFault(err); f.Code != "password-refused" || f.Scope != crm.OrgScope || f.Verdict != crm.Reauth {
		t.Errorf("got %+v", f)
	}
}

// TestDelegatesSayWhoseMailbox: without impersonation each distinguished folder is named
// together with its mailbox, so that the account's own is never read by mistake.
func TestDelegatesSayWhoseMailbox(t *testing.T) {
	for _, model := range []crm.AuthModel{crm.ByDelegation, crm.ByOwnSignIn} {
		s := newServer(t, oneFolder)
		settings := s.settings()
		settings.Model = model
		tr := &spread{byBox: map[mail.Address]crm.Account{"ann@example.com": account("svc", "pw")}}
		src := tr.open(t, settings)
		if _, err := src.Folders(t.Context(), ann); err != nil {
			t.Fatal(err)
		}
		named := 0
		for _, r := range s.ops {
			if !r.Impersonation.Empty() {
				t.Errorf("%s: %s impersonates", model, r.Op.Operation())
			}
			var ids []FolderID
			switch op := r.Op.(type) {
			case *GetFolder:
				ids = op.IDs
			case *SyncFolderHierarchy:
				ids = []FolderID{*op.Folder}
			}
			for _, id := range ids {
				if id.Mailbox == nil || id.Mailbox.EmailAddress != "ann@example.com" {
					t.Errorf("%s: %s asks for %s of nobody", model, r.Op.Operation(), id.Distinguished)
				}
				named++
			}
		}
		if named == 0 {
			t.Errorf("%s: no folder was asked for", model)
		}
		for _, r := range s.requests {
			if got := r.Header.Get("X-AnchorMailbox"); got != "ann@example.com" {
				t.Errorf("%s: X-AnchorMailbox is %q", model, got)
			}
		}
	}
}

// TestWhoHasNotSignedInIsNotAskedFor: where each user has an account of the own.
func TestWhoHasNotSignedInIsNotAskedFor(t *testing.T) {
	s := newServer(t, oneFolder)
	settings := s.settings()
	settings.Model, settings.Login, settings.Password = crm.ByOwnSignIn, "", crm.Secret{}
	s.passwords = map[string]string{"ann": "pw"}
	tr := &spread{byBox: map[mail.Address]crm.Account{"ann@example.com": account("ann", "pw")}}
	src := tr.open(t, settings)
	if _, err := src.Folders(t.Context(), box("bob@example.com")); codeOf(err) != "not-signed-in" {
		t.Errorf("bob: %v", err)
	}
	if err := src.Listen(t.Context(), []crm.Subscription{{Box: box("bob@example.com"), Anchor: box("bob@example.com"), ID: "S"}}, nil); codeOf(err) != "not-signed-in" {
		t.Errorf("bob: %v", err)
	}
	if s.count() != 0 {
		t.Errorf("%d requests were sent", s.count())
	}
	if _, err := src.Folders(t.Context(), ann); err != nil {
		t.Errorf("ann: %v", err)
	}
}

// TestNTLMIsNotGivenUpForBasic: who took NTLM once gets no password in clear, whatever it
// offers later; who never did may be answered by Basic over TLS.
func TestNTLMIsNotGivenUpForBasic(t *testing.T) {
	s := &ntlmServer{passwords: map[string]string{"alice": "a"}}
	s.handler = func(_ string, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		WriteResponse(w, ServerVersion{}, "GetFolder", folderAnswers(rootFolder())...)
	}
	srv := s.start(t, false)
	var basic atomic.Bool
	honest := srv.Config.Handler
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !basic.Load() {
			honest.ServeHTTP(w, r)
			return
		}
		if _, _, sent := r.BasicAuth(); sent {
			t.Error("the password was sent")
		}
		w.Header().Set("WWW-Authenticate", "Basic realm=x")
		w.WriteHeader(http.StatusUnauthorized)
	})
	c := client(t, srv)
	if err := ask(c, ""); err != nil {
		t.Fatal(err)
	}
	basic.Store(true)
	var codes []string
	for range 4 {
		codes = append(codes, verdict(ask(c, "")).Code)
	}
	if want := "logon-failed logon-downgrade logon-downgrade logon-downgrade"; strings.Join(codes, " ") != want {
		t.Errorf("got %v, want %s", codes, want)
	}
	basic.Store(false)
	if err := ask(c, ""); err != nil {
		t.Errorf("with NTLM again: %v", err)
	}
}

func client(t *testing.T, srv *httptest.Server) *Client {
	t.Helper()
	c, err := New(Config{URL: srv.URL, Login: "alice", Password: func() string { return "a" }, UserAgent: named("x"), Dial: dialer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
