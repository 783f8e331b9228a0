package web

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/store"
)

// sampleScripts stand for a connector's: they name what is typed.
func sampleScripts(p crm.Permit) []crm.Script {
	var list []crm.Script
	for _, name := range []string{"inventory", "grant", "user-agent", "ews-enabled", "verify", "undo"} {
		list = append(list, crm.Script{Name: name, Title: "The " + name, Says: "Does the " + name + ".", Reads: name == "inventory" || name == "verify",
			Text: fmt.Sprintf("# %s for %s\n$accounts = '%s'\n$group = '%s'\n$mailboxes = %q\n$apps = %q\n", name, p.Settings.Version, p.Settings.Login, p.Group, p.Policy.Allow, p.AppIDs)})
	}
	return list
}

var linkIn = regexp.MustCompile(`/share/[A-Z0-9]{26,}`)

// share makes a link, as an administrator does, and returns its path.
func (s *site) share() string {
	s.Helper()
	page := text(s.T, s.post(ann, exchangePath+"/share", url.Values{"days": {"7"}, "version": {"2019"}}.Encode()))
	link := linkIn.FindString(page)
	if link == "" {
		s.Fatalf("no link: %s", page)
	}
	return link
}

// The link stands on top, and its page can be loaded again.
func TestLinkIsSeenAndReloaded(t *testing.T) {
	s := newFilledSite(t)
	page := text(t, s.post(ann, exchangePath+"/share", url.Values{"days": {"7"}, "version": {"2019"}}.Encode()))
	if link := linkIn.FindStringIndex(page); link == nil || link[0] > strings.Index(page, "Decide first") {
		t.Errorf("the link stands at %v of %d", link, len(page))
	}
	s.expect(ann, exchangePath, "<small>Exchange 2019</small>", "<small>2019</small>")
	for _, path := range []string{"/share", "/decide", "/revoke"} {
		if r := s.get(ann, exchangePath+path); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != exchangePath {
			t.Errorf("%s loaded again: %d, to %s", path, r.StatusCode, r.Header.Get("Location"))
		}
	}
}

// No script is offered before it is known for which version.
func TestNoVersionNoScripts(t *testing.T) {
	s := newSite(t)
	s.expect(ann, exchangePath, "Choose…|Choose the version of Exchange that the scripts are to be for.", "The inventory|Make a link")
	s.expect(ann, exchangePath+"?version=2019", "1. The inventory|Make a link", "Choose…")
	if r := s.get(ann, exchangePath+"/grant.ps1"); r.StatusCode != http.StatusNotFound {
		t.Errorf("a script for no version: %d", r.StatusCode)
	}
	if r := s.post(ann, exchangePath+"/share", "days=7"); r.StatusCode != http.StatusUnprocessableEntity || linkIn.MatchString(text(t, r)) {
		t.Errorf("a link to nothing: %d", r.StatusCode)
	}
	if r := s.do(ann, "POST", "/api"+exchangePath+"/shares", "application/json", "{}"); r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("the same by the API: %d", r.StatusCode)
	}
}

// Where no address is prescribed, nothing is to be done at the firewall, nor is it done.
func TestNoAddressNoFirewallStep(t *testing.T) {
	s := newFilledSite(t)
	if _, err := s.org.SaveCheck(t.Context(), store.Check{Began: s.now, Findings: []crm.Finding{{Code: "connection", OK: true, Detail: "open"}}}); err != nil {
		t.Fatal(err)
	}
	s.expect(ann, exchangePath, "No address is prescribed", `id="state-firewall"`)
	if err := s.org.SaveEgress(t.Context(), crm.Egress{Addresses: []crm.EgressAddress{{Local: netip.MustParseAddr("192.0.2.7")}}}); err != nil {
		t.Fatal(err)
	}
	s.expect(ann, exchangePath, `id="state-firewall"|192.0.2.7`, "No address is prescribed")
}

