package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
)

// Policy returns the policy that holds; crm.DefaultPolicy, with version 0, when none was
// saved.
func (o *Org) Policy(ctx context.Context) (crm.Policy, error) { return o.policy(ctx, o.read()) }

func (o *Org) policy(ctx context.Context, q querier) (crm.Policy, error) {
	p, err := first(o.policies(ctx, q, "true order by version desc limit 1"))
	if errors.Is(err, ErrNotFound) {
		return crm.DefaultPolicy(), nil
	}
	if err != nil {
		return crm.Policy{}, err
	}
	return *p, nil
}

// PolicyVersion returns one version of the policy, or ErrNotFound.
func (o *Org) PolicyVersion(ctx context.Context, version int64) (crm.Policy, error) {
	p, err := first(o.policies(ctx, o.read(), "version = $2", version))
	if err != nil {
		return crm.Policy{}, err
	}
	return *p, nil
}

// Policies returns all versions of the policy, the newest first.
func (o *Org) Policies(ctx context.Context) ([]crm.Policy, error) {
	return o.policies(ctx, o.read(), "true order by version desc")
}

// A PolicyVersion is a version of the policy with what came of it. What of it let in more is
// what the audit log says: by the versions alone it cannot be told, see granted.diff.
type PolicyVersion struct {
	crm.Policy
	Lines   []crm.Line // what it changed of the one before; of the first: of crm.DefaultPolicy
	Removed *Removed   // what it took out that was filed; nil = it was not to
}

// Widens tells whether the version let in more than the one before.
func (v PolicyVersion) Widens() bool { return crm.Widens(v.Lines) }

// PolicyHistory returns all versions of the policy, the newest first, with what each changed.
func (o *Org) PolicyHistory(ctx context.Context) ([]PolicyVersion, error) {
	policies, err := o.Policies(ctx)
	if err != nil {
		return nil, err
	}
	removed, err := o.removed(ctx)
	if err != nil {
		return nil, err
	}
	said, err := o.saidOfVersions(ctx)
	if err != nil {
		return nil, err
	}
	history := make([]PolicyVersion, len(policies))
	before := crm.DefaultPolicy()
	for i, p := range slices.Backward(policies) {
		history[i] = PolicyVersion{Policy: p, Lines: before.Diff(&p)}
		if entry, ok := said[versionName(p.Version)]; ok {
			for j := range history[i].Lines {
				l := &history[i].Lines[j]
				l.Widens = true
				l.Widens = slices.Contains(entry, l.String())
			}
		}
		if r, ok := removed[p.Version]; ok {
			history[i].Removed = &r
		}
		before = p
	}
	return history, nil
}

// versionName is how the audit log calls a version of the policy.
func versionName(version int64) string { return fmt.Sprintf("version %d", version) }

// saidOfVersions returns what the audit log says of each version of the policy, line by line.
func (o *Org) saidOfVersions(ctx context.Context) (map[string][]string, error) {
	said := map[string][]string{}
	err := rows(ctx, o.read(), "select subject, detail from audit where org_id = $1 and action = 'policy.save'", []any{o.id}, func(r *sql.Rows) error {
		var subject, detail string
		if err := r.Scan(&subject, &detail); err != nil {
			return err
		}
		said[subject] = strings.Split(detail, "\n")
		return nil
	})
	return said, err
}

func (o *Org) policies(ctx context.Context, q querier, condition string, args ...any) ([]crm.Policy, error) {
	var list []crm.Policy
	err := rows(ctx, q, "select version, saved_at, saved_by, text from policy where org_id = $1 and "+condition, append([]any{o.id}, args...), func(r *sql.Rows) error {
		var p crm.Policy
		var text string
		var version int64
		var saved time.Time
		var by string
		if err := r.Scan(&version, stamp{&saved}, &by, &text); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return err
		}
		p.Version, p.Saved, p.By = version, saved, by
		list = append(list, p)
		return nil
	})
	return list, err
}

// A Grant is what holds in one mailbox.
type Grant struct {
	Policy  crm.Policy
	Limits  crm.Limits            // those that its user set included
	Refused *crm.Fault            // why it may not be read at all; nil = it may
	Outside map[crm.FolderID]bool // folders of it that are known and not collected
}

