//go:build unix

package chaos_test

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// chaosMinutes is how long the server is killed again and again; 0 = the few times that
// fit into a test.
func chaosMinutes(t *testing.T) int {
	text := os.Getenv("POSTERN_CHAOS_MINUTES")
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("POSTERN_CHAOS_MINUTES=%s is no number of minutes", text)
	}
	return n
}

// TestOutside does to real processes what systems and operators do to them, while
// letters keep coming. Whatever it was: in the end every letter is filed, and once.
// POSTERN_CHAOS_MINUTES=10 makes it last.
func TestOutside(t *testing.T) {
	program, minutes := build(t), chaosMinutes(t)
	for _, trial := range []struct {
		name string
		run  func(t *testing.T, program string, minutes int)
	}{
		{"Killed", killed},
		{"Frozen", frozen},
		{"DiskFull", diskFull},
		{"RoughNetwork", roughNetwork},
		{"ExchangeRestarted", exchangeRestarted},
	} {
		t.Run(trial.name, func(t *testing.T) {
			t.Parallel()
			trial.run(t, program, minutes)
		})
	}
}

// killed kills the server at any moment and starts it again, three times a minute. The
// first message after each start is to be filed within 10 seconds.
func killed(t *testing.T, program string, minutes int) {
	const rate, patience = 5, 10 * time.Second
	kills, gap := 3, 2*time.Second
	if minutes > 0 {
		kills, gap = 3*minutes, 15*time.Second // and the rest to start, and for letters that are not filed
	}
	c := newCompany(t, program, "", 1)
	c.load(rate)
	var worst time.Duration
	for i := range kills {
		// The moment is that of a message, drawn so that all kills together take the time
		// wanted, and then any time after it.
		c.awaitMore(1 + c.draw(int(2*rate*gap.Seconds())))
		<-time.After(time.Duration(c.draw(int(time.Second))))
		c.server.end(syscall.SIGKILL)
		filed := c.filed()
		began := time.Now()
		c.serve()
		await(t, time.Minute, "the first message after the start is filed", func() bool { return c.filed() > filed })
		took := time.Since(began)
		t.Logf("kill %d of %d, with %d filed: the first message %s after the start", i+1, kills, filed, took.Round(time.Millisecond))
		if worst = max(worst, took); took > patience && minutes > 0 {
			t.Errorf("the first message was filed %s after the start, want %s at most", took, patience)
		}
	}
	t.Logf("%d kills: the first message at most %s after the start", kills, worst.Round(time.Millisecond))
	c.prove()
}

// frozen stops the server's process for a while, as a suspended machine does.
func frozen(t *testing.T, program string, minutes int) {
	freeze := 3 * time.Second
	if minutes > 0 {
		freeze = 90 * time.Second
	}
	c := newCompany(t, program, "", 2)
	c.load(5)
	c.awaitMore(10)
	c.server.cmd.Process.Signal(syscall.SIGSTOP)
	<-time.After(freeze)
	filed := c.filed()
	began := time.Now()
	c.server.cmd.Process.Signal(syscall.SIGCONT)
	await(t, 2*time.Minute, "the first message after the freeze is filed", func() bool { return c.filed() > filed })
	t.Logf("frozen for %s: the first message %s after that", freeze, time.Since(began).Round(time.Millisecond))
	c.awaitMore(10)
	c.prove()
}

// roughNetwork spoils connections for a while.
func roughNetwork(t *testing.T, program string, minutes int) {
	const enough = 8
	c := newCompany(t, program, "", 3)
	c.load(5)
	c.awaitMore(5)
	c.proxy.be(rough)
	<-time.After(time.Duration(minutes) * time.Minute)
	await(t, 5*time.Minute, "enough connections were spoilt", func() bool {
		n, _ := c.proxy.spoilt()
		return n >= enough
	})
	_, how := c.proxy.spoilt()
	t.Logf("the network was rough: %s", how)
	c.proxy.be(calm)
	c.prove()
}

// exchangeRestarted takes the simulated Exchange off the net for a while. When it is back
// it knows no subscription and no sync state any more.
func exchangeRestarted(t *testing.T, program string, minutes int) {
	c := newCompany(t, program, "", 4)
	c.load(5)
	for range max(1, minutes) {
		c.awaitMore(5)
		before, _ := c.proxy.spoilt()
		c.proxy.be(down)
		await(t, time.Minute, "the server is refused", func() bool { n, _ := c.proxy.spoilt(); return n > before })
		c.awaitDeliveries(20)
		c.order("/restart")
		c.proxy.be(calm)
	}
	c.prove()
}
