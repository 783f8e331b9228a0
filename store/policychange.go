package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"postern/crm"
	"postern/mail"
)

// A Change is what saving a policy would do.
type Change struct {
	Of      int64              `json:"of"`     // version of the policy that it is compared with
	Lines   []crm.Line         `json:"lines"`  // what is different
	Widens  bool               `json:"widens"` // more may be read, kept or seen than before
	Comes   []string           `json:"comes"`  // mailboxes that are read from then on
	Goes    []string           `json:"goes"`   // and no more
	Again   int                `json:"again"`  // items that would be looked at again, and may be filed
	AgainBy map[crm.Reason]int `json:"again_by"`
	Filed   Unfiled            `json:"filed"` // what was filed and would not be now; it stays, unless it is removed
}

// Unfiled is what a policy would not file of what was filed.
type Unfiled struct {
	Messages int                `json:"messages"` // not from any mailbox
	Copies   int                `json:"copies"`   // of these and of messages that another mailbox still brings
	By       map[crm.Reason]int `json:"by"`       // messages, by the reason of their first copy
	Examples []UnfiledExample   `json:"examples"` // the first of the messages
}

// An UnfiledExample is a message that a policy would not file.
type UnfiledExample struct {
	Message crm.MessageID `json:"message"`
	Subject string        `json:"subject"`
	When    time.Time     `json:"when"`
	Reason  crm.Reason    `json:"reason"`
}

// maxExamples is how many messages of a change are listed.
const maxExamples = 100

// DryRun tells what saving the policy would do, by the functions that saving it runs. It
// changes nothing. The fault of a policy that is not right has the code "policy-invalid".
func (o *Org) DryRun(ctx context.Context, p crm.Policy) (Change, error) {
	var c Change
	next, wrong := p.Check()
	if len(wrong) > 0 {
		return c, policyInvalid(wrong)
	}
	h, err := o.hasher(ctx)
	if err != nil {
		return c, err
	}
	was, err := o.granted(ctx, o.read())
	if err != nil {
		return c, err
	}
	is := was
	is.policy = next
	c.Of, c.Lines = was.policy.Version, was.diff(is)
	c.Widens = crm.Widens(c.Lines)
	if c.Comes, c.Goes, err = o.comeAndGo(ctx, was, is); err != nil {
		return c, err
	}
	sets, err := o.freed(ctx, o.read(), h, was, is)
	if err != nil {
		return c, err
	}
	if c.AgainBy, err = o.countFreed(ctx, o.read(), sets); err != nil {
		return c, err
	}
	for _, n := range c.AgainBy {
		c.Again += n
	}
	c.Filed, err = o.unfiled(ctx, is)
	return c, err
}

// comeAndGo compares whose mailboxes are read.
func (o *Org) comeAndGo(ctx context.Context, was, is granted) (comes, goes []string, err error) {
	settings, _, err := o.settings(ctx, o.read())
	if err != nil || !settings.Enabled {
		return nil, nil, err
	}
	before, err := o.readable(ctx, o.read(), was)
	if err != nil {
		return nil, nil, err
	}
	after, err := o.readable(ctx, o.read(), is)
	for user, a := range after {
		if _, had := before[user]; !had {
			comes = append(comes, string(a))
		}
	}
	for user, a := range before {
		if _, has := after[user]; !has {
			goes = append(goes, string(a))
		}
	}
	slices.Sort(comes)
	slices.Sort(goes)
	return comes, goes, err
}

// unfiled looks through all that was filed, and reads no more of it than the policy asks
// about.
func (o *Org) unfiled(ctx context.Context, g granted) (Unfiled, error) {
	u := Unfiled{By: map[crm.Reason]int{}}
	v, err := o.newReview(ctx, o.read(), g)
	if err == nil {
		err = v.narrow(ctx, o.read())
	}
	if err != nil {
		return u, err
	}
	for last, more := int64(0), true; more; {
		var list []*reviewed
		if list, last, more, err = v.messages(ctx, o.read(), last); err != nil {
			return u, err
		}
		for _, m := range list {
			refused := m.refused()
			u.Copies += len(refused)
			if len(refused) == 0 || len(refused) < len(m.copies) {
				continue
			}
			u.Messages++
			u.By[m.copies[0].reason]++
			if len(u.Examples) < maxExamples {
				u.Examples = append(u.Examples, UnfiledExample{Message: crm.MessageID(m.id), When: m.when, Reason: m.copies[0].reason})
			}
		}
	}
	return u, o.nameExamples(ctx, u.Examples)
}

