package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"postern/crm"
)

// An Entry is an item of a page with its decision.
type Entry struct {
	Header   *crm.Header
	Decision crm.Decision
	Item     *crm.Item    // the message, to be filed now; nil for a filed item whose copy is known
	Folder   crm.FolderID // 0 = Page.Folder
}

// A Page is what one step brought, to be saved in one transaction.
type Page struct {
	Mailbox   *crm.Mailbox
	Folder    crm.FolderID // 0 for retries and rematches, which move no cursor
	Epoch     int          // of the folder
	Rev       int64        // from People
	Entries   []Entry
	Gone      []string        // ids of items that left the folder; unknown ones are ignored
	Read      map[string]bool // read state by item id; unknown ones are ignored
	SetCursor bool
	Next      crm.Cursor
	Last      bool   // the listing is complete: what it did not bring has left the folder
	Mark      string // with Last: the folder's mark that the listing came up to
}

// A PageResult tells what a page brought.
type PageResult struct {
	Filed  []crm.ActivityID // new activities
	Copies int              // new copies, those of new activities included
}

// SavePage saves all that a page brought and the cursor behind it in one transaction; a
// page may be saved again and leaves the same rows. ErrStale when people, settings or
// policy changed since the page was decided, or the folder was reset: nothing is saved
// then, and the page is to be decided or listed anew.
//
// An item that is filed stays filed, whatever later headers say. A filed entry without
// an Item whose copy is not known after all becomes a failed one that is due at once. An
// Item of which something is missing makes a partial message; see partial.go. What an
// administrator left stays left until it can be had.
func (o *Org) SavePage(ctx context.Context, p Page) (PageResult, error) {
	h, err := o.hasher(ctx)
	if err != nil {
		return PageResult{}, err
	}
	entries := distinct(p.Entries)
	for {
		filings, err := o.prepare(ctx, entries, p.Mailbox)
		if err != nil {
			return PageResult{}, o.db.fault(err)
		}
		var res PageResult
		err = o.db.update(ctx, "save page", func(t *tx) error {
			s := saving{o: o, t: t, h: h, box: p.Mailbox.ID, page: &p, entries: entries, filings: filings, now: micros(o.s.now())}
			err := s.run(ctx)
			res = s.res
			return err
		})
		switch {
		case errors.Is(err, errContentGone): // it came along with the item, and is stored again
			continue
		case err != nil:
			return PageResult{}, fmt.Errorf("save page of mailbox %d, folder %d: %w", p.Mailbox.ID, p.Folder, err)
		}
		return res, nil
	}
}

// An entry is an Entry on its way into the database.
type entry struct {
	Entry
	hash   [16]byte     // of the item id
	before *ledgerState // nil = none yet
	keep   bool         // the decision before stands
	owed   bool         // its message is a partial one
	id     int64        // of the decision
	traces []byte
}

// ledgerState is the decision about an item that stands already.
type ledgerState struct {
	id      int64
	outcome crm.Outcome
	reason  crm.Reason
	tries   int
	due     int64
	traces  []byte
}

// left tells whether an administrator left it at what could not be had.
func (l *ledgerState) left() bool { return l != nil && l.reason == crm.Left && l.due == 0 }

// distinct keeps one entry for each item: the last, but not one without a message after
// one with it.
func distinct(list []Entry) []*entry {
	at := make(map[[16]byte]int, len(list))
	entries := make([]*entry, 0, len(list))
	for _, e := range list {
		n := &entry{Entry: e, hash: hash16(e.Decision.Item)}
		if n.Item != nil && (n.Item.Fault != nil && n.Item.Missing == crm.NothingMissing || n.Decision.Outcome != crm.Filed) {
			n.Item = nil
		}
		i, twice := at[n.hash]
		switch {
		case !twice:
			at[n.hash] = len(entries)
			entries = append(entries, n)
		case e.Item != nil || entries[i].Item == nil:
			entries[i] = n
		}
	}
	return entries
}

// saving is one run of SavePage's transaction.
type saving struct {
	o       *Org
	t       *tx
	h       hasher
	box     crm.MailboxID
	user    crm.UserID // the mailbox' owner
	listed  bool       // the folder was listed in full before
	page    *Page
	entries []*entry
	filings []*filing
	now     int64

	res   PageResult
	stale []int64 // messages whose row in My Emails is to be derived anew
}

func (s *saving) run(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{s.remember, s.file, s.known, s.decide, s.read, s.gone, s.cursor, s.refresh} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// begin checks that the page still holds, and keeps it so.
func (s *saving) begin(ctx context.Context) (err error) {
	var rev int64
	if err := one(ctx, s.t, "select revision from org where id = $1"+s.t.d.shareLock, []any{s.o.id}, &rev); err != nil {
		return err
	}
	if len(s.entries) > 0 && rev != s.page.Rev {
		return ErrStale
	}
	if s.user, err = s.o.lockMailbox(ctx, s.t, s.box); err != nil || s.page.Folder == 0 {
		return err
	}
	var epoch int
	err = one(ctx, s.t, "select epoch, listed from folder where org_id = $1 and mailbox_id = $2 and id = $3", []any{s.o.id, s.box, s.page.Folder}, &epoch, &s.listed)
	if errors.Is(err, ErrNotFound) || err == nil && epoch != s.page.Epoch {
		return ErrStale
	}
	return err
}

// remember looks up what was decided before about the page's items.
func (s *saving) remember(ctx context.Context) error {
	at := make(map[[16]byte]*entry, len(s.entries))
	hashes := make([][]byte, len(s.entries))
	for i, e := range s.entries {
		e.before, e.keep, e.owed = nil, false, false
		at[e.hash] = e
		hashes[i] = e.hash[:]
	}
	return in(ctx, s.t, "select item_hash, id, outcome, reason, tries, due_at, traces from decision where org_id = $1 and mailbox_id = $2 and item_hash in (%s)",
		[]any{s.o.id, s.box}, hashes, func(r *sql.Rows) error {
			var hash []byte
			var l ledgerState
			if err := r.Scan(&hash, &l.id, &l.outcome, &l.reason, &l.tries, &l.due, &l.traces); err != nil {
				return err
			}
			if e := at[[16]byte(hash)]; e != nil {
				e.before = &l
			}
			return nil
		})
}

// known brings copies up to date that were filed before. A filed item whose copy is not
// here, which only a hand on the database or a caller's mistake can bring about, is to be
// loaded again.
func (s *saving) known(ctx context.Context) error {
	for _, e := range s.entries {
		wasFiled := e.before != nil && e.before.outcome == crm.Filed
		if !wasFiled && e.before.left() && e.Decision.Outcome == crm.Failed {
			e.keep = true
			continue
		}
		if e.Item != nil || !wasFiled && e.Decision.Outcome != crm.Filed {
			continue
		}
		found, err := s.touch(ctx, e)
		if err != nil {
			return err
		}
		e.keep = found && wasFiled
		if found && !wasFiled {
			if err := s.checkOwed(ctx, e); err != nil {
				return err
			}
		}
		if !found && e.Decision.Outcome == crm.Filed {
			e.Decision = crm.Decision{Item: e.Decision.Item, Outcome: crm.Failed, Reason: "copy-missing", RetryAt: s.o.s.now(),
				Rule: "it was filed, but its copy is not here; it is loaded again"}
		}
	}
	return nil
}

// touch brings the copy of an entry up to date, and tells whether there is one.
func (s *saving) touch(ctx context.Context, e *entry) (bool, error) {
	var message int64
	query := "update copy set folder_id = $4, missing_at = 0, gone_at = 0 where org_id = $1 and mailbox_id = $2 and item_hash = $3 returning message_id"
	args := []any{s.o.id, s.box, e.hash[:], s.folder(e)}
	if e.Header != nil && e.Header.Fault == nil {
		query = `update copy set folder_id = $4, missing_at = 0, gone_at = 0, version = $5, is_read = $6, size = $7, sensitivity = $8, categories = $9
			where org_id = $1 and mailbox_id = $2 and item_hash = $3 returning message_id`
		args = append(args, clean(e.Header.Version), e.Header.Read, e.Header.Size, e.Header.Sensitivity, categoriesColumn(e.Header))
	}
	err := one(ctx, s.t, query, args, &message)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	s.stale = append(s.stale, message)
	return err == nil, err
}

// categoriesColumn is how the categories of a copy are kept.
func categoriesColumn(h *crm.Header) string {
	if len(h.Categories) == 0 {
		return ""
	}
	text, err := json.Marshal(h.Categories) // of texts; that cannot fail
	if err != nil {
		panic(err)
	}
	return clean(string(text))
}

func (s *saving) folder(e *entry) crm.FolderID {
	if e.Folder != 0 {
		return e.Folder
	}
	return s.page.Folder
}

// decide writes the ledger rows.
func (s *saving) decide(ctx context.Context) error {
	var args []any
	written := make(map[[16]byte]*entry, len(s.entries))
	for _, e := range s.entries {
		if e.keep {
			if err := s.keepDecision(ctx, e); err != nil {
				return err
			}
			continue
		}
		e.traces = s.traces(e)
		written[e.hash] = e
		d := &e.Decision
		var when, due int64
		if e.Header != nil {
			when = micros(e.Header.When())
		}
		reason, tries := d.Reason, d.Tries
		if e.Item != nil && e.Item.Missing == crm.BodyWithheld {
			reason = crm.Withheld
		}
		switch {
		case d.Outcome == crm.Filed && !e.owed:
			tries = 0
		case d.Outcome == crm.Filed && e.before.left():
			reason = crm.Left
		case d.Outcome == crm.Filed, d.Outcome == crm.Failed:
			due = max(1, micros(d.RetryAt)) // what is owed is always tried again
		}
		args = append(args, s.o.id, s.box, e.hash[:], clean(d.Item), s.folder(e), s.page.Epoch, d.Outcome, reason, d.Rule, tries, due, when, s.now, e.traces)
	}
	err := s.t.insert(ctx, `insert into decision (org_id, mailbox_id, item_hash, item, folder_id, epoch, outcome, reason, rule, tries, due_at, when_at, decided_at, traces) values`,
		"(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", `on conflict (org_id, mailbox_id, item_hash) do update set
			folder_id = excluded.folder_id, epoch = case when excluded.epoch > decision.epoch then excluded.epoch else decision.epoch end,
			outcome = excluded.outcome, reason = excluded.reason, rule = excluded.rule, tries = excluded.tries, due_at = excluded.due_at, when_at = excluded.when_at,
			decided_at = case when decision.outcome = excluded.outcome and decision.reason = excluded.reason then decision.decided_at else excluded.decided_at end,
			traces = excluded.traces
		returning id, item_hash`, args, func(r *sql.Rows) error {
			var id int64
			var hash []byte
			if err := r.Scan(&id, &hash); err != nil {
				return err
			}
			written[[16]byte(hash)].id = id
			return nil
		})
	if err != nil {
		return err
	}
	return s.trace(ctx)
}

// keepDecision moves on the row of a decision that stands. What is owed to a partial
// message is put off when it could not be had, and owed no more when it would not be
// filed today.
func (s *saving) keepDecision(ctx context.Context, e *entry) error {
	l := *e.before
	if l.due > 0 {
		switch e.Decision.Outcome {
		case crm.Failed:
			l.due, l.tries = max(1, micros(e.Decision.RetryAt)), e.Decision.Tries
		case crm.NotFiled:
			l.due, l.reason = 0, crm.Left
		}
	}
	_, err := s.t.exec(ctx, `update decision set folder_id = $3, epoch = case when $4 > epoch then $4 else epoch end, reason = $5, tries = $6, due_at = $7
		where org_id = $1 and id = $2`, s.o.id, l.id, s.folder(e), s.page.Epoch, l.reason, l.tries, l.due)
	return err
}

// traces are the keyed hashes by which an item that is not filed can be found again, 8
// bytes each. What is not mail at all leaves none of its people.
func (s *saving) traces(e *entry) []byte {
	if e.Decision.Outcome == crm.Filed || e.Header == nil || e.Header.Fault != nil && len(e.Header.People) == 0 {
		return []byte{}
	}
	people := e.Header.People
	if e.Decision.Reason == crm.NotMail {
		people = nil
	}
	return packTraces(traceHashes(s.h, e.Header.MessageID, people))
}

// traceHashes are the keyed hashes of a Message-ID and of people.
func traceHashes(h hasher, messageID string, people []crm.Participant) []int64 {
	var hashes []int64
	if messageID != "" {
		hashes = append(hashes, h.messageID(messageID))
	}
	for _, p := range people {
		if p.Address != "" {
			hashes = append(hashes, h.address(p.Address))
		}
	}
	return unique(hashes)
}

func packTraces(hashes []int64) []byte {
	b := make([]byte, 0, 8*len(hashes))
	for _, h := range hashes {
		b = binary.BigEndian.AppendUint64(b, uint64(h))
	}
	return b
}

func unpackTraces(b []byte) []int64 {
	list := make([]int64, 0, len(b)/8)
	for ; len(b) >= 8; b = b[8:] {
		list = append(list, int64(binary.BigEndian.Uint64(b)))
	}
	return list
}

// trace brings the rows of traces in line with the decisions just written.
func (s *saving) trace(ctx context.Context) error {
	var args []any
	for _, e := range s.entries {
		if e.keep {
			continue
		}
		now := unpackTraces(e.traces)
		if e.before != nil {
			for _, h := range unpackTraces(e.before.traces) {
				if slices.Contains(now, h) {
					continue
				}
				if _, err := s.t.exec(ctx, "delete from trace where org_id = $1 and hash = $2 and decision_id = $3", s.o.id, h, e.id); err != nil {
					return err
				}
			}
		}
		for _, h := range now {
			args = append(args, s.o.id, h, e.id)
		}
	}
	return s.t.insert(ctx, "insert into trace (org_id, hash, decision_id) values", "(?, ?, ?)", "on conflict do nothing", args, nil)
}

// read keeps read states that changed alone.
func (s *saving) read(ctx context.Context) error {
	for item, read := range s.page.Read {
		hash := hash16(item)
		err := rows(ctx, s.t, `update copy set is_read = $4 where org_id = $1 and mailbox_id = $2 and item_hash = $3 and is_read <> $4
			returning message_id`, []any{s.o.id, s.box, hash[:], read}, s.staleMessage)
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *saving) staleMessage(r *sql.Rows) error {
	var message int64
	if err := r.Scan(&message); err != nil {
		return err
	}
	s.stale = append(s.stale, message)
	return nil
}

// gone takes what left the folder out of the ledger. An item that stands in another
// folder by now has moved there under its own id, and stays.
func (s *saving) gone(ctx context.Context) error {
	hashes := make([][]byte, len(s.page.Gone))
	for i, item := range s.page.Gone {
		hash := hash16(item)
		hashes[i] = hash[:]
	}
	for part := range parts(hashes) {
		condition, args := inPart("(folder_id = $3 or $3 = 0) and item_hash in (%s)", []any{s.o.id, s.box, s.page.Folder}, part)
		if err := s.leave(ctx, condition, args[2:]...); err != nil {
			return err
		}
	}
	return nil
}

// leave removes ledger rows of the mailbox and marks their copies as missing; see
// missing.go. The condition's placeholders begin with $3.
func (s *saving) leave(ctx context.Context, condition string, args ...any) error {
	all := append([]any{s.o.id, s.box}, args...)
	type row struct {
		id     int64
		traces []byte
	}
	var left []row
	var hashes [][]byte
	err := rows(ctx, s.t, "delete from decision where org_id = $1 and mailbox_id = $2 and "+condition+" returning id, item_hash, traces", all,
		func(r *sql.Rows) error {
			var l row
			var hash []byte
			if err := r.Scan(&l.id, &hash, &l.traces); err != nil {
				return err
			}
			left, hashes = append(left, l), append(hashes, hash)
			return nil
		})
	if err != nil {
		return err
	}
	for _, l := range left {
		for _, h := range unpackTraces(l.traces) {
			if _, err := s.t.exec(ctx, "delete from trace where org_id = $1 and hash = $2 and decision_id = $3", s.o.id, h, l.id); err != nil {
				return err
			}
		}
	}
	return in(ctx, s.t, `update copy set missing_at = $3 where org_id = $1 and mailbox_id = $2 and missing_at = 0 and gone_at = 0
		and item_hash in (%s) returning message_id`, []any{s.o.id, s.box, s.now}, hashes, s.staleMessage)
}

// cursor moves the folder on. When a full listing is complete, what it did not bring has
// left; later ones bring changes alone, and need not look through the folder for it.
func (s *saving) cursor(ctx context.Context) error {
	if s.page.Folder == 0 || !s.page.SetCursor && !s.page.Last {
		return nil
	}
	_, err := s.t.exec(ctx, `update folder set cursor = case when $3 then $4 else cursor end, listed = listed or $5,
		saved_mark = case when $5 then $6 else saved_mark end where org_id = $1 and id = $2`,
		s.o.id, s.page.Folder, s.page.SetCursor, string(s.page.Next), s.page.Last, clean(s.page.Mark))
	if err != nil || !s.page.Last || s.listed {
		return err
	}
	return s.leave(ctx, "folder_id = $3 and epoch < $4", s.page.Folder, s.page.Epoch)
}

// refresh derives the rows of My Emails anew from the copies in the mailbox, of which a
// missing one still counts.
func (s *saving) refresh(ctx context.Context) error {
	stale := unique(s.stale)
	if err := s.moved(ctx, stale); err != nil {
		return err
	}
	if err := s.handOver(ctx, stale); err != nil {
		return err
	}
	for _, message := range stale {
		_, err := s.t.exec(ctx, `update user_message set
			unread = exists (select 1 from copy c where c.org_id = $1 and c.message_id = $2 and c.mailbox_id = $4 and c.gone_at = 0 and not c.is_read),
			gone = not exists (select 1 from copy c where c.org_id = $1 and c.message_id = $2 and c.mailbox_id = $4 and c.gone_at = 0)
			where org_id = $1 and user_id = $3 and message_id = $2
				and when_at = (select m.when_at from message m where m.org_id = $1 and m.id = $2)`,
			s.o.id, message, s.user, s.box)
		if err != nil {
			return err
		}
	}
	return nil
}
