package ews

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/crm"
)

// TestLadder: an item falls as far as it must, what was got on the way is kept, and the
// first reason stays.
func TestLadder(t *testing.T) {
	const properties, mime, attachments = "ErrorContentConversionFailed", "ErrorMimeContentConversionFailed", "ErrorCorruptData"
	rungOf := func(op *GetItem) int {
		switch {
		case op.Shape.IncludeMimeContent:
			return 1
		case asks(op, "item:Body"):
			return 0
		}
		return 2
	}
	// how many rungs fail, and what is left then
	for _, tt := range []struct {
		name    string
		class   string
		fails   []string // codes, rung after rung; "" = that one holds
		text    string
		files   int
		fault   string
		missing crm.Missing
		absent  bool
	}{
		{"whole", "IPM.Note", nil, "text", 1, "", crm.NothingMissing, false},
		{"from MIME", "IPM.Note", []string{properties}, "from the original", 0, "", crm.NothingMissing, false},
		{"without the text", "IPM.Note", []string{properties, mime}, "", 1, properties, crm.TextMissing, false},
		{"the header alone", "IPM.Note", []string{properties, mime, attachments}, "", 0, properties, crm.BodyMissing, false},
		{"vanishes on the way", "IPM.Note", []string{properties, "ErrorItemNotFound"}, "", 0, "", "", true},
		{"sealed", "IPM.Note.SMIME", nil, "from the original", 0, "", crm.NothingMissing, false},
		{"sealed, without an original", "IPM.Note.SMIME", []string{"", mime}, "", 1, mime, crm.TextMissing, false},
		{"sealed, and nothing to be had", "IPM.Note.SMIME", []string{"", mime, attachments}, "", 0, mime, crm.BodyMissing, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, headers := letters(3)
			m.t = t
			const bad = "id-001"
			headers[1].Class = tt.class
			m.items[bad].Body.Text = "text"
			m.items[bad].Attachments = []Attachment{{Element: FileAttachment, ID: "T", Name: "a.pdf"}}
			m.items[bad].Mime = &Content{Bytes: []byte("Subject: x\r\nContent-Type: text/plain\r\n\r\nfrom the original\r\n")}
			m.trouble = func(op *GetItem, id string) string {
				if r := rungOf(op); id == bad && r < len(tt.fails) {
					return tt.fails[r]
				}
				return ""
			}
			s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
				answers, fault := m.answer(r)
				if op, ok := r.Op.(*GetItem); ok && rungOf(op) == 2 {
					for i, id := range op.IDs {
						if a := answers[i].(*ItemsResult); len(a.Items) > 0 {
							a.Items[0].Attachments = m.items[id.ID].Attachments
						}
					}
				}
				return answers, fault
			})
			got := map[string]*crm.Item{}
			if err := s.source(t).Load(t.Context(), ann, headers, func(i *crm.Item) error { got[i.ID] = i; return nil }); err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"id-000", "id-002"} {
				if i := got[id]; i == nil || i.Fault != nil || i.Missing != "" || i.Text != "text of "+id {
					t.Errorf("its neighbour %s: %+v", id, i)
				}
			}
			i := got[bad]
			if tt.absent {
				if i != nil {
					t.Errorf("got %+v of what has vanished", i)
				}
				return
			}
			fault := ""
			if i.Fault != nil {
				fault = i.Fault.Code
			}
			if strings.TrimSpace(i.Text) != tt.text || len(i.Attachments) != tt.files || fault != tt.fault || i.Missing != tt.missing {
				t.Errorf("got text %q, %d attachments, fault %q, missing %q; want %q, %d, %q, %q", i.Text, len(i.Attachments), fault, i.Missing, tt.text, tt.files, tt.fault, tt.missing)
			}
			if i.Class != tt.class {
				t.Error("the header was lost")
			}
		})
	}
}

