// Package journeys walks through Postern as a person does, in a real browser. The steps
// are in *.test.js, on Playwright and Debian's Chromium; this file starts the program that
// they walk through and runs them.
package journeys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"
)

// The demonstration that all journeys share: one build, one process.
var demo struct {
	once sync.Once
	json string // what the program wrote about itself
	err  error  // why it is not there
	stop func()
}

// errMissing: a tool is not installed.
var errMissing = errors.New("not installed")

func TestMain(m *testing.M) {
	code := m.Run()
	if demo.stop != nil {
		demo.stop()
	}
	os.Exit(code)
}

func TestA01BrowserSettingsForm(t *testing.T)      { walk(t, "settings.test.js", "A1") }
func TestA02BrowserAtLeastOneDomain(t *testing.T)  { walk(t, "settings.test.js", "A2") }
func TestA03BrowserDomains(t *testing.T)           { walk(t, "settings.test.js", "A3") }
func TestA04BrowserRequiredFields(t *testing.T)    { walk(t, "settings.test.js", "A4") }
func TestA06BrowserConnectionTest(t *testing.T)    { walk(t, "settings.test.js", "A6") }
func TestA08BrowserFiledByItself(t *testing.T)     { walk(t, "mail.test.js", "A8") }
func TestA12BrowserThreePlaces(t *testing.T)       { walk(t, "mail.test.js", "A12") }
func TestA15BrowserContactAddedLater(t *testing.T) { walk(t, "mail.test.js", "A15") }
func TestBrowserReading(t *testing.T)              { walk(t, "mail.test.js", "reading") }
func TestBrowserHostileMessage(t *testing.T)       { walk(t, "hostile.test.js", "") }
func TestBrowserAccessibleAndNarrow(t *testing.T)  { walk(t, "looks.test.js", "") }

// walk runs the journeys of a file whose names begin with name.
func walk(t *testing.T, file, name string) {
	demo.once.Do(start)
	if errors.Is(demo.err, errMissing) && os.Getenv("POSTERN_TEST_REQUIRE") != "1" {
		t.Skipf("no browser journey: %v", demo.err)
	}
	if demo.err != nil {
		t.Fatal(demo.err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	args := []string{"--test", "--test-reporter=spec", "--test-timeout=180000"}
	if name != "" {
		args = append(args, "--test-name-pattern=^"+regexp.QuoteMeta(name)+`\b`)
	}
	cmd := exec.CommandContext(ctx, "node", append(args, file)...)
	cmd.Env = append(os.Environ(), "POSTERN_DEMO="+demo.json)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", file, err, out)
	}
	if !regexp.MustCompile(`pass [1-9]`).Match(out) {
		t.Fatalf("%s: no journey begins with %q\n%s", file, name, out)
	}
}

// start looks for the tools, builds the program and starts its demonstration.
func start() {
	for _, tool := range []string{"node", "npm", "chromium"} {
		if _, err := exec.LookPath(tool); err != nil {
			demo.err = fmt.Errorf("%s is %w", tool, errMissing)
			return
		}
	}
	if _, err := os.Stat("node_modules"); err != nil {
		if out, err := exec.Command("npm", "ci", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
			demo.err = fmt.Errorf("what package.json names is %w: npm ci: %v\n%s", errMissing, err, out)
			return
		}
	}
	dir, err := os.MkdirTemp("", "postern-journeys-")
	if err != nil {
		demo.err = err
		return
	}
	demo.stop = func() { os.RemoveAll(dir) }
	program := filepath.Join(dir, "postern")
	if out, err := exec.Command("go", "build", "-o", program, "..").CombinedOutput(); err != nil {
		demo.err = fmt.Errorf("build: %v\n%s", err, out)
		return
	}
	demo.json, demo.err = startDemo(dir, program)
}

// startDemo returns what the program writes about itself once its pages are there.
func startDemo(dir, program string) (string, error) {
	file := filepath.Join(dir, "url.json")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return "", err
	}
	cmd := exec.Command(program, "demo", "--listen", "127.0.0.1:0", "--trickle", "4s", "--url-file", file)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	demo.stop = func() {
		cmd.Process.Signal(os.Interrupt)
		<-ended
		log.Close()
		os.RemoveAll(dir)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			ended <- err
			said, _ := os.ReadFile(log.Name())
			return "", fmt.Errorf("the demonstration ended: %v\n%s", err, said)
		case <-tick.C:
			if b, err := os.ReadFile(file); err == nil && json.Valid(b) {
				return string(b), nil
			}
		}
	}
}
