package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"time"

	"postern/ews"
	"postern/mail"
)

// An Item is one copy of a letter in a mailbox. The value stays the same when the item
// moves, while its id on the wire does not.
type Item struct {
	box       *Mailbox
	letter    letter
	searchKey [16]byte // stays on move and copy
	own       bool     // the copy of the sender, or a draft: Bcc is shown
	mail      bool     // it was delivered

	folder  *Folder
	n       uint64 // number in the mailbox; new after a move
	uid     uint32 // number in the folder, as IMAP counts
	created uint64 // change number of its coming into the folder
	changed uint64 // of its last change
	content uint64 // of its last change but for the read flag
	version uint32 // of what attachment ids hang on
	gone    bool

	added    time.Time
	modified time.Time
	read     bool
	draft    bool
	edits    *edits

	damage Damage
	ghost  bool
	asked  Asked
}

// edits are what UpdateItem laid over the letter.
type edits struct {
	subject    *string
	body       *ews.Body
	categories []string
	importance string
	extended   map[string]ews.ExtendedProperty // by propertyKey
}

// Damage is what of an item the server cannot read any more.
type Damage int

const (
	Intact      Damage = iota
	DamagedMIME        // the MIME cannot be made; the properties can be had
	DamagedBody        // neither body nor MIME; header and attachments can be had
	DamagedAll         // nothing but the id
)

// ID is the item's id on the wire: it changes with a move.
func (it *Item) ID() string {
	it.box.x.mu.RLock()
	defer it.box.x.mu.RUnlock()
	return it.id()
}

// Mailbox is the mailbox that holds the item.
func (it *Item) Mailbox() *Mailbox { return it.box }

// Folder is the folder that holds the item, nil once it is deleted.
func (it *Item) Folder() *Folder {
	it.box.x.mu.RLock()
	defer it.box.x.mu.RUnlock()
	if it.gone {
		return nil
	}
	return it.folder
}

// Move puts the item into another folder of its mailbox.
func (it *Item) Move(to *Folder) {
	it.box.x.mu.Lock()
	defer it.box.x.mu.Unlock()
	it.move(to)
}

// Copy puts a copy into a folder of the same mailbox; it has the same search key.
func (it *Item) Copy(to *Folder) *Item {
	it.box.x.mu.Lock()
	defer it.box.x.mu.Unlock()
	return it.copy(to)
}

// Delete removes the item for good.
func (it *Item) Delete() {
	it.box.x.mu.Lock()
	defer it.box.x.mu.Unlock()
	it.remove()
}

// MarkRead sets the read flag; that alone changes no content.
func (it *Item) MarkRead(read bool) {
	it.box.x.mu.Lock()
	defer it.box.x.mu.Unlock()
	it.markRead(read)
}

// SetSubject changes the item's content: its id stays, its change key and the ids of its
// attachments do not.
func (it *Item) SetSubject(subject string) {
	it.box.x.mu.Lock()
	defer it.box.x.mu.Unlock()
	it.edit().subject = &subject
	it.contentChanged()
}

// Categorize gives the item its categories, as its reader does in Outlook.
func (it *Item) Categorize(categories ...string) {
	it.box.x.mu.Lock()
	defer it.box.x.mu.Unlock()
	it.edit().categories = categories
	it.contentChanged()
}

// Damage makes the server unable to read parts of the item.
func (it *Item) Damage(d Damage) {
	it.box.x.mu.Lock()
	defer it.box.x.mu.Unlock()
	it.damage = d
}

// Haunt makes the item a ghost: it is listed, but whoever asks for it is told that it
// does not exist.
func (it *Item) Haunt(ghost bool) {
	it.box.x.mu.Lock()
	defer it.box.x.mu.Unlock()
	it.ghost = ghost
}

func (it *Item) id() string { return itemID(it.box.guid, it.folder.n, it.n) }

func (it *Item) changeKey() string { return changeKey(it.box.guid, "\x09", it.changed) }

// An arrival is how a letter is laid into a folder.
type arrival struct {
	own   bool // the copy of the sender, or a draft
	draft bool
	read  bool
	mail  bool // it was delivered
}

// put lays a letter into the folder as a new item.
func (f *Folder) put(l letter, how arrival) *Item {
	it := &Item{box: f.box, letter: l, own: how.own, added: f.box.x.now(), draft: how.draft, read: how.read, mail: how.mail}
	it.enter(f)
	digest := sha256.New()
	digest.Write(f.box.guid[:])
	digest.Write(binary.BigEndian.AppendUint64(nil, it.n))
	copy(it.searchKey[:], digest.Sum(nil))
	it.tell(Arrived, place{})
	return it
}

