package acceptance

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/crm"
	"postern/ews"
	"postern/sim"
)

// another is a program of the customer's own that uses the same mailboxes.
func (w *world) another(agent string) *ews.Client {
	w.Helper()
	w.exchange.AddAccount(sim.Account{Login: "svc-other", Password: "other"})
	c, err := ews.New(ews.Config{URL: w.url, Login: "svc-other", Password: func() string { return "other" },
		UserAgent: func() string { return agent }, Dial: new(net.Dialer).DialContext})
	w.must(err)
	w.Cleanup(c.Close)
	return c
}

// snapshot is the version and read mark of each item of a mailbox' inbox, as another
// program sees them.
func snapshot(ctx context.Context, s *ews.Session) (map[string]string, error) {
	page, err := s.SyncFolderItems(ctx, &ews.SyncFolderItems{
		Shape: ews.ItemShape{Base: ews.IDOnly, Additional: []ews.Path{ews.Field("message:IsRead")}}, Folder: &ews.FolderID{Distinguished: "inbox"}, Max: 500})
	if err != nil {
		return nil, err
	}
	items := map[string]string{}
	for _, c := range page.Changes {
		read := c.Item.IsRead != nil && *c.Item.IsRead
		items[c.Item.ID.ID] = fmt.Sprintf("%s read %v", c.Item.ID.ChangeKey, read)
	}
	return items, nil
}

// crowd counts how many requests of one program are open at once for a mailbox.
type crowd struct {
	next  http.Handler
	agent string

	mu         sync.Mutex
	open, most map[string]int
}

func (c *crowd) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	who := r.Header.Get("X-AnchorMailbox")
	if who == "" || r.UserAgent() != c.agent {
		c.next.ServeHTTP(rw, r)
		return
	}
	c.mu.Lock()
	c.open[who]++
	c.most[who] = max(c.most[who], c.open[who])
	c.mu.Unlock()
	answer := httptest.NewRecorder()
	c.next.ServeHTTP(answer, r)
	c.mu.Lock()
	c.open[who]-- // before the answer leaves: whoever has it may ask anew
	c.mu.Unlock()
	maps.Copy(rw.Header(), answer.Header())
	rw.WriteHeader(answer.Code)
	answer.Body.WriteTo(rw)
}

// TestScenario01Coexistence: another program reads and changes the same mailbox meanwhile.
func TestScenario01Coexistence(t *testing.T) {
	w := newWorld(t, sim.Options{})
	counted := &crowd{next: w.exchange, agent: crm.DefaultUserAgent, open: map[string]int{}, most: map[string]int{}}
	server := httptest.NewServer(counted)
	defer server.Close()
	w.url = server.URL + sim.Path
	w.connect("acme.example")
	other := w.another("Their-Archive/3.1").As(ann)
	w.many(60)
	before, err := snapshot(t.Context(), other)
	w.must(err)

	var touched sync.Map // what the other one changes itself
	ctx, stop := context.WithCancel(t.Context())
	var troubled error
	var rounds atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		defer stop()
		var ids []string
		for id := range before {
			ids = append(ids, id)
		}
		for n := 0; ctx.Err() == nil && troubled == nil; n++ {
			id := ids[n%20] // of the sixty it changes twenty
			touched.Store(id, true)
			read := ews.FieldUpdate{Element: ews.SetField, Path: ews.Field("message:IsRead"), Item: ews.Item{Element: ews.MessageItem, IsRead: new(n%2 == 0)}}
			_, troubled = other.UpdateItem(t.Context(), &ews.UpdateItem{Conflict: "AlwaysOverwrite", Disposition: "SaveOnly",
				Changes: []ews.ItemChange{{ID: ews.ItemID{ID: id}, Updates: []ews.FieldUpdate{read}}}})
			if troubled == nil {
				_, troubled = snapshot(t.Context(), other)
			}
			rounds.Add(1)
		}
	})
	for range 10 {
		w.send(letter{from: cyn, to: ann, subject: "meanwhile", text: "Text."})
		w.pass(time.Hour)
		w.collect()
	}
	for rounds.Load() < 20 && ctx.Err() == nil {
		w.collect()
	}
	stop()
	wg.Wait()
	if troubled != nil {
		t.Errorf("the other program met trouble: %v", troubled)
	}
	after, err := snapshot(t.Context(), other)
	w.must(err)
	same := 0
	for id, was := range before {
		if _, theirs := touched.Load(id); theirs {
			continue
		}
		if same++; after[id] != was {
			t.Errorf("an item that nobody else touched was %s and is %s", was, after[id])
		}
	}
	if same == 0 {
		t.Error("no item was left to compare")
	}
	if most := counted.most[ann]; most == 0 || most > 2 {
		t.Errorf("%d requests were open at once for one mailbox, at most 2 are allowed", most)
	}
}
