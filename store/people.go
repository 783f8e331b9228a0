package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
)

// A ListQuery asks for a part of a list of people or mailboxes, in the order of names.
type ListQuery struct {
	Text   string // part of a name, company or address; "" = all
	Limit  int    // 0 = 50
	Offset int
}

const defaultLimit = 50

// Everything is a Limit that no list of ours reaches.
const Everything = 1 << 20

func (q ListQuery) limit() int {
	if q.Limit <= 0 {
		return defaultLimit
	}
	return q.Limit
}

// Saved tells what became of a list of people.
type Saved struct {
	New, Changed, Same int
	Rematch            int // items not filed so far that are due for another look
	Linked             int // links added to activities that were filed already
}

// A ConflictError tells that an address belongs to another active user. Nothing of the
// list was saved.
type ConflictError struct {
	Index   int // in the list that was to be saved
	Address mail.Address
	Owner   crm.UserID
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("user %d of the list: the address %s belongs to another active user", e.Index+1, e.Address)
}

// People tells who is behind the addresses of a page, and the revision of people,
// settings and policy, which goes back with the page into SavePage. The revision is read
// first: what changes in between makes the page stale, never wrong.
func (o *Org) People(ctx context.Context, headers []crm.Header) (crm.People, int64, error) {
	var rev int64
	if err := one(ctx, o.read(), "select revision from org where id = $1", []any{o.id}, &rev); err != nil {
		return nil, 0, err
	}
	var addresses []string
	for i := range headers {
		for _, p := range headers[i].People {
			if p.Address != "" {
				addresses = append(addresses, string(p.Address))
			}
		}
	}
	people := crm.People{}
	err := in(ctx, o.read(), `select address, contact_id, 0 from contact_address where org_id = $1 and address in (%s)
		order by address, contact_id`, []any{o.id}, unique(addresses), func(r *sql.Rows) error {
		return addPerson(people, r)
	})
	if err != nil {
		return nil, 0, err
	}
	err = in(ctx, o.read(), `select address, 0, user_id from user_address where org_id = $1 and active and address in (%s)`,
		[]any{o.id}, addresses, func(r *sql.Rows) error {
			return addPerson(people, r)
		})
	return people, rev, err
}

func addPerson(people crm.People, r *sql.Rows) error {
	var address mail.Address
	var contact crm.ContactID
	var user crm.UserID
	if err := r.Scan(&address, &contact, &user); err != nil {
		return err
	}
	p := people[address]
	if contact != 0 && !slices.Contains(p.Contacts, contact) {
		p.Contacts = append(p.Contacts, contact)
	}
	if user != 0 {
		p.User = user
	}
	people[address] = p
	return nil
}

// decidedByPeople are the reasons that another contact, user or domain can change.
var decidedByPeople = []crm.Reason{crm.NoContact, crm.NoUser, crm.Internal, crm.ThirdParty}

