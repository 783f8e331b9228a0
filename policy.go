package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// policyCommand is the policy: whose mailboxes may be read, and what of them is filed. It is
// kept in versions.
type policyCommand struct {
	Show    policyShow    `cmd:"" default:"withargs" help:"Show the policy that holds, or an older version."`
	Set     policySet     `cmd:"" help:"Change what is named and save that as the next version."`
	DryRun  policyDryRun  `cmd:"" help:"Say what a change would add and remove; nothing is saved."`
	History policyHistory `cmd:"" help:"List the versions, and what each changed."`
	Export  policyExport  `cmd:"" help:"Print the policy as JSON, for policy import."`
	Import  policyImport  `cmd:"" help:"Save a policy from JSON as the next version."`
	User    policyUser    `cmd:"" help:"Show or tighten what is left alone in one user's mailbox."`
	Group   policyGroup   `cmd:"" help:"Say who belongs to a group that the policy names."`

	FourEyes policyFourEyes `cmd:"" help:"Show or change whether what widens access waits for a second person."`
	Pending  policyPending  `cmd:"" help:"Show the changes that wait for a second person."`
	Approve  policyApprove  `cmd:"" help:"Carry a proposal out; all who run commands are one person."`
	Reject   policyReject   `cmd:"" help:"Close a proposal; nothing is changed."`
}

type policyShow struct {
	dataFlags
	Version int64 `arg:"" optional:"" help:"Version; none = the one that holds."`
	JSON    bool  `help:"Print JSON."`
}

func (s *policyShow) Run(c *common) error {
	st, org, err := s.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	p, err := policyVersion(c, org, s.Version)
	if err != nil {
		return err
	}
	return printPolicy(c.out, p, s.JSON)
}

func policyVersion(c *common, org *store.Org, version int64) (crm.Policy, error) {
	if version == 0 {
		return org.Policy(c.ctx)
	}
	p, err := org.PolicyVersion(c.ctx, version)
	if errors.Is(err, store.ErrNotFound) {
		return p, &crm.Fault{Verdict: crm.Refused, Code: "no-such-version", Message: fmt.Sprintf("There is no version %d of the policy.", version),
			Advice: "postern policy history lists those that there are.", Err: err}
	}
	return p, err
}

// printPolicy shows a policy as what it says beyond nothing at all.
func printPolicy(w io.Writer, p crm.Policy, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(p)
	}
	t := table(w)
	saved := "never saved"
	if p.Version > 0 {
		saved = fmt.Sprintf("version %d, saved %s by %s", p.Version, clock(p.Saved), p.By)
	}
	fmt.Fprintf(t, "POLICY\t%s\n", saved)
	for _, f := range p.Text() {
		fmt.Fprintf(t, "%s\t%s\n", f.Field, strings.Join(f.Values, ", "))
	}
	return t.Flush()
}

type policySet struct {
	dataFlags
	policyFlags
	saveFlags
}

func (s *policySet) Run(c *common) error {
	st, org, err := s.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	p, err := org.Policy(c.ctx)
	if err != nil {
		return err
	}
	if err := s.apply(&p); err != nil {
		return err
	}
	return s.save(c, org, p)
}

// saveFlags say how the next version is saved.
type saveFlags struct {
	Remove bool `help:"Remove what was filed and would not be by the new version; see dry-run."`
	JSON   bool `help:"Print JSON."`
}

func (f *saveFlags) save(c *common, org *store.Org, p crm.Policy) error {
	checked, wrong := p.Check()
	if err := refuseFields(c, "policy-invalid", wrong); err != nil {
		return err
	}
	before, err := policyVersion(c, org, 0)
	if err != nil {
		return err
	}
	saved, err := org.SavePolicy(c.ctx, checked, f.Remove)
	if errors.Is(err, store.ErrStale) {
		return &crm.Fault{Verdict: crm.Refused, Code: "policy-stale", Message: "Somebody saved another version meanwhile.", Advice: "Look at it by postern policy history, then do it again.", Err: err}
	}
	if err != nil {
		return err
	}
	if err := warnOfStrangers(c, org, &before, &saved); err != nil {
		return err
	}
	if !f.JSON {
		for _, l := range before.Diff(&saved) {
			fmt.Fprintln(c.out, l)
		}
		fmt.Fprintln(c.out)
	}
	return printPolicy(c.out, saved, f.JSON)
}

// warnOfStrangers names the plain addresses, new in a policy, that no user has: whom they are
// to allow or deny may be written otherwise.
func warnOfStrangers(c *common, org *store.Org, before, now *crm.Policy) error {
	users, _, err := org.Users(c.ctx, store.ListQuery{Limit: store.Everything})
	if err != nil {
		return err
	}
	first, further := map[crm.Selector]bool{}, map[crm.Selector]mail.Address{}
	for _, u := range users {
		for i, a := range u.Addresses {
			if i == 0 {
				first[crm.Selector(a)] = true
			} else {
				further[crm.Selector(a)] = u.Addresses[0]
			}
		}
	}
	for _, list := range []struct {
		verb     string
		was, now []crm.Selector
	}{{"allow", before.Allow, now.Allow}, {"deny", before.Deny, now.Deny}} {
		for _, s := range list.now {
			_, group := s.Group()
			switch {
			case group || strings.Contains(string(s), "*") || !strings.Contains(string(s), "@") || first[s] || slices.Contains(list.was, s):
			case further[s] != "":
				fmt.Fprintf(c.errOut, "warning: --%s %s names no mailbox: it is a further address of %s, whose mailbox goes by that one\n", list.verb, s, further[s])
			default:
				fmt.Fprintf(c.errOut, "warning: --%s %s names no mailbox: no user has this address; see postern users\n", list.verb, s)
			}
		}
	}
	return nil
}

