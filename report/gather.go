package report

import (
	"cmp"
	"context"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// Gather reads the evidence of an organization.
func Gather(ctx context.Context, org *store.Org, connector crm.Connector, now time.Time) (*Evidence, error) {
	e := &Evidence{At: now.UTC(), Version: Version(), Sources: []sourceEvidence{}, Versions: []versionEvidence{}, In: []mailboxEvidence{}, Out: []mailboxEvidence{},
		Others: []strangeEvidence{}, Operations: []operationEvidence{}, Unknown: []operationEvidence{}, Origins: []originEvidence{}, Probes: []probeEvidence{}}
	for _, gather := range []func(context.Context, *store.Org, crm.Connector) error{
		e.gatherSettings, e.gatherPolicy, e.gatherFourEyes, e.gatherMailboxes, e.gatherOperations, e.gatherOrigins, e.gatherProbes, e.gatherProofs,
	} {
		if err := gather(ctx, org, connector); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Version says which build this is.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown build"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (version == "" || version == "(devel)") {
			version = "build " + s.Value[:min(len(s.Value), 12)]
		}
	}
	if version == "" || version == "(devel)" {
		return "development build"
	}
	return version
}

func (e *Evidence) gatherSettings(ctx context.Context, org *store.Org, connector crm.Connector) error {
	d, err := org.Deployment(ctx)
	if err != nil {
		return err
	}
	e.Deployment = deploymentEvidence{Mode: d.Mode, Ranges: []string{}}
	for _, r := range d.Ranges {
		e.Deployment.Ranges = append(e.Deployment.Ranges, r.String())
	}
	s, _, err := org.Settings(ctx)
	if err != nil {
		return err
	}
	e.Connection = connectionEvidence{Enabled: s.Enabled, Server: s.Server, Plain: s.Plain(), UserAgent: cmp.Or(s.UserAgent, crm.DefaultUserAgent), Model: s.Model, Scheme: s.Scheme,
		OwnRoots: s.RootCAs != "", ClientTLS: s.ClientCertificate != "", Accounts: s.Logins(), Saved: s.Saved}
	for _, v := range connector.Versions {
		if v.Name == s.Version {
			e.Connection.Product = v.Title
		}
	}
	egress, err := org.Egress(ctx)
	if err != nil {
		return err
	}
	e.Proxy = egress.Proxy
	for _, a := range egress.Addresses {
		source := sourceEvidence{Address: a.Local.String(), From: a.From, Until: a.Until}
		if seen, known := egress.Seen(a); known && seen != a.Local {
			source.Seen = seen.String()
		}
		e.Sources = append(e.Sources, source)
	}
	return nil
}

func (e *Evidence) gatherPolicy(ctx context.Context, org *store.Org, _ crm.Connector) error {
	p, err := org.Policy(ctx)
	if err != nil {
		return err
	}
	e.Policy = policyEvidence{Version: p.Version, Saved: p.Saved, By: p.By}
	for _, f := range p.Text() {
		e.Policy.Fields = append(e.Policy.Fields, fieldEvidence(f))
	}
	for _, k := range crm.Kinds {
		e.Kinds = append(e.Kinds, kindEvidence{k, k.Title(), p.AllowsKind(k)})
	}
	versions, err := org.Policies(ctx)
	for _, v := range versions {
		e.Versions = append(e.Versions, versionEvidence{v.Version, v.Saved, v.By})
	}
	return err
}

// gatherMailboxes asks the policy about each active user's mailbox, as the gate does: by all of
// its addresses that are known.
func (e *Evidence) gatherMailboxes(ctx context.Context, org *store.Org, _ crm.Connector) error {
	p, groups, _, err := org.Granted(ctx)
	if err != nil {
		return err
	}
	users, _, err := org.Users(ctx, store.ListQuery{Limit: store.Everything})
	if err != nil {
		return err
	}
	known, err := knownMailboxes(ctx, org)
	if err != nil {
		return err
	}
	asked, err := org.AccessMailboxes(ctx)
	if err != nil {
		return err
	}
	days := map[mail.Address]time.Time{}
	for _, a := range asked {
		days[a.Address] = a.Day
	}
	for _, u := range users {
		if !u.Active || len(u.Addresses) == 0 {
			continue
		}
		m := mailboxEvidence{Address: u.Addresses[0], Day: days[u.Addresses[0]]}
		if f := refusal(&p, known(m.Address), groups); f != nil {
			m.Rule, m.Code = f.Message, f.Code
			e.Out = append(e.Out, m)
		} else {
			m.Rule = allowingRule(&p, m.Address, groups)
			e.In = append(e.In, m)
		}
	}
	changes, err := org.GroupChanges(ctx, p.Saved)
	if err != nil {
		return err
	}
	for _, a := range asked {
		if p.AllowsBox(known(a.Address), groups) == nil {
			continue
		}
		opened, err := answeredSince(ctx, org, deniedSince(&p, known(a.Address), groups, changes), store.AccessQuery{Mailbox: a.Address})
		if err != nil {
			return err
		}
		e.Others = append(e.Others, strangeEvidence{a.Address, a.Day, opened})
		e.differ(opened)
	}
	byAddress := func(a, b mailboxEvidence) int { return cmp.Compare(a.Address, b.Address) }
	slices.SortFunc(e.In, byAddress)
	slices.SortFunc(e.Out, byAddress)
	return nil
}

