package acceptance

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/ews"
	"postern/gate"
	"postern/mail"
	"postern/sim"
	"postern/store"
)

// another is a program of the customer's own that uses the same mailboxes.
func (w *world) another(agent string) *ews.Client {
	w.Helper()
	w.exchange.AddAccount(sim.Account{Login: "svc-other", Password: "other"})
	c, err := ews.New(ews.Config{URL: w.url, Login: "svc-other", Password: func() string { return "other" },
		UserAgent: func() string { return agent }, Dial: new(net.Dialer).DialContext})
	w.must(err)
	w.Cleanup(c.Close)
	return c
}

// snapshot is the version and read mark of each item of a mailbox' inbox, as another
// program sees them.
func snapshot(ctx context.Context, s *ews.Session) (map[string]string, error) {
	page, err := s.SyncFolderItems(ctx, &ews.SyncFolderItems{
		Shape: ews.ItemShape{Base: ews.IDOnly, Additional: []ews.Path{ews.Field("message:IsRead")}}, Folder: &ews.FolderID{Distinguished: "inbox"}, Max: 500})
	if err != nil {
		return nil, err
	}
	items := map[string]string{}
	for _, c := range page.Changes {
		read := c.Item.IsRead != nil && *c.Item.IsRead
		items[c.Item.ID.ID] = fmt.Sprintf("%s read %v", c.Item.ID.ChangeKey, read)
	}
	return items, nil
}

// crowd counts how many requests of one program are open at once for a mailbox.
type crowd struct {
	next  http.Handler
	agent string

	mu         sync.Mutex
	open, most map[string]int
}

func (c *crowd) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if who := r.Header.Get("X-AnchorMailbox"); who != "" && r.UserAgent() == c.agent {
		c.mu.Lock()
		c.open[who]++
		c.most[who] = max(c.most[who], c.open[who])
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			c.open[who]--
			c.mu.Unlock()
		}()
	}
	c.next.ServeHTTP(rw, r)
}

// TestScenario01Coexistence: another program reads and changes the same mailbox meanwhile.
func TestScenario01Coexistence(t *testing.T) {
	w := newWorld(t, sim.Options{})
	counted := &crowd{next: w.exchange, agent: crm.DefaultUserAgent, open: map[string]int{}, most: map[string]int{}}
	server := httptest.NewServer(counted)
	defer server.Close()
	w.url = server.URL + sim.Path
	w.connect("acme.example")
	other := w.another("Their-Archive/3.1").As(ann)
	w.many(60)
	before, err := snapshot(t.Context(), other)
	w.must(err)

	var touched sync.Map // what the other one changes itself
	ctx, stop := context.WithCancel(t.Context())
	var troubled error
	var rounds atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		var ids []string
		for id := range before {
			ids = append(ids, id)
		}
		for n := 0; ctx.Err() == nil && troubled == nil; n++ {
			id := ids[n%20] // of the sixty it changes twenty
			touched.Store(id, true)
			read := ews.FieldUpdate{Element: ews.SetField, Path: ews.Field("message:IsRead"), Item: ews.Item{Element: ews.MessageItem, IsRead: new(n%2 == 0)}}
			_, troubled = other.UpdateItem(t.Context(), &ews.UpdateItem{Conflict: "AlwaysOverwrite", Disposition: "SaveOnly",
				Changes: []ews.ItemChange{{ID: ews.ItemID{ID: id}, Updates: []ews.FieldUpdate{read}}}})
			if troubled == nil {
				_, troubled = snapshot(t.Context(), other)
			}
			rounds.Add(1)
		}
	})
	for range 10 {
		w.send(letter{from: cyn, to: ann, subject: "meanwhile", text: "Text."})
		w.pass(time.Hour)
		w.collect()
	}
	for rounds.Load() < 20 && ctx.Err() == nil {
		w.collect()
	}
	stop()
	wg.Wait()
	if troubled != nil {
		t.Errorf("the other program met trouble: %v", troubled)
	}
	after, err := snapshot(t.Context(), other)
	w.must(err)
	same := 0
	for id, was := range before {
		if _, theirs := touched.Load(id); theirs {
			continue
		}
		if same++; after[id] != was {
			t.Errorf("an item that nobody else touched was %s and is %s", was, after[id])
		}
	}
	if same == 0 {
		t.Error("no item was left to compare")
	}
	if most := counted.most[ann]; most == 0 || most > 2 {
		t.Errorf("%d requests were open at once for one mailbox, at most 2 are allowed", most)
	}
}

