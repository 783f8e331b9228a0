package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
)

const (
	// gatherWord is how long word of an entry waits for others, so that one mail tells all.
	gatherWord = time.Minute
	// maxWordWait is the longest pause between two attempts.
	maxWordWait = 4 * time.Hour
	// wordPatience is how long an address is tried.
	wordPatience = 5 * 24 * time.Hour
	// maxSecurityContacts is more than anybody needs; each is a mail for each change.
	maxSecurityContacts = 20
)

// telling are the actions of which the security contacts are told, besides all that widens
// access.
var telling = []string{"audit.accept", auditBroken, auditSinkAction, "security.contacts"}

// tell owes the security contacts word of an entry, in its transaction.
func (o *Org) tell(ctx context.Context, t *tx, e *crm.AuditEntry) error {
	if !e.Widens && !slices.Contains(telling, e.Action) {
		return nil
	}
	_, err := t.exec(ctx, `insert into outbox (org_id, seq, address, made_at, due_at, attempts, trouble, sent_at, given_up_at)
		select org_id, $2, address, $3, $4, 0, '', 0, 0 from security_contact where org_id = $1`,
		o.id, e.Seq, micros(e.At), micros(e.At.Add(gatherWord)))
	return err
}

// SecurityContacts returns the addresses that are told by mail what widens access.
func (o *Org) SecurityContacts(ctx context.Context) ([]mail.Address, error) {
	return securityContacts(ctx, o.read(), o.id)
}

func securityContacts(ctx context.Context, q querier, org crm.OrgID) ([]mail.Address, error) {
	return column[mail.Address](ctx, q, "select address from security_contact where org_id = $1 order by address", org)
}

// SaveSecurityContacts says who is told. Those who were, and those who will be, get word of
// the change. To take one off widens access: what follows is seen by one less. More than twenty
// are the fault "too-many-contacts".
func (o *Org) SaveSecurityContacts(ctx context.Context, list []mail.Address) error {
	list = slices.Compact(slices.Sorted(slices.Values(list)))
	if len(list) > maxSecurityContacts {
		return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "too-many-contacts",
			Message: fmt.Sprintf("%d security contacts are more than the %d that there may be.", len(list), maxSecurityContacts),
			Advice:  "Name the address of a mailing list."}
	}
	var old []mail.Address
	err := o.guarded(ctx, "save security contacts", change{crm.ContactsProposal, list}, func(t *tx) (err error) {
		if err := o.lock(ctx, t); err != nil {
			return err
		}
		old, err = securityContacts(ctx, t, o.id)
		if err != nil || slices.Equal(old, list) {
			return err
		}
		for _, a := range list {
			if _, err := t.exec(ctx, "insert into security_contact (org_id, address) values ($1, $2) on conflict do nothing", o.id, a); err != nil {
				return err
			}
		}
		var c changes
		c.noteList("security contact", words(old), words(list), false)
		c.widens = slices.ContainsFunc(old, func(a mail.Address) bool { return !slices.Contains(list, a) })
		if err := o.audit(ctx, t, c.entry("security.contacts", "")); err != nil {
			return err
		}
		for _, a := range old {
			if slices.Contains(list, a) {
				continue
			}
			if _, err := t.exec(ctx, "delete from security_contact where org_id = $1 and address = $2", o.id, a); err != nil {
				return err
			}
		}
		return nil
	})
	for _, a := range old {
		if err == nil && !slices.Contains(list, a) {
			_, err = o.CloseAlerts(ctx, wordSubject(a), "")
		}
	}
	return err
}

func words(list []mail.Address) (texts []string) {
	for _, a := range list {
		texts = append(texts, string(a))
	}
	return texts
}

// A Word is what one address is owed, to be told in one mail.
type Word struct {
	To       mail.Address
	Entries  []crm.AuditEntry // the first one first
	Attempts int              // that failed so far
}

// maxWord is how many entries a mail tells at most; the rest follow in another.
const maxWord = 50

