package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/crm"
)

func TestUsersOpenTheOwnMailboxAlone(t *testing.T) {
	s := newSite(t)
	s.enable()
	typed := url.Values{"login": {`ACME\bob`}, "password": {"canary of bob"}, "mailbox": {"ann@acme.example"}, "do": {"save"}}

	s.expect(bob, myMailboxPath, "opened by a service account|bob@acme.example|cannot be changed", `name="password"`)
	if r := s.post(bob, myMailboxPath, typed.Encode()); r.StatusCode == http.StatusSeeOther || !strings.Contains(text(t, r), "sign-in-not-asked") {
		t.Errorf("under a service account: status %d", r.StatusCode)
	}

	own := s.settings()
	own.Model, own.Login, own.Password = crm.ByOwnSignIn, "", crm.Secret{}
	if err := s.org.SaveSettings(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	s.expect(bob, myMailboxPath, `not yet|name="password"|bob@acme.example`, `name="mailbox"`)
	empty := s.post(bob, myMailboxPath, url.Values{"login": {" "}, "password": {"canary of bob"}, "do": {"save"}}.Encode())
	if body := text(t, empty); empty.StatusCode != http.StatusUnprocessableEntity || strings.Contains(body, "canary") {
		t.Errorf("without a login: status %d\n%s", empty.StatusCode, body)
	}
	if r := s.post(bob, myMailboxPath, typed.Encode()); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d: %s", r.StatusCode, text(t, r))
	}
	all, err := s.org.SignIns(t.Context())
	if err != nil || len(all) != 1 || all["bob@acme.example"].Login != `ACME\bob` {
		t.Errorf("kept %v, %v: want bob's own mailbox alone", all, err)
	}
	s.expect(bob, myMailboxPath, `ACME\bob|kept, type to replace`, "canary")
	s.expect(bob, "/api"+myMailboxPath, `"signed_in":true`, "canary")
	s.expect(ann, "/api"+myMailboxPath, `"signed_in":false`, "bob")
	if r := s.do(bob, "DELETE", "/api"+myMailboxPath, "", ""); r.StatusCode != http.StatusOK {
		t.Errorf("status %d", r.StatusCode)
	}
	if all, err := s.org.SignIns(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("after it was forgotten: %v, %v", all, err)
	}
}
