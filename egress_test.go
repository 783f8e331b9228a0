package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEgressCommand(t *testing.T) {
	data := newFolder(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hidden-password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args  []string
		code  int
		words string // separated by |; of both outputs
	}{
		{nil, 0, "none prescribed|proxy         none"},
		{[]string{"--format", "nftables"}, 0, "nothing to allow"},
		{[]string{"--address", "127.0.0.2=198.51.100.2", "--address", "192.0.2.9 from=2020-01-01", "--address", "127.0.0.3=198.51.100.3 from=2999-01-01T06:00Z"}, 0,
			"127.0.0.2=198.51.100.2 (in use, on this machine)|192.0.2.9 from=2020-01-01T00:00Z (in use, NOT on this machine)|127.0.0.3=198.51.100.3 from=2999-01-01T06:00Z (planned, on this machine)"},
		{[]string{"--format", "json"}, 0, `"address": "198.51.100.3"|"valid_from": "2999-01-01T06:00:00Z"|"port": 443`},
		{[]string{"--format", "csv"}, 0, "198.51.100.2,ipv4,tcp,443,,\n"},
		{[]string{"--format", "edl"}, 0, "198.51.100.2\n192.0.2.9\n198.51.100.3\n"},
		{[]string{"--format", "nftables", "--chain", "ip fw input"}, 0, "insert rule ip fw input ip saddr"},
		{[]string{"--format", "nftables", "--undo"}, 0, "nft delete set inet filter"},
		{[]string{"--format", "windows"}, 0, "New-NetFirewallRule"},
		{[]string{"--format", "windows", "--undo"}, 0, "Remove-NetFirewallRule"},
		{[]string{"--format", "edl", "--undo"}, 1, "bad-argument"},
		{[]string{"--format", "nftables", "--chain", "x; flush ruleset"}, 1, "bad-argument"},
		{[]string{"--format", "ipfw"}, 2, "--format"},
		{[]string{"--address", "mail.example"}, 1, "bad-argument"},
		{[]string{"--proxy", "proxy.example"}, 1, "proxy: |settings-invalid"},
		{[]string{"--proxy", "http://proxy.example:3128", "--proxy-login", "svc", "--proxy-password-file", secret}, 0, "127.0.0.2=|proxy         http://proxy.example:3128|proxy login   svc|kept sealed"},
		{[]string{"--proxy", "http://other.example:3128"}, 1, "required-again"},
		{[]string{"--proxy", ""}, 0, "127.0.0.2=|proxy         none"},
		{[]string{"--address", ""}, 0, "none prescribed"},
	} {
		var out bytes.Buffer
		if code := run(append([]string{"egress", "--data", data}, step.args...), &out, &out); code != step.code {
			t.Errorf("%q: exit status %d, want %d\n%s", step.args, code, step.code, &out)
		}
		for word := range strings.SplitSeq(step.words, "|") {
			if !strings.Contains(out.String(), word) {
				t.Errorf("%q: %q is missing in\n%s", step.args, word, &out)
			}
		}
		if strings.Contains(out.String(), "hidden") {
			t.Errorf("%q tells the password", step.args)
		}
	}
}
