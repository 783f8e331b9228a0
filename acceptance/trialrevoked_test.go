package acceptance

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/gate"
	"postern/mail"
	"postern/sim"
	"postern/store"
)

// tried is the User-Agent of what a test sends where the engine collects beside it.
const tried = "Tried/1.0"

// A trialWorld is a company whose Exchange never answers what a test asks for of a mailbox.
type trialWorld struct {
	*world
	hung     chan string // the mailbox of a request that got no answer
	released chan string // it was given up
	gone     atomic.Bool // the address that requests leave from is not on this machine any more
	machine  gate.Machine
}

func newTrialWorld(t *testing.T) *trialWorld {
	w := &trialWorld{world: newWorld(t, sim.Options{})}
	w.hung, w.released = w.listings(tried)
	w.machine.Addresses = func() ([]netip.Addr, error) {
		if w.gone.Load() {
			return nil, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.2")}, nil
	}
	w.connect("acme.example")
	w.leaveFrom("127.0.0.2")
	w.users(crm.User{Name: "Bob", Addresses: []mail.Address{bob}, Active: false})
	return w
}

// tryout is the connection as saved, under the User-Agent of the test.
func (w *trialWorld) tryout() crm.Settings {
	s := w.settings("acme.example")
	s.UserAgent = tried
	return s
}

// revocations are all that can be taken from a test under way.
var revocations = map[string]func(w *trialWorld){
	"the mailbox":    func(w *trialWorld) { w.policy(func(p *crm.Policy) { p.Deny = []crm.Selector{ann} }) },
	"the domain":     func(w *trialWorld) { w.save(w.settings("other.example")) },
	"the kind":       func(w *trialWorld) { w.policy(func(p *crm.Policy) { p.Kinds = []crm.Kind{crm.Task} }) },
	"the folder":     func(w *trialWorld) { w.policy(func(p *crm.Policy) { p.ExcludedFolders = []string{"inbox"} }) },
	"the connection": func(w *trialWorld) { s := w.settings("acme.example"); s.Enabled = false; w.save(s) },
	"the pool":       func(w *trialWorld) { w.leaveFrom("127.0.0.3") },
	"the address":    func(w *trialWorld) { w.gone.Store(true) },
	"the ranges": func(w *trialWorld) {
		w.must(w.store.SaveDeployment(w.Context(), crm.Deployment{Mode: crm.SingleTenant}))
	},
	"the credentials": func(w *trialWorld) { w.must(w.org.ShredKeys(w.Context())) },
}

// TestRevokingEndsTestsUnderWay: a request of a test that hangs in the server ends when the
// mailbox, the kind of data, the connection, the address that it left from or the range that
// it led to is taken away.
func TestRevokingEndsTestsUnderWay(t *testing.T) {
	for where, prepare := range map[string]func(*trialWorld) (e *engine.Engine, end func()){
		"in the serving process":  (*trialWorld).serving,
		"in a command of its own": (*trialWorld).command,
	} {
		for what, revoke := range revocations {
			t.Run(where+", "+what, func(t *testing.T) {
				w := newTrialWorld(t)
				e, end := prepare(w)
				defer end()
				ended := make(chan error, 1)
				go func() { ended <- e.Test(t.Context(), w.tryout(), func(crm.Finding) {}) }()
				within(t, "a request of the test", w.hung)
				revoke(w)
				within(t, "the end of the request under way", w.released)
				if err := <-ended; err == nil || crm.AsFault(err).Code != "test-ended" {
					t.Errorf("the test ended with %v, want test-ended", err)
				}
			})
		}
	}
}

// serving collects beside the test.
func (w *trialWorld) serving() (*engine.Engine, func()) {
	w.restart(engine.Config{Machine: w.machine})
	w.start()
	return w.engine, func() {}
}

// command has the data folder open for itself, and collects nothing.
func (w *trialWorld) command() (*engine.Engine, func()) {
	st, err := store.Open(w.Context(), store.Options{Dir: w.dir, Now: w.clock})
	w.must(err)
	return engine.New(engine.Config{Org: st.Org(1), Connector: ews.Connector(), Machine: w.machine, Now: w.clock}), func() { st.Close() }
}

// TestRevokingEndsASearchUnderWay: autodiscover, which hangs in a server that says nothing,
// ends in the same way.
func TestRevokingEndsASearchUnderWay(t *testing.T) {
	w := newTrialWorld(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	defer silent.Close()
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			w.hung <- ""
			_, _ = io.Copy(io.Discard, conn) // until the client hangs up
			w.released <- ""
			conn.Close()
		}
	}()
	w.machine.Resolve = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	w.machine.Dial = func(ctx context.Context, _ netip.Addr, _ netip.AddrPort) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", silent.Addr().String())
	}
	e, end := w.command()
	defer end()
	ended := make(chan error, 1)
	go func() {
		_, err := e.Discover(t.Context(), ann, w.settings("acme.example"), "", func(crm.Finding) {})
		ended <- err
	}()
	within(t, "a request of the search", w.hung)
	revocations["the connection"](w)
	within(t, "the end of the request under way", w.released)
	if err := <-ended; err == nil || crm.AsFault(err).Code != "test-ended" {
		t.Errorf("the search ended with %v, want test-ended", err)
	}
}
