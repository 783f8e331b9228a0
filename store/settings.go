package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"postern/crm"
	"postern/mail"
)

// AttachmentMode says what is kept of attachments.
type AttachmentMode string

const (
	StoreAttachments AttachmentMode = "store"     // fetched and stored, up to Rules.AttachmentLimit each
	NameAttachments  AttachmentMode = "names"     // names only
	FetchOnDemand    AttachmentMode = "on-demand" // fetched when somebody opens one
)

// defaultAttachmentLimit is what Exchange itself lets through by default.
const defaultAttachmentLimit = 25 << 20

// Rules are what the organization files beyond the rule of the house.
type Rules struct {
	Domains           []string // allowed; kept with the settings of the connection, SaveRules leaves them alone
	ExcludedAddresses []mail.Address
	ExcludedDomains   []string
	Since             time.Time // older mail is not filed; zero = no limit
	FilePrivate       bool
	Attachments       AttachmentMode
	AttachmentLimit   int64 // bytes of one attachment; 0 = 25 MiB
}

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
	if errors.Is(err, ErrNotFound) {
		return crm.Settings{}, 0, nil
	}
	if err != nil {
		return crm.Settings{}, 0, err
	}
	if len(sealed) > 0 {
		password, err := o.open(ctx, q, o.passwordPlace(id), sealed)
		if err != nil {
			return crm.Settings{}, 0, err
		}
		s.Password = crm.NewSecret(string(password))
	}
	s.Domains, err = o.domains(ctx, q)
	return s, id, err
}

func (o *Org) passwordPlace(id crm.ConnectionID) place {
	return place{o.id, "connection", int64(id), "password"}
}

func (o *Org) domains(ctx context.Context, q querier) ([]string, error) {
	return texts(ctx, q, "select domain from connection_domain where org_id = $1 order by domain", o.id)
}

// SaveSettings keeps the settings of the connection, and makes and switches off mailboxes
// accordingly. Mailboxes in trouble are due at once: whoever saves has changed something
// about it. With a new domain, mail of its users that had no user so far is looked at again.
func (o *Org) SaveSettings(ctx context.Context, s crm.Settings) error {
	h, err := o.hasher(ctx)
	if err != nil {
		return err
	}
	return o.db.update(ctx, "save settings", func(t *tx) error {
		if err := o.changed(ctx, t); err != nil {
			return err
		}
		old, id, err := o.settings(ctx, t)
		if err != nil {
			return err
		}
		if id, err = o.saveConnection(ctx, t, id, s); err != nil {
			return err
		}
		if err := o.saveDomains(ctx, t, id, s.Domains); err != nil {
			return err
		}
		if err := o.audit(ctx, t, settingsEntry(old, s)); err != nil {
			return err
		}
		if _, err := o.provision(ctx, t); err != nil {
			return err
		}
		if err := o.forgiveMailboxes(ctx, t); err != nil {
			return err
		}
		var added []string
		for _, d := range s.Domains {
			if !slices.Contains(old.Domains, d) {
				added = append(added, d)
			}
		}
		if len(added) == 0 {
			return nil
		}
		addresses, err := o.addressesIn(ctx, t, added)
		if err != nil {
			return err
		}
		if err := o.linkUsers(ctx, t, addresses); err != nil {
			return err
		}
		_, err = o.rematch(ctx, t, h, addresses, decidedByPeople...)
		return err
	})
}

func (o *Org) saveConnection(ctx context.Context, t *tx, id crm.ConnectionID, s crm.Settings) (crm.ConnectionID, error) {
	if id == 0 {
		err := one(ctx, t, `insert into connection (org_id, enabled, server, version, login, user_agent, gzip, root_cas)
			values ($1, false, '', '', '', '', false, '') returning id`, []any{o.id}, &id)
		if err != nil {
			return 0, err
		}
	}
	var sealed []byte
	if !s.Password.Empty() {
		var err error
		if sealed, err = o.seal(ctx, t, o.passwordPlace(id), []byte(s.Password.Reveal())); err != nil {
			return 0, err
		}
	}
	_, err := t.exec(ctx, `update connection set enabled = $3, server = $4, version = $5, login = $6, password = $7,
		user_agent = $8, gzip = $9, root_cas = $10, saved_at = $11 where org_id = $1 and id = $2`,
		o.id, id, s.Enabled, s.Server, s.Version, s.Login, sealed, s.UserAgent, s.Gzip, s.RootCAs, micros(o.s.now()))
	return id, err
}

// forgiveMailboxes forgets the trouble of mailboxes and makes them due.
func (o *Org) forgiveMailboxes(ctx context.Context, t *tx) error {
	_, err := t.exec(ctx, `update mailbox set state = case when checked_at > 0 then 'live' else 'provisioned' end,
		since = $2, due_at = $2, bell = bell + 1, trouble = '', tries = 0
		where org_id = $1 and trouble <> '' and state <> 'off'`, o.id, micros(o.s.now()))
	return err
}

