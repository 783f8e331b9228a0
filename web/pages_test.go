package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// TestPages is the pages as data: who asks for what, with which status it is answered,
// which words must and must not be there.
func TestPages(t *testing.T) {
	s := newFilledSite(t)
	expand := strings.NewReplacer(
		"{offer}", fmt.Sprint(s.message("offer")), "{attack}", fmt.Sprint(s.message("attack")), "{bobs}", fmt.Sprint(s.message("bobs")), "{reply}", fmt.Sprint(s.message("reply")),
		"{cyn}", fmt.Sprint(s.contact("Cyn")), "{ann}", fmt.Sprint(s.user("Ann").ID), "{bob}", fmt.Sprint(s.user("Bob").ID),
		"{ann's box}", fmt.Sprint(s.user("Ann").Mailbox), "{bob's box}", fmt.Sprint(s.user("Bob").Mailbox),
	)
	const settings = settingsPath
	for _, c := range []struct {
		who, url string
		status   int
		words    string // separated by |
		never    string
	}{
		{"", "/", 303, "", ""},
		{"", "/sign-in", 200, "Sign in|E-mail address|Password", "My Emails"},
		{"", "/api/mails", 401, `"sign-in-needed"`, "marmalade"},
		{"", "/messages/{offer}", 303, "", "marmalade"},

		{ann, "/", 200, "Home|each copy of a message in a mailbox counts|<span class=\"sign\">=</span>|Seen|Filed|Last filed|Mail of 30 days|Only for Bob|2 mailboxes live", "never stored"},
		{bob, "/", 303, "", ""},

		{ann, "/mails", 200, "My Emails|Cyn Clark|Client &amp; Sons|Re: Offer for the pumps|Why it is here", "Only for Bob|never stored"},
		{bob, "/mails", 200, "Only for Bob|Offer for the pumps", "Re: Offer"},
		{zed, "/mails", 200, "No mail yet", "Offer"},
		{ann, "/mails?show=sent", 200, "Re: Offer for the pumps", "quiet harbour"},
		{ann, "/mails?show=unread", 200, "Offer for the pumps|unread", "to </span>Cyn"},
		{ann, "/mails?threads=1", 200, "2 messages in this thread", ""},
		{ann, "/mails?message={offer}", 200, "The price of marmalade|chosen|matched by <b>cyn@client.example</b> (From)", ""},
		{ann, "/mails?message=999999", 404, "There is nothing here|not-found", ""},

		{ann, "/messages/{offer}", 200, "<code>offer@mail.example</code>|in 2 mailboxes|thread of 2|Ann Archer|Bob Baker|matched by <b>bob@acme.example</b> (To)", ""},
		{zed, "/messages/{reply}", 200, "We take &lt;b&gt;forty", "secret@nowhere.example"},
		{bob, "/messages/{reply}", 200, "Offer for the pumps", "secret@nowhere.example"},
		{ann, "/messages/{reply}", 200, "secret@nowhere.example", ""},
		{ann, "/messages/0", 404, "not-found", ""},
		{ann, "/messages/{offer}x", 404, "not-found", ""},
		{ann, "/messages/99999999999999999999", 404, "not-found", ""},
		{ann, "/messages/{attack}", 200, "&lt;script&gt;alert(|1 remote picture not loaded|<iframe", "<script>alert|onerror|track.example"},

		{ann, "/contacts", 200, "Cyn Clark|Dan Dörr|c.y@client.example|Buyer", ""},
		{ann, "/contacts?q=partner", 200, "Dan Dörr", "Cyn Clark"},
		{ann, "/contacts?q=zzz", 200, "Nobody matches|Show all", "Cyn Clark"},
		{zed, "/contacts/{cyn}", 200, "Activities|Offer for the pumps|Re: Offer|At a glance|Who knows Cyn|Messages per week", "Only for Bob"},
		{ann, "/contacts/424242", 404, "not-found", ""},
		{ann, "/contacts/{cyn}", 200, "/edit\"|id=\"contact\" data-live", "is also the address"},
		{bob, "/contacts/{cyn}", 200, "Cyn Clark", "/edit"},
		{ann, "/contacts/new", 200, "New contact|Save contact|One address a line", ""},
		{ann, "/contacts/{cyn}/edit", 200, "Edit contact|value=\"Client &amp; Sons\"|value=\"Buyer\"|cyn@client.example\nc.y@client.example</textarea>", "New contact"},
		{bob, "/contacts/{cyn}/edit", 403, "not-an-administrator", ""},
		{ann, "/contacts/424242/edit", 404, "not-found", ""},
		{bob, "/contacts/new", 403, "not-an-administrator", ""},
		{bob, "/contacts", 200, "Cyn Clark", "New contact"},
		{ann, "/users", 200, "Ann Archer|administrator|zed@other.example", ""},
		{bob, "/users/{ann}", 200, "Activities|Offer for the pumps", "Set password|Only for Bob"},
		{ann, "/users/{bob}", 200, "Set password|Only for Bob|Mailbox", ""},

		{ann, "/search?q=marmalade", 200, "Offer for the pumps|1</span>", "quiet harbour"},
		{ann, "/search?q=clark", 200, "Contacts|Client &amp; Sons", ""},
		{ann, "/search?q=%3Cscript%3E", 200, "“&lt;script&gt;”", "<script>“"},
		{ann, "/search?q=nothingatall", 200, "No message holds this", ""},
		{ann, "/search", 200, "All filed mail|Only for Bob", ""},

		{ann, "/mailboxes", 200, "Ann Archer|Bob Baker|Live|All is read", "zed@other.example"},
		{bob, "/mailboxes", 403, "for administrators|not-an-administrator", "Ann Archer"},
		{ann, "/mailboxes/{bob's box}", 200, "bob@acme.example|Inbox|Sent Items|Not read: Drafts|not sent yet", ""},
		{bob, "/mailboxes/{bob's box}", 200, "bob@acme.example", "Look now"},
		{bob, "/mailboxes/{ann's box}", 404, "not-found", "ann@acme.example"},

		{ann, "/not-filed", 200, "no contact among the addresses|marked private or confidential|ann@acme.example", "never stored|x@nowhere"},
		{ann, "/not-filed?q=x@nowhere.example", 200, "no contact among the addresses|Make x@nowhere.example a contact|/contacts/new?address=x%40nowhere.example", "marked private or confidential</td>"},
		{ann, "/contacts/new?address=%22%3E%3Cb%3E", 200, "&#34;&gt;&lt;b&gt;", ""},
		{ann, "/not-filed?q=%3Cdiary@mail.example%3E", 200, "<td>marked private or confidential|newest message comes first", "<td>no contact|are not filed</small>"},
		{ann, "/not-filed?q=%3Coffer@mail.example%3E", 200, "This one is filed", "Nothing of this kind"},
		{ann, "/not-filed?q=hello", 200, "Subjects cannot be searched", ""},
		{ann, "/not-filed?reason=private", 200, "<td>marked private", "<td>no contact"},
		{ann, "/not-filed?outcome=failed", 200, "Nothing of this kind", "<td>no contact"},
		{bob, "/not-filed", 200, "Nothing", "ann@acme.example"},
		{bob, "/not-filed?mailbox={ann's box}", 200, "", "ann@acme.example|<td>no contact"},
		{zed, "/not-filed", 200, "You have no mailbox here", ""},

		{ann, settings, 200, "Email settings|mail.acme.example|acme.example|kept, type to replace|Save Settings", "hidden-password"},
		{ann, "/api/settings", 200, `"password_set":true`, "hidden-password"},
		{bob, settings, 403, "not-an-administrator", "mail.acme.example"},
		{bob, "/api/settings", 403, `"not-an-administrator"`, "mail.acme.example"},
		{bob, "/api/mailboxes", 403, `"not-an-administrator"`, ann},

		{ann, "/api/mails", 200, `"total":3`, "Only for Bob"},
		{ann, "/api/mails?limit=1", 200, `"next":"`, ""},
		{bob, "/api/mails", 200, `"total":2`, "Re: Offer"},
		{ann, "/api/contacts/{cyn}/activities", 200, `"total":2`, "Only for Bob"},
		{ann, "/api/contacts/424242/activities", 404, `"not-found"`, ""},
		{ann, "/api/users/{bob}/activities", 200, `"total":2`, ""},
		{ann, "/api/search?q=marmalade", 200, `"total":1`, ""},
		{ann, "/api/messages/{offer}", 200, `"message_id":"offer@mail.example"|"part":"from"|marmalade`, ""},
		{bob, "/api/messages/{reply}", 200, `"rule":"`, "secret@nowhere.example"},
		{ann, "/api/mailboxes", 200, `"state":"live"|"no_contact":1`, ""},
		{ann, "/api/nothing", 404, `"not-found"`, "<html"},
		{ann, "/nothing", 404, "There is nothing here", ""},
		{"", "/nothing", 303, "", ""},
	} {
		url := expand.Replace(c.url)
		r := s.get(c.who, url)
		body := text(t, r)
		if r.StatusCode != c.status {
			t.Errorf("%s asks for %s: status %d, want %d\n%s", c.who, c.url, r.StatusCode, c.status, content(body))
			continue
		}
		for word := range strings.SplitSeq(c.words, "|") {
			if !strings.Contains(body, word) {
				t.Errorf("%s asks for %s: %q is missing\n%s", c.who, c.url, word, content(body))
			}
		}
		for word := range strings.SplitSeq(c.never, "|") {
			if word != "" && strings.Contains(body, word) {
				t.Errorf("%s asks for %s: %q must not be there", c.who, c.url, word)
			}
		}
	}
}

