package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"postern/crm"
)

// Deployment returns what the operator decided about the installation. A new one is for a
// single organization and may connect to no private address.
func (s *Store) Deployment(ctx context.Context) (crm.Deployment, error) {
	return deployment(ctx, view{s.db})
}

// Deployment is that of the store: what the operator decided holds for every organization.
func (o *Org) Deployment(ctx context.Context) (crm.Deployment, error) { return o.s.Deployment(ctx) }

func deployment(ctx context.Context, q querier) (crm.Deployment, error) {
	var d crm.Deployment
	var ranges string
	if err := one(ctx, q, "select mode, ranges from installation where id = 1", nil, &d.Mode, &ranges); err != nil {
		return crm.Deployment{}, err
	}
	for _, text := range strings.Fields(ranges) {
		r, err := netip.ParsePrefix(text)
		if err != nil {
			return crm.Deployment{}, fmt.Errorf("ranges of the installation: %w", err)
		}
		d.Ranges = append(d.Ranges, r)
	}
	return d, nil
}

// SaveDeployment keeps what the operator decided. Every organization learns of it: its
// revision is raised, and its audit log has an entry. A mode for one organization where
// there are several is a Fault with the code "organizations-several".
func (s *Store) SaveDeployment(ctx context.Context, d crm.Deployment) error {
	d, err := tidy(d)
	if err != nil {
		return err
	}
	var ranges []string
	for _, r := range d.Ranges {
		ranges = append(ranges, r.String())
	}
	return s.db.update(ctx, "save deployment", func(t *tx) error {
		old, err := lockDeployment(ctx, t)
		if err != nil {
			return err
		}
		orgs, err := tenants(ctx, t)
		if err != nil {
			return err
		}
		if d.Mode != crm.MultiTenant && len(orgs) > 1 {
			return severalOrgs(d.Mode, len(orgs))
		}
		if _, err := t.exec(ctx, "update installation set mode = $1, ranges = $2 where id = 1", d.Mode, strings.Join(ranges, " ")); err != nil {
			return err
		}
		for _, org := range orgs {
			if err := s.Org(org.ID).deployed(ctx, t, old, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// deployed tells an organization that the installation has changed.
func (o *Org) deployed(ctx context.Context, t *tx, old, now crm.Deployment) error {
	if err := o.changed(ctx, t); err != nil {
		return err
	}
	var c changes
	c.note("mode", string(old.Mode), string(now.Mode), old.Mode == crm.OnPremises || now.Mode == crm.MultiTenant)
	for _, r := range now.Ranges {
		if !slices.Contains(old.Ranges, r) {
			within := func(o netip.Prefix) bool { return o.Bits() <= r.Bits() && o.Overlaps(r) }
			c.say("approved range: "+r.String(), !slices.ContainsFunc(old.Ranges, within))
		}
	}
	for _, r := range old.Ranges {
		if !slices.Contains(now.Ranges, r) {
			c.say("revoked range: "+r.String(), false)
		}
	}
	if len(c.lines) == 0 {
		return nil
	}
	return o.audit(ctx, t, c.entry("deployment.save", ""))
}

// lockDeployment reads the installation's row, which stays as it is until the transaction
// ends.
func lockDeployment(ctx context.Context, t *tx) (crm.Deployment, error) {
	if _, err := t.exec(ctx, "update installation set ranges = ranges where id = 1"); err != nil {
		return crm.Deployment{}, err
	}
	return deployment(ctx, t)
}

// tidy checks a deployment and brings its ranges into order, each once.
func tidy(d crm.Deployment) (crm.Deployment, error) {
	switch d.Mode {
	case crm.MultiTenant, crm.SingleTenant, crm.OnPremises:
	default:
		return d, &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "deployment-mode-unknown",
			Message: fmt.Sprintf("%q is no mode of an installation.", string(d.Mode)), Advice: "Choose multi, single or on-premises."}
	}
	var list []netip.Prefix
	for _, r := range d.Ranges {
		if !r.IsValid() {
			return d, errors.New("a range of the deployment is not valid")
		}
		list = append(list, r.Masked())
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	d.Ranges = slices.Compact(list)
	return d, nil
}
