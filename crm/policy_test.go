package crm

import (
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/mail"
)

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		entry   string
		normal  Pattern
		matches []mail.Address
		not     []mail.Address
	}{
		{"Cyn@Client.example", "cyn@client.example", []mail.Address{"cyn@client.example"}, []mail.Address{"cyn@sub.client.example", "acyn@client.example"}},
		{"Cyn <cyn@client.example>", "cyn@client.example", nil, nil},
		{" @BANK.example. ", "bank.example", []mail.Address{"a@bank.example"}, []mail.Address{"a@sub.bank.example", "bank.example@x.example"}},
		{"*.bank.example", "*.bank.example", []mail.Address{"a@sub.bank.example", "a@x.y.bank.example"}, []mail.Address{"a@bank.example", "a@evilbank.example"}},
		{"bücher.example", "xn--bcher-kva.example", []mail.Address{"a@xn--bcher-kva.example"}, nil},
		{"*.Bücher.example", "*.xn--bcher-kva.example", []mail.Address{"a@x.xn--bcher-kva.example"}, nil},
		{"noreply*@*", "noreply*@*", []mail.Address{"noreply@x.example", "noreply-1@y.example"}, []mail.Address{"reply@x.example"}},
		{"*-legal@acme.example", "*-legal@acme.example", []mail.Address{"eu-legal@acme.example"}, []mail.Address{"legal@acme.example", "x@y-legal@acme.example.evil.example"}},
		{"a*b*c@x.example", "a*b*c@x.example", []mail.Address{"abc@x.example", "abbcbc@x.example"}, []mail.Address{"acb@x.example"}},
	} {
		p, err := NormalizePattern(test.entry)
		if err != nil || p != test.normal {
			t.Errorf("%q: got %q, %v, want %q", test.entry, p, err, test.normal)
		}
		for _, a := range test.matches {
			if !p.Matches(a) {
				t.Errorf("%q does not match %s", p, a)
			}
		}
		for _, a := range test.not {
			if p.Matches(a) {
				t.Errorf("%q matches %s", p, a)
			}
		}
	}
	for _, entry := range []string{"*", "*@*", "@", "a b@x.example*", "<*@x.example>", strings.Repeat("*a", 9) + "@x.example", strings.Repeat("a", 400) + "*@x.example",
		"a@b@*.example", "http://*.example", "*.exa mple", "*..example", "ann"} {
		if p, err := NormalizePattern(entry); err == nil {
			t.Errorf("%q was taken for %q", entry, p)
		}
	}
}

func TestErrorsNameAnEntryOnce(t *testing.T) {
	_, domain := NormalizePattern("Not a Domain")
	_, local := NormalizePattern("two words@*.acme.example")
	_, size := ParseBytes("ten")
	for entry, err := range map[string]error{"Not a Domain": domain, "two words@*.acme.example": local, "ten": size} {
		if err == nil || strings.Count(err.Error(), strconv.Quote(entry)) != 1 {
			t.Errorf("%s: %v", entry, err)
		}
	}
}

