package gate

import (
	"context"
	"io"
	"testing"

	"postern/crm"
	"postern/mail"
)

// counted is a source that only counts how often it is asked.
type counted struct {
	calls   int
	headers map[string]crm.Header
}

func newCounted() *counted { return &counted{headers: map[string]crm.Header{"there": {ID: "there"}}} }

func (c *counted) Folders(context.Context, *crm.Mailbox) ([]crm.Folder, error) {
	c.calls++
	return nil, nil
}

func (c *counted) Changes(context.Context, *crm.Mailbox, crm.Folder, crm.Cursor) (*crm.Page, error) {
	c.calls++
	return &crm.Page{}, nil
}

func (c *counted) Headers(_ context.Context, _ *crm.Mailbox, ids []string) (list []crm.Header, err error) {
	c.calls++
	for _, id := range ids {
		if h, ok := c.headers[id]; ok {
			list = append(list, h)
		}
	}
	return list, nil
}

func (c *counted) Load(context.Context, *crm.Mailbox, []crm.Header, func(*crm.Item) error) error {
	c.calls++
	return nil
}

func (c *counted) Attachments(context.Context, *crm.Mailbox, []crm.Enclosure, func(int, io.Reader, *crm.Fault) error) error {
	c.calls++
	return nil
}

func (c *counted) Original(context.Context, *crm.Mailbox, string) (io.ReadCloser, error) {
	c.calls++
	return nil, nil
}

func (c *counted) Items(context.Context, *crm.Mailbox, crm.Folder, func([]string) error) error {
	c.calls++
	return nil
}

// Facts asks nobody, so it is no call.
func (c *counted) Facts(*crm.Mailbox) crm.Facts { return crm.Facts{} }

func (c *counted) Subscribe(context.Context, *crm.Mailbox, *crm.Mailbox) (crm.Subscription, error) {
	c.calls++
	return crm.Subscription{}, nil
}

func (c *counted) Listen(context.Context, []crm.Subscription, func(crm.Notice)) error {
	c.calls++
	return nil
}

func (c *counted) Pull(context.Context, *crm.Subscription) (crm.Notice, error) {
	c.calls++
	return crm.Notice{}, nil
}

func (c *counted) Unsubscribe(context.Context, crm.Subscription) error {
	c.calls++
	return nil
}

// mailFolder is one that may be read.
var mailFolder = crm.Folder{ID: "f", Kind: crm.Email}

// headersOfOriginal is the call by which Original learns whether it is granted.
const headersOfOriginal = 1

// every makes each call that a source knows.
func every(ctx context.Context, src crm.Source, box *crm.Mailbox) []error {
	notifier := src.(crm.Notifier)
	_, subscribe := notifier.Subscribe(ctx, box, box)
	_, pull := notifier.Pull(ctx, &crm.Subscription{Box: box})
	_, folders := src.Folders(ctx, box)
	_, changes := src.Changes(ctx, box, mailFolder, "")
	_, headers := src.Headers(ctx, box, nil)
	_, original := src.Original(ctx, box, "there")
	return []error{folders, changes, headers, src.Load(ctx, box, nil, nil), src.Attachments(ctx, box, nil, nil), original, src.Items(ctx, box, mailFolder, nil),
		subscribe, pull, notifier.Listen(ctx, []crm.Subscription{{Box: box}}, nil), notifier.Unsubscribe(ctx, crm.Subscription{Box: box})}
}