// OwedWords returns what is due, all of an address together.
func (o *Org) OwedWords(ctx context.Context) ([]Word, error) {
	due, err := column[mail.Address](ctx, o.read(), `select distinct address from outbox
		where org_id = $1 and sent_at = 0 and given_up_at = 0 and due_at <= $2 order by address`, o.id, micros(o.s.now()))
	if err != nil {
		return nil, err
	}
	var list []Word
	for _, a := range due {
		w := Word{To: a}
		err := rows(ctx, o.read(), `select a.seq, a.done_at, a.actor, a.action, a.subject, a.detail, a.widens, a.hash, b.attempts
			from outbox b join audit a on a.org_id = b.org_id and a.seq = b.seq
			where b.org_id = $1 and b.address = $2 and b.sent_at = 0 and b.given_up_at = 0 order by b.seq limit $3`, []any{o.id, a, maxWord}, w.scan)
		if err != nil {
			return nil, err
		}
		if len(w.Entries) > 0 {
			list = append(list, w)
		}
	}
	return list, nil
}

func (w *Word) scan(r *sql.Rows) error {
	var e crm.AuditEntry
	var hash []byte
	var attempts int
	if err := r.Scan(&e.Seq, stamp{&e.At}, &e.Actor, &e.Action, &e.Subject, &e.Detail, &e.Widens, &hash, &attempts); err != nil {
		return err
	}
	e.Hash = hex.EncodeToString(hash)
	w.Entries, w.Attempts = append(w.Entries, e), max(w.Attempts, attempts)
	return nil
}

