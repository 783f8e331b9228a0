package crm

import (
	"time"

	"postern/mail"
)

// Outcome is what became of an item. Every item that a source lists in a folder in
// scope has exactly one; filed + not filed + failed = items in the folder.
type Outcome string

const (
	Filed    Outcome = "filed"
	NotFiled Outcome = "not_filed"
	Failed   Outcome = "failed" // to be tried again at Decision.RetryAt
)

// Reason says why, in a stable code; Reason.Title has the words for people.
type Reason string

const (
	Matched          Reason = "matched"           // filed
	Withheld         Reason = "withheld"          // filed, by its header alone: the policy has no text fetched
	NoContact        Reason = "no_contact"        // no address belongs to a contact
	NoUser           Reason = "no_user"           // a contact, but no user of an allowed domain on the other side
	Internal         Reason = "internal"          // users among themselves
	ThirdParty       Reason = "third_party"       // contact and user only both received it
	Draft            Reason = "draft"             // not sent yet
	IsPrivate        Reason = "private"           // marked personal, private or confidential by its sender
	ExcludedAddress  Reason = "excluded_address"  // an address on the exclusion list
	ExcludedDomain   Reason = "excluded_domain"   // a domain on the exclusion list
	Bounce           Reason = "bounce"            // delivery report, read receipt
	Meeting          Reason = "meeting"           // meeting request, answer or cancellation
	OutsidePeriod    Reason = "outside_period"    // older than what the organization collects
	TooLarge         Reason = "too_large"         // larger than what the organization collects
	ExcludedCategory Reason = "excluded_category" // its owner gave it a category on the exclusion list
	ExcludedFolder   Reason = "excluded_folder"   // in a folder that is excluded; of what was filed before it was
	ExcludedMailbox  Reason = "excluded_mailbox"  // in a mailbox that is not allowed; of what was filed before it was not
	NotMail          Reason = "not_mail"          // no e-mail message: a post, a contact card, a task
	Left             Reason = "left"              // could not be read, and an administrator left it at that
)

// Reasons lists all reasons for not filing, in the order in which they are judged.
var Reasons = [...]Reason{NotMail, Draft, Meeting, Bounce, ExcludedMailbox, ExcludedFolder, IsPrivate, OutsidePeriod, TooLarge, ExcludedCategory, ExcludedAddress, ExcludedDomain, Internal, NoContact, NoUser, ThirdParty, Left}

// Title says the reason to people.
func (r Reason) Title() string {
	switch r {
	case Matched:
		return "contact on one side, user on the other"
	case Withheld:
		return "contact on one side, user on the other; the header alone is filed"
	case NoContact:
		return "no contact among the addresses"
	case NoUser:
		return "no user of an allowed domain on the other side"
	case Internal:
		return "users among themselves"
	case ThirdParty:
		return "contact and user both only received it"
	case Draft:
		return "a draft, not sent"
	case IsPrivate:
		return "marked private or confidential"
	case ExcludedAddress:
		return "address on the exclusion list"
	case ExcludedDomain:
		return "domain on the exclusion list"
	case Bounce:
		return "delivery report or receipt"
	case Meeting:
		return "meeting request or answer"
	case OutsidePeriod:
		return "older than the period collected"
	case TooLarge:
		return "larger than what is collected"
	case ExcludedCategory:
		return "category on the exclusion list"
	case ExcludedFolder:
		return "in an excluded folder"
	case ExcludedMailbox:
		return "in a mailbox that is not allowed"
	case NotMail:
		return "not an e-mail message"
	case Left:
		return "unreadable in Exchange, left by an administrator"
	}
	return string(r) // a fault's code
}

// A Link ties a message to a contact or a user, by the address that matched.
type Link struct {
	Contact ContactID // one of
	User    UserID    // the two
	Address mail.Address
	Part    Part
}

// A Decision is what was decided about one item of one mailbox.
type Decision struct {
	Item      string // the source's item id
	Outcome   Outcome
	Reason    Reason    // for Failed: the fault's code
	Rule      string    // one sentence: which rule and which kind of address said so; never an address
	RetryAt   time.Time // for Failed, and for Filed when Item.Missing says that something is owed
	Tries     int       // of those: how often it was tried
	Links     []Link    // for Filed
	Direction mail.Direction
}
