package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// newGuardedSite returns a filled site that asks for four eyes: Ann and Bob are its
// administrators.
func newGuardedSite(t *testing.T) *site {
	t.Helper()
	s := newFilledSite(t)
	s.fourEyes()
	return s
}

// fourEyes makes Ann and Bob administrators who can sign in, and asks for four eyes.
func (s *site) fourEyes() {
	s.Helper()
	s.admin(bob, true)
	for _, name := range []string{"Ann", "Bob"} {
		if err := s.org.SetPassword(s.Context(), s.user(name).ID, "hash"); err != nil {
			s.Fatal(err)
		}
	}
	if err := s.org.SetFourEyes(s.Context(), true); err != nil {
		s.Fatal(err)
	}
}

// admin makes a user an administrator, or takes that away, by a command.
func (s *site) admin(address string, admin bool) {
	s.Helper()
	u, _, err := s.org.SignIn(s.Context(), mail.Address(address))
	if err != nil {
		s.Fatal(err)
	}
	u.Admin = admin
	if _, err := s.org.SaveUsers(s.Context(), []crm.User{*u}); err != nil {
		s.Fatal(err)
	}
	delete(s.cookies, address)
}

// answers sends a request and checks what comes of it; words are separated by |.
func (s *site) answers(who, method, path, body string, status int, words string) {
	s.Helper()
	kind := formType
	if strings.HasPrefix(path, "/api/") {
		kind = "application/json"
	}
	r := s.do(who, method, path, kind, body)
	answer := text(s.T, r)
	for word := range strings.SplitSeq(words, "|") {
		if !strings.Contains(answer, word) {
			s.Errorf("%s %s by %q: %q is missing in\n%s", method, path, who, word, content(answer))
		}
	}
	if r.StatusCode != status {
		s.Errorf("%s %s by %q: status %d, want %d\n%s", method, path, who, r.StatusCode, status, content(answer))
	}
}

// TestWideningIsProposedOnThePage: the form proposes instead of saving, the author cannot
// approve, another administrator can, once.
func TestWideningIsProposedOnThePage(t *testing.T) {
	s := newGuardedSite(t)
	form := s.policyPage(url.Values{"domains": {"acme.example\nother.example"}, "do": {"show"}})
	body := text(t, s.post(ann, "/access/policy", form.Encode()))
	if !strings.Contains(body, "Propose version 2") || !strings.Contains(body, "waits until somebody else approves it") {
		t.Errorf("the dry run: %s", content(body))
	}
	form.Set("seen", seenField.FindStringSubmatch(body)[1])
	form.Set("do", "save")
	for range 2 { // a form that is sent again proposes nothing new
		r := s.post(ann, "/access/policy", form.Encode())
		if to := r.Header.Get("Location"); r.StatusCode != http.StatusSeeOther || to != "/access/policy/proposals/1?made=1" {
			t.Fatalf("status %d, led to %q", r.StatusCode, to)
		}
	}
	if p, err := s.org.Policy(t.Context()); err != nil || p.Version != 1 {
		t.Fatalf("version %d was saved alone, %v", p.Version, err)
	}
	one := "/access/policy/proposals/1"
	s.expect(ann, one+"?made=1", "Nothing was changed yet|You made it|Withdraw|mailbox comes|zed@other.example|policy approve 1", `value="approve"`)
	s.expect(bob, one, "Made|Ann Archer|+ other.example|Approve|Reject", "Nothing was changed yet|You made it")
	s.expect(bob, "/mailboxes", "1 change that widens access|waits for a second person|/access/policy#waiting", "")
	s.expect(bob, "/access/policy", "Waiting for a second person|1: Policy|<span class=\"gist\">version 2; domains: &#43; other.example|Four eyes", "")
	for _, who := range []string{ann, bob} {
		s.expect(who, one, "What it changes", "that widens access</b>") // the banner leads to where they are
	}

	s.answers(ann, "POST", one, "do=approve", http.StatusForbidden, "You proposed proposal 1 yourself|four-eyes-same-person")
	delete(s.cookies, ann)
	s.answers(ann, "POST", one, "do=approve", http.StatusForbidden, "four-eyes-same-person") // signed in anew
	s.answers(ann, "POST", "/api"+one+"/approve", "", http.StatusForbidden, "four-eyes-same-person")
	for _, path := range []string{one, "/api" + one + "/approve", "/api" + one + "/reject", "/access/policy/four-eyes"} {
		s.answers(zed, "POST", path, "do=approve&set=off", http.StatusForbidden, "")
	}
	s.answers("", "POST", one, "do=approve", http.StatusSeeOther, "")
	s.answers(bob, "POST", one, "do=else", http.StatusBadRequest, "")
	s.answers(bob, "POST", "/access/policy/proposals/9", "do=approve", http.StatusNotFound, "")
	if r := s.do(bob, "POST", one, formType, "do=approve", "Sec-Fetch-Site", "cross-site"); r.StatusCode != http.StatusForbidden {
		t.Errorf("from another site: status %d", r.StatusCode)
	}
	if p, err := s.org.Policy(t.Context()); err != nil || p.Version != 1 {
		t.Fatalf("version %d was saved by nobody who may, %v", p.Version, err)
	}

	s.answers(bob, "POST", one, "do=approve", http.StatusSeeOther, "")
	for range 2 {
		s.answers(bob, "POST", one, "do=approve", http.StatusConflict, "Proposal 1 is approved already|proposal-closed")
	}
	p, err := s.org.Policy(t.Context())
	if err != nil || p.Version != 2 || len(p.Domains) != 2 || p.By != "Ann Archer <ann@acme.example>, approved by Bob Baker <bob@acme.example>" {
		t.Errorf("saved: %+v, %v", p, err)
	}
	s.expect(bob, one, "Policy saved version 2|Domains: + other.example", "domains: +")
	s.expect(bob, one, "Approved|and done", `value="reject"|waits for a second person`)
	s.expect(bob, "/access/policy", "1 earlier proposal", "Waiting for a second person")
	s.expect(bob, "/access/audit", "Change proposed|Proposal approved", "")
	s.expect(bob, "/access/evidence", "On since|turned on by|2 administrators can sign in|approved", "")
	s.expect(bob, "/api/access/evidence", `"four_eyes":{"on":true|"state":"approved"`, "")
}

