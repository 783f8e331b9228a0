package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/crm"
)

// FourEyes says whether what widens access needs a second person's approval.
type FourEyes struct {
	Since  time.Time // zero = it does not
	By     string    // who turned it on
	Admins int       // administrators who can sign in, and so approve; crm.FirstAdmin is none of them
	First  bool      // crm.FirstAdmin can sign in
}

// On tells whether a second person is asked.
func (f FourEyes) On() bool { return !f.Since.IsZero() }

// FourEyes returns what holds in the organization.
func (o *Org) FourEyes(ctx context.Context) (FourEyes, error) { return o.fourEyes(ctx, o.read()) }

func (o *Org) fourEyes(ctx context.Context, q querier) (FourEyes, error) {
	var f FourEyes
	err := one(ctx, q, `select four_eyes_at, four_eyes_by,
			(select count(*) from account a where org_id = $1 and admin and active and password <> ''
				and not exists (`+firstAdminSQL+`)),
			exists (select 1 from account a where org_id = $1 and admin and active and password <> '' and exists (`+firstAdminSQL+`))
		from org where id = $1`,
		[]any{o.id, crm.FirstAdmin}, stamp{&f.Since}, &f.By, &f.Admins, &f.First)
	return f, err
}

// firstAdminSQL finds an account a among those that have the address of crm.FirstAdmin, $2.
const firstAdminSQL = "select 1 from user_address u where u.org_id = $1 and u.user_id = a.id and u.address = $2"

// SetFourEyes turns it on or off. To turn it off widens access. To turn it on is refused
// while fewer than two administrators can sign in (four-eyes-one-administrator), and while
// crm.FirstAdmin can (four-eyes-first-administrator): whoever has its password as well as an
// account of the own would be both.
func (o *Org) SetFourEyes(ctx context.Context, on bool) error {
	return o.guarded(ctx, "set four eyes", change{crm.FourEyesProposal, on}, func(t *tx) error {
		if err := o.lock(ctx, t); err != nil {
			return err
		}
		f, err := o.fourEyes(ctx, t)
		if err != nil || f.On() == on {
			return err
		}
		if on && f.Admins < 2 {
			return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "four-eyes-one-administrator",
				Message: "Four eyes need two administrators who can sign in: with fewer, nobody could approve what the other proposes.",
				Advice:  "Make a second user an administrator and give a password, then turn it on."}
		}
		if on && f.First {
			return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "four-eyes-first-administrator",
				Message: fmt.Sprintf("The account %s of the first start can still sign in: whoever has its password besides an account of the own would be two people.", crm.FirstAdmin),
				Advice:  fmt.Sprintf("Deactivate it: postern users deactivate %s. Then turn four eyes on.", crm.FirstAdmin)}
		}
		entry := crm.AuditEntry{Action: "four-eyes.off", Widens: true, Detail: "one person may widen access alone"}
		at, by := int64(0), ""
		if on {
			at, by = micros(o.s.now()), clean(crm.ActorOf(ctx))
			entry = crm.AuditEntry{Action: "four-eyes.on", Detail: "what widens access waits for a second person"}
		}
		if _, err := t.exec(ctx, "update org set four_eyes_at = $2, four_eyes_by = $3 where id = $1", o.id, at, by); err != nil {
			return err
		}
		return o.audit(ctx, t, entry)
	})
}

// ownPassword refuses that a user sets the password of an administrator other than that user.
func (o *Org) ownPassword(ctx context.Context, t *tx, user crm.UserID) error {
	who := crm.Acting(ctx)
	if who == crm.Operator || who == crm.Nobody || who == crm.PrincipalOf(user) {
		return nil
	}
	f, err := o.fourEyes(ctx, t)
	if err != nil || !f.On() {
		return err
	}
	var admin bool
	if err := one(ctx, t, "select admin from account where org_id = $1 and id = $2", []any{o.id, user}, &admin); err != nil || !admin {
		return err
	}
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "four-eyes-password",
		Message: "Four eyes are asked for, so no administrator sets the password of another: who has it could approve in that name.",
		Advice:  "Have the operator set it: postern users password ADDRESS."}
}

// An approval is what approves a proposal at the end of the transaction that carries it out.
type approval struct {
	*crm.Proposal
	who crm.Principal // who approves
	by  string        // the same, in words
}

