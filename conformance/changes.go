package conformance

import (
	"errors"
	"slices"
	"sync"

	"postern/crm"
	"postern/mail"
)

// More than two pages of what servers give at most at once.
const many = 1_300

func firstListingListsEachItemOnce(b *bench) {
	inbox := b.folders[crm.Inbox]
	if l := b.list(inbox); len(l.headers) != 0 {
		b.Fatalf("an empty folder lists %d items", len(l.headers))
	}
	want := b.fill(crm.Inbox, many)
	l := b.list(inbox)
	b.sameIDs("first listing", want, l.ids())
	for id, n := range l.updates {
		if n != 1 {
			b.Errorf("item %s was listed %d times", id, n)
		}
		if h := l.headers[id]; h.Fault != nil || h.MessageID == "" || len(h.People) == 0 {
			b.Fatalf("header %+v is not complete", h)
		}
	}
	if len(l.pages) < 2 {
		b.Errorf("%d items came in one page; pages bound the memory", many)
	}
	if page, err := b.Source.Changes(b.Context(), b.box, inbox, l.next); err != nil {
		b.Error(err)
	} else if len(page.Headers)+len(page.Gone)+len(page.Read) > 0 || page.More {
		b.Errorf("nothing happened, and there are %d headers, %d gone, more: %v", len(page.Headers), len(page.Gone), page.More)
	}
}

// A crash between fetching a page and saving it repeats the page.
func pageCanBeAskedForAgain(b *bench) {
	inbox := b.folders[crm.Inbox]
	b.fill(crm.Inbox, many)
	l := b.list(inbox)
	for i, page := range l.pages {
		again, err := b.Source.Changes(b.Context(), b.box, inbox, l.since[i])
		if err != nil {
			b.Fatalf("page %d again: %v", i+1, err)
		}
		b.sameIDs("the page asked for again", headerIDs(page.Headers), headerIDs(again.Headers))
		if again.More != page.More {
			b.Errorf("page %d: more is %v, then %v", i+1, page.More, again.More)
		}
	}
}

func whatHappensDuringAListingIsNotLost(b *bench) {
	inbox := b.folders[crm.Inbox]
	items := b.fill(crm.Inbox, many)
	l := &listing{headers: make(map[string]crm.Header), updates: make(map[string]int)}
	if !b.step(inbox, l) {
		b.Fatalf("%d items came in one page", many)
	}
	oldest, newest := items[0], items[many-1]
	b.System.Delete(b.box, oldest)
	b.System.SetSubject(b.box, newest, "Changed meanwhile")
	b.System.MarkRead(b.box, items[many/2], true)
	fresh := b.put(crm.Inbox, letter{n: many + 1})
	b.follow(inbox, l)

	b.sameIDs("listing", append(slices.Clone(items[1:]), fresh), l.ids())
	if got := l.headers[newest].Subject; got != "Changed meanwhile" {
		b.Errorf("the changed item's subject is %q", got)
	}
	if !l.headers[items[many/2]].Read {
		b.Error("the item that was read meanwhile is listed as unread")
	}
}

func changesTellWhatHappened(b *bench) {
	inbox := b.folders[crm.Inbox]
	items := b.fill(crm.Inbox, 10)
	l := b.list(inbox)
	before := l.headers[items[2]]

	b.System.Delete(b.box, items[0])
	b.System.MarkRead(b.box, items[1], true)
	b.System.SetSubject(b.box, items[2], "Changed")
	fresh := b.put(crm.Inbox, letter{n: 11})
	brief := b.put(crm.Inbox, letter{n: 12})
	b.System.Delete(b.box, brief)
	pages := len(l.pages)
	b.follow(inbox, l)

	b.sameIDs("what the folder holds", append(slices.Clone(items[1:]), fresh), l.ids())
	if !l.headers[items[1]].Read || l.headers[items[3]].Read {
		b.Errorf("read: %v and %v, want the first alone", l.headers[items[1]].Read, l.headers[items[3]].Read)
	}
	after := l.headers[items[2]]
	if after.Subject != "Changed" || after.Version == before.Version {
		b.Errorf("the changed item has the subject %q, version %q → %q", after.Subject, before.Version, after.Version)
	}
	if after.MessageID != before.MessageID {
		b.Errorf("the changed item's Message-ID went from %q to %q", before.MessageID, after.MessageID)
	}
	for _, page := range l.pages[pages:] {
		for _, h := range page.Headers {
			if slices.Contains(items[3:], h.ID) {
				b.Errorf("item %s did not change and is listed again", h.ID)
			}
		}
		if slices.Contains(headerIDs(page.Headers), items[0]) {
			b.Error("the deleted item is listed as changed")
		}
	}
	b.System.MarkRead(b.box, items[1], false)
	if b.follow(inbox, l); l.headers[items[1]].Read {
		b.Error("an item marked as unread stays read")
	}
}

