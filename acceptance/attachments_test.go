package acceptance

import (
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/sim"
	"postern/store"
)

// onlyMessage is the one message that is filed, as Ann sees it.
func (w *world) onlyMessage() *store.MessageView {
	w.Helper()
	rows, _, _, err := w.org.Activities(w.Context(), store.MailQuery{})
	w.must(err)
	if len(rows) != 1 {
		w.Fatalf("%d messages are filed, want 1", len(rows))
	}
	m, err := w.org.Message(w.Context(), w.userID(ann), rows[0].Message)
	w.must(err)
	if len(m.Attachments) != 1 {
		w.Fatalf("got attachments %+v, want one", m.Attachments)
	}
	return m
}

// asked counts the requests of an operation since they were last forgotten.
func (w *world) asked(operation string) (n int) {
	for _, r := range w.exchange.Requests() {
		if r.Operation == operation {
			n++
		}
	}
	return n
}

// tightenings keep out a message that attached sends, marked private; says is what is told
// of its attachment then.
var tightenings = map[string]struct {
	change func(*crm.Policy)
	says   string
}{
	"names":   {func(p *crm.Policy) { p.Attachments = crm.NameAttachments }, "Only its name is kept."},
	"headers": {func(p *crm.Policy) { p.HeadersOnly = true }, "the header alone is read"},
	"person":  {func(p *crm.Policy) { p.Excluded = []crm.Pattern{crm.Pattern(cyn)} }, "an address in from is on the exclusion list"},
	"domain":  {func(p *crm.Policy) { p.Excluded = []crm.Pattern{"client.example"} }, "a domain in from is on the exclusion list"},
	"period":  {func(p *crm.Policy) { p.Since = time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC) }, "only messages since 2090-01-01"},
	"size":    {func(p *crm.Policy) { p.MaxSize = 10 }, "only messages up to 10 bytes"},
	"marking": {func(p *crm.Policy) { p.Sensitivities = []crm.Sensitivity{crm.Private} }, "messages marked private"},
	"folder":  {func(p *crm.Policy) { p.ExcludedFolders = []string{"inbox"} }, "in no folder that is read"},
	"limit":   {func(p *crm.Policy) { p.AttachmentLimit = 1 }, "larger than what is stored"},
}

// TestAttachmentsFollowThePolicyOfTheMoment: the content of an attachment is owed, for what
// was filed by one policy, and another holds by now.
func TestAttachmentsFollowThePolicyOfTheMoment(t *testing.T) {
	for name, tightened := range tightenings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := connected(t)
			w.policy(func(p *crm.Policy) { p.Sensitivities = nil })
			w.exchange.MakeTrouble(sim.Trouble{Kind: sim.AnyError, Where: sim.InEntry, Code: "ErrorCannotOpenFileAttachment", Operation: "GetAttachment"})
			l := attached()
			l.extra = "Sensitivity: Private\r\n" + l.extra
			w.send(l)
			w.collect()
			if a := w.onlyMessage().Attachments[0]; a.State != store.AttachmentFailed {
				t.Fatalf("it is not owed: %+v", a)
			}
			before, err := w.org.Policy(t.Context())
			w.must(err)
			w.exchange.Calm()
			w.exchange.ForgetRequests()
			w.policy(tightened.change)
			for range 3 {
				w.pass(24 * time.Hour)
				w.collect()
			}
			a := w.onlyMessage().Attachments[0]
			if want := map[bool]store.AttachmentState{true: store.AttachmentTooLarge, false: store.AttachmentListed}[name == "limit"]; a.State != want {
				t.Errorf("it is %s, %q, want %s", a.State, a.Note, want)
			}
			path := "/messages/" + itoa(int64(a.Message)) + "/attachments/" + itoa(a.ID)
			if status, page := w.visit(ann).get(path); status != 404 || !strings.Contains(page, tightened.says) {
				t.Errorf("opening it: status %d, and the page does not say %q", status, tightened.says)
			}
			if n := w.asked("GetAttachment"); n > 0 {
				t.Errorf("it was asked for %d times", n)
			}
			if b := w.box(ann); b.State != crm.Live || b.Trouble != nil {
				t.Errorf("the mailbox is %s: %+v", b.State, b.Trouble)
			}
			if alerts, err := w.org.Alerts(t.Context(), true, 9); err != nil || len(alerts) > 0 {
				t.Errorf("alerts: %+v, %v", alerts, err)
			}
			if due, err := w.org.DueMailboxes(t.Context(), w.clock(), 9); err != nil || len(due) > 0 {
				t.Errorf("%d mailboxes are due although nothing is owed (%v)", len(due), err)
			}

			w.policy(func(p *crm.Policy) { version := p.Version; *p = before; p.Version = version })
			w.pass(time.Hour)
			w.collect()
			if a := w.onlyMessage().Attachments[0]; a.State != store.AttachmentStored {
				t.Errorf("under the policy of before it is %s, %q", a.State, a.Note)
			}
			w.prove()
		})
	}
}

