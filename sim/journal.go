package sim

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"postern/mail"
)

// keptRequests is how many of the latest requests the journal holds in full; totals are
// kept of all.
const keptRequests = 1000

// A RequestRecord is what the server noted of one request.
type RequestRecord struct {
	At        time.Time
	Account   string
	Mailbox   mail.Address // whose mailbox it was; "" when none
	Anchor    string       // the header X-AnchorMailbox
	UserAgent string
	Operation string // "" when the request was refused before it was read
	Status    int
	Code      string // of a fault, or of the first failed response message; "" when all went well
	Trouble   Kind   // the trouble that was made, "" if none
	In, Out   int64  // bytes of the bodies
	// Content lists the ids of the items whose body, MIME or attachments were asked for.
	Content []string
}

// A Tally adds up the requests of one operation.
type Tally struct {
	Requests, In, Out int64
}

// A journal counts what was asked for.
type journal struct {
	mu      sync.Mutex
	latest  []RequestRecord // a ring
	next    int
	tallies map[string]Tally

	throttled int64
	minutes   []Minute
}

// keptMinutes is how long back requests are counted by the minute: a day.
const keptMinutes = 24 * 60

// throttled tells whether the answer asked the client for less.
func (r *RequestRecord) throttled() bool {
	switch r.Code {
	case "ErrorServerBusy", "ErrorExceededConnectionCount", "ErrorExceededSubscriptionCount", "ErrorTooManyObjectsOpened":
		return true
	}
	return r.Status == http.StatusServiceUnavailable || r.Status == http.StatusTooManyRequests || r.Trouble == BusyInner || r.Trouble == Busy401
}

// tick counts a request in its minute.
func (j *journal) tick(r *RequestRecord) {
	start := r.At.Truncate(time.Minute).Unix()
	if n := len(j.minutes); n == 0 || j.minutes[n-1].Start < start {
		if n == keptMinutes {
			j.minutes = append(j.minutes[:0], j.minutes[1:]...)
		}
		j.minutes = append(j.minutes, Minute{Start: start})
	}
	m := &j.minutes[len(j.minutes)-1]
	m.Requests++
	if r.throttled() {
		m.Throttled++
		j.throttled++
	}
}

func (j *journal) add(r RequestRecord) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.tallies == nil {
		j.tallies = map[string]Tally{}
	}
	t := j.tallies[r.Operation]
	t.Requests++
	t.In += r.In
	t.Out += r.Out
	j.tallies[r.Operation] = t
	j.tick(&r)
	if len(j.latest) < keptRequests {
		j.latest = append(j.latest, r)
		return
	}
	j.latest[j.next] = r
	j.next = (j.next + 1) % keptRequests
}

// Requests returns the latest requests, oldest first.
func (x *Exchange) Requests() []RequestRecord {
	x.log.mu.Lock()
	defer x.log.mu.Unlock()
	return append(slices.Clone(x.log.latest[x.log.next:]), x.log.latest[:x.log.next]...)
}

// Tallies returns the number and size of all requests by operation.
func (x *Exchange) Tallies() map[string]Tally {
	x.log.mu.Lock()
	defer x.log.mu.Unlock()
	return maps.Clone(x.log.tallies)
}

// ForgetRequests empties the journal; what was asked of each item stays known.
func (x *Exchange) ForgetRequests() {
	x.log.mu.Lock()
	defer x.log.mu.Unlock()
	x.log.latest, x.log.next, x.log.tallies, x.log.throttled, x.log.minutes = nil, 0, nil, 0, nil
}

// Asked counts how often the content of one item was asked for.
type Asked struct {
	Body        int // its text, its preview or the list of its attachments
	MIME        int
	Attachments int // the bytes of any of them
}

// Asked tells how often the content of this item was asked for, over all its places. It
// is how a test proves that nobody read a text that was none of their business.
func (it *Item) Asked() Asked {
	it.box.x.mu.RLock()
	defer it.box.x.mu.RUnlock()
	return it.asked
}
