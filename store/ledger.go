package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
)

// A DueItem is an item that is to be looked at again.
type DueItem struct {
	Item    string
	Folder  crm.FolderID
	Tries   int
	Outcome crm.Outcome
}

// An Explanation says what became of one item and why.
type Explanation struct {
	Folder    string // its path
	Item      string
	Outcome   crm.Outcome
	Reason    crm.Reason
	Rule      string
	DecidedAt time.Time
	RetryAt   time.Time
	Tries     int
	Message   crm.MessageID // filed
	Links     []LinkView    // filed
	Known     []KnownPerson // not filed: whom of its participants the CRM knows
}

// A KnownPerson is a contact or user among the participants of an item that was not filed.
type KnownPerson struct {
	Contact crm.ContactID // one of
	User    crm.UserID    // the two
	Name    string
	Address mail.Address
}

// A NotFiledQuery asks for items that were not filed, the newest message first.
type NotFiledQuery struct {
	Mailbox   crm.MailboxID // 0 = all
	Reason    crm.Reason    // "" = all
	Outcome   crm.Outcome   // NotFiled or Failed; "" = both
	MessageID string        // normalised; compared by its keyed hash
	Address   mail.Address  // compared by its keyed hash
	Limit     int           // 0 = 50
	Offset    int
}

// A NotFiledRow is an item that was not filed.
type NotFiledRow struct {
	Mailbox   crm.MailboxID
	Address   mail.Address // of the mailbox
	Folder    string       // its path
	Item      string
	Outcome   crm.Outcome
	Reason    crm.Reason
	Rule      string
	When      time.Time // of the message
	DecidedAt time.Time
	RetryAt   time.Time
	Tries     int
}

// Known returns the versions of those of the items that are filed with all that belongs
// to it. A filed item that is not whole, or whose message is a partial one that more is owed
// of, is left out, so that it is loaded and filed again.
func (o *Org) Known(ctx context.Context, box crm.MailboxID, items []string) (map[string]string, error) {
	hashes := make([][]byte, len(items))
	for i, item := range items {
		hash := hash16(item)
		hashes[i] = hash[:]
	}
	known := map[string]string{}
	err := in(ctx, o.read(), `select c.item, c.version from copy c
		join message m on m.org_id = c.org_id and m.id = c.message_id
		join activity a on a.org_id = c.org_id and a.message_id = c.message_id
		join body b on b.message_id = c.message_id
		left join decision d on d.org_id = c.org_id and d.mailbox_id = c.mailbox_id and d.item_hash = c.item_hash
		where c.org_id = $1 and c.mailbox_id = $2 and c.gone_at = 0 and m.missing in ('', 'withheld') and coalesce(d.due_at, 0) = 0 and c.item_hash in (%s)`, []any{o.id, box}, hashes, func(r *sql.Rows) error {
		var item, version string
		if err := r.Scan(&item, &version); err != nil {
			return err
		}
		known[item] = version
		return nil
	})
	return known, err
}

// DueItems returns items of a mailbox that failed and are to be tried again, were filed
// in part and are to be completed, or were not filed and are to be decided again, the
// longest due first.
func (o *Org) DueItems(ctx context.Context, box crm.MailboxID, now time.Time, limit int) ([]DueItem, error) {
	var list []DueItem
	err := rows(ctx, o.read(), `select item, folder_id, tries, outcome from decision
		where org_id = $1 and mailbox_id = $2 and due_at > 0 and (due_at <= $3 or due_at > $4) order by due_at, id limit $5`,
		[]any{o.id, box, micros(now), micros(now.Add(farthestRetry)), limit}, func(r *sql.Rows) error {
			var d DueItem
			if err := r.Scan(&d.Item, &d.Folder, &d.Tries, &d.Outcome); err != nil {
				return err
			}
			list = append(list, d)
			return nil
		})
	return list, err
}

