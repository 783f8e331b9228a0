package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"postern/crm"
	"postern/mail"
)

// An AccessQuery asks for requests to Exchange, newest first. The zero value asks for all.
type AccessQuery struct {
	From, To  time.Time // from From on, before To; zero = no limit
	Mailbox   mail.Address
	Operation string
	Account   string
	Source    string // address, without a port
	UserAgent string
	Result    AccessResult
	Code      string
	RequestID string // ours or the server's
	Limit     int    // 0 = 50
	Before    string // next of the page before; "" = from the newest
}

// An AccessRow is a request with what is known besides.
type AccessRow struct {
	crm.Access
	Result AccessResult
	Path   string // of the folder, as people know it; "" = not known
}

// AccessLog returns a page of the access log, and what to ask for the next with: "" =
// this is the last.
func (o *Org) AccessLog(ctx context.Context, q AccessQuery) (list []AccessRow, next string, err error) {
	c, err := o.accessClause(ctx, &q)
	if err != nil {
		return nil, "", err
	}
	limit := ListQuery{Limit: q.Limit}.limit()
	var at, id int64
	err = rows(ctx, o.read(), numbered(selectAccess+c.where+" order by a.asked_at desc, a.id desc limit ?"), append(c.args, limit+1), func(r *sql.Rows) error {
		if len(list) == limit {
			next = fmt.Sprintf("%d.%d", at, id)
			return nil
		}
		var row AccessRow
		if id, err = scanAccess(r, &row); err != nil {
			return err
		}
		at = micros(row.At)
		list = append(list, row)
		return nil
	})
	return list, next, err
}

// EachAccess hands out all that a query asks for, whatever its Limit, in parts: nothing
// is held while take works.
func (o *Org) EachAccess(ctx context.Context, q AccessQuery, take func(*AccessRow) error) error {
	q.Limit = 1000
	for {
		list, next, err := o.AccessLog(ctx, q)
		if err != nil {
			return err
		}
		for i := range list {
			if err := take(&list[i]); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		q.Before = next
	}
}

// selectAccess names each folder as the mailbox' owner sees it, as far as it is known.
const selectAccess = `select a.asked_at, a.id, a.took, coalesce(m.word, ''), coalesce(p.word, ''), coalesce(f.word, ''), coalesce(d.path, ''),
		a.items, a.sent, a.received, n.user_agent, n.source, a.port, n.host, n.account, a.request_id, a.server_request_id, a.status, a.code, a.hanging, a.test
	from access a join access_origin n on n.org_id = a.org_id and n.id = a.origin
	left join access_word m on m.org_id = a.org_id and m.kind = 'mailbox' and m.id = a.mailbox
	left join access_word p on p.org_id = a.org_id and p.kind = 'operation' and p.id = a.operation
	left join access_word f on f.org_id = a.org_id and f.kind = 'folder' and f.id = a.folder
	left join mailbox b on b.org_id = a.org_id and b.address = m.word and b.state <> 'off'
	left join folder d on d.org_id = a.org_id and d.mailbox_id = b.id and d.source_id = f.word
	where a.org_id = ?`

func scanAccess(r *sql.Rows, row *AccessRow) (id int64, err error) {
	var took, port int64
	if err := r.Scan(stamp{&row.At}, &id, &took, &row.Mailbox, &row.Operation, &row.Folder, &row.Path,
		&row.Items, &row.Sent, &row.Received, &row.UserAgent, &row.Source, &port, &row.Host, &row.Account,
		packed{&row.RequestID}, packed{&row.ServerRequestID}, &row.Status, &row.Code, &row.Hanging, &row.Test); err != nil {
		return 0, err
	}
	row.Took = time.Duration(took) * time.Microsecond
	if port != 0 {
		row.Source = net.JoinHostPort(row.Source, strconv.FormatInt(port, 10))
	}
	row.Result = ResultOf(&row.Access)
	return id, nil
}

// accessClause is the condition of a query.
func (o *Org) accessClause(ctx context.Context, q *AccessQuery) (*clause, error) {
	h, err := o.hasher(ctx)
	if err != nil {
		return nil, err
	}
	c := &clause{args: []any{o.id}}
	if q.Before != "" {
		at, id, err := parseBefore(q.Before)
		if err != nil {
			return nil, err
		}
		c.and("(a.asked_at, a.id) < (?, ?)", at, id)
	}
	if !q.From.IsZero() {
		c.and("a.asked_at >= ?", micros(q.From))
	}
	if !q.To.IsZero() {
		c.and("a.asked_at < ?", micros(q.To))
	}
	if q.Mailbox != "" {
		c.and("a.mailbox = ?", h.word(mailboxWord, string(q.Mailbox)))
	}
	if q.Operation != "" {
		c.and("a.operation = ?", h.word(operationWord, q.Operation))
	}
	for _, f := range []struct{ column, value string }{{"account", q.Account}, {"source", q.Source}, {"user_agent", q.UserAgent}} {
		if f.value != "" {
			c.and("a.origin in (select id from access_origin where org_id = ? and "+f.column+" = ?)", o.id, f.value)
		}
	}
	if q.Result != "" {
		is, known := resultIs[q.Result]
		if !known {
			return nil, fmt.Errorf("%w: result %q", errors.ErrUnsupported, q.Result)
		}
		c.and(is)
	}
	if q.Code != "" {
		c.and("a.code = ?", q.Code)
	}
	if q.RequestID != "" {
		id := packID(q.RequestID)
		c.and("(a.request_id = ? or a.server_request_id = ?)", id, id)
	}
	return c, nil
}
