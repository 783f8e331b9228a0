package store

import (
	"context"
	"database/sql"
	"time"

	"postern/crm"
)

// A PersonCount is a user and how often that user wrote with somebody.
type PersonCount struct {
	User  crm.UserID
	Name  string
	Count int
	Last  time.Time
}

// HomeStats are the figures of the first page.
type HomeStats struct {
	Seen, Filed, NotFiled, Failed int        // items in all mailboxes
	ByDay                         []DayCount // the last 30 days, oldest first, none left out
	Mailboxes                     map[crm.MailboxState]int
	LastFiled                     time.Time // when an item was filed last; zero = never
}

// A DayCount counts the items of one day (UTC) by the date of the message.
type DayCount struct {
	Day         time.Time
	Seen, Filed int
}

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// Weeks counts a contact's activities in each of the last n weeks, the current one, which
// ends now, last.
func (o *Org) Weeks(ctx context.Context, contact crm.ContactID, n int) ([]int, error) {
	end := o.s.now()
	weeks := make([]int, n)
	err := rows(ctx, o.read(), `select ($4 - when_at) / $5, count(*) from activity_link
		where org_id = $1 and person = 'c' and person_id = $2 and part <> 'bcc' and when_at > $3 and when_at <= $4 group by 1`,
		[]any{o.id, contact, micros(end.Add(-time.Duration(n) * week)), micros(end), week.Microseconds()}, func(r *sql.Rows) error {
			var ago, count int
			if err := r.Scan(&ago, &count); err != nil {
				return err
			}
			if ago >= 0 && ago < n {
				weeks[n-1-ago] = count
			}
			return nil
		})
	return weeks, err
}

// WhoKnows returns the users who have activities with a contact, the busiest first.
func (o *Org) WhoKnows(ctx context.Context, contact crm.ContactID) ([]PersonCount, error) {
	var list []PersonCount
	err := rows(ctx, o.read(), `select u.id, u.name, count(*), max(c.when_at)
		from activity_link c
		join activity_link l on l.org_id = c.org_id and l.activity_id = c.activity_id and l.person = 'u' and l.part <> 'bcc'
		join account u on u.org_id = l.org_id and u.id = l.person_id
		where c.org_id = $1 and c.person = 'c' and c.person_id = $2 and c.part <> 'bcc'
		group by u.id, u.name order by count(*) desc, max(c.when_at) desc, u.id`, []any{o.id, contact}, func(r *sql.Rows) error {
		var p PersonCount
		if err := r.Scan(&p.User, &p.Name, &p.Count, stamp{&p.Last}); err != nil {
			return err
		}
		list = append(list, p)
		return nil
	})
	return list, err
}

// Home returns the figures of the first page.
func (o *Org) Home(ctx context.Context, now time.Time) (*HomeStats, error) {
	counts, err := o.Counts(ctx)
	if err != nil {
		return nil, err
	}
	h := &HomeStats{Seen: counts.Items(), Filed: counts.Filed, NotFiled: counts.NotFiled, Failed: counts.Failed, Mailboxes: map[crm.MailboxState]int{}}
	const days = 30
	first := now.UTC().Truncate(day).Add(-(days - 1) * day)
	h.ByDay = make([]DayCount, days)
	for i := range h.ByDay {
		h.ByDay[i].Day = first.Add(time.Duration(i) * day)
	}
	err = rows(ctx, o.read(), `select (when_at - $2) / $3, count(*), count(*) filter (where outcome = 'filed') from decision
		where org_id = $1 and when_at >= $2 group by 1`, []any{o.id, micros(first), day.Microseconds()}, func(r *sql.Rows) error {
		var i, seen, filed int
		if err := r.Scan(&i, &seen, &filed); err != nil {
			return err
		}
		if i < days {
			h.ByDay[i].Seen, h.ByDay[i].Filed = seen, filed
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = rows(ctx, o.read(), "select state, count(*) from mailbox where org_id = $1 group by state", []any{o.id}, func(r *sql.Rows) error {
		var state crm.MailboxState
		var n int
		if err := r.Scan(&state, &n); err != nil {
			return err
		}
		h.Mailboxes[state] = n
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = one(ctx, o.read(), "select coalesce(max(decided_at), 0) from decision where org_id = $1 and outcome = 'filed'", []any{o.id}, stamp{&h.LastFiled})
	return h, err
}