// Grant returns what holds in a mailbox.
func (o *Org) Grant(ctx context.Context, box *crm.Mailbox) (Grant, error) {
	var g Grant
	all, err := o.granted(ctx, o.read())
	if err != nil {
		return g, err
	}
	g.Policy, g.Limits, g.Refused = all.policy, all.limits(box.User), all.policy.AllowsBox(box, all.groups)
	g.Outside, err = o.outside(ctx, o.read(), box.ID, func(folders []crm.Folder) []bool { return g.Policy.InScope(g.Limits, folders) })
	return g, err
}

// Granted returns what the gate is to grant: the policy, the members of groups as far as they
// are known, and what users left alone, by their mailboxes.
func (o *Org) Granted(ctx context.Context) (crm.Policy, crm.Groups, map[mail.Address]crm.Limits, error) {
	g, err := o.granted(ctx, o.read())
	if err != nil {
		return crm.Policy{}, nil, nil, err
	}
	boxes, err := o.owners(ctx, o.read())
	limits := map[mail.Address]crm.Limits{}
	for _, b := range boxes {
		if own, ok := g.own[b.User]; ok && b.State != crm.Off {
			limits[b.Address] = own
		}
	}
	return g.policy, g.groups, limits, err
}

// outside returns the folders of a mailbox that are not in scope.
func (o *Org) outside(ctx context.Context, q querier, box crm.MailboxID, scope func([]crm.Folder) []bool) (map[crm.FolderID]bool, error) {
	rows, err := o.folders(ctx, q, box)
	if err != nil {
		return nil, err
	}
	folders := make([]crm.Folder, len(rows))
	for i := range rows {
		folders[i] = rows[i].Folder
	}
	outside := map[crm.FolderID]bool{}
	for i, in := range scope(folders) {
		if !in {
			outside[rows[i].ID] = true
		}
	}
	return outside, nil
}

// SavePolicy makes a policy the one that holds, as a new version, and returns it as saved.
// p.Version is the version that it was made of: ErrStale when another was saved meanwhile.
// When nothing is different, nothing is saved, unless something is to be removed. The fault
// of a policy that is not right has the code "policy-invalid"; Policy.Check says more.
//
// Mailboxes come and go by it in the same transaction, and what the old one kept out and
// the new one may let in is looked at again. What was filed stays, unless remove: then all
// is taken out that the new one would not file, which DryRun lists; see removal.go.
func (o *Org) SavePolicy(ctx context.Context, p crm.Policy, remove bool) (crm.Policy, error) {
	now, wrong := p.Check()
	if len(wrong) > 0 {
		return p, policyInvalid(wrong)
	}
	err := o.savePolicies(ctx, "save policy", change{crm.PolicyProposal, policyChange{now, remove}}, func(t *tx, h hasher) error {
		old, err := o.policy(ctx, t)
		switch {
		case err != nil:
			return err
		case p.Version != old.Version:
			return ErrStale
		case len(old.Diff(&now)) == 0 && !remove:
			now = old
			return nil
		}
		if now, err = o.insertPolicy(ctx, t, h, now); err != nil || !remove {
			return err
		}
		return o.askRemoval(ctx, t, now.Version)
	})
	if err != nil {
		return p, err
	}
	return now, o.FinishRemoval(ctx)
}

func policyInvalid(wrong []crm.FieldError) error {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "policy-invalid",
		Message: fmt.Sprintf("The policy is not right: %s: %s", wrong[0].Field, wrong[0].Message), Advice: "Correct it and save it again; nothing was saved."}
}

// savePolicies runs a transaction that changes what may be filed, while no removal is under
// way: what one takes out is judged by the policy that asked for it.
func (o *Org) savePolicies(ctx context.Context, name string, c change, do func(*tx, hasher) error) error {
	h, err := o.hasher(ctx)
	if err != nil {
		return err
	}
	for {
		if err := o.FinishRemoval(ctx); err != nil {
			return err
		}
		err := o.guarded(ctx, name, c, func(t *tx) error {
			if err := o.lock(ctx, t); err != nil {
				return err
			}
			if _, pending, err := o.pendingRemoval(ctx, t); err != nil || pending {
				return cmp.Or(err, errRemoving)
			}
			return do(t, h)
		})
		if !errors.Is(err, errRemoving) {
			return err
		}
	}
}

