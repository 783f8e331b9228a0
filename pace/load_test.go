package pace

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/crm"
	"postern/mail"
)

// A server counts what reaches it.
type server struct {
	mu      sync.Mutex
	open    map[string]int // by scope
	most    map[string]int
	arrived []time.Time
}

func newServer() *server { return &server{open: map[string]int{}, most: map[string]int{}} }

func (s *server) begin(scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived = append(s.arrived, time.Now())
	for _, k := range scopes {
		s.open[k]++
		s.most[k] = max(s.most[k], s.open[k])
	}
}

func (s *server) end(scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range scopes {
		s.open[k]--
	}
}

// busiest is the largest number of arrivals within any minute.
func (s *server) busiest() int {
	most, from := 0, 0
	for i, at := range s.arrived {
		for at.Sub(s.arrived[from]) >= time.Minute {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// TestLimitsHoldWhateverTheServerSays has random load meet random faults.
func TestLimitsHoldWhateverTheServerSays(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { limitsHold(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func limitsHold(t *testing.T, r *rand.Rand) {
	c := Config{PerMailbox: 1 + r.IntN(3), PerAccount: 1 + r.IntN(6), PerHost: 1 + r.IntN(12), PerMinute: 1 + r.IntN(2000), Rand: r.Float64}
	p, s := New(c), newServer()
	var wg sync.WaitGroup
	for i := range 40 {
		mine := rand.New(rand.NewPCG(r.Uint64(), 0))
		account := fmt.Sprint("svc", i%3)
		box := fmt.Sprint(i%15, "@acme.example")
		traffic := p.Traffic(account, exchange)
		wg.Go(func() {
			for range 30 {
				done, err := traffic.Admit(t.Context(), crm.Request{Operation: "GetItem", Mailbox: mail.Address(box)})
				if err != nil {
					time.Sleep(crm.AsFault(err).After)
					continue
				}
				s.begin("host", account, box)
				time.Sleep(time.Duration(mine.IntN(400)) * time.Millisecond)
				s.end("host", account, box)
				done(anyAnswer(mine))
			}
		})
	}
	wg.Wait()
	if got := s.busiest(); got > c.PerMinute {
		t.Errorf("%d requests within a minute, at most %d are allowed", got, c.PerMinute)
	}
	for scope, most := range s.most {
		limit := c.PerMailbox
		switch {
		case scope == "host":
			limit = c.PerHost
		case scope[:3] == "svc":
			limit = c.PerAccount
		}
		if most > limit {
			t.Errorf("%s: %d requests at once, at most %d are allowed", scope, most, limit)
		}
	}
	for k, open := range s.open {
		if open != 0 {
			t.Errorf("%s: %d requests did not end", k, open)
		}
	}
	if len(s.arrived) == 0 {
		t.Error("nothing was let out")
	}
	for _, h := range p.hosts {
		if h.open != 0 || h.pending != 0 {
			t.Errorf("host holds %d slots of %d requests after the last has ended", h.open, h.pending)
		}
	}
}

// anyAnswer is mostly a good one.
func anyAnswer(r *rand.Rand) *crm.Fault {
	after := time.Duration(r.IntN(20_000)) * time.Millisecond
	switch r.IntN(40) {
	case 0:
		return busy(crm.MailboxScope, "ErrorServerBusy", after)
	case 1:
		return busy(crm.OrgScope, "service-unavailable", after)
	case 2:
		return busy(crm.OrgScope, "ErrorExceededConnectionCount", 0)
	case 3:
		return &crm.Fault{Verdict: crm.Reauth, Scope: crm.OrgScope, Code: "logon-failed"}
	case 4, 5, 6:
		return noAnswer("timeout")
	case 7:
		return &crm.Fault{Verdict: crm.Gone, Scope: crm.ItemScope, Code: "ErrorItemNotFound"}
	}
	return nil
}

// TestTheCapIsUsedUp: the cap holds, and what it allows is let out.
func TestTheCapIsUsedUp(t *testing.T) {
	for _, perMinute := range []int{1, 7, 100, 600, 30_000} {
		synctest.Test(t, func(t *testing.T) {
			p, s := New(Config{PerMinute: perMinute, PerMailbox: 50, PerAccount: 50, PerHost: 50}), newServer()
			traffic := p.Traffic("svc", exchange)
			send(t, traffic, get("0@acme.example"), nil)
			var wg sync.WaitGroup
			end := time.Now().Add(3 * time.Minute)
			for i := range 20 {
				wg.Go(func() {
					for time.Now().Before(end) {
						done := leave(t, traffic, get(fmt.Sprint(i, "@acme.example")))
						s.begin()
						time.Sleep(10 * time.Millisecond)
						done(nil)
					}
				})
			}
			wg.Wait()
			if got := s.busiest(); got > perMinute || got < perMinute*9/10 {
				t.Errorf("%d requests in the busiest minute, want %d at most and nearly so many", got, perMinute)
			}
		})
	}
}

// TestAnHourOfMisbehaviour: whatever a server does wrong for an hour, it is not asked more
// often than the ladder says, whatever number of mailboxes waits.
func TestAnHourOfMisbehaviour(t *testing.T) {
	for name, test := range map[string]struct {
		answer *crm.Fault
		atMost int // requests in the hour
	}{
		"503":               {busy(crm.OrgScope, "service-unavailable", 0), 60},
		"busy, of mailbox":  {busy(crm.MailboxScope, "ErrorServerBusy", 0), 200 * 16},
		"no answer":         {noAnswer("timeout"), 200 * 5},
		"refuses to listen": {&crm.Fault{Verdict: crm.Retry, Scope: crm.OrgScope, Code: "port-closed", After: time.Minute}, 100},
		"log-on":            {&crm.Fault{Verdict: crm.Reauth, Scope: crm.OrgScope, Code: "password-refused"}, 3 * 61},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := New(Config{}), newServer()
				traffic := p.Traffic("svc", exchange)
				send(t, traffic, get("first@acme.example"), nil)
				end := time.Now().Add(time.Hour)
				var wg sync.WaitGroup
				for i := range 200 {
					wg.Go(func() {
						for time.Now().Before(end) { // nobody heeds what the fault says
							if done, err := traffic.Admit(t.Context(), get(fmt.Sprint(i, "@acme.example"))); err == nil {
								s.begin()
								done(test.answer)
							}
							time.Sleep(5 * time.Second)
						}
					})
				}
				wg.Wait()
				if len(s.arrived) > test.atMost {
					t.Errorf("the server was asked %d times, want %d at most", len(s.arrived), test.atMost)
				}
				t.Logf("asked %d times within the hour, %d in the busiest minute", len(s.arrived), s.busiest())
			})
		})
	}
}

// TestLogOnIsTriedThriceAMinute: whatever many mailboxes want to try.
func TestLogOnIsTriedThriceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := New(Config{}), newServer()
		traffic := p.Traffic("svc", exchange)
		good := time.Now().Add(5 * time.Minute)
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() {
				for {
					done, err := traffic.Admit(t.Context(), get(fmt.Sprint(i, "@acme.example")))
					if err != nil {
						time.Sleep(time.Second)
						continue
					}
					late := time.Now().After(good)
					if !late {
						s.begin("try")
					}
					time.Sleep(50 * time.Millisecond)
					if late {
						done(nil)
						return
					}
					s.end("try")
					done(&crm.Fault{Verdict: crm.Retry, Scope: crm.OrgScope, Code: "logon-failed"})
				}
			})
		}
		wg.Wait()
		if got := s.busiest(); got != 3 {
			t.Errorf("%d tries within a minute, want 3", got)
		}
		if s.most["try"] != 1 {
			t.Errorf("%d tries at once, want each to go alone", s.most["try"])
		}
		if took := time.Since(good); took > 2*time.Minute {
			t.Errorf("all were let in only %v after the password was right again", took)
		}
	})
}

