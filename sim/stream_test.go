package sim

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/ews"
)

var allEvents = []ews.EventKind{ews.NewMailEvent, ews.CreatedEvent, ews.ModifiedEvent, ews.MovedEvent, ews.CopiedEvent, ews.DeletedEvent}

// A wireEnvelope is what a listener reads, by the standard library.
type wireEnvelope struct {
	Message struct {
		Code          string     `xml:"ResponseCode"`
		Notifications []wireNote `xml:"Notifications>Notification"`
		Lost          []string   `xml:"ErrorSubscriptionIds>SubscriptionId"`
		Status        string     `xml:"ConnectionStatus"`
	} `xml:"Body>GetStreamingEventsResponse>ResponseMessages>GetStreamingEventsResponseMessage"`
}

type wireNote struct {
	XMLName      xml.Name
	Subscription string      `xml:"SubscriptionId"`
	Previous     string      `xml:"PreviousWatermark"`
	More         bool        `xml:"MoreEvents"`
	Events       []wireEvent `xml:",any"`
}

type wireEvent struct {
	XMLName   xml.Name
	Watermark string `xml:"Watermark"`
	At        string `xml:"TimeStamp"`
	Item      wireID `xml:"ItemId"`
	Folder    wireID `xml:"FolderId"`
	Parent    wireID `xml:"ParentFolderId"`
	OldItem   wireID `xml:"OldItemId"`
	OldParent wireID `xml:"OldParentFolderId"`
	Unread    string `xml:"UnreadCount"`
}

// names are the names of events that carry a time; PreviousWatermark and its like do not.
func (n *wireNote) names() []string {
	var names []string
	for _, e := range n.Events {
		if e.At != "" {
			names = append(names, strings.TrimSuffix(e.XMLName.Local, "Event"))
		}
	}
	return names
}

// A listener holds a stream open and keeps what comes.
type listener struct {
	t     *testing.T
	leave context.CancelFunc
	done  chan struct{}

	mu      sync.Mutex
	header  http.Header
	status  int
	got     bytes.Buffer
	flushed int
	cut     bool // the connection broke off
	read    int  // envelopes that the test has seen
}

func (l *listener) Header() http.Header { return l.header }
func (l *listener) WriteHeader(n int)   { l.status = n }
func (l *listener) Flush()              { l.mu.Lock(); l.flushed = l.got.Len(); l.mu.Unlock() }
func (l *listener) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status == 0 {
		l.status = http.StatusOK
	}
	return l.got.Write(p)
}

// listen opens a stream and waits for what comes first; it must be called in a bubble.
func (c *caller) listen(minutes int64, ids ...string) *listener {
	c.t.Helper()
	l := c.open(minutes, ids...)
	synctest.Wait()
	return l
}

// open opens a stream.
func (c *caller) open(minutes int64, ids ...string) *listener {
	c.t.Helper()
	var body bytes.Buffer
	req := &ews.Request{Header: ews.Header{Version: c.version}, Op: &ews.GetStreamingEvents{SubscriptionIDs: ids, Timeout: minutes}}
	req.Impersonation.PrimarySmtpAddress = string(c.mailbox)
	if err := ews.WriteRequest(&body, req); err != nil {
		c.t.Fatal(err)
	}
	ctx, leave := context.WithCancel(c.t.Context())
	r := httptest.NewRequest(http.MethodPost, Path, &body).WithContext(ctx)
	r.SetBasicAuth(login, password)
	l := &listener{t: c.t.(*testing.T), leave: leave, done: make(chan struct{}), header: http.Header{}}
	go func() {
		defer close(l.done)
		defer func() { l.cut = recover() == http.ErrAbortHandler }()
		c.x.ServeHTTP(l, r)
	}()
	return l
}

// envelopes are those that came whole since the last time.
func (l *listener) envelopes() []wireEnvelope {
	l.t.Helper()
	ended := l.ended()
	l.mu.Lock()
	defer l.mu.Unlock()
	if ended {
		l.flushed = l.got.Len()
	}
	var all []wireEnvelope
	for d := xml.NewDecoder(bytes.NewReader(l.got.Bytes()[:l.flushed])); ; {
		var e wireEnvelope
		if err := d.Decode(&e); errors.Is(err, io.EOF) || err != nil && l.cut {
			break
		} else if err != nil {
			l.t.Fatalf("%v in %s", err, l.got.Bytes())
		}
		all = append(all, e)
	}
	fresh := all[l.read:]
	l.read = len(all)
	return fresh
}

