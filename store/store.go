// Package store keeps everything in SQL, in SQLite or PostgreSQL, each organization behind
// its own handle.
//
//	st, err := store.Open(ctx, store.Options{Dir: "data"})
//	org := st.Org(1)
//	people, rev, err := org.People(ctx, page.Headers)
//	res, err := org.SavePage(ctx, store.Page{…, Rev: rev})
//
// What it promises:
//
//   - A page's decisions, what was filed and the cursor behind them are one transaction
//     ([Org.SavePage]): a crash repeats a page and never skips one. A page may be saved
//     any number of times, by any number of workers, and leaves the same rows.
//   - A message stands once per organization, however many mailboxes hold a copy.
//   - A copy that left its folder is missing, not gone, until a look at all folders has
//     not met it elsewhere either ([Org.SettleMissing]): a move is never a delete.
//   - What cannot be had of a message is owed, and what is there is filed ([crm.Missing]);
//     nothing is given up but by an administrator ([Org.Leave]).
//   - Of an item that is not filed nothing is kept but its id, dates, the reason, and
//     keyed hashes of its Message-ID and addresses, so that a contact added later can
//     bring it ([Org.SaveContacts]).
//   - Secrets are sealed before they reach the database.
//   - [Org.Ledger] proves what stands, row by row, and trusts no counter.
//
// A full disk is a *crm.Fault with the code "disk-full" from any method that writes.
// Methods are safe for concurrent use, also by several processes on one database.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"postern/crm"
)

// Options say where the data is.
type Options struct {
	Dir       string           // data folder, made with mode 0700 if absent: postern.db, key, lock, blobs/
	Postgres  string           // connection string: keep the tables in PostgreSQL; Dir still holds key and blobs
	MustExist bool             // make no new data folder
	Exclusive bool             // take the folder's lock: for the one process that collects
	Now       func() time.Time // the clock; nil = time.Now
	Master    *Master          // wraps all keys; nil = the file "key" of the data folder
	AuditSink string           // file to which the checkpoints of the audit logs are written as well; "" = none

	// Step is called before each durable step, for tests that stop or spoil it: "save
	// page/insert decision" before a statement of a transaction that writes, "commit
	// before: save page" and "commit after: save page" around its commit, "blob: rename"
	// and the like before what is done to a file. An error keeps the step from being done
	// and comes out of the method; after a commit it means that all is saved, but the
	// answer was lost.
	Step func(step string) error
}

var (
	// ErrNotFound: there is no such thing in this organization.
	ErrNotFound = errors.New("not found")
	// ErrStale: people, settings or the policy changed since they were read; nothing was saved.
	ErrStale = errors.New("people, settings or the policy changed meanwhile")
	// ErrPlace: what should say where a list goes on was not given out by us.
	ErrPlace = errors.New("no place in this list")
	// ErrTooLarge: the content is larger than the limit; nothing was kept.
	ErrTooLarge = errors.New("larger than the limit")
)

// A Store is an open data folder or database.
type Store struct {
	db    *database
	dir   string
	steps steps
	vault *vault
	now   func() time.Time
	lock  *os.File // held while Exclusive

	auditSink string

	mu     sync.Mutex
	keys   map[crm.OrgID]hasher
	signed map[crm.OrgID]string // hash of the last checkpoint that we wrote
	unsunk map[crm.OrgID][]byte // checkpoints that the sink has not taken yet
}

