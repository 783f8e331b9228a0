package sim

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"postern/ews"
)

// A schema check collects what was sent and shows it all to xmllint at the end.
type schemaCheck struct {
	t     *testing.T
	xsd   string
	dir   string
	files []string
}

func newSchemaCheck(t *testing.T) *schemaCheck {
	t.Helper()
	if _, err := exec.LookPath("xmllint"); err != nil {
		if os.Getenv("POSTERN_TEST_REQUIRE") == "1" {
			t.Fatal("xmllint is not installed (Debian: libxml2-utils), and nothing may be left out")
		}
		t.Skip("xmllint is not installed (Debian: libxml2-utils)")
	}
	c := &schemaCheck{t: t, xsd: filepath.Join(shared(t, "schemas"), "messages.xsd"), dir: t.TempDir()}
	t.Cleanup(c.judge)
	return c
}

var soapBody = regexp.MustCompile(`(?s)<(?:s|soap11):Body[^>]*>(.*)</(?:s|soap11):Body>`)

// add takes the body out of an envelope.
func (c *schemaCheck) add(name string, envelope []byte) {
	c.t.Helper()
	body := soapBody.FindSubmatch(envelope)
	if body == nil {
		c.t.Errorf("%s: no envelope: %.300s", name, envelope)
		return
	}
	const namespaces = ` xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages" xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"`
	root, rest, _ := bytes.Cut(body[1], []byte(">"))
	end := ">"
	if bytes.HasSuffix(root, []byte("/")) {
		root, end = root[:len(root)-1], "/>"
	}
	file := filepath.Join(c.dir, strings.ReplaceAll(name, " ", "-")+".xml")
	doc := string(root) + namespaces + end + string(rest)
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.files = append(c.files, file)
}

func (c *schemaCheck) judge() {
	out, err := exec.Command("xmllint", append([]string{"--noout", "--schema", c.xsd}, c.files...)...).CombinedOutput()
	if err == nil {
		return
	}
	for line := range strings.Lines(string(out)) {
		if !strings.HasSuffix(strings.TrimSpace(line), " validates") {
			c.t.Error(strings.TrimSpace(line))
		}
	}
}

// everything asks for all that there is of an item.
func everything() ews.ItemShape {
	s := ews.ItemShape{Base: ews.AllProperties, IncludeMimeContent: true}
	for _, tag := range []uint16{tagArticle, tagURLName, tagSize, tagDeliveryTime, tagFlags, tagModified, tagFlatURLName, tagRecordKey, tagSearchKey, tagSenderSMTP, tagFromSMTP, tagTransportHeaders} {
		s.Additional = append(s.Additional, ews.Tag(tag, "String"))
	}
	for _, uri := range []string{"item:TextBody", "item:UniqueBody", "item:NormalizedBody", "item:Preview"} {
		s.Additional = append(s.Additional, ews.Field(uri))
	}
	return s
}

