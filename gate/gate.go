// Package gate decides what of Exchange may be touched, and is the only way there.
//
//	g := gate.New(gate.Config{Traffic: paced.Traffic, Log: log})
//	g.Set(terms)                    // what is granted from now on
//	src, err := g.Open(connector)   // a source behind the gate
//
// A source is guarded twice. The guard asks the terms before each call: is the mailbox
// granted, the folder, the kind of data, the message whose text, attachment or original is
// asked for. Items that are asked for by their ids come out only if the source says that
// they lie where may be read. What a message is like the guard knows by its header, which
// is asked for with the folder, or handed in by who keeps it. The
// transport asks again before each request that leaves, opens connections only to the
// granted host, from the granted address, under the organization's User-Agent, and has
// each request written down; when that cannot be, none leaves. No other package opens a
// connection to the outside.
//
// Terms are replaced as a whole. Whatever is under way and no longer granted ends at once.
package gate

import (
	"context"
	"hash/fnv"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"sync"

	"postern/crm"
	"postern/mail"
)

// Terms are all that is granted at one moment. The zero value grants nothing.
type Terms struct {
	Settings   crm.Settings
	Policy     crm.Policy
	Groups     crm.Groups                   // members of those that the policy names
	Limits     map[mail.Address]crm.Limits  // what users left alone in their own mailboxes, by the mailbox
	SignIns    map[mail.Address]crm.Account // of users, where each opens the own mailbox
	Egress     crm.Egress
	Deployment crm.Deployment
}

// A Log takes down what leaves.
type Log interface {
	// Record writes one request down. It may wait, and loses none.
	Record(crm.Access)
	// Ready says why nothing can be written down at the moment; nil when it can.
	Ready() error
}

// Config is what a gate needs. The zero value is of use in a process that ends soon: it
// keeps no pace and no log.
type Config struct {
	Machine Machine
	Traffic func(login, host string) crm.Traffic
	Log     Log
	// Operations are those that may leave; nil = whatever the connector sends.
	Operations []crm.Operation
}

// A Gate stands between one organization's mailboxes and everybody who wants to read
// them. It is safe for concurrent use.
type Gate struct {
	Config

	mu      sync.RWMutex
	terms   Terms
	present []netip.Addr // addresses of ours that connections may be using
	era     int          // counts the connections: raised when another server, account or address holds
	calls   map[*call]struct{}
}

// A call is one that is under way behind the guard.
type call struct {
	stillGranted func(*Terms) error
	cancel       context.CancelCauseFunc
	era          int
}

// New returns a gate that is shut.
func New(c Config) *Gate {
	if c.Traffic == nil {
		c.Traffic = func(string, string) crm.Traffic { return crm.Unpaced{} }
	}
	if c.Log == nil {
		c.Log = noLog{}
	}
	return &Gate{Config: c, calls: map[*call]struct{}{}}
}

type noLog struct{}

func (noLog) Record(crm.Access) {}
func (noLog) Ready() error      { return nil }

// Suits tells whether sources that are open may go on under these terms. If not, they must
// be opened anew once the terms are set.
func (g *Gate) Suits(t Terms) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.era > 0 && sameConnection(&g.terms, &t) && !g.lost()
}

// Lost tells whether an address of ours that connections may be using is not on this
// machine any more. The terms are to be set again then: what hangs on it ends.
func (g *Gate) Lost() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.lost()
}

func (g *Gate) lost() bool {
	if len(g.present) == 0 {
		return false
	}
	now := g.presentOf(&g.terms)
	return slices.ContainsFunc(g.present, func(a netip.Addr) bool { return !slices.Contains(now, a) })
}

// presentOf lists the addresses of the pool that are on this machine.
func (g *Gate) presentOf(t *Terms) (list []netip.Addr) {
	for _, a := range t.Egress.Addresses {
		if here, err := g.Machine.Has(a.Local); err == nil && here {
			list = append(list, a.Local)
		}
	}
	return list
}

// Set replaces the terms. Calls under way that they do not grant end with the reason, those
// by a connection that is another now with the fault "connection-changed".
func (g *Gate) Set(t Terms) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.era == 0 || !sameConnection(&g.terms, &t) || g.lost() {
		g.era++
	}
	g.terms, g.present = t, g.presentOf(&t)
	for c := range g.calls {
		err := c.stillGranted(&g.terms)
		if err == nil && c.era != g.era {
			err = connectionChanged()
		}
		if err != nil {
			c.cancel(err)
		}
	}
}

// sameConnection tells whether a connection that was opened by the one terms may be used
// under the others. Name, policy and the users' own sign-ins are asked for at every request;
// all else is part of the connection. Saving the settings again, even unchanged, makes a
// new try.
func sameConnection(a, b *Terms) bool {
	x, y := a.Settings, b.Settings
	x.UserAgent, y.UserAgent = "", ""
	x.Domains, y.Domains = nil, nil
	x.Enabled, y.Enabled = true, true
	return reflect.DeepEqual(x, y) && reflect.DeepEqual(a.Egress, b.Egress) && reflect.DeepEqual(a.Deployment, b.Deployment)
}

