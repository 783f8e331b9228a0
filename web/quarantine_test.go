package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/match"
	"postern/store"
)

// quarantine puts two items into Bob's Inbox of which Exchange does not hand over all: of
// one nothing, of the other all but its text. It returns their ids in this order.
func (s *site) quarantine() (lost, cut int64) {
	s.Helper()
	ctx := s.Context()
	view, err := s.org.MailboxByAddress(ctx, bob)
	if err != nil {
		s.Fatal(err)
	}
	box := &view.Mailbox
	folders, err := s.org.Folders(ctx, box.ID)
	if err != nil {
		s.Fatal(err)
	}
	inbox := folders[slices.IndexFunc(folders, func(f store.Folder) bool { return f.Role == crm.Inbox })].ID
	item := letter{id: "cut", from: cyn, to: bob, subject: "Cut short", box: bob, days: 1}.item()
	item.Missing, item.Fault = crm.TextMissing, &crm.Fault{Code: "ErrorItemCorrupt", Message: "Exchange cannot read this item."}
	people, rev, err := s.org.People(ctx, []crm.Header{item.Header})
	if err != nil {
		s.Fatal(err)
	}
	decision := match.Decide([]crm.Header{item.Header}, people, match.Rules{Domains: []string{"acme.example"}, Limits: crm.DefaultPolicy().Limits})[0]
	decision.RetryAt, decision.Tries = sampleNow.Add(10*time.Minute), 2
	lostHeader := letter{id: "lost", from: cyn, to: bob, box: bob, days: 2}.item().Header
	_, err = s.org.SavePage(ctx, store.Page{Mailbox: box, Rev: rev, Entries: []store.Entry{
		{Header: &item.Header, Decision: decision, Item: item, Folder: inbox},
		{Header: &lostHeader, Folder: inbox, Decision: crm.Decision{Item: lostHeader.ID, Outcome: crm.Failed, Reason: "ErrorInternalServerError",
			Rule: "Exchange stumbled over it.", Tries: 5, RetryAt: sampleNow.Add(time.Hour)}},
	}})
	if err != nil {
		s.Fatal(err)
	}
	s.server.counted.forget()
	rows, _, err := s.org.Quarantine(ctx, store.QuarantineQuery{})
	if err != nil || len(rows) != 2 {
		s.Fatalf("quarantine: %+v, %v", rows, err)
	}
	if rows[0].Partial {
		rows[0], rows[1] = rows[1], rows[0]
	}
	return rows[0].Decision, rows[1].Decision
}

func TestQuarantinePage(t *testing.T) {
	s := newFilledSite(t)
	s.expect(ann, "/quarantine", "Nothing is in quarantine|See the mailboxes", "Try now")
	s.expect(ann, "/quarantine?show=left", "Nothing was left", "")
	s.expect(ann, "/", "Home", "or not whole")
	lost, _ := s.quarantine()

	cut := fmt.Sprintf("/messages/%d", s.message("cut"))
	s.expect(ann, "/quarantine", "bob@acme.example<small>Inbox|Exchange stumbled over it. <code class=\"faint\">ErrorInternalServerError|Not filed yet|5 times|in 1 h|"+
		`Exchange cannot read this item. <code class="faint">ErrorItemCorrupt|Filed without its text · <a class="link" href="`+cut+`">|in 10 min|formaction="/quarantine/leave"|<span class="count warn" id="held" title="items that could not be read" data-live>2</span>`, "")
	s.expect(ann, fmt.Sprintf("/quarantine?mailbox=%d", s.user("Ann").Mailbox), "Nothing of this mailbox is in quarantine|Show all", "stumbled")
	s.expect(ann, fmt.Sprintf("/quarantine?mailbox=%d", s.user("Bob").Mailbox), "stumbled", "")
	s.expect(ann, "/", `2 items could not be read, or not whole.|<a href="/quarantine"><span>Failed`, "")
	box := fmt.Sprintf("/mailboxes/%d", s.user("Bob").Mailbox)
	s.expect(ann, box, fmt.Sprintf(`<a class="link" href="/quarantine?mailbox=%d">2 items</a>`, s.user("Bob").Mailbox), "")
	s.expect(bob, box, "Folders", "quarantine")
	for _, r := range []*http.Response{
		s.get(bob, "/quarantine"), s.get(bob, "/api/quarantine"), s.post(bob, "/quarantine/try", fmt.Sprintf("id=%d", lost)), s.post(bob, "/quarantine/leave", fmt.Sprintf("id=%d", lost)),
		s.do(bob, "POST", "/api/quarantine/leave", "application/json", fmt.Sprintf(`{"ids":[%d]}`, lost)),
		s.do(ann, "POST", "/quarantine/leave", formType, fmt.Sprintf("id=%d", lost), "Sec-Fetch-Site", "cross-site"),
	} {
		if r.StatusCode != http.StatusForbidden {
			t.Errorf("status %d, want 403", r.StatusCode)
		}
	}
	if r := s.get(ann, "/quarantine/try"); r.StatusCode != http.StatusNotFound && r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET /quarantine/try: status %d", r.StatusCode)
	}
	if n, err := s.org.QuarantineCount(t.Context()); err != nil || n != 2 {
		t.Errorf("%d items afterwards, %v", n, err)
	}
}

