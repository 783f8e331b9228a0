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

type reconcileCommand struct {
	dataFlags
	limitFlags
	JSON bool          `help:"Print one JSON object per folder."`
	Wait time.Duration `help:"How long a running Postern is given to look at each mailbox first, and how long is waited where Exchange asked for silence." default:"1m"`
}

func (r *reconcileCommand) Run(c *common) error {
	st, org, err := r.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	paced, err := r.pace(c.ctx, st, c.log, r.Wait)
	if err != nil {
		return err
	}
	accesses := org.AccessWriter()
	defer accesses.Close()
	e := engine.New(engine.Config{Org: org, Connector: ews.Connector(), AccessLog: accesses, Pace: paced, Log: c.log})
	if err := r.settle(c, org); err != nil {
		return err
	}
	proved, folders := true, 0
	err = e.Reconcile(c.ctx, func(report engine.Report) error {
		folders++
		proved = proved && report.Proved()
		if r.JSON {
			return json.NewEncoder(c.out).Encode(report)
		}
		return printReport(c.out, &report)
	})
	if err != nil {
		return err
	}
	switch {
	case folders == 0:
		return nothingInScope("nothing-to-prove")
	case !proved:
		return &crm.Fault{Verdict: crm.Refused, Code: "not-proved", Message: "The books and the server do not agree everywhere, or a mailbox could not be read.",
			Advice: "See the lines above that differ or are not proved; postern mailboxes look --whole reads the mailboxes again from the beginning, which brings back missing decisions, messages, texts and activities; for rows that were altered, restore a backup."}
	case !r.JSON:
		fmt.Fprintf(c.out, "proved: in all %d folders each item has its decision, and what is filed is whole\n", folders)
	}
	return nil
}

// settle gives a running Postern the time to look at each mailbox, so that mail of the
// last seconds is not taken for lost.
func (r *reconcileCommand) settle(c *common, org *store.Org) error {
	if locked, err := store.InUse(r.Data); err != nil || !locked {
		return err
	}
	began := time.Now()
	if err := org.LookNow(c.ctx); err != nil {
		return err
	}
	for tick := time.NewTicker(200 * time.Millisecond); time.Since(began) < r.Wait; {
		select {
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-tick.C:
		}
		boxes, _, err := org.Mailboxes(c.ctx, store.ListQuery{Limit: store.Everything})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(boxes, func(b store.MailboxView) bool {
			return b.State != crm.Off && b.Trouble == nil && b.Checked.Before(began)
		}) {
			return nil
		}
	}
	return nil
}

func printReport(w io.Writer, r *engine.Report) error {
	if r.Fault != nil {
		_, err := fmt.Fprintf(w, "%s: not proved: %s\n  %s\n", r.Address, r.Fault, r.Fault.Advice)
		return err
	}
	sign := "="
	if r.Filed+r.NotFiledTotal()+r.Failed != r.Items {
		sign = "≠"
	}
	fmt.Fprintf(w, "%s %s: %d on the server %s %d filed + %d not filed + %d failed%s\n", r.Address, r.Folder, r.Items, sign,
		r.Filed, r.NotFiledTotal(), r.Failed, reasons(r.NotFiled))
	for _, d := range r.Differs {
		fmt.Fprintf(w, "  differs: %s: %s\n", d.Item, d.Problem)
	}
	return nil
}

// reasons lists numbers by reason, in brackets.
func reasons(by map[crm.Reason]int) string {
	if len(by) == 0 {
		return ""
	}
	var parts []string
	for _, r := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%s %d", r, by[r]))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
