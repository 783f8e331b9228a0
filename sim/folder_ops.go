package sim

import (
	"postern/ews"
)

// showFolder is a folder as the shape wants it. The caller holds the lock.
func (c *call) showFolder(f *Folder, s *ews.FolderShape) ews.Folder {
	out := ews.Folder{Element: folderElement(f.class), ID: ews.FolderID{ID: f.ID(), ChangeKey: changeKey(f.box.guid, "\x01", f.changed)}}
	want := map[string]bool{}
	for _, p := range s.Additional {
		want[p.FieldURI] = true
		if p.FieldURI == "" {
			if value, ok := f.extended(&p.Extended); ok {
				out.Extended = append(out.Extended, ews.ExtendedProperty{Field: p.Extended, Value: value})
			}
		}
	}
	basic, all := s.Base != ews.IDOnly, s.Base == ews.AllProperties
	if (all || want["folder:ParentFolderId"]) && f.parent != nil {
		out.Parent = &ews.FolderID{ID: f.parent.ID(), ChangeKey: changeKey(f.box.guid, "\x01", f.parent.changed)}
	}
	if all || want["folder:FolderClass"] {
		out.Class = f.class
	}
	if basic || want["folder:DisplayName"] {
		out.Name = f.name
	}
	if basic || want["folder:TotalCount"] {
		out.Total = new(f.live)
	}
	if basic || want["folder:ChildFolderCount"] {
		out.Children = new(f.children())
	}
	if basic || want["folder:UnreadCount"] {
		out.Unread = new(f.unread)
	}
	if (all || want["folder:DistinguishedFolderId"]) && c.schema >= schema2013 {
		out.Distinguished = string(f.role)
	}
	return out
}

func folderElement(class string) string {
	switch class {
	case "IPF.Appointment":
		return ews.CalendarFolder
	case "IPF.Contact":
		return ews.ContactsFolder
	case "IPF.Task":
		return ews.TasksFolder
	}
	return ews.PlainFolder
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/getfolder-operation
func (c *call) getFolder(op *ews.GetFolder) []ews.Answer {
	c.x.mu.RLock()
	defer c.x.mu.RUnlock()
	answers := make([]ews.Answer, len(op.IDs))
	for i := range op.IDs {
		f, no := c.folder(&op.IDs[i])
		if no != nil {
			answers[i] = c.failure(*no)
			continue
		}
		answers[i] = &ews.FoldersResult{Result: ews.Succeeded(), Folders: []ews.Folder{c.showFolder(f, &op.Shape)}}
	}
	return answers
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/findfolder-operation
func (c *call) findFolder(op *ews.FindFolder) []ews.Answer {
	c.x.mu.RLock()
	defer c.x.mu.RUnlock()
	answers := make([]ews.Answer, len(op.Parents))
	for i := range op.Parents {
		parent, no := c.folder(&op.Parents[i])
		if no != nil {
			answers[i] = c.failure(*no)
			continue
		}
		var found []*Folder
		for _, f := range parent.box.order {
			below := f.parent == parent || op.Traversal == "Deep" && f.under(parent)
			if below && !f.gone && c.level(f).least(FolderVisible) && matches(op.Restriction, f.lookup) {
				found = append(found, f)
			}
		}
		from, to, paging := page(op.View, len(found))
		result := &ews.FindFolderResult{Result: ews.Succeeded(), Paging: paging, Folders: []ews.Folder{}}
		for _, f := range found[from:to] {
			result.Folders = append(result.Folders, c.showFolder(f, &op.Shape))
		}
		answers[i] = result
	}
	return answers
}

// maxRows is how many rows a search returns at most.
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/ews-throttling-in-exchange
const maxRows = 1000

// page works out which part of n rows a view asks for.
func page(view *ews.PageView, n int) (from, to int, paging ews.Paging) {
	to = min(n, maxRows)
	if view != nil {
		size := maxRows
		if view.Max != nil {
			size = min(max(*view.Max, 0), maxRows)
		}
		if view.BasePoint == "End" {
			to = max(n-view.Offset, 0)
			from = max(to-size, 0)
			return from, to, ews.Paging{Offset: new(n - from), Total: &n, Last: new(from == 0)}
		}
		from = min(max(view.Offset, 0), n)
		to = min(from+size, n)
	}
	paging = ews.Paging{Total: &n, Last: new(to == n)}
	if view != nil {
		paging.Offset = &to
	}
	return from, to, paging
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/createfolder-operation
func (c *call) createFolder(op *ews.CreateFolder) []ews.Answer {
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	answers := make([]ews.Answer, len(op.Folders))
	for i, wanted := range op.Folders {
		answers[i] = c.createOneFolder(op.Parent, wanted)
	}
	return answers
}

func (c *call) createOneFolder(parentID *ews.FolderID, wanted ews.Folder) ews.Answer {
	if parentID == nil {
		return c.failed("ErrorInvalidRequest", "The parent folder is missing.")
	}
	parent, no := c.folder(parentID)
	if no != nil {
		return c.failure(*no)
	}
	if no := c.writes(parent); no != nil {
		return c.failure(*no)
	}
	for _, f := range parent.box.order {
		if f.parent == parent && !f.gone && f.name == wanted.Name {
			return c.failed("ErrorFolderExists", "A folder with the specified name already exists.")
		}
	}
	class := wanted.Class
	if class == "" {
		class = "IPF.Note"
	}
	f := parent.box.createFolder(parent, wanted.Name, class)
	return &ews.FoldersResult{Result: ews.Succeeded(), Folders: []ews.Folder{c.showFolder(f, &ews.FolderShape{Base: ews.IDOnly})}}
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/syncfolderhierarchy-operation
func (c *call) syncFolderHierarchy(op *ews.SyncFolderHierarchy) []ews.Answer {
	c.x.mu.RLock()
	defer c.x.mu.RUnlock()
	if op.Folder == nil {
		op.Folder = &ews.FolderID{Distinguished: string(Root)}
	}
	top, no := c.folder(op.Folder)
	if no != nil {
		return []ews.Answer{c.failure(*no)}
	}
	var state syncState
	if c.met(StateRestart) {
		op.SyncState = ""
	}
	if op.SyncState != "" {
		var ok bool
		state, ok = parseSyncState(op.SyncState)
		// Folders are told in their own kind of state: below is 0 and pos is not used.
		if !ok || c.met(LostState) || state.box != top.box.guid || state.folder != top.n || state.epoch != top.box.epoch || state.pos != hierarchyState {
			return []ews.Answer{c.failed("ErrorInvalidSyncStateData", "Synchronization state data is corrupt or otherwise invalid.")}
		}
	}
	changes, end := top.box.foldersSince(top, state.base, op.SyncState == "")
	next := syncState{box: top.box.guid, folder: top.n, epoch: top.box.epoch, base: end, pos: hierarchyState}
	result := &ews.SyncFolderHierarchyResult{Result: ews.Succeeded(), SyncState: next.text(c.x.options.SyncStatePadding), Last: true}
	for _, change := range changes {
		if !c.level(change.folder).least(FolderVisible) {
			continue
		}
		shown := ews.Folder{ID: ews.FolderID{ID: change.folder.ID()}}
		if change.kind != ews.Deleted {
			shown = c.showFolder(change.folder, &op.Shape)
		}
		result.Changes = append(result.Changes, ews.FolderChange{Kind: change.kind, Folder: shown})
	}
	return []ews.Answer{result}
}

// hierarchyState marks a sync state as one of the tree of folders.
const hierarchyState = 1<<64 - 1