// TestLoudTenantDoesNotSlowOthers: another account of the same server asks for ten times as
// much, and more than it may, or more than the server bears.
func TestLoudTenantDoesNotSlowOthers(t *testing.T) {
	for _, c := range []Config{{}, {PerAccount: 10, PerHost: 10}} {
		loudTenant(t, c)
	}
}

func loudTenant(t *testing.T, c Config) {
	quiet := func(loud bool) (p99 time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			p := New(c)
			end := time.Now().Add(2 * time.Minute)
			var wg sync.WaitGroup
			offer := func(account string, every time.Duration, took func(time.Duration)) {
				traffic := p.Traffic(account, exchange)
				wg.Go(func() {
					for i := 0; time.Now().Before(end); i++ {
						wg.Go(func() {
							begin := time.Now()
							done := leave(t, traffic, get(fmt.Sprint(i%50, "@", account, ".example")))
							time.Sleep(50 * time.Millisecond)
							done(nil)
							took(time.Since(begin))
						})
						time.Sleep(every)
					}
				})
			}
			var mu sync.Mutex
			var all []time.Duration
			offer("quiet", 47*time.Millisecond, func(d time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, d)
			})
			if loud {
				offer("loud", 4700*time.Microsecond, func(time.Duration) {})
			}
			wg.Wait()
			slices.Sort(all)
			p99 = all[len(all)*99/100]
		})
		return p99
	}
	alone, beside := quiet(false), quiet(true)
	if beside > alone*12/10 {
		t.Errorf("99 of 100 requests took up to %v alone and %v beside a loud tenant", alone, beside)
	}
}

// TestTrialThatHangsIsNotWaitedForLong: the first request of an account may be one that
// stays open.
func TestTrialThatHangsIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic := New(Config{}).Traffic("svc", exchange)
		begin := time.Now()
		defer leave(t, traffic, crm.Request{Operation: "GetStreamingEvents", Mailbox: "ann@acme.example", Hanging: true})(nil)
		send(t, traffic, get("bob@acme.example"), nil)
		if took := time.Since(begin); took != trialTime {
			t.Errorf("the next waited %v, want %v", took, trialTime)
		}
	})
}