// nameExamples reads the subjects of examples.
func (o *Org) nameExamples(ctx context.Context, list []UnfiledExample) error {
	at := make(map[crm.MessageID]*UnfiledExample, len(list))
	var keys []int64
	for i := range list {
		at[list[i].Message] = &list[i]
		keys = append(keys, int64(list[i].Message))
	}
	return in(ctx, o.read(), "select id, subject from message where org_id = $1 and id in (%s)", []any{o.id}, keys, func(r *sql.Rows) error {
		var id crm.MessageID
		var subject string
		if err := r.Scan(&id, &subject); err != nil {
			return err
		}
		at[id].Subject = subject
		return nil
	})
}

// A review decides again about what was filed, by what is granted now. It goes by what a
// filed message keeps of its header, and asks nobody.
type review struct {
	org     *Org
	granted granted
	boxes   map[crm.MailboxID]reviewedBox
	needs   needs
}

// Needs are what of messages is to be read to decide about them.
type needs struct {
	batch   int  // how many at a time
	names   bool // Message-ID and people, for the ledger; else the people alone that may be excluded
	people  bool
	suspect []string // only these of the people; nil = all
	users   bool     // addresses by which users are linked
}

// A reviewedBox is what holds for the copies in a mailbox.
type reviewedBox struct {
	crm.Mailbox
	limits   crm.Limits
	allowed  bool
	excluded map[crm.FolderID]bool
}

// A reviewed message is one that was filed, with its copies, those gone included.
type reviewed struct {
	id        int64
	messageID string // where names are needed
	when      time.Time
	people    []reviewedParty
	users     []mail.Address // by which it is linked to users
	copies    []*reviewedCopy
}

type reviewedParty struct {
	crm.Participant
	box crm.MailboxID // of a bcc: the mailbox whose copy carries it
}

type reviewedCopy struct {
	box         crm.MailboxID
	hash        []byte
	folder      crm.FolderID
	size        int64
	sensitivity crm.Sensitivity
	categories  []string

	reason crm.Reason // why it would not be filed; "" = it would
	rule   string
}

// How many messages are looked at in one step: of a removal, which is a transaction, and of
// a dry run.
const (
	reviewBatch = 200
	dryRunBatch = 2000
)

// maxSuspects is how many people a database is asked for by their addresses; of more, all are
// read.
const maxSuspects = 500

