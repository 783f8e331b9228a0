package verify_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/sim"
)

// A ruleset is all that says what may be collected, beside the domains.
type ruleset struct {
	crm.Policy
	ann    crm.Limits // in Ann's own mailbox
	groups map[mail.Address][]mail.Address
}

// A rule keeps some of the mail of a ruled company out.
type rule struct {
	holds func(*ruleset)
	not   string // the rule that holds without it; "" = none
	// What was collected without it is not judged by it, or what was collected by it is not
	// judged without it: mailboxes that are not read are left as they are, and attachments
	// that were left are not fetched later.
	unjudged, unfetched bool
}

const sales = "sales@acme.example"

// after is when all of the mail had been sent.
var after = time.Date(2026, 3, 2, 11, 0, 0, 0, time.UTC)

// limits are rules that hold for everybody or in one mailbox.
var limits = map[string]struct {
	set       func(*crm.Limits)
	unfetched bool
}{
	"excluded_folders": {func(l *crm.Limits) { l.ExcludedFolders = []string{"*lient*"} }, false},
	"since":            {func(l *crm.Limits) { l.Since = after }, false},
	"max_size":         {func(l *crm.Limits) { l.MaxSize = 20_000 }, false},
	"excluded":         {func(l *crm.Limits) { l.Excluded = []crm.Pattern{"*.example"} }, false},
	"sensitivities":    {func(l *crm.Limits) { l.Sensitivities = []crm.Sensitivity{crm.Personal} }, false},
	"categories":       {func(l *crm.Limits) { l.Categories = []string{"PRIVATE matters"} }, false},
	"headers_only":     {func(l *crm.Limits) { l.HeadersOnly = true }, false},
	"attachments":      {func(l *crm.Limits) { l.Attachments = crm.NameAttachments }, true},
	"attachment_limit": {func(l *crm.Limits) { l.AttachmentLimit = 1000 }, true},
}

// policyRules are all rules of a policy, by their names.
func policyRules() map[string]rule {
	group := func(members ...mail.Address) map[mail.Address][]mail.Address {
		return map[mail.Address][]mail.Address{sales: members}
	}
	mailboxes := func(set func(*ruleset)) rule { return rule{holds: set, unjudged: true} }
	all := map[string]rule{
		"":                     {holds: func(*ruleset) {}},
		"kinds":                {holds: func(r *ruleset) { r.Kinds = []crm.Kind{crm.Task} }},
		"folder by path":       {holds: func(r *ruleset) { r.ExcludedFolders = []string{"Inbox/clients/PRIVATE"} }},
		"folder by role":       {holds: func(r *ruleset) { r.ExcludedFolders = []string{"sentitems"} }},
		"folder beneath one":   {holds: func(r *ruleset) { r.ExcludedFolders = []string{"inbox"} }, not: "excluded_folders"},
		"people by address":    {holds: func(r *ruleset) { r.Excluded = []crm.Pattern{"c*@client.example"} }},
		"not wider by a user":  {holds: func(r *ruleset) { r.MaxSize, r.ann.MaxSize = 20_000, 1<<20 }},
		"mailboxes listed":     mailboxes(func(r *ruleset) { r.Allow = []crm.Selector{bob} }),
		"mailboxes by pattern": mailboxes(func(r *ruleset) { r.Allow = []crm.Selector{"b*@acme.example"} }),
		"mailbox denied":       mailboxes(func(r *ruleset) { r.Allow, r.Deny = []crm.Selector{ann, bob}, []crm.Selector{ann} }),
		"members allowed":      mailboxes(func(r *ruleset) { r.Allow, r.groups = []crm.Selector{"group:" + sales}, group(bob) }),
		"members denied":       mailboxes(func(r *ruleset) { r.Deny, r.groups = []crm.Selector{"group:" + sales}, group(ann) }),
		"nobody in a group":    mailboxes(func(r *ruleset) { r.Allow, r.groups = []crm.Selector{"group:" + sales}, group() }),
		"unknown allowed":      mailboxes(func(r *ruleset) { r.Allow = []crm.Selector{"group:" + sales, bob} }),
		"unknown denied":       mailboxes(func(r *ruleset) { r.Deny = []crm.Selector{"group:" + sales} }),
	}
	for name, l := range limits {
		own := func(r *ruleset) { l.set(&r.ann) }
		all[name] = rule{holds: func(r *ruleset) { l.set(&r.Limits) }, unfetched: l.unfetched}
		all["user's "+name] = rule{holds: own, unfetched: l.unfetched}
		all["locked "+name] = rule{holds: func(r *ruleset) { own(r); r.Locked = []string{name} }, not: "user's " + name, unjudged: l.unfetched}
	}
	return all
}

