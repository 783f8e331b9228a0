package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"postern/sim"
)

// neighbourMeasured is what mailboxes feel of each other: the p99 of the quiet half, alone
// and beside others, in milliseconds, and its ratios. With
// few mailboxes for the rate, what is measured is the wait that gathers bursts of one.
type neighbourMeasured struct {
	Quiet           float64 `json:"quiet_p99_ms"`
	BesideLoud      float64 `json:"beside_loud_p99_ms"`
	BesideThrottled float64 `json:"beside_throttled_p99_ms"`
	LoudRatio       float64 `json:"neighbour_p99_ratio"`
	ThrottledRatio  float64 `json:"throttled_p99_ratio"`
}

// slowly lets the server take as long for an answer as real ones do. On loopback all that
// could be compared would be the pauses between two looks at the database.
const slowly = "slow:SyncFolderItems:delay=40ms\nslow:GetItem:delay=40ms\n"

// rounds is how often the three are measured in turn, so that what else the machine does
// meets them alike.
const rounds = 3

// neighbour gives one half of the mailboxes a tenth of the rate: alone, while the other
// half gets all of it, and while the server wants less of one mailbox that gets letters.
func (m *liveMeasure) neighbour(ctx context.Context, seen *sightings) error {
	half, seconds := m.Mailboxes/2, float64(m.Seconds)/rounds
	other := sim.CrowdUser(half).Address // first of the other half
	quiet := sim.Load{Rate: m.Rate / 10, Seconds: seconds, Mailboxes: half}
	beside := []struct {
		load    sim.Load
		trouble string
		took    []time.Duration
	}{
		{},
		{load: sim.Load{Rate: m.Rate, Seconds: seconds, First: half, Mailboxes: m.Mailboxes - half}},
		{load: sim.Load{Rate: 1, Seconds: seconds, First: half, Mailboxes: 1}, trouble: "busy-fault:mailbox=" + string(other) + "\n"},
	}
	for range rounds {
		for i := range beside {
			b := &beside[i]
			if err := m.exchange.ask(ctx, http.MethodPost, "/trouble", b.trouble+slowly, nil); err != nil {
				return err
			}
			loads := []sim.Load{quiet}
			if b.load.Rate > 0 {
				loads = append(loads, b.load)
			}
			began := time.Now()
			if err := m.drive(ctx, seen, loads...); err != nil {
				return err
			}
			took, err := m.delays(ctx, seen, func(d delivery) bool { return d.at.After(began) && d.mailbox < other })
			if err != nil {
				return err
			}
			b.took = append(b.took, took...)
			if err := m.exchange.ask(ctx, http.MethodPost, "/calm", "", nil); err != nil {
				return err
			}
		}
	}
	p99 := func(i int) float64 { slices.Sort(beside[i].took); return percentile(beside[i].took, .99) }
	r := &neighbourMeasured{Quiet: p99(0), BesideLoud: p99(1), BesideThrottled: p99(2)}
	r.LoudRatio, r.ThrottledRatio = r.BesideLoud/r.Quiet, r.BesideThrottled/r.Quiet
	m.result.neighbourMeasured = r
	return nil
}
