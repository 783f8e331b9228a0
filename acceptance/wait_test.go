package acceptance

import (
	"testing"
	"time"
)

// patience is how long is waited for what must come soon: no machine is so busy that it takes
// as long.
const patience = 30 * time.Second

// enough is how long work is let go on that may take its time on a busy machine: whatever has
// not ended by then hangs.
const enough = 5 * time.Minute

// within waits for what a channel tells of, and fails where it plainly does not come.
func within[T any](t *testing.T, what string, c <-chan T) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
	}
}

// eventually waits until what nobody tells of holds, and fails where it plainly does not come.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !holds(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s did not come", what)
		}
	}
}
