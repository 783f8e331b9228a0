package gate_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/ews"
	"postern/gate"
	"postern/mail"
	"postern/sim"
)

// policies is how many random policies TestSimulatorSeesWhatThePolicyGrants tries.
func policies() int {
	if testing.Short() {
		return 400
	}
	return 10_000
}

// TestSimulatorSeesWhatThePolicyGrants: a reader who asks for everything gets, by the
// server's own record, nothing but what a judge of this test's own finds granted. Now and
// then the policy is another, and the reader comes back with all that it knows of before.
func TestSimulatorSeesWhatThePolicyGrants(t *testing.T) {
	const shards = 4
	for shard := range shards {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			w := newEstate(t)
			for n := shard; n < policies(); n += shards {
				w.try(rand.New(rand.NewPCG(uint64(n), 4)), fenced)
				if t.Failed() {
					t.Fatalf("policy %d: %+v\ngroups %v", n, w.policy, w.groups)
				}
			}
			for what, n := range map[string]int{"mailboxes read": w.seen, "mailboxes refused": w.refused, "folders listed": w.folders, "texts fetched": w.texts, "attachments fetched": w.files} {
				if n < policies()/shards/20 {
					t.Errorf("%s: %d, too few to prove anything", what, n)
				}
			}
		})
	}
}

// TestWithoutTheGateMoreIsRead: the judge notices when the guard, or the transport's
// question as well, is taken out.
func TestWithoutTheGateMoreIsRead(t *testing.T) {
	for name, fence := range map[string]fence{"no guard": unguarded, "no gate at all": unfenced} {
		t.Run(name, func(t *testing.T) {
			w := newEstate(t)
			var complaints []string
			w.complain = func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }
			for n := range 300 {
				w.try(rand.New(rand.NewPCG(uint64(n), 4)), fence)
			}
			kinds := map[string]bool{}
			for _, c := range complaints {
				kind, _, _ := strings.Cut(c, ":")
				kinds[kind] = true
			}
			want := []string{"folder", "text", "attachment"}
			if name == "no gate at all" {
				want = append(want, "mailbox")
			}
			for _, kind := range want {
				if !kinds[kind] {
					t.Errorf("300 policies without complaint about a %s", kind)
				}
			}
		})
	}
}

// A fence is what stands between the reader and the server.
type fence func(g *gate.Gate, terms gate.Terms) (crm.Notifier, error)

func fenced(g *gate.Gate, terms gate.Terms) (crm.Notifier, error) {
	g.Set(terms)
	src, _, err := g.Open(ews.Connector())
	if err != nil {
		return nil, err
	}
	return src.(crm.Notifier), nil
}

// unguarded hands out the source that should stand behind the guard.
func unguarded(g *gate.Gate, terms gate.Terms) (src crm.Notifier, err error) {
	return leak(g, terms, func(t crm.Transport) crm.Transport { return t })
}

// unfenced hands out one whose requests ask nobody, too.
func unfenced(g *gate.Gate, terms gate.Terms) (crm.Notifier, error) {
	return leak(g, terms, func(t crm.Transport) crm.Transport { return obliging{t, terms.Settings} })
}

func leak(g *gate.Gate, terms gate.Terms, around func(crm.Transport) crm.Transport) (leaked crm.Notifier, err error) {
	g.Set(terms)
	c := ews.Connector()
	open := c.Source
	c.Source = func(s crm.Settings, t crm.Transport) (crm.Source, error) {
		src, err := open(s, around(t))
		if err == nil {
			leaked = src.(crm.Notifier)
		}
		return src, err
	}
	_, _, err = g.Open(c)
	return leaked, err
}

// obliging is a transport that lets everything out.
type obliging struct {
	crm.Transport
	settings crm.Settings
}

func (obliging) Admit(context.Context, crm.Request) (func(*crm.Fault), error) {
	return func(*crm.Fault) {}, nil
}

func (o obliging) Account(mail.Address) (crm.Account, error) {
	return crm.Account{Login: o.settings.Login, Password: o.settings.Password}, nil
}

// An estate is an Exchange whose mailboxes are read under one random policy after the other.
type estate struct {
	*testing.T
	exchange *sim.Exchange
	url      string
	letters  map[string]letter // by item id
	paths    map[string]string // of folders, by id
	complain func(format string, args ...any)

	policy  crm.Policy
	groups  crm.Groups
	seen    int // mailboxes that were read
	refused int
	folders int
	texts   int
	files   int
}

// A letter is what the judge knows of an item.
type letter struct {
	path     string // of its folder
	sent     time.Time
	private  bool
	category string
	people   []string
	size     int
}

