package sim

import (
	"errors"
	"slices"

	"postern/ews"
)

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/syncfolderitems-operation
func (c *call) syncFolderItems(op *ews.SyncFolderItems) ([]ews.Answer, *ews.SOAPFault) {
	p, refused := c.planItems(&op.Shape, true)
	switch {
	case refused != nil:
		return nil, refused
	case op.Max < 1 || op.Max > 512:
		return nil, fault("ErrorSchemaValidation", "The request failed schema validation: The 'MaxChangesReturned' element is invalid.")
	case op.Scope != "" && c.schema < schema2010:
		return nil, fault("ErrorSchemaValidation", "The request failed schema validation: The element 'SyncScope' is invalid.")
	case op.Folder == nil:
		return nil, fault("ErrorSchemaValidation", "The request failed schema validation: The element 'SyncFolderId' is missing.")
	}
	if c.met(StateRestart) {
		op.SyncState = ""
	}
	changes, next, last, no := c.changes(op)
	if no != nil {
		return []ews.Answer{c.failure(*no)}, nil
	}
	result := &ews.SyncFolderItemsResult{Result: ews.Succeeded(), SyncState: next.text(c.x.options.SyncStatePadding), Last: last}
	for i := range changes {
		if c.met(DeletesCut) && changes[i].kind == ews.Deleted {
			result.Last = true
		}
		if c.met(ReadAsUpdate) && changes[i].kind == ews.ReadFlagChanged {
			changes[i].kind = ews.Updated
		}
		change, err := c.syncChange(&changes[i], p)
		if err != nil { // one broken item fails the whole call unless ids alone are asked for
			return []ews.Answer{c.failed("ErrorItemCorrupt", "The item is corrupt.")}, nil
		}
		result.Changes = append(result.Changes, change)
	}
	return []ews.Answer{result}, nil
}

// changes takes a page of changes from the state.
func (c *call) changes(op *ews.SyncFolderItems) ([]itemChange, syncState, bool, *ews.Result) {
	c.x.mu.RLock()
	defer c.x.mu.RUnlock()
	f, no := c.folder(op.Folder)
	if no == nil {
		no = c.reads(f)
	}
	if no != nil {
		if no.Code == "ErrorFolderNotFound" {
			no.Code = "ErrorSyncFolderNotFound"
		}
		return nil, syncState{}, false, no
	}
	var state syncState
	if op.SyncState != "" {
		var ok bool
		state, ok = parseSyncState(op.SyncState)
		if !ok || c.met(LostState) || state.box != f.box.guid || state.folder != f.n || state.epoch != f.box.epoch || state.pos == hierarchyState {
			return nil, syncState{}, false, new(ews.Failed("ErrorInvalidSyncStateData", "Synchronization state data is corrupt or otherwise invalid."))
		}
	}
	ignore := map[string]bool{}
	for _, id := range op.Ignore {
		ignore[id.ID] = true
	}
	list, next, last := f.changesSince(state, op.SyncState == "", int(op.Max), ignore)
	return list, next, last, nil
}

func (c *call) syncChange(change *itemChange, p *plan) (ews.SyncChange, error) {
	out := ews.SyncChange{Kind: change.kind}
	switch change.kind {
	case ews.Deleted:
		out.ID = ews.ItemID{ID: change.id, ChangeKey: unknownKey}
	case ews.ReadFlagChanged:
		out.ID = ews.ItemID{ID: change.id, ChangeKey: change.item.changeKey()}
		out.IsRead = change.item.read
	default:
		v := view{x: c.x, item: &change.item}
		var err error
		out.Item, err = v.render(p)
		return out, err
	}
	return out, nil
}

// unknownKey stands in for a change key that the server does not look up: of what is not
// there any more, and of an item's folder.
const unknownKey = "AQAAAA=="

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/finditem-operation
func (c *call) findItem(op *ews.FindItem) ([]ews.Answer, *ews.SOAPFault) {
	p, refused := c.planItems(&op.Shape, true)
	if refused != nil {
		return nil, refused
	}
	answers := make([]ews.Answer, len(op.Parents))
	for i := range op.Parents {
		answers[i] = c.findIn(&op.Parents[i], op, p)
	}
	return answers, nil
}

func (c *call) findIn(parent *ews.FolderID, op *ews.FindItem, p *plan) ews.Answer {
	views, no := c.views(parent)
	switch {
	case no != nil:
		return c.failure(*no)
	case op.Query != "":
		return c.failed("ErrorUnsupportedQueryFilter", "There is no content index.")
	case op.Traversal != "" && op.Traversal != "Shallow":
		views = nil // nothing is associated or in the dumpster
	}
	if op.Restriction != nil {
		views = slices.DeleteFunc(views, func(v *view) bool { return !matches(op.Restriction, v.lookup) })
	}
	order(views, op.Sort)
	if c.schema < schema2010SP1 && len(views) > maxRows && (op.View == nil || op.View.Max == nil || *op.View.Max > maxRows) {
		return c.failed("ErrorExceededFindCountLimit", "You have exceeded the maximum number of objects that can be returned for the find operation.")
	}
	from, to, paging := page(op.View, len(views))
	result := &ews.FindItemResult{Result: ews.Succeeded(), Paging: paging, Items: []ews.Item{}}
	for _, v := range views[from:to] {
		shown, err := v.render(p)
		if err != nil {
			shown = ews.Item{Element: ews.MessageItem, ID: ews.ItemID{ID: v.item.id(), ChangeKey: v.item.changeKey()}}
		}
		result.Items = append(result.Items, shown)
	}
	return result
}

