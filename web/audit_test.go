package web

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/report"
	"postern/store"
)

func (s *site) auditLog() []crm.AuditEntry {
	s.Helper()
	list, _, err := s.org.AuditLog(s.Context(), store.AuditQuery{Limit: 1000})
	if err != nil {
		s.Fatal(err)
	}
	return list
}

// What is done on the pages is written down under the name of who is signed in.
func TestPagesAreAudited(t *testing.T) {
	s := newSite(t)
	s.setPassword("Ann", samplePassword)
	r := s.signIn(ann, samplePassword)
	s.cookies[ann] = r.Cookies()[0].Value
	s.post(ann, "/contacts", "name=Eve&addresses=eve@client.example")
	s.post(ann, "/quarantine/leave", "id=1")
	s.post(ann, "/sign-out", "")
	var got []string
	for _, e := range s.auditLog()[:4] {
		got = append(got, e.Action+" "+e.Subject+" by "+e.Actor)
	}
	const by = " by Ann Archer <ann@acme.example>"
	want := "sign-out " + by + "|quarantine.leave " + by + "|contacts.save Eve" + by + "|sign-in " + by
	if strings.Join(got, "|") != want {
		t.Errorf("entries\n%s, want\n%s", strings.Join(got, "|"), want)
	}
}

// Any number of failures leaves a bounded number of entries, and no typed password.
func TestFailedSignInsAreCounted(t *testing.T) {
	s := newSite(t)
	s.setPassword("Ann", samplePassword)
	now := sampleNow
	s.server.failures.now = func() time.Time { return now }
	before := len(s.auditLog())
	for range 9 {
		s.signIn(ann, "wrong")
	}
	s.signIn("my secret passphrase", "")
	if got := s.auditLog(); len(got) != before+2 || got[1].Action != "sign-in.failed" || got[1].Subject != ann || got[1].Detail != "from 192.0.2.1" || got[1].Actor != stranger || got[0].Subject != "no address" {
		t.Errorf("within a minute: %d entries, %+v", len(got)-before, got[:2])
	}
	now = now.Add(failureWindow)
	s.signIn(bob, "wrong")
	told := false
	for _, e := range s.auditLog()[:2] {
		told = told || e.Subject == ann && strings.HasSuffix(e.Detail, "further attempts in the minute after 12:00:00 UTC: 8")
		if strings.Contains(fmt.Sprint(e), "passphrase") {
			t.Errorf("what was typed stands in %+v", e)
		}
	}
	if !told {
		t.Errorf("the others are not told: %+v", s.auditLog()[:2])
	}
	f := newFailures(func() time.Time { return now })
	n := 0
	for i := range 10000 {
		n += len(f.note(fmt.Sprintf("user%d@acme.example", i), fmt.Sprint("10.0.0.", i%250)))
	}
	now = now.Add(failureWindow)
	if rest := f.over(); n != failuresKept+1 || len(rest) != 1 || !strings.HasSuffix(rest[0].Detail, ": 9949") {
		t.Errorf("10000 accounts: %d entries at once, then %v", n, rest)
	}
}

// TestFailedSignInIsWrittenDownThoughNobodyWaits: who guesses passwords hangs up.
func TestFailedSignInIsWrittenDownThoughNobodyWaits(t *testing.T) {
	s := newSite(t)
	ctx, hangUp := context.WithCancel(t.Context())
	s.server.failures.now = func() time.Time { hangUp(); return sampleNow } // once the password was found wrong
	r := httptest.NewRequest("POST", "/sign-in", strings.NewReader("address="+ann+"&password=wrong")).WithContext(ctx)
	r.Header.Set("Content-Type", formType)
	s.server.handler().ServeHTTP(httptest.NewRecorder(), r)
	if got := s.auditLog()[0]; ctx.Err() == nil || got.Action != "sign-in.failed" || got.Subject != ann {
		t.Errorf("the last entry is %+v", got)
	}
}

