package ews

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/crm"
	"postern/mail"
)

// steps runs a check and returns each step with what came of it. What nothing was given
// for is left out.
func steps(t *testing.T, trial crm.Trial) (list []string, all []crm.Finding) {
	t.Helper()
	if trial.Transport == nil {
		trial.Transport = direct{crm.Unpaced{}, trial.Settings}
	}
	Connector().Check(t.Context(), trial, func(f crm.Finding) {
		all = append(all, f)
		switch {
		case f.Skip && strings.HasPrefix(f.Detail, "not reached"):
			list = append(list, f.Step+": not reached")
		case f.Skip:
		case f.OK && !f.Warn:
			list = append(list, f.Step+": ok")
		case f.OK:
			list = append(list, f.Step+": warn "+f.Fault.Code)
		default:
			list = append(list, f.Step+": "+f.Fault.Code)
		}
	})
	return list, all
}

func rootFolder() *GetFolder {
	return &GetFolder{Shape: FolderShape{Base: IDOnly}, IDs: []FolderID{{Distinguished: string(crm.Root)}}}
}

// find returns the finding of a step.
func find(t *testing.T, all []crm.Finding, step string) crm.Finding {
	t.Helper()
	i := slices.IndexFunc(all, func(f crm.Finding) bool { return f.Step == step })
	if i < 0 {
		t.Fatalf("no step %q", step)
	}
	return all[i]
}

// whole answers everything that a check asks for.
func whole(r *Request) ([]Answer, *SOAPFault) {
	inbox := Folder{Element: PlainFolder, ID: FolderID{ID: "F-inbox"}, Parent: &FolderID{ID: "F-msgfolderroot"}, Name: "Inbox", Total: new(7)}
	sent := Folder{Element: PlainFolder, ID: FolderID{ID: "F-sentitems"}, Parent: &FolderID{ID: "F-msgfolderroot"}, Name: "Sent", Total: new(5)}
	drafts := Folder{Element: PlainFolder, ID: FolderID{ID: "F-drafts"}, Parent: &FolderID{ID: "F-msgfolderroot"}, Name: "Drafts", Total: new(3)}
	switch op := r.Op.(type) {
	case *GetFolder:
		return folderAnswers(op), nil
	case *SyncFolderHierarchy:
		changes := []FolderChange{{Created, inbox}, {Created, sent}, {Created, drafts}}
		return []Answer{&SyncFolderHierarchyResult{Result: Succeeded(), SyncState: "H1", Last: true, Changes: changes}}, nil
	case *SyncFolderItems:
		return []Answer{&SyncFolderItemsResult{Result: Succeeded(), SyncState: "S" + op.SyncState + "1", Last: true}}, nil
	case *Subscribe:
		if op.Streaming {
			return []Answer{&SubscribeResult{Result: Failed("ErrorInvalidSubscriptionRequest", "no")}}, nil
		}
		return []Answer{&SubscribeResult{Result: Succeeded(), SubscriptionID: "P1", Watermark: "W1"}}, nil
	case *GetEvents:
		return []Answer{&GetEventsResult{Result: Succeeded()}}, nil
	case *Unsubscribe:
		return []Answer{new(Succeeded())}, nil
	}
	return nil, &SOAPFault{Code: "ErrorInvalidRequest", Text: "?"}
}

// stages are the steps that are always there, in order.
var stages = []string{"Name and address", "Connection", "Certificate", "Exchange Web Services", "Clock", "Ways to log on", "Log-on", "Extended Protection", "Version", "Response time", "Autodiscover"}

// last are those after the mailboxes.
var last = []string{"Folders", "Synchronization", "Notifications", "Mailbox that must be refused", "User-Agent that must be refused", "EWS of the users themselves"}

