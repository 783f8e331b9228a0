package engine

import (
	"context"
	"time"
)

// expire takes away, once a day, what has been kept for as long as it is to be.
func (e *Engine) expire(ctx context.Context) {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		switch n, err := e.Org.ExpireAccess(ctx); {
		case ctx.Err() != nil:
		case err != nil:
			e.Log.Error("take away what the access log has kept for long enough", "err", err)
		case n > 0:
			e.Log.Info("access log", "expired", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
