package match

import (
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
)

const (
	ann = "ann@acme.example"
	bob = "bob@acme.example"
	zed = "zed@other.example" // a user whose domain is not allowed
	cyn = "cyn@client.example"
	cy2 = "c.y@client.example" // Cyn's second address
	who = "x@nowhere.example"
)

var people = crm.People{
	ann: {User: 1}, bob: {User: 2}, zed: {User: 3},
	cyn: {Contacts: []crm.ContactID{7}}, cy2: {Contacts: []crm.ContactID{7, 8}},
}

var rules = Rules{Domains: []string{"acme.example"}, Limits: crm.DefaultPolicy().Limits}

// letter makes a header from "from:ann@acme.example to:…" pairs.
func letter(parts ...any) crm.Header {
	h := crm.Header{ID: "item", Envelope: crm.Envelope{Kind: crm.Email, Class: "IPM.Note", Sent: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)}}
	for i := 0; i < len(parts); i += 2 {
		h.People = append(h.People, crm.Participant{Part: parts[i].(crm.Part), Address: mail.Address(parts[i+1].(string))})
	}
	return h
}

func with(h crm.Header, change func(*crm.Header)) crm.Header {
	change(&h)
	return h
}

func TestDecideFilesContactOnOneSideAndUserOnTheOther(t *testing.T) {
	private := func(h *crm.Header) { h.Sensitivity = crm.Private }
	tests := []struct {
		name   string
		header crm.Header
		reason crm.Reason
	}{
		{"contact to user", letter(crm.From, cyn, crm.To, ann), crm.Matched},
		{"user to contact", letter(crm.From, ann, crm.To, cyn), crm.Matched},
		{"user to contact's second address, Cc unknown", letter(crm.From, ann, crm.To, cy2, crm.Cc, who), crm.Matched},
		{"contact in Cc", letter(crm.From, ann, crm.To, who, crm.Cc, cyn), crm.Matched},
		{"contact in Bcc of the sender's copy", letter(crm.From, ann, crm.To, who, crm.Bcc, cyn), crm.Matched},
		{"user in Cc", letter(crm.From, cyn, crm.To, who, crm.Cc, bob), crm.Matched},
		{"sent on behalf of a user", letter(crm.From, who, crm.Sender, ann, crm.To, cyn), crm.Matched},
		{"unknown to user", letter(crm.From, who, crm.To, ann), crm.NoContact},
		{"contact to unknown", letter(crm.From, cyn, crm.To, who), crm.NoUser},
		{"user to user", letter(crm.From, ann, crm.To, bob), crm.Internal},
		{"user to user and unknown", letter(crm.From, ann, crm.To, bob, crm.Cc, who), crm.NoContact},
		{"contact to user of a domain not allowed", letter(crm.From, cyn, crm.To, zed), crm.NoUser},
		{"both received it from a third party", letter(crm.From, who, crm.To, ann, crm.Cc, cyn), crm.ThirdParty},
		{"contact and user both sent it", letter(crm.From, cyn, crm.Sender, ann, crm.To, who), crm.NoUser},
		{"contact only in Reply-To", letter(crm.From, ann, crm.To, who, crm.ReplyTo, cyn), crm.NoContact},
		{"draft", with(letter(crm.From, ann, crm.To, cyn), func(h *crm.Header) { h.Draft = true }), crm.Draft},
		{"private", with(letter(crm.From, cyn, crm.To, ann), private), crm.IsPrivate},
		{"personal is filed", with(letter(crm.From, cyn, crm.To, ann), func(h *crm.Header) { h.Sensitivity = crm.Personal }), crm.Matched},
		{"meeting", with(letter(crm.From, cyn, crm.To, ann), func(h *crm.Header) { h.Class = "IPM.Schedule.Meeting.Resp.Pos" }), crm.Meeting},
		{"bounce", with(letter(crm.From, cyn, crm.To, ann), func(h *crm.Header) { h.Class = "REPORT.IPM.Note.NDR" }), crm.Bounce},
		{"a post", with(letter(crm.From, cyn, crm.To, ann), func(h *crm.Header) { h.Kind = crm.Task }), crm.NotMail},
		{"nobody at all", letter(), crm.NoContact},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := Decide([]crm.Header{test.header}, people, rules)[0]
			if d.Reason != test.reason {
				t.Errorf("got reason %q (%s), want %q", d.Reason, d.Rule, test.reason)
			}
			if want := map[bool]crm.Outcome{true: crm.Filed, false: crm.NotFiled}[test.reason == crm.Matched]; d.Outcome != want {
				t.Errorf("got outcome %q, want %q", d.Outcome, want)
			}
			if d.Item != "item" || d.Rule == "" {
				t.Errorf("got item %q and rule %q, want the item's id and a sentence", d.Item, d.Rule)
			}
			if d.Outcome == crm.NotFiled && len(d.Links) > 0 {
				t.Errorf("got links %v of a message that is not filed", d.Links)
			}
		})
	}
}

