package sim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/mail"
)

// tellServer asks the control face.
func tellServer(t *testing.T, x *Exchange, method, path, body string) (int, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	x.Control().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.Bytes()
}

func TestCrowd(t *testing.T) {
	x, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	x.Populate(3)
	if box := x.Mailbox("user00002@company.example"); box == nil || len(x.Mailboxes()) != 3 || box.Folder(Inbox) == nil {
		t.Errorf("%d mailboxes, the last %v", len(x.Mailboxes()), box)
	}
	if got := CrowdContact(73).Address; got != "contact73@client23.example" {
		t.Errorf("contact 73 is %s", got)
	}
}

func TestLoadIsSteadyAndCanBeRepeated(t *testing.T) {
	run := func() (letters []string) {
		synctest.Test(t, func(t *testing.T) {
			x, err := New(Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			x.Populate(20)
			status, body := tellServer(t, x, "POST", "/load", `{"rate": 50, "seconds": 4, "internal": 0.25, "seed": 7}`)
			var done Delivered
			if err := json.Unmarshal(body, &done); err != nil || status != http.StatusOK || done.Letters != 200 {
				t.Fatalf("status %d: %s", status, body)
			}
			if took := time.Duration(done.End - done.Start); took != 3980*time.Millisecond || done.Behind != 0 {
				t.Errorf("took %v, %d behind", took, done.Behind)
			}
			internal := map[string]bool{}
			ids := map[string]bool{}
			if err := x.Truth(func(c Copy) error {
				ids[c.MessageID] = true
				if c.From[0].Domain() == CrowdDomain {
					internal[c.MessageID] = true
				}
				letters = append(letters, c.MessageID+string(c.Mailbox))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if len(ids) != 200 || len(internal) < 30 || len(internal) > 70 {
				t.Errorf("%d letters, %d of them internal", len(ids), len(internal))
			}
			if s := x.Stats(); s.Deliveries != int64(len(letters)) || s.Mailboxes != 20 {
				t.Errorf("%+v", s)
			}
		})
		return letters
	}
	if first, second := run(), run(); !slices.Equal(first, second) {
		t.Error("the same seed delivered something else")
	}
}

func TestStatsCountByTheMinute(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, x *Exchange) {
		c := asUser(t, x, ann)
		for minute := range 3 {
			for range minute + 1 {
				c.send(getFolder())
			}
			x.MakeTrouble(Trouble{Kind: BusyFault, Times: 1})
			c.send(getFolder())
			time.Sleep(time.Minute)
		}
		l := c.listen(30, c.subscribe())
		status, body := tellServer(t, x, "GET", "/stats", "")
		var s Stats
		if err := json.Unmarshal(body, &s); err != nil || status != http.StatusOK {
			t.Fatalf("status %d: %s", status, body)
		}
		if s.Throttled != 3 || s.Requests["GetFolder"] != 9 || s.Streams != 1 || s.Subscriptions != 1 || s.Requests["GetStreamingEvents"] != 1 {
			t.Errorf("%+v", s)
		}
		var counts []int64
		for _, m := range s.Minutes {
			counts = append(counts, m.Requests)
		}
		if !slices.Equal(counts, []int64{2, 3, 4, 2}) {
			t.Errorf("by the minute: %v", counts)
		}
		l.leave()
	})
}

func TestLoadOfSomeMailboxesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		x.Populate(10)
		if status, body := tellServer(t, x, "POST", "/load", `{"rate": 50, "seconds": 2, "first": 3, "mailboxes": 2}`); status != http.StatusOK {
			t.Fatalf("status %d: %s", status, body)
		}
		for i, box := range x.Mailboxes() {
			if got, want := len(box.Folder(Inbox).Items()) > 0, i == 3 || i == 4; got != want {
				t.Errorf("mailbox %d has letters: %t, want %t", i, got, want)
			}
		}
		if status, _ := tellServer(t, x, "POST", "/load", `{"rate": 50, "seconds": 2, "first": 10, "mailboxes": 2}`); status != http.StatusBadRequest {
			t.Errorf("to mailboxes that there are not: status %d", status)
		}
	})
}

func TestControlFace(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "history"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x := newExchange(t, Options{Journal: f})
	deliver(t, x, plain(1))
	if status, body := tellServer(t, x, "GET", "/truth", ""); status != http.StatusOK || len(happenings(t, body)) != 1 {
		t.Errorf("truth: %d %s", status, body)
	}
	if status, body := tellServer(t, x, "GET", "/history", ""); status != http.StatusOK || len(happenings(t, body)) != 3 {
		t.Errorf("history: %d %s", status, body)
	}
	if status, body := tellServer(t, x, "POST", "/trouble", "busy-503:GetFolder\n\nweb-page:GetItem\n"); status != http.StatusOK {
		t.Errorf("trouble: %d %s", status, body)
	}
	c := asUser(t, x, ann)
	if status, _ := c.send(getFolder()); status != http.StatusServiceUnavailable {
		t.Errorf("in trouble: status %d", status)
	}
	tellServer(t, x, "POST", "/calm", "")
	if status, _ := c.send(getFolder()); status != http.StatusOK {
		t.Errorf("in calm: status %d", status)
	}
	for _, bad := range [][2]string{{"/trouble", "busy-503\nnonsense"}, {"/load", `{"rate": 0}`}, {"/load", `{"speed": 1}`}} {
		if status, _ := tellServer(t, x, "POST", bad[0], bad[1]); status != http.StatusBadRequest {
			t.Errorf("%v: status %d", bad, status)
		}
	}
	if status, _ := c.send(getFolder()); status != http.StatusOK {
		t.Error("a bad order was carried out in part")
	}
	if status, body := tellServer(t, newExchange(t, Options{}), "GET", "/history", ""); status != http.StatusBadRequest || bytes.Contains(body, []byte("{")) {
		t.Errorf("a history that is not kept: %d %s", status, body)
	}
}

// BenchmarkCrowd says what a mailbox costs in memory and what a delivery costs when all
// mailboxes are listened to.
func BenchmarkCrowd(b *testing.B) {
	x, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	x.AddAccount(Account{Login: login, Password: password})
	const boxes = 20000
	before := heap()
	x.Populate(boxes)
	each := float64(heap()-before) / boxes
	for i := range boxes {
		asUser(b, x, CrowdUser(i).Address).subscribe()
	}
	raws := make([][]byte, 100)
	for i := range raws {
		raws[i] = bytes.ReplaceAll(plain(i), []byte(ann), []byte(mail.Address(CrowdUser(i*199).Address)))
	}
	n := 0
	for b.Loop() {
		if items, err := x.Deliver(raws[n%len(raws)]); err != nil || len(items) != 1 {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(each, "B/mailbox")
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
