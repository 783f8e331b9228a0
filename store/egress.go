package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"postern/crm"
)

// Egress returns from where the requests of the organization leave; the zero value when
// nothing was saved.
func (o *Org) Egress(ctx context.Context) (crm.Egress, error) { return o.egress(ctx, o.read()) }

func (o *Org) egress(ctx context.Context, q querier) (crm.Egress, error) {
	var e crm.Egress
	var sealed []byte
	err := one(ctx, q, "select proxy, proxy_login, proxy_password, saved_at from egress where org_id = $1", []any{o.id},
		&e.Proxy, &e.ProxyLogin, &sealed, stamp{&e.Saved})
	if errors.Is(err, ErrNotFound) {
		return crm.Egress{}, nil
	}
	if err != nil {
		return crm.Egress{}, err
	}
	if e.ProxyPassword, err = o.openSecret(ctx, q, o.proxyPasswordPlace(), sealed); err != nil {
		return crm.Egress{}, err
	}
	err = rows(ctx, q, "select local, public, valid_from, valid_until from egress_address where org_id = $1 order by position", []any{o.id}, func(r *sql.Rows) error {
		var a crm.EgressAddress
		var local, public string
		if err := r.Scan(&local, &public, stamp{&a.From}, stamp{&a.Until}); err != nil {
			return err
		}
		var err error
		if a.Local, err = netip.ParseAddr(local); err != nil {
			return fmt.Errorf("address of the egress: %w", err)
		}
		if public != "" {
			if a.Public, err = netip.ParseAddr(public); err != nil {
				return fmt.Errorf("public address of the egress: %w", err)
			}
		}
		e.Addresses = append(e.Addresses, a)
		return nil
	})
	return e, err
}

func (o *Org) proxyPasswordPlace() place {
	return place{o.id, "egress", int64(o.id), "proxy_password"}
}

// SaveEgress keeps from where requests leave; e has passed crm.Egress.Check. Connections
// are opened anew by it, and mailboxes in trouble are tried again at once.
func (o *Org) SaveEgress(ctx context.Context, e crm.Egress) error {
	c := egressChange{e, e.ProxyPassword.Reveal()}
	return o.guarded(ctx, "save egress", change{crm.EgressProposal, &c}, func(t *tx) error {
		sealed, err := o.sealSecret(ctx, t, o.proxyPasswordPlace(), e.ProxyPassword)
		if err != nil {
			return err
		}
		if err := o.changed(ctx, t); err != nil {
			return err
		}
		old, err := o.egress(ctx, t)
		if err == nil {
			err = proposedOf(ctx, &c.Saved, old.Saved)
		}
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `insert into egress (org_id, proxy, proxy_login, proxy_password, saved_at) values ($1, $2, $3, $4, $5)
			on conflict (org_id) do update set proxy = excluded.proxy, proxy_login = excluded.proxy_login, proxy_password = excluded.proxy_password, saved_at = excluded.saved_at`,
			o.id, e.Proxy, e.ProxyLogin, sealed, micros(o.s.now()))
		if err != nil {
			return err
		}
		if err := o.saveEgressAddresses(ctx, t, e.Addresses); err != nil {
			return err
		}
		if err := o.forgiveMailboxes(ctx, t); err != nil {
			return err
		}
		return o.audit(ctx, t, egressEntry(old, e))
	})
}

func (o *Org) saveEgressAddresses(ctx context.Context, t *tx, list []crm.EgressAddress) error {
	if _, err := t.exec(ctx, "delete from egress_address where org_id = $1", o.id); err != nil {
		return err
	}
	for i, a := range list {
		public := ""
		if a.Public.IsValid() {
			public = a.Public.String()
		}
		_, err := t.exec(ctx, "insert into egress_address (org_id, position, local, public, valid_from, valid_until) values ($1, $2, $3, $4, $5, $6)",
			o.id, i, a.Local.String(), public, micros(a.From), micros(a.Until))
		if err != nil {
			return err
		}
	}
	return nil
}

// egressEntry says what changed. A further address, one for longer or another proxy is one more
// way out, and so is the end of the list: without one requests leave from any address, so that
// the first of a list is no widening. So is another public address, of which firewalls are told.
func egressEntry(old, now crm.Egress) crm.AuditEntry {
	var c changes
	has := func(list []crm.EgressAddress, a crm.EgressAddress) bool {
		return slices.ContainsFunc(list, func(b crm.EgressAddress) bool {
			return a.Local == b.Local && a.Public == b.Public && a.From.Equal(b.From) && a.Until.Equal(b.Until)
		})
	}
	for _, a := range now.Addresses {
		if !has(old.Addresses, a) {
			covered := slices.ContainsFunc(old.Addresses, func(b crm.EgressAddress) bool { return covers(b, a) })
			c.say("address added: "+a.String(), len(old.Addresses) > 0 && !covered)
		}
	}
	for _, a := range old.Addresses {
		if !has(now.Addresses, a) {
			c.say("address removed: "+a.String(), false)
		}
	}
	if len(now.Addresses) == 0 && len(old.Addresses) > 0 {
		c.say("no address is prescribed any more", true)
	}
	c.note("proxy", old.Proxy, now.Proxy, true)
	c.note("proxy login", old.ProxyLogin, now.ProxyLogin, false)
	c.noteSecret("proxy password", old.ProxyPassword, now.ProxyPassword)
	return c.entry("egress.save", "")
}

// covers tells whether requests may leave from an address at all times that the other is for.
func covers(a, other crm.EgressAddress) bool {
	return a.Local == other.Local && a.Public == other.Public && !other.From.Before(a.From) &&
		(a.Until.IsZero() || !other.Until.IsZero() && !other.Until.After(a.Until))
}
