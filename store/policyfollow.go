package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"postern/crm"
	"postern/mail"
)

// What follows from another policy: mailboxes come and go, and what the old one kept out
// and the new one may let in is looked at again.

// A freed is a set of ledger rows that are to be looked at again. The condition is one of
// the table decision; its placeholders begin with $2.
type freed struct {
	condition string
	args      []any
}

// follow draws the consequences of what is granted now instead of what was.
func (o *Org) follow(ctx context.Context, t *tx, h hasher, was, is granted) error {
	sets, err := o.freed(ctx, t, h, was, is)
	if err != nil {
		return err
	}
	if _, err := o.provision(ctx, t); err != nil {
		return err
	}
	addresses, err := o.newlyUsers(ctx, t, was, is)
	if err != nil {
		return err
	}
	if err := o.linkUsers(ctx, t, addresses); err != nil {
		return err
	}
	var boxes []int64
	for _, s := range sets {
		query := fmt.Sprintf("update decision set due_at = $%d where org_id = $1 and %s returning mailbox_id", len(s.args)+2, s.condition)
		err := rows(ctx, t, query, append(append([]any{o.id}, s.args...), micros(o.s.now())), func(r *sql.Rows) error {
			var box int64
			if err := r.Scan(&box); err != nil {
				return err
			}
			boxes = append(boxes, box)
			return nil
		})
		if err != nil {
			return err
		}
		boxes = unique(boxes)
	}
	others, err := o.askedAnew(ctx, t, was, is)
	if err != nil {
		return err
	}
	owed, err := o.oweAgain(ctx, t, was, is)
	if err != nil {
		return err
	}
	return o.ring(ctx, t, unique(slices.Concat(boxes, others, owed)))
}

// newlyUsers returns addresses of users that count as such from now on.
func (o *Org) newlyUsers(ctx context.Context, q querier, was, is granted) ([]mail.Address, error) {
	added := slices.DeleteFunc(slices.Clone(is.policy.Domains), func(d string) bool { return slices.Contains(was.policy.Domains, d) })
	if len(added) == 0 {
		return nil, nil
	}
	return o.addressesIn(ctx, q, added)
}

// owners are the mailboxes that there are, those that are off included, and their users.
func (o *Org) owners(ctx context.Context, q querier) (map[crm.MailboxID]crm.Mailbox, error) {
	all := map[crm.MailboxID]crm.Mailbox{}
	err := rows(ctx, q, "select id, user_id, address, primary_address, state from mailbox where org_id = $1", []any{o.id}, func(r *sql.Rows) error {
		var b crm.Mailbox
		if err := r.Scan(&b.ID, &b.User, &b.Address, &b.Primary, &b.State); err != nil {
			return err
		}
		all[b.ID] = b
		return nil
	})
	return all, err
}

// readable maps the users whose mailboxes are read to their addresses: those that are wanted,
// but for one that is denied by its primary address. That one stays, and says so.
func (o *Org) readable(ctx context.Context, q querier, g granted) (map[int64]mail.Address, error) {
	wanted, err := o.wanted(ctx, q, g)
	if err != nil {
		return nil, err
	}
	boxes, err := o.owners(ctx, q)
	for _, b := range boxes {
		if user := int64(b.User); wanted[user] == b.Address && !g.allows(&b) {
			delete(wanted, user)
		}
	}
	return wanted, err
}

// askedAnew are mailboxes that may be read again, or of which other folders are to be read, so
// that they are to be asked which there are.
func (o *Org) askedAnew(ctx context.Context, q querier, was, is granted) ([]int64, error) {
	boxes, err := o.owners(ctx, q)
	var list []int64
	for id, b := range boxes {
		before, after := was.limits(b.User), is.limits(b.User)
		freed := is.allows(&b) && !was.allows(&b)
		if freed || !slices.Equal(before.ExcludedFolders, after.ExcludedFolders) || !slices.Equal(was.policy.Kinds, is.policy.Kinds) {
			list = append(list, int64(id))
		}
	}
	return list, err
}

