// Package jobs rings: it runs a named function for a key, soon, once at a time.
//
// A ring is a bell, not the truth. What there is to do stands in rows of the store; a
// lost ring costs a little time and never work, so a ring carries nothing but a key.
// Rings for the same key melt into one. A ring that comes while the key is running makes
// it run once more afterwards, so that nothing noticed during a run is missed.
package jobs

import (
	"context"
	"sync"
)

// A Bell runs rung functions on a fixed number of workers in this process.
type Bell struct {
	workers int

	mu      sync.Mutex
	changed *sync.Cond
	funcs   map[string]func(ctx context.Context, key string)
	queue   []ring
	state   map[ring]state
}

type ring struct{ name, key string }

type state int

const (
	waiting state = iota + 1 // in the queue
	running                  // being run
	again                    // being run, and rung meanwhile
)

// New returns a bell with that many workers.
func New(workers int) *Bell {
	b := &Bell{workers: workers, funcs: map[string]func(context.Context, string){}, state: map[ring]state{}}
	b.changed = sync.NewCond(&b.mu)
	return b
}

// Handle names the function to run; to be called before Run.
func (b *Bell) Handle(name string, f func(ctx context.Context, key string)) { b.funcs[name] = f }

// Ring asks for a run of the named function for key. It never blocks.
func (b *Bell) Ring(name, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := ring{name, key}
	switch b.state[r] {
	case 0:
		b.state[r] = waiting
		b.queue = append(b.queue, r)
		b.changed.Broadcast()
	case running:
		b.state[r] = again
	}
}

// Run works until ctx ends, then waits for the functions under way. Rings not begun by
// then are dropped: their rows will ring again.
func (b *Bell) Run(ctx context.Context) {
	defer b.wakeAtEnd(ctx)()
	var wg sync.WaitGroup
	for range b.workers {
		wg.Go(func() { b.work(ctx) })
	}
	wg.Wait()
}

// Idle waits until nothing is queued or running.
func (b *Bell) Idle(ctx context.Context) error {
	defer b.wakeAtEnd(ctx)()
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.state) > 0 && ctx.Err() == nil {
		b.changed.Wait()
	}
	return ctx.Err()
}

// wakeAtEnd wakes all who wait when ctx ends. The lock is held meanwhile, so that
// nobody falls asleep between looking at ctx and waiting.
func (b *Bell) wakeAtEnd(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.changed.Broadcast()
	})
}

func (b *Bell) work(ctx context.Context) {
	for {
		r, ok := b.next(ctx)
		if !ok {
			return
		}
		b.funcs[r.name](ctx, r.key)
		b.done(r)
	}
}

func (b *Bell) next(ctx context.Context) (ring, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) == 0 && ctx.Err() == nil {
		b.changed.Wait()
	}
	if ctx.Err() != nil {
		for _, r := range b.queue {
			delete(b.state, r)
		}
		b.queue = nil
		b.changed.Broadcast()
		return ring{}, false
	}
	r := b.queue[0]
	b.queue = b.queue[1:]
	b.state[r] = running
	return r, true
}

func (b *Bell) done(r ring) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state[r] == again {
		b.state[r] = waiting
		b.queue = append(b.queue, r)
	} else {
		delete(b.state, r)
	}
	b.changed.Broadcast()
}
