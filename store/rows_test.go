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
// holds then must not be done. So it may only call a row's methods, and other row functions,
// and looks at each error before it does anything else.
func TestRowsAreUsedOnlyOnceRead(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset, functions, named := token.NewFileSet(), []rowFunction{}, map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for n := range ast.Preorder(file) {
			if f, ok := asRowFunction(n); ok {
				functions = append(functions, f)
				named[f.name] = true
			}
		}
	}
	if len(functions) < 50 {
		t.Errorf("only %d functions that read rows were found; does the test still know them?", len(functions))
	}
	for _, f := range functions {
		for _, n := range f.misuses(named) {
			t.Errorf("%s: a row, or an error, is used in another way than to be looked at at once", fset.Position(n.Pos()))
		}
	}
}

// TestMisusesOfRowsAreFound: the test above does not pass because it sees nothing.
func TestMisusesOfRowsAreFound(t *testing.T) {
	for body, misused := range map[string]bool{
		"return r.Scan(&x)": false,
		"if err := r.Scan(&x); err != nil { return err }; use(x); return nil":                false,
		"x, err := scan(r); if err != nil { return err }; use(x); return nil":                false,
		"m, err := scan(r); return m, err":                                                   false,
		"switch { case a: err := r.Scan(&x); if err != nil { return err } }":                 false,
		"i, err := scan(r); if err != nil && !is(err) { return err }; return nil":            false,
		"err := r.Scan(&x); use(x); return err":                                              true,
		"err := r.Scan(&x); return use(x), err":                                              true,
		"x, err := scan(r); use(x); return err":                                              true,
		"r.Scan(&x); return nil":                                                             true,
		"_ = r.Scan(&x); return nil":                                                         true,
		"bad := r.Scan(&x); use(x); return bad":                                              true,
		"if err := r.Scan(&x); err == nil { use(x) }; use(x); return nil":                    true,
		"if err := r.Scan(&x); err != nil && much { return err }; return nil":                true,
		"if err := r.Scan(&x); err != nil { note(err) }; use(x); return nil":                 true,
		"switch { case a: err := r.Scan(&x); use(x) }; return err":                           true,
		"return use(x, r.Scan(&x))":                                                          true,
		"scan := r.Scan; return scan(&x)":                                                    true,
		"return other(r)":                                                                    true,
		"if err := r.Scan(&x); err != nil { return err }; err := read(x); use(); return err": true,
	} {
		expr, err := parser.ParseExpr("func(r *sql.Rows) error {" + body + "}")
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		f, ok := asRowFunction(expr)
		if got := len(f.misuses(map[string]bool{"scan": true})) > 0; !ok || got != misused {
			t.Errorf("%s: misused is %v, want %v", body, got, misused)
		}
	}
}

// A rowFunction is one that is given rows.
type rowFunction struct {
	name string // "" = it has none
	row  string // what it calls the rows
	body *ast.BlockStmt
}

func asRowFunction(n ast.Node) (f rowFunction, ok bool) {
	var typ *ast.FuncType
	switch n := n.(type) {
	case *ast.FuncDecl:
		f.name, typ, f.body = n.Name.Name, n.Type, n.Body
	case *ast.FuncLit:
		typ, f.body = n.Type, n.Body
	case *ast.AssignStmt: // the literal is met once more, without its name
		if lit, ok := n.Rhs[0].(*ast.FuncLit); ok {
			f, ok = asRowFunction(lit)
			f.name = nameOf(n.Lhs[0])
			return f, ok
		}
	}
	if typ == nil {
		return f, false
	}
	for _, p := range typ.Params.List {
		if star, ok := p.Type.(*ast.StarExpr); ok {
			if sel, ok := star.X.(*ast.SelectorExpr); ok && sel.Sel.Name == "Rows" {
				f.row = p.Names[0].Name
				return f, true
			}
		}
	}
	return f, false
}

// misuses finds what is done with rows and errors that should not be. named are the functions
// that may be given rows.
func (f rowFunction) misuses(named map[string]bool) (list []ast.Node) {
	looked := map[ast.Expr]bool{} // at the error of these, at once
	inTurn := func(s, next ast.Stmt) {
		if value, err := assigned(s); looksAt(next, err) {
			looked[value] = true
		}
	}
	blocks := func(stmts []ast.Stmt) {
		for i := 1; i < len(stmts); i++ {
			inTurn(stmts[i-1], stmts[i])
		}
	}
	for n := range ast.Preorder(f.body) {
		switch n := n.(type) {
		case *ast.ReturnStmt:
			if len(n.Results) == 1 {
				looked[n.Results[0]] = true
			}
		case *ast.IfStmt:
			inTurn(n.Init, n)
		case *ast.BlockStmt:
			blocks(n.List)
		case *ast.CaseClause:
			blocks(n.Body)
		}
	}
	fine := map[ast.Expr]bool{} // mentions of the row
	for n := range ast.Preorder(f.body) {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if value, err := assigned(n); err == "err" && !looked[value] {
				list = append(list, n)
			}
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && looked[n] {
				fine[sel.X] = true
			}
			for _, arg := range n.Args {
				fine[arg] = looked[n] && named[nameOf(n.Fun)]
			}
		case *ast.Ident:
			if n.Name == f.row && !fine[n] {
				list = append(list, n)
			}
		}
	}
	return list
}

// assigned returns what is assigned and the last variable that it is assigned to.
func assigned(s ast.Stmt) (value ast.Expr, to string) {
	if a, ok := s.(*ast.AssignStmt); ok {
		return a.Rhs[len(a.Rhs)-1], nameOf(a.Lhs[len(a.Lhs)-1])
	}
	return nil, ""
}

// looksAt tells whether a statement returns when this error is set, or returns it with
// nothing that was made of what there is besides.
func looksAt(s ast.Stmt, err string) bool {
	switch s := s.(type) {
	case *ast.ReturnStmt:
		for _, r := range s.Results {
			for n := range ast.Preorder(r) {
				if _, calls := n.(*ast.CallExpr); calls {
					return false
				}
			}
		}
		return len(s.Results) > 0 && nameOf(s.Results[len(s.Results)-1]) == err
	case *ast.IfStmt:
		cond, ok := s.Cond.(*ast.BinaryExpr)
		if ok && cond.Op == token.LAND && mentions(cond.Y, err) { // of which kind it is
			cond, ok = cond.X.(*ast.BinaryExpr)
		}
		if !ok || cond.Op != token.NEQ || nameOf(cond.X) != err || nameOf(cond.Y) != "nil" {
			return false
		}
		_, returns := s.Body.List[len(s.Body.List)-1].(*ast.ReturnStmt)
		return returns
	}
	return false
}

func mentions(e ast.Expr, name string) bool {
	for n := range ast.Preorder(e) {
		if id, ok := n.(*ast.Ident); ok && id.Name == name {
			return true
		}
	}
	return false
}

// nameOf is what a variable, a function or a method is called; "" where it is none.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