// insertPolicy writes the next version and all that follows from it.
func (o *Org) insertPolicy(ctx context.Context, t *tx, h hasher, now crm.Policy) (crm.Policy, error) {
	if err := o.changed(ctx, t); err != nil {
		return now, err
	}
	was, err := o.granted(ctx, t)
	if err != nil {
		return now, err
	}
	now.Version, now.Saved, now.By = 0, time.Time{}, ""
	text, err := json.Marshal(now)
	if err != nil {
		return now, err
	}
	now.Version, now.Saved, now.By = was.policy.Version+1, o.s.now().UTC(), crm.ActorOf(ctx)
	_, err = t.exec(ctx, "insert into policy (org_id, version, saved_at, saved_by, text) values ($1, $2, $3, $4, $5)",
		o.id, now.Version, micros(now.Saved), clean(now.By), string(text))
	if err != nil {
		return now, err
	}
	is := was
	is.policy = now
	if err := o.follow(ctx, t, h, was, is); err != nil {
		return now, err
	}
	return now, o.audit(ctx, t, auditLines("policy.save", versionName(now.Version), was.diff(is)))
}

// diff says what is different in the policy. To lock a limit widens where what a user had
// tightened is wider by it.
func (g *granted) diff(now granted) []crm.Line {
	lines := g.policy.Diff(&now.policy)
	for user := range g.own {
		for _, name := range crm.Loosened(g.limits(user), now.limits(user)) {
			for i := range lines {
				lines[i].Widens = lines[i].Widens || lines[i].Field == "locked" && lines[i].New == crm.LimitTitle(name)
			}
		}
	}
	return lines
}

// auditLines is the audit entry of a change that is told line by line.
func auditLines(action, subject string, lines []crm.Line) crm.AuditEntry {
	var c changes
	for _, l := range lines {
		c.say(l.String(), l.Widens)
	}
	return c.entry(action, subject)
}

// UserLimits returns what users left alone in their own mailboxes; who did not is absent.
func (o *Org) UserLimits(ctx context.Context) (map[crm.UserID]crm.Limits, error) {
	return o.userLimits(ctx, o.read())
}

func (o *Org) userLimits(ctx context.Context, q querier) (map[crm.UserID]crm.Limits, error) {
	all := map[crm.UserID]crm.Limits{}
	err := rows(ctx, q, "select user_id, text from user_limits where org_id = $1", []any{o.id}, func(r *sql.Rows) error {
		var user crm.UserID
		var text string
		var l crm.Limits
		if err := r.Scan(&user, &text); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return err
		}
		all[user] = l
		return nil
	})
	return all, err
}

// SaveUserLimits keeps what a user leaves alone in the own mailbox. It never widens what the
// organization set, whatever is in it: see Policy.Tighten. ErrNotFound when there is no
// such user.
func (o *Org) SaveUserLimits(ctx context.Context, user crm.UserID, l crm.Limits) error {
	l, wrong := l.Check()
	if len(wrong) > 0 {
		return policyInvalid(wrong)
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	c := change{crm.LimitsProposal, limitsChange{user, l}}
	if crm.Acting(ctx) == crm.PrincipalOf(user) {
		c = change{} // within what the organization set, the own mailbox is the user's
	}
	return o.savePolicies(ctx, "save user limits", c, func(t *tx, h hasher) error {
		who, err := o.userName(ctx, t, user)
		if err != nil {
			return err
		}
		was, err := o.granted(ctx, t)
		if err != nil {
			return err
		}
		kept, err := json.Marshal(was.own[user])
		if err != nil || bytes.Equal(kept, text) { // what only says the policy's is kept, too: that may change
			return err
		}
		if err := o.changed(ctx, t); err != nil {
			return err
		}
		_, err = t.exec(ctx, `insert into user_limits (org_id, user_id, text) values ($1, $2, $3)
			on conflict (org_id, user_id) do update set text = excluded.text`, o.id, user, string(text))
		if err != nil {
			return err
		}
		is := was
		is.own = maps.Clone(was.own)
		is.own[user] = l
		if err := o.follow(ctx, t, h, was, is); err != nil {
			return err
		}
		return o.audit(ctx, t, auditLines("policy.user", who, was.policy.DiffOwn(was.own[user], l)))
	})
}

// A Group is a group of Exchange that a policy names, with the members known.
type Group struct {
	Address  mail.Address   `json:"address"`
	Members  []mail.Address `json:"members"`
	Expanded time.Time      `json:"expanded"` // when they were asked for
}

// Groups returns the groups whose members are known.
func (o *Org) Groups(ctx context.Context) ([]Group, error) { return o.groups(ctx, o.read()) }

func (o *Org) groups(ctx context.Context, q querier) ([]Group, error) {
	var list []Group
	err := rows(ctx, q, "select address, members, expanded_at from policy_group where org_id = $1 order by address", []any{o.id}, func(r *sql.Rows) error {
		var g Group
		var members string
		if err := r.Scan(&g.Address, &members, stamp{&g.Expanded}); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(members), &g.Members); err != nil {
			return err
		}
		list = append(list, g)
		return nil
	})
	return list, err
}

