package tell_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/crm"
	"postern/gate"
	"postern/store"
	"postern/store/storetest"
	"postern/tell"
)

// A collector takes checkpoints on loopback.
type collector struct {
	address string
	mu      sync.Mutex
	mode    string // "" = they are taken; redirect and others = they are not
	lines   []string
	opened  int // connections, or requests
	seen    []string
}

func (c *collector) set(mode string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mode = mode
}

func (c *collector) meet() (mode string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened++
	return c.mode
}

func (c *collector) take(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, line)
}

func (c *collector) got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

// startSyslog takes messages with octet counting; config nil = without TLS.
func startSyslog(t *testing.T, config *tls.Config) *collector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{address: l.Addr().String()}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if config != nil {
				conn = tls.Server(conn, config)
			}
			sessions.Go(func() {
				defer conn.Close()
				c.session(t, conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); sessions.Wait() })
	return c
}

func (c *collector) session(t *testing.T, conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second)) // a client that hangs ends the test, not it
	r := bufio.NewReader(conn)
	for {
		count, err := r.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(count, " "))
		if err != nil {
			t.Errorf("no count: %q", count)
			return
		}
		m := make([]byte, n)
		if _, err := io.ReadFull(r, m); err != nil {
			return
		}
		words := strings.SplitN(string(m), " ", 8)
		if _, err := time.Parse(time.RFC3339Nano, words[1]); len(words) != 8 || words[0] != "<109>1" || err != nil || words[3] != "postern" || words[5] != "checkpoint" || words[6] != "-" {
			t.Errorf("no message of RFC 5424: %q", m)
			return
		}
		c.take(words[7])
	}
}

// startHook takes checkpoints by https.
func startHook(t *testing.T, config *tls.Config) *collector {
	t.Helper()
	c := &collector{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		mode := c.meet()
		body, err := io.ReadAll(r.Body)
		c.mu.Lock()
		c.seen = append(c.seen, fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Header.Get("Content-Type"), " ", user, " ", password))
		c.mu.Unlock()
		switch {
		case err != nil:
		case mode == "redirect":
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		case mode != "":
			http.Error(w, "no: "+r.RequestURI+" "+password, http.StatusForbidden)
		default:
			c.take(string(body))
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	s.TLS = config
	s.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(t.Output(), nil), slog.LevelInfo)
	s.StartTLS()
	c.address = s.Listener.Addr().String()
	t.Cleanup(s.Close)
	return c
}

const hookSecrets = "hunter2"

// A sunk is an organization whose checkpoints are told, and a clock that is set by hand.
type sunk struct {
	*testing.T
	now  time.Time
	db   *storetest.DB
	org  *store.Org
	sink *tell.Sink
	told *tell.Checkpoints
	log  bytes.Buffer
}

func newSunk(t *testing.T, o store.Options, sink *tell.Sink) *sunk {
	s := &sunk{T: t, now: time.Now(), sink: sink}
	s.open(o)
	return s
}

func (s *sunk) open(o store.Options) {
	s.Helper()
	o.Now = func() time.Time { return s.now }
	s.db = storetest.OpenDB(s.T, o)
	s.org = s.db.Org(1)
	if err := s.org.UseSink(s.Context(), s.sink.String()); err != nil {
		s.Fatal(err)
	}
	s.told = &tell.Checkpoints{Org: s.org, Sink: s.sink, Log: slog.New(slog.NewTextHandler(&s.log, nil))}
}

func (s *sunk) write(n int) {
	s.Helper()
	for range n {
		s.now = s.now.Add(time.Second)
		if err := s.org.Audit(s.Context(), crm.AuditEntry{Action: "test"}); err != nil {
			s.Fatal(err)
		}
	}
}

func (s *sunk) tell() {
	s.Helper()
	if err := s.told.Once(s.Context()); err != nil {
		s.Fatal(err)
	}
}

func (s *sunk) state() crm.AuditSink {
	s.Helper()
	v, err := s.org.VerifyAudit(s.Context())
	if err != nil || !v.OK() {
		s.Fatal(v, err)
	}
	return v.Sink
}

func (s *sunk) alerts() (codes []string) {
	s.Helper()
	list, err := s.org.Alerts(s.Context(), true, 0)
	if err != nil {
		s.Fatal(err)
	}
	for _, a := range list {
		codes = append(codes, a.Code)
		if strings.Contains(a.Message+a.Advice, hookSecrets) {
			s.Errorf("a secret is told: %+v", a)
		}
	}
	return codes
}