// TestScenario03PhysicalIsolation: an installation for one organization takes no second.
func TestScenario03PhysicalIsolation(t *testing.T) {
	w, beside := connected(t), connected(t)
	if _, err := w.store.AddOrg(t.Context(), "second"); err == nil || crm.AsFault(err).Code != "organization-refused" {
		t.Errorf("a second organization: %v, want organization-refused", err)
	}
	orgs, err := w.store.Orgs(t.Context())
	w.must(err)
	if len(orgs) != 1 {
		t.Errorf("%d organizations, want 1", len(orgs))
	}
	// Beside it, another installation has a key and data of its own.
	w.send(letter{from: cyn, to: ann, subject: "ours", text: "Text."})
	w.collect()
	w.same("here", w.filed(store.MailQuery{}), "ours")
	beside.same("beside", beside.filed(store.MailQuery{}))
	ours, err := os.ReadFile(filepath.Join(w.dir, "key"))
	w.must(err)
	theirs, err := os.ReadFile(filepath.Join(beside.dir, "key"))
	w.must(err)
	if len(ours) == 0 || bytes.Equal(ours, theirs) {
		t.Error("two installations have the same key")
	}
}

// leaveFrom sets the organization's source addresses.
func (w *world) leaveFrom(addresses ...string) {
	w.Helper()
	w.must(w.org.SaveEgress(w.Context(), egressOf(addresses...)))
}

func egressOf(addresses ...string) crm.Egress {
	var e crm.Egress
	for _, a := range addresses {
		e.Addresses = append(e.Addresses, crm.EgressAddress{Local: netip.MustParseAddr(a)})
	}
	return e
}

// sources are the addresses that the Exchange saw requests of a program come from.
func sources(x *sim.Exchange, agent string) map[string]int {
	seen := map[string]int{}
	for _, r := range x.Requests() {
		if r.UserAgent == agent {
			seen[r.Source]++
		}
	}
	return seen
}

// TestScenario05FixedAddresses: every request leaves from a listed address, tests and
// retries included; without one that can be used none leaves.
func TestScenario05FixedAddresses(t *testing.T) {
	w := connected(t)
	w.leaveFrom("127.0.0.2", "127.0.0.3")
	w.exchange.MakeTrouble(sim.Trouble{Kind: sim.BusyFault, Times: 2})
	w.many(30)
	for range 4 {
		w.collect()
		w.pass(time.Hour)
	}
	w.must(w.engine.Test(t.Context(), w.settings("acme.example"), func(crm.Finding) {}))
	w.until(30)
	seen := sources(w.exchange, crm.DefaultUserAgent)
	for source, n := range seen {
		if source != "127.0.0.2" && source != "127.0.0.3" {
			t.Errorf("%d requests came from %s", n, source)
		}
	}
	if len(seen) == 0 {
		t.Fatal("no request was made")
	}
	w.leaveFrom("192.0.2.9") // an address that this machine does not have
	w.exchange.ForgetRequests()
	w.send(letter{from: cyn, to: ann, subject: "later", text: "Text."})
	w.pass(time.Hour)
	w.collect()
	if n := len(w.exchange.Requests()); n > 0 {
		t.Errorf("%d requests left by another address", n)
	}
	if f := w.box(ann).Trouble; f == nil || f.Code != "source-address-missing" || !strings.Contains(f.Message, "192.0.2.9") || f.Advice == "" {
		t.Errorf("the mailbox is in trouble %+v; want source-address-missing, which names the address and says what to do", f)
	}
	w.leaveFrom("127.0.0.2")
	w.pass(time.Hour)
	w.collect()
	w.until(31)
}