// TestCheckTellsEachStep: Ann may be impersonated, Bob may not; the third one must not.
func TestCheckTellsEachStep(t *testing.T) {
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		switch r.Impersonation.PrimarySmtpAddress {
		case "":
			return []Answer{&FoldersResult{Result: Failed("ErrorNonExistentMailbox", "the account has no mailbox")}}, nil
		case "bob@example.com", "boss@example.com":
			return nil, &SOAPFault{Code: "ErrorImpersonateUserDenied"}
		}
		return whole(r)
	})
	got, all := steps(t, crm.Trial{Settings: s.settings(), Boxes: []mail.Address{"bob@example.com", "ann@example.com"}, Outside: "boss@example.com"})
	want := []string{
		"Name and address: ok", "Connection: ok", "Exchange Web Services: ok", "Clock: ok", "Ways to log on: ok", "Log-on: ok", "Version: ok", "Response time: ok",
		"Mailbox bob@example.com: ErrorImpersonateUserDenied", "Mailbox ann@example.com: ok",
		"Folders: ok", "Synchronization: ok", "Notifications: ok", "Mailbox that must be refused: ok",
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for step, text := range map[string]string{
		"Version":                      "Exchange 2019 (15.2.1544)",
		"Connection":                   "from 127.0.0.1 to 127.0.0.1:",
		"Mailbox ann@example.com":      "by impersonation: inbox 7, sent items 5",
		"Folders":                      "ann@example.com: 2 to be read, with 12 items; 1 left alone",
		"Notifications":                "by asking",
		"Mailbox that must be refused": "Exchange refuses boss@example.com (ErrorImpersonateUserDenied)",
		"EWS of the users themselves":  "not needed",
	} {
		if f := find(t, all, step); !strings.Contains(f.Detail, text) {
			t.Errorf("%s: %q", step, f.Detail)
		}
	}
	bob := find(t, all, "Mailbox bob@example.com")
	if bob.For != crm.ForExchangeAdmin || !strings.HasPrefix(bob.Fix, "# Run grant") || !strings.Contains(bob.Fix, `Add-RoleGroupMember -Identity 'Postern impersonation' -Member 'svc'`) {
		t.Errorf("for %s: %s", bob.For, bob.Fix)
	}
	if s.operations()["SyncFolderItems"] != 2 || s.operations()["GetItem"] > 0 {
		t.Errorf("asked for %v", s.operations())
	}
}

// TestCheckEndsWhereItFails: what cannot work is not tried, and told as not reached.
func TestCheckEndsWhereItFails(t *testing.T) {
	ok := []string{"Name and address: ok", "Connection: ok", "Exchange Web Services: ok", "Clock: ok", "Ways to log on: ok", "Log-on: ok"}
	answering := func(answer http.HandlerFunc) func(*server, *crm.Settings) {
		return func(s *server, _ *crm.Settings) {
			s.before = func(w http.ResponseWriter, r *http.Request) bool { answer(w, r); return true }
		}
	}
	tests := []struct {
		name   string
		change func(*server, *crm.Settings)
		ok     int
		step   string // at which it ends
		code   string
	}{
		{"malformed server", func(_ *server, c *crm.Settings) { c.Server = "http://mail.example.com" }, 0, "Name and address", "server-malformed"},
		{"nobody there", func(s *server, _ *crm.Settings) { s.Close() }, 1, "Connection", "port-closed"},
		{"a web page", answering(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html><body>hello</body></html>") }), 2, "Exchange Web Services", "not-exchange-web-page"},
		{"a log-on page", answering(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/owa", http.StatusFound) }), 2, "Exchange Web Services", "logon-page"},
		{"nothing at this path", answering(http.NotFound), 2, "Exchange Web Services", "no-ews-here"},
		{"a firewall", answering(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) }), 2, "Exchange Web Services", "front-forbids"},
		{"no way to log on", answering(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusUnauthorized) }), 4, "Ways to log on", "no-logon-scheme"},
		{"another way to log on", func(_ *server, c *crm.Settings) { c.Scheme = crm.NTLM }, 4, "Ways to log on", "scheme-not-offered"},
		{"wrong password", func(_ *server, c *crm.Settings) { c.Password = crm.NewSecret("wrong") }, 5, "Log-on", "password-refused"},
		{"too old", func(s *server, _ *crm.Settings) { s.server = ServerVersion{Major: new(6), Minor: new(5)} }, 6, "Version", "version-unsupported"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, whole)
			settings := s.settings()
			tt.change(s, &settings)
			got, all := steps(t, crm.Trial{Settings: settings, Boxes: []mail.Address{"ann@example.com"}, Outside: "boss@example.com"})
			want := append(slices.Clone(ok[:tt.ok]), tt.step+": "+tt.code)
			for _, name := range slices.Concat(stages[slices.Index(stages, tt.step)+1:], []string{"Mailbox ann@example.com"}, last) {
				want = append(want, name+": not reached")
			}
			if d := gocmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			for _, f := range all {
				if f.Fault != nil && (f.Fault.Message == "" || f.Fault.Advice == "" || f.For == "" || f.Code == "") {
					t.Errorf("without words: %+v", f)
				}
			}
			n := 0
			for _, r := range s.requests {
				if r.Header.Get("Authorization") != "" {
					n++
				}
			}
			if tt.code == "password-refused" && n != 1 || tt.ok < 5 && n > 0 {
				t.Errorf("credentials were sent %d times", n)
			}
		})
	}
}