// TestMIMEIsMadeAnew: two reads of one message differ in boundaries, folding and encoding,
// and are the same message to us.
func TestMIMEIsMadeAnew(t *testing.T) {
	m, headers := letters(1)
	m.t = t
	m.trouble = func(op *GetItem, _ string) string {
		if !op.Shape.IncludeMimeContent {
			return "ErrorContentConversionFailed"
		}
		return ""
	}
	s := newServer(t, m.answer)
	src := s.source(t)
	var reads []crm.Body
	for _, mime := range []string{
		"Subject: Grüße\r\n an alle\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=one\r\n\r\n--one\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=\r\n=C3=9Fe\r\n--one\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--one--\r\n",
		"MIME-Version: 1.0\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= an alle\nContent-Type: multipart/mixed;\n boundary=\"=_two\"\n\n--=_two\nContent-Transfer-Encoding: base64\nContent-Type: text/plain;\n charset=\"UTF-8\"\n\nR3LDvMOfZQ==\n--=_two\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment;\n filename=\"a.pdf\"\nContent-Type: application/pdf\n\nQU\nJD\n--=_two--\n",
	} {
		m.items["id-000"].Mime = &Content{Bytes: []byte(mime)}
		if err := src.Load(t.Context(), ann, headers, func(i *crm.Item) error {
			if i.Fault != nil {
				t.Error(i.Fault)
			}
			i.Text = strings.TrimSpace(i.Text)
			reads = append(reads, i.Body)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if len(reads) != 2 || reads[0].Text != "Grüße" || len(reads[0].Attachments) != 1 {
		t.Fatalf("read %+v", reads)
	}
	if d := gocmp.Diff(reads[0], reads[1]); d != "" {
		t.Errorf("the second read differs:\n%s", d)
	}
}

// TestNineAnswersForTen: they cannot be told apart, so nothing of them is believed but
// what says itself whose it is, and each is asked for alone.
func TestNineAnswersForTen(t *testing.T) {
	for _, drop := range []int{0, 4, 9} {
		m, headers := letters(10)
		m.t = t
		m.items["id-003"] = nil
		s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
			answers, fault := m.answer(r)
			if op, ok := r.Op.(*GetItem); ok && len(op.IDs) == 10 {
				answers = slices.Delete(answers, drop, drop+1)
			}
			return answers, fault
		})
		got, err := load(t, s.source(t), headers)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			id := fmt.Sprintf("id-%03d", i)
			if text, ok := got[id]; ok != (i != 3) || ok && text != "text of "+id {
				t.Errorf("without answer %d: %s is %q", drop, id, text)
			}
		}
	}
}

// listed answers SyncFolderItems by page size and state, and GetItem as a mailbox would.
func listed(t *testing.T, m *mailboxScript, page func(op *SyncFolderItems) *SyncFolderItemsResult) *server {
	m.t = t
	return newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		if op, ok := r.Op.(*SyncFolderItems); ok {
			return []Answer{page(op)}, nil
		}
		return m.answer(r)
	})
}

// deletions are n changes that say that items went.
func deletions(n int) (list []SyncChange) {
	for i := range n {
		list = append(list, SyncChange{Kind: Deleted, ID: ItemID{ID: fmt.Sprint("gone-", i)}})
	}
	return list
}

// TestFullLastPageIsNotBelieved: servers cut deletions at the page's size and yet say that
// it was the last.
func TestFullLastPageIsNotBelieved(t *testing.T) {
	m, _ := letters(0)
	left := syncPage + 120
	s := listed(t, m, func(op *SyncFolderItems) *SyncFolderItemsResult {
		n := min(left, int(op.Max))
		left -= n
		return &SyncFolderItemsResult{Result: Succeeded(), SyncState: fmt.Sprint("after-", left), Last: true, Changes: deletions(n)}
	})
	src, gone, pages := s.source(t), 0, 0
	for cursor, more := crm.Cursor("S"), true; more; pages++ {
		page, err := src.Changes(t.Context(), ann, crm.Folder{ID: "F"}, cursor)
		if err != nil {
			t.Fatal(err)
		}
		gone += len(page.Gone)
		cursor, more = page.Next, page.More
	}
	if gone != syncPage+120 || pages != 2 {
		t.Errorf("%d deletions in %d pages", gone, pages)
	}
}

// TestErrorKeepsTheState: the error form says an empty state and "last", and both would
// lose something if they were believed.
func TestErrorKeepsTheState(t *testing.T) {
	m, _ := letters(0)
	s := listed(t, m, func(*SyncFolderItems) *SyncFolderItemsResult {
		return &SyncFolderItemsResult{Result: Failed("ErrorServerBusy", "später"), SyncState: "", Last: true}
	})
	page, err := s.source(t).Changes(t.Context(), ann, crm.Folder{ID: "F"}, "S")
	if page != nil || crm.AsFault(err).Code != "ErrorServerBusy" {
		t.Errorf("got %+v, %v", page, err)
	}
}

// TestReadFlagAsUpdate: some servers tell a read flag as a change of the item; it is read
// anew, and its header says the flag.
func TestReadFlagAsUpdate(t *testing.T) {
	m, _ := letters(1)
	m.items["id-000"].IsRead = new(true)
	s := listed(t, m, func(*SyncFolderItems) *SyncFolderItemsResult {
		return &SyncFolderItemsResult{Result: Succeeded(), SyncState: "T", Last: true, Changes: []SyncChange{
			{Kind: Updated, Item: Item{Element: MessageItem, ID: ItemID{ID: "id-000", ChangeKey: "K2"}}},
		}}
	})
	page, err := s.source(t).Changes(t.Context(), ann, crm.Folder{ID: "F"}, "S")
	if err != nil || len(page.Headers) != 1 || !page.Headers[0].Read || len(page.Read) != 0 || page.More {
		t.Errorf("got %+v, %v", page, err)
	}
}