// TestTwoOrganizationsAtOnce: each with addresses and a name of its own.
func TestTwoOrganizationsAtOnce(t *testing.T) {
	w := newWorld(t, sim.Options{})
	w.must(w.store.SaveDeployment(t.Context(), crm.Deployment{Mode: crm.MultiTenant, Ranges: loopback.Ranges}))
	added, err := w.store.AddOrg(t.Context(), "beta")
	w.must(err)
	type tenant struct {
		org             *store.Org
		engine          *engine.Engine
		box             mail.Address
		domain          string
		address, agent  string
		account, secret string
	}
	tenants := []*tenant{
		{org: w.org, box: ann, domain: "acme.example", address: "127.0.0.2", agent: "Acme-CRM/1.0", account: "svc-acme", secret: "one"},
		{org: w.store.Org(added.ID), box: zed, domain: "other.example", address: "127.0.0.3", agent: "Other-CRM/9.9", account: "svc-other", secret: "two"},
	}
	for _, n := range tenants {
		w.exchange.AddAccount(sim.Account{Login: n.account, Password: n.secret})
		_, err := n.org.SaveUsers(t.Context(), []crm.User{{Name: "User", Addresses: []mail.Address{n.box}, Active: true}})
		w.must(err)
		_, err = n.org.SaveContacts(t.Context(), []crm.Contact{{Name: "Cyn", Addresses: []mail.Address{cyn}}})
		w.must(err)
		s := w.settings(n.domain)
		s.Login, s.Password, s.UserAgent = n.account, crm.NewSecret(n.secret), n.agent
		w.must(n.org.SaveSettings(t.Context(), s))
		w.must(n.org.SaveEgress(t.Context(), egressOf(n.address)))
		n.engine = engine.New(engine.Config{Org: n.org, Connector: ews.Connector(), Now: w.clock})
	}
	for range 20 {
		w.send(letter{from: cyn, to: ann + ", " + zed, subject: "both", text: "Text."})
	}
	var wg sync.WaitGroup
	for _, n := range tenants {
		wg.Go(func() {
			for range 5 {
				if err := n.engine.CatchUp(t.Context()); err != nil {
					t.Error(err)
				}
				w.pass(time.Hour)
			}
		})
	}
	wg.Wait()
	count := map[string]int{}
	for _, r := range w.exchange.Requests() {
		for _, n := range tenants {
			if r.Impersonated.Domain() == n.domain || r.UserAgent == n.agent || r.Source == n.address {
				count[n.domain]++
				if r.UserAgent != n.agent || r.Source != n.address || r.Account != "" && r.Account != n.account || r.Impersonated != "" && r.Impersonated.Domain() != n.domain {
					t.Errorf("%s: a request for %q as %q by %q from %s", n.domain, r.Impersonated, r.Account, r.UserAgent, r.Source)
				}
			}
		}
	}
	if count["acme.example"]+count["other.example"] != len(w.exchange.Requests()) || count["acme.example"] == 0 || count["other.example"] == 0 {
		t.Errorf("of %d requests %v belong to somebody", len(w.exchange.Requests()), count)
	}
	for _, n := range tenants {
		if counts, err := n.org.Counts(t.Context()); err != nil || counts.Filed != 20 {
			t.Errorf("%s: %d filed, %v; want 20", n.domain, counts.Filed, err)
		}
	}
	// The address of the one goes: the other is not held up, and nothing leaves by it.
	w.must(tenants[0].org.SaveEgress(t.Context(), egressOf("192.0.2.9")))
	w.exchange.ForgetRequests()
	w.send(letter{from: cyn, to: ann + ", " + zed, subject: "later", text: "Text."})
	w.pass(time.Hour)
	for _, n := range tenants {
		w.must(n.engine.CatchUp(t.Context()))
	}
	for _, r := range w.exchange.Requests() {
		if r.UserAgent != tenants[1].agent || r.Source != tenants[1].address {
			t.Errorf("a request by %q from %s", r.UserAgent, r.Source)
		}
	}
	if f := w.box(ann).Trouble; f == nil || f.Code != "source-address-missing" {
		t.Errorf("the organization without an address: %+v, want source-address-missing", f)
	}
	if counts, err := tenants[1].org.Counts(t.Context()); err != nil || counts.Filed != 21 {
		t.Errorf("the other organization: %d filed, %v; want 21", counts.Filed, err)
	}
}

