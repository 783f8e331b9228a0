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
	"time"
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

// ask asks the control face; order and answer are JSON, nil = none.
func (p *simProcess) ask(ctx context.Context, method, path string, order, answer any) error {
	body, err := json.Marshal(order)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, p.Control+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s of the simulated Exchange: status %d: %s: %w", path, resp.StatusCode, text, err)
	}
	return json.Unmarshal(text, answer)
}
