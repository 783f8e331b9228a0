package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/crm"
)

// An accessWord is a text that repeats, by its kind and its keyed hash. With 63 bits and
// more, two among millions do not meet, and nobody without the key can make them.
type accessWord struct {
	kind string
	id   int64
}

// The kinds of words.
const (
	mailboxWord   = "mailbox"
	operationWord = "operation"
	folderWord    = "folder"
)

// word returns the id of a word; 0 for none.
func (h hasher) word(kind, word string) int64 {
	if word == "" {
		return 0
	}
	return h.sum("access "+kind+"\x00", word)
}

func (h hasher) origin(userAgent, source, host, account string) int64 {
	return h.sum("access origin\x00", strings.Join([]string{userAgent, source, host, account}, "\x00"))
}

// An AccessResult says what came of a request.
type AccessResult string

const (
	AccessOK       AccessResult = "ok"
	AccessLogOn    AccessResult = "log-on"    // a step of logging on, answered by 401; another request follows
	AccessRefused  AccessResult = "refused"   // by Exchange as a whole, with or without a code of its own
	AccessNoAnswer AccessResult = "no-answer" // the connection broke, or we gave up
)

// Known tells whether there is such a result.
func (r AccessResult) Known() bool { return resultIs[r] != "" }

// ResultOf tells what came of a request.
func ResultOf(a *crm.Access) AccessResult {
	switch {
	case a.Code != "":
		return AccessRefused
	case a.Status == 0:
		return AccessNoAnswer
	case a.Status == http.StatusUnauthorized:
		return AccessLogOn
	case a.Status >= 200 && a.Status < 300:
		return AccessOK
	}
	return AccessRefused
}

// resultIs is the same in SQL.
var resultIs = map[AccessResult]string{
	AccessOK:       "a.code = '' and a.status between 200 and 299",
	AccessLogOn:    "a.code = '' and a.status = 401",
	AccessRefused:  "(a.code <> '' or a.status <> 0 and a.status <> 401 and a.status not between 200 and 299)",
	AccessNoAnswer: "a.code = '' and a.status = 0",
}

// An accessBatch gathers what a transaction writes.
type accessBatch struct {
	rows    []any
	words   map[accessWord]string
	day     int64
	origins map[int64]*AccessOrigin
	days    map[accessDayKey]*AccessDay
}

type accessDayKey struct {
	day       int64
	operation string
}

// save writes entries in one transaction. again says that it was tried before: then the
// commit may have succeeded, and only its answer been lost.
func (w *AccessWriter) save(ctx context.Context, entries []accessEntry, again bool) error {
	h, err := w.org.hasher(ctx)
	if err != nil {
		return err
	}
	b := w.batch(h, entries)
	if err := w.org.db.update(ctx, "access log", func(t *tx) error { return w.org.saveAccess(ctx, t, b, again) }); err != nil {
		return err
	}
	if len(w.words) > accessWords {
		clear(w.words)
	}
	for word := range b.words {
		w.words[word] = b.day
	}
	return nil
}

func (w *AccessWriter) batch(h hasher, entries []accessEntry) *accessBatch {
	b := &accessBatch{words: map[accessWord]string{}, day: dayOf(w.org.s.now()), origins: map[int64]*AccessOrigin{}, days: map[accessDayKey]*AccessDay{}}
	word := func(kind, text string) int64 {
		key := accessWord{kind, h.word(kind, text)}
		if day, known := w.words[key]; key.id != 0 && (!known || day != b.day) {
			b.words[key] = text
		}
		return key.id
	}
	for i := range entries {
		a := tidyAccess(entries[i].Access)
		source, port := splitSource(a.Source)
		b.rows = append(b.rows, w.org.id, micros(a.At), entries[i].id, a.Took.Microseconds(),
			word(mailboxWord, string(a.Mailbox)), word(operationWord, a.Operation), word(folderWord, a.Folder), b.origin(h, &a, source), port,
			a.Items, a.Sent, a.Received, a.Status, a.Code, a.Hanging, packID(a.RequestID), packID(a.ServerRequestID), a.Test)
		b.count(&a)
	}
	return b
}

// tidyAccess makes what a server or an administrator wrote fit to be kept.
func tidyAccess(a crm.Access) crm.Access {
	for _, text := range []*string{&a.Operation, &a.Folder, &a.UserAgent, &a.Source, &a.Host, &a.Account, &a.RequestID, &a.ServerRequestID, &a.Code} {
		*text = clean((*text)[:min(len(*text), maxAccessText)])
	}
	return a
}

// maxAccessText bounds each text of an entry; the longest that is in use is a folder's id.
const maxAccessText = 1000

// splitSource takes the port off an address, if there is one.
func splitSource(text string) (source string, port uint16) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap().String(), at.Port()
	}
	return text, 0
}

