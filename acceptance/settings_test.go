package acceptance

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"postern/crm"
	"postern/engine"
	"postern/mail"
	"postern/sim"
	"postern/store"
)

const settingsPage = "/system/configuration/integrations/email"

// form is what the settings API takes and gives.
type form struct {
	Enabled     bool     `json:"enabled"`
	Server      string   `json:"server"`
	Version     string   `json:"version"`
	Login       string   `json:"login"`
	Password    string   `json:"password,omitempty"`
	PasswordSet bool     `json:"password_set"`
	Domains     []string `json:"domains"`
}

// complete is a form with nothing wrong.
func (w *world) complete() form {
	return form{Enabled: true, Server: w.url, Version: "Exchange2013_SP1", Login: login, Password: password, Domains: []string{"acme.example"}}
}

// save puts a form and returns the status and the fields that were found wrong.
func (v *visitor) save(f form) (int, map[string]string) {
	v.Helper()
	status, text := v.json("PUT", "/api/settings", f)
	var answer struct {
		Fields []struct{ Field, Message string } `json:"fields"`
	}
	v.must(json.Unmarshal([]byte(text), &answer))
	wrong := make(map[string]string)
	for _, field := range answer.Fields {
		wrong[field.Field] += field.Message
	}
	return status, wrong
}

func TestA01FormAsSpecified(t *testing.T) {
	w := newWorld(t, sim.Options{})
	admin := w.visit(ann)
	status, page := admin.get(settingsPage)
	if status != http.StatusOK {
		t.Fatalf("got status %d for an administrator", status)
	}
	at := 0
	for _, field := range []string{`name="enabled"`, `name="server"`, `name="version"`, `name="login"`, `name="password"`, `name="domain"`, ">Test<", ">Save Settings<"} {
		i := strings.Index(page[at:], field)
		if i < 0 {
			t.Fatalf("the page has no %s after the field before it", field)
		}
		at += i
	}
	for _, want := range []string{`<input[^>]*type="checkbox"[^>]*name="enabled"|<input[^>]*name="enabled"[^>]*type="checkbox"`, `<select[^>]*name="version"`, `<input[^>]*type="password"[^>]*name="password"|<input[^>]*name="password"[^>]*type="password"`} {
		if !regexp.MustCompile(want).MatchString(page) {
			t.Errorf("the page has no %s", want)
		}
	}
	if regexp.MustCompile(`<input[^>]*name="enabled"[^>]*checked`).MatchString(page) {
		t.Error("Enable is ticked at first, want it off")
	}
	if status, wrong := admin.save(w.complete()); status != http.StatusOK {
		t.Fatalf("save: got status %d, %v", status, wrong)
	}
	for _, path := range []string{settingsPage, "/api/settings"} {
		if _, text := admin.get(path); strings.Contains(text, password) {
			t.Errorf("%s gives the password back", path)
		}
	}
	rep := w.visit(bob)
	for _, path := range []string{settingsPage, "/api/settings"} {
		if status, _ := rep.get(path); status != http.StatusForbidden {
			t.Errorf("%s: got status %d for a user, want 403", path, status)
		}
	}
	if status, _ := rep.json("PUT", "/api/settings", w.complete()); status != http.StatusForbidden {
		t.Errorf("save by a user: got status %d, want 403", status)
	}
}

func TestA02AtLeastOneDomain(t *testing.T) {
	w := newWorld(t, sim.Options{})
	admin := w.visit(ann)
	for _, domains := range [][]string{nil, {}, {"", "   ", "\t"}} {
		f := w.complete()
		f.Domains = domains
		status, wrong := admin.save(f)
		if status != http.StatusUnprocessableEntity || len(wrong) != 1 || !strings.Contains(wrong["domains"], "one domain is required") {
			t.Errorf("domains %q: got status %d, errors %v, want one on domains", domains, status, wrong)
		}
	}
	values := map[string][]string{"enabled": {"on"}, "server": {w.url}, "version": {"Exchange2013_SP1"}, "login": {"somebody"}, "password": {"x"}, "domain": {" "}, "do": {"save"}}
	status, page := admin.post(settingsPage, values)
	if status != http.StatusUnprocessableEntity || !strings.Contains(page, "one domain is required") || !strings.Contains(page, `value="somebody"`) {
		t.Errorf("page: got status %d, want the error and the other values kept", status)
	}
	kept, _, err := w.org.Settings(t.Context())
	w.must(err)
	if kept.Enabled || kept.Server != "" || len(kept.Domains) != 0 {
		t.Errorf("something was stored: %+v", kept)
	}
	w.collect()
	if got := w.exchange.Requests(); len(got) != 0 {
		t.Errorf("got %d requests to the Exchange, want none", len(got))
	}
}

