package store

import (
	"bytes"
	"context"
	"database/sql"

	"postern/crm"
)

// A partial message is one of which the source could not give the text, or nothing but
// the header: crm.Item.Missing says what, its Fault why. It is filed with what there is,
// and stands wherever a message does, saying what it lacks. The rest is owed: its
// decision says Filed and has a due time, DueItems returns it, and Known leaves it out,
// so that it is loaded again. When any copy of it is filed in full, the message is
// completed and nothing is owed any more.
//
// A message without a Message-ID is known by its text, which a partial one lacks. Until
// then it has the key of the same message with no text. Completed, it gets the key that
// all its copies have, unless the message stands already because another mailbox brought
// it: then the copy joins that one, and the partial message goes. Since two messages may
// differ in nothing but their texts, each copy that was partial is loaded again.
//
// A message whose text the policy withholds is filed in the same way, but for what is owed:
// nothing is, and Known has it.

// owes tells whether something of a message is to be tried for. What the policy has withheld
// is not; when a later one lets it in, it is made due then.
func owes(m crm.Missing) bool { return m != crm.NothingMissing && m != crm.BodyWithheld }

// lack orders messages by how much is missing.
func lack(m crm.Missing) int {
	switch m {
	case crm.NothingMissing:
		return 0
	case crm.TextMissing:
		return 1
	}
	return 2
}

// textlessKey is the key of an item as if its text were empty.
func textlessKey(it *crm.Item) []byte {
	textless := *it
	textless.Text = ""
	return messageKey(&textless)
}

const partialColumns = "m.id, m.variant, m.from_address, m.subject, m.sent_at, m.when_at, m.message_key"

func scanPartial(r *sql.Rows, first any) (*standing, error) {
	var m standing
	err := r.Scan(first, &m.id, &m.variant, &m.from, &m.subject, &m.sent, &m.when, &m.key)
	return &m, err
}

// partials finds the partial messages that the filings may complete: the one that their
// own copy belongs to, or for those without a Message-ID one that lacks the text alone.
func (s *saving) partials(ctx context.Context) error {
	byItem, byKey := map[[16]byte]*filing{}, map[string][]*filing{}
	var hashes, keys [][]byte
	for _, f := range s.filings {
		if f.before != nil && f.before.outcome == crm.Filed {
			byItem[f.hash] = f
			hashes = append(hashes, f.hash[:])
		}
		if f.Item.MessageID == "" && f.missing == crm.NothingMissing {
			key := textlessKey(f.Item)
			byKey[string(key)] = append(byKey[string(key)], f)
			keys = append(keys, key)
		}
	}
	err := in(ctx, s.t, "select m.message_key, "+partialColumns+` from message m
		where m.org_id = $1 and m.missing <> '' and m.message_key in (%s)`, []any{s.o.id}, keys, func(r *sql.Rows) error {
		var key []byte
		m, err := scanPartial(r, &key)
		if err != nil {
			return err
		}
		for _, f := range byKey[string(key)] {
			f.partial = m
		}
		return nil
	})
	if err != nil {
		return err
	}
	return in(ctx, s.t, "select c.item_hash, "+partialColumns+` from copy c join message m on m.org_id = c.org_id and m.id = c.message_id
		where c.org_id = $1 and c.mailbox_id = $2 and m.missing <> '' and c.item_hash in (%s)`, []any{s.o.id, s.box}, hashes, func(r *sql.Rows) error {
		var hash []byte
		m, err := scanPartial(r, &hash)
		if err != nil {
			return err
		}
		byItem[[16]byte(hash)].partial = m
		return nil
	})
}

// adopt makes the partial message that a filing completes known by the filing's key.
func (s *saving) adopt(ctx context.Context, f *filing, variant int) error {
	f.partial.adopted = true
	if bytes.Equal(f.partial.key, f.key) {
		return nil
	}
	_, err := s.t.exec(ctx, "update message set message_key = $3, variant = $4 where org_id = $1 and id = $2", s.o.id, f.partial.id, f.key, variant)
	return err
}

