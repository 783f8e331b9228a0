package store_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/crm"
	"postern/store"
	"postern/store/storetest"
)

// A hand on the database: whatever it takes away or alters, the ledger names the item,
// by a problem or by not listing it any more.
func TestLedgerNoticesEachMissingOrAlteredRow(t *testing.T) {
	const filed, notFiled = "item-1", "item-2"
	inBox := func(table string) string {
		return table + " where item_hash in (select item_hash from decision where item = 'item-1')"
	}
	ofMessage := func(table string) string {
		return table + " where message_id in (select message_id from copy where item = 'item-1')"
	}
	const ofActivity = "activity_id in (select a.id from activity a join copy c on c.message_id = a.message_id where c.item = 'item-1')"
	for name, hand := range map[string]struct{ item, sql string }{
		"decision":            {filed, "delete from decision where item = 'item-1'"},
		"decision altered":    {filed, "update decision set outcome = 'not_filed' where item = 'item-1'"},
		"decision unknown":    {filed, "update decision set outcome = 'lost' where item = 'item-1'"},
		"decision renamed":    {filed, "update decision set item = 'other' where item = 'item-1'"},
		"decision not filed":  {notFiled, "delete from decision where item = 'item-2'"},
		"not filed altered":   {notFiled, "update decision set outcome = 'filed' where item = 'item-2'"},
		"trace":               {notFiled, "delete from trace where hash = (select min(hash) from trace)"},
		"copy":                {filed, "delete from " + inBox("copy")},
		"copy gone":           {filed, "update copy set gone_at = 1 where item = 'item-1'"},
		"copy moved":          {filed, "update copy set folder_id = folder_id + 1 where item = 'item-1'"},
		"copy of another":     {filed, "update copy set message_id = message_id + 1000 where item = 'item-1'"},
		"message":             {filed, "delete from message where id in (select message_id from copy where item = 'item-1')"},
		"subject altered":     {filed, "update message set subject = 'x' where id in (select message_id from copy where item = 'item-1')"},
		"body":                {filed, "delete from " + ofMessage("body")},
		"body altered":        {filed, "update body set text = text || '.' where message_id in (select message_id from copy where item = 'item-1')"},
		"participant":         {filed, "delete from " + ofMessage("participant") + " and part = 'cc'"},
		"participant altered": {filed, "update participant set who = 'y@nowhere.example' where part = 'cc' and message_id in (select message_id from copy where item = 'item-1')"},
		"activity":            {filed, "delete from " + ofMessage("activity")},
		"activity's time":     {filed, "update activity set when_at = when_at + 1 where message_id in (select message_id from copy where item = 'item-1')"},
		"link to contact":     {filed, "delete from activity_link where person = 'c' and " + ofActivity},
		"link to user":        {filed, "delete from activity_link where person = 'u' and " + ofActivity},
		"link altered":        {filed, "update activity_link set person_id = person_id + 1000 where person = 'c' and " + ofActivity},
		"My Emails":           {filed, "delete from " + ofMessage("user_message")},
		"attachment":          {filed, "delete from " + ofMessage("attachment")},
		"search":              {filed, "delete from search where "},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
				s := newStage(t, db.Store)
				it := letter("1", cyn, string(ann), "cc:"+string(who))
				it.Attachments = []crm.Attachment{{Name: "a.txt", Content: []byte("content")}}
				s.save(s.page(&s.ann, it, letter("2", who, string(ann)), letter("3", cyn, string(ann))))
				if n := len(s.sound(&s.ann)); n != 3 {
					t.Fatalf("%d rows before", n)
				}
				sql := hand.sql
				if name == "search" {
					column := "rowid"
					if db.Options.Postgres != "" {
						column = "message_id"
					}
					sql += column + " in (select message_id from copy where item = 'item-1')"
				}
				if n := db.Exec(t, sql); n != 1 {
					t.Fatalf("%s touched %d rows", sql, n)
				}
				got := s.ledger(&s.ann)
				row, there := got[hand.item]
				if there && row.Problem == "" {
					t.Errorf("nothing noticed: %+v", got)
				}
				if !there && !strings.HasPrefix(hand.sql, "delete from decision") && name != "decision renamed" {
					t.Errorf("the item is not named: %+v", got)
				}
				if row := got["item-3"]; row.Problem != "" {
					t.Errorf("the wrong item is accused, too: %s", row.Problem)
				}
			})
		})
	}
}

