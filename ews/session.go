package ews

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"postern/mail"
)

// schemas to try, newest first. Exchange2013 is left out: whoever speaks it speaks SP1.
var schemas = []string{Exchange2013SP1, Exchange2010SP2, Exchange2010SP1, Exchange2010, Exchange2007SP1}

// schemaRank is the place in schemas at which a version is to be tried.
func schemaRank(version string) int {
	if version == Exchange2013 {
		version = Exchange2010SP2
	}
	return slices.Index(schemas, version)
}

// A Session acts for one mailbox: as its owner, or, under Config.Delegate, by the rights
// that the account has in it. It remembers which schema version the mailbox's
// server takes (mailboxes of one company live on different servers) and its primary
// address. It is safe for concurrent use.
type Session struct {
	c       *Client
	mailbox string
	barred  error // why nothing may be asked; nil as a rule

	mu      sync.Mutex
	primary string // as learned from ErrorNonPrimarySmtpAddress
	rank    int    // in schemas
	proven  bool   // the server has answered in that version
	server  ServerVersion
	backEnd string // name of the server that the mailbox lives on, as far as told
}

// As returns the session that acts for a mailbox, "" for the login itself. It is always
// the same one.
func (c *Client) As(mailbox string) *Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[mailbox]
	if s == nil {
		s = &Session{c: c, mailbox: mailbox, primary: mailbox, rank: schemaRank(c.cfg.Version)}
		c.sessions[mailbox] = s
	}
	return s
}

// Server returns what the server said of itself in its last answer.
func (s *Session) Server() ServerVersion {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// Schema returns the schema version in use.
func (s *Session) Schema() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return schemas[s.rank]
}

func (s *Session) header() (Header, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := Header{Version: schemas[s.rank]}
	if s.primary != "" && !s.c.cfg.Delegate {
		h.Impersonation.PrimarySmtpAddress = s.primary
	}
	if s.rank <= schemaRank(Exchange2010) {
		h.TimeZone = "UTC"
	}
	return h, s.rank
}

// Folder names a folder of the mailbox by its distinguished name. Who does not act as the
// owner has to say whose it is.
func (s *Session) Folder(distinguished string) FolderID {
	id := FolderID{Distinguished: distinguished}
	if s.c.cfg.Delegate && s.mailbox != "" {
		id.Mailbox = &Mailbox{EmailAddress: s.Primary()}
	}
	return id
}

// Primary returns the mailbox's primary address, as far as known.
func (s *Session) Primary() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primary
}

// renamed returns the primary address where it is another than the one asked for.
func (s *Session) renamed() string {
	if p := s.Primary(); p != s.mailbox {
		return p
	}
	return ""
}

// BackEnd returns the name of the server on which the mailbox lives, "" when the answers
// did not tell so far.
func (s *Session) BackEnd() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.backEnd
}

// backEndHeaders name the server that carried a request out, best first. The front end
// is the last resort: it says something only where it is the back end, too.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/exchange-web-services/instrumenting-client-requests-for-ews-and-rest-in-exchange
var backEndHeaders = [...]string{"X-CalculatedBETarget", "X-TargetBEServer", "X-BEServer", "X-FEServer"}

// locate takes note of where a request was carried out. With a group's cookies that is
// where its anchor lives.
func (s *Session) locate(t *transaction, resp *http.Response) {
	if t.group != nil && t.group.anchor != s {
		return
	}
	for _, name := range backEndHeaders {
		if server := resp.Header.Get(name); server != "" && len(server) <= maxName {
			s.mu.Lock()
			s.backEnd = strings.ToLower(server)
			s.mu.Unlock()
			return
		}
	}
}

// learn takes note of an answer.
func (s *Session) learn(h *Header, refused bool) {
	s.c.answered.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.Server != (ServerVersion{}) {
		s.server = h.Server
	}
	s.proven = s.proven || !refused
}

