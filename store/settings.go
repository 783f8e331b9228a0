package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"postern/crm"
	"postern/mail"
)

// Settings returns the settings of the connection, the secrets in the clear; the zero
// values when they were never saved.
func (o *Org) Settings(ctx context.Context) (crm.Settings, crm.ConnectionID, error) {
	return o.settings(ctx, o.read())
}

func (o *Org) settings(ctx context.Context, q querier) (crm.Settings, crm.ConnectionID, error) {
	var s crm.Settings
	var id crm.ConnectionID
	var password, keytab, key []byte
	err := one(ctx, q, `select id, enabled, server, version, model, scheme, login, password, keytab, kdc, client_certificate, client_key,
			user_agent, gzip, root_cas, saved_at
		from connection where org_id = $1`, []any{o.id},
		&id, &s.Enabled, &s.Server, &s.Version, &s.Model, &s.Scheme, &s.Login, &password, &keytab, &s.KDC, &s.ClientCertificate, &key,
		&s.UserAgent, &s.Gzip, &s.RootCAs, stamp{&s.Saved})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return crm.Settings{}, 0, err
	}
	for _, v := range []struct {
		to     *crm.Secret
		column string
		sealed []byte
	}{{&s.Password, "password", password}, {&s.Keytab, "keytab", keytab}, {&s.ClientKey, "client_key", key}} {
		if *v.to, err = o.openSecret(ctx, q, o.connectionPlace(id, v.column), v.sealed); err != nil {
			return crm.Settings{}, 0, err
		}
	}
	if s.Others, err = o.otherAccounts(ctx, q); err != nil {
		return crm.Settings{}, 0, err
	}
	p, err := o.policy(ctx, q)
	s.Domains = p.Domains
	return s, id, err
}

func (o *Org) connectionPlace(id crm.ConnectionID, column string) place {
	return place{o.id, "connection", int64(id), column}
}

// openSecret opens a sealed secret; there may be none.
func (o *Org) openSecret(ctx context.Context, q querier, at place, sealed []byte) (crm.Secret, error) {
	if len(sealed) == 0 {
		return crm.Secret{}, nil
	}
	text, err := o.open(ctx, q, at, sealed)
	return crm.NewSecret(string(text)), err
}

// sealSecret seals a secret; nil when there is none.
func (o *Org) sealSecret(ctx context.Context, t *tx, at place, secret crm.Secret) ([]byte, error) {
	if secret.Empty() {
		return nil, nil
	}
	return o.seal(ctx, t, at, []byte(secret.Reveal()))
}

