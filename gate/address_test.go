package gate

import (
	"net/netip"
	"testing"

	"postern/crm"
)

func TestAddressesThatMayBeReached(t *testing.T) {
	multi := crm.Deployment{Mode: crm.MultiTenant}
	approved := crm.Deployment{Mode: crm.MultiTenant, Ranges: prefixes("0.0.0.0/0", "::/0")}
	some := crm.Deployment{Mode: crm.MultiTenant, Ranges: prefixes("10.20.0.0/16", "fd12::/16")}
	onPremises := crm.Deployment{Mode: crm.OnPremises, Ranges: prefixes("10.20.0.0/16")}
	for _, test := range []struct {
		about string
		list  []netip.Addr
		d     crm.Deployment
		named bool
		want  bool
	}{
		{"public", addresses("198.41.0.4", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "223.255.255.255",
			"192.0.1.0", "198.17.255.255", "198.20.0.0", "2001:200::1", "2001:503:ba3e::2:30", "2400::1", "64:ff9b::198.41.0.4"), multi, false, true},
		{"loopback", addresses("127.0.0.1", "127.255.255.254", "::1"), multi, false, false},
		{"private", addresses("10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255", "fc00::1", "fdff::1", "fec0::1"), multi, false, false},
		{"link-local", addresses("169.254.0.1", "169.254.255.255", "fe80::1", "febf::1"), multi, false, false},
		{"metadata", addresses("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"), multi, false, false},
		{"metadata, all approved", addresses("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254", "64:ff9b::169.254.169.254"), approved, true, false},
		{"shared", addresses("100.64.0.0", "100.127.255.255"), multi, false, false},
		{"multicast", addresses("224.0.0.1", "239.255.255.255", "ff02::1"), multi, false, false},
		{"multicast, all approved", addresses("224.0.0.1", "ff02::1", "255.255.255.255"), approved, true, false},
		{"unspecified", addresses("0.0.0.0", "0.1.2.3", "::"), multi, false, false},
		{"unspecified, all approved", addresses("0.0.0.0", "::"), approved, true, false},
		{"reserved and broadcast", addresses("240.0.0.1", "255.255.255.255"), multi, false, false},
		{"benchmarking", addresses("198.18.0.0", "198.19.255.255", "2001:2::1"), multi, false, false},
		{"documentation", addresses("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"), multi, false, false},
		{"IPv4 in IPv6", addresses("::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:4136:e378::1", "2002:c629:4::1"), multi, false, false},
		{"not given out", addresses("4000::1", "100::1", "5f00::1", "8000::1"), multi, false, false},
		{"approved", addresses("10.20.0.1", "fd12::1"), some, false, true},
		{"beside what was approved", addresses("10.21.0.1", "10.19.255.255", "fd13::1", "127.0.0.1", "64:ff9b::10.20.0.1"), some, false, false},
		{"public, beside an approved range", addresses("198.41.0.4"), some, false, true},
		{"on premises, approved", addresses("10.20.0.1"), onPremises, false, true},
		{"on premises, public", addresses("198.41.0.4", "2001:200::1"), onPremises, false, false},
		{"on premises, public and named by the settings", addresses("198.41.0.4"), onPremises, true, true},
		{"on premises, private and named by the settings", addresses("10.21.0.1", "127.0.0.1"), onPremises, true, false},
	} {
		for _, a := range test.list {
			err := checkAddress("mail.acme.example", a, test.d, test.named)
			if (err == nil) != test.want {
				t.Errorf("%s: %s: %v", test.about, a, err)
			}
			if err != nil && codeOf(err) != "address-not-allowed" {
				t.Errorf("%s: %s: got %v", test.about, a, err)
			}
		}
	}
}

func TestOneFormOfAHost(t *testing.T) {
	for text, want := range map[string]string{
		"mail.acme.example":      "mail.acme.example",
		"MAIL.Acme.Example.":     "mail.acme.example",
		"exchange01":             "exchange01",
		"postamt.bücher.example": "postamt.xn--bcher-kva.example",
		"xn--bcher-kva.example":  "xn--bcher-kva.example",
		"ｍａｉｌ．acme．example":      "mail.acme.example",
		"198.41.0.4":             "198.41.0.4",
		"198.41.0.4.":            "198.41.0.4",
		"2001:DB8::1":            "2001:db8::1",
		"::ffff:127.0.0.1":       "127.0.0.1",
		"::ffff:7f00:1":          "127.0.0.1",
		"1.2.3.4.example":        "1.2.3.4.example",

		"": "", ".": "", "..": "", "mail..example": "", ".mail.example": "", "mail.example..": "",
		"2130706433": "", "0x7f000001": "", "0x7f.0.0.1": "", "0X7F.1": "", "017700000001": "", "0177.0.0.1": "", "127.1": "", "127.0.1": "", "0": "", "0x": "",
		"127.0.0.01": "", "256.1.1.1": "", "1.2.3.4.5": "", "mail.example.127": "", "mail.0x7f": "",
		"１２７．０．０．１": "", "①②⑦.⓪.⓪.①": "", "127。0。0。1": "",
		"fe80::1%eth0": "", "::1%25lo": "", "[::1]": "",
		"user@mail.example": "", "mail.example/x": "", "mail.example\\x": "", "mail.example#x": "", "mail.example?x": "", "mail.example:443": "", "mail%2eexample": "",
		"mail example": "", "mail\texample": "", "mail\r\nHost: x": "", "mail\x00.example": "", "mail_1.example": "", "-mail.example": "", "mail-.example": "",
		"a\u200bcme.example..": "", "xn--\u00e4.example": "", "xn--zzzzzzzzzz99999.example": "",
	} {
		got, err := canonical(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
		if err != nil && codeOf(err) != "host-malformed" {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func FuzzCanonicalIsStable(f *testing.F) {
	for _, text := range []string{"mail.acme.example", "127.1", "::ffff:1.2.3.4", "bücher.example", "0x7f.1", "１.1", "\xe000"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		host, err := canonical(text)
		if err != nil {
			return
		}
		if again, err := canonical(host); err != nil || again != host {
			t.Errorf("%q became %q, then %q, %v", text, host, again, err)
		}
	})
}
