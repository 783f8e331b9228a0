package ews

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/gzip"
)

// Config of a client.
type Config struct {
	// URL of the endpoint, usually https://host/EWS/Exchange.asmx. See Endpoint.
	URL string
	// Login is DOMAIN\user or user@domain.
	Login string
	// Password is asked for before each request, so it may change while the client lives.
	Password func() string
	// Scheme pins the way to log on: nothing else is answered, and nothing weaker.
	// AnyScheme takes what the server offers, but no Basic once NTLM has worked.
	Scheme Scheme
	// Ticket returns the token of one request under Kerberos, as SPNEGO has it, bound to
	// the server's certificate where there is one.
	Ticket func(ctx context.Context, leaf *x509.Certificate) ([]byte, error)
	// Unbound leaves the hash of the server's certificate out of NTLM log-ons: to find out
	// whether the server minds.
	Unbound bool
	// Delegate opens mailboxes by the rights that the account has in them, its own mailbox
	// included, instead of acting as their owners.
	Delegate bool
	// Version is the newest schema to speak; "" is Exchange2013_SP1, which every server
	// from 2013 on takes. The client steps down by itself, for each mailbox.
	Version string
	// UserAgent is asked before each request what it carries; administrators allow and
	// search by it.
	UserAgent func() string
	// Gzip asks for compressed answers: worth it over a wide area, not on a LAN.
	Gzip bool
	// TLS says how connections are secured; nil means by the system's authorities.
	TLS *tls.Config
	// Timeout of a call. Exchange may work on a batch for a minute and more, so no less
	// than 100 s is sensible; 0 means 3 minutes. Large answers get more while they flow.
	Timeout time.Duration
	// MaxAnswer bounds an answer, decompressed; 0 means 1 GiB. Answers stream, so that is
	// not memory.
	MaxAnswer int64
	// MaxConns bounds the connections; 0 means 10, as many as an Exchange 2010 allows.
	MaxConns int
	// Observe is told of every HTTP request, refused and repeated ones included. It is
	// called from several goroutines.
	Observe func(Call)
	// Admit is asked before every HTTP request, and may wait. Its error ends the call.
	// done is called once, when the answer was read or given up: with the error of the
	// whole, ErrUndecided included, and one for each code with which a part of it failed;
	// with none when all went well. nil lets everything out at once.
	Admit func(ctx context.Context, call Call) (done func(errs ...error), err error)
	// Dial opens connections. It must be set: a client has no way to the network by itself.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// A Call is one HTTP request, for the access log and for statistics.
type Call struct {
	Operation string
	Mailbox   string // whose; "" when the login acts for itself
	Primary   string // its primary address, when the server told another than Mailbox; else ""
	Hanging   bool   // stays open to wait for notifications
	Status    int    // HTTP; 0 when there was no answer
	Code      string // Exchange's code when the request was refused as a whole, else ""
	Err       error  // why it failed as a whole, whoever said so; nil when it did not
	Sent      int64  // bytes of the request, headers included
	Received  int64  // bytes of the answer, as they came
	Start     time.Time
	Took      time.Duration // until the answer was read
	RequestID string        // client-request-id, to be found in the server's log

	ServerRequestID string // request-id, as the server answered
	UserAgent       string // as sent
	Source          string // address that it left from
	Folder          string // that it is about: an id or a distinguished name; "" when about none
	Items           int    // asked for by id, or listed in the answer
}

// A Client speaks to one server under one login. It is safe for concurrent use.
type Client struct {
	cfg   Config
	url   *url.URL
	slots chan struct{} // one for each connection in use
	trial chan struct{} // held while credentials are tried that have not worked yet

	mu       sync.Mutex
	idle     []*lane
	closed   bool
	chosen   Scheme
	proven   bool    // the credentials have worked
	strong   bool    // and that by NTLM: Basic is not answered any more
	denials  int     // calls in a row that were refused
	bad      *string // the password that was refused
	sessions map[string]*Session
	groups   map[string]*Group

	answered atomic.Bool  // Exchange has answered at this address
	admitted atomic.Value // string: the User-Agent under which it last carried a request out
	decoders sync.Pool
}

// New returns a client. It does not touch the network.
func New(cfg Config) (*Client, error) {
	u, err := Endpoint(cfg.URL)
	if err != nil {
		return nil, err
	}
	return newClient(cfg, u)
}

// newClient is New for any URL.
func newClient(cfg Config, u *url.URL) (*Client, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 3 * time.Minute
	}
	if cfg.MaxAnswer == 0 {
		cfg.MaxAnswer = 1 << 30
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 10
	}
	if cfg.Dial == nil {
		return nil, errors.New("a client needs to be given a way to the network: Config.Dial")
	}
	if cfg.TLS == nil {
		cfg.TLS = new(tls.Config)
	}
	if cfg.UserAgent == nil {
		cfg.UserAgent = func() string { return "" }
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Call) {}
	}
	if cfg.Admit == nil {
		cfg.Admit = func(context.Context, Call) (func(...error), error) { return func(...error) {}, nil }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Password == nil {
		cfg.Password = func() string { return "" }
	}
	if cfg.Version == "" {
		cfg.Version = Exchange2013SP1
	}
	if cfg.Scheme == Kerberos && cfg.Ticket == nil {
		return nil, errors.New("a client that is to use Kerberos needs Config.Ticket")
	}
	if schemaRank(cfg.Version) < 0 {
		return nil, errors.New("unknown schema version " + cfg.Version)
	}
	return &Client{
		cfg: cfg, url: u, sessions: map[string]*Session{}, groups: map[string]*Group{},
		slots: make(chan struct{}, cfg.MaxConns), trial: make(chan struct{}, 1),
		decoders: sync.Pool{New: func() any { return newDecoder(nil) }},
	}, nil
}

