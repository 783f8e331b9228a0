package sim

import (
	"strings"
	"sync/atomic"
	"time"

	"postern/mail"
)

// A Role is what a folder is for, in Exchange's distinguished names.
type Role string

const (
	NoRole       Role = ""
	Root         Role = "root"
	MessageRoot  Role = "msgfolderroot"
	Inbox        Role = "inbox"
	SentItems    Role = "sentitems"
	Drafts       Role = "drafts"
	Outbox       Role = "outbox"
	DeletedItems Role = "deleteditems"
	JunkEmail    Role = "junkemail"
	Calendar     Role = "calendar"
	Contacts     Role = "contacts"
	Tasks        Role = "tasks"
	Notes        Role = "notes"
	Journal      Role = "journal"
)

// standardFolders are those that each new mailbox has, parents first.
var standardFolders = []struct {
	role   Role
	parent Role
	name   string
	class  string
}{
	{Root, NoRole, "Root", ""},
	{MessageRoot, Root, "Top of Information Store", "IPF.Note"},
	{Calendar, MessageRoot, "Calendar", "IPF.Appointment"},
	{Contacts, MessageRoot, "Contacts", "IPF.Contact"},
	{DeletedItems, MessageRoot, "Deleted Items", "IPF.Note"},
	{Drafts, MessageRoot, "Drafts", "IPF.Note"},
	{Inbox, MessageRoot, "Inbox", "IPF.Note"},
	{Journal, MessageRoot, "Journal", "IPF.Journal"},
	{JunkEmail, MessageRoot, "Junk Email", "IPF.Note"},
	{Notes, MessageRoot, "Notes", "IPF.StickyNote"},
	{Outbox, MessageRoot, "Outbox", "IPF.Note"},
	{SentItems, MessageRoot, "Sent Items", "IPF.Note"},
	{Tasks, MessageRoot, "Tasks", "IPF.Task"},
}

// A Mailbox belongs to one owner. All its methods may be called at any time.
type Mailbox struct {
	x          *Exchange
	guid       guid
	address    mail.Address
	name       string
	dn         string // legacy distinguished name
	generation uint64 // mailboxes that had the address before
	deleted    bool
	barred     string      // why requests are refused: a code, or "403"; "" = they are not
	moving     *time.Timer // ends the move that is under way
	server     int         // the back end that it lives on

	governance Governance
	shares     map[string]map[*Folder]Level // by who may, in lower case; of the whole mailbox under nil

	objects uint64 // folders and items made so far
	seq     uint64 // changes made so far
	epoch   uint64 // grows when sync states are lost
	order   []*Folder
	folders map[uint64]*Folder
	roles   map[Role]*Folder
	items   map[uint64]*Item

	open atomic.Int64 // requests under way

	subscriptions []*subscription // guarded by the switchboard as well
	subscribed    uint64          // how many there ever were
}

// Address is the owner's primary address.
func (m *Mailbox) Address() mail.Address {
	m.x.mu.RLock()
	defer m.x.mu.RUnlock()
	return m.address
}

// Name is the owner's display name.
func (m *Mailbox) Name() string { return m.name }

// LegacyDN is the owner's address in routing type EX.
func (m *Mailbox) LegacyDN() string { return m.dn }

// Folder returns the folder with a role.
func (m *Mailbox) Folder(role Role) *Folder {
	m.x.mu.RLock()
	defer m.x.mu.RUnlock()
	return m.roles[role]
}

// Folders returns all folders, parents first.
func (m *Mailbox) Folders() []*Folder {
	m.x.mu.RLock()
	defer m.x.mu.RUnlock()
	var list []*Folder
	for _, f := range m.order {
		if !f.gone {
			list = append(list, f)
		}
	}
	return list
}

// CreateFolder makes a mail folder under parent; two of the same name may exist.
func (m *Mailbox) CreateFolder(parent *Folder, name string) *Folder {
	m.x.mu.Lock()
	defer m.x.mu.Unlock()
	return m.createFolder(parent, name, "IPF.Note")
}

func (m *Mailbox) createFolder(parent *Folder, name, class string) *Folder {
	f := m.addFolder(parent, name, NoRole, class)
	f.tell(FolderCreated)
	return f
}

