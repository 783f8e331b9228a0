package main

import (
	"bytes"
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
}

// ownFlags change limits: what is named replaces what was, an empty text empties it.
type ownFlags struct {
	ExcludeFolder   []string `help:"Read no folder of this path, such as Private or */Private, nor what lies below; a role such as sentitems names it in any language. Replaces the list; an empty text empties it."`
	Since           *string  `help:"File nothing older than this day, such as 2026-01-01; an empty text: no limit."`
	MaxSize         *string  `help:"File nothing larger, such as 10MB; 0: no limit."`
	Exclude         []string `help:"File nothing that names this address or domain; * stands for any run of characters, as in *@*.bank.example. Replaces the list; an empty text empties it."`
	Marked          []string `help:"File nothing that its sender marked so: personal, private, confidential. Replaces the list; an empty text empties it."`
	Category        []string `help:"File nothing that has this category in Outlook. Replaces the list; an empty text empties it."`
	HeadersOnly     *bool    `help:"Fetch no text: of what matches, file the header alone." negatable:""`
	Attachments     string   `help:"store: fetch and keep them; on-demand: fetch one when somebody opens it; names: list them only." enum:",store,on-demand,names" default:""`
	AttachmentLimit *string  `help:"Keep no attachment larger, such as 25MB; 0: the default."`
}

// policyFlags change a policy.
type policyFlags struct {
	Domain []string `help:"Domain whose mailboxes may be read; replaces the list."`
	Allow  []string `help:"Mailbox that may be read: an address, a pattern such as crm-*@acme.example, or group:ADDRESS; none = all of the domains. Replaces the list; an empty text empties it."`
	Deny   []string `help:"Mailbox that may not be read, in the same ways; wins over --allow. Replaces the list; an empty text empties it."`
	Kind   []string `help:"Kind of data that may be read: email, event, task, contact; replaces the list."`
	ownFlags
	Lock []string `help:"Limit that users may not tighten for themselves, by its name in policy export. Replaces the list; an empty text empties it."`
}

// list replaces a list by what was named.
func list[T ~string](to *[]T, named []string) {
	if named == nil {
		return
	}
	*to = nil
	for _, text := range named {
		if text != "" {
			*to = append(*to, T(text))
		}
	}
}

// apply puts what was named into a policy.
func (f *policyFlags) apply(p *crm.Policy) error {
	list(&p.Domains, f.Domain)
	list(&p.Allow, f.Allow)
	list(&p.Deny, f.Deny)
	list(&p.Kinds, f.Kind)
	list(&p.Locked, f.Lock)
	return f.ownFlags.apply(&p.Limits)
}

func (f *ownFlags) apply(l *crm.Limits) (err error) {
	list(&l.ExcludedFolders, f.ExcludeFolder)
	list(&l.Excluded, f.Exclude)
	list(&l.Sensitivities, f.Marked)
	list(&l.Categories, f.Category)
	if f.Since != nil {
		l.Since = time.Time{}
		if *f.Since != "" {
			if l.Since, err = time.Parse(time.DateOnly, *f.Since); err != nil {
				return badArgument(fmt.Sprintf("%q is not a day.", *f.Since), "Write it as 2026-01-31.", err)
			}
		}
	}
	if f.HeadersOnly != nil {
		l.HeadersOnly = *f.HeadersOnly
	}
	if f.Attachments != "" {
		l.Attachments = crm.AttachmentMode(f.Attachments)
	}
	for _, size := range []struct {
		from *string
		to   *int64
	}{{f.MaxSize, &l.MaxSize}, {f.AttachmentLimit, &l.AttachmentLimit}} {
		if size.from == nil {
			continue
		}
		if *size.to, err = crm.ParseBytes(*size.from); err != nil {
			return badArgument(err.Error()+".", "Write it as 500KB or 10MB; 0 is none.", err)
		}
	}
	return nil
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
	Remove bool `help:"Remove what was filed and would not be by the new version; see dry-run."`
	JSON   bool `help:"Print JSON."`
}

func (s *policySet) Run(c *common) error {
	st, org, err := s.make(c, false)
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
	return savePolicy(c, org, p, s.Remove, s.JSON)
}

func savePolicy(c *common, org *store.Org, p crm.Policy, remove, asJSON bool) error {
	checked, wrong := p.Check()
	if err := refuseFields(c, "policy-invalid", wrong); err != nil {
		return err
	}
	before, err := policyVersion(c, org, 0)
	if err != nil {
		return err
	}
	saved, err := org.SavePolicy(c.ctx, checked, remove)
	if errors.Is(err, store.ErrStale) {
		return &crm.Fault{Verdict: crm.Refused, Code: "policy-stale", Message: "Somebody saved another version meanwhile.", Advice: "Look at it by postern policy history, then do it again.", Err: err}
	}
	if err != nil {
		return err
	}
	if err := warnOfStrangers(c, org, &before, &saved); err != nil {
		return err
	}
	if !asJSON {
		for _, l := range before.Diff(&saved) {
			fmt.Fprintln(c.out, l)
		}
		fmt.Fprintln(c.out)
	}
	return printPolicy(c.out, saved, asJSON)
}

