package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

func TestEveryKindCanBeWritten(t *testing.T) {
	for _, kind := range Kinds() {
		text := string(kind)
		switch kind {
		case AnyError:
			text += "=ErrorItemCorrupt:where=entry"
		case HTTPStatus:
			text += "=429"
		}
		got, err := ParseTrouble(text + ":GetStreamingEvents:at=7:delay=3s")
		if err != nil || got.Kind != kind || got.At != 7 || got.Delay != 3*time.Second || got.Operation != "GetStreamingEvents" {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"error", "status", "status=9", "busy-503=7", "torn:where=nowhere", "torn:at=x"} {
		if _, err := ParseTrouble(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestErrorsByName(t *testing.T) {
	x := newExchange(t, Options{})
	it := deliver(t, x, plain(1))
	c := asUser(t, x, ann)
	get := &ews.GetItem{Shape: itemShape("item:Subject"), IDs: []ews.ItemID{{ID: it.ID()}, {ID: it.ID()}}}
	entry := &ews.SyncFolderItems{Shape: itemShape(), Folder: inbox(), Max: 10}
	for kind, known := range errorKinds {
		op := ews.Operation(get)
		if kind == SyncErrorEmptyState {
			op = entry
		}
		x.Calm()
		x.MakeTrouble(Trouble{Kind: kind})
		status, body := c.send(op)
		a := readAnswer(t, body)
		code := a.code()
		if m := a.messages(); known.where == InEntry {
			code = m[len(m)-1].Code
		}
		if code != known.code || (status == http.StatusOK) != (known.where == InEntry) {
			t.Errorf("%s: status %d with %s", kind, status, code)
		}
		if want := map[Kind]string{NonPrimary: string(ann), BusyEntry: ""}[kind]; want != "" && a.Body.Fault.Values[0].Text != want {
			t.Errorf("%s: told %+v", kind, a.Body.Fault.Values)
		}
	}
}

func TestAnyErrorAnywhere(t *testing.T) {
	x := newExchange(t, Options{})
	it := deliver(t, x, plain(1))
	c := asUser(t, x, ann)
	get := &ews.GetItem{Shape: itemShape("item:Subject"), IDs: []ews.ItemID{{ID: it.ID()}, {ID: it.ID()}}}
	for _, code := range []string{"ErrorMailboxFailover", "ErrorADUnavailable", "ErrorVirusDetected", "ErrorSomethingNew", "ErrorBatchProcessingStopped"} {
		for where, status := range map[string]int{InFault: 500, InEntry: 200, InHeader: 500} {
			x.Calm()
			trouble, err := ParseTrouble(fmt.Sprintf("error=%s:where=%s:times=1", code, where))
			if err != nil {
				t.Fatal(err)
			}
			x.MakeTrouble(trouble)
			r := httptest.NewRequest(http.MethodPost, Path, request(t, get))
			r.SetBasicAuth(login, password)
			w := httptest.NewRecorder()
			x.ServeHTTP(w, r)
			got := w.Header().Get("X-CasErrorCode")
			if where != InHeader {
				a := readAnswer(t, w.Body.Bytes())
				got = a.code()
				if m := a.messages(); len(m) == 2 {
					got = m[1].Code
					if (m[1].Class == "Warning") != (code == "ErrorBatchProcessingStopped") {
						t.Errorf("%s is of class %s", code, m[1].Class)
					}
				}
			}
			if w.Code != status || got != code {
				t.Errorf("%s in %s: status %d with %q", code, where, w.Code, got)
			}
		}
		c.one(getFolder())
	}
}

// request is a request of Ann.
func request(t testing.TB, op ews.Operation) *bytes.Buffer {
	t.Helper()
	var body bytes.Buffer
	req := &ews.Request{Header: ews.Header{Version: ews.Exchange2013SP1}, Op: op}
	req.Impersonation.PrimarySmtpAddress = string(ann)
	if err := ews.WriteRequest(&body, req); err != nil {
		t.Fatal(err)
	}
	return &body
}

// A brimful client takes so many bytes and no more.
type brimful struct {
	*httptest.ResponseRecorder
	left int
}

func (b *brimful) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errors.New("enough")
	}
	return len(p), nil
}

func TestBodiesThatAreNoAnswer(t *testing.T) {
	x := newExchange(t, Options{})
	ask := func(kind Kind, w http.ResponseWriter) {
		x.Calm()
		x.MakeTrouble(Trouble{Kind: kind, Code: "429", BackOff: 7 * time.Second})
		r := httptest.NewRequest(http.MethodPost, Path, request(t, getFolder()))
		r.SetBasicAuth(login, password)
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
		}()
		x.ServeHTTP(w, r)
	}
	w := httptest.NewRecorder()
	if ask(HTTPStatus, w); w.Code != 429 || w.Header().Get("Retry-After") != "7" {
		t.Errorf("status: %d with %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	if ask(Forbidden, w); w.Code != 403 {
		t.Errorf("forbidden: %d", w.Code)
	}
	w = httptest.NewRecorder()
	if ask(Garbage, w); w.Code != 200 || w.Body.Len() == 0 || bytes.Contains(w.Body.Bytes(), []byte("Envelope")) {
		t.Errorf("garbage: %d with %d bytes", w.Code, w.Body.Len())
	}
	w = httptest.NewRecorder()
	if ask(BadEncoding, w); w.Header().Get("Content-Encoding") != "gzip" || !bytes.HasSuffix(w.Body.Bytes(), []byte("</s:Envelope>")) {
		t.Errorf("bad encoding: %v", w.Header())
	}
	huge := &brimful{httptest.NewRecorder(), 64 << 20}
	if ask(HugeBody, huge); huge.left >= 0 {
		t.Errorf("a huge body ended %d bytes early", huge.left)
	}
}

func TestAnswersThatLetWait(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, x *Exchange) {
		x.MakeTrouble(Trouble{Kind: Slow, Delay: 20 * time.Second})
		began := time.Now()
		asUser(t, x, ann).one(getFolder())
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("a slow answer took %v", took)
		}
		x.Calm()
		x.MakeTrouble(Trouble{Kind: Hang})
		ctx, leave := context.WithCancel(t.Context())
		r := httptest.NewRequest(http.MethodPost, Path, request(t, getFolder())).WithContext(ctx)
		r.SetBasicAuth(login, password)
		ended := make(chan any)
		go func() {
			defer func() { ended <- recover() }()
			x.ServeHTTP(httptest.NewRecorder(), r)
		}()
		time.Sleep(time.Hour)
		select {
		case <-ended:
			t.Error("an answer that never comes came")
		default:
		}
		leave()
		if p := <-ended; p != http.ErrAbortHandler {
			t.Errorf("the client left: %v", p)
		}
	})
}

