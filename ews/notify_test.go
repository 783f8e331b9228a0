package ews

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/crm"
)

var (
	annBox = &crm.Mailbox{ID: 1, Address: "ann@example.com"}
	bobBox = &crm.Mailbox{ID: 2, Address: "bob@example.com"}
)

// notifier returns a source on the server that notifies.
func (s *server) notifier(t *testing.T) crm.Notifier {
	t.Helper()
	n, ok := s.source(t).(crm.Notifier)
	if !ok {
		t.Fatal("the source is no notifier")
	}
	return n
}

// streamed is a stream of these envelopes, whose connection then ends.
func streamed(envelopes ...*GetStreamingEventsResult) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if _, _, ok := r.BasicAuth(); !ok {
			return false
		}
		w.Header().Set("Content-Type", "text/xml")
		for _, e := range envelopes {
			w.Write([]byte(envelope(e) + "\n"))
		}
		return true
	}
}

var subscriptions = []crm.Subscription{
	{Box: annBox, Anchor: annBox, ID: "S1", Streaming: true}, {Box: bobBox, Anchor: annBox, ID: "S2", Streaming: true},
}

// hear listens and boils down what is told: "1 F1 F2", "2 lost CODE", "alive".
func hear(t *testing.T, n crm.Notifier) (list []string, err error) {
	t.Helper()
	err = n.Listen(t.Context(), subscriptions, func(n crm.Notice) {
		switch {
		case n.Lost != nil:
			list = append(list, string('0'+rune(n.Box))+" lost "+n.Lost.Code)
		case n.Box == 0:
			list = append(list, "alive")
		default:
			what := strings.TrimSpace(string('0'+rune(n.Box)) + " " + strings.Join(n.Folders, " "))
			if n.Tree {
				what += ", and the folders"
			}
			list = append(list, what)
		}
	})
	return list, err
}

func TestListenTellsWhereSomethingHappened(t *testing.T) {
	folder := func(id string) *FolderID { return &FolderID{ID: id} }
	busyDay := &GetStreamingEventsResult{Result: Succeeded(), Notifications: []Notification{
		{SubscriptionID: "S1", Events: []MailboxEvent{
			{Kind: CreatedEvent, Item: &ItemID{ID: "A"}, Parent: folder("F1")}, {Kind: NewMailEvent, Item: &ItemID{ID: "A"}, Parent: folder("F1")},
			{Kind: MovedEvent, Item: &ItemID{ID: "B"}, Parent: folder("F2"), OldItem: &ItemID{ID: "A"}, OldParent: folder("F1")},
			{Kind: StatusEvent},
		}},
		{SubscriptionID: "S2", Events: []MailboxEvent{{Kind: MovedEvent, Folder: folder("F3"), Parent: folder("F4"), OldFolder: folder("F3"), OldParent: folder("F5")}}},
		{SubscriptionID: "of somebody else", Events: []MailboxEvent{{Kind: NewMailEvent, Parent: folder("F9")}}},
	}}
	quiet := &GetStreamingEventsResult{Result: Succeeded(), Notifications: []Notification{{SubscriptionID: "S1", Events: []MailboxEvent{{Kind: StatusEvent}}}}}
	vague := &GetStreamingEventsResult{Result: Succeeded(), Notifications: []Notification{{SubscriptionID: "S2", Events: []MailboxEvent{{Kind: ModifiedEvent}}}}}
	s := newServer(t, anything)
	s.before = streamed(signOfLife(), busyDay, quiet, vague, closing())
	got, err := hear(t, s.notifier(t))
	want := []string{"alive", "1 F1 F2", "2 F3, and the folders", "alive", "2", "alive"}
	if d := gocmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
}