// TestCheckProposesTheVersionFound: an older server than chosen is told, and the test
// goes on.
func TestCheckProposesTheVersionFound(t *testing.T) {
	for _, tt := range []struct {
		found         ServerVersion
		chosen, title string // title "" when there is nothing to propose
		name          string
	}{
		{ServerVersion{Major: new(8), Minor: new(1)}, "Exchange2010", "Exchange 2007 SP1 or later", "Exchange2007_SP1"},
		{ServerVersion{Major: new(14), Minor: new(3)}, "Exchange2013", "Exchange 2010 SP2 or SP3", "Exchange2010_SP2"},
		{ServerVersion{Major: new(15), Minor: new(0), MajorBuild: new(516)}, "Exchange2013_SP1", "Exchange 2013", "Exchange2013"},
		{ServerVersion{Major: new(15), Minor: new(0), MajorBuild: new(1497)}, "Exchange2016", "Exchange 2013 SP1 or later", "Exchange2013_SP1"},
		{ServerVersion{Major: new(15), Minor: new(2), MajorBuild: new(1544)}, "ExchangeSE", "Exchange 2019", "Exchange2019"},
		{ServerVersion{Major: new(15), Minor: new(2), MajorBuild: new(2562)}, "ExchangeSE", "", ""},
		{ServerVersion{Major: new(15), Minor: new(1)}, "Exchange2007_SP1", "", ""},
		{ServerVersion{Major: new(15), Minor: new(20)}, "Exchange2019", "", ""},
		{ServerVersion{Major: new(17), Minor: new(0)}, "ExchangeSE", "", ""},
		{ServerVersion{Major: new(15), Minor: new(2), MajorBuild: new(1544)}, "", "", ""},
	} {
		s := newServer(t, whole)
		s.server = tt.found
		settings := s.settings()
		settings.Version = tt.chosen
		got, all := steps(t, crm.Trial{Settings: settings, Boxes: []mail.Address{"ann@example.com"}})
		want := "Version: ok"
		if tt.title != "" {
			want = "Version: version-older"
			f := find(t, all, "Version")
			if f.Fault.Advice != "Choose "+tt.title+"." || f.Fix != "postern settings --version "+tt.name {
				t.Errorf("%v: advice %q, %q, want %s", tt.found, f.Fault.Advice, f.Fix, tt.title)
			}
		}
		if !slices.Contains(got, want) || !slices.Contains(got, "Mailbox ann@example.com: ok") {
			t.Errorf("%v: %v", tt.found, got)
		}
	}
}

