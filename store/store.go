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
	"time"

	"postern/crm"
)

// Options say where the data is.
type Options struct {
	Dir       string           // data folder, made with mode 0700 if absent: postern.db, key, lock, blobs/
	Postgres  string           // connection string: keep the tables in PostgreSQL; Dir still holds key and blobs
	Exclusive bool             // take the folder's lock: for the one process that collects
	Now       func() time.Time // the clock; nil = time.Now
}

var (
	// ErrNotFound: there is no such thing in this organization.
	ErrNotFound = errors.New("not found")
	// ErrStale: people, settings or rules changed since they were read; nothing was saved.
	ErrStale = errors.New("people, settings or rules changed meanwhile")
	// ErrTooLarge: the content is larger than the limit; nothing was kept.
	ErrTooLarge = errors.New("larger than the limit")
)

// A Store is an open data folder or database.
type Store struct{}

// Open opens the data folder, makes it if absent, and brings the tables up to date. Its
// faults have the codes "data-folder-in-use" (Exclusive, and another process has it),
// "database-newer", "key-missing" and "disk-full". Organization 1 exists afterwards.
func Open(ctx context.Context, o Options) (*Store, error) { return nil, errUnwritten }

// Close closes the store and gives the folder's lock back.
func (s *Store) Close() error { return errUnwritten }

// Org returns the handle on one organization's data. There is no other.
func (s *Store) Org(id crm.OrgID) *Org { return &Org{} }

// An Org is the handle on the data of one organization.
type Org struct{}
