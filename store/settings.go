package store

import (
	"time"

	"postern/mail"
)

// AttachmentMode says what is kept of attachments.
type AttachmentMode string

const (
	StoreAttachments AttachmentMode = "store"     // fetched and stored, up to Rules.AttachmentLimit each
	NameAttachments  AttachmentMode = "names"     // names only
	FetchOnDemand    AttachmentMode = "on-demand" // fetched when somebody opens one
)

// Rules are what the organization files beyond the rule of the house.
type Rules struct {
	Domains           []string // allowed; kept with the settings of the connection, SaveRules leaves them alone
	ExcludedAddresses []mail.Address
	ExcludedDomains   []string
	Since             time.Time // older mail is not filed; zero = no limit
	FilePrivate       bool
	Attachments       AttachmentMode
	AttachmentLimit   int64 // bytes of one attachment; 0 = 25 MiB
}
