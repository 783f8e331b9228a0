package store

import (
	"context"
	"fmt"

	"postern/crm"
)

// Bounds of how many days the access log may be kept.
const (
	MinAccessDays = 1
	MaxAccessDays = 3660
)

// AccessRetention returns for how many days requests are kept in the access log.
func (o *Org) AccessRetention(ctx context.Context) (days int, err error) {
	err = one(ctx, o.read(), "select access_days from org where id = $1", []any{o.id}, &days)
	return days, err
}

// SetAccessRetention says for how many days requests are kept. Those that are older go
// when ExpireAccess is called the next time. A number out of bounds is a Fault with the
// code "retention-out-of-bounds". Fewer days are marked as wider: nobody gets more of
// Exchange by them, but what was got is seen no more.
func (o *Org) SetAccessRetention(ctx context.Context, days int) error {
	if days < MinAccessDays || days > MaxAccessDays {
		return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "retention-out-of-bounds",
			Message: fmt.Sprintf("The access log cannot be kept for %d days.", days),
			Advice:  fmt.Sprintf("Choose between %d and %d days.", MinAccessDays, MaxAccessDays)}
	}
	return o.guarded(ctx, "set access retention", change{crm.RetentionProposal, days}, func(t *tx) error {
		var old int
		if err := one(ctx, t, "select access_days from org where id = $1"+t.d.rowLock, []any{o.id}, &old); err != nil || old == days {
			return err
		}
		if _, err := t.exec(ctx, "update org set access_days = $2 where id = $1", o.id, days); err != nil {
			return err
		}
		return o.audit(ctx, t, crm.AuditEntry{Action: "access-log.retention", Detail: fmt.Sprintf("days %d → %d", old, days), Widens: days < old})
	})
}

// accessBatchSize is how many requests a transaction of ExpireAccess takes away.
const accessBatchSize = 2000

// ExpireAccess takes away what has been kept in the access log for long enough, and tells
// how many requests that was. Totals stay. It works in small transactions, between which
// others get on, and writes nothing where there is nothing to take away; it is meant to
// be called once a day.
func (o *Org) ExpireAccess(ctx context.Context) (expired int, err error) {
	days, err := o.AccessRetention(ctx)
	if err != nil {
		return 0, err
	}
	end := o.s.now().AddDate(0, 0, -days)
	for {
		n, err := o.expireAccess(ctx, micros(end))
		expired += n
		if err != nil {
			return expired, err
		}
		if n < accessBatchSize {
			break
		}
	}
	if expired == 0 {
		return 0, nil
	}
	return expired, o.expireAccessWords(ctx, dayOf(end))
}

// expireAccess takes away the earliest requests before a time, a batch at most but for
// those of one microsecond.
func (o *Org) expireAccess(ctx context.Context, end int64) (n int, err error) {
	old, err := ids(ctx, o.read(), "select asked_at from access where org_id = $1 and asked_at < $2 order by asked_at limit $3", o.id, end, accessBatchSize)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	err = o.db.update(ctx, "expire access", func(t *tx) error {
		n, err = t.exec(ctx, "delete from access where org_id = $1 and asked_at <= $2", o.id, old[len(old)-1])
		return err
	})
	return n, err
}

// expireAccessWords takes away the words that were used before a day only. No request is
// later than the last day of its words, so none of these is in use.
func (o *Org) expireAccessWords(ctx context.Context, day int64) error {
	return o.db.update(ctx, "expire access words", func(t *tx) error {
		_, err := t.exec(ctx, "delete from access_word where org_id = $1 and day < $2", o.id, day)
		return err
	})
}