// TestListenEnds: what the last envelope says decides; ConnectionStatus OK beside an
// error does not.
func TestListenEnds(t *testing.T) {
	failed := func(code string, status ConnectionStatus, ids ...string) *GetStreamingEventsResult {
		return &GetStreamingEventsResult{Result: Failed(code, "nein"), ErrorIDs: ids, Status: status}
	}
	for _, tt := range []struct {
		name string
		last *GetStreamingEventsResult
		want []string
		code string // "" = a good end
	}{
		{"closed", closing(), []string{"alive"}, ""},
		{"cut", nil, nil, "torn-answer"},
		{"OK beside an error", failed("ErrorInvalidSubscription", ConnectionOK, "S2"), []string{"2 lost ErrorInvalidSubscription"}, "ErrorInvalidSubscription"},
		{"closed beside an error", failed("ErrorSubscriptionNotFound", ConnectionClosed, "S1"), []string{"1 lost ErrorSubscriptionNotFound"}, "ErrorSubscriptionNotFound"},
		{"several", failed("ErrorExpiredSubscription", ConnectionOK, "S2", "S1", "S9"), []string{"2 lost ErrorExpiredSubscription", "1 lost ErrorExpiredSubscription"}, "ErrorExpiredSubscription"},
		{"nobody named", failed("ErrorSubscriptionUnsubscribed", ConnectionOK), []string{"1 lost ErrorSubscriptionUnsubscribed", "2 lost ErrorSubscriptionUnsubscribed"}, "ErrorSubscriptionUnsubscribed"},
		{"a gap", failed("ErrorMissedNotificationEvents", ConnectionOK, "S1"), []string{"1 lost ErrorMissedNotificationEvents"}, "ErrorMissedNotificationEvents"},
		{"the wrong server", failed("ErrorReadEventsFailed", ConnectionOK), []string{"1 lost ErrorReadEventsFailed", "2 lost ErrorReadEventsFailed"}, "ErrorReadEventsFailed"},
		{"a code that nobody knows, with ids", failed("ErrorNew", ConnectionOK, "S2"), []string{"2 lost ErrorNew"}, "ErrorNew"},
		{"a second connection", failed("ErrorNewEventStreamConnectionOpened", ConnectionClosed, "S1"), nil, "ErrorNewEventStreamConnectionOpened"},
		{"busy", failed("ErrorServerBusy", ConnectionOK), nil, "ErrorServerBusy"},
		{"too many connections", failed("ErrorExceededConnectionCount", ConnectionClosed), nil, "ErrorExceededConnectionCount"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, anything)
			if tt.last == nil {
				s.before = streamed(signOfLife())
			} else {
				s.before = streamed(signOfLife(), tt.last)
			}
			got, err := hear(t, s.notifier(t))
			if d := gocmp.Diff(append([]string{"alive"}, tt.want...), got); d != "" {
				t.Error(d)
			}
			if tt.code == "" && err != nil || tt.code != "" && (err == nil || crm.AsFault(err).Code != tt.code) {
				t.Errorf("ended with %v, want %q", err, tt.code)
			}
		})
	}
	t.Run("a fault", func(t *testing.T) {
		s := newServer(t, func(*Request) ([]Answer, *SOAPFault) { return nil, &SOAPFault{Code: "ErrorSubscriptionNotFound"} })
		got, err := hear(t, s.notifier(t))
		if d := gocmp.Diff([]string{"1 lost ErrorSubscriptionNotFound", "2 lost ErrorSubscriptionNotFound"}, got); d != "" || err == nil {
			t.Errorf("%v\n%s", err, d)
		}
	})
}

