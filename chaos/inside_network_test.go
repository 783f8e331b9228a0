package chaos

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"postern/gate"
)

// A wire is a network in memory between one server and one process. What is sent on a
// connection arrives after a delay that is the connection's own: what happens to many
// connections at once so reaches their readers one by one, in an order that does not
// depend on the machine.
type wire struct {
	calls chan net.Conn // to the server

	mu      sync.Mutex
	open    []*end // the client's ends, in the order of dialling
	refused error  // what dialling meets; nil = a connection
	hole    bool   // dialling meets nothing at all
	cut     bool   // for good: the process is dead
	hit     func() // is told of each dial that meets trouble
}

func newWire(p *port, hit func()) *wire { return &wire{calls: p.calls, hit: hit} }

// machine is a host that knows of no other network than the wire.
func (w *wire) machine() gate.Machine {
	own := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	return gate.Machine{
		Resolve:   func(context.Context, string) ([]netip.Addr, error) { return own, nil },
		Dial:      func(ctx context.Context, _ netip.Addr, _ netip.AddrPort) (net.Conn, error) { return w.dial(ctx) },
		Addresses: func() ([]netip.Addr, error) { return own, nil },
	}
}

// dial opens a connection to the server.
func (w *wire) dial(ctx context.Context) (net.Conn, error) {
	w.mu.Lock()
	refused, hole := w.refused, w.hole
	if w.cut {
		refused = syscall.ENETDOWN
	} else if refused != nil || hole {
		w.hit()
	}
	delay := time.Duration(time.Now().UnixNano()*7919%1000) * time.Microsecond
	w.mu.Unlock()
	if refused != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", refused)}
	}
	if hole {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
	}
	up, down := newStream(delay+200), newStream(delay+700)
	client, server := &end{in: down, out: up}, &end{in: up, out: down}
	client.closed = func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.open = slices.DeleteFunc(w.open, func(e *end) bool { return e == client })
	}
	w.mu.Lock()
	w.open = append(w.open, client)
	w.mu.Unlock()
	select {
	case w.calls <- server:
		return client, nil
	case <-ctx.Done():
		client.Close()
		return nil, ctx.Err()
	}
}

// outage sets what dialling meets from now on.
func (w *wire) outage(refused error, hole bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused, w.hole = refused, hole
}

// reset breaks all connections.
func (w *wire) reset() {
	w.mu.Lock()
	list := slices.Clone(w.open)
	w.mu.Unlock()
	for _, c := range list {
		c.reset()
	}
}

// hangUp breaks all connections and lets none be made any more: the process is dead.
func (w *wire) hangUp() {
	w.mu.Lock()
	w.cut = true
	w.mu.Unlock()
	w.reset()
}

// A port is the server's side of all wires. It is a net.Listener.
type port struct {
	calls chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPort() *port { return &port{calls: make(chan net.Conn), done: make(chan struct{})} }

func (p *port) Accept() (net.Conn, error) {
	select {
	case c := <-p.calls:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *port) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *port) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "tcp" }
func (address) String() string  { return "127.0.0.1:80" }

// An end is one end of a connection. Writing never waits.
type end struct {
	in, out *stream
	closed  func() // of the client's end
}

func (e *end) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *end) Write(p []byte) (int, error) { return e.out.write(p) }

func (e *end) Close() error {
	e.in.close()
	e.out.end(io.EOF)
	if e.closed != nil {
		e.closed()
	}
	return nil
}

// reset breaks the connection at both ends; what is on its way still arrives.
func (e *end) reset() {
	e.in.end(errReset)
	e.out.end(errReset)
}

// cutAfter resets the connection once n more bytes were written to this end.
func (e *end) cutAfter(n int64) {
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	e.out.left, e.out.cut = n, e.reset
}

func (e *end) LocalAddr() net.Addr                { return address{} }
func (e *end) RemoteAddr() net.Addr               { return address{} }
func (e *end) SetDeadline(t time.Time) error      { return e.in.deadline(t) }
func (e *end) SetReadDeadline(t time.Time) error  { return e.in.deadline(t) }
func (e *end) SetWriteDeadline(t time.Time) error { return nil }

var errReset = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}

// A stream is one direction of a connection.
type stream struct {
	delay time.Duration

	mu     sync.Mutex
	more   *sync.Cond
	onWay  []parcel
	over   bool  // nothing is written any more
	shut   bool  // nothing is read any more
	late   bool  // the deadline has passed
	turn   int   // counts deadlines, so that an old timer has no effect
	left   int64 // bytes until cut, when that is set
	cut    func()
	expiry *time.Timer
}

// A parcel is what was written at once, or the end of the stream.
type parcel struct {
	data    []byte
	err     error // the end
	arrives time.Time
}

func newStream(delay time.Duration) *stream {
	s := &stream{delay: delay}
	s.more = sync.NewCond(&s.mu)
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.shut:
			return 0, net.ErrClosed
		case s.late:
			return 0, os.ErrDeadlineExceeded
		case len(s.onWay) > 0 && !time.Now().Before(s.onWay[0].arrives):
			first := &s.onWay[0]
			if first.err != nil {
				return 0, first.err
			}
			n := copy(p, first.data)
			if first.data = first.data[n:]; len(first.data) == 0 {
				s.onWay = s.onWay[1:]
			}
			return n, nil
		}
		s.more.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)}
	}
	n, cut := len(p), s.cut
	if cut != nil && s.left <= int64(n) {
		n, err = int(s.left), errReset
	} else {
		cut = nil
	}
	s.left -= int64(n)
	if n > 0 {
		s.send(parcel{data: slices.Clone(p[:n])})
	}
	s.mu.Unlock()
	if cut != nil {
		cut()
	}
	return n, err
}

// send puts a parcel on its way. The caller holds the lock.
func (s *stream) send(p parcel) {
	p.arrives = time.Now().Add(s.delay)
	s.onWay = append(s.onWay, p)
	time.AfterFunc(s.delay, s.wake)
}

func (s *stream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.more.Broadcast()
}

// end ends the stream behind what is on its way.
func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		s.send(parcel{err: err})
	}
}

// close ends the reading.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over, s.shut = true, true
	if s.expiry != nil {
		s.expiry.Stop()
	}
	s.more.Broadcast()
}

func (s *stream) deadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expiry != nil {
		s.expiry.Stop()
		s.expiry = nil
	}
	s.turn++
	s.late = !t.IsZero() && !time.Now().Before(t)
	if s.late {
		s.more.Broadcast()
	}
	if t.IsZero() || s.late || s.shut {
		return nil
	}
	turn := s.turn
	s.expiry = time.AfterFunc(time.Until(t), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if turn == s.turn {
			s.late = true
			s.more.Broadcast()
		}
	})
	return nil
}
