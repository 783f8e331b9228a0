package engine

import (
	"context"
	"time"
)

// When the house is kept: soon after the start, then now and then. The times are odd ones,
// so that it does not fall together with the ticks of everything else.
const (
	firstKeeping = 5*time.Second + 77*time.Millisecond
	keepEvery    = 10*time.Minute + 33*time.Millisecond
	expireEvery  = 24 * time.Hour
)

// keepHouse does what can wait: it goes on with removals that were stopped, by whichever
// process, closes proposals whose time has passed, and takes away, once a day, what has been
// kept for as long as it is to be.
func (e *Engine) keepHouse(ctx context.Context) {
	var expired time.Time
	for wait := firstKeeping; ; wait = keepEvery {
		if rest(ctx, wait); ctx.Err() != nil {
			return
		}
		if err := e.Org.FinishRemoval(ctx); err != nil && ctx.Err() == nil {
			e.Log.Error("go on with a removal", "err", err)
		}
		if err := e.Org.ExpireProposals(ctx); err != nil && ctx.Err() == nil {
			e.Log.Error("close proposals whose time has passed", "err", err)
		}
		if e.Now().Sub(expired) < expireEvery {
			continue
		}
		n, err := e.Org.ExpireAccess(ctx)
		if err == nil {
			err = e.Org.ExpireWords(ctx)
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			e.Log.Error("take away what was kept for long enough", "err", err)
		default:
			expired = e.Now()
			e.Log.Info("access log", "expired", n)
		}
	}
}
