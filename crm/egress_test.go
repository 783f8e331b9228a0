package crm

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

var december = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// poolOf reads a pool as people write it.
func poolOf(t *testing.T, list ...string) (all []EgressAddress) {
	t.Helper()
	for _, text := range list {
		a, err := ParseEgressAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

func TestEgressCheck(t *testing.T) {
	kept := Egress{Proxy: "http://proxy.example:3128", ProxyLogin: "svc", ProxyPassword: NewSecret("old")}
	with := func(change func(*Egress)) Egress {
		e := kept
		e.ProxyPassword = Secret{}
		change(&e)
		return e
	}
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprintf("10.0.1.%d", i)
	}
	for _, test := range []struct {
		name string
		e    Egress
		want string // field code, …
	}{
		{"nothing", Egress{}, ""},
		{"kept password", with(func(*Egress) {}), ""},
		{"addresses", Egress{Addresses: poolOf(t, "10.0.0.1=198.51.100.1", "::1 from=2026-12-01 until=2026-12-02")}, ""},
		{"twice", Egress{Addresses: poolOf(t, "10.0.0.1", "::ffff:10.0.0.1")}, "addresses twice"},
		{"unspecified", Egress{Addresses: poolOf(t, "0.0.0.0", "::")}, "addresses malformed, addresses malformed"},
		{"multicast", Egress{Addresses: poolOf(t, "224.0.0.1", "ff02::1")}, "addresses malformed, addresses malformed"},
		{"with a zone", Egress{Addresses: poolOf(t, "fe80::1%eth0")}, "addresses malformed"},
		{"none at all", Egress{Addresses: []EgressAddress{{}}}, "addresses malformed"},
		{"public of another kind", Egress{Addresses: poolOf(t, "10.0.0.1=2001:db8::1")}, "addresses malformed"},
		{"ends before it begins", Egress{Addresses: poolOf(t, "10.0.0.1 from=2026-12-02 until=2026-12-01")}, "addresses malformed"},
		{"too many", Egress{Addresses: poolOf(t, many...)}, "addresses too-many"},
		{"proxy changed", with(func(e *Egress) { e.Proxy = "http://other.example:3128" }), "proxy_password required-again"},
		{"login changed", with(func(e *Egress) { e.ProxyLogin = "other" }), "proxy_password required-again"},
		{"login gone", with(func(e *Egress) { e.ProxyLogin = "" }), ""},
		{"no password", Egress{Proxy: "http://new.example:1", ProxyLogin: "svc"}, "proxy_password required-again"},
		{"login without a proxy", Egress{ProxyLogin: "svc"}, "proxy required"},
		{"no port", Egress{Proxy: "http://proxy.example"}, "proxy malformed"},
		{"no scheme", Egress{Proxy: "proxy.example:3128"}, "proxy malformed"},
		{"unknown scheme", Egress{Proxy: "ftp://proxy.example:21"}, "proxy malformed"},
		{"login in the address", Egress{Proxy: "http://a:b@proxy.example:3128"}, "proxy malformed"},
		{"path", Egress{Proxy: "http://proxy.example:3128/x"}, "proxy malformed"},
		{"line break", Egress{Proxy: "http://proxy.example:3128\r\nX: y"}, "proxy malformed"},
		{"login with a colon", Egress{Proxy: "http://proxy.example:3128", ProxyLogin: "a:b", ProxyPassword: NewSecret("x")}, "proxy_login malformed"},
		{"login of two lines", Egress{Proxy: "http://proxy.example:3128", ProxyLogin: "a\r\nX", ProxyPassword: NewSecret("x")}, "proxy_login malformed"},
		{"long password", Egress{Proxy: "http://proxy.example:3128", ProxyLogin: "a", ProxyPassword: NewSecret(strings.Repeat("x", 256))}, "proxy_password malformed"},
	} {
		checked, errs := test.e.Check(kept)
		var got []string
		for _, e := range errs {
			got = append(got, e.Field+" "+e.Code)
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s: got %v, want %q", test.name, errs, test.want)
		}
		if test.name == "kept password" && checked.ProxyPassword.Reveal() != "old" || test.name == "login gone" && !checked.ProxyPassword.Empty() {
			t.Errorf("%s: the password is %q", test.name, checked.ProxyPassword.Reveal())
		}
	}
	if _, errs := (Egress{Proxy: "http://proxy.example:3128", ProxyLogin: "svc"}).Check(Egress{}); len(errs) != 1 || errs[0].Code != "required" {
		t.Errorf("the first password: %v", errs)
	}
}

func TestEgressAddressAsText(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1":               "10.0.0.1",
		" 10.0.0.1=198.51.100.1": "10.0.0.1=198.51.100.1",
		"::1 from=2026-12-01":    "::1 from=2026-12-01T00:00Z",
		"::1  until=2026-12-01T06:00:00+01:00 from=2026-11-01": "::1 from=2026-11-01T00:00Z until=2026-12-01T05:00Z",
		"": "", "mail.example": "", "10.0.0.1=": "", "10.0.0.1=x": "", "10.0.0.1/24": "", "10.0.0.1 since=2026-12-01": "", "10.0.0.1 from=": "", "10.0.0.1 from=tomorrow": "",
	} {
		a, err := ParseEgressAddress(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q: got %s, want an error", text, a)
			}
			continue
		}
		if err != nil || a.String() != want {
			t.Errorf("%q: got %s, %v, want %s", text, a, err, want)
		}
		if again, err := ParseEgressAddress(a.String()); err != nil || again != a {
			t.Errorf("%q: read again %v, %v", text, again, err)
		}
	}
}