// TestGroupStaysTogether: the requests of a group carry its anchor and its cookies, those
// of others do not, and the anchor is who listens.
func TestGroupStaysTogether(t *testing.T) {
	n := 0
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		switch r.Op.(type) {
		case *Subscribe:
			n++
			return []Answer{&SubscribeResult{Result: Succeeded(), SubscriptionID: "S" + string('0'+rune(n))}}, nil
		case *GetStreamingEvents:
			return []Answer{closing()}, nil
		case *Unsubscribe:
			return []Answer{new(Succeeded())}, nil
		}
		return anything(r)
	})
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if _, _, ok := r.BasicAuth(); ok {
			http.SetCookie(w, &http.Cookie{Name: "X-BackEndOverrideCookie", Value: "be-of-answer-" + string('0'+rune(n))})
			http.SetCookie(w, &http.Cookie{Name: "exchangecookie", Value: "lb"})
		}
		return false
	}
	src := s.notifier(t)
	first, err := src.Subscribe(t.Context(), annBox, annBox)
	if err != nil {
		t.Fatal(err)
	}
	second, err := src.Subscribe(t.Context(), bobBox, annBox)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Streaming || first.ID != "S1" || second.Anchor != annBox {
		t.Errorf("subscriptions %+v, %+v", first, second)
	}
	if err := src.Listen(t.Context(), []crm.Subscription{first, second}, func(crm.Notice) {}); err != nil {
		t.Error(err)
	}
	if err := src.Unsubscribe(t.Context(), second); err != nil {
		t.Error(err)
	}
	if _, err := src.Subscribe(t.Context(), bobBox, bobBox); err != nil {
		t.Error(err)
	}
	if err := ask(src.(*source).client, "ann@example.com"); err != nil {
		t.Error(err)
	}
	type request struct{ op, acting, anchor, affinity, backEnd, cookie string }
	var got []request
	for i, r := range s.requests[1:] { // the first asks for the schemes
		op := s.ops[i]
		got = append(got, request{op.Op.Operation(), op.Impersonation.PrimarySmtpAddress, r.Header.Get("X-AnchorMailbox"),
			r.Header.Get("X-PreferServerAffinity"), r.Header.Get("X-BackEndOverrideCookie"), r.Header.Get("Cookie")})
	}
	const cookies = "X-BackEndOverrideCookie=be-of-answer-0; exchangecookie=lb"
	want := []request{
		{"Subscribe", "ann@example.com", "ann@example.com", "true", "", ""},
		{"Subscribe", "bob@example.com", "ann@example.com", "true", "be-of-answer-0", cookies},
		{"GetStreamingEvents", "ann@example.com", "ann@example.com", "true", "be-of-answer-0", cookies},
		{"Unsubscribe", "bob@example.com", "ann@example.com", "true", "be-of-answer-2", "X-BackEndOverrideCookie=be-of-answer-2; exchangecookie=lb"},
		{"Subscribe", "bob@example.com", "bob@example.com", "true", "", ""},
		{"GetFolder", "ann@example.com", "ann@example.com", "", "", ""},
	}
	for i := range got {
		parts := strings.Split(got[i].cookie, "; ")
		if len(parts) == 2 && strings.HasPrefix(parts[0], "exchangecookie") {
			got[i].cookie = parts[1] + "; " + parts[0]
		}
	}
	if d := gocmp.Diff(want, got, gocmp.AllowUnexported(request{})); d != "" {
		t.Error(d)
	}
	stream := s.ops[2].Op.(*GetStreamingEvents)
	if d := gocmp.Diff(&GetStreamingEvents{SubscriptionIDs: []string{"S1", "S2"}, Timeout: 29}, stream); d != "" {
		t.Error(d)
	}
}

// TestCookiesAreBounded: a server may not have us keep what it likes, and a 400, which
// too long cookies bring about, drops them.
func TestCookiesAreBounded(t *testing.T) {
	s := newServer(t, anything)
	g := s.client(t).Group("ann@example.com")
	resp := &http.Response{StatusCode: 200, Header: http.Header{}}
	for i := range 40 {
		resp.Header.Add("Set-Cookie", (&http.Cookie{Name: "c" + strings.Repeat("x", i), Value: "v"}).String())
	}
	resp.Header.Add("Set-Cookie", (&http.Cookie{Name: "c", Value: strings.Repeat("v", 5000)}).String())
	g.keep(resp, "ann@example.com")
	sent := func() int {
		req := &http.Request{Header: http.Header{}}
		g.sign(req)
		return len(req.Cookies())
	}
	if n := sent(); n != maxCookies-1 { // the first was replaced by one that is too large
		t.Errorf("%d cookies are sent, want %d", n, maxCookies-1)
	}
	g.keep(&http.Response{StatusCode: 200, Header: http.Header{"Set-Cookie": {"cx=; Max-Age=0"}}}, "ann@example.com")
	if n := sent(); n != maxCookies-2 {
		t.Errorf("%d cookies are sent after one was taken back, want %d", n, maxCookies-2)
	}
	g.keep(&http.Response{StatusCode: 400}, "ann@example.com")
	if n := sent(); n != 0 {
		t.Errorf("%d cookies are sent after a 400", n)
	}
}

