package ews

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// answerTo makes an empty answer to an operation, nil when it is none of ours.
func answerTo(operation string) Answer {
	switch operation {
	case "GetFolder", "CreateFolder":
		return new(FoldersResult)
	case "FindFolder":
		return new(FindFolderResult)
	case "SyncFolderHierarchy":
		return new(SyncFolderHierarchyResult)
	case "SyncFolderItems":
		return new(SyncFolderItemsResult)
	case "FindItem":
		return new(FindItemResult)
	case "GetItem", "CreateItem", "UpdateItem", "MoveItem", "CopyItem":
		return new(ItemsResult)
	case "GetAttachment":
		return new(AttachmentsResult)
	case "ResolveNames":
		return new(ResolveNamesResult)
	case "ExpandDL":
		return new(ExpandDLResult)
	case "DeleteItem", "Unsubscribe":
		return new(Result)
	case "ConvertId":
		return new(ConvertIDResult)
	case "Subscribe":
		return new(SubscribeResult)
	case "GetEvents":
		return new(GetEventsResult)
	case "GetStreamingEvents":
		return new(GetStreamingEventsResult)
	}
	return nil
}

// readResponse reads a whole answer of any operation.
func readResponse(r io.Reader) (operation string, header Header, answers []Answer, err error) {
	x := &codec{d: newDecoder(r)}
	if err := x.openEnvelope(&header); err != nil {
		return "", header, nil, err
	}
	operation = strings.TrimSuffix(string(x.d.local), "Response")
	if answerTo(operation) == nil {
		return operation, header, nil, errForeign
	}
	eachMessage(x, func() {
		a := answerTo(operation)
		x.read(a)
		answers = append(answers, a)
	})
	return operation, header, answers, x.closeEnvelope()
}

var errForeign = errors.New("an operation that is not implemented")

// notRead are elements of Microsoft's samples that nobody here asks for.
var notRead = map[string]bool{
	"EffectiveRights": true, "ResponseObjects": true, "Culture": true, "FileAsMapping": true, "PhysicalAddresses": true,
	"CompleteName": true, "MeetingTimeZone": true, "Recurrence": true, "FirstOccurrence": true, "LastOccurrence": true,
	"ModifiedOccurrences": true, "DeletedOccurrences": true, "ConflictingMeetingCount": true, "AdjacentMeetingCount": true,
	"ConferenceType": true, "IsOnlineMeeting": true, "AllowNewTimeProposal": true, "PostalAddressIndex": true, "HasPicture": true,
	"EntityExtractionResult": true, "WebClientReadFormQueryString": true, "Photo": true, "IntendedFreeBusyStatus": true,
	"ItemID":        true, // a slip of the sample: the wire says ItemId
	"FieldURI":      true, // in MessageXml: read, but written as a Value
	"PermissionSet": true, "ReminderNextTime": true, "IsResponseRequested": true, "Groups": true, "StartTimeZone": true, "EndTimeZone": true,
}

// TestMicrosoftSamples decodes every answer of Microsoft's documentation to an operation
// that is implemented, writes it again, and finds every text and id of the sample in it.
func TestMicrosoftSamples(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(shared(t, "fixtures/microsoft-docs"), "*.response.ok.xml"))
	decoded := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		operation, header, answers, err := readResponse(bytes.NewReader(b))
		if errors.Is(err, errForeign) {
			continue
		}
		if errors.Is(err, ErrNotSOAP) && !bytes.Contains(b, []byte("Envelope")) {
			continue // a fragment of an answer
		}
		decoded++
		t.Run(filepath.Base(f), func(t *testing.T) {
			if err != nil {
				t.Fatal(err)
			}
			if len(answers) == 0 {
				t.Fatal("no response message")
			}
			var out bytes.Buffer
			if err := WriteResponse(&out, header.Server, operation, answers...); err != nil {
				t.Fatal(err)
			}
			_, _, again, err := readResponse(bytes.NewReader(out.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(answers, again, cmpopts.IgnoreUnexported(Value{}), cmpopts.IgnoreFields(Content{}, "Err")); d != "" {
				t.Errorf("reads otherwise when written again:\n%s", d)
			}
			have := map[string]int{}
			for _, s := range leaves(t, out.Bytes()) {
				have[s]++
			}
			for _, s := range leaves(t, b) {
				if have[s]--; have[s] < 0 {
					t.Errorf("lost %s", s)
				}
			}
		})
	}
	if decoded < 30 {
		t.Errorf("only %d of %d samples are of operations that are implemented", decoded, len(files))
	}
}

