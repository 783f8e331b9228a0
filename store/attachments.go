package store

import (
	"time"

	"postern/crm"
)

// AttachmentState says where the content of an attachment is.
type AttachmentState string

const (
	AttachmentPending  AttachmentState = "pending"   // to be fetched
	AttachmentStored   AttachmentState = "stored"    // here
	AttachmentTooLarge AttachmentState = "too_large" // above the limit, left at the server
	AttachmentBlocked  AttachmentState = "blocked"   // the server does not give it; Note says why
	AttachmentFailed   AttachmentState = "failed"    // could not be fetched; tried again when a time is set
	AttachmentListed   AttachmentState = "listed"    // name only, by the organization's rules
)

// A PendingAttachment is one whose content is to be fetched.
type PendingAttachment struct {
	ID         int64
	Item       string // the item of this mailbox that carries it
	Folder     crm.FolderID
	Tries      int
	Ordinal    int // its place in the message's list
	Attachment crm.Attachment
}

// An AttachmentResult is what came of fetching one.
type AttachmentResult struct {
	ID      int64
	State   AttachmentState
	Blob    *Blob     // for AttachmentStored
	Note    string    // why not
	RetryAt time.Time // for AttachmentFailed and AttachmentPending; zero = not again
	Source  string    // the source's new id of it, when the item was renewed; "" = unchanged
}

// An AttachmentView is an attachment as a message page shows it.
type AttachmentView struct {
	ID        int64
	Message   crm.MessageID
	Name      string
	Type      string
	ContentID string
	Inline    bool
	Size      int64
	State     AttachmentState
	Note      string
}

// A Blob is content that is stored once, whoever refers to it.
type Blob struct {
	SHA256 [32]byte
	Size   int64
}