func TestExchangePage(t *testing.T) {
	s := newFilledSite(t)
	s.expect(ann, exchangePath, "1. The inventory|2. Firewall|3. The grant|6. The verify|# grant for 2019|Not checked yet.|ann@acme.example|bob@acme.example", "zed@other.example|hidden-password")
	s.expect(ann, exchangePath+"?version=2007", "# grant for 2007", "for 2019")
	s.expect(ann, exchangePath+"?version=%3Cscript%3E1&app=%22%3E%3Cscript%3E1", "# grant for 2019", "<script>1")
	if r := s.get(bob, exchangePath); r.StatusCode != http.StatusForbidden {
		t.Errorf("for a user: %d", r.StatusCode)
	}
	r := s.get(ann, exchangePath+"/grant.ps1?version=2007")
	if body := text(t, r); !strings.HasPrefix(body, "\ufeff# grant for 2007") || r.Header.Get("Content-Disposition") != `attachment; filename="postern-grant.ps1"` {
		t.Errorf("the file: %q, %v", body, r.Header)
	}
	if r := s.get(ann, exchangePath+"/nothing.ps1"); r.StatusCode != http.StatusNotFound {
		t.Errorf("no such script: %d", r.StatusCode)
	}
	s.expect(ann, "/api"+exchangePath, `"name":"grant"|"state":"skip"|"decided":false|"shares":[]`, "hidden-password")
}

// What a check has found stands at the step that it is about.
func TestExchangeStepsFollowTheCheck(t *testing.T) {
	red := func(step, code string) crm.Finding {
		return crm.Finding{Code: step, Fault: &crm.Fault{Code: code, Message: "Trouble " + code + "."}}
	}
	good := func(step string) crm.Finding { return crm.Finding{Code: step, OK: true, Detail: step + " is well"} }
	untried := func(step string) crm.Finding { return crm.Finding{Code: step, Skip: true, Detail: "not shown"} }
	noSuch := crm.Finding{Code: "must-fail-mailbox", OK: true, Warn: true, Detail: "not shown: there is no such mailbox", Fault: &crm.Fault{Code: "ErrorNonExistentMailbox"}}
	for _, c := range []struct {
		findings []crm.Finding
		want     string
	}{
		{nil, "firewall skip, grant skip, user-agent skip, ews-enabled skip, verify skip"},
		{[]crm.Finding{good("connection"), good("logon"), good("mailbox")}, "firewall ok, grant skip, user-agent skip, ews-enabled skip, verify skip"},
		{[]crm.Finding{good("connection"), good("logon"), good("mailbox"), untried("must-fail-mailbox"), untried("must-fail-agent")}, "firewall ok, grant skip, user-agent skip, ews-enabled skip, verify skip"},
		{[]crm.Finding{good("connection"), good("logon"), good("mailbox"), good("must-fail-mailbox"), untried("must-fail-agent")}, "firewall ok, grant ok, user-agent skip, ews-enabled skip, verify skip"},
		{[]crm.Finding{good("connection"), good("logon"), good("mailbox"), untried("must-fail-mailbox"), good("must-fail-agent")}, "firewall ok, grant skip, user-agent ok, ews-enabled skip, verify skip"},
		{[]crm.Finding{good("logon"), good("mailbox"), noSuch, good("must-fail-agent")}, "firewall skip, grant skip, user-agent ok, ews-enabled skip, verify skip"},
		{[]crm.Finding{good("must-fail-mailbox"), good("must-fail-agent")}, "firewall skip, grant skip, user-agent skip, ews-enabled skip, verify skip"},
		{[]crm.Finding{good("connection"), good("logon"), good("mailbox"), good("must-fail-mailbox"), good("must-fail-agent")}, "firewall ok, grant ok, user-agent ok, ews-enabled skip, verify ok"},
		{[]crm.Finding{red("connection", "port-closed"), untried("logon")}, "firewall bad, grant skip, user-agent skip, ews-enabled skip, verify bad"},
		{[]crm.Finding{good("connection"), red("logon", "agent-blocked")}, "firewall ok, grant skip, user-agent bad, ews-enabled skip, verify bad"},
		{[]crm.Finding{good("connection"), red("logon", "ews-forbidden")}, "firewall ok, grant skip, user-agent skip, ews-enabled bad, verify bad"},
		{[]crm.Finding{good("logon"), good("mailbox"), red("mailbox", "ErrorImpersonateUserDenied")}, "firewall skip, grant bad, user-agent skip, ews-enabled skip, verify bad"},
		{[]crm.Finding{good("logon"), good("mailbox"), red("must-fail-mailbox", "wider-than-needed"), good("must-fail-agent")}, "firewall skip, grant bad, user-agent ok, ews-enabled skip, verify bad"},
	} {
		var got []string
		for _, name := range []string{"firewall", "grant", "user-agent", "ews-enabled", "verify"} {
			state, told := stepStanding(name, &store.Check{Findings: c.findings})
			if told == "" {
				t.Errorf("%s: nothing is told", name)
			}
			got = append(got, name+" "+state)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%v: got %s, want %s", c.findings, strings.Join(got, ", "), c.want)
		}
	}
}

