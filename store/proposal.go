package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
)

// Four eyes: an organization may ask that nobody widens access alone. What widens is what
// the audit log marks so. A change of a person runs as always; when it turns out at the end
// of its transaction that one of its entries widens, all is rolled back, and the change is
// kept as a proposal. Whoever approves it has it run once more, and it must then say the
// very same to the audit log, of settings that nobody saved meanwhile: so what was shown is
// what is done, and nothing else is undone. What does not widen is done at once.

// ProposalTerm is how long a proposal waits.
const ProposalTerm = 7 * 24 * time.Hour

// A HeldError tells that a change widens access and waits for somebody else's approval.
// Nothing was changed.
type HeldError struct{ Proposal crm.Proposal }

func (e *HeldError) Error() string {
	return fmt.Sprintf("the change widens access and waits as %s", e.Proposal.Name())
}

// Fault says the same to people.
func (e *HeldError) Fault() *crm.Fault {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "four-eyes-waiting",
		Message: fmt.Sprintf("This widens access: it waits as %s until somebody else approves it, and nothing is changed until then.", e.Proposal.Name()),
		Advice:  fmt.Sprintf("Have an administrator look at it under Access → Policy before %s.", e.Proposal.Expires.Format("2 January 2006 15:04 MST"))}
}

// errHeld rolls a change back that is to wait, errDiffers one that is not what was proposed.
var (
	errHeld    = errors.New("this widens access")
	errDiffers = errors.New("this is not what was proposed")
)

// A change is what a guarded transaction does, so that it can be done again. Its kind is
// "" where no person does it, and nobody is to approve it.
type change struct {
	kind crm.ProposalKind
	what any // as JSON it is what apply reads
}

// The changes that are not JSON as they are. Secrets stand beside what holds them, which
// never writes them out; the whole is sealed. Saved, of settings and of the egress, is when
// those were that the change is made of.
type (
	policyChange struct {
		Policy crm.Policy
		Remove bool
	}
	settingsChange struct {
		crm.Settings
		Password, Keytab, ClientKey string
		Others                      []accountChange
	}
	accountChange struct{ Login, Password, Keytab string }
	egressChange  struct {
		crm.Egress
		ProxyPassword string
	}
	groupChange struct {
		Group   mail.Address
		Members []mail.Address
	}
	limitsChange struct {
		User   crm.UserID
		Limits crm.Limits
	}
)

func newSettingsChange(s crm.Settings) settingsChange {
	c := settingsChange{s, s.Password.Reveal(), s.Keytab.Reveal(), s.ClientKey.Reveal(), nil}
	for _, a := range s.Others {
		c.Others = append(c.Others, accountChange{a.Login, a.Password.Reveal(), a.Keytab.Reveal()})
	}
	return c
}

func (c settingsChange) settings() crm.Settings {
	s := c.Settings
	s.Password, s.Keytab, s.ClientKey = crm.NewSecret(c.Password), crm.NewSecret(c.Keytab), crm.NewSecret(c.ClientKey)
	for _, a := range c.Others {
		s.Others = append(s.Others, crm.Account{Login: a.Login, Password: crm.NewSecret(a.Password), Keytab: crm.NewSecret(a.Keytab)})
	}
	return s
}

// proposedOf notes in a change when that was saved which it is made of. One that is approved
// and was made of something older is ErrStale: that a secret is another is all that the audit
// log says of it, so the same words may put back one that was replaced meanwhile.
func proposedOf(ctx context.Context, saved *time.Time, now time.Time) error {
	if _, approved := ctx.Value(approvalKey{}).(*approval); approved && !saved.Equal(now) {
		return ErrStale
	}
	*saved = now
	return nil
}