func TestSyncStatesThatMislead(t *testing.T) {
	x := newExchange(t, Options{})
	var items []*Item
	for i := range 6 {
		items = append(items, deliver(t, x, plain(i)))
	}
	c := asUser(t, x, ann)
	state := c.step("", 10).SyncState
	items[0].MarkRead(true)
	x.MakeTrouble(Trouble{Kind: ReadAsUpdate, Times: 1})
	if got := kindsOf(c.step(state, 10)); !slices.Equal(got, []string{"Update"}) {
		t.Errorf("a read flag as an update: %v", got)
	}
	if got := kindsOf(c.step(state, 10)); !slices.Equal(got, []string{"ReadFlagChange"}) {
		t.Errorf("in calm: %v", got)
	}
	x.MakeTrouble(Trouble{Kind: StateRestart, Times: 1})
	if m := c.step(state, 10); len(m.Changes.List) != 6 || kindsOf(m)[0] != "Create" {
		t.Errorf("from the start: %v", kindsOf(m))
	}
	state = c.step(state, 10).SyncState
	for _, it := range items {
		it.Delete()
	}
	x.MakeTrouble(Trouble{Kind: DeletesCut, Times: 1})
	cut := c.step(state, 4)
	if !cut.Last || len(cut.Changes.List) != 4 {
		t.Errorf("cut deletions: last %v, %d", cut.Last, len(cut.Changes.List))
	}
	if rest := c.step(cut.SyncState, 4); len(rest.Changes.List) != 2 || !rest.Last {
		t.Errorf("the rest of them: %d", len(rest.Changes.List))
	}
	x.MakeTrouble(Trouble{Kind: SyncErrorEmptyState, Times: 1})
	a := c.ask(&ews.SyncFolderItems{Shape: itemShape(), Folder: inbox(), SyncState: state, Max: 4})
	if m := a.messages()[0]; m.Class != "Error" || m.SyncState != "" || !m.Last {
		t.Errorf("a failed sync: %+v", m)
	}
}

func TestMimeThatDiffers(t *testing.T) {
	x := newExchange(t, Options{})
	it := deliver(t, x, plain(1))
	c := asUser(t, x, ann)
	x.MakeTrouble(Trouble{Kind: MimeDiffers})
	first, second := c.item(it, "item:MimeContent").Mime, c.item(it, "item:MimeContent").Mime
	if len(first) == len(second) || first == "" {
		t.Errorf("%d and %d characters", len(first), len(second))
	}
}

