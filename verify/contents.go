package verify

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// contents are what a database holds, our own row ids and times apart. What a row refers
// to is named by its natural key; a thread by the first of its messages.
var contents = map[string]string{
	"folder": `select m.address, f.source_id, f.name, f.role, f.in_scope, f.listed, f.cursor, f.epoch
		from folder f join mailbox m on m.id = f.mailbox_id`,
	"decision": `select m.address, d.item, f.source_id, d.outcome, d.reason, d.rule, d.when_at, hex(d.traces)
		from decision d join mailbox m on m.id = d.mailbox_id join folder f on f.id = d.folder_id`,
	"trace": `select t.hash, m.address, d.item from trace t join decision d on d.id = t.decision_id join mailbox m on m.id = d.mailbox_id`,
	"message": `select hex(g.message_key), g.variant, g.message_id, g.subject, g.from_address, g.sent_at, g.received_at, g.when_at, g.direction,
		g.preview, g.encrypted, g.people, g.attachments, g.missing, hex(g.seal),
		(select min(hex(o.message_key) || '/' || o.variant) from message o where o.thread_id = g.thread_id) from message g`,
	"thread_ref": `select r.ref, (select min(hex(o.message_key) || '/' || o.variant) from message o where o.thread_id = r.thread_id) from thread_ref r`,
	"body":       `select hex(g.message_key), g.variant, b.html, b.text from body b join message g on g.id = b.message_id`,
	"participant": `select hex(g.message_key), g.variant, p.part, p.who, coalesce(m.address, ''), p.name, p.readable
		from participant p join message g on g.id = p.message_id left join mailbox m on m.id = p.mailbox_id`,
	"copy": `select m.address, c.item, hex(g.message_key), g.variant, f.source_id, c.version, c.is_read, c.missing_at > 0, c.gone_at > 0
		from copy c join mailbox m on m.id = c.mailbox_id join message g on g.id = c.message_id join folder f on f.id = c.folder_id`,
	"activity": `select hex(g.message_key), g.variant, a.kind, a.when_at, a.links from activity a join message g on g.id = a.message_id`,
	"activity_link": `select hex(g.message_key), g.variant, l.person, coalesce(c.name, u.name), l.when_at, l.address, l.part, l.auto
		from activity_link l join activity a on a.id = l.activity_id join message g on g.id = a.message_id
		left join contact c on l.person = 'c' and c.id = l.person_id left join account u on l.person = 'u' and u.id = l.person_id`,
	"user_message": `select u.name, hex(g.message_key), g.variant, x.when_at, x.unread, x.gone
		from user_message x join account u on u.id = x.user_id join message g on g.id = x.message_id`,
	"attachment": `select hex(g.message_key), g.variant, t.position, t.name, t.type, t.content_id, t.inline, t.size, t.state, t.note, hex(t.sha256)
		from attachment t join message g on g.id = t.message_id`,
	"blob":           `select hex(sha256), hex(content) from blob`,
	"search_docsize": `select hex(g.message_key), g.variant, hex(w.sz) from search_docsize w join message g on g.id = w.id`,
}

// Contents returns what the tables of mail hold, a sorted list of rows each, with nothing
// in it that depends on when or in which order things were written. Two data folders that
// collected the same mail have the same contents. A row that refers to nothing is an error.
func Contents(ctx context.Context, db *sql.DB) (map[string][]string, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	all := make(map[string][]string, len(contents))
	for table, query := range contents {
		list, err := lines(ctx, tx, query)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", table, err)
		}
		var count int
		if err := tx.QueryRowContext(ctx, "select count(*) from "+table).Scan(&count); err != nil {
			return nil, fmt.Errorf("%s: %w", table, err)
		}
		if len(list) != count {
			return nil, fmt.Errorf("%s has %d rows, of which %d refer to nothing", table, count, count-len(list))
		}
		all[table] = list
	}
	return all, nil
}

// lines runs a query and returns its rows as text, sorted.
func lines(ctx context.Context, tx *sql.Tx, query string) ([]string, error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var list []string
	values := make([]sql.NullString, len(names))
	into := make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		var b strings.Builder
		for _, v := range values {
			fmt.Fprintf(&b, "%q ", v.String)
		}
		list = append(list, b.String())
	}
	slices.Sort(list)
	return list, rows.Err()
}
