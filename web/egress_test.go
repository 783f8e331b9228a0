package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/crm"
)

// sampleEgress is today's address, one to come, one that ends, and one that the test's
// machine, which has loopback alone, does not have.
const sampleEgress = `{"addresses":[
	{"local":"127.0.0.2","public":"198.51.100.2"},
	{"local":"127.0.0.3","public":"198.51.100.3","valid_from":"2026-12-20T00:00:00Z"},
	{"local":"127.0.0.4","public":"198.51.100.4","valid_until":"2026-12-24T00:00:00Z"},
	{"local":"10.0.0.9"}]}`

func TestAddressesPage(t *testing.T) {
	s := newSite(t)
	if body := text(t, s.get(ann, addressesPath)); !strings.Contains(body, "No address is prescribed") || strings.Contains(body, "Rules for firewalls") {
		t.Errorf("without an egress: %s", content(body))
	}
	if r := s.do(ann, "PUT", "/api"+addressesPath, "application/json", sampleEgress); r.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", r.StatusCode, text(t, r))
	}
	body := text(t, s.get(ann, addressesPath))
	for _, word := range []string{"<b>198.51.100.2</b>", "10.0.0.9 is not on this machine", "198.51.100.3 is used from", "198.51.100.4 is used until", "add element inet filter",
		"New-NetFirewallRule", `value="127.0.0.2"`, `value="2026-12-20T00:00"`, "nft delete set", "/.well-known/postern-egress.txt"} {
		if !strings.Contains(body, word) {
			t.Errorf("%q is missing: %s", word, content(body))
		}
	}
	for url, status := range map[string]int{addressesPath: http.StatusForbidden, addressesPath + "/nftables": http.StatusForbidden, "/api" + addressesPath: http.StatusForbidden} {
		if r := s.get(bob, url); r.StatusCode != status {
			t.Errorf("%s by no administrator: status %d", url, r.StatusCode)
		}
	}
	for url, word := range map[string]string{
		addressesPath + "/nftables":                                      "insert rule inet filter forward ip saddr",
		addressesPath + "/nftables?chain=ip+fw+input":                    "insert rule ip fw input ip saddr",
		addressesPath + "/nftables?undo=1":                               "nft delete set",
		addressesPath + "/windows?undo=1":                                "Remove-NetFirewallRule",
		addressesPath + "/edl":                                           "198.51.100.2\n",
		addressesPath + "/edl?undo=1":                                    "There is nothing here",
		addressesPath + "/ipfw":                                          "There is nothing here",
		addressesPath + "/nftables?chain=x%3B+flush+ruleset":             "could not be read",
		addressesPath + "?chain=%22%3E%3Cscript%3Ealert(1)%3C/script%3E": "inet filter forward",
	} {
		if body := text(t, s.get(ann, url)); !strings.Contains(body, word) || strings.Contains(body, "<script>alert") {
			t.Errorf("%s: %q is missing in %s", url, word, content(body))
		}
	}
}

// TestPublishedAddresses: anybody may read the addresses, and learns nothing of the inside.
func TestPublishedAddresses(t *testing.T) {
	s := newSite(t)
	s.do(ann, "PUT", "/api"+addressesPath, "application/json", strings.Replace(sampleEgress, "]}", `],"proxy":"http://proxy.inside.example:3128","proxy_login":"svc","proxy_password":"hidden-password"}`, 1))
	for _, kind := range []string{".json", ".csv", ".txt"} {
		r := s.get("", wellKnown+kind)
		body := text(t, r)
		if r.StatusCode != http.StatusOK || !strings.Contains(body, "198.51.100.3") {
			t.Errorf("%s: status %d, %s", kind, r.StatusCode, body)
		}
		for _, word := range []string{"127.0.0.", "10.0.0.9", "proxy.inside", "svc", "hidden"} {
			if strings.Contains(body, word) {
				t.Errorf("%s tells %s: %s", kind, word, body)
			}
		}
	}
	var p crm.Publication
	if err := json.NewDecoder(s.get("", wellKnown+".json").Body).Decode(&p); err != nil || p.Format != "postern-egress/1" || p.Port != 443 || !p.ByProxy || len(p.Addresses) != 3 {
		t.Errorf("got %+v, %v", p, err)
	}
	if body := text(t, s.get(ann, "/api"+addressesPath)); strings.Contains(body, "hidden") || !strings.Contains(body, `"proxy_password_set":true`) || !strings.Contains(body, `"state":"planned"`) {
		t.Errorf("the API: %s", body)
	}
}

func TestAddressesForm(t *testing.T) {
	s := newSite(t)
	form := url.Values{"local": {"127.0.0.2", "", "127.0.0.3"}, "public": {"198.51.100.2", "", ""}, "from": {"2026-12-01T06:00", "", ""}, "until": {"", "", "2026-12-24T00:00"},
		"proxy": {"socks5://proxy.inside.example:1080"}, "proxy_login": {"svc"}, "proxy_password": {"hidden-password"}, "do": {"save"}}
	if r := s.post(bob, addressesPath, form.Encode()); r.StatusCode != http.StatusForbidden {
		t.Errorf("by no administrator: status %d", r.StatusCode)
	}
	if r := s.post(ann, addressesPath, form.Encode()); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d: %s", r.StatusCode, content(text(t, r)))
	}
	e, err := s.org.Egress(t.Context())
	if err != nil || len(e.Addresses) != 2 || e.Addresses[0].String() != "127.0.0.2=198.51.100.2 from=2026-12-01T06:00Z" || e.Addresses[1].String() != "127.0.0.3 until=2026-12-24T00:00Z" || e.ProxyPassword.Reveal() != "hidden-password" {
		t.Fatalf("saved %+v, %v", e, err)
	}
	form.Set("proxy_password", "")
	s.post(ann, addressesPath, form.Encode())
	if e, _ := s.org.Egress(t.Context()); e.ProxyPassword.Reveal() != "hidden-password" {
		t.Error("an empty password did not keep the old one")
	}
	for _, bad := range []struct{ field, value, word string }{
		{"local", "mail.example", `id="addresses-error"`},
		{"local", "127.0.0.2 until=x", `id="addresses-error"`},
		{"proxy", "http://a:b@proxy.example:3128", `id="proxy-error"`},
		{"proxy", "http://other.example:3128", `id="proxy_password-error"`},
		{"proxy_login", "a:b", `id="proxy_login-error"`},
	} {
		wrong := url.Values{}
		for name, list := range form {
			wrong[name] = list
		}
		wrong.Set(bad.field, bad.value)
		r := s.post(ann, addressesPath, wrong.Encode())
		body := text(t, r)
		if r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, bad.word) || strings.Contains(body, "hidden-password") {
			t.Errorf("%s = %q: status %d, %q missing in %s", bad.field, bad.value, r.StatusCode, bad.word, content(body))
		}
	}
	form.Set("do", "add")
	if body := text(t, s.post(ann, addressesPath, form.Encode())); strings.Count(body, `name="local"`) != 3 {
		t.Errorf("add: %s", content(body))
	}
}