// What a star means is what it means to the shell.
func TestGlobAgreesWithAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*]{0,12}`).Draw(t, "pattern")
		text := rapid.StringMatching(`[ab]{0,14}`).Draw(t, "text")
		want, err := path.Match(pattern, text)
		if got := glob(pattern, text); err != nil || got != want {
			t.Fatalf("glob(%q, %q) = %t, want %t (%v)", pattern, text, got, want, err)
		}
	})
}

func TestAllowsMailbox(t *testing.T) {
	const ann, bob, zed = mail.Address("ann@acme.example"), mail.Address("bob@sales.acme.example"), mail.Address("zed@other.example")
	sales := Groups{"sales@acme.example": {ann, zed}}
	domains := []string{"acme.example", "sales.acme.example"}
	for name, test := range map[string]struct {
		policy Policy
		groups Groups
		box    mail.Address
		want   string
	}{
		"all of a domain":             {Policy{Domains: domains}, nil, ann, ""},
		"no domain":                   {Policy{}, nil, ann, "domain-not-allowed"},
		"another domain":              {Policy{Domains: domains}, nil, zed, "domain-not-allowed"},
		"a sub-domain is another":     {Policy{Domains: domains[:1]}, nil, bob, "domain-not-allowed"},
		"listed, in another domain":   {Policy{Domains: domains, Allow: []Selector{Selector(zed)}}, nil, zed, "domain-not-allowed"},
		"listed":                      {Policy{Domains: domains, Allow: []Selector{Selector(ann)}}, nil, ann, ""},
		"not listed":                  {Policy{Domains: domains, Allow: []Selector{Selector(ann)}}, nil, bob, "mailbox-not-listed"},
		"by pattern":                  {Policy{Domains: domains, Allow: []Selector{"*@sales.acme.example"}}, nil, bob, ""},
		"denied":                      {Policy{Domains: domains, Deny: []Selector{"a*@acme.example"}}, nil, ann, "mailbox-denied"},
		"denied and allowed":          {Policy{Domains: domains, Allow: []Selector{Selector(ann)}, Deny: []Selector{Selector(ann)}}, nil, ann, "mailbox-denied"},
		"in a group":                  {Policy{Domains: domains, Allow: []Selector{"group:sales@acme.example"}}, sales, ann, ""},
		"not in the group":            {Policy{Domains: domains, Allow: []Selector{"group:sales@acme.example"}}, sales, bob, "mailbox-not-listed"},
		"in an empty group":           {Policy{Domains: domains, Allow: []Selector{"group:sales@acme.example"}}, Groups{"sales@acme.example": nil}, ann, "mailbox-not-listed"},
		"in a group of another":       {Policy{Domains: domains, Allow: []Selector{"group:sales@acme.example"}}, sales, zed, "domain-not-allowed"},
		"group to allow, not known":   {Policy{Domains: domains, Allow: []Selector{"group:sales@acme.example"}}, nil, ann, "group-unknown"},
		"listed beside such a group":  {Policy{Domains: domains, Allow: []Selector{"group:sales@acme.example", Selector(bob)}}, nil, bob, ""},
		"group to deny, not known":    {Policy{Domains: domains, Deny: []Selector{"group:board@acme.example"}}, sales, ann, "group-unknown"},
		"and listed":                  {Policy{Domains: domains, Allow: []Selector{Selector(ann)}, Deny: []Selector{"group:board@acme.example"}}, sales, ann, "group-unknown"},
		"denied beside such a group":  {Policy{Domains: domains, Deny: []Selector{"group:board@acme.example", Selector(ann)}}, sales, ann, "mailbox-denied"},
		"in a group that is denied":   {Policy{Domains: domains, Deny: []Selector{"group:sales@acme.example"}}, sales, ann, "mailbox-denied"},
		"not in a group that is":      {Policy{Domains: domains, Deny: []Selector{"group:sales@acme.example"}}, sales, bob, ""},
		"a group is no address of it": {Policy{Domains: domains, Allow: []Selector{"group:ann@acme.example"}}, Groups{"ann@acme.example": nil}, ann, "mailbox-not-listed"},
	} {
		f := test.policy.AllowsMailbox(test.box, test.groups)
		if got := code(f); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
		if f != nil && (f.Verdict != Refused || f.Message == "" || f.Advice == "") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func code(f *Fault) string {
	if f == nil {
		return ""
	}
	return f.Code
}

func TestExcludedFolders(t *testing.T) {
	folders := []Folder{
		{ID: "root", Name: "Top", Role: Root, Kind: Email},
		{ID: "inbox", Parent: "root", Name: "Posteingang", Role: Inbox, Kind: Email},
		{ID: "sent", Parent: "root", Name: "Gesendet", Role: SentItems, Kind: Email},
		{ID: "old", Parent: "sent", Name: "2019", Kind: Email},
		{ID: "private", Parent: "inbox", Name: "Private", Kind: Email},
		{ID: "below", Parent: "private", Name: "Doctor", Kind: Email},
		{ID: "near", Parent: "inbox", Name: "Private matters", Kind: Email},
		{ID: "junk", Parent: "root", Name: "Junk", Role: JunkEmail, Kind: Email},
		{ID: "calendar", Parent: "root", Name: "Kalender", Kind: Event},
		{ID: "ring1", Parent: "ring2", Name: "Ring", Kind: Email},
		{ID: "ring2", Parent: "ring1", Name: "Ring", Kind: Email},
	}
	all := []string{"root", "inbox", "sent", "old", "private", "below", "near", "ring1", "ring2"}
	without := func(ids ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(id string) bool { return slices.Contains(ids, id) })
	}
	for pattern, want := range map[string][]string{
		"":                    all,
		"nowhere":             all,
		"Posteingang/Private": without("private", "below"),
		"posteingang/PRIVATE": without("private", "below"),
		"*/Private":           without("private", "below"),
		"*private*":           without("private", "below", "near"),
		"Private":             all, // not at the top
		"*/Doctor":            without("below"),
		"sentitems":           without("sent", "old"),
		"Gesendet/*":          without("old"),
	} {
		p := DefaultPolicy()
		if pattern != "" {
			p.ExcludedFolders = []string{pattern}
		}
		var got []string
		for i, in := range p.InScope(p.Tighten(Limits{}), folders) {
			if in {
				got = append(got, folders[i].ID)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", pattern, got, want)
		}
	}
	p := DefaultPolicy()
	p.Kinds = nil
	if slices.Contains(p.InScope(Limits{}, folders), true) {
		t.Error("a policy without kinds of data has folders in scope")
	}
}

// The generators draw from few values, so that policies and mail meet.
var (
	somePeople    = []mail.Address{"ann@acme.example", "cyn@client.example", "c.y@client.example", "x@sub.bank.example", "noreply@shop.example"}
	somePatterns  = []Pattern{"cyn@client.example", "client.example", "*.bank.example", "noreply*@*", "c*@client.example", "acme.example"}
	someFolders   = []string{"Private", "*/Private", "inbox", "sentitems", "A*", "Clients/*"}
	someMarkings  = []Sensitivity{Personal, Private, Confidential}
	someLabels    = []string{"Private life", "red", "RED"}
	somePlaces    = []string{"Inbox", "Inbox/Private", "Archive", "Clients/Big/Private", "Private"}
	somePlaceRole = []Role{NoRole, Inbox, SentItems}
)

func someOf[T any](of []T) *rapid.Generator[[]T] {
	return rapid.SliceOfN(rapid.SampledFrom(of), 0, 3)
}

func drawTime(t *rapid.T, name string) time.Time {
	if rapid.Bool().Draw(t, name+"?") {
		return time.Time{}
	}
	return time.Date(2026, 1, rapid.IntRange(1, 20).Draw(t, name), 0, 0, 0, 0, time.UTC)
}

func drawLimits(t *rapid.T) Limits {
	return Limits{
		ExcludedFolders: someOf(someFolders).Draw(t, "folders"), Since: drawTime(t, "since"),
		MaxSize: rapid.SampledFrom([]int64{0, 0, 100, 200}).Draw(t, "size"), Excluded: someOf(somePatterns).Draw(t, "excluded"),
		Sensitivities: someOf(someMarkings).Draw(t, "markings"), Categories: someOf(someLabels).Draw(t, "categories"),
		HeadersOnly:     rapid.Bool().Draw(t, "headers only"),
		Attachments:     rapid.SampledFrom([]AttachmentMode{"", StoreAttachments, FetchOnDemand, NameAttachments}).Draw(t, "attachments"),
		AttachmentLimit: rapid.SampledFrom([]int64{0, 10, 1 << 30}).Draw(t, "attachment limit"),
	}
}

func drawPolicy(t *rapid.T) Policy {
	return Policy{
		Domains: []string{"acme.example"}, Kinds: someOf([]Kind{Email, Event}).Draw(t, "kinds"),
		Allow:  someOf([]Selector{"ann@acme.example", "*@acme.example", "group:sales@acme.example"}).Draw(t, "allow"),
		Deny:   someOf([]Selector{"bob@acme.example", "group:board@acme.example"}).Draw(t, "deny"),
		Limits: drawLimits(t), Locked: someOf(LimitNames()).Draw(t, "locked"),
	}
}

func drawHeader(t *rapid.T) Header {
	h := Header{Size: rapid.Int64Range(0, 300).Draw(t, "bytes"), Envelope: Envelope{Kind: Email, Sent: drawTime(t, "sent"),
		Sensitivity: rapid.SampledFrom(append(someMarkings, Normal)).Draw(t, "marked"), Categories: someOf(someLabels).Draw(t, "labels")}}
	for _, a := range someOf(somePeople).Draw(t, "people") {
		h.People = append(h.People, Participant{Part: rapid.SampledFrom([]Part{From, To, Cc, Bcc, ReplyTo}).Draw(t, "part"), Address: a})
	}
	return h
}

// Whatever a user tightens, nothing is admitted that the organization refuses, what the
// user refuses is refused where it is not locked, and what is locked is the organization's.
func TestTightenNeverWidens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, user, h := drawPolicy(t), drawLimits(t), drawHeader(t)
		before, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		org, now := p.Tighten(Limits{}), p.Tighten(user)
		place, role := rapid.SampledFrom(somePlaces).Draw(t, "place"), rapid.SampledFrom(somePlaceRole).Draw(t, "role")
		refuses := func(l Limits) bool { reason, _ := l.Refuses(&h); return reason != "" }
		allows := func(l Limits) bool { return l.AllowsFolder(place, Folder{Role: role}) }
		switch {
		case refuses(org) && !refuses(now):
			t.Fatalf("a message that the organization refuses is admitted: %+v by %+v", h, now)
		case !allows(org) && allows(now):
			t.Fatalf("a folder that the organization excludes is admitted: %s", place)
		case org.HeadersOnly && !now.HeadersOnly:
			t.Fatal("texts are admitted")
		case org.Attachments.rank() > now.Attachments.rank() || now.AttachmentLimit > org.AttachmentLimit || now.AttachmentLimit <= 0 || now.Attachments == "":
			t.Fatalf("attachments: %s %d, organization %s %d", now.Attachments, now.AttachmentLimit, org.Attachments, org.AttachmentLimit)
		case len(p.Locked) == 0 && refuses(user) && !refuses(now), len(p.Locked) == 0 && !allows(user) && allows(now):
			t.Fatalf("what the user refuses is admitted: %+v", h)
		}
		if names := Loosened(org, now); len(names) > 0 {
			t.Fatalf("%v are wider than the organization's", names)
		}
		for _, name := range p.Locked {
			for _, l := range DiffLimits(org, now) {
				if l.Field == name {
					t.Fatalf("%s is locked, and is %s", name, l)
				}
			}
		}
		if after, err := json.Marshal(p); err != nil || string(after) != string(before) {
			t.Fatalf("the policy was changed: %s, before %s", after, before)
		}
	})
}

// Nothing passes that the old limits refused, unless the difference says that it widens.
func TestWideningIsSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, now, h := drawLimits(t), drawLimits(t), drawHeader(t)
		was, _ := old.Refuses(&h)
		is, _ := now.Refuses(&h)
		place := rapid.SampledFrom(somePlaces).Draw(t, "place")
		wider := was != "" && is == "" || !old.AllowsFolder(place, Folder{}) && now.AllowsFolder(place, Folder{})
		said := slices.ContainsFunc(DiffLimits(old, now), func(l Line) bool { return l.Widens })
		if wider && (!said || len(Loosened(old, now)) == 0) {
			t.Fatalf("%+v passes %+v, not %+v; %v", h, now, old, DiffLimits(old, now))
		}
		if said != (len(Loosened(old, now)) > 0) {
			t.Fatalf("the difference says widens = %t, Loosened %v", said, Loosened(old, now))
		}
	})
}

// The same of mailboxes and kinds of data.
func TestWideningOfMailboxesIsSaid(t *testing.T) {
	groups := Groups{"sales@acme.example": {"bob@acme.example"}, "board@acme.example": {"ann@acme.example"}}
	rapid.Check(t, func(t *rapid.T) {
		old, now := drawPolicy(t), drawPolicy(t)
		box := rapid.SampledFrom([]mail.Address{"ann@acme.example", "bob@acme.example", "eve@acme.example"}).Draw(t, "box")
		wider := old.AllowsMailbox(box, groups) != nil && now.AllowsMailbox(box, groups) == nil || !old.AllowsKind(Event) && now.AllowsKind(Event)
		lines := old.Diff(&now)
		if wider && !slices.ContainsFunc(lines, func(l Line) bool { return l.Widens }) {
			t.Fatalf("%s is granted by %+v and was not by %+v: %v", box, now, old, lines)
		}
		if same := old.Diff(&old); len(same) > 0 {
			t.Fatalf("a policy differs from itself: %v", same)
		}
	})
}

// A policy that was checked is checked, survives JSON, and means the same.
func TestCheckedPolicyStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, h := drawPolicy(t), drawHeader(t)
		p.Domains = append(p.Domains, "@ACME.example ", "Bücher.example")
		once, wrong := p.Check()
		if len(wrong) > 0 {
			t.Fatal(wrong)
		}
		text, err := json.Marshal(once)
		if err != nil {
			t.Fatal(err)
		}
		var read Policy
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		twice, wrong := read.Check()
		if len(wrong) > 0 || !reflect.DeepEqual(once, twice) {
			t.Fatalf("%+v\nchecked again %+v %v", once, twice, wrong)
		}
		before, rule := p.Refuses(&h)
		if after, same := once.Refuses(&h); after != before || same != rule {
			t.Fatalf("%s became %s", before, after)
		}
	})
}

func TestBytesAreReadAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 1<<40).Draw(t, "bytes")
		if rapid.Bool().Draw(t, "whole") {
			n = n >> 20 << 20
		}
		if got, err := ParseBytes(BytesText(n)); got != n || err != nil {
			t.Fatalf("%q is read as %d, %v; want %d", BytesText(n), got, err, n)
		}
	})
	for text, want := range map[string]int64{"": 0, "0": 0, "no limit": 0, "10mb": 10 << 20, " 2 GB ": 2 << 30, "7": 7} {
		if got, err := ParseBytes(text); got != want || err != nil {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"MB", "ten", "-1", "1 TB", "1.5 MB", "99999999 GB", "9223372036854775808"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	p := DefaultPolicy()
	p.Allow, p.Deny = []Selector{"ann"}, []Selector{"group:nobody"}
	p.Kinds, p.Locked = []Kind{"fax"}, []string{"since", "domains"}
	p.Excluded, p.ExcludedFolders, p.Categories = []Pattern{"*"}, []string{"/*/"}, []string{"a\nb"}
	p.Sensitivities, p.Attachments = []Sensitivity{"secret"}, "all"
	p.MaxSize, p.AttachmentLimit = -1, -1
	_, wrong := p.Check()
	var fields []string
	for _, w := range wrong {
		fields = append(fields, w.Field+" "+w.Code)
		if w.Message == "" {
			t.Errorf("%s: no message", w.Field)
		}
	}
	want := []string{"domains required", "allow malformed", "deny malformed", "kinds malformed", "locked malformed", "excluded_folders malformed",
		"excluded malformed", "sensitivities malformed", "categories malformed", "max_size malformed", "attachment_limit malformed", "attachments unknown"}
	if !slices.Equal(fields, want) {
		t.Errorf("got %q\nwant %q", fields, want)
	}
	p = DefaultPolicy()
	for i := range maxEntries + 1 {
		p.Domains = append(p.Domains, "acme.example")
		p.Excluded = append(p.Excluded, Pattern(fmt.Sprintf("d%d.example", i)))
	}
	if _, wrong := p.Check(); len(wrong) != 1 || wrong[0].Code != "too-many" {
		t.Errorf("a list that is too long: %v", wrong)
	}
}

func TestRefusalNamesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, h := drawLimits(t), drawHeader(t)
		reason, rule := l.Refuses(&h)
		if (reason == "") != (rule == "") {
			t.Fatalf("reason %q with the rule %q", reason, rule)
		}
		for _, p := range h.People {
			if strings.Contains(rule, string(p.Address)) || strings.Contains(rule, p.Address.Domain()) {
				t.Fatalf("%q names %s", rule, p.Address)
			}
		}
		if reason != "" && !slices.Contains(Reasons[:], reason) {
			t.Fatalf("%s is not in the list of reasons", reason)
		}
	})
}

// Whatever is entered is refused, or has a normal form that matches what it should.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"cyn@client.example", "*@*.bank.example", "bücher.example", "*", "a b@x", "\"a b\"@x.example", "group:x@y.example", "x@*", "*.Bücher.example", "@x.example"} {
		f.Add(s, "ann@acme.example")
	}
	f.Fuzz(func(t *testing.T, entry, address string) {
		p, err := NormalizePattern(entry)
		if err != nil {
			return
		}
		if again, err := NormalizePattern(string(p)); err != nil || again != p {
			t.Fatalf("%q became %q, and that %q (%v)", entry, p, again, err)
		}
		a, err := mail.ParseAddress(address)
		if err != nil {
			return
		}
		if matches := p.Matches(a); !strings.Contains(string(p), "*") && matches != (string(p) == string(a) || string(p) == a.Domain()) {
			t.Fatalf("%q matches %q: %t", p, a, p.Matches(a))
		}
		if s, err := NormalizeSelector(entry); err == nil {
			if again, err := NormalizeSelector(string(s)); err != nil || again != s {
				t.Fatalf("selector %q became %q, and that %q (%v)", entry, s, again, err)
			}
		}
	})
}

func FuzzFolder(f *testing.F) {
	f.Add("Private/*", "Inbox/Private")
	f.Add("/ Äpfel / ", "äpfel")
	f.Fuzz(func(t *testing.T, entry, place string) {
		pattern, err := normalizeFolder(entry)
		if err != nil {
			return
		}
		if again, err := normalizeFolder(pattern); err != nil || again != pattern {
			t.Fatalf("%q became %q, and that %q (%v)", entry, pattern, again, err)
		}
		l := Limits{ExcludedFolders: []string{pattern}}
		if !strings.Contains(pattern, "*") && l.AllowsFolder(pattern, Folder{}) {
			t.Fatalf("%q does not exclude itself", pattern)
		}
		if !l.AllowsFolder(place, Folder{}) && l.AllowsFolder(place+"/below", Folder{}) {
			t.Fatalf("%q excludes %q, and not what lies below", pattern, place)
		}
	})
}
