package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"postern/crm"
	"postern/mail"
)

// An exchange is a mail system of nothing but Inboxes, which tells of what arrives. It
// counts what is asked of it. Real mail is followed in package acceptance; here is who is
// listened to, with whom, and what happens when that goes wrong.
type exchange struct {
	mu      sync.Mutex
	items   map[string]int    // by mailbox: how many have arrived
	syncs   map[string]int    // by mailbox: how often its Inbox was read
	looks   map[string]int    // by mailbox: how often its folders were asked for
	servers map[string]string // by mailbox
	subs    map[string]string // subscription and its mailbox
	made    int               // subscriptions so far
	order   []subscribing
	streams []*stream
	refuse  func(box string) error
	deaf    error  // why no connection for notifications can be had
	pulling bool   // the server does not tell by itself
	mute    string // the mailbox of which nothing can be pulled
	told    map[string]int
	stumble string      // the call that panics
	full    atomic.Bool // nothing can be written to the data folder
}

type subscribing struct{ box, anchor mail.Address }

type stream struct {
	list []crm.Subscription
	tell func(crm.Notice)
	end  chan error
}

func newExchange() *exchange {
	return &exchange{items: map[string]int{}, syncs: map[string]int{}, looks: map[string]int{}, servers: map[string]string{},
		subs: map[string]string{}, told: map[string]int{}}
}

func (x *exchange) Folders(_ context.Context, box *crm.Mailbox) ([]crm.Folder, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	name := string(box.Address)
	x.looks[name]++
	n := x.items[name]
	return []crm.Folder{{ID: "inbox", Role: crm.Inbox, Kind: crm.Email, Name: "Inbox", Total: n, Mark: strconv.Itoa(n)}}, nil
}

func (x *exchange) Changes(_ context.Context, box *crm.Mailbox, _ crm.Folder, since crm.Cursor) (*crm.Page, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	name := string(box.Address)
	x.syncs[name]++
	from, _ := strconv.Atoi(string(since))
	page := &crm.Page{Next: crm.Cursor(strconv.Itoa(x.items[name]))}
	for i := from; i < x.items[name]; i++ {
		page.Headers = append(page.Headers, crm.Header{ID: fmt.Sprint(name, i), Envelope: crm.Envelope{Kind: crm.Email,
			People: []crm.Participant{{Part: crm.From, Address: "x@nowhere.example"}, {Part: crm.To, Address: box.Address}}}})
	}
	return page, nil
}

func (x *exchange) Headers(context.Context, *crm.Mailbox, []string) ([]crm.Header, error) {
	return nil, nil
}
func (x *exchange) Load(context.Context, *crm.Mailbox, []crm.Header, func(*crm.Item) error) error {
	return nil
}
func (x *exchange) Attachments(context.Context, *crm.Mailbox, []crm.Enclosure, func(int, io.Reader, *crm.Fault) error) error {
	return nil
}
func (x *exchange) Original(context.Context, *crm.Mailbox, string) (io.ReadCloser, error) {
	return nil, errors.New("there is none")
}
func (x *exchange) Items(context.Context, *crm.Mailbox, crm.Folder, func([]string) error) error {
	return nil
}

func (x *exchange) Facts(box *crm.Mailbox) crm.Facts {
	x.mu.Lock()
	defer x.mu.Unlock()
	return crm.Facts{Server: x.servers[string(box.Address)]}
}

// begin is called by those calls that may be made to panic.
func (x *exchange) begin(call string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stumble == call {
		panic("stumbled over " + call)
	}
}

func (x *exchange) Subscribe(_ context.Context, box, anchor *crm.Mailbox) (crm.Subscription, error) {
	x.begin("Subscribe")
	x.mu.Lock()
	defer x.mu.Unlock()
	name := string(box.Address)
	if x.refuse != nil {
		if err := x.refuse(name); err != nil {
			return crm.Subscription{}, err
		}
	}
	x.made++
	id := fmt.Sprint("sub", x.made)
	x.subs[id] = name
	x.order = append(x.order, subscribing{box.Address, anchor.Address})
	return crm.Subscription{Box: box, Anchor: anchor, ID: id, Streaming: !x.pulling}, nil
}

func (x *exchange) Listen(ctx context.Context, list []crm.Subscription, tell func(crm.Notice)) error {
	x.begin("Listen")
	s := &stream{list: list, tell: tell, end: make(chan error, 1)}
	x.mu.Lock()
	deaf := x.deaf
	if deaf == nil {
		x.streams = append(x.streams, s)
	}
	x.mu.Unlock()
	if deaf != nil {
		return deaf
	}
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.streams = slices.DeleteFunc(x.streams, func(other *stream) bool { return other == s })
	}()
	tell(crm.Notice{})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-s.end:
		return err
	}
}

func (x *exchange) Pull(ctx context.Context, s *crm.Subscription) (crm.Notice, error) {
	x.begin("Pull")
	if string(s.Box.Address) == x.mute {
		<-ctx.Done()
		return crm.Notice{}, &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "timeout", Message: "The server did not answer in time."}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	name := x.subs[s.ID]
	n := crm.Notice{Box: s.Box.ID}
	if x.told[name] < x.items[name] {
		x.told[name] = x.items[name]
		n.Folders = []string{"inbox"}
	}
	return n, nil
}

func (x *exchange) Unsubscribe(_ context.Context, s crm.Subscription) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.subs, s.ID)
	return nil
}

// arrive lays an item into a mailbox and tells whoever listens.
func (x *exchange) arrive(name string) {
	x.mu.Lock()
	x.items[name]++
	x.mu.Unlock()
	x.tell(name, crm.Notice{Folders: []string{"inbox"}})
}

func (x *exchange) tell(name string, n crm.Notice) {
	x.mu.Lock()
	streams := slices.Clone(x.streams)
	x.mu.Unlock()
	for _, s := range streams {
		for _, sub := range s.list {
			if string(sub.Box.Address) == name {
				n.Box = sub.Box.ID
				s.tell(n)
				if n.Lost != nil {
					x.Unsubscribe(context.Background(), sub)
					s.end <- n.Lost
				}
			}
		}
	}
}

// connections returns those that are open.
func (x *exchange) connections() []*stream {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.streams)
}

func (x *exchange) count(m map[string]int, name string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return m[name]
}
