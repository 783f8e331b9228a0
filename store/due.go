package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"postern/crm"
)

// Revision counts the changes of people, settings and policy: as long as it stays the
// same, so do they, and the mailboxes that are read.
func (o *Org) Revision(ctx context.Context) (int64, error) {
	var rev int64
	err := one(ctx, o.read(), "select revision from org where id = $1", []any{o.id}, &rev)
	return rev, err
}

// farthestRetry is how far ahead an item or an attachment may be tried again. What is to be
// tried later was written when the clock was wrong, and is due now.
const farthestRetry = 8 * 24 * time.Hour

// NextDue tells when the first item or attachment of a mailbox is to be tried again; zero
// when nothing is owed.
func (o *Org) NextDue(ctx context.Context, box crm.MailboxID) (time.Time, error) {
	var item, attachment int64
	err := one(ctx, o.read(), `select
		(select coalesce(min(due_at), 0) from decision where org_id = $1 and mailbox_id = $2 and due_at > 0),
		(select coalesce(min(a.due_at), 0) from attachment a`+liveCopy+`
			where a.org_id = $1 and a.mailbox_id = $2 and a.state in ('pending', 'failed') and a.due_at > 0)`,
		[]any{o.id, box}, &item, &attachment)
	if item == 0 || attachment > 0 && attachment < item {
		item = attachment
	}
	return fromMicros(item), err
}

// Undecided returns those of the items that have no decision.
func (o *Org) Undecided(ctx context.Context, box crm.MailboxID, items []string) ([]string, error) {
	hashes := make([][]byte, len(items))
	for i, item := range items {
		hash := hash16(item)
		hashes[i] = hash[:]
	}
	decided := map[string]bool{}
	err := in(ctx, o.read(), "select item from decision where org_id = $1 and mailbox_id = $2 and item_hash in (%s)", []any{o.id, box}, hashes,
		func(r *sql.Rows) error {
			var item string
			if err := r.Scan(&item); err != nil {
				return err
			}
			decided[item] = true
			return nil
		})
	return slices.DeleteFunc(slices.Clone(items), func(item string) bool { return decided[clean(item)] }), err
}

// SetDrift keeps by how many items the server's count of a folder exceeds that of the
// ledger, as found before a full listing that is to heal it.
func (o *Org) SetDrift(ctx context.Context, folder crm.FolderID, drift int) error {
	return o.db.update(ctx, "set drift", func(t *tx) error {
		_, err := t.exec(ctx, "update folder set drift = $3 where org_id = $1 and id = $2", o.id, folder, drift)
		return err
	})
}
