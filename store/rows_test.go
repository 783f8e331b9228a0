package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// A row can fail to be read when its turn has come already: the caller's context ends, and
// database/sql takes the rows away. What a row function would do with the empty values it
// holds then must not be done; so each error is looked at before anything else is.
func TestRowsAreUsedOnlyOnceRead(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset, reading := token.NewFileSet(), 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for n := range ast.Preorder(file) {
			body := rowFunction(n)
			if body == nil {
				continue
			}
			reading++
			for n := range ast.Preorder(body) {
				block, ok := n.(*ast.BlockStmt)
				if !ok {
					continue
				}
				for i, s := range block.List {
					if setsErr(s) && !checksErr(block.List[i+1:]) {
						t.Errorf("%s: something is done before the error is looked at", fset.Position(s.Pos()))
					}
				}
			}
		}
	}
	if reading < 50 {
		t.Errorf("only %d functions that read rows were found; does the test still know them?", reading)
	}
}

// rowFunction returns the body of a function that is given rows.
func rowFunction(n ast.Node) *ast.BlockStmt {
	var typ *ast.FuncType
	var body *ast.BlockStmt
	switch f := n.(type) {
	case *ast.FuncDecl:
		typ, body = f.Type, f.Body
	case *ast.FuncLit:
		typ, body = f.Type, f.Body
	default:
		return nil
	}
	for _, p := range typ.Params.List {
		if star, ok := p.Type.(*ast.StarExpr); ok {
			if sel, ok := star.X.(*ast.SelectorExpr); ok && sel.Sel.Name == "Rows" {
				return body
			}
		}
	}
	return nil
}

func setsErr(s ast.Stmt) bool {
	a, ok := s.(*ast.AssignStmt)
	if !ok {
		return false
	}
	last, ok := a.Lhs[len(a.Lhs)-1].(*ast.Ident)
	return ok && last.Name == "err"
}

// checksErr tells whether the first statement returns, or does when err is set.
func checksErr(rest []ast.Stmt) bool {
	if len(rest) == 0 {
		return false
	}
	switch s := rest[0].(type) {
	case *ast.ReturnStmt:
		return true
	case *ast.IfStmt:
		cond, ok := s.Cond.(*ast.BinaryExpr)
		if ok && cond.Op == token.LAND {
			cond, ok = cond.X.(*ast.BinaryExpr)
		}
		if !ok || cond.Op != token.NEQ {
			return false
		}
		x, ok := cond.X.(*ast.Ident)
		if !ok || x.Name != "err" {
			return false
		}
		_, returns := s.Body.List[len(s.Body.List)-1].(*ast.ReturnStmt)
		return returns
	}
	return false
}