// SaveSettings keeps the settings of the connection, and makes and switches off mailboxes
// accordingly. Mailboxes in trouble are due at once: whoever saves has changed something
// about it. Other Domains make a new version of the policy, which is where they are kept.
func (o *Org) SaveSettings(ctx context.Context, s crm.Settings) error {
	c := newSettingsChange(s)
	return o.savePolicies(ctx, "save settings", change{crm.SettingsProposal, &c}, func(t *tx, h hasher) error {
		if err := o.changed(ctx, t); err != nil {
			return err
		}
		kept, id, err := o.settings(ctx, t)
		if err == nil {
			err = proposedOf(ctx, &c.Saved, kept.Saved)
		}
		if err != nil {
			return err
		}
		if err = o.saveConnection(ctx, t, id, s); err != nil {
			return err
		}
		ended := 0
		if s.Model != crm.ByOwnSignIn || s.Further(kept) != "" {
			// Users gave their passwords for what was saved, and to be used.
			if ended, err = t.exec(ctx, "delete from sign_in where org_id = $1", o.id); err != nil {
				return err
			}
		}
		old, err := o.policy(ctx, t)
		if err != nil {
			return err
		}
		now := old
		now.Domains = unique(slices.Clone(s.Domains))
		if len(old.Diff(&now)) > 0 {
			_, err = o.insertPolicy(ctx, t, h, now)
		} else {
			_, err = o.provision(ctx, t)
		}
		if err != nil {
			return err
		}
		if err := o.forgiveMailboxes(ctx, t); err != nil {
			return err
		}
		return o.audit(ctx, t, settingsEntry(kept, s, ended > 0))
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
	var sealed [3][]byte
	for i, v := range []struct {
		secret crm.Secret
		column string
	}{{s.Password, "password"}, {s.Keytab, "keytab"}, {s.ClientKey, "client_key"}} {
		var err error
		if sealed[i], err = o.sealSecret(ctx, t, o.connectionPlace(id, v.column), v.secret); err != nil {
			return err
		}
	}
	_, err := t.exec(ctx, `update connection set enabled = $3, server = $4, version = $5, model = $6, scheme = $7, login = $8, password = $9,
		keytab = $10, kdc = $11, client_certificate = $12, client_key = $13, user_agent = $14, gzip = $15, root_cas = $16, saved_at = $17
		where org_id = $1 and id = $2`,
		o.id, id, s.Enabled, s.Server, s.Version, s.Model, s.Scheme, s.Login, sealed[0],
		sealed[1], s.KDC, s.ClientCertificate, sealed[2], s.UserAgent, s.Gzip, s.RootCAs, micros(o.s.now()))
	if err != nil {
		return err
	}
	return o.saveOtherAccounts(ctx, t, s.Others)
}

// otherAccounts returns the service accounts besides the one in the connection.
func (o *Org) otherAccounts(ctx context.Context, q querier) ([]crm.Account, error) {
	type sealed struct {
		id               int64
		login            string
		password, keytab []byte
	}
	var kept []sealed
	err := rows(ctx, q, "select id, login, password, keytab from service_account where org_id = $1 order by position", []any{o.id}, func(r *sql.Rows) error {
		var v sealed
		if err := r.Scan(&v.id, &v.login, &v.password, &v.keytab); err != nil {
			return err
		}
		kept = append(kept, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var list []crm.Account
	for _, v := range kept {
		a := crm.Account{Login: v.login}
		if a.Password, err = o.openSecret(ctx, q, o.accountPlace(v.id, "password"), v.password); err != nil {
			return nil, err
		}
		if a.Keytab, err = o.openSecret(ctx, q, o.accountPlace(v.id, "keytab"), v.keytab); err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

func (o *Org) accountPlace(id int64, column string) place {
	return place{o.id, "service_account", id, column}
}

func (o *Org) saveOtherAccounts(ctx context.Context, t *tx, list []crm.Account) error {
	if _, err := t.exec(ctx, "delete from service_account where org_id = $1", o.id); err != nil {
		return err
	}
	for i, a := range list {
		var id int64
		if err := one(ctx, t, "insert into service_account (org_id, position, login) values ($1, $2, $3) returning id", []any{o.id, i, a.Login}, &id); err != nil {
			return err
		}
		password, err := o.sealSecret(ctx, t, o.accountPlace(id, "password"), a.Password)
		if err != nil {
			return err
		}
		keytab, err := o.sealSecret(ctx, t, o.accountPlace(id, "keytab"), a.Keytab)
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, "update service_account set password = $3, keytab = $4 where org_id = $1 and id = $2", o.id, id, password, keytab); err != nil {
			return err
		}
	}
	return nil
}

// forgiveMailboxes forgets the trouble of mailboxes and makes them due.
func (o *Org) forgiveMailboxes(ctx context.Context, t *tx) error { return o.forgive(ctx, t, "") }

func (o *Org) forgive(ctx context.Context, t *tx, which string, args ...any) error {
	_, err := t.exec(ctx, `update mailbox set state = case when checked_at > 0 then 'live' else 'provisioned' end,
		since = $2, due_at = $2, bell = bell + 1, trouble = '', tries = 0
		where org_id = $1 and trouble <> '' and state <> 'off'`+which, append([]any{o.id, micros(o.s.now())}, args...)...)
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
