package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/gate"
	"postern/pace"
	"postern/store"
	"postern/tell"
	"postern/web"
)

type serveCommand struct {
	folderFlags
	Listen  string        `help:"Address of the pages." default:"127.0.0.1:8317"`
	Poll    time.Duration `help:"Pause between two looks at a mailbox of which Exchange does not tell by itself." default:"30s"`
	Workers int           `help:"Mailboxes imported at once; twice as many are looked at, four times as many follow what Exchange tells." default:"4"`
	limitFlags
	URL     string `help:"Address at which people open the pages, for the mails to security contacts." env:"POSTERN_URL" placeholder:"https://…"`
	URLFile string `help:"File to write where the pages are, as JSON, once they are there." type:"path"`
}

// Help says what the environment is asked for: what may hold a password is no flag, which
// others on the machine could see.
func (s *serveCommand) Help() string {
	return `What goes outside is named in the environment:

POSTERN_SMTP: mail server for the security contacts, smtps://USER:PASSWORD@HOST:PORT, or smtp:// for STARTTLS. POSTERN_SMTP_FROM: the sender.

POSTERN_AUDIT_SINK: takes the signed checkpoints of the audit log. A file, syslog+tls://HOST:PORT, syslog+tcp://HOST:PORT, or https://USER:PASSWORD@HOST:PORT/PATH to which each is posted as JSON.`
}

func (s *serveCommand) Run(c *common) error {
	st, err := s.make(c, true)
	if err != nil {
		return err
	}
	defer st.Close()
	log := slog.New(slog.NewTextHandler(c.errOut, nil))
	mails, err := mailServer()
	if err != nil {
		return err
	}
	sink, err := auditServer()
	if err != nil {
		return err
	}
	paced, err := s.pace(c.ctx, st, log, 0)
	if err != nil {
		return err
	}
	l, err := listen(s.Listen)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(crm.WithActor(c.ctx, "Postern"))
	defer cancel()
	t := &tenants{st: st, log: log, programs: map[string]*program{}, failed: map[string]time.Time{}}
	t.start = func(ctx context.Context, o store.Organization) (*program, error) {
		log := log.With("organization", o.Name)
		connector, org := ews.Connector(), st.Org(o.ID)
		accesses := org.AccessWriter()
		p := &program{org: org, connector: connector, log: log, accesses: accesses,
			engine: engine.New(engine.Config{Org: org, Connector: connector, AccessLog: accesses, Pace: paced, Poll: s.Poll, Workers: s.Workers, Log: log})}
		if mails != nil {
			p.teller = &tell.Teller{Org: org, Name: o.Name, Send: mails.Send, URL: s.URL, Log: log}
			p.mails = mails.Address()
		}
		err := p.tellSink(ctx, sink)
		if err == nil {
			err = p.open()
		}
		var hello string
		if err == nil {
			hello, err = p.welcome(ctx) // last: a password that is made is shown
		}
		if err != nil {
			accesses.Close()
			return nil, err
		}
		if hello != "" && t.multi {
			hello = "Organization " + o.Name + ": " + hello
		}
		fmt.Fprint(c.out, hello)
		return p, nil
	}
	if err := t.begin(ctx); err != nil {
		cancel()
		t.wg.Wait()
		return err
	}
	fmt.Fprintf(c.out, "Postern is at %s\n", t.where(l.Addr()))
	if err := writeURLFile(s.URLFile, map[string]string{"url": "http://" + l.Addr().String()}); err != nil {
		cancel()
		t.wg.Wait()
		return err
	}
	return serve(ctx, l, t, log, t.follow)
}

// limitFlags say how much Exchange is asked for at most.
type limitFlags struct {
	PerMinute  int `help:"Requests a minute to one Exchange server, at most." default:"30000"`
	PerServer  int `help:"Requests open at once to one Exchange server; those that wait for notifications apart." default:"10"`
	PerMailbox int `help:"Requests open at once for one mailbox." default:"2"`
}

// pace makes what keeps to these limits and to what the servers ask for, as kept from
// earlier runs. patience is how long a request waits for the end of a silence; 0 = the
// default, for who can come again.
func (l *limitFlags) pace(ctx context.Context, st *store.Store, log *slog.Logger, patience time.Duration) (*pace.Pace, error) {
	kept, err := st.Budgets(ctx)
	if err != nil {
		return nil, err
	}
	return pace.New(pace.Config{PerMinute: l.PerMinute, PerHost: l.PerServer, PerAccount: l.PerServer, PerMailbox: l.PerMailbox, Patience: patience, Kept: kept,
		Keep: func(b crm.Budget) {
			if err := st.SaveBudget(ctx, b); err != nil && ctx.Err() == nil {
				log.Error("keep budget", "scope", b.Scope, "key", b.Key, "err", err)
			}
		}}), nil
}

// A program is what runs for one organization while pages are served: put together here,
// and nowhere else.
type program struct {
	org       *store.Org
	connector crm.Connector
	engine    *engine.Engine
	accesses  *store.AccessWriter // closed when the engine has ended; nil = somebody else's
	log       *slog.Logger
	teller    *tell.Teller      // nil = nobody is told by mail
	mails     string            // the server by which they are
	told      *tell.Checkpoints // nil = no sink is told
	hint      string
	pages     http.Handler // set by open
}