// warnOfStrangers names the plain addresses, new in a policy, that no user has: whom they are
// to allow or deny may be written otherwise.
func warnOfStrangers(c *common, org *store.Org, before, now *crm.Policy) error {
	users, _, err := org.Users(c.ctx, store.ListQuery{Limit: 1 << 20})
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
		fmt.Fprintf(w, "  message %d of %s (%s)\n", e.Message, clock(e.When), e.Reason)
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
	versions, err := org.Policies(c.ctx)
	if err != nil {
		return err
	}
	removed, err := org.Removed(c.ctx)
	if err != nil {
		return err
	}
	if h.JSON {
		return json.NewEncoder(c.out).Encode(versions)
	}
	for i, p := range versions {
		before := crm.DefaultPolicy()
		if i+1 < len(versions) {
			before = versions[i+1]
		}
		fmt.Fprintf(c.out, "version %d, %s, %s\n", p.Version, clock(p.Saved), p.By)
		for _, l := range before.Diff(&p) {
			fmt.Fprintf(c.out, "  %s\n", l)
		}
		if r, ok := removed[p.Version]; ok {
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
	File   string `arg:"" help:"File with the policy as JSON; - = standard input." type:"path"`
	Remove bool   `help:"Remove what was filed and would not be by the new version; see dry-run."`
	JSON   bool   `help:"Print JSON."`
}

func (i *policyImport) Run(c *common) error {
	st, org, err := i.make(c, false)
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
	return savePolicy(c, org, p, i.Remove, i.JSON)
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

type policyUser struct {
	dataFlags
	Address string `arg:"" help:"Address of the user."`
	ownFlags
	Reset bool `help:"Take back all that was tightened; what is named then is set alone."`
	JSON  bool `help:"Print JSON."`
}

func (u *policyUser) Run(c *common) error {
	st, org, err := u.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	user, err := findUser(c.ctx, org, u.Address)
	if err != nil {
		return err
	}
	all, err := org.UserLimits(c.ctx)
	if err != nil {
		return err
	}
	own := all[user.ID]
	if u.Reset {
		own = crm.Limits{}
	}
	if err := u.apply(&own); err != nil {
		return err
	}
	checked, wrong := own.Check()
	if err := refuseFields(c, "policy-invalid", wrong); err != nil {
		return err
	}
	if err := org.SaveUserLimits(c.ctx, user.ID, checked); err != nil {
		return err
	}
	p, err := org.Policy(c.ctx)
	if err != nil {
		return err
	}
	effective := p.Tighten(checked)
	if u.JSON {
		return json.NewEncoder(c.out).Encode(map[string]any{"own": checked, "effective": effective, "locked": p.Locked})
	}
	t := table(c.out)
	fmt.Fprintln(t, "LIMIT\tOWN\tHOLDS\t")
	for i, f := range effective.Text() {
		locked := ""
		if slices.Contains(p.Locked, f.Field) {
			locked = "locked"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.Field, strings.Join(checked.Text()[i].Values, ", "), strings.Join(f.Values, ", "), locked)
	}
	return t.Flush()
}

type policyGroup struct {
	dataFlags
	Address string   `arg:"" optional:"" help:"Address of the group; none = list the groups."`
	Members []string `arg:"" optional:"" help:"Addresses of its members; none with --empty, else they are shown."`
	Empty   bool     `help:"Nobody belongs to it."`
	JSON    bool     `help:"Print JSON."`
}

func (g *policyGroup) Run(c *common) error {
	st, org, err := g.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	var group mail.Address
	if g.Address != "" {
		if group, err = parseAddress(g.Address); err != nil {
			return err
		}
	}
	if len(g.Members) > 0 || g.Empty {
		var members []mail.Address
		for _, text := range g.Members {
			a, err := parseAddress(text)
			if err != nil {
				return err
			}
			members = append(members, a)
		}
		if err := org.SaveGroup(c.ctx, group, members); err != nil {
			return err
		}
	}
	groups, err := org.Groups(c.ctx)
	if err != nil {
		return err
	}
	if group != "" {
		groups = slices.DeleteFunc(groups, func(x store.Group) bool { return x.Address != group })
	}
	if g.JSON {
		return json.NewEncoder(c.out).Encode(groups)
	}
	t := table(c.out)
	fmt.Fprintln(t, "GROUP\tAS OF\tMEMBERS")
	for _, x := range groups {
		fmt.Fprintf(t, "%s\t%s\t%s\n", x.Address, clock(x.Expanded), join(x.Members))
	}
	return t.Flush()
}