// TestCheckShowsWhatMustFail: success where Exchange must refuse is red; what was not
// tried, or shows nothing, is never green.
func TestCheckShowsWhatMustFail(t *testing.T) {
	stranger := func(s crm.Settings) crm.Transport {
		s.UserAgent = "Stranger/1"
		return direct{crm.Unpaced{}, s}
	}
	refusing := func(code string) func(r *Request) ([]Answer, *SOAPFault) {
		return func(r *Request) ([]Answer, *SOAPFault) {
			if r.Impersonation.PrimarySmtpAddress == "boss@example.com" {
				return nil, &SOAPFault{Code: code}
			}
			return whole(r)
		}
	}
	filtering := func(s *server) {
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.UserAgent() != "Stranger/1" {
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			return true
		}
	}
	const box, agent = "Mailbox that must be refused", "User-Agent that must be refused"
	for _, tt := range []struct {
		name             string
		answer           func(r *Request) ([]Answer, *SOAPFault)
		outside          mail.Address
		filter, stranger bool
		step             string
		code, text       string // code "" = green, "skip" = skipped
	}{
		{"opened", whole, "boss@example.com", false, false, box, "wider-than-needed", "boss@example.com"},
		{"refused", refusing("ErrorImpersonateUserDenied"), "boss@example.com", false, false, box, "", "refuses"},
		{"not there", refusing("ErrorNonExistentMailbox"), "boss@example.com", false, false, box, "ErrorNonExistentMailbox", "shows nothing"},
		{"busy", refusing("ErrorServerBusy"), "boss@example.com", false, false, box, "ErrorServerBusy", "busy"},
		{"none named", whole, "", false, false, box, "skip", "not shown"},
		{"answered", whole, "", false, true, agent, "wider-than-needed", "Stranger/1"},
		{"filtered", whole, "", true, true, agent, "", "refused as"},
		{"no filter said", whole, "", false, false, agent, "skip", "not shown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, tt.answer)
			if tt.filter {
				filtering(s)
			}
			settings := s.settings()
			settings.UserAgent = "Acme/1"
			trial := crm.Trial{Settings: settings, Boxes: []mail.Address{"ann@example.com"}, Outside: tt.outside}
			if tt.stranger {
				trial.Stranger = stranger(settings)
			}
			_, all := steps(t, trial)
			f := find(t, all, tt.step)
			green := f.OK && !f.Warn && !f.Skip
			told := f.Detail
			if f.Fault != nil {
				told = f.Fault.Message
			}
			if green != (tt.code == "") || f.Skip != (tt.code == "skip") || !green && !f.Skip && f.Fault.Code != tt.code || !strings.Contains(told, tt.text) {
				t.Errorf("%+v %v", f, f.Fault)
			}
			if tt.code == "wider-than-needed" && (f.For != crm.ForExchangeAdmin || f.Fix == "") {
				t.Errorf("no remedy: %+v", f)
			}
		})
	}
}

// TestCheckComparesTheClocks goes by the date of the answers.
func TestCheckComparesTheClocks(t *testing.T) {
	for _, tt := range []struct {
		off  time.Duration
		want string
	}{{0, "Clock: ok"}, {-time.Minute, "Clock: ok"}, {10 * time.Minute, "Clock: warn clock-skew"}, {-10 * time.Minute, "Clock: warn clock-skew"}} {
		s := newServer(t, whole)
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Date", time.Now().Add(tt.off).UTC().Format(http.TimeFormat))
			return false
		}
		if got, _ := steps(t, crm.Trial{Settings: s.settings()}); !slices.Contains(got, tt.want) {
			t.Errorf("%s off: %v", tt.off, got)
		}
	}
}

// TestCheckLeavesFoldersOutOfPolicyAlone: not a request names them.
func TestCheckLeavesFoldersOutOfPolicyAlone(t *testing.T) {
	s := newServer(t, whole)
	nothing := func(_ mail.Address, folders []crm.Folder) []bool { return make([]bool, len(folders)) }
	_, all := steps(t, crm.Trial{Settings: s.settings(), Boxes: []mail.Address{"ann@example.com"}, InScope: nothing})
	if f := find(t, all, "Synchronization"); !f.Skip || s.operations()["SyncFolderItems"] > 0 {
		t.Errorf("%+v, asked for %v", f, s.operations())
	}
}