// knownMailboxes returns what tells what is known of the mailbox at an address.
func knownMailboxes(ctx context.Context, org *store.Org) (func(mail.Address) *crm.Mailbox, error) {
	list, _, err := org.Mailboxes(ctx, store.ListQuery{Limit: store.Everything})
	if err != nil {
		return nil, err
	}
	byAddress := map[mail.Address]*crm.Mailbox{}
	for i := range list {
		if b := &list[i].Mailbox; byAddress[b.Address] == nil || b.State != crm.Off { // one that is off is of who had the address before
			byAddress[b.Address] = b
		}
	}
	return func(a mail.Address) *crm.Mailbox { return cmp.Or(byAddress[a], &crm.Mailbox{Address: a}) }, nil
}

// refusal says why a mailbox is not read. That one is denied by its primary address, which
// Exchange told as the mailbox was about to be opened for the first time, its trouble tells.
func refusal(p *crm.Policy, box *crm.Mailbox, groups crm.Groups) *crm.Fault {
	if f := p.AllowsBox(box, groups); f != nil || box.Trouble == nil || box.Trouble.Code != "mailbox-denied" {
		return f
	}
	return box.Trouble
}

// deniedSince returns since when the policy does not allow a mailbox: since it was saved, or
// since a group changed that had let the mailbox in until then.
func deniedSince(p *crm.Policy, box *crm.Mailbox, groups crm.Groups, changes []store.GroupChange) time.Time {
	before := maps.Clone(groups)
	for _, c := range slices.Backward(changes) {
		members := slices.DeleteFunc(slices.Clone(before[c.Group]), func(m mail.Address) bool { return slices.Contains(c.Joined, m) })
		if before[c.Group] = append(members, c.Left...); len(before[c.Group]) == 0 {
			delete(before, c.Group) // it may have been unknown, which lets nobody in
		}
		if p.AllowsBox(box, before) == nil {
			return c.At
		}
	}
	return p.Saved
}

// allowingRule names what of the policy lets a mailbox in.
func allowingRule(p *crm.Policy, a mail.Address, groups crm.Groups) string {
	for _, s := range p.Allow {
		group, isGroup := s.Group()
		if !isGroup && crm.Pattern(s).Matches(a) || isGroup && slices.Contains(groups[group], a) {
			return "allowed by " + string(s)
		}
	}
	return "all of the domain " + a.Domain()
}

// answeredSince tells whether Exchange did what such a request asked for after something
// was saved. What it refused proves the contrary of access: tests ask for it on purpose.
func answeredSince(ctx context.Context, org *store.Org, saved time.Time, q store.AccessQuery) (bool, error) {
	if saved.IsZero() {
		return false, nil
	}
	q.From, q.Result, q.Limit = saved, store.AccessOK, 1
	list, _, err := org.AccessLog(ctx, q)
	return len(list) > 0, err
}

func (e *Evidence) differ(differs bool) {
	if differs {
		e.Differences++
	}
}

// gatherOperations sets what the log tells of against what can be sent at all.
func (e *Evidence) gatherOperations(ctx context.Context, org *store.Org, connector crm.Connector) error {
	used, err := org.AccessOperations(ctx)
	if err != nil {
		return err
	}
	totals := map[string]store.AccessDay{}
	for _, u := range used {
		totals[u.Operation] = u
	}
	for _, o := range connector.Operations {
		t := totals[o.Name]
		e.Operations = append(e.Operations, operationEvidence{o.Name, o.Purpose, o.Reads, t.Requests, t.Failed, t.FailedTests, t.First, t.Last})
		delete(totals, o.Name)
	}
	for _, u := range used {
		if _, unknown := totals[u.Operation]; unknown {
			e.Unknown = append(e.Unknown, operationEvidence{Name: u.Operation, Requests: u.Requests, Failed: u.Failed, Tests: u.FailedTests, First: u.First, Last: u.Last})
			e.differ(true)
		}
	}
	return nil
}

