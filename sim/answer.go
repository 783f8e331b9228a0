package sim

import (
	"strings"

	"postern/ews"
)

// answer carries the request out.
func (c *call) answer() ([]ews.Answer, *ews.SOAPFault) {
	if c.box == nil {
		switch c.request.Op.(type) {
		case *ews.ResolveNames, *ews.ExpandDL:
		default:
			return nil, fault("ErrorMissingEmailAddress", "The account has no mailbox: impersonate the owner of one.")
		}
	}
	var answers []ews.Answer
	var f *ews.SOAPFault
	switch op := c.request.Op.(type) {
	case *ews.GetFolder:
		answers = c.getFolder(op)
	case *ews.FindFolder:
		answers = c.findFolder(op)
	case *ews.CreateFolder:
		answers = c.createFolder(op)
	case *ews.SyncFolderHierarchy:
		answers = c.syncFolderHierarchy(op)
	case *ews.SyncFolderItems:
		answers, f = c.syncFolderItems(op)
	case *ews.FindItem:
		answers, f = c.findItem(op)
	case *ews.GetItem:
		answers, f = c.getItem(op)
	case *ews.GetAttachment:
		answers = c.getAttachment(op)
	case *ews.ResolveNames:
		answers = c.resolveNames(op)
	case *ews.ExpandDL:
		answers = c.expandDL(op)
	case *ews.ConvertID:
		answers = c.convertID(op)
	case *ews.CreateItem:
		answers = c.createItem(op)
	case *ews.UpdateItem:
		answers = c.updateItem(op)
	case *ews.MoveItem:
		answers = c.moveItem(op, false)
	case *ews.CopyItem:
		answers = c.moveItem(&op.MoveItem, true)
	case *ews.DeleteItem:
		answers = c.deleteItem(op)
	case *ews.Subscribe:
		answers, f = c.subscribe(op)
	case *ews.Unsubscribe:
		answers = c.unsubscribe(op)
	case *ews.GetEvents:
		answers = c.getEvents(op)
	default:
		// Not a fault: a client would take that for a matter of versions and try them all.
		answers = []ews.Answer{new(ews.Failed("ErrorInvalidOperation", "The operation "+op.Operation()+" is not available on this server."))}
	}
	if wrong := c.wrongEntry(); wrong != nil && len(answers) > 0 {
		answers[len(answers)-1] = c.failure(*wrong)
	}
	return answers, f
}

// parts is how many response messages the request asks for.
func (c *call) parts() int {
	switch op := c.request.Op.(type) {
	case *ews.GetFolder:
		return len(op.IDs)
	case *ews.FindFolder:
		return len(op.Parents)
	case *ews.CreateFolder:
		return len(op.Folders)
	case *ews.FindItem:
		return len(op.Parents)
	case *ews.GetItem:
		return len(op.IDs)
	case *ews.GetAttachment:
		return len(op.IDs)
	case *ews.ConvertID:
		return len(op.IDs)
	case *ews.CreateItem:
		return len(op.Items)
	case *ews.UpdateItem:
		return len(op.Changes)
	case *ews.MoveItem:
		return len(op.IDs)
	case *ews.CopyItem:
		return len(op.IDs)
	case *ews.DeleteItem:
		return len(op.IDs)
	}
	return 1
}