// TestWideningByTheAPIIsAccepted: whatever is saved by the API waits in the same way, and
// nothing that narrows does.
func TestWideningByTheAPIIsAccepted(t *testing.T) {
	s := newGuardedSite(t)
	policy, err := s.org.Policy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send := func(change func(*crm.Policy)) string {
		p := policy
		change(&p)
		body, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	settings := `{"enabled":true,"server":"elsewhere.acme.example","version":"2019","login":"ACME\\svc","password":"an0ther-passw0rd","domains":["acme.example"],"user_agent":"Postern/1"}`
	for i, c := range []struct{ path, body, kind string }{
		{"/api/access/policy", send(func(p *crm.Policy) { p.Domains = []string{"acme.example", "other.example"} }), "policy"},
		{"/api/settings", settings, "settings"},
		{"/api/access/addresses", `{"addresses":[],"proxy":"http://proxy.example:3128"}`, "egress"},
		{"/api/access/log/retention", `{"days":30}`, "retention"},
		{"/api/access/policy/four-eyes", `{"on":false}`, "four-eyes"},
	} {
		n := itoa(int64(i + 1))
		s.answers(ann, "PUT", c.path, c.body, http.StatusAccepted, `"id":`+n+`,"kind":"`+c.kind+`","state":"waiting"`)
		s.answers(ann, "PUT", c.path, c.body, http.StatusAccepted, `"id":`+n)
		s.expect(bob, "/api/access/policy/proposals/"+n, `"proposed_by":"Ann Archer`, "passw0rd")
		s.expect(bob, "/access/policy/proposals/"+n, "Ann Archer", "passw0rd")
	}
	s.expect(bob, "/api/access/policy/proposals", `"id":5,"kind":"four-eyes"`, `"state":"approved"`)
	s.answers(bob, "GET", "/api/access/policy/proposals/1", "", http.StatusOK, `"comes":["zed@other.example"]`)
	s.answers(bob, "POST", "/api/access/policy/proposals/3/reject", "", http.StatusOK, `"state":"rejected"`)
	s.answers(bob, "POST", "/api/access/policy/proposals/3/approve", "", http.StatusConflict, "proposal-closed")
	s.answers(ann, "POST", "/api/access/policy/proposals/4/reject", "", http.StatusOK, `"state":"withdrawn"`)
	s.answers(bob, "POST", "/api/access/policy/proposals/2/approve", "", http.StatusOK, `"state":"approved"`)
	if kept, _, err := s.org.Settings(t.Context()); err != nil || kept.Server != "elsewhere.acme.example" || kept.Password.Reveal() != "an0ther-passw0rd" {
		t.Errorf("the settings after the approval: %v, %v", kept, err)
	}

	s.answers(ann, "PUT", "/api/access/policy", send(func(p *crm.Policy) { p.Deny = []crm.Selector{bob} }), http.StatusOK, `"version":2`)
	s.answers(bob, "GET", "/api/access/policy/proposals/1", "", http.StatusOK, `"outdated":true`)
	s.expect(bob, "/access/policy/proposals/1", "It is stale", `value="approve"`)
	s.answers(bob, "POST", "/api/access/policy/proposals/1/approve", "", http.StatusConflict, "proposal-stale")
	s.expect(bob, "/access/policy/proposals/1", "had become another", `value="approve"`)

	s.now = s.now.Add(store.ProposalTerm)
	clear(s.cookies)
	s.expect(bob, "/access/policy/proposals/5", "Nobody decided in time", `value="approve"`)
	s.answers(bob, "POST", "/access/policy/proposals/5", "do=approve", http.StatusConflict, "proposal-closed|has expired")
	s.answers(bob, "GET", "/api/access/policy/four-eyes", "", http.StatusOK, `"on":true|"administrators":2`)
}

// TestFourEyesOnThePage: it is off until two administrators can sign in; who is left alone
// is told what to do.
func TestFourEyesOnThePage(t *testing.T) {
	s := newFilledSite(t)
	if err := s.org.SetPassword(t.Context(), s.user("Ann").ID, "hash"); err != nil {
		t.Fatal(err)
	}
	s.expect(ann, "/access/policy", "Four eyes|there is one|disabled", "Turn off")
	s.answers(ann, "POST", "/access/policy/four-eyes", "set=on", http.StatusConflict, "four-eyes-one-administrator|two administrators who can sign in")
	s.answers(ann, "POST", "/access/policy/four-eyes", "set=perhaps", http.StatusBadRequest, "")
	s.answers(ann, "PUT", "/api/access/policy/four-eyes", `{"on":true}`, http.StatusConflict, "four-eyes-one-administrator")
	s.admin(bob, true)
	if err := s.org.SetPassword(t.Context(), s.user("Bob").ID, "hash"); err != nil {
		t.Fatal(err)
	}
	s.answers(ann, "POST", "/access/policy/four-eyes", "set=on", http.StatusSeeOther, "")
	s.expect(ann, "/access/policy", "turned on by Ann Archer|which a second person approves", "is left who can sign in")

	// Who could set the other's password could approve in that name.
	s.answers(ann, "POST", "/users/"+itoa(int64(s.user("Bob").ID))+"/password", "password=correct+horse", http.StatusForbidden, "four-eyes-password|postern users password")
	s.answers(ann, "POST", "/users/"+itoa(int64(s.user("Ann").ID))+"/password", "password=correct+horse", http.StatusSeeOther, "")
	delete(s.cookies, ann)

	s.admin(bob, false)
	s.answers(ann, "POST", "/access/policy/four-eyes", "set=off", http.StatusSeeOther, "")
	s.expect(ann, "/access/policy", "Four eyes|One administrator is left who can sign in|postern policy approve", "")
	s.expect(ann, "/access/policy/proposals/1", "you are the only administrator who can sign in|postern policy approve 1|one person may widen access alone", `value="approve"`)
	if err := s.org.Approve(crm.WithOperator(t.Context(), "command line (root)"), 1); err != nil {
		t.Fatal(err)
	}
	s.expect(ann, "/access/policy", "Turn on", "turned on by")
}

// TestExportsUnderFourEyes: who looks after security needs the logs; they are handed out at
// once, and it is written down.
func TestExportsUnderFourEyes(t *testing.T) {
	s := newGuardedSite(t)
	for path, action := range map[string]string{
		"/access/audit.csv": "audit-log.export", "/access/audit.json": "audit-log.export",
		"/access/log.csv": "access-log.export", "/access/log.json": "access-log.export", "/access/evidence.html": "evidence.export",
	} {
		_, before, err := s.org.AuditLog(t.Context(), store.AuditQuery{Action: action})
		if err != nil {
			t.Fatal(err)
		}
		s.answers(ann, "GET", path, "", http.StatusOK, "")
		list, after, err := s.org.AuditLog(t.Context(), store.AuditQuery{Action: action})
		if err != nil || after != before+1 || !strings.HasPrefix(list[0].Actor, "Ann Archer") || !list[0].At.Equal(sampleNow.Truncate(time.Microsecond)) {
			t.Errorf("%s: %d entries %s before, %d after: %+v, %v", path, before, action, after, list, err)
		}
	}
	if n, err := s.org.WaitingProposals(t.Context()); err != nil || n != 0 {
		t.Errorf("%d wait, %v", n, err)
	}
}

// TestPagesSayWhatWaits: on the page that a proposal would change, it is said that it waits.
func TestPagesSayWhatWaits(t *testing.T) {
	s := newGuardedSite(t)
	s.expect(ann, addressesPath, "Change", "Not in force yet")
	s.answers(ann, "POST", addressesPath, url.Values{"proxy": {"http://proxy.acme.example:3128"}, "do": {"save"}}.Encode(), http.StatusSeeOther, "")
	s.expect(ann, addressesPath, "Not in force yet|/access/policy/proposals/1|proxy: none → http://proxy.acme.example:3128", "")
	form := filledForm()
	form.Set("server", "other.acme.example")
	s.answers(ann, "POST", settingsPath, form.Encode(), http.StatusSeeOther, "")
	s.expect(bob, settingsPath, "Not in force yet|/access/policy/proposals/2|other.acme.example", "proposals/1")
	byAnn := crm.WithUser(t.Context(), &crm.User{ID: s.user("Ann").ID, Name: "Ann Archer"})
	cyd := crm.User{Name: "Cyd", Active: true, Addresses: []mail.Address{"cyd@acme.example"}}
	if _, err := s.org.SaveUsers(byAnn, []crm.User{cyd}); err == nil {
		t.Fatal("a user was added by one person")
	}
	s.expect(bob, "/users", "Not in force yet|/access/policy/proposals/3|cyd@acme.example", "")
	s.expect(zed, "/users", "Users", "Not in force yet")
	s.answers(bob, "POST", "/access/policy/proposals/1", "do=approve", http.StatusSeeOther, "")
	s.expect(ann, addressesPath, "proxy.acme.example", "Not in force yet")
}