// What is done says the refusal that shows it; what is not says what to try.
func TestExchangeStepsSayTheRefusal(t *testing.T) {
	s := newFilledSite(t)
	run := func(probe crm.Finding) {
		t.Helper()
		if _, err := s.org.SaveCheck(t.Context(), store.Check{Began: s.now, Findings: []crm.Finding{{Code: "logon", OK: true, Detail: "NTLM"}, {Code: "mailbox", OK: true, Detail: "opened"}, probe}}); err != nil {
			t.Fatal(err)
		}
		s.now = s.now.Add(time.Minute)
	}
	const open = "Mailboxes open. Not shown that others are refused: no mailbox was named."
	link := s.share()
	run(crm.Finding{Code: "must-fail-mailbox", Skip: true, Detail: "not shown: no mailbox was named"})
	for _, path := range []string{exchangePath, link} {
		s.expect(ann, path, open, "done</span>")
	}
	s.expect(ann, exchangePath, open+` <a class="link" href="/access/check">`, "")
	run(crm.Finding{Code: "must-fail-mailbox", OK: true, Warn: true, Detail: "not shown: there is no such mailbox", Fault: &crm.Fault{Code: "ErrorNonExistentMailbox", Message: "Exchange knows no mailbox zed@acme.example."}})
	for _, path := range []string{exchangePath, link} {
		s.expect(ann, path, "Not shown that others are refused: Exchange knows no mailbox zed@acme.example.", open+"|done</span>")
	}
	run(crm.Finding{Code: "must-fail-mailbox", OK: true, Detail: "Exchange refuses zed@acme.example (ErrorImpersonateUserDenied)"})
	for _, path := range []string{exchangePath, link} {
		s.expect(ann, path, "Exchange refuses zed@acme.example|done</span>", open)
	}
}

// The decisions are taken in their order, and each stands in the audit log.
func TestDecisionsInOrder(t *testing.T) {
	s := newFilledSite(t)
	decide := func(name, value string) int {
		t.Helper()
		return s.post(ann, exchangePath+"/decide", url.Values{"name": {name}, "value": {value}}.Encode()).StatusCode
	}
	list, err := s.server.decisions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status := decide("model", list[3].Value); status != http.StatusConflict {
		t.Errorf("the last one first: %d", status)
	}
	if status := decide("deployment", "something else"); status != http.StatusConflict {
		t.Errorf("what was not shown: %d", status)
	}
	if status := decide("nothing", ""); status != http.StatusBadRequest {
		t.Errorf("no decision: %d", status)
	}
	for _, d := range list {
		if status := decide(d.Name, d.Value); status != http.StatusSeeOther {
			t.Errorf("%s: %d", d.Name, status)
		}
	}
	var told []string
	for _, e := range s.auditLog() {
		if e.Action == decideAction {
			told = append(told, e.Subject)
			if e.Detail == "" || !strings.Contains(e.Actor, "Ann Archer") {
				t.Errorf("%+v", e)
			}
		}
	}
	if got := strings.Join(told, " "); got != "model user-agent addresses deployment" && got != "deployment addresses user-agent model" {
		t.Errorf("the audit log has %s", got)
	}
	settings := s.settings()
	settings.UserAgent = "Another/2"
	if err := s.org.SaveSettings(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	s.expect(ann, exchangePath, "Another/2|It was decided otherwise by Ann Archer", "")
}

// A link shows the steps and nothing else, to whoever has it, as long as it holds.
func TestSharedPageShowsNothingElse(t *testing.T) {
	s := newFilledSite(t)
	link := s.share()
	never := "My Emails|Only for Bob|marmalade|Cyn|Ann Archer|hidden-password|zed@other.example|sign-out|/access/|/users"
	for _, who := range []string{"", bob, ann} {
		s.expect(who, link, "Access to Exchange|<dd>acme.example</dd>|mail.acme.example · Exchange 2019|1. The inventory|# grant for 2019|ann@acme.example|This link holds until", never)
	}
	r := s.get("", link)
	if r.Header.Get("Referrer-Policy") != "no-referrer" || r.Header.Get("X-Robots-Tag") == "" || r.Header.Get("Cache-Control") != "no-store" || len(r.Cookies()) > 0 {
		t.Errorf("headers: %v", r.Header)
	}
	if body := text(t, s.get("", link+"/undo.ps1")); !strings.HasPrefix(body, "\ufeff# undo for 2019") {
		t.Errorf("the script: %q", body)
	}
	for _, other := range []string{"/share/", "/share/AAAAAAAAAAAAAAAAAAAAAAAAAA", link[:len(link)-1], link + "/..%2f..%2f", link + "/nothing.ps1"} {
		if r := s.get("", other); r.StatusCode == http.StatusOK || strings.Contains(text(t, r), "grant") {
			t.Errorf("%s: %d", other, r.StatusCode)
		}
	}
	if r := s.do("", "POST", link, "application/x-www-form-urlencoded", "days=7"); r.StatusCode == http.StatusOK {
		t.Error("something can be sent to a link")
	}
	s.now = s.now.Add(7 * 24 * time.Hour)
	if r := s.get("", link); r.StatusCode != http.StatusNotFound {
		t.Errorf("after a week: %d", r.StatusCode)
	}
	clear(s.cookies) // a session has ended, too
	again := s.share()
	if r := s.post(ann, exchangePath+"/revoke", "id=2"); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("revoke: %d", r.StatusCode)
	}
	if r := s.get("", again); r.StatusCode != http.StatusNotFound {
		t.Errorf("revoked: %d", r.StatusCode)
	}
	for _, path := range []string{"/share", "/revoke", "/decide"} {
		if r := s.post(bob, exchangePath+path, "days=7&id=1"); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s by a user: %d", path, r.StatusCode)
		}
	}
}