func TestDecideLinksEverybodyKnownOnce(t *testing.T) {
	d := Decide([]crm.Header{letter(crm.From, cy2, crm.Sender, cy2, crm.To, ann, crm.Cc, bob, crm.Cc, zed, crm.Cc, who)}, people, rules)[0]
	want := []crm.Link{
		{Contact: 7, Address: cy2, Part: crm.From}, {Contact: 8, Address: cy2, Part: crm.From},
		{User: 1, Address: ann, Part: crm.To}, {User: 2, Address: bob, Part: crm.Cc},
	}
	if len(d.Links) != len(want) {
		t.Fatalf("got links %v, want %v", d.Links, want)
	}
	for i := range want {
		if d.Links[i] != want[i] {
			t.Errorf("link %d: got %v, want %v", i, d.Links[i], want[i])
		}
	}
	if d.Direction != mail.Inbound {
		t.Errorf("got direction %q, want in", d.Direction)
	}
}

func TestDecideObeysExclusionsAndPeriod(t *testing.T) {
	h := with(letter(crm.From, cyn, crm.To, ann), func(h *crm.Header) {
		h.Size, h.Categories, h.Sensitivity = 5000, []string{"Red", "Personal Life"}, crm.Personal
	})
	tests := []struct {
		name   string
		limits crm.Limits
		want   crm.Reason
	}{
		{"none", crm.Limits{}, crm.Matched},
		{"address", crm.Limits{Excluded: []crm.Pattern{cyn}}, crm.ExcludedAddress},
		{"domain", crm.Limits{Excluded: []crm.Pattern{"client.example"}}, crm.ExcludedDomain},
		{"sub-domain is another domain", crm.Limits{Excluded: []crm.Pattern{"example"}}, crm.Matched},
		{"before the period", crm.Limits{Since: h.Sent.Add(time.Second)}, crm.OutsidePeriod},
		{"at its beginning", crm.Limits{Since: h.Sent}, crm.Matched},
		{"too large", crm.Limits{MaxSize: h.Size - 1}, crm.TooLarge},
		{"not too large", crm.Limits{MaxSize: h.Size}, crm.Matched},
		{"by category", crm.Limits{Categories: []string{"personal life"}}, crm.ExcludedCategory},
		{"by marking", crm.Limits{Sensitivities: []crm.Sensitivity{crm.Personal}}, crm.IsPrivate},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Decide([]crm.Header{h}, people, Rules{rules.Domains, test.limits})[0].Reason; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// The rule of a decision is kept for mail that is not filed, so it may name nobody.
func TestRuleNamesNobody(t *testing.T) {
	for _, h := range []crm.Header{letter(crm.From, who, crm.To, ann), letter(crm.From, cyn, crm.To, zed), letter(crm.From, cyn, crm.To, ann)} {
		d := Decide([]crm.Header{h}, people, Rules{rules.Domains, crm.Limits{Excluded: []crm.Pattern{ann}}})[0]
		for _, p := range h.People {
			if strings.Contains(d.Rule, string(p.Address)) {
				t.Errorf("rule %q names %s", d.Rule, p.Address)
			}
		}
	}
}
