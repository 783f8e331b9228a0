//go:build unix

package chaos_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"postern/sim"
	"postern/verify"
)

const (
	login    = "svc-postern"
	password = "postern"
)

// A company is a server and the simulated Exchange that it collects from, each in a
// process of its own, and letters that keep coming.
type company struct {
	*testing.T
	program  string
	dir      string // of files that tell where things are
	data     string // folder of the server
	exchange *process
	control  string // where the simulated Exchange is told what to do
	proxy    *proxy // between both
	server   *process
	page     string
	db       *sql.DB // of the server, to be read only
	dice     *rand.Rand
	loading  sync.WaitGroup
	unload   context.CancelFunc
}

// newCompany starts both. The data folder is made when "" is given.
func newCompany(t *testing.T, program, data string, seed uint64) *company {
	t.Helper()
	c := &company{T: t, program: program, dir: t.TempDir(), data: data, dice: rand.New(rand.NewPCG(seed, 1)), unload: func() {}}
	if data == "" {
		c.data = filepath.Join(c.dir, "data")
	}
	c.exchange = start(t, program, "sim", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--mailboxes", "20",
		"--journal", c.journal(), "--people", c.dir, "--account", login+":"+password, "--url-file", filepath.Join(c.dir, "exchange.json"))
	where := awaitURLs(t, c.exchange, filepath.Join(c.dir, "exchange.json"))
	c.control = where["control"]
	target, err := url.Parse(where["url"])
	if err != nil {
		t.Fatal(err)
	}
	c.proxy = newProxy(t, target.Host, seed)
	target.Host = c.proxy.listener.Addr().String()
	secret := filepath.Join(c.dir, "secret")
	if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, program, "users", "import", "--data", c.data, filepath.Join(c.dir, "users.csv"))
	run(t, program, "contacts", "import", "--data", c.data, filepath.Join(c.dir, "contacts.csv"))
	run(t, program, "deployment", "--data", c.data, "--allow-range", "127.0.0.0/8")
	run(t, program, "settings", "--data", c.data, "--enable", "--server", target.String(), "--version", "Exchange2013_SP1",
		"--login", login, "--password-file", secret, "--domain", where["company"])
	c.serve()
	t.Cleanup(func() { c.calmDown(); c.db.Close() })
	return c
}

func (c *company) journal() string { return filepath.Join(c.dir, "journal") }

// serve starts the server and waits until it is ready for requests.
func (c *company) serve() {
	c.Helper()
	file := filepath.Join(c.dir, "server.json")
	os.Remove(file)
	c.server = start(c.T, c.program, "serve", "--data", c.data, "--listen", "127.0.0.1:0", "--url-file", file)
	c.page = awaitURLs(c.T, c.server, file)["url"]
	if c.db != nil {
		c.db.Close()
	}
	// Read only, so that it never tidies up what a killed server leaves behind.
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.Join(c.data, "postern.db"), RawQuery: "mode=ro&_pragma=busy_timeout(10000)"}).String())
	if err != nil {
		c.Fatal(err)
	}
	c.db = db
}

// load has letters delivered, so many a second, until calmDown.
func (c *company) load(rate float64) {
	const forever = 1e6 // seconds
	order, err := json.Marshal(sim.Load{Rate: rate, Seconds: forever, Internal: .2})
	if err != nil {
		c.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.unload = cancel
	c.loading.Go(func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.control+"/load", bytes.NewReader(order))
		if err != nil {
			c.Error(err)
			return
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			c.Errorf("the load ended by itself with status %d", resp.StatusCode)
		}
	})
}

// calmDown ends the load.
func (c *company) calmDown() {
	c.unload()
	c.loading.Wait()
}

func (c *company) draw(n int) int { return c.dice.IntN(n) }

// filed counts the activities.
func (c *company) filed() (n int) {
	c.Helper()
	if err := c.db.QueryRow("select count(*) from activity").Scan(&n); err != nil {
		c.Fatal(err)
	}
	return n
}

