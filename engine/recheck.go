package engine

import (
	"context"
	"fmt"

	"postern/crm"
	"postern/store"
)

// recheckBatch is how many items are asked for again in one step.
const recheckBatch = 100

// recheck looks again at items that are due: those that failed, and those that were not
// filed and name an address that has become a contact's or a user's since. Nothing else
// is read.
func (p *pass) recheck(ctx context.Context) error {
	for {
		due, err := p.Org.DueItems(ctx, p.box.ID, p.Now(), recheckBatch)
		if err != nil || len(due) == 0 {
			return err
		}
		if err := p.recheckItems(ctx, due); err != nil {
			return fmt.Errorf("look again at %d items: %w", len(due), err)
		}
	}
}

func (p *pass) recheckItems(ctx context.Context, due []store.DueItem) error {
	ids := make([]string, len(due))
	items := make(map[string]store.DueItem, len(due))
	for i, d := range due {
		ids[i], items[d.Item] = d.Item, d
	}
	headers, err := p.src.Headers(ctx, p.box, ids)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(headers))
	for i := range headers {
		there[headers[i].ID] = true
	}
	for _, d := range due {
		if !there[d.Item] { // not there: if it was deleted, its folder will say so
			headers = append(headers, crm.Header{ID: d.Item, Fault: vanished})
		}
	}
	origin := func(item string) (crm.FolderID, int) { return items[item].Folder, items[item].Tries }
	for len(headers) > 0 {
		n := chunk(headers)
		if err := p.file(ctx, headers[:n], store.Page{Mailbox: p.box}, origin); err != nil {
			return err
		}
		headers = headers[n:]
	}
	return nil
}
