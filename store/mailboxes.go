package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"postern/crm"
	"postern/mail"
)

// Counts are numbers of ledger rows.
type Counts struct {
	Filed, NotFiled, Failed int
	By                      map[crm.Reason]int // those not filed and failed, by reason
}

// Items is the number of all items with a decision.
func (c Counts) Items() int { return c.Filed + c.NotFiled + c.Failed }

func (c *Counts) add(outcome crm.Outcome, reason crm.Reason, n int) {
	switch outcome {
	case crm.Filed:
		c.Filed += n
		return
	case crm.NotFiled:
		c.NotFiled += n
	case crm.Failed:
		c.Failed += n
	}
	if c.By == nil {
		c.By = map[crm.Reason]int{}
	}
	c.By[reason] += n
}

// A MailboxView is a mailbox with what its row in a list shows.
type MailboxView struct {
	crm.Mailbox
	UserName string
	Counts   Counts
	Items    int // items in its folders in scope, as the server counted last
}

// Provision makes a mailbox for each active user at whose primary address the policy allows
// one while collecting is enabled, and switches the others off. It returns the new
// ones and those that are on again.
func (o *Org) Provision(ctx context.Context) ([]crm.Mailbox, error) {
	var list []int64
	err := o.db.update(ctx, "provision", func(t *tx) (err error) {
		if err := o.lock(ctx, t); err != nil {
			return err
		}
		list, err = o.provision(ctx, t)
		return err
	})
	if err != nil {
		return nil, err
	}
	return o.mailboxes(ctx, o.read(), list)
}

// provision returns the ids of mailboxes that are new or on again.
func (o *Org) provision(ctx context.Context, t *tx) ([]int64, error) {
	settings, connection, err := o.settings(ctx, t)
	if err != nil || connection == 0 {
		return nil, err
	}
	grants, err := o.granted(ctx, t)
	if err != nil {
		return nil, err
	}
	wanted := map[int64]mail.Address{}
	if settings.Enabled {
		if wanted, err = o.wanted(ctx, t, grants); err != nil {
			return nil, err
		}
	}
	// First off, then on: an address may have moved from one user to another.
	if err := o.switchOff(ctx, t, wanted); err != nil {
		return nil, err
	}
	now := micros(o.s.now())
	var args []any
	for _, user := range slices.Sorted(maps.Keys(wanted)) {
		args = append(args, o.id, connection, user, wanted[user], now, now)
	}
	var on []int64
	err = t.insert(ctx, "insert into mailbox (org_id, connection_id, user_id, address, state, since, due_at) values", "(?, ?, ?, ?, 'provisioned', ?, ?)",
		`on conflict (org_id, user_id) do update set connection_id = excluded.connection_id, address = excluded.address,
			state = 'provisioned', since = excluded.since, due_at = excluded.due_at, bell = mailbox.bell + 1,
			server = '', primary_address = ''
		returning id`, args, func(r *sql.Rows) error {
			var id int64
			if err := r.Scan(&id); err != nil {
				return err
			}
			on = append(on, id)
			return nil
		})
	return on, err
}

// MailboxesIn counts the users who would have a mailbox if these were the allowed domains.
func (o *Org) MailboxesIn(ctx context.Context, domains []string) (int, error) {
	grants, err := o.granted(ctx, o.read())
	if err != nil {
		return 0, err
	}
	grants.policy.Domains = domains
	wanted, err := o.wanted(ctx, o.read(), grants)
	return len(wanted), err
}

// wanted maps the users who have a mailbox at an address that is granted to that address.
func (o *Org) wanted(ctx context.Context, q querier, g granted) (map[int64]mail.Address, error) {
	wanted := map[int64]mail.Address{}
	err := rows(ctx, q, "select user_id, address from user_address where org_id = $1 and active and position = 0", []any{o.id}, func(r *sql.Rows) error {
		var id int64
		var a mail.Address
		if err := r.Scan(&id, &a); err != nil {
			return err
		}
		if g.policy.AllowsMailbox(a, g.groups) == nil {
			wanted[id] = a
		}
		return nil
	})
	return wanted, err
}

// WhyOff returns what says why a mailbox that is off is.
func (o *Org) WhyOff(ctx context.Context) (func(*crm.Mailbox) string, error) {
	settings, _, err := o.Settings(ctx)
	if err != nil {
		return nil, err
	}
	g, err := o.granted(ctx, o.read())
	return func(box *crm.Mailbox) string {
		f := g.policy.AllowsMailbox(box.Address, g.groups)
		switch {
		case f != nil && !settings.Enabled:
			return "Collecting is off. " + f.Message
		case f != nil:
			return f.Message
		case !settings.Enabled:
			return "Collecting is off."
		}
		return "Its user is not active, or has another first address now."
	}, err
}

