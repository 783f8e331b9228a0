package sim

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/ews"
	"postern/mail"
)

// pull makes a subscription that is asked, and says where it begins.
func (c *caller) pull(folders ...ews.FolderID) (id, watermark string) {
	c.t.Helper()
	m := c.one(&ews.Subscribe{AllFolders: len(folders) == 0, Folders: folders, Events: allEvents, Timeout: 10})
	return m.Subscription, m.Watermark
}

func TestPullingEvents(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, x *Exchange) {
		c := asUser(t, x, ann)
		id, start := c.pull()
		get := func(watermark string) wireNote {
			t.Helper()
			return *c.one(&ews.GetEvents{SubscriptionID: id, Watermark: watermark}).Notification
		}
		if n := get(start); len(n.Events) != 1 || n.Events[0].XMLName.Local != "StatusEvent" || n.Events[0].Watermark != start || n.More {
			t.Errorf("when nothing happened: %+v", n)
		}
		for i := range 30 {
			deliver(t, x, plain(i))
		}
		first := get(start)
		if n := first; len(n.Events) != maxEvents || !n.More || n.Previous != start || n.Subscription != id {
			t.Errorf("%d events, more %v, from %s", len(n.Events), n.More, n.Previous)
		}
		if again := get(start); !slices.Equal(again.Events, first.Events) {
			t.Error("the same watermark gave something else")
		}
		mark := first.Events[maxEvents-1].Watermark
		rest := get(mark)
		if len(rest.Events) != 90-maxEvents || rest.More {
			t.Errorf("%d events are left, more %v", len(rest.Events), rest.More)
		}
		for name, watermark := range map[string]string{"passed": start, "made up": "AAAA", "none": ""} {
			if a := c.ask(&ews.GetEvents{SubscriptionID: id, Watermark: watermark}); a.code() != "ErrorInvalidWatermark" {
				t.Errorf("a watermark that is %s: %s", name, a.code())
			}
		}
		if a := asUser(t, x, bob).ask(&ews.GetEvents{SubscriptionID: id, Watermark: mark}); a.code() != "ErrorSubscriptionAccessDenied" {
			t.Errorf("as somebody else: %s", a.code())
		}
		time.Sleep(11 * time.Minute)
		if a := c.ask(&ews.GetEvents{SubscriptionID: id, Watermark: mark}); a.code() != "ErrorExpiredSubscription" {
			t.Errorf("after its time: %s", a.code())
		}
		if a := c.ask(&ews.Subscribe{AllFolders: true, Events: allEvents, Timeout: 10, Watermark: mark}); a.code() != "ErrorInvalidWatermark" {
			t.Errorf("a new one with the old watermark: %s", a.code())
		}
	})
}

func TestSubscriptionToSomeFolders(t *testing.T) {
	x := newExchange(t, Options{})
	c := asUser(t, x, ann)
	box := x.Mailbox(ann)
	id, mark := c.pull(ews.FolderID{Distinguished: "junkemail"})
	it := deliver(t, x, plain(1))
	it.Move(box.Folder(JunkEmail))
	it.Move(box.Folder(Inbox))
	n := c.one(&ews.GetEvents{SubscriptionID: id, Watermark: mark}).Notification
	if got := n.names(); !slices.Equal(got, []string{"Moved", "Modified", "Moved"}) {
		t.Errorf("got %v", got)
	}
	for name, tt := range map[string]struct {
		op   *ews.Subscribe
		want string
	}{
		"no such folder":     {&ews.Subscribe{Streaming: true, Folders: []ews.FolderID{{ID: "nonsense"}}, Events: allEvents}, "ErrorInvalidIdMalformed"},
		"another's folder":   {&ews.Subscribe{Streaming: true, Folders: []ews.FolderID{{Distinguished: "inbox", Mailbox: &ews.Mailbox{EmailAddress: string(bob)}}}, Events: allEvents}, "ErrorAccessDenied"},
		"all and some":       {&ews.Subscribe{Streaming: true, AllFolders: true, Folders: []ews.FolderID{*inbox()}, Events: allEvents}, "ErrorInvalidSubscriptionRequest"},
		"no folder":          {&ews.Subscribe{Streaming: true, Events: allEvents}, "ErrorInvalidSubscriptionRequest"},
		"no event":           {&ews.Subscribe{Streaming: true, AllFolders: true, Events: []ews.EventKind{}}, "ErrorSchemaValidation"},
		"an unknown event":   {&ews.Subscribe{Streaming: true, AllFolders: true, Events: []ews.EventKind{"Birthday"}}, "ErrorSchemaValidation"},
		"a pull for no time": {&ews.Subscribe{AllFolders: true, Events: allEvents}, "ErrorSchemaValidation"},
	} {
		if a := c.ask(tt.op); a.code() != tt.want {
			t.Errorf("%s: got %s, want %s", name, a.code(), tt.want)
		}
	}
}

