package acceptance

import (
	"fmt"
	"testing"
	"time"

	"postern/crm"
	"postern/sim"
	"postern/store"
)

// many sends n letters from Cyn to Ann and as many from a stranger.
func (w *world) many(n int) []*sim.Item {
	w.Helper()
	var items []*sim.Item
	for i := range n {
		items = append(items, w.send(letter{from: cyn, to: ann, subject: fmt.Sprintf("filed %03d", i), text: "Text."})...)
		w.send(letter{from: who, to: ann, subject: "stranger"})
	}
	return items
}

// until collects, letting time go by, until as much is filed as there should be.
func (w *world) until(filed int) {
	w.Helper()
	for range 40 {
		w.collect()
		if w.reasons()[crm.Matched] == filed {
			return
		}
		w.pass(10 * time.Minute)
	}
	w.Fatalf("got %v after hours, want %d filed", w.reasons(), filed)
}

func TestA14NoTroubleOfTheServerLosesOrDoublesMail(t *testing.T) {
	for _, kind := range []sim.Kind{sim.Busy503, sim.Busy503Hint, sim.BusyFault, sim.BusyInner, sim.BusyEntry, sim.BareFault, sim.ServerCrash,
		sim.GatewayTimeout, sim.ErrorRedirect, sim.Torn, sim.Miscount, sim.LostState, sim.ForbiddenRaw, sim.ForbiddenReferences} {
		t.Run(string(kind), func(t *testing.T) {
			w := connected(t)
			w.many(30)
			w.exchange.MakeTrouble(sim.Trouble{Kind: kind, Every: 3, Times: 12})
			w.until(30)
			w.exchange.Calm()
			w.pass(time.Hour) // until nothing is held back any more
			w.collect()
			w.prove()
			if got := w.filed(store.MailQuery{Limit: 100}); len(got) != 30 {
				t.Errorf("got %d activities, want 30: %q", len(got), got)
			}
		})
	}
}

func TestA14WebPageInPlaceOfExchangeStopsEverythingAndPasses(t *testing.T) {
	for _, kind := range []sim.Kind{sim.WebPage, sim.LogonRedirect, sim.LoginTimeout, sim.NotFound} {
		t.Run(string(kind), func(t *testing.T) {
			w := connected(t)
			w.many(3)
			w.exchange.MakeTrouble(sim.Trouble{Kind: kind})
			w.collect()
			box := w.box(ann)
			if box.Trouble == nil || box.Trouble.Code == "" || box.Trouble.Message == "" || box.Trouble.Advice == "" {
				t.Errorf("got trouble %+v, want code, what happened and what to do", box.Trouble)
			}
			w.exchange.Calm()
			w.pass(time.Hour)
			w.until(3)
			w.pass(time.Hour)
			w.collect()
			w.prove()
		})
	}
}

func TestA14BadItemsWaitAndHoldUpNothing(t *testing.T) {
	w := connected(t)
	items := w.many(20)
	items[3].Damage(sim.DamagedAll)
	items[7].Damage(sim.DamagedBody)  // filed without its text, which is owed
	items[11].Damage(sim.DamagedMIME) // properties can be had
	w.collect()
	if got := w.reasons(); got[crm.Matched] != 19 {
		t.Errorf("got decisions %v, want 19 filed", got)
	}
	counts, err := w.org.Counts(t.Context())
	w.must(err)
	if counts.Failed != 1 {
		t.Errorf("got %d failed, want 1", counts.Failed)
	}
	aside, total, err := w.org.Quarantine(t.Context(), store.QuarantineQuery{})
	w.must(err)
	if total != 2 {
		t.Errorf("got %d items in the quarantine, want 2: %+v", total, aside)
	}
	rows, _, err := w.org.NotFiled(t.Context(), store.NotFiledQuery{Outcome: crm.Failed})
	w.must(err)
	for _, row := range rows {
		if row.Reason == "" || !row.RetryAt.After(w.clock()) || row.Tries != 1 {
			t.Errorf("failed item: got reason %q, next try %s, %d tries", row.Reason, row.RetryAt, row.Tries)
		}
	}
	w.prove()
	items[3].Damage(sim.Intact)
	items[7].Damage(sim.Intact)
	w.pass(time.Hour)
	w.until(20)
	if _, total, err = w.org.Quarantine(t.Context(), store.QuarantineQuery{}); err != nil || total != 0 {
		t.Errorf("got %d items in the quarantine after they could be read again, want none (%v)", total, err)
	}
	w.prove()
}

