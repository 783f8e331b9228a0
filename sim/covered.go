package sim

// CoveredBy returns the ids of the items that whoever holds a sync state of a folder was
// told of and that are still there under these ids: all of them behind the last page of a
// run, in the middle of one only those of which the state alone proves it. It is for
// tests: none of them may be forgotten by a client that goes on from this state. ok is
// false for a state that was never given out.
func (x *Exchange) CoveredBy(state string) (items []string, ok bool) {
	s, ok := parseSyncState(state)
	if !ok {
		return nil, false
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	box := x.byGUID[s.box]
	if box == nil || box.folders[s.folder] == nil {
		return nil, true
	}
	for _, it := range box.folders[s.folder].list() {
		// An item that came during a run that is not over, and changed since, is told of at
		// the place of its change.
		if it.created >= s.below && (it.created <= s.base || max(it.created, it.changed) <= s.pos) {
			items = append(items, it.id())
		}
	}
	return items, true
}
