package acceptance

import (
	"encoding/csv"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"postern/store"
)

// The Exchange of the test, in a network of its own, and where the pages are there.
const (
	insideAddress = "10.20.0.5"
	insideHost    = "mail.inside.example"
	insidePages   = "127.0.0.1:8317"
)

// TestScenario04FullCustomerControl: on a host whose network holds nothing but the Exchange,
// Postern is installed, started, collects and is started again; every packet that leaves for
// anywhere else is counted, and there is none.
func TestScenario04FullCustomerControl(t *testing.T) {
	if dir := os.Getenv(inNamespace); dir != "" {
		onPremises(t, dir)
		return
	}
	needNamespace(t)
	dir := t.TempDir()
	build(t, dir)
	enterNamespace(t, dir)
}

func onPremises(t *testing.T, dir string) {
	in := func(name string) string { return filepath.Join(dir, name) }
	run(t, "mount", "--bind", write(t, in("hosts"), "127.0.0.1 localhost\n"+insideAddress+" "+insideHost+"\n"), "/etc/hosts")
	// The default route lets a packet to elsewhere get as far as where it is counted.
	for _, command := range []string{"link set lo up", "addr add " + insideAddress + "/32 dev lo", "route add default dev lo"} {
		run(t, "ip", strings.Fields(command)...)
	}
	program, data := in("postern"), in("data")
	exchange := exec.Command(program, "sim", "--listen", insideAddress+":0", "--tls", "--ca", in("ca.pem"), "--name", insideHost,
		"--url-file", in("url.json"), "--people", dir, "--account", login+":"+password)
	exchange.Stderr = os.Stderr
	if err := exchange.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { exchange.Process.Kill(); exchange.Wait() }()
	where := awaitURL(t, in("url.json"))
	server := strings.Replace(where["url"], insideAddress, insideHost, 1)
	port := regexp.MustCompile(`:(\d+)`).FindStringSubmatch(where["url"])[1]
	run(t, "nft", "-f", write(t, in("watch"), watching(port)))

	postern := func(args ...string) string { return run(t, program, append(args, "--data", data)...) }
	postern("deployment", "--mode", "on-premises", "--allow-range", "10.20.0.0/16")
	postern("users", "import", in("users.csv"))
	postern("contacts", "import", in("contacts.csv"))
	postern("settings", "--enable", "--server", server, "--version", "ExchangeSE", "--login", login,
		"--password-file", write(t, in("secret"), password), "--root-cas", in("ca.pem"), "--domain", where["company"])
	postern("collect")
	postern("reconcile")
	postern("evidence")
	postern("exchange", "scripts", "grant")
	// The doctor tries all that there is to try, the search for the server included. It may find
	// something to fix in the simulated Exchange; what counts is where it looks.
	found, _ := exec.Command(program, "check", "--data", data).CombinedOutput()
	for _, step := range []string{"Log-on", "Autodiscover", "Synchronization"} {
		if !strings.Contains(string(found), step) {
			t.Errorf("the check did not try %s:\n%s", step, found)
		}
	}
	found, _ = exec.Command(program, "autodiscover", "--data", data, "somebody@"+where["company"]).CombinedOutput()
	if !strings.Contains(string(found), "host-not-granted") {
		t.Errorf("the search for a server did not come to what the domain publishes:\n%s", found)
	}
	for start := range 2 { // the second start is that of an upgrade
		serveAndLook(t, program, data, in(fmt.Sprintf("pages-%d.json", start)))
	}

	if elsewhere := strays(t); elsewhere != "0" {
		t.Errorf("%s packets left for elsewhere: %s", elsewhere, run(t, "nft", "list", "set", "inet", "watch", "contacted"))
	}
	checkRecord(t, postern("access", "export"), insideHost+":"+port)
	st, err := store.Open(t.Context(), store.Options{Dir: data, MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if counts, err := st.Org(1).Counts(t.Context()); err != nil || counts.Filed == 0 {
		t.Errorf("%+v, %v: nothing was filed", counts, err)
	}
	// The counter counts: this is what a stray packet looks like.
	stray, err := net.Dial("udp", "198.41.0.4:53")
	if err != nil {
		t.Fatal(err)
	}
	defer stray.Close()
	if _, err := stray.Write([]byte("anybody there?")); err != nil {
		t.Fatal(err)
	}
	if strays(t) == "0" {
		t.Error("a packet to elsewhere is not counted: the test shows nothing")
	}
}

// watching counts what leaves for anywhere but the Exchange and the pages. What the kernel
// says by itself to find its neighbours is not ours.
func watching(port string) string {
	return `table inet watch {
	counter elsewhere { }
	set contacted {
		type ipv4_addr . inet_proto . inet_service
		flags dynamic
		size 1000
	}
	chain output {
		type filter hook output priority 0;
		meta l4proto { icmp, ipv6-icmp, igmp } accept
		ip daddr ` + insideAddress + ` tcp dport ` + port + ` accept
		ip saddr ` + insideAddress + ` tcp sport ` + port + ` accept
		ip daddr 127.0.0.1 tcp dport 8317 accept
		ip saddr 127.0.0.1 tcp sport 8317 accept
		counter name elsewhere
		meta l4proto { tcp, udp } update @contacted { ip daddr . meta l4proto . th dport }
	}
}
`
}

// strays is how many packets left for elsewhere.
func strays(t *testing.T) string {
	t.Helper()
	found := regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(run(t, "nft", "list", "counter", "inet", "watch", "elsewhere"))
	if found == nil {
		t.Fatal("the counter is gone")
	}
	return found[1]
}

// serveAndLook starts the program, looks at a page, and ends it as an administrator does.
func serveAndLook(t *testing.T, program, data, file string) {
	t.Helper()
	serve := exec.Command(program, "serve", "--data", data, "--listen", insidePages, "--url-file", file)
	serve.Stderr = os.Stderr
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(awaitURL(t, file)["url"] + "/.well-known/postern-egress.json")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the pages: %v, %v", resp, err)
	}
	if err == nil {
		resp.Body.Close()
	}
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := serve.Wait(); err != nil {
		t.Errorf("serve ended with %v", err)
	}
}

// checkRecord holds the log of requests against the one host that there may be.
func checkRecord(t *testing.T, text, host string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("the access log has %d rows, %v", len(rows), err)
	}
	column := -1
	for i, name := range rows[0] {
		if name == "host" {
			column = i
		}
	}
	for _, row := range rows[1:] {
		if row[column] != host && row[column] != insideHost {
			t.Errorf("a request to %s", row[column])
		}
	}
}
