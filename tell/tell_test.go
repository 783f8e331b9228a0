package tell_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/gate"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
	"postern/tell"
)

const password = "hunter2-%40-xyzzy"

// client is how we reach the server: by the way of the gate, under a name in its certificate.
func (s *mailServer) client(t *testing.T, scheme, login, host string) *tell.Server {
	t.Helper()
	c, err := tell.NewServer(scheme+"://"+login+net.JoinHostPort(host, s.port), "postern@acme.example")
	if err != nil {
		t.Fatal(err)
	}
	machine := gate.Machine{Resolve: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}}
	way, err := machine.To(c.Address())
	if err != nil {
		t.Fatal(err)
	}
	c.Dial, c.Roots = way.DialContext, s.roots
	return c
}

// Mail leaves by TLS with the password, from the first byte or after STARTTLS; to another
// machine it does not leave without.
func TestMailLeavesByTLS(t *testing.T) {
	const login = "post:" + "p%40ss%2Fword" + "@"
	for _, c := range []struct {
		name, scheme, login, host string
		implicit, starttls        bool
		wrong                     string
	}{
		{"TLS", "smtps", login, "smtp.test.example", true, false, ""},
		{"STARTTLS", "smtp", login, "smtp.test.example", false, true, ""},
		{"no STARTTLS", "smtp", login, "smtp.test.example", false, false, "STARTTLS"},
		{"no STARTTLS on loopback", "smtp", "", "127.0.0.1", false, false, ""},
		{"STARTTLS on loopback", "smtp", login, "127.0.0.1", false, true, ""},
		{"another name", "smtps", login, "smtp.other.example", true, false, "certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t, c.implicit, c.starttls)
			err := s.client(t, c.scheme, c.login, c.host).Send(t.Context(), "sec@acme.example", "Hello", "text\n")
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "p@ss") || len(s.got()) > 0 || len(s.logins) > 0 {
					t.Errorf("%v, want %q; %d mails, logins %v", err, c.wrong, len(s.got()), s.logins)
				}
				return
			}
			if err != nil || len(s.got()) != 1 {
				t.Fatalf("%v, %d mails", err, len(s.got()))
			}
			if c.login != "" && (len(s.logins) != 1 || s.logins[0] != "\x00post\x00p@ss/word" || s.plain > 0) {
				t.Errorf("logins %q, %d mails without TLS", s.logins, s.plain)
			}
		})
	}
}

// No text makes a header of its own, and an answer that repeats the password is not repeated.
func TestHeadersAreNotSmuggled(t *testing.T) {
	s := startServer(t, true, false)
	c := s.client(t, "smtps", "post:sesame@", "smtp.test.example")
	if err := c.Send(t.Context(), "sec@acme.example", "Hello\r\nBcc: eve@evil.example\nX: y", "text\r\n.\r\nMAIL FROM:<eve@evil.example>\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(t.Context(), "sec@acme.example>\r\nRCPT TO:<eve@evil.example", "Hello", "text"); err == nil {
		t.Error("an address with an end of line is taken")
	}
	mails := s.got()
	if len(mails) != 1 {
		t.Fatalf("%d mails: %q", len(mails), mails)
	}
	header, _, _ := strings.Cut(mails[0], "\n\n")
	for line := range strings.Lines(header) {
		if name, _, _ := strings.Cut(line, ":"); name == "Bcc" || name == "X" || strings.HasPrefix(line, "RCPT TO:") && !strings.HasPrefix(line, "RCPT TO:<sec@acme.example>") {
			t.Errorf("smuggled: %q", line)
		}
	}
	if !strings.Contains(header, "Subject: Hello Bcc: eve@evil.example X: y\n") || !strings.Contains(header, "Auto-Submitted: auto-generated") {
		t.Errorf("header\n%s", header)
	}
	s.answer("550 no: sesame is not liked")
	if err := c.Send(t.Context(), "sec@acme.example", "Hello", "text"); err == nil || strings.Contains(err.Error(), "sesame") || !strings.Contains(err.Error(), "550") {
		t.Errorf("a refusal: %v", err)
	}
}