// group asks for notifications as clients do that hold many subscriptions on one
// connection.
func group(t *testing.T, x *Exchange, mailbox, anchor mail.Address, cookie string, op ews.Operation) (wireAnswer, http.Header) {
	t.Helper()
	var body strings.Builder
	req := &ews.Request{Header: ews.Header{Version: ews.Exchange2013SP1}, Op: op}
	req.Impersonation.PrimarySmtpAddress = string(mailbox)
	if err := ews.WriteRequest(&body, req); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(body.String()))
	r.SetBasicAuth(login, password)
	r.Header.Set("X-AnchorMailbox", string(anchor))
	r.Header.Set("X-PreferServerAffinity", "true")
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	w := httptest.NewRecorder()
	x.ServeHTTP(w, r)
	return readAnswer(t, w.Body.Bytes()), w.Header()
}

func TestSubscriptionsLiveOnOneBackEnd(t *testing.T) {
	x := newExchange(t, Options{Servers: 2})
	const carol = mail.Address("carol@company.example")
	x.AddMailbox(Person{"Carol", carol})
	subscribe := &ews.Subscribe{AllFolders: true, Events: allEvents, Timeout: 10}
	a, header := group(t, x, ann, ann, "", subscribe)
	first := a.messages()[0]
	cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
	if a.code() != "NoError" || !strings.HasPrefix(cookie, "X-BackEndOverrideCookie=sim01.company.example~") || header.Get("X-CalculatedBETarget") != "sim01.company.example" {
		t.Fatalf("%s with %v", a.code(), header)
	}
	if _, header = group(t, x, bob, bob, "", getFolder()); header.Get("X-CalculatedBETarget") != "sim02.company.example" || header.Get("Set-Cookie") != "" {
		t.Errorf("Bob's mailbox: %v", header)
	}
	events := &ews.GetEvents{SubscriptionID: first.Subscription, Watermark: first.Watermark}
	for name, tt := range map[string]struct {
		mailbox, anchor mail.Address
		cookie          string
		op              ews.Operation
		want            string
	}{
		"a mailbox on the anchor's server":      {carol, ann, cookie, subscribe, "NoError"},
		"a mailbox elsewhere":                   {bob, ann, "", subscribe, "ErrorProxyRequestNotAllowed"},
		"a mailbox elsewhere by the cookie":     {bob, bob, cookie, subscribe, "ErrorProxyRequestNotAllowed"},
		"events from where the subscription is": {ann, ann, cookie, events, "NoError"},
		"events through another anchor":         {ann, bob, "", events, "ErrorSubscriptionNotFound"},
		"anything else through another anchor":  {ann, bob, "", getFolder(), "NoError"},
	} {
		if a, _ := group(t, x, tt.mailbox, tt.anchor, tt.cookie, tt.op); a.code() != tt.want {
			t.Errorf("%s: got %s, want %s", name, a.code(), tt.want)
		}
	}
}
