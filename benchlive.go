package main

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/mail"
	"postern/roster"
	"postern/sim"
	"postern/store"
)

// benchLive measures a running server: how long it takes to listen to all mailboxes,
// what it costs while nothing happens, and how soon a delivery is seen.
type benchLive struct {
	Mailboxes int           `help:"How many mailboxes." default:"5000"`
	Rate      float64       `help:"Deliveries a second." default:"50"`
	Seconds   int           `help:"How long letters are delivered." default:"60"`
	Idle      time.Duration `help:"How long nothing happens before." default:"60s"`
	Patience  time.Duration `help:"How long to wait until all mailboxes are listened to, and at the end for what is still missing." default:"10m"`
	limitFlags
	JSON bool `help:"Print one JSON object."`
}

// liveMeasured is the result. Times are from the delivery at the server until another
// connection to the database sees the activity. Lost and Duplicates are by the books of
// the simulated Exchange.
type liveMeasured struct {
	Mailboxes           int     `json:"mailboxes"`
	Subscribed          int     `json:"subscribed"` // mailboxes listened to
	SubscribedSeconds   float64 `json:"subscribed_seconds"`
	Throttled           int     `json:"throttled"` // answers by which the server asked for less
	IdleCores           float64 `json:"idle_cores"`
	RSS                 int64   `json:"rss_bytes"` // after the time in which nothing happened
	PeakRSS             int64   `json:"peak_rss_bytes"`
	Deliveries          int     `json:"deliveries"`
	P50                 float64 `json:"p50_ms"`
	P95                 float64 `json:"p95_ms"`
	P99                 float64 `json:"p99_ms"`
	Max                 float64 `json:"max_ms"`
	Cores               float64 `json:"cores"`     // under load
	SimCores            float64 `json:"sim_cores"` // of the simulated Exchange meanwhile
	RequestsPerDelivery float64 `json:"requests_per_delivery"`
	Lost                int     `json:"lost"`
	Duplicates          int     `json:"duplicates"`
}

func (b *benchLive) Run(c *common) error {
	if b.Mailboxes < 1 || b.Rate <= 0 || b.Seconds < 1 {
		return badArgument("--mailboxes, --rate and --seconds must be more than 0.", "Give how many mailboxes, how many deliveries a second, and for how long.", nil)
	}
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	exchange, err := startSim(c.ctx, dir, "--mailboxes", strconv.Itoa(b.Mailboxes), "--people", dir,
		"--control", "127.0.0.1:0", "--journal", filepath.Join(dir, "journal"))
	if err != nil {
		return err
	}
	defer exchange.stop()
	st, err := store.Open(c.ctx, store.Options{Dir: filepath.Join(dir, "data"), Exclusive: true})
	if err != nil {
		return err
	}
	defer st.Close()
	m := &liveMeasure{benchLive: b, common: c, exchange: exchange, st: st, org: st.Org(1), dir: dir}
	if err := m.prepare(); err != nil {
		return err
	}
	result, err := m.serve()
	if err != nil {
		return err
	}
	if b.JSON {
		err = json.NewEncoder(c.out).Encode(result)
	} else {
		err = result.print(c.out)
	}
	switch {
	case err != nil:
		return err
	case result.Lost > 0 || result.Duplicates > 0:
		fmt.Fprintln(c.errOut, "postern: messages were lost or doubled")
		return exitError(1)
	}
	return nil
}

func (r *liveMeasured) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d of %d mailboxes listened to after %.1f s, %d throttling answers\n"+
		"idle: %.3f cores, %d MiB (%d MiB at most until the end)\n"+
		"%d deliveries: visible after p50 %.0f ms, p95 %.0f ms, p99 %.0f ms, at most %.0f ms; %.2f cores, simulator %.2f cores, %.1f requests per delivery\n"+
		"%d lost, %d doubled\n",
		r.Subscribed, r.Mailboxes, r.SubscribedSeconds, r.Throttled, r.IdleCores, r.RSS>>20, r.PeakRSS>>20,
		r.Deliveries, r.P50, r.P95, r.P99, r.Max, r.Cores, r.SimCores, r.RequestsPerDelivery, r.Lost, r.Duplicates)
	return err
}