// forgive ends what is owed by the other copies of a message that is complete.
func (s *saving) forgive(ctx context.Context, message int64) error {
	_, err := s.t.exec(ctx, `update decision set reason = 'matched', tries = 0, due_at = 0 where org_id = $1 and outcome = 'filed' and id in (
		select d.id from copy c join decision d on d.org_id = c.org_id and d.mailbox_id = c.mailbox_id and d.item_hash = c.item_hash
		where c.org_id = $1 and c.message_id = $2) and (due_at > 0 or reason = 'left')`, s.o.id, message)
	return err
}

// owing tells of which filings something is owed: not of those whose message another copy
// has brought in full.
func (s *saving) owing(ctx context.Context) error {
	at := map[int64][]*filing{}
	var list []int64
	for _, f := range s.filings {
		if owes(f.missing) {
			at[f.message] = append(at[f.message], f)
			list = append(list, f.message)
		}
	}
	return in(ctx, s.t, "select id from message where org_id = $1 and missing <> '' and id in (%s)", []any{s.o.id}, unique(list), func(r *sql.Rows) error {
		var id int64
		if err := r.Scan(&id); err != nil {
			return err
		}
		for _, f := range at[id] {
			f.owed = true
		}
		return nil
	})
}

// checkOwed makes what is missing of a filed message due, when it comes back without its
// ledger row.
func (s *saving) checkOwed(ctx context.Context, e *entry) error {
	owed, err := ids(ctx, s.t, `select m.id from copy c join message m on m.org_id = c.org_id and m.id = c.message_id
		where c.org_id = $1 and c.mailbox_id = $2 and c.item_hash = $3 and m.missing not in ('', 'withheld')`, s.o.id, s.box, e.hash[:])
	e.owed = len(owed) > 0
	return err
}

// discard clears up behind copies that turned out to belong to another message than the
// partial one they were filed with: what moved or went before goes with them, My Emails
// forgets the partial message, and without any copy it is removed.
func (s *saving) discard(ctx context.Context) error {
	for _, f := range s.filings {
		if f.left == 0 || f.before.due == 0 && !f.before.left() {
			continue
		}
		var when, activity int64
		var missing crm.Missing
		err := one(ctx, s.t, `select m.when_at, a.id, m.missing from message m join activity a on a.org_id = m.org_id and a.message_id = m.id
			where m.org_id = $1 and m.id = $2`, []any{s.o.id, f.left}, &when, &activity, &missing)
		if err != nil {
			return err
		}
		if missing != crm.NothingMissing {
			_, err := s.t.exec(ctx, "update copy set message_id = $4 where org_id = $1 and mailbox_id = $2 and message_id = $3 and missing_at + gone_at > 0",
				s.o.id, s.box, f.left, f.message)
			if err != nil {
				return err
			}
		}
		_, err = s.t.exec(ctx, `delete from user_message where org_id = $1 and user_id = $2 and when_at = $3 and message_id = $4
			and not exists (select 1 from copy c where c.org_id = $1 and c.message_id = $4 and c.mailbox_id = $5)`, s.o.id, s.user, when, f.left, s.box)
		if err != nil {
			return err
		}
		if missing != crm.NothingMissing {
			err = s.removeUnless(ctx, f.left, activity)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// removeUnless removes a message, unless it has a copy.
func (s *saving) removeUnless(ctx context.Context, message, activity int64) error {
	n, err := s.t.exec(ctx, "delete from message where org_id = $1 and id = $2 and not exists (select 1 from copy c where c.org_id = $1 and c.message_id = $2)",
		s.o.id, message)
	if err != nil || n == 0 {
		return err
	}
	if _, err := s.t.exec(ctx, s.t.d.unindex, message); err != nil {
		return err
	}
	if _, err := s.t.exec(ctx, "delete from activity_link where org_id = $1 and activity_id = $2", s.o.id, activity); err != nil {
		return err
	}
	for _, table := range []string{"activity", "attachment", "participant", "body"} {
		if _, err := s.t.exec(ctx, "delete from "+table+" where org_id = $1 and message_id = $2", s.o.id, message); err != nil {
			return err
		}
	}
	return nil
}
