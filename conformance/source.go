// Package conformance says in tests what every connector must do, so that the engine need
// not know which one it drives. A connector's test sets up the outside system and hands it
// over:
//
//	func TestSource(t *testing.T) {
//		conformance.Source(t, func(t *testing.T) conformance.Fixture { … })
//	}
//
// What is demanded is what package crm promises, no more: a source may list in any order,
// make its pages as long as it likes, and keep or change an item's id when it moves.
// [Reader] is the part that changes nothing and can be tried on somebody's real mailbox.
package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"postern/crm"
)

// A System is the outside system behind a source, as its users and its troubles change it.
// Items and folders are named by the ids that the source gives them. What cannot be done
// ends the test.
type System interface {
	// Put lays a message (RFC 5322) into a folder, as it lies there after it was sent or
	// received: a draft in Drafts, with the Bcc in Sent Items.
	Put(box *crm.Mailbox, folder string, raw []byte) (item string)
	// Move moves an item within its mailbox and returns its id there.
	Move(box *crm.Mailbox, item, folder string) (moved string)
	Delete(box *crm.Mailbox, item string)
	MarkRead(box *crm.Mailbox, item string, read bool)
	SetSubject(box *crm.Mailbox, item, subject string)
	// Damage makes the system unable to give anything of an item but its id, or only the
	// text and the original if headerLeft.
	Damage(box *crm.Mailbox, item string, headerLeft bool)
	NewFolder(box *crm.Mailbox, parent, name string) (folder string)
	DeleteFolder(box *crm.Mailbox, folder string)
	// LoseCursors makes all cursors given so far worthless.
	LoseCursors()
	// LoseSubscriptions makes all subscriptions given so far unknown.
	LoseSubscriptions()
	// Garble makes it answer with characters in texts that its protocol forbids.
	Garble()
}

// A Fixture is a system of which a source is to be tried.
type Fixture struct {
	System System
	Source crm.Source
	Boxes  [2]*crm.Mailbox // two mailboxes with their ordinary folders, empty
	Absent *crm.Mailbox    // one that does not exist
	// Delegate says that both are read by one account that was let into them: an id of one
	// opens in the name of the other, too, and the account is told of what happens in the
	// folders that were there when it subscribed.
	Delegate bool
}

// Source tries all that a source must do. Each part opens a fixture of its own.
func Source(t *testing.T, open func(t *testing.T) Fixture) {
	for _, part := range []struct {
		name string
		run  func(*bench)
	}{
		{"FoldersTellWhatTheyAreFor", foldersTellWhatTheyAreFor},
		{"FolderMarkTellsThatSomethingHappened", folderMarkTellsThatSomethingHappened},
		{"AbsentMailboxAndFolderAreFaults", absentMailboxAndFolderAreFaults},
		{"FirstListingListsEachItemOnce", firstListingListsEachItemOnce},
		{"PageCanBeAskedForAgain", pageCanBeAskedForAgain},
		{"WhatHappensDuringAListingIsNotLost", whatHappensDuringAListingIsNotLost},
		{"ChangesTellWhatHappened", changesTellWhatHappened},
		{"MoveIsGoneHereAndNewThere", moveIsGoneHereAndNewThere},
		{"LostCursorIsSaid", lostCursorIsSaid},
		{"ItemsAreWhatChangesListed", itemsAreWhatChangesListed},
		{"HeaderTellsAllButTheText", headerTellsAllButTheText},
		{"HeaderKnowsDraftsAndSecrets", headerKnowsDraftsAndSecrets},
		{"HeaderKnowsMailMadeByPrograms", headerKnowsMailMadeByPrograms},
		{"HeadersOmitWhatIsGone", headersOmitWhatIsGone},
		{"LoadBringsTheText", loadBringsTheText},
		{"LoadOmitsWhatIsGone", loadOmitsWhatIsGone},
		{"DamagedItemIsAValue", damagedItemIsAValue},
		{"AttachmentsComeWhole", attachmentsComeWhole},
		{"AttachmentsFailOneByOne", attachmentsFailOneByOne},
		{"OriginalIsTheMessage", originalIsTheMessage},
		{"HostileTextStaysText", hostileTextStaysText},
		{"GarbledAnswersAreRead", garbledAnswersAreRead},
		{"EndedContextEndsTheCall", endedContextEndsTheCall},
		{"TakerEndsTheCall", takerEndsTheCall},
		{"MailboxesDoNotMix", mailboxesDoNotMix},
	} {
		t.Run(part.name, func(t *testing.T) {
			f := open(t)
			b := &bench{T: t, Fixture: f, box: f.Boxes[0]}
			b.folders = b.listFolders(b.box)
			part.run(b)
		})
	}
}

// A bench is a fixture under test.
type bench struct {
	*testing.T
	Fixture
	box     *crm.Mailbox // the one that most parts use
	folders map[crm.Role]crm.Folder
}

// listFolders returns the folders of a mailbox by their role.
func (b *bench) listFolders(box *crm.Mailbox) map[crm.Role]crm.Folder {
	b.Helper()
	list, err := b.Source.Folders(b.Context(), box)
	if err != nil {
		b.Fatalf("Folders: %v", err)
	}
	byRole := make(map[crm.Role]crm.Folder)
	for _, f := range list {
		if f.Role == crm.NoRole {
			continue
		}
		if other, twice := byRole[f.Role]; twice {
			b.Errorf("folders %q and %q have the role %s", other.Name, f.Name, f.Role)
		}
		byRole[f.Role] = f
	}
	return byRole
}

