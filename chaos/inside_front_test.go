package chaos

import (
	"bytes"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"

	"postern/sim"
)

type connKey struct{}

// A front stands before the simulated Exchange. It gives each answer its delay, and makes
// trouble of all kinds: it has the server misbehave, and it is the bad network.
type front struct {
	w      *world
	open   sync.WaitGroup // requests
	closed chan struct{}

	mu     sync.Mutex
	rate   int            // how many of a thousand requests meet trouble
	spells []spell        // trouble that stays for a while
	count  map[string]int // requests so far, by operation and mailbox
	hits   map[string]int // faults injected, by kind
	lines  []string       // what came, for the digest
}

// A spell is one kind of trouble that all requests of an operation or a mailbox meet.
type spell struct {
	kind      string
	operation string // "" = all
	mailbox   string // "" = all
	until     time.Time
}

func newFront(w *world) *front {
	return &front{w: w, closed: make(chan struct{}), count: map[string]int{}, hits: map[string]int{}, rate: []int{0, 20, 50, 150, 300}[w.rng.IntN(5)]}
}

// setRate says how many of a thousand requests meet trouble from now on.
func (f *front) setRate(rate int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rate = rate
}

// What the network does to a request. All other kinds are the server's.
const (
	unheard  = "net-unheard"   // the connection breaks before the server has heard it
	answered = "net-answered"  // it breaks after the server has done the work
	cut      = "net-cut"       // it breaks in the middle of the answer
	hole     = "net-hole"      // no answer ever comes
	slow     = "net-slow"      // the answer comes late
	late     = "net-late-work" // the server does the work late, when the client may have gone
)

var networkKinds = []string{unheard, answered, cut, cut, hole, slow, late}

// What the server does. Kinds that alter the text of a message are left out: it would be
// another message.
var (
	// oftenKinds concern one request or one mailbox.
	oftenKinds = []sim.Kind{
		sim.BusyFault, sim.BusyInner, sim.BareFault, sim.ServerCrash, sim.GatewayTimeout, sim.Garbage, sim.BadEncoding,
		sim.TooManyObjects, sim.MoveInProgress, sim.StoreUnavailable, sim.TimeoutExpired, sim.AccountDisabled, sim.NonExistent,
		sim.AccessDenied, sim.BusyEntry, sim.Torn, sim.Miscount,
	}
	// rareKinds look like an address or a password that is wrong, or a server that is down,
	// and so stop everything for a while.
	rareKinds = []sim.Kind{
		sim.Busy503, sim.Busy503Hint, sim.Busy401, sim.WebPage, sim.LogonRedirect, sim.ErrorRedirect, sim.LoginTimeout, sim.NotFound,
		sim.Forbidden, sim.ExceededConnections, sim.PasswordExpired,
	}
	// ownKinds make sense for one operation.
	ownKinds = map[string][]sim.Kind{
		"SyncFolderItems":     {sim.LostState, sim.StateRestart, sim.SyncErrorEmptyState, sim.DeletesCut, sim.ReadAsUpdate},
		"SyncFolderHierarchy": {sim.SyncErrorEmptyState},
		"GetItem":             {sim.Vanish, sim.Corrupt, sim.CorruptMIME, sim.CorruptBody},
		"GetStreamingEvents": {
			sim.StreamSilent, sim.StreamTorn, sim.StreamReset, sim.StreamLostEvents, sim.StreamDuplicate, sim.StreamLate,
			sim.StreamLostSubscription, sim.StreamLostNameless, sim.StreamNamespace, sim.MissedEvents,
		},
		"GetEvents": {sim.MissedEvents, sim.EventsNoWatermark},
	}
)

var operations = []string{"GetFolder", "SyncFolderHierarchy", "SyncFolderItems", "GetItem", "GetAttachment", "Subscribe", "GetStreamingEvents"}

// draw draws a kind of trouble of the server.
func draw(rng *rand.Rand, operation string) string {
	kinds := oftenKinds
	if own := ownKinds[operation]; own != nil && rng.IntN(2) == 0 {
		kinds = own
	} else if rng.IntN(10) == 0 {
		kinds = rareKinds
	}
	return string(kinds[rng.IntN(len(kinds))])
}

// spell begins one kind of trouble.
func (f *front) spell(rng *rand.Rand) {
	operation := operations[rng.IntN(len(operations))]
	if operation == "GetStreamingEvents" && f.w.wiring.version != "" { // an old server is pulled from
		operation = "GetEvents"
	}
	s := spell{kind: draw(rng, operation), until: time.Now().Add(time.Duration(rng.Int64N(int64(5 * time.Minute))))}
	if rng.IntN(4) == 0 {
		s.kind = networkKinds[rng.IntN(len(networkKinds))]
	}
	if rng.IntN(3) > 0 {
		s.operation = operation
	}
	if boxes := f.w.exchange.Mailboxes(); rng.IntN(2) == 0 {
		s.mailbox = string(boxes[rng.IntN(len(boxes))].Address())
	}
	f.cast(s)
}