// mark changes the rows of a word that are neither sent nor given up.
func (o *Org) mark(ctx context.Context, t *tx, w Word, set string, args ...any) error {
	for i := range w.Entries {
		_, err := t.exec(ctx, "update outbox set "+set+" where org_id = $1 and address = $2 and seq = $3 and sent_at = 0 and given_up_at = 0",
			append([]any{o.id, w.To, w.Entries[i].Seq}, args...)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// WordSent notes that a word was taken by the mail server.
func (o *Org) WordSent(ctx context.Context, w Word) error {
	err := o.db.update(ctx, "word sent", func(t *tx) error {
		return o.mark(ctx, t, w, "sent_at = $4, attempts = attempts + 1, trouble = ''", micros(o.s.now()))
	})
	if err == nil {
		_, err = o.CloseAlerts(ctx, wordSubject(w.To), "")
	}
	return err
}

// ExpireWords takes away what was sent, once it is older than requests are kept in the access
// log, but for the last that each address was sent. What waits and what was given up stays. It is
// meant to be called once a day.
func (o *Org) ExpireWords(ctx context.Context) error {
	days, err := o.AccessRetention(ctx)
	if err != nil {
		return err
	}
	const old = `outbox where org_id = $1 and sent_at > 0 and sent_at < $2
		and (address, sent_at) not in (select address, max(sent_at) from outbox where org_id = $1 group by address)`
	args := []any{o.id, micros(o.s.now().AddDate(0, 0, -days))}
	var n int
	if err := one(ctx, o.read(), "select count(*) from "+old, args, &n); err != nil || n == 0 {
		return err
	}
	return o.db.update(ctx, "expire words", func(t *tx) error {
		_, err := t.exec(ctx, "delete from "+old, args...)
		return err
	})
}

// alertAfter is how many attempts fail until people are shown it.
const alertAfter = 3

// WordFailed notes that a word was not taken, and when to try again: after growing waits, for
// five days from each entry. Then that is given up, which the audit log tells.
func (o *Org) WordFailed(ctx context.Context, w Word, why string) error {
	now := o.s.now()
	late, rest, seqs := w, w, []string(nil)
	late.Entries, rest.Entries = nil, nil
	for _, e := range w.Entries {
		if now.Sub(e.At) < wordPatience {
			rest.Entries = append(rest.Entries, e)
			continue
		}
		late.Entries, seqs = append(late.Entries, e), append(seqs, fmt.Sprint(e.Seq))
	}
	named := false
	err := o.db.update(ctx, "word failed", func(t *tx) error {
		contacts, err := securityContacts(ctx, t, o.id)
		if err != nil {
			return err
		}
		named = slices.Contains(contacts, w.To)
		if err := o.mark(ctx, t, rest, "attempts = $4, trouble = $5", w.Attempts+1, clean(why)); err != nil {
			return err
		}
		// All that the address is owed is put off, also what did not go into this mail: it would
		// go to the same server, and take the rest along.
		_, err = t.exec(ctx, "update outbox set due_at = $3 where org_id = $1 and address = $2 and sent_at = 0 and given_up_at = 0",
			o.id, w.To, micros(now.Add(wordWait(w.Attempts))))
		if err != nil || len(late.Entries) == 0 {
			return err
		}
		if err := o.mark(ctx, t, late, "attempts = $4, trouble = $5, given_up_at = $6", w.Attempts+1, clean(why), micros(now)); err != nil {
			return err
		}
		return o.audit(ctx, t, crm.AuditEntry{Action: "security.untold", Subject: string(w.To), Detail: "entries: " + strings.Join(seqs, ", ") + "\nlast trouble: " + why})
	})
	if err != nil || !named || w.Attempts+1 < alertAfter {
		return err
	}
	_, err = o.RaiseAlert(ctx, Alert{Code: "security-contact-untold", Subject: wordSubject(w.To),
		Message: fmt.Sprintf("The security contact %s cannot be told what widened access: %s.", w.To, strings.TrimSuffix(why, ".")),
		Advice:  "See that the mail server that POSTERN_SMTP names takes mail for this address, or name another under Access → Audit."})
	return err
}

func wordSubject(a mail.Address) string { return "security contact " + string(a) }

// wordWait is the pause after an attempt that failed, with as many before it.
func wordWait(attempts int) time.Duration {
	return min(time.Minute<<min(attempts, 20), maxWordWait)
}

// An Outbox says what became of the words to one address.
type Outbox struct {
	Address  mail.Address
	Contact  bool // named at this moment; not any more otherwise
	Waiting  int
	Oldest   time.Time // of those that wait
	Trouble  string    // why the last attempt failed
	Next     time.Time // attempt
	Sent     time.Time // the last one; zero = none
	GivenUp  int
	GaveUp   time.Time // the last one
	Attempts int
}

// Outboxes tells what became of the words to each contact, and to those who were contacts
// and are owed some.
func (o *Org) Outboxes(ctx context.Context) ([]Outbox, error) {
	contacts, err := o.SecurityContacts(ctx)
	if err != nil {
		return nil, err
	}
	at := map[mail.Address]*Outbox{}
	for _, a := range contacts {
		at[a] = &Outbox{Address: a, Contact: true}
	}
	err = rows(ctx, o.read(), `select address, sum(case when sent_at + given_up_at = 0 then 1 else 0 end), min(case when sent_at + given_up_at = 0 then made_at end),
			min(case when sent_at + given_up_at = 0 then due_at end), max(case when sent_at + given_up_at = 0 then attempts else 0 end),
			max(case when sent_at + given_up_at = 0 then trouble else '' end), max(sent_at), sum(case when given_up_at > 0 then 1 else 0 end), max(given_up_at)
		from outbox where org_id = $1 group by address`, []any{o.id}, func(r *sql.Rows) error {
		var b Outbox
		var oldest, next sql.Null[int64]
		if err := r.Scan(&b.Address, &b.Waiting, &oldest, &next, &b.Attempts, &b.Trouble, stamp{&b.Sent}, &b.GivenUp, stamp{&b.GaveUp}); err != nil {
			return err
		}
		b.Oldest, b.Next = fromMicros(oldest.V), fromMicros(next.V)
		if known := at[b.Address]; known != nil || b.Waiting > 0 {
			b.Contact = known != nil
			at[b.Address] = &b
		}
		return nil
	})
	var list []Outbox
	for _, b := range at {
		list = append(list, *b)
	}
	slices.SortFunc(list, func(a, b Outbox) int { return cmp.Compare(a.Address, b.Address) })
	return list, err
}