func TestA03DomainNormalising(t *testing.T) {
	w := newWorld(t, sim.Options{})
	admin := w.visit(ann)
	f := w.complete()
	f.Domains = []string{" ACME.example ", "@acme.example", "acme.example", "Bücher.example"}
	if status, wrong := admin.save(f); status != http.StatusOK {
		t.Fatalf("got status %d, %v", status, wrong)
	}
	kept, _, err := w.org.Settings(t.Context())
	w.must(err)
	w.same("domains", slices.Sorted(slices.Values(kept.Domains)), "acme.example", "xn--bcher-kva.example")
	if _, page := admin.get(settingsPage); !strings.Contains(page, "bücher.example") {
		t.Error("the page does not show the U-label")
	}
	for _, bad := range []string{"acme", "acme..example", "http://acme.example", "a b.example"} {
		f.Domains = []string{"acme.example", bad}
		status, wrong := admin.save(f)
		if status != http.StatusUnprocessableEntity || !strings.Contains(wrong["domains"], bad) {
			t.Errorf("%q: got status %d, errors %v, want the entry named", bad, status, wrong)
		}
	}
	w.exchange.AddMailbox(sim.Person{Address: "sue@sub.acme.example"})
	w.users(crm.User{Name: "Sue", Addresses: []mail.Address{"sue@sub.acme.example"}, Active: true})
	w.collect()
	w.same("mailboxes asked for", w.impersonated(), ann, bob)
}

func TestA04RequiredFieldsOnlyWhenEnabled(t *testing.T) {
	w := newWorld(t, sim.Options{})
	admin := w.visit(ann)
	if status, wrong := admin.save(form{}); status != http.StatusOK {
		t.Errorf("empty and disabled: got status %d, %v", status, wrong)
	}
	w.collect()
	if got := w.exchange.Requests(); len(got) != 0 {
		t.Errorf("got %d requests while disabled, want none", len(got))
	}
	_, wrong := admin.save(form{Enabled: true, Domains: []string{"acme.example"}})
	for _, field := range []string{"server", "version", "login", "password"} {
		if wrong[field] == "" {
			t.Errorf("%s is missing and has no error: %v", field, wrong)
		}
	}
	if status, wrong := admin.save(w.complete()); status != http.StatusOK {
		t.Fatalf("complete: got status %d, %v", status, wrong)
	}
	again := w.complete()
	again.Password = ""
	if status, wrong := admin.save(again); status != http.StatusOK {
		t.Errorf("without retyping the password: got status %d, %v", status, wrong)
	}
	kept, _, err := w.org.Settings(t.Context())
	w.must(err)
	if kept.Password.Reveal() != password {
		t.Error("the stored password was not kept")
	}
	for name, change := range map[string]func(*form){
		"server": func(f *form) { f.Server = "mail.acme.example" },
		"login":  func(f *form) { f.Login = "another" },
	} {
		f := again
		change(&f)
		if status, wrong := admin.save(f); status != http.StatusUnprocessableEntity || wrong["password"] == "" {
			t.Errorf("other %s: got status %d, %v, want the password asked for again", name, status, wrong)
		}
	}
}

func TestA05Version2007OrNewer(t *testing.T) {
	versions := ewsConnector.Versions
	if len(versions) == 0 || !strings.Contains(versions[0].Title, "2007") {
		t.Fatalf("got versions %v, want Exchange 2007 as the oldest", versions)
	}
	for _, v := range versions {
		t.Run(v.Title, func(t *testing.T) {
			w := newWorld(t, sim.Options{Version: simulated(v.Name)})
			s := w.settings("acme.example")
			s.Version = v.Name
			checked, wrong := s.Check(ewsConnector, crm.Settings{})
			if len(wrong) > 0 {
				t.Fatal(wrong)
			}
			w.must(w.org.SaveSettings(t.Context(), checked))
			w.send(letter{from: cyn, to: ann, subject: "for every version"})
			w.collect()
			w.same("filed", w.filed(store.MailQuery{}), "for every version")
			w.prove()
		})
	}
	t.Run("an older server than chosen is told and proposed", func(t *testing.T) {
		w := newWorld(t, sim.Options{Version: sim.Exchange2010SP2})
		s := w.settings("acme.example")
		s.Version = "ExchangeSE"
		said := w.try(s)
		if !strings.Contains(said, "2010") {
			t.Errorf("the test does not name the version that it found:\n%s", said)
		}
	})
}