// notes are the notifications that came since the last time.
func (l *listener) notes() []wireNote {
	l.t.Helper()
	var all []wireNote
	for _, e := range l.envelopes() {
		all = append(all, e.Message.Notifications...)
	}
	return all
}

func (l *listener) ended() bool {
	synctest.Wait()
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// subscribe makes a streaming subscription to all folders.
func (c *caller) subscribe() string {
	c.t.Helper()
	return c.one(&ews.Subscribe{Streaming: true, AllFolders: true, Events: allEvents}).Subscription
}

// inBubble runs a test on virtual time.
func inBubble(t *testing.T, o Options, test func(*testing.T, *Exchange)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Now = time.Now
		test(t, newExchange(t, o))
	})
}

func TestStreamTellsWhatHappens(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, x *Exchange) {
		c := asUser(t, x, ann)
		box := x.Mailbox(ann)
		l := c.listen(30, c.subscribe())
		if got := l.envelopes(); len(got) != 1 || got[0].Message.Code != "NoError" || got[0].Message.Status != "OK" || len(got[0].Message.Notifications) != 0 {
			t.Fatalf("the first envelope: %+v", got)
		}
		step := func(name, want string) wireNote {
			t.Helper()
			notes := l.notes()
			if len(notes) != 1 || strings.Join(notes[0].names(), " ") != want {
				t.Fatalf("%s: got %+v, want %s", name, notes, want)
			}
			return notes[0]
		}
		it := deliver(t, x, plain(1))
		n := step("a delivery", "Created NewMail Modified")
		if n.XMLName.Space != "http://schemas.microsoft.com/exchange/services/2006/messages" {
			t.Errorf("notification in %s", n.XMLName.Space)
		}
		if e := n.Events[0]; e.Item.ID != it.ID() || e.Parent.ID != box.Folder(Inbox).ID() {
			t.Errorf("%+v", e)
		}
		if e := n.Events[2]; e.Folder.ID != box.Folder(Inbox).ID() || e.Unread != "1" {
			t.Errorf("%+v", e)
		}
		old := it.ID()
		it.Move(box.Folder(JunkEmail))
		if e := step("a move", "Moved Modified").Events[0]; e.Item.ID != it.ID() || e.OldItem.ID != old || e.OldParent.ID != box.Folder(Inbox).ID() {
			t.Errorf("%+v", e)
		}
		it.MarkRead(true)
		step("reading", "Modified Modified")
		it.SetSubject("Another")
		step("a change", "Modified")
		double := it.Copy(box.Folder(Inbox))
		if e := step("a copy", "Copied Modified").Events[0]; e.OldItem.ID != it.ID() || e.Item.ID != double.ID() {
			t.Errorf("%+v", e)
		}
		double.Delete()
		step("a deletion", "Deleted Modified")
		folder := box.CreateFolder(box.Folder(Inbox), "New")
		step("a new folder", "Created")
		folder.Delete()
		step("a deleted folder", "Deleted")
		deliver(t, x, []byte("From: <x@y.example>\r\nTo: bob@company.example\r\n\r\n"))
		if notes := l.notes(); len(notes) != 0 {
			t.Errorf("another mailbox' mail: %+v", notes)
		}
		l.leave()
		if !l.ended() {
			t.Error("the client left and the stream stayed")
		}
	})
}

