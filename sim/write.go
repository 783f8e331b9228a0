package sim

import (
	"strconv"
	"time"

	"postern/ews"
)

// The operations that change mailboxes. Postern never sends them; the clients that judge
// this server do.

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/createitem-operation
func (c *call) createItem(op *ews.CreateItem) []ews.Answer {
	answers := make([]ews.Answer, len(op.Items))
	for i := range op.Items {
		answers[i] = c.createOne(op, &op.Items[i])
	}
	return answers
}

func (c *call) createOne(op *ews.CreateItem, wanted *ews.Item) ews.Answer {
	var raw []byte
	if wanted.Mime != nil {
		raw = wanted.Mime.Bytes
	} else {
		raw = rawFrom(wanted, Person{c.box.name, c.record.Mailbox}, c.x.now().UTC().Format(time.RFC1123Z))
	}
	l, people, err := c.x.newLetter(raw)
	if err != nil {
		return c.failed("ErrorInternalServerError", err.Error())
	}
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	if op.Disposition == "SendOnly" || op.Disposition == "SendAndSaveCopy" {
		people.senders = nil // the copy of the sender goes where the request says
		c.x.lay(l, people)
	}
	if op.Disposition == "SendOnly" {
		return &ews.ItemsResult{Result: ews.Succeeded()}
	}
	where := ews.FolderID{Distinguished: string(Drafts)}
	if op.Disposition == "SendAndSaveCopy" {
		where.Distinguished = string(SentItems)
	}
	if op.Folder != nil {
		where = *op.Folder
	}
	folder, no := c.folder(&where)
	if no == nil {
		no = c.writes(folder)
	}
	if no != nil {
		return c.failure(*no)
	}
	how := folder.usual()
	how.draft = op.Disposition != "SendAndSaveCopy" && (wanted.Mime == nil || how.draft)
	if flags, ok := ews.Property(wanted.Extended, tagFlags); ok {
		bits, _ := strconv.Atoi(flags)
		how.draft, how.read = bits&flagUnsent != 0, bits&flagRead != 0
	}
	if wanted.IsRead != nil {
		how.read = *wanted.IsRead
	}
	it := folder.put(l, how)
	for _, p := range wanted.Extended {
		if !p.Field.Is(tagFlags) {
			it.edit().extended[propertyKey(&p.Field)] = p
		}
	}
	if len(wanted.Categories) > 0 {
		it.edit().categories = wanted.Categories
	}
	return succeeded(it)
}

// succeeded answers with the id of an item. The caller holds the lock.
func succeeded(it *Item) *ews.ItemsResult {
	return &ews.ItemsResult{Result: ews.Succeeded(), Items: []ews.Item{{Element: element(it.letter.class), ID: ews.ItemID{ID: it.id(), ChangeKey: it.changeKey()}}}}
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/updateitem-operation
func (c *call) updateItem(op *ews.UpdateItem) []ews.Answer {
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	answers := make([]ews.Answer, len(op.Changes))
	for i := range op.Changes {
		answers[i] = c.updateOne(op, &op.Changes[i])
	}
	return answers
}

func (c *call) updateOne(op *ews.UpdateItem, change *ews.ItemChange) ews.Answer {
	it, no := c.writableItem(change.ID.ID)
	if no != nil {
		return c.failure(*no)
	}
	if op.Conflict != "AlwaysOverwrite" && change.ID.ChangeKey != "" && change.ID.ChangeKey != it.changeKey() {
		return c.failed("ErrorIrresolvableConflict", "The send or update operation could not be performed because the change key passed in the request does not match the current change key for the item.")
	}
	changed := false
	for i := range change.Updates {
		update := &change.Updates[i]
		if update.Path.FieldURI == "message:IsRead" {
			if update.Item.IsRead != nil {
				it.markRead(*update.Item.IsRead)
			}
			continue
		}
		if !it.set(update) {
			return c.failed("ErrorInvalidPropertySet", "Set action is invalid for property: "+update.Path.FieldURI)
		}
		changed = true
	}
	if changed {
		it.contentChanged()
	}
	answer := succeeded(it)
	answer.Conflicts = new(0)
	return answer
}

// writableItem finds an item that the request may change. The caller holds the lock.
func (c *call) writableItem(id string) (*Item, *ews.Result) {
	it, no := c.item(id)
	if no == nil {
		no = c.writes(it.folder)
	}
	return it, no
}

// set lays one change over the item; false when that property cannot be set.
func (it *Item) set(u *ews.FieldUpdate) bool {
	e := it.edit()
	drop := u.Element == ews.DeleteField
	switch u.Path.FieldURI {
	case "":
		key := propertyKey(&u.Path.Extended)
		if drop {
			delete(e.extended, key)
			return true
		}
		for _, p := range u.Item.Extended {
			if propertyKey(&p.Field) == key {
				e.extended[key] = p
				return true
			}
		}
		return false
	case "item:Subject":
		e.subject = new(u.Item.Subject)
	case "item:Body":
		e.body = u.Item.Body
		if drop || e.body == nil {
			e.body = &ews.Body{Type: "Text"}
		}
	case "item:Categories":
		e.categories = u.Item.Categories
	case "item:Importance":
		e.importance = u.Item.Importance
	default:
		return false
	}
	return true
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/moveitem-operation
// https://learn.microsoft.com/exchange/client-developer/web-service-reference/copyitem-operation
func (c *call) moveItem(op *ews.MoveItem, copying bool) []ews.Answer {
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	answers := make([]ews.Answer, len(op.IDs))
	for i, id := range op.IDs {
		answers[i] = c.moveOne(op, id.ID, copying)
	}
	return answers
}

func (c *call) moveOne(op *ews.MoveItem, id string, copying bool) ews.Answer {
	it, no := c.writableItem(id)
	if no != nil {
		return c.failure(*no)
	}
	if op.To == nil {
		return c.failed("ErrorMoveCopyFailed", "The target folder is missing.")
	}
	to, no := c.folder(op.To)
	if no == nil {
		no = c.writes(to)
	}
	if no != nil {
		return c.failure(*no)
	}
	if to.box != it.box {
		return c.failed("ErrorMoveCopyFailed", "Items cannot be moved to another mailbox.")
	}
	if copying {
		it = it.copy(to)
	} else {
		it.move(to)
	}
	if op.ReturnIDs != nil && !*op.ReturnIDs {
		return &ews.ItemsResult{Result: ews.Succeeded()}
	}
	return succeeded(it)
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/deleteitem-operation
func (c *call) deleteItem(op *ews.DeleteItem) []ews.Answer {
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	answers := make([]ews.Answer, len(op.IDs))
	for i, id := range op.IDs {
		it, no := c.writableItem(id.ID)
		switch {
		case no != nil:
			answers[i] = c.failure(*no)
			continue
		case op.Type == "MoveToDeletedItems":
			it.move(it.box.roles[DeletedItems])
		default:
			it.remove()
		}
		answers[i] = new(ews.Succeeded())
	}
	return answers
}
