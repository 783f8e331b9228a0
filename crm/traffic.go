package crm

import (
	"context"
	"time"

	"postern/mail"
)

// Traffic lets the requests of a source out, one by one. A source asks before every
// request that leaves for the server, refused and repeated ones included.
type Traffic interface {
	// Admit waits until the request may leave. A fault instead (Retry, with After) when
	// that would take longer than is worth waiting; nothing may be sent then. done is to
	// be called once, when the answer was read or given up, with what it says of the
	// server; nil when all went well.
	Admit(ctx context.Context, r Request) (done func(*Fault), err error)
}

// A Request is one request about to leave.
type Request struct {
	Operation string       // in the protocol's words
	Mailbox   mail.Address // "" when the login acts for itself
	Primary   mail.Address // its primary address, when Exchange told another than the one we know; else ""
	Hanging   bool         // stays open to wait for notifications
}

// A Budget is what is known of how much one scope of a server bears. It outlives the
// process: silence that a server asked for is kept after a restart.
type Budget struct {
	Scope   BudgetScope
	Key     string    // address of the mailbox, LOGIN on HOST, host with port if told
	Limit   int       // requests open at once
	Until   time.Time // silence until then; zero = none
	Changed time.Time // of Limit
	Code    string    // why it is silent or narrowed: the fault's code; "" = it is not
	Strikes int       // refusals in a row
}

// BudgetScope says what a budget is for.
type BudgetScope string

const (
	MailboxBudget BudgetScope = "mailbox"
	AccountBudget BudgetScope = "account"
	HostBudget    BudgetScope = "host"
)

// Unpaced is a Traffic that lets everything out at once.
type Unpaced struct{}

// Admit never waits.
func (Unpaced) Admit(context.Context, Request) (func(*Fault), error) { return func(*Fault) {}, nil }
