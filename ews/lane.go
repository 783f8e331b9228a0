package ews

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"
)

const (
	dialTimeout   = 20 * time.Second
	idleLife      = 60 * time.Second // IIS hangs up after 120
	maxHeaderSize = 256 << 10
	slowestRate   = 16 << 10        // bytes a second; who is slower loses the connection
	silence       = 2 * time.Minute // on a hanging connection, until it counts as dead
)

// errHandshake marks errors from before the connection was secure.
var errHandshake = errors.New("TLS handshake")

// errSilent says that a hanging connection brought nothing for so long, not even a sign
// of life, that it is dead.
var errSilent = errors.New("the connection fell silent")

var errHeaderSize = errors.New("answer header exceeds what is accepted")

// A lane is one HTTP/1.1 connection. It belongs to one client, so to one identity,
// because NTLM authenticates connections rather than requests: on a connection shared
// between identities one would act as the other. One call uses it at a time.
type lane struct {
	net.Conn
	br     *bufio.Reader
	leaf   *x509.Certificate // of the server, for channel binding
	signed bool              // NTLM has authenticated this connection
	fresh  bool              // nothing was received on it yet
	hangs  bool              // waits for notifications: takes no slot and is used once
	idle   time.Time         // since when

	in, out  int64 // bytes of the exchange under way
	left     int64 // bytes that may come before the header is complete
	deadline time.Time
}

// laneFor returns the connection for a transaction.
func (c *Client) laneFor(ctx context.Context, t *transaction, fresh bool) (*lane, error) {
	if !t.call.Hanging {
		return c.lane(ctx, fresh)
	}
	l, err := c.dial(ctx)
	if err == nil {
		l.hangs = true
	}
	return l, err
}

// lane returns an idle connection, or dials a new one when there is none or fresh asks
// for one.
func (c *Client) lane(ctx context.Context, fresh bool) (*lane, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if !fresh {
		if l := c.takeIdle(); l != nil {
			return l, nil
		}
	}
	l, err := c.dial(ctx)
	if err != nil {
		<-c.slots
	}
	return l, err
}

func (c *Client) takeIdle() *lane {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.idle) > 0 {
		l := c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		if c.now().Sub(l.idle) < idleLife {
			return l
		}
		l.Close()
	}
	return nil
}

// release gives a connection back: for further use when whole is set, that is, when the
// answer was read to its end and the server keeps the connection.
func (c *Client) release(l *lane, whole bool) {
	if l.hangs {
		l.Close()
		return
	}
	l.idle = c.now()
	c.mu.Lock()
	for len(c.idle) > 0 && l.idle.Sub(c.idle[0].idle) >= idleLife {
		c.idle[0].Close()
		c.idle = slices.Delete(c.idle, 0, 1)
	}
	if whole && !c.closed {
		c.idle = append(c.idle, l)
		l = nil
	}
	c.mu.Unlock()
	if l != nil {
		l.Close()
	}
	<-c.slots
}

func (c *Client) dial(ctx context.Context) (*lane, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := c.cfg.Dial(ctx, "tcp", c.address())
	if err != nil {
		return nil, err
	}
	l := &lane{Conn: conn, fresh: true}
	if c.url.Scheme == "https" {
		secure := tls.Client(conn, c.tlsConfig())
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, fmt.Errorf("%w: %w", errHandshake, err)
		}
		l.Conn = secure
		l.leaf = secure.ConnectionState().PeerCertificates[0]
	}
	l.br = bufio.NewReader(l)
	return l, nil
}

// address of the server, with its port.
func (c *Client) address() string {
	port := c.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[c.url.Scheme]
	}
	return net.JoinHostPort(c.url.Hostname(), port)
}

// tlsConfig is how a connection to the server is secured.
func (c *Client) tlsConfig() *tls.Config {
	cfg := c.cfg.TLS.Clone()
	cfg.ServerName, cfg.MinVersion = c.url.Hostname(), tls.VersionTLS12
	cfg.NextProtos, cfg.Time = []string{"http/1.1"}, c.cfg.Now
	return cfg
}

// exchange sends a request and reads the answer's header. The answer may take until
// timeout, and longer only as long as it keeps coming at slowestRate.
func (l *lane) exchange(req *http.Request, timeout time.Duration) (*http.Response, error) {
	l.in, l.out, l.left = 0, 0, maxHeaderSize
	if l.hangs {
		timeout = silence
	}
	l.deadline = time.Now().Add(timeout)
	if err := l.SetDeadline(l.deadline); err != nil {
		return nil, err
	}
	if err := req.Write(l); err != nil {
		return nil, err
	}
	for {
		resp, err := http.ReadResponse(l.br, req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 {
			l.left = -1
			return resp, nil
		}
	}
}

// Read bounds the header's size, and the whole answer's time or, on a hanging
// connection, that of silence.
func (l *lane) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, errHeaderSize
	}
	if l.left > 0 {
		p = p[:min(int64(len(p)), l.left)]
	}
	if l.hangs {
		if err := l.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return 0, err
		}
	}
	n, err := l.Conn.Read(p)
	if l.hangs && err != nil && timedOut(err) {
		err = errSilent
	}
	l.in += int64(n)
	if n > 0 {
		l.fresh = false
	}
	if l.left > 0 {
		l.left -= int64(n)
		return n, err
	}
	if err == nil && !l.hangs && l.in > slowestRate {
		earned := time.Duration(l.in / slowestRate * int64(time.Second))
		err = l.SetReadDeadline(l.deadline.Add(earned))
	}
	return n, err
}

func (l *lane) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	l.out += int64(n)
	return n, err
}
