package interop

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/ews"
)

const (
	user     = "ann@company.example"
	password = "secret"
	letters  = "../sim/testdata"
)

// patience bounds everything that waits for another program.
const patience = 90 * time.Second

// expectation is what a person reads in one letter.
type expectation struct{ File, Subject, Text, HTML string }

func expectations(t *testing.T) map[string]expectation {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(letters, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []expectation
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	bySubject := map[string]expectation{}
	for _, e := range list {
		bySubject[e.Subject] = e
	}
	return bySubject
}

// sameText compares texts whose line ends and last line end may differ, nothing else.
func sameText(a, b string) bool {
	normal := func(s string) string { return strings.TrimRight(strings.ReplaceAll(s, "\r\n", "\n"), "\n") }
	return normal(a) == normal(b)
}

// startServer runs "postern sim" with the letters and returns its URL.
func startServer(t *testing.T) string {
	t.Helper()
	if os.Getenv("POSTERN_INTEROP") == "" {
		t.Skip("foreign clients are tried by `make interop`")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "postern")
	if out, err := exec.Command("go", "build", "-o", program, "..").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	where := filepath.Join(dir, "url.json")
	run(t, exec.Command(program, "sim", "--listen", "127.0.0.1:0", "--letters", filepath.Join(letters, "letters"),
		"--company", "company.example", "--account", user+":"+password, "--url-file", where))
	var found struct{ URL string }
	await(t, "the simulated Exchange", func() bool {
		data, err := os.ReadFile(where)
		return err == nil && json.Unmarshal(data, &found) == nil && found.URL != ""
	})
	return found.URL
}

// run starts a program that lives as long as the test. What it said is shown when the
// test fails.
func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), said.String())
		}
	})
}

// await asks again and again whether another program has got so far.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); ; {
		if done() {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: nothing after %s", what, patience)
		}
	}
}

// put lays a letter into a folder as a third program would, beside the client under test.
func put(t *testing.T, url, folder, raw string) {
	t.Helper()
	var body bytes.Buffer
	err := ews.WriteRequest(&body, &ews.Request{Header: ews.Header{Version: ews.Exchange2013SP1}, Op: &ews.CreateItem{
		Disposition: "SaveOnly",
		Folder:      &ews.FolderID{Distinguished: folder},
		Items:       []ews.Item{{Element: ews.MessageItem, Mime: &ews.Content{Bytes: []byte(raw)}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, &body)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(user, password)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("put a letter: %s", answer.Status)
	}
}
