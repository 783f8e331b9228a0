package store

import (
	"context"
	"database/sql"
	"fmt"

	"postern/crm"
)

// file writes the messages of a page and all that hangs on them.
func (s *saving) file(ctx context.Context) error {
	if len(s.filings) == 0 {
		return nil
	}
	for _, f := range s.filings {
		f.thread, f.message, f.activity, f.fresh, f.whole = 0, 0, 0, false, false
		f.messageWhen, f.partial = f.when, nil
	}
	for _, step := range []func(context.Context) error{
		s.threads, s.partials, s.messages, s.checkWhole, s.bodies, s.participants, s.activities, s.links, s.attach, s.copies, s.mine, s.owing,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// A standing is a message that is there, or about to be.
type standing struct {
	id      int64 // 0 = comes with this statement
	variant int
	from    string
	subject string
	sent    int64
	when    int64
	key     []byte
	adopted bool // see adopt
}

// messages finds the message of each filing or makes it. The unique key decides who
// makes it, not the look before: what another transaction made meanwhile is found in the
// next round.
func (s *saving) messages(ctx context.Context) error {
	open := s.filings
	for range 10 {
		stood, err := s.standings(ctx, open)
		if err != nil {
			return err
		}
		var fresh []*filing
		var variants []int
		for _, f := range open {
			key := string(f.key)
			m, next := f.among(stood[key])
			if p := f.partial; m == nil && p != nil && !p.adopted {
				if err := s.adopt(ctx, f, next); err != nil {
					return err
				}
				stood[key] = append(stood[key], p)
				m = p
			}
			switch {
			case m == nil:
				stood[key] = append(stood[key], &standing{variant: next, from: f.from, subject: f.subject, sent: f.sent})
				fresh, variants = append(fresh, f), append(variants, next)
			case m.id != 0:
				f.message, f.messageWhen = m.id, m.when
			}
		}
		if err := s.insertMessages(ctx, fresh, variants); err != nil {
			return err
		}
		var rest []*filing
		for _, f := range open {
			if f.message == 0 {
				rest = append(rest, f)
			}
		}
		if open = rest; len(open) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%d messages do not settle", len(open))
}

// among finds the message that the filing is a copy of, or the variant to make.
func (f *filing) among(list []*standing) (m *standing, next int) {
	for _, m := range list {
		if f.sameMessage(m.from, m.subject, m.sent) {
			return m, 0
		}
		next = max(next, m.variant+1)
	}
	return nil, next
}

func (s *saving) standings(ctx context.Context, list []*filing) (map[string][]*standing, error) {
	keys := make([][]byte, len(list))
	for i, f := range list {
		keys[i] = f.key
	}
	stood := map[string][]*standing{}
	err := in(ctx, s.t, `select message_key, id, variant, from_address, subject, sent_at, when_at from message
		where org_id = $1 and message_key in (%s) order by message_key, variant`, []any{s.o.id}, keys, func(r *sql.Rows) error {
		var key []byte
		var m standing
		if err := r.Scan(&key, &m.id, &m.variant, &m.from, &m.subject, &m.sent, &m.when); err != nil {
			return err
		}
		if !sameStanding(stood[string(key)], m.id) { // the list holds a key as often as the page
			stood[string(key)] = append(stood[string(key)], &m)
		}
		return nil
	})
	return stood, err
}

func sameStanding(list []*standing, id int64) bool {
	for _, m := range list {
		if m.id == id {
			return true
		}
	}
	return false
}

func (s *saving) insertMessages(ctx context.Context, fresh []*filing, variants []int) error {
	type identity struct {
		key     string
		variant int
	}
	maker := make(map[identity]*filing, len(fresh))
	args := make([]any, 0, 19*len(fresh))
	for i, f := range fresh {
		maker[identity{string(f.key), variants[i]}] = f
		it := f.Item
		args = append(args, s.o.id, f.key, variants[i], clean(it.MessageID), f.subject, f.from, f.sent, micros(it.Received), f.when,
			f.Decision.Direction, preview(f.text), it.Encrypted, f.thread, f.peopleSum().column(), len(f.attachments), f.missing, f.code, f.why, f.seal())
	}
	return s.t.insert(ctx, `insert into message (org_id, message_key, variant, message_id, subject, from_address, sent_at, received_at, when_at,
		direction, preview, encrypted, thread_id, people, attachments, missing, missing_code, missing_why, seal) values`,
		"(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"on conflict (org_id, message_key, variant) do nothing returning id, message_key, variant", args, func(r *sql.Rows) error {
			var id int64
			var key []byte
			var variant int
			if err := r.Scan(&id, &key, &variant); err != nil {
				return err
			}
			f := maker[identity{string(key), variant}]
			f.message, f.fresh = id, true
			return nil
		})
}

func (f *filing) seal() []byte { return seal(f.subject, f.from, f.sent, f.html, f.text, f.missing) }

// checkWhole tells which messages that stood already lack what every message has, or
// what a filing brings for a partial one; a copy that is filed again repairs them.
func (s *saving) checkWhole(ctx context.Context) error {
	at := map[int64][]*filing{}
	var list []int64
	for _, f := range s.filings {
		if !f.fresh {
			at[f.message] = append(at[f.message], f)
			list = append(list, f.message)
		}
	}
	return in(ctx, s.t, `select m.id, m.missing from message m
		join body b on b.message_id = m.id
		join activity a on a.org_id = m.org_id and a.message_id = m.id
		where m.org_id = $1 and `+s.t.d.indexed+` and m.id in (%s)`, []any{s.o.id}, unique(list), func(r *sql.Rows) error {
		var id int64
		var missing crm.Missing
		if err := r.Scan(&id, &missing); err != nil {
			return err
		}
		for _, f := range at[id] {
			f.whole = lack(missing) <= lack(f.missing)
		}
		return nil
	})
}

// bodies writes texts and search index of messages that are new or not whole.
func (s *saving) bodies(ctx context.Context) error {
	var bodies, words []any
	done := map[int64]bool{}
	for _, f := range s.filings {
		if f.whole || done[f.message] {
			continue
		}
		done[f.message] = true
		if !f.fresh {
			if err := s.repair(ctx, f); err != nil {
				return err
			}
		}
		bodies = append(bodies, s.o.id, f.message, f.html, f.text)
		words = append(words, f.message, f.words[0], f.words[1], f.words[2], f.words[3])
	}
	err := s.t.insert(ctx, "insert into body (org_id, message_id, html, text) values", "(?, ?, ?, ?)",
		"on conflict (message_id) do update set html = excluded.html, text = excluded.text", bodies, nil)
	if err != nil {
		return err
	}
	return s.t.insert(ctx, s.t.d.index, s.t.d.indexRow, "", words, nil)
}

// repair makes a message that is not whole the one that this copy shows.
func (s *saving) repair(ctx context.Context, f *filing) error {
	_, err := s.t.exec(ctx, `update message set subject = $3, from_address = $4, sent_at = $5, preview = $6, encrypted = $7,
		missing = $8, missing_code = $9, missing_why = $10, seal = $11 where org_id = $1 and id = $2`,
		s.o.id, f.message, f.subject, f.from, f.sent, preview(f.text), f.Item.Encrypted, f.missing, f.code, f.why, f.seal())
	if err != nil {
		return err
	}
	if f.missing == crm.NothingMissing && f.Item.MessageID != "" {
		if err := s.forgive(ctx, f.message); err != nil {
			return err
		}
	}
	_, err = s.t.exec(ctx, s.t.d.unindex, f.message)
	return err
}

// participants are the union over all copies.
func (s *saving) participants(ctx context.Context) error {
	const head = "insert into participant (org_id, message_id, part, who, mailbox_id, position, name, readable) values"
	const row = "(?, ?, ?, ?, ?, ?, ?, ?)"
	var fresh, again []any
	for _, f := range s.filings {
		to := &again
		if f.fresh {
			to = &fresh
		}
		for _, p := range f.people {
			*to = append(*to, s.o.id, f.message, p.part, p.who, p.box, p.position, p.name, p.readable)
		}
	}
	if err := s.t.insert(ctx, head, row, "on conflict do nothing", fresh, nil); err != nil {
		return err
	}
	var touched []int64
	err := s.t.insert(ctx, head, row, "on conflict do nothing returning message_id", again, func(r *sql.Rows) error {
		var message int64
		if err := r.Scan(&message); err != nil {
			return err
		}
		touched = append(touched, message)
		return nil
	})
	if err != nil {
		return err
	}
	return s.sumPeople(ctx, unique(touched))
}

// sumPeople renews the checksums of participants.
func (s *saving) sumPeople(ctx context.Context, messages []int64) error {
	sums, err := s.o.peopleSums(ctx, s.t, messages)
	if err != nil {
		return err
	}
	for _, id := range messages {
		if _, err := s.t.exec(ctx, "update message set people = $3 where org_id = $1 and id = $2", s.o.id, id, sums[id].column()); err != nil {
			return err
		}
	}
	return nil
}

// peopleSums adds up the participants of messages.
func (o *Org) peopleSums(ctx context.Context, q querier, messages []int64) (map[int64]checksum, error) {
	sums := make(map[int64]checksum, len(messages))
	err := in(ctx, q, "select message_id, part, who, mailbox_id, name from participant where org_id = $1 and message_id in (%s)", []any{o.id}, messages,
		func(r *sql.Rows) error {
			var message int64
			var p party
			if err := r.Scan(&message, &p.part, &p.who, &p.box, &p.name); err != nil {
				return err
			}
			c := sums[message]
			c.addParty(p)
			sums[message] = c
			return nil
		})
	return sums, err
}

// activities makes the activity of each message that has none and finds the others.
func (s *saving) activities(ctx context.Context) error {
	at := map[int64][]*filing{}
	var args []any
	for _, f := range s.filings {
		if len(at[f.message]) == 0 && !f.whole {
			args = append(args, s.o.id, f.message, crm.Email, f.messageWhen, f.linksSum().column())
		}
		at[f.message] = append(at[f.message], f)
	}
	found := func(r *sql.Rows) (activity int64, err error) {
		var message int64
		if err := r.Scan(&activity, &message); err != nil {
			return 0, err
		}
		for _, f := range at[message] {
			f.activity = activity
		}
		return activity, nil
	}
	err := s.t.insert(ctx, "insert into activity (org_id, message_id, kind, when_at, links) values", "(?, ?, ?, ?, ?)",
		"on conflict (org_id, message_id, kind) do nothing returning id, message_id", args, func(r *sql.Rows) error {
			activity, err := found(r)
			if err != nil {
				return err
			}
			s.res.Filed = append(s.res.Filed, crm.ActivityID(activity))
			return nil
		})
	if err != nil {
		return err
	}
	var missing []int64
	for _, f := range s.filings {
		if f.activity == 0 {
			missing = append(missing, f.message)
		}
	}
	return in(ctx, s.t, "select id, message_id from activity where org_id = $1 and message_id in (%s)", []any{s.o.id}, unique(missing), func(r *sql.Rows) error {
		_, err := found(r)
		return err
	})
}

// links ties the activities to people. A link by Bcc gives way to a more open one.
func (s *saving) links(ctx context.Context) error {
	const head = "insert into activity_link (org_id, person, person_id, when_at, activity_id, address, part, auto) values"
	const row = "(?, ?, ?, ?, ?, ?, ?, ?)"
	var fresh, again []any
	seen := map[string]bool{}
	for _, f := range s.filings {
		for _, l := range f.links {
			person, id := personOf(l)
			to := &fresh
			if !f.fresh {
				to = &again
				key := fmt.Sprint(f.activity, person, id)
				if seen[key] {
					continue
				}
				seen[key] = true
			}
			*to = append(*to, s.o.id, person, id, f.messageWhen, f.activity, l.Address, l.Part, true)
		}
	}
	if err := s.t.insert(ctx, head, row, "on conflict do nothing", fresh, nil); err != nil {
		return err
	}
	var touched []int64
	err := s.t.insert(ctx, head, row, `on conflict (org_id, person, person_id, when_at, activity_id) do update
		set address = excluded.address, part = excluded.part where activity_link.part = 'bcc' and excluded.part <> 'bcc'
		returning activity_id`, again, func(r *sql.Rows) error {
		var activity int64
		if err := r.Scan(&activity); err != nil {
			return err
		}
		touched = append(touched, activity)
		return nil
	})
	if err != nil {
		return err
	}
	return s.o.sumLinks(ctx, s.t, unique(touched))
}

func personOf(l crm.Link) (person string, id int64) {
	if l.Contact != 0 {
		return "c", int64(l.Contact)
	}
	return "u", int64(l.User)
}

// copies writes the copies. An item that turned into another message leaves the old one.
func (s *saving) copies(ctx context.Context) error {
	var args []any
	var again [][]byte
	at := map[[16]byte]*filing{}
	for _, f := range s.filings {
		if f.before != nil {
			again = append(again, f.hash[:])
			at[f.hash] = f
		}
		if f.before == nil || f.before.outcome != crm.Filed {
			s.res.Copies++
		}
		args = append(args, s.o.id, s.box, f.hash[:], clean(f.Decision.Item), f.message, s.folder(f.entry), clean(f.Item.Version), f.Item.Read,
			f.Item.Size, f.Item.Sensitivity, categoriesColumn(&f.Item.Header), s.now)
	}
	left := false
	err := in(ctx, s.t, "select item_hash, message_id from copy where org_id = $1 and mailbox_id = $2 and item_hash in (%s)", []any{s.o.id, s.box}, again, func(r *sql.Rows) error {
		var hash []byte
		var message int64
		if err := r.Scan(&hash, &message); err != nil {
			return err
		}
		if f := at[[16]byte(hash)]; f != nil && f.message != message {
			left, f.left = true, message
		}
		s.stale = append(s.stale, message)
		return nil
	})
	if err != nil {
		return err
	}
	err = s.t.insert(ctx, `insert into copy (org_id, mailbox_id, item_hash, item, message_id, folder_id, version, is_read, size, sensitivity, categories,
		seen_at, missing_at, gone_at) values`,
		"(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)", `on conflict (org_id, mailbox_id, item_hash) do update set message_id = excluded.message_id,
			folder_id = excluded.folder_id, version = excluded.version, is_read = excluded.is_read,
			size = excluded.size, sensitivity = excluded.sensitivity, categories = excluded.categories, missing_at = 0, gone_at = 0`, args, nil)
	if err != nil || !left {
		return err
	}
	return s.discard(ctx)
}

// mine puts the messages into My Emails of the mailbox' user.
func (s *saving) mine(ctx context.Context) error {
	var args []any
	for _, f := range s.filings {
		args = append(args, s.o.id, s.user, f.messageWhen, f.message, !f.Item.Read, false)
		if !f.fresh {
			s.stale = append(s.stale, f.message)
		}
	}
	return s.t.insert(ctx, "insert into user_message (org_id, user_id, when_at, message_id, unread, gone) values", "(?, ?, ?, ?, ?, ?)",
		"on conflict do nothing", args, nil)
}
