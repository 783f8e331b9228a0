package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"postern/crm"
)

// A removal takes out what was filed and the policy would not file: from a mailbox that
// would not bring it any more its copies, and the message with text, attachments, links and
// all when no mailbox would. What the ledger says of it is not filed, with the reason, so
// that a later policy can bring it back. It goes through the messages in steps, each a
// transaction, and its row says how far it has come: one that was stopped goes on there.
// Until it is done no other policy is saved, so that it takes out what its own would not file.

// errRemoving tells that a removal is under way.
var errRemoving = errors.New("a removal is under way")

type removal struct {
	version          int64
	last, until      int64
	messages, copies int
}

// askRemoval begins a removal by the version of the policy that was just saved.
func (o *Org) askRemoval(ctx context.Context, t *tx, version int64) error {
	_, err := t.exec(ctx, `insert into removal (org_id, version, last_id, until_id, messages, copies, done_at)
		values ($1, $2, 0, (select coalesce(max(id), 0) from message where org_id = $1), 0, 0, 0)`, o.id, version)
	return err
}

// pendingRemoval returns the removal that is under way.
func (o *Org) pendingRemoval(ctx context.Context, q querier) (r removal, pending bool, err error) {
	err = one(ctx, q, "select version, last_id, until_id, messages, copies from removal where org_id = $1 and done_at = 0", []any{o.id},
		&r.version, &r.last, &r.until, &r.messages, &r.copies)
	if errors.Is(err, ErrNotFound) {
		return r, false, nil
	}
	return r, err == nil, err
}

// FinishRemoval goes on with a removal that was stopped, to its end. When none is under way,
// nothing is written.
func (o *Org) FinishRemoval(ctx context.Context) error {
	h, err := o.hasher(ctx)
	if err != nil {
		return err
	}
	for {
		_, pending, err := o.pendingRemoval(ctx, o.read())
		if err != nil {
			return err
		}
		if !pending {
			break
		}
		if err := o.db.update(ctx, "remove", func(t *tx) error { return o.removeSome(ctx, t, h) }); err != nil {
			return err
		}
	}
	return o.deleteDiscarded(ctx)
}

// removeSome takes the next step of a removal. The organization stays locked meanwhile, so
// that no page files into what is taken out.
func (o *Org) removeSome(ctx context.Context, t *tx, h hasher) error {
	if err := o.lock(ctx, t); err != nil {
		return err
	}
	r, pending, err := o.pendingRemoval(ctx, t)
	if err != nil || !pending {
		return err
	}
	grants, err := o.granted(ctx, t)
	if err != nil {
		return err
	}
	v, err := o.newReview(ctx, t, grants)
	if err != nil {
		return err
	}
	list, last, more, err := v.messages(ctx, t, r.last)
	if err != nil {
		return err
	}
	taking := taking{o, t, h, v, micros(o.s.now())}
	for _, m := range list {
		refused := m.refused()
		if len(refused) == 0 || m.id > r.until {
			continue
		}
		if err := taking.out(ctx, m, refused); err != nil {
			return fmt.Errorf("remove message %d: %w", m.id, err)
		}
		if r.copies += len(refused); len(refused) == len(m.copies) {
			r.messages++
		}
	}
	done := int64(0)
	if !more || last >= r.until {
		done = taking.now
		err := o.audit(ctx, t, crm.AuditEntry{Action: "policy.remove", Subject: fmt.Sprintf("version %d", r.version),
			Detail: fmt.Sprintf("messages removed: %d\ncopies removed: %d", r.messages, r.copies)})
		if err != nil {
			return err
		}
	}
	_, err = t.exec(ctx, "update removal set last_id = $3, messages = $4, copies = $5, done_at = $6 where org_id = $1 and version = $2",
		o.id, r.version, last, r.messages, r.copies, done)
	return err
}

// removed tells what the removals took out that versions of the policy asked for.
func (o *Org) removed(ctx context.Context) (map[int64]Removed, error) {
	all := map[int64]Removed{}
	err := rows(ctx, o.read(), "select version, messages, copies, done_at > 0 from removal where org_id = $1", []any{o.id}, func(r *sql.Rows) error {
		var version int64
		var n Removed
		if err := r.Scan(&version, &n.Messages, &n.Copies, &n.Done); err != nil {
			return err
		}
		all[version] = n
		return nil
	})
	return all, err
}

// Removed is what a removal took out so far.
type Removed struct {
	Messages int  `json:"messages"`
	Copies   int  `json:"copies"` // those of messages that stay included
	Done     bool `json:"done"`
}

// taking is one step of a removal.
type taking struct {
	o   *Org
	t   *tx
	h   hasher
	v   *review
	now int64
}

// out takes copies of a message out, and the message when no other is left.
func (k *taking) out(ctx context.Context, m *reviewed, refused []*reviewedCopy) error {
	for _, c := range refused {
		if err := k.unfile(ctx, m, c); err != nil {
			return err
		}
		if err := k.forget(ctx, m, c); err != nil {
			return err
		}
	}
	s := saving{o: k.o, t: k.t, now: k.now}
	if len(refused) < len(m.copies) {
		if err := k.unlinkBcc(ctx, m); err != nil {
			return err
		}
		return s.handOver(ctx, []int64{m.id})
	}
	_, err := k.t.exec(ctx, `insert into discarded (org_id, sha256) select distinct org_id, sha256 from attachment
		where org_id = $1 and message_id = $2 and sha256 is not null on conflict do nothing`, k.o.id, m.id)
	if err != nil {
		return err
	}
	activities, err := ids(ctx, k.t, "select id from activity where org_id = $1 and message_id = $2", k.o.id, m.id)
	if err != nil {
		return err
	}
	for _, activity := range activities {
		if err := s.removeUnless(ctx, m.id, activity); err != nil {
			return err
		}
	}
	return nil
}

