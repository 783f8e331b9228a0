package store

import (
	"time"

	"postern/crm"
	"postern/mail"
)

// A DueItem is an item that is to be looked at again.
type DueItem struct {
	Item    string
	Folder  crm.FolderID
	Tries   int
	Outcome crm.Outcome
}

// A LedgerRow is one decision as it stands, and what is wrong with it.
type LedgerRow struct {
	Item    string
	Outcome crm.Outcome
	Reason  crm.Reason
	Problem string // one sentence when rows that belong to it are missing or altered; "" = sound
}

// An Explanation says what became of one item and why.
type Explanation struct {
	Folder    string // its path
	Item      string
	Outcome   crm.Outcome
	Reason    crm.Reason
	Rule      string
	DecidedAt time.Time
	RetryAt   time.Time
	Tries     int
	Message   crm.MessageID // filed
	Links     []LinkView    // filed
	Known     []KnownPerson // not filed: whom of its participants the CRM knows
}

// A KnownPerson is a contact or user among the participants of an item that was not filed.
type KnownPerson struct {
	Contact crm.ContactID // one of
	User    crm.UserID    // the two
	Name    string
	Address mail.Address
}

// A NotFiledQuery asks for items that were not filed, the latest decision first.
type NotFiledQuery struct {
	Mailbox   crm.MailboxID // 0 = all
	Reason    crm.Reason    // "" = all
	Outcome   crm.Outcome   // NotFiled or Failed; "" = both
	MessageID string        // normalised; compared by its keyed hash
	Address   mail.Address  // compared by its keyed hash
	Limit     int           // 0 = 50
	Offset    int
}

// A NotFiledRow is an item that was not filed.
type NotFiledRow struct {
	Mailbox   crm.MailboxID
	Address   mail.Address // of the mailbox
	Folder    string       // its path
	Item      string
	Outcome   crm.Outcome
	Reason    crm.Reason
	Rule      string
	When      time.Time // of the message
	DecidedAt time.Time
	RetryAt   time.Time
	Tries     int
}
