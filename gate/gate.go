// Package gate decides what of Exchange may be touched. Nothing reaches a mailbox but
// through a guarded source: the guard asks the policy before each call, so that a
// mailbox taken off the list is left alone from the very next request on.
package gate

import (
	"context"
	"io"
	"slices"
	"sync"

	"postern/crm"
)

// A Policy says which mailboxes may be read. The zero value allows none. It is safe for
// concurrent use and may be changed while sources are at work.
type Policy struct {
	mu      sync.RWMutex
	enabled bool
	domains []string
}

// Set replaces the policy: collecting on or off, and the domains whose mailboxes may be
// read (A-labels, lower case). A sub-domain is another domain.
func (p *Policy) Set(enabled bool, domains []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enabled, p.domains = enabled, slices.Clone(domains)
}

// Allows returns nil when the mailbox may be read, else why not.
func (p *Policy) Allows(box *crm.Mailbox) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if !p.enabled {
		return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "collecting-disabled",
			Message: "Collecting is switched off.", Advice: "Enable it in the Email settings."}
	}
	if !slices.Contains(p.domains, box.Address.Domain()) {
		return &crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "domain-not-allowed",
			Message: "The domain of this mailbox is not in the Domain List.", Advice: "Add the domain in the Email settings if its mailboxes are to be read."}
	}
	return nil
}

// Guard returns the source behind the policy. It is a crm.Notifier if src is one.
func (p *Policy) Guard(src crm.Source) crm.Source {
	if n, ok := src.(crm.Notifier); ok {
		return notifyingGuard{guard{p, src}, n}
	}
	return guard{p, src}
}

// Traffic returns the traffic behind the policy: it is asked anew before every request, so
// that a call of many requests ends with the one under way.
func (p *Policy) Traffic(next crm.Traffic) crm.Traffic { return traffic{p, next} }

type traffic struct {
	policy *Policy
	next   crm.Traffic
}

func (t traffic) Admit(ctx context.Context, r crm.Request) (func(*crm.Fault), error) {
	if err := t.policy.Allows(&crm.Mailbox{Address: r.Mailbox}); err != nil {
		return nil, err
	}
	return t.next.Admit(ctx, r)
}

type guard struct {
	policy *Policy
	src    crm.Source
}

func (g guard) Folders(ctx context.Context, box *crm.Mailbox) ([]crm.Folder, error) {
	if err := g.policy.Allows(box); err != nil {
		return nil, err
	}
	return g.src.Folders(ctx, box)
}

func (g guard) Changes(ctx context.Context, box *crm.Mailbox, f crm.Folder, since crm.Cursor) (*crm.Page, error) {
	if err := g.policy.Allows(box); err != nil {
		return nil, err
	}
	return g.src.Changes(ctx, box, f, since)
}

func (g guard) Headers(ctx context.Context, box *crm.Mailbox, ids []string) ([]crm.Header, error) {
	if err := g.policy.Allows(box); err != nil {
		return nil, err
	}
	return g.src.Headers(ctx, box, ids)
}

func (g guard) Load(ctx context.Context, box *crm.Mailbox, headers []crm.Header, take func(*crm.Item) error) error {
	if err := g.policy.Allows(box); err != nil {
		return err
	}
	return g.src.Load(ctx, box, headers, take)
}

func (g guard) Attachments(ctx context.Context, box *crm.Mailbox, list []crm.Attachment, take func(int, io.Reader, *crm.Fault) error) error {
	if err := g.policy.Allows(box); err != nil {
		return err
	}
	return g.src.Attachments(ctx, box, list, take)
}

func (g guard) Original(ctx context.Context, box *crm.Mailbox, id string) (io.ReadCloser, error) {
	if err := g.policy.Allows(box); err != nil {
		return nil, err
	}
	return g.src.Original(ctx, box, id)
}

func (g guard) Items(ctx context.Context, box *crm.Mailbox, f crm.Folder, take func([]string) error) error {
	if err := g.policy.Allows(box); err != nil {
		return err
	}
	return g.src.Items(ctx, box, f, take)
}

// Facts asks nobody.
func (g guard) Facts(box *crm.Mailbox) crm.Facts { return g.src.Facts(box) }

type notifyingGuard struct {
	guard
	notifier crm.Notifier
}

func (g notifyingGuard) Subscribe(ctx context.Context, box, anchor *crm.Mailbox) (crm.Subscription, error) {
	if err := g.policy.Allows(box); err != nil {
		return crm.Subscription{}, err
	}
	return g.notifier.Subscribe(ctx, box, anchor)
}

// Listen is refused when one of the mailboxes may not be read; who changes the policy ends
// the connections under way.
func (g notifyingGuard) Listen(ctx context.Context, list []crm.Subscription, tell func(crm.Notice)) error {
	for i := range list {
		if err := g.policy.Allows(list[i].Box); err != nil {
			return err
		}
	}
	return g.notifier.Listen(ctx, list, tell)
}

func (g notifyingGuard) Pull(ctx context.Context, s *crm.Subscription) (crm.Notice, error) {
	if err := g.policy.Allows(s.Box); err != nil {
		return crm.Notice{}, err
	}
	return g.notifier.Pull(ctx, s)
}

// Unsubscribe sends nothing for a mailbox that may no longer be read: its subscription
// expires by itself.
func (g notifyingGuard) Unsubscribe(ctx context.Context, s crm.Subscription) error {
	if err := g.policy.Allows(s.Box); err != nil {
		return err
	}
	return g.notifier.Unsubscribe(ctx, s)
}
