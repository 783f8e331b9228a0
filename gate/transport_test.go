package gate

import (
	"net/netip"
	"slices"
	"testing"

	"postern/crm"
	"postern/mail"
)

const (
	ann = mail.Address("ann@acme.example")
	bob = mail.Address("bob@acme.example")
)

// code is the code of the fault with which a request for a mailbox is refused, "" when it
// may leave.
func code(t *testing.T, way crm.Transport, box mail.Address) string {
	t.Helper()
	done, err := way.Admit(t.Context(), crm.Request{Operation: "GetFolder", Mailbox: box})
	if err != nil {
		return crm.AsFault(err).Code
	}
	done(nil)
	return ""
}

// transportOf returns the transport that a connector is handed under these terms.
func transportOf(t *testing.T, g *Gate, terms Terms) (way crm.Transport) {
	t.Helper()
	g.Set(terms)
	_, _, err := g.Open(crm.Connector{Source: func(_ crm.Settings, handed crm.Transport) (crm.Source, error) {
		way = handed
		return &counted{}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return way
}

// TestTransportAsksByItself: a source that is not behind the guard gets no further.
func TestTransportAsksByItself(t *testing.T) {
	g := New(Config{Operations: []crm.Operation{{Name: "GetFolder"}}})
	terms := granting(true, "acme.example")
	way := transportOf(t, g, terms)
	if got := code(t, way, ann); got != "" {
		t.Errorf("a mailbox that is granted: %s", got)
	}
	if got := code(t, way, "zed@other.example"); got != "domain-not-allowed" {
		t.Errorf("a mailbox that is not: %q", got)
	}
	if _, err := way.Account("zed@other.example"); err == nil {
		t.Error("the credentials for a mailbox that is not granted were handed out")
	}
	terms.Policy.Deny = []crm.Selector{crm.Selector(ann)}
	g.Set(terms)
	if got := code(t, way, ann); got != "mailbox-denied" {
		t.Errorf("a mailbox that is denied now: %q", got)
	}
	terms.Policy.Deny = nil
	terms.Settings.Login = "another"
	g.Set(terms)
	if got := code(t, way, ann); got != "connection-changed" {
		t.Errorf("by the connection of before: %q", got)
	}
	if _, err := way.Dial(t.Context(), "tcp", "mail.acme.example:443"); err == nil || crm.AsFault(err).Code != "connection-changed" {
		t.Errorf("a new connection by the terms of before: %v", err)
	}
}

// TestDenialHoldsForThePrimaryAddress: a mailbox that is denied is not asked for by another of
// its addresses.
func TestDenialHoldsForThePrimaryAddress(t *testing.T) {
	const primary = mail.Address("ann.archer@acme.example")
	g := New(Config{})
	terms := granting(true, "acme.example")
	way := transportOf(t, g, terms)
	for _, tt := range []struct {
		deny crm.Selector
		want string
	}{{crm.Selector(bob), ""}, {crm.Selector(primary), "mailbox-denied"}, {"group:staff@acme.example", "group-unknown"}} {
		terms.Policy.Deny = []crm.Selector{tt.deny}
		g.Set(terms)
		got := ""
		if done, err := way.Admit(t.Context(), crm.Request{Operation: "GetItem", Mailbox: ann, Primary: primary}); err == nil {
			done(nil)
		} else {
			got = crm.AsFault(err).Code
		}
		if got != tt.want {
			t.Errorf("%s denied: a request is %q, want %q", tt.deny, got, tt.want)
		}
		box := &crm.Mailbox{Address: ann, Facts: crm.Facts{Primary: primary}}
		if err := g.Allows(box); (err == nil) != (tt.want == "") {
			t.Errorf("%s denied: the mailbox is %v, want %q", tt.deny, err, tt.want)
		}
	}
}

// TestTrialIsAboutItsMailboxes: and ends with what was granted when it began.
func TestTrialIsAboutItsMailboxes(t *testing.T) {
	const outside = mail.Address("eve@other.example")
	g := New(Config{Operations: []crm.Operation{{Name: "GetFolder"}}})
	terms := granting(true, "acme.example")
	g.Set(terms)
	way := g.Trial(terms.Settings, "", ann, outside)
	for box, want := range map[mail.Address]string{ann: "", outside: "", bob: "not-on-trial"} {
		if got := code(t, way, box); got != want {
			t.Errorf("%s: got %q, want %q", box, got, want)
		}
	}
	terms.Policy.Deny = []crm.Selector{crm.Selector(ann)}
	g.Set(terms)
	if got := code(t, way, ann); got != "mailbox-denied" {
		t.Errorf("a mailbox that is denied meanwhile: %q", got)
	}
	if got := code(t, way, outside); got != "" {
		t.Errorf("the mailbox that must be refused by Exchange: %q", got)
	}
	terms.Settings.Enabled = false
	g.Set(terms)
	if got := code(t, way, outside); got != "collecting-disabled" {
		t.Errorf("after collecting was switched off: %q", got)
	}
	if got := code(t, g.Trial(terms.Settings, "", ann), ann); got != "mailbox-denied" && got != "" {
		t.Errorf("a test of settings that are not enabled yet: %q", got)
	}
}

// TestTextsEndWithTheirPolicy: another policy ends what is under way, also where the folder
// of an item was not listed when it began.
func TestTextsEndWithTheirPolicy(t *testing.T) {
	header := crm.Header{ID: "i", Envelope: crm.Envelope{Kind: crm.Email}}
	for name, change := range map[string]func(*crm.Policy){
		"kind":   func(p *crm.Policy) { p.Kinds = []crm.Kind{crm.Task} },
		"folder": func(p *crm.Policy) { p.ExcludedFolders = []string{"inbox"} },
		"people": func(p *crm.Policy) { p.Excluded = []crm.Pattern{"bank.example"} },
	} {
		t.Run(name, func(t *testing.T) {
			g := New(Config{})
			terms := granting(true, "acme.example")
			g.Set(terms)
			unlisted := guard{gate: g, known: &listings{byBox: map[mail.Address]listing{}}}
			granted, err := unlisted.ofContents(t.Context(), &crm.Mailbox{Address: ann}, []crm.Header{header}, attachments)
			if err != nil {
				t.Fatal(err)
			}
			ctx, leave, err := g.enter(t.Context(), g.era, granted)
			if err != nil {
				t.Fatal(err)
			}
			g.Set(terms)
			if ctx.Err() != nil {
				t.Fatalf("the same terms ended it: %v", leave(ctx.Err()))
			}
			change(&terms.Policy)
			g.Set(terms)
			if ctx.Err() == nil {
				t.Fatal("it goes on under another policy")
			}
			if err := leave(ctx.Err()); crm.AsFault(err).Code != "text-not-granted" && crm.AsFault(err).Code != "kind-not-allowed" {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

// TestConnectionsEndWithTheirAddress: an address that is taken from the machine ends what
// hangs on it, before anything is dialled.
func TestConnectionsEndWithTheirAddress(t *testing.T) {
	first, second := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	here := []netip.Addr{first, second}
	g := New(Config{Machine: Machine{Addresses: func() ([]netip.Addr, error) { return slices.Clone(here), nil }}})
	terms := granting(true, "acme.example")
	terms.Egress.Addresses = []crm.EgressAddress{{Local: first}, {Local: second}}
	g.Set(terms)
	ctx, leave, err := g.enter(t.Context(), g.era, ofMailbox(&crm.Mailbox{Address: ann}))
	if err != nil {
		t.Fatal(err)
	}
	if g.Lost() || !g.Suits(terms) {
		t.Fatal("both addresses are there")
	}
	here = here[:1]
	if !g.Lost() || g.Suits(terms) {
		t.Fatal("that an address is gone went unnoticed")
	}
	g.Set(terms)
	if ctx.Err() == nil {
		t.Fatal("what hung on the address goes on")
	}
	if err := leave(ctx.Err()); crm.AsFault(err).Code != "connection-changed" {
		t.Errorf("it ended with %v", err)
	}
	here = append(here, second)
	if g.Lost() {
		t.Error("an address that came back is none that was lost")
	}
}
