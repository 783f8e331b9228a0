package ews

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shared returns a file or folder of the test data that lives beside the project.
func shared(t testing.TB, path string) string {
	t.Helper()
	root := os.Getenv("POSTERN_SHARED")
	if root == "" {
		root = "../../shared"
	}
	p := filepath.Join(root, path)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("no shared test data at %s", p)
	}
	return p
}

// TestClientRequests reads what DavMail and ews-javascript-api really send, writes it
// again, and reads the same from that.
func TestClientRequests(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(shared(t, "fixtures/client-requests"), "*.xml"))
	if len(files) == 0 {
		t.Fatal("no requests")
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			req, err := ReadRequest(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(filepath.Base(f), "-")[1]
			if got := req.Op.Operation(); got != want {
				t.Errorf("operation = %q, want %q", got, want)
			}
			if _, unknown := req.Op.(*Unknown); unknown {
				t.Fatalf("%s is not known", want)
			}
			var out bytes.Buffer
			if err := WriteRequest(&out, req); err != nil {
				t.Fatal(err)
			}
			have := map[string]int{}
			for _, s := range leaves(t, out.Bytes()) {
				have[s]++
			}
			for _, s := range leaves(t, b) {
				if have[s]--; have[s] < 0 && !strings.HasPrefix(s, "TimeZoneDefinition@Name") {
					t.Errorf("lost %s", s)
				}
			}
		})
	}
}
