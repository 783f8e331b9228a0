package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postern/cast"
	"postern/mail"
	"postern/sim"
)

// simCommand runs the simulated Exchange in a process of its own.
type simCommand struct {
	Listen  string        `help:"Address to listen on; loopback unless you mean it." default:"127.0.0.1:8318"`
	Letters string        `help:"Letters to fill it with: an .eml file, a folder, a Maildir or an mbox (.gz, .zst); none = the cast of the demonstration." type:"path"`
	Limit   int           `help:"Take so many letters at most; 0 = all."`
	AlsoTo  string        `help:"Add this recipient to every letter."`
	Company string        `help:"Domain whose addresses have mailboxes; none = the one met most often."`
	Version string        `help:"Version of Exchange to be." default:"ExchangeSE"`
	Account []string      `help:"Service account as LOGIN:PASSWORD, or LOGIN:PASSWORD:MAILBOX,MAILBOX to narrow what it may impersonate; an address as LOGIN gives it a mailbox of its own." default:"svc-postern:postern" sep:"none"`
	Trouble []string      `help:"Misbehave: KIND[:OPERATION][:every=N][:times=N][:skip=N][:backoff=DURATION][:delay=DURATION][:at=BYTES][:where=fault|entry|header][:mailbox=ADDRESS], for example busy-fault:GetItem:every=7 or error=ErrorItemCorrupt:GetItem. Kinds: ${kinds}."`
	Trickle time.Duration `help:"A new letter so often (of the cast only); 0 = never."`
	People  string        `help:"Folder to write users.csv and contacts.csv to, for the imports." type:"path"`
	URLFile string        `help:"File to write where it is, as JSON, once it is there." type:"path"`

	Mailboxes int    `help:"So many empty mailboxes in place of letters; a crowd of contacts writes to them when the control face is asked to have letters delivered."`
	Control   string `help:"Address of a second face, on which programs say what is to happen and read what has: loopback, since nobody is asked who he is; none = there is no such face."`
	Journal   string `help:"File to write down what happens in the mailboxes, one JSON object a line." type:"path"`

	simAccess `embed:""`
}