func (o *Org) saveDomains(ctx context.Context, t *tx, id crm.ConnectionID, domains []string) error {
	if _, err := t.exec(ctx, "delete from connection_domain where org_id = $1 and connection_id = $2", o.id, id); err != nil {
		return err
	}
	for _, d := range domains {
		_, err := t.exec(ctx, "insert into connection_domain (org_id, connection_id, domain) values ($1, $2, $3) on conflict do nothing", o.id, id, d)
		if err != nil {
			return err
		}
	}
	return nil
}

// addressesIn returns the addresses of active users in these domains.
func (o *Org) addressesIn(ctx context.Context, t *tx, domains []string) ([]mail.Address, error) {
	all, err := texts(ctx, t, "select address from user_address where org_id = $1 and active", o.id)
	var list []mail.Address
	for _, a := range all {
		if slices.Contains(domains, mail.Address(a).Domain()) {
			list = append(list, mail.Address(a))
		}
	}
	return list, err
}

// Rules returns the rules, with defaults where none were saved.
func (o *Org) Rules(ctx context.Context) (Rules, error) {
	return o.rules(ctx, o.read())
}

func (o *Org) rules(ctx context.Context, q querier) (Rules, error) {
	var r Rules
	err := one(ctx, q, "select since, file_private, attachments, attachment_limit from org where id = $1", []any{o.id},
		stamp{&r.Since}, &r.FilePrivate, &r.Attachments, &r.AttachmentLimit)
	if err != nil {
		return Rules{}, err
	}
	if r.AttachmentLimit == 0 {
		r.AttachmentLimit = defaultAttachmentLimit
	}
	err = rows(ctx, q, "select kind, value from exclusion where org_id = $1 order by kind, value", []any{o.id}, func(row *sql.Rows) error {
		var kind, value string
		err := row.Scan(&kind, &value)
		if kind == "domain" {
			r.ExcludedDomains = append(r.ExcludedDomains, value)
		} else {
			r.ExcludedAddresses = append(r.ExcludedAddresses, mail.Address(value))
		}
		return err
	})
	if err != nil {
		return Rules{}, err
	}
	r.Domains, err = o.domains(ctx, q)
	return r, err
}

// SaveRules keeps the rules. What the old ones kept out and the new ones may let in is
// looked at again; what was filed stays.
func (o *Org) SaveRules(ctx context.Context, r Rules) error {
	h, err := o.hasher(ctx)
	if err != nil {
		return err
	}
	if r.Attachments == "" {
		r.Attachments = StoreAttachments
	}
	return o.db.update(ctx, "save rules", func(t *tx) error {
		if err := o.changed(ctx, t); err != nil {
			return err
		}
		old, err := o.rules(ctx, t)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, "update org set since = $2, file_private = $3, attachments = $4, attachment_limit = $5 where id = $1",
			o.id, micros(r.Since), r.FilePrivate, r.Attachments, r.AttachmentLimit)
		if err != nil {
			return err
		}
		if err := o.saveExclusions(ctx, t, r); err != nil {
			return err
		}
		return o.reconsider(ctx, t, h, old, r)
	})
}

func (o *Org) saveExclusions(ctx context.Context, t *tx, r Rules) error {
	if _, err := t.exec(ctx, "delete from exclusion where org_id = $1", o.id); err != nil {
		return err
	}
	add := func(kind, value string) error {
		_, err := t.exec(ctx, "insert into exclusion (org_id, kind, value) values ($1, $2, $3) on conflict do nothing", o.id, kind, value)
		return err
	}
	for _, a := range r.ExcludedAddresses {
		if err := add("address", string(a)); err != nil {
			return err
		}
	}
	for _, d := range r.ExcludedDomains {
		if err := add("domain", d); err != nil {
			return err
		}
	}
	return nil
}

// reconsider makes due what was kept out by a rule that is gone or wider now. Which
// domain kept an item out is not known any more, so all those are looked at.
func (o *Org) reconsider(ctx context.Context, t *tx, h hasher, old, now Rules) error {
	var freed []mail.Address
	for _, a := range old.ExcludedAddresses {
		if !slices.Contains(now.ExcludedAddresses, a) {
			freed = append(freed, a)
		}
	}
	if _, err := o.rematch(ctx, t, h, freed, crm.ExcludedAddress); err != nil {
		return err
	}
	if slices.ContainsFunc(old.ExcludedDomains, func(d string) bool { return !slices.Contains(now.ExcludedDomains, d) }) {
		if err := o.reconsiderReason(ctx, t, crm.ExcludedDomain, time.Time{}); err != nil {
			return err
		}
	}
	if now.FilePrivate && !old.FilePrivate {
		if err := o.reconsiderReason(ctx, t, crm.IsPrivate, time.Time{}); err != nil {
			return err
		}
	}
	if now.Since.Before(old.Since) {
		return o.reconsiderReason(ctx, t, crm.OutsidePeriod, now.Since)
	}
	return nil
}

func (o *Org) reconsiderReason(ctx context.Context, t *tx, reason crm.Reason, since time.Time) error {
	now := micros(o.s.now())
	boxes, err := ids(ctx, t, `update decision set due_at = $2 where org_id = $1 and outcome = 'not_filed' and reason = $3 and when_at >= $4
		returning mailbox_id`, o.id, now, reason, micros(since))
	if err != nil {
		return err
	}
	return o.ring(ctx, t, unique(boxes))
}
