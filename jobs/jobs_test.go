package jobs

import (
	"context"
	"fmt"
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
		b := New(4)
		var mu sync.Mutex
		running, runs := map[string]int{}, map[string]int{}
		b.Handle("count", func(_ context.Context, key string) {
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
	b := New(1)
	var runs int
	began, goOn := make(chan struct{}), make(chan struct{})
	b.Handle("look", func(context.Context, string) {
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
	b := New(1)
	ctx, cancel := context.WithCancel(t.Context())
	var seen []string
	b.Handle("look", func(ctx context.Context, key string) {
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
