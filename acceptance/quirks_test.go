package acceptance

import (
	"context"
	"testing"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/sim"
	"postern/store"
)

// TestStateAnsweredFromTheStartIsFoundByTheCount: the server takes a sync state and lists
// everything anew without saying so. The deletion that it so never tells of shows in the
// number of items.
func TestStateAnsweredFromTheStartIsFoundByTheCount(t *testing.T) {
	w := connected(t)
	items := w.many(5)
	w.collect()
	items[2].Delete()
	w.exchange.MakeTrouble(sim.Trouble{Kind: sim.StateRestart, Times: 1})
	for range 3 { // the restarted listing, the mark that holds, the count
		w.pass(time.Hour)
		w.collect()
	}
	if got := w.reasons()[crm.Matched]; got != 4 {
		t.Errorf("%d items are filed, want 4", got)
	}
	w.prove()
}

// TestFolderThatCannotBeListedIsReadByAnotherRoad: one change that Exchange stumbles over
// fails each listing of the Inbox. What is new in it is filed all the same.
func TestFolderThatCannotBeListedIsReadByAnotherRoad(t *testing.T) {
	w := connected(t)
	w.many(2)
	w.collect()
	w.exchange.MakeTrouble(sim.Trouble{Kind: sim.AnyError, Code: "ErrorItemCorrupt", Operation: "SyncFolderItems", Mailbox: ann})
	w.send(letter{from: cyn, to: ann, subject: "new", text: "Text."})
	for range 5 {
		w.pass(time.Hour)
		w.collect()
	}
	w.trouble(ann, "ErrorItemCorrupt")
	if got := w.box(ann).Counts.Filed; got != 3 {
		t.Errorf("%d items are filed while the folder cannot be listed, want 3", got)
	}
	w.exchange.Calm()
	w.live(ann, 3)
}

// A stumbler is a source that panics over one item, as this program might.
type stumbler struct {
	crm.Notifier
	over string
}

func (s *stumbler) Load(ctx context.Context, box *crm.Mailbox, headers []crm.Header, take func(*crm.Item) error) error {
	for i := range headers {
		if headers[i].ID == s.over {
			panic("stumbled")
		}
	}
	return s.Notifier.Load(ctx, box, headers, take)
}

// TestItemThatWeStumbleOverIsFoundAndPutAside: the page is halved until it is found; all
// others are filed, and it, too, once we have learned to read it.
func TestItemThatWeStumbleOverIsFoundAndPutAside(t *testing.T) {
	w := connected(t)
	bad := &stumbler{over: w.many(20)[7].ID()}
	c := ewsConnector
	c.Source = func(settings crm.Settings, traffic crm.Traffic) (crm.Source, error) {
		src, err := ewsConnector.Source(settings, traffic)
		bad.Notifier, _ = src.(crm.Notifier)
		return bad, err
	}
	w.engine = engine.New(engine.Config{Org: w.org, Connector: c, Now: w.clock})
	w.collect()
	aside, n, err := w.org.Quarantine(t.Context(), store.QuarantineQuery{})
	w.must(err)
	if n != 1 || aside[0].Item != bad.over || aside[0].Code != "item-unmanageable" || w.reasons()[crm.Matched] != 19 {
		t.Fatalf("put aside: %+v; decisions %v; want that one, and 19 filed", aside, w.reasons())
	}
	bad.over = ""
	w.live(ann, 20)
}

// TestFolderThatIsEmptiedAndFilledAgain: all mail goes, then other comes.
func TestFolderThatIsEmptiedAndFilledAgain(t *testing.T) {
	w := connected(t)
	items := w.many(5)
	w.collect()
	before := w.filed(store.MailQuery{Limit: 100})
	for _, it := range items {
		it.Delete()
	}
	w.pass(time.Hour)
	w.collect()
	w.send(letter{from: cyn, to: ann, subject: "after that", text: "Text."})
	w.live(ann, 1)
	w.same("filed", w.filed(store.MailQuery{Limit: 100}), append([]string{"after that"}, before...)...)
}

// TestFolderThatMayNotBeReadHoldsUpNoOther: the mailbox says so, and the rest is read.
func TestFolderThatMayNotBeReadHoldsUpNoOther(t *testing.T) {
	w := connected(t)
	w.collect()
	w.send(letter{from: ann, to: cyn, subject: "sent", text: "Text."})
	w.send(letter{from: cyn, to: ann, subject: "received", text: "Text."})
	w.exchange.MakeTrouble(sim.Trouble{Kind: sim.AnyError, Code: "ErrorAccessDenied", Operation: "SyncFolderItems", Mailbox: ann, Times: 1})
	w.pass(time.Hour)
	w.collect()
	w.trouble(ann, "ErrorAccessDenied")
	if got := w.filed(store.MailQuery{}); len(got) != 1 {
		t.Errorf("filed %q, want what lies in the other folder", got)
	}
	w.live(ann, 2)
}

// TestFolderThatIsDeletedWhileWeReadIsNoTrouble: it was listed, and is not there when it
// is read. Nobody has to see to that.
func TestFolderThatIsDeletedWhileWeReadIsNoTrouble(t *testing.T) {
	w := connected(t)
	box := w.exchange.Mailbox(ann)
	done := box.CreateFolder(box.Folder(sim.Inbox), "Done")
	_, err := done.Put(letter{from: cyn, to: ann, subject: "old", text: "Text."}.raw(w.clock()))
	w.must(err)
	w.exchange.MakeTrouble(sim.Trouble{Kind: sim.AnyError, Where: sim.InEntry, Code: "ErrorSyncFolderNotFound", Operation: "SyncFolderItems", Mailbox: ann, Skip: 2, Times: 1})
	w.collect()
	if row := w.box(ann); row.State == crm.Attention {
		t.Errorf("the mailbox is in need of attention: %+v", row.Trouble)
	}
	w.alerts(0, "")
	done.Delete()
	w.live(ann, 0)
}
