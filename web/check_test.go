package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/crm"
)

// sampleFindings are one of each kind.
var sampleFindings = []crm.Finding{
	{Code: "dns", Step: "Name and address", OK: true, Detail: "mail.acme.example is 192.0.2.7", Took: 12 * time.Millisecond},
	{Code: "tls", Step: "Certificate", OK: true, Warn: true, For: crm.ForExchangeAdmin, Fault: &crm.Fault{Code: "tls-expires-soon", Message: "It ends in 9 days.", Advice: "Renew it."}, Fix: "Get-ExchangeCertificate"},
	{Code: "must-fail-mailbox", Step: "Mailbox that must be refused", For: crm.ForExchangeAdmin, Fault: &crm.Fault{Code: "wider-than-needed", Message: "Exchange opens <it>.", Advice: "Narrow it."}, Fix: "Set-ManagementRoleAssignment\n-CustomRecipientWriteScope"},
	{Code: "must-fail-agent", Step: "User-Agent that must be refused", Skip: true, Detail: "not shown"},
}

// TestCheckPage: the next run is asked for what the last one was, its findings link to
// their pages, and the run is kept with its date.
func TestCheckPage(t *testing.T) {
	s := newSite(t)
	s.expect(ann, "/access/check", "There is no server to try yet", "Run the check")
	s.putSettings(ann, settingsJSON{Enabled: true, Server: "mail.acme.example", Version: "2019", accountJSON: accountJSON{Login: "svc", Password: "p"}, Domains: []string{"acme.example"}, UserAgent: "Acme/1"})
	s.expect(ann, "/access/check", `value="`+string(zed)+`"|Not run yet|<code>Acme/1</code>`, "Earlier runs")

	s.steps = sampleFindings
	if r := s.post(ann, "/access/check", "outside=boss%40acme.example&stranger=1"); r.StatusCode != http.StatusSeeOther {
		t.Errorf("status %d", r.StatusCode)
	}
	if len(s.checked) != 1 || s.checked[0].Outside != "boss@acme.example" || !s.checked[0].Stranger {
		t.Errorf("tried %+v", s.checked)
	}
	s.expect(ann, "/access/check", `data-state="warn"|data-state="bad"|data-state="skip"|href="/access/check/dns"|href="/access/check/wider-than-needed"|Exchange opens &lt;it&gt;.`+
		`|Narrow it.|<code class="command">Set-ManagementRoleAssignment`+"\n"+`-CustomRecipientWriteScope</code>|For the Exchange administrator|1 thing to fix|by Ann`, "Earlier runs|opens <it>")
	s.post(ann, "/access/check", "outside=")
	s.expect(ann, "/access/check", "Earlier runs", "")

	if r := s.post(ann, "/access/check", "outside=nobody"); r.StatusCode != http.StatusUnprocessableEntity || len(s.checked) != 2 {
		t.Errorf("a malformed address: status %d, %d runs", r.StatusCode, len(s.checked))
	}
	for _, path := range []string{"/access/check", "/access/check/dns", "/api/access/check"} {
		if r := s.get(bob, path); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s for a user who is no administrator: status %d", path, r.StatusCode)
		}
	}
	if r := s.post(bob, "/access/check", ""); r.StatusCode != http.StatusForbidden || len(s.checked) != 2 {
		t.Errorf("run by a user who is no administrator: status %d", r.StatusCode)
	}
}

// TestCheckAPI: each finding is a line, and the run is told afterwards.
func TestCheckAPI(t *testing.T) {
	s := newSite(t)
	if body := text(t, s.get(ann, "/api/access/check")); strings.TrimSpace(body) != "null" {
		t.Errorf("before the first run: %s", body)
	}
	s.steps = sampleFindings
	r := s.do(ann, "POST", "/api/access/check", "application/json", `{"outside":"boss@acme.example","stranger":true,"mailboxes":["ann@acme.example"]}`)
	lines := strings.Split(strings.TrimSpace(text(t, r)), "\n")
	if len(lines) != len(sampleFindings) || len(s.checked) != 1 || len(s.checked[0].Boxes) != 1 {
		t.Fatalf("%d lines, tried %+v", len(lines), s.checked)
	}
	var red StepJSON
	if err := json.Unmarshal([]byte(lines[2]), &red); err != nil || red.State != "bad" || red.Code != "must-fail-mailbox" || red.Fault != "wider-than-needed" ||
		red.For != crm.ForExchangeAdmin || red.Page != "/access/check/wider-than-needed" || !strings.Contains(red.Fix, "Set-Management") {
		t.Errorf("%v %+v", err, red)
	}
	var run CheckJSON
	if err := json.Unmarshal([]byte(text(t, s.get(ann, "/api/access/check"))), &run); err != nil || run.Red != 1 || run.Warnings != 1 || len(run.Steps) != 4 || run.Outside != "boss@acme.example" {
		t.Errorf("%v %+v", err, run)
	}
	if r := s.do(ann, "POST", "/api/access/check", "application/json", `{"outside":"nobody"}`); r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a malformed address: status %d", r.StatusCode)
	}
	var about struct{ Title, Text string }
	if err := json.Unmarshal([]byte(text(t, s.get(ann, "/api/access/check/wider-than-needed"))), &about); err != nil || about.Title == "" || about.Text == "" {
		t.Errorf("%v %+v", err, about)
	}
}

