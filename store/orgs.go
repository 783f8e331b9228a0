package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"postern/crm"
)

// An Organization is a name in the list of organizations.
type Organization struct {
	ID   crm.OrgID
	Name string // a label, as in a host name
}

// firstOrgName is what the organization is called that a new installation begins with.
const firstOrgName = "main"

// Orgs lists the organizations, in the order in which they came.
func (s *Store) Orgs(ctx context.Context) ([]Organization, error) {
	return tenants(ctx, view{s.db})
}

func tenants(ctx context.Context, q querier) ([]Organization, error) {
	var list []Organization
	err := rows(ctx, q, "select org_id, name from tenant order by org_id", nil, func(r *sql.Rows) error {
		var o Organization
		if err := r.Scan(&o.ID, &o.Name); err != nil {
			return err
		}
		list = append(list, o)
		return nil
	})
	return list, err
}

// FindOrg returns the handle on the organization of this name; "" = the only one there is.
// Its faults have the codes "organization-unknown" and "organization-unnamed".
func (s *Store) FindOrg(ctx context.Context, name string) (*Org, error) {
	list, err := s.Orgs(ctx)
	if err != nil {
		return nil, err
	}
	if name == "" && len(list) == 1 {
		return s.Org(list[0].ID), nil
	}
	var names []string
	for _, o := range list {
		if o.Name == strings.ToLower(name) {
			return s.Org(o.ID), nil
		}
		names = append(names, o.Name)
	}
	f := &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "organization-unknown",
		Message: fmt.Sprintf("There is no organization named %q.", name), Advice: "Name one of: " + strings.Join(names, ", ") + "."}
	if name == "" {
		f.Code, f.Message = "organization-unnamed", fmt.Sprintf("There are %d organizations.", len(list))
		f.Advice = "Say which one by --org or POSTERN_ORG: " + strings.Join(names, ", ") + "."
	}
	return nil, f
}

// AddOrg makes an organization. A name is a label: letters, digits and hyphens, 63 at
// most. Its faults have the codes "organization-refused", where the installation is for
// one, "organization-name" and "organization-exists".
func (s *Store) AddOrg(ctx context.Context, name string) (Organization, error) {
	name = strings.ToLower(name)
	if !isLabel(name) {
		return Organization{}, &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "organization-name",
			Message: fmt.Sprintf("%q cannot be the name of an organization.", name),
			Advice:  "Use letters, digits and hyphens, 63 at most, as in a host name: acme, north-works."}
	}
	var id crm.OrgID
	err := s.db.update(ctx, "add organization", func(t *tx) error {
		id = 0
		d, err := lockDeployment(ctx, t)
		if err != nil {
			return err
		}
		list, err := tenants(ctx, t)
		if err != nil {
			return err
		}
		for _, o := range list {
			if o.Name == name {
				return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "organization-exists",
					Message: fmt.Sprintf("There is an organization named %s already.", name), Advice: "Choose another name."}
			}
			id = max(id, o.ID)
		}
		if d.Mode != crm.MultiTenant && len(list) > 0 {
			return secondOrg(d.Mode)
		}
		id++
		if err := s.insertOrg(ctx, t, id, name); err != nil {
			return err
		}
		return s.Org(id).audit(ctx, t, crm.AuditEntry{Action: "organization.add", Subject: name})
	})
	if err != nil {
		return Organization{}, err
	}
	return Organization{id, name}, nil
}

// makeFirstOrg makes the organization that every installation has, unless it is there,
// and sees whether the key file is the right one.
func (s *Store) makeFirstOrg(ctx context.Context) error {
	const id = 1
	return s.db.update(ctx, "make organization", func(t *tx) error {
		err := s.checkKey(ctx, t, id)
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		if _, err := lockDeployment(ctx, t); err != nil {
			return err
		}
		if err := s.checkKey(ctx, t, id); !errors.Is(err, ErrNotFound) {
			return err // another process was faster
		}
		return s.insertOrg(ctx, t, id, firstOrgName)
	})
}

// checkKey opens what an organization's row has sealed.
func (s *Store) checkKey(ctx context.Context, t *tx, id crm.OrgID) error {
	var sealed []byte
	if err := one(ctx, t, "select hash_key from org where id = $1", []any{id}, &sealed); err != nil {
		return err
	}
	_, err := s.Org(id).open(ctx, t, hashKeyPlace(id), sealed)
	if f, ok := errors.AsType[*crm.Fault](err); ok && f.Code == "key-shredded" {
		return nil // there is no key to be right
	}
	return err
}

// insertOrg makes an organization with its hash key.
func (s *Store) insertOrg(ctx context.Context, t *tx, id crm.OrgID, name string) error {
	if err := s.Org(id).makeKeys(ctx, t); err != nil {
		return err
	}
	sealed, err := s.Org(id).seal(ctx, t, hashKeyPlace(id), newHashKey())
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, "insert into org (id, hash_key) values ($1, $2)", id, sealed); err != nil {
		return err
	}
	_, err = t.exec(ctx, "insert into tenant (org_id, name, mode) select $1, $2, mode from installation", id, name)
	return err
}

func hashKeyPlace(id crm.OrgID) place { return place{id, "org", int64(id), "hash_key"} }

// isLabel tells whether a text can be a label of a host name.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func secondOrg(mode crm.DeploymentMode) *crm.Fault {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "organization-refused",
		Message: fmt.Sprintf("This installation is for one organization (mode %s), which is there already.", mode),
		Advice:  "Use an installation of its own for each, or let this one have several: postern deployment --mode multi."}
}

func severalOrgs(mode crm.DeploymentMode, n int) *crm.Fault {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "organizations-several",
		Message: fmt.Sprintf("The mode %s is for one organization; there are %d.", mode, n),
		Advice:  "Leave the mode at multi, or use an installation of its own for each organization."}
}
