package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// codeForms are the ways in which the source gives an error its code, and what precedes
// the code when it is told.
var codeForms = []struct{ form, prefix string }{
	{`\bCode: +"([a-z][a-z0-9-]*[a-z0-9])"`, ""},
	{`\.Code(?:, \w+\.\w+)* = (?:crm\.\w+, )?"([a-z][a-z0-9-]*)"`, ""},
	{`\breturn "([a-z][a-z0-9-]*)", (?:ruling\{|refused\(|timeout)`, ""},
	{`\bc\.fault\("([a-z-]+)"`, ""},
	{`\bkeyFault\("([a-z-]+)"`, ""},
	{`\bDiskFull = "([a-z-]+)"`, ""},
	{`\bnothingInScope\("([a-z-]+)"`, ""},
	{`\bLoadError\{"([a-z-]+)"`, ""},
	{`\bfound\("(audit-[a-z-]+)"`, ""},
	{`\bunusable\("([a-z-]+)"`, "people-file-"},
	{`\bwrong\("[a-z_]+", "([a-z-]+)"`, ""},
	{`\bwrong(?:At)?\([^"\n]*(?:""|\)|s|bad), "([a-z-]+)", `, ""},
	{`\breturn "", "([a-z-]+)", `, ""},
	{`\bwrong\(field, "([a-z-]+)", `, ""},
	{`\brefused\("([a-z-]+)", (?:"|fmt)`, ""},
	{`\bproblem\{http\.\w+, "([a-z-]+)"`, ""},
}

// TestEveryCodeIsDocumented holds docs/errors.md against the source, both ways.
func TestEveryCodeIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z][a-zN0-9-]*)` \\| [^|]+ \\| .+ \\|$").FindAllStringSubmatch(string(text), -1) {
		if documented[row[1]] {
			t.Errorf("%s is documented twice", row[1])
		}
		documented[row[1]] = true
	}
	source := sources(t)
	used := map[string]bool{"http-NNN": true, "soap-fault": true} // made of what the server says
	for _, f := range codeForms {
		found := regexp.MustCompile(f.form).FindAllStringSubmatch(source, -1)
		if len(found) == 0 {
			t.Errorf("nothing in the source has the form %s", f.form)
		}
		for _, m := range found {
			used[f.prefix+m[1]] = true
		}
	}
	for _, code := range slices.Sorted(maps.Keys(used)) {
		if !documented[code] {
			t.Errorf("%s is not in docs/errors.md", code)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(documented)) {
		if !used[code] {
			t.Errorf("%s is in docs/errors.md, but not in the source", code)
		}
	}
}

// sources returns all source text of the module but tests.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == "node_modules" || d.Name() != "." && strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir // not of the module, and may change meanwhile
		}
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
