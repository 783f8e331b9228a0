package chaos

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/crm"
	"postern/sim"
	"postern/store"
	"postern/verify"
)

// A point is one moment at which a process can die: before the n-th time that a durable
// step is taken.
type point struct {
	step string
	n    int
}

// pointsAsked is how many points there must be in each of the lives.
const pointsAsked = 60

// TestCrashPoints lives a quiet life to its end and numbers the durable steps in it. Then
// it lives the same life again for each of them, dies there, goes on with what is on the
// disk, and must end with the same contents. With POSTERN_SEEDS set, it also dies half-way
// between the first and the last time of each step.
func TestCrashPoints(t *testing.T) {
	seeds, each := uint64(3), 1
	if testing.Short() {
		seeds, each = 1, 6
	}
	soaking := os.Getenv("POSTERN_SEEDS") != ""
	for seed := uint64(1); seed <= seeds; seed++ {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			var order []string
			count := map[string]int{}
			whole, _ := quietLife(t, seed, func(step string) bool {
				if count[step]++; count[step] == 1 {
					order = append(order, step)
				}
				return false
			})
			var points []point
			for _, step := range order {
				points = append(points, point{step, 1})
				if half := count[step]/2 + 1; half > 1 && soaking {
					points = append(points, point{step, half})
				}
			}
			if len(points) < pointsAsked {
				t.Errorf("only %d points at which it can die, want %d: %v", len(points), pointsAsked, points)
			}
			if len(whole["activity"]) == 0 || len(whole["blob"]) == 0 {
				t.Fatal("the undisturbed life filed nothing")
			}
			for i := 0; i < len(points); i += each {
				at := points[i]
				t.Run(fmt.Sprintf("%d before %s for the %dth time", i+1, at.step, at.n), func(t *testing.T) {
					t.Parallel()
					met := 0
					contents, deaths := quietLife(t, seed, func(step string) bool {
						if step == at.step {
							met++
						}
						return step == at.step && met == at.n
					})
					if diff := cmp.Diff(whole, contents); diff != "" {
						t.Errorf("(-undisturbed +crashed)\n%.3000s", diff)
					}
					if deaths != 1 {
						t.Errorf("it died %d times", deaths)
					}
				})
			}
		})
	}
}

// quietLife lives a life without trouble but for one busy minute and one disabled mailbox,
// and returns what is in the database in the end. At each durable step, die says whether
// the process dies there.
func quietLife(t *testing.T, seed uint64, die func(step string) bool) (contents map[string][]string, deaths int) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		died := false
		w := newWorld(t, seed, wiring{tick: 30 * time.Second, step: func(step string) bool {
			mu.Lock()
			defer mu.Unlock()
			if died {
				return false
			}
			died = die(step)
			return died
		}})
		w.front.rate = 0
		began := time.Now()
		l := begin(w, false)
		l.live(2 * time.Minute)
		now := time.Now()
		l.front.cast(spell{kind: string(sim.BusyFault), until: now.Add(time.Minute)})
		l.front.cast(spell{kind: string(sim.AccountDisabled), mailbox: string(l.users[0]), until: now.Add(3 * time.Minute)})
		l.live(3 * time.Minute)
		for part := range 2 {
			l.catchUp()
			// However long that took, life goes on in the same moment and with the same luck.
			l.pause(time.Until(began.Add(time.Duration(2+part) * time.Hour)))
			l.rng = rand.New(rand.NewPCG(seed, uint64(part)))
			if part == 0 {
				l.forget()
			}
			l.touchAll()
		}
		l.catchUp()
		l.judge()
		for _, b := range l.broken {
			t.Error(b.what)
		}
		contents = l.contents()
		l.proc.halt()
		if died {
			deaths = 1
		}
	})
	return contents, deaths
}

// catchUp waits until everything was caught up with, and until each folder was looked at
// once more without need.
func (l *life) catchUp() {
	l.Helper()
	if err := l.recover(); err != nil {
		l.Fatalf("%v\n%s", err, l.log.last(100))
	}
	for range 2 {
		l.admin(func(p *process) error { return p.engine.LookNow(l.Context()) })
		l.pause(time.Minute)
	}
}

// touchAll puts a letter into every folder. What a cursor says then depends on that letter
// alone, and not on when the folder was read before.
func (l *life) touchAll() {
	for _, a := range l.users {
		for _, f := range l.places(l.exchange.Mailbox(a)) {
			_, err := f.Put(l.letter())
			l.must(err)
		}
	}
}

func (l *life) contents() map[string][]string {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(l.proc.dir, "postern.db")+"?_pragma=busy_timeout(10000)")
	l.must(err)
	defer db.Close()
	all, err := verify.Contents(l.Context(), db)
	l.must(err)
	// A message without Message-ID belongs to the conversation in which it was met first,
	// which is a matter of order.
	delete(all, "thread_ref")
	return all
}

// TestCrashWhileTheDataFolderIsMade dies at each step of the first opening of a data
// folder, which must then open, and take and give back what is secret.
func TestCrashWhileTheDataFolderIsMade(t *testing.T) {
	points := 0
	for n := 1; ; n++ {
		dir, image, steps := t.TempDir(), filepath.Join(t.TempDir(), "image"), 0
		st, err := store.Open(t.Context(), store.Options{Dir: dir, Step: func(string) error {
			if steps++; steps < n {
				return nil
			}
			if steps == n {
				if err := copyData(image, dir); err != nil {
					t.Fatal(err)
				}
			}
			return errDead
		}})
		if err == nil {
			points = steps
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			break
		}
		if !errors.Is(err, errDead) {
			t.Fatalf("point %d: %v", n, err)
		}
		st, err = store.Open(t.Context(), store.Options{Dir: image, Exclusive: true})
		if err != nil {
			t.Fatalf("after point %d: %v", n, err)
		}
		secret := crm.NewSecret("a secret")
		if err := st.Org(1).SaveSettings(t.Context(), crm.Settings{Password: secret}); err != nil {
			t.Errorf("after point %d: %v", n, err)
		}
		if got, _, err := st.Org(1).Settings(t.Context()); err != nil || !got.Password.Equal(secret) {
			t.Errorf("after point %d: %v", n, err)
		}
		if err := st.Close(); err != nil {
			t.Errorf("after point %d: %v", n, err)
		}
	}
	if points < 8 {
		t.Errorf("it died at %d points only", points)
	}
}