// A liveMeasure holds what the parts of a run share.
type liveMeasure struct {
	*benchLive
	*common
	exchange *simProcess
	st       *store.Store
	org      *store.Org
	dir      string
	requests meter
	result   liveMeasured
}

// prepare makes the people known and opens the connection to the simulated Exchange.
func (m *liveMeasure) prepare() error {
	users, err := readPeople(filepath.Join(m.dir, "users.csv"), roster.Users)
	if err != nil {
		return err
	}
	contacts, err := readPeople(filepath.Join(m.dir, "contacts.csv"), roster.Contacts)
	if err != nil {
		return err
	}
	if _, err := m.org.SaveUsers(m.ctx, users.People); err != nil {
		return err
	}
	if _, err := m.org.SaveContacts(m.ctx, contacts.People); err != nil {
		return err
	}
	return m.org.SaveSettings(m.ctx, crm.Settings{Enabled: true, Server: m.exchange.URL, Version: "ExchangeSE", Login: demoLogin,
		Password: crm.NewSecret(demoPassword), UserAgent: crm.DefaultUserAgent, Domains: []string{m.exchange.Company}})
}

// serve collects and serves pages as postern serve does, and measures meanwhile.
func (m *liveMeasure) serve() (*liveMeasured, error) {
	pages, err := listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	logFile, err := os.Create(filepath.Join(m.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	log := slog.New(slog.NewTextHandler(logFile, nil))
	paced, err := m.pace(m.ctx, m.st, log)
	if err != nil {
		return nil, err
	}
	connector := ews.Connector(m.requests.observe)
	p := &program{org: m.org, connector: connector, log: log,
		engine: engine.New(engine.Config{Org: m.org, Connector: connector, Pace: paced, Log: log})}
	ctx, cancel := context.WithCancel(m.ctx)
	var served error
	var wg sync.WaitGroup
	wg.Go(func() { served = p.serve(ctx, pages); cancel() })
	measured := m.measure(ctx)
	cancel()
	wg.Wait()
	if err := cmp.Or(served, measured); err != nil {
		return nil, err
	}
	return &m.result, nil
}

// measure goes through the phases: until all are listened to, idle, under load, and
// until everything is seen.
func (m *liveMeasure) measure(ctx context.Context) error {
	r := &m.result
	r.Mailboxes = m.Mailboxes
	if err := m.untilSubscribed(ctx); err != nil {
		return err
	}
	if err := m.idle(ctx); err != nil {
		return err
	}
	if err := m.load(ctx); err != nil {
		return err
	}
	r.PeakRSS = peakRSS()
	var stats sim.Stats
	err := m.exchange.ask(ctx, http.MethodGet, "/stats", nil, &stats)
	r.Throttled = int(stats.Throttled)
	return err
}

// untilSubscribed waits until the simulated Exchange says that each mailbox has a
// subscription that is on an open stream.
func (m *liveMeasure) untilSubscribed(ctx context.Context) error {
	r, began := &m.result, time.Now()
	say := m.progress("mailboxes listened to", m.Mailboxes)
	return m.until(ctx, m.Patience, func() (bool, error) {
		var stats sim.Stats
		err := m.exchange.ask(ctx, http.MethodGet, "/stats", nil, &stats)
		r.Subscribed, r.SubscribedSeconds = stats.Listened, time.Since(began).Seconds()
		say(r.Subscribed)
		return r.Subscribed >= m.Mailboxes, err
	})
}

// idle lets nothing happen.
func (m *liveMeasure) idle(ctx context.Context) error {
	w, say := m.window(), m.progress("seconds idle", int(m.Idle.Seconds()))
	err := m.until(ctx, m.Idle, func() (bool, error) {
		say(int(time.Since(w.began).Seconds()))
		return false, nil
	})
	m.result.IdleCores, _ = w.cores()
	m.result.RSS = residentBytes()
	return err
}

// load has letters delivered, watches the activities appear, and compares both.
func (m *liveMeasure) load(ctx context.Context) error {
	seen, err := newSightings(ctx, filepath.Join(m.dir, "data"))
	if err != nil {
		return err
	}
	defer seen.close()
	_, asked, _ := m.requests.read()
	w, say := m.window(), m.progress("deliveries seen", int(m.Rate*float64(m.Seconds)))
	loaded := make(chan error, 1)
	go func() {
		order := sim.Load{Rate: m.Rate, Seconds: float64(m.Seconds), Contacts: crowdContacts}
		loaded <- m.exchange.ask(ctx, http.MethodPost, "/load", order, &sim.Delivered{})
	}()
	err = m.until(ctx, m.Patience+time.Duration(m.Seconds)*time.Second, func() (bool, error) {
		n, err := seen.count()
		say(n)
		select {
		case ended := <-loaded:
			return true, cmp.Or(err, ended)
		default:
			return false, err
		}
	})
	if err != nil {
		return err
	}
	r := &m.result
	r.Cores, r.SimCores = w.cores()
	_, now, _ := m.requests.read()
	err = m.until(ctx, m.Patience, func() (bool, error) {
		n, err := seen.count()
		if err != nil {
			return false, err
		}
		say(n)
		delivered, err := readDeliveries(filepath.Join(m.dir, "journal"), w.began)
		r.compare(delivered, seen)
		return r.Lost == 0, err
	})
	r.RequestsPerDelivery = float64(now-asked) / float64(max(1, r.Deliveries))
	return err
}

// until waits until something is done, or so long.
func (m *liveMeasure) until(ctx context.Context, within time.Duration, done func() (bool, error)) error {
	end := time.NewTimer(within)
	defer end.Stop()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return nil
		case <-tick.C:
		}
	}
}

