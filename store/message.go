package store

import (
	"time"

	"postern/crm"
	"postern/mail"
)

// A MessageView is all that a message page shows.
type MessageView struct {
	ID          crm.MessageID
	Activity    crm.ActivityID
	MessageID   string
	Subject     string
	When        time.Time
	Received    time.Time
	Direction   mail.Direction
	HTML        string // as it came: to be made safe before it is shown
	Text        string
	Encrypted   bool
	Rule        string // why it was filed
	People      []PersonRef
	Attachments []AttachmentView
	Copies      []CopyView
	Links       []LinkView
	Thread      []ActivityRow // the whole thread, newest first, this message included
}

// A CopyView is one copy of a message in a mailbox.
type CopyView struct {
	Mailbox  crm.MailboxID
	Address  mail.Address // of the mailbox
	User     crm.UserID
	UserName string
	Item     string
	Folder   string // its path
	Seen     time.Time
	Gone     time.Time // zero = still there
	Read     bool
}

// A LinkView ties an activity to a contact or a user.
type LinkView struct {
	Contact crm.ContactID // one of
	User    crm.UserID    // the two
	Name    string
	Address mail.Address // that matched
	Part    crm.Part
	Auto    bool // by rule; false = by hand
}
