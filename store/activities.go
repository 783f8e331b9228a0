package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
)

// A PersonRef is a participant of a message and who that is, as far as linked.
type PersonRef struct {
	Name    string // the contact's or user's, else as the message gave it
	Address mail.Address
	Contact crm.ContactID
	User    crm.UserID
	Part    crm.Part
}

// An ActivityRow is an activity as a list shows it.
type ActivityRow struct {
	Activity    crm.ActivityID
	Message     crm.MessageID
	When        time.Time
	Subject     string
	Preview     string
	Direction   mail.Direction
	From        PersonRef
	To          []PersonRef // the first few of To and Cc
	More        int         // how many To and Cc beyond those
	Contact     PersonRef   // the first linked contact
	Company     string      // of that contact
	Attachments int         // those shown inside the text not counted
	Thread      int         // messages in its thread, itself included
	Unread      bool        // for the viewer, in the viewer's mailbox
	Missing     crm.Missing // what could not be had of it
	Gone        bool        // the viewer had it in the mailbox and has no more
}

// A MailQuery asks for activities, newest first. The zero value asks for all.
type MailQuery struct {
	Viewer    crm.UserID    // who looks; decides about Bcc, Unread and Gone. 0 sees no Bcc
	Contact   crm.ContactID // those linked to this contact
	User      crm.UserID    // those linked to this user
	Mine      bool          // those in the viewer's own mailbox ("My Emails")
	Text      string        // full text: words, "phrases", from:, to:
	Direction mail.Direction
	Unread    bool   // those that the viewer has and has not read
	Threads   bool   // the newest of each thread only
	Limit     int    // 0 = 50
	Before    string // next of the page before; "" = from the newest
}

// shownTo is how many of To and Cc a row shows.
const shownTo = 3

// seesLink is the condition under which a viewer may know of a link l of message m: one
// by Bcc is known through a copy in the viewer's own mailbox that carried it.
const seesLink = `(l.part <> 'bcc' or exists (select 1 from participant p join mailbox b on b.id = p.mailbox_id
	where p.org_id = l.org_id and p.message_id = m.id and p.part = 'bcc' and p.who = l.address and b.user_id = ?))`

// A clause gathers the parts of a query with ? for each value.
type clause struct {
	from, where string
	fromArgs    []any
	args        []any
}

func (c *clause) join(text string, args ...any) {
	c.from += " " + text
	c.fromArgs = append(c.fromArgs, args...)
}

func (c *clause) and(text string, args ...any) {
	c.where += " and " + text
	c.args = append(c.args, args...)
}

// Activities returns a page of activities, how many there are in all (threads, if asked
// for those), and what to ask for the next page with: "" = this is the last.
func (o *Org) Activities(ctx context.Context, q MailQuery) (list []ActivityRow, total int, next string, err error) {
	c, when := o.activityClause(q)
	count, nth, first := "count(*)", "", ""
	if q.Threads {
		count = "count(distinct m.thread_id)"
		nth = fmt.Sprintf(", row_number() over (partition by m.thread_id order by %s desc, a.id desc) as nth", when)
		first = " and nth = 1"
	}
	all := append(c.fromArgs, c.args...)
	if err := one(ctx, o.read(), numbered("select "+count+c.from+c.where), all, &total); err != nil {
		return nil, 0, "", err
	}
	query := "select message, activity from (select m.id as message, a.id as activity, " + when + " as at" + nth + c.from + c.where + ") s where true" + first
	if q.Before != "" {
		at, id, err := parseBefore(q.Before)
		if err != nil {
			return nil, 0, "", err
		}
		query += " and (at < ? or at = ? and activity < ?)"
		all = append(all, at, at, id)
	}
	limit := ListQuery{Limit: q.Limit}.limit()
	var messages []int64
	err = rows(ctx, o.read(), numbered(query+" order by at desc, activity desc limit ?"), append(all, limit+1), func(r *sql.Rows) error {
		var message, activity int64
		if err := r.Scan(&message, &activity); err != nil {
			return err
		}
		messages = append(messages, message)
		return nil
	})
	if err != nil {
		return nil, 0, "", err
	}
	more := len(messages) > limit
	if more {
		messages = messages[:limit]
	}
	list, err = o.activityRows(ctx, q.Viewer, messages)
	if more && len(list) > 0 {
		last := list[len(list)-1]
		next = fmt.Sprintf("%d.%d", micros(last.When), last.Activity)
	}
	return list, total, next, err
}