// opened returns the source behind a gate with these terms.
func opened(t *testing.T, g *Gate, src crm.Source, terms Terms) crm.Source {
	t.Helper()
	g.Set(terms)
	guarded, _, err := g.Open(crm.Connector{Source: func(crm.Settings, crm.Transport) (crm.Source, error) { return src, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return guarded
}

// granting are terms under which the mailboxes of some domains may be read.
func granting(enabled bool, domains ...string) Terms {
	return Terms{
		Settings: crm.Settings{Enabled: enabled, Server: "mail.acme.example", Login: "svc", Password: crm.NewSecret("pw")},
		Policy:   crm.Policy{Domains: domains, Kinds: []crm.Kind{crm.Email}, Limits: crm.Limits{Attachments: crm.StoreAttachments}},
	}
}

func TestNothingPassesButWhatThePolicyAllows(t *testing.T) {
	for _, test := range []struct {
		name    string
		enabled bool
		domains []string
		address mail.Address
		code    string // "" when allowed
	}{
		{"allowed", true, []string{"acme.example"}, "ann@acme.example", ""},
		{"one of several", true, []string{"other.example", "acme.example"}, "ann@acme.example", ""},
		{"switched off", false, []string{"acme.example"}, "ann@acme.example", "collecting-disabled"},
		{"no domain", true, nil, "ann@acme.example", "domain-not-allowed"},
		{"another domain", true, []string{"other.example"}, "ann@acme.example", "domain-not-allowed"},
		{"a sub-domain is another domain", true, []string{"acme.example"}, "ann@sub.acme.example", "domain-not-allowed"},
		{"a longer domain is another domain", true, []string{"acme.example"}, "ann@notacme.example", "domain-not-allowed"},
		{"no address", true, []string{"acme.example"}, "", "domain-not-allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := newCounted()
			guarded := opened(t, New(Config{}), src, granting(test.enabled, test.domains...))
			errs := every(t.Context(), guarded, &crm.Mailbox{Address: test.address})
			for i, err := range errs {
				switch {
				case test.code == "" && err != nil:
					t.Errorf("call %d: got %v, want it to pass", i, err)
				case test.code != "" && (err == nil || crm.AsFault(err).Code != test.code || crm.AsFault(err).Verdict != crm.Refused):
					t.Errorf("call %d: got %v, want %s", i, err, test.code)
				}
			}
			if want := map[bool]int{true: len(errs) + headersOfOriginal, false: 0}[test.code == ""]; src.calls != want {
				t.Errorf("the source was asked %d times, want %d", src.calls, want)
			}
		})
	}
}

func TestPolicyIsAskedAnewBeforeEachCall(t *testing.T) {
	src, g := newCounted(), New(Config{}) // as it is made it grants nothing
	guarded, box := opened(t, g, src, granting(true)), &crm.Mailbox{Address: "ann@acme.example"}
	every(t.Context(), guarded, box)
	g.Set(granting(true, "acme.example"))
	calls := len(every(t.Context(), guarded, box)) + headersOfOriginal
	g.Set(granting(true))
	every(t.Context(), guarded, box)
	if src.calls != calls {
		t.Errorf("the source was asked %d times, want %d: while the domain was allowed", src.calls, calls)
	}
}

// TestOriginalIsNotGrantedUnseen: what a policy excludes by what the header says is not
// fetched while there is no header that could say it.
func TestOriginalIsNotGrantedUnseen(t *testing.T) {
	src := newCounted()
	src.headers["damaged"] = crm.Header{ID: "damaged", Fault: &crm.Fault{Verdict: crm.Retry, Scope: crm.ItemScope, Code: "ErrorCorruptData"}}
	terms := granting(true, "acme.example")
	terms.Policy.Limits.Sensitivities = []crm.Sensitivity{crm.Private}
	guarded, box := opened(t, New(Config{}), src, terms), &crm.Mailbox{Address: "ann@acme.example"}
	for id, code := range map[string]string{"damaged": "ErrorCorruptData", "gone": "vanished"} {
		src.calls = 0
		if _, err := guarded.Original(t.Context(), box, id); err == nil || crm.AsFault(err).Code != code || src.calls != headersOfOriginal {
			t.Errorf("%s: got %v after %d calls, want %s after that for the header", id, err, src.calls, code)
		}
	}
}

type stumbling struct{ *counted }

func (stumbling) Load(context.Context, *crm.Mailbox, []crm.Header, func(*crm.Item) error) error {
	panic("stumbled")
}

// TestPanicLeavesTheGate: a call that ended so is not kept as one that is under way.
func TestPanicLeavesTheGate(t *testing.T) {
	g := New(Config{})
	guarded := opened(t, g, stumbling{newCounted()}, granting(true, "acme.example"))
	func() {
		defer func() { recover() }()
		guarded.Load(t.Context(), &crm.Mailbox{Address: "ann@acme.example"}, nil, nil)
	}()
	if len(g.calls) != 0 {
		t.Errorf("%d calls are under way", len(g.calls))
	}
}