// enter gives the item a place at the end of a folder.
func (it *Item) enter(f *Folder) {
	m := it.box
	m.objects++
	m.seq++
	f.lastUID++
	it.folder, it.n, it.uid = f, m.objects, f.lastUID
	it.created, it.changed, it.content = m.seq, m.seq, m.seq
	it.modified = m.x.now()
	it.version++
	it.gone = false
	m.items[it.n] = it
	f.live++
	if !it.read {
		f.unread++
	}
	f.slots = append(f.slots, slot{it.created, it})
	f.touch(change{seq: m.seq, n: it.n, created: it.created, item: it})
}

// leave takes the item out of its folder and leaves a tombstone there.
func (it *Item) leave() {
	if it.gone {
		return
	}
	m, f := it.box, it.folder
	m.seq++
	it.gone = true
	delete(m.items, it.n)
	f.live--
	f.deletes++
	if !it.read {
		f.unread--
	}
	f.touch(change{seq: m.seq, n: it.n, created: it.created})
}

// remove deletes the item for good.
func (it *Item) remove() {
	if it.gone {
		return
	}
	it.leave()
	it.tell(Gone, place{})
}

func (it *Item) move(to *Folder) {
	was := it.place()
	it.leave()
	it.enter(to)
	it.tell(Moved, was)
}

func (it *Item) copy(to *Folder) *Item {
	double := *it
	double.enter(to)
	double.tell(Arrived, it.place())
	return &double
}

func (it *Item) markRead(read bool) {
	if it.gone || it.read == read {
		return
	}
	it.read = read
	if read {
		it.folder.unread--
	} else {
		it.folder.unread++
	}
	it.box.seq++
	it.changed = it.box.seq
	it.modified = it.box.x.now()
	it.folder.touch(change{seq: it.changed, n: it.n, created: it.created, item: it})
	it.tell(ReadMarked, place{})
}

// edit returns the item's edits to be changed. They are a fresh copy each time: copies of
// the item, and answers being written, keep what they have.
func (it *Item) edit() *edits {
	fresh := edits{extended: map[string]ews.ExtendedProperty{}}
	if it.edits != nil {
		fresh = *it.edits
		fresh.extended = maps.Clone(fresh.extended)
	}
	it.edits = &fresh
	return it.edits
}

// contentChanged writes down that more than the read flag changed.
func (it *Item) contentChanged() {
	if it.gone {
		return
	}
	it.box.seq++
	it.changed, it.content = it.box.seq, it.box.seq
	it.version++
	it.modified = it.box.x.now()
	it.folder.touch(change{seq: it.changed, n: it.n, created: it.created, item: it})
	it.tell(Changed, place{})
}

// usual is how letters come into a folder of this role.
func (f *Folder) usual() arrival {
	own := f.role == SentItems || f.role == Drafts
	return arrival{own: own, draft: f.role == Drafts, read: own}
}

// Put lays a raw letter into a folder of a mailbox, whoever it names.
func (f *Folder) Put(raw []byte) (*Item, error) {
	l, _, err := f.box.x.newLetter(raw)
	if err != nil {
		return nil, err
	}
	f.box.x.mu.Lock()
	defer f.box.x.mu.Unlock()
	return f.put(l, f.usual()), nil
}

// Deliver sends a raw letter: it is laid into the Sent Items of its sender and into the
// Inbox of each recipient who has a mailbox, once each. A Bcc is seen in the sender's
// copy only. The items come back, sender's first.
func (x *Exchange) Deliver(raw []byte) ([]*Item, error) {
	l, people, err := x.newLetter(raw)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.lay(l, people), nil
}

// lay puts copies of a letter into the mailboxes of the people whom it names.
func (x *Exchange) lay(l letter, people envelope) []*Item {
	var items []*Item
	defer func() { x.deliveries += int64(len(items)) }()
	seen := map[*Mailbox]bool{}
	for _, p := range people.senders {
		if box := x.byAddress[p.Address]; box != nil {
			items = append(items, box.roles[SentItems].put(l, box.roles[SentItems].usual()))
			break // From and Sender are one sending
		}
	}
	for _, p := range people.recipients {
		if box := x.byAddress[p.Address]; box != nil && !seen[box] {
			seen[box] = true
			items = append(items, box.roles[Inbox].put(l, arrival{mail: true}))
		}
	}
	return items
}

// addresses are all whom an envelope names.
func (e envelope) addresses(yield func(mail.Address) bool) {
	for _, list := range [][]Person{e.senders, e.recipients} {
		for _, p := range list {
			if p.Address != "" && !yield(p.Address) {
				return
			}
		}
	}
}