// switchOff switches off the mailboxes that are not wanted and takes those that are on as
// wanted out of the map.
func (o *Org) switchOff(ctx context.Context, t *tx, wanted map[int64]mail.Address) error {
	var off []int64
	err := rows(ctx, t, "select id, user_id, address from mailbox where org_id = $1 and state <> 'off'", []any{o.id}, func(r *sql.Rows) error {
		var id, user int64
		var a mail.Address
		if err := r.Scan(&id, &user, &a); err != nil {
			return err
		}
		if wanted[user] == a {
			delete(wanted, user)
		} else {
			off = append(off, id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = execIn(ctx, t, "update mailbox set state = 'off', since = $2, trouble = '', tries = 0 where org_id = $1 and id in (%s)",
		[]any{o.id, micros(o.s.now())}, off)
	return err
}

const mailboxColumns = "id, connection_id, user_id, address, state, since, checked_at, due_at, trouble, tries, server, primary_address, bell"

func (o *Org) scanMailbox(r *sql.Rows) (crm.Mailbox, error) {
	b := crm.Mailbox{Org: o.id}
	var trouble string
	if err := r.Scan(&b.ID, &b.Connection, &b.User, &b.Address, &b.State, stamp{&b.Since}, stamp{&b.Checked}, stamp{&b.Due}, &trouble, &b.Tries,
		&b.Server, &b.Primary, &b.Bell); err != nil {
		return b, err
	}
	if trouble != "" {
		if err := json.Unmarshal([]byte(trouble), &b.Trouble); err != nil {
			return b, err
		}
	}
	return b, nil
}

// mailboxes reads mailboxes in the order of the ids given.
func (o *Org) mailboxes(ctx context.Context, q querier, list []int64) ([]crm.Mailbox, error) {
	found := map[int64]*crm.Mailbox{}
	err := in(ctx, q, "select "+mailboxColumns+" from mailbox where org_id = $1 and id in (%s)", []any{o.id}, list, func(r *sql.Rows) error {
		b, err := o.scanMailbox(r)
		if err != nil {
			return err
		}
		found[int64(b.ID)] = &b
		return nil
	})
	return inOrder(list, found), err
}

// FarthestDue is how far ahead a mailbox may be due. What is due later was written when the
// clock was wrong, and counts as due now.
const FarthestDue = 2 * time.Hour

// DueMailboxes returns mailboxes that are on and due, the longest due first.
func (o *Org) DueMailboxes(ctx context.Context, now time.Time, limit int) ([]crm.Mailbox, error) {
	return o.boxes(ctx, "state <> 'off' and (due_at <= $2 or due_at > $3) order by due_at, id limit $4",
		micros(now), micros(now.Add(FarthestDue)), limit)
}

// Boxes returns the mailboxes that are on, as their rows have them.
func (o *Org) Boxes(ctx context.Context) ([]crm.Mailbox, error) {
	return o.boxes(ctx, "state <> 'off' order by id")
}

// Box returns one mailbox as its row has it, without the counts of Mailbox, or ErrNotFound.
func (o *Org) Box(ctx context.Context, id crm.MailboxID) (*crm.Mailbox, error) {
	return first(o.boxes(ctx, "id = $2", id))
}

// boxes reads mailboxes in one query. The condition's placeholders begin with $2.
func (o *Org) boxes(ctx context.Context, condition string, args ...any) ([]crm.Mailbox, error) {
	var list []crm.Mailbox
	err := rows(ctx, o.read(), "select "+mailboxColumns+" from mailbox where org_id = $1 and "+condition, append([]any{o.id}, args...), func(r *sql.Rows) error {
		b, err := o.scanMailbox(r)
		if err != nil {
			return err
		}
		list = append(list, b)
		return nil
	})
	return list, err
}

// SaveMailbox keeps how a mailbox goes: State, Since, Checked, Due, Trouble, Tries, Facts. A
// mailbox that was switched off meanwhile stays off, and one for which the bell rang
// since box was read stays due.
func (o *Org) SaveMailbox(ctx context.Context, box *crm.Mailbox) error {
	trouble := ""
	if box.Trouble != nil {
		f := *box.Trouble
		f.Err = nil
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		trouble = string(text)
	}
	return o.db.update(ctx, "save mailbox", func(t *tx) error {
		n, err := t.exec(ctx, `update mailbox set
			state = case when state = 'off' then state else $3 end,
			since = case when state = 'off' then since else $4 end,
			checked_at = $5,
			due_at = case when bell <> $7 and due_at < $6 then due_at else $6 end,
			trouble = $8, tries = $9, server = $10, primary_address = $11
			where org_id = $1 and id = $2`,
			o.id, box.ID, box.State, micros(box.Since), micros(box.Checked), micros(box.Due), box.Bell, trouble, box.Tries,
			clean(box.Server), box.Primary)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	})
}

// LookNow makes mailboxes due; none = all.
func (o *Org) LookNow(ctx context.Context, boxes ...crm.MailboxID) error {
	return o.db.update(ctx, "look now", func(t *tx) error {
		if len(boxes) == 0 {
			_, err := t.exec(ctx, "update mailbox set due_at = $2, bell = bell + 1 where org_id = $1", o.id, micros(o.s.now()))
			return err
		}
		list := make([]int64, len(boxes))
		for i, b := range boxes {
			list[i] = int64(b)
		}
		return o.ring(ctx, t, list)
	})
}

// ring makes mailboxes due.
func (o *Org) ring(ctx context.Context, t *tx, boxes []int64) error {
	_, err := execIn(ctx, t, "update mailbox set due_at = $2, bell = bell + 1 where org_id = $1 and id in (%s)", []any{o.id, micros(o.s.now())}, boxes)
	return err
}

// Mailbox returns one mailbox, or ErrNotFound.
func (o *Org) Mailbox(ctx context.Context, id crm.MailboxID) (*MailboxView, error) {
	return first(o.mailboxViews(ctx, []int64{int64(id)}))
}

// MailboxByAddress returns the mailbox with that address, one that is on before one that
// is off, or ErrNotFound.
func (o *Org) MailboxByAddress(ctx context.Context, a mail.Address) (*MailboxView, error) {
	list, err := ids(ctx, o.read(), "select id from mailbox where org_id = $1 and address = $2 order by state = 'off', id limit 1", o.id, a)
	if err != nil {
		return nil, err
	}
	return first(o.mailboxViews(ctx, list))
}

// Mailboxes returns a part of the list of mailboxes and how many there are in all.
func (o *Org) Mailboxes(ctx context.Context, q ListQuery) ([]MailboxView, int, error) {
	const from = ` from mailbox b join account a on a.id = b.user_id where b.org_id = $1 and a.words like $2 escape '\'`
	var total int
	if err := one(ctx, o.read(), "select count(*)"+from, []any{o.id, like(q.Text)}, &total); err != nil {
		return nil, 0, err
	}
	list, err := ids(ctx, o.read(), "select b.id"+from+" order by b.address, b.id limit $3 offset $4", o.id, like(q.Text), q.limit(), q.Offset)
	if err != nil {
		return nil, 0, err
	}
	views, err := o.mailboxViews(ctx, list)
	return views, total, err
}

func (o *Org) mailboxViews(ctx context.Context, list []int64) ([]MailboxView, error) {
	boxes, err := o.mailboxes(ctx, o.read(), list)
	if err != nil {
		return nil, err
	}
	views := make([]MailboxView, len(boxes))
	at := map[int64]*MailboxView{}
	for i, b := range boxes {
		views[i].Mailbox = b
		at[int64(b.ID)] = &views[i]
	}
	err = in(ctx, o.read(), "select b.id, a.name from mailbox b join account a on a.id = b.user_id where b.org_id = $1 and b.id in (%s)", []any{o.id}, list,
		func(r *sql.Rows) error {
			var id int64
			var name string
			if err := r.Scan(&id, &name); err != nil {
				return err
			}
			if v := at[id]; v != nil {
				v.UserName = name
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	err = in(ctx, o.read(), `select mailbox_id, sum(total) from folder where org_id = $1 and in_scope and total > 0 and mailbox_id in (%s)
		group by mailbox_id`, []any{o.id}, list, func(r *sql.Rows) error {
		var id int64
		var n int
		if err := r.Scan(&id, &n); err != nil {
			return err
		}
		if v := at[id]; v != nil {
			v.Items = n
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = in(ctx, o.read(), `select mailbox_id, outcome, reason, count(*) from decision where org_id = $1 and mailbox_id in (%s)
		group by mailbox_id, outcome, reason`, []any{o.id}, list, func(r *sql.Rows) error {
		var id int64
		var outcome crm.Outcome
		var reason crm.Reason
		var n int
		if err := r.Scan(&id, &outcome, &reason, &n); err != nil {
			return err
		}
		if v := at[id]; v != nil {
			v.Counts.add(outcome, reason, n)
		}
		return nil
	})
	return views, err
}
