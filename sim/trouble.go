package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/ews"
	"postern/mail"
)

// A Kind of trouble that the server can make.
type Kind string

const (
	// The whole answer is replaced:

	Busy503        Kind = "busy-503"             // HTTP 503 without a hint
	Busy503Hint    Kind = "busy-503-retry-after" // HTTP 503 with Retry-After
	BusyFault      Kind = "busy-fault"           // fault ErrorServerBusy with BackOffMilliseconds
	BusyInner      Kind = "busy-inner"           // each response message is ErrorInternalServerError with the inner code ErrorServerBusy
	Busy401        Kind = "busy-401"             // 401 under load, although the password is right
	BareFault      Kind = "bare-fault"           // HTTP 200, fault without detail, faultcode without prefix
	WebPage        Kind = "web-page"             // HTTP 200 with a page of HTML
	LogonRedirect  Kind = "logon-redirect"       // 302 to the log-on page
	ErrorRedirect  Kind = "error-redirect"       // 302 to genericerrorpage.htm, which passes
	LoginTimeout   Kind = "login-timeout"        // HTTP 440 with HTML
	NotFound       Kind = "not-found"            // HTTP 404 with HTML
	ServerCrash    Kind = "server-crash"         // HTTP 500 "Server Error in '/EWS' Application"
	GatewayTimeout Kind = "gateway-timeout"      // HTTP 504

	// One part of the answer is replaced:

	BusyEntry   Kind = "busy-entry"      // the last response message is ErrorServerBusy
	LostState   Kind = "lost-sync-state" // a sync state is not known any more
	Vanish      Kind = "vanish"          // the first item asked for is deleted just before
	Corrupt     Kind = "corrupt"         // the first item cannot be read but for its id
	CorruptMIME Kind = "corrupt-mime"    // its MIME cannot be made
	CorruptBody Kind = "corrupt-body"    // neither body nor MIME can be had

	// The finished answer is spoilt:

	ForbiddenRaw        Kind = "forbidden-raw"        // characters that XML forbids, as bytes
	ForbiddenReferences Kind = "forbidden-references" // the same as references
	Torn                Kind = "torn"                 // the answer breaks off in the middle
	Miscount            Kind = "miscount"             // one response message is missing
)

var kinds = []Kind{
	Busy503, Busy503Hint, BusyFault, BusyInner, Busy401, BareFault, WebPage, LogonRedirect, ErrorRedirect,
	LoginTimeout, NotFound, ServerCrash, GatewayTimeout, BusyEntry, LostState, Vanish, Corrupt, CorruptMIME,
	CorruptBody, ForbiddenRaw, ForbiddenReferences, Torn, Miscount,
}

// A Trouble is what goes wrong, and when. It is counted, not thrown dice for: the same
// requests meet the same trouble.
type Trouble struct {
	Kind      Kind
	Operation string        // only for this operation; "" = any
	Mailbox   mail.Address  // only for this mailbox; "" = any
	Skip      int           // so many matching requests go well first
	Every     int           // then every n-th is hit; 0 = each
	Times     int           // so many are hit at most; 0 = without end
	BackOff   time.Duration // what a busy server asks for; 0 = five seconds
}

// answered are the operations that the server knows.
var answered = []string{
	"GetFolder", "FindFolder", "CreateFolder", "SyncFolderHierarchy", "SyncFolderItems", "FindItem", "GetItem", "GetAttachment",
	"ResolveNames", "ConvertId", "CreateItem", "UpdateItem", "MoveItem", "CopyItem", "DeleteItem",
}

// ParseTrouble reads a trouble as the command line has it: a kind and, after colons,
// any of an operation, "every=7", "times=3", "skip=10", "backoff=30s", "mailbox=ADDRESS".
// For example "busy-fault:GetItem:every=7:backoff=2s".
func ParseTrouble(text string) (Trouble, error) {
	parts := strings.Split(text, ":")
	t := Trouble{Kind: Kind(parts[0])}
	if !slices.Contains(kinds, t.Kind) {
		return t, fmt.Errorf("trouble %q: unknown kind %q; known are %v", text, parts[0], kinds)
	}
	for _, part := range parts[1:] {
		key, value, ok := strings.Cut(part, "=")
		var err error
		switch {
		case !ok && !slices.Contains(answered, part):
			err = fmt.Errorf("unknown operation %q; known are %v", part, answered)
		case !ok:
			t.Operation = part
		case key == "every":
			t.Every, err = strconv.Atoi(value)
		case key == "times":
			t.Times, err = strconv.Atoi(value)
		case key == "skip":
			t.Skip, err = strconv.Atoi(value)
		case key == "backoff":
			t.BackOff, err = time.ParseDuration(value)
		case key == "mailbox":
			t.Mailbox = mail.Address(strings.ToLower(value))
		default:
			err = fmt.Errorf("unknown word %q", key)
		}
		if err != nil {
			return t, fmt.Errorf("trouble %q: %w", text, err)
		}
	}
	return t, nil
}

// troubles are those under way.
type troubles struct {
	mu   sync.Mutex
	list []*pending
}

type pending struct {
	Trouble
	met, hit int
}

// MakeTrouble adds a trouble; several work side by side, the first that applies wins.
func (x *Exchange) MakeTrouble(t Trouble) {
	x.trouble.mu.Lock()
	defer x.trouble.mu.Unlock()
	x.trouble.list = append(x.trouble.list, &pending{Trouble: t})
}

// Calm ends all troubles, but not the damage of items.
func (x *Exchange) Calm() {
	x.trouble.mu.Lock()
	defer x.trouble.mu.Unlock()
	x.trouble.list = nil
}

// pick counts a request and returns the trouble that it meets, nil if none.
func (t *troubles) pick(c *call) *Trouble {
	t.mu.Lock()
	defer t.mu.Unlock()
	var picked *Trouble
	for _, p := range t.list {
		if p.Operation != "" && p.Operation != c.record.Operation || p.Mailbox != "" && p.Mailbox != c.record.Mailbox || !c.suits(p.Kind) {
			continue
		}
		p.met++
		n := p.met - p.Skip
		if n <= 0 || p.Every > 1 && n%p.Every != 0 || p.Times > 0 && p.hit >= p.Times || picked != nil {
			continue
		}
		p.hit++
		picked = &p.Trouble
	}
	return picked
}

// suits tells whether a kind of trouble can happen to this request at all: what cannot is
// not counted.
func (c *call) suits(kind Kind) bool {
	switch kind {
	case LostState:
		switch op := c.request.Op.(type) {
		case *ews.SyncFolderItems:
			return op.SyncState != ""
		case *ews.SyncFolderHierarchy:
			return op.SyncState != ""
		}
		return false
	case Vanish, Corrupt, CorruptMIME, CorruptBody:
		_, ok := c.request.Op.(*ews.GetItem)
		return ok
	}
	return true
}

// backOff is what a busy server asks for.
func (t *Trouble) backOff() time.Duration {
	if t.BackOff == 0 {
		return 5 * time.Second
	}
	return t.BackOff
}
