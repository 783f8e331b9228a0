package mail

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseAddressGivesOneFormForComparison(t *testing.T) {
	tests := []struct{ in, want string }{
		{"ann@acme.example", "ann@acme.example"},
		{"  Ann@ACME.Example ", "ann@acme.example"},
		{"Ann Smith <ann@acme.example>", "ann@acme.example"},
		{`"Smith, Ann" <ann@acme.example>`, "ann@acme.example"},
		{"SMTP:Ann@acme.example", "ann@acme.example"},
		{"smtp:ann@acme.example", "ann@acme.example"},
		{"mailto:ann@acme.example", "ann@acme.example"},
		{"<ann@acme.example>", "ann@acme.example"},
		{"'ann@acme.example'", "ann@acme.example"},
		{"ann(the real one)@acme.example (at work)", "ann@acme.example"},
		{"ann @ acme . example", "ann@acme.example"},
		{"<@relay.example,@other.example:ann@acme.example>", "ann@acme.example"},
		{`"ann"@acme.example`, "ann@acme.example"},
		{`"ann smith"@acme.example`, `"ann smith"@acme.example`},
		{`"a\"b"@acme.example`, `"a\"b"@acme.example`},
		{`"a@b"@acme.example`, `"a@b"@acme.example`},
		{`"very.(),:;<>[]\".VERY.\"very@\\ \"very\".unusual"@strange.example`, `"very.(),:;<>[]\".very.\"very@\\ \"very\".unusual"@strange.example`},
		{"first..last@carrier.example", "first..last@carrier.example"},
		{"ann+crm@acme.example", "ann+crm@acme.example"},
		{"ann@acme.example.", "ann@acme.example"},
		{"root@localhost", "root@localhost"},
		{"ann@my_host.example", "ann@my_host.example"},
		{"ann@[192.0.2.1]", "ann@[192.0.2.1]"},
		{"ann@[IPv6:2001:DB8::1]", "ann@[ipv6:2001:db8::1]"},
		{"ann@Bücher.example", "ann@xn--bcher-kva.example"},
		{"ann@BU\u0308CHER.example", "ann@xn--bcher-kva.example"},
		{"ann@XN--BCHER-KVA.example", "ann@xn--bcher-kva.example"},
		{"JÖRG@acme.example", "jörg@acme.example"},
		{"jo\u0308rg@acme.example", "jörg@acme.example"},
		{"ann@例え。テスト", "ann@xn--r8jz45g.xn--zckzah"},
	}
	for _, tt := range tests {
		got, err := ParseAddress(tt.in)
		if err != nil || string(got) != tt.want {
			t.Errorf("ParseAddress(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
		if again, err := ParseAddress(got.String()); err != nil || again != got {
			t.Errorf("ParseAddress(%q) = %q, %v: the form for comparison is not stable", got, again, err)
		}
	}
}

func TestParseAddressSaysWhatIsWrong(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", "no address"},
		{"   ", "no address"},
		{"Ann Smith", "no @"},
		{"ann", "no @"},
		{"/o=Acme/ou=First Administrative Group/cn=Recipients/cn=ann", "legacy"},
		{"EX:/o=Acme/ou=Exchange/cn=Recipients/cn=ann", "legacy"},
		{"ann@acme.example, bob@acme.example", "more than one address"},
		{"ann@acme.example bob@acme.example", "more than one address"},
		{"ann@bob@acme.example", "more than one @"},
		{"Team: ann@acme.example;", "group"},
		{"http://ann@acme.example/", "group or a link"},
		{"@acme.example", "nothing before the @"},
		{`""@acme.example`, "nothing before the @"},
		{"ann@", "no domain"},
		{"ann@acme..example", "dot too many"},
		{"ann@-acme.example", "hyphen"},
		{"ann@acme.example/path", "unexpected '/'"},
		{"ann smith@acme.example", "without <>"},
		{"ann@acme example", "without <>"},
		{"<ann@acme example>", "blank"},
		{"ann@[300.1.2.3]", "IP address"},
		{"ann@[", "unexpected '['"},
		{`"ann@acme.example`, "does not end"},
		{"an\x00n@acme.example", `unexpected '\x00'`},
		{"an\u202En@acme.example", "U+202E"},
		{"ann\xff@acme.example", "UTF-8"},
		{"ann@" + strings.Repeat("a", 64) + ".example", "longer than 63"},
		{strings.Repeat("a", 600) + "@acme.example", "longer than"},
	}
	for _, tt := range tests {
		got, err := ParseAddress(tt.in)
		if err == nil || !strings.Contains(err.Error(), tt.want) || got != "" {
			t.Errorf("ParseAddress(%q) = %q, %v, want an error with %q", tt.in, got, err, tt.want)
		}
	}
}

func TestAddressParts(t *testing.T) {
	tests := []struct {
		a                      Address
		local, domain, display string
	}{
		{"ann@acme.example", "ann", "acme.example", "ann@acme.example"},
		{"ann@xn--bcher-kva.example", "ann", "xn--bcher-kva.example", "ann@bücher.example"},
		{`"a@b"@acme.example`, `"a@b"`, "acme.example", `"a@b"@acme.example`},
		{"", "", "", ""},
	}
	for _, tt := range tests {
		if l, d, s := tt.a.Local(), tt.a.Domain(), tt.a.Display(); l != tt.local || d != tt.domain || s != tt.display {
			t.Errorf("%q has parts %q, %q and shows as %q", tt.a, l, d, s)
		}
	}
}

func TestParseListReadsWhatIsSure(t *testing.T) {
	type n = Named
	tests := []struct {
		name, in string
		want     []Named
	}{
		{"empty", "", nil},
		{"commas only", " , ,, ", nil},
		{"several", "ann@acme.example, Bob <bob@acme.example>", []n{
			{"", "ann@acme.example", "ann@acme.example"}, {"Bob", "bob@acme.example", "Bob <bob@acme.example>"}}},
		{"undisclosed", "undisclosed-recipients:;", nil},
		{"undisclosed, open", "undisclosed-recipients:", nil},
		{"undisclosed, as a name", "Undisclosed recipients", nil},
		{"group", "Team: Ann <ann@acme.example>, bob@acme.example;, cyn@client.example", []n{
			{"Ann", "ann@acme.example", "Ann <ann@acme.example>"}, {"", "bob@acme.example", "bob@acme.example"}, {"", "cyn@client.example", "cyn@client.example"}}},
		{"semicolons as Outlook writes", "ann@acme.example; bob@acme.example", []n{
			{"", "ann@acme.example", "ann@acme.example"}, {"", "bob@acme.example", "bob@acme.example"}}},
		{"name that looks like an address", `"ann@acme.example" <x@nowhere.example>`, []n{
			{"ann@acme.example", "x@nowhere.example", `"ann@acme.example" <x@nowhere.example>`}}},
		{"the same without quotes", `ann@acme.example <x@nowhere.example>`, []n{
			{"ann@acme.example", "x@nowhere.example", `ann@acme.example <x@nowhere.example>`}}},
		{"address in a comment", `x@nowhere.example (ann@acme.example)`, []n{
			{"ann@acme.example", "x@nowhere.example", `x@nowhere.example (ann@acme.example)`}}},
		{"address only in a quotation", `"ann@acme.example"`, []n{{"ann@acme.example", "", `"ann@acme.example"`}}},
		{"address only in an encoded word", `=?utf-8?q?ann=40acme.example?=`, []n{{"ann@acme.example", "", `=?utf-8?q?ann=40acme.example?=`}}},
		{"encoded angle brackets", `=?utf-8?q?=3Cann=40acme.example=3E?= <x@nowhere.example>`, []n{
			{"<ann@acme.example>", "x@nowhere.example", `=?utf-8?q?=3Cann=40acme.example=3E?= <x@nowhere.example>`}}},
		{"encoded word", `=?ISO-8859-1?Q?J=F6rg_M=FCller?= <j@acme.example>`, []n{
			{"Jörg Müller", "j@acme.example", `=?ISO-8859-1?Q?J=F6rg_M=FCller?= <j@acme.example>`}}},
		{"encoded word in quotes", `"=?utf-8?b?SsO2cmc=?=" <j@acme.example>`, []n{
			{"Jörg", "j@acme.example", `"=?utf-8?b?SsO2cmc=?=" <j@acme.example>`}}},
		{"comma in an encoded word", `=?utf-8?q?M,_J?= <j@acme.example>`, []n{{"M, J", "j@acme.example", `=?utf-8?q?M,_J?= <j@acme.example>`}}},
		{"GB2312", `=?GB2312?B?1dTJ2bq9?= <z@acme.example>`, []n{{"赵少航", "z@acme.example", `=?GB2312?B?1dTJ2bq9?= <z@acme.example>`}}},
		{"raw Latin-1", "J\xf6rg <j@acme.example>", []n{{"Jörg", "j@acme.example", "Jörg <j@acme.example>"}}},
		{"raw UTF-8", "Jörg <j@acme.example>", []n{{"Jörg", "j@acme.example", "Jörg <j@acme.example>"}}},
		{"quoted local", `<"ann smith"@acme.example>`, []n{{"", `"ann smith"@acme.example`, `<"ann smith"@acme.example>`}}},
		{"comma in a quoted local", `"a,b"@acme.example, c@acme.example`, []n{
			{"", `"a,b"@acme.example`, `"a,b"@acme.example`}, {"", "c@acme.example", "c@acme.example"}}},
		{"missing comma", "Ann <ann@acme.example> Bob <bob@acme.example>", []n{
			{"Ann", "ann@acme.example", "Ann <ann@acme.example>"}, {"Bob", "bob@acme.example", "Bob <bob@acme.example>"}}},
		{"missing >", "Ann <ann@acme.example, Bob <bob@acme.example>", []n{
			{"Ann", "ann@acme.example", "Ann <ann@acme.example"}, {"Bob", "bob@acme.example", "Bob <bob@acme.example>"}}},
		{"quote without end", `Ann <ann@acme.example>, "Bob <bob@acme.example>`, []n{
			{"Ann", "ann@acme.example", "Ann <ann@acme.example>"}, {`"Bob`, "bob@acme.example", `"Bob <bob@acme.example>`}}},
		{"comment without end", `ann@acme.example, bob (at work <bob@acme.example>`, []n{
			{"", "ann@acme.example", "ann@acme.example"}, {"bob (at work", "bob@acme.example", "bob (at work <bob@acme.example>"}}},
		{"name without address", "Ann Smith, bob@acme.example", []n{{"Ann Smith", "", "Ann Smith"}, {"", "bob@acme.example", "bob@acme.example"}}},
		{"name and <>", "Ann <>", []n{{"Ann", "", "Ann <>"}}},
		{"null path", "<>", nil},
		{"blank inside", "<undisclosed recipients@acme.example>", []n{{"", "", "<undisclosed recipients@acme.example>"}}},
		{"two @", "ann@bob@acme.example", []n{{"ann@bob@acme.example", "", "ann@bob@acme.example"}}},
		{"words around", "write to ann@acme.example", []n{{"write to", "ann@acme.example", "write to ann@acme.example"}}},
		{"several without commas", "ann@acme.example bob@acme.example", []n{
			{"", "ann@acme.example", "ann@acme.example"}, {"", "bob@acme.example", "bob@acme.example"}}},
		{"a name longer than a line", strings.Repeat("é", 600) + " <ann@acme.example>", []n{{strings.Repeat("é", 499), "ann@acme.example", strings.Repeat("é", 499)}}},
		{"legacy name", "Ann </o=Acme/cn=Recipients/cn=ann>", []n{{"Ann", "", "Ann </o=Acme/cn=Recipients/cn=ann>"}}},
		{"folded", "Ann\r\n <ann@acme.example>,\r\n\tbob@acme.example", []n{
			{"Ann", "ann@acme.example", "Ann <ann@acme.example>"}, {"", "bob@acme.example", "bob@acme.example"}}},
		{"apostrophes", "'Ann' <'ann@acme.example'>", []n{{"Ann", "ann@acme.example", "'Ann' <'ann@acme.example'>"}}},
		{"name that steers the screen", "\"Ann\u202E\x1b[31m\" <ann@acme.example>", []n{{"Ann[31m", "ann@acme.example", "\"Ann\u202E\x1b[31m\" <ann@acme.example>"}}},
		{"same person thrice", "a@x.example,a@x.example,A@X.example", []n{
			{"", "a@x.example", "a@x.example"}, {"", "a@x.example", "a@x.example"}, {"", "a@x.example", "A@X.example"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ParseList(tt.in)); diff != "" {
				t.Errorf("ParseList(%q) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestParseListReadsTenThousandRecipients(t *testing.T) {
	const n = 10_000
	list := ParseList(strings.Repeat(`"Smith, Ann" <ann@acme.example>, `, n))
	if len(list) != n {
		t.Fatalf("%d entries, want %d", len(list), n)
	}
	for _, e := range list {
		if e.Address != "ann@acme.example" {
			t.Fatalf("entry %+v", e)
		}
	}
}

// Each of these keeps a parser busy for hours if it looks for the end
// of something again and again. The test's own time limit is the bound.
func TestParseListIsLinear(t *testing.T) {
	for _, unit := range []string{`"`, `(`, `<`, `<"`, `=?a?q?`, `=?a?q?x?=`, `:`, `@`, `a@b `, `((a)`, `"\`, `<@a,`, `a"b(c<d`, `=?utf-8?b?`} {
		in := strings.Repeat(unit, (1<<18)/len(unit))
		ParseList(in)
		decodeWords(in)
		MessageID(in)
		References(in, in)
	}
}

func TestDomainsAreNormalized(t *testing.T) {
	good := []struct{ in, want string }{
		{" ACME.example ", "acme.example"},
		{"@acme.example", "acme.example"},
		{"acme.example", "acme.example"},
		{" @ACME.example", "acme.example"},
		{"sub.acme.example", "sub.acme.example"},
		{"Bücher.example", "xn--bcher-kva.example"},
		{"XN--bcher-kva.example", "xn--bcher-kva.example"},
		{"acme.example.", "acme.example"},
	}
	for _, tt := range good {
		if got, err := NormalizeDomain(tt.in); err != nil || got != tt.want {
			t.Errorf("NormalizeDomain(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
	bad := []string{"", " ", "@", "acme", "acme.", ".", "acme..example", ".acme.example", "http://acme.example", "a b.example", "acme.example/x",
		"ann@acme.example", "@@acme.example", "*.acme.example", "acme,example.com", "-acme.example", "acme-.example", "10.0.0.1",
		"xn--a.example", "acme.example:443", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 130) + "example", "ac\x00me.example", "\xff.example"}
	for _, in := range bad {
		got, err := NormalizeDomain(in)
		if err == nil {
			t.Errorf("NormalizeDomain(%q) = %q, want an error", in, got)
		}
	}
	_, err := NormalizeDomain("acme..example")
	if err == nil || !strings.Contains(err.Error(), `"acme..example"`) {
		t.Errorf("the error does not name the entry: %v", err)
	}
	if got := DisplayDomain("xn--bcher-kva.example"); got != "bücher.example" {
		t.Errorf("DisplayDomain gives %q", got)
	}
}
