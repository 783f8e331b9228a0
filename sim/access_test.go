package sim

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"postern/ews"
	"postern/mail"
)

func getFolder() ews.Operation {
	return &ews.GetFolder{Shape: ews.FolderShape{Base: ews.DefaultShape}, IDs: []ews.FolderID{*inbox()}}
}

// try sends a request without a body with these credentials.
func try(x *Exchange, method, path, user, pass string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(""))
	if user != "" {
		r.SetBasicAuth(user, pass)
	}
	w := httptest.NewRecorder()
	x.ServeHTTP(w, r)
	return w
}

func TestSignIn(t *testing.T) {
	x := newExchange(t, Options{})
	for _, tt := range []struct {
		name, method, path, user, pass string
		want                           int
	}{
		{"no credentials", "POST", Path, "", "", 401},
		{"unknown account", "POST", Path, "nobody", "x", 401},
		{"wrong password", "POST", Path, login, "x", 401},
		{"page for people", "GET", Path, login, password, 200},
		{"login in capitals", "GET", Path, strings.ToUpper(login), password, 200},
		{"path in lower case", "GET", "/ews/exchange.asmx", login, password, 200},
		{"another path", "POST", "/owa/", login, password, 404},
		{"another verb", "PUT", Path, login, password, 405},
	} {
		w := try(x, tt.method, tt.path, tt.user, tt.pass)
		if w.Code != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, w.Code, tt.want)
		}
		if challenge := w.Header().Get("WWW-Authenticate"); (w.Code == 401) != strings.HasPrefix(challenge, "Basic ") {
			t.Errorf("%s: status %d with challenge %q", tt.name, w.Code, challenge)
		}
	}
	if got := x.WrongPasswords(login); got != 1 {
		t.Errorf("%d wrong passwords were counted, want 1", got)
	}
}

func TestHammeringLocksTheAccount(t *testing.T) {
	x := newExchange(t, Options{})
	for range lockAfter {
		try(x, "GET", Path, login, "wrong")
	}
	if w := try(x, "GET", Path, login, password); w.Code != 401 {
		t.Errorf("the right password after %d wrong ones gave %d, want 401", lockAfter, w.Code)
	}
}

func TestImpersonation(t *testing.T) {
	x := newExchange(t, Options{})
	x.AddAccount(Account{Login: "narrow", Password: password, Scope: []mail.Address{bob}})
	x.AddAccount(Account{Login: "powerless", Password: password, NoRole: true})
	x.AddAccount(Account{Login: `COMPANY\` + string(bob), Password: password})
	ask := func(user string, sid ews.ConnectingSID) wireAnswer {
		var body strings.Builder
		req := &ews.Request{Header: ews.Header{Version: ews.Exchange2013SP1, Impersonation: sid}, Op: getFolder()}
		if err := ews.WriteRequest(&body, req); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(body.String()))
		r.SetBasicAuth(user, password)
		w := httptest.NewRecorder()
		x.ServeHTTP(w, r)
		return readAnswer(t, w.Body.Bytes())
	}
	primary := func(a mail.Address) ews.ConnectingSID { return ews.ConnectingSID{PrimarySmtpAddress: string(a)} }
	for _, tt := range []struct {
		name, user string
		sid        ews.ConnectingSID
		want       string
	}{
		{"any mailbox", login, primary(ann), "NoError"},
		{"by principal name", login, ews.ConnectingSID{PrincipalName: string(ann)}, "NoError"},
		{"alias as any address", login, ews.ConnectingSID{SmtpAddress: "ann.archer@company.example"}, "NoError"},
		{"alias as the primary address", login, primary("ann.archer@company.example"), "ErrorNonPrimarySmtpAddress"},
		{"no such mailbox", login, primary("zoe@company.example"), "ErrorNonExistentMailbox"},
		{"SID that nobody knows", login, ews.ConnectingSID{SID: "S-1-5-21"}, "ErrorInvalidExchangeImpersonationHeaderData"},
		{"in scope", "narrow", primary(bob), "NoError"},
		{"out of scope", "narrow", primary(ann), "ErrorImpersonateUserDenied"},
		{"without the role", "powerless", primary(ann), "ErrorImpersonateUserDenied"},
		{"own mailbox", `COMPANY\` + string(bob), ews.ConnectingSID{}, "NoError"},
		{"no mailbox at all", login, ews.ConnectingSID{}, "ErrorMissingEmailAddress"},
	} {
		a := ask(tt.user, tt.sid)
		if a.code() != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, a.code(), tt.want)
		}
		if tt.want == "ErrorNonPrimarySmtpAddress" && (len(a.Body.Fault.Values) != 1 || a.Body.Fault.Values[0].Text != string(ann)) {
			t.Errorf("%s: the primary address is not told: %+v", tt.name, a.Body.Fault)
		}
	}
}

func TestVersions(t *testing.T) {
	conversation := &ews.FindItem{Traversal: "Shallow", Shape: itemShape("item:ConversationId"), Parents: []ews.FolderID{*inbox()}}
	body := &ews.GetItem{Shape: itemShape("item:TextBody")}
	for _, tt := range []struct {
		server  Version
		request string
		op      ews.Operation
		want    string
	}{
		{ExchangeSE, ews.Exchange2013SP1, getFolder(), "NoError"},
		{ExchangeSE, ews.Exchange2007SP1, getFolder(), "NoError"},
		{ExchangeSE, "", getFolder(), "NoError"},
		{ExchangeSE, "Exchange2099", getFolder(), "ErrorInvalidServerVersion"},
		{Exchange2010SP2, ews.Exchange2013SP1, getFolder(), "ErrorInvalidServerVersion"},
		{Exchange2010SP2, ews.Exchange2010SP2, getFolder(), "NoError"},
		{Exchange2007SP1, ews.Exchange2010, getFolder(), "ErrorSchemaValidation"},
		{Exchange2007SP1, ews.Exchange2007SP1, conversation, "ErrorSchemaValidation"},
		{ExchangeSE, ews.Exchange2007SP1, conversation, "ErrorInvalidPropertyRequest"},
		{Exchange2010, ews.Exchange2010, conversation, "NoError"},
		{Exchange2010, ews.Exchange2010, body, "ErrorSchemaValidation"},
	} {
		x := newExchange(t, Options{Version: tt.server})
		c := asUser(t, x, ann)
		c.version = tt.request
		a := c.ask(tt.op)
		if a.code() != tt.want {
			t.Errorf("%s asked in %q: got %s, want %s", tt.server, tt.request, a.code(), tt.want)
		}
		if want := map[Version]string{ExchangeSE: "15", Exchange2007SP1: "8"}[tt.server]; want != "" && a.Version.Major != want {
			t.Errorf("%s says it is major version %q", tt.server, a.Version.Major)
		}
	}
	if _, err := New(Options{Version: "Exchange5.5"}); err == nil {
		t.Error("an unknown version was taken")
	}
}

func TestAnswerIsPackedOnRequest(t *testing.T) {
	x := newExchange(t, Options{})
	r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader("no XML"))
	r.SetBasicAuth(login, password)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	x.ServeHTTP(w, r)
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if a := readAnswer(t, plain); w.Code != 500 || a.code() != "ErrorSchemaValidation" {
		t.Errorf("status %d, %+v", w.Code, a)
	}
}
