package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestReliabilityNamesRealTests: docs/reliability.md says which test holds each promise.
func TestReliabilityNamesRealTests(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)").FindAllSubmatch(page, -1)
	for _, word := range []string{"FIGURE", "SOAK"} {
		if bytes.Contains(page, []byte(word)) {
			t.Errorf("%s stands where a figure belongs", word)
		}
	}
	if len(named) < 100 {
		t.Fatalf("the page names only %d tests", len(named))
	}
	tests := map[string][]byte{} // by package
	for _, m := range named {
		pkg, name := string(m[1]), string(m[2])
		if tests[pkg] == nil {
			files, err := filepath.Glob(filepath.Join(pkg, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				tests[pkg] = append(tests[pkg], text...)
			}
		}
		if !bytes.Contains(tests[pkg], []byte("\nfunc "+name+"(")) {
			t.Errorf("there is no %s.%s", pkg, name)
		}
	}
}
