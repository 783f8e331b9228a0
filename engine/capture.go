package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"postern/crm"
	"postern/match"
	"postern/store"
)

// A pass brings one mailbox up to date.
type pass struct {
	*Engine
	src   crm.Source
	box   *crm.Mailbox
	grant store.Grant
	rev   int64 // at which it was read
}

// pass looks at a mailbox. It is rung with its id.
func (e *Engine) pass(ctx context.Context, key string) {
	id, _ := strconv.ParseInt(key, 10, 64)
	box, err := e.Org.Box(ctx, crm.MailboxID(id))
	if err != nil {
		if ctx.Err() == nil {
			e.Log.Error("read mailbox", "mailbox", id, "err", err)
		}
		return
	}
	if ahead := box.Due.Sub(e.Now()); box.State == crm.Off || ahead > 0 && ahead <= store.FarthestDue {
		return // what was rung for has been done meanwhile
	}
	began := e.Now()
	line, err := e.current(ctx)
	if err == nil {
		err = e.collect(ctx, line, box)
	}
	if ctx.Err() != nil {
		return // the process is ending; the row still says due
	}
	e.end(ctx, line, box, began, err)
}

// collect makes one look at a mailbox.
func (e *Engine) collect(ctx context.Context, line *line, box *crm.Mailbox) (err error) {
	defer caught(&err)
	p, err := e.prepare(ctx, line, box)
	if err != nil {
		return err
	}
	var folders []store.Folder
	err = line.prove(ctx, func() (err error) {
		if held := line.stopped(e.Now()); held != nil {
			return held
		}
		if folders, err = p.folders(ctx); err != nil {
			e.stop(ctx, line, box, err) // before the next mailbox may ask
			return err
		}
		if !line.works() {
			return nil
		}
		if err := e.closeAlerts(ctx, theConnection); err != nil {
			return err
		}
		return e.ringDue(ctx) // the others need not wait any longer
	})
	if err != nil {
		return err
	}
	return p.run(ctx, folders)
}

// prepare begins a pass over a mailbox that may be read.
func (e *Engine) prepare(ctx context.Context, line *line, box *crm.Mailbox) (*pass, error) {
	if err := e.gate.Allows(box); err != nil {
		return nil, err
	}
	if err := lockout(box); err != nil {
		return nil, err
	}
	return e.newPass(ctx, line, box)
}

// newPass reads what holds for a mailbox at this moment.
func (e *Engine) newPass(ctx context.Context, line *line, box *crm.Mailbox) (*pass, error) {
	grant, err := e.Org.Grant(ctx, box)
	return &pass{Engine: e, src: line.src, box: box, grant: grant, rev: -1}, err
}

// obey reads anew what holds, when it may be another by now.
func (p *pass) obey(ctx context.Context) error {
	rev, err := p.Org.Revision(ctx)
	if err != nil {
		return err
	}
	return p.obeyAt(ctx, rev)
}

// obeyAt reads anew what holds when it may be another than at a revision. It is read after
// the revision: what changes in between makes a page stale, never wrong. The gate is told
// first, so that it does not refuse what has just been granted.
func (p *pass) obeyAt(ctx context.Context, rev int64) (err error) {
	if rev != p.rev {
		if err := p.open(ctx); err != nil {
			return err
		}
		if p.grant, err = p.Org.Grant(ctx, p.box); err != nil {
			return err
		}
		p.rev = rev
	}
	if p.grant.Refused != nil {
		return p.grant.Refused
	}
	return nil
}

// overtaken tells whether a refusal is of something that is not asked for any more: what is
// granted was changed meanwhile.
func (p *pass) overtaken(ctx context.Context, err error) bool {
	if crm.AsFault(err).Verdict != crm.Refused {
		return false
	}
	now, failure := p.Org.Revision(ctx)
	return failure == nil && now != p.rev
}

// folders asks for the folders and keeps those in scope up to date in the store, inbox
// and sent items first.
func (p *pass) folders(ctx context.Context) ([]store.Folder, error) {
	list, err := p.src.Folders(ctx, p.box)
	if err != nil {
		return nil, fmt.Errorf("list folders: %w", err)
	}
	scope, paths := p.grant.Policy.InScope(p.grant.Limits, list), crm.Paths(list)
	if !slices.Contains(crm.InScope(list), true) {
		// An Inbox cannot be deleted: believing this would take all for gone.
		return nil, &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "no-folders",
			Message: "Exchange lists no folder of mail in this mailbox.", Advice: "It is tried again by itself; if it stays, ask whoever runs Exchange to look into the mailbox."}
	}
	if err := p.recreated(ctx, list); err != nil {
		return nil, err
	}
	rows := make([]store.Folder, len(list))
	for i, f := range list {
		rows[i] = store.Folder{Folder: f, Path: paths[i], InScope: scope[i]}
	}
	if rows, err = p.Org.SaveFolders(ctx, p.box.ID, rows); err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(f store.Folder) bool { return !f.InScope })
	slices.SortStableFunc(rows, func(a, b store.Folder) int { return cmp.Compare(rank(a.Role), rank(b.Role)) })
	return rows, nil
}