// open puts the pages together.
func (p *program) open() (err error) {
	p.pages, err = web.New(web.Config{Org: p.org, Connector: p.connector, Log: p.log, Now: time.Now,
		LookNow: p.engine.LookNow, Test: p.engine.Test, NextCheck: p.engine.NextCheck, Check: p.engine.Check, Discover: p.engine.Discover,
		Progress: p.engine.Progress, Watch: p.engine.Watch, Trouble: p.engine.Trouble, Budgets: p.engine.Pace.Budgets,
		LoadAttachment: p.engine.LoadAttachment, Original: p.engine.Original,
		HasAddress: gate.Machine{}.Has, MailServer: p.mails, Hint: p.hint})
	return err
}

// run collects until ctx ends.
func (p *program) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { p.sign(ctx) })
	wg.Go(func() { p.watchAudit(ctx) })
	if p.teller != nil {
		wg.Go(func() { p.teller.Run(ctx) })
	}
	if p.told != nil {
		wg.Go(func() { p.told.Run(ctx) })
	}
	if err := p.engine.Run(ctx); err != nil {
		p.log.Error("collecting ended", "err", err)
	}
	if p.accesses != nil {
		if err := p.accesses.Close(); err != nil {
			p.log.Error("close the access log", "err", err)
		}
	}
}

// tellSink has the sink be told; nil = there is none any more.
func (p *program) tellSink(ctx context.Context, sink *tell.Sink) error {
	if sink == nil {
		return p.org.UseSink(ctx, "")
	}
	p.told = &tell.Checkpoints{Org: p.org, Sink: sink, Log: p.log}
	return p.org.UseSink(ctx, sink.String())
}

// sign signs the audit log where that could not be done when something was written, and
// says why not.
func (p *program) sign(ctx context.Context) {
	for tick := time.NewTicker(time.Minute); ; {
		if err := p.org.Checkpoint(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("sign the audit log", "err", err)
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

// watchAudit looks whether the audit log is as it was written, now and every hour.
func (p *program) watchAudit(ctx context.Context) {
	for tick := time.NewTicker(time.Hour); ; {
		if err := p.org.WatchAudit(ctx, p.org.SinkFile()...); err != nil && ctx.Err() == nil {
			p.log.Error("verify the audit log", "err", err)
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

// mailServer is the one that takes mail for the security contacts; nil when the environment
// names none.
func mailServer() (*tell.Server, error) {
	text := os.Getenv("POSTERN_SMTP")
	if text == "" {
		return nil, nil
	}
	s, err := tell.NewServer(text, os.Getenv("POSTERN_SMTP_FROM"))
	if err != nil {
		return nil, err
	}
	way, err := gate.Machine{}.To(s.Address())
	if err != nil {
		return nil, err
	}
	s.Dial = way.DialContext
	return s, nil
}

// serve collects and serves until ctx ends, for one organization.
func (p *program) serve(ctx context.Context, l net.Listener) error {
	if err := p.open(); err != nil {
		return err
	}
	return serve(ctx, l, p.pages, p.log, p.run)
}

// serve serves the pages while work runs, both until ctx ends.
func serve(ctx context.Context, l net.Listener, pages http.Handler, log *slog.Logger, work func(context.Context)) error {
	server := &http.Server{Handler: pages, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { work(ctx) })
	wg.Go(func() {
		<-ctx.Done()
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
	err := server.Serve(l)
	cancel()
	wg.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// welcome makes an administrator when nobody could sign in yet, and says how to.
func (p *program) welcome(ctx context.Context) (string, error) {
	users, _, err := p.org.Users(ctx, store.ListQuery{Limit: store.Everything})
	if err != nil {
		return "", err
	}
	for _, u := range users {
		if u.HasPassword && u.Admin && u.Active {
			return "", nil
		}
	}
	eyes, err := p.org.FourEyes(ctx)
	if err != nil {
		return "", err
	}
	if eyes.On() {
		return "No administrator can sign in. One account would be one person, and four eyes are asked for, so none is made:\n" +
			"import an administrator by postern users import FILE.csv, if need be, and let each in by postern users password ADDRESS.\n", nil
	}
	if _, err := p.org.SaveUsers(ctx, []crm.User{{Name: "Administrator", Addresses: addresses(crm.FirstAdmin), Admin: true, Active: true}}); err != nil {
		return "", err
	}
	password := rand.Text()
	if err := setPassword(ctx, p.org, string(crm.FirstAdmin), password); err != nil {
		return "", err
	}
	return fmt.Sprintf("Nobody could sign in yet. Sign in as %s with the password %s (shown this once), then import your users.\n", crm.FirstAdmin, password), nil
}

// listen opens the address of the pages.
func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	f := &crm.Fault{Verdict: crm.Refused, Code: "listen", Err: err, Message: fmt.Sprintf("The pages cannot be served at %s: %v.", address, err),
		Advice: "Give another address by --listen, such as 127.0.0.1:0 for any free port."}
	if errors.Is(err, syscall.EADDRINUSE) {
		f.Code, f.Message = "address-in-use", fmt.Sprintf("Another program listens at %s.", address)
	}
	return nil, f
}

// writeURLFile tells programs that started this one where it is. The file appears whole
// or not at all.
func writeURLFile(path string, content map[string]string) error {
	if path == "" {
		return nil
	}
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