// TestScenario07UserAgentOnEveryCall: from the test of the connection to notifications.
func TestScenario07UserAgentOnEveryCall(t *testing.T) {
	const agent = "Acme-CRM-Sync/1.0"
	w := newWorld(t, sim.Options{})
	settings := w.settings("acme.example")
	settings.UserAgent = agent
	w.save(settings)
	w.discover(settings)
	w.must(w.engine.Test(t.Context(), settings, func(crm.Finding) {}))
	w.exchange.MakeTrouble(sim.Trouble{Kind: sim.BusyFault, Times: 1})
	w.send(letter{from: cyn, to: ann, subject: "with a file", extra: "Content-Type: multipart/mixed; boundary=b\r\nMIME-Version: 1.0\r\n",
		body: "--b\r\nContent-Type: text/plain\r\n\r\nText.\r\n--b\r\nContent-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nFile.\r\n--b--"})
	for range 3 { // the busy server is left alone for a while
		w.collect()
		w.pass(time.Hour)
	}
	w.live(ann, 1)
	operations := map[string]int{}
	for _, r := range w.exchange.Requests() {
		if operations[r.Operation]++; r.UserAgent != agent {
			t.Errorf("%s %s was asked by %q", r.Operation, r.Path, r.UserAgent)
		}
	}
	for _, op := range []string{"GetFolder", "SyncFolderItems", "GetItem", "GetAttachment", "Subscribe", "GetStreamingEvents"} {
		if operations[op] == 0 {
			t.Errorf("%s was not asked for: %v", op, operations)
		}
	}
	autodiscover := 0
	for op, n := range operations {
		if strings.HasPrefix(op, "Autodiscover") {
			autodiscover += n
		}
	}
	if autodiscover == 0 {
		t.Errorf("autodiscover was not asked for: %v", operations)
	}
}

// TestScenario08ExchangeSideFilter: Exchange enforces an allow list of programs.
func TestScenario08ExchangeSideFilter(t *testing.T) {
	w := newWorld(t, sim.Options{})
	w.must(w.exchange.Govern(sim.Governance{Policy: sim.EnforceAllowList, Programs: []string{"Acme-CRM-Sync/*"}}))
	settings := w.settings("acme.example")
	settings.UserAgent = "Acme-CRM-Sync/1.0"
	w.save(settings)
	w.many(5)
	w.collect()
	w.until(5)

	settings.UserAgent = "Something-Else/1.0"
	w.save(settings)
	w.exchange.ForgetRequests()
	for range 12 { // an hour
		w.pass(5 * time.Minute)
		w.collect()
	}
	f := w.box(ann).Trouble
	if f == nil || w.box(ann).State != crm.Attention || f.Cause != crm.BlockedByPolicy || !strings.Contains(f.Advice, "Set-OrganizationConfig") || !strings.Contains(f.Advice, "Something-Else/") {
		t.Fatalf("the mailbox is %s, in trouble %+v; want it blocked by Exchange's policy, with the command that lets us in", w.box(ann).State, f)
	}
	if n := len(w.exchange.Requests()); n == 0 || n > 20 {
		t.Errorf("%d requests were made in an hour of refusals, at most 20 are allowed", n)
	}
	settings.UserAgent = "Acme-CRM-Sync/2.0"
	w.save(settings)
	w.send(letter{from: cyn, to: ann, subject: "let in again", text: "Text."})
	w.collect()
	w.until(6)
}