// TestStateAnsweredFromTheStart: a server that takes a state and then lists everything
// anew loses nothing: all of it comes as new, and the state moves on.
func TestStateAnsweredFromTheStart(t *testing.T) {
	m, _ := letters(3)
	s := listed(t, m, func(op *SyncFolderItems) *SyncFolderItemsResult {
		r := &SyncFolderItemsResult{Result: Succeeded(), SyncState: "new", Last: true}
		for _, id := range []string{"id-000", "id-001", "id-002"} {
			r.Changes = append(r.Changes, SyncChange{Kind: Created, Item: Item{Element: MessageItem, ID: ItemID{ID: id}}})
		}
		return r
	})
	page, err := s.source(t).Changes(t.Context(), ann, crm.Folder{ID: "F"}, "old")
	if err != nil || len(page.Headers) != 3 || page.Next != "new" || page.More || len(page.Gone) != 0 {
		t.Errorf("got %+v, %v", page, err)
	}
}

// TestPoisonedListing: one change that the server stumbles over fails every page that
// holds it. Pages get smaller until they pass up to it, and only it remains.
func TestPoisonedListing(t *testing.T) {
	const poison = 37 // the change after these
	for code, healed := range map[string]bool{"ErrorInternalServerError": false, "ErrorItemCorrupt": true} {
		t.Run(code, func(t *testing.T) {
			var sizes []int64
			good := false
			m, _ := letters(0)
			s := listed(t, m, func(op *SyncFolderItems) *SyncFolderItemsResult {
				from := 0
				fmt.Sscanf(op.SyncState, "at-%d", &from)
				sizes = append(sizes, op.Max)
				to := min(from+int(op.Max), 100)
				if !good && from <= poison && to > poison {
					return &SyncFolderItemsResult{Result: Failed(code, ""), Last: true}
				}
				return &SyncFolderItemsResult{Result: Succeeded(), SyncState: fmt.Sprint("at-", to), Last: to == 100, Changes: deletions(to - from)}
			})
			src, cursor := s.source(t), crm.Cursor("at-0")
			var fault error
			got := 0
			for more := true; more && fault == nil; {
				page, err := src.Changes(t.Context(), ann, crm.Folder{ID: "F"}, cursor)
				if fault = err; err == nil {
					got += len(page.Gone)
					cursor, more = page.Next, page.More
				}
			}
			f := crm.AsFault(fault)
			if cursor != crm.Cursor(fmt.Sprint("at-", poison)) || got != poison || f.Code != code || f.Scope != crm.FolderScope || sizes[len(sizes)-1] != 1 {
				t.Errorf("read %d changes up to %s, then %v; asked for %v", got, cursor, fault, sizes)
			}
			if good = healed; healed {
				if page, err := src.Changes(t.Context(), ann, crm.Folder{ID: "F"}, cursor); err != nil || len(page.Gone) != 100-poison {
					t.Errorf("after it was repaired: %+v, %v", page, err)
				}
			}
		})
	}
}

// TestFewerRows: a server that allows fewer rows at once is asked for fewer.
func TestFewerRows(t *testing.T) {
	var sizes []int
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		op := r.Op.(*FindItem)
		sizes = append(sizes, *op.View.Max)
		if *op.View.Max > 250 {
			return []Answer{&FindItemResult{Result: Failed("ErrorExceededFindCountLimit", "")}}, nil
		}
		return []Answer{&FindItemResult{Result: Succeeded(), Paging: Paging{Last: new(true)}, Items: []Item{*letter("A")}}}, nil
	})
	n := 0
	err := s.source(t).Items(t.Context(), ann, crm.Folder{ID: "F"}, func(ids []string) error { n += len(ids); return nil })
	if err != nil || n != 1 || !slices.Equal(sizes, []int{findPage, findLess}) {
		t.Errorf("%d items, %v, asked for %v", n, err, sizes)
	}
}

// TestTimeoutsDoNotAddUp: a listing that times out is not asked for in ever smaller pages.
func TestTimeoutsDoNotAddUp(t *testing.T) {
	s := newServer(t, anything)
	src := s.source(t).(*source)
	if err := ask(src.client, "ann@example.com"); err != nil {
		t.Fatal(err)
	}
	src.client.cfg.Timeout = 1
	before := s.count()
	s.before = func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
	_, err := src.Changes(t.Context(), ann, crm.Folder{ID: "F"}, "S")
	if f := crm.AsFault(err); f.Code != "timeout" || s.count()-before > maxMisses {
		t.Errorf("%v after %d requests", err, s.count()-before)
	}
}
