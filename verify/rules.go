package verify

import (
	"slices"
	"strings"
)

// Rules are what an organization collects, and whom it knows.
type rules struct {
	domains           []string // of users whose mail is collected
	excludedAddresses map[string]bool
	excludedDomains   map[string]bool
	since             int64 // older messages are not collected, nanoseconds; 0 = no limit
	filePrivate       bool
	users             map[string]int64   // active ones, by address
	contacts          map[string][]int64 // by address
}

// A person is a contact (c) or a user (u).
type person struct {
	kind byte
	id   int64
}

func domain(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// user tells whether the address is of an active user of an allowed domain.
func (r *rules) user(address string) (int64, bool) {
	id, ok := r.users[address]
	return id, ok && slices.Contains(r.domains, domain(address))
}

// contact tells whether the address is a contact's and no user's.
func (r *rules) contact(address string) bool {
	_, user := r.user(address)
	return !user && len(r.contacts[address]) > 0
}

func (it *item) senders() []string    { return slices.Concat(it.From, it.Sender) }
func (it *item) recipients() []string { return slices.Concat(it.To, it.Cc, it.Bcc) }

// belongs tells whether an item belongs in the CRM: a message that is no draft, not about
// a meeting, no report and not private, of the period that is collected, with nobody
// excluded on it, from a contact to a user or from a user to a contact.
func (r *rules) belongs(it *item) bool {
	class := strings.ToUpper(it.Class)
	for _, other := range []string{"IPM.APPOINTMENT", "IPM.TASK", "IPM.CONTACT", "IPM.DISTLIST", "IPM.POST", "IPM.SCHEDULE.MEETING", "REPORT."} {
		if strings.HasPrefix(class, other) {
			return false
		}
	}
	if it.Draft || !r.filePrivate && (it.Sensitivity == "private" || it.Sensitivity == "confidential") {
		return false
	}
	when := it.Sent
	if when == 0 {
		when = it.Received
	}
	if r.since != 0 && when != 0 && when < r.since {
		return false
	}
	from, to := it.senders(), it.recipients()
	for _, address := range slices.Concat(from, to) {
		if r.excludedAddresses[address] || r.excludedDomains[domain(address)] {
			return false
		}
	}
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