// Close closes idle connections; those in use close when their call ends.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, l := range c.idle {
		l.Close()
	}
	c.idle = nil
}

func (c *Client) now() time.Time { return c.cfg.Now() }

// ErrEndpoint says that an address is none of an EWS endpoint.
var ErrEndpoint = errors.New("write the host name of the server, or the address of its EWS endpoint beginning with https://")

// Endpoint turns what an administrator writes into the URL of the endpoint: a host name
// becomes https://host/EWS/Exchange.asmx, a URL is taken as it is. http is for this
// machine only.
func Endpoint(server string) (*url.URL, error) {
	server = strings.TrimSpace(server)
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return nil, ErrEndpoint // the parser's error quotes the text, which may hold a password
	}
	host := u.Hostname()
	if host == "" || strings.ContainsAny(host, " \t_,;@") || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, ErrEndpoint
	}
	switch u.Scheme {
	case "https":
	case "http":
		if !loopback(host) {
			return nil, ErrEndpoint
		}
	default:
		return nil, ErrEndpoint
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/EWS/Exchange.asmx"
	}
	return u, nil
}

// loopback tells whether a host name means this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A transaction is one request with its answer.
type transaction struct {
	call     Call
	anchor   string
	group    *Group
	body     []byte
	get      bool     // without a body
	url      *url.URL // at the client's server; nil = the client's
	password string
	resp     *http.Response
	signed   bool // a request of it carried credentials

	admitted func(errs ...error) // of Config.Admit, until the answer was read
	parts    []error             // what parts of the answer failed with
	foreign  bool                // the call was ended by what the caller's callback returned
}

// admit asks whether the transaction's next HTTP request may leave.
func (c *Client) admit(ctx context.Context, t *transaction) (err error) {
	if t.admitted == nil {
		t.admitted, err = c.cfg.Admit(ctx, t.call)
	}
	return err
}

// settle tells what came of the HTTP request that was admitted.
func (t *transaction) settle(errs ...error) {
	if t.admitted != nil {
		t.admitted(errs...)
		t.admitted = nil
	}
}

// ErrUndecided says that a request tells nothing about the server: it was a step of
// logging on, it was never sent, or it was ended from our side.
var ErrUndecided = errors.New("nothing was learned about the server")