// inspector is a firewall that ends TLS with an authority of the company's own and lets
// through whoever bears the right name.
type inspector struct {
	next    http.Handler
	agent   string
	dropped atomic.Int64
}

func (i *inspector) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.UserAgent(), i.agent) {
		i.dropped.Add(1)
		panic(http.ErrAbortHandler)
	}
	i.next.ServeHTTP(rw, r)
}

// TestScenario09FirewallFilter: a firewall that reads along drops what does not bear our
// name. Its certificate is checked by the company's own authority, never waved through.
func TestScenario09FirewallFilter(t *testing.T) {
	w := newWorld(t, sim.Options{})
	firewall := &inspector{next: w.exchange, agent: "Acme-CRM-Sync/"}
	server := httptest.NewTLSServer(firewall)
	defer server.Close()
	server.Config.ErrorLog = nil
	settings := w.settings("acme.example")
	settings.Server, settings.UserAgent = server.URL+sim.Path, "Acme-CRM-Sync/1.0"
	w.save(settings)
	w.many(10)
	w.collect()
	w.trouble(ann, "tls-unknown-authority")
	if n := len(w.exchange.Requests()); n > 0 {
		t.Errorf("%d requests went to a server whose certificate nobody vouches for", n)
	}
	settings.RootCAs = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	w.save(settings)
	w.collect()
	w.until(10)
	w.must(w.engine.Test(t.Context(), settings, func(f crm.Finding) {
		if f.Fault != nil && !f.OK {
			t.Errorf("the test of the connection: %s: %v", f.Step, f.Fault)
		}
	}))
	if n := firewall.dropped.Load(); n > 0 {
		t.Errorf("%d requests did not bear our name", n)
	}
}

// TestScenario10ValueChosenByTheCustomer: another name is used at once, by that
// organization alone; what could smuggle a header in is refused.
func TestScenario10ValueChosenByTheCustomer(t *testing.T) {
	w := connected(t)
	w.many(3)
	ctx, stop := context.WithCancel(crm.WithActor(t.Context(), "Ann Admin"))
	defer stop()
	w.collect()
	settings := w.settings("acme.example")
	settings.UserAgent = "Acme-New-Name/2"
	checked, wrong := settings.Check(ews.Connector(), settings)
	if len(wrong) > 0 {
		t.Fatalf("refused: %v", wrong)
	}
	w.must(w.org.SaveSettings(ctx, checked))
	w.exchange.ForgetRequests()
	w.send(letter{from: cyn, to: ann, subject: "after", text: "Text."})
	w.pass(time.Hour)
	w.collect()
	for _, r := range w.exchange.Requests() {
		if r.UserAgent != "Acme-New-Name/2" {
			t.Errorf("%s was asked by %q after the change", r.Operation, r.UserAgent)
		}
	}
	if len(w.exchange.Requests()) == 0 {
		t.Error("nothing was asked after the change")
	}
	for _, bad := range []string{"a\r\nX-Evil: 1", "a\nb", "a\rb", "tab\there", "nul\x00", "del\x7f", "umlaut ü", strings.Repeat("x", 257)} {
		settings.UserAgent = bad
		if _, wrong := settings.Check(ews.Connector(), settings); !slices.ContainsFunc(wrong, func(e crm.FieldError) bool { return e.Field == "user_agent" }) {
			t.Errorf("%q was not refused", bad)
		}
	}
	entries, _, err := w.org.AuditLog(t.Context(), store.AuditQuery{})
	w.must(err)
	if !slices.ContainsFunc(entries, func(e crm.AuditEntry) bool {
		return e.Actor == "Ann Admin" && strings.Contains(e.Detail, "Acme-New-Name/2")
	}) {
		t.Errorf("the change is not in the audit log: %+v", entries)
	}
}