// put lays a letter into the folder with a role.
func (b *bench) put(role crm.Role, l letter) (item string) {
	b.Helper()
	return b.System.Put(b.box, b.folders[role].ID, l.raw())
}

// fill lays n different letters into the folder with a role.
func (b *bench) fill(role crm.Role, n int) (items []string) {
	b.Helper()
	for i := range n {
		items = append(items, b.put(role, letter{n: i + 1}))
	}
	return items
}

// A listing is what a folder is known to hold after its changes were listed.
type listing struct {
	headers map[string]crm.Header
	updates map[string]int // how often each was listed since the beginning
	gone    []string       // ids told as gone that were not known
	pages   []*crm.Page
	since   []crm.Cursor // each page's
	next    crm.Cursor
}

// maxPages bounds a listing: a source that never says that it is done must not hang.
const maxPages = 10_000

// list lists a folder from the start.
func (b *bench) list(f crm.Folder) *listing {
	b.Helper()
	l := &listing{headers: make(map[string]crm.Header), updates: make(map[string]int)}
	b.follow(f, l)
	return l
}

// follow brings a listing up to date.
func (b *bench) follow(f crm.Folder, l *listing) {
	b.Helper()
	for range maxPages {
		if !b.step(f, l) {
			return
		}
	}
	b.Fatalf("folder %q has more changes after %d pages", f.Name, maxPages)
}

// step takes one page over, as the engine does, and tells whether there are more.
func (b *bench) step(f crm.Folder, l *listing) bool {
	b.Helper()
	page, err := b.Source.Changes(b.Context(), b.box, f, l.next)
	if err != nil {
		b.Fatalf("Changes: %v", err)
	}
	if page.Next == "" {
		b.Fatal("a page without a cursor behind it")
	}
	if page.More && page.Next == l.next {
		b.Fatal("more pages, but the cursor stands still")
	}
	for _, h := range page.Headers {
		l.headers[h.ID] = h
		l.updates[h.ID]++
	}
	for _, id := range page.Gone {
		if _, known := l.headers[id]; !known {
			l.gone = append(l.gone, id)
		}
		delete(l.headers, id)
	}
	for id, read := range page.Read {
		if h, known := l.headers[id]; known {
			h.Read = read
			l.headers[id] = h
		}
	}
	l.pages, l.since = append(l.pages, page), append(l.since, l.next)
	l.next = page.Next
	return page.More
}

// ids returns what the listing holds.
func (l *listing) ids() []string { return slices.Sorted(maps.Keys(l.headers)) }

// header returns the header of one item, or ends the test.
func (b *bench) header(item string) crm.Header {
	b.Helper()
	list, err := b.Source.Headers(b.Context(), b.box, []string{item})
	if err != nil {
		b.Fatalf("Headers: %v", err)
	}
	if len(list) != 1 || list[0].ID != item {
		b.Fatalf("Headers of one item returned %d: %v", len(list), headerIDs(list))
	}
	return list[0]
}

func headerIDs(list []crm.Header) []string {
	var ids []string
	for _, h := range list {
		ids = append(ids, h.ID)
	}
	return ids
}

// load returns items by their id.
func (b *bench) load(headers ...crm.Header) map[string]*crm.Item {
	b.Helper()
	items := make(map[string]*crm.Item)
	err := b.Source.Load(b.Context(), b.box, headers, func(it *crm.Item) error {
		if items[it.ID] != nil {
			b.Errorf("item %s was loaded twice", it.ID)
		}
		items[it.ID] = it
		return nil
	})
	if err != nil {
		b.Fatalf("Load: %v", err)
	}
	return items
}

// sameIDs compares two sets of ids.
func (b *bench) sameIDs(what string, want, got []string) {
	b.Helper()
	want, got = slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))
	if slices.Equal(want, got) {
		return
	}
	var lost, surplus []string
	for _, id := range want {
		if _, found := slices.BinarySearch(got, id); !found {
			lost = append(lost, id)
		}
	}
	for i, id := range got {
		if _, found := slices.BinarySearch(want, id); !found || i > 0 && got[i-1] == id {
			surplus = append(surplus, id)
		}
	}
	b.Errorf("%s: %d ids, want %d; lost %s; surplus or twice %s", what, len(got), len(want), few(lost), few(surplus))
}

// few cuts a list to what one likes to read.
func few(ids []string) string {
	if len(ids) > 5 {
		return fmt.Sprintf("%q and %d more", ids[:5], len(ids)-5)
	}
	return fmt.Sprintf("%q", ids)
}

// fault demands a fault that lets the engine do the right thing.
func (b *bench) fault(what string, err error, verdicts ...crm.Verdict) {
	b.Helper()
	if err == nil {
		b.Errorf("%s: no error", what)
		return
	}
	b.judged(what, crm.AsFault(err), verdicts...)
}

func (b *bench) judged(what string, f *crm.Fault, verdicts ...crm.Verdict) {
	b.Helper()
	if !slices.Contains(verdicts, f.Verdict) {
		b.Errorf("%s: verdict %q (%v), want one of %q", what, f.Verdict, f, verdicts)
	}
	if f.Code == "" || f.Code == "unexpected" || f.Message == "" {
		b.Errorf("%s: fault with code %q and message %q; both are shown to people", what, f.Code, f.Message)
	}
}

// text demands text that can be stored anywhere.
func (b *bench) text(what, s string) {
	b.Helper()
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		b.Errorf("%s is %q: not UTF-8, or with NUL", what, s)
	}
}
