package acceptance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/mail"
	"postern/sim"
	"postern/store"
)

// logged replaces the engine by one whose requests are written down there.
func (w *world) logged(log *store.AccessWriter) {
	w.Helper()
	w.restart(engine.Config{AccessLog: log, Log: slog.New(slog.NewTextHandler(w.log, nil))})
}

// seen are the requests that Exchange had on its record, by client-request-id.
func (w *world) seen() map[string]sim.RequestRecord {
	list := map[string]sim.RequestRecord{}
	for _, r := range w.exchange.Requests() {
		list[r.ClientID] = r
	}
	return list
}

// TestAccessLogIsWhatExchangeSaw: each request on the server's own record is in the log,
// refused and repeated ones included, with what the server knows of it; and no other is.
func TestAccessLogIsWhatExchangeSaw(t *testing.T) {
	w := connected(t)
	log := w.org.AccessWriter()
	w.logged(log)
	w.many(40)
	w.exchange.MakeTrouble(sim.Trouble{Kind: sim.BusyFault, Every: 7, Times: 3, BackOff: time.Millisecond})
	for range 3 {
		w.collect()
		w.pass(time.Hour)
	}
	w.must(log.Close())

	saw, refused := w.seen(), 0
	if len(saw) < 10 || len(saw) != len(w.exchange.Requests()) {
		t.Fatalf("Exchange saw %d requests by %d ids", len(w.exchange.Requests()), len(saw))
	}
	w.must(w.org.EachAccess(t.Context(), store.AccessQuery{}, func(a *store.AccessRow) error {
		r, known := saw[a.RequestID]
		delete(saw, a.RequestID)
		if !known {
			t.Errorf("Exchange never saw %+v", a.Access)
			return nil
		}
		if a.Result == store.AccessRefused {
			refused++
		}
		source, _, _ := strings.Cut(a.Source, ":")
		got := fmt.Sprint(a.Status, a.UserAgent, source, a.ServerRequestID)
		want := fmt.Sprint(r.Status, r.UserAgent, r.Source, r.ServerID)
		if got != want || r.Operation != "" && a.Operation != r.Operation || r.Impersonated != "" && mail.Address(r.Impersonated) != a.Mailbox || r.Account != "" && a.Account != r.Account {
			t.Errorf("the log says  %+v\nExchange says %+v", a.Access, r)
		}
		return nil
	}))
	for _, r := range saw {
		t.Errorf("not in the log: %+v", r)
	}
	if refused == 0 {
		t.Error("no request was refused, so nothing is shown of those")
	}
}

// TestNothingLeavesWhileTheAccessLogCannotBeWritten: what is under way ends; nothing more
// is asked of Exchange until the log can be written again, and then nothing is missing.
func TestNothingLeavesWhileTheAccessLogCannotBeWritten(t *testing.T) {
	w := connected(t)
	var full atomic.Bool
	other, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Step: func(step string) error {
		if full.Load() && strings.Contains(step, "access log") {
			return syscall.ENOSPC
		}
		return nil
	}})
	w.must(err)
	defer other.Close()
	log := other.Org(1).AccessWriter()
	w.logged(log)
	w.many(10)

	full.Store(true)
	log.Record(crm.Access{At: w.clock(), Operation: "GetFolder", Status: 200, RequestID: "the first that cannot be written"})
	eventually(t, "word from the log that it cannot be written", func() bool { return log.Ready() != nil })
	if f, ok := errors.AsType[*crm.Fault](log.Ready()); !ok || f.Code != store.DiskFull {
		t.Errorf("the log says %v", log.Ready())
	}
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	if err := w.engine.CatchUp(ctx); err != nil {
		t.Logf("collecting ends with %v", err)
	}
	if n := len(w.exchange.Requests()); n > 0 {
		t.Errorf("%d requests left", n)
	}
	if trouble := w.box(ann).Trouble; trouble == nil || trouble.Code != "access-log-unwritable" {
		t.Errorf("Ann's mailbox is in trouble %v", trouble)
	}

	full.Store(false)
	eventually(t, "word from the log that it can be written again", func() bool { return log.Ready() == nil })
	w.pass(time.Hour)
	w.collect()
	w.must(log.Close())
	if n := len(w.filed(store.MailQuery{Mine: true, Viewer: w.userID(ann)})); n != 10 {
		t.Errorf("%d messages are filed, want 10", n)
	}
	var logged []string
	w.must(other.Org(1).EachAccess(t.Context(), store.AccessQuery{}, func(a *store.AccessRow) error { logged = append(logged, a.RequestID); return nil }))
	for id := range w.seen() {
		if !slices.Contains(logged, id) {
			t.Errorf("request %s is not in the log", id)
		}
	}
	if !slices.Contains(logged, "the first that cannot be written") {
		t.Error("the entry that could not be written at first is lost")
	}
}
