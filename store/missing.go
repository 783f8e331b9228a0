package store

import (
	"context"
	"time"

	"postern/crm"
)

// A move is never a delete. Exchange tells of one as of an item that left a folder and
// another that came, under a new id, to some other folder, in whichever order those are
// read. So a copy that its folder does not have any more is missing first, and My Emails
// shows the message as before. It is gone as soon as another copy of the message stands
// in the mailbox, which was a move, or when none has come for long enough, which the
// caller of SettleMissing decides: a look at all folders must lie in between.
//
// The ledger says what stands in the folders; there it is gone at once.

// Missing tells how many copies of a mailbox are missing and since when the first is.
func (o *Org) Missing(ctx context.Context, box crm.MailboxID) (n int, oldest time.Time, err error) {
	err = one(ctx, o.read(), "select count(*), coalesce(min(missing_at), 0) from copy where org_id = $1 and mailbox_id = $2 and missing_at > 0",
		[]any{o.id, box}, &n, stamp{&oldest})
	return n, oldest, err
}

// SettleMissing gives up copies of a mailbox that have been missing since before a time
// and tells how many that were. When there is none, nothing is written.
func (o *Org) SettleMissing(ctx context.Context, box crm.MailboxID, before time.Time) (int, error) {
	_, oldest, err := o.Missing(ctx, box)
	if err != nil || oldest.IsZero() || !oldest.Before(before) {
		return 0, err
	}
	settled := 0
	err = o.db.update(ctx, "settle missing", func(t *tx) error {
		user, err := o.lockMailbox(ctx, t, box)
		if err != nil {
			return err
		}
		s := saving{o: o, t: t, box: box, user: user}
		err = rows(ctx, t, `update copy set gone_at = missing_at, missing_at = 0
			where org_id = $1 and mailbox_id = $2 and missing_at > 0 and missing_at < $3 returning message_id`, []any{o.id, box, micros(before)}, s.staleMessage)
		if err != nil {
			return err
		}
		settled = len(s.stale)
		return s.refresh(ctx)
	})
	return settled, err
}

// moved settles the missing copies of messages that have another copy in the mailbox.
func (s *saving) moved(ctx context.Context, messages []int64) error {
	_, err := execIn(ctx, s.t, `update copy set gone_at = missing_at, missing_at = 0
		where org_id = $1 and mailbox_id = $2 and missing_at > 0 and message_id in (%s) and exists (select 1 from copy c
			where c.org_id = copy.org_id and c.mailbox_id = copy.mailbox_id and c.message_id = copy.message_id and c.missing_at = 0 and c.gone_at = 0)`,
		[]any{s.o.id, s.box}, messages)
	return err
}