// TestAttachmentOnDemandFollowsThePolicyOfTheMoment: also who opens one is told.
func TestAttachmentOnDemandFollowsThePolicyOfTheMoment(t *testing.T) {
	for name, tightened := range tightenings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := connected(t)
			onDemand := func(p *crm.Policy) {
				p.Sensitivities, p.Attachments = nil, crm.FetchOnDemand
			}
			w.policy(onDemand)
			l := attached()
			l.extra = "Sensitivity: Private\r\n" + l.extra
			w.send(l)
			w.collect()
			before, err := w.org.Policy(t.Context())
			w.must(err)
			w.policy(tightened.change)
			a := w.onlyMessage().Attachments[0]
			path := "/messages/" + itoa(int64(a.Message)) + "/attachments/" + itoa(a.ID)
			for _, looked := range []bool{false, true} {
				status, page := w.visit(ann).get(path)
				if status != 404 || w.asked("GetAttachment") > 0 {
					t.Errorf("looked since: %t, opening it: status %d, asked for %d times", looked, status, w.asked("GetAttachment"))
				}
				if name != "folder" && !strings.Contains(page, tightened.says) {
					t.Errorf("looked since: %t, the page does not say %q", looked, tightened.says)
				}
				w.pass(24 * time.Hour)
				w.collect()
			}
			w.policy(func(p *crm.Policy) { version := p.Version; *p = before; p.Version = version })
			w.pass(time.Hour)
			w.collect()
			if n := w.asked("GetAttachment"); n > 0 {
				t.Errorf("it was asked for %d times although nobody opened it", n)
			}
			if _, page := w.visit(ann).get("/messages/" + itoa(int64(a.Message))); !strings.Contains(page, `href="`+path+`"`) || strings.Contains(page, "not fetched") {
				t.Error("the page of the message does not lead to it")
			}
			if status, content := w.visit(ann).get(path); status != 200 || content != "1,2" {
				t.Errorf("under the policy of before: status %d, %q", status, content)
			}
		})
	}
}

// TestAttachmentLeftAloneGoesWithItsMessage: what a policy left alone is found where the
// message lies by then, be it fetched by a later policy or by who opens it.
func TestAttachmentLeftAloneGoesWithItsMessage(t *testing.T) {
	for name, mode := range map[string]crm.AttachmentMode{"stored later": crm.StoreAttachments, "on demand": crm.FetchOnDemand} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := connected(t)
			w.policy(func(p *crm.Policy) { p.Attachments = crm.NameAttachments })
			item := w.send(attached())[0]
			w.collect()
			if a := w.onlyMessage().Attachments[0]; a.State != store.AttachmentListed {
				t.Fatalf("it is %s, %q", a.State, a.Note)
			}
			item.Move(item.Mailbox().CreateFolder(item.Folder(), "Done"))
			w.pass(time.Hour)
			w.collect()
			w.policy(func(p *crm.Policy) { p.Attachments = mode })
			w.pass(time.Hour)
			w.collect()
			a := w.onlyMessage().Attachments[0]
			if mode == crm.StoreAttachments && a.State != store.AttachmentStored {
				t.Errorf("it is %s, %q", a.State, a.Note)
			}
			status, content := w.visit(ann).get("/messages/" + itoa(int64(a.Message)) + "/attachments/" + itoa(a.ID))
			if status != 200 || content != "1,2" {
				t.Errorf("opening it: status %d, %.60q", status, content)
			}
			w.prove()
		})
	}
}

// TestNothingIsAskedTwiceOfAnAttachment: what is known of a message is enough to fetch what
// hangs on it.
func TestNothingIsAskedTwiceOfAnAttachment(t *testing.T) {
	w := connected(t)
	w.policy(func(p *crm.Policy) {
		p.Excluded, p.ExcludedFolders, p.Categories = []crm.Pattern{"bank.example"}, []string{"Private"}, []string{"Personal"}
	})
	w.collect()
	w.exchange.ForgetRequests()
	w.send(attached())
	w.pass(time.Hour)
	w.collect()
	if a := w.onlyMessage().Attachments[0]; a.State != store.AttachmentStored {
		t.Errorf("it is %s, %q", a.State, a.Note)
	}
	if headersAndText, files := w.asked("GetItem"), w.asked("GetAttachment"); headersAndText != 2 || files != 1 {
		t.Errorf("%d × GetItem, %d × GetAttachment; want 2, for header and text, and 1", headersAndText, files)
	}
}