// narrow has only that be read of each message which the policy asks about: people when it
// excludes some of those who stand on messages, users when one of theirs is of no domain that
// is allowed.
func (v *review) narrow(ctx context.Context, q querier) error {
	v.needs = needs{batch: dryRunBatch}
	var excluded []crm.Pattern
	for _, box := range v.boxes {
		excluded = append(excluded, box.limits.Excluded...)
	}
	if excluded = unique(excluded); len(excluded) > 0 {
		err := rows(ctx, q, "select distinct who from participant where org_id = $1 and readable", []any{v.org.id}, func(r *sql.Rows) error {
			var who string
			if err := r.Scan(&who); err != nil {
				return err
			}
			if slices.ContainsFunc(excluded, func(p crm.Pattern) bool { return p.Matches(mail.Address(who)) }) {
				v.needs.suspect = append(v.needs.suspect, who)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	v.needs.people = len(v.needs.suspect) > 0
	if len(v.needs.suspect) > maxSuspects {
		v.needs.suspect = nil
	}
	return rows(ctx, q, "select distinct address from activity_link where org_id = $1 and person = 'u' and auto", []any{v.org.id}, func(r *sql.Rows) error {
		var a mail.Address
		if err := r.Scan(&a); err != nil {
			return err
		}
		v.needs.users = v.needs.users || !v.allowsUser(a)
		return nil
	})
}

// allowsUser tells whether users count by an address.
func (v *review) allowsUser(a mail.Address) bool {
	return slices.Contains(v.granted.policy.Domains, a.Domain())
}

func (o *Org) newReview(ctx context.Context, q querier, g granted) (*review, error) {
	v := &review{o, g, map[crm.MailboxID]reviewedBox{}, needs{batch: reviewBatch, names: true, people: true, users: true}}
	boxes, err := o.owners(ctx, q)
	if err != nil {
		return nil, err
	}
	for id, b := range boxes {
		box := reviewedBox{Mailbox: b, limits: g.limits(b.User), allowed: g.allows(&b)}
		box.excluded, err = o.outside(ctx, q, id, func(folders []crm.Folder) []bool {
			within := g.policy.InScope(box.limits, folders)
			for i, in := range crm.InScope(folders) { // what nobody collects is not for the policy to exclude
				within[i] = within[i] || !in
			}
			return within
		})
		if err != nil {
			return nil, err
		}
		v.boxes[id] = box
	}
	return v, nil
}

// messages reads and decides about the next messages after an id. more is false when there
// were no further ones.
func (v *review) messages(ctx context.Context, q querier, after int64) (list []*reviewed, last int64, more bool, err error) {
	byID := map[int64]*reviewed{}
	last = after
	columns := "id, '', when_at"
	if v.needs.names {
		columns = "id, message_id, when_at"
	}
	err = rows(ctx, q, "select "+columns+" from message where org_id = $1 and id > $2 order by id limit $3",
		[]any{v.org.id, after, v.needs.batch}, func(r *sql.Rows) error {
			m := &reviewed{}
			if err := r.Scan(&m.id, &m.messageID, stamp{&m.when}); err != nil {
				return err
			}
			list, byID[m.id], last = append(list, m), m, m.id
			return nil
		})
	if err != nil || len(list) == 0 {
		return nil, last, false, err
	}
	between := []any{v.org.id, after, last}
	for _, read := range []func(context.Context, querier, []any, map[int64]*reviewed) error{v.readPeople, v.readUsers, v.readCopies} {
		if err := read(ctx, q, between, byID); err != nil {
			return nil, last, false, err
		}
	}
	for _, m := range list {
		for _, c := range m.copies {
			c.reason, c.rule = v.judge(m, c)
		}
	}
	return list, last, len(list) == v.needs.batch, nil
}

func (v *review) readPeople(ctx context.Context, q querier, between []any, byID map[int64]*reviewed) error {
	if !v.needs.people {
		return nil
	}
	take := func(r *sql.Rows) error {
		var id int64
		var p reviewedParty
		if err := r.Scan(&id, &p.Part, &p.Address, &p.box); err != nil {
			return err
		}
		if m := byID[id]; m != nil {
			m.people = append(m.people, p)
		}
		return nil
	}
	const query = `select message_id, part, who, mailbox_id from participant
		where org_id = $1 and message_id > $2 and message_id <= $3 and readable`
	if v.needs.suspect == nil {
		return rows(ctx, q, query, between, take)
	}
	return in(ctx, q, query+" and who in (%s)", between, v.needs.suspect, take)
}

func (v *review) readUsers(ctx context.Context, q querier, between []any, byID map[int64]*reviewed) error {
	if !v.needs.users {
		return nil
	}
	return rows(ctx, q, `select a.message_id, l.address from activity a join activity_link l on l.org_id = a.org_id and l.activity_id = a.id
		where a.org_id = $1 and a.message_id > $2 and a.message_id <= $3 and l.person = 'u' and l.auto`, between, func(r *sql.Rows) error {
		var id int64
		var a mail.Address
		if err := r.Scan(&id, &a); err != nil {
			return err
		}
		if m := byID[id]; m != nil {
			m.users = append(m.users, a)
		}
		return nil
	})
}

func (v *review) readCopies(ctx context.Context, q querier, between []any, byID map[int64]*reviewed) error {
	return rows(ctx, q, `select message_id, mailbox_id, item_hash, folder_id, size, sensitivity, categories from copy
		where org_id = $1 and message_id > $2 and message_id <= $3 order by message_id, mailbox_id, item_hash`, between, func(r *sql.Rows) error {
		var id int64
		var c reviewedCopy
		var categories string
		if err := r.Scan(&id, &c.box, &c.hash, &c.folder, &c.size, &c.sensitivity, &categories); err != nil {
			return err
		}
		if categories != "" {
			if err := json.Unmarshal([]byte(categories), &c.categories); err != nil {
				return err
			}
		}
		if m := byID[id]; m != nil {
			m.copies = append(m.copies, &c)
		}
		return nil
	})
}

// judge says why a copy would not be filed.
func (v *review) judge(m *reviewed, c *reviewedCopy) (crm.Reason, string) {
	box, known := v.boxes[c.box]
	switch {
	case !known || !box.allowed:
		return crm.ExcludedMailbox, "the policy does not allow the mailbox"
	case box.excluded[c.folder]:
		return crm.ExcludedFolder, "the policy excludes the folder"
	}
	h := crm.Header{Size: c.size, Envelope: crm.Envelope{Kind: crm.Email, Sent: m.when, Sensitivity: c.sensitivity, Categories: c.categories, People: m.header(c)}}
	if reason, rule := box.limits.Refuses(&h); reason != "" {
		return reason, rule
	}
	if len(m.users) > 0 && !slices.ContainsFunc(m.users, v.allowsUser) {
		return crm.NoUser, "a contact is on it, but the user's domain is not allowed"
	}
	return "", ""
}

// header returns the people that the copy shows.
func (m *reviewed) header(c *reviewedCopy) []crm.Participant {
	var list []crm.Participant
	for _, p := range m.people {
		if p.box == 0 || p.box == c.box {
			list = append(list, p.Participant)
		}
	}
	return list
}

// refused returns the copies that would not be filed.
func (m *reviewed) refused() []*reviewedCopy {
	var list []*reviewedCopy
	for _, c := range m.copies {
		if c.reason != "" {
			list = append(list, c)
		}
	}
	return list
}
