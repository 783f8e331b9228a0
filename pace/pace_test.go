package pace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/crm"
	"postern/mail"
)

const exchange = "mail.acme.example"

// busy is what a source says of a server that asks for a pause.
func busy(scope crm.Scope, code string, after time.Duration) *crm.Fault {
	return &crm.Fault{Verdict: crm.Retry, Scope: scope, Code: code, After: after, Cause: crm.Throttled}
}

func noAnswer(code string) *crm.Fault {
	return &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: code}
}

func get(box string) crm.Request {
	return crm.Request{Operation: "GetItem", Mailbox: mail.Address(box)}
}

// proven returns a pace with one account that has logged on.
func proven(t *testing.T, c Config) (*Pace, crm.Traffic) {
	t.Helper()
	if c.Rand == nil {
		c.Rand = func() float64 { return 0.5 } // no jitter
	}
	p := New(c)
	traffic := p.Traffic("svc", exchange)
	send(t, traffic, get("first@acme.example"), nil)
	time.Sleep(time.Minute) // a burst is allowed from there on
	return p, traffic
}

// send makes one request that is answered at once.
func send(t *testing.T, traffic crm.Traffic, r crm.Request, answer *crm.Fault) {
	t.Helper()
	leave(t, traffic, r)(answer)
}

func leave(t *testing.T, traffic crm.Traffic, r crm.Request) func(*crm.Fault) {
	t.Helper()
	done, err := traffic.Admit(t.Context(), r)
	if err != nil {
		t.Fatalf("%s of %s: %v", r.Operation, r.Mailbox, err)
	}
	return done
}

// rests returns how long a request of the mailbox is refused for; 0 when it may leave.
func rests(t *testing.T, traffic crm.Traffic, box string) time.Duration {
	t.Helper()
	done, err := traffic.Admit(t.Context(), get(box))
	if err == nil {
		done(&crm.Fault{Verdict: crm.Retry, Scope: crm.ItemScope, Code: "ErrorItemCorrupt"}) // says nothing of the server
		return 0
	}
	f, ok := errors.AsType[*crm.Fault](err)
	if !ok || f.Code != "resting" || f.Verdict != crm.Retry || f.Cause != crm.Throttled || f.After <= 0 {
		t.Fatalf("refused with %+v, want a fault that says for how long to rest", err)
	}
	return f.After
}

func budget(t *testing.T, p *Pace, scope crm.BudgetScope, key string) crm.Budget {
	t.Helper()
	for _, b := range p.Budgets() {
		if b.Scope == scope && b.Key == key {
			return b
		}
	}
	return crm.Budget{}
}

func TestLadderOfSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, traffic := proven(t, Config{})
		for i, want := range []time.Duration{10 * time.Second, 30 * time.Second, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
			send(t, traffic, get("ann@acme.example"), busy(crm.MailboxScope, "ErrorServerBusy", 0))
			if got := rests(t, traffic, "ann@acme.example"); got != want {
				t.Errorf("strike %d: rests %v, want %v", i+1, got, want)
			}
			time.Sleep(want)
		}
		send(t, traffic, get("ann@acme.example"), nil)
		if b := budget(t, p, crm.MailboxBudget, "ann@acme.example"); b.Strikes != 0 || b.Limit != 1 || b.Code != "ErrorServerBusy" {
			t.Errorf("after a good answer: %+v, want no strikes, still narrowed", b)
		}
		send(t, traffic, get("ann@acme.example"), busy(crm.FolderScope, "ErrorServerBusy", 0))
		if got := rests(t, traffic, "ann@acme.example"); got != 10*time.Second {
			t.Errorf("first strike after a good answer: rests %v, want 10s", got)
		}
	})
}

func TestHintIsHonouredWhenItIsLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, traffic := proven(t, Config{})
		for hint, want := range map[time.Duration]time.Duration{
			time.Millisecond:     10 * time.Second,
			297 * time.Second:    297 * time.Second,
			300 * 24 * time.Hour: maxRest,
		} {
			box := hint.String() + "@acme.example"
			send(t, traffic, get(box), busy(crm.ItemScope, "ErrorServerBusy", hint))
			if got := rests(t, traffic, box); got != want {
				t.Errorf("asked for %v: rests %v, want %v", hint, got, want)
			}
		}
	})
}