// Approve carries a proposal out, as whoever acts. Its faults have the codes
// "four-eyes-same-person", "four-eyes-password", "four-eyes-nobody", "proposal-closed" and
// "proposal-stale", by which the proposal is closed; ErrNotFound when there is none.
func (o *Org) Approve(ctx context.Context, id int64) error {
	p, err := o.decidable(ctx, id)
	if err == nil {
		err = o.MayApprove(ctx, p)
	}
	if err != nil {
		return err
	}
	text, err := o.proposedChange(ctx, o.read(), id)
	if errors.Is(err, ErrNotFound) { // decided a moment ago
		return o.closed(ctx, id)
	}
	if err != nil {
		return err
	}
	a := &approval{p, crm.Acting(ctx), crm.ActorOf(ctx)}
	err = o.apply(context.WithValue(crm.WithActor(ctx, p.By+", approved by "+a.by), approvalKey{}, a), p.Kind, text)
	if _, taken := errors.AsType[*ConflictError](err); taken || errors.Is(err, errDiffers) || errors.Is(err, ErrStale) || errors.Is(err, ErrNotFound) {
		return o.outdated(ctx, p)
	}
	if errors.Is(err, errClosed) {
		return o.closed(ctx, id)
	}
	return err
}

// MayApprove says why whoever acts cannot approve a proposal that waits, by the faults of
// Approve; nil when that person can.
func (o *Org) MayApprove(ctx context.Context, p *crm.Proposal) error {
	return o.mayApprove(ctx, o.read(), p, crm.Acting(ctx))
}

func (o *Org) mayApprove(ctx context.Context, q querier, p *crm.Proposal, who crm.Principal) error {
	if err := o.mayDecide(ctx, q, who); err != nil {
		return err
	}
	if p.Who == who {
		return samePerson(p)
	}
	return o.twoPeople(ctx, q, p, who)
}

func samePerson(p *crm.Proposal) error {
	f := &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "four-eyes-same-person",
		Message: fmt.Sprintf("You proposed %s yourself.", p.Name()),
		Advice:  fmt.Sprintf("Somebody else is to look at it: another administrator, or the operator by postern policy approve %d.", p.ID)}
	if p.Who == crm.Operator {
		f.Message = fmt.Sprintf("%s was made on the command line, and all who run commands are one person.", capital(p.Name()))
		f.Advice = "An administrator is to look at it, under Access → Policy."
	}
	return f
}

// twoPeople refuses an approval where one person may hold the passwords of both, of who
// proposed and of who approves: one set the other's, or somebody set those of both, be it
// before they became administrators.
func (o *Org) twoPeople(ctx context.Context, q querier, p *crm.Proposal, who crm.Principal) error {
	proposers, err := o.holders(ctx, q, p.Who)
	if err != nil {
		return err
	}
	approvers, err := o.holders(ctx, q, who)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(approvers, func(h crm.Principal) bool { return slices.Contains(proposers, h) }) {
		return nil
	}
	whose := who // a new password of this one parts the two
	if slices.Contains(proposers, who) {
		whose = p.Who
	}
	name, err := o.userName(ctx, q, whose.User())
	if err != nil {
		return err
	}
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "four-eyes-password",
		Message: fmt.Sprintf("One person may hold your password and that of who made %s: %s got it from another administrator.", p.Name(), name),
		Advice:  fmt.Sprintf("Another administrator may approve it, or the operator by postern policy approve %d, and you once the operator set a new password there: postern users password ADDRESS.", p.ID)}
}