// leaves lists the texts and attributes of a document with the names they stand under.
func leaves(t *testing.T, in []byte) []string {
	t.Helper()
	var list []string
	d := xml.NewDecoder(bytes.NewReader(in))
	var text strings.Builder
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if notRead[tok.Name.Local] {
				if err := d.Skip(); err != nil {
					t.Fatal(err)
				}
				continue
			}
			text.Reset()
			for _, a := range tok.Attr {
				if a.Name.Space == "" && a.Name.Local != "xmlns" {
					list = append(list, tok.Name.Local+"@"+a.Name.Local+"="+a.Value)
				}
			}
		case xml.CharData:
			text.Write(tok)
		case xml.EndElement:
			s := strings.TrimSuffix(strings.TrimSpace(text.String()), "Z")      // times without a zone are UTC
			elided := strings.ContainsAny(s, "…") || strings.Contains(s, "...") // by who wrote the sample
			if s != "" && !elided {
				list = append(list, tok.Name.Local+"="+s)
			}
			text.Reset()
		}
	}
}

// TestMalformedSamples reads samples that are damaged: each gives an error.
func TestMalformedSamples(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(shared(t, "fixtures/microsoft-docs"), "*.malformed.xml"))
	if len(files) == 0 {
		t.Fatal("no samples")
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, _, err = readResponse(bytes.NewReader(b)); err == nil {
				t.Error("no error")
			}
			t.Log(err)
		})
	}
}

