package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/store"
)

func (s *site) signIn(address, password string) *http.Response {
	s.Helper()
	return s.post("", "/sign-in", url.Values{"address": {address}, "password": {password}}.Encode())
}

func (s *site) setPassword(name, password string) {
	s.Helper()
	if err := s.org.SetPassword(context.Background(), s.user(name).ID, HashPassword(password)); err != nil {
		s.Fatal(err)
	}
}

func TestSignIn(t *testing.T) {
	s := newSite(t)
	s.setPassword("Ann", samplePassword)

	r := s.signIn(" ANN@acme.example ", samplePassword)
	if r.StatusCode != http.StatusSeeOther || len(r.Cookies()) != 1 {
		t.Fatalf("status %d, cookies %v: %s", r.StatusCode, r.Cookies(), text(t, r))
	}
	cookie := r.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Secure || cookie.Path != "/" {
		t.Errorf("over http the cookie is %v", cookie)
	}
	s.cookies[ann] = cookie.Value
	if r := s.get(ann, "/mails"); r.StatusCode != 200 {
		t.Errorf("with the cookie: status %d", r.StatusCode)
	}
	if r := s.post(ann, "/sign-out", ""); r.StatusCode != http.StatusSeeOther {
		t.Errorf("signing out: status %d", r.StatusCode)
	}
	if r := s.get(ann, "/mails"); r.StatusCode != http.StatusSeeOther {
		t.Errorf("after signing out the old cookie still opens: status %d", r.StatusCode)
	}

	over := s.do("", "POST", "/sign-in", formType, url.Values{"address": {ann}, "password": {samplePassword}}.Encode(), "X-Forwarded-Proto", "https")
	if c := over.Cookies()[0]; c.Name != "__Host-postern" || !c.Secure {
		t.Errorf("over https the cookie is %v", c)
	}
}

// TestSignInTellsNothing: whether an account exists shows in no answer.
func TestSignInTellsNothing(t *testing.T) {
	s := newSite(t)
	s.setPassword("Ann", samplePassword)
	var pages []string
	for _, try := range [][2]string{{ann, "wrong"}, {bob, "wrong"}, {bob, ""}, {"nobody@acme.example", "wrong"}, {"no address", "wrong"}} {
		r := s.signIn(try[0], try[1])
		if r.StatusCode != http.StatusUnauthorized || len(r.Cookies()) != 0 {
			t.Errorf("%s: status %d, cookies %v", try[0], r.StatusCode, r.Cookies())
		}
		pages = append(pages, strings.ReplaceAll(text(t, r), try[0], "ADDRESS"))
	}
	for _, page := range pages[1:] {
		if page != pages[0] {
			t.Errorf("answers differ:\n%s\n%s", pages[0], page)
		}
	}
}

func TestSignInIsLimited(t *testing.T) {
	s := newSite(t)
	s.setPassword("Ann", samplePassword)
	for range attemptsByAccount {
		if r := s.signIn(ann, "wrong"); r.StatusCode != http.StatusUnauthorized {
			t.Fatalf("status %d", r.StatusCode)
		}
	}
	if r := s.signIn(ann, samplePassword); r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") == "" {
		t.Errorf("after %d wrong passwords: status %d", attemptsByAccount, r.StatusCode)
	}
	if r := s.signIn(bob, "wrong"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("another account is held up, too: status %d", r.StatusCode)
	}
}

func TestAttempts(t *testing.T) {
	now := sampleNow
	a := newAttempts(func() time.Time { return now })
	for i := range attemptsByAccount {
		if wait := a.take("ann", "10.0.0.1"); wait != 0 {
			t.Errorf("attempt %d has to wait %v", i, wait)
		}
	}
	if wait := a.take("ann", "10.0.0.1"); wait != attemptWindow {
		t.Errorf("one too many waits %v", wait)
	}
	if wait := a.take("ann", "10.0.0.2"); wait != 0 {
		t.Error("the owner at another place is locked out")
	}
	a.forget("ann", "10.0.0.1")
	if wait := a.take("ann", "10.0.0.1"); wait != 0 {
		t.Error("still waiting after a success")
	}
	for i := range attemptsByHost {
		a.take(fmt.Sprint("guess", i), "10.0.0.3")
	}
	if wait := a.take("one more", "10.0.0.3"); wait == 0 {
		t.Error("one place may try any number of accounts")
	}
	now = now.Add(attemptWindow)
	if wait := a.take("one more", "10.0.0.3"); wait != 0 {
		t.Error("still waiting after the window")
	}
	for i := range int(attemptsKept) {
		a.take("flood", fmt.Sprint(i))
	}
	if len(a.by) > attemptsKept+1 {
		t.Errorf("%d counts are kept", len(a.by))
	}
}

func TestPasswordHash(t *testing.T) {
	hash := HashPassword(samplePassword)
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || hash == HashPassword(samplePassword) {
		t.Errorf("hash %s", hash)
	}
	h := newHasher()
	for _, c := range []struct {
		hash, password string
		want, err      bool
	}{
		{hash, samplePassword, true, false}, {hash, samplePassword + " ", false, false}, {"", samplePassword, false, false},
		{"$2b$10$abc", samplePassword, false, true}, {"$argon2id$v=19$m=x$a$b", samplePassword, false, true}, {hash[:len(hash)-4] + "!!!!", samplePassword, false, true},
	} {
		got, err := h.matches(context.Background(), c.hash, c.password)
		if got != c.want || (err != nil) != c.err {
			t.Errorf("%s with %q: %v, %v", c.hash, c.password, got, err)
		}
	}
}

func TestSetPassword(t *testing.T) {
	s := newSite(t)
	path := fmt.Sprintf("/users/%d/password", s.user("Bob").ID)
	if r := s.post(ann, path, "password=short"); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text(t, r), "at least 10") {
		t.Errorf("a short password: status %d", r.StatusCode)
	}
	if r := s.post(bob, path, "password=long+enough+for+all"); r.StatusCode != http.StatusForbidden {
		t.Errorf("by no administrator: status %d", r.StatusCode)
	}
	if s.user("Bob").HasPassword {
		t.Fatal("a password was set")
	}
	if r := s.post(ann, path, "password=long+enough+for+all"); r.StatusCode != http.StatusSeeOther {
		t.Errorf("status %d", r.StatusCode)
	}
	if r := s.signIn(bob, "long enough for all"); r.StatusCode != http.StatusSeeOther {
		t.Errorf("signing in with it: status %d", r.StatusCode)
	}
}

// TestForeignRequests: what changes anything takes no order from another site.
func TestForeignRequests(t *testing.T) {
	s := newFilledSite(t)
	for _, c := range []struct{ method, path, kind, body string }{
		{"POST", "/sign-in", formType, "address=x"},
		{"POST", "/sign-out", formType, ""},
		{"POST", settingsPath, formType, filledForm().Encode()},
		{"POST", "/mailboxes/look", formType, ""},
		{"POST", fmt.Sprintf("/users/%d/password", s.user("Bob").ID), formType, "password=evil+evil+evil"},
		{"PUT", "/api/settings", "application/json", "{}"},
		{"POST", "/api/settings/test", "application/json", "{}"},
		{"POST", "/api/mailboxes/look", "", ""},
	} {
		for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
			r := s.do(ann, c.method, c.path, c.kind, c.body, header[0], header[1])
			if r.StatusCode != http.StatusForbidden || !strings.Contains(text(t, r), "cross-origin") {
				t.Errorf("%s %s with %s: status %d", c.method, c.path, header[0], r.StatusCode)
			}
		}
	}
	if len(s.looked)+len(s.tested) != 0 || s.user("Bob").HasPassword {
		t.Error("a foreign request did something")
	}
}

func TestRedirectStaysHere(t *testing.T) {
	for next, want := range map[string]string{
		"": "/", "/mails?show=sent": "/mails?show=sent", "https://evil.example/": "/", "//evil.example": "/", `/\evil.example`: "/", "mails": "/", "/\\/evil.example": "/", "javascript:alert(1)": "/",
	} {
		if got := localPath(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	s := newFilledSite(t)
	for _, path := range []string{"/", "/sign-in", "/nothing", "/api/mails", "/assets/app.css", settingsPath} {
		h := s.get(ann, path).Header
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %s", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "same-origin" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", path, h)
		}
	}
	fresh := s.get("", fmt.Sprintf("/assets/app.css?v=%s", version(t, s)))
	if !strings.Contains(fresh.Header.Get("Cache-Control"), "immutable") || fresh.Header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("a file with its version: %v", fresh.Header)
	}
	if r := s.do("", "GET", "/sign-in", "", "", "X-Forwarded-Proto", "https"); r.Header.Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS over https")
	}
}

