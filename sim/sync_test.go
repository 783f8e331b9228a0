package sim

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern/ews"
)

// step asks for one page of changes.
func (c *caller) step(state string, max int64) wireMessage {
	c.t.Helper()
	return c.one(&ews.SyncFolderItems{Shape: itemShape(), Folder: inbox(), SyncState: state, Max: max})
}

// kinds lists what a page says: "Create", "Delete", …
func kindsOf(m wireMessage) []string {
	var list []string
	for _, c := range m.Changes.List {
		list = append(list, c.XMLName.Local)
	}
	return list
}

func (c wireChange) itemID() string {
	if len(c.Things) > 0 {
		return c.Things[0].ID.ID
	}
	return c.ID.ID
}

func TestFirstRunListsNewestFirst(t *testing.T) {
	x := newExchange(t, Options{})
	var want []string
	for i := range 5 {
		want = append(want, deliver(t, x, plain(i)).ID())
	}
	slices.Reverse(want)
	c := asUser(t, x, ann)
	var got []string
	state := ""
	for pages := 1; ; pages++ {
		m := c.step(state, 2)
		for _, change := range m.Changes.List {
			got = append(got, change.itemID())
		}
		state = m.SyncState
		if m.Last {
			if pages != 3 {
				t.Errorf("five items by twos took %d pages, want 3", pages)
			}
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d ids %v, want newest first", len(got), got)
	}
}

func TestSyncTellsEachKindOfChange(t *testing.T) {
	x := newExchange(t, Options{})
	kept, edited, read, moved, removed := deliver(t, x, plain(0)), deliver(t, x, plain(1)), deliver(t, x, plain(2)), deliver(t, x, plain(3)), deliver(t, x, plain(4))
	c := asUser(t, x, ann)
	state := c.step("", 512).SyncState

	oldID, editedID, readID, removedID := moved.ID(), edited.ID(), read.ID(), removed.ID()
	edited.SetSubject("Corrected")
	read.MarkRead(true)
	moved.Move(moved.Mailbox().Folder(JunkEmail))
	removed.Delete()
	fresh := deliver(t, x, plain(5))
	brief := deliver(t, x, plain(6))
	brief.Delete()

	m := c.step(state, 512)
	got := map[string]string{}
	for _, change := range m.Changes.List {
		got[change.itemID()] = change.XMLName.Local
	}
	want := map[string]string{editedID: "Update", readID: "ReadFlagChange", oldID: "Delete", removedID: "Delete", fresh.ID(): "Create"}
	if len(got) != len(want) {
		t.Errorf("got %d changes %v, want %d", len(got), kindsOf(m), len(want))
	}
	for id, kind := range want {
		if got[id] != kind {
			t.Errorf("got %q, want %q", got[id], kind)
		}
	}
	if editedID != edited.ID() {
		t.Error("an update changed the id")
	}
	if oldID == moved.ID() {
		t.Error("a move kept the id")
	}
	if _, told := got[kept.ID()]; told {
		t.Error("an untouched item was told again")
	}
	if again := c.step(m.SyncState, 512); len(again.Changes.List) != 0 || !again.Last {
		t.Errorf("nothing happened, got %v", kindsOf(again))
	}
	if replay := c.step(state, 512); len(replay.Changes.List) != len(m.Changes.List) {
		t.Errorf("the same state again gave %d changes, want %d", len(replay.Changes.List), len(m.Changes.List))
	}
}

func TestIgnoredItemsAreNotTold(t *testing.T) {
	x := newExchange(t, Options{})
	first, second := deliver(t, x, plain(0)), deliver(t, x, plain(1))
	m := asUser(t, x, ann).one(&ews.SyncFolderItems{Shape: itemShape(), Folder: inbox(), Max: 10, Ignore: []ews.ItemID{{ID: first.ID()}}})
	if len(m.Changes.List) != 1 || m.Changes.List[0].itemID() != second.ID() {
		t.Errorf("got %v, want the second item only", kindsOf(m))
	}
}

func TestSyncStateIsRefused(t *testing.T) {
	x := newExchange(t, Options{SyncStatePadding: 4000})
	deliver(t, x, plain(0))
	c := asUser(t, x, ann)
	state := c.step("", 512).SyncState
	if len(state) < 4000 {
		t.Errorf("the state has %d characters although it was to be long", len(state))
	}
	hierarchy := c.one(&ews.SyncFolderHierarchy{Shape: ews.FolderShape{Base: ews.IDOnly}}).SyncState
	lost := func() string {
		x.LoseSyncStates()
		return state
	}
	tests := []struct {
		name    string
		mailbox *caller
		folder  string
		state   string
	}{
		{"of another folder", c, "sentitems", state},
		{"of another mailbox", asUser(t, x, bob), "inbox", state},
		{"cut", c, "inbox", state[:len(state)/2]},
		{"of the folders", c, "inbox", hierarchy},
		{"lost", c, "inbox", lost()},
	}
	for _, tt := range tests {
		a := tt.mailbox.ask(&ews.SyncFolderItems{Shape: itemShape(), Folder: &ews.FolderID{Distinguished: tt.folder}, SyncState: tt.state, Max: 512})
		m := a.messages()[0]
		if m.Code != "ErrorInvalidSyncStateData" || m.SyncState != "" || !m.Last {
			t.Errorf("state %s: got %s, state %q, last %t", tt.name, m.Code, m.SyncState, m.Last)
		}
	}
}

func TestHierarchySync(t *testing.T) {
	x := newExchange(t, Options{FolderNames: map[Role]string{Inbox: "Posteingang"}})
	box := x.Mailbox(ann)
	c := asUser(t, x, ann)
	ask := func(state string) wireMessage {
		return c.one(&ews.SyncFolderHierarchy{Shape: ews.FolderShape{Base: ews.AllProperties}, Folder: &ews.FolderID{Distinguished: "msgfolderroot"}, SyncState: state})
	}
	first := ask("")
	if len(first.Changes.List) != len(standardFolders)-2 {
		t.Errorf("got %d folders, want all below the root", len(first.Changes.List))
	}
	names := map[string]bool{}
	for _, change := range first.Changes.List {
		names[change.Things[0].DisplayName] = true
	}
	if !names["Posteingang"] || names["Inbox"] {
		t.Errorf("names are not in the mailbox's language: %v", names)
	}
	projects := box.CreateFolder(box.Folder(Inbox), "Projects")
	deliver(t, x, plain(0)) // counts of items are no change of a folder
	second := ask(first.SyncState)
	if got := kindsOf(second); !slices.Equal(got, []string{"Create"}) {
		t.Errorf("after a new folder: %v", got)
	}
	id := projects.ID()
	projects.Delete()
	third := ask(second.SyncState)
	if len(third.Changes.List) != 1 || third.Changes.List[0].XMLName.Local != "Delete" || third.Changes.List[0].Folder.ID != id {
		t.Errorf("after a deleted folder: %+v", third.Changes.List)
	}
}

// TestSyncNeverLosesAnItem lets a folder change in any way between the pages of a client
// that knows nothing but what sync tells it.
func TestSyncNeverLosesAnItem(t *testing.T) {
	x := newExchange(t, Options{})
	rapid.Check(t, func(r *rapid.T) {
		f := x.Mailbox(ann).CreateFolder(x.Mailbox(ann).Folder(Inbox), "Some")
		other := x.Mailbox(ann).Folder(JunkEmail)
		known := map[string]string{}
		var state syncState
		first := true
		page := func() (last bool) {
			var list []itemChange
			list, state, last = f.changesSince(state, first, rapid.IntRange(1, 4).Draw(r, "page size"), nil)
			first = false
			for _, change := range list {
				if change.kind == ews.Deleted {
					delete(known, change.id)
				} else {
					known[change.id] = change.item.changeKey()
				}
			}
			return last
		}
		for range rapid.IntRange(0, 40).Draw(r, "steps") {
			items := f.Items()
			step := rapid.SampledFrom([]string{"put", "put", "move", "back", "delete", "read", "edit", "page"}).Draw(r, "step")
			switch {
			case step == "page":
				page()
			case step == "put":
				if _, err := f.Put(plain(1)); err != nil {
					r.Fatal(err)
				}
			case step == "back":
				if gone := other.Items(); len(gone) > 0 {
					gone[len(gone)-1].Move(f)
				}
			case len(items) == 0:
			default:
				it := rapid.SampledFrom(items).Draw(r, "item")
				map[string]func(){
					"move":   func() { it.Move(other) },
					"delete": it.Delete,
					"read":   func() { it.MarkRead(rapid.Bool().Draw(r, "read")) },
					"edit":   func() { it.SetSubject("other") },
				}[step]()
			}
		}
		for !page() {
		}
		want := map[string]string{}
		for _, it := range f.Items() {
			want[it.ID()] = it.changeKey()
		}
		if len(known) != len(want) {
			r.Fatalf("the client knows %d items, the folder has %d", len(known), len(want))
		}
		for id, key := range want {
			if known[id] != key {
				r.Fatalf("the client knows version %q, the folder has %q", known[id], key)
			}
		}
	})
}

func TestIDs(t *testing.T) {
	x := newExchange(t, Options{})
	it := deliver(t, x, plain(0))
	id := it.ID()
	if len(id) < 120 {
		t.Errorf("an id of %d characters: those of a real server are longer", len(id))
	}
	c := asUser(t, x, ann)
	get := func(id string) string {
		a := c.ask(&ews.GetItem{Shape: itemShape(), IDs: []ews.ItemID{{ID: id}}})
		return a.code()
	}
	swapped := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, id)
	for name, tt := range map[string]struct{ id, want string }{
		"as given":           {id, "NoError"},
		"in capitals":        {swapped, "ErrorInvalidIdMalformed"},
		"cut":                {id[:100], "ErrorInvalidIdMalformed"},
		"made up":            {"AAMkAGE=", "ErrorInvalidIdMalformed"},
		"of a folder":        {it.Folder().ID(), "ErrorCannotUseFolderIdForItemId"},
		"of another mailbox": {itemID(x.Mailbox(bob).guid, 7, 1), "ErrorItemNotFound"},
	} {
		if got := get(tt.id); got != tt.want {
			t.Errorf("id %s: got %s, want %s", name, got, tt.want)
		}
	}
	it.Delete()
	if got := get(id); got != "ErrorItemNotFound" {
		t.Errorf("deleted: got %s", got)
	}
}