func TestJitterIsAFifth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := 0.0
		_, traffic := proven(t, Config{Rand: func() float64 { return at }})
		for _, want := range []time.Duration{8 * time.Second, 12 * time.Second} {
			box := want.String() + "@acme.example"
			send(t, traffic, get(box), busy(crm.MailboxScope, "ErrorServerBusy", 0))
			if got := rests(t, traffic, box).Round(time.Second); got != want {
				t.Errorf("rests %v, want %v", got, want)
			}
			at = 0.999999
		}
	})
}

// TestOneThrottledMailboxNeverSlowsAnother also has requests of the mailbox in line when
// it falls silent, and more than it has slots.
func TestOneThrottledMailboxNeverSlowsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, traffic := proven(t, Config{PerMailbox: 1, PerAccount: 2, PerHost: 2})
		done := leave(t, traffic, get("ann@acme.example"))
		refused := make(chan error, 5)
		for range cap(refused) {
			go func() {
				_, err := traffic.Admit(t.Context(), get("ann@acme.example"))
				refused <- err
			}()
		}
		synctest.Wait() // five wait for the slot of ann
		begin := time.Now()
		send(t, traffic, get("bob@acme.example"), nil)
		done(busy(crm.MailboxScope, "ErrorServerBusy", time.Minute))
		send(t, traffic, get("bob@acme.example"), nil)
		if took := time.Since(begin); took != 0 {
			t.Errorf("bob waited %v for ann", took)
		}
		for range cap(refused) {
			if err := <-refused; crm.AsFault(err).Code != "resting" || crm.AsFault(err).Scope != crm.MailboxScope {
				t.Errorf("in line when the silence began: got %v, want to be refused", err)
			}
		}
		if f := traffic.(interface{ resting() *crm.Fault }).resting(); f != nil {
			t.Errorf("account and host rest: %v", f)
		}
	})
}

func (t *traffic) resting() *crm.Fault { return t.p.Resting(t.account, t.host, t.p.Now()) }

func TestShortSilenceIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, traffic := proven(t, Config{})
		send(t, traffic, get("ann@acme.example"), busy(crm.MailboxScope, "ErrorServerBusy", 0))
		time.Sleep(8*time.Second - time.Millisecond)
		if got := rests(t, traffic, "ann@acme.example"); got != 2*time.Second+time.Millisecond {
			t.Errorf("with more than the patience ahead: rests %v", got)
		}
		time.Sleep(time.Millisecond)
		begin := time.Now()
		send(t, traffic, get("ann@acme.example"), nil)
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("left after %v, want the rest of the silence, 2s", took)
		}
	})
}

func TestWhatScopeAFaultSilences(t *testing.T) {
	reauth := &crm.Fault{Verdict: crm.Reauth, Scope: crm.OrgScope, Code: "password-refused"}
	for _, test := range []struct {
		fault *crm.Fault
		want  crm.BudgetScope // "" = none
	}{
		{busy(crm.ItemScope, "ErrorServerBusy", 0), crm.MailboxBudget},
		{busy(crm.FolderScope, "ErrorServerBusy", 0), crm.MailboxBudget},
		{busy(crm.MailboxScope, "too-many-requests", time.Second), crm.MailboxBudget},
		{busy(crm.OrgScope, "service-unavailable", time.Second), crm.HostBudget},
		{busy(crm.OrgScope, "ErrorInsufficientResources", time.Second), crm.HostBudget},
		{busy(crm.OrgScope, "ErrorExceededConnectionCount", time.Second), crm.AccountBudget},
		{&crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "ErrorMailboxMoveInProgress", After: time.Minute}, crm.MailboxBudget},
		{&crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "ErrorExceededSubscriptionCount", After: time.Hour}, ""},
		{&crm.Fault{Verdict: crm.Retry, Scope: crm.FolderScope, Code: "ErrorFolderCorrupt", After: time.Hour}, ""},
		{&crm.Fault{Verdict: crm.Retry, Scope: crm.ItemScope, Code: "ErrorItemCorrupt"}, ""},
		{&crm.Fault{Verdict: crm.Gone, Scope: crm.ItemScope, Code: "ErrorItemNotFound"}, ""},
		{&crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "ews-forbidden", After: time.Hour}, ""},
		{noAnswer("timeout"), ""},
		{reauth, ""},
		{nil, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, traffic := proven(t, Config{})
			send(t, traffic, get("ann@acme.example"), test.fault)
			var silent []crm.BudgetScope
			for _, b := range p.Budgets() {
				if !b.Until.IsZero() {
					silent = append(silent, b.Scope)
				}
			}
			var want []crm.BudgetScope
			if test.want != "" {
				want = []crm.BudgetScope{test.want}
			}
			if !slices.Equal(silent, want) {
				t.Errorf("%v silences %v, want %v", test.fault, silent, want)
			}
		})
	}
}

