package store

import (
	"fmt"
	"time"

	"postern/crm"
	"postern/mail"
)

// A ListQuery asks for a part of a list of people or mailboxes.
type ListQuery struct {
	Text   string // part of a name, company or address; "" = all
	Limit  int    // 0 = 50
	Offset int
}

// Saved tells what became of a list of people.
type Saved struct {
	New, Changed, Same int
	Rematch            int // items not filed so far that are due for another look
	Linked             int // links added to activities that were filed already
}

// A ContactView is a contact with what its row in a list shows.
type ContactView struct {
	crm.Contact
	Activities int
	Last       time.Time // of the newest activity; zero = none
}

// A UserView is a user with what its row in a list shows.
type UserView struct {
	crm.User
	Activities  int
	Last        time.Time
	Mailbox     crm.MailboxID // 0 = none
	HasPassword bool
}

// A ConflictError tells that an address belongs to another active user.
type ConflictError struct {
	Index   int // in the list that was to be saved
	Address mail.Address
	Owner   crm.UserID // 0 when the other one stands in the same list
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("user %d of the list: the address %s belongs to another active user", e.Index+1, e.Address)
}