// TestRequestsAreValid validates every request that is sent against Microsoft's schema.
func TestRequestsAreValid(t *testing.T) {
	schema, dir := schemaFile(t), t.TempDir()
	var files []string
	for i, op := range sampleOperations() {
		h := Header{Version: Exchange2013SP1, TimeZone: "UTC"}
		h.Impersonation.PrimarySmtpAddress = "ann@example.com"
		file := filepath.Join(dir, fmt.Sprintf("%02d-%s.xml", i, op.Operation()))
		if err := os.WriteFile(file, marshal(&Request{Header: h, Op: op}), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	cmd := exec.Command("xmllint", append([]string{"--noout", "--nonet", "--schema", schema}, files...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// schemaFile writes a schema that knows envelopes around Microsoft's own.
func schemaFile(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("xmllint"); err != nil {
		if os.Getenv("POSTERN_TEST_REQUIRE") == "1" {
			t.Fatal("xmllint is not installed (Debian: libxml2-utils), and nothing may be left out")
		}
		t.Skip("xmllint is not installed (Debian: libxml2-utils)")
	}
	dir, err := filepath.Abs(shared(t, "schemas"))
	if err != nil {
		t.Fatal(err)
	}
	const body = `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="` + nsSOAP + `" elementFormDefault="qualified">
 <xs:element name="Envelope"><xs:complexType><xs:sequence>
  <xs:element name="Header" minOccurs="0"><xs:complexType><xs:sequence><xs:any processContents="strict" minOccurs="0" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element>
  <xs:element name="Body"><xs:complexType><xs:sequence><xs:any processContents="strict" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element>
 </xs:sequence></xs:complexType></xs:element></xs:schema>`
	tmp := t.TempDir()
	if err := os.WriteFile(filepath.Join(tmp, "soap.xsd"), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	all := `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
 <xs:import namespace="` + nsSOAP + `" schemaLocation="soap.xsd"/>
 <xs:import namespace="` + nsMessages + `" schemaLocation="file://` + dir + `/messages.xsd"/>
 <xs:import namespace="` + nsTypes + `" schemaLocation="file://` + dir + `/types.xsd"/></xs:schema>`
	file := filepath.Join(tmp, "all.xsd")
	if err := os.WriteFile(file, []byte(all), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// sampleOperations are requests as the source and the tests of others send them.
func sampleOperations() []Operation {
	inbox := &FolderID{Distinguished: "inbox"}
	folder := &FolderID{ID: "F1", ChangeKey: "K"}
	ids := []ItemID{{ID: "A1", ChangeKey: "K1"}, {ID: "A2"}}
	yes := true
	stamp := ExtendedFieldURI{DistinguishedSet: "PublicStrings", Name: "x-crm-stamp", Type: "String"}
	message := Item{
		Element: MessageItem, Class: "IPM.Note", Subject: "Hello & goodbye\r\n", Body: &Body{Type: "HTML", Text: "<p>Hi</p>"},
		Categories: []string{"CRM"}, Extended: []ExtendedProperty{{Field: stamp, Value: "v1"}, {Field: PropTag(0x1013, "StringArray"), Values: []string{"a", "b"}}},
		To: []Mailbox{{Name: "Bob", EmailAddress: "bob@example.com", RoutingType: RoutingSMTP}}, IsRead: &yes,
		InternetMessageID: "<1@example.com>",
	}
	where := &Condition{Element: "And", All: []Condition{
		{Element: "IsGreaterThanOrEqualTo", Path: Field("item:DateTimeReceived"), Constant: "2026-01-01T00:00:00Z"},
		{Element: "Contains", Mode: "Substring", Comparison: "IgnoreCase", Path: Field("message:From"), Constant: "@example.com"},
		{Element: "Or", All: []Condition{
			{Element: "Not", All: []Condition{{Element: "Exists", Path: Tag(0x3613, "String")}}},
			{Element: "Excludes", Path: Tag(0x0E07, "Integer"), Bitmask: "0x01"},
			{Element: "IsEqualTo", Path: Field("item:DateTimeSent"), Other: &Path{FieldURI: "item:DateTimeReceived"}},
			{Element: "IsNotEqualTo", Path: Path{FieldURI: "contacts:EmailAddress", FieldIndex: "EmailAddress1"}, Constant: ""},
		}},
	}}
	return []Operation{
		&GetFolder{Shape: folderShape, IDs: []FolderID{*inbox, *folder, {Distinguished: "inbox", Mailbox: &Mailbox{EmailAddress: "bob@example.com"}}}},
		rootFolder(),
		&FindFolder{Traversal: "Deep", Shape: FolderShape{Base: DefaultShape}, View: &PageView{Max: new(500), BasePoint: "Beginning"}, Restriction: where, Parents: []FolderID{*inbox}},
		&CreateFolder{Parent: inbox, Folders: []Folder{{Element: PlainFolder, Class: "IPF.Note", Name: "New"}}},
		&SyncFolderHierarchy{Shape: folderShape, Folder: inbox, SyncState: "H4sI"},
		&SyncFolderItems{Shape: ItemShape{Base: IDOnly}, Folder: folder, SyncState: "H4sI", Ignore: ids, Max: syncPage, Scope: "NormalItems"},
		&FindItem{
			Traversal: "Shallow", Shape: ItemShape{Base: IDOnly}, View: &PageView{Max: new(findPage), Offset: 999, BasePoint: "Beginning"},
			Restriction: where, Sort: []Order{{"Ascending", Field("item:DateTimeReceived")}}, Parents: []FolderID{*folder}, Query: "subject:x",
		},
		&GetItem{Shape: headerShape(Exchange2013SP1), IDs: ids},
		&GetItem{Shape: headerShape(Exchange2007SP1), IDs: ids},
		&GetItem{Shape: bodyShape, IDs: ids},
		&GetItem{Shape: ItemShape{Base: IDOnly, IncludeMimeContent: true, BodyType: "Best", FilterHTML: &yes, MaximumBodySize: new(10)}, IDs: ids},
		&GetAttachment{IDs: []string{"T1", "T2"}},
		&GetAttachment{Shape: &AttachmentShape{IncludeMimeContent: true, BodyType: "Best", Additional: []Path{Field("item:Subject")}}, IDs: []string{"T1"}},
		&ResolveNames{Entry: "/o=Example/cn=bob", Scope: "ActiveDirectory"},
		&ResolveNames{Entry: "bob", FullContact: true, Parents: []FolderID{*inbox}},
		&ExpandDL{Group: Mailbox{EmailAddress: "crm-users@example.com"}},
		&CreateItem{Disposition: "SaveOnly", Folder: inbox, Items: []Item{message}},
		&UpdateItem{Conflict: "AutoResolve", Disposition: "SaveOnly", Invitations: "SendToNone", SuppressReceipts: &yes, Changes: []ItemChange{{ID: ids[0], Updates: []FieldUpdate{
			{Element: SetField, Path: Field("message:IsRead"), Item: Item{Element: MessageItem, IsRead: &yes}},
			{Element: SetField, Path: Path{Extended: stamp}, Item: Item{Element: MessageItem, Extended: []ExtendedProperty{{Field: stamp, Value: "v2"}}}},
			{Element: DeleteField, Path: Field("item:Categories")},
		}}}},
		&MoveItem{To: folder, IDs: ids, ReturnIDs: &yes},
		&CopyItem{MoveItem{To: inbox, IDs: ids}},
		&DeleteItem{Type: "HardDelete", SuppressReceipts: &yes, IDs: ids},
		&ConvertID{Format: "HexEntryId", IDs: []AlternateID{{Format: "EwsId", ID: "A1", Mailbox: "ann@example.com"}}},
		&Subscribe{Streaming: true, AllFolders: true, Events: eventKinds[:len(eventKinds)-1]},
		&Subscribe{Streaming: true, Folders: []FolderID{*inbox, *folder}, Events: []EventKind{NewMailEvent}},
		&Subscribe{AllFolders: true, Events: []EventKind{NewMailEvent, DeletedEvent}, Watermark: "AAAA", Timeout: 30},
		&Unsubscribe{SubscriptionID: "S1"},
		&GetEvents{SubscriptionID: "S1", Watermark: "AAAA"},
		&GetStreamingEvents{SubscriptionIDs: []string{"S1", "S2"}, Timeout: 29},
	}
}

// sampleAnswers are answers about groups and subscriptions, as a server gives them.
func sampleAnswers() map[string][]Answer {
	at := time.Date(2026, 8, 1, 10, 0, 0, 0, time.UTC)
	item, folder := func(id string) *ItemID { return &ItemID{ID: id, ChangeKey: "K"} }, func(id string) *FolderID { return &FolderID{ID: id, ChangeKey: "K"} }
	events := []MailboxEvent{
		{Kind: CreatedEvent, Watermark: "W1", TimeStamp: at, Item: item("A1"), Parent: folder("F1")},
		{Kind: NewMailEvent, Watermark: "W2", TimeStamp: at, Item: item("A1"), Parent: folder("F1")},
		{Kind: ModifiedEvent, Watermark: "W3", TimeStamp: at, Folder: folder("F1"), Parent: folder("F0"), Unread: new(3)},
		{Kind: MovedEvent, Watermark: "W4", TimeStamp: at, Item: item("A2"), Parent: folder("F2"), OldItem: item("A1"), OldParent: folder("F1")},
		{Kind: CopiedEvent, Watermark: "W5", TimeStamp: at, Folder: folder("F3"), Parent: folder("F0"), OldFolder: folder("F2"), OldParent: folder("F9")},
		{Kind: DeletedEvent, Watermark: "W6", TimeStamp: at, Item: item("A2"), Parent: folder("F2")},
		{Kind: FreeBusyChangedEvent, Watermark: "W7", TimeStamp: at, Item: item("A3"), Parent: folder("F4")},
		{Kind: StatusEvent, Watermark: "W8"},
	}
	pulled := Notification{SubscriptionID: "S1", PreviousWatermark: "W0", MoreEvents: new(false), Events: events}
	streamed := Notification{SubscriptionID: "S1", Events: events}
	gone := Failed("ErrorSubscriptionNotFound", "Das Abonnement wurde nicht gefunden.")
	members := []Mailbox{{Name: "Ann", EmailAddress: "ann@example.com", RoutingType: RoutingSMTP, BoxType: "Mailbox"}, {Name: "Sales", EmailAddress: "sales@example.com", RoutingType: RoutingSMTP, BoxType: PublicGroup}}
	return map[string][]Answer{
		"ExpandDL":    {&ExpandDLResult{Result: Succeeded(), Paging: Paging{Total: new(2), Last: new(true)}, Members: members}, &ExpandDLResult{Result: Failed("ErrorNameResolutionNoResults", "")}},
		"Subscribe":   {&SubscribeResult{Result: Succeeded(), SubscriptionID: "S1", Watermark: "W0"}, &SubscribeResult{Result: Succeeded(), SubscriptionID: "S1"}, &SubscribeResult{Result: Failed("ErrorExceededSubscriptionCount", "")}},
		"Unsubscribe": {new(Succeeded()), &gone},
		"GetEvents":   {&GetEventsResult{Result: Succeeded(), Notification: &pulled}, &GetEventsResult{Result: gone}},
		"GetStreamingEvents": {
			&GetStreamingEventsResult{Result: Succeeded(), Status: ConnectionOK},
			&GetStreamingEventsResult{Result: Succeeded(), Notifications: []Notification{streamed, {SubscriptionID: "S2", Events: events[:1]}}},
			&GetStreamingEventsResult{Result: gone, ErrorIDs: []string{"S1", "S2"}, Status: ConnectionOK},
		},
	}
}

// TestAnswersAreValid validates answers that no fixture has against Microsoft's
// schema, and reads what was written.
func TestAnswersAreValid(t *testing.T) {
	schema, dir := schemaFile(t), t.TempDir()
	for operation, answers := range sampleAnswers() {
		var b bytes.Buffer
		if err := WriteResponse(&b, ServerVersion{}, operation, answers...); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, operation+".xml")
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("xmllint", "--noout", "--nonet", "--schema", schema, file).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		_, _, got, err := readResponse(&b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(answers, got, cmpopts.IgnoreUnexported(Value{})); d != "" {
			t.Errorf("%s:\n%s", operation, d)
		}
	}
}

// TestNotificationInEitherNamespace: the schema has them in one, servers write the other.
func TestNotificationInEitherNamespace(t *testing.T) {
	n := Notification{SubscriptionID: "S1", Events: []MailboxEvent{{Kind: NewMailEvent, Item: &ItemID{ID: "A1"}, Parent: &FolderID{ID: "F1"}}}}
	for _, onWire := range []bool{false, true} {
		want := &GetStreamingEventsResult{Result: Succeeded(), Notifications: []Notification{n}, OnWire: onWire}
		var b bytes.Buffer
		if err := WriteResponse(&b, ServerVersion{}, "GetStreamingEvents", want); err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(b.Bytes(), []byte("<m:Notification>")); got != onWire {
			t.Fatalf("m:Notification written: %v, want %v", got, onWire)
		}
		_, _, got, err := readResponse(&b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]Answer{want}, got, cmpopts.IgnoreUnexported(Value{})); d != "" {
			t.Error(d)
		}
	}
	var b bytes.Buffer
	if err := WriteResponse(&b, ServerVersion{}, "GetEvents", &GetEventsResult{Result: Succeeded(), Notification: &n}); err != nil {
		t.Fatal(err)
	}
	in := strings.ReplaceAll(b.String(), "m:Notification>", "t:Notification>")
	_, _, got, err := readResponse(strings.NewReader(in))
	if err != nil || got[0].(*GetEventsResult).Notification == nil {
		t.Errorf("t:Notification is not read in %s: %v", in, err)
	}
}

// TestRequestsRoundTrip reads what is written.
func TestRequestsRoundTrip(t *testing.T) {
	for _, op := range sampleOperations() {
		want := &Request{Header: Header{Version: Exchange2010, TimeZone: "UTC", Impersonation: ConnectingSID{SID: "S-1-5-21"}}, Op: op}
		var b bytes.Buffer
		if err := WriteRequest(&b, want); err != nil {
			t.Fatal(err)
		}
		got, err := ReadRequest(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s:\n%s", op.Operation(), d)
		}
	}
}
