package storetest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Postgres returns the connection string of an empty database of its own for the test.
func Postgres(t testing.TB) string {
	t.Helper()
	server, err := startServer()
	if err != nil {
		if os.Getenv("POSTERN_TEST_REQUIRE") == "1" {
			t.Fatalf("no PostgreSQL: %v", err)
		}
		t.Skipf("no PostgreSQL: %v", err)
	}
	admin, err := sql.Open("pgx", server.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	name := fmt.Sprintf("postern_%d_%d", os.Getpid(), databases.Add(1))
	if _, err := admin.ExecContext(t.Context(), "create database "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		admin, err := sql.Open("pgx", server.dsn)
		if err == nil {
			_, err = admin.ExecContext(context.WithoutCancel(t.Context()), "drop database "+name+" with (force)")
			err = errors.Join(err, admin.Close())
		}
		if err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(server.dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

var databases atomic.Int64

// A server is one that runs while this value is held.
type server struct {
	dsn   string
	alive io.Closer // the write end of its pipe; see runCluster
}

// startServer returns the server, started at the first call.
var startServer = sync.OnceValues(func() (*server, error) {
	if dsn := os.Getenv("POSTERN_TEST_POSTGRES"); dsn != "" {
		return &server{dsn: dsn}, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		return nil, errors.New("POSTERN_TEST_POSTGRES is not set, and there is no /usr/lib/postgresql/*/bin")
	}
	return runCluster(found[len(found)-1])
})

// runCluster makes a cluster and starts it. A shell of the same user holds the read end
// of a pipe whose write end is ours: however this program ends, the pipe closes, and the
// shell stops the server and removes the folder.
func runCluster(bin string) (*server, error) {
	dir, err := os.MkdirTemp("", "postern-postgres-")
	if err != nil {
		return nil, err
	}
	as, err := ordinaryUser(dir)
	if err != nil {
		return nil, err
	}
	script := `
set -e
"$1/initdb" -D "$2/data" -U postern -A trust -E UTF8 --locale=C -N >"$2/log" 2>&1
"$1/pg_ctl" -D "$2/data" -l "$2/log" -w -o "-c listen_addresses='' -c unix_socket_directories=$2 -c fsync=off -c synchronous_commit=off -c full_page_writes=off" start >>"$2/log" 2>&1
echo ready
cat >/dev/null
"$1/pg_ctl" -D "$2/data" -m immediate stop >/dev/null 2>&1
rm -rf "$2"
`
	cmd := exec.Command(as[0], append(as[1:], "sh", "-c", script, "sh", bin, dir)...)
	cmd.Dir = dir
	cmd.SysProcAttr = ownSession // Ctrl-C ends the test program first, and then this by the pipe
	alive, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ready := make([]byte, 6)
	if _, err := out.Read(ready); err != nil || !bytes.HasPrefix(ready, []byte("ready")) {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return nil, fmt.Errorf("PostgreSQL in %s does not start: %w\n%s", dir, err, log)
	}
	dsn := url.URL{Scheme: "postgres", User: url.User("postern"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}
	return &server{dsn.String(), alive}, ping(dsn.String())
}

func ping(dsn string) error {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return db.PingContext(ctx)
}

// ordinaryUser returns the words that run a command as somebody who may start PostgreSQL,
// which refuses to run as root, and gives the folder to that user.
func ordinaryUser(dir string) ([]string, error) {
	if os.Getuid() != 0 {
		return []string{"env"}, nil
	}
	name := "postgres"
	if exec.Command("id", name).Run() != nil {
		name = "nobody"
	}
	if out, err := exec.Command("chown", name, dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("chown: %w: %s", err, out)
	}
	return []string{"setpriv", "--reuid=" + name, "--regid=" + group(name), "--clear-groups"}, nil
}

// group is the primary group of a user.
func group(name string) string {
	out, err := exec.Command("id", "-g", name).Output()
	if err != nil {
		return name
	}
	return string(bytes.TrimSpace(out))
}
