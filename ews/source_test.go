package ews

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/crm"
	"postern/mail"
)

// A mailboxScript answers as a mailbox with these items would.
type mailboxScript struct {
	t     *testing.T
	items map[string]*Item
	// trouble, when it returns a code for an id, is the answer for it.
	trouble func(op *GetItem, id string) string
	names   map[string]string // what the directory knows
}

func (m *mailboxScript) answer(r *Request) ([]Answer, *SOAPFault) {
	switch op := r.Op.(type) {
	case *GetFolder:
		return folderAnswers(op), nil
	case *GetItem:
		var list []Answer
		for _, id := range op.IDs {
			list = append(list, m.get(op, id.ID))
		}
		return list, nil
	case *ResolveNames:
		smtp, ok := m.names[op.Entry]
		if !ok {
			return []Answer{&ResolveNamesResult{Result: Failed("ErrorNameResolutionNoResults", "keiner")}}, nil
		}
		return []Answer{&ResolveNamesResult{Result: Succeeded(), Resolutions: []Resolution{{Mailbox: Mailbox{EmailAddress: smtp, RoutingType: "SMTP"}}}}}, nil
	}
	m.t.Errorf("unexpected %s", r.Op.Operation())
	return nil, &SOAPFault{Code: "ErrorInvalidRequest"}
}

func (m *mailboxScript) get(op *GetItem, id string) Answer {
	if m.trouble != nil {
		if code := m.trouble(op, id); code != "" {
			r := Failed(code, "irgendein Text")
			if code == "ErrorBatchProcessingStopped" {
				r.Class = Warning
			}
			return &ItemsResult{Result: r}
		}
	}
	item := m.items[id]
	if item == nil {
		return &ItemsResult{Result: Failed("ErrorItemNotFound", "weg")}
	}
	out := *item
	if op.Shape.IncludeMimeContent {
		out = Item{Element: item.Element, ID: item.ID, Mime: item.Mime}
	} else if !asks(op, "item:Body") {
		out.Body, out.Attachments, out.Mime = nil, nil, nil
	} else {
		out.Mime = nil
	}
	return &ItemsResult{Result: Succeeded(), Items: []Item{out}}
}

func asks(op *GetItem, uri string) bool {
	return slices.Contains(op.Shape.Additional, Field(uri))
}

func letter(id string) *Item {
	return &Item{
		Element: MessageItem, ID: ItemID{ID: id, ChangeKey: "K" + id}, Class: "IPM.Note", Subject: "About " + id, Size: 1000,
		Sent: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Body: &Body{Type: "Text", Text: "text of " + id},
		From: &Mailbox{Name: "Bob", EmailAddress: "Bob@Example.com", RoutingType: "SMTP"},
	}
}

func letters(n int) (*mailboxScript, []crm.Header) {
	m := &mailboxScript{items: map[string]*Item{}}
	var headers []crm.Header
	for i := range n {
		id := fmt.Sprintf("id-%03d", i)
		m.items[id] = letter(id)
		headers = append(headers, crm.Header{ID: id, Size: 1000, Envelope: crm.Envelope{Class: "IPM.Note"}})
	}
	return m, headers
}

