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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"
)

// contents are what a database holds, our own row ids and times apart. What a row refers
// to is named by its natural key; a thread by the first of its messages.
var contents = map[string]string{
	"folder": `select m.address, f.source_id, f.name, f.role, f.in_scope, f.listed, f.cursor, f.saved_mark, f.epoch
		from folder f join mailbox m on m.id = f.mailbox_id`,
	"decision": `select m.address, d.item, f.source_id, d.outcome, d.reason, d.rule, d.when_at, hex(d.traces)
		from decision d join mailbox m on m.id = d.mailbox_id join folder f on f.id = d.folder_id`,
	"trace": `select t.hash, m.address, d.item from trace t join decision d on d.id = t.decision_id join mailbox m on m.id = d.mailbox_id`,
	"message": `select hex(g.message_key), g.variant, g.message_id, g.subject, g.from_address, g.sent_at, g.received_at, g.when_at, g.direction,
		g.preview, g.encrypted, g.people, g.attachments, hex(g.seal),
		(select min(hex(o.message_key) || '/' || o.variant) from message o where o.thread_id = g.thread_id) from message g`,
	"thread_ref": `select r.ref, (select min(hex(o.message_key) || '/' || o.variant) from message o where o.thread_id = r.thread_id) from thread_ref r`,
	"body":       `select hex(g.message_key), g.variant, b.html, b.text from body b join message g on g.id = b.message_id`,
	"participant": `select hex(g.message_key), g.variant, p.part, p.who, coalesce(m.address, ''), p.name, p.readable
		from participant p join message g on g.id = p.message_id left join mailbox m on m.id = p.mailbox_id`,
	"copy": `select m.address, c.item, hex(g.message_key), g.variant, f.source_id, c.version, c.is_read, c.gone_at > 0
		from copy c join mailbox m on m.id = c.mailbox_id join message g on g.id = c.message_id join folder f on f.id = c.folder_id`,
	"activity": `select hex(g.message_key), g.variant, a.kind, a.when_at, a.links from activity a join message g on g.id = a.message_id`,
	"activity_link": `select hex(g.message_key), g.variant, l.person, coalesce(c.name, u.name), l.when_at, l.address, l.part, l.auto
		from activity_link l join activity a on a.id = l.activity_id join message g on g.id = a.message_id
		left join contact c on l.person = 'c' and c.id = l.person_id left join account u on l.person = 'u' and u.id = l.person_id`,
	"user_message": `select u.name, hex(g.message_key), g.variant, x.when_at, x.unread, x.gone
		from user_message x join account u on u.id = x.user_id join message g on g.id = x.message_id`,
	"attachment": `select hex(g.message_key), g.variant, t.position, t.name, t.type, t.content_id, t.inline, t.size, t.state, t.note, hex(t.sha256)
		from attachment t join message g on g.id = t.message_id`,
	"blob":           `select hex(sha256), hex(content) from blob`,
	"search_docsize": `select hex(g.message_key), g.variant, hex(w.sz) from search_docsize w join message g on g.id = w.id`,
}

// dump returns the contents of a data folder, a sorted list of rows a table.
func dump(t *testing.T, dir string) map[string][]string {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "postern.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := make(map[string][]string)
	for table, query := range contents {
		var count int
		if err := db.QueryRow("select count(*) from " + table).Scan(&count); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		rows, err := db.Query(query)
		if err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		all[table] = scanAll(t, rows)
		if len(all[table]) != count {
			t.Errorf("%s has %d rows, of which %d refer to nothing", table, count, count-len(all[table]))
		}
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

func scanAll(t *testing.T, rows *sql.Rows) []string {
	t.Helper()
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for rows.Next() {
		values := make([]any, len(names))
		for i := range values {
			values[i] = new(sql.NullString)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, v := range values {
			fmt.Fprintf(&b, "%q ", v.(*sql.NullString).String)
		}
		list = append(list, b.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
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
	for i := range moments {
		data := clone(t, prepared, filepath.Join(dir, fmt.Sprint("killed", i)))
		after := time.Duration(rand.Int64N(int64(took)))
		if kill(t, program, data, after) {
			cut++
		}
		run(t, program, "collect", "--data", data, "--workers", "1")
		if diff := cmp.Diff(want, dump(t, data)); diff != "" {
			t.Fatalf("killed after %s of %s: (-undisturbed +killed)\n%.4000s", after, took, diff)
		}
		run(t, program, "reconcile", "--data", data)
	}
	if cut == 0 {
		t.Error("no process was killed before it had ended")
	}
}

func build(t *testing.T, dir string) string {
	t.Helper()
	program := filepath.Join(dir, "postern")
	if out, err := exec.Command("go", "build", "-o", program, "..").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
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
	run(t, program, "settings", "--data", data, "--enable", "--server", where["url"], "--version", "Exchange2013_SP1",
		"--login", login, "--password-file", secret, "--domain", where["company"])
	return data
}

// awaitURL waits for the file by which a process says where it is.
func awaitURL(t *testing.T, file string) map[string]string {
	t.Helper()
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		if t.Context().Err() != nil {
			t.Fatal("the process did not say where it is")
		}
		var where map[string]string
		if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &where) == nil {
			return where
		}
	}
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
