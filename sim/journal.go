package sim

import (
	"cmp"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"postern/mail"
)

// keptRequests is how many of the latest requests the journal holds in full unless the
// options say another number; totals are kept of all.
const keptRequests = 1000

// A RequestRecord is what the server noted of one request, also of one that it refused, and
// of those to Autodiscover.
type RequestRecord struct {
	At         time.Time `json:"at"`
	Method     string    `json:"method"`
	Host       string    `json:"host"`                  // the header
	Path       string    `json:"path"`                  // with the query
	ServerName string    `json:"server_name,omitempty"` // that TLS was asked for
	Secure     bool      `json:"secure,omitempty"`      // it came over TLS
	Source     string    `json:"source"`                // the address that it came from, without the port
	UserAgent  string    `json:"user_agent"`
	// Authorization is the scheme of the header of that name, "" when there was none: a
	// password or a proof was sent, whether or not it was taken.
	Authorization Scheme `json:"authorization,omitempty"`
	Scheme        Scheme `json:"scheme,omitempty"`  // by which the account signed in, maybe earlier on this connection
	Account       string `json:"account,omitempty"` // who signed in; "" = nobody

	Impersonated mail.Address `json:"impersonated,omitempty"` // "" when nobody was to be
	Mailbox      mail.Address `json:"mailbox,omitempty"`      // that it was about; "" when none
	Anchor       string       `json:"anchor,omitempty"`       // the header X-AnchorMailbox
	ClientID     string       `json:"client_request_id,omitempty"`
	ServerID     string       `json:"request_id,omitempty"` // as the answer says; "" when Exchange gave none

	Operation string `json:"operation"` // "" when the request was refused before it was read; "Autodiscover…" for those
	Status    int    `json:"status"`
	Code      string `json:"code,omitempty"`    // of a fault, or of the first failed response message; "" when all went well
	Trouble   Kind   `json:"trouble,omitempty"` // the trouble that was made, "" if none
	In        int64  `json:"in"`                // bytes of the bodies
	Out       int64  `json:"out"`

	// Touched lists the folders that were named, or whose items were, and that the request
	// was let into, once each.
	Touched []Touched `json:"touched,omitempty"`
	// Content lists the ids of the items whose body, MIME or attachments were asked for.
	Content []string `json:"content,omitempty"`
}

// newRecord notes what a request says of itself.
func newRecord(r *http.Request) RequestRecord {
	n := RequestRecord{
		Method: r.Method, Host: r.Host, Path: r.URL.RequestURI(), Source: r.RemoteAddr,
		UserAgent: r.UserAgent(), Authorization: sentScheme(r),
		Anchor: r.Header.Get("X-AnchorMailbox"), ClientID: r.Header.Get("client-request-id"),
		Status: http.StatusOK,
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		n.Source = host
	}
	if r.TLS != nil {
		n.Secure, n.ServerName = true, r.TLS.ServerName
	}
	return n
}

// Touched is a folder of which a request saw something.
type Touched struct {
	Mailbox mail.Address `json:"mailbox"`
	Folder  string       `json:"folder"` // its id
	Role    Role         `json:"role,omitempty"`
	Class   string       `json:"class,omitempty"` // "IPF.Note", "IPF.Appointment", …
}

// touch notes that the request sees something of a folder. The caller holds the lock.
func (c *call) touch(f *Folder) {
	t := Touched{Mailbox: f.box.address, Folder: f.ID(), Role: f.role, Class: f.class}
	if n := len(c.record.Touched); n > 0 && c.record.Touched[n-1] == t || slices.Contains(c.record.Touched, t) {
		return
	}
	c.record.Touched = append(c.record.Touched, t)
}

// A Tally adds up the requests of one operation.
type Tally struct {
	Requests, In, Out int64
}

// A journal counts what was asked for.
type journal struct {
	keep int // how many requests; 0 = keptRequests

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
	if len(j.latest) < cmp.Or(j.keep, keptRequests) {
		j.latest = append(j.latest, r)
		return
	}
	j.latest[j.next] = r
	j.next = (j.next + 1) % len(j.latest)
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
