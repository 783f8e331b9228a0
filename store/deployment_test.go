package store_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"

	"postern/crm"
	"postern/store"
	"postern/store/storetest"
)

func prefixes(list ...string) (ranges []netip.Prefix) {
	for _, text := range list {
		ranges = append(ranges, netip.MustParsePrefix(text))
	}
	return ranges
}

// audited reads the entries about one action from the audit log.
func audited(t *testing.T, db *storetest.DB, org crm.OrgID, action string) (list []crm.AuditEntry) {
	t.Helper()
	rows, err := db.SQL.QueryContext(t.Context(), "select actor, subject, detail, widens from audit where org_id = $1 and action = $2 order by seq", org, action)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var e crm.AuditEntry
		if err := rows.Scan(&e.Actor, &e.Subject, &e.Detail, &e.Widens); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestDeployment(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, st *storetest.DB) {
		ctx := crm.WithActor(t.Context(), "the operator")
		if d, err := st.Deployment(ctx); err != nil || !reflect.DeepEqual(d, crm.Deployment{Mode: crm.SingleTenant}) {
			t.Fatalf("a new installation: %+v, %v", d, err)
		}
		before, err := st.Org(1).Revision(ctx)
		if err != nil {
			t.Fatal(err)
		}
		save := func(d crm.Deployment) {
			t.Helper()
			if err := st.SaveDeployment(ctx, d); err != nil {
				t.Fatal(err)
			}
		}
		save(crm.Deployment{Mode: crm.OnPremises, Ranges: prefixes("10.20.9.9/16", "127.0.0.0/8", "10.20.0.0/16", "fd00::/8")})
		want := crm.Deployment{Mode: crm.OnPremises, Ranges: prefixes("10.20.0.0/16", "127.0.0.0/8", "fd00::/8")}
		if d, err := st.Deployment(ctx); err != nil || !reflect.DeepEqual(d, want) {
			t.Errorf("got %+v, %v, want %+v", d, err, want)
		}
		if after, err := st.Org(1).Revision(ctx); err != nil || after == before {
			t.Errorf("the organization's revision is still %d, %v", after, err)
		}
		save(crm.Deployment{Mode: crm.OnPremises, Ranges: prefixes("127.0.0.0/8")})
		save(crm.Deployment{Mode: crm.OnPremises, Ranges: prefixes("127.0.0.0/8")})
		if err := st.SaveDeployment(ctx, crm.Deployment{Mode: "shared"}); code(err) != "deployment-mode-unknown" {
			t.Errorf("an unknown mode: %v", err)
		}

		var told []string
		for _, e := range audited(t, st, 1, "deployment.save") {
			told = append(told, fmt.Sprintf("%s %v %s", e.Actor, e.Widens, strings.ReplaceAll(e.Detail, "\n", "; ")))
		}
		wantTold := []string{
			"the operator true mode: single → on-premises; approved range: 10.20.0.0/16; approved range: 127.0.0.0/8; approved range: fd00::/8",
			"the operator false revoked range: 10.20.0.0/16; revoked range: fd00::/8",
		}
		if !reflect.DeepEqual(told, wantTold) {
			t.Errorf("audit log: got %q, want %q", told, wantTold)
		}
	})
}

func TestSecondOrganizationIsRefused(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		mode := func(m crm.DeploymentMode) error { return db.SaveDeployment(ctx, crm.Deployment{Mode: m}) }
		for _, m := range []crm.DeploymentMode{crm.SingleTenant, crm.OnPremises} {
			if err := mode(m); err != nil {
				t.Fatal(err)
			}
			if _, err := db.AddOrg(ctx, "second"); code(err) != "organization-refused" {
				t.Errorf("a second organization in mode %s: %v", m, err)
			}
		}
		if err := mode(crm.MultiTenant); err != nil {
			t.Fatal(err)
		}
		second, err := db.AddOrg(ctx, "Second-1")
		if err != nil || second.Name != "second-1" {
			t.Fatalf("a second organization in mode multi: %+v, %v", second, err)
		}
		for name, want := range map[string]string{"second-1": "organization-exists", "MAIN": "organization-exists", "": "organization-name",
			"a.b": "organization-name", "-a": "organization-name", "ä": "organization-name", "a b": "organization-name", strings.Repeat("a", 64): "organization-name"} {
			if _, err := db.AddOrg(ctx, name); code(err) != want {
				t.Errorf("an organization named %q: %v, want %s", name, err, want)
			}
		}
		if err := mode(crm.SingleTenant); code(err) != "organizations-several" {
			t.Errorf("mode single with two organizations: %v", err)
		}
		if list, err := db.Orgs(ctx); err != nil || !reflect.DeepEqual(list, []store.Organization{{ID: 1, Name: "main"}, {ID: second.ID, Name: "second-1"}}) {
			t.Errorf("organizations: %+v, %v", list, err)
		}
		if list := audited(t, db, second.ID, "organization.add"); len(list) != 1 || list[0].Subject != "second-1" {
			t.Errorf("audit log of the new organization: %+v", list)
		}

		// The database refuses by itself.
		if err := mode(crm.MultiTenant); err != nil {
			t.Fatal(err)
		}
		if _, err := db.SQL.ExecContext(ctx, "update tenant set mode = 'single'"); err == nil {
			t.Error("the database lets two organizations be alone")
		}
	})
}

func TestFindOrg(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		ctx := t.Context()
		find := func(name, want string) {
			t.Helper()
			if org, err := st.FindOrg(ctx, name); code(err) != want && !(want == "" && err == nil && org != nil) {
				t.Errorf("organization %q: %v, want %q", name, err, want)
			}
		}
		find("", "")
		find("main", "")
		find("acme", "organization-unknown")
		if err := st.SaveDeployment(ctx, crm.Deployment{Mode: crm.MultiTenant}); err != nil {
			t.Fatal(err)
		}
		if _, err := st.AddOrg(ctx, "acme"); err != nil {
			t.Fatal(err)
		}
		find("", "organization-unnamed")
		find("Acme", "")
	})
}

// Whoever comes first, there are never two organizations where the mode allows one.
func TestModeAndOrganizationsInARace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		ctx := t.Context()
		if err := st.SaveDeployment(ctx, crm.Deployment{Mode: crm.MultiTenant}); err != nil {
			t.Fatal(err)
		}
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				if i%2 == 0 {
					errs[i] = st.SaveDeployment(ctx, crm.Deployment{Mode: crm.SingleTenant})
				} else {
					_, errs[i] = st.AddOrg(ctx, fmt.Sprint("org-", i))
				}
			})
		}
		wg.Wait()
		d, err := st.Deployment(ctx)
		if err != nil {
			t.Fatal(err)
		}
		list, err := st.Orgs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		added := 0
		for i, err := range errs {
			switch code(err) {
			case "<nil>":
				added += i % 2
			case "organization-refused", "organizations-several":
			default:
				t.Errorf("%d: %v", i, err)
			}
		}
		if d.Mode != crm.MultiTenant && len(list) > 1 || len(list) != 1+added {
			t.Errorf("mode %s with %d organizations, of which %d were added: %v", d.Mode, len(list), added, errs)
		}
	})
}