// progress returns what says now and then how far something has come.
func (m *liveMeasure) progress(what string, total int) func(done int) {
	began := time.Now()
	said, before := began, 0
	return func(done int) {
		if since := time.Since(said); since < 5*time.Second && (done < total || before == total) {
			return
		}
		said, before = time.Now(), done
		rate, left := float64(done)/time.Since(began).Seconds(), "?"
		if rate > 0 {
			left = time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second).String()
		}
		fmt.Fprintf(m.errOut, "%s: %d of %d (%.1f/s, %s to go)\n", what, done, total, rate, left)
	}
}

// A window takes processor time between two moments.
type window struct {
	began        time.Time
	exchange     *simProcess
	ours, theirs float64
}

func (m *liveMeasure) window() *window {
	return &window{time.Now(), m.exchange, cpuSeconds(), cpuSecondsOf(m.exchange.cmd.Process.Pid)}
}

// cores is how many processors this process and the simulated Exchange have kept busy.
func (w *window) cores() (ours, theirs float64) {
	seconds := time.Since(w.began).Seconds()
	return (cpuSeconds() - w.ours) / seconds, (cpuSecondsOf(w.exchange.cmd.Process.Pid) - w.theirs) / seconds
}

// readDeliveries reads from the journal of the simulated Exchange when each message since
// then was laid into the first of its mailboxes.
func readDeliveries(journal string, since time.Time) (map[string]time.Time, error) {
	f, err := os.Open(journal)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	delivered := make(map[string]time.Time)
	for d := json.NewDecoder(f); ; {
		var e sim.Event
		switch err := d.Decode(&e); {
		case err == io.EOF:
			return delivered, nil
		case err != nil:
			return nil, fmt.Errorf("journal of the simulated Exchange: %w", err)
		}
		id := mail.MessageID(e.MessageID)
		at := time.Unix(0, e.Delivered)
		if _, known := delivered[id]; e.Kind == sim.Arrived && !known && !at.Before(since) {
			delivered[id] = at
		}
	}
}

// compare takes down how long each delivery took to be seen, what was not seen and what
// was seen twice.
func (r *liveMeasured) compare(delivered map[string]time.Time, s *sightings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var took []time.Duration
	for id, at := range delivered {
		if seen, ok := s.first[id]; ok {
			took = append(took, seen.Sub(at))
		}
	}
	slices.Sort(took)
	r.Deliveries, r.Lost, r.Duplicates = len(delivered), len(delivered)-len(took), s.again
	if len(took) == 0 {
		return
	}
	// The nearest rank: the smallest time within which that part of all was seen.
	rank := func(part float64) float64 {
		return float64(took[int(math.Ceil(part*float64(len(took))))-1].Microseconds()) / 1000
	}
	r.P50, r.P95, r.P99, r.Max = rank(.5), rank(.95), rank(.99), rank(1)
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