// groupMembers is a list of groups as Policy.AllowsMailbox asks for them.
func groupMembers(list []Group) crm.Groups {
	groups := make(crm.Groups, len(list))
	for _, g := range list {
		groups[g.Address] = g.Members
	}
	return groups
}

// SaveGroup keeps who belongs to a group, as was found out just now. Mailboxes come and go
// by it as by a policy.
func (o *Org) SaveGroup(ctx context.Context, group mail.Address, members []mail.Address) error {
	members = unique(slices.Clone(members))
	text, err := json.Marshal(members)
	if err != nil {
		return err
	}
	c := change{crm.GroupProposal, groupChange{group, members}}
	if crm.Acting(ctx) == crm.Nobody {
		c = change{} // Exchange told who belongs to the group
	}
	return o.savePolicies(ctx, "save group", c, func(t *tx, h hasher) error {
		was, err := o.granted(ctx, t)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `insert into policy_group (org_id, address, members, expanded_at) values ($1, $2, $3, $4)
			on conflict (org_id, address) do update set members = excluded.members, expanded_at = excluded.expanded_at`,
			o.id, group, string(text), micros(o.s.now()))
		before, known := was.groups[group]
		if err != nil || known && slices.Equal(before, members) {
			return err
		}
		if err := o.changed(ctx, t); err != nil {
			return err
		}
		is := was
		is.groups = maps.Clone(was.groups)
		is.groups[group] = members
		if err := o.follow(ctx, t, h, was, is); err != nil {
			return err
		}
		denied := slices.Contains(was.policy.Deny, crm.Selector("group:"+group))
		return o.audit(ctx, t, groupEntry(group, before, members, denied, known))
	})
}

// groupEntry is the audit entry of a group whose members are others now. Who leaves one that
// the policy denies may be read from then on, and as long as its members were not known nobody
// was; who joins any other may be read, now or once the policy names it.
func groupEntry(group mail.Address, before, members []mail.Address, denied, known bool) crm.AuditEntry {
	joined, left := without(members, before), without(before, members)
	e := crm.AuditEntry{Action: "policy.group", Subject: string(group), Widens: len(joined) > 0}
	if denied {
		e.Widens = len(left) > 0 || !known
	}
	var lines []string
	for _, a := range joined {
		lines = append(lines, "member: + "+string(a))
	}
	for _, a := range left {
		lines = append(lines, "member: − "+string(a))
	}
	e.Detail = strings.Join(lines, "\n")
	return e
}

// granted is all by which it is decided what may be touched and filed.
type granted struct {
	policy crm.Policy
	groups crm.Groups
	own    map[crm.UserID]crm.Limits
}

func (o *Org) granted(ctx context.Context, q querier) (g granted, err error) {
	if g.policy, err = o.policy(ctx, q); err != nil {
		return g, err
	}
	list, err := o.groups(ctx, q)
	if err != nil {
		return g, err
	}
	g.groups = groupMembers(list)
	g.own, err = o.userLimits(ctx, q)
	return g, err
}

func (g *granted) allows(box *crm.Mailbox) bool { return g.policy.AllowsBox(box, g.groups) == nil }

func (g *granted) limits(user crm.UserID) crm.Limits { return g.policy.Tighten(g.own[user]) }
