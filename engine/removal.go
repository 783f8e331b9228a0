package engine

import (
	"context"
	"time"
)

// removalsEvery is how often it is looked whether a removal of another process was stopped.
const removalsEvery = 10 * time.Minute

// finishRemovals goes on with removals that were stopped, by whichever process, until ctx
// ends.
func (e *Engine) finishRemovals(ctx context.Context) {
	for tick := time.NewTicker(removalsEvery); ; {
		if err := e.Org.FinishRemoval(ctx); err != nil && ctx.Err() == nil {
			e.Log.Error("go on with a removal", "err", err)
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}
