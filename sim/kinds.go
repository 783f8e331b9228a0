package sim

import (
	"slices"

	"postern/ews"
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
	Forbidden      Kind = "forbidden-403"        // HTTP 403
	HTTPStatus     Kind = "status"               // the HTTP status in Code, with HTML
	Garbage        Kind = "garbage"              // HTTP 200, bytes that are no XML
	HugeBody       Kind = "huge-body"            // HTTP 200, an envelope that goes on for 3 GB
	BadEncoding    Kind = "bad-content-encoding" // said to be packed, but plain
	Slow           Kind = "slow"                 // comes after Delay
	Hang           Kind = "hang"                 // never comes

	// An error takes the place of the answer or of its last response message, whichever
	// the code is usual for, or Where says:

	AnyError            Kind = "error"                  // the code in Code
	TooManyObjects      Kind = "too-many-objects"       // ErrorTooManyObjectsOpened
	ExceededConnections Kind = "exceeded-connections"   // ErrorExceededConnectionCount
	MoveInProgress      Kind = "move-in-progress"       // ErrorMailboxMoveInProgress
	StoreUnavailable    Kind = "store-unavailable"      // ErrorMailboxStoreUnavailable
	TimeoutExpired      Kind = "timeout-expired"        // ErrorTimeoutExpired
	AccountDisabled     Kind = "account-disabled"       // ErrorAccountDisabled
	NonExistent         Kind = "non-existent"           // ErrorNonExistentMailbox
	NonPrimary          Kind = "non-primary"            // ErrorNonPrimarySmtpAddress
	AccessDenied        Kind = "access-denied"          // ErrorAccessDenied
	PasswordExpired     Kind = "password-expired"       // ErrorPasswordExpired
	SyncErrorEmptyState Kind = "sync-error-empty-state" // a sync fails, with an empty state and "last item" true

	// One part of the answer is replaced:

	BusyEntry    Kind = "busy-entry"      // the last response message is ErrorServerBusy
	LostState    Kind = "lost-sync-state" // a sync state is not known any more
	StateRestart Kind = "state-restart"   // a sync state is taken, and answered from the start
	DeletesCut   Kind = "deletes-cut"     // a full page with deletions is said to be the last
	ReadAsUpdate Kind = "read-as-update"  // changes of read flags come as updates
	Vanish       Kind = "vanish"          // the first item asked for is deleted just before
	Corrupt      Kind = "corrupt"         // the first item cannot be read but for its id
	CorruptMIME  Kind = "corrupt-mime"    // its MIME cannot be made
	CorruptBody  Kind = "corrupt-body"    // neither body nor MIME can be had
	MimeDiffers  Kind = "mime-differs"    // MIME is of another length at each reading

	// The finished answer is spoilt:

	ForbiddenRaw        Kind = "forbidden-raw"        // characters that XML forbids, as bytes
	ForbiddenReferences Kind = "forbidden-references" // the same as references
	Torn                Kind = "torn"                 // the answer breaks off in the middle, or At a byte
	Miscount            Kind = "miscount"             // one response message is missing

	// Notifications go wrong:

	StreamSilent           Kind = "stream-silent"            // after At envelopes nothing comes, but the connection stays
	StreamTorn             Kind = "stream-torn"              // cut At a byte, or within the first notification
	StreamReset            Kind = "stream-reset"             // the connection is closed without an answer
	StreamLostEvents       Kind = "stream-lost-events"       // signs of life, but no events
	StreamDuplicate        Kind = "stream-duplicate"         // each event comes twice
	StreamLate             Kind = "stream-late"              // events come after Delay
	StreamReordered        Kind = "stream-reordered"         // the newest event of an envelope comes first
	StreamLostSubscription Kind = "stream-lost-subscription" // the first one is lost: an error beside "OK", then silence
	StreamLostNameless     Kind = "stream-lost-nameless"     // the same, but it is not said which
	StreamNamespace        Kind = "stream-namespace"         // notifications are in the namespace that the schema has
	MissedEvents           Kind = "missed-events"            // ErrorMissedNotificationEvents; the subscription is lost
	EventsNoWatermark      Kind = "events-no-watermark"      // GetEvents answers without watermarks
)

