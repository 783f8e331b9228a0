package gate

import (
	"cmp"
	"context"
	"reflect"
	"slices"

	"postern/crm"
	"postern/mail"
)

// A trial is what a test of a connection was granted, which nobody may have saved yet. What
// held when it began must go on to hold.
type trial struct {
	boxes     []mail.Address
	userAgent string
	began     Terms
}

// Trial returns a transport for settings that were not saved yet, which reaches no mailbox
// but these, and its server alone. userAgent, when not empty, takes the place of the one in
// the settings. Users' own sign-ins serve it as far as they go no further than they were
// saved to go; the secrets in the settings are what crm.Settings.Check lets be used.
func (g *Gate) Trial(s crm.Settings, userAgent string, boxes ...mail.Address) crm.Transport {
	return g.tryWith(s, userAgent, boxes, g.way)
}

// Discovery returns a transport that finds the server of these mailboxes: besides the server
// of the settings it reaches the hosts of those who own the domains of the policy, and no
// other. Whoever uses it decides where credentials go.
func (g *Gate) Discovery(s crm.Settings, boxes ...mail.Address) crm.Transport {
	return g.tryWith(s, "", boxes, g.anyWay)
}

func (g *Gate) tryWith(s crm.Settings, userAgent string, boxes []mail.Address, way func(*Terms) way) crm.Transport {
	g.mu.RLock()
	t, era := g.terms, g.era
	g.mu.RUnlock()
	try := &trial{boxes: boxes, userAgent: cmp.Or(userAgent, s.UserAgent), began: t}
	t.Settings = s
	if s.Further(try.began.Settings) != "" {
		t.SignIns = nil
	}
	w := way(&t)
	w.tls = (&transport{gate: g, terms: &try.began}).TLS // the proxy is shown a password that was saved with these
	return &transport{gate: g, era: era, terms: &t, trial: try, way: w}
}

// Try runs a test that goes by Trial and Discovery, and ends it at once, whatever it waits
// for, when something of what was granted as it began is not any more: the fault
// "test-ended" says what. A connection that is saved anew meanwhile, from other addresses or
// into other ranges ends it, too.
func (g *Gate) Try(ctx context.Context, boxes []mail.Address, run func(context.Context) error) error {
	g.mu.RLock()
	try, era := trial{boxes: boxes, began: g.terms}, g.era
	g.mu.RUnlock()
	ctx, leave, err := g.enter(ctx, era, try.holds)
	if err != nil {
		return ended(err)
	}
	err = leave(run(ctx))
	if why, ok := context.Cause(ctx).(*crm.Fault); ok && err == error(why) {
		return ended(err)
	}
	return err
}

// ended is the fault of a test that the gate ended.
func ended(why error) error {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "test-ended", Err: why,
		Message: "The test ended, because what it may reach was changed meanwhile: " + crm.AsFault(why).Message,
		Advice:  "Run it again: it goes by what holds now."}
}

// holds says whether all that the test was granted when it began still is, and of a granted
// mailbox nothing else is to be left alone.
func (t *trial) holds(now *Terms) error {
	if err := t.allows("", now); err != nil {
		return err
	}
	for _, kind := range t.began.Policy.Kinds {
		if err := now.allowKind(kind); err != nil {
			return err
		}
	}
	for _, box := range t.boxes {
		if err := t.allows(box, now); err != nil {
			return err
		}
		if t.granted(box) && !reflect.DeepEqual(t.began.limits(box), now.limits(box)) {
			return decideAnew("The policy was changed meanwhile.")
		}
	}
	return nil
}

// granted tells of a mailbox of the test whether it was one to be read when the test began;
// any other is there to be refused by the server.
func (t *trial) granted(box mail.Address) bool {
	return t.began.Policy.AllowsMailbox(box, t.began.Groups) == nil
}

// allows says whether the test may ask for a mailbox, now that these terms hold; "" = for
// none.
func (t *trial) allows(box mail.Address, now *Terms) error {
	if box != "" && !slices.Contains(t.boxes, box) {
		return &crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "not-on-trial",
			Message: "The test is not about this mailbox.", Advice: "Name the mailbox to be tested."}
	}
	switch {
	case box != "" && t.began.allow(box) == nil:
		return now.allow(box)
	case t.began.Settings.Enabled && now.enabled() != nil:
		return now.enabled()
	case box != "" && t.granted(box):
		if f := now.Policy.AllowsMailbox(box, now.Groups); f != nil {
			return f
		}
	}
	return nil
}