// outcome is what settle is to be told at the end. What the caller made of the answer
// does not count.
func (t *transaction) outcome(ctx context.Context, err error) []error {
	switch {
	case ctx.Err() != nil:
		return append(t.parts, ErrUndecided)
	case err == nil || t.foreign:
		return t.parts
	}
	return append(t.parts, err)
}

// failedPart takes note of a part of the answer that failed, of each code once.
func (t *transaction) failedPart(r *Result) {
	if r.OK() || len(t.parts) == maxParts {
		return
	}
	err, _ := errors.AsType[*Error](r.Err())
	for _, known := range t.parts {
		if k, _ := errors.AsType[*Error](known); k.inner() == err.inner() {
			return
		}
	}
	t.parts = append(t.parts, err)
}

const maxParts = 16

// leg sends one HTTP request and reads the header of its answer. The request before it
// in the same transaction, if any, has been answered: it is told of.
func (c *Client) leg(ctx context.Context, l *lane, t *transaction, body []byte, authorization string) (*http.Response, error) {
	c.tell(l, t, ErrUndecided)
	if err := c.admit(ctx, t); err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // the connection is being closed, and the request might still get away
		return nil, context.Cause(ctx)
	}
	req := c.request(t, body, authorization)
	t.signed = t.signed || authorization != ""
	t.call.Start = c.now()
	t.call.RequestID, t.call.UserAgent = req.Header.Get("Client-Request-Id"), req.Header.Get("User-Agent")
	t.call.Source, t.call.ServerRequestID, t.call.Status = l.LocalAddr().String(), "", 0
	resp, err := l.exchange(req, c.cfg.Timeout)
	if err == nil {
		t.call.Status, t.call.ServerRequestID = resp.StatusCode, clipped(resp.Header.Get("request-id"))
		if t.group != nil {
			t.group.keep(resp, t.call.Mailbox)
		}
	}
	t.resp = resp
	return resp, err
}

// clipped cuts what a server says of itself to a length that is worth keeping.
func clipped(s string) string { return s[:min(len(s), maxName)] }