func (m *Mailbox) addStandardFolders(names map[Role]string) {
	for _, s := range standardFolders {
		name := s.name
		if names[s.role] != "" {
			name = names[s.role]
		}
		m.addFolder(m.roles[s.parent], name, s.role, s.class)
	}
}

func (m *Mailbox) addFolder(parent *Folder, name string, role Role, class string) *Folder {
	m.objects++
	m.seq++
	f := &Folder{box: m, n: m.objects, parent: parent, name: name, role: role, class: class, created: m.seq, changed: m.seq, committed: m.x.now()}
	m.order = append(m.order, f)
	m.folders[f.n] = f
	if role != NoRole {
		m.roles[role] = f
	}
	return f
}

// A Folder of a mailbox.
type Folder struct {
	box    *Mailbox
	n      uint64
	parent *Folder // nil for the root
	name   string
	role   Role
	class  string

	created, changed uint64 // change numbers of the folder itself
	gone             bool

	slots     []slot   // items in the order in which they came
	log       []change // what happened to them
	live      int      // items that are in it
	unread    int
	deletes   int // items that ever left it
	committed time.Time
	lastUID   uint32
}

// A slot is an item's place in the order of coming. It counts only while the item still
// has that place.
type slot struct {
	created uint64
	item    *Item
}

// A change is one entry of a folder's log. It counts only while it is the last change
// of its item in this folder; of a deleted item, item is nil.
type change struct {
	seq     uint64
	n       uint64 // the item's number then: it makes up its id
	created uint64
	item    *Item
}

// ID is the folder's id on the wire.
func (f *Folder) ID() string { return folderID(f.box.guid, f.n) }

// Name is the display name.
func (f *Folder) Name() string { return f.name }

// Role is what the folder is for; NoRole for ordinary ones.
func (f *Folder) Role() Role { return f.role }

// Items returns the items in the folder, oldest first.
func (f *Folder) Items() []*Item {
	f.box.x.mu.RLock()
	defer f.box.x.mu.RUnlock()
	return f.list()
}

// Delete removes the folder and all that is in it.
func (f *Folder) Delete() {
	f.box.x.mu.Lock()
	defer f.box.x.mu.Unlock()
	f.delete()
}

func (f *Folder) delete() {
	for _, child := range f.box.order {
		if child.parent == f && !child.gone {
			child.delete()
		}
	}
	for _, it := range f.list() {
		it.remove()
	}
	f.box.seq++
	f.gone, f.changed = true, f.box.seq
	delete(f.box.folders, f.n)
	if f.role != NoRole {
		delete(f.box.roles, f.role)
	}
	f.tell(FolderDeleted)
}

// under tells whether the folder lies somewhere below top.
func (f *Folder) under(top *Folder) bool {
	for p := f.parent; p != nil; p = p.parent {
		if p == top {
			return true
		}
	}
	return false
}

// children counts the folders directly under this one.
func (f *Folder) children() int {
	n := 0
	for _, child := range f.box.order {
		if child.parent == f && !child.gone {
			n++
		}
	}
	return n
}

// list returns the live items in the order of coming.
func (f *Folder) list() []*Item {
	items := make([]*Item, 0, f.live)
	for _, s := range f.slots {
		if s.holds(f) {
			items = append(items, s.item)
		}
	}
	return items
}

func (s slot) holds(f *Folder) bool {
	return s.item.folder == f && s.item.created == s.created && !s.item.gone
}

// touch writes down that an item changed; it keeps the slots free of too many left ones.
func (f *Folder) touch(c change) {
	f.log = append(f.log, c)
	f.committed = f.box.x.now()
	if len(f.slots) > 2*f.live+64 {
		kept := f.slots[:0]
		for _, s := range f.slots {
			if s.holds(f) {
				kept = append(kept, s)
			}
		}
		clear(f.slots[len(kept):])
		f.slots = kept
	}
}

// resolve finds the mailbox of an address as a client may give it: an SMTP address, a
// legacy DN, with or without the prefix "smtp:".
func (x *Exchange) resolve(address string) *Mailbox {
	address = strings.TrimSpace(address)
	if rest, ok := cutPrefixFold(address, "smtp:"); ok {
		address = rest
	}
	lower := strings.ToLower(address)
	if box := x.byDN[strings.TrimPrefix(lower, "ex:")]; box != nil {
		return box
	}
	return x.byAddress[mail.Address(lower)]
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
