package acceptance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/gate"
	"postern/mail"
	"postern/sim"
	"postern/store"
)

// TestServerThatIsNotExchange points the settings at servers that are not what they
// should be. Each mailbox says what is wrong and what to do, and once the settings are
// right all mail comes.
func TestServerThatIsNotExchange(t *testing.T) {
	for want, make := range map[string]func(*testing.T) crm.Settings{
		"not-exchange-web-page": page(http.StatusOK, "Content-Type", "text/html"),
		"logon-page":            page(http.StatusFound, "Location", "/owa/auth/logon.aspx"),
		"no-ews-here":           page(http.StatusNotFound, "Content-Type", "text/html"),
		"owa-not-ews":           page(440, "Content-Type", "text/html"),
		"ews-blocked":           page(http.StatusForbidden, "Content-Type", "text/html"),
		"server-error-page":     page(http.StatusInternalServerError, "Content-Type", "text/html"),
		"service-unavailable":   page(http.StatusServiceUnavailable, "Content-Type", "text/html"),
		"proxy-logon":           page(http.StatusProxyAuthRequired, "Content-Type", "text/html"),
		"tls-name-wrong":        secure("mail.elsewhere.example", time.Hour, true),
		"tls-expired":           secure("localhost", -time.Hour, true),
		"tls-unknown-authority": secure("localhost", time.Hour, false),
		"tls-failed": func(t *testing.T) crm.Settings {
			s := page(http.StatusOK, "Content-Type", "text/html")(t)
			s.Server = strings.Replace(s.Server, "http:", "https:", 1)
			return s
		},
		"tls-hung-up": func(t *testing.T) crm.Settings { return crm.Settings{Server: "https://" + listener(t, true)} },
		"port-closed": func(t *testing.T) crm.Settings { return crm.Settings{Server: "https://" + listener(t, false)} },
		"dns-unknown": func(t *testing.T) crm.Settings { return crm.Settings{Server: "https://mail.invalid"} },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sim.Options{})
			w.restart(engine.Config{Machine: gate.Machine{Resolve: localhost}, Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			w.send(letter{from: cyn, to: ann, subject: "offer"})
			bad, settings := make(t), w.settings("acme.example")
			settings.Server, settings.RootCAs = bad.Server, bad.RootCAs
			w.save(settings)
			w.collect()
			w.trouble(ann, want)
			if want != "service-unavailable" { // then the server is left alone, and Bob's mailbox with it
				w.trouble(bob, want)
			}
			w.same("filed meanwhile", w.filed(store.MailQuery{}))
			w.absent(password)

			w.connect("acme.example")
			w.collect()
			w.same("filed in the end", w.filed(store.MailQuery{}), "offer")
			w.prove()
		})
	}
}

// localhost is a name service that knows this machine alone, by one address: what the real one
// says of names depends on where a test runs.
func localhost(_ context.Context, host string) ([]netip.Addr, error) {
	if host != "localhost" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// save saves settings as the form does.
func (w *world) save(s crm.Settings) {
	w.Helper()
	checked, wrong := s.Check(ewsConnector, crm.Settings{})
	if len(wrong) > 0 {
		w.Fatalf("settings refused: %v", wrong)
	}
	w.must(w.org.SaveSettings(w.Context(), checked))
}

// trouble demands that a mailbox says what is wrong by a code, a sentence and advice.
func (w *world) trouble(address mail.Address, code string) *crm.Fault {
	w.Helper()
	f := w.box(address).Trouble
	if f == nil {
		w.Fatalf("%s is in no trouble, want %s", address, code)
	}
	if f.Code != code || f.Message == "" || f.Advice == "" {
		w.Fatalf("%s: got %s (%q, %q), want %s with a message and advice", address, f.Code, f.Message, f.Advice, code)
	}
	return f
}

func page(status int, name, value string) func(*testing.T) crm.Settings {
	return func(t *testing.T) crm.Settings {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(name, value)
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		return crm.Settings{Server: s.URL + "/EWS/Exchange.asmx"}
	}
}

// secure is a server with a certificate for a name that is good for so long, of an
// authority that the settings trust or not.
func secure(name string, lasts time.Duration, trusted bool) func(*testing.T) crm.Settings {
	return func(t *testing.T) crm.Settings {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		from := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{name},
			NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(lasts), IsCA: true, BasicConstraintsValid: true}
		der, err := x509.CreateCertificate(rand.Reader, from, from, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ErrorLog = quiet
		s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
		s.StartTLS()
		t.Cleanup(s.Close)
		settings := crm.Settings{Server: strings.Replace(s.URL, "127.0.0.1", "localhost", 1)}
		if trusted {
			settings.RootCAs = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		}
		return settings
	}
}

// listener returns an address where whoever connects is hung up on, or refused.
func listener(t *testing.T, open bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if !open { // the port of a client: nobody listens on it, and nobody else is given it meanwhile
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		return client.LocalAddr().String()
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// logOns counts the requests with credentials on their way to the Exchange.
func (w *world) logOns() (server string, count *atomic.Int64) {
	count = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			count.Add(1)
		}
		w.exchange.ServeHTTP(rw, r)
	}))
	w.Cleanup(s.Close)
	return s.URL + "/EWS/Exchange.asmx", count
}

