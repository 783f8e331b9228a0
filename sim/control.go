package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// Control returns a face for whoever drives the simulation from another process. It is
// for a listener of its own, on loopback: it asks for no password.
//
//	GET  /stats    Stats as JSON
//	POST /load     a Load as JSON; answers with Delivered when all is done
//	GET  /truth    every item that stands, a Copy a line as JSON
//	GET  /history  the history so far, an Event a line as JSON; see Options.Journal
//	POST /trouble  troubles in the words of ParseTrouble, one a line
//	POST /calm     ends all troubles
//	POST /restart  forgets all sync states and subscriptions, as a server does that was replaced
//	GET  /requests the latest requests, a RequestRecord a line as JSON
//	POST /forget   forgets them
//
// and, each a JSON object that is carried out from the next request on:
//
//	POST /govern   a Governance, of one "mailbox" or of the organization
//	POST /share    "mailbox", "delegate", "level", "folders" by role; see Mailbox.Share
//	POST /group    a Group; "remove" ends it
//	POST /account  an Account, added or replaced
//	POST /logon    a LogOn
//	POST /discover a Discovery "for" somebody; "forget" ends all
//
// What cannot be done is answered with status 400 and a sentence.
func (x *Exchange) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, controlHelp+accessHelp) })
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, x.Stats()) })
	mux.HandleFunc("POST /load", x.controlLoad)
	mux.HandleFunc("GET /truth", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		out := json.NewEncoder(w)
		_ = x.Truth(func(c Copy) error { return out.Encode(c) }) // the client went away
	})
	mux.HandleFunc("GET /history", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		if err := x.History(w); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("POST /trouble", x.controlTrouble)
	mux.HandleFunc("POST /calm", func(http.ResponseWriter, *http.Request) { x.Calm() })
	mux.HandleFunc("POST /restart", func(http.ResponseWriter, *http.Request) { x.LoseSyncStates(); x.LoseSubscriptions() })
	x.accessControl(mux)
	return mux
}

// controlHelp is what the face says of itself.
const controlHelp = `GET  /stats    how the server was used, as JSON
GET  /truth    the items that there are, one JSON object a line
GET  /history  what became of them, one JSON object a line; needs a journal
POST /load     have letters delivered: {"rate": 5, "seconds": 60}
POST /trouble  misbehave: text such as busy-fault:GetItem:every=7 or error=ErrorItemCorrupt:GetItem:times=1
POST /calm     end all trouble
POST /restart  forget sync states and subscriptions, as a server that is started anew
`

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client went away
}

// maxOrder bounds what the control face is sent.
const maxOrder = 1 << 20

func (x *Exchange) controlLoad(w http.ResponseWriter, r *http.Request) {
	var l Load
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	in.DisallowUnknownFields()
	if err := in.Decode(&l); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	done, err := x.Drive(r.Context(), l)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answerJSON(w, done)
}

func (x *Exchange) controlTrouble(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOrder))
	var list []Trouble
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || err != nil {
			continue
		}
		var t Trouble
		t, err = ParseTrouble(line)
		list = append(list, t)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, t := range list {
		x.MakeTrouble(t)
	}
}

// Stats say how the server is used.
type Stats struct {
	Mailboxes     int              `json:"mailboxes"`
	Subscriptions int              `json:"subscriptions"`
	Listened      int              `json:"listened"`   // subscriptions that somebody listens to
	Streams       int              `json:"streams"`    // connections on which somebody listens
	Deliveries    int64            `json:"deliveries"` // letters laid into a mailbox, each copy counted
	Requests      map[string]int64 `json:"requests"`   // by operation, "" when refused before it was read
	Throttled     int64            `json:"throttled"`  // answers that asked for less
	Minutes       []Minute         `json:"minutes"`    // the latest day, oldest first; without requests, no entry
}

// A Minute of requests. Those that wait for notifications count when they begin.
type Minute struct {
	Start     int64 `json:"start"` // seconds since 1970
	Requests  int64 `json:"requests"`
	Throttled int64 `json:"throttled"`
}