func rank(r crm.Role) int {
	switch r {
	case crm.Inbox:
		return 0
	case crm.SentItems:
		return 1
	}
	return 2
}

// run brings the folders up to date, then what is due for another try, then attachments.
// Trouble with one folder does not hold up the others; it is told at the end.
func (p *pass) run(ctx context.Context, folders []store.Folder) error {
	p.progress.begin(p.box.ID, folders, p.Now())
	defer p.progress.end(p.box.ID)
	if p.box.Checked.IsZero() && p.box.State != crm.Importing {
		p.box.State, p.box.Since = crm.Importing, p.Now()
		if err := p.Org.SaveMailbox(ctx, p.box); err != nil {
			return err
		}
	}
	began := p.Now()
	drifted, err := p.drifted(ctx, folders)
	if err != nil {
		return err
	}
	var trouble error
	for i := range folders {
		f := &folders[i]
		if unmoved(f) && !drifted[f.ID] {
			continue // nothing came, changed or went
		}
		if trouble, err = p.oneFolder(ctx, f, trouble); err != nil {
			return err
		}
	}
	if err := p.recheck(ctx); err != nil {
		return err
	}
	if err := cmp.Or(p.attachments(ctx), trouble); err != nil {
		return err
	}
	// All folders were read to their ends: what had vanished before that and has not
	// turned up elsewhere is gone.
	_, err = p.Org.SettleMissing(ctx, p.box.ID, began)
	return err
}

// oneFolder brings a folder up to date and fetches the attachments owed. Trouble with the
// folder alone does not hold up others; the first of it is handed on.
func (p *pass) oneFolder(ctx context.Context, f *store.Folder, trouble error) (error, error) {
	err := p.captureFolder(ctx, f)
	if err == nil {
		err = p.attachments(ctx)
	}
	if err == nil {
		return trouble, nil
	}
	fault := crm.AsFault(err)
	if fault.Scope != crm.FolderScope || ctx.Err() != nil {
		return nil, fmt.Errorf("folder %d: %w", f.ID, err)
	}
	if fault.Verdict == crm.Gone { // since the folders were listed; the next list will not have it
		gone := *fault
		gone.Verdict = crm.Retry
		err = &gone
	}
	return cmp.Or(trouble, err), nil
}

// captureFolder brings one folder up to date. When the server has lost our place, the
// folder is listed anew: known items are only ticked off, and what does not come again
// is gone.
func (p *pass) captureFolder(ctx context.Context, f *store.Folder) error {
	err := p.pages(ctx, f)
	if err == nil {
		return nil
	}
	switch fault := crm.AsFault(err); {
	case fault.Verdict == crm.Retry && fault.Scope == crm.FolderScope && p.box.Tries >= patient:
		return cmp.Or(p.otherRoad(ctx, f), err)
	case fault.Verdict != crm.Resync:
		return err
	}
	p.Log.Warn("list folder anew", "mailbox", p.box.Address, "folder", f.ID, "code", crm.AsFault(err).Code)
	if err := p.relist(ctx, f); err != nil {
		return err
	}
	return p.pages(ctx, f)
}

// pages captures page by page. A page's decisions and the cursor behind it are saved
// together, so a crash repeats a page and never skips one. Page n+1 is asked for while
// page n is loaded and saved.
func (p *pass) pages(ctx context.Context, f *store.Folder) error {
	ctx, cancel := context.WithCancel(ctx)
	next := p.ask(ctx, f, f.Cursor)
	defer func() { cancel(); next() }()
	listed := 0
	for {
		asked := p.Now()
		page, err := next()
		if err != nil {
			return err
		}
		p.progress.wait(p.box.ID, forServer, p.Now().Sub(asked))
		if listed += len(page.Headers); listed > endless+4*max(0, f.Total) {
			return &crm.Fault{Verdict: crm.Retry, Scope: crm.FolderScope, Code: "endless-listing",
				Message: "Exchange lists the same items of this folder over and over.", Advice: "It is tried again by itself; if it stays, ask whoever runs Exchange to look into the mailbox."}
		}
		if page.More {
			next = p.ask(ctx, f, page.Next)
		}
		if len(page.Headers)+len(page.Gone)+len(page.Read) > 0 {
			// A mark is as fine as a second: more may yet come under the same one. It
			// holds once a reading has brought nothing.
			f.Mark = ""
		}
		if err := p.savePage(ctx, f, page); err != nil {
			return err
		}
		if !page.More {
			return nil
		}
	}
}