func TestServersThatAreNone(t *testing.T) {
	for _, text := range []string{"", "smtp.test.example", "https://smtp.test.example", "smtps://", "smtps://user@smtp.test.example", "smtps://:" + password + "@smtp.test.example",
		"smtps://user:" + password + "@smtp.test.example/path", "smtps://user:" + password + "@smtp.test.example?x=y", "smtps://user:hunter2 %zz@h"} {
		_, err := tell.NewServer(text, "postern@acme.example")
		if f, ok := errors.AsType[*crm.Fault](err); !ok || f.Code != "smtp-malformed" || strings.Contains(fmt.Sprint(err, f.Advice), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := tell.NewServer("smtps://user:"+password+"@smtp.test.example", ""); err == nil {
		t.Error("a sender that is no address is taken")
	}
	s, err := tell.NewServer("smtp://ann%40acme.example:"+password+"@smtp.test.example", "")
	if err != nil || s.From != "ann@acme.example" || s.Address() != "smtp.test.example:587" {
		t.Errorf("%+v, %v", s, err)
	}
	if text := fmt.Sprintf("%+v %#v", s, s); strings.Contains(text, "hunter2") {
		t.Error("the password is printed")
	}
}

// What widens access reaches every contact, several changes in one mail; what does not widen
// reaches nobody; those who are contacts no more are told so.
func TestWordOfWidening(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Options)
		w.contacts("sec@acme.example")
		w.later(2 * time.Minute)
		w.tell()
		w.want("security contact added: sec@acme.example")

		w.log(crm.AuditEntry{Action: "policy.save", Subject: "version 4", Detail: "kinds: mail → mail, calendar", Widens: true})
		w.log(crm.AuditEntry{Action: "sign-in", Detail: "from 192.0.2.1"})
		w.log(crm.AuditEntry{Action: "settings.save", Detail: "server: a → b", Widens: true})
		w.tell()
		w.want() // others may come within the minute
		w.later(2 * time.Minute)
		w.tell()
		m := w.want("RCPT TO:<sec@acme.example>|Subject: Postern, acme: 2 changes of access|Policy saved: version 4 (widens access)|by Ann Smith <ann@acme.example>|kinds: mail =E2=86=92 mail, calendar|Email settings saved|https://postern.acme.example/access/audit")
		if strings.Contains(m, "192.0.2.1") {
			t.Errorf("what does not widen is told:\n%s", m)
		}
		w.later(time.Hour)
		w.tell()
		w.want() // once

		w.contacts("new@acme.example")
		w.later(2 * time.Minute)
		w.tell()
		w.want("RCPT TO:<new@acme.example>|removed: sec@acme.example", "RCPT TO:<sec@acme.example>|added: new@acme.example")
		w.log(crm.AuditEntry{Action: "four-eyes.off", Widens: true})
		w.later(2 * time.Minute)
		w.tell()
		w.want("RCPT TO:<new@acme.example>|Subject: Postern, acme: Four eyes turned off")
	})
}

// However many users an import adds, the mail stays short, and says how much more there is to
// see, and where. What came with it is told as well.
func TestWordOfAHugeImport(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Options)
		w.contacts("sec@acme.example")
		w.later(2 * time.Minute)
		w.tell()
		w.want("security contact added")
		users := make([]crm.User, 150)
		for i := range users {
			users[i] = crm.User{Name: "User", Addresses: []mail.Address{mail.Address(fmt.Sprintf("u%d@acme.example", i))}, Active: true}
		}
		if _, err := w.org.SaveUsers(w.ctx(), users); err != nil {
			t.Fatal(err)
		}
		w.log(crm.AuditEntry{Action: "four-eyes.off", Widens: true})
		w.later(2 * time.Minute)
		w.tell()
		m := w.want("2 changes of access|150 new, 0 changed|address added: u0@|address added: u98@|and 51 lines more, which the log has in entry 2|Four eyes turned off|/access/audit")
		if strings.Contains(m, "u99@") || len(m) > 20_000 {
			t.Errorf("%d bytes", len(m))
		}
	})
}

// A server that does not take a word is asked again after growing waits, for days; then the
// word is given up, and both can be seen. What is owed outlives the process.
func TestWordIsTriedAgain(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Options)
		w.contacts("sec@acme.example")
		w.server.answer("451 not now")
		var waits []time.Duration
		for last := w.now; len(waits) < 8; w.later(time.Minute) {
			before := w.box().Attempts
			w.tell()
			if w.box().Attempts > before {
				waits = append(waits, w.now.Sub(last))
				last = w.now
			}
		}
		for i := 2; i < len(waits); i++ {
			if waits[i] < waits[i-1] {
				t.Errorf("waits %v", waits)
			}
		}
		if b := w.box(); b.Waiting != 1 || !strings.Contains(b.Trouble, "451") || !b.Sent.IsZero() {
			t.Errorf("meanwhile %+v", b)
		}
		if alerts, err := w.org.Alerts(t.Context(), true, 0); err != nil || len(alerts) != 1 || alerts[0].Code != "security-contact-untold" {
			t.Errorf("alerts %+v, %v", alerts, err)
		}
		w.open(db.Options)
		w.server.answer("")
		w.later(5 * time.Hour)
		w.tell()
		w.want("security contact added")
		if alerts, err := w.org.Alerts(t.Context(), true, 0); err != nil || len(alerts) != 0 {
			t.Errorf("alerts afterwards %+v, %v", alerts, err)
		}

		w.server.answer("550 who?")
		w.log(crm.AuditEntry{Action: "policy.save", Widens: true})
		for range 40 {
			w.later(4 * time.Hour)
			w.tell()
		}
		if b := w.box(); b.Waiting != 0 || b.GivenUp != 1 || b.GaveUp.IsZero() {
			t.Errorf("in the end %+v", b)
		}
		list, _, err := w.org.AuditLog(t.Context(), store.AuditQuery{Action: "security.untold"})
		if err != nil || len(list) != 1 || !strings.Contains(list[0].Detail, "550") || list[0].Subject != "sec@acme.example" {
			t.Errorf("the log: %+v, %v", list, err)
		}
		w.want()
	})
}

