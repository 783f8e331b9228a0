package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"postern/crm"
	"postern/store"
)

// A Report is the completeness proof of one folder: what lies on the server against what
// the ledger says, gathered by another road than the one that mail is collected by.
type Report struct {
	Mailbox  crm.MailboxID      `json:"-"`
	Address  string             `json:"mailbox"`
	Folder   string             `json:"folder"` // as shown to the user
	Items    int                `json:"items"`  // on the server
	Filed    int                `json:"filed"`
	NotFiled map[crm.Reason]int `json:"not_filed"`
	Failed   int                `json:"failed"`
	Differs  []Difference       `json:"differs"`
	Fault    *crm.Fault         `json:"fault,omitempty"` // the server could not be asked; then nothing is proved
}

// A Difference is one item for which the books do not agree.
type Difference struct {
	Item    string // the server's item id
	Problem string
}

// Proved tells whether everything on the server has its decision and everything filed is
// really there.
func (r *Report) Proved() bool {
	return r.Fault == nil && len(r.Differs) == 0 && r.Filed+r.NotFiledTotal()+r.Failed == r.Items
}

// NotFiledTotal is the number of items not filed, for whatever reason.
func (r *Report) NotFiledTotal() int {
	sum := 0
	for _, n := range r.NotFiled {
		sum += n
	}
	return sum
}

// Reconcile proves each folder in scope of each mailbox and hands the reports to tell.
func (e *Engine) Reconcile(ctx context.Context, tell func(Report) error) error {
	defer e.obeying(ctx)()
	line, err := e.current(ctx)
	if err != nil {
		return err
	}
	if _, err := e.Org.Provision(ctx); err != nil { // a mailbox whose row was lost must not go unproved
		return err
	}
	boxes, _, err := e.Org.Mailboxes(ctx, store.ListQuery{Limit: store.Everything})
	if err != nil {
		return err
	}
	for i := range boxes {
		box := &boxes[i].Mailbox
		if box.State == crm.Off {
			continue
		}
		if err := e.reconcileBox(ctx, line, box, tell); err != nil {
			if ctx.Err() != nil {
				return err
			}
			if err := tell(Report{Mailbox: box.ID, Address: string(box.Address), Fault: crm.AsFault(err)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Engine) reconcileBox(ctx context.Context, line *line, box *crm.Mailbox, tell func(Report) error) error {
	if err := e.gate.Allows(box); err != nil {
		return err
	}
	if err := lockout(box); err != nil {
		return err
	}
	if held := line.stopped(e.Now()); held != nil {
		return held
	}
	list, err := line.src.Folders(ctx, box)
	if err != nil {
		e.stop(ctx, line, box, err)
		return fmt.Errorf("list folders: %w", err)
	}
	rows, err := e.Org.Folders(ctx, box.ID)
	if err != nil {
		return err
	}
	known := make(map[string]store.Folder, len(rows))
	for _, row := range rows {
		known[row.Folder.ID] = row
	}
	grant, err := e.Org.Grant(ctx, box)
	if err != nil {
		return err
	}
	for i, in := range grant.Policy.InScope(grant.Limits, list) {
		if !in {
			continue
		}
		report, err := e.reconcileFolder(ctx, line.src, box, list[i], known[list[i].ID])
		if err != nil {
			return fmt.Errorf("folder %q: %w", list[i].Name, err)
		}
		delete(known, list[i].ID)
		if err := tell(report); err != nil {
			return err
		}
	}
	for _, row := range rows {
		if _, left := known[row.Folder.ID]; left {
			if err := e.reconcileLeft(ctx, box, row, tell); err != nil {
				return err
			}
		}
	}
	return nil
}

// reconcileLeft tells of a folder that is not to be read, or is there no more, when the
// ledger still holds something of it.
func (e *Engine) reconcileLeft(ctx context.Context, box *crm.Mailbox, row store.Folder, tell func(Report) error) error {
	r := Report{Mailbox: box.ID, Address: string(box.Address), Folder: row.Name, NotFiled: make(map[crm.Reason]int)}
	err := e.Org.Ledger(ctx, box.ID, row.ID, func(d store.LedgerRow) error {
		r.Differs = append(r.Differs, Difference{d.Item, "in the ledger as " + string(d.Outcome) + ", but this folder is not read"})
		return nil
	})
	if err != nil || len(r.Differs) == 0 {
		return err
	}
	return tell(r)
}

func (e *Engine) reconcileFolder(ctx context.Context, src crm.Source, box *crm.Mailbox, f crm.Folder, row store.Folder) (Report, error) {
	r := Report{Mailbox: box.ID, Address: string(box.Address), Folder: f.Name, NotFiled: make(map[crm.Reason]int)}
	open := make(map[string]bool) // on the server, not met in the ledger yet
	err := src.Items(ctx, box, f, func(ids []string) error {
		for _, id := range ids {
			open[id] = true
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	r.Items = len(open)
	ledger := e.Org.Ledger
	if row.ID == 0 { // never met before, so nothing in it has a decision
		ledger = noLedger
	}
	err = ledger(ctx, box.ID, row.ID, func(d store.LedgerRow) error {
		if !open[d.Item] {
			r.Differs = append(r.Differs, Difference{d.Item, "in the ledger as " + string(d.Outcome) + ", but not in this folder on the server"})
			return nil
		}
		delete(open, d.Item)
		if d.Problem != "" {
			r.Differs = append(r.Differs, Difference{d.Item, d.Problem})
		}
		switch d.Outcome {
		case crm.Filed:
			r.Filed++
		case crm.NotFiled:
			r.NotFiled[d.Reason]++
		default:
			r.Failed++
		}
		return nil
	})
	for _, id := range slices.Sorted(maps.Keys(open)) {
		r.Differs = append(r.Differs, Difference{id, "on the server, but no decision in the ledger"})
	}
	return r, err
}

// noLedger is the ledger of a folder that is not known yet.
func noLedger(context.Context, crm.MailboxID, crm.FolderID, func(store.LedgerRow) error) error {
	return nil
}
