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
	// Headers fetches the headers of items known by id, which say in which folder each
	// lies. What is not there any more is left out.
	Headers(ctx context.Context, box *Mailbox, ids []string) ([]Header, error)
	// Load fetches the bodies of items whose headers are known and hands each to take
	// as it comes, in any order. What has vanished meanwhile is left out.
	Load(ctx context.Context, box *Mailbox, headers []Header, take func(*Item) error) error
	// Attachments fetches the contents of attachments of one mailbox, packing small ones
	// into one call, and hands each to take as it streams in: take must read r to its
	// end or return an error. fault is set instead of r when that attachment cannot be had.
	Attachments(ctx context.Context, box *Mailbox, list []Enclosure, take func(i int, r io.Reader, fault *Fault) error) error
	// Original fetches the message as MIME, for "download original" only.
	Original(ctx context.Context, box *Mailbox, id string) (io.ReadCloser, error)
	// Facts returns what was learned of the mailbox from the answers so far.
	Facts(box *Mailbox) Facts
	// Items lists the ids of all items in a folder by another road than Changes, as
	// evidence for the completeness proof.
	Items(ctx context.Context, box *Mailbox, f Folder, take func(ids []string) error) error
}

// A Finding is what one step of a connection test found. Its code is stable, as is that of
// its fault; each has a page of its own that says more.
type Finding struct {
	Code   string // of the step: "dns", "tls", "must-fail-mailbox", …
	Step   string // "Name and address", "TLS", "Log-on", …
	OK     bool
	Warn   bool // OK, but to be seen to
	Skip   bool // not reached because an earlier step failed, or not applicable; Detail says which
	Detail string
	Fault  *Fault   // when not OK, or Warn
	Fix    string   // commands to copy, for those whom it concerns; "" = none
	For    Audience // whom the finding concerns
	Took   time.Duration
}

// MustFail begins the codes of steps that try what the system itself must refuse.
const MustFail = "must-fail-"

// Stranger is the User-Agent under which a test asks where a filter must refuse it: one that
// no filter lets in by mistake.
const Stranger = "Postern-Stranger/1.0"

// State says a finding in a word: "skip", "warn", "ok" or "bad". What was tried and is as it
// must be is "ok" alone.
func (f *Finding) State() string {
	switch {
	case f.Skip:
		return "skip"
	case f.Warn:
		return "warn"
	case f.OK:
		return "ok"
	}
	return "bad"
}

// Audience says who can do something about a finding.
type Audience string

const (
	ForExchangeAdmin Audience = "exchange-admin"
	ForCRMAdmin      Audience = "crm-admin"
	ForOperator      Audience = "operator"
)

// Title names them to people.
func (a Audience) Title() string {
	switch a {
	case ForExchangeAdmin:
		return "For the Exchange administrator"
	case ForCRMAdmin:
		return "For the CRM administrator"
	case ForOperator:
		return "For the operator of Postern"
	}
	return string(a)
}

// AuthModel is how mailboxes are opened.
type AuthModel string

const (
	ByImpersonation AuthModel = ""         // service accounts that act as the owners
	ByDelegation    AuthModel = "delegate" // service accounts to which mailboxes or folders were opened
	ByOwnSignIn     AuthModel = "own"      // each user's own credentials, for the own mailbox alone
)

// Scheme pins the way to log on. Nothing weaker is ever answered.
type Scheme string

const (
	AnyScheme Scheme = "" // NTLM, else Basic over TLS
	NTLM      Scheme = "ntlm"
	Basic     Scheme = "basic"
	Kerberos  Scheme = "kerberos"
	ClientTLS Scheme = "certificate" // the client certificate is the log-on
)

// Settings of a connection, as the form of A1 has them.
type Settings struct {
	Enabled  bool
	Server   string // host name, or the whole URL of the endpoint
	Version  string // one of Connector.Versions
	Model    AuthModel
	Scheme   Scheme
	Login    string // of the service account
	Password Secret
	Keytab   Secret    // for Kerberos, in place of the password: the file in base64
	Others   []Account // more of them, over which the mailboxes are spread
	KDC      string    // for Kerberos: the realm and its key distribution centres, as a krb5.conf
	// ClientCertificate is shown where the server asks for one: PEM, and its key.
	ClientCertificate string
	ClientKey         Secret
	Domains           []string  // A-labels, lower case
	UserAgent         string    // sent with every request
	Gzip              bool      // ask for compressed answers
	RootCAs           string    // PEM of certificate authorities to trust besides the system's
	Saved             time.Time // when they were saved, kept by the store; saving them again makes a new try
}

// A Version of the server to choose from.
type Version struct{ Name, Title string }

// A Connector is what is known of an outside system before we connect.
type Connector struct {
	Name, Title string
	Versions    []Version // oldest first
	// Operations are all that a source, a test and a search of it ever send.
	Operations []Operation
	// Vet says what only the connector can tell to be wrong with settings that are whole
	// otherwise; nil = nothing ever is.
	Vet func(Settings) []FieldError
	// Source opens a source with these settings, whose every request goes by the transport.
	// It does not touch the network.
	Source func(Settings, Transport) (Source, error)
	// Check tries settings step by step and tells each step as it ends. It ends early when a
	// step fails that the rest builds on.
	Check func(ctx context.Context, t Trial, tell func(Finding))
	// Discover finds the server of a mailbox by what its domain publishes, and tells each
	// hop. No credentials go to a host that was not granted. With a Fault of the code
	// "autodiscover-confirm" server is the host that somebody is to confirm first.
	Discover func(ctx context.Context, box mail.Address, s Settings, t Transport, tell func(Finding)) (server string, err error)
	// Scripts are what an administrator of the system runs to let Postern in, to see what
	// that opens, and to undo it.
	Scripts func(Permit) []Script
	// ScriptVersions are those that there are scripts for, oldest first: Versions, and what
	// is not read from yet.
	ScriptVersions []Version
}

// A Trial is what a connection test is to try.
type Trial struct {
	Settings  Settings
	Transport Transport
	Boxes     []mail.Address // to be opened
	// InScope tells which of a mailbox' folders may be read; nil = those that Postern reads
	// as a rule.
	InScope func(box mail.Address, folders []Folder) []bool
	// Search reaches what the domain of the first mailbox publishes, to compare the server
	// with; nil = it is not compared, as with a domain that is not saved yet.
	Search Transport
	// Outside is a mailbox that the server itself must refuse, although it exists; "" = none
	// is known, and the test says so.
	Outside mail.Address
	// Stranger is the same transport under a User-Agent that no filter allows; nil = the
	// server has no filter, and is not tried by another name.
	Stranger Transport
}

// A Permit is what is to be permitted, for Scripts.
type Permit struct {
	Settings Settings
	Policy   Policy
	Group    string // name of the group in the directory that holds the mailboxes
	AppIDs   []string
}

// A Script is text to run at the server, or to read.
type Script struct {
	Name  string // stable: inventory, grant, verify, undo, …
	Title string
	Says  string // what it does, in a sentence
	Reads bool   // it changes nothing
	Text  string
}