// version finds the version of the style sheet in a page.
func version(t *testing.T, s *site) string {
	t.Helper()
	_, rest, _ := strings.Cut(text(t, s.get("", "/sign-in")), "app.css?v=")
	v, _, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatal("no style sheet in the page")
	}
	return v
}

// TestNoInlineCode: nothing in our pages needs a policy looser than the one sent.
func TestNoInlineCode(t *testing.T) {
	s := newFilledSite(t)
	for _, path := range []string{"/", "/sign-in", "/mails", "/contacts", fmt.Sprintf("/contacts/%d", s.contact("Cyn")), "/mailboxes", "/not-filed", settingsPath, fmt.Sprintf("/messages/%d", s.message("attack"))} {
		body := strings.ToLower(text(t, s.get(ann, path)))
		for _, bad := range []string{" style=", "<style", " onclick=", " onload=", "javascript:", "<script>", "http://", "https://"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s holds %q", path, bad)
			}
		}
	}
}

func TestHostileMessage(t *testing.T) {
	s := newFilledSite(t)
	path := fmt.Sprintf("/messages/%d/body", s.message("attack"))

	framed := s.do(ann, "GET", path, "", "", "Sec-Fetch-Dest", "iframe")
	body := text(t, framed)
	if !strings.Contains(body, "<p>harmless</p>") {
		t.Errorf("the text is missing:\n%s", body)
	}
	for _, bad := range []string{"<script", "onerror", "onload", "javascript:", "<form", "<iframe", "<svg", "http-equiv", "<base", "track.example"} {
		if strings.Contains(strings.ToLower(body), bad) {
			t.Errorf("%s is left in:\n%s", bad, body)
		}
	}
	csp := framed.Header.Get("Content-Security-Policy")
	for _, want := range []string{"sandbox allow-popups", "default-src 'none'", "img-src data:;", "form-action 'none'", "frame-ancestors 'self'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("policy %q lacks %s", csp, want)
		}
	}
	if strings.Contains(csp, "allow-scripts") || strings.Contains(csp, "script-src") {
		t.Errorf("policy %q lets scripts run", csp)
	}

	if csp := s.get(ann, path).Header.Get("Content-Security-Policy"); strings.Contains(csp, "allow-same-origin") {
		t.Errorf("outside of a frame it has our origin: %q", csp)
	}
	with := s.get(ann, path+"?images=1")
	if !strings.Contains(text(t, with), `src="https://track.example/pixel.png"`) || !strings.Contains(with.Header.Get("Content-Security-Policy"), "img-src data: https: http:") || with.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Error("pictures are not shown when asked for, or tell where from")
	}
	if r := s.get("", path); r.StatusCode != http.StatusSeeOther {
		t.Errorf("a stranger reads it: status %d", r.StatusCode)
	}
}

