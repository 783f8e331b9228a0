package web

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

func (s *site) alert(subject string, f crm.Fault) {
	s.Helper()
	_, err := s.org.RaiseAlert(s.Context(), store.Alert{Subject: subject, Code: f.Code, Cause: f.Cause, Message: f.Message, Advice: f.Advice})
	if err != nil {
		s.Fatal(err)
	}
	s.server.counted.forget()
}

// trouble puts a mailbox into a state with a fault.
func (s *site) trouble(address mail.Address, state crm.MailboxState, f crm.Fault) *crm.Mailbox {
	s.Helper()
	view, err := s.org.MailboxByAddress(s.Context(), address)
	if err != nil {
		s.Fatal(err)
	}
	box := &view.Mailbox
	box.State, box.Since, box.Trouble, box.Tries, box.Due = state, sampleNow.Add(-time.Hour), &f, 3, sampleNow.Add(5*time.Minute)
	if err := s.org.SaveMailbox(s.Context(), box); err != nil {
		s.Fatal(err)
	}
	s.server.counted.forget()
	return box
}

// expect asks for a page and looks for words, separated by |, that must and must not be
// there.
func (s *site) expect(who, url, words, never string) {
	s.Helper()
	body := text(s.T, s.get(who, url))
	for word := range strings.SplitSeq(words, "|") {
		if !strings.Contains(body, word) {
			s.Errorf("%s lacks %q\n%s", url, word, content(body))
		}
	}
	for word := range strings.SplitSeq(never, "|") {
		if word != "" && strings.Contains(body, word) {
			s.Errorf("%s has %q", url, word)
		}
	}
}

var notPermitted = crm.Fault{
	Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "ErrorImpersonateUserDenied", Cause: crm.NotPermitted,
	Message: "The account may not impersonate this mailbox.", Advice: "Give it the role.",
}

// TestBanner: what is wrong is told on every page, once for all mailboxes, to
// administrators alone.
func TestBanner(t *testing.T) {
	s := newFilledSite(t)
	if body := text(t, s.get(ann, "/contacts")); strings.Contains(body, `class="banner"`) {
		t.Error("a banner although all is well")
	}
	s.alert("mailbox "+ann, notPermitted)
	s.alert("mailbox "+bob, notPermitted)
	const line = "2 mailboxes: the account may not read them"
	s.expect(ann, "/contacts", line+`|<a href="/mailboxes?code=ErrorImpersonateUserDenied">What to do</a>|since`, "may not read this mailbox")
	s.expect(ann, "/mails", line, "")
	s.expect(bob, "/mails", "My Emails", "may not read|id=\"alerts\"")
	if body := text(t, s.get(ann, "/")); strings.Count(body, line) != 1 || !strings.Contains(body, "<p>Give it the role.</p>") {
		t.Errorf("the first page:\n%s", content(body))
	}

	s.alert("connection", crm.Fault{Code: "password-refused", Cause: crm.PasswordRefused, Message: "The server refuses the password.", Advice: "Enter it anew."})
	s.alert("mailbox zed@other.example", crm.Fault{Code: "address-changed", Cause: crm.Renamed, Message: "Another address.", Advice: "Enter it."})
	s.alert("somewhere", crm.Fault{Code: "odd", Message: "Something odd happened.", Advice: "Wait."})
	body := text(t, s.get(ann, "/contacts"))
	at := -1
	for _, line := range []string{"<b>Something odd happened.</b>", "<b>Password is refused</b>", "<b>" + line + "</b>", `<a href="/">1 more</a>`} {
		next := strings.Index(body, line)
		if next <= at {
			t.Errorf("%q is not there, or not in its place\n%s", line, body)
		}
		at = next
	}
	s.expect(ann, "/", "zed@other.example: address was changed|Password is refused|Enter it anew.|Something odd happened.", `class="banner"`)

	for _, subject := range []string{"connection", "somewhere", "mailbox " + ann, "mailbox " + bob, "mailbox zed@other.example"} {
		if _, err := s.org.CloseAlerts(t.Context(), subject, ""); err != nil {
			t.Fatal(err)
		}
	}
	s.server.counted.forget()
	s.expect(ann, "/contacts", "Cyn Clark", `class="banner"`)
}

