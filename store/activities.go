package store

import (
	"time"

	"postern/crm"
	"postern/mail"
)

// A PersonRef is a participant of a message and who that is, as far as linked.
type PersonRef struct {
	Name    string // the contact's or user's, else as the message gave it
	Address mail.Address
	Contact crm.ContactID
	User    crm.UserID
	Part    crm.Part
}

// An ActivityRow is an activity as a list shows it.
type ActivityRow struct {
	Activity    crm.ActivityID
	Message     crm.MessageID
	When        time.Time
	Subject     string
	Preview     string
	Direction   mail.Direction
	From        PersonRef
	To          []PersonRef // the first few of To and Cc
	More        int         // how many To and Cc beyond those
	Contact     PersonRef   // the first linked contact
	Company     string      // of that contact
	Attachments int
	Thread      int  // messages in its thread, itself included
	Unread      bool // for the viewer, in the viewer's mailbox
	Gone        bool // the viewer had it in the mailbox and has no more
}

// A MailQuery asks for activities, newest first. The zero value asks for all.
type MailQuery struct {
	Viewer    crm.UserID    // who looks; decides about Bcc, Unread and Gone. 0 sees no Bcc
	Contact   crm.ContactID // those linked to this contact
	User      crm.UserID    // those linked to this user
	Mine      bool          // those in the viewer's own mailbox ("My Emails")
	Text      string        // full text: words, "phrases", from:, to:
	Direction mail.Direction
	Unread    bool   // with Mine: unread ones only
	Threads   bool   // the newest of each thread only
	Limit     int    // 0 = 50
	Before    string // next of the page before; "" = from the newest
}