// operations are requests of every kind, good ones and such as are refused.
func operations(it *Item) map[string]ews.Operation {
	ids := []ews.ItemID{{ID: it.ID()}, {ID: "nonsense"}}
	folders := []ews.FolderID{*inbox(), {Distinguished: "archivemsgfolderroot"}, {ID: "nonsense"}}
	small := ews.ItemShape{Base: ews.DefaultShape}
	page := &ews.PageView{Max: new(2), BasePoint: "Beginning"}
	category := ews.FieldUpdate{Element: ews.SetField, Path: ews.Field("item:Categories"), Item: ews.Item{Element: ews.MessageItem, Categories: []string{"Red"}}}
	read := ews.FieldUpdate{Element: ews.SetField, Path: ews.Field("message:IsRead"), Item: ews.Item{Element: ews.MessageItem, IsRead: new(true)}}
	wrong := ews.FieldUpdate{Element: ews.SetField, Path: ews.Field("item:Size"), Item: ews.Item{Element: ews.MessageItem, Size: 1}}
	return map[string]ews.Operation{
		"GetFolder":                       &ews.GetFolder{Shape: ews.FolderShape{Base: ews.AllProperties, Additional: []ews.Path{ews.Tag(tagCommitTime, "SystemTime"), ews.Tag(tagDeleteCount, "Integer")}}, IDs: folders},
		"FindFolder":                      &ews.FindFolder{Traversal: "Deep", Shape: ews.FolderShape{Base: ews.AllProperties}, View: page, Parents: []ews.FolderID{{Distinguished: "msgfolderroot"}, {ID: "nonsense"}}},
		"CreateFolder":                    &ews.CreateFolder{Parent: inbox(), Folders: []ews.Folder{{Element: ews.PlainFolder, Name: "New"}, {Element: ews.PlainFolder, Name: "New"}}},
		"SyncFolderHierarchy":             &ews.SyncFolderHierarchy{Shape: ews.FolderShape{Base: ews.AllProperties}},
		"SyncFolderItems":                 &ews.SyncFolderItems{Shape: small, Folder: inbox(), Max: 512},
		"SyncFolderItems of a lost state": &ews.SyncFolderItems{Shape: small, Folder: inbox(), Max: 512, SyncState: "bG9zdA=="},
		"FindItem": &ews.FindItem{Traversal: "Shallow", Shape: ews.ItemShape{Base: ews.AllProperties}, View: page, Parents: folders,
			Restriction: &ews.Condition{Element: "Exists", Path: ews.Field("item:Subject")}},
		"GetItem":                 &ews.GetItem{Shape: everything(), IDs: ids},
		"GetAttachment":           &ews.GetAttachment{IDs: []string{"nonsense"}},
		"ResolveNames":            &ews.ResolveNames{Entry: "ann", FullContact: true},
		"ResolveNames of several": &ews.ResolveNames{Entry: "b", FullContact: true},
		"ResolveNames of nobody":  &ews.ResolveNames{Entry: "zacharias"},
		"ConvertId":               &ews.ConvertID{Format: "HexEntryId", IDs: []ews.AlternateID{{Format: "EwsId", ID: it.ID(), Mailbox: "x@y.example"}, {Format: "EwsId", ID: "nonsense", Mailbox: "x@y.example"}}},
		"CreateItem":              &ews.CreateItem{Disposition: "SaveOnly", Items: []ews.Item{{Element: ews.MessageItem, Subject: "Draft", Body: &ews.Body{Type: "Text", Text: "Some text"}}}},
		"UpdateItem": &ews.UpdateItem{Conflict: "AlwaysOverwrite", Disposition: "SaveOnly", Changes: []ews.ItemChange{
			{ID: ids[0], Updates: []ews.FieldUpdate{category, read}}, {ID: ids[0], Updates: []ews.FieldUpdate{wrong}}, {ID: ids[1], Updates: []ews.FieldUpdate{read}}}},
		"CopyItem":   &ews.CopyItem{MoveItem: ews.MoveItem{To: &ews.FolderID{Distinguished: "junkemail"}, IDs: ids}},
		"MoveItem":   &ews.MoveItem{To: &ews.FolderID{Distinguished: "nowhere"}, IDs: ids},
		"DeleteItem": &ews.DeleteItem{Type: "MoveToDeletedItems", IDs: []ews.ItemID{{ID: "nonsense"}}},

		"Subscribe":                   &ews.Subscribe{Streaming: true, AllFolders: true, Events: allEvents},
		"Subscribe to pull":           &ews.Subscribe{Folders: []ews.FolderID{*inbox()}, Events: allEvents, Timeout: 10},
		"Subscribe to no folder":      &ews.Subscribe{Streaming: true, Events: allEvents},
		"Unsubscribe":                 &ews.Unsubscribe{SubscriptionID: "nonsense"},
		"GetEvents of nothing":        &ews.GetEvents{SubscriptionID: "nonsense", Watermark: "nonsense"},
		"GetStreamingEvents, refused": &ews.GetStreamingEvents{SubscriptionIDs: []string{"nonsense"}, Timeout: 1},
	}
}

