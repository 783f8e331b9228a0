package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// The page says who is told of what widens access, and plainly when nobody is.
func TestSecurityContactsPage(t *testing.T) {
	s := newSite(t)
	const page = "/access/audit"
	post := func(who, contacts string) string {
		t.Helper()
		return text(t, s.post(who, page+"/contacts", "contacts="+url.QueryEscape(contacts)))
	}
	want := func(body string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(body, w) {
				t.Errorf("no %q in\n%s", w, body)
			}
		}
	}
	want(text(t, s.get(ann, page)), "no mail server is set", "nobody is told")
	s.server.MailServer = "smtp.acme.example:465"
	want(text(t, s.get(ann, page)), "no contact is named", "nobody is told")

	want(post(ann, "sec@acme.example\r\n\r\nout@other.example"), "")
	if list, err := s.org.SecurityContacts(t.Context()); err != nil || len(list) != 2 || list[0] != "out@other.example" {
		t.Fatal(list, err)
	}
	body := text(t, s.get(ann, page+"?saved=contacts"))
	want(body, "The contacts are saved", "told by mail", "Mail leaves by smtp.acme.example:465", "Security contacts changed", "on its way")
	if strings.Contains(body, "nobody is told") {
		t.Error("nobody is told, yet there are contacts and a server")
	}
	owed := store.Word{To: "sec@acme.example", Entries: []crm.AuditEntry{{Seq: 3, At: sampleNow}}}
	if err := s.org.WordFailed(t.Context(), owed, "550 <who>?"); err != nil {
		t.Fatal(err)
	}
	want(text(t, s.get(ann, page)), "550 &lt;who&gt;?", "1 attempt")

	for _, bad := range []string{"no address", "sec@acme.example>\x00", strings.Repeat("x@y.example\n", 1) + "a b@c"} {
		want(post(ann, bad), "is no mail address", `aria-invalid="true"`)
	}
	many := ""
	for i := range 21 {
		many += string(rune('a'+i)) + "@acme.example\n"
	}
	want(post(ann, many), "more than the 20")
	want(post(bob, "bob@acme.example"), "not-an-administrator")
	if list, err := s.org.SecurityContacts(t.Context()); err != nil || len(list) != 2 || list[1] != mail.Address("sec@acme.example") {
		t.Error("what was refused is saved:", list, err)
	}
}

// Programs see and change the contacts as the page does.
func TestSecurityContactsByTheAPI(t *testing.T) {
	s := newGuardedSite(t)
	const path = "/api/access/audit/contacts"
	s.answers(ann, "GET", path, "", http.StatusOK, `"told":false,"items":[]`)
	s.answers(ann, "PUT", path, `{"addresses":["sec@acme.example","out@other.example"]}`, http.StatusOK, `"address":"sec@acme.example","contact":true|"address":"out@other.example"`)
	s.server.MailServer = "smtp.acme.example:465"
	s.answers(ann, "GET", path, "", http.StatusOK, `"told":true|"waiting":1`)
	for _, body := range []string{`{}`, `{"addresses":["nobody"]}`, `{"contacts":[]}`} {
		s.answers(ann, "PUT", path, body, http.StatusBadRequest, "")
	}
	many := make([]string, 21)
	for i := range many {
		many[i] = `"n` + itoa(int64(i)) + `@acme.example"`
	}
	s.answers(ann, "PUT", path, `{"addresses":[`+strings.Join(many, ",")+`]}`, http.StatusUnprocessableEntity, "too-many-contacts")
	s.answers(zed, "PUT", path, `{"addresses":[]}`, http.StatusForbidden, "")
	s.answers(ann, "PUT", path, `{"addresses":[]}`, http.StatusAccepted, `"kind":"security-contacts","state":"waiting"`)
	s.expect(bob, "/access/policy/proposals/1", "security contact removed: sec@acme.example", "")
	if list, err := s.org.SecurityContacts(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("before somebody else approves it: %v, %v", list, err)
	}
	s.answers(bob, "POST", "/api/access/policy/proposals/1/approve", "", http.StatusOK, `"state":"approved"`)
	s.answers(ann, "GET", path, "", http.StatusOK, `"told":false|"contact":false,"waiting":`)
}

// A sink that takes checkpoints, and one that does not, is on the page, in the verdict and in the
// evidence, with the contacts and what they were not told.
func TestSinkIsShown(t *testing.T) {
	s := newSite(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s.expect(ann, "/access/audit", "", "Checkpoints are told to")
	s.expect(ann, "/access/evidence", "none: nobody is told by mail", "Told outside")
	must(s.org.UseSink(t.Context(), "syslog+tls://sink.acme.example:6514"))
	must(s.org.SaveSecurityContacts(t.Context(), []mail.Address{"sec@acme.example"}))
	list, err := s.org.UntoldCheckpoints(t.Context())
	must(err)
	must(s.org.CheckpointTold(t.Context(), list[len(list)-1]))
	s.expect(ann, "/access/audit", "Checkpoints are told to|6514: up to entry|Sink of the audit log changed", "takes no checkpoints")
	s.expect(ann, "/api/access/audit/verdict", `"sink":{"address":"syslog+tls://sink.acme.example:6514","told":`+itoa(list[len(list)-1].Seq), "silent_since")
	must(s.org.Audit(t.Context(), crm.AuditEntry{Action: "test"}))
	for range 3 {
		must(s.org.CheckpointNotTold(t.Context(), store.Checkpoint{Failed: 2}, "connection refused"))
	}
	s.expect(ann, "/access/audit", "The sink outside takes no checkpoints|connection refused|1 waits for", "Checkpoints are told to")
	s.expect(ann, "/api/access/audit/verdict", `"ok":true|"waiting":1|"silent_since":"|"trouble":"connection refused"`, "")
	s.expect(ann, "/access/evidence", "Told outside|connection refused|sec@acme.example: what widens access is owed to them by mail|1 word is not delivered yet", "")
	s.expect(ann, "/api/access/evidence", `"security_contacts":{"addresses":["sec@acme.example"],"undelivered":1,"given_up":0}|"sink":{"address":"syslog+tls://sink.acme.example:6514"`, "")
}