// TestClockThatStandsStill: nothing but silence waits for Config.Now.
func TestClockThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		traffic := New(Config{Now: func() time.Time { return now }}).Traffic("svc", exchange)
		for range 1000 {
			send(t, traffic, get("ann@acme.example"), nil)
		}
		send(t, traffic, get("ann@acme.example"), busy(crm.MailboxScope, "ErrorServerBusy", 0))
		time.Sleep(time.Hour)
		if rests(t, traffic, "ann@acme.example") == 0 {
			t.Error("the silence ended although its clock stands still")
		}
		now = now.Add(12 * time.Second)
		send(t, traffic, get("ann@acme.example"), nil)
	})
}

func TestFiveThousandMailboxesWithinTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic := New(Config{}).Traffic("svc", exchange)
		begin := time.Now()
		var wg sync.WaitGroup
		for i := range 5000 {
			wg.Go(func() {
				for _, operation := range []string{"GetFolder", "SyncFolderHierarchy", "FindFolder", "Subscribe"} {
					done := leave(t, traffic, crm.Request{Operation: operation, Mailbox: mail.Address(fmt.Sprint(i, "@acme.example"))})
					time.Sleep(50 * time.Millisecond)
					done(nil)
				}
			})
		}
		wg.Wait()
		if took := time.Since(begin); took > 2*time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// TestSilenceOutlivesTheProcess also has Keep ask back, which it could not under a lock.
func TestSilenceOutlivesTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := map[string]crm.Budget{}
		var told []crm.Budget
		var p *Pace
		keep := func(b crm.Budget) {
			p.Budgets()
			kept[string(b.Scope)+" "+b.Key] = b
			told = append(told, b)
		}
		var traffic crm.Traffic
		p, traffic = proven(t, Config{Keep: func(b crm.Budget) { keep(b) }})
		send(t, traffic, get("ann@acme.example"), busy(crm.MailboxScope, "ErrorServerBusy", time.Minute))
		send(t, traffic, get("bob@acme.example"), busy(crm.OrgScope, "ErrorExceededConnectionCount", 2*time.Minute))
		if len(told) != 2 {
			t.Fatalf("told of %+v, want of the two silences", told)
		}

		var list []crm.Budget
		for _, b := range kept {
			b.Until, b.Changed = b.Until.Round(0), b.Changed.Round(0) // as a database keeps it
			list = append(list, b)
		}
		time.Sleep(30 * time.Second)
		again := New(Config{Kept: list})
		if f := again.Resting("svc", "MAIL.acme.example", time.Now()); f == nil || f.After != 90*time.Second {
			t.Errorf("after the restart the account rests with %v, want 90s", f)
		}
		if f := again.Resting("svc", "other.example", time.Now()); f != nil {
			t.Errorf("an account of the same name on another server rests: %v", f)
		}
		if got := rests(t, again.Traffic("other", exchange), "ann@acme.example"); got != 30*time.Second {
			t.Errorf("after the restart ann rests %v, want 30s", got)
		}
		for _, want := range list {
			if got := budget(t, again, want.Scope, want.Key); got != want {
				t.Errorf("after the restart %+v, want %+v", got, want)
			}
		}

		time.Sleep(90 * time.Second)
		send(t, traffic, get("ann@acme.example"), nil)
		time.Sleep(time.Hour)
		send(t, traffic, get("ann@acme.example"), nil)
		for key, b := range kept {
			if b.Code != "" || b.Strikes != 0 || !b.Until.IsZero() {
				t.Errorf("%s has recovered, but is kept as %+v", key, b)
			}
		}
	})
}

// TestSilenceOfAWrongClockEnds: kept under a clock that was years ahead.
func TestSilenceOfAWrongClockEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Now().AddDate(3, 0, 0)
		p := New(Config{Kept: []crm.Budget{{Scope: crm.HostBudget, Key: exchange, Limit: 1, Until: ahead, Changed: ahead, Code: "service-unavailable", Strikes: 9}}})
		if f := p.Resting("svc", exchange, time.Now()); f == nil || f.After != maxRest {
			t.Errorf("rests with %v, want an hour at most", f)
		}
	})
}

func TestKeepIsToldOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []crm.Budget
		p, _ := proven(t, Config{Keep: func(b crm.Budget) { told = append(told, b) }})
		h := &p.hosts[0].scope
		for range 5 {
			p.slacken(h)
			p.keepChanges()
		}
		if len(told) != 1 || told[0].Limit != 19 {
			t.Errorf("told %+v, want the first change only", told)
		}
		time.Sleep(time.Second)
		p.keepChanges()
		if len(told) != 2 || told[1].Limit != 15 {
			t.Errorf("told %+v, want the last change a second later", told)
		}
	})
}
