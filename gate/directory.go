package gate

import (
	"context"
	"slices"

	"postern/crm"
	"postern/mail"
)

// Members asks for the members of groups that the policy names, and of no others.
func (g guard) Members(ctx context.Context, group mail.Address) ([]mail.Address, error) {
	ctx, leave, err := g.gate.enter(ctx, g.era, func(t *Terms) error {
		if err := t.enabled(); err != nil {
			return err
		}
		if !slices.Contains(t.Policy.GroupNames(), group) {
			return denied(crm.Fault{Code: "group-not-named", Message: "The policy does not name this group."})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	directory, ok := g.src.(crm.Directory)
	if !ok {
		return nil, leave(&crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "no-groups",
			Message: "This mail system cannot say who belongs to a group.", Advice: "Name mailboxes in the policy, or enter the members by postern policy group."})
	}
	members, err := directory.Members(ctx, group)
	return members, leave(err)
}
