package crm

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"postern/mail"
)

// A Policy is what an organization lets Postern touch, and what of it is filed. It is kept
// in versions; the newest holds. What it does not allow is not asked of Exchange.
//
// It has two layers. The organization's holds for everybody; a user may tighten the Limits
// of the own mailbox, but for those that are locked, and never widen them: Tighten is the
// one way to combine the two, and what it returns admits nothing that the organization's
// limits refuse.
//
// All of it is plain data, and evaluated without I/O: what the dry run of a change shows,
// what the gate lets pass and what is filed are answers of the same functions.
type Policy struct {
	Version int64     `json:"version,omitempty"` // kept by the store; 0 = never saved
	Saved   time.Time `json:"saved,omitzero"`    // kept by the store
	By      string    `json:"by,omitempty"`      // who saved it; kept by the store

	Domains []string   `json:"domains"`         // whose mailboxes may be read, A-labels; a sub-domain is another domain. At least one
	Allow   []Selector `json:"allow,omitempty"` // mailboxes; none = all of the domains
	Deny    []Selector `json:"deny,omitempty"`  // mailboxes; wins over Allow
	Kinds   []Kind     `json:"kinds"`           // of data, none = nothing is read
	Limits
	// Locked names limits that users may not tighten for themselves, by their JSON names.
	Locked []string `json:"locked,omitempty"`
}

// Limits are what of an allowed mailbox is left alone. The organization sets them; a user
// may tighten them for the own mailbox, never widen. The zero value limits nothing.
type Limits struct {
	ExcludedFolders []string       `json:"excluded_folders,omitempty"` // see AllowsFolder
	Since           time.Time      `json:"since,omitzero"`             // nothing older
	MaxSize         int64          `json:"max_size,omitempty"`         // bytes of an item; 0 = no limit
	Excluded        []Pattern      `json:"excluded,omitempty"`         // who must not stand on a message that is filed
	Sensitivities   []Sensitivity  `json:"sensitivities,omitempty"`    // markings by the sender that keep a message out
	Categories      []string       `json:"categories,omitempty"`       // of Outlook, that keep a message out; case does not matter
	HeadersOnly     bool           `json:"headers_only,omitempty"`     // no text is fetched: of what matches, the header alone is filed
	Attachments     AttachmentMode `json:"attachments,omitempty"`      // what is kept of attachments; "" = StoreAttachments
	AttachmentLimit int64          `json:"attachment_limit,omitempty"` // bytes of one attachment; 0 = DefaultAttachmentLimit
}

// AttachmentMode says what is kept of attachments.
type AttachmentMode string

const (
	StoreAttachments AttachmentMode = "store"     // fetched and stored, up to Limits.AttachmentLimit each
	FetchOnDemand    AttachmentMode = "on-demand" // fetched when somebody opens one
	NameAttachments  AttachmentMode = "names"     // names only
)

// DefaultAttachmentLimit is what Exchange itself lets through by default.
const DefaultAttachmentLimit = 25 << 20

// Groups tells who belongs to the groups that selectors name. One that is not in it was
// never asked for; one with no members is empty.
type Groups map[mail.Address][]mail.Address

// DefaultPolicy is what holds until one is saved: mail alone, and none that its sender
// marked private or confidential. It allows no domain yet.
func DefaultPolicy() Policy {
	return Policy{Kinds: []Kind{Email}, Limits: Limits{Sensitivities: []Sensitivity{Private, Confidential}, Attachments: StoreAttachments}}
}

// AllowsMailbox returns nil when a mailbox may be read, else why not. Who stands in Deny is
// refused, whatever Allow says. A group whose members are not known is taken for what is
// safe: as one to deny it refuses everybody, as one to allow it allows nobody.
func (p *Policy) AllowsMailbox(a mail.Address, g Groups) *Fault {
	if !slices.Contains(p.Domains, a.Domain()) {
		return refused("domain-not-allowed", "The domain of this mailbox is not in the Domain List.",
			"Add the domain in the Email settings if its mailboxes are to be read.")
	}
	if f := p.DeniesMailbox(a, g); f != nil || len(p.Allow) == 0 {
		return f
	}
	allowed, unknown := pick(p.Allow, a, g)
	switch {
	case allowed:
		return nil
	case unknown != "":
		return groupUnknown(unknown)
	}
	return refused("mailbox-not-listed", "The policy does not list this mailbox.", "Add it to the mailboxes allowed under Access → Policy if it is to be read.")
}

// DeniesMailbox says why Deny refuses a mailbox; nil when it does not. It is asked about
// every address that a mailbox is known by.
func (p *Policy) DeniesMailbox(a mail.Address, g Groups) *Fault {
	denied, unknown := pick(p.Deny, a, g)
	switch {
	case denied:
		return refused("mailbox-denied", "The policy denies this mailbox.", "Take it off the mailboxes denied under Access → Policy if it is to be read.")
	case unknown != "":
		return groupUnknown(unknown)
	}
	return nil
}

// AllowsBox returns nil when a mailbox may be read by all addresses that are known of it, else
// why not.
func (p *Policy) AllowsBox(box *Mailbox, g Groups) *Fault {
	if f := p.AllowsMailbox(box.Address, g); f != nil {
		return f
	}
	return p.DeniesPrimary(box.Primary, g)
}

// DeniesPrimary says why Deny refuses a mailbox by the primary address that Exchange told of
// it; nil when it does not. What is granted is another address of the same mailbox. "" = there
// is no other.
func (p *Policy) DeniesPrimary(primary mail.Address, g Groups) *Fault {
	if primary == "" {
		return nil
	}
	f := p.DeniesMailbox(primary, g)
	if f != nil {
		f.Message = fmt.Sprintf("Exchange knows this mailbox as %s. %s", primary, f.Message)
	}
	return f
}

