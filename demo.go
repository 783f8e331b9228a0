package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/mail"
	"postern/sim"
	"postern/store"
)

// demoCommand shows the whole of Postern on one machine: a simulated Exchange and the
// server, in a temporary folder, with our cast or with real letters.
type demoCommand struct {
	Listen  string        `help:"Address of the pages; another free port is taken when it is in use." default:"127.0.0.1:8317"`
	Data    string        `help:"Data folder; none = a temporary one, removed at the end." type:"path"`
	Letters string        `help:"Real mail in place of the cast's: an .eml file, a folder, a Maildir or an mbox (.gz, .zst)." type:"path"`
	Company string        `help:"Domain whose addresses are the users; none = the one met most often among To and Cc."`
	Trickle time.Duration `help:"A new letter of the cast so often; 0 = never." default:"20s"`
	Once    bool          `help:"Collect until caught up, prove that nothing is lost, print what was done, end."`
	JSON    bool          `help:"With --once: print one JSON object."`
	URLFile string        `help:"File to write where everything is, as JSON, once it is there." type:"path"`
}

const (
	demoLogin    = "svc-postern"
	demoPassword = "postern" // of the simulated service account, and of everybody in the cast
)

func (d *demoCommand) Run(c *common) error {
	dir := d.Data
	if dir == "" {
		temp, err := os.MkdirTemp("", "postern-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		dir = filepath.Join(temp, "data")
	}
	st, err := store.Open(c.ctx, store.Options{Dir: dir, Exclusive: true})
	if err != nil {
		return err
	}
	defer st.Close()
	if err := allowThisMachine(c.ctx, st); err != nil {
		return err
	}
	x, err := sim.New(sim.Options{})
	if err != nil {
		return err
	}
	defer x.Close()
	x.AddAccount(sim.Account{Login: demoLogin, Password: demoPassword})
	people, err := fill(x, d.Letters, d.Company, time.Now())
	if err != nil {
		return err
	}
	people.tellSkipped(c.errOut)
	ctx, cancel := context.WithCancel(c.ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	org := st.Org(1)
	exchange, err := listenAgain(ctx, org)
	if err != nil {
		return err
	}
	wg.Go(func() { serveSim(ctx, exchange, x) })
	if err := people.settle(ctx, org, ewsURL(exchange)); err != nil {
		return err
	}
	if d.Once {
		return d.once(ctx, c, org, people)
	}
	if d.Letters == "" && d.Trickle > 0 {
		wg.Go(func() { trickle(ctx, x, d.Trickle) })
	}
	return d.serve(ctx, c, org, people, dir, ewsURL(exchange))
}

// thisMachine is where the simulated Exchange is.
var thisMachine = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// allowThisMachine lets an installation connect to the simulated Exchange.
func allowThisMachine(ctx context.Context, st *store.Store) error {
	d, err := st.Deployment(ctx)
	if err != nil || slices.Contains(d.Ranges, thisMachine[0]) {
		return err
	}
	d.Ranges = slices.Concat(d.Ranges, thisMachine)
	return st.SaveDeployment(ctx, d)
}

// listenAgain gives the simulated Exchange the address at which it was the last time, if
// that is free: another address is another server, which an organization may want to have
// approved by a second person.
func listenAgain(ctx context.Context, org *store.Org) (net.Listener, error) {
	kept, _, err := org.Settings(ctx)
	if err != nil {
		return nil, err
	}
	if before, err := url.Parse(kept.Server); err == nil {
		if at, err := netip.ParseAddrPort(before.Host); err == nil && thisMachine[0].Contains(at.Addr()) {
			if l, err := net.Listen("tcp", before.Host); err == nil {
				return l, nil
			}
		}
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// settle makes the people known and opens the connection to the simulated Exchange. Those
// who are known and the connection that was opened before stay as somebody has set them since.
func (p *population) settle(ctx context.Context, org *store.Org, server string) error {
	known, err := addressesOfUsers(ctx, org)
	if err != nil {
		return err
	}
	var users []crm.User
	domains := []string{p.company}
	for _, u := range p.users {
		if known[u.addresses[0]] {
			continue
		}
		users = append(users, crm.User{Name: u.name, Addresses: u.addresses, Admin: u.admin, Active: true})
	}
	var contacts []crm.Contact
	for _, k := range p.contacts {
		contacts = append(contacts, crm.Contact{Name: k.name, Company: k.company, Title: k.title, Addresses: k.addresses})
	}
	if _, err := org.SaveUsers(ctx, users); err != nil {
		return err
	}
	if _, err := org.SaveContacts(ctx, contacts); err != nil {
		return err
	}
	kept, _, err := org.Settings(ctx)
	if err != nil {
		return err
	}
	if kept.Server == server && slices.Contains(kept.Domains, p.company) {
		return nil
	}
	connector := ews.Connector()
	wanted := crm.Settings{Enabled: true, Server: server, Version: "ExchangeSE",
		Login: demoLogin, Password: crm.NewSecret(demoPassword), Domains: domains}
	settings, wrong := wanted.Check(connector, crm.Settings{})
	if len(wrong) > 0 {
		return fmt.Errorf("settings of the demonstration: %s", wrong[0].Message)
	}
	return org.SaveSettings(ctx, settings)
}

func addressesOfUsers(ctx context.Context, org *store.Org) (map[mail.Address]bool, error) {
	users, _, err := org.Users(ctx, store.ListQuery{Limit: store.Everything})
	known := make(map[mail.Address]bool)
	for _, u := range users {
		for _, a := range u.Addresses {
			known[a] = true
		}
	}
	return known, err
}

// serve shows the pages until ctx ends.
func (d *demoCommand) serve(ctx context.Context, c *common, org *store.Org, people *population, dir, url string) error {
	l, err := listen(d.Listen)
	if err != nil && crm.AsFault(err).Code == "address-in-use" {
		l, err = listen("127.0.0.1:0")
	}
	if err != nil {
		return err
	}
	who := people.users[0].addresses[0]
	for _, u := range people.users {
		if err := setPassword(ctx, org, string(u.addresses[0]), demoPassword); err != nil {
			return err
		}
	}
	if err := makeAdmin(ctx, org, who); err != nil {
		return err
	}
	connector := ews.Connector()
	log := slog.New(slog.NewTextHandler(c.errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))
	accesses := org.AccessWriter()
	defer accesses.Close()
	p := &program{org: org, connector: connector, log: log, hint: fmt.Sprintf("In this demonstration: %s with the password %s", who, demoPassword),
		engine: engine.New(engine.Config{Org: org, Connector: connector, AccessLog: accesses, Poll: 3 * time.Second, Log: log})}
	fmt.Fprintf(c.out, "\n  Postern is at  http://%s\n  sign in as     %s\n  password       %s\n  data folder    %s\n\n%d letters in %d mailboxes of %s are being collected. Ctrl-C ends it.\n",
		l.Addr(), who, demoPassword, dir, people.letters, len(people.users), people.company)
	err = writeURLFile(d.URLFile, map[string]string{"url": "http://" + l.Addr().String(), "user": string(who), "password": demoPassword,
		"ews": url, "ews_login": demoLogin, "ews_password": demoPassword, "data": dir})
	if err != nil {
		return err
	}
	return p.serve(ctx, l)
}

// makeAdmin gives a user the right to change settings.
func makeAdmin(ctx context.Context, org *store.Org, address mail.Address) error {
	user, _, err := org.SignIn(ctx, address)
	if err != nil || user.Admin {
		return err
	}
	user.Admin = true
	_, err = org.SaveUsers(ctx, []crm.User{*user})
	return err
}

// A proof is what a run on letters has done, and whether the books agree.
type proof struct {
	Company           string             `json:"company"`
	Messages          int                `json:"messages"` // letters read from the path
	Items             int                `json:"items"`    // copies of them laid into mailboxes
	Mailboxes         int                `json:"mailboxes"`
	Contacts          int                `json:"contacts"`
	Filed             int                `json:"filed"`      // items
	NotFiled          map[crm.Reason]int `json:"not_filed"`  // items
	Failed            int                `json:"failed"`     // items
	Activities        int                `json:"activities"` // messages filed, each counted once
	Duplicates        int                `json:"duplicates"`
	Lost              int                `json:"lost"` // items for which the books do not agree
	Requests          map[string]int     `json:"requests"`
	Bytes             int64              `json:"bytes"`
	Seconds           float64            `json:"seconds"`
	MessagesPerSecond float64            `json:"messages_per_second"`
	PeakRSS           int64              `json:"peak_rss_bytes"`
	Trouble           map[string]string  `json:"trouble,omitempty"`
}

// once collects, proves and tells.
func (d *demoCommand) once(ctx context.Context, c *common, org *store.Org, people *population) error {
	requests := newMeter(org)
	defer requests.Close()
	began := time.Now()
	e := engine.New(engine.Config{Org: org, Connector: ews.Connector(), AccessLog: requests, Log: c.log})
	if err := e.CatchUp(ctx); err != nil {
		return err
	}
	if err := c.ctx.Err(); err != nil {
		return err
	}
	done, err := tally(c, org, requests, began)
	if err != nil {
		return err
	}
	seconds := time.Since(began).Seconds()
	p := proof{Company: people.company, Messages: people.letters, Items: people.items, Mailboxes: done.Mailboxes, Contacts: len(people.contacts),
		Filed: done.Filed, NotFiled: done.NotFiled, Failed: done.Failed, Requests: done.Requests, Bytes: done.Bytes, Trouble: done.Trouble,
		Seconds: seconds, MessagesPerSecond: float64(people.letters) / seconds}
	if err := p.prove(ctx, c, org, e); err != nil {
		return err
	}
	p.PeakRSS = peakRSS()
	if d.JSON {
		err = json.NewEncoder(c.out).Encode(p)
	} else {
		_, err = fmt.Fprintf(c.out, "%d letters, %d items in %d mailboxes of %s: %d filed (%d activities), not filed%s, %d failed; %d duplicates, %d lost; %.1f s, %.0f letters/s\n",
			p.Messages, p.Items, p.Mailboxes, p.Company, p.Filed, p.Activities, reasons(p.NotFiled), p.Failed, p.Duplicates, p.Lost, p.Seconds, p.MessagesPerSecond)
	}
	if err == nil && (p.Lost > 0 || p.Duplicates > 0) {
		fmt.Fprintln(c.errOut, "postern: the proof failed")
		err = exitError(1)
	}
	return err
}

// prove compares the ledger with the server, item by item, and with what was laid there.
func (p *proof) prove(ctx context.Context, c *common, org *store.Org, e *engine.Engine) error {
	proved := 0
	err := e.Reconcile(ctx, func(r engine.Report) error {
		proved += r.Items
		p.Lost += len(r.Differs)
		if !r.Proved() {
			return printReport(c.errOut, &r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if missing := p.Items - proved; missing > 0 {
		p.Lost += missing
		fmt.Fprintf(c.errOut, "postern: %d items were laid into mailboxes that were never read\n", missing)
	}
	if p.Duplicates, err = org.Duplicates(ctx); err != nil {
		return err
	}
	_, p.Activities, _, err = org.Activities(ctx, store.MailQuery{Limit: 1})
	return err
}
