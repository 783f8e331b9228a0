package chaos

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"postern/pace"
)

// TestMisbehavingHour has the server misbehave for an hour in every way that it knows, with
// mail coming in all the time. Its own log must show that it never had to bear more than
// the configured requests a minute.
func TestMisbehavingHour(t *testing.T) {
	const perMinute = 60
	hours := uint64(3)
	if testing.Short() {
		hours = 1
	}
	for seed := uint64(1); seed <= hours; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, seed, wiring{limits: pace.Config{PerMinute: perMinute}})
				w.front.rate = 0
				l := begin(w, false)
				l.live(5 * time.Minute)
				kinds := rand.New(rand.NewPCG(seed, 3))
				for end := time.Now().Add(time.Hour); time.Now().Before(end); {
					operation := operations[kinds.IntN(len(operations))]
					l.front.cast(spell{kind: draw(kinds, operation), until: time.Now().Add(time.Minute)})
					l.live(time.Minute)
				}
				l.calm()
				if err := l.recover(); err != nil {
					t.Errorf("%v\n%s", err, l.log.last(50))
				}
				l.bearable(perMinute)
				l.proc.halt()
			})
		})
	}
}

// bearable looks into the server's log: no minute may hold more requests than were allowed.
func (l *life) bearable(perMinute int) {
	minutes := l.exchange.Stats().Minutes
	var most, sum int64
	for _, m := range minutes {
		most, sum = max(most, m.Requests), sum+m.Requests
		if m.Requests > int64(perMinute) {
			l.Errorf("%s: %d requests, want %d at most", time.Unix(m.Start, 0).UTC().Format("15:04"), m.Requests, perMinute)
		}
	}
	if sum < int64(len(minutes)) || most < 2 {
		l.Errorf("%d requests in %d minutes: nothing was asked", sum, len(minutes))
	}
	l.Logf("%d requests in %d minutes, %d in the worst", sum, len(minutes), most)
}

// TestMonth lives a month: mail on every day, now and then a day with trouble.
func TestMonth(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 31, wiring{tick: time.Minute})
		l := begin(w, true)
		for day := range 30 {
			w.front.setRate([]int{0, 10, 50}[day%3])
			for range 12 {
				l.pause(2*time.Hour + time.Duration(l.rng.IntN(1e9)))
				l.happen(l.everything())
			}
		}
		l.calm()
		if err := l.recover(); err != nil {
			t.Fatalf("%v\n%s", err, l.log.last(100))
		}
		l.judge()
		for _, b := range l.broken {
			t.Error(b.what)
		}
		l.Logf("%d faults, %d deaths, %d requests", l.front.faults(), l.deaths, len(l.front.lines))
		l.proc.halt()
	})
}
