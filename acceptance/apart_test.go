package acceptance

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/crm"
	"postern/engine"
	"postern/mail"
	"postern/sim"
	"postern/store"
	"postern/web"
)

// beta makes a second organization in the same data folder, with an administrator, mail and
// all that words of it stand in, and returns how to look at its pages.
func (w *world) beta() *visitor {
	w.Helper()
	w.must(w.store.SaveDeployment(w.Context(), crm.Deployment{Mode: crm.MultiTenant, Ranges: loopback.Ranges}))
	added, err := w.store.AddOrg(w.Context(), "beta")
	w.must(err)
	b := &world{T: w.T, dir: w.dir, exchange: w.exchange, url: w.url, store: w.store, org: w.store.Org(added.ID), log: w.log, now: w.clock()}
	b.users(crm.User{Name: "Betty Beta", Addresses: []mail.Address{zed}, Admin: true, Active: true})
	b.contacts(crm.Contact{Name: "Cyn of Beta", Company: "Beta's client", Addresses: []mail.Address{cyn}})
	b.restart(engine.Config{})
	b.openPages(func(*web.Config) {})
	b.connect("other.example")
	return b.visit(zed)
}

// betasWords stand in what is beta's, and nowhere in what is acme's.
const betasWords = "beta"

// TestOrganizationsAreApart: whoever belongs to one organization of an installation, and be
// it its administrator, gets nothing of another: not by an id, a session or a link.
func TestOrganizationsAreApart(t *testing.T) {
	w := newWorld(t, sim.Options{})
	w.connect("acme.example")
	theirs := w.beta()
	w.send(letter{from: cyn, to: ann, subject: "ours", text: "Text of ours."})
	w.send(letter{from: cyn, to: zed, subject: "of beta", text: "Text of beta.", extra: "Content-Type: multipart/mixed; boundary=x\r\n",
		body: "--x\r\nContent-Type: text/plain\r\n\r\nText of beta.\r\n--x\r\nContent-Type: text/plain; name=beta.txt\r\nContent-Disposition: attachment; filename=beta.txt\r\n\r\nbeta\r\n--x--\r\n"})
	w.collect()
	theirs.collect()
	ours := w.visit(ann)
	_, page := theirs.get("/mails")
	if !strings.Contains(page, "of beta") {
		t.Fatal("beta has no mail: the test shows nothing")
	}
	token, _, err := theirs.org.NewShare(t.Context(), "ExchangeSE", "", 1<<40)
	w.must(err)
	if status, _ := theirs.get("/share/" + token); status != http.StatusOK {
		t.Fatalf("beta's link: %d", status)
	}

	// By ids: what is another's is answered as what is not there.
	const none = "999999"
	routes := []string{"/contacts/{id}", "/contacts/{id}/edit", "/users/{id}", "/messages/{id}", "/messages/{id}/body", "/messages/{id}/original",
		"/messages/{id}/attachments/1", "/mails?message={id}", "/mailboxes/{id}", "/not-filed?mailbox={id}",
		"/api/contacts/{id}/activities", "/api/users/{id}/activities", "/api/messages/{id}"}
	found := 0
	for _, route := range routes {
		missing, nothing := ours.get(strings.ReplaceAll(route, "{id}", none))
		for id := range 30 {
			at := strings.ReplaceAll(route, "{id}", fmt.Sprint(id+1))
			status, body := ours.get(at)
			beta, _ := theirs.get(at)
			switch {
			case strings.Contains(strings.ToLower(body), betasWords):
				t.Errorf("%s tells of beta", at)
			case beta == http.StatusOK && missing == http.StatusNotFound && status == http.StatusOK:
				t.Errorf("%s is there for both", at)
			case beta == http.StatusOK && missing == http.StatusNotFound:
				found++
				if status != missing || strings.ReplaceAll(body, at, "") != strings.ReplaceAll(nothing, strings.ReplaceAll(route, "{id}", none), "") {
					t.Errorf("%s: %d; of what is not there: %d", at, status, missing)
				}
			}
		}
	}
	if found < 6 {
		t.Errorf("only %d pages of beta's were tried", found)
	}
	for id := range 30 {
		user, contact := fmt.Sprintf("/users/%d", id+1), fmt.Sprintf("/contacts/%d", id+1)
		if status, _ := ours.get(user); status == http.StatusNotFound {
			ours.post(user+"/password", url.Values{"password": {"taken over by acme"}})
		}
		if status, _ := ours.get(contact); status == http.StatusNotFound {
			ours.post(contact+"/edit", url.Values{"name": {"Taken over"}, "addresses": {"taken@over.example"}})
		}
		ours.post("/access/exchange/revoke", url.Values{"id": {fmt.Sprint(id + 1)}})
	}
	if _, page := theirs.get("/contacts"); !strings.Contains(page, "Cyn of Beta") || strings.Contains(page, "Taken over") {
		t.Error("acme changed a contact of beta's")
	}
	if status, _ := theirs.get("/share/" + token); status != http.StatusOK {
		t.Error("acme revoked a link of beta's")
	}
	theirs.visit(zed) // with the password that beta gave

	// By a session or a link: they hold where they were made.
	if _, body := ours.get("/mails"); !strings.Contains(body, "ours") {
		t.Fatal("acme's session has ended: what follows would show nothing")
	}
	stray := &visitor{theirs.world, &http.Client{Jar: ours.client.Jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	at, err := url.Parse(theirs.pages.URL)
	w.must(err)
	mine, err := url.Parse(w.pages.URL)
	w.must(err)
	stray.client.Jar.SetCookies(at, ours.client.Jar.Cookies(mine))
	for _, path := range []string{"/", "/mails", "/access/exchange"} {
		if status, body := stray.get(path); status != http.StatusSeeOther || strings.Contains(body, betasWords) {
			t.Errorf("%s with the session of another organization: %d", path, status)
		}
	}
	if status, _ := stray.get("/api/mails"); status != http.StatusUnauthorized {
		t.Errorf("the API with the session of another organization: %d", status)
	}
	if status, _ := ours.get("/share/" + token); status != http.StatusNotFound {
		t.Errorf("a link of another organization: %d", status)
	}

	// In words: nothing that acme may see names beta.
	for _, path := range []string{"/", "/mails", "/contacts", "/users", "/search?q=text", "/mailboxes", "/not-filed", "/quarantine", "/access/policy", "/access/addresses",
		"/access/log", "/access/log.csv", "/access/audit", "/access/audit.csv", "/access/check", "/access/exchange", "/access/evidence", "/system/configuration",
		"/api/mails", "/api/contacts", "/api/users", "/api/mailboxes", "/api/settings", "/api/access/log", "/api/access/audit", "/api/access/exchange", "/api/access/evidence", "/api/alerts"} {
		status, body := ours.get(path)
		if tells := strings.Contains(strings.ToLower(body), betasWords); status != http.StatusOK || tells {
			t.Errorf("%s: %d, tells of beta: %v", path, status, tells)
		}
	}
}

// TestScenario03PhysicalIsolation: an installation for one organization takes no second.
func TestScenario03PhysicalIsolation(t *testing.T) {
	w, beside := connected(t), connected(t)
	if _, err := w.store.AddOrg(t.Context(), "second"); err == nil || crm.AsFault(err).Code != "organization-refused" {
		t.Errorf("a second organization: %v, want organization-refused", err)
	}
	orgs, err := w.store.Orgs(t.Context())
	w.must(err)
	if len(orgs) != 1 {
		t.Errorf("%d organizations, want 1", len(orgs))
	}
	// Beside it, another installation has a key and data of its own.
	w.send(letter{from: cyn, to: ann, subject: "ours", text: "Text."})
	w.collect()
	w.same("here", w.filed(store.MailQuery{}), "ours")
	beside.same("beside", beside.filed(store.MailQuery{}))
	ours, err := os.ReadFile(filepath.Join(w.dir, "key"))
	w.must(err)
	theirs, err := os.ReadFile(filepath.Join(beside.dir, "key"))
	w.must(err)
	if len(ours) == 0 || bytes.Equal(ours, theirs) {
		t.Error("two installations have the same key")
	}
}
