package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

func code(err error) string {
	if f, ok := errors.AsType[*crm.Fault](err); ok {
		return f.Code
	}
	return fmt.Sprint(err)
}

func TestOneProcessCollects(t *testing.T) {
	dir := t.TempDir()
	first, err := store.Open(t.Context(), store.Options{Dir: dir, Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), store.Options{Dir: dir, Exclusive: true})
	if code(err) != "data-folder-in-use" || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("the second one that collects: %v", err)
	}
	reader, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatalf("one that only looks: %v", err)
	}
	if err := errors.Join(reader.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := store.Open(t.Context(), store.Options{Dir: dir, Exclusive: true})
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// In a folder that others may look into, the database is its owner's alone; one that was
// more open is closed.
func TestDatabaseIsItsOwnersAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such modes")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"new", "found open"} {
		st, err := store.Open(t.Context(), store.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Org(1).SaveSettings(t.Context(), crm.Settings{Server: "mail.acme.example"}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"postern.db", "postern.db-wal", "postern.db-shm"} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if mode := info.Mode().Perm(); mode != 0o600 {
				t.Errorf("%s: %s has the mode %o", when, name, mode)
			}
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, "postern.db"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		applied := "true"
		if db.Options.Postgres == "" {
			applied = "1"
		}
		db.Exec(t, "insert into goose_db_version (version_id, is_applied) values (99, "+applied+")")
		_, err := store.Open(t.Context(), db.Options)
		if code(err) != "database-newer" {
			t.Errorf("opening a newer database: %v", err)
		}
	})
}

func TestWrongKeyIsRefused(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		info, err := os.Stat(filepath.Join(db.Options.Dir, "key"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key's mode: %v, %v", info, err)
		}
		o := db.Options
		if o.Postgres != "" {
			o.Dir = t.TempDir() // a new folder has a new key
			if _, err := store.Open(t.Context(), o); code(err) != "key-wrong" {
				t.Errorf("opening with another key: %v", err)
			}
			return
		}
		key := filepath.Join(o.Dir, "key")
		if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), o); code(err) != "key-damaged" {
			t.Errorf("opening with a damaged key: %v", err)
		}
		if err := os.Remove(key); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the first must not make a new key
			if _, err := store.Open(t.Context(), o); code(err) != "key-missing" {
				t.Errorf("opening without the key: %v", err)
			}
		}
		other := o
		other.Dir = t.TempDir()
		if st, err := store.Open(t.Context(), other); err != nil || st.Close() != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(other.Dir, "key"), key); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), o); code(err) != "key-wrong" {
			t.Errorf("opening with another key: %v", err)
		}
	})
}

func TestSettingsAndSealedPassword(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		org := db.Org(1)
		if got, id, err := org.Settings(t.Context()); err != nil || id != 0 || got.Enabled || !got.Password.Empty() {
			t.Errorf("before anything was saved: %+v, %d, %v", got, id, err)
		}
		want := settings("b.example", "a.example")
		want.UserAgent, want.Gzip, want.RootCAs = "Acme/1", true, "-----BEGIN CERTIFICATE-----"
		if err := org.SaveSettings(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		got, id, err := org.Settings(t.Context())
		if err != nil || id == 0 || got.Password.Reveal() != want.Password.Reveal() || got.Login != want.Login || got.Server != want.Server ||
			fmt.Sprint(got.Domains) != "[a.example b.example]" || !got.Gzip || got.UserAgent != "Acme/1" || got.RootCAs != want.RootCAs || !got.Enabled {
			t.Errorf("settings: %+v, %v", got, err)
		}
		if stands(t, db, want.Login) == "" {
			t.Error("the search of this test finds nothing")
		}
		if where := stands(t, db, want.Password.Reveal()); where != "" {
			t.Errorf("the password stands in %s", where)
		}
	})
}