func TestFolders(t *testing.T) {
	generation := "F-"
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		switch op := r.Op.(type) {
		case *GetFolder:
			answers := folderAnswers(op)
			for i := range answers {
				f := &answers[i].(*FoldersResult).Folders[0]
				f.ID.ID = generation + op.IDs[i].Distinguished
			}
			answers[len(answers)-1] = &FoldersResult{Result: Failed("ErrorFolderNotFound", "")}
			return answers, nil
		case *SyncFolderHierarchy:
			extended := []ExtendedProperty{{Field: PropTag(0x670a, "SystemTime"), Value: "2026-01-01T00:00:00Z"}, {Field: PropTag(0x670b, "Integer"), Value: "3"}}
			if op.SyncState == "" {
				return []Answer{&SyncFolderHierarchyResult{Result: Succeeded(), SyncState: "one", Changes: []FolderChange{
					{Kind: Created, Folder: Folder{Element: PlainFolder, ID: FolderID{ID: generation + "inbox"}, Class: "IPF.Note", Name: "Posteingang", Total: new(7), Extended: extended}},
					{Kind: Created, Folder: Folder{Element: PlainFolder, ID: FolderID{ID: "X"}, Parent: &FolderID{ID: generation + "inbox"}, Name: "Projekte", Total: new(0)}},
					{Kind: Created, Folder: Folder{Element: SearchFolder, ID: FolderID{ID: "S"}, Name: "Unread"}},
					{Kind: Created, Folder: Folder{Element: PlainFolder, ID: FolderID{ID: "gone"}}},
				}}}, nil
			}
			return []Answer{&SyncFolderHierarchyResult{Result: Succeeded(), SyncState: "two", Last: true, Changes: []FolderChange{
				{Kind: Deleted, Folder: Folder{ID: FolderID{ID: "gone"}}},
				{Kind: Created, Folder: Folder{Element: CalendarFolder, ID: FolderID{ID: "C"}, Class: "IPF.Appointment"}},
				{Kind: Created, Folder: Folder{Element: PlainFolder, ID: FolderID{ID: "H"}, Class: "IPF.Note", Extended: []ExtendedProperty{{Field: PropTag(0x10f4, "Boolean"), Value: "true"}}}},
				{Kind: Created, Folder: Folder{Element: PlainFolder, ID: FolderID{ID: "J"}, Class: "IPF.Configuration"}},
			}}}, nil
		}
		return nil, &SOAPFault{Code: "ErrorInvalidRequest"}
	})
	src := s.source(t)
	for _, generation = range []string{"F-", "G-"} { // the mailbox is restored in between
		for range 2 {
			got, err := src.Folders(t.Context(), ann)
			if err != nil {
				t.Fatal(err)
			}
			want := []crm.Folder{
				{ID: generation + "inbox", Name: "Posteingang", Role: crm.Inbox, Kind: crm.Email, Total: 7, Mark: "2026-01-01T00:00:00Z/3/7"},
				{ID: "X", Parent: generation + "inbox", Name: "Projekte", Kind: crm.Email},
				{ID: "C", Kind: crm.Event, Total: -1}, {ID: "H", Total: -1}, {ID: "J", Total: -1},
			}
			if d := gocmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		}
	}
	if n := s.operations()["GetFolder"]; n != 2 {
		t.Errorf("the roles were asked for %d times, want 2", n)
	}
}

func TestChanges(t *testing.T) {
	m, _ := letters(2)
	m.items["id-001"].Element, m.items["id-001"].Class = MeetingRequest, "IPM.Schedule.Meeting.Request"
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		op, ok := r.Op.(*SyncFolderItems)
		if !ok {
			return m.answer(r)
		}
		if op.SyncState == "lost" {
			return []Answer{&SyncFolderItemsResult{Result: Failed("ErrorInvalidSyncStateData", ""), Last: true}}, nil
		}
		change := func(kind ChangeKind, id string) SyncChange {
			return SyncChange{Kind: kind, ID: ItemID{ID: id}, Item: Item{Element: MessageItem, ID: ItemID{ID: id}}}
		}
		read := change(ReadFlagChanged, "seen")
		read.IsRead = true
		contact := change(Created, "contact")
		contact.Item.Element = ContactItem
		return []Answer{&SyncFolderItemsResult{Result: Succeeded(), SyncState: "next", Changes: []SyncChange{
			change(Created, "id-000"), change(Deleted, "unknown"), change(Created, "brief"), change(Deleted, "brief"),
			change(Updated, "id-001"), read, change(Created, "ghost"), contact, change(ReadFlagChanged, "id-000"), change(Updated, "id-000"),
		}}}, nil
	})
	src := s.source(t)
	page, err := src.Changes(t.Context(), ann, crm.Folder{ID: "F"}, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range page.Headers {
		got = append(got, h.ID+" "+string(h.Kind)+" "+h.Class)
		if h.Fault != nil {
			got[len(got)-1] = h.ID + " " + h.Fault.Code
		}
	}
	want := []string{"id-000 email IPM.Note", "id-001 email IPM.Schedule.Meeting.Request", "ghost ErrorItemNotFound", "contact contact IPM.Contact"}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := gocmp.Diff([]string{"unknown", "brief"}, page.Gone); d != "" {
		t.Error(d)
	}
	if d := gocmp.Diff(map[string]bool{"seen": true}, page.Read); d != "" {
		t.Error(d)
	}
	if page.Next != "next" || !page.More {
		t.Errorf("next %q, more %v", page.Next, page.More)
	}
	if page, err = src.Changes(t.Context(), ann, crm.Folder{ID: "F"}, "next"); err != nil || page.More {
		t.Errorf("a state that does not move: more %v, %v", page.More, err)
	}
	// The error form carries an empty state and "last": neither may be believed.
	page, err = src.Changes(t.Context(), ann, crm.Folder{ID: "F"}, "lost")
	if page != nil || crm.AsFault(err).Verdict != crm.Resync || crm.AsFault(err).Scope != crm.FolderScope {
		t.Errorf("a lost state: %+v, %v", page, err)
	}
}

