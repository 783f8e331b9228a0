package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/crm"
)

// filledForm is a settings form with nothing wrong in it.
func filledForm() url.Values {
	return url.Values{"enabled": {"1"}, "server": {"mail.acme.example"}, "version": {"2019"}, "login": {`ACME\svc`}, "password": {"hidden-password"}, "domain": {"acme.example", ""}}
}

func (s *site) settings() crm.Settings {
	s.Helper()
	kept, _, err := s.org.Settings(context.Background())
	if err != nil {
		s.Fatal(err)
	}
	return kept
}

// TestSettingsFields: the form holds its fields in the order that was promised.
func TestSettingsFields(t *testing.T) {
	s := newSite(t)
	body := text(t, s.get(ann, settingsPath))
	at := 0
	for _, word := range []string{">Enable<", ">Server<", ">Version<", ">Login<", ">Password<", ">Domain List<", ">Test<", ">Save Settings</button></div>"} {
		i := strings.Index(body[at:], word)
		if i < 0 {
			t.Fatalf("%s is missing, or not in its place", word)
		}
		at += i
	}
	for _, word := range []string{`name="enabled" type="checkbox" role="switch" value="1">`, `type="password"`, `<select id="version"`, "System", "Configuration", "Integrations"} {
		if !strings.Contains(body, word) {
			t.Errorf("the form of a new installation lacks %s", word)
		}
	}
}

// TestSettingsErrors: what is wrong stands at its field, what was typed stays, and nothing
// is stored; by page and by API.
func TestSettingsErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(url.Values)
		fields string // with errors, in the order of the form
		words  string // must be on the page, separated by |
	}{
		{"no domain", func(f url.Values) { f["domain"] = []string{""} }, "domains", "At least one domain is required|mail.acme.example"},
		{"blank domains", func(f url.Values) { f["domain"] = []string{" ", "\t"} }, "domains", "At least one domain is required"},
		{"not a domain", func(f url.Values) { f["domain"] = []string{"acme.example", "acme..example"} }, "domains", "acme..example"},
		{"a URL as domain", func(f url.Values) { f["domain"] = []string{"http://acme.example"} }, "domains", "http://acme.example"},
		{"two bad domains", func(f url.Values) { f["domain"] = []string{"acme", "a b.example"} }, "domains", "acme|a b.example"},
		{"all empty", func(f url.Values) { clear(f); f.Set("enabled", "1") }, "server version login password domains", "5 fields need another look"},
		{"unknown version", func(f url.Values) { f.Set("version", "5.5") }, "version", "5.5"},
		{"no server name", func(f url.Values) { f.Set("server", "two words") }, "server", "two words"},
		{"agent of two lines", func(f url.Values) { f.Set("user_agent", "a\r\nb") }, "user_agent", "one line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			before := s.settings()
			form := filledForm()
			c.change(form)

			r := s.post(ann, settingsPath, form.Encode())
			body := text(t, r)
			if r.StatusCode != http.StatusUnprocessableEntity {
				t.Errorf("status %d, want 422", r.StatusCode)
			}
			for word := range strings.SplitSeq(c.words, "|") {
				if !strings.Contains(body, word) {
					t.Errorf("the page lacks %q:\n%s", word, body)
				}
			}
			for field := range strings.FieldsSeq(c.fields) {
				if !strings.Contains(body, `id="`+field+`-error"`) {
					t.Errorf("no error stands at %s", field)
				}
			}
			if strings.Contains(body, "hidden-password") {
				t.Error("the password is echoed")
			}
			if n := strings.Count(body, `-error"><p`); n != len(strings.Fields(c.fields)) {
				t.Errorf("errors stand at %d fields, want %s", n, c.fields)
			}
			if got := s.settings(); !sameSettings(got, before) {
				t.Errorf("stored %+v", got)
			}

			j := settingsJSON{Enabled: true, Server: form.Get("server"), Version: form.Get("version"), accountJSON: accountJSON{Login: form.Get("login"), Password: form.Get("password")}, Domains: form["domain"], UserAgent: form.Get("user_agent")}
			if got := s.putSettings(ann, j); got.status != 422 || strings.Join(got.fields, " ") != c.fields {
				t.Errorf("API: status %d, fields %q, want 422 and %q", got.status, got.fields, c.fields)
			}
			if got := s.settings(); !sameSettings(got, before) {
				t.Errorf("the API stored %+v", got)
			}
		})
	}
}

func sameSettings(a, b crm.Settings) bool {
	return a.Enabled == b.Enabled && a.Server == b.Server && a.Version == b.Version && a.Login == b.Login && a.Password.Reveal() == b.Password.Reveal() && slices.Equal(a.Domains, b.Domains)
}

type putAnswer struct {
	status int
	fields []string
	body   string
}

