package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

type benchCommand struct {
	Import benchImport `cmd:"" help:"Import letters from a simulated Exchange in a process of its own, whose cost is not counted."`
}

// A simProcess is a simulated Exchange in a process of its own, so that what it costs is
// not taken for our cost.
type simProcess struct {
	URL   string `json:"url"`
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
