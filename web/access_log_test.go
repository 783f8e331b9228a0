package web

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/report"
	"postern/store"
)

// requests writes the access log of a short day: Ann's mailbox is read, Bob's refused, and
// a user agent tries to be a formula.
func (s *site) requests() {
	s.Helper()
	w := s.org.AccessWriter()
	for i, a := range []crm.Access{
		{Mailbox: ann, Operation: "SyncFolderItems", Folder: "inbox", Items: 7, Received: 81_000, Status: 200},
		{Mailbox: ann, Operation: "GetItem", Items: 2, Received: 1_200_000, Status: 200},
		{Mailbox: bob, Operation: "GetFolder", Folder: "drafts", Status: 500, Code: "ErrorImpersonateUserDenied"},
		{Operation: "GetFolder", Status: 401},
		{Mailbox: ann, Operation: "GetStreamingEvents", Hanging: true},
		{Mailbox: ann, Operation: "GetItem", Status: 200, UserAgent: `=cmd|"/C calc"!A0`},
	} {
		a.At, a.Took, a.Sent = sampleNow.Add(time.Duration(i-60)*time.Minute), 42*time.Millisecond, 900
		a.Source, a.Host, a.Account, a.RequestID = "192.0.2.7:50123", "mail.acme.example", `ACME\svc`, fmt.Sprintf("0f8fad5b-d9cb-469f-a165-70867728950%d", i)
		if a.UserAgent == "" {
			a.UserAgent = "Acme-CRM/1.0"
		}
		w.Record(a)
	}
	if err := w.Close(); err != nil {
		s.Fatal(err)
	}
}

func TestAccessLogPage(t *testing.T) {
	s := newFilledSite(t)
	s.expect(ann, "/access/log", "Nothing was asked of Exchange yet|aria-current=\"page\">Access log|No request yet", "<table")
	s.requests()
	s.expect(ann, "/access/log", "ann@acme.example|bob@acme.example|SyncFolderItems|Inbox|81 KB|42 ms|ErrorImpersonateUserDenied|no answer|log-on step|the account itself|"+
		"<code>Acme-CRM/1.0</code>|<code>192.0.2.7:50123</code>|<code>0f8fad5b-d9cb-469f-a165-708677289502</code>|2 failed|value=\"90\"|waiting", "Older")
	s.expect(ann, "/access/log?mailbox=bob@acme.example", "ErrorImpersonateUserDenied|href=\"/access/log.csv?mailbox=bob%40acme.example\"", "SyncFolderItems</summary>")
	s.expect(ann, "/access/log?result=refused", "ErrorImpersonateUserDenied</small>|value=\"refused\" selected", "log-on step</span>")
	s.expect(ann, "/access/log?user_agent=Acme-CRM%2F1.0&from=2026-11-21&to=2026-11-21", `more-filters" open|value="2026-11-21"`, "<code>=cmd")
	s.expect(ann, "/access/log?to=2026-11-20", "No such request|Show all", "<table")
	s.expect(ann, "/access/log?request=0f8fad5b-d9cb-469f-a165-708677289500", "SyncFolderItems</summary>", "GetItem</summary>")
	for _, filter := range []string{"from=yesterday", "to=2026-13-01", "mailbox=nobody", "result=fine"} {
		for _, path := range []string{"/access/log", "/access/log.csv", "/api/access/log"} {
			if r := s.get(ann, path+"?"+filter); r.StatusCode != http.StatusBadRequest {
				t.Errorf("%s?%s: status %d", path, filter, r.StatusCode)
			}
		}
	}
	for _, path := range []string{"/access", "/access/log", "/access/log.csv", "/access/log.json", "/api/access/log", "/api/access/log/summary"} {
		if r := s.get(bob, path); r.StatusCode != http.StatusForbidden {
			t.Errorf("Bob asks for %s: status %d", path, r.StatusCode)
		}
	}
}

