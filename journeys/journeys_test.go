// Package journeys walks through Postern as a person does, in a real browser. The steps
// are in *.test.js, on Playwright and Debian's Chromium; this file starts the programs that
// they walk through and runs them.
package journeys

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A world is what a journey walks through: pages, and an Exchange behind them.
type world struct {
	begin func(dir, program string) (processes, string, error)

	once  sync.Once
	json  string // what the journeys are told about it
	err   error  // why it is not there
	procs processes
}

var (
	// demo is the demonstration; most journeys share it.
	demo = world{begin: startDemo}
	// damaged and barred are companies whose Exchange misbehaves, one for each journey: it ends
	// with everything put right.
	damaged = world{begin: startTroubled}
	barred  = world{begin: startTroubled}
)

// The program is built once, for all worlds.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// errMissing: a tool is not installed.
var errMissing = errors.New("not installed")

func TestMain(m *testing.M) {
	code := m.Run()
	for _, w := range []*world{&demo, &damaged, &barred} {
		w.procs.stop()
	}
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

func TestA01BrowserSettingsForm(t *testing.T)      { demo.walk(t, "settings.test.js", "A1") }
func TestA02BrowserAtLeastOneDomain(t *testing.T)  { demo.walk(t, "settings.test.js", "A2") }
func TestA03BrowserDomains(t *testing.T)           { demo.walk(t, "settings.test.js", "A3") }
func TestA04BrowserRequiredFields(t *testing.T)    { demo.walk(t, "settings.test.js", "A4") }
func TestA06BrowserConnectionTest(t *testing.T)    { demo.walk(t, "settings.test.js", "A6") }
func TestA08BrowserFiledByItself(t *testing.T)     { demo.walk(t, "mail.test.js", "A8") }
func TestA12BrowserThreePlaces(t *testing.T)       { demo.walk(t, "mail.test.js", "A12") }
func TestA15BrowserContactAddedLater(t *testing.T) { demo.walk(t, "mail.test.js", "A15") }
func TestBrowserReading(t *testing.T)              { demo.walk(t, "mail.test.js", "reading") }
func TestBrowserHostileMessage(t *testing.T)       { demo.walk(t, "hostile.test.js", "") }
func TestBrowserAccessibleAndNarrow(t *testing.T)  { demo.walk(t, "looks.test.js", "") }

func TestA14BrowserQuarantine(t *testing.T) { damaged.walk(t, "trouble.test.js", "A14") }
func TestA15BrowserBanner(t *testing.T)     { barred.walk(t, "trouble.test.js", "A15") }

// walk runs the journeys of a file whose names begin with name. How long they take is a matter
// of the machine; each wait in them has an end of its own.
func (w *world) walk(t *testing.T, file, name string) {
	w.once.Do(w.start)
	if errors.Is(w.err, errMissing) && os.Getenv("POSTERN_TEST_REQUIRE") != "1" {
		t.Skipf("no browser journey: %v", w.err)
	}
	if w.err != nil {
		t.Fatal(w.err)
	}
	args := []string{"--test", "--test-reporter=spec"}
	if name != "" {
		args = append(args, "--test-name-pattern=^"+regexp.QuoteMeta(name)+`\b`)
	}
	cmd := exec.CommandContext(t.Context(), "node", append(args, file)...)
	cmd.Env = append(os.Environ(), "POSTERN_DEMO="+w.json)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", file, err, out)
	}
	if !regexp.MustCompile(`pass [1-9]`).Match(out) {
		t.Fatalf("%s: no journey begins with %q\n%s", file, name, out)
	}
}

func (w *world) start() {
	built.once.Do(build)
	if w.err = built.err; w.err != nil {
		return
	}
	dir, err := os.MkdirTemp(built.dir, "world-")
	if err != nil {
		w.err = err
		return
	}
	w.procs, w.json, w.err = w.begin(dir, filepath.Join(built.dir, "postern"))
}