func TestStreamsInTrouble(t *testing.T) {
	inTrouble := func(trouble Trouble, test func(*testing.T, *Exchange, *listener, string)) func(*testing.T) {
		return func(t *testing.T) {
			inBubble(t, Options{}, func(t *testing.T, x *Exchange) {
				x.MakeTrouble(trouble)
				c := asUser(t, x, ann)
				id := c.subscribe()
				l := c.listen(30, id)
				deliver(t, x, plain(1))
				test(t, x, l, id)
				l.leave()
			})
		}
	}
	t.Run("silent", inTrouble(Trouble{Kind: StreamSilent, At: 1}, func(t *testing.T, _ *Exchange, l *listener, _ string) {
		time.Sleep(10 * time.Minute)
		if got := l.envelopes(); len(got) != 1 || l.ended() {
			t.Errorf("%d envelopes, ended %v", len(got), l.ended())
		}
	}))
	t.Run("torn", inTrouble(Trouble{Kind: StreamTorn}, func(t *testing.T, _ *Exchange, l *listener, _ string) {
		if got := l.envelopes(); len(got) != 1 || !l.ended() || !l.cut || !bytes.Contains(l.got.Bytes(), []byte("m:Notification>")) {
			t.Errorf("%d envelopes, cut %v in %s", len(got), l.cut, l.got.Bytes())
		}
	}))
	t.Run("torn at a byte", inTrouble(Trouble{Kind: StreamTorn, At: 777}, func(t *testing.T, _ *Exchange, l *listener, _ string) {
		if !l.ended() || !l.cut || l.got.Len() != 777 {
			t.Errorf("cut %v at %d", l.cut, l.got.Len())
		}
	}))
	t.Run("reset", inTrouble(Trouble{Kind: StreamReset}, func(t *testing.T, _ *Exchange, l *listener, _ string) {
		if !l.ended() || !l.cut || l.got.Len() != 0 {
			t.Errorf("cut %v after %d", l.cut, l.got.Len())
		}
	}))
	t.Run("lost events", inTrouble(Trouble{Kind: StreamLostEvents}, func(t *testing.T, _ *Exchange, l *listener, _ string) {
		time.Sleep(heartBeat)
		if got := l.envelopes(); len(got) != 2 || got[1].Message.Status != "OK" || len(got[1].Message.Notifications) != 0 {
			t.Errorf("%+v", got)
		}
	}))
	t.Run("duplicate", inTrouble(Trouble{Kind: StreamDuplicate}, func(t *testing.T, _ *Exchange, l *listener, _ string) {
		if got := l.notes(); len(got) != 2 || !slices.Equal(got[0].Events, got[1].Events) {
			t.Errorf("%+v", got)
		}
	}))
	t.Run("late", inTrouble(Trouble{Kind: StreamLate, Delay: 10 * time.Second}, func(t *testing.T, _ *Exchange, l *listener, _ string) {
		time.Sleep(9 * time.Second)
		early := len(l.notes())
		time.Sleep(2 * time.Second)
		if late := len(l.notes()); early != 0 || late != 1 {
			t.Errorf("%d early, %d late", early, late)
		}
	}))
	t.Run("reordered", inTrouble(Trouble{Kind: StreamReordered}, func(t *testing.T, _ *Exchange, l *listener, _ string) {
		if got := l.notes(); len(got) != 1 || !slices.Equal(got[0].names(), []string{"Modified", "NewMail", "Created"}) {
			t.Errorf("%+v", got)
		}
	}))
	lost := func(named bool) func(*testing.T, *Exchange, *listener, string) {
		return func(t *testing.T, x *Exchange, l *listener, id string) {
			time.Sleep(heartBeat)
			got := l.envelopes()
			if len(got) != 2 || got[0].Message.Code != "ErrorSubscriptionNotFound" || got[0].Message.Status != "OK" || slices.Contains(got[0].Message.Lost, id) != named || l.ended() {
				t.Fatalf("%+v", got)
			}
			if m := got[1].Message; m.Code != "NoError" || m.Status != "OK" || len(m.Notifications) > 0 {
				t.Errorf("afterwards: %+v", m)
			}
			x.Calm()
			if a := asUser(t, x, ann).ask(&ews.Unsubscribe{SubscriptionID: id}); a.code() != "ErrorSubscriptionNotFound" {
				t.Errorf("it is not lost: %s", a.code())
			}
		}
	}
	t.Run("lost subscription", inTrouble(Trouble{Kind: StreamLostSubscription}, lost(true)))
	t.Run("lost subscription, nameless", inTrouble(Trouble{Kind: StreamLostNameless}, lost(false)))
	t.Run("namespace", inTrouble(Trouble{Kind: StreamNamespace}, func(t *testing.T, _ *Exchange, l *listener, _ string) {
		if got := l.notes(); len(got) != 1 || !strings.HasSuffix(got[0].XMLName.Space, "/types") || len(got[0].names()) != 3 {
			t.Errorf("%+v", got)
		}
	}))
	t.Run("missed", inTrouble(Trouble{Kind: MissedEvents}, func(t *testing.T, _ *Exchange, l *listener, id string) {
		if got := l.envelopes(); len(got) != 2 || got[1].Message.Code != "ErrorMissedNotificationEvents" || !slices.Equal(got[1].Message.Lost, []string{id}) || !l.ended() {
			t.Errorf("%+v", got)
		}
	}))
	t.Run("any error", inTrouble(Trouble{Kind: AnyError, Code: "ErrorReadEventsFailed", Where: InEntry, Operation: "GetStreamingEvents"}, func(t *testing.T, _ *Exchange, l *listener, id string) {
		if got := l.envelopes(); len(got) != 1 || got[0].Message.Code != "ErrorReadEventsFailed" || !l.ended() {
			t.Errorf("%+v", got)
		}
	}))
}