// restart makes a new engine, as a new process would; what is not said of it is as everywhere.
func (w *world) restart(c engine.Config) {
	c.Org, c.Now = w.org, w.clock
	if c.Connector.Source == nil {
		c.Connector = ewsConnector
	}
	w.engine = engine.New(c)
}

// TestWrongPasswordIsTriedOnce: by whatever mailbox, time and process, until somebody
// saves the settings; even the same password is tried again then.
func TestWrongPasswordIsTriedOnce(t *testing.T) {
	w := newWorld(t, sim.Options{})
	w.send(letter{from: cyn, to: ann, subject: "offer"})
	server, count := w.logOns()
	wrong := w.settings("acme.example", "other.example")
	wrong.Server, wrong.Password = server, crm.NewSecret("not the password")
	for saved := range int64(2) {
		w.save(wrong)
		for range 5 {
			w.collect()
			w.pass(time.Hour)
			w.restart(engine.Config{})
			w.must(w.engine.Reconcile(t.Context(), func(r engine.Report) error {
				if r.Fault == nil || r.Fault.Code != "password-refused" {
					t.Errorf("%s: the proof says %+v", r.Address, r)
				}
				return nil
			}))
		}
		for _, address := range []mail.Address{ann, bob, zed} {
			w.trouble(address, "password-refused")
		}
		if got := count.Load(); got != saved+1 {
			t.Fatalf("the password was tried %d times after it was saved %d times", got, saved+1)
		}
	}
	w.absent("not the password")
	right := w.settings("acme.example")
	right.Server = server
	w.save(right)
	w.collect()
	w.same("filed in the end", w.filed(store.MailQuery{}), "offer")
	w.prove()
}

// TestLoginThatWorkedIsGivenUp: servers under load refuse good logins, so one that worked
// is tried some more times, but not for ever.
func TestLoginThatWorkedIsGivenUp(t *testing.T) {
	w := newWorld(t, sim.Options{})
	server, count := w.logOns()
	settings := w.settings("acme.example")
	settings.Server = server
	w.save(settings)
	w.collect()
	w.exchange.AddAccount(sim.Account{Login: login, Password: "changed meanwhile"})
	for range 10 {
		w.pass(time.Hour)
		w.restart(engine.Config{})
		w.collect()
	}
	w.trouble(ann, "password-refused")
	before := count.Load()
	w.pass(time.Hour)
	w.restart(engine.Config{})
	w.collect()
	if got := count.Load(); got != before {
		t.Errorf("%d more tries with a password that was refused ten times", got-before)
	}
}

// TestAccountWithoutTheRightToImpersonate: the mailboxes outside the account's scope say
// which command gives the right; the others are read.
func TestAccountWithoutTheRightToImpersonate(t *testing.T) {
	w := newWorld(t, sim.Options{})
	w.exchange.AddAccount(sim.Account{Login: login, Password: password, Scope: []mail.Address{ann}})
	w.send(letter{from: cyn, to: ann + ", " + bob, subject: "offer"})
	w.connect("acme.example")
	w.collect()
	f := w.trouble(bob, "ErrorImpersonateUserDenied")
	if !strings.Contains(f.Advice, "New-ManagementRoleAssignment") || !strings.Contains(f.Advice, login) {
		t.Errorf("the advice %q is no command for %s", f.Advice, login)
	}
	if f := w.box(ann).Trouble; f != nil {
		t.Errorf("%s is in trouble: %v", ann, f)
	}
	w.same("filed", w.filed(store.MailQuery{}), "offer")
	if trouble := w.box(bob).State; trouble != crm.Attention {
		t.Errorf("%s is %s", bob, trouble)
	}
}

// TestMailboxThatDoesNotExist holds up nobody else.
func TestMailboxThatDoesNotExist(t *testing.T) {
	w := newWorld(t, sim.Options{})
	w.users(crm.User{Name: "Ghost", Addresses: []mail.Address{"a.ghost@acme.example"}, Active: true})
	w.send(letter{from: cyn, to: ann, subject: "offer"})
	w.connect("acme.example")
	w.collect()
	w.trouble("a.ghost@acme.example", "ErrorNonExistentMailbox")
	w.same("filed", w.filed(store.MailQuery{}), "offer")
	if f := w.box(bob).Trouble; f != nil {
		t.Errorf("%s is in trouble: %v", bob, f)
	}
}
