package store

import (
	"context"

	"postern/crm"
)

// Permit is what an Exchange administrator is asked to permit: what the settings and the
// policy need, and no more. A version or an application that is named takes the place of the
// one that is set.
func (o *Org) Permit(ctx context.Context, version, app string) (crm.Permit, error) {
	settings, _, err := o.Settings(ctx)
	if err != nil {
		return crm.Permit{}, err
	}
	policy, err := o.Policy(ctx)
	if err != nil {
		return crm.Permit{}, err
	}
	p := crm.Permit{Settings: settings, Policy: policy}
	if version != "" {
		p.Settings.Version = version
	}
	if app != "" {
		p.AppIDs = []string{app}
	}
	for _, allowed := range policy.Allow { // the group that the policy names is the one to be opened
		if group, ok := allowed.Group(); ok {
			p.Group = string(group)
			return p, nil
		}
	}
	boxes, _, err := o.Mailboxes(ctx, ListQuery{Limit: Everything})
	p.Policy.Allow = nil // by address: those that are read now
	for _, b := range boxes {
		if b.State != crm.Off {
			p.Policy.Allow = append(p.Policy.Allow, crm.Selector(b.Address))
		}
	}
	return p, err
}