// awaitMore waits until n more are filed.
func (c *company) awaitMore(n int) {
	c.Helper()
	n += c.filed()
	await(c.T, 5*time.Minute, "more is filed", func() bool { return c.filed() >= n })
}

var welcome = regexp.MustCompile(`Sign in as (\S+) with the password (\S+) `)

// A browser is somebody who has signed in.
type browser struct {
	*testing.T
	client *http.Client
	page   string
}

// signIn signs in with the password that the server has shown at its first start.
func (c *company) signIn() *browser {
	c.Helper()
	var words []string
	await(c.T, time.Minute, "the server says how to sign in", func() bool {
		words = welcome.FindStringSubmatch(c.server.last(1 << 20))
		return words != nil
	})
	jar, _ := cookiejar.New(nil) // never fails without options
	b := &browser{T: c.T, client: &http.Client{Jar: jar, Timeout: 10 * time.Second}, page: c.page}
	resp, err := b.client.PostForm(b.page+"/sign-in", url.Values{"address": {words[1]}, "password": {words[2]}})
	b.read(resp, err)
	return b
}

func (b *browser) get(path string) string {
	b.Helper()
	return b.read(b.client.Get(b.page + path))
}

func (b *browser) read(resp *http.Response, err error) string {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%s: status %d, %v\n%.1000s", resp.Request.URL, resp.StatusCode, err, text)
	}
	return string(text)
}

// awaitDeliveries waits until n more letters are laid into mailboxes.
func (c *company) awaitDeliveries(n int64) {
	c.Helper()
	stats := func() (s sim.Stats) {
		if err := json.NewDecoder(c.read("/stats")).Decode(&s); err != nil {
			c.Fatal(err)
		}
		return s
	}
	n += stats().Deliveries
	await(c.T, 5*time.Minute, "more is delivered", func() bool { return stats().Deliveries >= n })
}

// order has the simulated Exchange do something.
func (c *company) order(path string) {
	c.Helper()
	resp, err := http.Post(c.control+path, "application/json", nil)
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		c.Fatalf("%s: status %d", path, resp.StatusCode)
	}
}

// prove ends the load and holds what is kept against what the simulated Exchange has:
// nothing lost, nothing doubled, everything decided; once while the server runs and once
// when it has ended.
func (c *company) prove() {
	c.Helper()
	c.calmDown()
	var report verify.Report
	defer func() {
		if c.Failed() {
			c.Log(report)
		}
	}()
	took := await(c.T, 6*time.Minute, "the books agree with Exchange", func() bool {
		report = c.compare()
		return report.Differences() == 0
	})
	if report.ToFile == 0 || report.ToFile == report.Items {
		c.Errorf("nothing was to be told apart: %s", report)
	}
	run(c.T, c.program, "reconcile", "--data", c.data)
	c.server.end(syscall.SIGTERM)
	if code := c.server.cmd.ProcessState.ExitCode(); code != 0 {
		c.Errorf("the server ended with status %d", code)
	}
	run(c.T, c.program, "reconcile", "--data", c.data)
	if report = c.compare(); report.Differences() > 0 {
		c.Error("the books of the server that has ended do not agree with Exchange")
	}
	c.Logf("caught up %s after the last letter: %s", took.Round(time.Millisecond), report)
}

// compare compares the data folder with the simulated Exchange.
func (c *company) compare() verify.Report {
	c.Helper()
	report, err := verify.Compare(c.Context(), verify.Input{Database: filepath.Join(c.data, "postern.db"), Truth: c.read("/truth"), History: c.read("/history")})
	if err != nil {
		c.Fatal(err)
	}
	return report
}

func (c *company) read(path string) io.Reader {
	c.Helper()
	resp, err := http.Get(c.control + path)
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.Fatalf("%s: status %d, %v: %.200s", path, resp.StatusCode, err, text)
	}
	return bytes.NewReader(text)
}
