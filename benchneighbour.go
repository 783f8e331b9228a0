package main

import (
	"context"
	"net/http"
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

// neighbour gives one half of the mailboxes a tenth of the rate: alone, while the other
// half gets all of it, and while the server wants less of one mailbox that gets letters.
func (m *liveMeasure) neighbour(ctx context.Context, seen *sightings) error {
	half := m.Mailboxes / 2
	quiet := sim.Load{Rate: m.Rate / 10, Mailboxes: half, Seed: 1}
	loud := sim.Load{Rate: m.Rate, First: half, Mailboxes: m.Mailboxes - half, Seed: 2}
	throttled := sim.Load{Rate: 1, First: half, Mailboxes: 1, Seed: 3}
	r := &neighbourMeasured{}
	m.result.neighbourMeasured = r
	p99 := func(loads ...sim.Load) (float64, error) {
		began := time.Now()
		if err := m.drive(ctx, seen, loads...); err != nil {
			return 0, err
		}
		last := sim.CrowdUser(half).Address
		took, err := m.delays(ctx, seen, func(d delivery) bool { return d.at.After(began) && d.mailbox < last })
		return percentile(took, .99), err
	}
	err := m.exchange.ask(ctx, http.MethodPost, "/trouble", slowly, nil)
	if err != nil {
		return err
	}
	if r.Quiet, err = p99(quiet); err != nil {
		return err
	}
	if r.BesideLoud, err = p99(quiet, loud); err != nil {
		return err
	}
	if err := m.exchange.ask(ctx, http.MethodPost, "/calm", "", nil); err != nil {
		return err
	}
	busy := "busy-fault:mailbox=" + string(sim.CrowdUser(half).Address) + "\n"
	if err := m.exchange.ask(ctx, http.MethodPost, "/trouble", busy+slowly, nil); err != nil {
		return err
	}
	if r.BesideThrottled, err = p99(quiet, throttled); err != nil {
		return err
	}
	r.LoudRatio, r.ThrottledRatio = r.BesideLoud/r.Quiet, r.BesideThrottled/r.Quiet
	return m.exchange.ask(ctx, http.MethodPost, "/calm", "", nil)
}