// A shared page turns green by itself: while somebody looks, what is red is checked again,
// once a minute at most, and never when it was the password.
func TestSharedPageTurnsGreen(t *testing.T) {
	s := newFilledSite(t)
	link := s.share()
	look := func(header ...string) string { return text(t, s.do("", "GET", link, "", "", header...)) }
	chip := func(page string) string {
		return regexp.MustCompile(`id="state-grant" data-live><span class="chip( ok| bad|)"`).FindStringSubmatch(page)[1]
	}
	refresh := []string{refreshHeader, "1"}
	look(refresh...)
	if len(s.checked) != 0 {
		t.Fatal("a check that nobody ran was run by a link")
	}
	run := func(f crm.Finding) {
		t.Helper()
		if _, err := s.org.SaveCheck(t.Context(), store.Check{Began: s.now, Findings: []crm.Finding{f}}); err != nil {
			t.Fatal(err)
		}
	}
	run(crm.Finding{Code: "mailbox", Fault: &crm.Fault{Verdict: crm.Refused, Code: "ErrorImpersonateUserDenied", Message: "May not act for it."}})
	if got := chip(look(refresh...)); got != " bad" || len(s.checked) != 0 {
		t.Errorf("at once: %q, %d checks", got, len(s.checked))
	}
	s.now = s.now.Add(2 * checkEvery)
	s.steps = []crm.Finding{{Code: "mailbox", OK: true, Detail: "opened"}, {Code: "must-fail-mailbox", OK: true, Detail: "Exchange refuses another"}}
	if got := chip(look()); got != " bad" || len(s.checked) != 0 {
		t.Errorf("the page is not what checks: %q, %d checks", got, len(s.checked))
	}
	if got := chip(look(refresh...)); got != " ok" || len(s.checked) != 1 {
		t.Errorf("after a while: %q, %d checks", got, len(s.checked))
	}
	s.now = s.now.Add(2 * checkEvery)
	if look(refresh...); len(s.checked) != 1 {
		t.Error("what is green is checked again")
	}
	run(crm.Finding{Code: "logon", Fault: &crm.Fault{Verdict: crm.Reauth, Code: "password-refused", Message: "Refused."}})
	s.now = s.now.Add(2 * checkEvery)
	if look(refresh...); len(s.checked) != 1 {
		t.Error("a refused password is tried again because a page is open")
	}
}
