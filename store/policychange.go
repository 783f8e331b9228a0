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
	c.Lines = was.policy.Diff(&next)
	c.Widens = crm.Widens(c.Lines) || unlocks(was, is)
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

// comeAndGo compares whose mailboxes are granted.
func (o *Org) comeAndGo(ctx context.Context, was, is granted) (comes, goes []string, err error) {
	settings, _, err := o.settings(ctx, o.read())
	if err != nil || !settings.Enabled {
		return nil, nil, err
	}
	before, err := o.wanted(ctx, o.read(), was)
	if err != nil {
		return nil, nil, err
	}
	after, err := o.wanted(ctx, o.read(), is)
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

// unfiled looks through all that was filed.
func (o *Org) unfiled(ctx context.Context, g granted) (Unfiled, error) {
	u := Unfiled{By: map[crm.Reason]int{}}
	v, err := o.newReview(ctx, o.read(), g)
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
				u.Examples = append(u.Examples, UnfiledExample{crm.MessageID(m.id), m.subject, m.when, m.copies[0].reason})
			}
		}
	}
	return u, nil
}

// A review decides again about what was filed, by what is granted now. It goes by what a
// filed message keeps of its header, and asks nobody.
type review struct {
	org     *Org
	granted granted
	boxes   map[crm.MailboxID]reviewedBox
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
	messageID string
	subject   string
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

// reviewBatch is how many messages are looked at in one step.
const reviewBatch = 200

func (o *Org) newReview(ctx context.Context, q querier, g granted) (*review, error) {
	v := &review{o, g, map[crm.MailboxID]reviewedBox{}}
	boxes, err := o.owners(ctx, q)
	if err != nil {
		return nil, err
	}
	for id, b := range boxes {
		box := reviewedBox{Mailbox: b, limits: g.limits(b.User), allowed: g.allows(b.Address)}
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
	err = rows(ctx, q, "select id, message_id, subject, when_at from message where org_id = $1 and id > $2 order by id limit $3",
		[]any{v.org.id, after, reviewBatch}, func(r *sql.Rows) error {
			m := &reviewed{}
			err := r.Scan(&m.id, &m.messageID, &m.subject, stamp{&m.when})
			list, byID[m.id], last = append(list, m), m, m.id
			return err
		})
	if err != nil || len(list) == 0 {
		return nil, last, false, err
	}
	between := []any{v.org.id, after, last}
	err = rows(ctx, q, `select message_id, part, who, mailbox_id from participant
		where org_id = $1 and message_id > $2 and message_id <= $3 and readable`, between, func(r *sql.Rows) error {
		var id int64
		var p reviewedParty
		err := r.Scan(&id, &p.Part, &p.Address, &p.box)
		if m := byID[id]; m != nil {
			m.people = append(m.people, p)
		}
		return err
	})
	if err != nil {
		return nil, last, false, err
	}
	err = rows(ctx, q, `select a.message_id, l.address from activity a join activity_link l on l.org_id = a.org_id and l.activity_id = a.id
		where a.org_id = $1 and a.message_id > $2 and a.message_id <= $3 and l.person = 'u' and l.auto`, between, func(r *sql.Rows) error {
		var id int64
		var a mail.Address
		err := r.Scan(&id, &a)
		if m := byID[id]; m != nil {
			m.users = append(m.users, a)
		}
		return err
	})
	if err != nil {
		return nil, last, false, err
	}
	err = rows(ctx, q, `select message_id, mailbox_id, item_hash, folder_id, size, sensitivity, categories from copy
		where org_id = $1 and message_id > $2 and message_id <= $3 order by message_id, mailbox_id, item_hash`, between, func(r *sql.Rows) error {
		var id int64
		var c reviewedCopy
		var categories string
		err := r.Scan(&id, &c.box, &c.hash, &c.folder, &c.size, &c.sensitivity, &categories)
		if err == nil && categories != "" {
			err = json.Unmarshal([]byte(categories), &c.categories)
		}
		if m := byID[id]; m != nil {
			m.copies = append(m.copies, &c)
		}
		return err
	})
	for _, m := range list {
		for _, c := range m.copies {
			c.reason, c.rule = v.judge(m, c)
		}
	}
	return list, last, len(list) == reviewBatch, err
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
	allowed := func(a mail.Address) bool { return slices.Contains(v.granted.policy.Domains, a.Domain()) }
	if len(m.users) > 0 && !slices.ContainsFunc(m.users, allowed) {
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