func (s *simCommand) Run(c *common) error {
	// A simulator that is started again has forgotten all: no id of before may mean anything.
	options := sim.Options{Version: sim.Version(s.Version), MaxLetters: s.Limit, AlsoTo: mail.Address(s.AlsoTo), Generation: uint64(time.Now().UnixNano())}
	if s.Journal != "" {
		journal, err := os.Create(s.Journal)
		if err != nil {
			return badArgument(fmt.Sprintf("The journal cannot be written: %v.", err), "Name a file in a folder that may be written to by --journal.", err)
		}
		defer journal.Close()
		options.Journal = journal
	}
	x, err := sim.New(options)
	if err != nil {
		return badArgument(fmt.Sprintf("The simulated Exchange cannot be made so: %v.", err), "Give a version such as Exchange2016 by --version.", err)
	}
	defer x.Close()
	defer s.close()
	people, err := s.furnish(x)
	if err != nil {
		return err
	}
	l, err := listen(s.Listen)
	if err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(l.Addr().String())
	front, err := s.front(host)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	where := map[string]string{"url": ewsURL(l), "company": people.company}
	if front.Certificate != nil {
		where["url"] = "https" + strings.TrimPrefix(where["url"], "http")
	}
	if s.Control != "" {
		if where["control"], err = s.serveControl(c.ctx, x); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	s.tell(c, people, where)
	if err := writeURLFile(s.URLFile, where); err != nil {
		return err
	}
	if s.Trickle > 0 && s.Letters == "" && s.Mailboxes == 0 {
		go trickle(c.ctx, x, s.Trickle)
	}
	server := x.Server(front)
	defer context.AfterFunc(c.ctx, func() { server.Close() })()
	if front.Certificate != nil {
		err = server.ServeTLS(l, "", "")
	} else {
		err = server.Serve(l)
	}
	if c.ctx.Err() != nil {
		return nil
	}
	return err
}

// furnish gives the Exchange its mailboxes, accounts, rules and troubles.
func (s *simCommand) furnish(x *sim.Exchange) (*population, error) {
	people, err := s.fill(x)
	if err != nil {
		return nil, err
	}
	accounts, err := s.addAccounts(x)
	if err != nil {
		return nil, err
	}
	if err := s.arrange(x, accounts, people.company); err != nil {
		return nil, err
	}
	for _, text := range s.Trouble {
		trouble, err := sim.ParseTrouble(text)
		if err != nil {
			return nil, badArgument(fmt.Sprintf("It cannot misbehave so: %v.", err), "postern sim --help shows how --trouble is written.", err)
		}
		x.MakeTrouble(trouble)
	}
	if s.People != "" {
		err = people.write(s.People)
	}
	return people, err
}

// serveControl serves the control face until ctx ends, and returns where.
func (s *simCommand) serveControl(ctx context.Context, x *sim.Exchange) (string, error) {
	l, err := listen(s.Control)
	if err != nil {
		return "", err
	}
	if host, _ := l.Addr().(*net.TCPAddr); host == nil || !host.IP.IsLoopback() {
		return "", badArgument("The control face asks nobody who he is, so it listens on loopback alone.", "Write --control 127.0.0.1:0.", l.Close())
	}
	go serveSim(ctx, l, x.Control())
	return "http://" + l.Addr().String(), nil
}

// tell says what there is, and where.
func (s *simCommand) tell(c *common, people *population, where map[string]string) {
	people.tellSkipped(c.errOut)
	fmt.Fprintf(c.out, "simulated Exchange at %s: %d letters, %d mailboxes of %s\n", where["url"], people.letters, len(people.users), people.company)
	for _, text := range s.Account {
		login, password, _ := strings.Cut(text, ":")
		fmt.Fprintf(c.out, "  service account %s, password %s\n", login, strings.SplitN(password, ":", 2)[0])
	}
	if where["control"] != "" {
		fmt.Fprintf(c.out, "  control at %s, which says what it can do\n", where["control"])
	}
	if s.People != "" {
		fmt.Fprintf(c.out, "  users.csv and contacts.csv are in %s\n", s.People)
	}
}

// addAccounts adds the service accounts; one whose login is an address gets a mailbox of
// its own, as most have.
func (s *simCommand) addAccounts(x *sim.Exchange) ([]sim.Account, error) {
	var accounts []sim.Account
	for _, text := range s.Account {
		account, err := parseAccount(text)
		if err != nil {
			return nil, err
		}
		x.AddAccount(account)
		if address, err := mail.ParseAddress(account.Login); err == nil {
			x.AddMailbox(sim.Person{Name: "Service account", Address: address})
		}
		accounts = append(accounts, account)
	}
	return accounts, nil
}

// kindNames lists the kinds of trouble for the help.
func kindNames() string {
	var names []string
	for _, kind := range sim.Kinds() {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}

// fill makes the mailboxes.
func (s *simCommand) fill(x *sim.Exchange) (*population, error) {
	switch {
	case s.Mailboxes > 0 && s.Letters != "":
		return nil, badArgument("--mailboxes and --letters do not go together.", "Leave one of them out.", nil)
	case s.Mailboxes > 0:
		return fillCrowd(x, s.Mailboxes), nil
	}
	return fill(x, s.Letters, s.Company, time.Now())
}

// serveSim answers on one face of the simulated Exchange until ctx ends.
func serveSim(ctx context.Context, l net.Listener, face http.Handler) error {
	server := &http.Server{Handler: face, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

func ewsURL(l net.Listener) string { return "http://" + l.Addr().String() + "/EWS/Exchange.asmx" }

func parseAccount(text string) (sim.Account, error) {
	parts := strings.SplitN(text, ":", 3)
	if len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return sim.Account{}, badArgument(fmt.Sprintf("The account %q has no password.", parts[0]), "Write LOGIN:PASSWORD or LOGIN:PASSWORD:MAILBOX,MAILBOX.", nil)
	}
	account := sim.Account{Login: parts[0], Password: parts[1]}
	if len(parts) == 3 {
		for text := range strings.SplitSeq(parts[2], ",") {
			name, isGroup := strings.CutPrefix(text, "group=")
			address, err := parseAddress(name)
			if err != nil {
				return sim.Account{}, err
			}
			if isGroup {
				account.Groups = append(account.Groups, address)
			} else {
				account.Scope = append(account.Scope, address)
			}
		}
	}
	return account, nil
}

// population is who lives in a filled simulation.
type population struct {
	company         string
	users, contacts []person
	letters, items  int
	skipped         []string // files that are not mail
}

// tellSkipped names what was left out of a folder of letters.
func (p *population) tellSkipped(w io.Writer) {
	const named = 3
	if n := len(p.skipped); n > 0 {
		more := ""
		if n > named {
			more = ", …"
		}
		fmt.Fprintf(w, "note: files that are not mail were left out: %d (%s%s)\n", n, strings.Join(p.skipped[:min(n, named)], ", "), more)
	}
}

type person struct {
	name, company, title string
	addresses            []mail.Address
	admin                bool
}

// fill lays letters into the simulated organization: the cast's, or those of a path.
func fill(x *sim.Exchange, letters, company string, now time.Time) (*population, error) {
	if letters == "" {
		return fillCast(x, now)
	}
	loaded, err := x.Load(letters, company)
	if err != nil {
		return nil, err
	}
	p := &population{company: loaded.Company, letters: loaded.Messages, items: loaded.Items, skipped: loaded.Skipped}
	for _, u := range loaded.Users {
		p.users = append(p.users, person{name: u.Name, addresses: addresses(u.Address)})
	}
	if loaded.Archive != "" && !hasAddress(p.users, loaded.Archive) {
		p.users = append(p.users, person{name: "Archive", addresses: addresses(loaded.Archive)})
	}
	for _, k := range loaded.Contacts {
		p.contacts = append(p.contacts, person{name: k.Name, addresses: addresses(k.Address)})
	}
	return p, nil
}

func hasAddress(list []person, a mail.Address) bool {
	for _, p := range list {
		if p.addresses[0] == a {
			return true
		}
	}
	return false
}

// crowdContacts is how many contacts write to the mailboxes of a crowd.
const crowdContacts = 1000

// fillCrowd makes n empty mailboxes and as many contacts as write to them.
func fillCrowd(x *sim.Exchange, n int) *population {
	x.Populate(n)
	p := &population{company: sim.CrowdDomain}
	for i := range n {
		u := sim.CrowdUser(i)
		p.users = append(p.users, person{name: u.Name, addresses: addresses(u.Address)})
	}
	for k := range crowdContacts {
		u := sim.CrowdContact(k)
		p.contacts = append(p.contacts, person{name: u.Name, addresses: addresses(u.Address)})
	}
	return p
}

func fillCast(x *sim.Exchange, now time.Time) (*population, error) {
	p := &population{company: cast.Domain}
	for _, u := range cast.Users() {
		x.AddMailbox(sim.Person{Name: u.Name, Address: u.Addresses[0]}, u.Addresses[1:]...)
		p.users = append(p.users, person{name: u.Name, addresses: u.Addresses, admin: u.Admin})
	}
	for _, k := range cast.Contacts() {
		p.contacts = append(p.contacts, person{name: k.Name, company: k.Company, title: k.Title, addresses: k.Addresses})
	}
	for _, l := range cast.Letters(now) {
		items, err := lay(x, l)
		if err != nil {
			return nil, err
		}
		p.letters++
		p.items += items
	}
	return p, nil
}

// lay lays one letter of the cast where its people would find it: a draft in its
// writer's Drafts, anything else in Sent Items and Inboxes. It returns how many items
// that made outside Drafts.
func lay(x *sim.Exchange, l cast.Letter) (items int, err error) {
	if l.Draft {
		h, err := mail.ParseHeader(bytes.NewReader(l.Raw))
		if err != nil || len(h.From()) == 0 {
			return 0, fmt.Errorf("draft without a writer: %w", err)
		}
		_, err = x.Mailbox(h.From()[0].Address).Folder(sim.Drafts).Put(l.Raw)
		return 0, err
	}
	copies, err := x.Deliver(l.Raw)
	for _, item := range copies {
		if l.Read {
			item.MarkRead(true)
		}
	}
	return len(copies), err
}

// trickle delivers the cast's new letters.
func trickle(ctx context.Context, x *sim.Exchange, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if _, err := lay(x, cast.Trickle(now, n)); err != nil {
				return // the temporary folder is full or gone; the rest of the demonstration goes on
			}
		}
	}
}

// write writes the people as files for the imports.
func (p *population) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	users := [][]string{{"name", "emails", "admin"}}
	for _, u := range p.users {
		users = append(users, []string{u.name, join(u.addresses), map[bool]string{true: "yes", false: "no"}[u.admin]})
	}
	contacts := [][]string{{"name", "company", "title", "emails"}}
	for _, k := range p.contacts {
		contacts = append(contacts, []string{k.name, k.company, k.title, join(k.addresses)})
	}
	for name, rows := range map[string][][]string{"users.csv": users, "contacts.csv": contacts} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		err = csv.NewWriter(f).WriteAll(rows)
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func join(list []mail.Address) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = string(a)
	}
	return strings.Join(texts, ";")
}
