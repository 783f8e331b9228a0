package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/bits"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"postern/crm"
)

// A database is SQLite or PostgreSQL. On SQLite all writing goes through one connection
// and reading through others, which see the last commit meanwhile.
type database struct {
	*dialect
	write, read *sql.DB

	mu       sync.Mutex
	prepared map[string]*sql.Stmt // on write; nil on PostgreSQL, whose driver does it
	asked    map[string]*sql.Stmt // on read; nil on PostgreSQL

	steps  steps
	writes writes
}

// maxAsked bounds the statements kept for reading. There are fewer texts; the bound is for
// those that a search makes.
const maxAsked = 500

func databaseFile(dir string) string { return filepath.Join(dir, "postern.db") }

func openSQLite(dir string) (*database, error) {
	if err := keepToOwner(databaseFile(dir)); err != nil {
		return nil, folderFault(dir, err)
	}
	open := func(conns int, params string) (*sql.DB, error) {
		file := url.URL{Scheme: "file", Path: filepath.ToSlash(databaseFile(dir))}
		db, err := sql.Open("sqlite", file.String()+"?_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&"+params)
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(conns)
		db.SetMaxIdleConns(conns)
		return db, nil
	}
	// The large checkpoint interval lets the pages of indexes, which each page of mail
	// dirties again, reach the file less often.
	write, err := open(1, "_txlock=immediate&_pragma=journal_mode(wal)&_pragma=synchronous(full)&"+
		"_pragma=cache_size(-16000)&_pragma=wal_autocheckpoint(4000)&_pragma=journal_size_limit(33554432)")
	if err != nil {
		return nil, err
	}
	read, err := open(4, "_pragma=query_only(1)&_pragma=cache_size(-4000)")
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return &database{dialect: &sqliteDialect, write: write, read: read, prepared: map[string]*sql.Stmt{}, asked: map[string]*sql.Stmt{}}, nil
}

// keepToOwner sees that nobody but the owner reads the database, whatever the folder lets
// others do: SQLite would make the file as readable as the umask allows. The files beside it
// get the mode of the database when SQLite makes them. A file that is there is not opened:
// closing it would end the locks of this process on it.
func keepToOwner(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, path := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(path)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			err = os.Chmod(path, info.Mode().Perm()&^0o077)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) { // another's file is the owner's to close
			return err
		}
	}
	return nil
}

func openPostgres(dsn string) (*database, error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(8)
	return &database{dialect: &postgresDialect, write: db, read: db}, nil
}

func (d *database) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, kept := range [...]map[string]*sql.Stmt{d.prepared, d.asked} {
		for _, stmt := range kept {
			stmt.Close()
		}
	}
	if d.read == d.write {
		return d.write.Close()
	}
	return errors.Join(d.read.Close(), d.write.Close())
}

// update runs fn in a transaction. It runs it again when another transaction came in
// between, so fn must begin anew each time. The name is for steps.
func (d *database) update(ctx context.Context, name string, fn func(t *tx) error) error {
	for try := 0; ; try++ {
		err := d.once(ctx, name, fn)
		if err == nil || try == 9 || !d.retry(err) {
			return d.fault(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(1+try*try) * time.Millisecond):
		}
	}
}

func (d *database) once(ctx context.Context, name string, fn func(t *tx) error) error {
	sqlTx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return ended(ctx, err)
	}
	t := &tx{tx: sqlTx, d: d, name: name, steady: context.WithoutCancel(ctx), stmts: map[string]*sql.Stmt{}, begun: map[crm.OrgID]bool{}}
	if err = fn(t); err == nil {
		err = d.steps.before("commit before: " + name)
	}
	if err != nil {
		if e := sqlTx.Rollback(); e != nil && !errors.Is(e, sql.ErrTxDone) {
			return errors.Join(err, e)
		}
		return err
	}
	if err := sqlTx.Commit(); err != nil {
		return ended(ctx, err)
	}
	d.prepare(ctx, t.missed)
	if err := d.steps.before("commit after: " + name); err != nil {
		return err
	}
	for _, do := range t.done {
		do()
	}
	return nil
}

// prepare keeps statements for the next transaction. It cannot be done inside one, which
// holds the only connection.
func (d *database) prepare(ctx context.Context, queries []string) {
	for _, query := range queries {
		stmt, err := d.write.PrepareContext(ctx, query)
		if err != nil {
			return // it is prepared anew the next time
		}
		d.mu.Lock()
		if old := d.prepared[query]; old != nil {
			stmt.Close()
		} else {
			d.prepared[query] = stmt
		}
		d.mu.Unlock()
	}
}