// failure is a response message that says no, in the form of the operation.
func (c *call) failure(r ews.Result) ews.Answer {
	if c.record.Code == "" {
		c.record.Code = r.Code
	}
	switch c.request.Op.(type) {
	case *ews.GetFolder, *ews.CreateFolder:
		return &ews.FoldersResult{Result: r, Folders: []ews.Folder{}}
	case *ews.FindFolder:
		return &ews.FindFolderResult{Result: r}
	case *ews.SyncFolderHierarchy:
		return &ews.SyncFolderHierarchyResult{Result: r, Last: true}
	case *ews.SyncFolderItems:
		return &ews.SyncFolderItemsResult{Result: r, Last: true}
	case *ews.FindItem:
		return &ews.FindItemResult{Result: r}
	case *ews.GetItem, *ews.CreateItem, *ews.UpdateItem, *ews.MoveItem, *ews.CopyItem:
		return &ews.ItemsResult{Result: r}
	case *ews.GetAttachment:
		return &ews.AttachmentsResult{Result: r}
	case *ews.ResolveNames:
		return &ews.ResolveNamesResult{Result: r}
	case *ews.ExpandDL:
		return &ews.ExpandDLResult{Result: r}
	case *ews.ConvertID:
		return &ews.ConvertIDResult{Result: r}
	case *ews.Subscribe:
		return &ews.SubscribeResult{Result: r}
	case *ews.GetEvents:
		return &ews.GetEventsResult{Result: r}
	case *ews.GetStreamingEvents:
		return &ews.GetStreamingEventsResult{Result: r, Status: ews.ConnectionClosed}
	}
	return &r
}

func (c *call) failed(code, text string) ews.Answer { return c.failure(ews.Failed(code, text)) }

// folder finds the folder that an id names. The caller holds the lock.
func (c *call) folder(id *ews.FolderID) (*Folder, *ews.Result) {
	no := func(code, text string) (*Folder, *ews.Result) { return nil, new(ews.Failed(code, text)) }
	if id.Distinguished != "" {
		box := c.self
		if id.Mailbox != nil && id.Mailbox.EmailAddress != "" {
			if box = c.x.resolve(id.Mailbox.EmailAddress); box == nil {
				return no("ErrorNonExistentMailbox", "The SMTP address has no mailbox associated with it.")
			}
		}
		switch {
		case box == nil:
			return no("ErrorMissingEmailAddress", "The account has no mailbox: impersonate the owner of one, or name one.")
		case !c.enters(box):
			return no("ErrorAccessDenied", "Access is denied. Check credentials and try again.")
		}
		if f := box.roles[Role(id.Distinguished)]; f != nil {
			return c.readable(f)
		}
		if strings.HasPrefix(id.Distinguished, "archive") && len(id.Distinguished) > len("archive") {
			return no("ErrorArchiveMailboxNotEnabled", "The archive mailbox is not enabled.")
		}
		return no("ErrorFolderNotFound", "The specified folder could not be found in the store.")
	}
	entry, ok := parseID(id.ID)
	box := c.x.byGUID[entry.box]
	switch {
	case !ok:
		return no("ErrorInvalidIdMalformed", "Id is malformed.")
	case entry.kind != folderKind:
		return no("ErrorCannotUseItemIdForFolderId", "Item Id cannot be used as a folder Id.")
	case box == nil || box.folders[entry.folder] == nil:
		return no("ErrorFolderNotFound", "The specified folder could not be found in the store.")
	}
	return c.readable(box.folders[entry.folder])
}

// item finds the item that an id names. The caller holds the lock.
func (c *call) item(id string) (*Item, *ews.Result) {
	entry, ok := parseID(id)
	switch {
	case !ok:
		return nil, new(ews.Failed("ErrorInvalidIdMalformed", "Id is malformed."))
	case entry.kind == folderKind:
		return nil, new(ews.Failed("ErrorCannotUseFolderIdForItemId", "Folder Id cannot be used as an item Id."))
	case entry.kind != itemKind:
		return nil, new(ews.Failed("ErrorInvalidIdMalformed", "Id is malformed."))
	}
	return c.entryItem(entry)
}

// entryItem finds the item that a parsed id names.
func (c *call) entryItem(entry entryID) (*Item, *ews.Result) {
	if box := c.x.byGUID[entry.box]; box != nil {
		it := box.items[entry.item]
		if it != nil && it.folder.n == entry.folder && !it.ghost && c.level(it.folder).least(Reviewer) {
			c.touch(it.folder)
			return it, nil
		}
	}
	return nil, new(ews.Failed("ErrorItemNotFound", "The specified object was not found in the store., The process failed to get the correct properties."))
}
