package sim

import (
	"slices"
	"testing"
)

// TestCoveredByIsWhatThePagesToldOf reads a folder page by page while things happen in it,
// and compares.
func TestCoveredByIsWhatThePagesToldOf(t *testing.T) {
	x := newExchange(t, Options{})
	var all []*Item
	for i := range 5 {
		all = append(all, deliver(t, x, plain(i)))
	}
	told := map[string]bool{}
	state, most := "", 0
	for page := range 8 {
		m := asUser(t, x, ann).step(state, 2)
		for _, c := range m.Changes.List {
			told[c.itemID()] = c.XMLName.Local != "Delete"
		}
		state = m.SyncState
		switch page {
		case 1:
			all[4].Delete() // was told of
			all[0].MarkRead(true)
			for i := range 4 {
				all = append(all, deliver(t, x, plain(9+i)))
			}
		case 3:
			all[5].MarkRead(true)
			all[1].Move(x.Mailbox(ann).Folder(JunkEmail))
		}
		var want []string
		for _, it := range x.Mailbox(ann).Folder(Inbox).Items() {
			if told[it.ID()] {
				want = append(want, it.ID())
			}
		}
		got, ok := x.CoveredBy(state)
		if extra := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return slices.Contains(want, id) }); !ok || len(extra) > 0 || m.Last && len(got) != len(want) {
			t.Errorf("after page %d: got %d items, %d of them wrongly; %d were told of", page+1, len(got), len(extra), len(want))
		}
		most = max(most, len(got))
	}
	if most < 5 {
		t.Errorf("no more than %d items were told of", most)
	}
	if _, ok := x.CoveredBy("made up"); ok {
		t.Error("a state that was never given out was taken")
	}
}
