package chaos

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A wire is a network in memory between one server and the process under test. Nothing on
// it takes time of its own: delays are made by who answers, so that a run depends on
// nothing but its seed.
type wire struct {
	mu       sync.Mutex
	calls    chan net.Conn
	hungUp   bool
	open     map[*end]bool // the client's ends
	refused  error         // what dialling meets; nil = a connection
	hole     bool          // dialling meets nothing at all
	observed func()        // is told of each dial that a trouble hits
}

func newWire() *wire {
	return &wire{calls: make(chan net.Conn), open: map[*end]bool{}, observed: func() {}}
}

// Dial opens a connection to the server.
func (w *wire) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	w.mu.Lock()
	refused, hole := w.refused, w.hole
	if w.hungUp {
		refused = syscall.ENETDOWN
	}
	if refused != nil || hole {
		w.observed()
	}
	w.mu.Unlock()
	if refused != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", refused)}
	}
	if hole {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
	}
	up, down := newStream(), newStream()
	client, server := &end{in: down, out: up}, &end{in: up, out: down}
	w.mu.Lock()
	w.open[client] = true
	w.mu.Unlock()
	client.closed = func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, client)
	}
	select {
	case w.calls <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// outage sets what dialling meets from now on; open connections are reset if reset says so.
func (w *wire) outage(refused error, hole, reset bool) {
	w.mu.Lock()
	w.refused, w.hole = refused, hole
	w.mu.Unlock()
	if reset {
		w.reset()
	}
}

// reset breaks all connections.
func (w *wire) reset() {
	w.mu.Lock()
	list := make([]*end, 0, len(w.open))
	for c := range w.open {
		list = append(list, c)
	}
	w.mu.Unlock()
	for _, c := range list {
		c.reset()
	}
}

// hangUp breaks all connections and lets none be made any more: the process is dead.
func (w *wire) hangUp() {
	w.mu.Lock()
	w.hungUp = true
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
	closed  func()
}

func (e *end) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *end) Write(p []byte) (int, error) { return e.out.write(p) }

func (e *end) Close() error {
	e.in.end(net.ErrClosed, true)
	e.out.end(io.EOF, false)
	if e.closed != nil {
		e.closed()
	}
	return nil
}

// reset breaks the connection at both ends; what has come already can still be read.
func (e *end) reset() {
	e.in.end(errReset, false)
	e.out.end(errReset, false)
}

// cutAfter resets the connection once n more bytes were written to this end.
func (e *end) cutAfter(n int64) {
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	e.out.left, e.out.cut = n, func() { e.reset() }
}

func (e *end) LocalAddr() net.Addr                { return address{} }
func (e *end) RemoteAddr() net.Addr               { return address{} }
func (e *end) SetDeadline(t time.Time) error      { return e.in.deadline(t) }
func (e *end) SetReadDeadline(t time.Time) error  { return e.in.deadline(t) }
func (e *end) SetWriteDeadline(t time.Time) error { return nil }

var errReset = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}

// A stream is one direction of a connection.
type stream struct {
	mu      sync.Mutex
	more    *sync.Cond
	data    []byte
	over    error // what the reader gets after the data
	left    int64 // bytes until cut, when that is set
	cut     func()
	late    bool // the deadline has passed
	timer   *time.Timer
	expires int // counts deadlines, so that an old timer has no effect
}

func newStream() *stream {
	s := new(stream)
	s.more = sync.NewCond(&s.mu)
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.late:
			return 0, os.ErrDeadlineExceeded
		case len(s.data) > 0:
			n := copy(p, s.data)
			s.data = s.data[n:]
			return n, nil
		case s.over != nil:
			return 0, s.over
		}
		s.more.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	if s.over != nil {
		s.mu.Unlock()
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)}
	}
	cut := s.cut
	if cut == nil || int64(len(p)) < s.left {
		cut, n = nil, len(p)
		s.left -= int64(n)
	} else {
		n, err = int(s.left), errReset
	}
	s.data = append(s.data, p[:n]...)
	s.more.Broadcast()
	s.mu.Unlock()
	if cut != nil {
		cut()
	}
	return n, err
}

// end ends the stream; drop throws away what was not read.
func (s *stream) end(err error, drop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == nil || drop {
		s.over = err
	}
	if drop {
		s.data = nil
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	s.more.Broadcast()
}

func (s *stream) deadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.expires++
	s.late = false
	if t.IsZero() {
		return nil
	}
	wait := time.Until(t)
	if wait <= 0 {
		s.late = true
		s.more.Broadcast()
		return nil
	}
	turn := s.expires
	s.timer = time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if turn == s.expires {
			s.late = true
			s.more.Broadcast()
		}
	})
	return nil
}