// want: the sink has every line of the file, once, in order.
func (s *sunk) want(c *collector) {
	s.Helper()
	data, err := os.ReadFile(filepath.Join(s.db.Options.Dir, "audit", "1.checkpoints"))
	if err != nil {
		s.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if got := c.got(); !slices.Equal(got, want) {
		s.Fatalf("the sink has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var last struct{ Seq int64 }
	if err := json.Unmarshal([]byte(want[len(want)-1]), &last); err != nil {
		s.Fatal(err)
	}
	if st := s.state(); st.Told != last.Seq || st.Waiting != 0 || st.Silent() || st.Trouble != "" || !st.ToldAt.Equal(s.now.Truncate(time.Microsecond)) {
		s.Errorf("state %+v, want entry %d", st, last.Seq)
	}
}

// sinkTo is a sink that is reached by the way of the gate, under a name in its certificate.
func sinkTo(t *testing.T, c *collector, scheme, login, host, target string) *tell.Sink {
	t.Helper()
	_, port, _ := net.SplitHostPort(c.address)
	s, err := tell.NewSink(scheme + "://" + login + net.JoinHostPort(host, port) + target)
	if err != nil {
		t.Fatal(err)
	}
	way, err := gate.Machine{Resolve: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}}.To(s.Address())
	if err != nil {
		t.Fatal(err)
	}
	s.Dial = way.DialContext
	return s
}

// eachSink runs a test with each kind of sink.
func eachSink(t *testing.T, run func(t *testing.T, c *collector, s *tell.Sink)) {
	cert, roots := certificate(t)
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	t.Run("syslog+tcp", func(t *testing.T) {
		c := startSyslog(t, nil)
		run(t, c, sinkTo(t, c, "syslog+tcp", "", "127.0.0.1", ""))
	})
	t.Run("syslog+tls", func(t *testing.T) {
		c := startSyslog(t, config)
		s := sinkTo(t, c, "syslog+tls", "", "smtp.test.example", "")
		s.Roots = roots
		run(t, c, s)
	})
	t.Run("https", func(t *testing.T) {
		c := startHook(t, config)
		s := sinkTo(t, c, "https", "post:"+hookSecrets+"@", "smtp.test.example", "/hook/"+hookSecrets+"-path?key="+hookSecrets)
		s.Roots = roots
		run(t, c, s)
	})
}

// Each checkpoint is told once, in order; after an outage, and by the next process, all that was
// missed comes; meanwhile it can be seen, and nothing waits.
func TestSinkIsToldOnceInOrder(t *testing.T) {
	eachSink(t, func(t *testing.T, c *collector, sink *tell.Sink) {
		storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
			c.mu.Lock()
			c.lines = nil
			c.mu.Unlock()
			s := newSunk(t, db.Options, sink)
			s.write(3)
			if st := s.state(); st.Waiting != 4 || st.Told != 0 || st.Silent() {
				t.Errorf("before: %+v", st)
			}
			s.tell()
			s.want(c)
			s.tell()
			s.want(c)

			away := *sink
			away.Dial = func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("connection refused")
			}
			s.told.Sink = &away
			since := s.now
			for range 4 {
				s.write(2)
				s.tell()
				s.now = s.now.Add(5 * time.Minute)
			}
			if st := s.state(); st.Waiting != 8 || st.Told != 4 || !st.Silent() || st.Since.Before(since) || !strings.Contains(st.Trouble, "refused") {
				t.Errorf("meanwhile: %+v", st)
			}
			if codes := s.alerts(); !slices.Equal(codes, []string{"audit-sink-silent"}) {
				t.Errorf("alerts %v", codes)
			}
			s.open(db.Options)
			s.write(1)
			s.tell()
			s.want(c)
			if codes := s.alerts(); len(codes) > 0 {
				t.Errorf("alerts afterwards %v", codes)
			}
		})
	})
}