var kinds = []Kind{
	Busy503, Busy503Hint, BusyFault, BusyInner, Busy401, BareFault, WebPage, LogonRedirect, ErrorRedirect, LoginTimeout, NotFound,
	ServerCrash, GatewayTimeout, Forbidden, HTTPStatus, Garbage, HugeBody, BadEncoding, Slow, Hang,
	AnyError, TooManyObjects, ExceededConnections, MoveInProgress, StoreUnavailable, TimeoutExpired, AccountDisabled, NonExistent,
	NonPrimary, AccessDenied, PasswordExpired, SyncErrorEmptyState,
	BusyEntry, LostState, StateRestart, DeletesCut, ReadAsUpdate, Vanish, Corrupt, CorruptMIME, CorruptBody, MimeDiffers,
	ForbiddenRaw, ForbiddenReferences, Torn, Miscount,
	StreamSilent, StreamTorn, StreamReset, StreamLostEvents, StreamDuplicate, StreamLate, StreamReordered, StreamLostSubscription,
	StreamLostNameless, StreamNamespace, MissedEvents, EventsNoWatermark,
}

// Kinds lists all kinds of trouble.
func Kinds() []Kind { return slices.Clone(kinds) }

// Where an error stands.
const (
	InFault  = "fault"  // the whole request is refused
	InEntry  = "entry"  // one response message
	InHeader = "header" // HTTP 500 with X-CasErrorCode, from a front end
)

// errorKinds are kinds that are an error under another name, and where it stands.
var errorKinds = map[Kind]struct{ code, where string }{
	BusyEntry:           {"ErrorServerBusy", InEntry},
	TooManyObjects:      {"ErrorTooManyObjectsOpened", InFault},
	ExceededConnections: {"ErrorExceededConnectionCount", InFault},
	MoveInProgress:      {"ErrorMailboxMoveInProgress", InFault},
	StoreUnavailable:    {"ErrorMailboxStoreUnavailable", InFault},
	TimeoutExpired:      {"ErrorTimeoutExpired", InFault},
	AccountDisabled:     {"ErrorAccountDisabled", InFault},
	NonExistent:         {"ErrorNonExistentMailbox", InFault},
	NonPrimary:          {"ErrorNonPrimarySmtpAddress", InFault},
	AccessDenied:        {"ErrorAccessDenied", InEntry},
	PasswordExpired:     {"ErrorPasswordExpired", InFault},
	SyncErrorEmptyState: {"ErrorInternalServerTransientError", InEntry},
}

// suits tells whether a kind of trouble can happen to this request at all: what cannot is
// not counted.
func (c *call) suits(kind Kind) bool {
	_, getItem := c.request.Op.(*ews.GetItem)
	_, streaming := c.request.Op.(*ews.GetStreamingEvents)
	items, syncItems := c.request.Op.(*ews.SyncFolderItems)
	folders, syncFolders := c.request.Op.(*ews.SyncFolderHierarchy)
	switch kind {
	case LostState, StateRestart:
		return syncItems && items.SyncState != "" || syncFolders && folders.SyncState != ""
	case SyncErrorEmptyState:
		return syncItems || syncFolders
	case DeletesCut, ReadAsUpdate:
		return syncItems && items.SyncState != ""
	case Vanish, Corrupt, CorruptMIME, CorruptBody, MimeDiffers:
		return getItem
	case StreamSilent, StreamTorn, StreamReset, StreamLostEvents, StreamDuplicate, StreamLate, StreamReordered, StreamLostSubscription,
		StreamLostNameless, StreamNamespace:
		return streaming
	case MissedEvents:
		return streaming || c.record.Operation == "GetEvents"
	case EventsNoWatermark:
		return c.record.Operation == "GetEvents"
	case Torn, Miscount, BadEncoding, ForbiddenRaw, ForbiddenReferences:
		return !streaming // it has no finished answer
	}
	return true
}