func TestAuditPage(t *testing.T) {
	s := newFilledSite(t)
	for _, action := range []string{"sign-in", "sign-in.failed", "sign-out", "check.run"} {
		if err := s.org.Audit(t.Context(), crm.AuditEntry{Action: action}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.org.Audit(crm.WithActor(t.Context(), "=cmd|' /C calc'!A0"), crm.AuditEntry{Action: "test.action", Subject: "<script>alert(1)</script>", Detail: "@SUM(A1)"}); err != nil {
		t.Fatal(err)
	}
	s.expect(ann, "/access/audit", "<td>Signed in|<td>Sign-in failed|<td>Signed out|<td>Connection checked", "<td>check.run")
	for _, c := range []struct{ who, url, words, never string }{
		{ann, "/access/audit", "entries are as written|covered by a checkpoint|Email settings saved|server: none → mail.acme.example|widens access|&lt;script&gt;alert(1)|test.action|BEGIN PUBLIC KEY", "hidden-password|<script>alert"},
		{ann, "/access/audit?widens=1", "Email settings saved", "<td>Contacts saved"},
		{ann, "/access/audit?signins=0", "Email settings saved|<td>Connection checked", "<td>Signed in|<td>Sign-in failed|<td>Signed out"},
		{ann, "/api/access/audit?signins=0", "settings.save", "sign-in"},
		{ann, "/access/audit?action=settings.save", "Email settings saved", "<td>Contacts saved"},
		{ann, "/access/audit?actor=nobody", "Nothing of this kind", "mail.acme.example"},
		{ann, "/api/access/audit?limit=1", `"items":[{"seq":`, "hidden-password"},
		{ann, "/api/access/audit/verdict", `"ok":true`, "first_bad_entry"},
		{bob, "/access/audit", "not-an-administrator", "mail.acme.example"},
		{bob, "/access/audit.csv", "not-an-administrator", "mail.acme.example"},
		{bob, "/api/access/audit", "not-an-administrator", "mail.acme.example"},
	} {
		body := text(t, s.get(c.who, c.url))
		for word := range strings.SplitSeq(c.words, "|") {
			if !strings.Contains(body, word) {
				t.Errorf("%s %s: no %q in\n%s", c.who, c.url, word, body)
			}
		}
		for word := range strings.SplitSeq(c.never, "|") {
			if word != "" && strings.Contains(body, word) {
				t.Errorf("%s %s: %q in it", c.who, c.url, word)
			}
		}
	}

	rows, err := csv.NewReader(strings.NewReader(text(t, s.get(ann, "/access/audit.csv")))).ReadAll()
	if err != nil || len(rows) < 5 {
		t.Fatalf("CSV: %d rows, %v", len(rows), err)
	}
	last := rows[len(rows)-1]
	if last[3] != "audit-log.export" {
		t.Errorf("the export is not in the log: %v", last)
	}
	if r := rows[len(rows)-2]; r[2] != "'=cmd|' /C calc'!A0" || r[5] != "'@SUM(A1)" {
		t.Errorf("a formula is left in %q", r)
	}
	lines := strings.Split(strings.TrimSpace(text(t, s.get(ann, "/access/audit.json"))), "\n")
	for i, line := range lines {
		var e report.AuditEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Seq != int64(i+1) {
			t.Errorf("line %d: %q, %v", i+1, line, err)
		}
	}
}

// A gap that the operator accepted is told for ever, as no failure.
func TestAcceptedGapIsShown(t *testing.T) {
	s := newFilledSite(t)
	s.db.Exec(t, "create table kept as select * from audit")
	s.db.Exec(t, "create table kept_head as select * from audit_head")
	if err := s.org.Audit(t.Context(), crm.AuditEntry{Action: "test"}); err != nil {
		t.Fatal(err)
	}
	for _, undo := range []string{"delete from audit", "insert into audit select * from kept", "delete from audit_head", "insert into audit_head select * from kept_head"} {
		s.db.Exec(t, undo)
	}
	if body := text(t, s.get(ann, "/access/audit")); !strings.Contains(body, "postern audit accept") || !strings.Contains(body, "audit-truncated") {
		t.Errorf("the way out is not told:\n%s", body)
	}
	if _, err := s.org.AcceptAuditGap(crm.WithActor(t.Context(), "command line (root)"), "disk <b>broke</b>"); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"/access/audit", "/access/evidence", "/access/evidence.html"} {
		body := text(t, s.get(ann, url))
		for _, words := range []string{"Accepted gap", "command line (root)", "disk &lt;b&gt;broke&lt;/b&gt;", "as written"} {
			if !strings.Contains(strings.ReplaceAll(body, "as it was written", "as written"), words) {
				t.Errorf("%s: no %q in\n%s", url, words, body)
			}
		}
	}
	v, err := s.org.VerifyAudit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	missing := v.Gaps[0].To - v.Gaps[0].From + 1
	s.expect(ann, "/access/audit", fmt.Sprintf("<b>%d of %d entries are there</b>", v.Entries, v.Entries+missing), "are as written.")
	if body := text(t, s.get(ann, "/api/access/audit/verdict")); !strings.Contains(body, `"ok":true`) || !strings.Contains(body, `"accepted_gaps":[{"from":`) {
		t.Errorf("API: %s", body)
	}
}

// The session of an administrator ends when nobody uses it, be a page open or not.
func TestIdleSessionEnds(t *testing.T) {
	s := newSite(t)
	s.setPassword("Ann", samplePassword)
	s.setPassword("Bob", samplePassword)
	for _, who := range []string{ann, bob} {
		s.cookies[who] = s.signIn(who, samplePassword).Cookies()[0].Value
	}
	look := func(who string, headers ...string) int {
		t.Helper()
		return s.do(who, "GET", "/mails", "", "", headers...).StatusCode
	}
	s.now = s.now.Add(25 * time.Minute)
	if look(ann) != 200 {
		t.Error("after 25 minutes it has ended")
	}
	s.now = s.now.Add(25 * time.Minute)
	if look(ann, refreshHeader, "1") != 200 {
		t.Error("25 minutes after a use it has ended")
	}
	s.now = s.now.Add(10 * time.Minute)
	if look(ann) != 303 {
		t.Error("what a page fetches by itself counts as use")
	}
	if look(bob) != 200 {
		t.Error("that of a user has ended, too")
	}
	s.now = s.now.Add(sessionTime)
	if look(bob) != 303 {
		t.Error("it outlives twelve hours")
	}
}

// TestAuditExportTellsItsFilter: the entry about an export says what of the log it took along.
func TestAuditExportTellsItsFilter(t *testing.T) {
	s := newFilledSite(t)
	for _, c := range []struct{ url, detail string }{
		{"/access/audit.csv", "format csv"},
		{"/access/audit.json?action=settings.save&widens=1", "format json\naction settings.save\nentries that widen access"},
		{"/access/audit.csv?actor=Ann&signins=0", "format csv\nactor Ann\nentries without sign-ins"},
	} {
		text(t, s.get(ann, c.url))
		list, _, err := s.org.AuditLog(t.Context(), store.AuditQuery{Action: "audit-log.export", Limit: 1})
		if err != nil || len(list) != 1 || list[0].Detail != c.detail {
			t.Errorf("%s: %+v, %v", c.url, list, err)
		}
	}
}