// adapt changes what an error shows to be wrong about the session, and tells whether the
// request is worth repeating.
func (s *Session) adapt(e *Error, rank int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rank != rank {
		return true // another call has stepped down meanwhile
	}
	switch e.Code {
	case "ErrorNonPrimarySmtpAddress":
		primary := e.XML.Get("Primary")
		if primary == "" {
			primary = e.XML.Get("PrimarySmtpAddress")
		}
		if _, err := mail.ParseAddress(primary); err != nil || strings.EqualFold(primary, s.primary) {
			return false
		}
		s.primary = primary
		return true
	case "ErrorMailboxMoveInProgress", "ErrorWrongServerVersion":
		s.rank, s.proven = schemaRank(s.c.cfg.Version), false // the new place may speak a newer one
		return false
	case "ErrorInvalidServerVersion", "ErrorIncorrectSchemaVersion", "ErrorInvalidSchemaVersionForMailboxVersion":
	case "ErrorInvalidRequest", "ErrorSchemaValidation":
		if s.proven {
			return false
		}
	default:
		// An old server that does not know the version's name answers a fault without a
		// code of Exchange.
		if s.proven || e.Status != http.StatusInternalServerError || e.Page || strings.HasPrefix(e.Code, "Error") || !errors.Is(e, errFault) {
			return false
		}
	}
	if s.rank+1 == len(schemas) {
		return false
	}
	s.rank++
	s.proven = false
	return true
}

// errFault marks errors that came as a SOAP fault.
var errFault = errors.New("soap fault")

// ErrCount says that an answer has not as many response messages as the request has
// parts, so that they cannot be told apart: ask for one at a time.
var ErrCount = errors.New("the number of answers is not that of the questions")

// An exchange is one operation of a session.
type exchange struct {
	op   Operation
	want int // response messages
	// sink, when set, says where the content of response message i goes; nil: into memory.
	sink func(i int) io.Writer
	// writes is set on operations that must not be repeated blindly.
	writes bool
	// group, when set, keeps the request where the group's subscriptions are.
	group *Group
	// since is the oldest schema that has the operation, "" if all have.
	since string
	// hanging is set when the answer is a stream that ends at the server's leisure.
	hanging bool
}

// ErrOldServer says that no schema which the server speaks has what was asked for.
var ErrOldServer = errors.New("the server is too old for that")

// carryOut sends an operation in a schema that the server takes, and hands the answer to
// read.
func (s *Session) carryOut(ctx context.Context, ex exchange, read func(*transaction, *http.Response) error) error {
	if s.barred != nil {
		return s.barred
	}
	for {
		h, rank := s.header()
		if ex.since != "" && rank > schemaRank(ex.since) {
			return &Error{Operation: ex.op.Operation(), Mailbox: s.mailbox, Err: ErrOldServer}
		}
		t := &transaction{
			call:   Call{Operation: ex.op.Operation(), Mailbox: s.mailbox, Primary: s.renamed(), Hanging: ex.hanging},
			anchor: s.Primary(), group: ex.group,
			body: marshal(&Request{Header: h, Op: ex.op}),
		}
		if op, ok := ex.op.(subject); ok {
			t.call.Folder, t.call.Items = op.about()
		}
		err := s.c.send(ctx, t, !ex.writes, func(resp *http.Response) error {
			s.locate(t, resp)
			return read(t, resp)
		})
		if e, ok := errors.AsType[*Error](err); ok && s.adapt(e, rank) && ctx.Err() == nil {
			continue
		}
		return err
	}
}

// call carries out an operation and hands each response message to take as it is read.
// An error of take ends the call and is returned as it is.
func call[T any, P interface {
	*T
	Answer
}](ctx context.Context, s *Session, ex exchange, take func(i int, answer *T) error) error {
	return s.carryOut(ctx, ex, func(t *transaction, resp *http.Response) error {
		return read[T, P](s, t, ex, resp, take)
	})
}

