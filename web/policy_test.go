package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/crm"
	"postern/store"
)

// policyPage is the form as the policy page has it, with some fields as typed.
func (s *site) policyPage(typed url.Values) url.Values {
	s.Helper()
	p, err := s.org.Policy(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	f := newPolicyForm(p)
	form := url.Values{"version": {itoa(p.Version)}, "domains": {f.Domains}, "kinds": {"email"}, "attachments": {"store"}, "sensitivities": {"private", "confidential"}}
	for name, values := range typed {
		form[name] = values
	}
	return form
}

func itoa(n int64) string { text, _ := json.Marshal(n); return string(text) }

var seenField = regexp.MustCompile(`name="seen" value="([0-9a-f]+)"`)

func TestPolicyIsShownBeforeItIsSaved(t *testing.T) {
	s := newFilledSite(t)
	typed := url.Values{"excluded": {"  CYN@client.example \r\n*@*.bank.example\r\n"}, "deny": {"bob@acme.example"}, "locked": {"since"}, "max_size": {"10 MB"}, "remove": {"1"}}
	form := s.policyPage(typed)
	form.Set("do", "save")
	r := s.post(ann, "/access/policy", form.Encode())
	body := text(t, r)
	for _, word := range []string{"look at what it changes first", "not wider than before", "+ cyn@client.example", "+ *@*.bank.example", "no limit → 10 MB", "bob@acme.example", "Remove what was filed", "Offer for the pumps", "Save version 2"} {
		if !strings.Contains(body, word) {
			t.Errorf("%q is missing\n%s", word, content(body))
		}
	}
	if p, err := s.org.Policy(t.Context()); err != nil || p.Version != 1 {
		t.Fatalf("version %d was saved unseen, %v", p.Version, err)
	}
	form.Set("seen", seenField.FindStringSubmatch(body)[1])
	other := url.Values(form)
	if r := s.post(ann, "/access/policy", other.Encode()); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d: %s", r.StatusCode, content(text(t, r)))
	}
	p, err := s.org.Policy(t.Context())
	if err != nil || p.Version != 2 || p.By == "" || !slices.Equal(p.Excluded, []crm.Pattern{"cyn@client.example", "*@*.bank.example"}) || p.MaxSize != 10<<20 ||
		!slices.Equal(p.Deny, []crm.Selector{"bob@acme.example"}) || !slices.Equal(p.Locked, []string{"since"}) {
		t.Errorf("saved %+v, %v", p, err)
	}
	rows, _, _, err := s.org.Activities(t.Context(), store.MailQuery{})
	if err != nil || slices.ContainsFunc(rows, func(r store.ActivityRow) bool { return strings.Contains(r.Subject, "Offer") }) {
		t.Errorf("left after the removal: %+v, %v", rows, err)
	}
	s.expect(ann, "/access/policy?saved=1", "Version 2 holds from now on|removed|Version 1|Start from this version", "What this changes")
	s.expect(ann, "/access/policy?from=1", "The form shows version 1", "")
	// The form of somebody who had looked before shows what it would do now.
	form.Set("do", "save")
	s.post(ann, "/access/policy", form.Encode())
	if body := text(t, s.post(ann, "/access/policy", form.Encode())); !strings.Contains(body, "somebody saved version 2 meanwhile") {
		t.Errorf("a stale form: %s", content(body))
	}
}

func TestPolicyFormNamesWhatIsWrong(t *testing.T) {
	s := newFilledSite(t)
	form := s.policyPage(url.Values{"domains": {" "}, "allow": {"ann"}, "since": {"soon"}, "max_size": {"<b>lots"}, "excluded": {"*"}, "do": {"show"}})
	r := s.post(ann, "/access/policy", form.Encode())
	body := text(t, r)
	for _, word := range []string{"5 fields need another look", "At least one domain", "neither an address", "is not a day", "is not a size", "match everybody", `>ann</textarea>`, `value="&lt;b&gt;lots"`} {
		if !strings.Contains(body, word) {
			t.Errorf("%q is missing\n%s", word, content(body))
		}
	}
	if r.StatusCode != http.StatusUnprocessableEntity || strings.Contains(body, "What this changes") {
		t.Errorf("status %d", r.StatusCode)
	}
}

func TestPolicyByTheAPI(t *testing.T) {
	s := newFilledSite(t)
	for _, path := range []string{"/access/policy", "/api/access/policy", "/api/access/policy/versions"} {
		if r := s.get(bob, path); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s by no administrator: status %d", path, r.StatusCode)
		}
	}
	var p crm.Policy
	if err := json.NewDecoder(s.get(ann, "/api/access/policy").Body).Decode(&p); err != nil || p.Version != 1 {
		t.Fatalf("got %+v, %v", p, err)
	}
	p.Excluded = []crm.Pattern{"client.example"}
	send := func(method, path string, p crm.Policy, status int, words ...string) {
		t.Helper()
		body, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		r := s.do(ann, method, path, "application/json", string(body))
		answer := text(t, r)
		for _, word := range words {
			if !strings.Contains(answer, word) {
				t.Errorf("%s %s: %q is missing in %s", method, path, word, answer)
			}
		}
		if r.StatusCode != status {
			t.Errorf("%s %s: status %d, want %d: %s", method, path, r.StatusCode, status, answer)
		}
	}
	send("POST", "/api/access/policy/dry-run", p, 200, `"messages":`, `"excluded_domain":`)
	send("PUT", "/api/access/policy?remove=1", p, 200, `"version":2`, `"excluded":["client.example"]`)
	send("PUT", "/api/access/policy", p, 409, "policy-stale")
	p.Version, p.Domains = 2, nil
	send("PUT", "/api/access/policy", p, 422, `"domains"`)
	s.expect(ann, "/api/access/policy/versions", `"version":1|"version":2`, "")
}

func TestMyLimits(t *testing.T) {
	s := newFilledSite(t)
	p, err := s.org.Policy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Excluded, p.Locked = []crm.Pattern{"bank.example"}, []string{"attachments", "since"}
	if _, err := s.org.SavePolicy(t.Context(), p, false); err != nil {
		t.Fatal(err)
	}
	s.expect(bob, "/my/limits", "My limits|Your organization: bank.example|Set by your organization|Nothing older than", `name="since"|name="attachments"`)
	if r := s.post(bob, "/my/limits", url.Values{"excluded": {"dan@client.example"}, "since": {"2026-01-01"}, "attachment_limit": {"1 MB"}}.Encode()); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d: %s", r.StatusCode, content(text(t, r)))
	}
	all, err := s.org.UserLimits(t.Context())
	own := all[s.user("Bob").ID]
	if err != nil || len(all) != 1 || !slices.Equal(own.Excluded, []crm.Pattern{"dan@client.example"}) || own.AttachmentLimit != 1<<20 || !own.Since.IsZero() {
		t.Errorf("saved %+v, %v; want what is not locked", all, err)
	}
	s.expect(bob, "/my/limits?saved=1", "Saved.|dan@client.example</textarea>", "")
	s.expect(bob, "/api/my/limits", `"own":{"excluded":["dan@client.example"]|"bank.example","dan@client.example"|"locked":["attachments","since"]`, "")
	s.expect(ann, "/my/limits", "Your organization: bank.example", "dan@client.example</textarea>")
	if r := s.post(bob, "/my/limits", url.Values{"excluded": {"*"}}.Encode()); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text(t, r), "match everybody") {
		t.Errorf("status %d", r.StatusCode)
	}
}