func (c *Client) request(t *transaction, body []byte, authorization string) *http.Request {
	req := &http.Request{
		Method: http.MethodPost, URL: c.url, Host: c.url.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Content-Type":             {"text/xml; charset=utf-8"},
			"Accept":                   {"text/xml"},
			"User-Agent":               {c.cfg.UserAgent()},
			"Client-Request-Id":        {uuid.NewString()},
			"Return-Client-Request-Id": {"true"},
		},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	if len(body) == 0 {
		req.Body = http.NoBody
	}
	if t.url != nil {
		req.URL, req.Host = t.url, t.url.Host
	}
	if t.get {
		req.Method = http.MethodGet
		req.Header.Del("Content-Type")
		req.Header.Set("Accept", "application/json, text/xml")
	}
	if t.anchor != "" {
		req.Header.Set("X-AnchorMailbox", t.anchor)
	}
	if t.group != nil {
		t.group.sign(req)
	}
	if c.cfg.Gzip {
		req.Header.Set("Accept-Encoding", "gzip")
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return req
}

// tell reports the last HTTP request of a transaction, if there was one, and settles it.
func (c *Client) tell(l *lane, t *transaction, errs ...error) {
	if t.call.RequestID == "" {
		return
	}
	call := t.call
	call.Sent, call.Received, call.Took = l.out, l.in, c.now().Sub(call.Start)
	c.cfg.Observe(call)
	t.call.RequestID, t.call.Code, t.call.Err = "", "", nil
	t.settle(errs...)
}

// send carries out a transaction and hands the answer to read. What goes wrong is an
// *Error. When a connection turns out to be of no use before the server took the request,
// it is repeated, once, on a new one.
func (c *Client) send(ctx context.Context, t *transaction, repeatable bool, read func(*http.Response) error) error {
	err, lost := c.attempt(ctx, t, false, read)
	if ctx.Err() == nil && (lost && repeatable || errors.Is(err, errHungUp)) {
		err, _ = c.attempt(ctx, t, true, read)
	}
	return err
}

// attempt is send on one connection. lost says that the connection was an old one and
// brought not a single byte: the server had closed it while it was idle.
//
// Admission comes before the connection, but after the turn to log on: who was admitted
// must not wait for somebody who waits for admission.
func (c *Client) attempt(ctx context.Context, t *transaction, fresh bool, read func(*http.Response) error) (err error, lost bool) {
	loggedOn, err := c.turn(ctx, t)
	if err != nil {
		return c.failure(t, cause(ctx, err)), false
	}
	defer loggedOn()
	if err := c.admit(ctx, t); err != nil {
		return c.failure(t, cause(ctx, err)), false
	}
	defer t.settle(ErrUndecided)
	l, err := c.laneFor(ctx, t, fresh)
	if err != nil {
		err = c.failure(t, cause(ctx, err))
		t.settle(t.outcome(ctx, err)...)
		return err, false
	}
	used, whole := !l.fresh, false
	defer func() {
		c.tell(l, t, ErrUndecided) // of what a panic kept from being told: strangers' bytes are read here
		c.release(l, whole)
	}()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	resp, err := c.authorize(ctx, l, t)
	loggedOn()
	if err == nil {
		err = c.readAnswer(t, resp, read)
	}
	if err == nil {
		c.admitted.Store(t.call.UserAgent)
	}
	if err != nil && !t.foreign {
		err = c.failure(t, cause(ctx, err))
	}
	whole = stop() && !t.call.Hanging && (err == nil || c.drained(t.resp)) && !t.resp.Close
	if e, ok := errors.AsType[*Error](err); ok && t.call.Code == "" {
		t.call.Code = e.Code
	}
	if !t.foreign {
		t.call.Err = err
	}
	c.tell(l, t, t.outcome(ctx, err)...)
	lost = used && t.resp == nil && l.in == 0
	t.resp, t.parts, t.foreign = nil, nil, false
	return err, lost
}

// turn waits until the transaction may log on, and gives it the password. Credentials that
// have not worked yet are tried by one call at a time: a wrong password must cost one
// failure, not one for each mailbox. The next one's turn comes with loggedOn.
func (c *Client) turn(ctx context.Context, t *transaction) (loggedOn func(), err error) {
	loggedOn = func() {}
	if !c.works() {
		select {
		case c.trial <- struct{}{}:
			loggedOn = sync.OnceFunc(func() { <-c.trial })
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if t.password, err = c.mayTry(); err != nil {
		loggedOn()
		return nil, err
	}
	return loggedOn, nil
}

// works tells whether the credentials have worked.
func (c *Client) works() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proven
}

// drained reads the rest of a refused answer, if that is short.
func (c *Client) drained(resp *http.Response) bool { return resp != nil && discard(resp) == nil }

// cause prefers the context's error to what its end did to the connection.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// readAnswer hands the body to read when it can be an envelope.
func (c *Client) readAnswer(t *transaction, resp *http.Response, read func(*http.Response) error) error {
	body, err := c.body(resp)
	if err != nil {
		return c.failure(t, err)
	}
	resp.Body = body
	page := strings.Contains(strings.ToLower(resp.Header.Get("Content-Type")), "html")
	if page || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusInternalServerError {
		return c.failure(t, nil)
	}
	return read(resp)
}

// body bounds and decompresses an answer.
func (c *Client) body(resp *http.Response) (io.ReadCloser, error) {
	var r io.Reader = resp.Body
	switch encoding := strings.ToLower(resp.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		r = z
	default:
		return nil, errors.New("content encoding that was not asked for")
	}
	return &limited{r: r, left: c.cfg.MaxAnswer}, nil
}

// ErrAnswerSize says that an answer exceeds Config.MaxAnswer.
var ErrAnswerSize = errors.New("answer exceeds what is accepted")

// limited is an io.LimitedReader that does not take the limit for the end.
type limited struct {
	r    io.Reader
	left int64
}

// Close does nothing: the connection is the lane's matter.
func (*limited) Close() error { return nil }

func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, ErrAnswerSize
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left+1)])
	if l.left -= int64(n); l.left < 0 {
		return n, ErrAnswerSize
	}
	return n, err
}