// content cuts a page down to what is special about it, for the message of a test.
func content(body string) string {
	if _, inner, ok := strings.Cut(body, "<main"); ok {
		return inner
	}
	return body
}

// TestEmptyPages: a new installation says on every page what will be there.
func TestEmptyPages(t *testing.T) {
	s := newSite(t)
	for url, words := range map[string]string{
		"/":          "No mailbox is read yet",
		"/mails":     "No mail yet",
		"/mailboxes": "No mailboxes yet",
		"/not-filed": "Nothing was left out",
		"/search":    "Nothing is filed yet",
		fmt.Sprintf("/contacts/%d", s.contact("Cyn")): "Nothing is filed yet",
	} {
		r := s.get(ann, url)
		body := text(t, r)
		if r.StatusCode != http.StatusOK || !strings.Contains(body, words) {
			t.Errorf("%s: status %d, %q missing:\n%s", url, r.StatusCode, words, body)
		}
		if !strings.Contains(body[strings.Index(body, words):], `class="button`) {
			t.Errorf("%s: the empty state has no button", url)
		}
	}
}

func TestHomeGroupsTrouble(t *testing.T) {
	s := newFilledSite(t)
	ctx := context.Background()
	for _, address := range []mail.Address{ann, bob} {
		box, err := s.org.MailboxByAddress(ctx, address)
		if err != nil {
			t.Fatal(err)
		}
		box.State, box.Since = crm.Attention, sampleNow
		box.Trouble = &crm.Fault{Verdict: crm.Refused, Code: "ErrorImpersonateUserDenied", Message: "The account may not impersonate it.", Advice: "In the shell: New-ManagementRoleAssignment -User 'svc'; if it is there, check it."}
		if err := s.org.SaveMailbox(ctx, &box.Mailbox); err != nil {
			t.Fatal(err)
		}
	}
	body := text(t, s.get(ann, "/"))
	if n := strings.Count(body, "The account may not impersonate it."); n != 1 {
		t.Errorf("the trouble of two mailboxes is told %d times, want once", n)
	}
	for _, word := range []string{"2 mailboxes", `<p>In the shell:</p><code class="command">New-ManagementRoleAssignment -User &#39;svc&#39;</code><p>If it is there, check it.</p>`, "ErrorImpersonateUserDenied", "2 mailboxes need attention"} {
		if !strings.Contains(body, word) {
			t.Errorf("home says nothing of %q", word)
		}
	}
}

