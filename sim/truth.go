package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"postern/ews"
	"postern/mail"
)

// A Copy is one item as it stands in a mailbox. Times are nanoseconds since 1970.
type Copy struct {
	Mailbox   mail.Address `json:"mailbox"`    // primary address now
	MailboxID string       `json:"mailbox_id"` // another one when the mailbox was created anew
	Item      string       `json:"item"`       // id as clients see it: case-sensitive, new after a move

	Folder      string `json:"folder"`      // id as clients see it
	FolderPath  string `json:"folder_path"` // names below the top of what people see, joined by "/"
	FolderRole  Role   `json:"folder_role,omitempty"`
	FolderClass string `json:"folder_class,omitempty"` // "IPF.Note" holds mail
	Above       []Role `json:"above,omitempty"`        // roles of the folders that this one lies in, the nearest first

	MessageID   string         `json:"message_id,omitempty"` // the field as it stands in the letter, with its brackets
	Subject     string         `json:"subject,omitempty"`
	From        []mail.Address `json:"from,omitempty"` // addresses are normalised: lower case, domains as A-labels
	Sender      []mail.Address `json:"sender,omitempty"`
	To          []mail.Address `json:"to,omitempty"`
	Cc          []mail.Address `json:"cc,omitempty"`
	Bcc         []mail.Address `json:"bcc,omitempty"` // only where this copy shows it: in the sender's
	Class       string         `json:"class"`
	Sensitivity string         `json:"sensitivity,omitempty"` // personal, private, confidential; else not there
	Categories  []string       `json:"categories,omitempty"`
	Size        int64          `json:"size"` // bytes, as clients are told
	Draft       bool           `json:"draft,omitempty"`
	Read        bool           `json:"read"`
	Sent        int64          `json:"sent,omitempty"`
	Received    int64          `json:"received,omitempty"`
	Delivered   int64          `json:"delivered"` // when it was first laid into this mailbox
	Damage      string         `json:"damage,omitempty"`
	Ghost       bool           `json:"ghost,omitempty"`
}

// Kinds of history. A folder or a mailbox as a whole has only the fields of a Copy that
// say which one it is.
const (
	Arrived        = "arrived" // a new item, also by copying: then with WasItem
	Changed        = "changed" // its content
	ReadMarked     = "read"    // its read flag, either way
	Moved          = "moved"   // it has a new id
	Gone           = "deleted"
	FolderCreated  = "folder-created"
	FolderDeleted  = "folder-deleted" // after what was in it
	MailboxCreated = "mailbox-created"
	MailboxDeleted = "mailbox-deleted" // what was in it is not told of one by one
	MailboxRenamed = "mailbox-renamed" // WasMailbox is an alias from now on
)

// An Event is one line of the history.
type Event struct {
	Seq  int64  `json:"seq"` // counts from 1, without gaps
	At   int64  `json:"at"`
	Kind string `json:"kind"`
	Copy
	WasItem    string       `json:"was_item,omitempty"`
	WasFolder  string       `json:"was_folder,omitempty"`
	WasMailbox mail.Address `json:"was_mailbox,omitempty"`
}

// A history writes down what happens in the mailboxes, line by line.
type history struct {
	mu      sync.Mutex
	w       io.Writer // nil: nothing is written down
	seq     int64
	written int64
	err     error
}

// note writes one event down. The first error ends the history and is told by Close.
func (h *history) note(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return
	}
	h.seq++
	e.Seq = h.seq
	line, err := json.Marshal(e)
	if err == nil {
		var n int
		n, err = h.w.Write(append(line, '\n'))
		h.written += int64(n)
	}
	if err != nil {
		h.err = fmt.Errorf("write the history: %w", err)
	}
}

// History copies all lines of the history so far. Options.Journal must be an io.ReaderAt,
// as a file is, that was empty at first.
func (x *Exchange) History(w io.Writer) error {
	r, ok := x.history.w.(io.ReaderAt)
	if !ok {
		return errors.New("no history is kept that could be read")
	}
	x.history.mu.Lock()
	n, err := x.history.written, x.history.err
	x.history.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = io.Copy(w, io.NewSectionReader(r, 0, n))
	return err
}

