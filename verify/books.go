package verify

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
)

// Books are what Postern keeps, as the tables say it.
type books struct {
	orgs       map[int64]*rules
	boxes      map[string]*box // by all addresses that Exchange may tell of them by
	owners     map[int64]*box
	decisions  map[place]*decision // by the mailbox' address as we know it
	copies     map[place]*copied
	repeated   []place // with several decisions or copies
	messages   map[int64]*message
	order      []int64 // of messages
	activities int
	people     map[person]string // names
}

// A box is a mailbox that is to be collected.
type box struct {
	org, user int64
	address   string // as we know it
}

type decision struct {
	outcome, reason string
	folder          string // the id that Exchange gave it
}

type copied struct {
	message int64
	folder  string
	away    bool // gone or missing
}

type message struct {
	org        int64
	whole      bool // else rows refer to it, and it is not there
	messageID  string
	from       string
	subject    string
	sent       int64   // microseconds
	missing    string  // what of it could not be had
	contents   []int64 // sizes of the attachments whose content is kept
	twin       string  // what it has in common with no other
	activities int
	copies     int
	links      map[person]bool // automatic ones
	mine       map[int64]*mine // My Emails, by user
}

type mine struct {
	unread, gone bool
	times        int
}

func (m *message) identity() string { return identity(m.messageID, m.from, m.subject, m.sent/1e6) }

func (b *books) name(p person) string { return fmt.Sprintf("%c%d %q", p.kind, p.id, b.people[p]) }

// A reader reads all tables as they stood at one moment.
type reader struct {
	ctx context.Context
	tx  *sql.Tx
	err error
}

// rows runs a query and has take scan each row. After an error nothing is done.
func (r *reader) rows(query string, take func(scan func(...any))) {
	if r.err != nil {
		return
	}
	rows, err := r.tx.QueryContext(r.ctx, query)
	if err != nil {
		r.err = fmt.Errorf("%w in %s", err, query)
		return
	}
	defer rows.Close()
	for rows.Next() && r.err == nil {
		take(func(into ...any) {
			if err := rows.Scan(into...); err != nil {
				r.err = err
			}
		})
	}
	if r.err == nil {
		r.err = rows.Err()
	}
}

func read(ctx context.Context, db *sql.DB) (*books, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	b := &books{orgs: map[int64]*rules{}, boxes: map[string]*box{}, owners: map[int64]*box{}, decisions: map[place]*decision{}, copies: map[place]*copied{}, messages: map[int64]*message{}, people: map[person]string{}}
	r := &reader{ctx: ctx, tx: tx}
	b.readRules(r)
	b.readPeople(r)
	b.readBoxes(r)
	b.readLedger(r)
	b.readMessages(r)
	return b, r.err
}

func (b *books) readRules(r *reader) {
	r.rows(`select o.id, coalesce((select p.text from policy p where p.org_id = o.id order by p.version desc limit 1), '`+unsaved+`')
		from org o`, func(scan func(...any)) {
		var id int64
		var text string
		o := &rules{groups: map[string][]string{}, own: map[int64]limits{}, users: map[string]int64{}, contacts: map[string][]int64{}}
		scan(&id, &text)
		r.decode(text, &o.policy)
		b.orgs[id] = o
	})
	r.rows("select org_id, address, members from policy_group", func(scan func(...any)) {
		var org int64
		var group, text string
		members := []string{}
		scan(&org, &group, &text)
		r.decode(text, &members)
		b.orgs[org].groups[group] = members
	})
	r.rows("select org_id, user_id, text from user_limits", func(scan func(...any)) {
		var org, user int64
		var text string
		var own limits
		scan(&org, &user, &text)
		r.decode(text, &own)
		b.orgs[org].own[user] = own
	})
}

// decode reads a column of JSON.
func (r *reader) decode(text string, into any) {
	if r.err == nil {
		r.err = json.Unmarshal([]byte(text), into)
	}
}

func (b *books) readPeople(r *reader) {
	r.rows("select x.org_id, x.address, u.id, u.name, u.active from user_address x join account u on u.id = x.user_id", func(scan func(...any)) {
		var org, id int64
		var address, name string
		var active bool
		scan(&org, &address, &id, &name, &active)
		if active {
			b.orgs[org].users[address] = id
		}
		b.people[person{'u', id}] = name
	})
	r.rows("select x.org_id, x.address, c.id, c.name from contact_address x join contact c on c.id = x.contact_id", func(scan func(...any)) {
		var org, id int64
		var address, name string
		scan(&org, &address, &id, &name)
		b.orgs[org].contacts[address] = append(b.orgs[org].contacts[address], id)
		b.people[person{'c', id}] = name
	})
}

