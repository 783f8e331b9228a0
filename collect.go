package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/store"
)

// collectCommand is for machines that call Postern from time to time instead of leaving
// it running.
type collectCommand struct {
	dataFlags
	limitFlags
	Workers int  `help:"Mailboxes read at once." default:"4"`
	JSON    bool `help:"Print one JSON object."`
}

// collected is what one run has collected, and how each mailbox stands.
type collected struct {
	Mailboxes int                `json:"mailboxes"`
	Filed     int                `json:"filed"` // items, in all
	NotFiled  map[crm.Reason]int `json:"not_filed"`
	Failed    int                `json:"failed"`
	Requests  map[string]int     `json:"requests"`
	Bytes     int64              `json:"bytes"`
	Seconds   float64            `json:"seconds"`
	Trouble   map[string]string  `json:"trouble"` // by mailbox
}

func (k *collectCommand) Run(c *common) error {
	st, org, err := k.open(c, true)
	if err != nil {
		return err
	}
	defer st.Close()
	requests := newMeter(org)
	defer requests.Close()
	began := time.Now()
	paced, err := k.pace(c.ctx, st, c.log, 0)
	if err != nil {
		return err
	}
	e := engine.New(engine.Config{Org: org, Connector: ews.Connector(), AccessLog: requests, Pace: paced, Workers: k.Workers, Log: c.log})
	if err := e.CatchUp(c.ctx); err != nil {
		return err
	}
	if err := c.ctx.Err(); err != nil {
		return err
	}
	result, err := tally(c, org, requests, began)
	if err != nil {
		return err
	}
	result.Seconds = time.Since(began).Seconds()
	if k.JSON {
		err = json.NewEncoder(c.out).Encode(result)
	} else {
		_, err = fmt.Fprintf(c.out, "%d mailboxes: %d filed, %d not filed%s, %d failed\n",
			result.Mailboxes, result.Filed, result.notFiled(), reasons(result.NotFiled), result.Failed)
		if result.tellTrouble(c.errOut); len(result.Trouble) > 0 {
			fmt.Fprintln(c.errOut, "Once that has passed or been seen to, run postern collect again: it goes on where it ended.")
		}
	}
	switch {
	case err != nil:
		return err
	case result.Mailboxes == 0:
		return nothingInScope("nothing-to-collect")
	case len(result.Trouble) > 0:
		return exitError(1)
	}
	return nil
}

func (r *collected) notFiled() int {
	sum := 0
	for _, n := range r.NotFiled {
		sum += n
	}
	return sum
}

// nothingInScope is the fault of a command that needs mailboxes where there are none.
func nothingInScope(code string) error {
	return &crm.Fault{Verdict: crm.Refused, Code: code, Message: "There is no mailbox in scope.",
		Advice: "Enable collecting in the Email settings and import users whose domain is in the Domain List."}
}

// tellTrouble says each trouble once, with the mailboxes that are in it.
func (r *collected) tellTrouble(w io.Writer) {
	boxes := make(map[string][]string)
	for _, box := range slices.Sorted(maps.Keys(r.Trouble)) {
		boxes[r.Trouble[box]] = append(boxes[r.Trouble[box]], box)
	}
	for _, why := range slices.Sorted(maps.Keys(boxes)) {
		fmt.Fprintf(w, "postern: %s\n  mailboxes (%d): %s\n", why, len(boxes[why]), strings.Join(boxes[why], ", "))
	}
}

// notReached is the trouble of a mailbox whose turn did not come in a run.
var notReached = &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "not-reached", Message: "Its turn did not come: Exchange is left alone for a while, or cannot be reached.",
	Advice: "Nothing to do for this mailbox."}

// tally counts what stands in the ledger after a run that began then.
func tally(c *common, org *store.Org, requests *meter, began time.Time) (*collected, error) {
	counts, err := org.Counts(c.ctx)
	if err != nil {
		return nil, err
	}
	boxes, _, err := org.Mailboxes(c.ctx, store.ListQuery{Limit: store.Everything})
	if err != nil {
		return nil, err
	}
	result := &collected{Filed: counts.Filed, NotFiled: make(map[crm.Reason]int), Failed: counts.Failed, Trouble: make(map[string]string)}
	result.Requests, _, result.Bytes = requests.read()
	for _, reason := range crm.Reasons {
		if n := counts.By[reason]; n > 0 {
			result.NotFiled[reason] = n
		}
	}
	for _, box := range boxes {
		if box.State == crm.Off {
			continue
		}
		result.Mailboxes++
		f := box.Trouble
		if f == nil && box.Checked.Before(began.Truncate(time.Microsecond)) {
			f = notReached
		}
		if f != nil {
			result.Trouble[string(box.Address)] = f.Error() + " " + f.Advice
		}
	}
	return result, nil
}