// build looks for the tools and builds the program.
func build() {
	for _, tool := range []string{"node", "npm", "chromium"} {
		if _, err := exec.LookPath(tool); err != nil {
			built.err = fmt.Errorf("%s is %w", tool, errMissing)
			return
		}
	}
	if _, err := os.Stat("node_modules/.package-lock.json"); err != nil { // which npm writes at the end
		if out, err := exec.Command("npm", "ci", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("what package.json names is %w: npm ci: %v\n%s", errMissing, err, out)
			return
		}
	}
	if built.dir, built.err = os.MkdirTemp("", "postern-journeys-"); built.err != nil {
		return
	}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(built.dir, "postern"), "..").CombinedOutput(); err != nil {
		built.err = fmt.Errorf("build: %v\n%s", err, out)
	}
}

func startDemo(dir, program string) (processes, string, error) {
	p, about, err := startProcess(dir, program, "demo", "--listen", "127.0.0.1:0", "--trickle", "4s")
	if err != nil {
		return nil, "", err
	}
	return processes{p}, about, nil
}

// company is the cast's, whose mail the simulated Exchange holds.
const company = "halden.example"

// startTroubled starts a simulated Exchange that cannot read what is in one of its
// mailboxes, and the server on it.
func startTroubled(dir, program string) (processes, string, error) {
	const reader = "ingrid.solberg@" + company
	exchange, about, err := startProcess(dir, program, "sim", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--people", dir,
		"--trouble", "error=ErrorItemCorrupt:GetItem:where=entry:mailbox=lena.vogt@"+company)
	if err != nil {
		return nil, "", err
	}
	procs := processes{exchange}
	var where struct{ URL, Control string }
	if err := json.Unmarshal([]byte(about), &where); err != nil {
		return procs, "", err
	}
	data := filepath.Join(dir, "data")
	password := ""
	for _, c := range []struct {
		input string
		args  []string
	}{
		{"", []string{"users", "import", filepath.Join(dir, "users.csv")}},
		{"", []string{"contacts", "import", filepath.Join(dir, "contacts.csv")}},
		{"", []string{"deployment", "--allow-range", "127.0.0.0/8"}},
		{"postern\n", []string{"settings", "--enable", "--server", where.URL, "--version", "ExchangeSE", "--login", "svc-postern", "--password-file", "-", "--domain", company}},
		{"", []string{"users", "password", reader}},
	} {
		cmd := exec.Command(program, append(c.args, "--data", data)...)
		cmd.Stdin = strings.NewReader(c.input)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return procs, "", fmt.Errorf("%s: %v\n%s", c.args, err, out)
		}
		if _, rest, ok := strings.Cut(string(out), "new password "); ok {
			password, _, _ = strings.Cut(rest, " ")
		}
	}
	server, about, err := startProcess(dir, program, "serve", "--listen", "127.0.0.1:0", "--data", data)
	if err != nil {
		return procs, "", err
	}
	procs = append(procs, server)
	var pages struct{ URL string }
	if err := json.Unmarshal([]byte(about), &pages); err != nil {
		return procs, "", err
	}
	b, err := json.Marshal(map[string]string{"url": pages.URL, "user": reader, "password": password, "control": where.Control})
	return procs, string(b), err
}

// A process is a program of ours that runs until it is stopped.
type process struct {
	cmd   *exec.Cmd
	ended chan error
}

type processes []*process

// stop ends them, the last one first.
func (list processes) stop() {
	for _, p := range slices.Backward(list) {
		p.cmd.Process.Signal(os.Interrupt)
		<-p.ended
	}
}

// startProcess starts a command of the program and returns what it writes about itself
// once it is ready.
func startProcess(dir, program, command string, args ...string) (*process, string, error) {
	file := filepath.Join(dir, command+".json")
	log, err := os.Create(filepath.Join(dir, command+".log"))
	if err != nil {
		return nil, "", err
	}
	defer log.Close() // the process has its own
	p := &process{exec.Command(program, append(append([]string{command}, args...), "--url-file", file)...), make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, "", err
	}
	go func() { p.ended <- p.cmd.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); ; {
		select {
		case <-late:
			p.cmd.Process.Kill()
			return nil, "", fmt.Errorf("postern %s does not say where it is", command)
		case err := <-p.ended:
			said, _ := os.ReadFile(log.Name())
			return nil, "", fmt.Errorf("postern %s ended: %v\n%s", command, err, said)
		case <-tick.C:
			if b, err := os.ReadFile(file); err == nil && json.Valid(b) {
				return p, string(b), nil
			}
		}
	}
}