// activityClause says which activities are asked for, and by which column they are in
// the order of time: that of the table which holds them in this order.
func (o *Org) activityClause(q MailQuery) (c clause, when string) {
	when = "a.when_at"
	c.from = " from activity a join message m on m.org_id = a.org_id and m.id = a.message_id"
	c.where = " where true"
	c.and("a.org_id = ?", o.id)
	linked := func(alias, person string, id int64) {
		c.join("join activity_link l" + alias + " on l" + alias + ".org_id = a.org_id and l" + alias + ".activity_id = a.id and l" + alias + ".when_at = a.when_at")
		c.and("l"+alias+".org_id = ? and l"+alias+".person = ? and l"+alias+".person_id = ?", o.id, person, id)
		c.and(strings.ReplaceAll(seesLink, "l.", "l"+alias+"."), q.Viewer)
	}
	if q.User != 0 {
		linked("u", "u", int64(q.User))
		when = "lu.when_at"
	}
	if q.Contact != 0 {
		linked("c", "c", int64(q.Contact))
		when = "lc.when_at"
	}
	if q.Mine || q.Unread {
		c.join("join user_message u on u.org_id = a.org_id and u.when_at = a.when_at and u.message_id = a.message_id")
		c.and("u.org_id = ? and u.user_id = ?", o.id, q.Viewer)
		if q.Mine && q.Contact == 0 && q.User == 0 {
			when = "u.when_at"
		}
	}
	if q.Unread {
		c.and("u.unread and not u.gone")
	}
	if q.Direction != "" {
		c.and("m.direction = ?", q.Direction)
	}
	if strings.TrimSpace(q.Text) != "" {
		if terms := parseQuery(q.Text); len(terms) > 0 {
			c.and("m.id in ("+o.db.match+")", o.db.words(terms))
		} else {
			c.and("false") // nothing but signs, which are in no index
		}
	}
	return c, when
}

func parseBefore(s string) (at, id int64, err error) {
	a, b, _ := strings.Cut(s, ".")
	if at, err = strconv.ParseInt(a, 10, 64); err == nil {
		id, err = strconv.ParseInt(b, 10, 64)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %q", ErrPlace, s)
	}
	return at, id, nil
}

// activityRows fills in rows for messages, in the order given.
func (o *Org) activityRows(ctx context.Context, viewer crm.UserID, messages []int64) ([]ActivityRow, error) {
	list := make([]ActivityRow, len(messages))
	at := make(map[int64]*ActivityRow, len(messages))
	for i, id := range messages {
		at[id] = &list[i]
	}
	err := in(ctx, o.read(), `select m.id, a.id, m.when_at, m.subject, m.preview, m.direction, m.missing,
			(select count(*) from attachment t where t.org_id = m.org_id and t.message_id = m.id and not t.inline),
			(select count(*) from message t where t.org_id = m.org_id and t.thread_id = m.thread_id),
			coalesce(u.unread, false), coalesce(u.gone, false)
		from message m join activity a on a.org_id = m.org_id and a.message_id = m.id
		left join user_message u on u.org_id = m.org_id and u.user_id = $2 and u.when_at = m.when_at and u.message_id = m.id
		where m.org_id = $1 and m.id in (%s)`, []any{o.id, viewer}, messages, func(r *sql.Rows) error {
		var row ActivityRow
		if err := r.Scan(&row.Message, &row.Activity, stamp{&row.When}, &row.Subject, &row.Preview, &row.Direction, &row.Missing,
			&row.Attachments, &row.Thread, &row.Unread, &row.Gone); err != nil {
			return err
		}
		*at[int64(row.Message)] = row
		return nil
	})
	if err != nil {
		return nil, err
	}
	links, err := o.linksOf(ctx, viewer, messages)
	if err != nil {
		return nil, err
	}
	for id, row := range at {
		for _, l := range links[id] {
			if l.Contact != 0 && row.Contact.Contact == 0 {
				row.Contact, row.Company = l.ref(), l.company
			}
		}
	}
	err = in(ctx, o.read(), `select message_id, part, who, name, readable from participant
		where org_id = $1 and part in ('from', 'sender', 'to', 'cc') and message_id in (%s) order by message_id, position`, []any{o.id}, messages,
		func(r *sql.Rows) error {
			id, p, err := scanPerson(r)
			if err != nil {
				return err
			}
			at[id].addPerson(links[id].name(p))
			return nil
		})
	return list, err
}

