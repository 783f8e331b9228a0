package acceptance

import (
	"testing"

	"postern/crm"
	"postern/store"
)

// attached is a letter from Cyn to Ann with a small table.
func attached() letter {
	return letter{from: cyn, to: ann, subject: "with a table", extra: "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
		body: "--b\r\nContent-Type: text/plain\r\n\r\nText.\r\n--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=table.csv\r\n\r\n1,2\r\n--b--\r\n"}
}

// policy saves the policy that holds with a change.
func (w *world) policy(change func(*crm.Policy)) {
	w.Helper()
	p, err := w.org.Policy(w.Context())
	w.must(err)
	change(&p)
	_, err = w.org.SavePolicy(w.Context(), p, false)
	w.must(err)
}

func TestAttachmentsFollowTheRule(t *testing.T) {
	for mode, want := range map[crm.AttachmentMode]struct {
		state  store.AttachmentState
		asked  int // how often the content was asked for by collecting
		opened int // the status when somebody opens it afterwards
	}{
		crm.StoreAttachments: {store.AttachmentStored, 1, 200},
		crm.FetchOnDemand:    {store.AttachmentListed, 0, 200},
		crm.NameAttachments:  {store.AttachmentListed, 0, 404},
	} {
		t.Run(string(mode), func(t *testing.T) {
			w := connected(t)
			w.policy(func(p *crm.Policy) { p.Attachments = mode })
			item := w.send(attached())[0]
			w.collect()
			rows, _, _, err := w.org.Activities(t.Context(), store.MailQuery{})
			w.must(err)
			m, err := w.org.Message(t.Context(), w.userID(ann), rows[0].Message)
			w.must(err)
			if len(m.Attachments) != 1 || m.Attachments[0].Name != "table.csv" || m.Attachments[0].State != want.state {
				t.Fatalf("got attachments %+v, want table.csv %s", m.Attachments, want.state)
			}
			if got := item.Asked().Attachments; got != want.asked {
				t.Errorf("the content was asked for %d times, want %d", got, want.asked)
			}
			w.prove()
			status, content := w.visit(ann).get("/messages/" + itoa(int64(m.ID)) + "/attachments/" + itoa(m.Attachments[0].ID))
			if status != want.opened || status == 200 && content != "1,2" {
				t.Errorf("opening it: got status %d, %q, want %d", status, content, want.opened)
			}
			if status, _ := w.visit(ann).get("/messages/" + itoa(int64(m.ID)) + "/original"); (status == 200) != (want.opened == 200) {
				t.Errorf("the original, which holds it: got status %d", status)
			}
		})
	}
}

func TestExcludedMailIsNeverRead(t *testing.T) {
	for name, test := range map[string]struct {
		pattern crm.Pattern
		want    crm.Reason
	}{
		"address": {crm.Pattern(cyn), crm.ExcludedAddress},
		"domain":  {"client.example", crm.ExcludedDomain},
		"pattern": {"c*n@*.example", crm.ExcludedAddress},
	} {
		t.Run(name, func(t *testing.T) {
			w := connected(t)
			w.policy(func(p *crm.Policy) { p.Excluded = []crm.Pattern{test.pattern} })
			item := w.send(attached())[0]
			w.collect()
			if got := w.reasons(); !equalCounts(got, map[crm.Reason]int{test.want: 1}) {
				t.Errorf("got decisions %v, want one %s", got, test.want)
			}
			if asked := item.Asked(); asked.Body+asked.MIME+asked.Attachments > 0 {
				t.Errorf("content was asked for: %+v", asked)
			}
			w.policy(func(p *crm.Policy) { p.Excluded = nil })
			w.collect()
			w.same("filed when the rule is gone", w.filed(store.MailQuery{}), "with a table")
		})
	}
}