// endless is how many items more than four times what a folder holds may be listed in one
// go, until it is clear that the list has no end.
const endless = 20_000

// ask asks for a page in the background and returns where to get it; getting it again
// returns the same.
func (p *pass) ask(ctx context.Context, f *store.Folder, since crm.Cursor) func() (*crm.Page, error) {
	var page *crm.Page
	var err error
	done, folder := make(chan struct{}), f.Folder
	go func() {
		defer close(done)
		defer caught(&err)
		page, err = p.src.Changes(ctx, p.box, folder, since)
	}()
	return func() (*crm.Page, error) { <-done; return page, err }
}

// chunkBytes bounds what is loaded before it is saved. A page that holds more is saved
// in several steps, the cursor with the last.
const chunkBytes = 12 << 20

func (p *pass) savePage(ctx context.Context, f *store.Folder, page *crm.Page) error {
	if err := p.unheardOf(ctx, page); err != nil {
		return err
	}
	rest := page.Headers
	for {
		n := chunk(rest)
		part := store.Page{Mailbox: p.box, Folder: f.ID, Epoch: f.Epoch}
		if last := n == len(rest); last {
			part.Gone, part.Read = page.Gone, page.Read
			part.SetCursor, part.Next = true, page.Next
			part.Last, part.Mark = !page.More, f.Mark
		}
		if err := p.file(ctx, rest[:n], part, func(string) (crm.FolderID, int) { return f.ID, 0 }); err != nil {
			return err
		}
		p.progress.add(p.box.ID, n, p.Now())
		if rest = rest[n:]; len(rest) == 0 {
			return nil
		}
	}
}

// chunk returns how many of the headers to load in one step: at least one, if any.
func chunk(headers []crm.Header) int {
	var bytes int64
	for i := range headers {
		bytes += headers[i].Size
		if i > 0 && bytes > chunkBytes {
			return i
		}
	}
	return len(headers)
}

// file decides about headers, loads what is to be filed and saves both as one page.
// origin tells of an item in which folder it lies and how often it was tried before.
//
// What fails for a reason that nobody foresaw is tried in halves, until the one item is
// found that cannot be dealt with. It is put aside, and the others go on.
func (p *pass) file(ctx context.Context, headers []crm.Header, page store.Page, origin func(item string) (crm.FolderID, int)) error {
	err := p.fileAll(ctx, headers, page, origin)
	if err == nil || ctx.Err() != nil || len(headers) == 0 || crm.AsFault(err).Code != crm.Unforeseen {
		return err
	}
	p.Log.Error("page cannot be dealt with", "mailbox", p.box.Address, "folder", page.Folder, "items", len(headers), "err", err)
	if len(headers) == 1 {
		headers[0] = crm.Header{ID: headers[0].ID, Fault: &crm.Fault{Verdict: crm.Retry, Scope: crm.ItemScope, Code: "item-unmanageable", Err: err,
			Message: "This program stumbles over the item.", Advice: "It is tried again by itself; please report it, with the log."}}
		return p.fileAll(ctx, headers, page, origin)
	}
	half := len(headers) / 2
	first := store.Page{Mailbox: page.Mailbox, Folder: page.Folder, Epoch: page.Epoch}
	if err := p.file(ctx, headers[:half], first, origin); err != nil {
		return err
	}
	return p.file(ctx, headers[half:], page, origin)
}

// fileAll files the headers in one go.
func (p *pass) fileAll(ctx context.Context, headers []crm.Header, page store.Page, origin func(item string) (crm.FolderID, int)) (err error) {
	defer caught(&err)
	loaded := make(map[string]*crm.Item) // kept when the decisions must be made anew
	for {
		before := page.Rev
		people, rev, err := p.Org.People(ctx, headers)
		if err != nil {
			return err
		}
		page.Rev = rev
		if err := p.obeyAt(ctx, rev); err != nil {
			return err
		}
		if page.Entries, err = p.entries(ctx, headers, people, loaded, origin); err != nil {
			if p.overtaken(ctx, err) {
				continue
			}
			return err
		}
		began := p.Now()
		saved, err := p.Org.SavePage(ctx, page)
		p.progress.wait(p.box.ID, forStore, p.Now().Sub(began))
		if errors.Is(err, store.ErrStale) && rev != before {
			continue // somebody was added or changed meanwhile
		}
		if err == nil && len(saved.Filed) > 0 {
			p.Log.Info("filed", "mailbox", p.box.Address, "activities", len(saved.Filed))
		}
		return err
	}
}

