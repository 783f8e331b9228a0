package tell

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"postern/crm"
	"postern/store"
)

// A Sink is a server beyond this machine that takes the signed checkpoints of the audit log, as
// the operator named it:
//
//	syslog+tls://host:port   RFC 5424 over TLS (RFC 5425)
//	syslog+tcp://host:port   the same without TLS (RFC 6587, octet counting)
//	https://host/path        POST of each as JSON
type Sink struct {
	scheme, host, port string
	target             crm.Secret // path and query, which are what opens many a hook; empty = /
	user               string
	password           crm.Secret
	Dial               Dial
	Roots              *x509.CertPool // nil = the system's
}

// sinkPorts are those that are meant when none is said.
var sinkPorts = map[string]string{"syslog+tls": "6514", "syslog+tcp": "601", "https": "443"}

// NewSink reads the address of a sink. What is none is the fault "audit-sink-malformed", which
// does not repeat the text: a password may be in it.
func NewSink(text string) (*Sink, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || sinkPorts[u.Scheme] == "" || u.Fragment != "" {
		return nil, malformedSink("POSTERN_AUDIT_SINK names neither a file nor a server that takes checkpoints.")
	}
	if u.Scheme != "https" && (u.User != nil || u.Path != "" || u.RawQuery != "") {
		return nil, malformedSink("POSTERN_AUDIT_SINK has more than a server and a port, which syslog has no use for.")
	}
	s := &Sink{scheme: u.Scheme, host: u.Hostname(), port: u.Port(), user: u.User.Username()}
	if target := u.RequestURI(); target != "/" {
		s.target = crm.NewSecret(target)
	}
	if s.port == "" {
		s.port = sinkPorts[u.Scheme]
	}
	if password, ok := u.User.Password(); ok {
		s.password = crm.NewSecret(password)
	}
	return s, nil
}

func malformedSink(message string) error {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "audit-sink-malformed", Message: message,
		Advice: "Write POSTERN_AUDIT_SINK as a file, syslog+tls://HOST:PORT, syslog+tcp://HOST:PORT or https://USER:PASSWORD@HOST:PORT/PATH."}
}

// Address is where the sink is, for who dials.
func (s *Sink) Address() string { return net.JoinHostPort(s.host, s.port) }

// String names the sink to people, without what opens it.
func (s *Sink) String() string { return s.scheme + "://" + s.Address() }

// sinkTimeout is for all that one checkpoint takes.
const sinkTimeout = 10 * time.Second

// Take hands checkpoints over, in their order, and returns how many were taken: by https those
// that were answered with 2xx, by syslog, which knows no answer, all when the server read them
// to their end.
func (s *Sink) Take(ctx context.Context, list []store.Checkpoint) (taken int, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(list)+1)*sinkTimeout)
	defer cancel()
	conn, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if s.scheme == "https" {
		return s.post(conn, list)
	}
	if err := syslog(conn, list); err != nil {
		return 0, err
	}
	return len(list), nil
}

func (s *Sink) open(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, sinkTimeout)
	defer cancel()
	conn, err := s.Dial(ctx, "tcp", s.Address())
	if err != nil || s.scheme == "syslog+tcp" {
		return conn, err
	}
	secured := tls.Client(conn, &tls.Config{ServerName: s.host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12})
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// post sends each checkpoint by a request, over one connection while the server keeps it open.
// What it answers besides the status is not looked at; a redirect is not followed.
func (s *Sink) post(conn net.Conn, list []store.Checkpoint) (taken int, err error) {
	r := bufio.NewReader(conn)
	for _, c := range list {
		if err := conn.SetDeadline(time.Now().Add(sinkTimeout)); err != nil {
			return taken, err
		}
		request, err := s.request(c)
		if err != nil {
			return taken, err
		}
		if err := request.Write(conn); err != nil {
			return taken, err
		}
		answer, err := http.ReadResponse(r, request)
		if err != nil {
			return taken, fmt.Errorf("the answer cannot be read: %w", err)
		}
		if answer.StatusCode < 200 || answer.StatusCode > 299 {
			return taken, fmt.Errorf("the server answered %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
		}
		taken++
		const maxAnswer = 64 << 10
		n, err := io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
		if err != nil || n == maxAnswer || answer.Close {
			return taken, nil // what is left goes by another connection
		}
	}
	return taken, nil
}

func (s *Sink) request(c store.Checkpoint) (*http.Request, error) {
	request, err := http.NewRequest(http.MethodPost, "https://"+s.Address()+s.target.Reveal(), bytes.NewReader(c.Line))
	if err != nil {
		return nil, errors.New("the address of the sink cannot be used") // err repeats it
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Postern")
	if s.user != "" {
		request.SetBasicAuth(s.user, s.password.Reveal())
	}
	return request, nil
}

// syslog writes all, ends its side, and waits until the server has read to that end and ends
// its own: a server that hangs or falls does not. One that takes a message and loses it
// afterwards cannot be told from one that kept it.
func syslog(conn net.Conn, list []store.Checkpoint) error {
	if err := conn.SetDeadline(time.Now().Add(sinkTimeout)); err != nil {
		return err
	}
	w := bufio.NewWriter(conn)
	for _, c := range list {
		m := message(c)
		fmt.Fprintf(w, "%d %s", len(m), m)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	side, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("the connection cannot be ended on one side")
	}
	if err := side.CloseWrite(); err != nil {
		return err
	}
	// Servers in use end TLS with and without saying so.
	if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the server did not read to the end: %w", err)
	}
	return nil
}

// message is a checkpoint as RFC 5424 has it: of the facility "log audit", a notice.
func message(c store.Checkpoint) string {
	host, err := os.Hostname()
	if err != nil || host == "" || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		host = "-"
	}
	return fmt.Sprintf("<%d>1 %s %s postern - checkpoint - %s", 13*8+5, c.At.UTC().Format("2006-01-02T15:04:05.000000Z"), host, c.Line)
}

// Checkpoints tells a sink the checkpoints of one organization.
type Checkpoints struct {
	Org  *store.Org
	Sink *Sink
	Log  *slog.Logger
}

// Run tells until ctx ends.
func (t *Checkpoints) Run(ctx context.Context) {
	every(ctx, func() {
		if err := t.Once(ctx); err != nil && ctx.Err() == nil {
			t.Log.Error("tell the sink the checkpoints of the audit log", "sink", t.Sink, "err", err)
		}
	})
}

// Once tells what is due. A sink that does not take it is noted, and no error.
func (t *Checkpoints) Once(ctx context.Context) error {
	for {
		list, err := t.Org.UntoldCheckpoints(ctx)
		if err != nil || len(list) == 0 {
			return err
		}
		taken, trouble := t.Sink.Take(ctx, list)
		if taken > 0 {
			if err := t.Org.CheckpointTold(ctx, list[taken-1]); err != nil {
				return err
			}
			list[0].Failed = 0
		}
		switch {
		case trouble == nil:
		case ctx.Err() != nil:
			return ctx.Err() // not the server's fault
		default:
			return t.Org.CheckpointNotTold(ctx, list[0], t.Sink.redact(trouble).Error())
		}
	}
}

func (s *Sink) redact(err error) error { return redact(err, s.password, s.target) }