// read reads an answer.
func read[T any, P interface {
	*T
	Answer
}](s *Session, t *transaction, ex exchange, resp *http.Response, take func(int, *T) error) error {
	d := s.c.decoders.Get().(*decoder)
	d.reset(resp.Body)
	defer func() {
		d.reset(nil)
		s.c.decoders.Put(d)
	}()
	x := &codec{d: d}
	var h Header
	if err := x.openEnvelope(&h); err != nil {
		return s.c.unreadable(t, err)
	}
	refused := string(d.local) == "Fault"
	s.learn(&h, refused)
	if refused {
		return s.c.faulted(t, x)
	}
	n, refusal := 0, (*Result)(nil)
	var taken error // of take: it is the caller's and says nothing about the server
	eachMessage(x, func() {
		if taken != nil || n == ex.want {
			n++
			d.skip()
			return
		}
		if ex.sink != nil {
			i := n
			x.sink = func() io.Writer { return ex.sink(i) }
		}
		d.held = 0
		answer := P(new(T))
		if x.read(answer); d.err != nil {
			return
		}
		if list, ok := any(answer).(listing); ok {
			t.call.Items += list.listed()
		}
		r := answer.result()
		if t.failedPart(r); r.Class == Failure && n == 0 {
			refusal = r
		}
		taken = take(n, answer)
		n++
	})
	if taken != nil {
		t.foreign = true
		return taken
	}
	if err := x.closeEnvelope(); err != nil {
		return s.c.unreadable(t, err)
	}
	if refusal != nil && n == 1 {
		t.call.Code = refusal.Code
	}
	if n != ex.want {
		return s.c.failure(t, fmt.Errorf("%w: %d for %d", ErrCount, n, ex.want))
	}
	return nil
}

// eachMessage calls one with each response message of the answer whose start tag is at
// hand.
func eachMessage(x *codec, one func()) {
	for x.d.next() == startTag {
		if string(x.d.local) != "ResponseMessages" {
			x.d.skip()
			continue
		}
		for x.d.next() == startTag {
			one()
		}
	}
}

// faulted makes an error of the SOAP fault at hand.
func (c *Client) faulted(t *transaction, x *codec) error {
	f := x.readFault()
	if err := x.closeEnvelope(); err != nil {
		return c.unreadable(t, err)
	}
	return c.refusal(t, f)
}

// refusal makes an error of a SOAP fault.
func (c *Client) refusal(t *transaction, f *SOAPFault) error {
	e, _ := errors.AsType[*Error](c.failure(t, errFault))
	e.Code, e.Text, e.XML = f.ResponseCode(), f.Text, f.XML
	if after := backOff(f.XML); after > 0 {
		e.After = after
	}
	return e
}

// unreadable makes an error of an answer that is none.
func (c *Client) unreadable(t *transaction, err error) error {
	e, _ := errors.AsType[*Error](c.failure(t, err))
	e.Page = e.Page || errors.Is(err, errDoctype) || errors.Is(err, ErrNotSOAP)
	return e
}

// collect is call for answers that are small enough to be held together.
func collect[T any, P interface {
	*T
	Answer
}](ctx context.Context, s *Session, ex exchange) ([]T, error) {
	var all []T
	err := call[T, P](ctx, s, ex, func(i int, answer *T) error {
		if i == 0 {
			all = all[:0] // the request may have been repeated
		}
		all = append(all, *answer)
		return nil
	})
	return all, err
}

// single is call for operations with one answer, whose refusal is that of the whole.
func single[T any, P interface {
	*T
	Answer
}](ctx context.Context, s *Session, ex exchange) (*T, error) {
	var one *T
	err := call[T, P](ctx, s, ex, func(_ int, answer *T) error {
		one = answer
		if err := P(answer).result().Err(); err != nil {
			e, _ := errors.AsType[*Error](err)
			e.Operation, e.Mailbox = ex.op.Operation(), s.mailbox
			return e
		}
		return nil
	})
	return one, err
}