// caught makes an error of a panic: one mailbox must not bring the program down, and with
// it all others. To be deferred wherever a goroutine begins to deal with what was read.
func caught(err *error) {
	if p := recover(); p != nil {
		*err = crm.Stumbled(p)
	}
}

// entries decides about each header and loads the bodies that are needed.
func (p *pass) entries(ctx context.Context, headers []crm.Header, people crm.People, loaded map[string]*crm.Item, origin func(string) (crm.FolderID, int)) ([]store.Entry, error) {
	entries := make([]store.Entry, len(headers))
	decisions := match.Decide(headers, people, match.Rules{Domains: p.grant.Policy.Domains, Limits: p.grant.Limits})
	var ids []string
	for i := range headers {
		entries[i] = store.Entry{Header: &headers[i], Decision: decisions[i]}
		if folder, _ := origin(headers[i].ID); p.grant.Outside[folder] { // since it was listed
			entries[i].Decision = crm.Decision{Item: headers[i].ID, Outcome: crm.NotFiled, Reason: crm.ExcludedFolder, Rule: "the policy excludes the folder"}
		}
		if headers[i].Fault == nil && entries[i].Decision.Outcome == crm.Filed {
			ids = append(ids, headers[i].ID)
		}
	}
	known, err := p.Org.Known(ctx, p.box.ID, ids)
	if err != nil {
		return nil, err
	}
	if err := p.load(ctx, entries, known, loaded); err != nil {
		return nil, err
	}
	for i := range entries {
		e := &entries[i]
		var tries int
		e.Folder, tries = origin(e.Header.ID)
		_, have := known[e.Header.ID]
		switch item := loaded[e.Header.ID]; {
		case e.Header.Fault != nil:
			e.Decision = p.failed(e.Header.ID, e.Header.Fault, tries)
		case e.Decision.Outcome != crm.Filed || have:
		case p.grant.Limits.HeadersOnly:
			e.Item = &crm.Item{Header: *e.Header, Missing: crm.BodyWithheld}
		case item == nil: // vanished since it was listed; its removal will be listed, too
			e.Decision = p.failed(e.Header.ID, vanished, tries)
		case item.Fault != nil && item.Missing == crm.NothingMissing:
			e.Decision = p.failed(e.Header.ID, item.Fault, tries)
		case item.Fault != nil: // filed with what there is; the rest is owed
			owed := p.failed(e.Header.ID, item.Fault, tries)
			e.Item, e.Decision.Tries, e.Decision.RetryAt = item, owed.Tries, owed.RetryAt
		default:
			e.Item = item
		}
	}
	return entries, nil
}

var vanished = &crm.Fault{Verdict: crm.Gone, Scope: crm.ItemScope, Code: "vanished", Message: "The item was listed but could not be loaded.",
	Advice: "Nothing to do: if it was moved or deleted, its folder says so next time; else it is tried again."}

// load fetches the bodies of what is to be filed and was neither filed nor loaded yet.
func (p *pass) load(ctx context.Context, entries []store.Entry, known map[string]string, loaded map[string]*crm.Item) error {
	if p.grant.Limits.HeadersOnly {
		return nil
	}
	var want []crm.Header
	for i := range entries {
		h := entries[i].Header
		_, have := known[h.ID]
		if entries[i].Decision.Outcome == crm.Filed && h.Fault == nil && !have && loaded[h.ID] == nil {
			want = append(want, *h)
		}
	}
	if len(want) == 0 {
		return nil
	}
	began := p.Now()
	defer func() { p.progress.wait(p.box.ID, forServer, p.Now().Sub(began)) }()
	err := p.src.Load(ctx, p.box, want, func(item *crm.Item) error {
		loaded[item.ID] = item
		return nil
	})
	if err != nil {
		return fmt.Errorf("load %d items: %w", len(want), err)
	}
	return nil
}

// failed is the decision about an item that could not be had: it is tried again at
// growing times, for ever.
func (p *pass) failed(item string, f *crm.Fault, tries int) crm.Decision {
	p.Log.Warn("item cannot be had", "mailbox", p.box.Address, "item", item, "code", f.Code, "tries", tries+1)
	wait := max(f.After, ladder(tries, time.Minute, 10*time.Minute, time.Hour, 24*time.Hour, 7*24*time.Hour))
	return crm.Decision{Item: item, Outcome: crm.Failed, Reason: crm.Reason(f.Code), Rule: f.Message,
		Tries: tries + 1, RetryAt: p.Now().Add(wait)}
}

// ladder returns the n-th step, the last one from there on.
func ladder(n int, steps ...time.Duration) time.Duration { return steps[min(n, len(steps)-1)] }