// holders are the users who may know somebody's password: the user, who set it for that
// user, who set that one's, and so on.
func (o *Org) holders(ctx context.Context, q querier, who crm.Principal) (list []crm.Principal, err error) {
	for who.User() != 0 && !slices.Contains(list, who) {
		list = append(list, who)
		if err := one(ctx, q, "select password_by from account where org_id = $1 and id = $2", []any{o.id, who.User()}, &who); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// approve ends the transaction that carries a proposal out.
func (o *Org) approve(ctx context.Context, t *tx, a *approval) error {
	if !slices.Equal(t.effects, a.Effects) {
		return errDiffers
	}
	if err := o.mayApprove(ctx, t, a.Proposal, a.who); err != nil {
		return err
	}
	return o.closeProposal(ctx, t, a.Proposal, crm.ProposalApproved, a.by)
}

// Reject closes a proposal; who made it withdraws it so. Its faults are those of Approve.
func (o *Org) Reject(ctx context.Context, id int64) error {
	p, err := o.decidable(ctx, id)
	if err != nil {
		return err
	}
	state := crm.ProposalRejected
	if p.Who == crm.Acting(ctx) {
		state = crm.ProposalWithdrawn
	}
	err = o.db.update(ctx, "reject a proposal", func(t *tx) error { return o.closeProposal(ctx, t, p, state, crm.ActorOf(ctx)) })
	if errors.Is(err, errClosed) {
		return o.closed(ctx, id)
	}
	return err
}

// decidable returns a proposal that waits, to somebody who may decide.
func (o *Org) decidable(ctx context.Context, id int64) (*crm.Proposal, error) {
	if err := o.ExpireProposals(ctx); err != nil {
		return nil, err
	}
	p, err := o.Proposal(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := o.mayDecide(ctx, o.read(), crm.Acting(ctx)); err != nil {
		return nil, err
	}
	if !p.Waits() {
		return nil, closedFault(&p)
	}
	return &p, nil
}

// mayDecide refuses all but the operator and administrators. crm.FirstAdmin is nobody's own
// account, and decides nothing.
func (o *Org) mayDecide(ctx context.Context, q querier, who crm.Principal) error {
	if who == crm.Operator {
		return nil
	}
	var admin bool
	err := one(ctx, q, "select admin and not exists ("+firstAdminSQL+") from account a where org_id = $1 and id = $3 and active",
		[]any{o.id, crm.FirstAdmin, who.User()}, &admin)
	if err != nil && !errors.Is(err, ErrNotFound) || admin {
		return err
	}
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "four-eyes-nobody",
		Message: "Only an administrator with an account of the own, or the operator, decides about proposals.", Advice: "Sign in as an administrator."}
}

// errClosed tells that somebody else was faster.
var errClosed = errors.New("the proposal waits no more")

// closeProposal writes down what became of a proposal, once, and forgets what it was to save.
func (o *Org) closeProposal(ctx context.Context, t *tx, p *crm.Proposal, state crm.ProposalState, by string) error {
	n, err := t.exec(ctx, "update proposal set state = $3, closed_at = $4, closed_by = $5, change = null where org_id = $1 and id = $2 and state = 'waiting'",
		o.id, p.ID, state, micros(o.s.now()), clean(by))
	if err != nil {
		return err
	}
	if n == 0 {
		return errClosed
	}
	return o.audit(ctx, t, crm.AuditEntry{Actor: by, Action: proposalActions[state], Subject: p.Name(), Detail: "proposed by " + p.By})
}

// proposalActions are what the audit log calls what becomes of a proposal.
var proposalActions = map[crm.ProposalState]string{
	crm.ProposalApproved:  "proposal.approve",
	crm.ProposalRejected:  "proposal.reject",
	crm.ProposalWithdrawn: "proposal.withdraw",
	crm.ProposalStale:     "proposal.stale",
	crm.ProposalExpired:   "proposal.expire",
}

// outdated closes a proposal that would do something else by now than what it says.
func (o *Org) outdated(ctx context.Context, p *crm.Proposal) error {
	err := o.db.update(ctx, "close a stale proposal", func(t *tx) error {
		return o.closeProposal(ctx, t, p, crm.ProposalStale, crm.ActorOf(ctx))
	})
	if errors.Is(err, errClosed) {
		return o.closed(ctx, p.ID)
	}
	if err != nil {
		return err
	}
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "proposal-stale",
		Message: fmt.Sprintf("Nothing was changed: since %s was made, what it changes was saved anew or has become another; it could undo that, or do what it does not say.", p.Name()),
		Advice:  "If it is still wanted, make the change once more, from what holds now."}
}

// closed says what became of a proposal that waits no more.
func (o *Org) closed(ctx context.Context, id int64) error {
	p, err := o.Proposal(ctx, id)
	if err != nil {
		return err
	}
	return closedFault(&p)
}

func closedFault(p *crm.Proposal) error {
	message := fmt.Sprintf("%s has expired: nobody decided in time.", capital(p.Name()))
	if p.State != crm.ProposalExpired {
		message = fmt.Sprintf("%s is %s already, by %s.", capital(p.Name()), p.State, p.ClosedBy)
	}
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "proposal-closed", Message: message,
		Advice: "Nothing to do. If it is still wanted, make the change once more."}
}

// capital begins a sentence.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// ExpireProposals closes those about which nobody decided in time.
func (o *Org) ExpireProposals(ctx context.Context) error {
	late, err := o.proposals(ctx, o.read(), "state = 'waiting' and expires_at <= $2 order by id", micros(o.s.now()))
	for i := 0; i < len(late) && err == nil; i++ {
		err = o.db.update(ctx, "expire a proposal", func(t *tx) error {
			err := o.closeProposal(ctx, t, &late[i], crm.ProposalExpired, "Postern")
			if errors.Is(err, errClosed) {
				return nil
			}
			return err
		})
	}
	return err
}
