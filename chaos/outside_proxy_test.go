package chaos_test

import (
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A proxy stands between the server and the simulated Exchange, and spoils what passes
// as bad networks do. One seed draws one sequence of fates; which connection meets which
// is up to the processes.
type proxy struct {
	listener net.Listener
	target   string
	carrying sync.WaitGroup

	mu      sync.Mutex
	rng     *rand.Rand
	weather weather // of the connections made now
	closed  bool
	open    map[net.Conn]bool
	met     map[fault]int
}

// A weather says how the network is.
type weather int

const (
	calm  weather = iota // all is well
	rough                // connections meet faults
	down                 // nobody gets through
)

// A fault is what the network does to one connection.
type fault string

const (
	sound    fault = "sound"    // nothing
	refused  fault = "refused"  // reset before a byte has passed
	reset    fault = "reset"    // reset in the middle
	truncate fault = "truncate" // closed in the middle, in good order
	stall    fault = "stall"    // goes silent in the middle, and resets after a while
	delay    fault = "delay"    // each piece comes late
	tear     fault = "tear"     // comes in very small pieces
)

// faults are drawn from evenly, and as often as not nothing is wrong: a server that is
// never met in order is rested from, and little would pass that can be spoilt.
var faults = []fault{refused, reset, reset, truncate, truncate, stall, delay, tear}

// A fate is a fault and where it strikes.
type fate struct {
	fault
	after int           // bytes; what lasts (sound, delay, tear) ends there, and another fate begins
	pause time.Duration // of delay and stall
	asked bool          // it strikes what is asked and not what is answered
}

// untroubled is the fate of whatever passes in calm weather.
var untroubled = fate{fault: sound, after: math.MaxInt}

func newProxy(t *testing.T, target string, seed uint64) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, rng: rand.New(rand.NewPCG(seed, 0)), open: map[net.Conn]bool{}, met: map[fault]int{}}
	p.carrying.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.cut()
		p.carrying.Wait()
	})
	return p
}

// be changes the weather. Connections of the time before are cut, so that none goes on
// as it was.
func (p *proxy) be(w weather) {
	p.mu.Lock()
	p.weather = w
	p.mu.Unlock()
	p.cut()
}

// cut resets all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		breakOff(c)
	}
}

// spoilt is how many connections were not left alone, and how.
func (p *proxy) spoilt() (n int, how string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var parts []string
	for _, f := range slices.Sorted(maps.Keys(p.met)) {
		if f != sound {
			n += p.met[f]
		}
		parts = append(parts, fmt.Sprintf("%s %d", f, p.met[f]))
	}
	return n, strings.Join(parts, ", ")
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return // closed at the end of the test
		}
		p.carrying.Go(func() { p.connect(c) })
	}
}

// draw decides about the next connection.
func (p *proxy) draw() fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := untroubled
	switch p.weather {
	case rough:
		f = fate{fault: sound, after: 1 << p.rng.IntN(15), asked: p.rng.IntN(4) == 0,
			pause: time.Duration(20+p.rng.IntN(400)) * time.Millisecond}
		f.after += p.rng.IntN(f.after)
		if p.rng.IntN(2) == 0 {
			f.fault = faults[p.rng.IntN(len(faults))]
		}
	case down:
		f.fault = refused
	}
	p.met[f.fault]++
	return f
}

// keep notes an open connection; false when there are to be no more.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	return !p.closed
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	c.Close()
}

func (p *proxy) connect(client net.Conn) {
	defer p.drop(client)
	f := p.draw()
	if !p.keep(client) || f.fault == refused {
		breakOff(client)
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		breakOff(client)
		return
	}
	defer p.drop(server)
	if !p.keep(server) {
		return
	}
	asking, answering := untroubled, f
	if f.asked {
		asking, answering = f, untroubled
	}
	var both sync.WaitGroup
	both.Go(func() { p.carry(server, client, asking); server.Close() })
	both.Go(func() { p.carry(client, server, answering); client.Close() })
	both.Wait()
}

// carry copies until the end or until a fault ends it.
func (p *proxy) carry(to, from net.Conn, f fate) {
	buf := make([]byte, 32<<10)
	for passed := 0; ; {
		piece := buf
		if f.fault == tear {
			piece = buf[:7]
		}
		n, err := from.Read(piece)
		struck := n >= f.after-passed
		piece = piece[:min(n, f.after-passed)]
		if f.fault == delay {
			<-time.After(f.pause)
		}
		if _, e := to.Write(piece); e != nil || err != nil {
			return
		}
		passed += n
		switch {
		case !struck:
		case f.fault == sound || f.fault == delay || f.fault == tear:
			if _, err := to.Write(buf[len(piece):n]); err != nil {
				return
			}
			f, passed = p.draw(), 0
		case f.fault == truncate:
			return
		case f.fault == stall:
			<-time.After(10 * f.pause)
			breakOff(to)
			return
		default:
			breakOff(to)
			return
		}
	}
}

// breakOff closes with a reset in place of an orderly end.
func breakOff(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

// TestOutsideProxy holds the proxy to its word: calm it changes nothing, rough it spoils.
func TestOutsideProxy(t *testing.T) {
	const size, tries = 1 << 20, 20
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write(make([]byte, size))
			c.Close()
		}
	}()
	p := newProxy(t, l.Addr().String(), 1)
	const soon, plainly = 200 * time.Millisecond, 30 * time.Second
	whole := func(patience time.Duration) (n int) {
		for range tries {
			c, err := net.Dial("tcp", p.listener.Addr().String())
			if err != nil {
				continue // reset already
			}
			c.SetReadDeadline(time.Now().Add(patience))
			if got, _ := io.Copy(io.Discard, c); got == size {
				n++
			}
			c.Close()
		}
		return n
	}
	if got := whole(plainly); got != tries {
		t.Errorf("calm: got %d of %d answers whole", got, tries)
	}
	p.be(rough)
	got := whole(soon) // what is stalled or late counts as spoilt
	spoilt, how := p.spoilt()
	if got == tries || spoilt == 0 {
		t.Errorf("rough: got all answers whole though %s", how)
	}
	p.be(calm)
	if got := whole(plainly); got != tries {
		t.Errorf("calm again: got %d of %d answers whole", got, tries)
	}
}
