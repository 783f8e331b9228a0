package chaos

import (
	"bytes"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"sync"
	"time"
)

type connKey struct{}

// A front stands before the simulated Exchange. It gives each answer its delay, and does
// to a request what the network may do to it.
type front struct {
	w *world

	mu    sync.Mutex
	count map[string]int // requests so far, by operation and mailbox
	lines []string       // what came, for the digest
}

func newFront(w *world) *front { return &front{w: w, count: map[string]int{}} }

var (
	operationOf = regexp.MustCompile(`<(?:\w+:)?Body[^>]*><(?:\w+:)?(\w+)`)
	mailboxOf   = regexp.MustCompile(`PrimarySmtpAddress>([^<]+)<`)
)

func (f *front) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	operation, mailbox := first(operationOf, body), first(mailboxOf, body)
	_, _, signed := r.BasicAuth()
	dice, key := f.dice(operation, mailbox, signed)
	f.sleep(r, time.Duration(1+dice.IntN(int(50*time.Millisecond))))
	f.note(key)
	f.w.exchange.ServeHTTP(rw, r)
}

func first(re *regexp.Regexp, text []byte) string {
	if m := re.FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}

// dice returns the randomness of one request. It depends on how many of its kind came
// before it and on nothing else, so that one request more elsewhere changes nothing here.
func (f *front) dice(operation, mailbox string, signed bool) (*rand.Rand, string) {
	key := operation + " " + mailbox
	if !signed {
		key += " unsigned"
	}
	f.mu.Lock()
	f.count[key]++
	n := f.count[key]
	f.mu.Unlock()
	h := fnv.New64a()
	io.WriteString(h, key)
	return rand.New(rand.NewPCG(f.w.seed^h.Sum64(), uint64(n))), key
}

// sleep waits, but not for a client that has gone.
func (f *front) sleep(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

func (f *front) note(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, time.Now().Format("15:04:05.000000000 ")+key)
}