func TestFilingAgainRepairs(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		s.save(s.page(&s.ann, letter("1", cyn, string(ann)), letter("2", cyn, string(ann)), letter("3", cyn, string(ann))))
		db.Exec(t, "delete from activity where message_id = (select message_id from copy where item = 'item-1')")
		db.Exec(t, "delete from body where message_id = (select message_id from copy where item = 'item-2')")
		db.Exec(t, "delete from message where id = (select message_id from copy where item = 'item-3')")
		known, err := s.org.Known(t.Context(), s.ann.ID, []string{"item-1", "item-2", "item-3"})
		s.must(err)
		if len(known) != 0 {
			t.Errorf("known although not whole: %v", known)
		}
		s.save(s.page(&s.ann, letter("1", cyn, string(ann)), letter("2", cyn, string(ann)), letter("3", cyn, string(ann))))
		s.sound(&s.ann)
		if n := len(s.activities(store.MailQuery{Contact: s.cyn})); n != 3 {
			t.Errorf("%d activities, want 3", n)
		}
	})
}

func TestAttachments(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		s.savePolicy(func(p *crm.Policy) { p.AttachmentLimit = 100_000 })
		it := letter("1", cyn, string(ann))
		it.Attachments = []crm.Attachment{{ID: "a0", Name: "../../pending", Size: 50}, {ID: "a1", Name: "large", Size: 100_001}, {ID: "a2", Note: "link to a cloud file"},
			{Name: "along", Content: []byte("came along")}}
		s.save(s.page(&s.ann, it))
		now := noon.AddDate(10, 0, 0)
		pending, err := s.org.PendingAttachments(t.Context(), s.ann.ID, now, 10)
		s.must(err)
		if len(pending) != 1 || pending[0].Attachment.ID != "a0" || pending[0].Item != "item-1" || pending[0].Folder == 0 {
			t.Fatalf("pending: %+v", pending)
		}
		id := pending[0].ID
		s.must(s.org.SaveAttachments(t.Context(), []store.AttachmentResult{{ID: id, State: store.AttachmentFailed, Note: "busy", RetryAt: now.AddDate(0, 0, 1)}}))
		if pending, _ = s.org.PendingAttachments(t.Context(), s.ann.ID, now, 10); len(pending) != 0 {
			t.Errorf("tried again too early: %+v", pending)
		}
		if pending, _ = s.org.PendingAttachments(t.Context(), s.ann.ID, now.AddDate(0, 0, 2), 10); len(pending) != 1 || pending[0].Tries != 1 {
			t.Errorf("not tried again: %+v", pending)
		}

		// Ann deletes hers; Bob's copy brings the ids to fetch with.
		bobs := letter("1", cyn, string(ann))
		bobs.ID, bobs.Attachments = "bobs-item", it.Attachments
		bobs.Attachments[0].ID = "b0"
		p := s.page(&s.ann)
		p.Gone = []string{"item-1"}
		s.save(p)
		s.save(s.page(&s.bob, bobs))
		if pending, _ = s.org.PendingAttachments(t.Context(), s.bob.ID, now.AddDate(0, 0, 2), 10); len(pending) != 1 || pending[0].Attachment.ID != "b0" || pending[0].Item != "bobs-item" {
			t.Errorf("pending in Bob's mailbox: %+v", pending)
		}

		if _, err := s.org.PutBlob(t.Context(), strings.NewReader("far too long"), 5); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("a blob above the limit: %v", err)
		}
		fetched := strings.Repeat("fetched", 10_000) // large enough for a file
		blob, err := s.org.PutBlob(t.Context(), strings.NewReader(fetched), 100_000)
		s.must(err)
		again, err := s.org.PutBlob(t.Context(), strings.NewReader(fetched), 100_000)
		s.must(err)
		if blob.SHA256 != again.SHA256 || blob.Size != 70_000 || again.Size != 70_000 {
			t.Errorf("blobs %v and %v", blob, again)
		}
		s.must(s.org.SaveAttachments(t.Context(), []store.AttachmentResult{{ID: id, State: store.AttachmentStored, Blob: &blob}}))
		a, content, err := s.org.OpenAttachment(t.Context(), id)
		s.must(err)
		data, err := io.ReadAll(content)
		s.must(err)
		s.must(content.Close())
		if string(data) != fetched || a.State != store.AttachmentStored || a.Size != 70_000 || a.Name != "../../pending" {
			t.Errorf("attachment %+v: %q", a, data)
		}
		s.sound(&s.bob)
		files := blobFiles(t, db.Options.Dir)
		if len(files) != 1 {
			t.Fatalf("files: %v, want one for the large content alone", files)
		}
		s.must(os.Remove(files[0]))
		if row := s.ledger(&s.bob)["bobs-item"]; !strings.Contains(row.Problem, "pending") {
			t.Errorf("the missing file is not noticed: %+v", row)
		}
		s.must(os.WriteFile(files[0], []byte(fetched), 0o600))
		s.sound(&s.bob)
		db.Exec(t, "delete from blob")
		if row := s.ledger(&s.bob)["bobs-item"]; !strings.Contains(row.Problem, `"along"`) {
			t.Errorf("the missing content is not noticed: %+v", row)
		}
	})
}

func blobFiles(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(dir, "blobs"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
