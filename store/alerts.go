package store

import (
	"context"
	"database/sql"
	"time"

	"postern/crm"
)

// An Alert tells people that something is wrong and wants them. It is open until what it
// tells of has passed.
type Alert struct {
	ID      int64
	Cause   crm.Cause
	Code    string // stable: the code of the fault
	Subject string // what it is about, such as "mailbox ann@acme.example" or "connection"
	Message string // one sentence: what happened and why
	Advice  string // what to do
	Opened  time.Time
	Closed  time.Time // zero = open
	Seen    time.Time // when it was raised last
	Count   int       // how often it was raised
}

// RaiseAlert opens the alert of a code and a subject, and says that it is fresh. One that
// is open already is only counted, with the words of the latest. Cause, Code, Subject,
// Message and Advice are kept.
func (o *Org) RaiseAlert(ctx context.Context, a Alert) (fresh bool, err error) {
	now := micros(o.s.now())
	err = o.db.update(ctx, "raise alert", func(t *tx) error {
		var raised int
		err := one(ctx, t, `insert into alert (org_id, cause, code, subject, message, advice, opened_at, closed_at, seen_at, raised)
			values ($1, $2, $3, $4, $5, $6, $7, 0, $7, 1)
			on conflict (org_id, subject, code) where closed_at = 0 do update set
				cause = excluded.cause, message = excluded.message, advice = excluded.advice, seen_at = excluded.seen_at, raised = alert.raised + 1
			returning raised`, []any{o.id, a.Cause, clean(a.Code), clean(a.Subject), clean(a.Message), clean(a.Advice), now}, &raised)
		fresh = raised == 1
		return err
	})
	return fresh, err
}

// CloseAlerts closes the open alerts of a subject with that code, or all of them if code
// is "", and tells how many there were. When there is none, nothing is written.
func (o *Org) CloseAlerts(ctx context.Context, subject, code string) (closed int, err error) {
	const open = " where org_id = $1 and subject = $2 and (code = $3 or $3 = '') and closed_at = 0"
	args := []any{o.id, clean(subject), clean(code)}
	if err := one(ctx, o.read(), "select count(*) from alert"+open, args, &closed); err != nil || closed == 0 {
		return 0, err
	}
	err = o.db.update(ctx, "close alerts", func(t *tx) (err error) {
		closed, err = t.exec(ctx, "update alert set closed_at = $4"+open, append(args, micros(o.s.now()))...)
		return err
	})
	return closed, err
}

// Alerts returns the newest alerts, or the newest of those that are open; limit 0 = 50.
func (o *Org) Alerts(ctx context.Context, open bool, limit int) ([]Alert, error) {
	query := "select id, cause, code, subject, message, advice, opened_at, closed_at, seen_at, raised from alert where org_id = $1"
	if open {
		query += " and closed_at = 0"
	}
	var list []Alert
	err := rows(ctx, o.read(), query+" order by id desc limit $2", []any{o.id, ListQuery{Limit: limit}.limit()}, func(r *sql.Rows) error {
		var a Alert
		if err := r.Scan(&a.ID, &a.Cause, &a.Code, &a.Subject, &a.Message, &a.Advice, stamp{&a.Opened}, stamp{&a.Closed}, stamp{&a.Seen}, &a.Count); err != nil {
			return err
		}
		list = append(list, a)
		return nil
	})
	return list, err
}