func (b *accessBatch) origin(h hasher, a *crm.Access, source string) int64 {
	id := h.origin(a.UserAgent, source, a.Host, a.Account)
	o := b.origins[id]
	if o == nil {
		o = &AccessOrigin{UserAgent: a.UserAgent, Source: source, Host: a.Host, Account: a.Account, First: a.At, Last: a.At}
		b.origins[id] = o
	}
	o.Requests++
	o.First, o.Last = earlier(o.First, a.At), later(o.Last, a.At)
	return id
}

// count adds a request to those of its day.
func (b *accessBatch) count(a *crm.Access) {
	key := accessDayKey{dayOf(a.At), a.Operation}
	d := b.days[key]
	if d == nil {
		d = &AccessDay{Operation: a.Operation, First: a.At, Last: a.At}
		b.days[key] = d
	}
	d.Requests++
	if result := ResultOf(a); result != AccessOK && result != AccessLogOn {
		d.Failed++
		if a.Test {
			d.FailedTests++
		}
	}
	d.Items, d.Sent, d.Received = d.Items+int64(a.Items), d.Sent+a.Sent, d.Received+a.Received
	d.First, d.Last = earlier(d.First, a.At), later(d.Last, a.At)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// saveAccess writes a batch. What several processes write at once is written in the order
// of its keys.
func (o *Org) saveAccess(ctx context.Context, t *tx, b *accessBatch, again bool) error {
	if again {
		switch err := one(ctx, t, "select 1 from access where org_id = $1 and asked_at = $2 and id = $3", b.rows[:3], new(int)); {
		case err == nil:
			return nil
		case !errors.Is(err, ErrNotFound):
			return err
		}
	}
	if err := o.saveAccessWords(ctx, t, b); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(b.origins)) {
		n := b.origins[id]
		_, err := t.exec(ctx, `insert into access_origin (org_id, id, user_agent, source, host, account, requests, first_at, last_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			on conflict (org_id, id) do update set requests = access_origin.requests + excluded.requests,
				first_at = case when excluded.first_at < access_origin.first_at then excluded.first_at else access_origin.first_at end,
				last_at = case when excluded.last_at > access_origin.last_at then excluded.last_at else access_origin.last_at end`,
			o.id, id, n.UserAgent, n.Source, n.Host, n.Account, n.Requests, micros(n.First), micros(n.Last))
		if err != nil {
			return err
		}
	}
	keys := slices.SortedFunc(maps.Keys(b.days), func(a, b accessDayKey) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.operation, b.operation))
	})
	for _, key := range keys {
		d := b.days[key]
		_, err := t.exec(ctx, `insert into access_day (org_id, day, operation, requests, refused, test_refused, items, sent, received, first_at, last_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			on conflict (org_id, day, operation) do update set requests = access_day.requests + excluded.requests, refused = access_day.refused + excluded.refused,
				test_refused = access_day.test_refused + excluded.test_refused, items = access_day.items + excluded.items, sent = access_day.sent + excluded.sent, received = access_day.received + excluded.received,
				first_at = case when excluded.first_at < access_day.first_at then excluded.first_at else access_day.first_at end,
				last_at = case when excluded.last_at > access_day.last_at then excluded.last_at else access_day.last_at end`,
			o.id, key.day, key.operation, d.Requests, d.Failed, d.FailedTests, d.Items, d.Sent, d.Received, micros(d.First), micros(d.Last))
		if err != nil {
			return err
		}
	}
	return t.insert(ctx, `insert into access (org_id, asked_at, id, took, mailbox, operation, folder, origin, port,
		items, sent, received, status, code, hanging, request_id, server_request_id, test) values`, "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "", b.rows, nil)
}

// saveAccessWords writes the words that are new, or new on this day.
func (o *Org) saveAccessWords(ctx context.Context, t *tx, b *accessBatch) error {
	words := slices.SortedFunc(maps.Keys(b.words), func(a, b accessWord) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id)) })
	for _, w := range words {
		_, err := t.exec(ctx, `insert into access_word (org_id, kind, id, word, day) values ($1, $2, $3, $4, $5)
			on conflict (org_id, kind, id) do update set day = case when excluded.day > access_word.day then excluded.day else access_word.day end`,
			o.id, w.kind, w.id, b.words[w], b.day)
		if err != nil {
			return err
		}
	}
	return nil
}

// packID makes an id of a request small: a UUID becomes 16 bytes.
func packID(id string) []byte {
	if u, err := uuid.Parse(id); err == nil && len(id) == len(uuid.Nil.String()) {
		return append([]byte{'u'}, u[:]...)
	}
	if id == "" {
		return []byte{}
	}
	return append([]byte{'t'}, id...)
}

func unpackID(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if u, err := uuid.FromBytes(b[1:]); err == nil && b[0] == 'u' {
		return u.String()
	}
	return string(b[1:])
}

// dayOf counts the days from 1970 to a time, in UTC.
func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

func dayTime(day int64) time.Time { return time.Unix(day*24*60*60, 0).UTC() }

// A packed scans an id of a request.
type packed struct{ id *string }

func (p packed) Scan(v any) error {
	b, ok := v.([]byte)
	if !ok {
		return fmt.Errorf("id of a request is %T, not bytes", v)
	}
	*p.id = unpackID(b)
	return nil
}
