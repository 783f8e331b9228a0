package sim

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"postern/ews"
)

func TestTroubles(t *testing.T) {
	get := func(it *Item) ews.Operation {
		return &ews.GetItem{Shape: itemShape("item:Subject", "item:Body"), IDs: []ews.ItemID{{ID: it.ID()}}}
	}
	mime := func(it *Item) ews.Operation {
		return &ews.GetItem{Shape: itemShape("item:MimeContent"), IDs: []ews.ItemID{{ID: it.ID()}}}
	}
	for _, tt := range []struct {
		kind   Kind
		op     func(*Item) ews.Operation
		status int
		code   string // "" when the answer is no XML
	}{
		{Busy503, get, 503, ""}, {Busy503Hint, get, 503, ""}, {BusyFault, get, 500, "ErrorServerBusy"},
		{BusyInner, get, 200, "ErrorInternalServerError"}, {Busy401, get, 401, ""}, {BareFault, get, 200, "ErrorServerBusy"},
		{WebPage, get, 200, ""}, {LogonRedirect, get, 302, ""}, {ErrorRedirect, get, 302, ""}, {LoginTimeout, get, 440, ""},
		{NotFound, get, 404, ""}, {ServerCrash, get, 500, ""}, {GatewayTimeout, get, 504, ""},
		{BusyEntry, get, 200, "ErrorServerBusy"}, {Vanish, get, 200, "ErrorItemNotFound"}, {Corrupt, get, 200, "ErrorItemCorrupt"},
		{CorruptMIME, mime, 200, "ErrorMimeContentConversionFailed"}, {CorruptMIME, get, 200, "NoError"}, {CorruptBody, get, 200, "ErrorContentConversionFailed"},
	} {
		x := newExchange(t, Options{})
		it := deliver(t, x, plain(0))
		x.MakeTrouble(Trouble{Kind: tt.kind, Operation: "GetItem"})
		c := asUser(t, x, ann)
		status, body := c.send(tt.op(it))
		code := ""
		if tt.code != "" {
			a := readAnswer(t, body)
			code = a.code()
		}
		if status != tt.status || code != tt.code {
			t.Errorf("%s: got %d %q, want %d %q", tt.kind, status, code, tt.status, tt.code)
		}
		if status, _ := c.send(getFolder()); status != http.StatusOK {
			t.Errorf("%s of GetItem hit GetFolder, too", tt.kind)
		}
		if x.Calm(); tt.kind != Vanish {
			c.one(get(it))
		}
	}
}

func TestSpoiltAnswers(t *testing.T) {
	x := newExchange(t, Options{})
	it := deliver(t, x, plain(0))
	get := &ews.GetItem{Shape: itemShape("item:Subject", "item:Body"), IDs: []ews.ItemID{{ID: it.ID()}, {ID: it.ID()}}}
	c := asUser(t, x, ann)
	_, whole := c.send(get)
	spoilt := func(kind Kind) []byte {
		x.Calm()
		x.MakeTrouble(Trouble{Kind: kind})
		_, body := c.send(get)
		return body
	}
	if torn := spoilt(Torn); len(torn) != len(whole)/2 {
		t.Errorf("torn: %d of %d bytes", len(torn), len(whole))
	}
	if a := readAnswer(t, spoilt(Miscount)); len(a.messages()) != 1 {
		t.Errorf("miscounted: %d response messages", len(a.messages()))
	}
	for kind, want := range map[Kind]string{ForbiddenRaw: "\x0b\x01", ForbiddenReferences: "&#xB;&#x0;"} {
		if body := string(spoilt(kind)); strings.Count(body, want) != 4 {
			t.Errorf("%s: got %q", kind, body)
		}
	}
}

