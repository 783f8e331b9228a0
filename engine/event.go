package engine

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"time"

	"postern/crm"
	"postern/store"
)

// event reads the folders of a mailbox in which something happened, and nothing else.
func (e *Engine) event(ctx context.Context, key string) {
	id, _ := strconv.ParseInt(key, 10, 64)
	w := e.watching()
	dirty := w.take(crm.MailboxID(id))
	if len(dirty) == 0 {
		return
	}
	if !e.resting() && e.acted(ctx, w, crm.MailboxID(id), maps.Clone(dirty)) || ctx.Err() != nil {
		return
	}
	w.putBack(crm.MailboxID(id), dirty)
}

// acted makes an event pass and tells whether that settled it: what happened has been
// read, or a look is due that will find it.
func (e *Engine) acted(ctx context.Context, w *watcher, id crm.MailboxID, dirty map[string]bool) bool {
	box, err := e.Org.Box(ctx, id)
	if err != nil {
		return errors.Is(err, store.ErrNotFound)
	}
	if alone := box.Trouble != nil && box.Trouble.Scope == crm.FolderScope; box.State != crm.Live && !alone {
		return true // the look that is due finds what happened by the folders' marks
	}
	began := e.Now()
	line, err := e.current(ctx)
	if err == nil {
		err = e.catchEvents(ctx, w, line, box, dirty)
	}
	if err == nil {
		err = e.owed(ctx, box)
	}
	return err == nil || ctx.Err() == nil && e.end(ctx, line, box, began, err)
}

// catchEvents captures the folders named.
func (e *Engine) catchEvents(ctx context.Context, w *watcher, line *line, box *crm.Mailbox, dirty map[string]bool) (err error) {
	defer caught(&err)
	p, err := e.prepare(ctx, line, box)
	if err != nil {
		return err
	}
	if held := line.stopped(e.Now()); held != nil {
		return held
	}
	folders, err := e.Org.Folders(ctx, box.ID)
	if err != nil {
		return err
	}
	var trouble error
	for i := range folders {
		f := &folders[i]
		if !dirty[f.Folder.ID] {
			continue
		}
		delete(dirty, f.Folder.ID)
		if f.InScope {
			if trouble, err = p.oneFolder(ctx, f, trouble); err != nil {
				return err
			}
		}
	}
	var unknown []string
	for id := range dirty {
		unknown = append(unknown, id)
	}
	if w.unknown(box.ID, unknown) {
		w.look(box.ID)
	}
	return trouble
}

// owed makes the mailbox due earlier when something in it is to be tried again before its
// next look.
func (e *Engine) owed(ctx context.Context, box *crm.Mailbox) error {
	next, err := e.nextDue(ctx, box, box.Due)
	if err != nil || !next.Before(box.Due) {
		return err
	}
	box.Due = next
	return e.Org.SaveMailbox(ctx, box)
}

// nextDue is the earlier of limit and the time at which something of the mailbox is owed:
// an item or attachment to be tried again, or a missing copy to be told from a moved one.
func (e *Engine) nextDue(ctx context.Context, box *crm.Mailbox, limit time.Time) (time.Time, error) {
	next, err := e.Org.NextDue(ctx, box.ID)
	if err != nil {
		return limit, err
	}
	n, oldest, err := e.Org.Missing(ctx, box.ID)
	if n > 0 {
		limit = earlier(limit, oldest.Add(settleMissing))
	}
	return earlier(limit, next), err
}

// settleMissing is how long a vanished copy may turn up elsewhere before the mailbox is
// looked through for it.
const settleMissing = time.Minute

// earlier returns the earlier of two times, the second of which may be none.
func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}