func TestTroubleInARowIsAStrike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, traffic := proven(t, Config{})
		send(t, traffic, get("ann@acme.example"), noAnswer("timeout"))
		send(t, traffic, get("ann@acme.example"), noAnswer("torn-answer"))
		send(t, traffic, get("ann@acme.example"), nil)
		send(t, traffic, get("ann@acme.example"), noAnswer("http-502"))
		send(t, traffic, get("ann@acme.example"), noAnswer("timeout"))
		if got := rests(t, traffic, "ann@acme.example"); got != 0 {
			t.Fatalf("rests %v although a good answer came in between", got)
		}
		send(t, traffic, get("ann@acme.example"), noAnswer("timeout"))
		if got := rests(t, traffic, "ann@acme.example"); got != 10*time.Second {
			t.Errorf("after three in a row: rests %v, want 10s", got)
		}
		if f := p.Resting("svc", exchange, time.Now()); f != nil {
			t.Errorf("one mailbox silenced the host: %v", f)
		}
		send(t, traffic, get("bob@acme.example"), noAnswer("timeout"))
		send(t, traffic, get("cyn@acme.example"), noAnswer("timeout"))
		if f := p.Resting("svc", exchange, time.Now()); f == nil || f.After != 10*time.Second || f.Scope != crm.OrgScope {
			t.Errorf("three mailboxes without an answer: the host rests with %v, want 10s", f)
		}
	})
}

// TestUnaskedSilenceStaysShort: a server that was only out of order is looked at again
// within two minutes.
func TestUnaskedSilenceStaysShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, traffic := proven(t, Config{})
		closed := &crm.Fault{Verdict: crm.Retry, Scope: crm.OrgScope, Code: "port-closed", After: time.Minute}
		for range 10 {
			send(t, traffic, get("ann@acme.example"), closed)
			rest := rests(t, traffic, "ann@acme.example")
			if rest > 2*time.Minute || rest < time.Minute {
				t.Fatalf("rests %v, want from 1 to 2 minutes", rest)
			}
			time.Sleep(rest)
		}
	})
}

func TestAnswersToWhatWasOpenAreOneStrike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, traffic := proven(t, Config{PerHost: 8, PerAccount: 8, PerMailbox: 8})
		var open []func(*crm.Fault)
		for range 8 {
			open = append(open, leave(t, traffic, get("ann@acme.example")))
		}
		for _, done := range open[:7] {
			done(busy(crm.OrgScope, "service-unavailable", time.Second))
		}
		open[7](nil) // left before the first strike: no sign that it is over
		if b := budget(t, p, crm.HostBudget, exchange); b.Limit != 4 || b.Strikes != 1 || time.Until(b.Until) != 10*time.Second {
			t.Errorf("got %+v, want limit 4 after one strike, silent for 10s", b)
		}
	})
}

func TestHalvedAtOnceAndWidenedByOneEachFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, traffic := proven(t, Config{PerHost: 20})
		for range 2 {
			send(t, traffic, get("ann@acme.example"), busy(crm.OrgScope, "service-unavailable", 0))
			time.Sleep(30 * time.Second)
		}
		begin := time.Now()
		send(t, traffic, get("ann@acme.example"), nil)
		for limit := 5; limit <= 20; limit++ {
			if b := budget(t, p, crm.HostBudget, exchange); b.Limit != limit {
				t.Errorf("%v after the silence: limit %d, want %d", time.Since(begin), b.Limit, limit)
			}
			time.Sleep(time.Until(begin.Add(time.Duration(limit-4) * recovery)))
		}
		if b := budget(t, p, crm.HostBudget, exchange); b.Code != "" {
			t.Errorf("recovered, but still %+v", b)
		}
	})
}

func TestLimitIsKeptTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, traffic := proven(t, Config{PerMailbox: 2, PerAccount: 4})
		send(t, traffic, get("ann@acme.example"), busy(crm.OrgScope, "ErrorExceededConnectionCount", 0))
		time.Sleep(10 * time.Second)
		var mu sync.Mutex
		open, most := 0, 0
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				done := leave(t, traffic, get(fmt.Sprint(i, "@acme.example")))
				mu.Lock()
				open++
				most = max(most, open)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				open--
				mu.Unlock()
				done(nil)
			})
		}
		wg.Wait()
		if most != 2 {
			t.Errorf("%d requests of the account at once, want 2, half of 4", most)
		}
		if b := budget(t, p, crm.AccountBudget, "svc on "+exchange); b.Limit != 2 {
			t.Errorf("got %+v, want limit 2", b)
		}
	})
}

func TestHangingTakesNoSlotButObeysSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, traffic := proven(t, Config{PerMailbox: 1, PerAccount: 1, PerHost: 1})
		hang := crm.Request{Operation: "GetStreamingEvents", Mailbox: "ann@acme.example", Hanging: true}
		for range 5 {
			defer leave(t, traffic, hang)(nil)
		}
		send(t, traffic, get("ann@acme.example"), busy(crm.MailboxScope, "ErrorServerBusy", 0))
		if _, err := traffic.Admit(t.Context(), hang); crm.AsFault(err).Code != "resting" {
			t.Errorf("hanging request during silence: got %v", err)
		}
	})
}

func TestSlowAnswersLowerThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, traffic := proven(t, Config{})
		take := func(d time.Duration) {
			done := leave(t, traffic, get("ann@acme.example"))
			time.Sleep(d)
			done(nil)
		}
		for range 30 {
			take(500 * time.Millisecond)
		}
		for range 2 {
			take(5 * time.Second)
			take(5 * time.Second)
			take(time.Second) // no more than twice the median
		}
		if b := budget(t, p, crm.HostBudget, exchange); b.Limit != 20 {
			t.Errorf("limit %d after single slow answers, want 20", b.Limit)
		}
		for range 3 {
			take(5 * time.Second)
		}
		b := budget(t, p, crm.HostBudget, exchange)
		if b.Limit != 19 || !b.Until.IsZero() || b.Code != "slow-answers" {
			t.Errorf("got %+v, want limit 19 and no silence", b)
		}
	})
}

func TestNobodyIsStarved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := proven(t, Config{PerHost: 1})
		send(t, p.Traffic("other", exchange), get("x@other.example"), nil)
		var mu sync.Mutex
		var order []string
		var wg sync.WaitGroup
		ask := func(account, box string, times int) {
			for range times {
				wg.Go(func() {
					done := leave(t, p.Traffic(account, exchange), get(box))
					mu.Lock()
					order = append(order, box)
					mu.Unlock()
					time.Sleep(time.Second)
					done(nil)
				})
			}
			synctest.Wait()
		}
		ask("svc", "loud@acme.example", 20)
		ask("svc", "ann@acme.example", 2)
		ask("svc", "bob@acme.example", 1)
		ask("other", "x@other.example", 3)
		wg.Wait()
		// The second of loud had waited before the others came. From there on the accounts
		// take turns, and within svc the mailboxes.
		want := []string{"loud", "loud", "x", "ann", "x", "bob", "x", "loud", "ann", "loud"}
		for i, box := range order[:len(want)] {
			if got, _, _ := strings.Cut(box, "@"); got != want[i] {
				t.Fatalf("the first to leave: %v, want %v", order[:len(want)], want)
			}
		}
	})
}

func TestWhoGivesUpHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, traffic := proven(t, Config{PerMailbox: 1})
		done := leave(t, traffic, get("ann@acme.example"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := traffic.Admit(ctx, get("ann@acme.example")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the ctx", err)
		}
		if _, err := traffic.Admit(ctx, get("bob@acme.example")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with an ended ctx: got %v", err)
		}
		done(nil)
		done(nil) // a second time counts for nothing
		send(t, traffic, get("ann@acme.example"), nil)
	})
}

func TestMailboxesAtRestAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, traffic := proven(t, Config{})
		for i := range 1000 {
			send(t, traffic, get(fmt.Sprint(i, "@acme.example")), nil)
		}
		send(t, traffic, get("ann@acme.example"), busy(crm.MailboxScope, "ErrorServerBusy", maxRest))
		time.Sleep(idle + 2*time.Minute)
		send(t, traffic, get("bob@acme.example"), nil)
		if len(p.boxes) != 2 {
			t.Errorf("%d mailboxes are remembered, want the silent one and the one just asked", len(p.boxes))
		}
		time.Sleep(3 * time.Hour)
		send(t, traffic, get("bob@acme.example"), nil)
		if len(p.boxes) != 1 {
			t.Errorf("%d mailboxes are remembered, want the one just asked", len(p.boxes))
		}
	})
}