func TestTroubleIsCounted(t *testing.T) {
	x := newExchange(t, Options{})
	trouble, err := ParseTrouble("busy-503-retry-after:GetFolder:skip=1:every=2:times=2:backoff=30s:mailbox=Ann@company.example")
	if err != nil {
		t.Fatal(err)
	}
	x.MakeTrouble(trouble)
	c := asUser(t, x, ann)
	var got []int
	for range 7 {
		status, _ := c.send(getFolder())
		got = append(got, status)
	}
	if want := []int{200, 200, 503, 200, 503, 200, 200}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if status, _ := asUser(t, x, bob).send(getFolder()); status != 200 {
		t.Errorf("another mailbox was hit: %d", status)
	}
	for _, text := range []string{"busy-503:GetItme", "nonsense", "torn:every=x", "torn:sometimes=3", "busy-fault:backoff=soon"} {
		if _, err := ParseTrouble(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestTroubleWaitsForWhatSuitsIt(t *testing.T) {
	x := newExchange(t, Options{})
	it := deliver(t, x, plain(0))
	c := asUser(t, x, ann)
	x.MakeTrouble(Trouble{Kind: LostState, Times: 1})
	x.MakeTrouble(Trouble{Kind: Vanish, Times: 1})
	first := c.step("", 10) // no state that could be lost, and no item asked for
	again := &ews.SyncFolderItems{Shape: itemShape(), Folder: inbox(), SyncState: first.SyncState, Max: 10}
	if a := c.ask(again); a.code() != "ErrorInvalidSyncStateData" {
		t.Errorf("the first state shown: %s", a.code())
	}
	if a := c.ask(again); a.code() != "NoError" {
		t.Errorf("the second time: %s", a.code())
	}
	a := c.ask(&ews.GetItem{Shape: itemShape(), IDs: []ews.ItemID{{ID: it.ID()}}})
	if a.code() != "ErrorItemNotFound" || it.Folder() != nil {
		t.Errorf("the item asked for: %s", a.code())
	}
}

func TestBusyServerAnswersEachPart(t *testing.T) {
	x := newExchange(t, Options{})
	it := deliver(t, x, plain(0))
	c := asUser(t, x, ann)
	x.MakeTrouble(Trouble{Kind: BusyInner})
	for name, op := range operations(it) {
		busy := c.ask(op)
		x.Calm()
		calm := c.ask(op)
		x.MakeTrouble(Trouble{Kind: BusyInner})
		if got, want := len(busy.messages()), len(calm.messages()); got != want || busy.code() != "ErrorInternalServerError" {
			t.Errorf("%s: %d response messages with %s when busy, %d otherwise", name, got, busy.code(), want)
		}
	}
	if got := it.Asked(); got.Body != 1 {
		t.Errorf("a busy server read the item: %+v", got)
	}
}

func TestDamagedItems(t *testing.T) {
	x := newExchange(t, Options{})
	it := deliver(t, x, plain(0))
	c := asUser(t, x, ann)
	code := func(uris ...string) string {
		a := c.ask(&ews.GetItem{Shape: itemShape(uris...), IDs: []ews.ItemID{{ID: it.ID()}}})
		return a.code()
	}
	for damage, want := range map[Damage][3]string{
		Intact:      {"NoError", "NoError", "NoError"},
		DamagedMIME: {"NoError", "NoError", "ErrorMimeContentConversionFailed"},
		DamagedBody: {"NoError", "ErrorContentConversionFailed", "ErrorContentConversionFailed"},
		DamagedAll:  {"ErrorItemCorrupt", "ErrorItemCorrupt", "ErrorItemCorrupt"},
	} {
		it.Damage(damage)
		if got := [3]string{code("item:Subject"), code("item:Body"), code("item:MimeContent")}; got != want {
			t.Errorf("damage %d: got %v, want %v", damage, got, want)
		}
		if m := c.step("", 10); len(m.Changes.List) != 1 {
			t.Errorf("damage %d: a list of ids has %d", damage, len(m.Changes.List))
		}
	}
	it.Damage(Intact)
	it.Haunt(true)
	if m := c.step("", 10); len(m.Changes.List) != 1 || code("item:Subject") != "ErrorItemNotFound" {
		t.Errorf("a ghost is listed %d times and answers %s", len(m.Changes.List), code("item:Subject"))
	}
}
