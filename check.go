package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/store"
	"postern/web"
)

// checkCommand is the doctor. Its exit status is 1 when a finding is red.
type checkCommand struct {
	dataFlags
	JSON     bool     `help:"Print the run as one JSON object."`
	Mailbox  []string `help:"Address of a mailbox to open; none = those that are read, 20 at most." placeholder:"ADDRESS"`
	Outside  *string  `help:"Address of a mailbox that Exchange must refuse; not given = the one of the last run, an empty text = none." placeholder:"ADDRESS"`
	Stranger *bool    `help:"Try another User-Agent, which Exchange must refuse; not given = as in the last run." negatable:""`
}

func (k *checkCommand) Run(c *common) error {
	st, org, err := k.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	e, done := doctor(c, org)
	defer done()
	up, err := k.plan(c.ctx, e)
	if err != nil {
		return err
	}
	tell := func(f crm.Finding) { printFinding(c.out, &f) }
	if k.JSON {
		tell = func(crm.Finding) {}
	}
	run, err := e.Check(c.ctx, up, tell)
	if err != nil {
		return err
	}
	if k.JSON {
		err = json.NewEncoder(c.out).Encode(web.NewCheckJSON(run))
	} else {
		_, err = fmt.Fprintf(c.out, "%d steps in %s: %d red, %d to be seen to\n", len(run.Findings), run.Took.Round(time.Millisecond), run.Red(), run.Warnings())
	}
	if err == nil && run.Red() > 0 {
		err = exitError(1)
	}
	return err
}

// doctor makes an engine that tries things and collects nothing.
func doctor(c *common, org *store.Org) (*engine.Engine, func()) {
	accesses := org.AccessWriter()
	e := engine.New(engine.Config{Org: org, Connector: ews.Connector(), AccessLog: accesses, Log: c.log})
	return e, func() { accesses.Close() }
}

// plan is what was done the last time, but for what was named.
func (k *checkCommand) plan(ctx context.Context, e *engine.Engine) (engine.CheckUp, error) {
	up, err := e.NextCheck(ctx)
	if err != nil {
		return up, err
	}
	for _, text := range k.Mailbox {
		a, err := parseAddress(text)
		if err != nil {
			return up, err
		}
		up.Boxes = append(up.Boxes, a)
	}
	switch {
	case k.Outside == nil:
	case *k.Outside == "":
		up.Outside = ""
	default:
		if up.Outside, err = parseAddress(*k.Outside); err != nil {
			return up, err
		}
	}
	if k.Stranger != nil {
		up.Stranger = *k.Stranger
	}
	return up, nil
}

// printFinding says a finding in a line, and below what is wrong and what to do.
func printFinding(w io.Writer, f *crm.Finding) {
	state := f.State()
	if state == "bad" {
		state = "red"
	}
	fmt.Fprintf(w, "%-4s  %s", state, f.Step)
	switch {
	case f.Fault != nil:
		fmt.Fprintf(w, ": %s [%s]\n", f.Fault.Message, f.Fault.Code)
	case f.Detail != "":
		fmt.Fprintf(w, ": %s\n", f.Detail)
	default:
		fmt.Fprintln(w)
	}
	if f.Fault == nil {
		return
	}
	if f.Fault.Advice != "" {
		fmt.Fprintf(w, "      %s: %s\n", f.For.Title(), f.Fault.Advice)
	}
	for line := range strings.SplitSeq(f.Fix, "\n") {
		if line != "" {
			fmt.Fprintf(w, "        %s\n", line)
		}
	}
}
