package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/ews"
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
	Neighbour bool          `help:"Measure also what half of the mailboxes feel of ten times the load of the other half, and of one mailbox of which the server wants less."`
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

	*neighbourMeasured
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
	if err := allowThisMachine(c.ctx, st); err != nil {
		return err
	}
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
	case result.Subscribed < result.Mailboxes:
		fmt.Fprintf(c.errOut, "postern: not all mailboxes were listened to within %s\n", b.Patience)
		return exitError(1)
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
	if n := r.neighbourMeasured; err == nil && n != nil {
		_, err = fmt.Fprintf(w, "p99 of a quiet half %.0f ms, beside a loud half %.0f ms (%.2f times), beside a throttled mailbox %.0f ms (%.2f times)\n",
			n.Quiet, n.BesideLoud, n.LoudRatio, n.BesideThrottled, n.ThrottledRatio)
	}
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
	requests *meter
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
	paced, err := m.pace(m.ctx, m.st, log, 0)
	if err != nil {
		return nil, err
	}
	connector := ews.Connector()
	m.requests = newMeter(m.org)
	defer m.requests.Close()
	p := &program{org: m.org, connector: connector, log: log,
		engine: engine.New(engine.Config{Org: m.org, Connector: connector, AccessLog: m.requests, Pace: paced, Log: log})}
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
	seen, err := newSightings(ctx, filepath.Join(m.dir, "data"))
	if err != nil {
		return err
	}
	defer seen.close()
	if err := m.load(ctx, seen); err != nil {
		return err
	}
	r.PeakRSS = peakRSS()
	stats, err := m.exchange.stats(ctx)
	if err != nil {
		return err
	}
	r.Throttled = int(stats.Throttled)
	if m.Neighbour {
		if err := m.neighbour(ctx, seen); err != nil {
			return err
		}
	}
	return m.settle(ctx, seen)
}

// untilSubscribed waits until the simulated Exchange says that each mailbox has a
// subscription that is on an open stream.
func (m *liveMeasure) untilSubscribed(ctx context.Context) error {
	r, began := &m.result, time.Now()
	say := m.progress("mailboxes listened to", m.Mailboxes)
	return m.until(ctx, m.Patience, func() (bool, error) {
		stats, err := m.exchange.stats(ctx)
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

// load has letters delivered and takes down how soon they are seen.
func (m *liveMeasure) load(ctx context.Context, seen *sightings) error {
	_, asked, _ := m.requests.read()
	w := m.window()
	if err := m.drive(ctx, seen, sim.Load{Rate: m.Rate, Seconds: float64(m.Seconds)}); err != nil {
		return err
	}
	r := &m.result
	r.Cores, r.SimCores = w.cores()
	_, now, _ := m.requests.read()
	took, err := m.delays(ctx, seen, func(d delivery) bool { return d.at.After(w.began) })
	r.Deliveries = len(took)
	r.RequestsPerDelivery = float64(now-asked) / float64(max(1, r.Deliveries))
	r.P50, r.P95, r.P99, r.Max = percentile(took, .5), percentile(took, .95), percentile(took, .99), percentile(took, 1)
	return err
}

// drive has loads delivered, all at once, and waits for their end.
func (m *liveMeasure) drive(ctx context.Context, seen *sightings, loads ...sim.Load) error {
	before, err := seen.count()
	if err != nil {
		return err
	}
	total := 0
	ended := make(chan error)
	for _, l := range loads {
		l.Contacts = crowdContacts
		total += int(l.Rate * l.Seconds)
		go func() { ended <- m.exchange.load(ctx, l) }()
	}
	say := m.progress("deliveries seen", total)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for open := len(loads); open > 0; {
		select {
		case e := <-ended:
			err = cmp.Or(err, e)
			open--
		case <-tick.C:
		}
		n, e := seen.count()
		err = cmp.Or(err, e)
		say(n - before)
	}
	return err
}

// delays waits until the deliveries are seen, for as long as there is patience.
func (m *liveMeasure) delays(ctx context.Context, seen *sightings, of func(delivery) bool) (took []time.Duration, err error) {
	err = m.until(ctx, m.Patience, func() (bool, error) {
		delivered, err := readDeliveries(m.journal())
		missing := 0
		took, missing = seen.delays(delivered, of)
		return missing == 0, err
	})
	return took, err
}

// settle waits until everything is seen and takes down what was not, and what was seen
// twice.
func (m *liveMeasure) settle(ctx context.Context, seen *sightings) error {
	took, err := m.delays(ctx, seen, func(delivery) bool { return true })
	if err != nil {
		return err
	}
	delivered, err := readDeliveries(m.journal())
	m.result.Lost, m.result.Duplicates = len(delivered)-len(took), seen.doubled()
	return err
}

func (m *liveMeasure) journal() string { return filepath.Join(m.dir, "journal") }

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
