package engine

import (
	"sync"
	"time"

	"postern/crm"
	"postern/store"
)

// Progress of the pass under way over a mailbox.
type Progress struct {
	Done, Total int           // items; Total is the server's count when the pass began
	Rate        float64       // items per second, of the last half minute; 0 = not known yet
	ETA         time.Duration // to the end at that rate; 0 = not known
	Slow        string        // what most of the time goes to: "Exchange", "the database"; "" = not known
}

// rateWindow is the span that the rate is taken over.
const rateWindow = 30 * time.Second

// progressBoard holds the progress of the passes under way.
type progressBoard struct {
	mu    sync.Mutex
	boxes map[crm.MailboxID]*track
}

// track is the progress of one pass.
type track struct {
	done, total int
	marks       []mark // of the last rateWindow
	waited      [2]time.Duration
}

type mark struct {
	at   time.Time
	done int
}

// What a pass waits for.
const (
	forServer = iota
	forStore
)

func (b *progressBoard) begin(box crm.MailboxID, folders []store.Folder, now time.Time) {
	t := &track{marks: []mark{{now, 0}}}
	for i := range folders {
		if f := &folders[i]; !f.Listed && f.Total > 0 {
			t.total += f.Total
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.boxes == nil {
		b.boxes = make(map[crm.MailboxID]*track)
	}
	b.boxes[box] = t
}

func (b *progressBoard) end(box crm.MailboxID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.boxes, box)
}

func (b *progressBoard) add(box crm.MailboxID, n int, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.boxes[box]
	if t == nil {
		return
	}
	t.done += n
	t.total = max(t.total, t.done)
	t.marks = append(t.marks, mark{now, t.done})
	for len(t.marks) > 2 && now.Sub(t.marks[0].at) > rateWindow {
		t.marks = t.marks[1:]
	}
}

// wait notes that a pass spent time on something.
func (b *progressBoard) wait(box crm.MailboxID, what int, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.boxes[box]; t != nil {
		t.waited[what] += d
	}
}

// Progress tells how far the pass under way over a mailbox has come; false when none is.
func (e *Engine) Progress(box crm.MailboxID) (Progress, bool) {
	e.progress.mu.Lock()
	defer e.progress.mu.Unlock()
	t := e.progress.boxes[box]
	if t == nil {
		return Progress{}, false
	}
	p := Progress{Done: t.done, Total: t.total}
	first, last := t.marks[0], t.marks[len(t.marks)-1]
	if span := last.at.Sub(first.at); span > 0 {
		p.Rate = float64(last.done-first.done) / span.Seconds()
	}
	if p.Rate > 0 {
		p.ETA = time.Duration(float64(t.total-t.done) / p.Rate * float64(time.Second)).Round(time.Second)
	}
	switch {
	case t.waited[forServer] > t.waited[forStore]:
		p.Slow = "Exchange"
	case t.waited[forStore] > 0:
		p.Slow = "the database"
	}
	return p, true
}