// TestSubscribeTakesWhatTheServerHas: streaming, else to be pulled, from all folders, else
// from each; a server that knows neither is told of as such, other trouble as what it is.
func TestSubscribeTakesWhatTheServerHas(t *testing.T) {
	for _, tt := range []struct {
		name      string
		newest    string // schema of the server
		refuse    func(op *Subscribe) string
		streaming bool
		folders   int
		code      string
	}{
		{name: "2013", newest: Exchange2013SP1, streaming: true},
		{name: "2010 SP1", newest: Exchange2010SP1, streaming: true},
		{name: "2010", newest: Exchange2010},
		{name: "2007", newest: Exchange2007SP1, folders: 1},
		{name: "no streaming", newest: Exchange2013SP1, refuse: func(op *Subscribe) string {
			if op.Streaming {
				return "ErrorInvalidSubscriptionRequest"
			}
			return ""
		}},
		{name: "neither", newest: Exchange2013SP1, refuse: func(*Subscribe) string { return "ErrorInvalidRequest" }, code: "no-notifications"},
		{name: "not the owner", newest: Exchange2013SP1, refuse: func(*Subscribe) string { return "ErrorSubscriptionDelegateAccessNotSupported" }, code: "no-notifications"},
		{name: "too many", newest: Exchange2013SP1, refuse: func(*Subscribe) string { return "ErrorExceededSubscriptionCount" }, code: "ErrorExceededSubscriptionCount"},
		{name: "nobody there", newest: Exchange2013SP1, refuse: func(*Subscribe) string { return "ErrorNonExistentMailbox" }, code: "ErrorNonExistentMailbox"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var last *Subscribe
			s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
				if schemaRank(r.Version) < schemaRank(tt.newest) {
					return nil, &SOAPFault{Code: "ErrorInvalidServerVersion"}
				}
				switch op := r.Op.(type) {
				case *SyncFolderHierarchy:
					return []Answer{&SyncFolderHierarchyResult{Result: Succeeded(), Last: true, SyncState: "x", Changes: []FolderChange{
						{Kind: Created, Folder: Folder{Element: PlainFolder, ID: FolderID{ID: "F-inbox"}, Class: "IPF.Note"}},
						{Kind: Created, Folder: Folder{Element: PlainFolder, ID: FolderID{ID: "F-junkemail"}, Class: "IPF.Note"}}}}}, nil
				case *Subscribe:
					last = op
					if tt.refuse != nil {
						if code := tt.refuse(op); code != "" {
							return []Answer{&SubscribeResult{Result: Failed(code, "")}}, nil
						}
					}
					r := &SubscribeResult{Result: Succeeded(), SubscriptionID: "S1"}
					if !op.Streaming {
						r.Watermark = "W0"
					}
					return []Answer{r}, nil
				}
				return anything(r)
			})
			sub, err := s.notifier(t).Subscribe(t.Context(), annBox, annBox)
			if tt.code != "" {
				f := crm.AsFault(err)
				if f.Code != tt.code || f.Scope != crm.MailboxScope || tt.code == "no-notifications" && f.Verdict != crm.Refused {
					t.Errorf("got %+v, want %s", f, tt.code)
				}
				return
			}
			want := crm.Subscription{Box: annBox, Anchor: annBox, ID: "S1", Streaming: tt.streaming}
			if !tt.streaming {
				want.Watermark = "W0"
			}
			if d := gocmp.Diff(want, sub); d != "" || err != nil {
				t.Fatalf("%v\n%s", err, d)
			}
			if len(last.Folders) != tt.folders || last.AllFolders != (tt.folders == 0) || last.Watermark != "" || len(last.Events) != 6 {
				t.Errorf("asked for %+v", last)
			}
		})
	}
}

