package acceptance

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unicode/utf16"

	"postern/crm"
	"postern/ews"
	"postern/gate"
	"postern/sim"
	"postern/store"
	"postern/web"
)

// A canary is a secret made to be found: no other text holds it.
func canary() string { return "Canary" + rand.Text() }

// forms are the ways in which a text may stand in another, all in lower case. The base64
// of a text depends on how many bytes stand before it, so there are three; what its
// neighbours have a part in is cut off.
func forms(text string) map[string][]byte {
	var percent, little, big []byte
	for _, u := range utf16.Encode([]rune(text)) {
		percent = fmt.Appendf(percent, "%%%02x", u)
		little, big = append(little, byte(u), byte(u>>8)), append(big, byte(u>>8), byte(u))
	}
	list := map[string][]byte{"clear": []byte(text), "hex": []byte(hex.EncodeToString([]byte(text))), "percent": percent, "UTF-16LE": little, "UTF-16BE": big}
	for name, s := range map[string][]byte{"base64": []byte(text), "base64 of UTF-16LE": little} {
		for before := range 3 {
			encoded := base64.RawURLEncoding.EncodeToString(append(make([]byte, before), s...))
			list[fmt.Sprint(name, " after ", before)] = []byte(encoded[(before*8+5)/6 : len(encoded)-2])
		}
	}
	for name := range list {
		list[name] = bytes.ToLower(list[name])
	}
	return list
}

// A haystack is all that was said and kept, by where.
type haystack map[string][]byte

func (h haystack) add(where string, text string) { h[where] = append(h[where], text...) }

