package store

import (
	"context"
	"errors"
	"slices"

	"postern/crm"
	"postern/mail"
)

// Settings returns the settings of the connection, the password in the clear; the zero
// values when they were never saved.
func (o *Org) Settings(ctx context.Context) (crm.Settings, crm.ConnectionID, error) {
	return o.settings(ctx, o.read())
}

func (o *Org) settings(ctx context.Context, q querier) (crm.Settings, crm.ConnectionID, error) {
	var s crm.Settings
	var id crm.ConnectionID
	var sealed []byte
	err := one(ctx, q, `select id, enabled, server, version, login, password, user_agent, gzip, root_cas, saved_at
		from connection where org_id = $1`, []any{o.id},
		&id, &s.Enabled, &s.Server, &s.Version, &s.Login, &sealed, &s.UserAgent, &s.Gzip, &s.RootCAs, stamp{&s.Saved})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return crm.Settings{}, 0, err
	}
	if len(sealed) > 0 {
		password, err := o.open(ctx, q, o.passwordPlace(id), sealed)
		if err != nil {
			return crm.Settings{}, 0, err
		}
		s.Password = crm.NewSecret(string(password))
	}
	p, err := o.policy(ctx, q)
	s.Domains = p.Domains
	return s, id, err
}

func (o *Org) passwordPlace(id crm.ConnectionID) place {
	return place{o.id, "connection", int64(id), "password"}
}

// SaveSettings keeps the settings of the connection, and makes and switches off mailboxes
// accordingly. Mailboxes in trouble are due at once: whoever saves has changed something
// about it. Other Domains make a new version of the policy, which is where they are kept.
func (o *Org) SaveSettings(ctx context.Context, s crm.Settings) error {
	return o.savePolicies(ctx, "save settings", func(t *tx, h hasher) error {
		if err := o.changed(ctx, t); err != nil {
			return err
		}
		kept, id, err := o.settings(ctx, t)
		if err != nil {
			return err
		}
		if err = o.saveConnection(ctx, t, id, s); err != nil {
			return err
		}
		old, err := o.policy(ctx, t)
		if err != nil {
			return err
		}
		now := old
		now.Domains = unique(slices.Clone(s.Domains))
		if len(old.Diff(&now)) > 0 {
			_, err = o.insertPolicy(ctx, t, h, old, now)
		} else {
			_, err = o.provision(ctx, t)
		}
		if err != nil {
			return err
		}
		if err := o.forgiveMailboxes(ctx, t); err != nil {
			return err
		}
		return o.audit(ctx, t, settingsEntry(kept, s))
	})
}

func (o *Org) saveConnection(ctx context.Context, t *tx, id crm.ConnectionID, s crm.Settings) error {
	if id == 0 {
		err := one(ctx, t, `insert into connection (org_id, enabled, server, version, login, user_agent, gzip, root_cas)
			values ($1, false, '', '', '', '', false, '') returning id`, []any{o.id}, &id)
		if err != nil {
			return err
		}
	}
	var sealed []byte
	if !s.Password.Empty() {
		var err error
		if sealed, err = o.seal(ctx, t, o.passwordPlace(id), []byte(s.Password.Reveal())); err != nil {
			return err
		}
	}
	_, err := t.exec(ctx, `update connection set enabled = $3, server = $4, version = $5, login = $6, password = $7,
		user_agent = $8, gzip = $9, root_cas = $10, saved_at = $11 where org_id = $1 and id = $2`,
		o.id, id, s.Enabled, s.Server, s.Version, s.Login, sealed, s.UserAgent, s.Gzip, s.RootCAs, micros(o.s.now()))
	return err
}

// forgiveMailboxes forgets the trouble of mailboxes and makes them due.
func (o *Org) forgiveMailboxes(ctx context.Context, t *tx) error {
	_, err := t.exec(ctx, `update mailbox set state = case when checked_at > 0 then 'live' else 'provisioned' end,
		since = $2, due_at = $2, bell = bell + 1, trouble = '', tries = 0
		where org_id = $1 and trouble <> '' and state <> 'off'`, o.id, micros(o.s.now()))
	return err
}

// addressesIn returns the addresses of active users in these domains.
func (o *Org) addressesIn(ctx context.Context, q querier, domains []string) ([]mail.Address, error) {
	all, err := texts(ctx, q, "select address from user_address where org_id = $1 and active", o.id)
	var list []mail.Address
	for _, a := range all {
		if slices.Contains(domains, mail.Address(a).Domain()) {
			list = append(list, mail.Address(a))
		}
	}
	return list, err
}