// TestCheckComparesWithAutodiscover: another server than the one set is told; that there is
// none, too, and is no fault.
func TestCheckComparesWithAutodiscover(t *testing.T) {
	for _, tt := range []struct {
		name  string
		hosts map[string]http.HandlerFunc
		want  string
	}{
		{"none", nil, ""},
		{"another", map[string]http.HandlerFunc{"acme.example": poxEWS(outside)}, "Autodiscover: warn autodiscover-elsewhere"},
		{"the same", map[string]http.HandlerFunc{"acme.example": at(".json", text200("application/json", `{"Url":"https://mail.acme.example/EWS/Exchange.asmx"}`))}, "Autodiscover: ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, whole)
			w := newWorld(t, tt.hosts)
			trial := crm.Trial{Settings: s.settings(), Boxes: []mail.Address{"ann@acme.example"}, Search: w}
			if tt.name == "the same" {
				trial.Settings.Server = "mail.acme.example"
				w.hosts["mail.acme.example"] = s.ServeHTTP
				trial.Transport = w
			}
			got, all := steps(t, trial)
			i := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "Autodiscover: ") })
			if tt.want == "" && i >= 0 || tt.want != "" && (i < 0 || got[i] != tt.want) {
				t.Errorf("%v", got)
			}
			if f := find(t, all, "Autodiscover"); tt.want == "" && !f.Skip {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestCheckTellsOfTheCertificate: whom it is for, by whose word, for how long; and what is
// wrong with one that is not believed.
func TestCheckTellsOfTheCertificate(t *testing.T) {
	s := newServer(t, whole)
	trial := func(w *world) crm.Trial {
		settings := w.settings
		settings.Server = "mail.acme.example"
		return crm.Trial{Settings: settings, Transport: w}
	}
	w := newWorld(t, map[string]http.HandlerFunc{"mail.acme.example": s.ServeHTTP})
	_, all := steps(t, trial(w))
	if f := find(t, all, "Certificate"); !f.OK || f.Warn || !strings.Contains(f.Detail, "for mail.acme.example") || !strings.Contains(f.Detail, "(89 days)") {
		t.Errorf("%+v", f)
	}
	w.days = 10
	_, all = steps(t, trial(w))
	if f := find(t, all, "Certificate"); !f.OK || !f.Warn || f.Fault.Code != "tls-expires-soon" || f.For != crm.ForExchangeAdmin {
		t.Errorf("%+v", f)
	}
	w.days = -1
	_, all = steps(t, trial(w))
	if f := find(t, all, "Certificate"); f.OK || f.Fault.Code != "tls-expired" || !strings.Contains(f.Fault.Message, "good from") || !strings.Contains(f.Fix, "Get-ExchangeCertificate") {
		t.Errorf("%+v", f)
	}
	w.days, w.impostors["mail.acme.example"] = 90, true
	_, all = steps(t, trial(w))
	if f := find(t, all, "Certificate"); f.OK || f.Fault.Code != "tls-name-wrong" || !strings.Contains(f.Fault.Message, "but for somebody.else.example") {
		t.Errorf("%+v", f)
	}
	w = newWorld(t, map[string]http.HandlerFunc{"mail.acme.example": s.ServeHTTP})
	w.roots = newWorld(t, nil).roots
	_, all = steps(t, trial(w))
	if f := find(t, all, "Certificate"); f.OK || f.Fault.Code != "tls-unknown-authority" || !strings.Contains(f.Fault.Message, `"authority"`) || !strings.Contains(f.Fix, "--root-cas") {
		t.Errorf("%+v", f)
	}
}

// TestRemediesFitTheScripts: nothing that is to be copied makes a right without a scope, or
// puts a list in force that has our entry alone.
func TestRemediesFitTheScripts(t *testing.T) {
	for _, v := range versions {
		for _, model := range []crm.AuthModel{crm.ByImpersonation, crm.ByDelegation} {
			c := &check{}
			c.Settings = crm.Settings{Version: v.name, Model: model, Login: `ACME\svc`}
			for name, fix := range map[string]string{"grant": c.grant(), "narrow": c.narrow()} {
				if !strings.HasPrefix(fix, "# Run ") || strings.Contains(fix, "New-Management") || model == crm.ByImpersonation && v.name != version2007 && v.name != versionOnline && !strings.Contains(fix, "ApplicationImpersonation") {
					t.Errorf("%s, %s: %s: %s", v.name, model, name, fix)
				}
			}
		}
	}
}

// TestBasicIsWarnedOf: where it is all that a server offers to those far away.
func TestBasicIsWarnedOf(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	defer srv.Close()
	s := crm.Settings{Server: srv.URL, Version: "ExchangeSE", Login: "svc", Password: crm.NewSecret("pw"),
		RootCAs: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))}
	list, _ := steps(t, crm.Trial{Settings: s})
	if !slices.Contains(list, "Ways to log on: warn basic-offered") {
		t.Errorf("got %q, want a warning of Basic", list)
	}
}
