package acceptance

import (
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/sim"
	"postern/store"
)

// mended is what reading the mailboxes again from the beginning brings back.
var mended = []string{"ledger row of a filed item", "ledger row of an unfiled item", "activity", "message", "copy", "body", "ledger row laid to another box"}

// TestProofNoticesEveryRowRemovedByHand takes rows away behind Postern's back, one kind
// after the other. Each time the proof must fail and name the item.
func TestProofNoticesEveryRowRemovedByHand(t *testing.T) {
	for name, statement := range map[string]string{
		"ledger row of a filed item":     "delete from decision where outcome = 'filed'",
		"ledger row of an unfiled item":  "delete from decision where outcome = 'not_filed'",
		"activity":                       "delete from activity",
		"link to the contact":            "delete from activity_link where person = 'c'",
		"link to the user":               "delete from activity_link where person = 'u'",
		"message":                        "delete from message",
		"copy":                           "delete from copy",
		"row of My Emails":               "delete from user_message",
		"participant":                    "delete from participant where part = 'to'",
		"body":                           "delete from body",
		"attachment":                     "delete from attachment",
		"subject altered":                "update message set subject = 'something else'",
		"text altered":                   "update body set text = 'something else'",
		"outcome altered to not filed":   "update decision set outcome = 'not_filed', reason = 'no_contact' where outcome = 'filed'",
		"outcome altered to filed":       "update decision set outcome = 'filed', reason = 'matched' where outcome = 'not_filed'",
		"mailbox":                        "delete from mailbox",
		"ledger row laid to another box": "update decision set mailbox_id = mailbox_id + 1000 where outcome = 'filed'",
	} {
		t.Run(name, func(t *testing.T) {
			w := connected(t)
			attached := letter{from: cyn, to: ann, subject: "filed", extra: "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
				body: "--b\r\nContent-Type: text/plain\r\n\r\nText.\r\n--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv\r\n\r\n1,2\r\n--b--\r\n"}
			filed := w.send(attached)[0]
			unfiled := w.send(letter{from: who, to: ann, subject: "not filed"})[0]
			w.collect()
			w.prove()

			db, err := sql.Open("sqlite", filepath.Join(w.dir, "postern.db")+"?_pragma=busy_timeout(5000)")
			w.must(err)
			result, err := db.Exec(statement)
			w.must(err)
			if n, err := result.RowsAffected(); err != nil || n == 0 {
				t.Fatalf("%q touched %d rows (%v)", statement, n, err)
			}
			w.must(db.Close())

			item := filed
			if strings.Contains(statement, "= 'not_filed'") && !strings.Contains(statement, "set outcome = 'not_filed'") {
				item = unfiled
			}
			named, proved := false, true
			w.must(w.engine.Reconcile(t.Context(), func(r engine.Report) error {
				proved = proved && r.Proved()
				for _, d := range r.Differs {
					named = named || d.Item == item.ID() && d.Problem != ""
				}
				return nil
			}))
			if proved || !named {
				t.Errorf("proved %v, item named %v: want the proof to fail and to name the item", proved, named)
			}
			if slices.Contains(mended, name) {
				w.listAnew()
				w.pass(time.Hour)
				w.collect()
				w.prove()
			}
		})
	}
}

// listAnew makes every folder start from its beginning.
func (w *world) listAnew() {
	w.Helper()
	boxes, _, err := w.org.Mailboxes(w.Context(), store.ListQuery{})
	w.must(err)
	for _, box := range boxes {
		folders, err := w.org.Folders(w.Context(), box.ID)
		w.must(err)
		for _, f := range folders {
			w.must(w.org.ResetFolder(w.Context(), f.ID))
		}
	}
}

// TestProofNoticesMailThatWasNeverSeen: what lies on the server and was not collected.
func TestProofNoticesMailThatWasNeverSeen(t *testing.T) {
	w := connected(t)
	w.send(letter{from: cyn, to: ann, subject: "seen"})
	w.collect()
	item := w.lay(ann, sim.Inbox, letter{from: cyn, to: ann, subject: "not seen yet"})
	named := false
	w.must(w.engine.Reconcile(t.Context(), func(r engine.Report) error {
		for _, d := range r.Differs {
			named = named || d.Item == item.ID()
		}
		return nil
	}))
	if !named {
		t.Error("the item is not named")
	}
}

// TestProofNoticesWhatIsNotRead: the ledger holds nothing of a folder that was excluded, or
// the proof says so.
func TestProofNoticesWhatIsNotRead(t *testing.T) {
	w := connected(t)
	item := w.send(letter{from: cyn, to: ann, subject: "filed"})[0]
	w.collect()
	w.policy(func(p *crm.Policy) { p.ExcludedFolders = []string{"inbox"} })
	named := false
	w.must(w.engine.Reconcile(t.Context(), func(r engine.Report) error {
		for _, d := range r.Differs {
			named = named || d.Item == item.ID() && !r.Proved()
		}
		return nil
	}))
	if !named {
		t.Error("the item of the folder is not named")
	}
	w.pass(time.Hour)
	w.collect()
	w.prove()
}