// A server that says no, or sends us elsewhere, has taken nothing; it is asked no more for a
// while. No secret of the address is in what is kept and logged of it.
func TestSinkThatRefuses(t *testing.T) {
	cert, roots := certificate(t)
	c := startHook(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	sink := sinkTo(t, c, "https", "post:"+hookSecrets+"@", "smtp.test.example", "/hook/"+hookSecrets+"-path?key="+hookSecrets)
	sink.Roots = roots
	s := newSunk(t, store.Options{Dir: t.TempDir()}, sink)
	s.write(1)
	for mode, words := range map[string]string{"redirect": "307", "forbidden": "403"} {
		c.set(mode)
		before := c.opened
		s.now = s.now.Add(time.Hour)
		s.tell()
		s.tell() // not yet
		if st := s.state(); st.Waiting != 2 || !strings.Contains(st.Trouble, words) || strings.Contains(st.Trouble, hookSecrets) || len(c.got()) > 0 || c.opened != before+1 {
			t.Errorf("%s: %+v, %d requests", mode, st, c.opened-before)
		}
	}
	c.set("")
	s.now = s.now.Add(time.Hour)
	s.tell()
	s.want(c)
	for _, seen := range c.seen {
		if seen != "POST /hook/"+hookSecrets+"-path?key="+hookSecrets+" application/json post "+hookSecrets {
			t.Errorf("asked for %s", seen)
		}
	}
	list, _, err := s.org.AuditLog(t.Context(), store.AuditQuery{})
	if text := fmt.Sprintf("%+v %s %v %+v %#v", list, &s.log, sink, sink, sink); err != nil || strings.Contains(text, hookSecrets) {
		t.Errorf("a secret is told: %s, %v", text, err)
	}
}

// To a server with another certificate nothing is said; what falls while it reads took nothing.
func TestSinkThatIsAnother(t *testing.T) {
	cert, roots := certificate(t)
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	line := []store.Checkpoint{{Seq: 1, Line: []byte("{}")}}
	for scheme, c := range map[string]*collector{"syslog+tls": startSyslog(t, config), "https": startHook(t, config)} {
		named := sinkTo(t, c, scheme, "", "sink.other.example", "")
		named.Roots = roots
		unknown := sinkTo(t, c, scheme, "", "smtp.test.example", "")
		unknown.Roots = nil
		for _, s := range []*tell.Sink{named, unknown} {
			if n, err := s.Take(t.Context(), line); n != 0 || err == nil || !strings.Contains(err.Error(), "certificate") || len(c.got()) > 0 {
				t.Errorf("%s: %d, %v, took %v", s, n, err, c.got())
			}
		}
	}
}

// A pipe can be ended on one side, as a connection of TCP can.
type pipe struct {
	net.Conn
	ended func() error
}

func (p pipe) CloseWrite() error { return p.ended() }

// A server that hangs is left after a while, with what it was told taken for untold.
func TestSinkThatHangs(t *testing.T) {
	cert, roots := certificate(t)
	for _, scheme := range []string{"syslog+tcp", "syslog+tls", "https"} {
		for _, greets := range []bool{true, false} {
			t.Run(fmt.Sprint(scheme, greets), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, err := tell.NewSink(scheme + "://smtp.test.example")
					if err != nil {
						t.Fatal(err)
					}
					ours, theirs := net.Pipe()
					if greets {
						conn := theirs
						if scheme != "syslog+tcp" {
							conn = tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}})
						}
						go func() { _, _ = io.Copy(io.Discard, conn) }()
					}
					s.Roots = roots
					s.Dial = func(context.Context, string, string) (net.Conn, error) {
						return pipe{ours, func() error { return nil }}, nil
					}
					if n, err := s.Take(t.Context(), []store.Checkpoint{{Seq: 1, Line: []byte("{}")}}); n != 0 || err == nil {
						t.Errorf("%d, %v", n, err)
					}
					theirs.Close()
				})
			})
		}
	}
}

func TestSinksThatAreNone(t *testing.T) {
	for _, text := range []string{"", "audit.log", "http://sink.example/", "syslog://sink.example", "syslog+tls://", "syslog+tls://user:" + hookSecrets + "@sink.example",
		"syslog+tcp://sink.example/" + hookSecrets, "syslog+tcp://sink.example?" + hookSecrets, "https://user:" + hookSecrets + " %zz@sink.example", "https://sink.example/#" + hookSecrets} {
		_, err := tell.NewSink(text)
		if f, ok := errors.AsType[*crm.Fault](err); !ok || f.Code != "audit-sink-malformed" || strings.Contains(fmt.Sprint(err, f.Advice), hookSecrets) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string]string{"syslog+tls://sink.example": "syslog+tls://sink.example:6514", "syslog+tcp://sink.example": "syslog+tcp://sink.example:601",
		"https://u:" + hookSecrets + "@sink.example/" + hookSecrets: "https://sink.example:443"} {
		if s, err := tell.NewSink(text); err != nil || s.String() != want {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
}
