package store

import "postern/crm"

// Counts are numbers of ledger rows.
type Counts struct {
	Filed, NotFiled, Failed int
	By                      map[crm.Reason]int // those not filed and failed, by reason
}

// Items is the number of all items with a decision.
func (c Counts) Items() int { return c.Filed + c.NotFiled + c.Failed }

// A MailboxView is a mailbox with what its row in a list shows.
type MailboxView struct {
	crm.Mailbox
	UserName string
	Counts   Counts
	Items    int // items in its folders in scope, as the server counted last
}