// freed tells what was kept out by what is gone or wider now. Which of several entries of a
// list kept an item out is not known any more, but for single addresses; all those that
// any of the list may have kept out are looked at then.
func (o *Org) freed(ctx context.Context, q querier, h hasher, was, is granted) ([]freed, error) {
	var sets []freed
	addresses, err := o.newlyUsers(ctx, q, was, is)
	if err != nil {
		return nil, err
	}
	for part := range parts(addresses) {
		sets = append(sets, traced(h, part, decidedByPeople...))
	}
	boxes, err := o.owners(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(boxes)) {
		b := boxes[id]
		if is.allows(&b) && !was.allows(&b) {
			sets = append(sets, freed{"mailbox_id = $2 and outcome = 'not_filed' and reason = $3", []any{id, crm.ExcludedMailbox}})
		}
		old, now := was.limits(b.User), is.limits(b.User)
		for _, name := range crm.Loosened(old, now) {
			sets = append(sets, loosened(h, id, name, &old, &now)...)
		}
	}
	return sets, nil
}

// loosened tells what one limit of a mailbox that is wider now kept out.
func loosened(h hasher, box crm.MailboxID, name string, old, now *crm.Limits) []freed {
	by := func(reason crm.Reason) []freed {
		return []freed{{"mailbox_id = $2 and outcome = 'not_filed' and reason = $3", []any{box, reason}}}
	}
	switch name {
	case "excluded_folders":
		return by(crm.ExcludedFolder)
	case "since":
		return []freed{{"mailbox_id = $2 and outcome = 'not_filed' and reason = $3 and when_at >= $4", []any{box, crm.OutsidePeriod, micros(now.Since)}}}
	case "max_size":
		return by(crm.TooLarge)
	case "sensitivities":
		return by(crm.IsPrivate)
	case "categories":
		return by(crm.ExcludedCategory)
	case "headers_only":
		return []freed{{"mailbox_id = $2 and outcome = 'filed' and reason = $3", []any{box, crm.Withheld}}}
	case "excluded":
		return includedAgain(h, by, old, now)
	}
	return nil
}

// includedAgain tells what patterns that are gone kept out.
func includedAgain(h hasher, by func(crm.Reason) []freed, old, now *crm.Limits) []freed {
	var single []mail.Address
	var domain, address bool
	for _, p := range old.Excluded {
		switch {
		case slices.Contains(now.Excluded, p):
		case !strings.Contains(string(p), "@"):
			domain = true
		case strings.Contains(string(p), "*"):
			address = true
		default:
			single = append(single, mail.Address(p))
		}
	}
	var sets []freed
	if domain {
		sets = append(sets, by(crm.ExcludedDomain)...)
	}
	if address {
		return append(sets, by(crm.ExcludedAddress)...)
	}
	for part := range parts(single) {
		sets = append(sets, traced(h, part, crm.ExcludedAddress))
	}
	return sets
}

// traced are the rows that carry one of a few addresses and were not filed for one of the
// reasons.
func traced(h hasher, addresses []mail.Address, reasons ...crm.Reason) freed {
	var args []any
	marks := func(n int) string {
		var list []string
		for range n {
			list = append(list, fmt.Sprintf("$%d", len(args)+len(list)+2))
		}
		return strings.Join(list, ", ")
	}
	inHashes := marks(len(addresses))
	for _, a := range addresses {
		args = append(args, h.address(a))
	}
	inReasons := marks(len(reasons))
	for _, r := range reasons {
		args = append(args, r)
	}
	return freed{"outcome = 'not_filed' and id in (select t.decision_id from trace t where t.org_id = $1 and t.hash in (" + inHashes + ")) and reason in (" + inReasons + ")", args}
}

// countFreed counts the rows of all sets by reason, each row once. What was filed by
// its header alone counts as crm.Withheld.
func (o *Org) countFreed(ctx context.Context, q querier, sets []freed) (map[crm.Reason]int, error) {
	seen := map[int64]bool{}
	counts := map[crm.Reason]int{}
	for _, s := range sets {
		err := rows(ctx, q, "select id, reason from decision where org_id = $1 and "+s.condition, append([]any{o.id}, s.args...), func(r *sql.Rows) error {
			var id int64
			var reason crm.Reason
			if err := r.Scan(&id, &reason); err != nil {
				return err
			}
			if !seen[id] {
				seen[id] = true
				counts[reason]++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return counts, nil
}
