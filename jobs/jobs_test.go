package jobs

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func start(t *testing.T, b *Bell) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { b.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func TestRingsForOneKeyMeltAndNeverOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New()
		var mu sync.Mutex
		running, runs := map[string]int{}, map[string]int{}
		b.Handle("count", 4, func(_ context.Context, key string) {
			mu.Lock()
			running[key]++
			if running[key] > 1 {
				t.Errorf("key %s runs twice at the same time", key)
			}
			runs[key]++
			mu.Unlock()
			time.Sleep(time.Millisecond) // of the bubble's clock
			mu.Lock()
			running[key]--
			mu.Unlock()
		})
		for range 10 {
			for k := range 3 {
				b.Ring("count", fmt.Sprint(k))
			}
		}
		start(t, b)
		if err := b.Idle(t.Context()); err != nil {
			t.Fatal(err)
		}
		for k := range 3 {
			if got := runs[fmt.Sprint(k)]; got != 1 {
				t.Errorf("key %d: got %d runs of 10 rings before the start, want 1", k, got)
			}
		}
	})
}

func TestRingDuringRunIsNotLost(t *testing.T) {
	b := New()
	var runs int
	began, goOn := make(chan struct{}), make(chan struct{})
	b.Handle("look", 1, func(context.Context, string) {
		runs++
		if runs == 1 {
			close(began)
			<-goOn
		}
	})
	start(t, b)
	b.Ring("look", "ann")
	<-began
	b.Ring("look", "ann")
	b.Ring("look", "ann")
	close(goOn)
	if err := b.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if runs != 2 {
		t.Errorf("got %d runs, want 2: one that was under way and one for what was noticed meanwhile", runs)
	}
}

func TestRunEndsWithContextAndDropsWhatHadNotBegun(t *testing.T) {
	b := New()
	ctx, cancel := context.WithCancel(t.Context())
	var seen []string
	b.Handle("look", 1, func(ctx context.Context, key string) {
		seen = append(seen, key)
		cancel()
		<-ctx.Done()
	})
	b.Ring("look", "ann")
	b.Ring("look", "bob")
	b.Run(ctx)
	if len(seen) != 1 || seen[0] != "ann" {
		t.Errorf("got runs %v, want ann only", seen)
	}
	if err := b.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A fixture of two lanes whose functions tell when they begin and wait to be let go.
type stage struct {
	*Bell
	began chan string
	goOn  map[string]chan struct{} // by "name key"
}

func onStage(t *testing.T, workers int, keys ...string) *stage {
	s := &stage{New(), make(chan string, 100), map[string]chan struct{}{}}
	for _, name := range []string{"live", "slow"} {
		for _, key := range keys {
			s.goOn[name+" "+key] = make(chan struct{})
		}
		s.Handle(name, workers, func(ctx context.Context, key string) {
			s.began <- name + " " + key
			select {
			case <-s.goOn[name+" "+key]:
			case <-ctx.Done():
			}
		})
	}
	start(t, s.Bell)
	return s
}

// begun returns what has begun since it was asked last.
func (s *stage) begun() (list []string) {
	synctest.Wait()
	for len(s.began) > 0 {
		list = append(list, <-s.began)
	}
	return list
}

func (s *stage) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	got := s.begun()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: begun %q, want %q", when, got, want)
	}
}

func TestLanesDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := onStage(t, 1, "ann", "bob", "cyn")
		s.Ring("slow", "ann")
		s.Ring("slow", "bob")
		s.expect(t, "one slow worker", "slow ann")
		s.Ring("live", "cyn")
		s.expect(t, "slow work fills its lane", "live cyn")
		s.Ring("live", "bob")
		s.goOn["live cyn"] <- struct{}{}
		s.expect(t, "bob only waits in the slow queue", "live bob")
	})
}

func TestKeyIsRunByOneNameAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := onStage(t, 1, "ann", "bob")
		s.Ring("slow", "ann")
		s.expect(t, "alone", "slow ann")
		s.Ring("live", "ann")
		s.Ring("live", "bob")
		s.expect(t, "ann is being run, the worker takes bob", "live bob")
		s.goOn["slow ann"] <- struct{}{}
		s.expect(t, "the live worker is not free yet")
		s.goOn["live bob"] <- struct{}{}
		s.expect(t, "the ring that waited is not lost", "live ann")
		s.goOn["live ann"] <- struct{}{}
		if err := s.Idle(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBusyKeysKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := onStage(t, 2, "ann", "bob", "cyn", "dan", "eve")
		s.Ring("slow", "ann")
		s.Ring("slow", "bob")
		s.expect(t, "two slow workers", "slow ann", "slow bob")
		for _, key := range []string{"ann", "bob", "cyn", "dan", "eve"} {
			s.Ring("live", key)
		}
		s.expect(t, "the first two that nobody runs", "live cyn", "live dan")
		s.goOn["slow bob"] <- struct{}{}
		s.goOn["slow ann"] <- struct{}{}
		s.expect(t, "both live workers are at work")
		s.goOn["live cyn"] <- struct{}{}
		s.expect(t, "ann was rung first", "live ann")
		s.goOn["live dan"] <- struct{}{}
		s.expect(t, "then bob", "live bob")
		s.goOn["live ann"] <- struct{}{}
		s.expect(t, "then eve", "live eve")
	})
}

func TestKeyRungOverAndOverStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New()
		var order []string
		count := 0
		b.Handle("live", 1, func(_ context.Context, key string) {
			order = append(order, key)
			if count++; count < 10 {
				b.Ring("live", "loud")
			}
		})
		start(t, b)
		for _, key := range []string{"loud", "ann", "bob"} {
			b.Ring("live", key)
		}
		if err := b.Idle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"loud", "ann", "bob", "loud"}; !slices.Equal(order[:4], want) {
			t.Errorf("order of runs: got %q, want %q first", order, want)
		}
	})
}

func TestKeyRungOverAndOverIsHandedToTheOtherLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := onStage(t, 2, "ann")
		s.Ring("live", "ann")
		s.expect(t, "alone", "live ann")
		s.Ring("slow", "ann")
		s.Ring("live", "ann")
		s.expect(t, "ann is being run")
		s.goOn["live ann"] <- struct{}{}
		s.expect(t, "the slow lane has waited for ann", "slow ann")
		s.goOn["slow ann"] <- struct{}{}
		s.expect(t, "and the ring during the run is kept", "live ann")
	})
}