// A log that is not as it was written, and a gap that is accepted, are told.
func TestWordOfABrokenLog(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Options)
		w.contacts("sec@acme.example")
		w.later(2 * time.Minute)
		w.tell()
		w.want("security contact added")
		watch := func() {
			t.Helper()
			if err := w.org.WatchAudit(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.later(2 * time.Minute)
			w.tell()
		}
		watch()
		w.want()
		db.Exec(t, "create table kept as select * from audit")
		db.Exec(t, "create table kept_head as select * from audit_head")
		w.log(crm.AuditEntry{Action: "test"})
		for _, undo := range []string{"delete from audit", "insert into audit select * from kept", "delete from audit_head", "insert into audit_head select * from kept_head"} {
			db.Exec(t, undo)
		}
		w.later(time.Minute)
		watch()
		w.want("The audit log is not as it was written: audit-truncated|first bad entry")
		watch()
		w.want() // once
		if _, err := w.org.AcceptAuditGap(w.ctx(), "disk broke"); err != nil {
			t.Fatal(err)
		}
		watch()
		w.want("Gap in the audit log accepted|reason: disk broke")
		if alerts, err := w.org.Alerts(t.Context(), true, 0); err != nil || len(alerts) != 0 {
			t.Errorf("alerts afterwards %+v, %v", alerts, err)
		}
	})
}

// A world is an organization with a mail server, and a clock that is set by hand.
type world struct {
	*testing.T
	now    time.Time
	org    *store.Org
	server *mailServer
	teller *tell.Teller
}

func newWorld(t *testing.T, o store.Options) *world {
	w := &world{T: t, now: time.Now(), server: startServer(t, true, false)}
	w.open(o)
	return w
}

// open opens the store anew, as a process does that is started.
func (w *world) open(o store.Options) {
	w.Helper()
	o.Now = func() time.Time { return w.now }
	w.org = storetest.OpenDB(w.T, o).Org(1)
	w.teller = &tell.Teller{Org: w.org, Name: "acme", Send: w.server.client(w.T, "smtps", "", "smtp.test.example").Send,
		URL: "https://postern.acme.example/", Log: slog.New(slog.NewTextHandler(w.Output(), nil))}
}

func (w *world) ctx() context.Context {
	return crm.WithActor(w.Context(), "Ann Smith <ann@acme.example>")
}

func (w *world) later(d time.Duration) { w.now = w.now.Add(d) }

func (w *world) contacts(list ...mail.Address) {
	w.Helper()
	if err := w.org.SaveSecurityContacts(w.ctx(), list); err != nil {
		w.Fatal(err)
	}
}

func (w *world) log(e crm.AuditEntry) {
	w.Helper()
	if err := w.org.Audit(w.ctx(), e); err != nil {
		w.Fatal(err)
	}
}

func (w *world) tell() {
	w.Helper()
	if err := w.teller.Once(w.Context()); err != nil {
		w.Fatal(err)
	}
}

func (w *world) box() store.Outbox {
	w.Helper()
	list, err := w.org.Outboxes(w.Context())
	if err != nil || len(list) != 1 {
		w.Fatal(list, err)
	}
	return list[0]
}

// want looks at the mails since the last look: each has its words, and returns the last.
func (w *world) want(mails ...string) (last string) {
	w.Helper()
	got := w.server.got()
	w.server.mails = nil
	if len(got) != len(mails) {
		w.Fatalf("%d mails, want %d:\n%s", len(got), len(mails), strings.Join(got, "\n\n"))
	}
	for i, words := range mails {
		last = got[i]
		for word := range strings.SplitSeq(words, "|") {
			if !strings.Contains(last, word) {
				w.Errorf("no %q in\n%s", word, last)
			}
		}
	}
	return last
}