func connectionChanged() error {
	return &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "connection-changed",
		Message: "The connection was changed meanwhile.", Advice: "Nothing to do: it goes on by the new one."}
}

// Open opens a source of the connector behind the gate, by the terms of this moment. It is
// a crm.Notifier if the connector's is one. The closer gives idle connections back.
func (g *Gate) Open(c crm.Connector) (crm.Source, io.Closer, error) {
	g.mu.RLock()
	t, era := g.terms, g.era
	g.mu.RUnlock()
	src, err := c.Source(t.Settings, g.transport(&t, era))
	if err != nil {
		return nil, nil, err
	}
	closer, ok := src.(io.Closer)
	if !ok {
		closer = io.NopCloser(nil)
	}
	guarded := guard{g, era, src, &listings{byBox: map[mail.Address]listing{}}}
	if n, ok := src.(crm.Notifier); ok {
		return notifyingGuard{guarded, n}, closer, nil
	}
	return guarded, closer, nil
}

// Allows returns nil when the mailbox may be read, else why not.
func (g *Gate) Allows(box *crm.Mailbox) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.terms.allowBox(box)
}

// Account returns the login of the account that opens a mailbox.
func (g *Gate) Account(box mail.Address) string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.terms.account(box).Login
}

// enter notes a call and returns the context that ends with what it was granted. leave is
// to be called once, when the call has ended, with its error: it gives back the reason when
// it was the gate that ended it.
func (g *Gate) enter(ctx context.Context, era int, granted func(*Terms) error) (_ context.Context, leave func(error) error, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := granted(&g.terms); err != nil {
		return nil, nil, err
	}
	if era != g.era {
		return nil, nil, connectionChanged()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	c := &call{granted, cancel, era}
	g.calls[c] = struct{}{}
	return ctx, func(err error) error {
		g.mu.Lock()
		delete(g.calls, c)
		g.mu.Unlock()
		if why, ended := context.Cause(ctx).(*crm.Fault); ended && err != nil {
			err = why
		}
		cancel(nil)
		return err
	}, nil
}

// allow says whether a mailbox may be read.
func (t *Terms) allow(box mail.Address) error {
	if err := t.enabled(); err != nil {
		return err
	}
	if f := t.Policy.AllowsMailbox(box, t.Groups); f != nil {
		return f
	}
	if t.Settings.Model == crm.ByOwnSignIn && t.SignIns[box].Empty() {
		return &crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "not-signed-in",
			Message: "Each user opens the own mailbox here, and this one has not done so yet.", Advice: "The user enters the own Exchange login under My Emails → My mailbox (/my/mailbox)."}
	}
	return nil
}

func (t *Terms) enabled() error {
	if !t.Settings.Enabled {
		return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "collecting-disabled",
			Message: "Collecting is switched off.", Advice: "Enable it in the Email settings."}
	}
	return nil
}

// allowKind says whether a kind of data may be read.
func (t *Terms) allowKind(k crm.Kind) error {
	if !t.Policy.AllowsKind(k) {
		return denied(crm.Fault{Code: "kind-not-allowed", Message: "This kind of data is not collected: " + string(k) + "."})
	}
	return nil
}

// allowBox says whether a mailbox may be read, by all of its addresses that are known.
func (t *Terms) allowBox(box *crm.Mailbox) error {
	if err := t.allow(box.Address); err != nil {
		return err
	}
	return t.allowPrimary(box.Primary)
}

// allowPrimary refuses a mailbox whose primary address the policy denies.
func (t *Terms) allowPrimary(primary mail.Address) error {
	if f := t.Policy.DeniesPrimary(primary, t.Groups); f != nil {
		return f
	}
	return nil
}

// allowMail says whether mail of a mailbox may be read.
func (t *Terms) allowMail(box *crm.Mailbox) error {
	if err := t.allowBox(box); err != nil {
		return err
	}
	return t.allowKind(crm.Email)
}

// limits are what holds for a mailbox, the user's own included.
func (t *Terms) limits(box mail.Address) crm.Limits {
	return t.Policy.Tighten(t.Limits[box])
}

// account returns whose credentials open a mailbox. Several service accounts share the
// mailboxes by a hash of the address, so that each has its own for good.
func (t *Terms) account(box mail.Address) crm.Account {
	s := &t.Settings
	if s.Model == crm.ByOwnSignIn {
		return t.SignIns[box]
	}
	first := crm.Account{Login: s.Login, Password: s.Password, Keytab: s.Keytab}
	if box == "" || len(s.Others) == 0 {
		return first
	}
	h := fnv.New32a()
	h.Write([]byte(box))
	all := slices.Insert(slices.Clone(s.Others), 0, first)
	return all[int(h.Sum32()%uint32(len(all)))]
}