type policyDryRun struct {
	dataFlags
	policyFlags
	File string `help:"Policy as JSON in place of the flags; - = standard input." type:"path"`
	JSON bool   `help:"Print JSON."`
}

func (d *policyDryRun) Run(c *common) error {
	st, org, err := d.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	p, err := org.Policy(c.ctx)
	if err != nil {
		return err
	}
	if d.File != "" {
		if p, err = readPolicy(d.File, p.Version); err != nil {
			return err
		}
	}
	if err := d.apply(&p); err != nil {
		return err
	}
	checked, wrong := p.Check()
	if err := refuseFields(c, "policy-invalid", wrong); err != nil {
		return err
	}
	change, err := org.DryRun(c.ctx, checked)
	if err != nil {
		return err
	}
	if d.JSON {
		return json.NewEncoder(c.out).Encode(change)
	}
	return printChange(c.out, change)
}

func printChange(w io.Writer, change store.Change) error {
	if len(change.Lines) == 0 {
		fmt.Fprintln(w, "nothing is different")
	}
	for _, l := range change.Lines {
		fmt.Fprintln(w, l)
	}
	fmt.Fprintf(w, "\nmailboxes that come  %d  %s\nmailboxes that go    %d  %s\nlooked at again      %d items that were not filed or had no text\nwould not be filed   %d messages, %d copies in mailboxes; they stay unless --remove\n",
		len(change.Comes), strings.Join(change.Comes, " "), len(change.Goes), strings.Join(change.Goes, " "), change.Again, change.Filed.Messages, change.Filed.Copies)
	for _, reason := range crm.Reasons {
		if n := change.Filed.By[reason]; n > 0 {
			fmt.Fprintf(w, "  %d  %s\n", n, reason.Title())
		}
	}
	for _, e := range change.Filed.Examples {
		fmt.Fprintf(w, "  %s  %s  (message %d, %s)\n", clock(e.When), cmp.Or(e.Subject, "no subject"), e.Message, e.Reason)
	}
	return nil
}

type policyHistory struct {
	dataFlags
	JSON bool `help:"Print JSON."`
}

func (h *policyHistory) Run(c *common) error {
	st, org, err := h.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	if h.JSON {
		versions, err := org.Policies(c.ctx)
		if err != nil {
			return err
		}
		return json.NewEncoder(c.out).Encode(versions)
	}
	history, err := org.PolicyHistory(c.ctx)
	if err != nil {
		return err
	}
	for _, v := range history {
		fmt.Fprintf(c.out, "version %d, %s, %s\n", v.Version, clock(v.Saved), v.By)
		for _, l := range v.Lines {
			fmt.Fprintf(c.out, "  %s\n", l)
		}
		if r := v.Removed; r != nil {
			state := map[bool]string{true: "removed", false: "removing"}[r.Done]
			fmt.Fprintf(c.out, "  %s %d messages, %d copies\n", state, r.Messages, r.Copies)
		}
	}
	return nil
}

type policyExport struct {
	dataFlags
	Version int64 `arg:"" optional:"" help:"Version; none = the one that holds."`
}

func (e *policyExport) Run(c *common) error {
	st, org, err := e.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	p, err := policyVersion(c, org, e.Version)
	if err != nil {
		return err
	}
	p.Version, p.Saved, p.By = 0, time.Time{}, ""
	out := json.NewEncoder(c.out)
	out.SetIndent("", "  ")
	return out.Encode(p)
}

type policyImport struct {
	dataFlags
	File string `arg:"" help:"File with the policy as JSON; - = standard input." type:"path"`
	saveFlags
}

func (i *policyImport) Run(c *common) error {
	st, org, err := i.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	kept, err := org.Policy(c.ctx)
	if err != nil {
		return err
	}
	p, err := readPolicy(i.File, kept.Version)
	if err != nil {
		return err
	}
	return i.save(c, org, p)
}

// readPolicy reads a policy from a file, as one that is to follow a version. What it does not
// say is not limited: a name that there is not would be a limit that does not hold.
func readPolicy(file string, version int64) (crm.Policy, error) {
	var p crm.Policy
	text, err := readArgument(file)
	if err != nil {
		return p, badArgument(fmt.Sprintf("The policy cannot be read: %v.", err), "Name a file as policy export writes it.", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, badArgument(fmt.Sprintf("%s is no policy: %v.", file, err), "Write it as policy export does.", err)
	}
	p.Version = version
	return p, nil
}