// ruled is a company whose mail each of the rules keeps some of out, collected by these.
func ruled(t *testing.T, set func(*ruleset)) *company {
	t.Helper()
	c := newCompany(t)
	for _, address := range []mail.Address{ann, bob} {
		c.exchange.AddMailbox(sim.Person{Name: string(address), Address: address})
	}
	c.know([]crm.User{{Name: "Ann", Addresses: []mail.Address{ann}, Active: true}, {Name: "Bob", Addresses: []mail.Address{bob}, Active: true}},
		[]crm.Contact{{Name: "Cyn", Addresses: []mail.Address{cyn}}}, "acme.example")
	inbox := c.exchange.Mailbox(ann).Folder(sim.Inbox)
	clients := c.exchange.Mailbox(ann).CreateFolder(inbox, "Clients")
	put := func(f *sim.Folder, subject string, more string, fields ...string) *sim.Item {
		item, err := f.Put(append(raw(subject, append(fields, "From: "+cyn, "To: "+ann)...), more...))
		c.must(err)
		return item
	}
	put(clients, "of a client", "")
	put(c.exchange.Mailbox(ann).CreateFolder(clients, "Private"), "in a folder of its own", "")
	put(inbox, "large", string(bytes.Repeat([]byte("A line of text.\r\n"), 3000)))
	put(inbox, "personal", "", "Sensitivity: Personal")
	put(inbox, "with a file", "--b\r\nContent-Type: text/plain\r\n\r\nText.\r\n--b\r\nContent-Type: application/pdf\r\n"+
		"Content-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"+
		base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("pdf"), 1000))+"\r\n--b--\r\n",
		"MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b")
	put(inbox, "in a category", "").Categorize("Clients", "Private matters")
	for _, letter := range [][]byte{raw("to both", "From: "+cyn, "To: "+ann+", "+bob), raw("sent", "From: "+ann, "To: "+cyn)} {
		_, err := c.exchange.Deliver(letter)
		c.must(err)
	}
	c.obey(set)
	c.collect()
	c.end()
	return c
}

// obey has rules hold.
func (c *company) obey(set func(*ruleset)) {
	c.Helper()
	org := c.store.Org(1)
	p, err := org.Policy(c.Context())
	c.must(err)
	r := ruleset{Policy: p}
	set(&r)
	for group, members := range r.groups {
		c.must(org.SaveGroup(c.Context(), group, members))
	}
	c.must(org.SaveUserLimits(c.Context(), 1, r.ann))
	_, err = org.SavePolicy(c.Context(), r.Policy, false)
	c.must(err)
}

// judgedBy is a copy of the company's database in which other rules stand.
func (c *company) judgedBy(t *testing.T, set func(*ruleset)) string {
	t.Helper()
	r := ruleset{Policy: crm.DefaultPolicy()}
	r.Domains = []string{"acme.example"}
	set(&r)
	text := func(v any) string {
		b, err := json.Marshal(v)
		c.must(err)
		return string(b)
	}
	statements := []string{
		fmt.Sprintf("update policy set text = '%s'", text(r.Policy)),
		fmt.Sprintf("insert into user_limits (org_id, user_id, text) values (1, 1, '%s') on conflict do update set text = excluded.text", text(r.ann)),
	}
	for group, members := range r.groups {
		statements = append(statements, fmt.Sprintf("insert into policy_group (org_id, address, members, expanded_at) values (1, '%s', '%s', 0)", group, text(members)))
	}
	return c.altered(t, statements...)
}

// TestRulesOfThePolicyAreJudged: what a rule keeps out is not missed while it holds, and is
// without it; what was filed without it does not belong once it holds.
func TestRulesOfThePolicyAreJudged(t *testing.T) {
	rules, companies := policyRules(), map[string]*company{}
	for name, rule := range rules {
		companies[name] = ruled(t, rule.holds)
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			c, other := companies[name], companies[rule.not]
			if r := compare(t, c.database(), c.truth, c.history.Bytes()); r.Differences() != 0 {
				t.Errorf("collected by the rule: %v", r)
			}
			if name == "" {
				return
			}
			// The history would say that it arrived before it was put into a category.
			if r := compare(t, c.judgedBy(t, rules[rule.not].holds), c.truth, nil); (r.Differences() == 0) != rule.unfetched {
				t.Errorf("collected by the rule, and judged without it: %v", r)
			}
			if r := compare(t, other.judgedBy(t, rule.holds), other.truth, nil); (r.Differences() == 0) != rule.unjudged {
				t.Errorf("collected without the rule, and judged by it: %v", r)
			}
		})
	}
}
