package store

import (
	"context"
	"database/sql"

	"postern/crm"
)

// A Folder is a folder of a mailbox and how far it has been read.
type Folder struct {
	ID         crm.FolderID // ours; Folder.ID is the source's
	crm.Folder              // as the source tells it
	Path       string       // names from the top, joined by "/"
	InScope    bool
	Cursor     crm.Cursor
	Listed     bool   // a full listing was completed
	Epoch      int    // counts the full listings begun; see ResetFolder
	SavedMark  string // Mark at the last completed pass
	Drift      int    // see SetDrift
}

// Folders returns the folders of a mailbox in the order of their paths.
func (o *Org) Folders(ctx context.Context, box crm.MailboxID) ([]Folder, error) {
	return o.folders(ctx, o.read(), box)
}

func (o *Org) folders(ctx context.Context, q querier, box crm.MailboxID) ([]Folder, error) {
	var list []Folder
	err := rows(ctx, q, `select id, source_id, parent, name, role, kind, total, mark, path, in_scope, cursor, listed, epoch, saved_mark, drift
		from folder where org_id = $1 and mailbox_id = $2 order by path, id`, []any{o.id, box}, func(r *sql.Rows) error {
		var f Folder
		if err := r.Scan(&f.ID, &f.Folder.ID, &f.Parent, &f.Name, &f.Role, &f.Kind, &f.Total, &f.Mark, &f.Path, &f.InScope, &f.Cursor, &f.Listed, &f.Epoch, &f.SavedMark, &f.Drift); err != nil {
			return err
		}
		list = append(list, f)
		return nil
	})
	return list, err
}

// SaveFolders keeps the folders of a mailbox as the source lists them, with Path and
// InScope as given, and returns them as they stand. A folder that is not listed any more
// is removed with its ledger rows, and its copies are missing; one that left the scope
// loses its ledger rows, too, and is listed anew if it comes back. When nothing has
// changed, nothing is written.
func (o *Org) SaveFolders(ctx context.Context, box crm.MailboxID, list []Folder) ([]Folder, error) {
	saved, err := o.Folders(ctx, box)
	if err != nil {
		return nil, err
	}
	if gone, changed := compareFolders(saved, list); len(gone)+len(changed) == 0 {
		return saved, nil
	}
	err = o.db.update(ctx, "save folders", func(t *tx) error {
		user, err := o.lockMailbox(ctx, t, box)
		if err != nil {
			return err
		}
		old, err := o.folders(ctx, t, box)
		if err != nil {
			return err
		}
		gone, changed := compareFolders(old, list)
		for _, g := range gone {
			if err := o.emptyFolder(ctx, t, box, user, g.folder, !g.listed); err != nil {
				return err
			}
		}
		if err := o.saveFolders(ctx, t, box, changed); err != nil {
			return err
		}
		saved, err = o.folders(ctx, t, box)
		return err
	})
	return saved, err
}

// A goneFolder is one that is no longer read.
type goneFolder struct {
	folder crm.FolderID
	listed bool // it is still there, but out of scope
}

// compareFolders tells which folders are no longer read, and which are to be written.
func compareFolders(old, list []Folder) (gone []goneFolder, changed []Folder) {
	now := make(map[string]*Folder, len(list))
	for i := range list {
		now[clean(list[i].Folder.ID)] = &list[i]
	}
	same := map[string]bool{}
	for i := range old {
		was := &old[i]
		is := now[was.Folder.ID]
		if is == nil || was.InScope && !is.InScope {
			gone = append(gone, goneFolder{was.ID, is != nil})
		}
		same[was.Folder.ID] = is != nil && was.told() == is.told()
	}
	for i := range list {
		id := clean(list[i].Folder.ID)
		if !same[id] && now[id] == &list[i] { // of one that is listed twice, the last
			changed = append(changed, list[i])
		}
	}
	return gone, changed
}

// told is what the source tells of a folder, as it is kept.
func (f *Folder) told() Folder {
	t := Folder{Folder: f.Folder, Path: clean(f.Path), InScope: f.InScope}
	t.Folder.ID, t.Parent, t.Name, t.Mark = clean(t.Folder.ID), clean(t.Parent), clean(t.Name), clean(t.Mark)
	return t
}

func (o *Org) saveFolders(ctx context.Context, t *tx, box crm.MailboxID, list []Folder) error {
	var args []any
	for i := range list {
		f := list[i].told()
		args = append(args, o.id, box, f.Folder.ID, f.Parent, f.Name, f.Role, f.Kind, f.Total, f.Mark, f.Path, f.InScope)
	}
	return t.insert(ctx, "insert into folder (org_id, mailbox_id, source_id, parent, name, role, kind, total, mark, path, in_scope) values",
		"(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		`on conflict (org_id, mailbox_id, source_id) do update set parent = excluded.parent, name = excluded.name, role = excluded.role,
			kind = excluded.kind, total = excluded.total, mark = excluded.mark, path = excluded.path, in_scope = excluded.in_scope`, args, nil)
}

// emptyFolder removes the ledger rows of a folder, and the folder itself if remove.
func (o *Org) emptyFolder(ctx context.Context, t *tx, box crm.MailboxID, user crm.UserID, folder crm.FolderID, remove bool) error {
	s := saving{o: o, t: t, box: box, user: user, now: micros(o.s.now())}
	if err := s.leave(ctx, "folder_id = $3", folder); err != nil {
		return err
	}
	if err := s.refresh(ctx); err != nil {
		return err
	}
	query := "update folder set cursor = '', listed = false, saved_mark = '', epoch = epoch + 1 where org_id = $1 and id = $2"
	if remove {
		query = "delete from folder where org_id = $1 and id = $2"
	}
	_, err := t.exec(ctx, query, o.id, folder)
	return err
}

// ResetFolder begins a full listing: after the cursor was lost. What the listing does not
// bring until its last page has left the folder then, and stays until then.
func (o *Org) ResetFolder(ctx context.Context, id crm.FolderID) error {
	return o.db.update(ctx, "reset folder", func(t *tx) error {
		n, err := t.exec(ctx, "update folder set cursor = '', listed = false, saved_mark = '', epoch = epoch + 1 where org_id = $1 and id = $2", o.id, id)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	})
}

// lockMailbox makes pages of one mailbox wait for each other, and returns its user.
func (o *Org) lockMailbox(ctx context.Context, t *tx, box crm.MailboxID) (crm.UserID, error) {
	var user crm.UserID
	err := one(ctx, t, "select user_id from mailbox where org_id = $1 and id = $2"+t.d.rowLock, []any{o.id, box}, &user)
	return user, err
}
