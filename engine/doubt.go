package engine

import (
	"context"
	"maps"
	"slices"

	"postern/crm"
	"postern/store"
)

// What a server says of a mailbox is not always all there is to say. Here is what the
// engine does when an answer cannot be the whole truth.

// recreated notices that another mailbox stands under the address: none of the folders
// that we know is there any more. It is read as a new one; what was filed stays, and
// what comes again is known by its message.
func (p *pass) recreated(ctx context.Context, list []crm.Folder) error {
	known, err := p.Org.Folders(ctx, p.box.ID)
	if err != nil || len(known) == 0 {
		return err
	}
	ids := make(map[string]bool, len(list))
	for i := range list {
		ids[list[i].ID] = true
	}
	if slices.ContainsFunc(known, func(f store.Folder) bool { return ids[f.Folder.ID] }) {
		return nil
	}
	p.Log.Warn("mailbox was created anew", "mailbox", p.box.Address)
	p.box.State, p.box.Since = enter(p.box, crm.Importing, p.Now())
	p.box.Trouble = &crm.Fault{Verdict: crm.Resync, Scope: crm.MailboxScope, Code: "mailbox-recreated", Cause: crm.Recreated,
		Message: "Another mailbox stands under this address now, as after a restore.", Advice: "Nothing to do: it is read as a new one, and nothing is filed twice."}
	if err := p.Org.SaveMailbox(ctx, p.box); err != nil {
		return err
	}
	return p.raiseAlert(ctx, theMailbox(p.box), p.box.Trouble)
}

// drifted finds folders that, as their mark says, have not changed since they were read,
// and yet hold another number of items than the ledger has of them: something was missed,
// as by a server that answered from the start without saying so. They are listed anew.
// Counting costs the database something, so it is done once a sweep.
func (p *pass) drifted(ctx context.Context, folders []store.Folder) (map[crm.FolderID]bool, error) {
	p.mu.Lock()
	last, counted := p.counted[p.box.ID]
	p.mu.Unlock()
	if counted && p.Now().Sub(last) < sweep/2 {
		return nil, nil
	}
	counts, err := p.Org.FolderCounts(ctx, p.box.ID)
	if err != nil {
		return nil, err
	}
	drifted := map[crm.FolderID]bool{}
	for i := range folders {
		f := &folders[i]
		drift := f.Total - counts[f.ID].Items()
		if !unmoved(f) || f.Total < 0 || drift == f.Drift {
			continue // the same as the last full listing has left: the server counts otherwise than it lists
		}
		if err := p.Org.SetDrift(ctx, f.ID, drift); err != nil {
			return nil, err
		}
		if drift == 0 {
			continue
		}
		p.Log.Warn("list folder anew", "mailbox", p.box.Address, "folder", f.ID, "on_server", f.Total, "more_than_in_ledger", drift)
		if err := p.relist(ctx, f); err != nil {
			return nil, err
		}
		drifted[f.ID] = true
	}
	p.mu.Lock()
	p.counted[p.box.ID] = p.Now()
	p.mu.Unlock()
	return drifted, nil
}

// countAgain has the next look at these mailboxes count, as after a gap.
func (e *Engine) countAgain(ids []crm.MailboxID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		delete(e.counted, id)
	}
}

// unmoved tells whether the folder was read up to the state that it is in.
func unmoved(f *store.Folder) bool { return f.Listed && f.Mark != "" && f.Mark == f.SavedMark }

// patient is how many looks in a row a folder may keep from being listed.
const patient = 3

// otherRoad files what is new in a folder whose changes the server cannot list, as when it
// stumbles over one item: the items are found as for the proof. The cursor stays where it
// is.
func (p *pass) otherRoad(ctx context.Context, f *store.Folder) error {
	p.Log.Warn("list folder by another road", "mailbox", p.box.Address, "folder", f.ID)
	return p.src.Items(ctx, p.box, f.Folder, func(ids []string) error {
		open, err := p.Org.Undecided(ctx, p.box.ID, ids)
		if err != nil || len(open) == 0 {
			return err
		}
		headers, err := p.src.Headers(ctx, p.box, open)
		for err == nil && len(headers) > 0 {
			n := chunk(headers)
			err = p.file(ctx, headers[:n], store.Page{Mailbox: p.box, Folder: f.ID, Epoch: f.Epoch}, func(string) (crm.FolderID, int) { return f.ID, 0 })
			headers = headers[n:]
		}
		return err
	})
}

// relist makes the folder begin anew. What it holds stays until the new listing has ended
// without it.
func (p *pass) relist(ctx context.Context, f *store.Folder) error {
	if err := p.Org.ResetFolder(ctx, f.ID); err != nil {
		return err
	}
	f.Cursor, f.Listed, f.Epoch = "", false, f.Epoch+1
	return nil
}

// unheardOf adds items to a page that the server tells only the read state of, as of
// something that we know, and that have no decision.
func (p *pass) unheardOf(ctx context.Context, page *crm.Page) error {
	if len(page.Read) == 0 {
		return nil
	}
	open, err := p.Org.Undecided(ctx, p.box.ID, slices.Sorted(maps.Keys(page.Read)))
	if err != nil || len(open) == 0 {
		return err
	}
	headers, err := p.src.Headers(ctx, p.box, open)
	page.Headers = append(page.Headers, headers...)
	return err
}
