package engine

import (
	"context"
	"slices"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// testBoxes is how many mailboxes a test of the settings tries at most.
const testBoxes = 20

// Test tries settings step by step on mailboxes that they would open, before anything is
// saved, and hands each finding to tell as it comes.
func (e *Engine) Test(ctx context.Context, s crm.Settings, tell func(crm.Finding)) error {
	users, _, err := e.Org.Users(ctx, store.ListQuery{Limit: 1 << 20})
	if err != nil {
		return err
	}
	var boxes []mail.Address
	for _, u := range users {
		if u.Active && len(u.Addresses) > 0 && slices.Contains(s.Domains, u.Addresses[0].Domain()) {
			boxes = append(boxes, u.Addresses[0])
		}
	}
	boxes = boxes[:min(len(boxes), testBoxes)]
	if err := e.open(ctx); err != nil { // what the installation grants holds for a test, too
		return err
	}
	e.Connector.Check(ctx, crm.Trial{Settings: s, Transport: e.gate.Trial(s, "", boxes...), Boxes: boxes}, tell)
	return nil
}