// Open opens the data folder, makes it if absent, and brings the tables up to date. Its
// faults have the codes "data-folder-in-use" (Exclusive, and another process has it),
// "data-folder-missing" (MustExist), "data-folder-unusable", "database-newer",
// "database-damaged", "database-unwritable", "key-missing", "key-wrong", "key-damaged" and
// "disk-full". Organization 1 exists afterwards.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{dir: o.Dir, steps: o.Step, now: o.Now, keys: map[crm.OrgID]hasher{}, signed: map[crm.OrgID]string{}, unsunk: map[crm.OrgID][]byte{}, auditSink: o.AuditSink}
	if s.now == nil {
		s.now = time.Now
	}
	if err := s.open(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, o Options) (err error) {
	if o.MustExist {
		if err := mustExist(o); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "blobs"), 0o700); err != nil {
		return folderFault(o.Dir, err)
	}
	if o.Exclusive {
		if s.lock, err = lockFolder(o.Dir); err != nil {
			return folderFault(o.Dir, err)
		}
		if err := removeIncoming(o.Dir, s.steps); err != nil {
			return folderFault(o.Dir, err)
		}
	}
	opening, err := os.OpenFile(filepath.Join(o.Dir, "opening"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return folderFault(o.Dir, err)
	}
	defer opening.Close()
	if _, err := flock(opening, true); err != nil {
		return folderFault(o.Dir, err)
	}
	if o.Master == nil {
		file, err := openMasterFile(o.Dir, s.steps)
		if err != nil {
			return folderFault(o.Dir, err)
		}
		o.Master = &Master{masterFileName, file}
	}
	s.vault = newVault(*o.Master)
	if o.Postgres != "" {
		s.db, err = openPostgres(o.Postgres)
	} else {
		s.db, err = openSQLite(o.Dir)
	}
	if err != nil {
		return err
	}
	s.db.steps = s.steps
	if err := s.db.migrate(ctx); err != nil {
		return s.db.fault(err)
	}
	if err := s.adoptKeys(ctx); err != nil {
		return err
	}
	return s.makeFirstOrg(ctx)
}

// lockFolder takes the lock of the data folder for the life of the process.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	locked, err := flock(f, false)
	if err != nil {
		f.Close()
		return nil, err
	}
	if locked {
		err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintf("%d\n", os.Getpid())))
		return f, err
	}
	defer f.Close()
	pid, _ := io.ReadAll(io.LimitReader(f, 20)) // only for the message
	return nil, &crm.Fault{
		Verdict: crm.Refused, Scope: crm.OrgScope, Code: "data-folder-in-use",
		Message: fmt.Sprintf("Another Postern, process %s, collects mail into %s.", strings.TrimSpace(string(pid)), dir),
		Advice:  "Stop that process, or choose another data folder.",
	}
}

// removeIncoming takes away what a killed process was about to store.
func removeIncoming(dir string, steps steps) error {
	list, err := filepath.Glob(filepath.Join(dir, "blobs", "incoming-*"))
	for _, path := range list {
		err = errors.Join(err, removeFile("blob", path, steps))
	}
	return err
}

// removeFile takes a file away that may be gone already.
func removeFile(kind, path string, steps steps) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := steps.before(kind + ": remove"); err != nil {
		return err
	}
	return os.Remove(path)
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// InUse tells whether a process that collects holds the lock of a data folder.
func InUse(dir string) (bool, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return false, err
	}
	defer f.Close() // gives the lock back if it was free
	locked, err := flock(f, false)
	return err == nil && !locked, err
}

// Close closes the store and gives the folder's lock back.
func (s *Store) Close() error {
	var err error
	if s.db != nil {
		err = s.db.close()
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// Org returns the handle on one organization's data. There is no other.
func (s *Store) Org(id crm.OrgID) *Org { return &Org{id: id, s: s, db: s.db} }

// An Org is the handle on the data of one organization.
type Org struct {
	id crm.OrgID
	s  *Store
	db *database
}

// read is where to ask outside of a transaction.
func (o *Org) read() view { return view{o.db} }

// hasher returns the organization's keyed hash.
func (o *Org) hasher(ctx context.Context) (hasher, error) {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	if h, ok := o.s.keys[o.id]; ok {
		return h, nil
	}
	var sealed []byte
	if err := one(ctx, o.read(), "select hash_key from org where id = $1", []any{o.id}, &sealed); err != nil {
		return hasher{}, fmt.Errorf("organization %d: %w", o.id, err)
	}
	key, err := o.open(ctx, o.read(), hashKeyPlace(o.id), sealed)
	if err != nil {
		return hasher{}, err
	}
	o.s.keys[o.id] = hasher{key}
	return hasher{key}, nil
}

// changed raises the revision of people, settings and policy. The row stays locked until
// the transaction ends, so a page that was decided by the old ones is either saved
// before, and then seen by this change, or not at all.
func (o *Org) changed(ctx context.Context, t *tx) error {
	n, err := t.exec(ctx, "update org set revision = revision + 1 where id = $1", o.id)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}