// apply makes a change again that was proposed.
func (o *Org) apply(ctx context.Context, kind crm.ProposalKind, text []byte) error {
	switch kind {
	case crm.PolicyProposal:
		return again(text, func(c policyChange) error { _, err := o.SavePolicy(ctx, c.Policy, c.Remove); return err })
	case crm.SettingsProposal:
		return again(text, func(c settingsChange) error { return o.SaveSettings(ctx, c.settings()) })
	case crm.EgressProposal:
		return again(text, func(c egressChange) error {
			c.Egress.ProxyPassword = crm.NewSecret(c.ProxyPassword)
			return o.SaveEgress(ctx, c.Egress)
		})
	case crm.GroupProposal:
		return again(text, func(c groupChange) error { return o.SaveGroup(ctx, c.Group, c.Members) })
	case crm.UsersProposal:
		return again(text, func(c []crm.User) error { _, err := o.SaveUsers(ctx, c); return err })
	case crm.LimitsProposal:
		return again(text, func(c limitsChange) error { return o.SaveUserLimits(ctx, c.User, c.Limits) })
	case crm.RetentionProposal:
		return again(text, func(days int) error { return o.SetAccessRetention(ctx, days) })
	case crm.FourEyesProposal:
		return again(text, func(on bool) error { return o.SetFourEyes(ctx, on) })
	case crm.ContactsProposal:
		return again(text, func(c []mail.Address) error { return o.SaveSecurityContacts(ctx, c) })
	}
	return fmt.Errorf("no proposal is of the kind %q", kind)
}

func again[T any](text []byte, do func(T) error) error {
	var c T
	if err := json.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("read what was proposed: %w", err)
	}
	return do(c)
}

type approvalKey struct{}

// guarded runs the transaction of a change that may widen access. Where it does, and four
// eyes are asked for, it is rolled back and kept as a proposal: the error is a *HeldError.
func (o *Org) guarded(ctx context.Context, name string, c change, do func(*tx) error) error {
	var held effects
	err := o.db.update(ctx, name, func(t *tx) error {
		asked, err := o.asksSecond(ctx, t) // first, for the change may be that nobody is asked any more
		if err != nil {
			return err
		}
		if err := do(t); err != nil {
			return err
		}
		if p, ok := ctx.Value(approvalKey{}).(*approval); ok {
			return o.approve(ctx, t, p)
		}
		if c.kind == "" || !asked || !t.effects.widen() {
			return nil
		}
		held = t.effects
		return errHeld
	})
	if errors.Is(err, errHeld) {
		return o.propose(ctx, c, held)
	}
	return err
}

// asksSecond tells whether somebody else is to approve what widens access. Where an operator
// acts and no administrator can sign in, there is nobody else: what is done is done, or
// the organization would be locked for ever.
func (o *Org) asksSecond(ctx context.Context, q querier) (bool, error) {
	f, err := o.fourEyes(ctx, q)
	return f.On() && (crm.Acting(ctx) != crm.Operator || f.Admins > 0), err
}

