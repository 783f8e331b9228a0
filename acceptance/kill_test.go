package acceptance

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"

	"postern/verify"
)

// dump returns the contents of a data folder, a sorted list of rows a table.
func dump(t *testing.T, dir string) map[string][]string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "postern.db"))+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all, err := verify.Contents(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	all["files"] = blobs(t, dir)
	return all
}

// blobs lists the files of large contents. What a killed process left half written is
// taken away when the folder is opened next.
func blobs(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	root := filepath.Join(dir, "blobs")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			content, err := os.ReadFile(path)
			list = append(list, fmt.Sprintf("%s %x", strings.TrimPrefix(path, root), sha256.Sum256(content)))
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestA14KilledAtAnyMoment kills real processes in the middle of an import. However far
// they came, going on must end with what an undisturbed run has.
func TestA14KilledAtAnyMoment(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs SIGKILL")
	}
	moments := 20
	if testing.Short() {
		moments = 3
	}
	dir := t.TempDir()
	program := build(t, dir)
	prepared := prepare(t, program, dir)

	whole := clone(t, prepared, filepath.Join(dir, "whole"))
	began := time.Now()
	run(t, program, "collect", "--data", whole, "--workers", "1")
	took := time.Since(began)
	want := dump(t, whole)
	if len(want["activity"]) == 0 || len(want["decision"]) == 0 {
		t.Fatal("the undisturbed run filed nothing")
	}

	cut := 0
	for i := 0; cut < moments; i++ {
		if i == 20*moments {
			t.Fatalf("of %d processes only %d were killed before they had ended", i, cut)
		}
		data := clone(t, prepared, filepath.Join(dir, fmt.Sprint("killed", i)))
		after, began := time.Duration(rand.Int64N(int64(took))), time.Now()
		if kill(t, program, data, after) {
			cut++
		} else { // the machine has become quicker
			took = min(took, time.Since(began))
		}
		run(t, program, "collect", "--data", data, "--workers", "1")
		if diff := cmp.Diff(want, dump(t, data)); diff != "" {
			t.Fatalf("killed after %s of %s: (-undisturbed +killed)\n%.4000s", after, took, diff)
		}
		run(t, program, "reconcile", "--data", data)
	}
}

// build puts the program into a folder.
func build(t *testing.T, dir string) string {
	t.Helper()
	built, err := makeProgram()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "postern")
	if err := os.Symlink(built, program); err != nil {
		t.Fatal(err)
	}
	return program
}

// prepare starts a simulated Exchange and makes a data folder that is ready to collect.
func prepare(t *testing.T, program, dir string) string {
	t.Helper()
	args := []string{"sim", "--listen", "127.0.0.1:0", "--url-file", filepath.Join(dir, "url.json"), "--people", dir, "--account", login + ":" + password}
	if corpus := shared("corpus/small"); corpus != "" {
		args = append(args, "--letters", corpus)
	}
	exchange := exec.Command(program, args...)
	exchange.Stderr = os.Stderr
	if err := exchange.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exchange.Process.Kill(); exchange.Wait() })
	where := awaitURL(t, filepath.Join(dir, "url.json"))
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "prepared")
	run(t, program, "users", "import", "--data", data, filepath.Join(dir, "users.csv"))
	run(t, program, "contacts", "import", "--data", data, filepath.Join(dir, "contacts.csv"))
	run(t, program, "deployment", "--data", data, "--allow-range", "127.0.0.0/8")
	run(t, program, "settings", "--data", data, "--enable", "--server", where["url"], "--version", "Exchange2013_SP1",
		"--login", login, "--password-file", secret, "--domain", where["company"])
	return data
}

// awaitURL waits for the file by which a process says where it is.
func awaitURL(t *testing.T, file string) map[string]string {
	t.Helper()
	var where map[string]string
	eventually(t, "word from the process where it is", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(text, &where) == nil
	})
	return where
}

// shared returns a folder of shared test material, "" when it is not there.
func shared(name string) string {
	root := os.Getenv("POSTERN_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "shared")
	}
	path, err := filepath.Abs(filepath.Join(root, name))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

func clone(t *testing.T, from, to string) string {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("postern %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errOut.String())
	}
	return out.String()
}

// kill starts an import and kills it after a while; false when it had ended before.
func kill(t *testing.T, program, data string, after time.Duration) bool {
	t.Helper()
	cmd := exec.Command(program, "collect", "--data", data, "--workers", "1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
	defer timer.Stop()
	cmd.Wait()
	return cmd.ProcessState.ExitCode() == -1
}