// gatherOrigins sets what the log saw against what is set. A name seen before the settings
// were saved, and an address seen before the addresses were, is explained by earlier ones.
func (e *Evidence) gatherOrigins(ctx context.Context, org *store.Org, _ crm.Connector) error {
	origins, err := org.AccessOrigins(ctx)
	if err != nil {
		return err
	}
	egress, err := org.Egress(ctx)
	if err != nil {
		return err
	}
	for _, o := range origins {
		n := originEvidence{Origin: Origin(o), Probe: o.UserAgent == crm.Stranger}
		n.OtherName = o.UserAgent != e.Connection.UserAgent && !n.Probe // whether a probe was refused is told among those
		n.OtherSource = len(e.Sources) > 0 && !slices.ContainsFunc(e.Sources, func(s sourceEvidence) bool { return s.Address == o.Source })
		for _, other := range []struct {
			is    bool
			since time.Time
		}{{n.OtherName, e.Connection.Saved}, {n.OtherSource, egress.Saved}} {
			if !other.is || n.Answered {
				continue
			}
			n.Answered, err = answeredSince(ctx, org, other.since, store.AccessQuery{UserAgent: o.UserAgent, Source: o.Source, Account: o.Account})
			if err != nil {
				return err
			}
		}
		e.Origins = append(e.Origins, n)
		e.differ(n.Answered)
	}
	return nil
}

// shownChecks is how many runs of the connection test are looked through for probes.
const shownChecks = 20

// gatherProbes lists the attempts at what Exchange must refuse. Of those that showed
// something, the latest of each kind counts.
func (e *Evidence) gatherProbes(ctx context.Context, org *store.Org, _ crm.Connector) error {
	runs, err := org.Checks(ctx, shownChecks)
	if err != nil || len(runs) == 0 {
		return err
	}
	last := &runs[0]
	e.Check = &checkEvidence{last.Began, last.By, len(last.Findings), last.Red(), last.Warnings()}
	shown := map[string]bool{}
	for i := range runs {
		for j := range runs[i].Findings {
			f := &runs[i].Findings[j]
			if !strings.HasPrefix(f.Code, crm.MustFail) || i > 0 && f.Skip {
				continue
			}
			p := probe(runs[i].Began, f)
			if p.Result != NotShown && !shown[p.Code] {
				shown[p.Code], p.Current = true, true
				e.differ(p.Result == LetIn)
			}
			e.Probes = append(e.Probes, p)
		}
	}
	return nil
}

// probe says what an attempt showed. One that failed in another way than by a refusal
// shows nothing.
func probe(at time.Time, f *crm.Finding) probeEvidence {
	p := probeEvidence{At: at, Code: f.Code, Step: f.Step, Result: NotShown, Detail: f.Detail}
	switch {
	case f.Fault != nil && f.Fault.Code == "wider-than-needed":
		p.Result = LetIn
	case f.State() == "ok":
		p.Result = Refused
	}
	if f.Fault != nil {
		p.Detail = f.Fault.Message
	}
	return p
}

func (e *Evidence) gatherProofs(ctx context.Context, org *store.Org, _ crm.Connector) error {
	keys, err := org.Keys(ctx)
	if err != nil {
		return err
	}
	e.Keys = keyEvidence{keys.Master, keys.Made, keys.Values, keys.Left, keys.Shredded}
	v, err := org.VerifyAudit(ctx, org.SinkFile()...)
	if err != nil {
		return err
	}
	e.Audit = auditEvidence{v.OK(), int(v.Entries), v.Head, v.Checkpoint, v.Signed, v.Code, v.Why, gaps(v.Gaps), sinkOf(v.Sink)}
	e.differ(!v.OK())
	boxes, err := org.Outboxes(ctx)
	if err != nil {
		return err
	}
	e.Contacts.Addresses = []mail.Address{}
	for _, b := range boxes {
		if b.Contact {
			e.Contacts.Addresses = append(e.Contacts.Addresses, b.Address)
		}
		e.Contacts.Waiting += b.Waiting
		e.Contacts.GivenUp += b.GivenUp
	}
	e.AccessDays, err = org.AccessRetention(ctx)
	return err
}
