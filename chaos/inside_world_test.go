package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/mail"
	"postern/pace"
	"postern/sim"
	"postern/store"
)

const (
	company  = "acme.example"
	login    = "svc-crm"
	endpoint = "http://127.0.0.1/EWS/Exchange.asmx"
	servers  = 3 // back ends of Exchange
)

// A world is one company with its Exchange, and a Postern that lives and dies beside it,
// within a bubble of package synctest.
type world struct {
	*testing.T
	seed     uint64
	rng      *rand.Rand // draws what happens, in the order in which it happens
	exchange *sim.Exchange
	front    *front
	port     *port
	password string // of the service account, as Exchange has it
	dir      string // of the images of the data folder
	images   int
	offset   atomic.Int64 // of our clock, against the bubble's
	proc     *process
	log      logbook
	wiring   wiring
	broken   []breach
	journal  bytes.Buffer // of the Exchange: what was delivered and what became of it
}

// wiring is what a test may have otherwise.
type wiring struct {
	limits    pace.Config
	connector func(crm.Connector) crm.Connector // between engine and ews
	step      func(name string) (die bool)      // is asked at each durable step, one at a time
	tick      time.Duration                     // of the engine
	workers   int                               // of the engine, of each kind; 0 = one, so that a seed is one run
	version   sim.Version                       // of the Exchange; "" = of today
}

// A process is one life of Postern, from its start until it is killed or stopped.
type process struct {
	w      *world
	dir    string
	wire   *wire
	store  *store.Store
	org    *store.Org
	engine *engine.Engine
	stop   context.CancelFunc
	done   chan struct{} // the engine has ended
	died   chan struct{} // a crash point was met
	image  string        // the data folder as it was at that moment
	halted bool          // and its store closed

	full atomic.Bool // no room on the disk

	mu      sync.Mutex
	steps   int    // durable steps so far
	crashAt int    // the one at which it dies; 0 = none
	last    string // step, before its death
	crashed bool
}

// newWorld makes the Exchange and puts it on the network.
func newWorld(t *testing.T, seed uint64, o wiring) *world {
	t.Helper()
	w := &world{T: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), port: newPort(), password: "first", dir: scratch(t), wiring: o}
	w.front = newFront(w)
	var err error
	w.exchange, err = sim.New(sim.Options{Journal: &w.journal, Version: o.version, Servers: servers, Script: w.front.script})
	w.must(err)
	t.Cleanup(func() { w.exchange.Close() })
	w.exchange.AddAccount(sim.Account{Login: login, Password: w.password})
	server := &http.Server{Handler: w.front, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(w.port) })
	t.Cleanup(func() { server.Close(); serving.Wait(); w.front.close() })
	t.Cleanup(func() {
		if w.proc != nil && !w.proc.halted { // the test has failed in the middle
			w.proc.crash("the end of the test")
			w.proc.bury()
		}
	})
	return w
}

// scratch is a folder in memory where there is one: a run writes little, but flushes often.
func scratch(t *testing.T) string {
	if dir, err := os.MkdirTemp("/dev/shm", "postern-chaos-"); err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}

// now is our clock. It may go wrong; the server's does not.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }

func (w *world) must(err error) {
	if err != nil {
		w.Helper()
		w.Fatalf("seed %d: %v", w.seed, err)
	}
}

// start brings a process up on the newest image of the data folder. All wiring is here.
func (w *world) start() {
	w.Helper()
	if w.images == 0 {
		w.images = 1
		w.must(os.CopyFS(w.image(), os.DirFS(blank())))
	}
	p := &process{w: w, dir: w.image(), wire: newWire(w.port, func() { w.front.hit("dial") }), done: make(chan struct{}), died: make(chan struct{})}
	var err error
	p.store, err = store.Open(w.Context(), store.Options{Dir: p.dir, Exclusive: true, Now: w.now, Step: p.step})
	if p.dead() { // while it opened its data
		w.take(p)
		w.start()
		return
	}
	w.must(err)
	p.org = p.store.Org(1)
	connector := stagger(w.seed + uint64(w.images)).connector(ews.Connector(func(c *ews.Config) { c.Now = w.now }))
	if w.wiring.connector != nil {
		connector = w.wiring.connector(connector)
	}
	kept, err := p.store.Budgets(w.Context())
	w.must(err)
	limits := w.wiring.limits
	limits.Now, limits.Kept = w.now, kept
	limits.Rand = rand.New(rand.NewPCG(w.seed, uint64(w.images))).Float64
	limits.Keep = func(b crm.Budget) {
		if err := p.store.SaveBudget(w.Context(), b); err != nil {
			w.log.note("keep budget: %v", err)
		}
	}
	workers := max(1, w.wiring.workers)
	p.engine = engine.New(engine.Config{Org: p.org, Connector: connector, Pace: pace.New(limits), Workers: workers, Looks: workers, Events: workers, Tick: w.wiring.tick, Machine: p.wire.machine(),
		Now: w.now, Log: slog.New(slog.NewTextHandler(&w.log, nil))})
	w.proc = p
}

