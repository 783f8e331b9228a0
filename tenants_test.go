package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/crm"
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
	ctx, cancel := context.WithCancel(t.Context())
	out, urls, ended := &strings.Builder{}, filepath.Join(t.TempDir(), "urls"), make(chan error, 1)
	command := serveCommand{folderFlags: folderFlags{Data: dir}, Listen: "127.0.0.1:0", Poll: time.Minute, Workers: 1, URLFile: urls}
	go func() {
		ended <- command.Run(&common{ctx: ctx, out: out, errOut: io.Discard, log: slog.New(slog.DiscardHandler)})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := strings.Count(out.String(), "Nobody could sign in yet"); n != 2 || !strings.Contains(out.String(), "Organization acme: Nobody") {
			t.Errorf("said: %s", out)
		}
	}()
	var at struct{ URL string }
	await(t, func() bool {
		text, err := os.ReadFile(urls)
		return err == nil && json.Unmarshal(text, &at) == nil
	})
	status := func(host string) int {
		r, err := http.NewRequestWithContext(t.Context(), "GET", at.URL+"/sign-in", nil)
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
