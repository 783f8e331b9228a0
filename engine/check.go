package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern/crm"
	"postern/gate"
	"postern/mail"
	"postern/store"
)

// testBoxes is how many mailboxes a test of the settings tries at most.
const testBoxes = 20

// A CheckUp is what a run of the connection test on the saved settings is to try.
type CheckUp struct {
	Boxes    []mail.Address // none = those that are read, some of them
	Outside  mail.Address   // that Exchange must refuse; "" = not tried
	Stranger bool           // another User-Agent must be refused
}

// NextCheck returns what the next run is to try as a rule: what the one before tried, but for
// a mailbox that had to be refused then and is to be read now.
func (e *Engine) NextCheck(ctx context.Context) (CheckUp, error) {
	last, err := e.Org.LastCheck(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return CheckUp{}, nil
	}
	if err != nil {
		return CheckUp{}, err
	}
	terms, err := e.readTerms(ctx)
	if err != nil {
		return CheckUp{}, err
	}
	boxes, err := e.toBeRead(ctx, &terms.Policy, terms.Groups)
	if err != nil {
		return CheckUp{}, err
	}
	up := CheckUp{Outside: last.Outside, Stranger: last.Stranger}
	if slices.Contains(boxes, up.Outside) {
		up.Outside = ""
	}
	return up, nil
}

// toBeRead lists the mailboxes of users that a policy lets be read.
func (e *Engine) toBeRead(ctx context.Context, p *crm.Policy, g crm.Groups) (boxes []mail.Address, err error) {
	users, _, err := e.Org.Users(ctx, store.ListQuery{Limit: store.Everything})
	for _, u := range users {
		if u.Active && len(u.Addresses) > 0 && p.AllowsMailbox(u.Addresses[0], g) == nil {
			boxes = append(boxes, u.Addresses[0])
		}
	}
	return boxes, err
}

// Check tries the saved settings step by step, hands each finding to tell as it comes, and
// keeps the run. One that is cancelled, or ended by the gate, is not kept.
func (e *Engine) Check(ctx context.Context, up CheckUp, tell func(crm.Finding)) (*store.Check, error) {
	s, _, err := e.Org.Settings(ctx)
	if err != nil {
		return nil, err
	}
	c := store.Check{Began: e.Now(), Server: s.Server, UserAgent: s.UserAgent, Outside: up.Outside, Stranger: up.Stranger}
	err = e.try(ctx, s, up, func(f crm.Finding) {
		c.Findings = append(c.Findings, f)
		tell(f)
	})
	if err != nil {
		return nil, err
	}
	c.Took = e.Now().Sub(c.Began)
	return e.Org.SaveCheck(ctx, c)
}

// Test tries settings step by step on mailboxes that they would open, before anything is
// saved, and hands each finding to tell as it comes. They have passed crm.Settings.Check.
func (e *Engine) Test(ctx context.Context, s crm.Settings, tell func(crm.Finding)) error {
	err := e.Org.Audit(ctx, crm.AuditEntry{Action: "settings.test", Subject: s.Server, Detail: "domains: " + strings.Join(s.Domains, ", ")})
	if err != nil {
		return err
	}
	return e.try(ctx, s, CheckUp{}, tell)
}

func (e *Engine) try(ctx context.Context, s crm.Settings, up CheckUp, tell func(crm.Finding)) error {
	if err := e.open(ctx); err != nil { // what the installation grants holds for a test, too
		return err
	}
	defer e.obeying(ctx)()
	terms, err := e.readTerms(ctx)
	if err != nil {
		return err
	}
	if err := e.choose(ctx, s, &terms, &up); err != nil {
		return err
	}
	all := slices.Clone(up.Boxes)
	if up.Outside != "" {
		all = append(all, up.Outside)
	}
	trial := crm.Trial{
		Settings: s, Boxes: up.Boxes, Outside: up.Outside,
		Transport: e.gate.Trial(s, "", all...),
		InScope: func(box mail.Address, folders []crm.Folder) []bool {
			return terms.Policy.InScope(terms.Policy.Tighten(terms.Limits[box]), folders)
		},
	}
	if len(up.Boxes) > 0 && slices.Contains(terms.Policy.Domains, up.Boxes[0].Domain()) { // kept secrets may be among these
		trial.Search = e.gate.Discovery(s, up.Boxes...)
	}
	if up.Stranger {
		trial.Stranger = e.gate.Trial(s, crm.Stranger, up.Boxes...)
	}
	return e.gate.Try(ctx, all, func(ctx context.Context) error {
		e.Connector.Check(ctx, trial, tell)
		return ctx.Err()
	})
}

// choose sees to it that no mailbox is opened that the policy does not let be read, and
// names some when none were named. One that Exchange must refuse cannot be one of those.
func (e *Engine) choose(ctx context.Context, s crm.Settings, terms *gate.Terms, up *CheckUp) error {
	policy := terms.Policy
	policy.Domains = s.Domains // as they will be when the settings are saved
	for _, box := range up.Boxes {
		if f := policy.AllowsMailbox(box, terms.Groups); f != nil {
			return f
		}
	}
	boxes, err := e.toBeRead(ctx, &policy, terms.Groups)
	if err != nil {
		return err
	}
	if up.Outside != "" && slices.Contains(slices.Concat(boxes, up.Boxes), up.Outside) {
		return &crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "outside-is-read",
			Message: fmt.Sprintf("%s is among the mailboxes that are to be read, so Exchange need not refuse it.", up.Outside),
			Advice:  "Name a mailbox that is not to be read, or none."}
	}
	if len(up.Boxes) == 0 {
		up.Boxes = boxes[:min(len(boxes), testBoxes)]
	}
	return nil
}

// Discover finds the server of a mailbox by what its domain publishes, and hands each step
// to tell. Who asks has named the domain: it may be searched, whether mailboxes of it are
// read already or not. s has passed crm.Settings.CheckSearch, which says where credentials may
// go; confirmed, for the audit log, is the host that was given to it. With a fault of the code
// "autodiscover-confirm" server is the host that is to be confirmed first.
func (e *Engine) Discover(ctx context.Context, box mail.Address, s crm.Settings, confirmed string, tell func(crm.Finding)) (server string, err error) {
	if err := e.open(ctx); err != nil {
		return "", err
	}
	defer e.obeying(ctx)()
	err = e.Org.Audit(ctx, crm.AuditEntry{Action: "autodiscover.run", Subject: string(box), Detail: confirmedText(confirmed)})
	if err != nil {
		return "", err
	}
	err = e.gate.Try(ctx, []mail.Address{box}, func(ctx context.Context) error {
		server, err = e.Connector.Discover(ctx, box, s, e.gate.Discovery(s, box), tell)
		return err
	})
	return server, err
}

func confirmedText(host string) string {
	if host == "" {
		return ""
	}
	return "host confirmed: " + host
}