var (
	estateDomains = []string{"acme.example", "sales.acme.example", "other.example"}
	estateNames   = []string{"ann", "bob", "crm-cyn", "crm-dan", "hr-eve", "hr-fay"}
	estateFolders = []string{"Private", "Clients", "Clients/Secret", "Newsletter"}
	estateSenders = []string{"kim@client.example", "lee@bank.example", "mia@eu.bank.example", "union@acme.example"}
)

func newEstate(t *testing.T) *estate {
	x, err := sim.New(sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	server := httptest.NewServer(x)
	t.Cleanup(server.Close)
	x.AddAccount(sim.Account{Login: "svc", Password: "secret"})
	w := &estate{T: t, exchange: x, url: server.URL + sim.Path, letters: map[string]letter{}, paths: map[string]string{}}
	w.complain = t.Errorf
	r := rand.New(rand.NewPCG(1, 1))
	for _, domain := range estateDomains {
		for _, name := range estateNames {
			w.furnish(r, x.AddMailbox(sim.Person{Name: name, Address: mail.Address(name + "@" + domain)}))
		}
	}
	return w
}

// furnish gives a mailbox folders and letters.
func (w *estate) furnish(r *rand.Rand, box *sim.Mailbox) {
	root := box.Folder(sim.Root)
	byPath := map[string]*sim.Folder{"Inbox": box.Folder(sim.Inbox), "Sent Items": box.Folder(sim.SentItems)}
	for _, path := range estateFolders {
		parent, name := root, path
		if above, below, nested := strings.Cut(path, "/"); nested {
			parent, name = byPath[above], below
		}
		byPath[path] = box.CreateFolder(parent, name)
	}
	for path, f := range byPath {
		w.paths[f.ID()] = path
	}
	for _, path := range append([]string{"Inbox", "Sent Items"}, estateFolders...) {
		l := letter{
			path: path, sent: time.Date(2020+r.IntN(6), 3, 1, 12, 0, 0, 0, time.UTC), private: r.IntN(4) == 0,
			people: []string{estateSenders[r.IntN(len(estateSenders))], string(box.Address())},
		}
		if r.IntN(3) == 0 {
			l.category = []string{"Personal", "Board"}[r.IntN(2)]
		}
		raw := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nDate: %s\r\nMessage-ID: <%x@x>\r\nSubject: s\r\n", l.people[0], l.people[1], l.sent.Format(time.RFC1123Z), r.Uint64())
		if l.private {
			raw += "Sensitivity: Private\r\n"
		}
		raw += "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat("text ", 1+r.IntN(2000)) +
			"\r\n--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=table.csv\r\n\r\n1,2\r\n--b--\r\n"
		l.size = len(raw)
		item, err := byPath[path].Put([]byte(raw))
		if err != nil {
			w.Fatal(err)
		}
		w.letters[item.ID()] = l
		if l.category != "" {
			w.categorize(box, item, l.category)
		}
	}
}

// categorize gives an item a category, as its owner does in Outlook.
func (w *estate) categorize(box *sim.Mailbox, item *sim.Item, category string) {
	c, err := ews.New(ews.Config{URL: w.url, Login: "svc", Password: func() string { return "secret" }, Dial: new(net.Dialer).DialContext})
	if err != nil {
		w.Fatal(err)
	}
	defer c.Close()
	answers, err := c.As(string(box.Address())).UpdateItem(w.Context(), &ews.UpdateItem{Conflict: "AlwaysOverwrite", Disposition: "SaveOnly",
		Changes: []ews.ItemChange{{ID: ews.ItemID{ID: item.ID()}, Updates: []ews.FieldUpdate{
			{Element: ews.SetField, Path: ews.Field("item:Categories"), Item: ews.Item{Element: ews.MessageItem, Categories: []string{category}}}}}}})
	if err == nil {
		err = answers[0].Err()
	}
	if err != nil {
		w.Fatal(err)
	}
}

// some picks each of a list with a chance of one in n.
func some[T any](r *rand.Rand, n int, list ...T) (picked []T) {
	for _, v := range list {
		if r.IntN(n) == 0 {
			picked = append(picked, v)
		}
	}
	return picked
}

const (
	staff  = "staff@acme.example"
	nobody = "nobody@acme.example" // a group that was never expanded
)

func (w *estate) randomPolicy(r *rand.Rand) {
	w.groups = crm.Groups{staff: some(r, 3, w.addresses()...)}
	w.policy = crm.Policy{
		Domains: some(r, 2, estateDomains...),
		Allow:   some[crm.Selector](r, 8, "ann@acme.example", "*@sales.acme.example", "crm-*@acme.example", "*", "group:"+staff, "group:"+nobody),
		Deny:    some[crm.Selector](r, 8, "bob@acme.example", "hr-*@acme.example", "*@other.example", "group:"+staff, "group:"+nobody),
		Kinds:   some(r, 2, crm.Event, crm.ContactKind, crm.Task),
		Limits: crm.Limits{
			ExcludedFolders: some(r, 4, "Private", "clients", "*/Secret", "News*", "sentitems"),
			Excluded:        some[crm.Pattern](r, 6, "kim@client.example", "bank.example", "*.bank.example", "*@acme.example"),
			Sensitivities:   some(r, 2, crm.Private),
			Categories:      some(r, 3, "personal", "Board"),
			HeadersOnly:     r.IntN(10) == 0,
			Attachments:     []crm.AttachmentMode{crm.StoreAttachments, crm.NameAttachments, crm.FetchOnDemand}[r.IntN(3)],
		},
	}
	if r.IntN(5) > 0 {
		w.policy.Kinds = append(w.policy.Kinds, crm.Email)
	}
	if r.IntN(3) == 0 {
		w.policy.Since = time.Date(2020+r.IntN(7), 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if r.IntN(4) == 0 {
		w.policy.MaxSize = int64(200 + r.IntN(8000))
	}
}

func (w *estate) addresses() (list []mail.Address) {
	for _, box := range w.exchange.Mailboxes() {
		list = append(list, box.Address())
	}
	return list
}

// try reads all that it can of two mailboxes under a random policy, and has the server's
// record judged; now and then also what is read of them under another one afterwards.
func (w *estate) try(r *rand.Rand, through fence) {
	w.Helper()
	w.randomPolicy(r)
	w.exchange.ForgetRequests()
	g := gate.New(gate.Config{})
	src, err := through(g, w.terms())
	if err != nil {
		w.Fatal(err)
	}
	boxes := w.exchange.Mailboxes()
	var hauls [2]haul
	for i := range hauls {
		hauls[i].box = &crm.Mailbox{Address: boxes[r.IntN(len(boxes))].Address()}
		hauls[i].greedy(w.Context(), r, src)
	}
	if r.IntN(4) == 0 {
		w.judge()
		w.randomPolicy(r)
		g.Set(w.terms())
		w.exchange.ForgetRequests()
		for i := range hauls {
			hauls[i].again(w.Context(), r, src)
		}
	}
	g.Set(gate.Terms{}) // ends what is open
	w.judge()
}

// terms are those of the policy at hand.
func (w *estate) terms() gate.Terms {
	return gate.Terms{
		Settings: crm.Settings{Enabled: true, Server: w.url, Version: "ExchangeSE", Login: "svc", Password: crm.NewSecret("secret"), UserAgent: "Property/1"},
		Policy:   w.policy, Groups: w.groups, Deployment: crm.Deployment{Ranges: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}
}

// A haul is what a reader knows of a mailbox.
type haul struct {
	box     *crm.Mailbox
	headers []crm.Header
	files   []crm.Enclosure
}

// again asks for what is known, as one does who has filed it under another policy.
func (h *haul) again(ctx context.Context, r *rand.Rand, src crm.Notifier) {
	for i := range h.files {
		_ = src.Attachments(ctx, h.box, h.files[i:i+1], discard)
	}
	for i := range h.headers {
		_ = src.Load(ctx, h.box, h.headers[i:i+1], func(*crm.Item) error { return nil })
	}
	h.originals(ctx, r, src, h.headers)
}

func discard(_ int, content io.Reader, fault *crm.Fault) error {
	if fault != nil {
		return nil
	}
	_, err := io.Copy(io.Discard, content)
	return err
}

func (h *haul) originals(ctx context.Context, r *rand.Rand, src crm.Notifier, headers []crm.Header) {
	for _, header := range some(r, 4, headers...) {
		if original, err := src.Original(ctx, h.box, header.ID); err == nil {
			_, _ = io.Copy(io.Discard, original)
			original.Close()
		}
	}
}

// greedy asks for everything, whatever it is told.
func (h *haul) greedy(ctx context.Context, r *rand.Rand, src crm.Notifier) {
	box := h.box
	if r.IntN(2) == 0 { // else the folders are known from elsewhere: the guard has to ask
		_, _ = src.Folders(ctx, box)
	}
	_, _ = src.Subscribe(ctx, box, box)
	folders, _ := src.Folders(ctx, box)
	for _, f := range folders {
		if f.Total == 0 && f.Kind == crm.Email {
			continue
		}
		page, err := src.Changes(ctx, box, f, "")
		_ = src.Items(ctx, box, f, func([]string) error { return nil })
		if err != nil {
			continue
		}
		var ids []string
		for i := range page.Headers {
			ids = append(ids, page.Headers[i].ID)
			_ = src.Load(ctx, box, page.Headers[i:i+1], func(it *crm.Item) error {
				for _, a := range it.Attachments {
					h.files = append(h.files, crm.Enclosure{Attachment: a, Header: it.Header})
				}
				return nil
			})
		}
		h.headers = append(h.headers, page.Headers...)
		_, _ = src.Headers(ctx, box, ids)
		h.originals(ctx, r, src, page.Headers)
	}
	for _, file := range some(r, 3, h.files...) {
		_ = src.Attachments(ctx, box, []crm.Enclosure{file}, discard)
	}
}

// judge holds the server's record against the policy.
func (w *estate) judge() {
	w.Helper()
	boxes := map[mail.Address]bool{}
	for _, r := range w.exchange.Requests() {
		if r.Impersonated != "" {
			boxes[r.Impersonated] = true
			if !w.grantsMailbox(r.Impersonated) {
				w.complain("mailbox: %s for %s", r.Operation, r.Impersonated)
			}
		}
		if r.Operation == "SyncFolderItems" || r.Operation == "FindItem" {
			for _, f := range r.Touched {
				w.folders++
				if !w.grantsFolder(f) {
					w.complain("folder: %s of %s, %q", r.Operation, f.Mailbox, w.paths[f.Folder])
				}
			}
		}
		for _, id := range r.Content {
			l := w.letters[id]
			switch {
			case r.Operation != "GetAttachment":
				w.texts++
				if !w.grantsText(l) {
					w.complain("text: %s of %+v", r.Operation, l)
				}
			case !w.grantsText(l) || w.policy.Attachments == crm.NameAttachments:
				w.complain("attachment: of %+v", l)
			default:
				w.files++
			}
		}
	}
	w.seen += len(boxes)
	w.refused += 2 - min(2, len(boxes))
}

// like tells whether a text is like a pattern with stars, case aside.
func like(pattern, text string) bool {
	return regexp.MustCompile("(?i)^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(text)
}

func (w *estate) grantsMailbox(a mail.Address) bool {
	picks := func(list []crm.Selector, unknown bool) bool {
		return slices.ContainsFunc(list, func(s crm.Selector) bool {
			if group, ok := strings.CutPrefix(string(s), "group:"); ok {
				members, known := w.groups[mail.Address(group)]
				return !known && unknown || slices.Contains(members, a)
			}
			return like(string(s), string(a))
		})
	}
	return slices.Contains(w.policy.Domains, a.Domain()) && !picks(w.policy.Deny, true) && (len(w.policy.Allow) == 0 || picks(w.policy.Allow, false))
}

func (w *estate) grantsFolder(f sim.Touched) bool {
	kind := crm.Email
	for class, k := range map[string]crm.Kind{"IPF.Appointment": crm.Event, "IPF.Contact": crm.ContactKind, "IPF.Task": crm.Task} {
		if strings.HasPrefix(f.Class, class) {
			kind = k
		}
	}
	return slices.Contains(w.policy.Kinds, kind) && w.grantsPath(w.paths[f.Folder], string(f.Role))
}

func (w *estate) grantsPath(path, role string) bool {
	return !slices.ContainsFunc(w.policy.ExcludedFolders, func(pattern string) bool {
		return like(pattern, path) || like(pattern+"/*", path) || pattern == role
	})
}

func (w *estate) grantsText(l letter) bool {
	p := &w.policy
	role := map[string]string{"Inbox": "inbox", "Sent Items": "sentitems"}[l.path]
	return slices.Contains(p.Kinds, crm.Email) && w.grantsPath(l.path, role) && !p.HeadersOnly && !l.sent.Before(p.Since) && (!l.private || len(p.Sensitivities) == 0) && (p.MaxSize == 0 || l.size <= int(p.MaxSize)) &&
		!slices.ContainsFunc(p.Categories, func(c string) bool { return strings.EqualFold(c, l.category) }) &&
		!slices.ContainsFunc(p.Excluded, func(pattern crm.Pattern) bool {
			return slices.ContainsFunc(l.people, func(who string) bool {
				if !strings.Contains(string(pattern), "@") {
					_, who, _ = strings.Cut(who, "@")
				}
				return like(string(pattern), who)
			})
		})
}
