package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"postern/crm"
)

// The access log has a row for each request to Exchange: what left, for whom, from where,
// and what came of it. Rows are kept for a time, totals for ever.

// An AccessWriter writes an organization's access log. What is recorded while a
// transaction is under way goes into the next, so that requests do not wait for the disk;
// two transactions are at least accessPause apart. A process that is killed loses what it
// recorded in its last moment: accessPause and the time of one commit. A request is recorded
// once its answer was read, so one that was under way is lost, too.
type AccessWriter struct {
	org     *Org
	queue   chan accessEntry
	closing chan struct{}
	done    chan struct{}
	close   func()
	words   map[accessWord]int64 // written already, with the day on which they were used last

	mu      sync.Mutex
	trouble error // why the log cannot be written
	lost    int   // entries that could not be written before the end
}

const (
	accessQueue = 1024                  // entries that wait; then Record does
	accessPause = 50 * time.Millisecond // between two transactions: a handful of requests share one flush of the disk
	accessRetry = time.Second           // after a transaction that failed
	accessWords = 1 << 17               // bounds what is remembered of words
)

// An accessEntry is a request with the random number that completes its key.
type accessEntry struct {
	crm.Access
	id int64
}

// AccessWriter returns a writer of the access log, to be closed when nothing records any
// more.
func (o *Org) AccessWriter() *AccessWriter {
	w := &AccessWriter{org: o, queue: make(chan accessEntry, accessQueue), closing: make(chan struct{}), done: make(chan struct{}), words: map[accessWord]int64{}}
	w.close = sync.OnceFunc(func() { close(w.closing) })
	go w.run()
	return w
}

// Record takes a request down. It returns at once, unless the log falls behind or cannot
// be written: then it waits, rather than lose an entry.
func (w *AccessWriter) Record(a crm.Access) {
	select {
	case w.queue <- accessEntry{a, rand.Int64()}:
	case <-w.done:
		w.lose(1)
	}
}

// Ready says why the log cannot be written at the moment; nil when it can. No request
// should leave then. It is found out by what fails to be written, which is tried again
// until it succeeds.
func (w *AccessWriter) Ready() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trouble
}

// Close writes what is left and ends the writer. The error says how many entries were
// lost, if the log could not be written.
func (w *AccessWriter) Close() error {
	w.close()
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost > 0 {
		return fmt.Errorf("access log: %d entries lost: %w", w.lost, w.trouble)
	}
	return nil
}

func (w *AccessWriter) run() {
	defer close(w.done)
	for {
		select {
		case first := <-w.queue:
			w.write(w.gather(first))
			w.wait(accessPause)
		case <-w.closing:
			for len(w.queue) > 0 {
				w.write(w.gather(<-w.queue))
			}
			return
		}
	}
}

// gather returns an entry with those that wait behind it.
func (w *AccessWriter) gather(first accessEntry) []accessEntry {
	batch := []accessEntry{first}
	for range len(w.queue) {
		batch = append(batch, <-w.queue)
	}
	return batch
}

// write writes entries in one transaction, again and again until it succeeds or the
// writer is closed.
func (w *AccessWriter) write(batch []accessEntry) {
	for again := false; ; again = true {
		err := w.save(context.Background(), batch, again)
		w.mu.Lock()
		w.trouble = err
		w.mu.Unlock()
		if err == nil {
			return
		}
		if closed := w.wait(accessRetry); closed {
			w.lose(len(batch))
			return
		}
	}
}

// wait lets time pass, or the writer be closed.
func (w *AccessWriter) wait(d time.Duration) (closed bool) {
	select {
	case <-w.closing:
		return true
	case <-time.After(d):
		return false
	}
}

func (w *AccessWriter) lose(entries int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost += entries
}