// simulated is the simulator's release for a version to choose.
func simulated(version string) sim.Version {
	for _, v := range []sim.Version{sim.Exchange2007SP1, sim.Exchange2010, sim.Exchange2010SP1, sim.Exchange2010SP2, sim.Exchange2013, sim.Exchange2013SP1, sim.Exchange2016, sim.Exchange2019} {
		if string(v) == version {
			return v
		}
	}
	return sim.ExchangeSE
}

// try tests settings and returns all that was said, a line a step.
func (w *world) try(s crm.Settings) string {
	w.Helper()
	var said strings.Builder
	w.must(w.engine.Test(w.Context(), s, func(f crm.Finding) {
		said.WriteString(map[bool]string{true: "ok ", false: "no "}[f.OK] + f.Step + ": " + f.Detail)
		if f.Fault != nil {
			said.WriteString(" " + f.Fault.Error() + " " + f.Fault.Advice + " " + strings.ReplaceAll(f.Fix, "\n", "; "))
		}
		said.WriteString("\n")
	}))
	return said.String()
}

func TestA06ImpersonationIsProved(t *testing.T) {
	for version, remedy := range map[sim.Version]string{sim.ExchangeSE: "ApplicationImpersonation", sim.Exchange2007SP1: "ms-Exch-EPI"} {
		t.Run(string(version), func(t *testing.T) {
			w := newWorld(t, sim.Options{Version: version})
			w.exchange.AddAccount(sim.Account{Login: login, Password: password, Scope: []mail.Address{ann}})
			s := w.settings("acme.example")
			s.Version = "ExchangeSE"
			if version == sim.Exchange2007SP1 {
				s.Version = ewsConnector.Versions[0].Name
			}
			said := w.try(s)
			var okAnn, noBob bool
			for line := range strings.Lines(said) {
				okAnn = okAnn || strings.HasPrefix(line, "ok ") && strings.Contains(line, ann)
				noBob = noBob || strings.HasPrefix(line, "no ") && strings.Contains(line, bob) && strings.Contains(line, remedy)
			}
			if !okAnn || !noBob {
				t.Errorf("got Ann fine %v, Bob denied with %s %v:\n%s", okAnn, remedy, noBob, said)
			}
			checked, wrong := s.Check(ewsConnector, crm.Settings{})
			if len(wrong) > 0 {
				t.Fatalf("saving is not possible: %v", wrong)
			}
			w.must(w.org.SaveSettings(t.Context(), checked))
			w.send(letter{from: cyn, to: ann, subject: "Ann syncs"})
			w.collect()
			w.same("filed", w.filed(store.MailQuery{}), "Ann syncs")
			if a, b := w.box(ann), w.box(bob); a.State != crm.Live || b.State != crm.Attention || b.Trouble == nil || b.Trouble.Advice == "" {
				t.Errorf("got Ann %s, Bob %s (%v), want live and attention with a remedy", a.State, b.State, b.Trouble)
			}
		})
	}
}

// TestNothingIsAskedAfterCollectingIsSwitchedOff: also not by a call that is under way and
// has many requests to go.
func TestNothingIsAskedAfterCollectingIsSwitchedOff(t *testing.T) {
	w := connected(t)
	w.many(600)
	answered := 0
	settings := w.settings("acme.example")
	settings.Enabled = false
	switchOff := sync.OnceFunc(func() { w.save(settings); w.must(w.engine.LookNow(t.Context())) })
	w.restart(engine.Config{Workers: 1, Looks: 1, AccessLog: heard(func(a crm.Access) {
		if a.Operation != "GetItem" {
			return
		}
		if answered++; answered == 2 {
			switchOff()
		}
	})})
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	_ = w.engine.CatchUp(ctx) // it ends with what was switched off
	if answered > 3 {         // the one under way may end
		t.Errorf("%d requests for content were sent, the second of which was the last that was allowed", answered)
	}
}

// heard is an access log that only tells.
type heard func(crm.Access)

func (h heard) Record(a crm.Access) { h(a) }
func (heard) Ready() error          { return nil }
