package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"postern/crm"
	"postern/mail"
)

// The quarantine holds the items that could not be had, or not in full. Each is tried
// again at growing times, for ever, until it can be had or an administrator leaves it.

// A QuarantineRow is an item in the quarantine.
type QuarantineRow struct {
	Decision int64 // for TryNow and Leave
	Mailbox  crm.MailboxID
	Address  mail.Address // of the mailbox
	Folder   string       // its path
	Item     string
	Code     string        // the fault's code
	Why      string        // one sentence
	Partial  bool          // filed with what there is
	Message  crm.MessageID // when Partial
	When     time.Time     // of the message; zero = not known
	Tries    int
	RetryAt  time.Time // zero = left
	Since    time.Time
}

// A QuarantineQuery asks for items in the quarantine, the latest first.
type QuarantineQuery struct {
	Mailbox crm.MailboxID // 0 = all
	Left    bool          // those that were left instead of those that are tried again
	Limit   int           // 0 = 50
	Offset  int
}

const (
	inQuarantine = "d.org_id = $1 and d.due_at > 0 and d.outcome in ('failed', 'filed') and d.reason <> 'withheld'"
	leftThere    = "d.org_id = $1 and d.reason = 'left' and d.due_at = 0"
)

// Quarantine returns a part of the items in the quarantine and how many there are in all.
func (o *Org) Quarantine(ctx context.Context, q QuarantineQuery) ([]QuarantineRow, int, error) {
	where := inQuarantine
	if q.Left {
		where = leftThere
	}
	args := []any{o.id}
	if q.Mailbox != 0 {
		where += " and d.mailbox_id = $2"
		args = append(args, q.Mailbox)
	}
	var total int
	if err := one(ctx, o.read(), "select count(*) from decision d where "+where, args, &total); err != nil {
		return nil, 0, err
	}
	var list []QuarantineRow
	query := fmt.Sprintf(`select d.id, d.mailbox_id, coalesce(b.address, ''), coalesce(f.path, ''), d.item, d.when_at, d.tries, d.due_at, d.decided_at,
			d.outcome = 'filed', coalesce(m.id, 0), coalesce(m.missing_code, d.reason), coalesce(m.missing_why, d.rule)
		from decision d left join mailbox b on b.id = d.mailbox_id left join folder f on f.id = d.folder_id
		left join copy c on d.outcome = 'filed' and c.org_id = d.org_id and c.mailbox_id = d.mailbox_id and c.item_hash = d.item_hash
		left join message m on m.org_id = c.org_id and m.id = c.message_id
		where %s order by d.decided_at desc, d.id desc limit $%d offset $%d`, where, len(args)+1, len(args)+2)
	err := rows(ctx, o.read(), query, append(args, ListQuery{Limit: q.Limit}.limit(), q.Offset), func(r *sql.Rows) error {
		var n QuarantineRow
		if err := r.Scan(&n.Decision, &n.Mailbox, &n.Address, &n.Folder, &n.Item, stamp{&n.When}, &n.Tries, stamp{&n.RetryAt}, stamp{&n.Since},
			&n.Partial, &n.Message, &n.Code, &n.Why); err != nil {
			return err
		}
		list = append(list, n)
		return nil
	})
	return list, total, err
}

// QuarantineCount tells how many items are in the quarantine, those that were left apart.
func (o *Org) QuarantineCount(ctx context.Context) (n int, err error) {
	err = one(ctx, o.read(), "select count(*) from decision d where "+inQuarantine, []any{o.id}, &n)
	return n, err
}

// TryNow makes items in the quarantine due, also those that were left, and rings for
// their mailboxes. It tells how many they are.
func (o *Org) TryNow(ctx context.Context, decisions ...int64) (int, error) {
	var boxes []int64
	err := o.db.update(ctx, "try now", func(t *tx) error {
		boxes = nil
		err := in(ctx, t, `update decision set due_at = $2, outcome = case when outcome = 'filed' then outcome else 'failed' end,
				reason = case when outcome = 'filed' then 'matched' else reason end
			where org_id = $1 and (due_at > 0 and outcome in ('failed', 'filed') or reason = 'left') and id in (%s)
			returning mailbox_id`, []any{o.id, micros(o.s.now())}, unique(slices.Clone(decisions)), func(r *sql.Rows) error {
			var box int64
			if err := r.Scan(&box); err != nil {
				return err
			}
			boxes = append(boxes, box)
			return nil
		})
		if err != nil {
			return err
		}
		if err := o.ring(ctx, t, unique(slices.Clone(boxes))); err != nil {
			return err
		}
		return o.audit(ctx, t, crm.AuditEntry{Action: "quarantine.try", Detail: fmt.Sprintf("items: %d", len(boxes))})
	})
	return len(boxes), err
}

// Leave leaves items as they are: one that failed counts as not filed, for the reason
// Left, and of a partial message nothing is owed. They stay so until TryNow, or until
// they change in the mailbox and can be had. It tells how many they are.
func (o *Org) Leave(ctx context.Context, decisions ...int64) (n int, err error) {
	err = o.db.update(ctx, "leave", func(t *tx) (err error) {
		n, err = execIn(ctx, t, `update decision set due_at = 0, reason = 'left', decided_at = $2, outcome = case when outcome = 'filed' then outcome else 'not_filed' end
			where org_id = $1 and due_at > 0 and outcome in ('failed', 'filed') and id in (%s)`, []any{o.id, micros(o.s.now())}, unique(slices.Clone(decisions)))
		if err != nil {
			return err
		}
		return o.audit(ctx, t, crm.AuditEntry{Action: "quarantine.leave", Detail: fmt.Sprintf("items: %d", n)})
	})
	return n, err
}