func TestNewContact(t *testing.T) {
	s := newFilledSite(t)
	if r := s.post(bob, "/contacts", "name=X&addresses=x@nowhere.example"); r.StatusCode != http.StatusForbidden {
		t.Errorf("by no administrator: status %d", r.StatusCode)
	}
	for form, word := range map[string]string{
		"name=&company=Kept+%26+Co&addresses=x@nowhere.example": `id="name-error"`,
		"name=X&company=Kept+%26+Co&addresses=":                 `id="addresses-error"`,
		"name=X&company=Kept+%26+Co&addresses=x%20at%20nowhere": "is no e-mail address",
	} {
		r := s.post(ann, "/contacts", form)
		if body := text(t, r); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, word) || !strings.Contains(body, "Kept &amp; Co") {
			t.Errorf("%s: status %d, want 422 with %s\n%s", form, r.StatusCode, word, content(body))
		}
	}
	if _, total, err := s.org.Contacts(t.Context(), store.ListQuery{}); err != nil || total != 2 {
		t.Errorf("%d contacts after bad forms, %v", total, err)
	}
	r := s.post(ann, "/contacts", "name=Xenia&company=Nowhere&addresses=+X@nowhere.example,%0d%0ax2@nowhere.example")
	if want := fmt.Sprintf("/contacts/%d?saved=1&again=1", s.contact("Xenia")); r.Header.Get("Location") != want {
		t.Fatalf("status %d, leads to %q, want %q", r.StatusCode, r.Header.Get("Location"), want)
	}
	if body := text(t, s.get(ann, r.Header.Get("Location"))); !strings.Contains(body, "1 item that was left out is looked at again") || !strings.Contains(body, "x2@nowhere.example") {
		t.Errorf("the new contact's page:\n%s", content(body))
	}
}