func TestHeader(t *testing.T) {
	yes := true
	m := &mailboxScript{t: t, names: map[string]string{"/o=Ex/cn=dan": "dan@example.com"}}
	m.items = map[string]*Item{"1": {
		Element: MessageItem, ID: ItemID{ID: "1", ChangeKey: "K"}, Class: "IPM.Note", Subject: "S", Sensitivity: "Private", Size: 42,
		Received: time.Date(4501, 1, 1, 0, 0, 0, 0, time.UTC), Sent: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		InReplyTo: "<0@Example.com>", References: "<a@x> <b@x>", InternetMessageID: " <One@Example.COM> ", IsDraft: &yes, IsRead: &yes,
		ConversationID: &ItemID{ID: "conv"},
		Sender:         &Mailbox{Name: "Assistant", EmailAddress: "/O=EX/CN=ASSI", RoutingType: "EX"},
		From:           &Mailbox{Name: "Boss", EmailAddress: "/o=Ex/cn=boss", RoutingType: "EX"},
		Extended:       []ExtendedProperty{{Field: PropTag(0x5D02, "String"), Value: "boss@example.com"}, {Field: PropTag(0x5D01, "String"), Value: "assi@example.com"}},
		To:             []Mailbox{{Name: "Dan", EmailAddress: "/o=Ex/cn=dan", RoutingType: "EX"}, {Name: "Gone", EmailAddress: "/o=Ex/cn=gone", RoutingType: "EX"}},
		Cc:             []Mailbox{{Name: "odd", EmailAddress: "no address", RoutingType: "SMTP"}, {Name: "Undisclosed"}},
		Bcc:            []Mailbox{{EmailAddress: "eve@example.com", RoutingType: "SMTP"}},
		ReplyTo:        []Mailbox{{EmailAddress: "list@example.com", RoutingType: "SMTP"}},
	}}
	s := newServer(t, m.answer)
	src := s.source(t)
	var got []crm.Header
	for range 2 {
		var err error
		if got, err = src.Headers(t.Context(), ann, []string{"1", "not there"}); err != nil {
			t.Fatal(err)
		}
	}
	want := []crm.Header{{ID: "1", Version: "K", Size: 42, Read: true, Envelope: crm.Envelope{
		Kind: crm.Email, Class: "IPM.Note", MessageID: mail.MessageID("<One@Example.COM>"), References: mail.References("<a@x> <b@x>", "<0@Example.com>"),
		Thread: "conv", Sent: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Subject: "S", Sensitivity: crm.Private, Draft: true,
		People: []crm.Participant{
			{Part: crm.From, Name: "Boss", Address: "boss@example.com", Raw: "/o=Ex/cn=boss"},
			{Part: crm.Sender, Name: "Assistant", Address: "assi@example.com", Raw: "/O=EX/CN=ASSI"},
			{Part: crm.To, Name: "Dan", Address: "dan@example.com", Raw: "/o=Ex/cn=dan"},
			{Part: crm.To, Name: "Gone", Raw: "/o=Ex/cn=gone"},
			{Part: crm.Cc, Name: "odd", Raw: "no address"},
			{Part: crm.Cc, Name: "Undisclosed"},
			{Part: crm.Bcc, Address: "eve@example.com"},
			{Part: crm.ReplyTo, Address: "list@example.com"},
		},
	}}}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := s.operations()["ResolveNames"]; n != 2 {
		t.Errorf("the directory was asked %d times, want once for each name", n)
	}
	for _, op := range s.ops {
		if get, ok := op.Op.(*GetItem); ok && (asks(get, "item:Body") || get.Shape.IncludeMimeContent || get.Shape.Base != IDOnly) {
			t.Error("more than the header was asked for")
		}
	}
}

