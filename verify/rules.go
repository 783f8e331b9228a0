package verify

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// Rules are what an organization collects, and whom it knows.
type rules struct {
	policy
	users    map[string]int64   // active ones, by address
	contacts map[string][]int64 // by address
}

// A person is a contact (c) or a user (u).
type person struct {
	kind byte
	id   int64
}

// A policy is as it stands in the table, as far as it is judged here: the organization's
// limits on people, period and markings. Where others are set (folders, sizes, categories,
// groups, users' own), what they keep out counts as lost.
type policy struct {
	Domains       []string  `json:"domains"` // of users whose mail is collected
	Allow         []string  `json:"allow"`
	Deny          []string  `json:"deny"`
	Excluded      []string  `json:"excluded"`
	Since         time.Time `json:"since"`
	Sensitivities []string  `json:"sensitivities"`
	HeadersOnly   bool      `json:"headers_only"`
}

// reads tells whether a mailbox is to be read.
func (p *policy) reads(address string) bool {
	picks := func(pattern string) bool { return like(pattern, address) }
	return slices.Contains(p.Domains, domain(address)) && !slices.ContainsFunc(p.Deny, picks) &&
		(len(p.Allow) == 0 || slices.ContainsFunc(p.Allow, picks))
}

// excludes tells whether nothing that names the address is filed.
func (p *policy) excludes(address string) bool {
	return slices.ContainsFunc(p.Excluded, func(pattern string) bool {
		if !strings.Contains(pattern, "@") {
			return like(pattern, domain(address))
		}
		return like(pattern, address)
	})
}

// like compares a text with a pattern in which * is any run of characters but @.
func like(pattern, text string) bool {
	expression := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, "[^@]*")
	return regexp.MustCompile("^(?:" + expression + ")$").MatchString(text)
}

func domain(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

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
	if it.Draft || slices.Contains(r.Sensitivities, it.Sensitivity) {
		return false
	}
	when := it.Sent
	if when == 0 {
		when = it.Received
	}
	if !r.Since.IsZero() && when != 0 && when < r.Since.UnixNano() {
		return false
	}
	from, to := it.senders(), it.recipients()
	for _, address := range slices.Concat(from, to) {
		if r.excludes(address) {
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