// Explain tells what became of the items of a mailbox that bear a Message-ID, as the
// mailbox' user may see it.
func (o *Org) Explain(ctx context.Context, box crm.MailboxID, messageID string) ([]Explanation, error) {
	h, err := o.hasher(ctx)
	if err != nil {
		return nil, err
	}
	var user crm.UserID
	if err := one(ctx, o.read(), "select user_id from mailbox where org_id = $1 and id = $2", []any{o.id, box}, &user); err != nil {
		return nil, err
	}
	var list []Explanation
	var traces [][]byte
	err = rows(ctx, o.read(), `select coalesce(f.path, ''), d.item, d.outcome, d.reason, d.rule, d.decided_at, d.due_at, d.tries, d.traces, coalesce(c.message_id, 0)
		from decision d
		left join folder f on f.org_id = d.org_id and f.id = d.folder_id
		left join copy c on c.org_id = d.org_id and c.mailbox_id = d.mailbox_id and c.item_hash = d.item_hash and c.gone_at = 0
		where d.org_id = $1 and d.mailbox_id = $2 and d.id in (
			select t.decision_id from trace t where t.org_id = $1 and t.hash = $3
			union select e.id from message m
				join copy k on k.org_id = m.org_id and k.message_id = m.id and k.mailbox_id = $2
				join decision e on e.org_id = k.org_id and e.mailbox_id = k.mailbox_id and e.item_hash = k.item_hash
				where m.org_id = $1 and m.message_key = $4)
		order by d.id`, []any{o.id, box, h.messageID(messageID), messageKey(&crm.Item{Header: crm.Header{Envelope: crm.Envelope{MessageID: messageID}}})},
		func(r *sql.Rows) error {
			var e Explanation
			var trace []byte
			if err := r.Scan(&e.Folder, &e.Item, &e.Outcome, &e.Reason, &e.Rule, stamp{&e.DecidedAt}, stamp{&e.RetryAt}, &e.Tries, &trace, &e.Message); err != nil {
				return err
			}
			list, traces = append(list, e), append(traces, trace)
			return nil
		})
	if err != nil {
		return nil, err
	}
	for i := range list {
		e := &list[i]
		if e.Outcome == crm.Filed {
			e.Links, err = o.linkViews(ctx, e.Message, user)
		} else {
			e.Message = 0
			e.Known, err = o.knownBy(ctx, unpackTraces(traces[i]))
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// knownBy returns the people whose addresses have one of the keyed hashes.
func (o *Org) knownBy(ctx context.Context, hashes []int64) ([]KnownPerson, error) {
	var list []KnownPerson
	add := func(r *sql.Rows) error {
		var p KnownPerson
		if err := r.Scan(&p.Contact, &p.User, &p.Name, &p.Address); err != nil {
			return err
		}
		list = append(list, p)
		return nil
	}
	err := in(ctx, o.read(), `select c.id, 0, c.name, a.address from contact_address a join contact c on c.id = a.contact_id
		where a.org_id = $1 and a.hash in (%s) order by a.address, c.id`, []any{o.id}, hashes, add)
	if err != nil {
		return nil, err
	}
	err = in(ctx, o.read(), `select 0, c.id, c.name, a.address from user_address a join account c on c.id = a.user_id
		where a.org_id = $1 and a.active and a.hash in (%s) order by a.address, c.id`, []any{o.id}, hashes, add)
	return list, err
}

// NotFiled returns a part of the items that were not filed and how many there are in all.
func (o *Org) NotFiled(ctx context.Context, q NotFiledQuery) ([]NotFiledRow, int, error) {
	h, err := o.hasher(ctx)
	if err != nil {
		return nil, 0, err
	}
	where := "d.org_id = $1 and d.outcome in ('not_filed', 'failed')"
	args := []any{o.id}
	add := func(condition string, value any) {
		args = append(args, value)
		where += " and " + strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args)))
	}
	const traced = "d.id in (select t.decision_id from trace t where t.org_id = $1 and t.hash = ?)"
	if q.Mailbox != 0 {
		add("d.mailbox_id = ?", q.Mailbox)
	}
	if q.Outcome != "" {
		add("d.outcome = ?", q.Outcome)
	}
	if q.Reason != "" {
		add("d.reason = ?", q.Reason)
	}
	if q.MessageID != "" {
		add(traced, h.messageID(q.MessageID))
	}
	if q.Address != "" {
		add(traced, h.address(q.Address))
	}
	var total int
	if err := one(ctx, o.read(), "select count(*) from decision d where "+where, args, &total); err != nil {
		return nil, 0, err
	}
	limit := ListQuery{Limit: q.Limit}.limit()
	var list []NotFiledRow
	err = rows(ctx, o.read(), fmt.Sprintf(`select d.mailbox_id, coalesce(b.address, ''), coalesce(f.path, ''), d.item, d.outcome, d.reason, d.rule,
			d.when_at, d.decided_at, d.due_at, d.tries
		from decision d left join mailbox b on b.id = d.mailbox_id left join folder f on f.id = d.folder_id
		where %s order by d.when_at desc, d.id desc limit $%d offset $%d`, where, len(args)+1, len(args)+2), append(args, limit, q.Offset), func(r *sql.Rows) error {
		var n NotFiledRow
		if err := r.Scan(&n.Mailbox, &n.Address, &n.Folder, &n.Item, &n.Outcome, &n.Reason, &n.Rule,
			stamp{&n.When}, stamp{&n.DecidedAt}, stamp{&n.RetryAt}, &n.Tries); err != nil {
			return err
		}
		list = append(list, n)
		return nil
	})
	return list, total, err
}