func TestPullingInTrouble(t *testing.T) {
	x := newExchange(t, Options{})
	c := asUser(t, x, ann)
	id, mark := c.pull()
	deliver(t, x, plain(1))
	x.MakeTrouble(Trouble{Kind: EventsNoWatermark, Times: 1})
	n := c.one(&ews.GetEvents{SubscriptionID: id, Watermark: mark}).Notification
	if n.Previous != "" || len(n.names()) != 3 || n.Events[0].Watermark != "" {
		t.Errorf("%+v", n)
	}
	x.MakeTrouble(Trouble{Kind: MissedEvents, Times: 1})
	for _, want := range []string{"ErrorMissedNotificationEvents", "ErrorSubscriptionNotFound"} {
		if a := c.ask(&ews.GetEvents{SubscriptionID: id, Watermark: mark}); a.code() != want {
			t.Errorf("got %s, want %s", a.code(), want)
		}
	}
}

func TestScriptGoesByMailboxAndOperation(t *testing.T) {
	var mu sync.Mutex
	met := map[string][]int{}
	x := newExchange(t, Options{Script: func(r RequestRecord, n int) *Trouble {
		mu.Lock()
		defer mu.Unlock()
		key := r.Operation + " " + string(r.Mailbox)
		met[key] = append(met[key], n)
		switch {
		case r.Operation == "GetFolder" && r.Mailbox == ann && n == 2:
			return &Trouble{Kind: BusyFault}
		case r.Operation == "GetFolder" && n == 3:
			return &Trouble{Kind: StreamSilent} // cannot happen here
		}
		return nil
	}})
	a, b := asUser(t, x, ann), asUser(t, x, bob)
	var got []int
	for _, c := range []*caller{a, b, a, b, a, b} {
		status, _ := c.send(getFolder())
		got = append(got, status)
	}
	if want := []int{200, 200, 500, 200, 200, 200}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if want := []int{1, 2, 3}; !slices.Equal(met["GetFolder ann@company.example"], want) || !slices.Equal(met["GetFolder bob@company.example"], want) {
		t.Errorf("counted %v", met)
	}
	if r := x.Requests(); r[2].Trouble != BusyFault || r[4].Trouble != "" {
		text, _ := json.Marshal(r)
		t.Errorf("written down: %s", text)
	}
}

func TestOpenRequestsOfOneMailboxAreBounded(t *testing.T) {
	inBubble(t, Options{MaxOpen: 2}, func(t *testing.T, x *Exchange) {
		c := asUser(t, x, ann)
		l := c.listen(30, c.subscribe()) // does not count
		var wg sync.WaitGroup
		x.MakeTrouble(Trouble{Kind: Slow, Times: 2})
		for range 2 {
			wg.Go(func() { c.one(getFolder()) })
		}
		synctest.Wait()
		if status, code := c.asked(); status != 500 || code != "ErrorExceededConnectionCount" {
			t.Errorf("a third: status %d with %s", status, code)
		}
		if status, _ := asUser(t, x, bob).asked(); status != http.StatusOK {
			t.Errorf("Bob: status %d", status)
		}
		wg.Wait()
		if _, code := c.asked(); code != "NoError" {
			t.Errorf("afterwards: %s", code)
		}
		l.leave()
	})
}

func TestIdleStreamsSleep(t *testing.T) {
	inBubble(t, Options{MaxHanging: 100}, func(t *testing.T, x *Exchange) {
		c := asUser(t, x, ann)
		var open []*listener
		for range 100 {
			ids := make([]string, 20)
			for i := range ids {
				ids[i] = c.subscribe()
			}
			open = append(open, c.listen(30, ids...))
		}
		time.Sleep(10*heartBeat + time.Second)
		for _, l := range open {
			if n := len(l.envelopes()); n != 11 {
				t.Fatalf("%d envelopes in ten heart-beats", n)
			}
			l.leave()
		}
		synctest.Wait()
		if s := x.Stats(); s.Streams != 0 || s.Subscriptions != 2000 {
			t.Errorf("%+v", s)
		}
	})
}