// pulled answers GetEvents by the watermark that is asked from.
func pulled(t *testing.T, answers map[string]*GetEventsResult) *server {
	return newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		op, ok := r.Op.(*GetEvents)
		if !ok {
			return anything(r)
		}
		if a := answers[op.Watermark]; a != nil {
			return []Answer{a}, nil
		}
		t.Errorf("asked from %q", op.Watermark)
		return nil, &SOAPFault{Code: "ErrorInvalidWatermark"}
	})
}

func events(more bool, from string, list ...MailboxEvent) *GetEventsResult {
	return &GetEventsResult{Result: Succeeded(), Notification: &Notification{SubscriptionID: "S1", PreviousWatermark: from, MoreEvents: &more, Events: list}}
}

func in(folder, watermark string) MailboxEvent {
	return MailboxEvent{Kind: NewMailEvent, Watermark: watermark, Item: &ItemID{ID: "A"}, Parent: &FolderID{ID: folder}}
}

func TestPull(t *testing.T) {
	quiet := func(w string) MailboxEvent { return MailboxEvent{Kind: StatusEvent, Watermark: w} }
	lost := &GetEventsResult{Result: Failed("ErrorSubscriptionNotFound", "")}
	for _, tt := range []struct {
		name, from string
		answers    map[string]*GetEventsResult
		want       string // folders, "alive", or the code of what was lost
		mark       string
	}{
		{"all of it", "W0", map[string]*GetEventsResult{"W0": events(true, "W0", in("F1", "W1"), in("F2", "W2")), "W2": events(false, "W2", in("F1", "W3"))}, "F1 F2", "W3"},
		{"nothing", "W0", map[string]*GetEventsResult{"W0": events(false, "W0", quiet("W1"))}, "alive", "W1"},
		{"no notification", "W0", map[string]*GetEventsResult{"W0": {Result: Succeeded()}}, "alive", "W0"},
		{"without a watermark", "W0", map[string]*GetEventsResult{"W0": events(false, "", in("F1", ""))}, "F1", "W0"},
		{"the last without a watermark", "W0", map[string]*GetEventsResult{"W0": events(false, "W0", in("F1", "W1"), in("F2", ""))}, "F1 F2", "W1"},
		{"more, but from where", "W0", map[string]*GetEventsResult{"W0": events(true, "", in("F1", ""))}, "F1", "W0"},
		{"more, on the spot", "W0", map[string]*GetEventsResult{"W0": events(true, "W0", in("F1", "W0"))}, "F1", "W0"},
		{"never had one", "", map[string]*GetEventsResult{"": events(false, "W7", in("F1", ""))}, "F1", "W7"},
		{"never had one, and the server minds", "", map[string]*GetEventsResult{"": {Result: Failed("ErrorInvalidRequest", "")}}, "ErrorInvalidRequest", ""},
		{"lost", "W0", map[string]*GetEventsResult{"W0": lost}, "ErrorSubscriptionNotFound", "W0"},
		{"a gap", "W0", map[string]*GetEventsResult{"W0": {Result: Failed("ErrorInvalidWatermark", "")}}, "ErrorInvalidWatermark", "W0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sub := crm.Subscription{Box: annBox, Anchor: annBox, ID: "S1", Watermark: tt.from}
			n, err := pulled(t, tt.answers).notifier(t).Pull(t.Context(), &sub)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(n.Folders, " ")
			switch {
			case n.Lost != nil:
				got = n.Lost.Code
			case n.Box == 0:
				got = "alive"
			}
			if got != tt.want || sub.Watermark != tt.mark {
				t.Errorf("got %s, watermark %s; want %s, %s", got, sub.Watermark, tt.want, tt.mark)
			}
		})
	}
	t.Run("busy", func(t *testing.T) {
		sub := crm.Subscription{Box: annBox, Anchor: annBox, ID: "S1", Watermark: "W0"}
		_, err := pulled(t, map[string]*GetEventsResult{"W0": {Result: Failed("ErrorServerBusy", "")}}).notifier(t).Pull(t.Context(), &sub)
		if crm.AsFault(err).Code != "ErrorServerBusy" {
			t.Errorf("got %v", err)
		}
	})
}

