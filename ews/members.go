package ews

import (
	"context"
	"fmt"

	"postern/crm"
	"postern/mail"
)

// maxGroups bounds how many groups are within one, so that a directory cannot keep us busy.
const maxGroups = 500

// Members implements crm.Directory by ExpandDL, in the name of the account itself. It names
// the members of one group at a time; groups in it are asked for in their turn, each once.
func (s *source) Members(ctx context.Context, group mail.Address) ([]mail.Address, error) {
	c, err := s.clientFor("")
	if err != nil {
		return nil, err
	}
	session := c.As("")
	seen := map[mail.Address]bool{group: true}
	var members []mail.Address
	for open := []mail.Address{group}; len(open) > 0; open = open[1:] {
		answer, err := session.ExpandDL(ctx, &ExpandDL{Group: Mailbox{EmailAddress: string(open[0])}})
		if err != nil {
			return nil, s.fault(err, crm.MailboxScope)
		}
		if answer.Total == nil && len(answer.Members) == 0 {
			return nil, unknownGroup(open[0], fmt.Errorf("no expansion in the answer"))
		}
		if answer.Last != nil && !*answer.Last {
			return nil, unknownGroup(open[0], fmt.Errorf("%d members are told of, and not all", len(answer.Members)))
		}
		for _, m := range answer.Members {
			a, err := mail.ParseAddress(m.EmailAddress)
			switch {
			case err != nil:
				return nil, unknownGroup(open[0], fmt.Errorf("a member has no e-mail address: %w", err))
			case seen[a]:
				continue
			case m.BoxType == PublicGroup && len(seen) > maxGroups+len(members):
				return nil, unknownGroup(group, fmt.Errorf("more than %d groups are in it", maxGroups))
			case m.BoxType == PublicGroup:
				open = append(open, a)
			default:
				members = append(members, a)
			}
			seen[a] = true
		}
	}
	return members, nil
}

func unknownGroup(group mail.Address, err error) *crm.Fault {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "group-unreadable", Err: err,
		Message: fmt.Sprintf("Exchange does not say who belongs to the group %s: %v.", group, err),
		Advice:  "Check the group's address and its members in Exchange; until then what was known of it holds."}
}
