package acceptance

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// inNamespace tells the test binary that it runs in a network of its own: what it is to do
// there is in this folder.
const inNamespace = "POSTERN_TEST_NAMESPACE"

// TestScenario06AdditiveAllowListing puts the rules that are generated into a real firewall,
// in a network of its own, and sends packets through it: our addresses come to port 443,
// whatever passed before passes, whatever did not does not, and after the undo the firewall
// is the former one to the letter.
func TestScenario06AdditiveAllowListing(t *testing.T) {
	if dir := os.Getenv(inNamespace); dir != "" {
		behindTheFirewall(t, dir)
		return
	}
	needNamespace(t)
	dir := t.TempDir()
	program, data := build(t, dir), filepath.Join(dir, "data")
	run(t, program, "deployment", "--data", data, "--allow-range", "10.20.0.0/16")
	run(t, program, "egress", "--data", data, "--address", "10.20.0.7=198.51.100.17", "--address", "10.20.0.8=198.51.100.18 from=2999-01-01", "--address", "2001:db8::17")
	for file, args := range map[string][]string{"apply": nil, "undo": {"--undo"}} {
		write(t, filepath.Join(dir, file), run(t, program, append([]string{"egress", "--data", data, "--format", "nftables", "--chain", "inet filter input"}, args...)...))
	}
	enterNamespace(t, dir)
}

// needNamespace skips a test where no network of its own with a firewall can be had, if
// that is allowed.
func needNamespace(t *testing.T) {
	t.Helper()
	leaveOut := t.Skipf
	if os.Getenv("POSTERN_TEST_REQUIRE") == "1" {
		leaveOut = t.Fatalf
	}
	for _, tool := range []string{"unshare", "nft", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			leaveOut("no network of its own with a firewall: %v", err)
		}
	}
	if out, err := exec.Command("unshare", "-nm", "nft", "list", "ruleset").CombinedOutput(); err != nil {
		leaveOut("no network of its own with a firewall: %v: %s", err, out)
	}
}

// enterNamespace runs the test once more, in a network and with mounts of its own.
func enterNamespace(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "unshare", "-nm", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"="+dir)
	out, err := cmd.CombinedOutput()
	t.Logf("in the namespace:\n%s", out)
	if err != nil {
		t.Error(err)
	}
}

// formerRules are a firewall that lets in a partner, and mail from anybody.
const formerRules = `table inet filter {
	set partners {
		type ipv4_addr
		elements = { 203.0.113.7 }
	}
	chain input {
		type filter hook input priority 0; policy accept;
		ct state established,related accept
		ip saddr @partners tcp dport 443 accept comment "partners"
		tcp dport 25 accept
		meta l4proto tcp reject with tcp reset
	}
}
`

func behindTheFirewall(t *testing.T, dir string) {
	must := func(name string, args ...string) string { t.Helper(); return run(t, name, args...) }
	must("ip", "link", "set", "lo", "up")
	for _, a := range []string{"198.51.100.17/32", "198.51.100.18/32", "203.0.113.7/32", "203.0.113.9/32", "2001:db8::17/128", "2001:db8::9/128"} {
		must("ip", "addr", "add", a, "dev", "lo")
	}
	for _, at := range []string{"127.0.0.1:443", "127.0.0.1:25", "127.0.0.1:80", "[::1]:443"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	passes := func() string {
		var list []string
		for _, from := range []string{"198.51.100.17", "198.51.100.18", "203.0.113.7", "203.0.113.9", "2001:db8::17", "2001:db8::9"} {
			to, ports := "127.0.0.1", []string{"443", "25", "80"}
			if strings.Contains(from, ":") {
				to, ports = "::1", []string{"443"}
			}
			for _, port := range ports {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
				if conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(to, port)); err == nil {
					conn.Close()
					list = append(list, from+"→"+port)
				}
			}
		}
		return strings.Join(list, " ")
	}
	must("nft", "-f", write(t, filepath.Join(dir, "former"), formerRules))
	const others = "198.51.100.17→25 198.51.100.18→25 203.0.113.7→443 203.0.113.7→25 203.0.113.9→25"
	before, through := must("nft", "list", "ruleset"), passes()
	if through != others {
		t.Fatalf("before: %s", through)
	}
	must("nft", "-c", "-f", filepath.Join(dir, "apply"))
	must("nft", "-f", filepath.Join(dir, "apply"))
	with := must("nft", "list", "ruleset")
	if got := passes(); got != "198.51.100.17→443 198.51.100.17→25 198.51.100.18→443 198.51.100.18→25 203.0.113.7→443 203.0.113.7→25 203.0.113.9→25 2001:db8::17→443" {
		t.Errorf("with the rules: %s", got)
	}
	ours := regexp.MustCompile(`(?s)\tset postern_egress_[46] \{.*?\n\t\}\n\n|\t\tip6? saddr @postern_egress_[46] tcp dport 443 accept[^\n]*\n`)
	if rest := ours.ReplaceAllString(with, ""); rest != before || len(ours.FindAllString(with, -1)) != 4 {
		t.Errorf("beside what lets our addresses in, the rules are\n%s\nbefore\n%s", rest, before)
	}
	must("sh", filepath.Join(dir, "undo"))
	if after := must("nft", "list", "ruleset"); after != before {
		t.Errorf("after the undo\n%s\nbefore\n%s", after, before)
	}
	if got := passes(); got != through {
		t.Errorf("after the undo: %s", got)
	}
}