// published is an egress with all that can be told of one.
func published(t *testing.T) Egress {
	return Egress{Saved: december.Add(-time.Hour), Addresses: poolOf(t, "10.0.0.1=198.51.100.1", "10.0.0.2=198.51.100.2 until=2026-12-24", "198.51.100.3 from=2026-12-20",
		"2001:db8::7", "198.51.100.9 until=2026-12-01", "10.0.0.4=198.51.100.2 from=2026-12-20")}
}

func TestPublication(t *testing.T) {
	text, err := json.MarshalIndent(published(t).Publish(december, Settings{}), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
 "format": "postern-egress/1",
 "updated": "2026-11-30T23:00:00Z",
 "protocol": "tcp",
 "port": 443,
 "by_proxy": false,
 "addresses": [
  {"address": "198.51.100.1", "family": "ipv4", "valid_from": null, "valid_until": null},
  {"address": "198.51.100.2", "family": "ipv4", "valid_from": null, "valid_until": null},
  {"address": "198.51.100.3", "family": "ipv4", "valid_from": "2026-12-20T00:00:00Z", "valid_until": null},
  {"address": "2001:db8::7", "family": "ipv6", "valid_from": null, "valid_until": null}
 ]
}`
	squeeze := func(s string) string { return regexp.MustCompile(`\s+`).ReplaceAllString(s, "") }
	if squeeze(string(text)) != squeeze(want) {
		t.Errorf("got %s", text)
	}
	e := published(t)
	e.Proxy = "http://proxy.example:3128"
	p := e.Publish(december, Settings{})
	text, err = json.Marshal(p)
	if err != nil || !p.ByProxy || strings.Contains(string(text), "proxy.example") || len(p.of("ipv6")) != 0 || len(p.of("ipv4")) != 2 {
		t.Errorf("by a proxy only public addresses that were entered are known: %s, %v", text, err)
	}
	if empty, _ := json.Marshal(Egress{}.Publish(december, Settings{})); !strings.Contains(string(empty), `"addresses":[]`) || !strings.Contains(string(empty), `"updated":null`) {
		t.Errorf("nothing: %s", empty)
	}
	if got := published(t).Publish(december, Settings{}).CSV(); !strings.HasPrefix(got, "address,family,protocol,port,valid_from,valid_until\n198.51.100.1,ipv4,tcp,443,,\n") ||
		!strings.Contains(got, "198.51.100.3,ipv4,tcp,443,2026-12-20T00:00:00Z,\n") || strings.Contains(got, "10.0.0.") {
		t.Errorf("CSV: %s", got)
	}
	if got := published(t).Publish(december, Settings{}).List(); got != "198.51.100.1\n198.51.100.2\n198.51.100.3\n2001:db8::7\n" {
		t.Errorf("list: %s", got)
	}
}

// TestPublishedPort: firewalls are asked to open the port that the connection goes to.
func TestPublishedPort(t *testing.T) {
	for server, want := range map[string]int{"": 443, "mail.acme.example": 443, "mail.acme.example:8443": 8443, "https://mail.acme.example/EWS/Exchange.asmx": 443,
		"https://[2001:db8::7]:4443/EWS/Exchange.asmx": 4443, "https://[2001:db8::7]/": 443, "http://127.0.0.1:8080/": 8080, "http://127.0.0.1/": 80} {
		p := published(t).Publish(december, Settings{Server: server})
		if p.Port != want || !strings.Contains(p.CSV(), fmt.Sprintf(",tcp,%d,", want)) {
			t.Errorf("%q: got port %d, want %d", server, p.Port, want)
		}
		for _, r := range p.Rules(DefaultChain)[:2] {
			if !strings.Contains(r.Apply, fmt.Sprintf("ort %d ", want)) {
				t.Errorf("%q: %s opens another port: %s", server, r.Name, r.Apply)
			}
		}
	}
}

// TestSharedPublicAddress: behind translation an address is used as long as any of ours is.
func TestSharedPublicAddress(t *testing.T) {
	e := Egress{Addresses: poolOf(t, "10.0.0.1=198.51.100.1 from=2026-12-05 until=2026-12-10", "10.0.0.2=198.51.100.1 from=2026-12-03 until=2026-12-20")}
	got := e.Publish(december, Settings{}).Addresses
	if len(got) != 1 || got[0].From.Day() != 3 || got[0].Until.Day() != 20 {
		t.Errorf("got %+v", got)
	}
}

// Every line of a rule may only let in what was published, at port 443.
var (
	nftLine     = regexp.MustCompile(`^(#.*|add set inet filter postern_egress_[46] \{ type ipv[46]_addr; \}|add element inet filter postern_egress_[46] \{ [0-9a-f:., ]+ \}|insert rule inet filter forward ip6? saddr @postern_egress_[46] tcp dport 443 accept comment "postern_egress_[46]")$`)
	windowsLine = regexp.MustCompile(`^(#.*|New-NetFirewallRule -Name 'Postern-Egress' -DisplayName '[^']+' -Direction Inbound -Action Allow -Protocol TCP -LocalPort 443 -RemoteAddress ('[0-9a-f:.]+'(, )?)+)$`)
)

func TestRulesOnlyAllowAndOnlyAdd(t *testing.T) {
	rules := published(t).Publish(december, Settings{}).Rules(DefaultChain)
	for i, form := range []*regexp.Regexp{nftLine, windowsLine} {
		for line := range strings.Lines(rules[i].Apply) {
			if !form.MatchString(strings.TrimSuffix(line, "\n")) {
				t.Errorf("%s: %s", rules[i].Name, line)
			}
		}
		for _, a := range []string{"198.51.100.1", "198.51.100.2", "198.51.100.3", "2001:db8::7"} {
			if !strings.Contains(rules[i].Apply, a) {
				t.Errorf("%s lets %s not in", rules[i].Name, a)
			}
		}
	}
	if rules[1].Undo != "# Takes away what the rule for Postern added, and nothing else.\nRemove-NetFirewallRule -Name 'Postern-Egress'\n" {
		t.Errorf("undo: %s", rules[1].Undo)
	}
	for _, r := range (Egress{}).Publish(december, Settings{}).Rules(DefaultChain) {
		for line := range strings.Lines(r.Apply + r.Undo) {
			if !strings.HasPrefix(line, "#") {
				t.Errorf("%s without an address: %s", r.Name, line)
			}
		}
	}
	for text, want := range map[string]bool{"inet filter input": true, "ip6 my-table FORWARD": true, "inet filter": false, "inet filter input x": false,
		"inet filter input;flush": false, "inet filter $(x)": false, "inet filter \"x\"": false, " inet filter input": false, "inet filter -a": false, "inet  filter input": false, "inet filter 1x": false, "": false} {
		if ValidChain(text) != want {
			t.Errorf("chain %q: got %v", text, !want)
		}
	}
}
