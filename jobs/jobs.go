// Package jobs rings: it runs a named function for a key, soon, once at a time.
//
// A ring is a bell, not the truth. What there is to do stands in rows of the store; a
// lost ring costs a little time and never work, so a ring carries nothing but a key.
// Rings for the same name and key melt into one. A ring that comes while the key is
// running makes it run once more afterwards, so that nothing noticed during a run is
// missed.
//
// Each name has a queue and a number of workers of its own: urgent work never waits for
// a worker that is busy with what may take its time. But a key is run by one function at
// a time, whatever its name: a ring for a key that another name is running keeps its
// place in its queue, and the worker takes the next.
package jobs

import (
	"context"
	"slices"
	"sync"
)

// A Bell runs rung functions in this process.
type Bell struct {
	mu      sync.Mutex
	changed *sync.Cond      // a run has ended, or all of them
	lanes   []*lane         // in the order of Handle
	busy    map[string]bool // keys being run, by whatever name
	running *shift          // nil outside Run
}

// A lane is the queue of one name and its workers.
type lane struct {
	name  string
	f     func(ctx context.Context, key string)
	free  int      // workers with nothing to do
	queue []string // keys, first come first
	state map[string]state
}

type state int

const (
	waiting state = iota + 1 // in the queue
	running                  // being run
	again                    // being run, and rung meanwhile
)

// A shift is one call of Run.
type shift struct {
	ctx  context.Context
	runs sync.WaitGroup
}

// New returns a bell that knows no names yet.
func New() *Bell {
	b := &Bell{busy: map[string]bool{}}
	b.changed = sync.NewCond(&b.mu)
	return b
}

// Handle names a function and how many keys it may run for at the same time; to be
// called before Run.
func (b *Bell) Handle(name string, workers int, f func(ctx context.Context, key string)) {
	b.lanes = append(b.lanes, &lane{name: name, f: f, free: workers, state: map[string]state{}})
}

// Ring asks for a run of the named function for key. It never blocks. The name must be
// one given to Handle.
func (b *Bell) Ring(name, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lanes[slices.IndexFunc(b.lanes, func(l *lane) bool { return l.name == name })]
	switch l.state[key] {
	case 0:
		l.enqueue(key)
		b.serve(l)
	case running:
		l.state[key] = again
	}
}

// Run works until ctx ends, then waits for the functions under way. Rings not begun by
// then are dropped: their rows will ring again.
func (b *Bell) Run(ctx context.Context) {
	s := &shift{ctx: ctx}
	b.mu.Lock()
	b.running = s
	for _, l := range b.lanes {
		b.serve(l)
	}
	b.mu.Unlock()

	<-ctx.Done()

	b.mu.Lock()
	b.running = nil
	for _, l := range b.lanes {
		for _, key := range l.queue {
			delete(l.state, key)
		}
		l.queue = nil
	}
	b.changed.Broadcast()
	b.mu.Unlock()
	s.runs.Wait()
}

// Idle waits until nothing is queued or running.
func (b *Bell) Idle(ctx context.Context) error {
	// The lock is held while waking, so that nobody falls asleep between looking at ctx
	// and waiting.
	defer context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.changed.Broadcast()
	})()
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.atWork() && ctx.Err() == nil {
		b.changed.Wait()
	}
	return ctx.Err()
}

func (b *Bell) atWork() bool {
	return slices.ContainsFunc(b.lanes, func(l *lane) bool { return len(l.state) > 0 })
}

// serve gives the free workers of a lane the first keys that nobody is running.
func (b *Bell) serve(l *lane) {
	for b.running != nil && b.running.ctx.Err() == nil && l.free > 0 {
		key, ok := l.take(b.busy)
		if !ok {
			return
		}
		l.free--
		l.state[key] = running
		b.busy[key] = true
		s := b.running
		s.runs.Go(func() {
			l.f(s.ctx, key)
			b.done(l, key)
		})
	}
}

// done frees worker and key. The other lanes choose first: one of them with a free
// worker has been waiting for just this key, and would never get it from a lane in which
// the key is rung over and over.
func (b *Bell) done(l *lane, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.busy, key)
	l.free++
	if l.state[key] == again && b.running != nil {
		l.enqueue(key)
	} else {
		delete(l.state, key)
	}
	for _, other := range b.lanes {
		if other != l {
			b.serve(other)
		}
	}
	b.serve(l)
	b.changed.Broadcast()
}

func (l *lane) enqueue(key string) {
	l.state[key] = waiting
	l.queue = append(l.queue, key)
}

// take removes the first key from the queue that is not busy. Those before it, fewer than
// there are workers in all, move up by one place in the slice, which keeps their order.
func (l *lane) take(busy map[string]bool) (string, bool) {
	for i, key := range l.queue {
		if !busy[key] {
			copy(l.queue[1:i+1], l.queue[:i])
			l.queue = l.queue[1:]
			return key, true
		}
	}
	return "", false
}