// TestPullEndsSomewhere: a server that always has more is asked a few times, and again
// next time.
func TestPullEndsSomewhere(t *testing.T) {
	n := 0
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		n++
		return []Answer{events(true, "W", in("F1", strings.Repeat("W", n)))}, nil
	})
	sub := crm.Subscription{Box: annBox, Anchor: annBox, ID: "S1", Watermark: "0"}
	if _, err := s.notifier(t).Pull(t.Context(), &sub); err != nil {
		t.Fatal(err)
	}
	if n != maxPulls || len(sub.Watermark) != n {
		t.Errorf("asked %d times, read up to %q", n, sub.Watermark)
	}
}

func TestUnsubscribeOfWhatIsGone(t *testing.T) {
	for code, good := range map[string]bool{"ErrorSubscriptionNotFound": true, "ErrorExpiredSubscription": true, "ErrorServerBusy": false} {
		s := newServer(t, func(*Request) ([]Answer, *SOAPFault) { return []Answer{new(Failed(code, ""))}, nil })
		if err := s.notifier(t).Unsubscribe(t.Context(), subscriptions[0]); (err == nil) != good {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// TestFacts: where a mailbox lives is told by the best header there is; what was carried
// out where the anchor lives says nothing about others.
func TestFacts(t *testing.T) {
	headers := map[string]string{}
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		if r.Impersonation.PrimarySmtpAddress == "ann@example.com" {
			return nil, &SOAPFault{Code: "ErrorNonPrimarySmtpAddress", XML: MessageXML{{Name: "Primary", Text: "Ann.New@Example.com"}}}
		}
		if _, ok := r.Op.(*Subscribe); ok {
			return []Answer{&SubscribeResult{Result: Succeeded(), SubscriptionID: "S"}}, nil
		}
		return anything(r)
	})
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		for name, v := range headers {
			w.Header().Set(name, v)
		}
		return false
	}
	src := s.notifier(t)
	client := src.(*source).client
	if got := src.Facts(annBox); got != (crm.Facts{}) {
		t.Errorf("nothing is known yet, got %+v", got)
	}
	for _, step := range []struct{ name, value, want string }{
		{"X-FEServer", "FE1", "fe1"}, {"X-BEServer", "EX02", "ex02"}, {"X-CalculatedBETarget", "EX03.corp.example.com", "ex03.corp.example.com"},
	} {
		headers[step.name] = step.value
		if err := ask(client, "ann@example.com"); err != nil {
			t.Fatal(err)
		}
		if got, want := src.Facts(annBox), (crm.Facts{Server: step.want, Primary: "ann.new@example.com"}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if _, err := src.Subscribe(t.Context(), bobBox, annBox); err != nil {
		t.Fatal(err)
	}
	if got := src.Facts(bobBox); got != (crm.Facts{}) {
		t.Errorf("bob is said to live where ann does: %+v", got)
	}
}

// TestListenToNobody needs no request.
func TestListenToNobody(t *testing.T) {
	s := newServer(t, anything)
	if err := s.notifier(t).Listen(t.Context(), nil, func(crm.Notice) {}); err != nil || s.count() != 0 {
		t.Errorf("%v after %d requests", err, s.count())
	}
	if err := (&Error{Err: ErrOldServer}); !errors.Is(err, ErrOldServer) || verdict(err).Code != "no-notifications" {
		t.Errorf("an old server is judged as %+v", verdict(err))
	}
}