// TestScenario11OnlyListedMailboxes: the service account may open Ann's and Bob's mailboxes,
// and the domain has a third.
func TestScenario11OnlyListedMailboxes(t *testing.T) {
	const third = "tom@acme.example"
	w := newWorld(t, sim.Options{})
	w.exchange.AddMailbox(sim.Person{Name: "Tom", Address: third})
	w.users(crm.User{Name: "Tom", Addresses: []mail.Address{third}, Active: true})
	w.exchange.AddAccount(sim.Account{Login: login, Password: password, Scope: []mail.Address{ann, bob}})
	w.connect("acme.example")
	for range 3 {
		w.send(letter{from: cyn, to: ann + ", " + bob + ", " + third, subject: "to all three", text: "Text."})
		w.pass(time.Hour)
		w.collect()
	}
	if f := w.box(third).Trouble; f == nil || f.Code != "ErrorImpersonateUserDenied" || f.Cause != crm.NotPermitted || f.Advice == "" {
		t.Errorf("Tom's mailbox: %+v; want the server's code and what to do", f)
	}
	for _, box := range []mail.Address{ann, bob} {
		if b := w.box(box); b.State != crm.Live || b.Counts.Filed != 3 {
			t.Errorf("%s is %s with %d filed, want live with 3", box, b.State, b.Counts.Filed)
		}
	}
	for _, r := range w.exchange.Requests() {
		if r.Impersonated == third && (len(r.Touched) > 0 || len(r.Content) > 0) {
			t.Errorf("%s saw %v of Tom's mailbox", r.Operation, r.Touched)
		}
	}
}

// TestScenario12EWSOnlyForTheImpersonatingAccount: EWS is switched off for everybody, and on
// for the service account alone.
func TestScenario12EWSOnlyForTheImpersonatingAccount(t *testing.T) {
	w := connected(t)
	w.exchange.AddMailbox(sim.Person{Name: "Service", Address: "svc-crm@acme.example"})
	w.exchange.AddAccount(sim.Account{Login: "svc-crm@acme.example", Password: password})
	w.must(w.exchange.Govern(sim.Governance{EWS: new(false)}))
	w.must(w.exchange.Mailbox("svc-crm@acme.example").Govern(sim.Governance{EWS: new(true)}))
	settings := w.settings("acme.example")
	settings.Login = "svc-crm@acme.example"
	w.save(settings)
	w.many(4)
	w.collect()
	w.until(4)
	var findings []crm.Finding
	w.must(w.engine.Test(t.Context(), settings, func(f crm.Finding) { findings = append(findings, f) }))
	for _, f := range findings {
		if !f.OK && !f.Skip {
			t.Errorf("the test calls an error what was meant so: %s: %v", f.Step, f.Fault)
		}
	}
	// A user who signs in for the own mailbox is refused there, and told why.
	w.exchange.AddUser(sim.Person{Name: "Ann", Address: ann}, "ann's own")
	own := settings
	own.Model, own.Login, own.Password = crm.ByOwnSignIn, "", crm.Secret{}
	w.save(own)
	w.must(w.org.SaveSignIn(t.Context(), w.userID(ann), crm.Account{Login: ann, Password: crm.NewSecret("ann's own")}))
	w.pass(time.Hour)
	w.collect()
	if f := w.box(ann).Trouble; f == nil || f.Cause != crm.BlockedByPolicy || f.Advice == "" {
		t.Errorf("Ann's own sign-in: %+v; want that Exchange's policy blocks it, and what to do", f)
	}
}

