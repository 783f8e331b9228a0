package crm

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
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

// Cause names what happened to a mailbox, its account or the connection, where people
// know it by a name. Cause.Title has the words for them; what to do is in Fault.Advice.
type Cause string

const (
	NoCause         Cause = ""
	Throttled       Cause = "throttled"         // the server asks for silence
	Moving          Cause = "moving"            // on its way to another database or server
	MovedAway       Cause = "moved-away"        // lives where this server may not ask
	Renamed         Cause = "renamed"           // another primary address
	NoMailbox       Cause = "no-mailbox"        // nothing under this address (any more)
	Disabled        Cause = "disabled"          // the account of the mailbox is disabled
	Recreated       Cause = "recreated"         // a new mailbox under the old address
	Unlicensed      Cause = "unlicensed"        // may not be used by EWS: licence or access taken away
	NotPermitted    Cause = "not-permitted"     // the service account may not act for it
	BlockedByPolicy Cause = "blocked-by-policy" // EWS is closed to this program or to the account
	PasswordExpired Cause = "password-expired"  // of the service account
	PasswordRefused Cause = "password-refused"  // of the service account
	Unreachable     Cause = "unreachable"       // no answer from the server, or none of Exchange
)

// Title says the cause to people.
func (c Cause) Title() string {
	switch c {
	case Throttled:
		return "Exchange asks for a pause"
	case Moving:
		return "mailbox is being moved"
	case MovedAway:
		return "mailbox lives on another server"
	case Renamed:
		return "address was changed"
	case NoMailbox:
		return "no mailbox with this address"
	case Disabled:
		return "mailbox is disabled"
	case Recreated:
		return "mailbox was created anew"
	case Unlicensed:
		return "mailbox may not be used through EWS"
	case NotPermitted:
		return "the account may not read this mailbox"
	case BlockedByPolicy:
		return "blocked by EWS application policy"
	case PasswordExpired:
		return "password has expired"
	case PasswordRefused:
		return "password is refused"
	case Unreachable:
		return "Exchange cannot be reached"
	}
	return string(c)
}

// A Fault is trouble outside, judged by the package that knows the protocol.
type Fault struct {
	Verdict Verdict
	Scope   Scope
	After   time.Duration // for Retry: how long to keep silent; 0 = the engine's own ladder
	Code    string        // stable: the protocol's own code, or one of ours such as "tls-name-wrong"
	Message string        // one sentence: what happened and why; no secret, no content of mail
	Advice  string        // one sentence or command: what to do
	Cause   Cause         // what happened to the mailbox or the account, when that has a name
	Err     error         // the cause, for the log
}

func (f *Fault) Error() string {
	if f.Message == "" {
		return f.Code
	}
	return fmt.Sprintf("%s (%s)", f.Message, f.Code)
}

func (f *Fault) Unwrap() error { return f.Err }

// LogValue tells the log of what nobody foresaw all that there is.
func (f *Fault) LogValue() slog.Value {
	if f.Code == Unforeseen && f.Err != nil {
		return slog.StringValue(f.Err.Error())
	}
	return slog.StringValue(f.Error())
}

// Unforeseen is the code of what no package has judged.
const Unforeseen = "unexpected"

// AsFault returns the fault in err's chain; an error that is none counts as one that
// may pass, with the code Unforeseen.
func AsFault(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return unforeseen(err.Error(), err)
}

// Stumbled is the fault of a panic that was caught: strangers' bytes must not bring the
// program down. What it was and where is in its Err, for the log.
func Stumbled(panic any) *Fault {
	return unforeseen("This program stumbled over what it read.", fmt.Errorf("panic: %v\n%s", panic, debug.Stack()))
}

func unforeseen(message string, err error) *Fault {
	return &Fault{Verdict: Retry, Scope: MailboxScope, Code: Unforeseen, Message: message, Advice: "It is tried again by itself; if it stays, send the log to whoever looks after Postern.", Err: err}
}
