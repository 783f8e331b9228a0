package crm

import (
	"slices"
	"time"

	"postern/mail"
)

// A Policy is what an organization lets Postern touch, and what of it is filed. It is kept
// in versions; the newest holds. What it does not allow is not asked of Exchange.
type Policy struct {
	Version int64     // kept by the store; 0 = never saved
	Saved   time.Time // kept by the store
	By      string    // who saved it; kept by the store

	Domains []string   // whose mailboxes may be read, A-labels; a sub-domain is another domain. At least one
	Allow   []Selector // mailboxes; none = all of the domains
	Deny    []Selector // mailboxes; wins over Allow
	Kinds   []Kind     // of data, none = nothing is read
	Limits
	// Locked names limits that users may not tighten for themselves, by their JSON names.
	Locked []string
}

// Limits are what of an allowed mailbox is left alone. The organization sets them; a user
// may tighten them for the own mailbox, never widen.
type Limits struct {
	ExcludedFolders []string       // paths with wildcards, as "Private/*"; with all below
	Since           time.Time      // nothing older; zero = no limit
	MaxSize         int64          // bytes of an item; 0 = no limit
	Excluded        []Pattern      // who must not stand on a message that is filed
	FilePrivate     bool           // file also what its sender marked private or confidential
	Sensitivities   []Sensitivity  // further markings that keep a message out
	Categories      []string       // of Outlook, that keep a message out; case does not matter
	Bodies          bool           // fetch texts; without, only the header of what matches is filed
	Attachments     AttachmentMode // what is kept of attachments
	AttachmentLimit int64          // bytes of one attachment; 0 = 25 MiB
}

// A Selector picks mailboxes: an address, a pattern such as *@sales.acme.example or
// crm-*@acme.example, or group:ADDRESS for the members of a group in Exchange.
type Selector string

// A Pattern picks addresses: an address, a domain such as bank.example (which includes no
// sub-domain), or either with * for any run of characters.
type Pattern string

// Groups tells who belongs to the groups that selectors name.
type Groups map[mail.Address][]mail.Address

// AttachmentMode says what is kept of attachments.
type AttachmentMode string

const (
	StoreAttachments AttachmentMode = "store"     // fetched and stored, up to Limits.AttachmentLimit each
	NameAttachments  AttachmentMode = "names"     // names only
	FetchOnDemand    AttachmentMode = "on-demand" // fetched when somebody opens one
)

// AllowsMailbox returns nil when the mailbox may be read, else why not.
func (p *Policy) AllowsMailbox(a mail.Address, groups Groups) *Fault {
	if !slices.Contains(p.Domains, a.Domain()) {
		return &Fault{Verdict: Refused, Scope: MailboxScope, Code: "domain-not-allowed",
			Message: "The domain of this mailbox is not in the Domain List.", Advice: "Add the domain in the Email settings if its mailboxes are to be read."}
	}
	return nil
}

// AllowsKind tells whether a kind of data is read.
func (p *Policy) AllowsKind(k Kind) bool { return slices.Contains(p.Kinds, k) }

// Tighten returns what holds for a mailbox whose user has limits of the own.
func (p *Policy) Tighten(user Limits) Limits { return p.Limits }

// AllowsFolder tells whether a folder at a path may be read.
func (l *Limits) AllowsFolder(path string, f Folder) bool { return true }

// Refuses says why a message is not filed, whoever wrote it; "" when it may be.
func (l *Limits) Refuses(h *Header) (reason Reason, rule string) { return "", "" }
