package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/report"
	"postern/store"
)

// sampleEvidence gathers the evidence of a site whose connector sends two operations.
func (s *site) sampleEvidence() *report.Evidence {
	s.Helper()
	e, err := report.Gather(s.Context(), s.org, s.server.Connector, sampleNow)
	if err != nil {
		s.Fatal(err)
	}
	return e
}

func (s *site) record(list ...crm.Access) {
	s.Helper()
	w := s.org.AccessWriter()
	for _, a := range list {
		w.Record(a)
	}
	if err := w.Close(); err != nil {
		s.Fatal(err)
	}
}

// asked is a request as the settings of the sample have it.
func asked(change func(*crm.Access)) crm.Access {
	a := crm.Access{At: sampleNow.Add(time.Minute), Mailbox: ann, Operation: "GetItem", UserAgent: "Postern/1", Source: "192.0.2.7:50123", Host: "mail.acme.example", Account: `ACME\svc`, Status: 200}
	change(&a)
	return a
}

func TestEvidence(t *testing.T) {
	s := newFilledSite(t)
	s.server.Connector.Operations = []crm.Operation{{Name: "GetItem", Purpose: "Fetches headers.", Reads: true}, {Name: "Subscribe", Purpose: "Asks to be told.", Reads: true}}
	s.record(asked(func(*crm.Access) {}), asked(func(a *crm.Access) { a.Mailbox = bob }))
	e := s.sampleEvidence()
	if e.Differences != 0 {
		t.Errorf("differences in what is as it should be: %+v", e)
	}
	if len(e.In) != 2 || e.In[0].Address != ann || e.In[0].Rule != "all of the domain acme.example" || e.In[0].Day.IsZero() {
		t.Errorf("in: %+v", e.In)
	}
	if len(e.Out) != 1 || e.Out[0].Address != zed || e.Out[0].Code != "domain-not-allowed" {
		t.Errorf("out: %+v", e.Out)
	}
	if len(e.Operations) != 2 || e.Operations[0].Requests != 2 || e.Operations[1].Requests != 0 {
		t.Errorf("operations: %+v", e.Operations)
	}
	if !e.Audit.OK || e.Audit.Entries == 0 {
		t.Errorf("audit: %+v", e.Audit)
	}
	s.expect(ann, "/access/evidence", "no difference|Postern/1|all of the domain acme.example|The domain of this mailbox is not in the Domain List.|domain-not-allowed|"+
		"Fetches headers.|Calendar: items are never asked for|ids of what happens there may be told|asked for on purpose|NTLM, else Basic over TLS|always checked|192.0.2.7|No check has been run yet|ACME\\svc|each as it was written", "hidden-password|not the one that is set")
}

// TestEvidenceOfNothing: where nothing was asked yet, nothing is said to agree; the name that
// requests will carry is told.
func TestEvidenceOfNothing(t *testing.T) {
	s := newSite(t)
	s.expect(ann, "/access/evidence", "Nothing was seen yet|Postern/1|Nothing was asked of Exchange yet", "no difference")
	s.record(asked(func(a *crm.Access) { a.Source = "192.0.2.7:1" }))
	s.expect(ann, "/access/evidence", "", "Nothing was seen yet")
}

// TestEvidenceOfChecks: what the check was refused, as it must be, is told of other failures.
func TestEvidenceOfChecks(t *testing.T) {
	s := newFilledSite(t)
	s.server.Connector.Operations = []crm.Operation{{Name: "GetItem", Purpose: "Fetches headers.", Reads: true}}
	refused := asked(func(a *crm.Access) { a.Code = "ErrorImpersonateUserDenied" })
	probe := refused
	probe.Test = true
	s.record(refused, probe, probe)
	s.expect(ann, "/access/evidence", "<small>2 by the check</small>", "")
	s.expect(ann, "/access/log", "3 failed, 2 by the check", "")
}

// TestEvidenceOfServersOnThisMachine: there is no TLS to speak of, and what is disabled is
// not said to ask nothing.
func TestEvidenceOfServersOnThisMachine(t *testing.T) {
	s := newSite(t)
	settings := crm.Settings{Server: "HTTP://127.0.0.1:8080/EWS/Exchange.asmx", Scheme: crm.Basic, Domains: []string{"acme.example"}}
	if err := s.org.SaveSettings(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	s.expect(ann, "/access/evidence", "Basic without TLS, on this machine, and nothing else|none: the server is on this machine|nothing is collected", "over TLS|always checked|nothing is asked of Exchange")
}

// TestEvidenceOfAMailboxDeniedByItsPrimaryAddress: it is out, whether Exchange told that address
// while the mailbox was read or as it was to be opened; asked for nevertheless, it must not be.
func TestEvidenceOfAMailboxDeniedByItsPrimaryAddress(t *testing.T) {
	s := newFilledSite(t)
	s.server.Connector.Operations = []crm.Operation{{Name: "GetItem", Reads: true}}
	p, err := s.org.Policy(t.Context())
	if err == nil {
		p.Deny = []crm.Selector{"robert@acme.example"}
		_, err = s.org.SavePolicy(t.Context(), p, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	if e := s.sampleEvidence(); len(e.In) != 2 {
		t.Fatalf("in, as long as nobody told of the address: %+v", e.In)
	}
	view, err := s.org.MailboxByAddress(t.Context(), bob)
	if err != nil {
		t.Fatal(err)
	}
	s.record(asked(func(a *crm.Access) { a.Mailbox = bob }))
	for name, c := range map[string]struct {
		told        func(*crm.Mailbox)
		differences int
	}{
		"while it was read":         {func(b *crm.Mailbox) { b.Primary = "robert@acme.example" }, 1},
		"as it was about to be":     {func(b *crm.Mailbox) { b.Trouble = p.DeniesPrimary("robert@acme.example", nil) }, 0},
		"and it is refused by both": {func(b *crm.Mailbox) { b.Primary = "robert@acme.example"; b.Trouble = p.DeniesPrimary(b.Primary, nil) }, 1},
	} {
		box := view.Mailbox
		c.told(&box)
		if err := s.org.SaveMailbox(t.Context(), &box); err != nil {
			t.Fatal(err)
		}
		e := s.sampleEvidence()
		if len(e.In) != 1 || e.In[0].Address != ann || len(e.Out) != 2 || e.Out[0].Address != bob || e.Out[0].Code != "mailbox-denied" || !strings.Contains(e.Out[0].Rule, "robert@acme.example") {
			t.Errorf("%s: in %+v, out %+v", name, e.In, e.Out)
		}
		if e.Differences != c.differences {
			t.Errorf("%s: %d differences, want %d: %+v", name, e.Differences, c.differences, e.Others)
		}
	}
}

// TestEvidenceOfWhatMustNotBe: each thing that no setting explains is told of, once.
func TestEvidenceOfWhatMustNotBe(t *testing.T) {
	for name, c := range map[string]struct {
		request crm.Access
		words   string // in the page
		none    bool   // it is explained
	}{
		"another name":           {asked(func(a *crm.Access) { a.UserAgent = "Go-http-client/1.1" }), "not the one that is set", false},
		"another address":        {asked(func(a *crm.Access) { a.Source = "192.0.2.8:1" }), "not in the list", false},
		"another mailbox":        {asked(func(a *crm.Access) { a.Mailbox = zed }), "Exchange opened it after the policy was saved", false},
		"another operation":      {asked(func(a *crm.Access) { a.Operation = "DeleteItem" }), "not in the code’s list", false},
		"an earlier name":        {asked(func(a *crm.Access) { a.UserAgent, a.At = "Old/1", sampleNow.Add(-time.Hour) }), "an earlier one, or refused", true},
		"an earlier mailbox":     {asked(func(a *crm.Access) { a.Mailbox, a.At = zed, sampleNow.Add(-time.Hour) }), "before the policy was saved, or refused by Exchange", true},
		"a name refused":         {asked(func(a *crm.Access) { a.UserAgent, a.Status = "Stranger/1", 403 }), "an earlier one, or refused", true},
		"the test of the filter": {asked(func(a *crm.Access) { a.UserAgent = crm.Stranger }), "the test of the filter: see 8", true},
		"the test, elsewhere":    {asked(func(a *crm.Access) { a.UserAgent, a.Source = crm.Stranger, "192.0.2.8:1" }), "not in the list", false},
		"a mailbox refused":      {asked(func(a *crm.Access) { a.Mailbox, a.Code = zed, "ErrorImpersonateUserDenied" }), "before the policy was saved, or refused by Exchange", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFilledSite(t)
			s.server.Connector.Operations = []crm.Operation{{Name: "GetItem", Reads: true}}
			if err := s.org.SaveEgress(t.Context(), crm.Egress{Addresses: []crm.EgressAddress{{Local: netip.MustParseAddr("192.0.2.7")}}}); err != nil {
				t.Fatal(err)
			}
			s.record(c.request)
			want := 1
			if c.none {
				want = 0
			}
			if e := s.sampleEvidence(); e.Differences != want {
				t.Errorf("%d differences, want %d: %+v %+v %+v", e.Differences, want, e.Origins, e.Others, e.Unknown)
			}
			s.expect(ann, "/access/evidence", c.words, "")
		})
	}
}

// The latest attempt of each kind that showed something counts; older ones stay in sight.
func TestEvidenceOfWhatMustFail(t *testing.T) {
	s := newFilledSite(t)
	wider := &crm.Fault{Code: "wider-than-needed", Message: "Exchange lets the account open boss@acme.example."}
	run := func(day int, findings ...crm.Finding) {
		t.Helper()
		findings = append(findings, crm.Finding{Code: "dns", Step: "Name and address", OK: true})
		if _, err := s.org.SaveCheck(t.Context(), store.Check{Began: sampleNow.AddDate(0, 0, day), Findings: findings}); err != nil {
			t.Fatal(err)
		}
	}
	box := crm.Finding{Code: "must-fail-mailbox", Step: "Mailbox that must be refused"}
	agent := crm.Finding{Code: "must-fail-agent", Step: "User-Agent that must be refused"}

	letIn := box
	letIn.Fault = wider
	skipped := agent
	skipped.Skip, skipped.Detail = true, "not shown: no filter"
	run(-3, letIn, skipped)
	if e := s.sampleEvidence(); e.Differences != 1 || e.Check.Red != 1 || len(e.Probes) != 2 || e.Probes[0].Result != report.LetIn || e.Probes[1].Result != report.NotShown {
		t.Errorf("let in: %+v, %+v", e.Check, e.Probes)
	}
	s.expect(ann, "/access/evidence", "not refused: wider than needed|Exchange lets the account open boss@acme.example.|not shown: no filter|1 red", "No check has been run")

	refused := box
	refused.OK, refused.Detail = true, "Exchange refuses boss@acme.example"
	run(-2, refused, skipped)
	broken := box
	broken.Fault = &crm.Fault{Code: "timeout", Message: "No answer came."}
	run(-1, broken)
	e := s.sampleEvidence()
	if e.Differences != 0 || len(e.Probes) != 3 || e.Probes[0].Result != report.NotShown || e.Probes[1].Result != report.Refused || !e.Probes[1].Current || e.Probes[2].Current {
		t.Errorf("refused since: %+v", e.Probes)
	}
	s.expect(ann, "/access/evidence", "refused, as it should be|No answer came.|no difference", `class="bad"`)
}

// The file stands alone: nothing is fetched, and no secret is in it. Making it is written
// into the audit log.
func TestEvidenceFile(t *testing.T) {
	s := newFilledSite(t)
	r := s.get(ann, "/access/evidence.html")
	page := text(t, r)
	for _, word := range []string{"<!DOCTYPE html>", "<style>:root", "2026-11-21 12:00 UTC", "@page"} {
		if !strings.Contains(strings.ReplaceAll(page, "<style>/* The look of Postern: calm, dense, papery. The content is loud, the frame is quiet. */\n\n", "<style>"), word) {
			t.Errorf("the file lacks %q", word)
		}
	}
	for _, word := range []string{"hidden-password", "<script", "<link", "src=", "url(", "href="} {
		if strings.Contains(page, word) {
			t.Errorf("the file has %q", word)
		}
	}
	var b bytes.Buffer
	if err := WriteEvidence(&b, s.sampleEvidence()); err != nil || !strings.HasPrefix(b.String(), "<!DOCTYPE html>") {
		t.Errorf("written: %q…, %v", b.String()[:min(40, b.Len())], err)
	}
	var e report.Evidence
	if err := json.Unmarshal([]byte(text(t, s.get(ann, "/api/access/evidence"))), &e); err != nil || e.Connection.UserAgent != "Postern/1" || e.Audit.Entries < 2 {
		t.Errorf("%+v, %v", e, err)
	}
	for _, path := range []string{"/access/evidence", "/access/evidence.html", "/api/access/evidence"} {
		if r := s.get(bob, path); r.StatusCode != http.StatusForbidden {
			t.Errorf("Bob asks for %s: status %d", path, r.StatusCode)
		}
	}
}

// The evidence has one heading above all others, as a page and as a file.
func TestEvidenceHasOneHeading(t *testing.T) {
	s := newFilledSite(t)
	for _, path := range []string{"/access/evidence", "/access/evidence.html"} {
		if n := strings.Count(text(t, s.get(ann, path)), "<h1"); n != 1 {
			t.Errorf("%s: %d", path, n)
		}
	}
}

// TestEvidenceOfAPoolThatChanged: what left from an address while it was in the pool is no
// difference; what leaves from it afterwards is, also once the settings are saved again.
func TestEvidenceOfAPoolThatChanged(t *testing.T) {
	s := newFilledSite(t)
	s.server.Connector.Operations = []crm.Operation{{Name: "GetItem", Reads: true}}
	pool := func(address string) {
		if err := s.org.SaveEgress(t.Context(), crm.Egress{Addresses: []crm.EgressAddress{{Local: netip.MustParseAddr(address)}}}); err != nil {
			t.Fatal(err)
		}
	}
	pool("192.0.2.7")
	s.record(asked(func(*crm.Access) {}))
	s.now = sampleNow.Add(time.Hour)
	pool("192.0.2.9")
	if e := s.sampleEvidence(); e.Differences != 0 || !e.Origins[0].OtherSource {
		t.Errorf("an address of before: %d differences, %+v", e.Differences, e.Origins)
	}
	s.record(asked(func(a *crm.Access) { a.At = s.now.Add(time.Minute) }))
	s.now = s.now.Add(time.Hour)
	for range 2 {
		if e := s.sampleEvidence(); e.Differences != 1 {
			t.Errorf("an address that was taken away: %d differences, %+v", e.Differences, e.Origins)
		}
		s.enable()
	}
}

// TestEvidenceOfAGroupThatChanged: a mailbox that was read while its owner was in a group is no
// difference; one that the policy would not have let in as a member either is.
func TestEvidenceOfAGroupThatChanged(t *testing.T) {
	const group = "crm@acme.example"
	for name, c := range map[string]struct {
		change func(*crm.Policy)
		box    string
		before []mail.Address // members, of whom Ann alone remains
		after  bool           // it was read once it was out
		want   int
	}{
		"a member read":                 {func(p *crm.Policy) { p.Allow = []crm.Selector{"group:" + group} }, bob, []mail.Address{ann, bob}, false, 0},
		"a former member read":          {func(p *crm.Policy) { p.Allow = []crm.Selector{"group:" + group} }, bob, []mail.Address{ann, bob}, true, 1},
		"one who was none":              {func(p *crm.Policy) { p.Allow = []crm.Selector{"group:" + group} }, bob, []mail.Address{ann, zed}, false, 1},
		"a member of another domain":    {func(p *crm.Policy) { p.Allow = []crm.Selector{"group:" + group} }, zed, []mail.Address{ann, zed}, false, 1},
		"a member denied":               {func(p *crm.Policy) { p.Allow, p.Deny = []crm.Selector{"group:" + group}, []crm.Selector{bob} }, bob, []mail.Address{ann, bob}, false, 1},
		"before she joined who may not": {func(p *crm.Policy) { p.Deny = []crm.Selector{"group:" + group} }, ann, []mail.Address{bob}, false, 0},
		"since she joined who may not":  {func(p *crm.Policy) { p.Deny = []crm.Selector{"group:" + group} }, ann, []mail.Address{bob}, true, 1},
		"a group that was not known":    {func(p *crm.Policy) { p.Deny = []crm.Selector{"group:" + group} }, ann, nil, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFilledSite(t)
			s.server.Connector.Operations = []crm.Operation{{Name: "GetItem", Reads: true}}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			p, err := s.org.Policy(t.Context())
			must(err)
			c.change(&p)
			_, err = s.org.SavePolicy(t.Context(), p, false)
			must(err)
			if c.before != nil {
				must(s.org.SaveGroup(t.Context(), group, c.before))
			}
			s.now = sampleNow.Add(time.Hour)
			must(s.org.SaveGroup(t.Context(), group, []mail.Address{ann}))
			s.record(asked(func(a *crm.Access) {
				a.Mailbox = mail.Address(c.box)
				if c.after {
					a.At = s.now.Add(time.Minute)
				}
			}))
			s.now = s.now.Add(time.Hour)
			must(s.org.SaveGroup(t.Context(), "unnamed@acme.example", []mail.Address{bob})) // says nothing of anybody
			if e := s.sampleEvidence(); e.Differences != c.want {
				t.Errorf("%d differences, want %d: %+v", e.Differences, c.want, e.Others)
			}
		})
	}
}