func (f *front) cast(s spell) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spells = append(f.spells, s)
}

// close ends what still waits.
func (f *front) close() {
	close(f.closed)
	f.open.Wait()
}

// outage takes the network away for a while.
func (f *front) outage(rng *rand.Rand) {
	wire := f.w.proc.wire
	switch rng.IntN(4) {
	case 0:
		wire.outage(syscall.ECONNREFUSED, false)
	case 1:
		wire.outage(syscall.EHOSTUNREACH, false)
	case 2:
		wire.outage(nil, true)
	}
	if rng.IntN(2) == 0 {
		wire.reset()
	}
	f.hit("outage")
	time.AfterFunc(time.Duration(rng.Int64N(int64(2*time.Minute))), func() { wire.outage(nil, false) })
}

// calm ends all trouble.
func (f *front) calm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rate, f.spells = 0, nil
	f.w.proc.wire.outage(nil, false)
}

func (f *front) hit(kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hits[kind]++
}

// faults returns how many faults were injected.
func (f *front) faults() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range maps.Values(f.hits) {
		n += k
	}
	return n
}

var (
	operationOf = regexp.MustCompile(`<(?:\w+:)?Body[^>]*><(?:\w+:)?(\w+)`)
	mailboxOf   = regexp.MustCompile(`PrimarySmtpAddress>([^<]+)<`)
)

func (f *front) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.open.Add(1)
	defer f.open.Done()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	operation, mailbox := first(operationOf, body), first(mailboxOf, body)
	_, _, signed := r.BasicAuth()
	key := operation + " " + mailbox
	if !signed {
		key += " unsigned"
	}
	dice, kind := f.fate(key, operation, mailbox, true)
	f.sleep(time.Duration(1 + dice.IntN(int(50*time.Millisecond))))
	f.note(key + " " + kind)
	f.answer(rw, r, dice, kind)
}

func (f *front) answer(rw http.ResponseWriter, r *http.Request, dice *rand.Rand, kind string) {
	conn := r.Context().Value(connKey{}).(*end)
	switch kind {
	case unheard:
		conn.reset()
		return
	case answered:
		conn.cutAfter(0)
	case cut:
		conn.cutAfter(dice.Int64N(1 << dice.IntN(16)))
	case hole:
		<-r.Context().Done()
		return
	case slow:
		f.sleep(time.Duration(dice.Int64N(int64(170 * time.Second))))
	case late:
		f.sleep(time.Duration(dice.Int64N(int64(4 * time.Minute))))
	}
	f.w.exchange.ServeHTTP(rw, r)
}

// script is what the server does to a request; see sim.Options.
func (f *front) script(r sim.RequestRecord, n int) *sim.Trouble {
	dice, kind := f.fate("server "+r.Operation+" "+string(r.Mailbox), r.Operation, string(r.Mailbox), false)
	if kind == "" {
		return nil
	}
	f.note("    " + kind)
	return &sim.Trouble{Kind: sim.Kind(kind), BackOff: time.Duration(dice.Int64N(int64(90 * time.Second)))}
}

func first(re *regexp.Regexp, text []byte) string {
	if m := re.FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}

// fate returns the randomness of one request, and the trouble that it meets: of the
// network or of the server. Both depend on how many of its kind came before it and on
// nothing else, so that one request more elsewhere changes nothing here.
func (f *front) fate(key, operation, mailbox string, network bool) (dice *rand.Rand, kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count[key]++
	h := fnv.New64a()
	io.WriteString(h, key)
	dice = rand.New(rand.NewPCG(f.w.seed^h.Sum64(), uint64(f.count[key])))
	now := time.Now()
	f.spells = slices.DeleteFunc(f.spells, func(s spell) bool { return s.until.Before(now) })
	for _, s := range f.spells {
		if slices.Contains(networkKinds, s.kind) == network && (s.operation == "" || s.operation == operation) && (s.mailbox == "" || s.mailbox == mailbox) {
			kind = s.kind
		}
	}
	switch {
	case kind != "":
	case network && dice.IntN(1000) < f.rate/3:
		kind = networkKinds[dice.IntN(len(networkKinds))]
	case !network && dice.IntN(1000) < f.rate:
		kind = draw(dice, operation)
	}
	if kind != "" {
		f.hits[kind]++
	}
	return dice, kind
}

// sleep waits. A server does not notice at once that a client has gone: all clients of a
// process that is killed go in one instant, and what they asked for would come in an order
// that is the machine's.
func (f *front) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-f.closed:
	}
}

func (f *front) note(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, time.Now().Format("02 15:04:05.000000000 ")+key)
}
