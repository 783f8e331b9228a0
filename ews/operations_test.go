package ews_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postern/ews"
)

// TestOperationsAreWhatTheCodeSends reads the source: an operation is sent where a value
// of its type is made, or where a request is named by hand. None of them may write.
func TestOperationsAreWhatTheCodeSends(t *testing.T) {
	files := parseSource(t)
	names, writers := map[string]string{}, []string(nil) // type → name of the operation
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil {
				continue
			}
			if text := returnedText(fn); fn.Name.Name == "Operation" && text != "" {
				names[receiver(fn)] = text
			}
			if receiver(fn) == "Session" && sets(fn.Body, "writes") {
				writers = append(writers, fn.Name.Name)
			}
		}
	}
	if len(names) < 15 || !slices.Contains(writers, "DeleteItem") {
		t.Fatalf("the source was not understood: operations %v, writing %v", names, writers)
	}
	var sent []string
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			made, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			id, _ := made.Type.(*ast.Ident)
			switch {
			case id == nil:
			case names[id.Name] != "":
				sent = append(sent, names[id.Name])
			case id.Name == "Call":
				sent = append(sent, operationOf(made)...)
			}
			return true
		})
	}
	slices.Sort(sent)
	sent = slices.Compact(sent)
	var listed []string
	for _, o := range ews.Connector().Operations {
		listed = append(listed, o.Name)
		if !o.Reads || slices.Contains(writers, o.Name) {
			t.Errorf("%s writes; Postern only reads", o.Name)
		}
		if o.Purpose == "" || !strings.HasSuffix(o.Purpose, ".") {
			t.Errorf("%s: what it is for is to be said in a sentence, not %q", o.Name, o.Purpose)
		}
	}
	slices.Sort(listed)
	if !slices.Equal(sent, listed) {
		t.Errorf("the code sends %q, but operations lists %q", sent, listed)
	}
}

// parseSource parses the package without its tests.
func parseSource(t *testing.T) []*ast.File {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
	}
	return files
}

// receiver is the type that a method belongs to.
func receiver(fn *ast.FuncDecl) string {
	kind := fn.Recv.List[0].Type
	if star, ok := kind.(*ast.StarExpr); ok {
		kind = star.X
	}
	if id, ok := kind.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// returnedText is the literal that a function returns first.
func returnedText(fn *ast.FuncDecl) string {
	if fn.Body == nil || len(fn.Body.List) != 1 {
		return ""
	}
	if r, ok := fn.Body.List[0].(*ast.ReturnStmt); ok && len(r.Results) == 1 {
		return literal(r.Results[0])
	}
	return ""
}

// sets tells whether a field of that name is set to true within a function.
func sets(body *ast.BlockStmt, field string) (found bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		if kv, ok := n.(*ast.KeyValueExpr); ok {
			key, _ := kv.Key.(*ast.Ident)
			value, _ := kv.Value.(*ast.Ident)
			found = found || key != nil && key.Name == field && value != nil && value.Name == "true"
		}
		return true
	})
	return found
}

// operationOf is the operation that a Call names by hand.
func operationOf(call *ast.CompositeLit) (names []string) {
	for _, e := range call.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Operation" {
			if text := literal(kv.Value); text != "" {
				names = append(names, text)
			}
		}
	}
	return names
}

func literal(e ast.Expr) string {
	if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
		if text, err := strconv.Unquote(l.Value); err == nil {
			return text
		}
	}
	return ""
}