// files adds all files of a folder.
func (h haystack) files(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		h.add("file "+filepath.Base(path), string(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// find tells which secrets stand where, and in which form.
func (h haystack) find(secrets map[string]string) (found []string) {
	for _, where := range slices.Sorted(maps.Keys(h)) {
		text := bytes.ToLower(h[where])
		text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("+"), []byte("-")), []byte("/"), []byte("_")) // one alphabet of base64
		for what, secret := range secrets {
			for form, needle := range forms(secret) {
				if bytes.Contains(text, needle) {
					found = append(found, fmt.Sprintf("%s in %s (%s)", what, where, form))
				}
			}
		}
	}
	return found
}

var links = regexp.MustCompile(`(?:href|src|action)="(/[^"#]*)"`)

// crawl follows all links that the pages show and adds what it reads.
func (v *visitor) crawl(h haystack, seen map[string]bool, from ...string) {
	v.Helper()
	for len(from) > 0 {
		path := strings.ReplaceAll(from[0], "&amp;", "&")
		from = from[1:]
		if seen[path] || len(seen) > 400 {
			continue
		}
		seen[path] = true
		status, text := v.get(path)
		h.add("page "+path, text)
		if status == http.StatusInternalServerError {
			v.Errorf("%s: status %d", path, status)
		}
		for _, link := range links.FindAllStringSubmatch(text, -1) {
			from = append(from, link[1])
		}
	}
}

// tellTale is a server that answers with all that it was told, as no server should.
func tellTale(t *testing.T) (address, rootCAs string, told *atomic.Int32) {
	t.Helper()
	told = new(atomic.Int32)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		if auth == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="Exchange"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		told.Add(1)
		_, word, _ := r.BasicAuth()
		w.Header().Set("X-Said", word)
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>a:%s</faultcode><faultstring>%s %s</faultstring></s:Fault></s:Body></s:Envelope>`, word, auth, word)
	}))
	server.Config.ErrorLog = quiet
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL + "/EWS/Exchange.asmx", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})), told
}

// A secret that is sent through everything is found nowhere: not in the data folder, in
// the log, on a page, in an answer of the API, in an export, in what commands print, nor in
// what a process says when it dies.
func TestCanarySecretsAreFoundNowhere(t *testing.T) {
	secrets := map[string]string{}
	secret := func(what string) crm.Secret {
		secrets[what] = canary()
		return crm.NewSecret(secrets[what])
	}
	good, wrong, typed := secret("service account's password"), secret("wrong password"), secret("sign-in password typed")
	keytab, key, proxy := secret("keytab"), secret("client key"), secret("proxy's password")
	second, secondTab, own := secret("second account's password"), secret("second account's keytab"), secret("user's own password")
	h := haystack{}

	w := newWorld(t, sim.Options{})
	const account = "svc-canary"
	w.exchange.AddAccount(sim.Account{Login: account, Password: good.Reveal()})
	w.send(letter{id: "1", from: cyn, to: ann, subject: "An offer"})
	w.openPages(func(*web.Config) {})
	admin := w.visit(ann)
	admin.crawlAll(h)
	say := func(status int, text string) { h.add("answer", fmt.Sprint(status, text)) }
	page := func(password crm.Secret, server, cas string) url.Values {
		return url.Values{"enabled": {"on"}, "server": {server}, "version": {"Exchange2013_SP1"}, "login": {account}, "password": {password.Reveal()}, "domain": {"acme.example"}, "root_cas": {cas}}
	}
	api := func(password crm.Secret, server string) form {
		f := w.complete()
		f.Server, f.Login, f.Password = server, account, password.Reveal()
		return f
	}

	// Settings by page and by API, with a log-on that succeeds, with mistakes in the form,
	// and with one that is refused.
	say(admin.post(settingsPage, page(good, w.url, "")))
	w.collect()
	w.same("filed", w.filed(store.MailQuery{Viewer: w.userID(ann)}), "An offer")
	say(admin.post(settingsPage, page(wrong, "no host name!", "no PEM")))
	say(admin.json("PUT", "/api/settings", api(wrong, "no host name!")))
	say(admin.json("PUT", "/api/settings", api(wrong, w.url)))
	say(admin.json("POST", "/api/settings/test", api(wrong, w.url)))
	w.attempt(h)
	admin.crawlAll(h)

	// A server that tells all that it is told.
	address, cas, told := tellTale(t)
	try := page(wrong, address, cas)
	try.Set("do", "test")
	say(admin.post(settingsPage, try))
	say(admin.post(settingsPage, page(wrong, address, cas)))
	w.attempt(h)
	admin.crawlAll(h)
	if told.Load() < 2 {
		t.Errorf("it was told the password %d times", told.Load())
	}

	// Every other kind of secret, also where it cannot be used.
	for _, s := range []crm.Settings{
		{Scheme: crm.Kerberos, KDC: "[libdefaults]\ndefault_realm = ACME.EXAMPLE\n", Login: "svc@ACME.EXAMPLE", Keytab: keytab, Others: []crm.Account{{Login: "second", Password: second, Keytab: secondTab}}},
		{Scheme: crm.ClientTLS, ClientCertificate: "no certificate", ClientKey: key},
		{Scheme: crm.NTLM, Model: crm.ByOwnSignIn},
	} {
		s.Enabled, s.Server, s.Version, s.Domains = true, w.url, "Exchange2013_SP1", []string{"acme.example"}
		w.must(w.org.SaveSettings(t.Context(), s))
		if s.Model == crm.ByOwnSignIn {
			w.must(w.org.SaveSignIn(t.Context(), w.userID(ann), crm.Account{Login: "ann", Password: own}))
		}
		w.attempt(h)
		say(admin.post("/access/check", url.Values{}))
		admin.crawlAll(h)
	}
	w.must(w.org.SaveEgress(t.Context(), crm.Egress{Proxy: "http://127.0.0.1:1", ProxyLogin: "us", ProxyPassword: proxy}))
	w.attempt(h)
	say(admin.post("/sign-in", url.Values{"address": {ann}, "password": {typed.Reveal()}}))
	admin.post("/sign-in", url.Values{"address": {typed.Reveal()}, "password": {""}}) // the answer gives the form back, as typed
	if _, err := w.org.RotateKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.panics(admin, say, api(wrong, w.url))
	admin.crawlAll(h)

	h.files(t, w.dir)
	h.add("log", w.log.text())
	w.commands(h, good, proxy, w.url)
	all := bytes.Join(slices.Collect(maps.Values(h)), nil)
	for _, code := range []string{"password-refused", "server-error-page", "certificate-refused", "scheme-not-offered", "not-signed-in", "proxy-unreachable", "basic-offered"} {
		if !bytes.Contains(all, []byte(code)) {
			t.Errorf("nothing of what was tried ended with %s", code)
		}
	}
	for _, where := range h.find(secrets) {
		t.Error("found the", where)
	}

	// The search finds what is there: in each form, in the log, and in the data folder.
	for form, needle := range forms(good.Reveal()) {
		if len((haystack{"leak": append([]byte("before"), needle...)}).find(secrets)) == 0 {
			t.Errorf("a secret in the form %s is not found", form)
		}
	}
	slog.New(slog.NewTextHandler(w.log, nil)).Error("log on", "with", base64.StdEncoding.EncodeToString([]byte(account+":"+good.Reveal())))
	w.must(w.org.Audit(t.Context(), crm.AuditEntry{Action: "leak", Detail: own.Reveal()}))
	leaking := haystack{"log": []byte(w.log.text())}
	leaking.files(t, w.dir)
	admin.crawl(leaking, map[string]bool{}, "/access/audit")
	found := strings.Join(leaking.find(secrets), "\n")
	for _, want := range []string{"service account's password in log (base64", "user's own password in file postern.db", "user's own password in page /access/audit "} {
		if !strings.Contains(found, want) {
			t.Errorf("a deliberate leak is not found: %s, only\n%s", want, found)
		}
	}
}

// crawlAll reads all pages and the API anew, as they are in this state of things.
func (v *visitor) crawlAll(h haystack) {
	v.Helper()
	v.crawl(h, map[string]bool{"/sign-out": true}, "/", settingsPage, "/access", "/access/audit.csv", "/access/audit.json", "/access/log.csv", "/access/log.json", "/access/evidence.html",
		"/api/settings", "/api/mailboxes", "/api/alerts", "/api/quarantine", "/api/users", "/api/mails", "/api/access/audit", "/api/access/audit/verdict", "/api/access/log",
		"/api/access/policy", "/api/access/addresses", "/api/access/evidence", "/api/access/check", "/.well-known/postern-egress.json")
}

// attempt collects as far as that goes.
func (w *world) attempt(h haystack) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), enough)
	defer cancel()
	h.add("error", fmt.Sprintf("%+v", w.engine.CatchUp(ctx)))
}

// openPages serves the pages anew, over the same data.
func (w *world) openPages(change func(*web.Config)) {
	w.Helper()
	c := web.Config{Org: w.org, Connector: ews.Connector(), Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: w.clock, LookNow: w.engine.LookNow,
		Test: w.engine.Test, NextCheck: w.engine.NextCheck, Check: w.engine.Check, Discover: w.engine.Discover, Progress: w.engine.Progress, Watch: w.engine.Watch, Trouble: w.engine.Trouble,
		Budgets: w.engine.Pace.Budgets, LoadAttachment: w.engine.LoadAttachment, Original: w.engine.Original, HasAddress: gate.Machine{}.Has}
	change(&c)
	handler, err := web.New(c)
	w.must(err)
	w.pages = httptest.NewServer(handler)
	w.Cleanup(w.pages.Close)
}

// panics has pages fail in the middle of their work, with the settings in hand.
func (w *world) panics(admin *visitor, say func(int, string), f form) {
	w.Helper()
	for _, fail := range []func(crm.Settings){
		func(s crm.Settings) { panic(s) },
		func(s crm.Settings) { panic(fmt.Errorf("with %+v of %#v", s, s.Password)) },
		func(s crm.Settings) { panic(fmt.Sprintf("%v %x", &s, s.Password)) },
	} {
		w.openPages(func(c *web.Config) {
			c.Test = func(_ context.Context, s crm.Settings, _ func(crm.Finding)) error { fail(s); return nil }
		})
		status, text := admin.json("POST", "/api/settings/test", f)
		say(status, text)
	}
	if !strings.Contains(w.log.text(), "panic: ") {
		w.Error("no panic is in the log")
	}
	w.openPages(func(*web.Config) {})
}

func (b *lockedBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.String()
}

// commands adds what the program prints as it is set up, collects, is asked for all it can
// tell, and is made to die with all of its goroutines on show.
func (w *world) commands(h haystack, password, proxy crm.Secret, server string) {
	w.Helper()
	dir := w.TempDir()
	program, data := build(w.T, dir), filepath.Join(dir, "data")
	run := func(args ...string) {
		out, err := exec.CommandContext(w.Context(), program, append(args, "--data", data)...).CombinedOutput()
		h.add("command "+args[0], fmt.Sprintf("%s %v\n", out, err))
	}
	word := write(w.T, filepath.Join(dir, "word"), password.Reveal())
	run("users", "import", write(w.T, filepath.Join(dir, "users.csv"), "name,email,admin\nAnn,"+ann+",yes\n"))
	run("contacts", "import", write(w.T, filepath.Join(dir, "contacts.csv"), "name,email\nCyn,"+cyn+"\n"))
	run("deployment", "--allow-range", "127.0.0.0/8")
	run("settings", "--enable", "--server", server, "--version", "Exchange2013_SP1", "--login", "svc-canary", "--password-file", word, "--domain", "acme.example")
	run("collect")
	run("check", "--json")
	run("settings", "--login", "somebody", "--password-file", word)
	run("check")
	run("egress", "--proxy", "http://127.0.0.1:1", "--proxy-login", "us", "--proxy-password-file", write(w.T, filepath.Join(dir, "proxy"), proxy.Reveal()))
	for _, args := range []string{"check", "keys", "keys rotate", "keys rotate-master", "audit", "audit verify", "audit export", "access", "access export", "access summary", "evidence", "mailboxes", "egress", "policy show", "reconcile", "autodiscover " + ann} {
		run(strings.Fields(args)...)
	}
	if said := string(h["command audit"]); !strings.Contains(said, "settings.save") {
		w.Errorf("the commands did not do what they should:\n%s", said)
	}

	where := filepath.Join(dir, "where.json")
	serve := exec.CommandContext(w.Context(), program, "serve", "--data", data, "--listen", "127.0.0.1:0", "--url-file", where)
	serve.Env = append(os.Environ(), "GOTRACEBACK=all")
	var out bytes.Buffer
	serve.Stdout, serve.Stderr = &out, &out
	w.must(serve.Start())
	awaitURL(w.T, where)
	w.must(serve.Process.Signal(syscall.SIGQUIT))
	if err := serve.Wait(); err == nil || !strings.Contains(out.String(), "goroutine ") {
		w.Errorf("it does not die: %v\n%s", err, out.String())
	}
	h.add("process", out.String())
	h.files(w.T, data)
}