func (row *ActivityRow) addPerson(p PersonRef) {
	switch {
	case p.Part == crm.From || p.Part == crm.Sender && row.From.Part == "":
		if row.From.Part != crm.From {
			row.From = p
		}
	case p.Part == crm.Sender:
	case len(row.To) < shownTo:
		row.To = append(row.To, p)
	default:
		row.More++
	}
}

func scanPerson(r *sql.Rows) (message int64, p PersonRef, err error) {
	var who string
	var readable bool
	if err := r.Scan(&message, &p.Part, &who, &p.Name, &readable); err != nil {
		return 0, p, err
	}
	if readable {
		p.Address = mail.Address(who)
	} else if p.Name == "" {
		p.Name = who
	}
	return message, p, nil
}

// A link is a row of activity_link with what is known of the person.
type link struct {
	LinkView
	company string
}

func (l link) ref() PersonRef {
	return PersonRef{Name: l.Name, Address: l.Address, Contact: l.Contact, User: l.User, Part: l.Part}
}

type links []link

// name says who a participant is.
func (ls links) name(p PersonRef) PersonRef {
	for _, l := range ls {
		if l.Address == p.Address && p.Address != "" && (p.Contact == 0 && l.Contact != 0 || p.User == 0 && l.User != 0) {
			p.Name, p.Contact, p.User = l.Name, max(p.Contact, l.Contact), max(p.User, l.User)
		}
	}
	return p
}

// linksOf returns the links of messages that the viewer may know of, the sender first.
func (o *Org) linksOf(ctx context.Context, viewer crm.UserID, messages []int64) (map[int64]links, error) {
	found := map[int64]links{}
	query := `select m.id, l.person, l.person_id, coalesce(c.name, u.name, ''), coalesce(c.company, ''), l.address, l.part, l.auto
		from activity a join message m on m.org_id = a.org_id and m.id = a.message_id
		join activity_link l on l.org_id = a.org_id and l.activity_id = a.id
		left join contact c on l.person = 'c' and c.org_id = l.org_id and c.id = l.person_id
		left join account u on l.person = 'u' and u.org_id = l.org_id and u.id = l.person_id
		where a.org_id = $1 and ` + strings.ReplaceAll(seesLink, "?", "$2") + ` and a.message_id in (%s)
		order by m.id, case l.part when 'from' then 0 when 'sender' then 1 when 'to' then 2 when 'cc' then 3 else 4 end, l.person, l.person_id`
	err := in(ctx, o.read(), query, []any{o.id, viewer}, messages, func(r *sql.Rows) error {
		var message, id int64
		var person string
		var l link
		if err := r.Scan(&message, &person, &id, &l.Name, &l.company, &l.Address, &l.Part, &l.Auto); err != nil {
			return err
		}
		if person == "c" {
			l.Contact = crm.ContactID(id)
		} else {
			l.User = crm.UserID(id)
		}
		found[message] = append(found[message], l)
		return nil
	})
	return found, err
}
