package ews

import (
	"context"
	"fmt"
	"time"

	"postern/crm"
	"postern/mail"
)

// A check is the doctor: it tries settings step by step, from the name of the server to
// what Exchange must refuse, and tells each step as it ends. It goes on as long as
// something can still work, and says of the rest that it was not reached.
//
// Credentials are tried once: what needs them comes after a log-on that worked.
type check struct {
	crm.Trial
	tune []func(*Config)
	tell func(crm.Finding)

	patience time.Duration // how long a step may take
	box      mail.Address  // that the step opens; "" = none
	streams  bool          // the step waits for notifications

	src     *source
	ended   string             // name of the step after which nothing can work; "" = none
	server  string             // version found, one of versions
	offers  []string           // ways to log on that the server offers
	skew    *time.Duration     // how far the server's clock is ahead; nil = it does not tell
	clients map[string]*Client // of further accounts, by login
	opened  []opened           // mailboxes
}

// A step is one thing that is tried.
type step struct {
	code, name string
	who        crm.Audience // whom it concerns as a rule
	try        func(context.Context) (found, error)
	// vital says of a failure that nothing after it can work.
	vital func(*crm.Fault) bool
}

// A found is what came of a step that did not fail.
type found struct {
	detail string
	warn   *crm.Fault // it is to be seen to all the same
	skip   bool       // it was not tried; detail says why
}

func always(*crm.Fault) bool { return true }

// ofAll tells whether a fault stops the whole connection.
func ofAll(f *crm.Fault) bool { return f.Scope == crm.OrgScope }

// stepTimeout bounds each step, so that a test ends while somebody waits for it.
const stepTimeout = 30 * time.Second

func (c *check) run(ctx context.Context) {
	c.clients = map[string]*Client{}
	defer func() {
		for _, client := range c.clients {
			client.Close()
		}
		if c.src != nil {
			c.src.Close()
		}
	}()
	for _, s := range c.steps() {
		if ctx.Err() != nil {
			return
		}
		c.step(ctx, s)
	}
}

// steps in the order in which they build on each other.
func (c *check) steps() []step {
	const admin, exchange, operator = crm.ForCRMAdmin, crm.ForExchangeAdmin, crm.ForOperator
	list := []step{
		{"dns", "Name and address", admin, c.name, always},
		{"connection", "Connection", operator, c.connection, always},
		{"tls", "Certificate", exchange, c.certificate, always},
		{"endpoint", "Exchange Web Services", exchange, c.endpoint, always},
		{"clock", "Clock", operator, c.clock, nil},
		{"schemes", "Ways to log on", exchange, c.schemes, always},
		{"logon", "Log-on", admin, func(ctx context.Context) (found, error) { return c.logOn(ctx, c.accounts()[0]) }, always},
		{"protection", "Extended Protection", exchange, c.protection, nil},
		{"version", "Version", admin, c.version, ofAll},
		{"latency", "Response time", operator, c.latency, nil},
		{"autodiscover", "Autodiscover", exchange, c.autodiscover, nil},
	}
	for _, a := range c.Settings.Others {
		list = append(list, step{"logon", "Log-on of " + a.Login, admin,
			func(ctx context.Context) (found, error) { return c.logOn(ctx, a) }, nil})
	}
	for _, box := range c.Boxes {
		list = append(list, step{"mailbox", "Mailbox " + string(box), exchange,
			func(ctx context.Context) (found, error) { return c.mailbox(ctx, box) }, ofAll})
	}
	return append(list,
		step{"folders", "Folders", exchange, c.folders, nil},
		step{"sync", "Synchronization", exchange, c.synchronize, nil},
		step{"notifications", "Notifications", exchange, c.notifications, nil},
		step{"must-fail-mailbox", "Mailbox that must be refused", exchange, c.outside, nil},
		step{"must-fail-agent", "User-Agent that must be refused", exchange, c.stranger, nil},
		step{"users-ews", "EWS of the users themselves", exchange, c.usersEWS, nil},
	)
}

// step tries one step, unless nothing can work any more.
func (c *check) step(ctx context.Context, s step) {
	f := crm.Finding{Code: s.code, Step: s.name, For: s.who}
	if c.ended != "" {
		f.Skip, f.Detail = true, "not reached: first see to "+c.ended
		c.tell(f)
		return
	}
	timed, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	c.box, c.streams = "", false
	start := time.Now()
	got, err := s.try(timed)
	if ctx.Err() != nil {
		return // ended from our side: nothing was learned
	}
	f.Took, f.Detail = time.Since(start), got.detail
	switch {
	case err != nil:
		f.Fault = c.judge().fault(err, crm.MailboxScope)
		if s.vital != nil && s.vital(f.Fault) {
			c.ended = s.name
		}
	case got.skip:
		f.Skip = true
	default:
		f.OK, f.Warn, f.Fault = true, got.warn != nil, got.warn
	}
	if f.Fault != nil {
		c.prescribe(&f)
	}
	if err != nil {
		f.Detail = f.Fault.Message
	}
	c.tell(f)
}

// judge of the errors, also before there is a source.
func (c *check) judge() judge {
	if c.src != nil {
		return c.src.judge
	}
	return judge{version: c.Settings.Version, login: c.Settings.Login}
}

// fault is one that a step finds by itself.
func (c *check) fault(code, message, advice string) *crm.Fault {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: code, Message: message, Advice: advice}
}

// session acts for a mailbox as a source would.
func (c *check) session(box mail.Address) *Session { return c.src.session(&crm.Mailbox{Address: box}) }

// rootOf asks for the id of the folder at the top of a session's mailbox, and nothing more.
func rootOf(s *Session) *GetFolder {
	return &GetFolder{Shape: FolderShape{Base: IDOnly}, IDs: []FolderID{s.Folder(string(crm.Root))}}
}

// accounts are those that open mailboxes in the name of others.
func (c *check) accounts() []crm.Account {
	first := crm.Account{Login: c.Settings.Login, Password: c.Settings.Password, Keytab: c.Settings.Keytab}
	return append([]crm.Account{first}, c.Settings.Others...)
}

// clientOf returns the client of an account, always the same one.
func (c *check) clientOf(a crm.Account) (*Client, error) {
	if a.Login == c.Settings.Login {
		return c.src.client, nil
	}
	if client := c.clients[a.Login]; client != nil {
		return client, nil
	}
	client, err := New(c.src.config(a))
	if err == nil {
		c.clients[a.Login] = client
	}
	return client, err
}

// ms shows how long something took.
func ms(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}
