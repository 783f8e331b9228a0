package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"postern/crm"
	"postern/mail"
)

// A MessageView is all that a message page shows.
type MessageView struct {
	ID          crm.MessageID
	Activity    crm.ActivityID
	MessageID   string
	Subject     string
	When        time.Time
	Received    time.Time
	Direction   mail.Direction
	HTML        string // as it came: to be made safe before it is shown
	Text        string
	Encrypted   bool
	Missing     crm.Missing // what could not be had of it
	MissingCode string      // and why: the fault's code
	MissingWhy  string      // and sentence
	RetryAt     time.Time   // of what is missing; zero = nothing is, or it was left
	Rule        string      // why it was filed
	People      []PersonRef
	Attachments []AttachmentView
	Copies      []CopyView
	Links       []LinkView
	Thread      []ActivityRow // the thread, newest first, this message included; at most 200
}

// A CopyView is one copy of a message in a mailbox.
type CopyView struct {
	Mailbox  crm.MailboxID
	Address  mail.Address // of the mailbox
	User     crm.UserID
	UserName string
	Item     string
	Folder   string // its path
	Seen     time.Time
	Missing  time.Time // since when its folder does not have it; zero = it has
	Gone     time.Time // since when it is gone for good; zero = it is not
	Read     bool
}

// A LinkView ties an activity to a contact or a user.
type LinkView struct {
	Contact crm.ContactID // one of
	User    crm.UserID    // the two
	Name    string
	Address mail.Address // that matched
	Part    crm.Part
	Auto    bool // by rule; false = by hand
}

// Message returns a message as the viewer may see it, or ErrNotFound. Who got it as Bcc
// is left out unless a copy in the viewer's own mailbox says so.
func (o *Org) Message(ctx context.Context, viewer crm.UserID, id crm.MessageID) (*MessageView, error) {
	m := &MessageView{ID: id}
	var thread int64
	err := one(ctx, o.read(), `select a.id, m.message_id, m.subject, m.when_at, m.received_at, m.direction, m.encrypted, m.thread_id, m.missing, m.missing_code, m.missing_why, b.html, b.text
		from message m join activity a on a.org_id = m.org_id and a.message_id = m.id join body b on b.message_id = m.id
		where m.org_id = $1 and m.id = $2`, []any{o.id, id},
		&m.Activity, &m.MessageID, &m.Subject, stamp{&m.When}, stamp{&m.Received}, &m.Direction, &m.Encrypted, &thread, &m.Missing, &m.MissingCode, &m.MissingWhy, &m.HTML, &m.Text)
	if err != nil {
		return nil, err
	}
	if m.Missing != crm.NothingMissing {
		err := one(ctx, o.read(), `select coalesce(min(d.due_at), 0) from copy c
			join decision d on d.org_id = c.org_id and d.mailbox_id = c.mailbox_id and d.item_hash = c.item_hash
			where c.org_id = $1 and c.message_id = $2 and d.due_at > 0`, []any{o.id, id}, stamp{&m.RetryAt})
		if err != nil {
			return nil, err
		}
	}
	if err := o.messagePeople(ctx, viewer, m); err != nil {
		return nil, err
	}
	if err := o.messageCopies(ctx, viewer, m); err != nil {
		return nil, err
	}
	err = rows(ctx, o.read(), "select "+attachmentColumns+" from attachment where org_id = $1 and message_id = $2 order by position", []any{o.id, id},
		func(r *sql.Rows) error {
			var a AttachmentView
			if err := r.Scan(a.fields()...); err != nil {
				return err
			}
			m.Attachments = append(m.Attachments, a)
			return nil
		})
	if err != nil {
		return nil, err
	}
	inThread, err := ids(ctx, o.read(), `select m.id from message m join activity a on a.org_id = m.org_id and a.message_id = m.id
		where m.org_id = $1 and m.thread_id = $2 order by m.when_at desc, m.id desc limit 200`, o.id, thread)
	if err != nil {
		return nil, err
	}
	m.Thread, err = o.activityRows(ctx, viewer, inThread)
	return m, err
}

func (o *Org) messagePeople(ctx context.Context, viewer crm.UserID, m *MessageView) error {
	found, err := o.linksOf(ctx, viewer, []int64{int64(m.ID)})
	if err != nil {
		return err
	}
	links := found[int64(m.ID)]
	for _, l := range links {
		m.Links = append(m.Links, l.LinkView)
	}
	return rows(ctx, o.read(), `select p.message_id, p.part, p.who, p.name, p.readable from participant p
		left join mailbox b on b.id = p.mailbox_id
		where p.org_id = $1 and p.message_id = $2 and (p.part <> 'bcc' or b.user_id = $3)
		order by case p.part when 'from' then 0 when 'sender' then 1 when 'to' then 2 when 'cc' then 3 when 'bcc' then 4 else 5 end, p.position, p.who`,
		[]any{o.id, m.ID, viewer}, func(r *sql.Rows) error {
			_, p, err := scanPerson(r)
			if err != nil {
				return err
			}
			m.People = append(m.People, links.name(p))
			return nil
		})
}

// messageCopies lists the copies, except those of users who got it as Bcc when the viewer
// may not know that.
func (o *Org) messageCopies(ctx context.Context, viewer crm.UserID, m *MessageView) error {
	hidden, err := ids(ctx, o.read(), `select u.user_id from participant p join user_address u on u.org_id = p.org_id and u.address = p.who
		join mailbox b on b.id = p.mailbox_id
		where p.org_id = $1 and p.message_id = $2 and p.part = 'bcc' and b.user_id <> $3 and u.user_id <> $3
			and not exists (select 1 from participant v left join mailbox w on w.id = v.mailbox_id
				where v.org_id = p.org_id and v.message_id = p.message_id and v.who = p.who and (v.part <> 'bcc' or w.user_id = $3))`, o.id, m.ID, viewer)
	if err != nil {
		return err
	}
	return rows(ctx, o.read(), `select c.mailbox_id, coalesce(b.address, ''), coalesce(b.user_id, 0), coalesce(u.name, ''), c.item, coalesce(f.path, ''),
			c.seen_at, c.missing_at, c.gone_at, c.is_read, coalesce(d.rule, '')
		from copy c
		left join mailbox b on b.org_id = c.org_id and b.id = c.mailbox_id
		left join account u on u.org_id = c.org_id and u.id = b.user_id
		left join folder f on f.org_id = c.org_id and f.id = c.folder_id
		left join decision d on d.org_id = c.org_id and d.mailbox_id = c.mailbox_id and d.item_hash = c.item_hash
		where c.org_id = $1 and c.message_id = $2 order by c.seen_at, c.mailbox_id, c.item`, []any{o.id, m.ID}, func(r *sql.Rows) error {
		var c CopyView
		var rule string
		if err := r.Scan(&c.Mailbox, &c.Address, &c.User, &c.UserName, &c.Item, &c.Folder, stamp{&c.Seen}, stamp{&c.Missing}, stamp{&c.Gone}, &c.Read, &rule); err != nil {
			return err
		}
		if m.Rule == "" {
			m.Rule = rule
		}
		if !slices.Contains(hidden, int64(c.User)) {
			m.Copies = append(m.Copies, c)
		}
		return nil
	})
}

// linkViews returns the links of a message that the viewer may know of.
func (o *Org) linkViews(ctx context.Context, message crm.MessageID, viewer crm.UserID) ([]LinkView, error) {
	found, err := o.linksOf(ctx, viewer, []int64{int64(message)})
	var list []LinkView
	for _, l := range found[int64(message)] {
		list = append(list, l.LinkView)
	}
	return list, err
}
