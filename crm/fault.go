package crm

import (
	"errors"
	"fmt"
	"time"
)

// Verdict is what the engine is to do about a fault. There is one switch over it.
type Verdict string

const (
	Retry   Verdict = "retry"   // passes by itself; not before Fault.After
	Reauth  Verdict = "reauth"  // credentials refused: stop, tell the admin, do not hammer
	Resync  Verdict = "resync"  // the cursor is lost: list the folder anew
	Gone    Verdict = "gone"    // the item, folder or mailbox is not there (any more)
	Refused Verdict = "refused" // not allowed or not possible until somebody changes something
)

// Scope is how much a fault stops.
type Scope string

const (
	ItemScope    Scope = "item"
	FolderScope  Scope = "folder"
	MailboxScope Scope = "mailbox"
	OrgScope     Scope = "org" // the whole connection
)

// A Fault is trouble outside, judged by the package that knows the protocol.
type Fault struct {
	Verdict Verdict
	Scope   Scope
	After   time.Duration // for Retry: how long to keep silent; 0 = the engine's own ladder
	Code    string        // stable: the protocol's own code, or one of ours such as "tls-name-wrong"
	Message string        // one sentence: what happened and why; no secret, no content of mail
	Advice  string        // one sentence or command: what to do
	Err     error         // the cause, for the log
}

func (f *Fault) Error() string {
	if f.Message == "" {
		return f.Code
	}
	return fmt.Sprintf("%s (%s)", f.Message, f.Code)
}

func (f *Fault) Unwrap() error { return f.Err }

// AsFault returns the fault in err's chain; an error that is none counts as one that
// may pass, with the code "unexpected".
func AsFault(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return &Fault{Verdict: Retry, Scope: MailboxScope, Code: "unexpected", Message: err.Error(), Advice: "It is tried again by itself; if it stays, send the log to whoever looks after Postern.", Err: err}
}