func groupUnknown(group mail.Address) *Fault {
	return refused("group-unknown", fmt.Sprintf("The policy names the group %s, and who belongs to it is not known.", group),
		"It is asked of Exchange by itself; else enter its members by postern policy group, or name mailboxes instead.")
}

func refused(code, message, advice string) *Fault {
	return &Fault{Verdict: Refused, Scope: MailboxScope, Code: code, Message: message, Advice: advice}
}

// pick tells whether one of the selectors picks a mailbox; when none does, unknown is a
// group that might.
func pick(list []Selector, a mail.Address, g Groups) (picked bool, unknown mail.Address) {
	for _, s := range list {
		group, isGroup := s.Group()
		members, known := g[group]
		switch {
		case !isGroup && Pattern(s).Matches(a), isGroup && slices.Contains(members, a):
			return true, ""
		case isGroup && !known:
			unknown = group
		}
	}
	return false, unknown
}

// GroupNames lists the groups that the policy names.
func (p *Policy) GroupNames() []mail.Address {
	var list []mail.Address
	for _, s := range slices.Concat(p.Allow, p.Deny) {
		if group, ok := s.Group(); ok && !slices.Contains(list, group) {
			list = append(list, group)
		}
	}
	return list
}

// AllowsKind tells whether a kind of data may be read.
func (p *Policy) AllowsKind(k Kind) bool { return slices.Contains(p.Kinds, k) }

// Tighten returns what holds in the mailbox of a user who set these limits: never wider than
// the organization's, which alone holds where it is locked. Attachments and AttachmentLimit
// of the answer are never zero.
func (p *Policy) Tighten(user Limits) Limits {
	l := Limits{Attachments: StoreAttachments, AttachmentLimit: DefaultAttachmentLimit}
	if p.AttachmentLimit > 0 {
		l.AttachmentLimit = p.AttachmentLimit
	}
	for _, f := range limits {
		f.tighten(&l, &p.Limits)
		if !slices.Contains(p.Locked, f.name) {
			f.tighten(&l, &user)
		}
	}
	return l
}

// InScope tells which of a mailbox' folders may be read and are collected: see the function
// InScope; of those, the ones of a kind that the policy allows and not excluded by limits,
// by themselves or with one above them.
func (p *Policy) InScope(l Limits, folders []Folder) []bool {
	scope, paths := InScope(folders), Paths(folders)
	byID := make(map[string]int, len(folders))
	for i := range folders {
		byID[folders[i].ID] = i
	}
	for i := range folders {
		scope[i] = scope[i] && p.AllowsKind(folders[i].Kind)
		for at, steps := i, 0; scope[i] && steps < len(folders); steps++ { // counted, as in aside
			scope[i] = l.AllowsFolder(paths[at], folders[at])
			above, ok := byID[folders[at].Parent]
			if !ok {
				break
			}
			at = above
		}
	}
	return scope
}

// AllowsFolder tells whether a folder, by its path, may be read. An excluded folder is
// named by its path, as "Clients/Private", with * for any run of characters, as "*private*";
// that takes all below with it, and case does not matter. A word for its role names it
// whatever it is called: sentitems. What lies below such a one is for the caller to see.
func (l *Limits) AllowsFolder(path string, f Folder) bool {
	if len(l.ExcludedFolders) == 0 {
		return true
	}
	path = foldPath(path)
	for _, pattern := range l.ExcludedFolders {
		pattern = foldPath(pattern)
		if f.Role != NoRole && pattern == string(f.Role) {
			return false
		}
		for end := range len(path) + 1 {
			if (end == len(path) || path[end] == '/') && glob(pattern, path[:end]) {
				return false
			}
		}
	}
	return true
}

func foldPath(s string) string { return strings.ToLower(norm.NFC.String(s)) }

// Refuses says why a message must not be filed, nor its text be read, and which rule says
// so, in a sentence that names nobody; "" when nothing is against it. It goes by the header
// alone. What a server does not tell, a size or a date, is no reason to refuse.
func (l *Limits) Refuses(h *Header) (Reason, string) {
	switch when := h.When(); {
	case h.Sensitivity != Normal && slices.Contains(l.Sensitivities, h.Sensitivity):
		return IsPrivate, "messages marked " + string(h.Sensitivity) + " are not filed"
	case !l.Since.IsZero() && !when.IsZero() && when.Before(l.Since):
		return OutsidePeriod, "only messages since " + l.Since.UTC().Format(time.DateOnly) + " are collected"
	case l.MaxSize > 0 && h.Size > l.MaxSize:
		return TooLarge, "only messages up to " + BytesText(l.MaxSize) + " are collected"
	}
	for _, c := range l.Categories {
		if slices.ContainsFunc(h.Categories, func(has string) bool { return strings.EqualFold(has, c) }) {
			return ExcludedCategory, "a category that it was given is on the exclusion list"
		}
	}
	for _, p := range h.People {
		if p.Address == "" || p.Part == ReplyTo {
			continue
		}
		for _, pattern := range l.Excluded {
			switch {
			case !pattern.Matches(p.Address):
			case pattern.ofDomain():
				return ExcludedDomain, "a domain in " + string(p.Part) + " is on the exclusion list"
			default:
				return ExcludedAddress, "an address in " + string(p.Part) + " is on the exclusion list"
			}
		}
	}
	return "", ""
}