// TestEachCodeHasItsPage shows one, and nothing that is none.
func TestEachCodeHasItsPage(t *testing.T) {
	s := newSite(t)
	s.expect(ann, "/access/check/ews-blocked", `<h1>Exchange closes EWS|<code>EwsEnabled</code>|<code class="command">Get-OrganizationConfig`, "```")
	for _, path := range []string{"/access/check/nothing", "/access/check/..%2ferrors", "/access/check/dns.md"} {
		if r := s.get(ann, path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", path, r.StatusCode)
		}
	}
}

// TestFindTheServer puts what was found into the form and saves nothing; where the search
// ends at a host that is to be confirmed, it has the button for that.
func TestFindTheServer(t *testing.T) {
	s := newSite(t)
	s.steps = []crm.Finding{{Code: "autodiscover-hop", Step: "POX https://acme.example/", OK: true, Detail: "found"}}
	s.found = "https://mail.acme.example/EWS/Exchange.asmx"
	form := filledForm()
	form.Set("server", "")
	form.Set("do", "find")
	body := text(t, s.post(ann, settingsPath, form.Encode()))
	for _, word := range []string{`value="https://mail.acme.example/EWS/Exchange.asmx"`, "POX https://acme.example/", "Test it, then save", "For ann@acme.example"} {
		if !strings.Contains(body, word) {
			t.Errorf("the page lacks %q\n%s", word, content(body))
		}
	}
	if s.settings().Server != "" || len(s.sought) != 1 || !strings.HasPrefix(s.sought[0], "ann@acme.example by ") {
		t.Errorf("saved %q, sought %v", s.settings().Server, s.sought)
	}
	s.found, s.lost = "mail.hoster.test", &crm.Fault{Code: "autodiscover-confirm", Message: "It leads to mail.hoster.test.", Advice: "Confirm it."}
	body = text(t, s.post(ann, settingsPath, form.Encode()))
	if !strings.Contains(body, `value="confirm mail.hoster.test"`) || strings.Contains(body, `value="mail.hoster.test"`) {
		t.Errorf("nothing to confirm with:\n%s", content(body))
	}
	form.Set("do", "confirm mail.hoster.test")
	s.post(ann, settingsPath, form.Encode())
	if n := len(s.sought); n != 3 || !strings.HasSuffix(s.sought[2], " mail.hoster.test") {
		t.Errorf("sought %v", s.sought)
	}
}

// TestFindSendsNoKeptPasswordElsewhere: for another domain than those it was saved with,
// and to a host that is confirmed, the password is to be typed.
func TestFindSendsNoKeptPasswordElsewhere(t *testing.T) {
	s := newSite(t)
	s.found = "https://mail.acme.example/EWS/Exchange.asmx"
	saved := settingsJSON{Enabled: true, Server: "mail.acme.example", Version: "2019", accountJSON: accountJSON{Login: "svc", Password: "p"}, Domains: []string{"acme.example"}, UserAgent: "Acme/1"}
	s.putSettings(ann, saved)
	for _, tt := range []struct {
		name    string
		change  func(*settingsJSON)
		confirm string
		status  int
	}{
		{"as it was saved", func(*settingsJSON) {}, "", 200},
		{"another domain", func(j *settingsJSON) { j.Domains = []string{"other.example"} }, "", 422},
		{"another server", func(j *settingsJSON) { j.Server = "mail.evil.test" }, "", 422},
		{"a host confirmed", func(*settingsJSON) {}, "mail.evil.test", 422},
		{"a host confirmed, and typed", func(j *settingsJSON) { j.Password = "typed" }, "mail.hoster.test", 200},
		{"no host confirmed", func(j *settingsJSON) { j.Password = "typed" }, "https://svc:CANARY@mail.hoster.test", 422},
		{"nobody there", func(j *settingsJSON) { j.Domains = []string{"nobody.example"} }, "", 422},
		{"no domain", func(j *settingsJSON) { j.Domains = nil }, "", 422},
	} {
		j := saved
		j.Password = ""
		tt.change(&j)
		body, _ := json.Marshal(struct {
			settingsJSON
			Confirm string `json:"confirm"`
		}{j, tt.confirm})
		before := len(s.sought)
		r := s.do(ann, "POST", "/api/settings/find", "application/json", string(body))
		answer := text(t, r)
		if r.StatusCode != tt.status || (len(s.sought) > before) != (tt.status == 200) || strings.Contains(answer, "CANARY") {
			t.Errorf("%s: status %d, sought %v: %s", tt.name, r.StatusCode, s.sought[before:], answer)
		}
	}
}