// TestScenario13ChoiceOfAuthenticationModel: under the one model no user signs in, under
// the other each does, and only those who did are read.
func TestScenario13ChoiceOfAuthenticationModel(t *testing.T) {
	w := connected(t)
	w.send(letter{from: cyn, to: ann + ", " + bob, subject: "first", text: "Text."})
	w.collect()
	own := crm.Account{Login: ann, Password: crm.NewSecret("ann's own")}
	if err := w.org.SaveSignIn(t.Context(), w.userID(ann), own); err == nil || crm.AsFault(err).Code != "sign-in-not-asked" {
		t.Errorf("a personal login under the service account: %v, want sign-in-not-asked", err)
	}
	w.exchange.AddUser(sim.Person{Name: "Ann", Address: ann}, "ann's own")
	w.exchange.AddUser(sim.Person{Name: "Bob", Address: bob}, "bob's own")
	settings := w.settings("acme.example")
	settings.Model, settings.Login, settings.Password = crm.ByOwnSignIn, "", crm.Secret{}
	w.save(settings)
	w.must(w.org.SaveSignIn(t.Context(), w.userID(ann), own))
	w.exchange.ForgetRequests()
	w.send(letter{from: cyn, to: ann + ", " + bob, subject: "second", text: "Text."})
	w.pass(time.Hour)
	w.collect()
	for _, r := range w.exchange.Requests() {
		if r.Impersonated != "" || r.Account != "" && !strings.EqualFold(r.Account, ann) {
			t.Errorf("%s as %q for %q: want Ann for herself alone", r.Operation, r.Account, r.Impersonated)
		}
	}
	if b := w.box(ann); b.State != crm.Live || b.Counts.Filed != 2 {
		t.Errorf("Ann's mailbox is %s with %d filed: %+v", b.State, b.Counts.Filed, b.Trouble)
	}
	if f := w.box(bob).Trouble; f == nil || f.Code != "not-signed-in" {
		t.Errorf("Bob's mailbox: %+v; want not-signed-in", f)
	}
}

// TestMailOnlyLeavesCalendarsAlone: no request names a folder of appointments, contacts or
// tasks.
func TestMailOnlyLeavesCalendarsAlone(t *testing.T) {
	w := connected(t)
	w.many(10)
	w.live(ann, 10)
	w.prove()
	looked := 0
	for _, r := range w.exchange.Requests() {
		for _, f := range r.Touched {
			looked++
			for _, class := range []string{"IPF.Appointment", "IPF.Contact", "IPF.Task", "IPF.StickyNote"} {
				if strings.HasPrefix(f.Class, class) {
					t.Errorf("%s touched a folder of class %s", r.Operation, f.Class)
				}
			}
		}
	}
	if looked == 0 {
		t.Error("no request touched any folder")
	}
}

// TestRevokingEndsWhatIsUnderWay: a request that hangs in the server ends when its mailbox,
// or the connection as a whole, is taken away.
func TestRevokingEndsWhatIsUnderWay(t *testing.T) {
	for name, revoke := range map[string]func(w *world){
		"the mailbox":    func(w *world) { w.policy(func(p *crm.Policy) { p.Deny = []crm.Selector{ann} }) },
		"the domain":     func(w *world) { s := w.settings("other.example"); w.save(s) },
		"the kind":       func(w *world) { w.policy(func(p *crm.Policy) { p.Kinds = []crm.Kind{crm.Task} }) },
		"the connection": func(w *world) { s := w.settings("acme.example"); s.Enabled = false; w.save(s) },
		"the account": func(w *world) {
			s := w.settings("acme.example")
			s.Login, s.Password = "svc-new", crm.NewSecret("x")
			w.save(s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sim.Options{})
			hung, released := make(chan string, 100), make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				if r.Header.Get("Authorization") != "" && bytes.Contains(body, []byte("SyncFolderItems")) {
					hung <- r.Header.Get("X-AnchorMailbox")
					select {
					case <-r.Context().Done(): // the client hung up
						released <- struct{}{}
					case <-t.Context().Done():
					}
					panic(http.ErrAbortHandler)
				}
				w.exchange.ServeHTTP(rw, r)
			}))
			defer server.Close()
			w.url = server.URL + sim.Path
			w.connect("acme.example")
			w.users(crm.User{Name: "Bob", Addresses: []mail.Address{bob}, Active: false})
			w.engine = engine.New(engine.Config{Org: w.org, Connector: ews.Connector(), Now: w.clock, Workers: 1, Looks: 1})
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- w.engine.Run(ctx) }()
			within(t, "a request for Ann's mailbox", hung)
			revoke(w)
			within(t, "the end of the request under way", released)
			stop()
			within(t, "the end of the engine", ended)
		})
	}
}