// TestItems lists a folder that loses its oldest items while it is listed: those who
// move up must not be missed.
func TestItems(t *testing.T) {
	var all []string
	for i := range 2500 {
		all = append(all, fmt.Sprintf("id-%04d", i))
	}
	there := slices.Clone(all)
	calls := 0
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		op := r.Op.(*FindItem)
		if calls++; calls == 2 {
			there = there[300:]
		}
		from := min(op.View.Offset, len(there))
		to := min(from+*op.View.Max, len(there))
		a := &FindItemResult{Result: Succeeded(), Paging: Paging{Last: new(to == len(there)), Total: new(len(there))}, Items: []Item{}}
		for _, id := range there[from:to] {
			a.Items = append(a.Items, Item{Element: MessageItem, ID: ItemID{ID: id}})
		}
		return []Answer{a}, nil
	})
	got := map[string]int{}
	err := s.source(t).Items(t.Context(), ann, crm.Folder{ID: "F"}, func(ids []string) error {
		for _, id := range ids {
			got[id]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range there {
		if got[id] != 1 {
			t.Fatalf("%s was listed %d times", id, got[id])
		}
	}
}

// TestRequestBudget counts the requests for a thousand messages.
func TestRequestBudget(t *testing.T) {
	m, _ := letters(1000)
	m.t = t
	ids := slices.Sorted(func(yield func(string) bool) {
		for id := range m.items {
			if !yield(id) {
				return
			}
		}
	})
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		switch op := r.Op.(type) {
		case *SyncFolderHierarchy:
			return []Answer{&SyncFolderHierarchyResult{Result: Succeeded(), Last: true, SyncState: "x", Changes: []FolderChange{
				{Kind: Created, Folder: Folder{Element: PlainFolder, ID: FolderID{ID: "F-inbox"}, Class: "IPF.Note"}}}}}, nil
		case *SyncFolderItems:
			from := 0
			fmt.Sscan(cmp.Or(op.SyncState, "0"), &from)
			to := min(from+int(op.Max), len(ids))
			a := &SyncFolderItemsResult{Result: Succeeded(), SyncState: fmt.Sprint(to), Last: to == len(ids)}
			for _, id := range ids[from:to] {
				a.Changes = append(a.Changes, SyncChange{Kind: Created, Item: Item{Element: MessageItem, ID: ItemID{ID: id}}})
			}
			return []Answer{a}, nil
		}
		return m.answer(r)
	})
	src := s.source(t)
	ctx := context.Background()
	folders, err := src.Folders(ctx, ann)
	if err != nil {
		t.Fatal(err)
	}
	var pages [][]crm.Header
	for cursor, more := crm.Cursor(""), true; more; {
		page, err := src.Changes(ctx, ann, folders[0], cursor)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, page.Headers)
		cursor, more = page.Next, page.More
	}
	if n := s.count() - 1; n > 15 { // the very first request asks for the schemes; the last page is full, so another is asked for
		t.Errorf("%d requests when none is filed, want at most 15", n)
	}
	loaded := 0
	for _, headers := range pages {
		if err := src.Load(ctx, ann, headers, func(*crm.Item) error { loaded++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.count() - 1; n > 26 || loaded != 1000 {
		t.Errorf("%d requests when all %d are filed, want at most 26", n, loaded)
	}
}

func TestImpersonationAdvice(t *testing.T) {
	for version, want := range map[string]string{
		"Exchange2007_SP1": "ms-Exch-EPI-May-Impersonate", "Exchange2010": "ApplicationImpersonation", "ExchangeSE": "ApplicationImpersonation",
	} {
		j := judge{version: version, login: `EXAMPLE\svc`}
		f := j.fault(&Error{Code: "ErrorImpersonateUserDenied", Mailbox: "bob@example.com"}, crm.MailboxScope)
		if f.Verdict != crm.Refused || f.Scope != crm.MailboxScope || f.Code != "ErrorImpersonateUserDenied" || !strings.Contains(f.Advice, want) {
			t.Errorf("%s: %+v", version, f)
		}
	}
}

// TestEveryCodeHasWords: each row of the table says what happened and what to do.
func TestEveryCodeHasWords(t *testing.T) {
	for code := range codes {
		f := judge{}.fault(&Error{Code: code}, crm.ItemScope)
		if f.Message == "" || f.Advice == "" || f.Verdict == "" || f.Scope == "" || f.Code != code {
			t.Errorf("%s: %+v", code, f)
		}
	}
	for code, want := range map[string]crm.Scope{"ErrorNewTransientThing": crm.MailboxScope, "ErrorNewThing": crm.ItemScope} {
		if f := (judge{}).fault(&Error{Code: code}, crm.ItemScope); f.Verdict != crm.Retry || f.Scope != want || f.Code != code {
			t.Errorf("%s: %+v", code, f)
		}
	}
}
