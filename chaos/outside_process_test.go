//go:build unix

package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is one that a test has started. What it says is kept.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}

	mu   sync.Mutex
	said bytes.Buffer
}

func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("last words of postern %s:\n%s", args[0], p.last(4000))
		}
	})
	return p
}

// Write keeps what the process says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *process) last(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := p.said.String()
	return text[max(0, len(text)-n):]
}

func (p *process) says(words string) bool { return strings.Contains(p.last(1<<30), words) }

// end sends a signal and waits for the end.
func (p *process) end(s syscall.Signal) {
	p.cmd.Process.Signal(s)
	<-p.ended
}

// run runs a command of the program to its end.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("postern %s: %v\n%.4000s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// await waits until a condition holds and returns how long that took; the test fails
// after the time allowed.
func await(t *testing.T, within time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("after %s still not: %s", time.Since(began).Round(time.Millisecond), what)
		case <-tick.C:
		}
	}
	return time.Since(began)
}

// awaitURLs waits for the file by which a process says where it is.
func awaitURLs(t *testing.T, p *process, file string) map[string]string {
	t.Helper()
	where := map[string]string{}
	await(t, time.Minute, "the process says where it is", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("the process ended: %s", p.last(4000))
		default:
		}
		text, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(text, &where) == nil
	})
	return where
}

func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "postern")
	if out, err := exec.Command("go", "build", "-o", program, "..").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}