// TestKeysThatAreDestroyedShutTheGate: what is granted cannot be read any more, so nothing is.
func TestKeysThatAreDestroyedShutTheGate(t *testing.T) {
	w := connected(t)
	w.many(3)
	w.collect()
	w.must(w.org.ShredKeys(t.Context()))
	w.exchange.ForgetRequests()
	w.send(letter{from: cyn, to: ann, subject: "afterwards", text: "Text."})
	w.pass(time.Hour)
	if err := w.engine.CatchUp(t.Context()); err == nil || crm.AsFault(err).Code != "key-shredded" {
		t.Errorf("collecting goes on: %v, want key-shredded", err)
	}
	if n := len(w.exchange.Requests()); n > 0 {
		t.Errorf("%d requests were sent with credentials from memory", n)
	}
}

// TestAddressThatIsTakenAwayStopsTheConnection: also a request that hangs on it, and the
// mailbox says so.
func TestAddressThatIsTakenAwayStopsTheConnection(t *testing.T) {
	w := newWorld(t, sim.Options{})
	hung := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.Header.Get("Authorization") != "" && bytes.Contains(body, []byte("SyncFolderItems")) {
			hung <- r.Header.Get("X-AnchorMailbox")
			select {
			case <-r.Context().Done():
			case <-t.Context().Done():
			}
			panic(http.ErrAbortHandler)
		}
		w.exchange.ServeHTTP(rw, r)
	}))
	defer server.Close()
	w.url = server.URL + sim.Path
	w.connect("acme.example")
	w.leaveFrom("127.0.0.2")
	var gone atomic.Bool
	w.engine = engine.New(engine.Config{Org: w.org, Connector: ews.Connector(), Now: w.clock, Machine: gate.Machine{Addresses: func() ([]netip.Addr, error) {
		if gone.Load() {
			return nil, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.2")}, nil
	}}})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.engine.Run(ctx) }()
	within(t, "a request", hung)
	gone.Store(true)
	for i := 0; ; i++ {
		if b, err := w.org.MailboxByAddress(t.Context(), ann); err == nil && b.Trouble != nil && b.Trouble.Code == "source-address-missing" {
			break
		}
		if i == 3000 {
			t.Fatal("the mailbox does not say that the address is missing")
		}
		w.pass(time.Second)
		runtime.Gosched()
	}
	stop()
	within(t, "the end of the engine", ended)
}

// within waits for what must happen soon, and fails where it plainly does not.
func within[T any](t *testing.T, what string, c <-chan T) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s did not come", what)
	}
}

// discover finds the server of Ann's mailbox by the settings' name, credentials and gate.
func (w *world) discover(s crm.Settings) {
	w.Helper()
	authority, err := sim.NewAuthority("Acme")
	w.must(err)
	certificate, err := authority.Certificate(sim.Wish{Names: []string{"acme.example", "autodiscover.acme.example"}})
	w.must(err)
	front, err := w.exchange.Listen("127.0.0.1:0", sim.Front{Certificate: &certificate})
	w.must(err)
	defer front.Close()
	s.RootCAs = string(authority.PEM())
	g := gate.New(gate.Config{Machine: gate.Machine{
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
		Dial: func(ctx context.Context, _ netip.Addr, _ netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(front.URL, "https://"))
		},
	}})
	g.Set(gate.Terms{Settings: s, Deployment: loopback})
	if _, err := ews.Connector().Discover(w.Context(), ann, s, g.Discovery(s, ann), func(f crm.Finding) { w.Logf("%+v", f) }); err != nil {
		w.Errorf("autodiscover: %v", err)
	}
}
