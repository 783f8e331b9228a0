package crm

import (
	"context"
	"io"
	"time"

	"postern/mail"
)

// A Mailbox is one mailbox that we read, and how that goes.
type Mailbox struct {
	ID         MailboxID
	Org        OrgID
	Connection ConnectionID
	User       UserID
	Address    mail.Address
	State      MailboxState
	Since      time.Time // when State began
	Checked    time.Time // last complete pass; zero = never
	Due        time.Time // next pass
	Trouble    *Fault    // why State is Waiting or Attention (Err is nil)
	Tries      int       // passes in a row that ended in trouble
	Facts                // what the source last told of it
	Bell       int64     // counts the requests to look now; kept by the store, which tells by it that one came during a pass
}

// Facts are what a source learns of a mailbox in passing.
type Facts struct {
	Server  string       // the server that it lives on; "" when not told
	Primary mail.Address // its primary address, when that is another than the one we know; else ""
}

// MailboxState is where a mailbox stands.
type MailboxState string

const (
	Provisioned MailboxState = "provisioned" // known, not read yet
	Importing   MailboxState = "importing"   // first pass under way
	Live        MailboxState = "live"        // all listed, followed from there on
	Waiting     MailboxState = "waiting"     // trouble that passes by itself
	Attention   MailboxState = "attention"   // somebody must change something
	Off         MailboxState = "off"         // not in scope: collecting disabled, domain removed, user inactive
)

// A Source is a mail system, read on behalf of one organization. It is safe for
// concurrent use. All errors are Faults or wrap one; a bad item is a value
// (Header.Fault, Item.Fault), not an error.
type Source interface {
	// Folders lists all folders of the mailbox.
	Folders(ctx context.Context, box *Mailbox) ([]Folder, error)
	// Changes lists what changed in a folder since the cursor, headers only.
	// Fault{Resync} when the cursor is no longer known; the folder must then be listed
	// from "" and what does not come again is gone.
	Changes(ctx context.Context, box *Mailbox, f Folder, since Cursor) (*Page, error)
	// Headers fetches the headers of items known by id. What is not there any more is
	// left out.
	Headers(ctx context.Context, box *Mailbox, ids []string) ([]Header, error)
	// Load fetches the bodies of items whose headers are known and hands each to take
	// as it comes, in any order. What has vanished meanwhile is left out.
	Load(ctx context.Context, box *Mailbox, headers []Header, take func(*Item) error) error
	// Attachments fetches the contents of attachments of one mailbox, packing small ones
	// into one call, and hands each to take as it streams in: take must read r to its
	// end or return an error. fault is set instead of r when that attachment cannot be had.
	Attachments(ctx context.Context, box *Mailbox, list []Attachment, take func(i int, r io.Reader, fault *Fault) error) error
	// Original fetches the message as MIME, for "download original" only.
	Original(ctx context.Context, box *Mailbox, id string) (io.ReadCloser, error)
	// Facts returns what was learned of the mailbox from the answers so far.
	Facts(box *Mailbox) Facts
	// Items lists the ids of all items in a folder by another road than Changes, as
	// evidence for the completeness proof.
	Items(ctx context.Context, box *Mailbox, f Folder, take func(ids []string) error) error
}

// A Finding is one step of a connection test.
type Finding struct {
	Step   string // "Name and address", "TLS", "Log-on", …
	OK     bool
	Skip   bool // not reached because an earlier step failed
	Detail string
	Fault  *Fault // when not OK
	Took   time.Duration
}

// Settings of a connection, as the form of A1 has them.
type Settings struct {
	Enabled   bool
	Server    string // host name, or the whole URL of the endpoint
	Version   string // one of Connector.Versions
	Login     string
	Password  Secret
	Domains   []string  // A-labels, lower case
	UserAgent string    // sent with every request
	Gzip      bool      // ask for compressed answers
	RootCAs   string    // PEM of certificate authorities to trust besides the system's
	Saved     time.Time // when they were saved, kept by the store; saving them again makes a new try
}

// A Version of the server to choose from.
type Version struct{ Name, Title string }

// A Connector is what is known of an outside system before we connect.
type Connector struct {
	Name, Title string
	Versions    []Version // oldest first
	// Source opens a source with these settings, whose every request asks the traffic. It
	// does not touch the network.
	Source func(Settings, Traffic) (Source, error)
	// Check tries the settings step by step on these mailboxes and tells each step as it
	// ends. It ends early when a step fails that the rest builds on.
	Check func(ctx context.Context, s Settings, boxes []mail.Address, tell func(Finding))
}

// A Secret is kept out of logs, errors and pages: every way of printing it shows
// "[redacted]". Reveal gives the text to the one place that needs it.
type Secret struct{ text string }

// NewSecret wraps a secret text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text.
func (s Secret) Reveal() string { return s.text }

// Empty tells whether there is no text.
func (s Secret) Empty() bool { return s.text == "" }

func (Secret) String() string               { return "[redacted]" }
func (Secret) GoString() string             { return "[redacted]" }
func (Secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }
