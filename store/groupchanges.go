package store

import (
	"context"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
)

// A GroupChange says who came to a group that the policy names, and who left it.
type GroupChange struct {
	At           time.Time
	Group        mail.Address
	Joined, Left []mail.Address
}

// GroupChanges returns the changes of groups since a moment, the first one first, as the audit
// log has them: the groups themselves are kept as they are now.
func (o *Org) GroupChanges(ctx context.Context, since time.Time) (list []GroupChange, err error) {
	err = o.EachAudit(ctx, AuditQuery{Action: "policy.group"}, func(e *crm.AuditEntry) error {
		if e.At.Before(since) {
			return nil
		}
		c := GroupChange{At: e.At, Group: mail.Address(e.Subject)}
		for line := range strings.SplitSeq(e.Detail, "\n") { // as groupEntry writes them
			if a, ok := strings.CutPrefix(line, "member: + "); ok {
				c.Joined = append(c.Joined, mail.Address(a))
			} else if a, ok := strings.CutPrefix(line, "member: − "); ok {
				c.Left = append(c.Left, mail.Address(a))
			}
		}
		list = append(list, c)
		return nil
	})
	return list, err
}
