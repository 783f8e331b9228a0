package gate_test

import (
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

// doors are what opens a connection or looks a name up, by import path. With a dot before
// it, a name is a method's, whose calls count in every file that imports the package.
var doors = map[string][]string{
	"net": {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialUnix", "DialIP", "Dialer", "Resolver", "DefaultResolver", "LookupAddr", "LookupCNAME",
		"LookupHost", "LookupIP", "LookupMX", "LookupNS", "LookupPort", "LookupSRV", "LookupTXT", "ListenUDP", "ListenPacket",
		"ListenMulticastUDP", "ListenUnixgram", "ListenIP", "ListenConfig", "FilePacketConn"},
	"net/http":                    {"Get", "Head", "Post", "PostForm", "Client", "DefaultClient", "Transport", "DefaultTransport", "ProxyFromEnvironment"},
	"net/http/httputil":           nil, // nil: the package as a whole
	"net/http/httptest":           nil,
	"net/http/cgi":                nil,
	"crypto/tls":                  {"Dial", "DialWithDialer", "Dialer"},
	"net/smtp":                    nil,
	"net/rpc":                     nil,
	"net/rpc/jsonrpc":             nil,
	"log/syslog":                  nil,
	"github.com/wneessen/go-mail": nil,
	"syscall":                     {"Connect", "Sendto", "Sendmsg", "SendmsgN", "Syscall", "Syscall6", "RawSyscall", "RawSyscall6"},
	"golang.org/x/sys/windows":    {"Connect", "ConnectEx", "Sendto", "WSASend", "WSASendMsg", "WSASendto", "SyscallN", "NewLazyDLL", "NewLazySystemDLL", "LoadDLL", "LoadLibrary"},
	"os/exec":                     nil, // another program could open one
	"plugin":                      nil, // nor is it known what is loaded
	"C":                           nil,
	// The client that its token needs would also ask for tickets by itself.
	"github.com/jcmturner/gokrb5/v8/client": {".Login", ".AffirmLogin", ".ASExchange", ".TGSExchange", ".TGSREQGenerateAndExchange",
		".GetServiceTicket", ".ChangePasswd", ".Diagnostics"},
	"github.com/jcmturner/gokrb5/v8/spnego": {"Client", "NewClient", "SetSPNEGOHeader", "SPNEGOClient", ".AcquireCred", ".InitSecContext"},
}

// libraries are the modules of others that are used outside of the gate. Each was looked
// through for what opens connections: it opens none, or by those of the doors alone.
var libraries = []string{
	"github.com/alecthomas/kong",
	"github.com/bodgit/ntlmssp",
	"github.com/emersion/go-message",
	"github.com/google/uuid",
	"github.com/jackc/pgx/v5", // to the database that the operator named
	"github.com/jcmturner/gofork",
	"github.com/jcmturner/gokrb5/v8",
	"github.com/klauspost/compress",
	"github.com/microcosm-cc/bluemonday",
	"github.com/pressly/goose/v3",
	"github.com/segmentio/asm",
	"github.com/tink-crypto/tink-go/v2",
	"github.com/wneessen/go-mail",
	"golang.org/x/crypto/argon2",
	"golang.org/x/crypto/md4",
	"golang.org/x/net/html",
	"golang.org/x/net/idna",
	"golang.org/x/net/publicsuffix",
	"golang.org/x/sys/windows",
	"golang.org/x/text",
	"modernc.org/sqlite",
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

// TestLibrariesAreKnown: a library could open connections itself.
func TestLibrariesAreKnown(t *testing.T) {
	used := map[string]bool{}
	source(t, func(path string, file *ast.File, position func(token.Pos) token.Position) {
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			host, _, _ := strings.Cut(imported, "/")
			if strings.HasPrefix(path, "gate/") || !strings.Contains(host, ".") {
				continue
			}
			known := slices.IndexFunc(libraries, func(l string) bool { return imported == l || strings.HasPrefix(imported, l+"/") })
			if known < 0 {
				t.Errorf("%s: look through %s for what opens connections, and add it to the libraries, with its doors", position(spec.Pos()), imported)
				continue
			}
			used[libraries[known]] = true
		}
	})
	for _, l := range libraries {
		if !used[l] {
			t.Errorf("%s is not used any more", l)
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
import ("net"; web "net/http"; _ "net/rpc"; krb "github.com/jcmturner/gokrb5/v8/client")
func f() { var d net.Dialer; _ = d; web.Get("x"); net.JoinHostPort("a", "b"); krb.NewWithPassword("a", "b", "c", nil).Login() }`
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range opened(file) {
		names = append(names, d.name)
	}
	if want := []string{"net/rpc", "net.Dialer", "net/http.Get", "github.com/jcmturner/gokrb5/v8/client.Login"}; !slices.Equal(names, want) {
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
	methods := map[string]string{}  // the import path, by name
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		names, known := doors[path]
		for _, n := range names {
			if method, ok := strings.CutPrefix(n, "."); ok {
				methods[method] = path
			}
		}
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
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Obj == nil && slices.Contains(doors[imported[x.Name]], n.Sel.Name) {
				list = append(list, door{imported[x.Name] + "." + n.Sel.Name, n.Pos()})
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && methods[f.Sel.Name] != "" {
				list = append(list, door{methods[f.Sel.Name] + "." + f.Sel.Name, f.Pos()})
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