func TestStreamGivesSignsOfLifeAndCloses(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, x *Exchange) {
		c := asUser(t, x, ann)
		id := c.subscribe()
		l := c.listen(2, id)
		l.envelopes()
		for range 2 {
			time.Sleep(44 * time.Second)
			if got := l.envelopes(); len(got) != 0 {
				t.Errorf("too early: %+v", got)
			}
			time.Sleep(time.Second)
			if got := l.envelopes(); len(got) != 1 || got[0].Message.Status != "OK" {
				t.Errorf("no sign of life: %+v", got)
			}
		}
		time.Sleep(30 * time.Second)
		if got := l.envelopes(); len(got) != 1 || got[0].Message.Status != "Closed" || got[0].Message.Code != "NoError" || !l.ended() {
			t.Errorf("at the end: %+v", got)
		}
		deliver(t, x, plain(1)) // between two connections
		again := c.listen(2, id)
		if notes := again.notes(); len(notes) != 1 || len(notes[0].names()) != 3 {
			t.Errorf("what happened in between: %+v", notes)
		}
		time.Sleep(3 * time.Minute)
		if !again.ended() {
			t.Error("it was not closed")
		}
		time.Sleep(streamLife + time.Second)
		late := c.listen(2, id)
		if got := late.envelopes(); len(got) != 1 || got[0].Message.Code != "ErrorExpiredSubscription" || !slices.Equal(got[0].Message.Lost, []string{id}) {
			t.Errorf("after nobody listened: %+v", got)
		}
	})
}

func TestNotificationsAreCutInPieces(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, x *Exchange) {
		c := asUser(t, x, ann)
		id := c.subscribe()
		for i := range 40 {
			deliver(t, x, plain(i))
		}
		var counts []int
		l := c.listen(1, id)
		for _, n := range l.notes() {
			counts = append(counts, len(n.names()))
		}
		if !slices.Equal(counts, []int{50, 50, 20}) {
			t.Errorf("got %v", counts)
		}
		l.leave()
		l.ended()
		for i := range maxQueued {
			deliver(t, x, plain(i))
		}
		if got := c.listen(1, id).envelopes(); len(got) != 2 || got[1].Message.Code != "ErrorMissedNotificationEvents" {
			t.Errorf("after more than is kept: %+v", got)
		}
	})
}

func TestOneBadSubscriptionStarvesTheOthers(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, x *Exchange) {
		c := asUser(t, x, ann)
		good, bad := c.subscribe(), c.subscribe()
		c.one(&ews.Unsubscribe{SubscriptionID: bad})
		deliver(t, x, plain(1))
		l := c.listen(1, good, bad)
		got := l.envelopes()
		if len(got) != 1 || got[0].Message.Code != "ErrorSubscriptionNotFound" || !slices.Equal(got[0].Message.Lost, []string{bad}) || len(got[0].Message.Notifications) > 0 || !l.ended() {
			t.Errorf("%+v", got)
		}
		if notes := c.listen(1, good).notes(); len(notes) != 1 {
			t.Errorf("the good one alone: %+v", notes)
		}
		if a := c.ask(&ews.Unsubscribe{SubscriptionID: bad}); a.code() != "ErrorSubscriptionNotFound" {
			t.Errorf("twice: %s", a.code())
		}
	})
}

func TestNewerConnectionEndsTheOlder(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, x *Exchange) {
		c := asUser(t, x, ann)
		id := c.subscribe()
		older := c.listen(1, id)
		older.envelopes()
		newer := c.listen(1, id)
		if got := older.envelopes(); len(got) != 1 || got[0].Message.Code != "ErrorNewEventStreamConnectionOpened" || !older.ended() {
			t.Errorf("the older: %+v", got)
		}
		deliver(t, x, plain(1))
		if notes := newer.notes(); len(notes) != 1 {
			t.Errorf("the newer: %+v", notes)
		}
		c.one(&ews.Unsubscribe{SubscriptionID: id})
		if got := newer.envelopes(); len(got) != 1 || got[0].Message.Code != "ErrorSubscriptionUnsubscribed" || !newer.ended() {
			t.Errorf("given back while listening: %+v", got)
		}
	})
}

func TestLimitsOfNotifications(t *testing.T) {
	inBubble(t, Options{MaxSubscriptions: 2, MaxHanging: 2}, func(t *testing.T, x *Exchange) {
		c := asUser(t, x, ann)
		first, second := c.subscribe(), c.subscribe()
		if a := c.ask(&ews.Subscribe{Streaming: true, AllFolders: true, Events: allEvents}); a.code() != "ErrorExceededSubscriptionCount" {
			t.Errorf("a third subscription: %s", a.code())
		}
		one, two := c.listen(10, first), c.listen(10, second)
		three := c.listen(10, asUser(t, x, bob).subscribe())
		if one.ended() || two.ended() || !three.ended() || !strings.Contains(three.got.String(), "ErrorExceededConnectionCount") {
			t.Errorf("a third connection for Ann: %s", three.got.String())
		}
		if four := asUser(t, x, bob).listen(10, asUser(t, x, bob).subscribe()); four.ended() {
			t.Error("a connection for Bob was refused")
		}
		one.leave()
		one.ended()
		if again := c.listen(10, first); again.ended() {
			t.Errorf("room was made: %s", again.got.String())
		}
		time.Sleep(time.Hour) // unused subscriptions do not count for ever
		c.subscribe()
	})
}