// TestReadFlagInTheSecondOfTheListing: Exchange tells in whole seconds when a folder was
// last written to, so a change within the second in which we read it leaves its mark as
// it was.
func TestReadFlagInTheSecondOfTheListing(t *testing.T) {
	w := connected(t)
	items := w.many(2)
	w.collect()
	items[0].MarkRead(true)
	w.pass(time.Minute)
	w.collect()
	mine, _, _, err := w.org.Activities(t.Context(), store.MailQuery{Viewer: w.userID(ann), Mine: true})
	w.must(err)
	unread := 0
	for _, m := range mine {
		if m.Unread {
			unread++
		}
	}
	if unread != 1 {
		t.Errorf("%d of 2 messages are unread, want 1", unread)
	}
}

func TestA14LostSyncStateReadsNoBodyAgain(t *testing.T) {
	w := connected(t)
	items := w.many(10)
	w.collect()
	w.exchange.LoseSyncStates()
	items[4].Delete()
	w.send(letter{from: cyn, to: ann, subject: "new", text: "New."})
	w.pass(time.Hour)
	w.until(10) // one gone, one new
	for i, item := range items {
		if got := item.Asked().Body; got != 1 {
			t.Errorf("body of item %d was asked for %d times, want once", i, got)
		}
	}
	w.prove()
}

func TestA14ItemsThatVanishBetweenListingAndLoad(t *testing.T) {
	w := connected(t)
	w.many(12)
	w.exchange.MakeTrouble(sim.Trouble{Kind: sim.Vanish, Operation: "GetItem", Times: 3})
	w.collect()
	w.exchange.Calm()
	w.pass(time.Hour)
	w.collect()
	w.prove()
}

func TestA14FullResyncTwiceLeavesTheSame(t *testing.T) {
	w := connected(t)
	w.many(25)
	w.collect()
	before := w.filed(store.MailQuery{Limit: 100})
	for range 2 {
		w.exchange.LoseSyncStates()
		w.lay(bob, sim.Inbox, letter{from: who, to: bob}) // so that each folder has moved
		w.send(letter{from: who, to: ann})
		w.pass(time.Hour)
		w.collect()
		w.prove()
	}
	w.same("filed after two resyncs", w.filed(store.MailQuery{Limit: 100}), before...)
}

func TestA14MoveIsNotADelete(t *testing.T) {
	w := connected(t)
	item := w.send(letter{from: cyn, to: ann, subject: "moved about"})[0]
	w.collect()
	box := w.exchange.Mailbox(ann)
	item.Move(box.CreateFolder(box.Folder(sim.Inbox), "Projects"))
	w.pass(time.Hour)
	w.collect()
	mine, _, _, err := w.org.Activities(t.Context(), store.MailQuery{Viewer: w.userID(ann), Mine: true})
	w.must(err)
	if len(mine) != 1 || mine[0].Gone {
		t.Errorf("My Emails after a move: got %+v, want the message, not gone", mine)
	}
	w.prove()
}

// TestAttachmentIsFetchedFromWhereverTheMessageIs: its content cannot be had at first, and
// when it can, the copy that it was to be fetched from is not there any more.
func TestAttachmentIsFetchedFromWhereverTheMessageIs(t *testing.T) {
	for name, leave := range map[string]func(item *sim.Item){
		"the message was moved":             func(item *sim.Item) { item.Move(item.Mailbox().CreateFolder(item.Folder(), "Done")) },
		"a colleague still has the message": func(item *sim.Item) { item.Delete() },
	} {
		t.Run(name, func(t *testing.T) {
			w := connected(t)
			w.exchange.MakeTrouble(sim.Trouble{Kind: sim.AnyError, Where: sim.InEntry, Code: "ErrorCannotOpenFileAttachment", Operation: "GetAttachment"})
			items := w.send(letter{from: cyn, to: ann + ", " + bob, subject: "offer", extra: "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
				body: "--b\r\nContent-Type: text/plain\r\n\r\nThe offer.\r\n--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=offer.csv\r\n\r\n1,2,3\r\n--b--\r\n"})
			w.collect()
			for _, item := range items {
				if item.Mailbox().Address() == ann { // whose copy was filed first
					leave(item)
				}
			}
			for range 3 {
				w.pass(time.Hour)
				w.collect()
			}
			w.exchange.Calm()
			for range 3 {
				w.pass(24 * time.Hour)
				w.collect()
			}
			rows, _, _, err := w.org.Activities(t.Context(), store.MailQuery{})
			w.must(err)
			if len(rows) != 1 {
				t.Fatalf("got %d activities, want 1", len(rows))
			}
			m, err := w.org.Message(t.Context(), w.userID(bob), rows[0].Message)
			w.must(err)
			if len(m.Attachments) != 1 || m.Attachments[0].State != store.AttachmentStored {
				t.Errorf("got attachments %+v, want offer.csv stored", m.Attachments)
			}
			if due, err := w.org.DueMailboxes(t.Context(), w.clock(), 10); err != nil || len(due) > 0 {
				t.Errorf("%d mailboxes are due although nothing is owed (%v)", len(due), err)
			}
			w.prove()
		})
	}
}