// readBoxes finds out whose mailboxes are to be collected: those of active users whose
// primary address the policy allows, while collecting is enabled; where each opens the own
// mailbox, of those who did.
func (b *books) readBoxes(r *reader) {
	r.rows(`select u.org_id, u.id, x.address, coalesce(m.primary_address, '') from account u
		join user_address x on x.user_id = u.id and x.position = 0
		left join mailbox m on m.org_id = u.org_id and m.user_id = u.id
		where u.active and exists (select 1 from connection c where c.org_id = u.org_id and c.enabled
			and (c.model <> 'own' or exists (select 1 from sign_in s where s.org_id = u.org_id and s.user_id = u.id)))`, func(scan func(...any)) {
		x := &box{}
		var primary string
		scan(&x.org, &x.user, &x.address, &primary)
		if rules := b.orgs[x.org]; !rules.reads(x.address, rules.groups) {
			return
		}
		b.owners[x.user] = x
		b.boxes[x.address] = x
		if primary != "" {
			b.boxes[primary] = x
		}
	})
}

// readLedger reads what stands about the mailboxes that are to be collected. What was kept
// of others stays as it is.
func (b *books) readLedger(r *reader) {
	r.rows(`select m.user_id, m.address, d.item, d.outcome, d.reason, coalesce(f.source_id, '') from decision d
		join mailbox m on m.id = d.mailbox_id left join folder f on f.id = d.folder_id`, func(scan func(...any)) {
		var p place
		var user int64
		d := &decision{}
		scan(&user, &p.mailbox, &p.item, &d.outcome, &d.reason, &d.folder)
		if b.owners[user] == nil {
			return
		}
		if b.decisions[p] != nil {
			b.repeated = append(b.repeated, p)
		}
		b.decisions[p] = d
	})
	r.rows(`select m.user_id, m.address, c.item, c.message_id, coalesce(f.source_id, ''), c.gone_at > 0 or c.missing_at > 0 from copy c
		join mailbox m on m.id = c.mailbox_id left join folder f on f.id = c.folder_id`, func(scan func(...any)) {
		var p place
		var user int64
		c := &copied{}
		scan(&user, &p.mailbox, &p.item, &c.message, &c.folder, &c.away)
		if b.owners[user] == nil {
			return
		}
		if b.copies[p] != nil {
			b.repeated = append(b.repeated, p)
		}
		b.copies[p] = c
	})
}

func (b *books) readMessages(r *reader) {
	// Two messages with the same twin are one. Without a Message-ID it takes the text to
	// say so, which one that is not whole does not have.
	r.rows(`select m.org_id, m.id, m.message_id, m.from_address, m.subject, m.sent_at, m.missing,
			case when m.message_id = '' and m.missing <> '' then '' else
				m.org_id || char(10) || m.message_id || char(10) || m.from_address || char(10) || m.sent_at || char(10) || m.subject || char(10) ||
				case when m.message_id = '' then coalesce(t.text || t.html, '') || char(10) ||
					coalesce((select group_concat(who, ' ') from (select who from participant p where p.message_id = m.id and part in ('to', 'cc') order by who)), '') else '' end end,
			(select count(*) from copy c where c.message_id = m.id)
		from message m left join body t on t.message_id = m.id order by m.id`, func(scan func(...any)) {
		m := &message{whole: true, links: map[person]bool{}, mine: map[int64]*mine{}}
		var id int64
		scan(&m.org, &id, &m.messageID, &m.from, &m.subject, &m.sent, &m.missing, &m.twin, &m.copies)
		b.messages[id] = m
		b.order = append(b.order, id)
	})
	at := func(id int64) *message {
		if b.messages[id] == nil {
			b.messages[id] = &message{links: map[person]bool{}, mine: map[int64]*mine{}}
			b.order = append(b.order, id)
		}
		return b.messages[id]
	}
	r.rows("select message_id from activity", func(scan func(...any)) {
		var id int64
		scan(&id)
		at(id).activities++
		b.activities++
	})
	r.rows("select a.message_id, l.person, l.person_id from activity_link l join activity a on a.id = l.activity_id where l.auto", func(scan func(...any)) {
		var id int64
		var kind string
		var p person
		scan(&id, &kind, &p.id)
		p.kind = kind[0]
		at(id).links[p] = true
	})
	r.rows("select message_id, size from attachment where sha256 is not null", func(scan func(...any)) {
		var id, size int64
		scan(&id, &size)
		at(id).contents = append(at(id).contents, size)
	})
	r.rows("select message_id, user_id, unread, gone from user_message", func(scan func(...any)) {
		var id, user int64
		row := &mine{}
		scan(&id, &user, &row.unread, &row.gone)
		if before := at(id).mine[user]; before != nil {
			row.times = before.times
		}
		row.times++
		at(id).mine[user] = row
	})
}