func TestAnswersValidateAgainstTheSchema(t *testing.T) {
	check := newSchemaCheck(t)
	x := newExchange(t, Options{})
	x.AddMailbox(Person{"Bea Brown", "bea@company.example"})
	it := fillFromTestdata(t, x)
	c := asUser(t, x, ann)
	seen := map[string]bool{}
	for name, op := range operations(it) {
		status, body := c.send(op)
		if status != http.StatusOK {
			t.Errorf("%s: status %d: %.300s", name, status, body)
			continue
		}
		check.add(name, body)
		seen[op.Operation()] = true
	}
	for _, box := range x.Mailboxes() {
		for _, f := range box.Folders() {
			for i, it := range f.Items() {
				_, body := asUser(t, x, box.Address()).send(&ews.GetItem{Shape: everything(), IDs: []ews.ItemID{{ID: it.ID()}}})
				check.add(strings.Join([]string{"item", string(box.Address()), f.Name(), string(rune('a' + i))}, " "), body)
			}
		}
	}
	x.MakeTrouble(Trouble{Kind: BusyEntry})
	for name, op := range operations(it) {
		if name == "GetAttachment" || name == "GetItem" {
			_, body := c.send(op)
			check.add("busy "+name, body)
		}
	}
}

func TestForeignRequestsAreUnderstood(t *testing.T) {
	dir := shared(t, "fixtures/client-requests")
	files, err := filepath.Glob(filepath.Join(dir, "*.xml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no requests in %s: %v", dir, err)
	}
	x := newExchange(t, Options{})
	x.AddAccount(Account{Login: string(ann), Password: password})
	fillFromTestdata(t, x)
	for _, file := range files {
		request, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/ews/exchange.asmx", bytes.NewReader(request))
		r.SetBasicAuth(string(ann), password)
		w := httptest.NewRecorder()
		x.ServeHTTP(w, r)
		a := readAnswer(t, w.Body.Bytes())
		want := "NoError"
		if name := filepath.Base(file); strings.Contains(name, "GetItem") || strings.Contains(name, "ConvertId") {
			want = "ErrorInvalidIdMalformed" // their ids are another server's
		}
		if w.Code != http.StatusOK || a.code() != want || a.Version.Major != "15" {
			t.Errorf("%s: status %d, code %s, want 200 %s", filepath.Base(file), w.Code, a.code(), want)
		}
	}
}

func TestUnknownOperationIsNoFault(t *testing.T) {
	x := newExchange(t, Options{})
	status, body := asUser(t, x, ann).send(&ews.Unknown{Name: "GetUserOofSettings"})
	a := readAnswer(t, body)
	if status != http.StatusOK || a.code() != "ErrorInvalidOperation" || a.messages()[0].Class != "Error" {
		t.Errorf("status %d, %+v", status, a)
	}
}

// TestManyAtOnce lets clients ask for everything while the mailbox changes; the race
// detector is the judge, and each answer must be whole.
func TestManyAtOnce(t *testing.T) {
	x := newExchange(t, Options{})
	it := fillFromTestdata(t, x)
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 4 {
		wg.Go(func() {
			c := asUser(t, x, ann)
			for name, op := range operations(it) {
				if status, body := c.send(op); status != http.StatusOK || !bytes.HasSuffix(body, []byte("</s:Envelope>")) {
					t.Errorf("%s: status %d, %d bytes", name, status, len(body))
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 50 {
			items, err := x.Deliver(plain(i))
			if err != nil {
				t.Error(err)
				return
			}
			items[0].MarkRead(true)
			items[0].SetSubject("Changed")
			items[0].Move(x.Mailbox(ann).Folder(JunkEmail))
			items[0].Copy(x.Mailbox(ann).Folder(Inbox)).Delete()
		}
	})
}
