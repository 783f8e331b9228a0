package verify

import (
	"slices"
	"strings"
)

// Rules are what an organization collects, and whom it knows.
type rules struct {
	policy
	groups   map[string][]string // members, of those that are known
	own      map[int64]limits    // of users, in their own mailboxes
	users    map[string]int64    // active ones, by address
	contacts map[string][]int64  // by address
}

// A person is a contact (c) or a user (u).
type person struct {
	kind byte
	id   int64
}

// user tells whether the address is of an active user of an allowed domain.
func (r *rules) user(address string) (int64, bool) {
	id, ok := r.users[address]
	return id, ok && slices.Contains(r.Domains, domain(address))
}

// contact tells whether the address is a contact's and no user's.
func (r *rules) contact(address string) bool {
	_, user := r.user(address)
	return !user && len(r.contacts[address]) > 0
}

func (it *item) senders() []string    { return slices.Concat(it.From, it.Sender) }
func (it *item) recipients() []string { return slices.Concat(it.To, it.Cc, it.Bcc) }

// collects tells whether an item lies in a folder that is collected: see item.collected;
// and mail is, and the limits do not exclude the folder.
func (r *rules) collects(it *item, l *limits) bool {
	return it.collected() && slices.Contains(r.Kinds, "email") && !l.passesOver(it)
}

// belongs tells whether an item belongs in the CRM: a message that is no draft, not about
// a meeting, no report, and kept out by no limit, from a contact to a user or from a user to
// a contact.
func (r *rules) belongs(it *item, l *limits) bool {
	class := strings.ToUpper(it.Class)
	for _, other := range []string{"IPM.APPOINTMENT", "IPM.TASK", "IPM.CONTACT", "IPM.DISTLIST", "IPM.POST", "IPM.SCHEDULE.MEETING", "REPORT."} {
		if strings.HasPrefix(class, other) {
			return false
		}
	}
	if it.Draft || l.keepsOut(it) {
		return false
	}
	from, to := it.senders(), it.recipients()
	user := func(address string) bool { _, ok := r.user(address); return ok }
	return slices.ContainsFunc(from, r.contact) && slices.ContainsFunc(to, user) ||
		slices.ContainsFunc(from, user) && slices.ContainsFunc(to, r.contact)
}

// links are the people on whose pages an item is to be shown: all whom the CRM knows
// among its addresses.
func (r *rules) links(it *item) map[person]bool {
	all := map[person]bool{}
	for _, address := range slices.Concat(it.senders(), it.recipients()) {
		for _, id := range r.contacts[address] {
			all[person{'c', id}] = true
		}
		if id, ok := r.user(address); ok {
			all[person{'u', id}] = true
		}
	}
	return all
}