// run lets the engine work until the process stops or dies.
func (p *process) run() {
	ctx, stop := context.WithCancel(p.w.Context())
	p.stop = stop
	go func() {
		defer close(p.done)
		if err := p.engine.Run(ctx); err != nil {
			p.w.log.note("engine ended: %v", err)
		}
	}()
}

// halt stops a process in good order.
func (p *process) halt() {
	p.halted = true
	if p.stop != nil {
		p.stop()
		<-p.done
	}
	p.w.must(p.store.Close())
	p.wire.hangUp()
}

// bury ends what a crash has left of a process and makes the image of its last moment the
// data folder.
func (p *process) bury() {
	p.halted = true
	p.wire.hangUp()
	if p.stop != nil {
		p.stop()
		<-p.done
	}
	p.store.Close() // whatever it says: the folder is not used again
	p.w.take(p)
}

// take makes what a dead process has left the data folder.
func (w *world) take(p *process) {
	w.images++
	w.must(os.Rename(p.image, w.image()))
	w.must(os.RemoveAll(p.dir)) // a life has many deaths, and its images may lie in memory
}

// step comes before each durable step. At the one that was drawn the process dies: from
// there on every step fails, so nothing that it still does leaves a trace.
func (p *process) step(name string) error {
	p.mu.Lock()
	p.steps++
	due := p.steps == p.crashAt
	if ask := p.w.wiring.step; ask != nil && !p.crashed {
		due = ask(name) || due
	}
	p.mu.Unlock()
	if due {
		p.crash(name)
	}
	switch {
	case p.dead():
		return errDead
	case p.full.Load():
		return syscall.ENOSPC
	}
	return nil
}

var errDead = errors.New("the process is dead")

func (p *process) dead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.crashed
}

// disarm lets the process live.
func (p *process) disarm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.crashAt = 0
}

// crash kills the process here and now: its data folder is kept as it is at this moment.
func (p *process) crash(at string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.crashed {
		return
	}
	p.crashed, p.last = true, at
	p.image = p.dir + "-at-death"
	if err := copyData(p.image, p.dir); err != nil {
		panic(err) // it may be called by any goroutine
	}
	p.wire.hangUp()
	close(p.died)
}

func (w *world) image() string { return filepath.Join(w.dir, fmt.Sprint("data-", w.images)) }

// copyData copies what a killed process leaves on the disk. The index of the write-ahead
// log lives in memory shared by processes, and is made anew.
func copyData(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if strings.HasSuffix(path, "-shm") {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o600)
	})
}

// blank is a data folder that was opened once. It is made once for all runs.
var blank = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "postern-chaos-blank-")
	if err == nil {
		var st *store.Store
		if st, err = store.Open(context.Background(), store.Options{Dir: dir}); err == nil {
			err = errors.Join(st.SaveDeployment(context.Background(), crm.Deployment{Mode: crm.SingleTenant, Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}), st.Close())
		}
	}
	if err != nil {
		panic(err)
	}
	return dir
})

func TestMain(m *testing.M) {
	dir := blank() // outside of any bubble
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// connect saves the settings, as an administrator does.
func (p *process) connect() error {
	return p.org.SaveSettings(p.w.Context(), crm.Settings{Enabled: true, Server: endpoint, Version: "Exchange2013_SP1", Login: login,
		Password: crm.NewSecret(p.w.password), Domains: []string{company}, UserAgent: crm.DefaultUserAgent, Saved: p.w.now()})
}

func (p *process) addUser(name string, a mail.Address) error {
	_, err := p.org.SaveUsers(p.w.Context(), []crm.User{{Name: name, Addresses: []mail.Address{a}, Active: true}})
	return err
}

func (p *process) addContact(name string, a mail.Address) error {
	_, err := p.org.SaveContacts(p.w.Context(), []crm.Contact{{Name: name, Company: "Client", Addresses: []mail.Address{a}}})
	return err
}

// A logbook keeps what was said and done in a run, to be shown when it fails.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) note(format string, args ...any) {
	fmt.Fprintf(l, "%s -- %s\n", time.Now().UTC().Format("2006-01-02 15:04:05.000"), fmt.Sprintf(format, args...))
}

// last returns the end of what was written.
func (l *logbook) last(lines int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Split(strings.TrimSpace(l.buf.String()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
