package store

import (
	"context"
	"database/sql"
	"time"

	"postern/mail"
)

// An AccessDay is how much was asked for on a day, or in a longer time.
type AccessDay struct {
	Day            time.Time // its beginning, UTC; zero in a total
	Operation      string
	Requests       int
	Failed         int // refused, or without an answer
	FailedTests    int // of those, the ones of the connection test and the search for a server
	Items          int64
	Sent, Received int64 // bytes
	First, Last    time.Time
}

// AccessDays returns what was asked for on each day from one time to another, the earliest
// day first, also of days whose requests are kept no more.
func (o *Org) AccessDays(ctx context.Context, from, to time.Time) ([]AccessDay, error) {
	return o.accessDays(ctx, `select day, operation, requests, refused, test_refused, items, sent, received, first_at, last_at
		from access_day where org_id = $1 and day between $2 and $3 order by day, operation`, o.id, dayOf(from), dayOf(to))
}

// AccessOperations returns the operations that were ever used, most used first.
func (o *Org) AccessOperations(ctx context.Context) ([]AccessDay, error) {
	return o.accessDays(ctx, `select 0, operation, cast(sum(requests) as bigint), cast(sum(refused) as bigint), cast(sum(test_refused) as bigint), cast(sum(items) as bigint),
			cast(sum(sent) as bigint), cast(sum(received) as bigint), min(first_at), max(last_at)
		from access_day where org_id = $1 group by operation order by 3 desc, operation`, o.id)
}

func (o *Org) accessDays(ctx context.Context, query string, args ...any) (list []AccessDay, err error) {
	err = rows(ctx, o.read(), query, args, func(r *sql.Rows) error {
		var d AccessDay
		var day int64
		if err := r.Scan(&day, &d.Operation, &d.Requests, &d.Failed, &d.FailedTests, &d.Items, &d.Sent, &d.Received, stamp{&d.First}, stamp{&d.Last}); err != nil {
			return err
		}
		if day > 0 {
			d.Day = dayTime(day)
		}
		list = append(list, d)
		return nil
	})
	return list, err
}

// An AccessOrigin is from where, as whom and under which name requests went to a host.
type AccessOrigin struct {
	UserAgent   string
	Source      string // address, without the port
	Host        string
	Account     string
	Requests    int
	First, Last time.Time
}

// AccessOrigins returns all origins that there ever were, the latest used first.
func (o *Org) AccessOrigins(ctx context.Context) (list []AccessOrigin, err error) {
	err = rows(ctx, o.read(), `select user_agent, source, host, account, requests, first_at, last_at
		from access_origin where org_id = $1 order by last_at desc, user_agent, source, host, account`, []any{o.id}, func(r *sql.Rows) error {
		var n AccessOrigin
		if err := r.Scan(&n.UserAgent, &n.Source, &n.Host, &n.Account, &n.Requests, stamp{&n.First}, stamp{&n.Last}); err != nil {
			return err
		}
		list = append(list, n)
		return nil
	})
	return list, err
}

// An AccessMailbox is a mailbox for which something was asked.
type AccessMailbox struct {
	Address mail.Address
	Day     time.Time // the last on which it was, UTC
}

// AccessMailboxes returns the mailboxes that the log tells of, by address.
func (o *Org) AccessMailboxes(ctx context.Context) (list []AccessMailbox, err error) {
	err = rows(ctx, o.read(), "select word, day from access_word where org_id = $1 and kind = 'mailbox' order by word", []any{o.id}, func(r *sql.Rows) error {
		var m AccessMailbox
		var day int64
		if err := r.Scan(&m.Address, &day); err != nil {
			return err
		}
		m.Day = dayTime(day)
		list = append(list, m)
		return nil
	})
	return list, err
}