// The next page has the same filters and goes on where the first ends.
func TestAccessLogPages(t *testing.T) {
	s := newFilledSite(t)
	w := s.org.AccessWriter()
	for i := range 120 {
		w.Record(crm.Access{At: sampleNow.Add(-time.Duration(i) * time.Second), Mailbox: ann, Operation: "GetItem", Status: 200, RequestID: fmt.Sprint("request-", i)})
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	pages, url := 0, "/access/log?mailbox=ann%40acme.example"
	for ; url != "" && pages < 10; pages++ {
		body := text(t, s.get(ann, url))
		for i := range 120 {
			if id := fmt.Sprintf("<code>request-%d</code>", i); strings.Contains(body, id) {
				if seen[id] {
					t.Errorf("%s is on two pages", id)
				}
				seen[id] = true
			}
		}
		_, rest, _ := strings.Cut(body, `<span></span>`)
		if pages > 0 {
			_, rest, _ = strings.Cut(body, "← Newest</a>")
		}
		_, rest, found := strings.Cut(rest, `<a href="`)
		url, _, _ = strings.Cut(rest, `"`)
		if url = strings.ReplaceAll(url, "&amp;", "&"); !found || !strings.HasPrefix(url, "/access/log?before=") {
			url = ""
		}
	}
	if len(seen) != 120 || pages != 3 {
		t.Errorf("%d requests on %d pages, want 120 on 3", len(seen), pages)
	}
}

func TestAccessLogExport(t *testing.T) {
	s := newFilledSite(t)
	if body := text(t, s.get(ann, "/access/log.json")); body != "[]\n" {
		t.Errorf("empty: %q", body)
	}
	s.requests()
	r := s.get(ann, "/access/log.csv?mailbox=ann@acme.example")
	if disposition := r.Header.Get("Content-Disposition"); !strings.HasPrefix(disposition, "attachment; filename=") {
		t.Errorf("disposition %q", disposition)
	}
	table, err := csv.NewReader(r.Body).ReadAll()
	if err != nil || len(table) != 5 || len(table[0]) != len(table[1]) {
		t.Fatalf("%v, %v", table, err)
	}
	row := map[string]string{}
	for i, name := range table[0] {
		row[name] = table[1][i]
	}
	if row["user_agent"] != `'=cmd|"/C calc"!A0` || row["mailbox"] != ann || row["at"] != "2026-11-21T11:05:00Z" {
		t.Errorf("%v", row)
	}
	var list []report.Access
	if err := json.Unmarshal([]byte(text(t, s.get(ann, "/access/log.json?operation=GetItem"))), &list); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	var page struct {
		Next  string
		Items []report.Access
	}
	if err := json.Unmarshal([]byte(text(t, s.get(ann, "/api/access/log?limit=4"))), &page); err != nil || len(page.Items) != 4 || page.Next == "" {
		t.Errorf("%+v, %v", page, err)
	}
	var sum report.Summary
	if err := json.Unmarshal([]byte(text(t, s.get(ann, "/api/access/log/summary"))), &sum); err != nil || len(sum.Operations) != 4 || len(sum.Origins) != 2 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestAccessRetentionForm(t *testing.T) {
	s := newFilledSite(t)
	if r := s.post(ann, "/access/log/retention", "days=30"); r.Header.Get("Location") != "/access/log?saved=1" {
		t.Errorf("status %d", r.StatusCode)
	}
	s.expect(ann, "/access/log?saved=1", "Requests are kept for 30 days|value=\"30\"", "")
	for _, days := range []string{"0", "-3", "x", "99999", ""} {
		if r := s.post(ann, "/access/log/retention", "days="+days); r.StatusCode < 400 {
			t.Errorf("days=%s: status %d", days, r.StatusCode)
		}
	}
	for body, want := range map[string]int{`{"days":60}`: http.StatusOK, `{"days":0}`: http.StatusBadRequest, `{"days":"x"}`: http.StatusBadRequest, `{"days":30}`: http.StatusOK} {
		if r := s.do(ann, "PUT", "/api/access/log/retention", "application/json", body); r.StatusCode != want {
			t.Errorf("%s: status %d, want %d", body, r.StatusCode, want)
		}
	}
	if err := s.org.SetAccessRetention(t.Context(), 30); err != nil {
		t.Fatal(err)
	}
	if r := s.post(bob, "/access/log/retention", "days=1"); r.StatusCode != http.StatusForbidden {
		t.Errorf("Bob: status %d", r.StatusCode)
	}
	if days, err := s.org.AccessRetention(t.Context()); err != nil || days != 30 {
		t.Errorf("%d days, %v", days, err)
	}
}

// The words for results cover all that there are.
func TestAccessResultTitles(t *testing.T) {
	for _, a := range []crm.Access{{Status: 200}, {Status: 401}, {Status: 503}, {}} {
		if r := store.ResultOf(&a); accessResults[r] == "" {
			t.Errorf("no words for %q", r)
		}
	}
}