func (s *site) putSettings(who string, j settingsJSON) putAnswer {
	s.Helper()
	b, err := json.Marshal(j)
	if err != nil {
		s.Fatal(err)
	}
	r := s.do(who, "PUT", "/api/settings", "application/json", string(b))
	a := putAnswer{status: r.StatusCode, body: text(s.T, r)}
	var answer struct {
		Fields []fieldErrorJSON `json:"fields"`
	}
	if err := json.Unmarshal([]byte(a.body), &answer); err != nil {
		s.Fatalf("%v in %s", err, a.body)
	}
	for _, f := range answer.Fields {
		if !slices.Contains(a.fields, f.Field) {
			a.fields = append(a.fields, f.Field)
		}
	}
	return a
}

// TestPasswordInTheServerField: it comes back neither on the page nor from the API.
func TestPasswordInTheServerField(t *testing.T) {
	s := newSite(t)
	const server = "https://svc:CANARY@[mail"
	form := filledForm()
	form.Set("server", server)
	for _, do := range []string{"save", "test", "find"} {
		form.Set("do", do)
		r := s.post(ann, settingsPath, form.Encode())
		if body := text(t, r); r.StatusCode != http.StatusUnprocessableEntity || strings.Contains(body, "CANARY") {
			t.Errorf("%s: status %d: %s", do, r.StatusCode, content(body))
		}
	}
	j := settingsJSON{Enabled: true, Server: server, Version: "2019", accountJSON: accountJSON{Login: "svc", Password: "p"}, Domains: []string{"acme.example"}}
	if a := s.putSettings(ann, j); a.status != http.StatusUnprocessableEntity || strings.Contains(a.body, "CANARY") {
		t.Errorf("status %d: %s", a.status, a.body)
	}
}

func TestSaveSettings(t *testing.T) {
	s := newSite(t)
	form := filledForm()
	form["domain"] = []string{" ACME.example ", "@acme.example", "acme.example", "BÜCHER.example", ""}
	if r := s.post(ann, settingsPath, form.Encode()); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != settingsPath+"?saved=1" {
		t.Fatalf("status %d, to %q: %s", r.StatusCode, r.Header.Get("Location"), text(t, r))
	}
	if got, want := strings.Join(s.settings().Domains, " "), "acme.example xn--bcher-kva.example"; got != want {
		t.Errorf("domains %q, want %q", got, want)
	}
	body := text(t, s.get(ann, settingsPath+"?saved=1"))
	for _, word := range []string{"Settings saved", `value="acme.example"`, `value="bücher.example"`, "kept, type to replace", "2 mailboxes are read"} {
		if !strings.Contains(body, word) {
			t.Errorf("the page lacks %q", word)
		}
	}

	// An empty password keeps the one that is there, but not for another server.
	form.Set("password", "")
	if r := s.post(ann, settingsPath, form.Encode()); r.StatusCode != http.StatusSeeOther {
		t.Errorf("saving again: status %d", r.StatusCode)
	}
	if got := s.settings().Password.Reveal(); got != "hidden-password" {
		t.Errorf("password %q after saving again", got)
	}
	form.Set("server", "mail.evil.example")
	if r := s.post(ann, settingsPath, form.Encode()); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text(t, r), `id="password-error"`) {
		t.Errorf("another server gets the kept password: status %d", r.StatusCode)
	}

	// Switched off, fields may be empty.
	if r := s.post(ann, settingsPath, "server=&domain="); r.StatusCode != http.StatusSeeOther {
		t.Errorf("saving an empty form switched off: status %d", r.StatusCode)
	}
	if len(s.tested) != 0 {
		t.Error("saving tried the connection")
	}
}

// TestPulseFollowsSettings: the line at the top is right on the page that a save leads to,
// though the clock of the test stands still.
func TestPulseFollowsSettings(t *testing.T) {
	s := newSite(t)
	says := func(words string) {
		t.Helper()
		if body := text(t, s.get(ann, settingsPath)); !strings.Contains(body, words) {
			t.Errorf("the page lacks %q", words)
		}
	}
	says("collecting is off")
	form := filledForm()
	s.post(ann, settingsPath, form.Encode())
	says("2 mailboxes not read yet")
	form.Del("enabled")
	s.post(ann, settingsPath, form.Encode())
	says("collecting is off")
	s.putSettings(ann, settingsJSON{Enabled: true, Server: "mail.acme.example", Version: "2019", accountJSON: accountJSON{Login: `ACME\svc`}, Domains: []string{"nobody.example"}})
	says("no mailbox to read")
}

// TestTestSaysWhatWasNotDone: nothing is tested with fields missing, the password that was
// typed is asked for again, and domains without users are something to fix.
func TestTestSaysWhatWasNotDone(t *testing.T) {
	s := newSite(t)
	s.steps = []crm.Finding{{Step: "Log-on", OK: true}}
	form := filledForm()
	form.Set("do", "test")
	form.Set("server", "")
	body := text(t, s.post(ann, settingsPath, form.Encode()))
	for _, word := range []string{"Nothing was tested: 1 field needs another look", "type the password again"} {
		if !strings.Contains(body, word) {
			t.Errorf("the page lacks %q", word)
		}
	}
	if body := text(t, s.do(ann, "POST", "/api/settings/test", "application/json", "{}")); !strings.Contains(body, "Nothing was tested") {
		t.Errorf("API: %s", body)
	}
	if len(s.tested) != 0 {
		t.Errorf("tested %+v", s.tested)
	}

	form = filledForm()
	form.Set("do", "test")
	if body := text(t, s.post(ann, settingsPath, form.Encode())); !strings.Contains(body, "all is well") {
		t.Errorf("a good test:\n%s", content(body))
	}
	form["domain"] = []string{"none.example", "bücher.example"}
	body = text(t, s.post(ann, settingsPath, form.Encode()))
	for _, word := range []string{"No user has an address in none.example, bücher.example: nothing would be read.", "1 thing to fix"} {
		if !strings.Contains(body, word) {
			t.Errorf("the page lacks %q\n%s", word, content(body))
		}
	}
}