// A tx is a transaction that writes.
type tx struct {
	tx   *sql.Tx
	d    *database
	name string // of what is done; for steps
	// steady is the context of single statements. When the caller's ends, the transaction
	// does, and its next statement fails; to watch the context during each of a hundred
	// thousand short statements, the driver would start a goroutine for each.
	steady  context.Context
	stmts   map[string]*sql.Stmt
	missed  []string // texts to be prepared for the next transaction
	done    map[string]func()
	effects effects            // entries that the audit log got; see Org.guarded
	begun   map[crm.OrgID]bool // audit logs that have their key from this transaction
}

// after has something done once the transaction is committed; the last of a name counts.
func (t *tx) after(name string, do func()) {
	if t.done == nil {
		t.done = map[string]func(){}
	}
	t.done[name] = do
}

// stmt returns the prepared statement; nil on PostgreSQL.
func (t *tx) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if t.d.prepared == nil {
		return nil, nil
	}
	if stmt := t.stmts[query]; stmt != nil {
		return stmt, nil
	}
	t.d.mu.Lock()
	kept := t.d.prepared[query]
	t.d.mu.Unlock()
	var stmt *sql.Stmt
	if kept != nil {
		stmt = t.tx.StmtContext(t.steady, kept)
	} else {
		var err error
		if stmt, err = t.tx.PrepareContext(ctx, query); err != nil {
			return nil, err
		}
		t.missed = append(t.missed, query)
	}
	t.stmts[query] = stmt
	return stmt, nil
}

// step comes before each statement that writes.
func (t *tx) step(query string) error {
	if t.d.steps == nil {
		return nil
	}
	if what := t.d.writes.name(query); what != "" {
		return t.d.steps(t.name + "/" + what)
	}
	return nil
}