// TestAttachments: they are saved and never shown, under a harmless name, and only with
// the message that they belong to.
func TestAttachments(t *testing.T) {
	s := newFilledSite(t)
	ctx := context.Background()
	attack := s.message("attack")
	m, err := s.org.Message(ctx, s.user("Ann").ID, attack)
	if err != nil || len(m.Attachments) != 2 {
		t.Fatalf("%d attachments, %v", len(m.Attachments), err)
	}
	here, away := m.Attachments[0], m.Attachments[1]
	if here.Size > away.Size {
		here, away = away, here
	}
	blob, err := s.org.PutBlob(ctx, strings.NewReader("<script>alert(1)</script>"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	err = s.org.SaveAttachments(ctx, []store.AttachmentResult{{ID: here.ID, State: store.AttachmentStored, Blob: &blob}, {ID: away.ID, State: store.AttachmentBlocked, Note: "link to a cloud file"}})
	if err != nil {
		t.Fatal(err)
	}

	r := s.get(ann, fmt.Sprintf("/messages/%d/attachments/%d", attack, here.ID))
	if got := text(t, r); r.StatusCode != 200 || got != "<script>alert(1)</script>" {
		t.Fatalf("status %d: %q", r.StatusCode, got)
	}
	for header, want := range map[string]string{
		"Content-Type": "application/octet-stream", "Content-Disposition": "attachment; filename=voicefdp.exe", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "sandbox; default-src 'none'", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := r.Header.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	if page := text(t, s.get(ann, fmt.Sprintf("/messages/%d", attack))); !strings.Contains(page, "link to a cloud file") {
		t.Error("the page does not say why a content is not there")
	}
	for _, path := range []string{
		fmt.Sprintf("/messages/%d/attachments/%d", s.message("offer"), here.ID), // of another message
		fmt.Sprintf("/messages/%d/attachments/%d", attack, 424242),
		fmt.Sprintf("/messages/424242/attachments/%d", here.ID),
	} {
		if r := s.get(ann, path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", path, r.StatusCode)
		}
	}

	original := s.get(ann, fmt.Sprintf("/messages/%d/original", attack))
	if got := original.Header.Get("Content-Disposition"); got != fmt.Sprintf("attachment; filename=message-%d.eml", attack) || !strings.Contains(text(t, original), "Subject: message") {
		t.Errorf("the original comes as %q", got)
	}
}

// TestPlaceThatIsNone: a list goes on only where one of ours ended.
func TestPlaceThatIsNone(t *testing.T) {
	s := newFilledSite(t)
	for _, path := range []string{"/mails", "/search?q=offer", "/api/mails", "/api/search?q=offer"} {
		mark := "?"
		if strings.Contains(path, "?") {
			mark = "&"
		}
		if r := s.get(ann, path+mark+"before=garbage"); r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d", path, r.StatusCode)
		}
	}
}

func TestFileName(t *testing.T) {
	for name, want := range map[string]string{
		"report.pdf": "report.pdf", "../../etc/passwd": "passwd", `C:\temp\a.txt`: "a.txt", "": "attachment", "..": "attachment", ".bashrc": "bashrc", "/": "_",
		"a\r\nSet-Cookie: x": "aSet-Cookie_ x", "voice\u202efdp.exe": "voicefdp.exe", "a\x00b": "ab", "Rechnung für Müller.pdf": "Rechnung für Müller.pdf",
		strings.Repeat("ä", 4096) + ".pdf": strings.Repeat("ä", (maxFileName-4)/2) + ".pdf",
	} {
		if got := fileName(name); got != want {
			t.Errorf("%.40q is saved as %.60q, want %.60q", name, got, want)
		}
	}
}

// TestFaults: what goes wrong outside is told with its remedy; what goes wrong within
// tells the reader nothing of the inside.
func TestFaults(t *testing.T) {
	s := newFilledSite(t)
	r := s.get(ann, fmt.Sprintf("/messages/%d/attachments/%d", s.message("attack"), s.firstAttachment()))
	if body := text(t, r); r.StatusCode != http.StatusBadGateway || !strings.Contains(body, "no-server") || !strings.Contains(body, "Start one.") {
		t.Errorf("a fault outside: status %d\n%s", r.StatusCode, body)
	}

	panics := s.server.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("inner secret") }))
	w := httptest.NewRecorder()
	panics.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if body := w.Body.String(); w.Code != http.StatusInternalServerError || !strings.Contains(body, "internal") || strings.Contains(body, "inner secret") {
		t.Errorf("a panic: status %d\n%s", w.Code, body)
	}
}

// A writer whose reader takes nothing.
type deafWriter struct{ http.ResponseWriter }

func (deafWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestTornDownloadIsNotWhole: what could not be written to its end breaks off; an answer that
// ended as others do would be kept for the whole.
func TestTornDownloadIsNotWhole(t *testing.T) {
	s := newFilledSite(t)
	for _, url := range []string{"/access/log.csv", "/access/log.json", "/access/audit.csv", "/access/audit.json", fmt.Sprintf("/messages/%d/original", s.message("attack"))} {
		r := httptest.NewRequest("GET", url, nil)
		r.AddCookie(&http.Cookie{Name: "postern", Value: s.as(ann)})
		func() {
			defer func() {
				if p := recover(); p != http.ErrAbortHandler {
					t.Errorf("%s: ended by %v, want that the connection is given up", url, p)
				}
			}()
			s.server.handler().ServeHTTP(deafWriter{httptest.NewRecorder()}, r)
		}()
	}
}

func (s *site) firstAttachment() int64 {
	s.Helper()
	m, err := s.org.Message(context.Background(), s.user("Ann").ID, s.message("attack"))
	if err != nil {
		s.Fatal(err)
	}
	return m.Attachments[0].ID
}