func TestSubscriptionBelongsToItsAccount(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, x *Exchange) {
		c := asUser(t, x, ann)
		id := c.subscribe()
		x.AddAccount(Account{Login: login, Password: password, Scope: nil, NoRole: true})
		if a := c.ask(&ews.Unsubscribe{SubscriptionID: id}); a.code() != "ErrorImpersonateUserDenied" {
			t.Errorf("without the role: %s", a.code())
		}
		x.AddAccount(Account{Login: login, Password: password})
		x.AddAccount(Account{Login: "other", Password: password})
		x.switchboard.byID[id].login = "other"
		got := c.listen(1, id).envelopes()
		if len(got) != 1 || got[0].Message.Code != "ErrorSubscriptionAccessDenied" {
			t.Errorf("%+v", got)
		}
	})
}

func TestNotificationsByVersion(t *testing.T) {
	streaming := &ews.Subscribe{Streaming: true, AllFolders: true, Events: allEvents}
	all := &ews.Subscribe{AllFolders: true, Events: allEvents, Timeout: 10}
	some := &ews.Subscribe{Folders: []ews.FolderID{*inbox()}, Events: allEvents, Timeout: 10}
	events := &ews.GetStreamingEvents{SubscriptionIDs: []string{"x"}, Timeout: 1}
	for _, tt := range []struct {
		server  Version
		request string
		op      ews.Operation
		want    string
	}{
		{ExchangeSE, ews.Exchange2013SP1, streaming, "NoError"},
		{Exchange2010SP1, ews.Exchange2010SP1, streaming, "NoError"},
		{Exchange2010, ews.Exchange2010, streaming, "ErrorSchemaValidation"},
		{ExchangeSE, ews.Exchange2010, streaming, "ErrorSchemaValidation"},
		{Exchange2010, ews.Exchange2010, events, "ErrorSchemaValidation"},
		{Exchange2010, ews.Exchange2010, all, "NoError"},
		{Exchange2007SP1, ews.Exchange2007SP1, all, "ErrorSchemaValidation"},
		{Exchange2007SP1, ews.Exchange2007SP1, some, "NoError"},
	} {
		c := asUser(t, newExchange(t, Options{Version: tt.server}), ann)
		c.version = tt.request
		if a := c.ask(tt.op); a.code() != tt.want {
			t.Errorf("%s asked in %s for %+v: got %s, want %s", tt.server, tt.request, tt.op, a.code(), tt.want)
		}
	}
}

func TestStreamValidatesAgainstTheSchema(t *testing.T) {
	check := newSchemaCheck(t)
	inBubble(t, Options{}, func(t *testing.T, x *Exchange) {
		x.MakeTrouble(Trouble{Kind: StreamNamespace}) // servers do not keep to it
		c := asUser(t, x, ann)
		id := c.subscribe()
		l := c.listen(1, id)
		var it, double *Item
		for _, step := range []func(){
			func() { it = deliver(t, x, plain(1)) },
			func() { it.Move(x.Mailbox(ann).Folder(JunkEmail)) },
			func() { double = it.Copy(x.Mailbox(ann).Folder(Inbox)) },
			func() { double.Delete() },
			func() { x.Mailbox(ann).CreateFolder(x.Mailbox(ann).Folder(Inbox), "New") },
		} {
			step()
			l.envelopes()
		}
		c.listen(1, id).leave()
		l.ended()
		for i, envelope := range bytes.SplitAfter(l.got.Bytes(), []byte("</Envelope>")) {
			if len(envelope) > 0 {
				check.add(fmt.Sprintf("envelope %d", i), envelope)
			}
		}
	})
	if len(check.files) != 7 { // the sign of life, one a step, the end by another connection
		t.Errorf("%d envelopes came", len(check.files))
	}
}
