package engine

import (
	"testing"
	"time"

	"postern/crm"
	"postern/store"
)

// What the engine does with mail is tested from outside, in package acceptance. Here is
// what can be said without a mailbox.

func TestChunkBoundsWhatIsLoadedAtOnce(t *testing.T) {
	sized := func(sizes ...int64) []crm.Header {
		list := make([]crm.Header, len(sizes))
		for i, n := range sizes {
			list[i].Size = n
		}
		return list
	}
	for _, test := range []struct {
		name    string
		headers []crm.Header
		want    int
	}{
		{"none", nil, 0},
		{"all fit", sized(1, 2, 3), 3},
		{"one too large stands alone", sized(chunkBytes+1, 1), 1},
		{"the last does not fit", sized(chunkBytes-1, 1, 1), 2},
		{"sizes that are not known", sized(0, 0, 0, 0), 4},
	} {
		if got := chunk(test.headers); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

func TestConsequenceOfEachVerdict(t *testing.T) {
	for _, test := range []struct {
		fault crm.Fault
		tries int
		state crm.MailboxState
		wait  time.Duration
	}{
		{crm.Fault{Verdict: crm.Retry}, 0, crm.Waiting, 10 * time.Second},
		{crm.Fault{Verdict: crm.Retry}, 99, crm.Waiting, 15 * time.Minute},
		{crm.Fault{Verdict: crm.Retry, After: time.Hour}, 0, crm.Waiting, time.Hour},
		{crm.Fault{Verdict: crm.Retry, After: 3 * time.Second, Code: resting}, 99, crm.Waiting, 3 * time.Second},
		{crm.Fault{Verdict: crm.Retry, After: 48 * time.Hour}, 0, crm.Waiting, time.Hour},
		{crm.Fault{Verdict: crm.Refused}, 99, crm.Attention, time.Hour},
		{crm.Fault{Verdict: crm.Retry, After: time.Millisecond}, 0, crm.Waiting, 10 * time.Second},
		{crm.Fault{Verdict: crm.Reauth}, 0, crm.Attention, 15 * time.Minute},
		{crm.Fault{Verdict: crm.Refused}, 0, crm.Attention, 15 * time.Minute},
		{crm.Fault{Verdict: crm.Gone}, 0, crm.Attention, 15 * time.Minute},
		{crm.Fault{Verdict: crm.Retry, Code: store.DiskFull}, 99, crm.Waiting, 30 * time.Second},
	} {
		if state, wait := consequence(&test.fault, test.tries); state != test.state || wait != test.wait {
			t.Errorf("%s %s after %d tries: got %s for %s, want %s for %s", test.fault.Verdict, test.fault.Code, test.tries, state, wait, test.state, test.wait)
		}
	}
}

func TestProgressTellsRateAndRemainder(t *testing.T) {
	e := New(Config{})
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	if _, under := e.Progress(1); under {
		t.Error("a pass is under way that was not begun")
	}
	e.progress.begin(1, []store.Folder{{Folder: crm.Folder{Total: 1000}}, {Folder: crm.Folder{Total: 500}, Listed: true}, {Folder: crm.Folder{Total: -1}}}, now)
	e.progress.add(1, 100, now.Add(time.Second))
	e.progress.add(1, 100, now.Add(2*time.Second))
	e.progress.wait(1, forServer, 3*time.Second)
	e.progress.wait(1, forStore, time.Second)
	p, under := e.Progress(1)
	want := Progress{Done: 200, Total: 1000, Rate: 100, ETA: 8 * time.Second, Slow: "Exchange"}
	if !under || p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}
	// The rate is that of the last half minute, and the total grows when more comes.
	for i := range 60 {
		e.progress.add(1, 20, now.Add(time.Duration(3+i)*time.Second))
	}
	if p, _ = e.Progress(1); p.Rate < 19 || p.Rate > 21 || p.Done != 1400 || p.Total != 1400 || p.ETA != 0 {
		t.Errorf("later: got %+v, want 1400 of 1400 at 20 a second", p)
	}
	e.progress.end(1)
	if _, under := e.Progress(1); under {
		t.Error("the pass is still under way after its end")
	}
}
