package sim

import (
	"slices"
	"testing"

	"postern/ews"
)

func constant(element string, path ews.Path, value string) ews.Condition {
	return ews.Condition{Element: element, Path: path, Constant: value}
}

func TestFindItemFilters(t *testing.T) {
	x := newExchange(t, Options{})
	for i := range 4 {
		deliver(t, x, plain(i))
	}
	x.Mailbox(ann).Folder(Inbox).Items()[2].MarkRead(true)
	c := asUser(t, x, ann)
	subject, received, read, uid := ews.Field("item:Subject"), ews.Field("item:DateTimeReceived"), ews.Field("message:IsRead"), ews.Tag(tagArticle, "Integer")
	contains := ews.Condition{Element: "Contains", Path: subject, Constant: "LETTER 3", Mode: "Substring", Comparison: "IgnoreCase"}
	for _, tt := range []struct {
		name string
		c    ews.Condition
		want []string
	}{
		{"all", ews.Condition{Element: "Exists", Path: subject}, []string{"3", "2", "1", "0"}},
		{"none", ews.Condition{Element: "Exists", Path: ews.Tag(0x1090, "Integer")}, nil},
		{"text", contains, []string{"3"}},
		{"since", constant("IsGreaterThanOrEqualTo", received, "2026-03-02T00:02:00Z"), []string{"3", "2"}},
		{"before", constant("IsLessThan", received, "2026-03-02T00:01:00.000Z"), []string{"0"}},
		{"read", constant("IsEqualTo", read, "true"), []string{"2"}},
		{"not read", ews.Condition{Element: "Not", All: []ews.Condition{constant("IsEqualTo", read, "true")}}, []string{"3", "1", "0"}},
		{"numbers as numbers", constant("IsGreaterThan", uid, "3"), []string{"3"}},
		{"either", ews.Condition{Element: "Or", All: []ews.Condition{constant("IsEqualTo", uid, "1"), contains}}, []string{"3", "0"}},
		{"both", ews.Condition{Element: "And", All: []ews.Condition{constant("IsEqualTo", uid, "1"), contains}}, nil},
		{"bits", ews.Condition{Element: "Excludes", Path: ews.Tag(tagFlags, "Integer"), Bitmask: "0x1"}, []string{"3", "1", "0"}},
	} {
		m := c.one(&ews.FindItem{Traversal: "Shallow", Shape: itemShape("item:Subject"), Restriction: &tt.c, Parents: []ews.FolderID{*inbox()}})
		var got []string
		for _, it := range m.Root.Items.List {
			got = append(got, it.Subject[len(it.Subject)-1:])
		}
		if !slices.Equal(got, tt.want) || m.Root.Total != len(tt.want) {
			t.Errorf("%s: got %v of %d, want %v", tt.name, got, m.Root.Total, tt.want)
		}
	}
}