// exec runs a statement and returns how many rows it touched.
func (t *tx) exec(ctx context.Context, query string, args ...any) (int, error) {
	if err := t.step(query); err != nil {
		return 0, err
	}
	stmt, err := t.stmt(ctx, query)
	if err != nil {
		return 0, sqlError(ctx, query, err)
	}
	var res sql.Result
	if stmt != nil {
		res, err = stmt.ExecContext(t.steady, args...)
	} else {
		res, err = t.tx.ExecContext(ctx, query, args...)
	}
	if err != nil {
		return 0, sqlError(ctx, query, err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}

func (t *tx) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := t.step(query); err != nil {
		return nil, err
	}
	stmt, err := t.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	if stmt != nil {
		return stmt.QueryContext(t.steady, args...)
	}
	return t.tx.QueryContext(ctx, query, args...)
}

// insert puts rows, given as their values one after the other, in as few statements as
// the database likes. row is the text of one row with ? for each value; tail may hold a
// conflict clause and a returning one, whose rows go to each. The rows of one call must
// differ in the key of the conflict.
func (t *tx) insert(ctx context.Context, head, row, tail string, args []any, each func(*sql.Rows) error) error {
	width := strings.Count(row, "?")
	query, size := "", 0
	for len(args) > 0 {
		n := min(t.d.batch, 1<<(bits.Len(uint(len(args)/width))-1)) // powers of two: few texts to prepare
		if n != size {
			query, size = head+" "+t.d.marks(strings.Repeat(", "+row, n)[2:])+" "+tail, n
		}
		part := args[:n*width]
		args = args[n*width:]
		if each == nil {
			if _, err := t.exec(ctx, query, part...); err != nil {
				return err
			}
		} else if err := rows(ctx, t, query, part, each); err != nil {
			return err
		}
	}
	return nil
}

// view is the face of a database for reading outside of a transaction.
type view struct{ d *database }

func (v view) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := v.d.reading(ctx, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return v.d.read.QueryContext(ctx, query, args...)
}

// reading returns the statement kept for a text: to prepare it costs more than to run it.
// nil when it cannot be prepared, which running it will say, or need not be.
func (d *database) reading(ctx context.Context, query string) *sql.Stmt {
	d.mu.Lock()
	stmt, full := d.asked[query], len(d.asked) >= maxAsked
	d.mu.Unlock()
	if stmt != nil || d.asked == nil || full {
		return stmt
	}
	fresh, err := d.read.PrepareContext(ctx, query)
	if err != nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if stmt = d.asked[query]; stmt != nil { // another was faster
		fresh.Close()
		return stmt
	}
	d.asked[query] = fresh
	return fresh
}

// querier is what can be asked: a transaction or a view.
type querier interface {
	query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// rows runs a query and calls each for every row.
func rows(ctx context.Context, q querier, query string, args []any, each func(*sql.Rows) error) error {
	r, err := q.query(ctx, query, args...)
	if err != nil {
		return sqlError(ctx, query, err)
	}
	defer r.Close()
	for r.Next() {
		if err := each(r); err != nil {
			return err
		}
	}
	if err := r.Err(); err != nil {
		return sqlError(ctx, query, err)
	}
	return nil
}

// one reads the only row of a query; ErrNotFound when there is none.
func one(ctx context.Context, q querier, query string, args []any, dest ...any) error {
	found := false
	err := rows(ctx, q, query, args, func(r *sql.Rows) error {
		found = true
		return r.Scan(dest...)
	})
	if err == nil && !found {
		return ErrNotFound
	}
	return err
}

// in runs a query over a list of any length, in parts. The text holds one %s for the
// placeholders of the part, which follow those of args.
func in[T any](ctx context.Context, q querier, query string, args []any, list []T, each func(*sql.Rows) error) error {
	for part := range parts(list) {
		text, all := inPart(query, args, part)
		if err := rows(ctx, q, text, all, each); err != nil {
			return err
		}
	}
	return nil
}

// execIn is in for statements without an answer; it returns how many rows they touched.
func execIn[T any](ctx context.Context, t *tx, query string, args []any, list []T) (int, error) {
	total := 0
	for part := range parts(list) {
		text, all := inPart(query, args, part)
		n, err := t.exec(ctx, text, all...)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// parts cuts a list into parts of at most 64: the driver of SQLite binds the $n of one
// statement in quadratic time.
func parts[T any](list []T) iter.Seq[[]T] {
	return slices.Chunk(list, 64)
}

// inPart pads the part to a power of two with its last value, so that few texts are to
// be prepared.
func inPart[T any](query string, args []any, part []T) (string, []any) {
	all := slices.Clone(args)
	for _, v := range part {
		all = append(all, v)
	}
	last := part[len(part)-1]
	for n := len(part); bits.OnesCount(uint(n)) != 1; n++ {
		all = append(all, last)
	}
	var marks strings.Builder
	for i := len(args); i < len(all); i++ {
		if i > len(args) {
			marks.WriteByte(',')
		}
		marks.WriteByte('$')
		marks.WriteString(strconv.Itoa(i + 1))
	}
	return strings.Replace(query, "%s", marks.String(), 1), all
}

// unnumbered leaves each ? as it is.
func unnumbered(query string) string { return query }

// numbered replaces each ? by $1, $2, …
func numbered(query string) string {
	var b strings.Builder
	n := 0
	for _, part := range strings.SplitAfter(query, "?") {
		text, mark := strings.CutSuffix(part, "?")
		b.WriteString(text)
		if mark {
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		}
	}
	return b.String()
}

// sqlError names the statement by its first words; its values are not for logs.
func sqlError(ctx context.Context, query string, err error) error {
	words := strings.Fields(query)
	return fmt.Errorf("%s: %w", strings.Join(words[:min(4, len(words))], " "), ended(ctx, err))
}

// ended returns the error of a context that has ended: the driver's tells only what it found
// then, a connection that is bad, a statement that is closed or a transaction that is done.
func ended(ctx context.Context, err error) error {
	if e := ctx.Err(); e != nil {
		return e
	}
	return err
}

// micros is how times are kept: microseconds since 1970, 0 = unknown.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// A stamp scans a time.
type stamp struct{ t *time.Time }

func (s stamp) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("time is %T, not a number", v)
	}
	*s.t = fromMicros(n)
	return nil
}

// clean makes text that a stranger sent fit for both databases: valid UTF-8, no NUL.
func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return s
}

// texts reads one column of text.
func texts(ctx context.Context, q querier, query string, args ...any) ([]string, error) {
	return column[string](ctx, q, query, args...)
}

// ids reads one column of numbers.
func ids(ctx context.Context, q querier, query string, args ...any) ([]int64, error) {
	return column[int64](ctx, q, query, args...)
}

func column[T any](ctx context.Context, q querier, query string, args ...any) ([]T, error) {
	var list []T
	err := rows(ctx, q, query, args, func(r *sql.Rows) error {
		var v T
		if err := r.Scan(&v); err != nil {
			return err
		}
		list = append(list, v)
		return nil
	})
	return list, err
}

// unique sorts a list and drops what repeats.
func unique[T cmp.Ordered](list []T) []T {
	slices.Sort(list)
	return slices.Compact(list)
}