func moveIsGoneHereAndNewThere(b *bench) {
	inbox := b.folders[crm.Inbox]
	project := crm.Folder{ID: b.System.NewFolder(b.box, inbox.ID, "Project"), Name: "Project", Kind: crm.Email}
	items := b.fill(crm.Inbox, 3)
	here, there := b.list(inbox), b.list(project)
	key := here.headers[items[1]].MessageID

	moved := b.System.Move(b.box, items[1], project.ID)
	b.follow(inbox, here)
	b.follow(project, there)
	b.sameIDs("where it was", []string{items[0], items[2]}, here.ids())
	b.sameIDs("where it went", []string{moved}, there.ids())
	if got := there.headers[moved].MessageID; got != key {
		b.Errorf("the moved item has the Message-ID %q, had %q", got, key)
	}

	back := b.System.Move(b.box, moved, inbox.ID)
	b.follow(inbox, here)
	b.follow(project, there)
	b.sameIDs("back again", []string{items[0], items[2], back}, here.ids())
	b.sameIDs("away again", nil, there.ids())
}

func lostCursorIsSaid(b *bench) {
	inbox := b.folders[crm.Inbox]
	items := b.fill(crm.Inbox, 3)
	l := b.list(inbox)
	b.System.LoseCursors()
	_, err := b.Source.Changes(b.Context(), b.box, inbox, l.next)
	b.fault("a cursor that the system has lost", err, crm.Resync)
	_, err = b.Source.Changes(b.Context(), b.box, inbox, "no cursor of anybody")
	b.fault("a cursor that never was one", err, crm.Resync)
	b.sameIDs("listing anew", items, b.list(inbox).ids())
}

// The proof of completeness rests on two roads to the same place.
func itemsAreWhatChangesListed(b *bench) {
	inbox := b.folders[crm.Inbox]
	items := b.fill(crm.Inbox, many)
	b.put(crm.SentItems, letter{n: many + 1})
	l := b.list(inbox)
	for i, id := range items {
		switch i % 100 {
		case 7:
			b.System.Delete(b.box, id)
		case 8:
			b.System.Move(b.box, id, b.folders[crm.SentItems].ID)
		}
	}
	b.follow(inbox, l)
	b.sameIDs("Items", l.ids(), b.items(inbox))
}

func (b *bench) items(f crm.Folder) []string {
	b.Helper()
	var all []string
	err := b.Source.Items(b.Context(), b.box, f, func(ids []string) error {
		all = append(all, ids...)
		return nil
	})
	if err != nil {
		b.Fatalf("Items: %v", err)
	}
	return all
}

// Several workers read several mailboxes through one source.
func mailboxesDoNotMix(b *bench) {
	const letters = 60
	want := make([][]string, len(b.Boxes))
	inboxes := make([]crm.Folder, len(b.Boxes))
	for i, box := range b.Boxes {
		inboxes[i] = b.listFolders(box)[crm.Inbox]
		for n := range letters {
			want[i] = append(want[i], b.System.Put(box, inboxes[i].ID, letter{n: i*letters + n}.raw()))
		}
	}
	const rounds = 4
	type read struct {
		box   int
		items []*crm.Item
		err   error
	}
	results := make(chan read, len(b.Boxes)*rounds)
	var wg sync.WaitGroup
	for i, box := range b.Boxes {
		for range rounds {
			wg.Go(func() {
				items, err := b.readAll(box, inboxes[i])
				results <- read{i, items, err}
			})
		}
	}
	wg.Wait()
	close(results)
	for r := range results {
		if r.err != nil {
			b.Error(r.err)
			continue
		}
		var ids []string
		for _, it := range r.items {
			ids = append(ids, it.ID)
			var n int
			for n = r.box * letters; n < (r.box+1)*letters && mail.MessageID(messageID(n)) != it.MessageID; n++ {
			}
			if n == (r.box+1)*letters {
				b.Errorf("mailbox %d gave the message %s of another", r.box+1, it.MessageID)
			}
		}
		b.sameIDs("a mailbox read beside another", want[r.box], ids)
	}
	// An id of one mailbox opens nothing in the other.
	list, err := b.Source.Headers(b.Context(), b.Boxes[1], want[0][:1])
	if err == nil && len(list) > 0 && list[0].Fault == nil && !b.Delegate {
		b.Errorf("mailbox 2 gives an item of mailbox 1: %q", list[0].Subject)
	}
}

// readAll lists and loads a folder; it is called from several goroutines.
func (b *bench) readAll(box *crm.Mailbox, f crm.Folder) (items []*crm.Item, err error) {
	var since crm.Cursor
	for range maxPages {
		page, err := b.Source.Changes(b.Context(), box, f, since)
		if err != nil {
			return items, err
		}
		err = b.Source.Load(b.Context(), box, page.Headers, func(it *crm.Item) error {
			items = append(items, it)
			return nil
		})
		if err != nil || !page.More {
			return items, err
		}
		since = page.Next
	}
	return items, errors.New("no last page")
}
