package sim

import (
	"sort"

	"postern/ews"
)

// An itemChange is one entry of a sync answer. The item is a snapshot; of a deleted one
// only the id is known.
type itemChange struct {
	kind ews.ChangeKind
	id   string
	item Item
}

// changesSince lists up to max changes of the folder after a state, and the state behind
// them. last tells that there are no more at the moment.
//
// A first run lists the items that were there when it began, newest first, page by page;
// what happened meanwhile comes after them. Later runs list each changed item once, at
// the place of its last change; whether that counts as Create or Update depends on what
// the client knew when the run began, not on the page.
func (f *Folder) changesSince(state syncState, first bool, max int, ignore map[string]bool) (list []itemChange, next syncState, last bool) {
	next = state
	if first {
		end := f.box.seq
		next = syncState{box: f.box.guid, folder: f.n, epoch: f.box.epoch, base: end, pos: end, below: end + 1}
	}
	if next.below > 0 {
		list, next = f.existing(next, max, ignore)
		if next.below > 0 {
			return list, next, false
		}
	}
	known := next.pos
	at := sort.Search(len(f.log), func(i int) bool { return f.log[i].seq > next.pos })
	for ; at < len(f.log); at++ {
		c := f.log[at]
		if entry, ok := f.entry(c, next.base, known); ok && !ignore[entry.id] {
			if len(list) == max {
				return list, next, false
			}
			list = append(list, entry)
		}
		next.pos = c.seq
	}
	next.base = next.pos
	return list, next, true
}

// existing lists the items of a first run that are still to come.
func (f *Folder) existing(state syncState, max int, ignore map[string]bool) ([]itemChange, syncState) {
	var list []itemChange
	at := sort.Search(len(f.slots), func(i int) bool { return f.slots[i].created >= state.below })
	for at--; at >= 0; at-- {
		s := f.slots[at]
		if !s.holds(f) || s.created > state.base {
			continue
		}
		entry := itemChange{kind: ews.Created, id: s.item.id(), item: *s.item}
		if ignore[entry.id] {
			continue
		}
		if len(list) == max {
			return list, state
		}
		list = append(list, entry)
		state.below = s.created
	}
	state.below = 0
	return list, state
}

// entry judges one line of the log for a client whose run began at base and who has read
// the pages up to pos.
func (f *Folder) entry(c change, base, pos uint64) (itemChange, bool) {
	if c.item == nil {
		// What came and went since the last page is no news.
		return itemChange{kind: ews.Deleted, id: itemID(f.box.guid, f.n, c.n)}, c.created <= pos
	}
	it := c.item
	if it.gone || it.folder != f || it.n != c.n || it.changed != c.seq {
		return itemChange{}, false // something happened to it later
	}
	kind := ews.ReadFlagChanged
	switch {
	case it.created > base:
		kind = ews.Created
	case it.content > base:
		kind = ews.Updated
	}
	return itemChange{kind: kind, id: it.id(), item: *it}, true
}

// A folderChange is one entry of a hierarchy answer.
type folderChange struct {
	kind   ews.ChangeKind
	folder *Folder
}

// foldersSince lists what changed in the tree below top after change number base, and
// the number behind it.
func (m *Mailbox) foldersSince(top *Folder, base uint64, first bool) (list []folderChange, end uint64) {
	for _, f := range m.order {
		if f == top || !f.under(top) {
			continue
		}
		switch {
		case f.gone && (first || f.created > base || f.changed <= base):
		case f.gone:
			list = append(list, folderChange{ews.Deleted, f})
		case first || f.created > base:
			list = append(list, folderChange{ews.Created, f})
		case f.changed > base:
			list = append(list, folderChange{ews.Updated, f})
		}
	}
	return list, m.seq
}
