package sim

import (
	"fmt"
	"slices"
	"strings"

	"postern/ews"
	"postern/mail"
)

// A Level is what somebody else may do in a folder.
//
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/delegate-access-and-ews-in-exchange
type Level string

const (
	None          Level = "None"
	FolderVisible Level = "FolderVisible" // sees that it is there
	Reviewer      Level = "Reviewer"      // reads
	Editor        Level = "Editor"        // reads and writes
	FullAccess    Level = "FullAccess"    // what the owner may; of a whole mailbox
)

// levels are in the order of what they allow.
var levels = []Level{None, FolderVisible, Reviewer, Editor, FullAccess}

func (l Level) least(than Level) bool { return slices.Index(levels, l) >= slices.Index(levels, than) }

// Share lets somebody else into the mailbox without impersonation: into the folders
// named, or into all of it when none is. The delegate is an account's login or the
// address of its mailbox. What is said of one folder goes before what is said of all; None
// takes a right away.
//
// In a mailbox of which nothing is shared with them, others meet ErrorAccessDenied; in one
// of which something is, the rest is not there: ErrorFolderNotFound and ErrorItemNotFound.
// Who may read and writes meets ErrorAccessDenied.
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/handling-delegation-related-errors-in-ews-in-exchange
func (m *Mailbox) Share(delegate string, level Level, folders ...*Folder) error {
	m.x.mu.Lock()
	defer m.x.mu.Unlock()
	if !slices.Contains(levels, level) {
		return fmt.Errorf("there is no level %q of rights", level)
	}
	for _, f := range folders {
		if f == nil || f.box != m || f.gone {
			return fmt.Errorf("a folder that is to be shared is not in the mailbox of %s", m.address)
		}
	}
	if len(folders) == 0 {
		folders = []*Folder{nil}
	}
	delegate = strings.ToLower(delegate)
	if m.shares == nil {
		m.shares = map[string]map[*Folder]Level{}
	}
	rights := m.shares[delegate]
	if rights == nil {
		rights = map[*Folder]Level{}
		m.shares[delegate] = rights
	}
	for _, f := range folders {
		rights[f] = level
	}
	return nil
}

// sharedWith finds what a mailbox shares with the person for whom the request acts. The
// caller holds the lock.
func (c *call) sharedWith(m *Mailbox) map[*Folder]Level {
	if c.record.Impersonated == "" {
		if rights := m.shares[strings.ToLower(c.account.Login)]; rights != nil {
			return rights
		}
	}
	if c.self == nil {
		return nil
	}
	for name, rights := range m.shares {
		if c.x.byAddress[mail.Address(name)] == c.self {
			return rights
		}
	}
	return nil
}

// level is what the request may do in a folder. The caller holds the lock.
func (c *call) level(f *Folder) Level {
	if f.box == c.self {
		return FullAccess
	}
	rights := c.sharedWith(f.box)
	if level, named := rights[f]; named {
		return level
	}
	if level, all := rights[nil]; all {
		return level
	}
	return None
}

// enters tells whether anything of a mailbox may be seen. The caller holds the lock.
func (c *call) enters(m *Mailbox) bool {
	if m == c.self {
		return true
	}
	for _, level := range c.sharedWith(m) {
		if level != None {
			return true
		}
	}
	return false
}

// readable returns the folder if it may be seen. The caller holds the lock.
func (c *call) readable(f *Folder) (*Folder, *ews.Result) {
	if !c.level(f).least(FolderVisible) {
		return nil, new(ews.Failed("ErrorFolderNotFound", "The specified folder could not be found in the store."))
	}
	c.touch(f)
	return f, nil
}

// reads refuses what may be seen only. The caller holds the lock.
func (c *call) reads(f *Folder) *ews.Result { return c.atLeast(Reviewer, f) }

// writes refuses what may be read only. The caller holds the lock.
func (c *call) writes(f *Folder) *ews.Result {
	return c.atLeast(Editor, f)
}

func (c *call) atLeast(level Level, f *Folder) *ews.Result {
	if c.level(f).least(level) {
		return nil
	}
	return new(ews.Failed("ErrorAccessDenied", "Access is denied. Check credentials and try again."))
}

// about finds the mailbox that a request is about: the first other one whose folder, item
// or subscription it names, else that of the person for whom it acts. The caller holds the
// lock.
func (c *call) about() *Mailbox {
	folders, items, subscriptions := named(c.request.Op)
	for _, id := range folders {
		if id.Distinguished == "" {
			items = append(items, id.ID)
		} else if id.Mailbox != nil && id.Mailbox.EmailAddress != "" {
			if box := c.x.resolve(id.Mailbox.EmailAddress); box != nil {
				return box
			}
		}
	}
	for _, id := range items {
		if entry, ok := parseID(id); ok && c.x.byGUID[entry.box] != nil {
			return c.x.byGUID[entry.box]
		}
	}
	if c.record.Impersonated == "" && len(subscriptions) > 0 {
		b := &c.x.switchboard
		b.mu.Lock()
		defer b.mu.Unlock()
		if s := b.byID[subscriptions[0]]; s != nil && s.login == strings.ToLower(c.account.Login) {
			return s.box
		}
	}
	return c.self
}

// named lists the folders, items and subscriptions that a request names.
func named(op ews.Operation) (folders []ews.FolderID, items, subscriptions []string) {
	ids := func(list []ews.ItemID) (out []string) {
		for _, id := range list {
			out = append(out, id.ID)
		}
		return out
	}
	one := func(id *ews.FolderID) []ews.FolderID {
		if id == nil {
			return nil
		}
		return []ews.FolderID{*id}
	}
	switch op := op.(type) {
	case *ews.GetFolder:
		folders = op.IDs
	case *ews.FindFolder:
		folders = op.Parents
	case *ews.CreateFolder:
		folders = one(op.Parent)
	case *ews.SyncFolderHierarchy:
		folders = one(op.Folder)
	case *ews.SyncFolderItems:
		folders = one(op.Folder)
	case *ews.FindItem:
		folders = op.Parents
	case *ews.GetItem:
		items = ids(op.IDs)
	case *ews.GetAttachment:
		items = op.IDs
	case *ews.CreateItem:
		folders = one(op.Folder)
	case *ews.UpdateItem:
		for i := range op.Changes {
			items = append(items, op.Changes[i].ID.ID)
		}
	case *ews.MoveItem:
		items = ids(op.IDs)
	case *ews.CopyItem:
		items = ids(op.IDs)
	case *ews.DeleteItem:
		items = ids(op.IDs)
	case *ews.Subscribe:
		folders = op.Folders
	case *ews.Unsubscribe:
		subscriptions = []string{op.SubscriptionID}
	case *ews.GetEvents:
		subscriptions = []string{op.SubscriptionID}
	case *ews.GetStreamingEvents:
		subscriptions = op.SubscriptionIDs
	}
	return folders, items, subscriptions
}
