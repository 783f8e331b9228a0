package store

import (
	"time"

	"postern/crm"
)

// A PersonCount is a user and how often that user wrote with somebody.
type PersonCount struct {
	User  crm.UserID
	Name  string
	Count int
	Last  time.Time
}

// HomeStats are the figures of the first page.
type HomeStats struct {
	Seen, Filed, NotFiled, Failed int
	ByDay                         []DayCount // the last 30 days, oldest first, none left out
	Mailboxes                     map[crm.MailboxState]int
	LastFiled                     time.Time // zero = never
}

// A DayCount counts the items of one day (UTC) by the date of the message.
type DayCount struct {
	Day         time.Time
	Seen, Filed int
}