// rematch makes due what was not filed for one of the reasons and carries one of the
// addresses, and rings for the mailboxes. It returns how many items that are.
func (o *Org) rematch(ctx context.Context, t *tx, h hasher, addresses []mail.Address, reasons ...crm.Reason) (int, error) {
	if len(addresses) == 0 {
		return 0, nil
	}
	hashes := make([]int64, len(addresses))
	for i, a := range addresses {
		hashes[i] = h.address(a)
	}
	var decisions, boxes []int64
	err := in(ctx, t, `select d.id, d.mailbox_id, d.reason from trace t join decision d on d.id = t.decision_id
		where t.org_id = $1 and d.outcome = 'not_filed' and t.hash in (%s)`, []any{o.id}, unique(hashes), func(r *sql.Rows) error {
		var id, box int64
		var reason crm.Reason
		if err := r.Scan(&id, &box, &reason); err != nil {
			return err
		}
		if slices.Contains(reasons, reason) {
			decisions, boxes = append(decisions, id), append(boxes, box)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	decisions = unique(decisions)
	_, err = execIn(ctx, t, "update decision set due_at = $2 where org_id = $1 and id in (%s)", []any{o.id, micros(o.s.now())}, decisions)
	if err != nil {
		return 0, err
	}
	return len(decisions), o.ring(ctx, t, unique(boxes))
}

// linkFiled ties a person to what is filed already and bears one of the addresses. A
// person who stands in several parts is linked by the most open one.
func (o *Org) linkFiled(ctx context.Context, t *tx, person string, id int64, addresses []mail.Address) (int, error) {
	var touched []int64
	err := in(ctx, t, `insert into activity_link (org_id, person, person_id, when_at, activity_id, address, part, auto)
		select p.org_id, cast($2 as text), cast($3 as bigint), a.when_at, a.id, p.who, p.part, true
		from participant p join activity a on a.org_id = p.org_id and a.message_id = p.message_id
		where p.org_id = $1 and p.readable and p.part <> 'reply-to' and p.who in (%s)
		order by case p.part when 'from' then 0 when 'sender' then 1 when 'to' then 2 when 'cc' then 3 else 4 end
		on conflict do nothing returning activity_id`, []any{o.id, person, id}, addresses, func(r *sql.Rows) error {
		var activity int64
		if err := r.Scan(&activity); err != nil {
			return err
		}
		touched = append(touched, activity)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(touched), o.sumLinks(ctx, t, touched)
}

// unlink takes away the automatic links of a person by addresses that are the person's
// no more, and links anew by those that are left.
func (o *Org) unlink(ctx context.Context, t *tx, person string, id int64, lost, left []mail.Address) error {
	var touched []int64
	err := in(ctx, t, `delete from activity_link where org_id = $1 and person = $2 and person_id = $3 and auto and address in (%s)
		returning activity_id`, []any{o.id, person, id}, lost, func(r *sql.Rows) error {
		var activity int64
		if err := r.Scan(&activity); err != nil {
			return err
		}
		touched = append(touched, activity)
		return nil
	})
	if err != nil || len(touched) == 0 {
		return err
	}
	if _, err := o.linkFiled(ctx, t, person, id, left); err != nil {
		return err
	}
	return o.sumLinks(ctx, t, touched)
}

// sumLinks renews the checksums of links.
func (o *Org) sumLinks(ctx context.Context, t *tx, activities []int64) error {
	sums, err := o.linkSums(ctx, t, activities)
	if err != nil {
		return err
	}
	for _, id := range activities {
		if _, err := t.exec(ctx, "update activity set links = $3 where org_id = $1 and id = $2", o.id, id, sums[id].column()); err != nil {
			return err
		}
	}
	return nil
}

// linkSums adds up the links of activities.
func (o *Org) linkSums(ctx context.Context, q querier, activities []int64) (map[int64]checksum, error) {
	sums := make(map[int64]checksum, len(activities))
	err := in(ctx, q, "select activity_id, person, person_id, address, part from activity_link where org_id = $1 and activity_id in (%s)",
		[]any{o.id}, activities, func(r *sql.Rows) error {
			var activity, id int64
			var person string
			var address mail.Address
			var part crm.Part
			if err := r.Scan(&activity, &person, &id, &address, &part); err != nil {
				return err
			}
			c := sums[activity]
			c.addLink(person, id, address, part)
			sums[activity] = c
			return nil
		})
	return sums, err
}

// lock keeps other changes of people, settings and policy, and pages, out until the
// transaction ends.
func (o *Org) lock(ctx context.Context, t *tx) error {
	var rev int64
	return one(ctx, t, "select revision from org where id = $1"+t.d.rowLock, []any{o.id}, &rev)
}

// lockShared keeps changes of people, settings and policy out until the transaction ends,
// and no more.
func (o *Org) lockShared(ctx context.Context, t *tx) error {
	var rev int64
	return one(ctx, t, "select revision from org where id = $1"+t.d.shareLock, []any{o.id}, &rev)
}

// peopleChanged ends a transaction that saved people.
func (o *Org) peopleChanged(ctx context.Context, t *tx, s *Saved) error {
	if s.New+s.Changed == 0 {
		return nil
	}
	return o.changed(ctx, t)
}

// listWords are what a list of people is searched by.
func listWords(addresses []mail.Address, names ...string) string {
	var b strings.Builder
	b.WriteString(strings.Join(names, " "))
	for _, a := range addresses {
		b.WriteByte(' ')
		b.WriteString(string(a))
	}
	return fold(b.String(), b.Len())
}

// addAddresses appends those that are new, keeping the order.
func addAddresses(list, more []mail.Address) []mail.Address {
	for _, a := range more {
		if a != "" && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// without returns those of list that are not in other.
func without(list, other []mail.Address) []mail.Address {
	var rest []mail.Address
	for _, a := range list {
		if !slices.Contains(other, a) {
			rest = append(rest, a)
		}
	}
	return rest
}

// personStats fills in how many activities a person has, and the last. A link by Bcc is
// not counted, since not everybody may see it.
func (o *Org) personStats(ctx context.Context, person string, list []int64, each func(id int64, n int, last time.Time)) error {
	return in(ctx, o.read(), `select person_id, count(*), max(when_at) from activity_link
		where org_id = $1 and person = $2 and part <> 'bcc' and person_id in (%s) group by person_id`, []any{o.id, person}, list,
		func(r *sql.Rows) error {
			var id int64
			var n int
			var last time.Time
			if err := r.Scan(&id, &n, stamp{&last}); err != nil {
				return err
			}
			each(id, n, last)
			return nil
		})
}

// inOrder returns what was found of a list of ids, in its order.
func inOrder[T any](list []int64, found map[int64]*T) []T {
	var rows []T
	for _, id := range list {
		if row := found[id]; row != nil {
			rows = append(rows, *row)
		}
	}
	return rows
}

// first returns the first of a list, or ErrNotFound.
func first[T any](list []T, err error) (*T, error) {
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, ErrNotFound
	}
	return &list[0], nil
}

// peopleByIDs reads contacts or users of a table, with their addresses, in the order of the ids
// given. fields tells where of one the id goes, the columns, and the addresses.
func peopleByIDs[P any, ID ~int64](ctx context.Context, o *Org, q querier, table, kind, columns string, list []int64,
	fields func(*P) (*ID, []any, *[]mail.Address)) ([]P, error) {
	found := map[int64]*P{}
	err := in(ctx, q, "select id, "+columns+" from "+table+" where org_id = $1 and id in (%s)", []any{o.id}, list, func(r *sql.Rows) error {
		p := new(P)
		id, rest, _ := fields(p)
		if err := r.Scan(append([]any{id}, rest...)...); err != nil {
			return err
		}
		found[int64(*id)] = p
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = o.addresses(ctx, q, kind, list, func(id int64, a mail.Address) {
		if p := found[id]; p != nil {
			_, _, addresses := fields(p)
			*addresses = addAddresses(*addresses, []mail.Address{a})
		}
	})
	return inOrder(list, found), err
}

// addresses reads the addresses of contacts or users, of each in its order.
func (o *Org) addresses(ctx context.Context, q querier, kind string, list []int64, add func(id int64, a mail.Address)) error {
	query := strings.ReplaceAll("select KIND_id, address from KIND_address where org_id = $1 and KIND_id in (%s) order by KIND_id, position", "KIND", kind)
	return in(ctx, q, query, []any{o.id}, list, func(r *sql.Rows) error {
		var id int64
		var a mail.Address
		if err := r.Scan(&id, &a); err != nil {
			return err
		}
		add(id, a)
		return nil
	})
}

// listed returns the ids of a part of the list of contacts or accounts, and how many
// there are in all.
func (o *Org) listed(ctx context.Context, table string, q ListQuery) (list []int64, total int, err error) {
	from := " from " + table + ` where org_id = $1 and words like $2 escape '\'`
	if err := one(ctx, o.read(), "select count(*)"+from, []any{o.id, like(q.Text)}, &total); err != nil {
		return nil, 0, err
	}
	list, err = ids(ctx, o.read(), "select id"+from+" order by name, id limit $3 offset $4", o.id, like(q.Text), q.limit(), q.Offset)
	return list, total, err
}
