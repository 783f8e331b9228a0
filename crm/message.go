package crm

import (
	"time"

	"postern/mail"
)

// Kind is a kind of data in a mailbox.
type Kind string

const (
	Email       Kind = "email"
	Event       Kind = "event"
	Task        Kind = "task"
	ContactKind Kind = "contact"
)

// Kinds are all that there are.
var Kinds = [...]Kind{Email, Event, Task, ContactKind}

// Title says a kind to people, in Exchange's own words.
func (k Kind) Title() string {
	switch k {
	case Email:
		return "Mail"
	case Event:
		return "Calendar"
	case Task:
		return "Tasks"
	case ContactKind:
		return "Contacts"
	}
	return string(k)
}

// Role says what a folder is for, in Exchange's distinguished names, whatever it is
// called in the user's language. Ordinary folders have none.
type Role string

const (
	NoRole       Role = ""
	Inbox        Role = "inbox"
	SentItems    Role = "sentitems"
	Drafts       Role = "drafts"
	Outbox       Role = "outbox"
	DeletedItems Role = "deleteditems"
	JunkEmail    Role = "junkemail"
	Root         Role = "msgfolderroot"
)

// A Folder is one folder of a mailbox as the source tells it.
type Folder struct {
	ID     string // the source's id, opaque and case-sensitive
	Parent string // id of the parent; "" or an unlisted id at the top
	Name   string // as shown to the user; never decides anything
	Role   Role
	Kind   Kind
	Total  int    // items in it, as the server counts; -1 when unknown
	Mark   string // changes whenever an item came, changed or went; "" when the server does not tell
}

// Part is the part that an address plays in a message.
type Part string

const (
	From    Part = "from"
	Sender  Part = "sender" // who really sent it, when another than From
	To      Part = "to"
	Cc      Part = "cc"
	Bcc     Part = "bcc" // known from the sender's copy only
	ReplyTo Part = "reply-to"
)

// A Participant is one address of a message.
type Participant struct {
	Part    Part
	Name    string       // display name, decoded; says nothing about who it is
	Address mail.Address // for comparison; "" when no address could be read
	Raw     string       // as the source gave it, when it differs from Address
}

// Sensitivity as the sender marked it.
type Sensitivity string

const (
	Normal       Sensitivity = ""
	Personal     Sensitivity = "personal"
	Private      Sensitivity = "private"
	Confidential Sensitivity = "confidential"
)

// An Envelope is what is known of a message before its text is read.
type Envelope struct {
	Kind        Kind
	Class       string    // item class of the source: IPM.Note, REPORT.IPM.Note.NDR, …
	MessageID   string    // normalised by mail.MessageID; "" when there is no usable one
	References  []string  // normalised Message-IDs, In-Reply-To last
	Thread      string    // the source's own conversation id, "" if none
	Sent        time.Time // zero when unknown
	Received    time.Time // zero when unknown
	Subject     string
	People      []Participant
	Sensitivity Sensitivity
	Categories  []string // that the owner of the mailbox gave it
	Draft       bool
}

// When is the time that a message is listed under: sent, else received.
func (e *Envelope) When() time.Time {
	if !e.Sent.IsZero() {
		return e.Sent
	}
	return e.Received
}

// A Header is one copy of a message in a mailbox, before its body is fetched.
type Header struct {
	ID      string // the source's item id in this mailbox, opaque and case-sensitive
	Version string // change key
	Folder  string // the source's id of the folder that it lies in
	Size    int64  // bytes, as the server counts; 0 when unknown
	Read    bool
	Envelope
	Fault *Fault // set when this item's header could not be had; then only ID is sure
}

// An Attachment as listed with a message.
type Attachment struct {
	ID        string // the source's id; it lives no longer than the item's version
	Name      string // as sent: may be empty, repeated, hostile; never a path
	Type      string // MIME type as sent, "" when unknown
	ContentID string
	Inline    bool
	Size      int64  // approximate, as the server counts
	Content   []byte // set when the source had to fetch it along (MIME as the last rung); else nil
	Note      string // why there are no bytes: "link to a cloud file", "refused by the virus scanner"; "" if there are
}

// An Enclosure is an attachment to be fetched, with the header of its message, by which it
// is granted.
type Enclosure struct {
	Attachment
	Header Header
}

// A Body is the text of a message. HTML is kept as it came and made safe each time it
// is shown (mail.SafeHTML).
type Body struct {
	HTML        string
	Text        string // plain text as sent, or made from HTML by mail.Text
	Attachments []Attachment
	Encrypted   bool // S/MIME or rights-protected: the text is not readable
}

// An Item is a message as fetched. When Fault is set, all or a part of the body could not
// be had and the item must be tried again; the header is still good.
type Item struct {
	Header
	Body
	Missing Missing // with Fault: what of the body could not be had
}

// Missing is what of a message could not be had on the last rung of the ladder, or was not
// to be had.
type Missing string

const (
	NothingMissing Missing = ""
	TextMissing    Missing = "text" // the list of attachments is there
	BodyMissing    Missing = "body" // neither text nor attachments: the header alone
	// BodyWithheld: the header alone, because the policy has no text fetched. Nothing is
	// owed, and there is no Fault.
	BodyWithheld Missing = "withheld"
)

// A Page is one step of a folder's changes, oldest knowledge first.
type Page struct {
	Headers []Header        // new and changed items
	Gone    []string        // ids that left the folder; unknown ids are to be ignored
	Read    map[string]bool // only the read state changed
	Next    Cursor          // to be saved together with this page's decisions
	More    bool            // another page can be asked for at once
}

// A Cursor is where a source left off in a folder: opaque, of any length, "" = the start.
type Cursor string

// InScope tells which of a mailbox' folders are collected: folders of mail, but not
// junk, deleted mail, drafts, the outbox, nor what lies beneath them. It goes by roles
// and kinds, never by names.
func InScope(folders []Folder) []bool {
	byID := make(map[string]int, len(folders))
	for i := range folders {
		byID[folders[i].ID] = i
	}
	scope := make([]bool, len(folders))
	for i := range folders {
		scope[i] = folders[i].Kind == Email && !aside(folders, byID, i)
	}
	return scope
}

// aside tells whether the folder or one above it is set aside. The steps are counted, as
// a damaged mailbox may hold a ring of folders.
func aside(folders []Folder, byID map[string]int, i int) bool {
	for range folders {
		switch folders[i].Role {
		case Drafts, Outbox, DeletedItems, JunkEmail:
			return true
		}
		parent, ok := byID[folders[i].Parent]
		if !ok {
			return false
		}
		i = parent
	}
	return false
}

// Paths says where each folder stands: the names from the top, joined by "/". The root
// of a mailbox, which people do not see, is left out.
func Paths(folders []Folder) []string {
	byID := make(map[string]int, len(folders))
	for i := range folders {
		byID[folders[i].ID] = i
	}
	paths := make([]string, len(folders))
	for i := range folders {
		paths[i] = folders[i].Name
		at := i
		for range folders { // counted, as in aside
			parent, ok := byID[folders[at].Parent]
			if !ok || folders[parent].Role == Root {
				break
			}
			at = parent
			paths[i] = folders[at].Name + "/" + paths[i]
		}
	}
	return paths
}