// TestBannerWhileNothingCanBeWritten: no row can tell that, so the engine does.
func TestBannerWhileNothingCanBeWritten(t *testing.T) {
	s := newFilledSite(t)
	s.unwritable = &crm.Fault{Code: "disk-full", Message: "The disk is full.", Advice: "Make room."}
	s.server.counted.forget()
	s.expect(ann, "/contacts", "The disk is full.", "")
	s.expect(ann, "/", "The disk is full.|Make room.", "")
	s.unwritable = nil
	s.server.counted.forget()
	s.expect(ann, "/contacts", "", "The disk is full.")
}

func TestAlertsByAPI(t *testing.T) {
	s := newFilledSite(t)
	s.expect(ann, "/api/alerts", `{"total":0,"items":[]}`, "")
	s.alert("mailbox "+bob, notPermitted)
	s.alert("mailbox "+bob, notPermitted)
	s.expect(ann, "/api/alerts", `"total":1|"code":"ErrorImpersonateUserDenied"|"cause":"not-permitted"|"subject":"mailbox bob@acme.example"|"advice":"Give it the role."|"count":2`, "")
	if r := s.get(bob, "/api/alerts"); r.StatusCode != 403 {
		t.Errorf("for no administrator: status %d", r.StatusCode)
	}
}

// TestMailboxesWithATrouble: the list that the banner leads to has those in trouble and
// those that are well and have an alert.
func TestMailboxesWithATrouble(t *testing.T) {
	s := newFilledSite(t)
	s.trouble(bob, crm.Attention, notPermitted)
	s.expect(ann, "/mailboxes?code=ErrorImpersonateUserDenied", "Bob Baker|The account may not read this mailbox</span>|Only those with|Show all", "ann@acme.example</small>")
	s.alert("mailbox "+ann, crm.Fault{Code: "address-changed", Cause: crm.Renamed, Message: "Another address."})
	s.expect(ann, "/mailboxes?code=address-changed", "ann@acme.example</small>", "Bob Baker")
	s.expect(ann, "/mailboxes?code=passed", "No mailbox has this trouble any more", "Bob Baker")
	s.expect(ann, "/mailboxes?code=ErrorImpersonateUserDenied&page=2", "No mailbox", "Bob Baker")
}

func TestMailboxTrouble(t *testing.T) {
	s := newFilledSite(t)
	box := s.trouble(bob, crm.Waiting, crm.Fault{Verdict: crm.Retry, Code: "ErrorMailboxMoveInProgress", Cause: crm.Moving, Message: "The mailbox is on its way.", Advice: "Wait for it."})
	s.expect(ann, fmt.Sprintf("/mailboxes/%d", box.ID), "<b>Mailbox is being moved</b>|The mailbox is on its way.|ErrorMailboxMoveInProgress|Wait for it.|Next try|tried 3 times", "")
	s.expect(ann, "/api/mailboxes", `"cause":"moving"`, "")
	s.trouble(bob, crm.Attention, notPermitted)
	s.expect(ann, fmt.Sprintf("/mailboxes/%d", box.ID), "Next try", "somebody saves the settings")
	s.trouble(bob, crm.Attention, crm.Fault{Verdict: crm.Reauth, Code: "password-refused", Cause: crm.PasswordRefused, Message: "The server refuses the password."})
	s.expect(ann, fmt.Sprintf("/mailboxes/%d", box.ID), "<b>Password is refused</b>|It is not tried again until somebody saves the settings.", "Next try")
}

