package gate_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// doors are what opens a connection or looks a name up, by import path.
var doors = map[string][]string{
	"net": {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialUnix", "DialIP", "Dialer", "Resolver", "DefaultResolver", "LookupAddr", "LookupCNAME",
		"LookupHost", "LookupIP", "LookupMX", "LookupNS", "LookupPort", "LookupSRV", "LookupTXT", "ListenUDP", "ListenPacket"},
	"net/http":                    {"Get", "Head", "Post", "PostForm", "Client", "DefaultClient", "Transport", "DefaultTransport", "ProxyFromEnvironment"},
	"crypto/tls":                  {"Dial", "DialWithDialer", "Dialer"},
	"net/smtp":                    nil, // nil: the package as a whole
	"net/rpc":                     nil,
	"log/syslog":                  nil,
	"github.com/wneessen/go-mail": nil,
	"syscall":                     {"Connect", "Sendto"},
	"golang.org/x/sys/unix":       {"Connect", "Sendto"},
	"golang.org/x/net/proxy":      nil,
	"golang.org/x/net/websocket":  nil,
	"os/exec":                     nil, // another program could open one
}

// exceptions have a reason each. Nothing of a mailbox passes any of them.
var exceptions = map[string]string{
	"bench.go":                    "speaks to the simulated Exchange that it started itself",
	"store/storetest/postgres.go": "starts the database of tests",
	"kms/transit.go":              "asks the key service that the operator named to open the master key",
	"tell/smtp.go":                "sends mail by a library that is handed the connection, which Named opened",
	"benchimport.go":              "compares us with a bare client, on the simulated Exchange that it started itself",
}

// TestOnlyTheGateOpensConnections: no other package can reach Exchange, or anybody else.
func TestOnlyTheGateOpensConnections(t *testing.T) {
	used := map[string]bool{}
	files := 0
	source(t, func(path string, file *ast.File, position func(token.Pos) token.Position) {
		files++
		if strings.HasPrefix(path, "gate/") {
			return
		}
		for _, door := range opened(file) {
			if exceptions[path] != "" {
				used[path] = true
				continue
			}
			t.Errorf("%s: %s opens connections, which is for package gate alone: take a crm.Transport", position(door.pos), door.name)
		}
	})
	if files < 200 {
		t.Errorf("only %d files were looked at", files)
	}
	for path := range exceptions {
		if !used[path] {
			t.Errorf("%s is an exception that is not needed any more", path)
		}
	}
}

// TestOnlyTheGateOpensSources: whoever else called Connector.Source would hold a source
// without a guard.
func TestOnlyTheGateOpensSources(t *testing.T) {
	found := 0
	source(t, func(path string, file *ast.File, position func(token.Pos) token.Position) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 2 {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "Source" {
				return true
			}
			found++
			if !strings.HasPrefix(path, "gate/") && exceptions[path] == "" {
				t.Errorf("%s: opens a source past the guard", position(call.Pos()))
			}
			return true
		})
	})
	if found == 0 {
		t.Error("nobody opens a source: this test looks for the wrong thing")
	}
}

// TestDoorsAreFound: the search finds what it is to find, under other names, too.
func TestDoorsAreFound(t *testing.T) {
	const text = `package x
import ("net"; web "net/http"; _ "net/rpc")
func f() { var d net.Dialer; _ = d; web.Get("x"); net.JoinHostPort("a", "b") }`
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range opened(file) {
		names = append(names, d.name)
	}
	if want := []string{"net/rpc", "net.Dialer", "net/http.Get"}; !slices.Equal(names, want) {
		t.Errorf("found %v, want %v", names, want)
	}
}

type door struct {
	name string
	pos  token.Pos
}

// opened lists the doors that a file uses.
func opened(file *ast.File) (list []door) {
	imported := map[string]string{} // by the name in this file
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		names, known := doors[path]
		switch {
		case !known:
		case names == nil:
			list = append(list, door{path, spec.Pos()})
		case spec.Name != nil:
			imported[spec.Name.Name] = path
		default:
			imported[path[strings.LastIndexByte(path, '/')+1:]] = path
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Obj == nil && slices.Contains(doors[imported[x.Name]], s.Sel.Name) {
				list = append(list, door{fmt.Sprintf("%s.%s", imported[x.Name], s.Sel.Name), s.Pos()})
			}
		}
		return true
	})
	return list
}

// source hands each file of the program to look, tests left out.
func source(t *testing.T, look func(path string, file *ast.File, position func(token.Pos) token.Position)) {
	t.Helper()
	set := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "testdata"):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err == nil {
			look(filepath.ToSlash(strings.TrimPrefix(path, "../")), file, set.Position)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