// Truth lists every item that is there, mailbox by mailbox, as it stands now. It reads
// each letter's header and holds nothing up for longer than one mailbox takes.
func (x *Exchange) Truth(take func(Copy) error) error {
	for _, box := range x.Mailboxes() {
		for _, c := range box.standing() {
			if err := take(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// standing is what the mailbox holds; nothing once it is deleted.
func (m *Mailbox) standing() []Copy {
	m.x.mu.RLock()
	defer m.x.mu.RUnlock()
	var all []Copy
	for _, f := range m.order {
		if f.gone || m.deleted {
			continue
		}
		for _, it := range f.list() {
			all = append(all, it.truth())
		}
	}
	return all
}

// truth is the item as it stands. The caller holds the lock.
func (it *Item) truth() Copy {
	c := it.folder.truth()
	c.Item = it.id()
	c.Class, c.Draft, c.Read, c.Ghost = it.letter.class, it.draft, it.read, it.ghost
	c.Sent, c.Received, c.Delivered = nanos(it.letter.sent), nanos(it.letter.received), nanos(it.added)
	c.Damage, c.Size = [...]string{"", "mime", "body", "all"}[it.damage], it.letter.at.len
	if it.edits != nil {
		c.Categories = it.edits.categories
	}
	v := view{x: it.box.x, item: it}
	if v.openHeader() != nil {
		return c // only after Close
	}
	h := v.header
	c.MessageID, c.Subject, c.Sensitivity = h.Get("Message-ID"), v.subject(), h.Sensitivity()
	c.From, c.Sender, c.To, c.Cc = addressesOf(h.From()), addressesOf(h.Sender()), addressesOf(h.To()), addressesOf(h.Cc())
	if it.own {
		c.Bcc = addressesOf(h.Bcc())
	}
	return c
}

// truth says which folder it is.
func (f *Folder) truth() Copy {
	c := f.box.truth()
	c.Folder, c.FolderRole, c.FolderClass, c.FolderPath = f.ID(), f.role, f.class, f.name
	for p := f.parent; p != nil; p = p.parent {
		if p.role != NoRole {
			c.Above = append(c.Above, p.role)
		}
		if p.role != MessageRoot && p.role != Root {
			c.FolderPath = p.name + "/" + c.FolderPath
		}
	}
	return c
}

func (m *Mailbox) truth() Copy { return Copy{Mailbox: m.address, MailboxID: m.guid.String()} }

func addressesOf(list []mail.Named) []mail.Address {
	var all []mail.Address
	for _, n := range list {
		if n.Address != "" && !slices.Contains(all, n.Address) {
			all = append(all, n.Address)
		}
	}
	return all
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// tell tells the subscribers and the history what became of an item. The caller holds the
// lock, and the item stands already as it will be seen.
func (it *Item) tell(kind string, was place) {
	it.notify(kind, was)
	x := it.box.x
	if x.history.w != nil {
		e := Event{At: nanos(x.now()), Kind: kind, Copy: it.truth()}
		if was.folder != nil {
			e.WasItem, e.WasFolder = was.id(), was.folder.ID()
		}
		x.history.note(e)
	}
}

// tell tells the subscribers and the history what became of a folder.
func (f *Folder) tell(kind string) {
	f.notify(map[string]ews.EventKind{FolderCreated: ews.CreatedEvent, FolderDeleted: ews.DeletedEvent}[kind])
	if x := f.box.x; x.history.w != nil {
		x.history.note(Event{At: nanos(x.now()), Kind: kind, Copy: f.truth()})
	}
}

// tell tells the history what became of a mailbox.
func (m *Mailbox) tell(kind string, was mail.Address) {
	if x := m.x; x.history.w != nil {
		x.history.note(Event{At: nanos(x.now()), Kind: kind, Copy: m.truth(), WasMailbox: was})
	}
}

// A place is where an item was: its id hangs on it.
type place struct {
	folder *Folder
	n      uint64
}

func (it *Item) place() place { return place{it.folder, it.n} }

func (p place) id() string { return itemID(p.folder.box.guid, p.folder.n, p.n) }
