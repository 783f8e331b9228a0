package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/store"
)

func TestHostNamesAnOrganization(t *testing.T) {
	named := func(name string) *program {
		return &program{pages: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })}
	}
	house := &tenants{multi: true, programs: map[string]*program{"acme": named("acme"), "main": named("main"), "127": named("127")}}
	get := func(host string) (int, string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/users/1", nil)
		r.Host = host
		house.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for host, want := range map[string]string{"acme.localhost:8317": "acme", "ACME.crm.example": "acme", "main.localhost": "main"} {
		if status, body := get(host); status != http.StatusOK || body != want {
			t.Errorf("%s: got %d %q, want %s", host, status, body, want)
		}
	}
	_, nobody := get("")
	for _, host := range []string{"localhost", "acme", "acme.", "127.0.0.1", "127.0.0.1:8317", "[::1]:80", "x.acme.example", "other.localhost", "-", "acme/.x"} {
		status, body := get(host)
		if status != http.StatusNotFound || body != nobody || strings.Contains(body, "acme") || strings.Contains(body, "Postern") {
			t.Errorf("%s: got %d %q", host, status, body)
		}
	}
	house = &tenants{programs: map[string]*program{"main": named("main")}}
	for _, host := range []string{"", "localhost", "127.0.0.1:8317", "acme.example"} {
		if status, body := get(host); status != http.StatusOK || body != "main" {
			t.Errorf("the only organization at %q: got %d %q", host, status, body)
		}
	}
}

// Several organizations are served at once, and one that is added without a restart.
func TestNewOrganizationIsServed(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.SaveDeployment(t.Context(), crm.Deployment{Mode: crm.MultiTenant}); err != nil {
		t.Fatal(err)
	}
	url, end := served(t, dir)
	status := func(host string) int {
		r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/sign-in", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	if main, acme := status("main.localhost"), status("acme.localhost"); main != http.StatusOK || acme != http.StatusNotFound {
		t.Errorf("before acme came: main %d, acme %d", main, acme)
	}
	if _, err := st.AddOrg(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return status("acme.localhost") == http.StatusOK })
	if said := end(); strings.Count(said, "Nobody could sign in yet") != 2 || !strings.Contains(said, "Organization acme: Nobody") {
		t.Errorf("said: %s", said)
	}
}

// Where four eyes are asked for and no administrator is left, an account made by the program
// would be one person with all rights: none is made, and mail is collected all the same.
func TestNoAccountIsMadeUnderFourEyes(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, org := crm.WithOperator(t.Context(), "test"), st.Org(1)
	admins := []crm.User{
		{Name: "Ann", Addresses: addresses("ann@firm.example"), Admin: true, Active: true},
		{Name: "Ben", Addresses: addresses("ben@firm.example"), Admin: true, Active: true},
	}
	if _, err := org.SaveUsers(ctx, admins); err != nil {
		t.Fatal(err)
	}
	for _, u := range admins {
		if err := setPassword(ctx, org, string(u.Addresses[0]), "long enough to be one"); err != nil {
			t.Fatal(err)
		}
	}
	if err := org.SetFourEyes(ctx, true); err != nil {
		t.Fatal(err)
	}
	for i := range admins {
		admins[i].Active = false
	}
	if _, err := org.SaveUsers(ctx, admins); err != nil {
		t.Fatal(err)
	}
	_, end := served(t, dir)
	if said := end(); !strings.Contains(said, "No administrator can sign in") || !strings.Contains(said, "postern users password ADDRESS") {
		t.Errorf("said: %s", said)
	}
	if users, total, err := org.Users(ctx, store.ListQuery{}); err != nil || total != 2 {
		t.Errorf("%d accounts instead of 2: %+v, %v", total, users, err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// One organization that cannot be started keeps none of the others from it, and starts no
// other a second time.
func TestOrganizationThatCannotBeStarted(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.SaveDeployment(t.Context(), crm.Deployment{Mode: crm.MultiTenant}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"acme", "zeta"} {
		if _, err := st.AddOrg(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	started, broken := map[string]int{}, true
	log := slog.New(slog.DiscardHandler)
	house := &tenants{st: st, log: log, programs: map[string]*program{}, failed: map[string]time.Time{}}
	house.start = func(_ context.Context, o store.Organization) (*program, error) {
		if o.Name == "acme" && broken {
			return nil, errors.New("broken")
		}
		started[o.Name]++
		connector := ews.Connector()
		return &program{org: st.Org(o.ID), connector: connector, log: log,
			engine: engine.New(engine.Config{Org: st.Org(o.ID), Connector: connector, Poll: time.Minute, Workers: 1, Log: log})}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer house.wg.Wait()
	defer cancel()
	if err := house.begin(ctx); err != nil {
		t.Errorf("two of three could be started, yet: %v", err)
	}
	if _, err := st.AddOrg(t.Context(), "newer"); err != nil {
		t.Fatal(err)
	}
	if err := house.look(ctx); err != nil {
		t.Errorf("look for a newer one, while acme waits for its turn: %v", err)
	}
	clear(house.failed) // as after a while
	if err := house.look(ctx); err == nil || !strings.Contains(err.Error(), "acme") {
		t.Errorf("look with acme broken: %v", err)
	}
	broken = false
	clear(house.failed)
	if err := house.look(ctx); err != nil {
		t.Error(err)
	}
	if want := map[string]int{"main": 1, "acme": 1, "newer": 1, "zeta": 1}; !maps.Equal(started, want) {
		t.Errorf("started %v, want %v", started, want)
	}
}

// served runs the program on a data folder until the test ends, or end is called, which
// returns what it said.
func served(t *testing.T, dir string) (url string, end func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, urls, ended := &strings.Builder{}, filepath.Join(t.TempDir(), "urls"), make(chan error, 1)
	command := serveCommand{folderFlags: folderFlags{Data: dir}, Listen: "127.0.0.1:0", Poll: time.Minute, Workers: 1, URLFile: urls}
	go func() {
		ended <- command.Run(&common{ctx: ctx, out: out, errOut: io.Discard, log: slog.New(slog.DiscardHandler)})
	}()
	end = sync.OnceValue(func() string {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		return out.String()
	})
	t.Cleanup(func() { end() })
	var at struct{ URL string }
	await(t, func() bool {
		text, err := os.ReadFile(urls)
		return err == nil && json.Unmarshal(text, &at) == nil
	})
	return at.URL, end
}

// await waits until something is so.
func await(t *testing.T, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited for a minute")
		}
	}
}
