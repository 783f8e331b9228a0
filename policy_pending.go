package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"postern/crm"
	"postern/report"
	"postern/store"
)

// policyPending shows the changes that wait for a second person. Whoever runs commands is
// one, other than any administrator.
type policyPending struct {
	dataFlags
	Number int64 `arg:"" optional:"" help:"Proposal to show whole; none = list those that wait."`
	All    bool  `help:"List those that were decided, too."`
	JSON   bool  `help:"Print JSON."`
}

func (p *policyPending) Run(c *common) error {
	st, org, err := p.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	if p.Number != 0 {
		return p.show(c, org)
	}
	list, err := org.Proposals(c.ctx)
	if err != nil {
		return err
	}
	items := []report.Proposal{}
	t := table(c.out)
	fmt.Fprintln(t, "PROPOSAL\tCHANGES\tSTATE\tMADE\tBY\tEXPIRES\tDECIDED BY")
	for _, proposal := range list {
		if !p.All && !proposal.Waits() {
			continue
		}
		items = append(items, report.NewProposal(proposal))
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", proposal.ID, proposal.Kind.Title(), proposal.State, clock(proposal.At), proposal.By, clock(proposal.Expires), proposal.ClosedBy)
	}
	if p.JSON {
		return json.NewEncoder(c.out).Encode(items)
	}
	if len(items) == 0 {
		words := "Nothing waits for a second person."
		if p.All {
			words = "Nothing was proposed so far."
		}
		_, err := fmt.Fprintln(c.out, words)
		return err
	}
	return t.Flush()
}

func (p *policyPending) show(c *common, org *store.Org) error {
	proposal, err := findProposal(c, org, p.Number)
	if err != nil {
		return err
	}
	if p.JSON {
		return json.NewEncoder(c.out).Encode(report.NewProposal(proposal))
	}
	fmt.Fprintf(c.out, "%s: %s, made %s by %s, %s\n\n", proposal.Name(), proposal.Kind.Title(), clock(proposal.At), proposal.By, proposalState(&proposal))
	change, remove, err := org.DryRunProposal(c.ctx, &proposal)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return printEffects(c.out, &proposal)
	case errors.Is(err, store.ErrStale):
		fmt.Fprint(c.out, "It is stale: the policy was changed since. Approving it changes nothing.\n\n")
		return printEffects(c.out, &proposal)
	case err != nil:
		return err
	}
	if remove {
		fmt.Fprint(c.out, "It removes what was filed and would not be.\n\n")
	}
	return printChange(c.out, change)
}

func proposalState(p *crm.Proposal) string {
	switch {
	case p.Waits():
		return "waiting until " + clock(p.Expires)
	case p.ClosedBy == "":
		return string(p.State)
	}
	return fmt.Sprintf("%s %s by %s", p.State, clock(p.Closed), p.ClosedBy)
}

func printEffects(w io.Writer, p *crm.Proposal) error {
	for _, e := range p.Effects {
		fmt.Fprintln(w, p.Says(e))
		for _, line := range e.Lines() {
			fmt.Fprintln(w, "  "+line)
		}
	}
	return nil
}

func findProposal(c *common, org *store.Org, number int64) (crm.Proposal, error) {
	p, err := org.Proposal(c.ctx, number)
	if errors.Is(err, store.ErrNotFound) {
		return p, &crm.Fault{Verdict: crm.Refused, Code: "no-such-proposal", Message: fmt.Sprintf("There is no proposal %d.", number),
			Advice: "postern policy pending lists those that wait.", Err: err}
	}
	return p, err
}

// policyApprove carries a proposal out.
type policyApprove struct {
	dataFlags
	Number int64 `arg:"" help:"Proposal, as policy pending lists it."`
}

func (a *policyApprove) Run(c *common) error {
	return decide(c, &a.dataFlags, a.Number, (*store.Org).Approve)
}

// policyReject closes a proposal, one's own by withdrawing it.
type policyReject struct {
	dataFlags
	Number int64 `arg:"" help:"Proposal, as policy pending lists it."`
}

func (r *policyReject) Run(c *common) error {
	return decide(c, &r.dataFlags, r.Number, (*store.Org).Reject)
}

func decide(c *common, d *dataFlags, number int64, do func(*store.Org, context.Context, int64) error) error {
	st, org, err := d.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	if _, err := findProposal(c, org, number); err != nil {
		return err
	}
	if err := do(org, c.ctx, number); err != nil {
		return err
	}
	p, err := org.Proposal(c.ctx, number)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s is %s\n", p.Name(), p.State)
	return printEffects(c.out, &p)
}

// policyFourEyes shows or changes whether a second person approves what widens access.
type policyFourEyes struct {
	dataFlags
	Set string `arg:"" optional:"" help:"on or off; none = show." enum:",on,off" default:""`
}

func (f *policyFourEyes) Run(c *common) error {
	st, org, err := f.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	if f.Set != "" {
		if err := org.SetFourEyes(c.ctx, f.Set == "on"); err != nil {
			return err
		}
	}
	eyes, err := org.FourEyes(c.ctx)
	if err != nil {
		return err
	}
	state := "off: one person widens access alone"
	if eyes.On() {
		state = fmt.Sprintf("on since %s, by %s: what widens access waits for a second person", clock(eyes.Since), eyes.By)
	}
	_, err = fmt.Fprintf(c.out, "four eyes       %s\nadministrators  %d who can sign in\n", state, eyes.Admins)
	return err
}
