package acceptance

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
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

// A meddler is a source whose answers a test changes on their way.
type meddler struct {
	crm.Notifier
	folders func([]crm.Folder) []crm.Folder
	changes func(*crm.Page)
	load    func([]crm.Header)
	list    func([]crm.Enclosure)
}

func (m *meddler) Folders(ctx context.Context, box *crm.Mailbox) ([]crm.Folder, error) {
	list, err := m.Notifier.Folders(ctx, box)
	if err == nil && m.folders != nil {
		list = m.folders(list)
	}
	return list, err
}

func (m *meddler) Changes(ctx context.Context, box *crm.Mailbox, f crm.Folder, since crm.Cursor) (*crm.Page, error) {
	page, err := m.Notifier.Changes(ctx, box, f, since)
	if err == nil && m.changes != nil {
		m.changes(page)
	}
	return page, err
}

func (m *meddler) Load(ctx context.Context, box *crm.Mailbox, headers []crm.Header, take func(*crm.Item) error) error {
	if m.load != nil {
		m.load(headers)
	}
	return m.Notifier.Load(ctx, box, headers, take)
}

func (m *meddler) Attachments(ctx context.Context, box *crm.Mailbox, list []crm.Enclosure, take func(int, io.Reader, *crm.Fault) error) error {
	if m.list != nil {
		list = slices.Clone(list)
		m.list(list)
	}
	return m.Notifier.Attachments(ctx, box, list, take)
}

// meddle puts a meddler between the engine and the Exchange.
func (w *world) meddle() *meddler {
	m, c := &meddler{}, ewsConnector
	c.Source = func(settings crm.Settings, transport crm.Transport) (crm.Source, error) {
		src, err := ewsConnector.Source(settings, transport)
		m.Notifier, _ = src.(crm.Notifier)
		return m, err
	}
	w.restart(engine.Config{Connector: c})
	return m
}

// TestItemThatWeStumbleOverIsFoundAndPutAside: the page is halved until it is found; all
// others are filed, and it, too, once we have learned to read it.
func TestItemThatWeStumbleOverIsFoundAndPutAside(t *testing.T) {
	w := connected(t)
	m, bad := w.meddle(), w.many(20)[7].ID()
	m.load = func(headers []crm.Header) {
		for i := range headers {
			if headers[i].ID == bad {
				panic("stumbled")
			}
		}
	}
	w.collect()
	aside, n, err := w.org.Quarantine(t.Context(), store.QuarantineQuery{})
	w.must(err)
	if n != 1 || aside[0].Item != bad || aside[0].Code != "item-unmanageable" || w.reasons()[crm.Matched] != 19 {
		t.Fatalf("put aside: %+v; decisions %v; want that one, and 19 filed", aside, w.reasons())
	}
	m.load = nil
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

// TestMailboxWithoutFoldersLosesNothing: an Inbox cannot be deleted, so a server that lists
// none is not believed.
func TestMailboxWithoutFoldersLosesNothing(t *testing.T) {
	w := connected(t)
	m := w.meddle()
	w.many(3)
	w.collect()
	m.folders = func([]crm.Folder) []crm.Folder { return nil }
	w.pass(time.Hour)
	w.collect()
	w.trouble(ann, "no-folders")
	if got := w.box(ann).Counts.Filed; got != 3 {
		t.Errorf("%d items are filed, want 3 as before", got)
	}
	m.folders = nil
	w.live(ann, 3)
}

// TestListingWithoutEndIsGivenUp: each page says that more follow, for ever.
func TestListingWithoutEndIsGivenUp(t *testing.T) {
	w := connected(t)
	m := w.meddle()
	w.many(250)
	m.changes = func(page *crm.Page) {
		if len(page.Headers) > 0 {
			page.Next, page.More = "", true
		}
	}
	w.pass(time.Hour)
	w.collect()
	w.trouble(ann, "endless-listing")
	m.changes = nil
	w.live(ann, 250)
}

// TestCountThatStaysOffIsNotChased: the server counts an item that it never lists. The
// folder is listed anew once, not at each look.
func TestCountThatStaysOffIsNotChased(t *testing.T) {
	w := connected(t)
	m := w.meddle()
	w.many(5)
	m.folders = func(list []crm.Folder) []crm.Folder {
		for i := range list {
			if list[i].Role == crm.Inbox {
				list[i].Total++
			}
		}
		return list
	}
	listings := 0
	m.changes = func(page *crm.Page) {
		if len(page.Headers) == 10 {
			listings++
		}
	}
	for range 10 {
		w.pass(time.Hour)
		w.collect()
	}
	if listings != 2 {
		t.Errorf("the whole Inbox was listed %d times in ten hours, want 2: at first, and when the count was off", listings)
	}
}

// TestStaleAttachmentIDIsRenewed: an id lives no longer than its item's version.
func TestStaleAttachmentIDIsRenewed(t *testing.T) {
	w := connected(t)
	m := w.meddle()
	stale := 0
	m.list = func(list []crm.Enclosure) {
		if stale++; stale == 1 {
			for i := range list {
				list[i].ID = "AAMkAG5vbmU="
			}
		}
	}
	w.send(letter{from: cyn, to: ann, subject: "offer", extra: "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
		body: "--b\r\nContent-Type: text/plain\r\n\r\nThe offer.\r\n--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=offer.csv\r\n\r\n1,2,3\r\n--b--\r\n"})
	w.collect()
	rows, _, _, err := w.org.Activities(t.Context(), store.MailQuery{})
	w.must(err)
	mail, err := w.org.Message(t.Context(), w.userID(ann), rows[0].Message)
	w.must(err)
	if stale < 2 || len(mail.Attachments) != 1 || mail.Attachments[0].State != store.AttachmentStored {
		t.Errorf("asked %d times, got %+v; want it renewed and stored", stale, mail.Attachments)
	}
}

// TestBackupOfYesterdayIsPutBack: the data folder as it was goes on from there.
func TestBackupOfYesterdayIsPutBack(t *testing.T) {
	w := connected(t)
	items := w.many(4)
	w.collect()
	backup := t.TempDir()
	w.must(w.store.Close())
	w.must(os.CopyFS(backup, os.DirFS(w.dir)))
	w.reopen(w.dir)
	items[1].Delete()
	items[2].Move(items[2].Mailbox().CreateFolder(items[2].Folder(), "Done"))
	w.send(letter{from: cyn, to: ann, subject: "filed after the backup", text: "Text."})
	w.pass(24 * time.Hour)
	w.collect()
	w.must(w.store.Close())
	w.reopen(backup)
	w.pass(time.Hour)
	w.collect()
	w.live(ann, 4)
	if got := w.filed(store.MailQuery{Text: "backup"}); len(got) != 1 {
		t.Errorf("filed %q, want what came after the backup", got)
	}
}

// reopen goes on with a data folder, as a process that is started.
func (w *world) reopen(dir string) {
	w.Helper()
	var err error
	w.store, err = store.Open(w.Context(), store.Options{Dir: dir, Exclusive: true, Now: w.clock})
	w.must(err)
	w.org = w.store.Org(1)
	w.engine = w.newEngine(slog.New(slog.DiscardHandler))
	w.Cleanup(func() { w.store.Close() })
}
