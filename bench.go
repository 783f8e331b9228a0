package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"postern/sim"
)

type benchCommand struct {
	Import benchImport `cmd:"" help:"Import letters from a simulated Exchange in a process of its own, whose cost is not counted."`
	Live   benchLive   `cmd:"" help:"Follow mailboxes of a simulated Exchange in a process of its own: time to listen to all, cost when idle, time from delivery to activity."`
}

// A simProcess is a simulated Exchange in a process of its own, so that what it costs is
// not taken for our cost.
type simProcess struct {
	URL     string `json:"url"`
	Company string `json:"company"`
	Control string `json:"control"`

	cmd   *exec.Cmd
	ended chan struct{}
	err   error // how it ended
	said  bytes.Buffer
}

// startSim runs the simulated Exchange as a child and waits until it says where it is.
func startSim(ctx context.Context, dir string, args ...string) (*simProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "url.json")
	args = append([]string{"sim", "--listen", "127.0.0.1:0", "--account", demoLogin + ":" + demoPassword, "--url-file", file}, args...)
	p := &simProcess{cmd: exec.CommandContext(ctx, self, args...), ended: make(chan struct{})}
	p.cmd.Stderr = &p.said
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.err = p.cmd.Wait(); close(p.ended) }()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-p.ended:
			return nil, fmt.Errorf("the simulated Exchange ended: %w: %s", p.err, p.said.String())
		case <-tick.C:
		}
		if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, p) == nil {
			return p, nil
		}
	}
}

// stop ends the process and waits for its end.
func (p *simProcess) stop() {
	p.cmd.Process.Kill()
	<-p.ended
}

// ask asks the control face and reads the answer as JSON; nil = there is none.
func (p *simProcess) ask(ctx context.Context, method, path, order string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, p.Control+path, strings.NewReader(order))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%s of the simulated Exchange: %w", path, err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s of the simulated Exchange: status %d: %s", path, resp.StatusCode, text)
	case answer == nil:
		return nil
	}
	return json.Unmarshal(text, answer)
}

func (p *simProcess) stats(ctx context.Context) (s sim.Stats, err error) {
	err = p.ask(ctx, http.MethodGet, "/stats", "", &s)
	return s, err
}

// load has letters delivered and returns when all are.
func (p *simProcess) load(ctx context.Context, l sim.Load) error {
	order, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return p.ask(ctx, http.MethodPost, "/load", string(order), nil)
}