// No content, address or name of what is not filed is anywhere, in the tables, the
// search index, the write-ahead log or any other file.
func TestNothingIsKeptOfWhatIsNotFiled(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		marked := func(id string, from mail.Address, to string) *crm.Item {
			it := letter(id, from, to)
			it.MessageID = "xyzzy" + it.MessageID
			it.Subject, it.Text, it.HTML, it.Thread = "xyzzysubject", "xyzzytext", "<p>xyzzyhtml</p>", "xyzzythread"
			it.References = []string{"xyzzyreference@mail.example"}
			it.People[0].Name = "xyzzyname"
			it.Attachments = []crm.Attachment{{Name: "xyzzyattachment", Content: []byte("xyzzycontent")}}
			return it
		}
		failed := marked("2", "xyzzyperson@nowhere.example", string(ann))
		failed.Fault = &crm.Fault{Verdict: crm.Retry, Code: "busy"}
		p := s.page(&s.ann, marked("1", "xyzzyperson@nowhere.example", string(ann)), failed, letter("3", cyn, string(ann)))
		p.Entries[1].Item = failed // a caller's mistake
		p.Entries[1].Decision = crm.Decision{Item: failed.ID, Outcome: crm.Failed, Reason: "busy", RetryAt: noon}
		s.save(p)
		if got := s.sound(&s.ann); got["item-1"] != crm.NotFiled || got["item-2"] != crm.Failed || got["item-3"] != crm.Filed {
			t.Fatalf("ledger: %v", got)
		}
		if stands(t, db, "text of letter 3") == "" {
			t.Error("the search of this test does not even find what was filed")
		}
		if where := stands(t, db, "xyzzy"); where != "" {
			t.Errorf("something of a message that was not filed stands in %s", where)
		}
		rows, total, err := s.org.NotFiled(t.Context(), store.NotFiledQuery{Address: "xyzzyperson@nowhere.example", Mailbox: s.ann.ID})
		s.must(err)
		if total != 2 || len(rows) != 2 || rows[1].Reason != crm.NoContact || rows[0].Address != ann || rows[0].Folder != "inbox" {
			t.Errorf("by address: %d, %+v", total, rows)
		}
		for query, want := range map[store.NotFiledQuery]int{
			{MessageID: "xyzzy1@mail.example"}: 1, {MessageID: "xyzzy9@mail.example"}: 0, {Outcome: crm.Failed}: 1, {Reason: crm.NoContact}: 1, {Reason: crm.Draft}: 0, {}: 2,
		} {
			if _, total, err := s.org.NotFiled(t.Context(), query); total != want || err != nil {
				t.Errorf("%+v: %d, %v; want %d", query, total, err, want)
			}
		}
	})
}

// stands tells where a text stands in the data folder or the tables; "" = nowhere.
func stands(t *testing.T, db *storetest.DB, text string) string {
	t.Helper()
	where := ""
	err := filepath.WalkDir(db.Options.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(bytes.ToLower(data), []byte(strings.ToLower(text))) {
			where = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if db.Options.Postgres == "" {
		return where
	}
	rows, err := db.SQL.QueryContext(t.Context(), "select table_name from information_schema.tables where table_schema = 'public'")
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	for _, table := range tables {
		var n int
		if err := db.SQL.QueryRowContext(t.Context(), fmt.Sprintf(`select count(*) from %q x where strpos(lower(replace(x::text, '\', '')), $1) > 0`, table),
			strings.ToLower(strings.ReplaceAll(text, `\`, ""))).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			where = "table " + table
		}
	}
	return where
}

func TestExplain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		s.save(s.page(&s.ann, letter("1", cyn, string(ann)), letter("2", cyn, string(zed), "cc:"+string(who)), letter("3", ann, string(cyn), "bcc:"+string(cyn2))))
		explain := func(id string) store.Explanation {
			t.Helper()
			list, err := s.org.Explain(t.Context(), s.ann.ID, id+"@mail.example")
			s.must(err)
			if len(list) != 1 {
				t.Fatalf("%s: %+v", id, list)
			}
			return list[0]
		}
		if e := explain("1"); e.Outcome != crm.Filed || e.Message == 0 || len(e.Links) != 2 || e.Folder != "inbox" || e.Rule == "" || e.DecidedAt.IsZero() {
			t.Errorf("filed: %+v", e)
		}
		e := explain("2")
		if e.Outcome != crm.NotFiled || e.Reason != crm.NoUser || len(e.Known) != 2 || e.Known[0].Name != "Cyn" || e.Known[1].Name != "Zed" || e.Known[1].Address != zed {
			t.Errorf("not filed: %+v", e)
		}
		if list, err := s.org.Explain(t.Context(), s.bob.ID, "1@mail.example"); err != nil || len(list) != 0 {
			t.Errorf("in a mailbox that does not have it: %+v, %v", list, err)
		}
	})
}