// unfile turns the ledger row of a copy. A copy that is gone has none.
func (k *taking) unfile(ctx context.Context, m *reviewed, c *reviewedCopy) error {
	traces := traceHashes(k.h, m.messageID, m.header(c))
	var decision int64
	err := one(ctx, k.t, `update decision set outcome = 'not_filed', reason = $4, rule = $5, tries = 0, due_at = 0, decided_at = $6, traces = $7
		where org_id = $1 and mailbox_id = $2 and item_hash = $3 returning id`, []any{k.o.id, c.box, c.hash, c.reason, c.rule, k.now, packTraces(traces)}, &decision)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var args []any
	for _, h := range traces {
		args = append(args, k.o.id, h, decision)
	}
	return k.t.insert(ctx, "insert into trace (org_id, hash, decision_id) values", "(?, ?, ?)", "on conflict do nothing", args, nil)
}

// forget removes a copy, who got it as Bcc by what it said, and the row in My Emails unless
// the mailbox has another copy.
func (k *taking) forget(ctx context.Context, m *reviewed, c *reviewedCopy) error {
	_, err := k.t.exec(ctx, "delete from copy where org_id = $1 and mailbox_id = $2 and item_hash = $3", k.o.id, c.box, c.hash)
	if err != nil {
		return err
	}
	const noOther = " and not exists (select 1 from copy c where c.org_id = $1 and c.message_id = $2 and c.mailbox_id = $3)"
	_, err = k.t.exec(ctx, "delete from participant where org_id = $1 and message_id = $2 and mailbox_id = $3"+noOther, k.o.id, m.id, c.box)
	if err != nil {
		return err
	}
	_, err = k.t.exec(ctx, "delete from user_message where org_id = $1 and message_id = $2 and user_id = $4 and when_at = $5"+noOther,
		k.o.id, m.id, c.box, k.v.boxes[c.box].User, micros(m.when))
	return err
}

// unlinkBcc takes away links by Bcc that no copy tells of any more, and renews the checksums.
func (k *taking) unlinkBcc(ctx context.Context, m *reviewed) error {
	activities, err := ids(ctx, k.t, "select id from activity where org_id = $1 and message_id = $2", k.o.id, m.id)
	if err != nil {
		return err
	}
	for _, activity := range activities {
		_, err := k.t.exec(ctx, `delete from activity_link where org_id = $1 and activity_id = $2 and part = 'bcc' and auto
			and not exists (select 1 from participant p where p.org_id = $1 and p.message_id = $3 and p.part = 'bcc' and p.who = activity_link.address)`,
			k.o.id, activity, m.id)
		if err != nil {
			return err
		}
	}
	if err := k.o.sumLinks(ctx, k.t, activities); err != nil {
		return err
	}
	s := saving{o: k.o, t: k.t}
	return s.sumPeople(ctx, []int64{m.id})
}

// deleteDiscarded deletes contents that nothing refers to any more. Who refers to content
// holds the organization's row and looks whether it is there; see keepBlob. A file goes
// before the row that says so: stopped in between, it is tried again.
func (o *Org) deleteDiscarded(ctx context.Context) error {
	for {
		var sums [][]byte
		read := func(r *sql.Rows) error {
			var sum []byte
			if err := r.Scan(&sum); err != nil {
				return err
			}
			sums = append(sums, sum)
			return nil
		}
		const some = "select sha256 from discarded where org_id = $1 limit 100"
		if err := rows(ctx, o.read(), some, []any{o.id}, read); err != nil || len(sums) == 0 {
			return err
		}
		err := o.db.update(ctx, "delete discarded", func(t *tx) error {
			if err := o.lock(ctx, t); err != nil {
				return err
			}
			sums = nil
			if err := rows(ctx, t, some, []any{o.id}, read); err != nil {
				return err
			}
			for _, sum := range sums {
				if err := o.deleteContent(ctx, t, sum); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// deleteContent deletes one content unless an attachment refers to it.
func (o *Org) deleteContent(ctx context.Context, t *tx, sum []byte) error {
	const unused = " and not exists (select 1 from attachment a where a.org_id = $1 and a.sha256 = $2)"
	n, err := t.exec(ctx, "delete from discarded where org_id = $1 and sha256 = $2"+unused, o.id, sum)
	if err != nil {
		return err
	}
	if n == 0 { // something else refers to it
		_, err := t.exec(ctx, "delete from discarded where org_id = $1 and sha256 = $2", o.id, sum)
		return err
	}
	if _, err := t.exec(ctx, "delete from blob where org_id = $1 and sha256 = $2", o.id, sum); err != nil {
		return err
	}
	return removeFile("blob", o.blobPath(sum), o.s.steps)
}
