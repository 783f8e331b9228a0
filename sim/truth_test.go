package sim

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"postern/ews"
)

// happenings reads a history by its documented names.
func happenings(t *testing.T, lines []byte) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range bytes.Lines(lines) {
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		all = append(all, e)
	}
	return all
}

func TestHistoryTellsWhatBecameOfEachItem(t *testing.T) {
	var journal bytes.Buffer
	x := newExchange(t, Options{Journal: &journal})
	box := x.Mailbox(ann)
	it := deliver(t, x, plain(1))
	first := it.ID()
	folder := box.CreateFolder(box.Folder(Inbox), "Projects")
	it.Move(folder)
	second := it.ID()
	it.MarkRead(true)
	it.SetSubject("Another")
	double := it.Copy(box.Folder(Inbox))
	asUser(t, x, ann).ask(&ews.DeleteItem{IDs: []ews.ItemID{{ID: double.ID()}}, Type: "HardDelete"})
	folder.Delete()

	got := happenings(t, journal.Bytes())
	var kinds []string
	for i, e := range got {
		if e["seq"] != float64(i+1) || e["at"] == nil || e["mailbox"] == nil {
			t.Errorf("event %d: %v", i+1, e)
		}
		kinds = append(kinds, e["kind"].(string))
	}
	want := []string{"mailbox-created", "mailbox-created", "arrived", "folder-created", "moved", "read", "changed", "arrived", "deleted", "deleted", "folder-deleted"}
	if !slices.Equal(kinds, want) {
		t.Fatalf("got %v\nwant %v", kinds, want)
	}
	arrived, moved, changed, copied, deleted := got[2], got[4], got[6], got[7], got[8]
	for name, pair := range map[string][2]any{
		"id at arrival":         {arrived["item"], first},
		"Message-ID":            {arrived["message_id"], "<letter-1@customer.example>"},
		"sender":                {arrived["from"].([]any)[0], "clara@customer.example"},
		"folder of arrival":     {arrived["folder_role"], "inbox"},
		"id after the move":     {moved["item"], second},
		"id before the move":    {moved["was_item"], first},
		"path":                  {moved["folder_path"], "Inbox/Projects"},
		"above":                 {moved["above"].([]any)[0], "inbox"},
		"subject":               {changed["subject"], "Another"},
		"read":                  {changed["read"], true},
		"what was copied":       {copied["was_item"], second},
		"what was then deleted": {deleted["item"], copied["item"]},
		"what went with it":     {got[9]["item"], second},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %v, want %v", name, pair[0], pair[1])
		}
	}
}

func TestTruthIsWhatStands(t *testing.T) {
	x := newExchange(t, Options{})
	fillFromTestdata(t, x)
	gone := deliver(t, x, plain(1))
	gone.Delete()
	moved := deliver(t, x, plain(2))
	moved.Move(x.Mailbox(ann).Folder(DeletedItems))
	moved.Damage(DamagedBody)

	standing := map[string]Copy{}
	if err := x.Truth(func(c Copy) error { standing[c.Item] = c; return nil }); err != nil {
		t.Fatal(err)
	}
	items := 0
	for _, box := range x.Mailboxes() {
		for _, f := range box.Folders() {
			for _, it := range f.Items() {
				items++
				if c, ok := standing[it.ID()]; !ok || c.Folder != f.ID() || c.Mailbox != box.Address() || c.FolderRole != f.Role() {
					t.Errorf("%s in %s: %+v", it.ID(), f.Name(), c)
				}
			}
		}
	}
	if len(standing) != items {
		t.Errorf("%d items stand, told are %d", items, len(standing))
	}
	if c := standing[moved.ID()]; c.Damage != "body" || c.Delivered == 0 || len(c.To) != 1 || c.To[0] != ann {
		t.Errorf("%+v", c)
	}
	bcc := 0
	for _, c := range standing {
		if bcc += len(c.Bcc); len(c.Bcc) > 0 && c.FolderRole != SentItems {
			t.Errorf("a recipient's copy shows Bcc: %+v", c)
		}
	}
	if bcc == 0 {
		t.Error("no copy of a sender shows its Bcc")
	}
}

func TestHistoryCanBeReadBack(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "history"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x := newExchange(t, Options{Journal: f})
	deliver(t, x, plain(1))
	var got bytes.Buffer
	if err := x.History(&got); err != nil || len(happenings(t, got.Bytes())) != 3 {
		t.Errorf("%v in %s", err, got.Bytes())
	}
	if err := newExchange(t, Options{}).History(&got); err == nil {
		t.Error("a history that was never kept was read")
	}
}

func TestCloseTellsOfALostHistory(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "history"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	x, err := New(Options{Journal: f})
	if err != nil {
		t.Fatal(err)
	}
	x.AddMailbox(Person{Address: ann})
	if x.Close() == nil {
		t.Error("the history could not be written and nobody was told")
	}
}
