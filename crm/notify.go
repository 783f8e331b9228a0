package crm

import (
	"context"
	"time"
)

// A Notifier is a Source that tells of changes as they happen.
//
// A notification is a hint to look, never evidence: it may come late, twice, out of
// order or not at all, and nothing is decided by it. Whoever listens must look by
// himself after each gap, and now and then without any reason.
type Notifier interface {
	Source
	// Subscribe asks for notifications about all folders of a mailbox. Mailboxes of one
	// Facts.Server and one account that are to be listened to on one connection share an anchor, the first
	// of them, which is to be subscribed first (box == anchor). The answer is a streaming
	// subscription where the server can do that, else one for Pull. Fault{Refused} with
	// the code "no-notifications" when the server knows neither.
	Subscribe(ctx context.Context, box, anchor *Mailbox) (Subscription, error)
	// Listen holds one connection for streaming subscriptions of one anchor, MaxListen at
	// most, and tells what comes, as it comes. It ends with ctx, with nil when the server
	// closed the connection in good order (the subscriptions then live on), else with a
	// fault. A subscription that the server does not know is told of as Notice.Lost; the
	// connection then ends, because it starves the others.
	Listen(ctx context.Context, list []Subscription, tell func(Notice)) error
	// Pull asks what has happened since the last Pull, and moves s.Watermark on.
	Pull(ctx context.Context, s *Subscription) (Notice, error)
	// Unsubscribe gives a subscription back; one that is gone already is no error.
	Unsubscribe(ctx context.Context, s Subscription) error
}

// MaxListen is how many subscriptions one connection may carry.
const MaxListen = 200

// A Subscription is a server's promise to tell of what happens in one mailbox.
type Subscription struct {
	Box, Anchor *Mailbox
	ID          string // the server's, opaque
	Streaming   bool   // for Listen; else for Pull
	Watermark   string // of Pull: how far it was read
}

// A Notice says that something happened.
type Notice struct {
	Box     MailboxID // 0 = a sign of life of the connection, nothing more
	Folders []string  // the source's ids of the folders; none with a Box = look at all of them
	Tree    bool      // folders came, went or were moved: ask which there are
	Lost    *Fault    // set when the subscription has ended: subscribe anew, then look
}

// Watch is the way in which we learn of new mail in a mailbox.
type Watch struct {
	Mode  WatchMode
	Why   string        // one sentence, when it is not Streaming
	Since time.Time     // when that began
	Every time.Duration // of Pulling and Polling: the pause between two looks
}

// WatchMode names the ways.
type WatchMode string

const (
	Streaming WatchMode = "streaming" // the server tells, within seconds
	Pulling   WatchMode = "pulling"   // we ask the server what happened
	Polling   WatchMode = "polling"   // we look at the folders
)