// TestEditContact: what was changed is there afterwards, and a removed address takes its
// mail along.
func TestEditContact(t *testing.T) {
	s := newFilledSite(t)
	edit := fmt.Sprintf("/contacts/%d/edit", s.contact("Cyn"))
	if r := s.post(bob, edit, "name=X&addresses=x@nowhere.example"); r.StatusCode != http.StatusForbidden {
		t.Errorf("by no administrator: status %d", r.StatusCode)
	}
	if r := s.post(ann, "/contacts/424242/edit", "name=X&addresses=x@nowhere.example"); r.StatusCode != http.StatusNotFound {
		t.Errorf("of nobody: status %d", r.StatusCode)
	}
	for form, word := range map[string]string{
		"name=&title=Kept&addresses=x@nowhere.example": `name="name" value="" autocomplete="off" autofocus aria-invalid="true"`,
		"name=X&title=Kept&addresses=":                 `autofocus aria-invalid="true" aria-describedby="addresses-error"`,
	} {
		r := s.post(ann, edit, form)
		if body := text(t, r); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, word) || !strings.Contains(body, "Kept") || !strings.Contains(body, `action="`+edit+`"`) {
			t.Errorf("%s: status %d, want 422 with %s\n%s", form, r.StatusCode, word, content(body))
		}
	}

	r := s.post(ann, edit, "name=Cynthia+Clark&company=Client&title=&addresses=c.y@client.example%0d%0ax@nowhere.example%0d%0adan@partner.example")
	page := strings.TrimSuffix(edit, "/edit")
	if want := page + "?saved=1&again=1"; r.Header.Get("Location") != want {
		t.Fatalf("status %d, leads to %q, want %q", r.StatusCode, r.Header.Get("Location"), want)
	}
	body := text(t, s.get(ann, page))
	for _, word := range []string{"Cynthia Clark", "c.y@client.example, x@nowhere.example", "dan@partner.example is also the address of", ">Dan Dörr</a>.", "Only for Bob"} {
		if !strings.Contains(body, word) {
			t.Errorf("the page lacks %q\n%s", word, content(body))
		}
	}
	for _, word := range []string{"Buyer", "Offer for the pumps"} { // filed by the address that was removed
		if strings.Contains(body, word) {
			t.Errorf("%q is still on the page", word)
		}
	}
	if body := text(t, s.get(ann, fmt.Sprintf("/messages/%d", s.message("offer")))); strings.Contains(body, "Cynthia") {
		t.Error("the message is still filed with the contact")
	}
}

// TestContactWithAddressOfUser: it would never get mail, so that nothing is saved.
func TestContactWithAddressOfUser(t *testing.T) {
	s := newFilledSite(t)
	for _, url := range []string{"/contacts", fmt.Sprintf("/contacts/%d/edit", s.contact("Dan"))} {
		r := s.post(ann, url, "name=Dan+D%C3%B6rr&addresses=dan@partner.example%0d%0aBOB@acme.example")
		if body := text(t, r); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "bob@acme.example is the address of the user Bob Baker; mail among users is not filed.") {
			t.Errorf("%s: status %d\n%s", url, r.StatusCode, content(body))
		}
	}
	c, err := s.org.Contact(t.Context(), s.contact("Dan"))
	if err != nil || len(c.Addresses) != 1 {
		t.Errorf("addresses %v afterwards, %v", c.Addresses, err)
	}
}