// Stats returns how the server was used so far.
func (x *Exchange) Stats() Stats {
	x.mu.RLock()
	s := Stats{Mailboxes: len(x.boxes), Deliveries: x.deliveries}
	x.mu.RUnlock()
	x.switchboard.mu.Lock()
	s.Subscriptions, s.Streams = len(x.switchboard.byID), x.switchboard.streams
	for _, sub := range x.switchboard.byID {
		if sub.stream != nil {
			s.Listened++
		}
	}
	x.switchboard.mu.Unlock()
	x.log.mu.Lock()
	defer x.log.mu.Unlock()
	s.Requests = map[string]int64{}
	for operation, t := range x.log.tallies {
		s.Requests[operation] = t.Requests
	}
	s.Throttled = x.log.throttled
	s.Minutes = append([]Minute{}, x.log.minutes...)
	return s
}

// A Load is a steady stream of letters, each with a Message-ID of its own, to mailboxes
// drawn at random. Contacts are those of CrowdContact, users whoever has a mailbox.
type Load struct {
	Rate     float64 `json:"rate"` // letters a second
	Seconds  float64 `json:"seconds"`
	Internal float64 `json:"internal"` // the share that one user sends another; the rest comes from contacts
	Contacts int     `json:"contacts"` // how many of them write; 0 = 1000
	Seed     uint64  `json:"seed"`     // of the draw

	// Only to so many mailboxes from this one on, as numbered by CrowdUser; 0 = to all.
	First     int `json:"first"`
	Mailboxes int `json:"mailboxes"`
}

// Delivered tells what came of a Load.
type Delivered struct {
	Letters int   `json:"letters"`
	Start   int64 `json:"start"` // nanoseconds since 1970
	End     int64 `json:"end"`
	Behind  int64 `json:"behind"` // nanoseconds that a letter was late at most, by the plan
}

// Drive delivers a load and returns when it is done, or ctx ends. A letter that is late
// is delivered at once, so that the rate holds on average.
func (x *Exchange) Drive(ctx context.Context, l Load) (Delivered, error) {
	if l.Rate <= 0 || l.Seconds < 0 || l.Internal < 0 || l.Internal > 1 || l.Contacts < 0 || l.First < 0 || l.Mailboxes < 0 || l.Rate*l.Seconds > 1e9 {
		return Delivered{}, fmt.Errorf("no such load: %+v", l)
	}
	if l.Contacts == 0 {
		l.Contacts = 1000
	}
	draw := rand.New(rand.NewPCG(l.Seed, 0))
	start := time.Now()
	done := Delivered{Start: start.UnixNano()}
	for i := range int(l.Rate * l.Seconds) {
		due := start.Add(time.Duration(float64(i) / l.Rate * float64(time.Second)))
		if err := sleepUntil(ctx, due); err != nil {
			return done, err
		}
		done.Behind = max(done.Behind, int64(time.Since(due)))
		raw, err := x.loadLetter(draw, l, fmt.Sprintf("%d-%d-%d", l.Seed, done.Start, i))
		if err != nil {
			return done, err
		}
		if _, err := x.Deliver(raw); err != nil {
			return done, err
		}
		done.Letters++
	}
	done.End = time.Now().UnixNano()
	return done, nil
}

func sleepUntil(ctx context.Context, due time.Time) error {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// loadLetter writes a letter to somebody drawn at random.
func (x *Exchange) loadLetter(draw *rand.Rand, l Load, name string) ([]byte, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	boxes := x.boxes
	if l.Mailboxes > 0 {
		boxes = boxes[min(l.First, len(boxes)):min(l.First+l.Mailboxes, len(boxes))]
	}
	if len(boxes) == 0 {
		return nil, errors.New("there is no mailbox to deliver to")
	}
	user := func() Person {
		box := boxes[draw.IntN(len(boxes))]
		return Person{box.name, box.address}
	}
	from, to := CrowdContact(draw.IntN(l.Contacts)), user()
	if draw.Float64() < l.Internal {
		from = user()
	}
	return fmt.Appendf(nil, "From: %s <%s>\r\nTo: %s <%s>\r\nSubject: Load %s\r\nDate: %s\r\nMessage-ID: <load-%s@%s>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nLetter %s for %s.\r\n",
		from.Name, from.Address, to.Name, to.Address, name, time.Now().UTC().Format(time.RFC1123Z), name, from.Address.Domain(), name, to.Name), nil
}