// Counts counts the ledger rows of the organization.
func (o *Org) Counts(ctx context.Context) (Counts, error) {
	var c Counts
	err := rows(ctx, o.read(), "select outcome, reason, count(*) from decision where org_id = $1 group by outcome, reason", []any{o.id}, func(r *sql.Rows) error {
		var outcome crm.Outcome
		var reason crm.Reason
		var n int
		if err := r.Scan(&outcome, &reason, &n); err != nil {
			return err
		}
		c.add(outcome, reason, n)
		return nil
	})
	return c, err
}

// FolderCounts counts the ledger rows of each folder of a mailbox.
func (o *Org) FolderCounts(ctx context.Context, box crm.MailboxID) (map[crm.FolderID]Counts, error) {
	counts := map[crm.FolderID]Counts{}
	err := rows(ctx, o.read(), `select folder_id, outcome, reason, count(*) from decision where org_id = $1 and mailbox_id = $2
		group by folder_id, outcome, reason`, []any{o.id, box}, func(r *sql.Rows) error {
		var folder crm.FolderID
		var outcome crm.Outcome
		var reason crm.Reason
		var n int
		if err := r.Scan(&folder, &outcome, &reason, &n); err != nil {
			return err
		}
		c := counts[folder]
		c.add(outcome, reason, n)
		counts[folder] = c
		return nil
	})
	return counts, err
}

// Duplicates counts messages that stand twice: under one key, or one Message-ID, with the
// same sender, subject and date, and activities beyond one for a message. It looks at
// what stands and trusts no unique index, so it must always be 0.
func (o *Org) Duplicates(ctx context.Context) (int, error) {
	total := 0
	for _, query := range []string{
		`select coalesce(sum(n - 1), 0) from (select count(*) as n from message where org_id = $1
			group by message_key, from_address, subject, sent_at having count(*) > 1) x`,
		`select coalesce(sum(n - 1), 0) from (select count(*) as n from message where org_id = $1 and message_id <> ''
			group by message_id, from_address, subject, sent_at having count(*) > 1 and count(distinct message_key) > 1) x`,
		`select coalesce(sum(n - 1), 0) from (select count(*) as n from activity where org_id = $1
			group by message_id, kind having count(*) > 1) x`,
	} {
		var n int
		if err := one(ctx, o.read(), query, []any{o.id}, &n); err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