func TestFindItemSortsAndPages(t *testing.T) {
	x := newExchange(t, Options{})
	for i := range 5 {
		deliver(t, x, plain(i))
	}
	c := asUser(t, x, ann)
	var got []string
	offset := 0
	for range 10 {
		m := c.one(&ews.FindItem{Traversal: "Shallow", Shape: itemShape("item:Subject"), View: &ews.PageView{Max: new(2), Offset: offset, BasePoint: "Beginning"},
			Sort: []ews.Order{{Direction: "Ascending", Path: ews.Tag(tagArticle, "Integer")}}, Parents: []ews.FolderID{*inbox()}})
		for _, it := range m.Root.Items.List {
			got = append(got, it.Subject)
		}
		offset = m.Root.Offset
		if m.Root.Last {
			break
		}
	}
	if want := []string{"Letter 0", "Letter 1", "Letter 2", "Letter 3", "Letter 4"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	beyond := c.one(&ews.FindItem{Traversal: "Shallow", Shape: itemShape(), View: &ews.PageView{Max: new(2), Offset: 9, BasePoint: "Beginning"}, Parents: []ews.FolderID{*inbox()}})
	if len(beyond.Root.Items.List) != 0 || !beyond.Root.Last {
		t.Errorf("behind the end: %+v", beyond.Root)
	}
}

func TestFindItemGivesAThousandRowsAtMost(t *testing.T) {
	x := newExchange(t, Options{})
	f := x.Mailbox(ann).Folder(Inbox)
	for i := range maxRows + 1 {
		if _, err := f.Put(plain(i % 60)); err != nil {
			t.Fatal(err)
		}
	}
	c := asUser(t, x, ann)
	find := &ews.FindItem{Traversal: "Shallow", Shape: itemShape(), View: &ews.PageView{Max: new(5000), BasePoint: "Beginning"}, Parents: []ews.FolderID{*inbox()}}
	if m := c.one(find); len(m.Root.Items.List) != maxRows || m.Root.Last {
		t.Errorf("got %d rows, last %t", len(m.Root.Items.List), m.Root.Last)
	}
	c.version = ews.Exchange2010
	if a := c.ask(find); a.code() != "ErrorExceededFindCountLimit" {
		t.Errorf("an old request got %s", a.code())
	}
}

func TestListsCannotShowContent(t *testing.T) {
	x := newExchange(t, Options{})
	c := asUser(t, x, ann)
	for _, uri := range unlisted {
		find := c.ask(&ews.FindItem{Traversal: "Shallow", Shape: itemShape(uri), Parents: []ews.FolderID{*inbox()}})
		sync := c.ask(&ews.SyncFolderItems{Shape: itemShape(uri), Folder: inbox(), Max: 1})
		if find.code() != "ErrorInvalidPropertyRequest" || sync.code() != "ErrorInvalidPropertyRequest" {
			t.Errorf("%s: FindItem %s, SyncFolderItems %s", uri, find.code(), sync.code())
		}
	}
}

func TestFolderCountsTellOfChanges(t *testing.T) {
	x := newExchange(t, Options{})
	first, second := deliver(t, x, plain(0)), deliver(t, x, plain(1))
	c := asUser(t, x, ann)
	marks := func() []string {
		m := c.one(&ews.GetFolder{Shape: ews.FolderShape{Base: ews.IDOnly, Additional: []ews.Path{ews.Tag(tagCommitTime, "SystemTime"), ews.Tag(tagDeleteCount, "Integer")}}, IDs: []ews.FolderID{*inbox()}})
		var list []string
		for _, p := range m.Folders.List[0].Extended {
			list = append(list, p.Value)
		}
		return list
	}
	start := marks()
	first.Delete()
	afterDelete := marks()
	second.Move(second.Mailbox().Folder(JunkEmail))
	afterMove := marks()
	if start[1] != "0" || afterDelete[1] != "1" || afterMove[1] != "2" || start[0] == afterDelete[0] || afterDelete[0] == afterMove[0] {
		t.Errorf("commit time and deletes: %v, %v, %v", start, afterDelete, afterMove)
	}
}

func TestFoldersByID(t *testing.T) {
	x := newExchange(t, Options{})
	c := asUser(t, x, ann)
	projects := x.Mailbox(ann).CreateFolder(x.Mailbox(ann).Folder(Inbox), "Projects")
	deep := c.one(&ews.FindFolder{Traversal: "Deep", Shape: ews.FolderShape{Base: ews.DefaultShape}, View: &ews.PageView{Max: new(500)}, Parents: []ews.FolderID{{Distinguished: "msgfolderroot"}}})
	shallow := c.one(&ews.FindFolder{Traversal: "Shallow", Shape: ews.FolderShape{Base: ews.DefaultShape}, View: &ews.PageView{Max: new(500)}, Parents: []ews.FolderID{{Distinguished: "msgfolderroot"}}})
	if len(deep.Root.Folders.List) != len(shallow.Root.Folders.List)+1 {
		t.Errorf("deep %d, shallow %d", len(deep.Root.Folders.List), len(shallow.Root.Folders.List))
	}
	it := deliver(t, x, plain(0))
	a := c.ask(&ews.GetFolder{Shape: ews.FolderShape{Base: ews.DefaultShape}, IDs: []ews.FolderID{{ID: projects.ID()}, {ID: "x"}, {ID: it.ID()}, {Distinguished: "publicfoldersroot"},
		{ID: x.Mailbox(bob).Folder(Inbox).ID()}, {Distinguished: "inbox", Mailbox: &ews.Mailbox{EmailAddress: "zoe@company.example"}}}})
	var codes []string
	for _, m := range a.messages() {
		codes = append(codes, m.Code)
	}
	want := []string{"NoError", "ErrorInvalidIdMalformed", "ErrorCannotUseItemIdForFolderId", "ErrorFolderNotFound", "ErrorFolderNotFound", "ErrorNonExistentMailbox"}
	if !slices.Equal(codes, want) {
		t.Errorf("got %v, want %v", codes, want)
	}
}
