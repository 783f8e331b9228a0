package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestPagesNameRealTests: docs/reliability.md and docs/security.md say which test holds each
// promise.
func TestPagesNameRealTests(t *testing.T) {
	for name, least := range map[string]int{"reliability.md": 100, "security.md": 30} {
		t.Run(name, func(t *testing.T) { namesRealTests(t, name, least) })
	}
}

func namesRealTests(t *testing.T, page string, least int) {
	text, err := os.ReadFile(filepath.Join("docs", page))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)").FindAllSubmatch(text, -1)
	for _, word := range []string{"FIGURE", "SOAK"} {
		if bytes.Contains(text, []byte(word)) {
			t.Errorf("%s stands where a figure belongs", word)
		}
	}
	if len(named) < least {
		t.Fatalf("the page names only %d tests", len(named))
	}
	tests := map[string][]byte{} // by package
	for _, m := range named {
		pkg, name := string(m[1]), string(m[2])
		if tests[pkg] == nil {
			folder := pkg
			if pkg == "main" {
				folder = "."
			}
			files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
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
