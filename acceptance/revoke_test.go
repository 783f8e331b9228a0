package acceptance

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/gate"
	"postern/mail"
	"postern/sim"
)

// listings puts a server before the Exchange in which each listing of a folder hangs that is
// asked for under a name; by its mailbox it tells of each that has come, and of each that was
// given up.
func (w *world) listings(agent string) (hung, givenUp chan string) {
	hung, givenUp = make(chan string, 100), make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.UserAgent() != agent || r.Header.Get("Authorization") == "" || !bytes.Contains(body, []byte("SyncFolderItems")) {
			w.exchange.ServeHTTP(rw, r)
			return
		}
		box := r.Header.Get("X-AnchorMailbox")
		hung <- box
		select {
		case <-r.Context().Done():
			givenUp <- box
		case <-w.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}))
	w.Cleanup(server.Close)
	w.url = server.URL + sim.Path
	return hung, givenUp
}

// start has the engine work beside the test, and ends it with the test.
func (w *world) start() {
	w.Helper()
	ctx, stop := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.engine.Run(ctx) }()
	w.Cleanup(func() {
		stop()
		within(w.T, "the end of the engine", ended)
	})
}

// TestRevokingEndsWhatIsUnderWay: a request that hangs in the server ends when its mailbox,
// or the connection as a whole, is taken away.
func TestRevokingEndsWhatIsUnderWay(t *testing.T) {
	for name, revoke := range map[string]func(w *world){
		"the mailbox":    func(w *world) { w.policy(func(p *crm.Policy) { p.Deny = []crm.Selector{ann} }) },
		"the domain":     func(w *world) { s := w.settings("other.example"); w.save(s) },
		"the kind":       func(w *world) { w.policy(func(p *crm.Policy) { p.Kinds = []crm.Kind{crm.Task} }) },
		"the connection": func(w *world) { s := w.settings("acme.example"); s.Enabled = false; w.save(s) },
		"the account": func(w *world) {
			s := w.settings("acme.example")
			s.Login, s.Password = "svc-new", crm.NewSecret("x")
			w.save(s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sim.Options{})
			hung, givenUp := w.listings(crm.DefaultUserAgent)
			w.connect("acme.example")
			w.users(crm.User{Name: "Bob", Addresses: []mail.Address{bob}, Active: false})
			w.restart(engine.Config{Workers: 1, Looks: 1})
			w.start()
			within(t, "a request for Ann's mailbox", hung)
			revoke(w)
			within(t, "the end of the request under way", givenUp)
		})
	}
}

// TestKeysThatAreDestroyedShutTheGate: what is granted cannot be read any more, so nothing is.
func TestKeysThatAreDestroyedShutTheGate(t *testing.T) {
	w := connected(t)
	w.many(3)
	w.collect()
	w.must(w.org.ShredKeys(t.Context()))
	w.exchange.ForgetRequests()
	w.send(letter{from: cyn, to: ann, subject: "afterwards", text: "Text."})
	w.pass(time.Hour)
	if err := w.engine.CatchUp(t.Context()); err == nil || crm.AsFault(err).Code != "key-shredded" {
		t.Errorf("collecting goes on: %v, want key-shredded", err)
	}
	if n := len(w.exchange.Requests()); n > 0 {
		t.Errorf("%d requests were sent with credentials from memory", n)
	}
}

// TestAddressThatIsTakenAwayStopsTheConnection: also a request that hangs on it, and the
// mailbox says so.
func TestAddressThatIsTakenAwayStopsTheConnection(t *testing.T) {
	w := newWorld(t, sim.Options{})
	hung, givenUp := w.listings(crm.DefaultUserAgent)
	w.connect("acme.example")
	w.leaveFrom("127.0.0.2")
	var gone atomic.Bool
	w.restart(engine.Config{Machine: gate.Machine{Addresses: func() ([]netip.Addr, error) {
		if gone.Load() {
			return nil, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.2")}, nil
	}}})
	w.start()
	within(t, "a request", hung)
	gone.Store(true)
	within(t, "the end of the request under way", givenUp)
	eventually(t, "word from the mailbox that the address is missing", func() bool {
		f := w.box(ann).Trouble
		return f != nil && f.Code == "source-address-missing"
	})
}