// TestWatch: how new mail comes to notice is said in words, for those mailboxes that are
// followed.
func TestWatch(t *testing.T) {
	s := newFilledSite(t)
	box := s.user("Bob").Mailbox
	page := fmt.Sprintf("/mailboxes/%d", box)
	for _, c := range []struct {
		watch       crm.Watch
		list, words string
	}{
		{crm.Watch{Mode: crm.Streaming, Since: sampleNow.Add(-time.Minute)}, "within seconds</span><small>Exchange tells us<", "Exchange tells us within seconds</span>, since"},
		{crm.Watch{Mode: crm.Pulling, Every: time.Minute, Why: "It is Exchange 2007."}, "every minute</span><small>Exchange is asked<", "Exchange is asked every minute</span>|<small>It is Exchange 2007.</small>"},
		{crm.Watch{Mode: crm.Polling, Every: 30 * time.Second, Why: "It was refused."}, "every 30 s</span><small>looked at<", "Looked at every 30 s</span>|<small>It was refused.</small>"},
	} {
		s.watches = map[crm.MailboxID]crm.Watch{box: c.watch}
		s.expect(ann, page, c.words, "")
		s.expect(ann, "/mailboxes", c.list, "")
		s.expect(ann, "/api/mailboxes", fmt.Sprintf(`"mode":%q`, c.watch.Mode), "")
	}
	s.trouble(bob, crm.Attention, notPermitted)
	s.expect(ann, page, "not until the trouble is settled", "Looked at every")
}

// TestFacts: what Exchange told of a mailbox in passing.
func TestFacts(t *testing.T) {
	s := newFilledSite(t)
	box, err := s.org.MailboxByAddress(t.Context(), bob)
	if err != nil {
		t.Fatal(err)
	}
	page := fmt.Sprintf("/mailboxes/%d", box.ID)
	s.expect(ann, page, "Folders", "Exchange calls it|<dt>Server</dt>")
	box.Server, box.Primary = "ex07.acme.example", "robert@acme.example"
	if err := s.org.SaveMailbox(t.Context(), &box.Mailbox); err != nil {
		t.Fatal(err)
	}
	s.expect(ann, page, "<dd>ex07.acme.example</dd>|Exchange calls it <b>robert@acme.example</b> now.|primary address of", "")
	s.expect(bob, page, "An administrator should enter that", "primary address of <a")
	s.expect(ann, "/mailboxes", "Exchange calls it robert@acme.example now.", "")
	s.expect(ann, "/api/mailboxes", `"server":"ex07.acme.example","primary_address":"robert@acme.example"`, "")
}

// TestBudgets: servers and accounts are shown always, mailboxes when they are held back.
func TestBudgets(t *testing.T) {
	s := newFilledSite(t)
	s.expect(ann, "/mailboxes", "Ann Archer", "How much Exchange is asked")
	s.budgets = []crm.Budget{
		{Scope: crm.HostBudget, Key: "mail.acme.example", Limit: 10},
		{Scope: crm.AccountBudget, Key: `ACME\svc`, Limit: 7, Code: "ErrorServerBusy", Strikes: 1},
		{Scope: crm.MailboxBudget, Key: bob, Limit: 1, Until: sampleNow.Add(90 * time.Second), Code: "ErrorTooManyObjectsOpened", Strikes: 4},
		{Scope: crm.MailboxBudget, Key: "quiet@acme.example", Limit: 2},
	}
	s.expect(ann, "/mailboxes", `How much Exchange is asked|mail.acme.example<small>server|ACME\svc<small>account|12:01:30|4 times in a row`, "quiet@acme.example")
	rows := budgetRows(s.budgets, sampleNow)
	var order []string
	for _, row := range rows {
		order = append(order, row.Key)
	}
	if got, want := strings.Join(order, " "), bob+` ACME\svc mail.acme.example`; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
	if later := budgetRows(s.budgets, sampleNow.Add(time.Hour)); later[0].Silent {
		t.Error("a silence that has passed is still shown")
	}
}

// TestEveryCauseHasWordsForMany: none speaks of one mailbox where there are several.
func TestEveryCauseHasWordsForMany(t *testing.T) {
	for _, c := range []crm.Cause{crm.Throttled, crm.Moving, crm.MovedAway, crm.Renamed, crm.NoMailbox, crm.Disabled, crm.Recreated, crm.Unlicensed,
		crm.NotPermitted, crm.PasswordExpired, crm.PasswordRefused, crm.Unreachable} {
		words := causeOfMany(c)
		if words == "" || words == string(c) || strings.Contains(words+" ", "mailbox ") || strings.Contains(words, "this") {
			t.Errorf("%s: %q", c, words)
		}
	}
}
