// Package match decides which messages belong in the CRM, to whom, and why.
//
// The rule: the sender stands on one side, the recipients (To, Cc and, in the sender's
// copy, Bcc) on the other. A message is filed when one side holds a contact and the
// other a user whose domain is allowed. Whatever it decides, it says the reason, and it
// decides from the header alone, before anything of the text is read. It does no I/O and
// keeps no state, so the same header, people and rules give the same decision for ever.
package match

import (
	"fmt"
	"slices"
	"strings"

	"postern/crm"
	"postern/mail"
)

// Rules are what the organization chose to collect.
type Rules struct {
	Domains    []string // allowed domains of users, A-labels; a sub-domain is another domain
	crm.Limits          // of the mailbox, those that its user set included
}

// Decide decides about each header, in order.
func Decide(headers []crm.Header, people crm.People, rules Rules) []crm.Decision {
	decisions := make([]crm.Decision, len(headers))
	for i := range headers {
		decisions[i] = decide(&headers[i], people, rules)
	}
	return decisions
}

func decide(h *crm.Header, people crm.People, rules Rules) crm.Decision {
	if reason, rule := refuse(h, rules); reason != "" {
		return notFiled(h, reason, rule)
	}
	s := look(h, people, rules)
	inbound := len(s.from.contacts) > 0 && s.to.users > 0
	outbound := s.from.users > 0 && len(s.to.contacts) > 0
	if !inbound && !outbound {
		reason, rule := s.why()
		return notFiled(h, reason, rule)
	}
	d := crm.Decision{Item: h.ID, Outcome: crm.Filed, Reason: crm.Matched, Links: s.links, Direction: mail.Inbound}
	if outbound {
		d.Direction = mail.Outbound
	}
	d.Rule = s.filedRule(d.Direction)
	return d
}

func notFiled(h *crm.Header, reason crm.Reason, rule string) crm.Decision {
	return crm.Decision{Item: h.ID, Outcome: crm.NotFiled, Reason: reason, Rule: rule}
}

// refuse judges what the kind of message and the limits say, whoever wrote it.
func refuse(h *crm.Header, rules Rules) (crm.Reason, string) {
	class := strings.ToUpper(h.Class)
	switch {
	case h.Kind != crm.Email:
		return crm.NotMail, "only e-mail messages are filed"
	case h.Draft:
		return crm.Draft, "drafts are not filed until they are sent"
	case strings.HasPrefix(class, "IPM.SCHEDULE.MEETING"):
		return crm.Meeting, "meeting requests and answers belong to the calendar"
	case strings.HasPrefix(class, "REPORT."):
		return crm.Bounce, "delivery reports and receipts are not filed"
	}
	return rules.Refuses(h)
}

// side is one side of a message.
type side struct {
	contacts []mail.Address // addresses that belong to contacts and to no user
	users    int            // addresses that belong to users of an allowed domain
	fenced   int            // addresses of users whose domain is not allowed
	others   int            // addresses that nobody knows
}

// sides is who stands where.
type sides struct {
	from, to side
	links    []crm.Link
}

// look sorts the participants onto the two sides and collects whom to link. An address
// that a user has counts as the user's even if a contact shares it, so that nobody
// corresponds with himself.
func look(h *crm.Header, people crm.People, rules Rules) sides {
	var s sides
	seen := make(map[mail.Address]bool, len(h.People))
	for _, p := range h.People {
		if p.Address == "" || p.Part == crm.ReplyTo {
			continue
		}
		at := &s.to
		if p.Part == crm.From || p.Part == crm.Sender {
			at = &s.from
		}
		person, known := people[p.Address]
		switch {
		case !known:
			at.others++
		case person.User != 0 && slices.Contains(rules.Domains, p.Address.Domain()):
			at.users++
		case person.User != 0 && len(person.Contacts) == 0:
			at.fenced++
		default:
			at.contacts = append(at.contacts, p.Address)
		}
		if !seen[p.Address] {
			seen[p.Address] = true
			s.link(p, person, rules)
		}
	}
	return s
}

func (s *sides) link(p crm.Participant, person crm.Person, rules Rules) {
	for _, c := range person.Contacts {
		s.links = append(s.links, crm.Link{Contact: c, Address: p.Address, Part: p.Part})
	}
	if person.User != 0 && slices.Contains(rules.Domains, p.Address.Domain()) {
		s.links = append(s.links, crm.Link{User: person.User, Address: p.Address, Part: p.Part})
	}
}

// why says why a message is not filed.
func (s *sides) why() (crm.Reason, string) {
	contacts := len(s.from.contacts) + len(s.to.contacts)
	users := s.from.users + s.to.users
	switch {
	case contacts == 0 && s.from.users > 0 && s.from.others+s.to.others+s.from.fenced+s.to.fenced == 0:
		return crm.Internal, "sender and recipients are users"
	case contacts == 0:
		return crm.NoContact, "no address belongs to a contact"
	case users == 0 && s.from.fenced+s.to.fenced > 0:
		return crm.NoUser, "a contact is on it, but the user's domain is not allowed"
	case users == 0:
		return crm.NoUser, "a contact is on it, but no user"
	case len(s.to.contacts) > 0 && s.to.users > 0:
		return crm.ThirdParty, "contact and user both received it from somebody else"
	}
	return crm.NoUser, "contact and user stand on the same side"
}

func (s *sides) filedRule(d mail.Direction) string {
	contact, user := "sender", "recipient"
	n := s.to.users
	if d == mail.Outbound {
		contact, user = "recipient", "sender"
		n = len(s.to.contacts)
	}
	if n > 1 {
		return fmt.Sprintf("contact is the %s, user the %s (%d on the receiving side)", contact, user, n)
	}
	return fmt.Sprintf("contact is the %s, user the %s", contact, user)
}