// propose keeps a change. The same by the same person, to the same effect, is kept once.
func (o *Org) propose(ctx context.Context, c change, does effects) error {
	text, err := json.Marshal(c.what)
	if err != nil {
		return err
	}
	listed, err := json.Marshal(does)
	if err != nil {
		return err
	}
	p := crm.Proposal{Kind: c.kind, State: crm.ProposalWaiting, Who: crm.Acting(ctx), By: clean(crm.ActorOf(ctx)), At: o.s.now().UTC(), Effects: does}
	p.Expires = p.At.Add(ProposalTerm)
	err = o.db.update(ctx, "propose", func(t *tx) error {
		if err := o.lock(ctx, t); err != nil {
			return err
		}
		if same, err := o.sameProposal(ctx, t, &p, text); err != nil || same != nil {
			if err == nil {
				p = *same
			}
			return err
		}
		if err := one(ctx, t, "select coalesce(max(id), 0) + 1 from proposal where org_id = $1", []any{o.id}, &p.ID); err != nil {
			return err
		}
		sealed, err := o.seal(ctx, t, o.proposalPlace(p.ID), text)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `insert into proposal (org_id, id, kind, state, principal, proposed_by, proposed_at, expires_at, effects, change)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			o.id, p.ID, p.Kind, p.State, p.Who, p.By, micros(p.At), micros(p.Expires), string(listed), sealed)
		if err != nil {
			return err
		}
		return o.audit(ctx, t, crm.AuditEntry{Action: "proposal.make", Subject: p.Name(), Detail: said(&p)})
	})
	if err != nil {
		return err
	}
	return &HeldError{p}
}

func (o *Org) proposalPlace(id int64) place { return place{o.id, "proposal", id, "change"} }

// effects are what a transaction says to the audit log.
type effects []crm.Effect

func (list effects) widen() bool {
	return slices.ContainsFunc(list, func(e crm.Effect) bool { return e.Widens })
}

// said is what the audit log says of a proposal, line by line.
func said(p *crm.Proposal) string {
	var lines []string
	for _, e := range p.Effects {
		lines = append(lines, p.Says(e))
		for line := range strings.Lines(e.Detail) {
			lines = append(lines, "  "+strings.TrimSuffix(line, "\n"))
		}
	}
	return strings.Join(lines, "\n")
}

// sameProposal finds one that waits and is the same, by the same person.
func (o *Org) sameProposal(ctx context.Context, q querier, p *crm.Proposal, text []byte) (*crm.Proposal, error) {
	list, err := o.proposals(ctx, q, "state = 'waiting' and kind = $2 and principal = $3 and expires_at > $4", p.Kind, p.Who, micros(p.At))
	if err != nil {
		return nil, err
	}
	for i := range list {
		if !slices.Equal(list[i].Effects, p.Effects) {
			continue // made of what held then: nobody can approve it any more
		}
		kept, err := o.proposedChange(ctx, q, list[i].ID)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(kept, text) {
			return &list[i], nil
		}
	}
	return nil, nil
}

// proposedChange opens what a proposal that waits is to save; ErrNotFound when it does not.
func (o *Org) proposedChange(ctx context.Context, q querier, id int64) ([]byte, error) {
	var sealed []byte
	if err := one(ctx, q, "select change from proposal where org_id = $1 and id = $2 and state = 'waiting'", []any{o.id, id}, &sealed); err != nil {
		return nil, err
	}
	return o.open(ctx, q, o.proposalPlace(id), sealed)
}

// shownProposals is how many proposals are listed; those that wait come first.
const shownProposals = 50

// Proposals lists what waits, then what was decided last.
func (o *Org) Proposals(ctx context.Context) ([]crm.Proposal, error) {
	return o.proposals(ctx, o.read(), "true order by case when state = 'waiting' and expires_at > $2 then 0 else 1 end, id desc limit $3", micros(o.s.now()), shownProposals)
}

// WaitingProposals tells how many proposals wait.
func (o *Org) WaitingProposals(ctx context.Context) (n int, err error) {
	err = one(ctx, o.read(), "select count(*) from proposal where org_id = $1 and state = 'waiting' and expires_at > $2", []any{o.id, micros(o.s.now())}, &n)
	return n, err
}

// Proposal returns one proposal, or ErrNotFound.
func (o *Org) Proposal(ctx context.Context, id int64) (crm.Proposal, error) {
	p, err := first(o.proposals(ctx, o.read(), "id = $2", id))
	if err != nil {
		return crm.Proposal{}, err
	}
	return *p, nil
}

// DryRunProposal tells what approving a proposal of a policy would do, and whether it would
// remove what was filed. ErrNotFound when it is none of a policy, or waits no more; ErrStale
// when another policy holds than the one that it was made of.
func (o *Org) DryRunProposal(ctx context.Context, p *crm.Proposal) (c Change, remove bool, err error) {
	if p.Kind != crm.PolicyProposal || !p.Waits() {
		return c, false, ErrNotFound
	}
	text, err := o.proposedChange(ctx, o.read(), p.ID)
	if err != nil {
		return c, false, err
	}
	err = again(text, func(kept policyChange) error {
		remove = kept.Remove
		if c, err = o.DryRun(ctx, kept.Policy); err == nil && c.Of != kept.Policy.Version {
			err = ErrStale
		}
		return err
	})
	return c, remove, err
}

// proposals reads proposals. One whose time has passed has expired, though nobody wrote
// that down yet.
func (o *Org) proposals(ctx context.Context, q querier, condition string, args ...any) ([]crm.Proposal, error) {
	var list []crm.Proposal
	err := rows(ctx, q, `select id, kind, state, principal, proposed_by, proposed_at, expires_at, effects, closed_at, closed_by
		from proposal where org_id = $1 and `+condition, append([]any{o.id}, args...), func(r *sql.Rows) error {
		var p crm.Proposal
		var effects string
		err := r.Scan(&p.ID, &p.Kind, &p.State, &p.Who, &p.By, stamp{&p.At}, stamp{&p.Expires}, &effects, stamp{&p.Closed}, &p.ClosedBy)
		if err != nil {
			return err
		}
		if p.Waits() && !o.s.now().Before(p.Expires) {
			p.State = crm.ProposalExpired
		}
		if err := json.Unmarshal([]byte(effects), &p.Effects); err != nil {
			return err
		}
		list = append(list, p)
		return nil
	})
	return list, err
}