// views are the items of a folder, newest first, which is the order without a sort.
func (c *call) views(parent *ews.FolderID) ([]*view, *ews.Result) {
	c.x.mu.RLock()
	defer c.x.mu.RUnlock()
	f, no := c.folder(parent)
	if no == nil {
		no = c.reads(f)
	}
	if no != nil {
		return nil, no
	}
	items := f.list()
	views := make([]*view, len(items))
	for i, it := range items {
		views[len(items)-1-i] = &view{x: c.x, item: new(*it)}
	}
	return views, nil
}

// order sorts by the fields in turn; items without a value come first.
func order(views []*view, fields []ews.Order) {
	if len(fields) == 0 {
		return
	}
	slices.SortStableFunc(views, func(a, b *view) int {
		for _, field := range fields {
			x, _ := a.lookup(field.Path)
			y, _ := b.lookup(field.Path)
			n := compareValues(x, y)
			if field.Direction == "Descending" {
				n = -n
			}
			if n != 0 {
				return n
			}
		}
		return 0
	})
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/getitem-operation
func (c *call) getItem(op *ews.GetItem) ([]ews.Answer, *ews.SOAPFault) {
	p, refused := c.planItems(&op.Shape, false)
	if refused != nil {
		return nil, refused
	}
	if c.trouble != nil && len(op.IDs) > 0 {
		c.harm(op.IDs[0].ID)
	}
	answers := make([]ews.Answer, len(op.IDs))
	for i, id := range op.IDs {
		answers[i] = c.getOne(i, id.ID, p)
	}
	return answers, nil
}

// harm does to the first item of a request what the trouble at hand says.
func (c *call) harm(id string) {
	if c.trouble.Kind != Vanish {
		return
	}
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	if it, no := c.item(id); no == nil {
		it.remove()
	}
}

func (c *call) getOne(i int, id string, p *plan) ews.Answer {
	snapshot, no := c.ask(id, func(a *Asked) {
		if p.mime {
			a.MIME++
		}
		if p.text() {
			a.Body++
		}
	}, p.content())
	if no != nil {
		return c.failure(*no)
	}
	if i == 0 && c.trouble != nil {
		snapshot.damage = max(snapshot.damage, damageBy[c.trouble.Kind])
	}
	v := view{x: c.x, item: snapshot, restless: c.met(MimeDiffers)}
	shown, err := v.render(p)
	switch {
	case errors.Is(err, errDamaged) && snapshot.damage == DamagedAll:
		return c.failed("ErrorItemCorrupt", "The item is corrupt.")
	case errors.Is(err, errDamaged) && snapshot.damage == DamagedMIME:
		return c.failed("ErrorMimeContentConversionFailed", "The MIME content could not be created.")
	case errors.Is(err, errDamaged):
		return c.failed("ErrorContentConversionFailed", "Content conversion failed.")
	case err != nil:
		return c.failed("ErrorInternalServerError", err.Error())
	}
	return &ews.ItemsResult{Result: ews.Succeeded(), Items: []ews.Item{shown}}
}

// damageBy is what a trouble does to an item for one request.
var damageBy = map[Kind]Damage{Corrupt: DamagedAll, CorruptMIME: DamagedMIME, CorruptBody: DamagedBody}

// ask finds an item, writes down what of its content is asked for, and returns a
// snapshot of it.
func (c *call) ask(id string, count func(*Asked), content bool) (*Item, *ews.Result) {
	if !content { // the common case does not hold others up
		c.x.mu.RLock()
		defer c.x.mu.RUnlock()
		it, no := c.item(id)
		if no != nil {
			return nil, no
		}
		return new(*it), nil
	}
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	it, no := c.item(id)
	if no != nil {
		return nil, no
	}
	count(&it.asked)
	c.record.Content = append(c.record.Content, id)
	return new(*it), nil
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/getattachment-operation
func (c *call) getAttachment(op *ews.GetAttachment) []ews.Answer {
	answers := make([]ews.Answer, len(op.IDs))
	for i, id := range op.IDs {
		answers[i] = c.getOneAttachment(id, op.Shape)
	}
	return answers
}

func (c *call) getOneAttachment(id string, shape *ews.AttachmentShape) ews.Answer {
	entry, ok := parseID(id)
	if !ok {
		return c.failed("ErrorInvalidIdMalformed", "Id is malformed.")
	}
	if entry.kind != attachKind {
		return c.failed("ErrorInvalidIdNotAnItemAttachmentId", "Id must be an item attachment Id.")
	}
	snapshot, no := c.ask(itemID(entry.box, entry.folder, entry.item), func(a *Asked) { a.Attachments++ }, true)
	if no != nil {
		return c.failure(*no)
	}
	if snapshot.damage == DamagedAll {
		return c.failed("ErrorCannotOpenFileAttachment", "The attachment cannot be opened.")
	}
	v := view{x: c.x, item: snapshot}
	if err := v.open(&plan{mime: true}); err != nil {
		return c.failed("ErrorInternalServerError", err.Error())
	}
	parts := v.attachments()
	if entry.version != snapshot.version || int(entry.index) >= len(parts) {
		return c.failed("ErrorItemNotFound", "The specified object was not found in the store.")
	}
	part := parts[entry.index]
	shown := v.attachment(int(entry.index), part)
	v.withContent(&shown, part, shape)
	return &ews.AttachmentsResult{Result: ews.Succeeded(), Attachments: []ews.Attachment{shown}}
}
