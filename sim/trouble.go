package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/mail"
)

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
	Delay     time.Duration // of Slow and StreamLate; 0 = half a minute
	Code      string        // of AnyError and HTTPStatus
	Where     string        // of errors: InFault, InEntry, InHeader; "" = where the kind has it, else InFault
	At        int           // of Torn, StreamTorn and StreamSilent: how far it goes well; 0 = see there
}

// answered are the operations that the server knows.
var answered = []string{
	"GetFolder", "FindFolder", "CreateFolder", "SyncFolderHierarchy", "SyncFolderItems", "FindItem", "GetItem", "GetAttachment",
	"ResolveNames", "ConvertId", "CreateItem", "UpdateItem", "MoveItem", "CopyItem", "DeleteItem",
	"Subscribe", "Unsubscribe", "GetEvents", "GetStreamingEvents",
}

// ParseTrouble reads a trouble as the command line has it: a kind and, after colons,
// any of an operation, "every=7", "times=3", "skip=10", "backoff=30s", "delay=10s", "at=100",
// "where=entry", "mailbox=ADDRESS". The kinds error and status have their code behind them.
// For example "busy-fault:GetItem:every=7:backoff=2s" or "error=ErrorItemCorrupt:where=entry".
func ParseTrouble(text string) (Trouble, error) {
	parts := strings.Split(text, ":")
	name, code, coded := strings.Cut(parts[0], "=")
	t := Trouble{Kind: Kind(name), Code: code}
	switch {
	case !slices.Contains(kinds, t.Kind):
		return t, fmt.Errorf("trouble %q: unknown kind %q; known are %v", text, name, kinds)
	case coded != (t.Kind == AnyError || t.Kind == HTTPStatus):
		return t, fmt.Errorf("trouble %q: write error=CODE or status=NUMBER; no other kind has a code", text)
	}
	if status, err := strconv.Atoi(code); t.Kind == HTTPStatus && (err != nil || status < 200 || status > 599) {
		return t, fmt.Errorf("trouble %q: %q is no HTTP status", text, code)
	}
	for _, part := range parts[1:] {
		if err := t.parse(part); err != nil {
			return t, fmt.Errorf("trouble %q: %w", text, err)
		}
	}
	return t, nil
}

// parse reads one word behind the kind.
func (t *Trouble) parse(part string) (err error) {
	key, value, ok := strings.Cut(part, "=")
	switch {
	case !ok && slices.Contains(answered, part):
		t.Operation = part
	case !ok:
		err = fmt.Errorf("unknown operation %q; known are %v", part, answered)
	case key == "every":
		t.Every, err = strconv.Atoi(value)
	case key == "times":
		t.Times, err = strconv.Atoi(value)
	case key == "skip":
		t.Skip, err = strconv.Atoi(value)
	case key == "at":
		t.At, err = strconv.Atoi(value)
	case key == "backoff":
		t.BackOff, err = time.ParseDuration(value)
	case key == "delay":
		t.Delay, err = time.ParseDuration(value)
	case key == "where" && (value == InFault || value == InEntry || value == InHeader):
		t.Where = value
	case key == "mailbox":
		t.Mailbox = mail.Address(strings.ToLower(value))
	default:
		err = fmt.Errorf("unknown word %q", part)
	}
	return err
}

// troubles are those under way.
type troubles struct {
	mu   sync.Mutex
	list []*pending
	seen map[seen]int // requests so far, for Options.Script
}

type seen struct {
	operation string
	mailbox   mail.Address
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

// met tells whether the request meets a trouble of this kind.
func (c *call) met(kind Kind) bool { return c.trouble != nil && c.trouble.Kind == kind }

// meet returns the trouble that a request meets, nil if none: what the script says comes
// before what was made by hand.
func (c *call) meet() *Trouble {
	if script := c.x.options.Script; script != nil {
		if t := script(c.record, c.x.trouble.count(&c.record)); t != nil && c.suits(t.Kind) {
			return t
		}
	}
	return c.x.trouble.pick(c)
}

// count tells how often this operation was seen for this mailbox, this time included.
func (t *troubles) count(r *RequestRecord) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen == nil {
		t.seen = map[seen]int{}
	}
	key := seen{r.Operation, r.Mailbox}
	t.seen[key]++
	return t.seen[key]
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

// backOff is what a busy server asks for.
func (t *Trouble) backOff() time.Duration {
	if t.BackOff == 0 {
		return 5 * time.Second
	}
	return t.BackOff
}

// delay is how long something is held back.
func (t *Trouble) delay() time.Duration {
	if t.Delay == 0 {
		return 30 * time.Second
	}
	return t.Delay
}

// wrong is the error that the trouble is, and where it stands; "" when it is none.
func (t *Trouble) wrong() (code, where string) {
	if t == nil {
		return "", ""
	}
	known := errorKinds[t.Kind]
	code, where = known.code, known.where
	if t.Kind == AnyError {
		code, where = t.Code, InFault
	}
	if t.Where != "" {
		where = t.Where
	}
	return code, where
}
