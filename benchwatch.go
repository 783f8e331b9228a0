package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"postern/mail"
	"postern/sim"
)

// A delivery is a message as the simulated Exchange laid it into the first of its
// mailboxes.
type delivery struct {
	at      time.Time
	mailbox mail.Address
}

// readDeliveries reads from the journal of the simulated Exchange what was delivered, by
// Message-ID.
func readDeliveries(journal string) (map[string]delivery, error) {
	f, err := os.Open(journal)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	delivered := make(map[string]delivery)
	for d := json.NewDecoder(f); ; {
		var e sim.Event
		switch err := d.Decode(&e); {
		case err == io.EOF:
			return delivered, nil
		case err != nil:
			return nil, fmt.Errorf("journal of the simulated Exchange: %w", err)
		}
		id := mail.MessageID(e.MessageID)
		if _, known := delivered[id]; e.Kind == sim.Arrived && !known {
			delivered[id] = delivery{time.Unix(0, e.Delivered), e.Mailbox}
		}
	}
}

// Sightings are the activities that appear, seen by a connection of its own.
type sightings struct {
	db     *sql.DB
	cancel context.CancelFunc
	ended  chan struct{}

	mu    sync.Mutex
	first map[string]time.Time // by Message-ID
	again int                  // activities of a message that had one
	err   error
}

// glance is the pause between two looks at the database.
const glance = 20 * time.Millisecond

func newSightings(ctx context.Context, data string) (*sightings, error) {
	db, err := sql.Open("sqlite", filepath.Join(data, "postern.db")+"?_pragma=query_only(1)&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, err
	}
	s := &sightings{db: db, ended: make(chan struct{}), first: make(map[string]time.Time)}
	ctx, s.cancel = context.WithCancel(ctx)
	go s.run(ctx)
	return s, nil
}

func (s *sightings) close() {
	s.cancel()
	<-s.ended
	s.db.Close()
}

// count returns how many messages were seen.
func (s *sightings) count() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.first), s.err
}

func (s *sightings) doubled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.again
}

func (s *sightings) run(ctx context.Context) {
	defer close(s.ended)
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for last := int64(0); ; {
		var err error
		if last, err = s.look(ctx, last); err != nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look takes down the activities that have come since the last one.
func (s *sightings) look(ctx context.Context, last int64) (int64, error) {
	rows, err := s.db.QueryContext(ctx, `select a.id, m.message_id from activity a join message m on m.org_id = a.org_id and m.id = a.message_id
		where a.id > $1 order by a.id`, last)
	if err != nil {
		return last, err
	}
	defer rows.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for now := time.Now(); rows.Next(); {
		var id string
		if err := rows.Scan(&last, &id); err != nil {
			return last, err
		}
		if _, known := s.first[id]; known {
			s.again++
			continue
		}
		s.first[id] = now
	}
	return last, rows.Err()
}

// delays are how long the deliveries took to be seen, sorted; missing is how many were not.
func (s *sightings) delays(delivered map[string]delivery, of func(delivery) bool) (took []time.Duration, missing int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, d := range delivered {
		if !of(d) {
			continue
		}
		if seen, ok := s.first[id]; ok {
			took = append(took, seen.Sub(d.at))
		} else {
			missing++
		}
	}
	slices.Sort(took)
	return took, missing
}

// percentile is the nearest rank: the smallest of the times, in milliseconds, within which
// that part of all was done.
func percentile(sorted []time.Duration, part float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(math.Ceil(part*float64(len(sorted))))-1].Microseconds()) / 1000
}