// TestSettingsWithoutScript: the buttons of the domain list work as plain buttons, too.
func TestSettingsWithoutScript(t *testing.T) {
	s := newSite(t)
	form := filledForm()
	form["domain"] = []string{"one.example", "two.example"}
	form.Set("do", "add")
	if n := strings.Count(text(t, s.post(ann, settingsPath, form.Encode())), `name="domain"`); n != 3 {
		t.Errorf("%d entries after adding one to two", n)
	}
	form.Set("do", "remove 0")
	body := text(t, s.post(ann, settingsPath, form.Encode()))
	if strings.Contains(body, "one.example") || !strings.Contains(body, "two.example") {
		t.Error("removing the first entry did something else")
	}
	if s.settings().Server != "" {
		t.Error("a button of the list saved the form")
	}
}

func TestTestSettings(t *testing.T) {
	s := newSite(t)
	s.steps = []crm.Finding{
		{Step: "Log-on", OK: true, Detail: "Basic", Took: 38 * time.Millisecond},
		{Step: "Impersonation of bob@acme.example", Fault: &crm.Fault{Code: "ErrorImpersonateUserDenied", Message: "Denied.", Advice: "New-ManagementRoleAssignment -User svc"}},
		{Step: "Folders", Skip: true},
	}
	form := filledForm()
	form.Del("enabled") // a test needs no leave to collect
	form.Set("do", "test")
	body := text(t, s.post(ann, settingsPath, form.Encode()))
	for _, word := range []string{"Log-on", "38 ms", "ErrorImpersonateUserDenied", `<code class="command">New-ManagementRoleAssignment -User svc</code>`, "1 thing to fix", `data-state="skip"`, `value="mail.acme.example"`} {
		if !strings.Contains(body, word) {
			t.Errorf("the page lacks %q", word)
		}
	}
	if s.settings().Server != "" {
		t.Error("testing saved the form")
	}
	if len(s.tested) != 1 || s.tested[0].Password.Reveal() != "hidden-password" {
		t.Errorf("tested %+v, want what stands in the form", s.tested)
	}

	j, _ := json.Marshal(settingsJSON{Server: "mail.acme.example", Version: "2019", accountJSON: accountJSON{Login: "svc", Password: "p"}, Domains: []string{"acme.example"}})
	r := s.do(ann, "POST", "/api/settings/test", "application/json", string(j))
	lines := strings.Split(strings.TrimSpace(text(t, r)), "\n")
	if r.StatusCode != 200 || len(lines) != 3 {
		t.Fatalf("API: status %d, lines %q", r.StatusCode, lines)
	}
	var step StepJSON
	if err := json.Unmarshal([]byte(lines[1]), &step); err != nil || step.State != "bad" || step.Fault != "ErrorImpersonateUserDenied" || len(step.Parts) != 1 || !step.Parts[0].Command {
		t.Errorf("second line %s", lines[1])
	}
	if r := s.do(ann, "POST", "/api/settings/test", "application/json", "{}"); r.StatusCode != 422 {
		t.Errorf("testing nothing: status %d", r.StatusCode)
	}
	for _, try := range []*http.Response{
		s.do(bob, "POST", "/api/settings/test", "application/json", string(j)),
		s.do(bob, "PUT", "/api/settings", "application/json", string(j)),
		s.post(bob, settingsPath, form.Encode()),
	} {
		if try.StatusCode != http.StatusForbidden {
			t.Errorf("a user who is no administrator: status %d", try.StatusCode)
		}
	}
	if len(s.tested) != 2 {
		t.Errorf("%d tests were made, want 2", len(s.tested))
	}
}

func TestSettingsAPIReadsStrictly(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct {
		kind, body string
		status     int
	}{
		{"text/plain", "{}", 415},
		{"", "{}", 415},
		{"application/json", "{", 400},
		{"application/json", `{"colour":"blue"}`, 400},
		{"application/json", `{} {}`, 400},
		{"application/json", `{"server":"` + strings.Repeat("a", bodyLimit) + `"}`, 400},
		{"application/json; charset=utf-8", "{}", 200},
	} {
		if r := s.do(ann, "PUT", "/api/settings", c.kind, c.body); r.StatusCode != c.status {
			t.Errorf("%s %.30s: status %d, want %d", c.kind, c.body, r.StatusCode, c.status)
		}
	}
}