// TestPulse: the line at the top says what is, not what will be.
func TestPulse(t *testing.T) {
	for _, c := range []struct {
		boxes      map[crm.MailboxState]int
		enabled    bool
		dot, words string
	}{
		{nil, false, "off", "collecting is off"},
		{map[crm.MailboxState]int{crm.Off: 3}, false, "off", "collecting is off"},
		{map[crm.MailboxState]int{crm.Off: 3}, true, "waiting", "no mailbox to read"},
		{map[crm.MailboxState]int{crm.Provisioned: 6}, true, "waiting", "6 mailboxes not read yet"},
		{map[crm.MailboxState]int{crm.Provisioned: 4, crm.Importing: 1, crm.Live: 1}, true, "live", "1 mailbox in first import, 4 not read yet"},
		{map[crm.MailboxState]int{crm.Provisioned: 1, crm.Live: 2}, true, "live", "2 mailboxes live, 1 not read yet"},
		{map[crm.MailboxState]int{crm.Live: 6, crm.Off: 1}, true, "live", "6 mailboxes live"},
		{map[crm.MailboxState]int{crm.Waiting: 6}, true, "waiting", "6 mailboxes wait"},
		{map[crm.MailboxState]int{crm.Attention: 1, crm.Live: 5}, true, "attention", "1 mailbox needs attention"},
	} {
		if p := pulseOf(&figures{HomeStats: &store.HomeStats{Mailboxes: c.boxes}, Enabled: c.enabled}); p.Dot != c.dot || p.Words != c.words {
			t.Errorf("%v: %s, %q; want %s, %q", c.boxes, p.Dot, p.Words, c.dot, c.words)
		}
	}
}

func TestLookNow(t *testing.T) {
	s := newFilledSite(t)
	box := s.user("Bob").Mailbox
	if r := s.post(ann, "/mailboxes/look", ""); r.StatusCode != http.StatusSeeOther {
		t.Errorf("look at all: status %d", r.StatusCode)
	}
	if r := s.post(ann, "/mailboxes/look", fmt.Sprintf("mailbox=%d", box)); r.Header.Get("Location") != fmt.Sprintf("/mailboxes/%d?looking=1", box) {
		t.Errorf("look at one leads to %q", r.Header.Get("Location"))
	}
	if r := s.do(ann, "POST", "/api/mailboxes/look", "", ""); r.StatusCode != http.StatusAccepted {
		t.Errorf("look by API: status %d", r.StatusCode)
	}
	for _, c := range []struct {
		who, form string
		status    int
	}{{bob, "", 403}, {ann, "mailbox=9999", 404}, {ann, "mailbox=x", 400}} {
		if r := s.post(c.who, "/mailboxes/look", c.form); r.StatusCode != c.status {
			t.Errorf("%s looks at %q: status %d, want %d", c.who, c.form, r.StatusCode, c.status)
		}
	}
	if got, want := fmt.Sprint(s.looked), fmt.Sprintf("[[] [%d] []]", box); got != want {
		t.Errorf("looked at %s, want %s", got, want)
	}
}

// A mailbox that is off says which of the reasons it is.
func TestMailboxThatIsOffSaysWhy(t *testing.T) {
	s := newFilledSite(t)
	save := func(change func(*crm.Policy)) {
		t.Helper()
		p, err := s.org.Policy(t.Context())
		if err == nil {
			change(&p)
			_, err = s.org.SavePolicy(t.Context(), p, false)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	at := fmt.Sprint("/mailboxes/", s.user("Bob").Mailbox)
	const denies, lists = "The policy denies this mailbox.", "The policy does not list this mailbox."
	save(func(p *crm.Policy) { p.Deny = []crm.Selector{"bob@acme.example"} })
	s.expect(ann, "/mailboxes", denies, lists+"|Collecting is off.")
	s.expect(ann, at, denies, lists+"|not active")
	save(func(p *crm.Policy) { p.Deny, p.Allow = nil, []crm.Selector{"ann@acme.example"} })
	s.expect(ann, "/mailboxes", lists, denies)
	save(func(p *crm.Policy) { p.Allow = nil })
	settings := s.settings()
	settings.Enabled = false
	if err := s.org.SaveSettings(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	s.expect(ann, at, "Collecting is off.", denies+"|"+lists)
}