// TestPartialMessage: a message without its text says so wherever it is shown.
func TestPartialMessage(t *testing.T) {
	s := newFilledSite(t)
	_, cut := s.quarantine()
	page := fmt.Sprintf("/messages/%d", s.message("cut"))
	const line = "The text could not be read in Exchange (<code>ErrorItemCorrupt</code>)"
	s.expect(ann, page, line+`|Exchange cannot read this item. It is tried again <time datetime="2026-11-21T12:10:00Z"|not whole|href="/quarantine">Quarantine</a></span></p>`, "This message has no text")
	s.expect(bob, page, line, `href="/quarantine"`)
	for _, list := range []string{"/mails", "/search?q=Cut", fmt.Sprintf("/contacts/%d", s.contact("Cyn"))} {
		s.expect(bob, list, `<span class="preview cut">The text could not be read in Exchange.</span>`, "")
	}
	s.expect(bob, strings.Replace(page, "/", "/api/", 1), `"missing":"text"`, "")
	s.post(ann, "/quarantine/leave", fmt.Sprintf("id=%d", cut))
	s.expect(ann, page, line+"|An administrator left it at that.", "It is tried again")
}

func TestTryNowAndLeave(t *testing.T) {
	s := newFilledSite(t)
	lost, cut := s.quarantine()
	bobs := s.user("Bob").Mailbox

	// Nothing ticked, then something that is no number.
	if r := s.post(ann, "/quarantine/leave", ""); r.Header.Get("Location") != "/quarantine?done=leave&items=0" {
		t.Errorf("nothing ticked leads to %q", r.Header.Get("Location"))
	}
	if r := s.post(ann, "/quarantine/leave", "id=x"); r.StatusCode != http.StatusBadRequest {
		t.Errorf("no number: status %d", r.StatusCode)
	}

	// The button beside an item does not care what is ticked.
	r := s.post(ann, "/quarantine/try", fmt.Sprintf("id=%d&only=%d&mailbox=%d", cut, lost, bobs))
	if want := fmt.Sprintf("/quarantine?done=try&items=1&mailbox=%d", bobs); r.Header.Get("Location") != want {
		t.Fatalf("status %d, leads to %q, want %q", r.StatusCode, r.Header.Get("Location"), want)
	}
	s.expect(ann, r.Header.Get("Location"), "1 item is tried now.|in 10 min", "in 1 h")
	if due, err := s.org.DueItems(t.Context(), bobs, sampleNow, 10); err != nil || len(due) != 1 || !strings.HasPrefix(due[0].Item, "lost") {
		t.Errorf("due: %+v, %v", due, err)
	}

	r = s.post(ann, "/quarantine/leave", fmt.Sprintf("id=%d&id=%d&id=424242", lost, cut))
	s.expect(ann, r.Header.Get("Location"), "2 items are left and not tried again.|Nothing is in quarantine", `id="held" title="items that could not be read" data-live>2`)
	s.expect(ann, "/quarantine?show=left", "Exchange stumbled over it.|Exchange cannot read this item.|Try now", ">Leave</button>")
	s.expect(ann, "/not-filed?reason=left", "unreadable in Exchange, left by an administrator<small>Exchange stumbled over it.", "")

	r = s.post(ann, "/quarantine/try", fmt.Sprintf("show=left&only=%d", lost))
	s.expect(ann, r.Header.Get("Location"), "1 item is tried now.|Exchange cannot read this item.", "stumbled")
}

func TestQuarantineByAPI(t *testing.T) {
	s := newFilledSite(t)
	s.expect(ann, "/api/quarantine", `{"total":0,"items":[]}`, "")
	lost, cut := s.quarantine()
	s.expect(ann, "/api/quarantine", fmt.Sprintf(`"total":2|"id":%d|"folder":"Inbox"|"code":"ErrorItemCorrupt"|"message":%d|"tries":5|"retry_at":"2026-11-21T13:00:00Z"`, lost, s.message("cut")), "")
	s.expect(ann, "/api/quarantine?limit=1&page=2", `"total":2`, fmt.Sprintf(`"id":%d`, max(lost, cut)))
	for _, c := range []struct {
		path, body, answer string
		status             int
	}{
		{"try", fmt.Sprintf(`{"ids":[%d,%d,9999]}`, lost, cut), `{"items":2}`, 200},
		{"try", `{"ids":[]}`, `{"items":0}`, 200},
		{"leave", fmt.Sprintf(`{"ids":[%d]}`, lost), `{"items":1}`, 200},
		{"leave", `{"ids":["x"]}`, `"bad-json"`, 400},
		{"leave", `{"id":1}`, `"bad-json"`, 400},
	} {
		r := s.do(ann, "POST", "/api/quarantine/"+c.path, "application/json", c.body)
		if body := text(t, r); r.StatusCode != c.status || !strings.Contains(body, c.answer) {
			t.Errorf("%s %s: status %d, %s", c.path, c.body, r.StatusCode, body)
		}
	}
	if r := s.do(ann, "POST", "/api/quarantine/leave", formType, "ids=1"); r.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a form: status %d", r.StatusCode)
	}
	s.expect(ann, "/api/quarantine?show=left", fmt.Sprintf(`"total":1|"id":%d`, lost), "retry_at")
}
