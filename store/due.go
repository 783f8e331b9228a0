package store

import (
	"context"
	"time"

	"postern/crm"
)

// Revision counts the changes of people, settings and rules: as long as it stays the
// same, so do they, and the mailboxes that are read.
func (o *Org) Revision(ctx context.Context) (int64, error) {
	var rev int64
	err := one(ctx, o.read(), "select revision from org where id = $1", []any{o.id}, &rev)
	return rev, err
}

// NextDue tells when the first item or attachment of a mailbox is to be tried again; zero
// when nothing is owed.
func (o *Org) NextDue(ctx context.Context, box crm.MailboxID) (time.Time, error) {
	var item, attachment int64
	err := one(ctx, o.read(), `select
		(select coalesce(min(due_at), 0) from decision where org_id = $1 and mailbox_id = $2 and due_at > 0),
		(select coalesce(min(due_at), 0) from attachment where org_id = $1 and mailbox_id = $2 and state in ('pending', 'failed') and due_at > 0)`,
		[]any{o.id, box}, &item, &attachment)
	if item == 0 || attachment > 0 && attachment < item {
		item = attachment
	}
	return fromMicros(item), err
}
