// Package storetest gives tests a real store: in a temporary folder on SQLite, and on a
// private PostgreSQL where one can be had.
//
// PostgreSQL is the server that POSTERN_TEST_POSTGRES names (a connection string; each
// test gets a database of its own there), else one started from Debian's binaries for the
// test program, as an ordinary user, reached by a Unix socket. Where neither is possible
// its tests are skipped; with POSTERN_TEST_REQUIRE=1 they fail.
package storetest

import (
	"database/sql"
	"path/filepath"
	"testing"

	"postern/store"
)

// A DB is an open store with a back door, for tests that tamper with its rows.
type DB struct {
	*store.Store
	Options store.Options
	SQL     *sql.DB // without the checks of foreign keys
}

// Each runs a test on both databases.
func Each(t *testing.T, test func(t *testing.T, st *store.Store)) {
	t.Helper()
	EachDB(t, store.Options{}, func(t *testing.T, db *DB) { test(t, db.Store) })
}

// EachDB runs a test on both databases, with a back door. Dir and Postgres of the options
// are filled in.
func EachDB(t *testing.T, o store.Options, test func(t *testing.T, db *DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, OpenDB(t, o)) })
	t.Run("postgres", func(t *testing.T) {
		o := o
		o.Postgres = Postgres(t)
		test(t, OpenDB(t, o))
	})
}

// OpenDB opens a store in a temporary folder unless o.Dir names one.
func OpenDB(t testing.TB, o store.Options) *DB {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	st, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return &DB{Store: st, Options: o, SQL: backDoor(t, o)}
}

func backDoor(t testing.TB, o store.Options) *sql.DB {
	t.Helper()
	driver, dsn := "sqlite", "file:"+filepath.ToSlash(filepath.Join(o.Dir, "postern.db"))+"?_pragma=busy_timeout(10000)"
	if o.Postgres != "" {
		driver, dsn = "pgx", o.Postgres
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// Exec runs a statement through the back door and tells how many rows it touched.
func (db *DB) Exec(t testing.TB, query string, args ...any) int64 {
	t.Helper()
	res, err := db.SQL.ExecContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		t.Fatal(err)
	}
	return n
}
