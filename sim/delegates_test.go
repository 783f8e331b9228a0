package sim

import (
	"slices"
	"testing"

	"postern/ews"
	"postern/mail"
)

const cleo = "cleo@company.example"

// inMailbox names a folder of somebody's mailbox.
func inMailbox(role Role, owner mail.Address) ews.FolderID {
	return ews.FolderID{Distinguished: string(role), Mailbox: &ews.Mailbox{EmailAddress: string(owner)}}
}

func TestUsersReachTheirOwnMailbox(t *testing.T) {
	x := newExchange(t, Options{})
	box := x.AddUser(Person{"Cleo Clark", cleo}, password)
	it, err := box.Folder(Inbox).Put(plain(1))
	if err != nil {
		t.Fatal(err)
	}
	c := asSelf(t, x, cleo)
	if got := c.item(it, "item:Subject").Subject; got != "Letter 1" {
		t.Errorf("subject %q", got)
	}
	id, mark := c.pull(*inbox())
	it.MarkRead(true)
	if n := c.one(&ews.GetEvents{SubscriptionID: id, Watermark: mark}).Notification; len(n.names()) == 0 {
		t.Error("her own subscription tells her nothing")
	}
	impersonates := asUser(t, x, ann)
	impersonates.login = cleo
	if got := impersonates.verdict(getFolder()); got != "ErrorImpersonateUserDenied" {
		t.Errorf("a user impersonates: %s", got)
	}
}

// delegateSees is what each operation that reads is answered with.
func delegateSees(c *caller, it *Item) map[string]string {
	shape, owner := ews.FolderShape{Base: ews.DefaultShape}, it.Mailbox().Address()
	in := inMailbox(Inbox, owner)
	letter := ews.ItemID{ID: it.ID()}
	return map[string]string{
		"GetFolder":           c.verdict(&ews.GetFolder{Shape: shape, IDs: []ews.FolderID{in}}),
		"GetFolder by id":     c.verdict(&ews.GetFolder{Shape: shape, IDs: []ews.FolderID{{ID: it.Folder().ID()}}}),
		"FindFolder":          c.verdict(&ews.FindFolder{Traversal: "Deep", Shape: shape, Parents: []ews.FolderID{inMailbox(MessageRoot, owner)}}),
		"SyncFolderHierarchy": c.verdict(&ews.SyncFolderHierarchy{Shape: shape, Folder: new(inMailbox(MessageRoot, owner))}),
		"SyncFolderItems":     c.verdict(&ews.SyncFolderItems{Shape: itemShape(), Folder: &in, Max: 10}),
		"FindItem":            c.verdict(&ews.FindItem{Traversal: "Shallow", Shape: itemShape(), Parents: []ews.FolderID{in}}),
		"GetItem":             c.verdict(&ews.GetItem{Shape: itemShape("item:Subject"), IDs: []ews.ItemID{letter}}),
		"Subscribe":           c.verdict(&ews.Subscribe{Streaming: true, Folders: []ews.FolderID{in}, Events: allEvents}),
		"Subscribe to all":    c.verdict(&ews.Subscribe{Streaming: true, AllFolders: true, Folders: nil, Events: allEvents}),
		"UpdateItem": c.verdict(&ews.UpdateItem{Conflict: "AlwaysOverwrite", Changes: []ews.ItemChange{{ID: letter, Updates: []ews.FieldUpdate{
			{Element: ews.SetField, Path: ews.Field("message:IsRead"), Item: ews.Item{Element: ews.MessageItem, IsRead: new(true)}},
		}}}}),
		"CreateFolder": c.verdict(&ews.CreateFolder{Parent: &in, Folders: []ews.Folder{{Element: ews.PlainFolder, Name: "By a delegate"}}}),
	}
}

func TestDelegates(t *testing.T) {
	const own = "ErrorMissingEmailAddress" // the service account has no mailbox to subscribe to
	same := func(code string) map[string]string {
		return map[string]string{
			"GetFolder": code, "GetFolder by id": code, "FindFolder": code, "SyncFolderHierarchy": code, "SyncFolderItems": code,
			"FindItem": code, "GetItem": code, "Subscribe": code, "Subscribe to all": own, "UpdateItem": code, "CreateFolder": code,
		}
	}
	but := func(m map[string]string, pairs ...string) map[string]string {
		for pair := range slices.Chunk(pairs, 2) {
			m[pair[0]] = pair[1]
		}
		return m
	}
	for _, tt := range []struct {
		name    string
		level   Level
		folders []Role // none = all
		want    map[string]string
	}{
		{"nothing", None, nil, but(same("ErrorAccessDenied"), "GetFolder by id", "ErrorFolderNotFound", "GetItem", "ErrorItemNotFound", "UpdateItem", "ErrorItemNotFound")},
		{"full access", FullAccess, nil, same("NoError")},
		{"reviewer of all", Reviewer, nil, but(same("NoError"), "UpdateItem", "ErrorAccessDenied", "CreateFolder", "ErrorAccessDenied")},
		{"reviewer of the inbox", Reviewer, []Role{Inbox}, but(same("NoError"), "UpdateItem", "ErrorAccessDenied", "CreateFolder", "ErrorAccessDenied",
			"FindFolder", "ErrorFolderNotFound", "SyncFolderHierarchy", "ErrorFolderNotFound")},
		{"reviewer of the calendar", Reviewer, []Role{Calendar}, but(same("ErrorFolderNotFound"), "SyncFolderItems", "ErrorSyncFolderNotFound", "GetItem", "ErrorItemNotFound", "UpdateItem", "ErrorItemNotFound")},
		{"sees the inbox", FolderVisible, []Role{Inbox}, but(same("ErrorAccessDenied"), "GetFolder", "NoError", "GetFolder by id", "NoError",
			"FindFolder", "ErrorFolderNotFound", "SyncFolderHierarchy", "ErrorFolderNotFound", "GetItem", "ErrorItemNotFound", "UpdateItem", "ErrorItemNotFound")},
	} {
		x := newExchange(t, Options{})
		x.AddAccount(Account{Login: login, Password: password, NoRole: true})
		it := deliver(t, x, plain(1))
		box := x.Mailbox(ann)
		var folders []*Folder
		for _, role := range tt.folders {
			folders = append(folders, box.Folder(role))
		}
		if err := box.Share(login, tt.level, folders...); err != nil {
			t.Fatal(err)
		}
		got := delegateSees(asSelf(t, x, login), it)
		for op, want := range tt.want {
			if got[op] != want {
				t.Errorf("%s: %s: got %s, want %s", tt.name, op, got[op], want)
			}
		}
	}
}

// TestDelegateIsAUserToo: a delegate is known by the address, keeps the own mailbox, and
// sees of the other what is shared.
func TestDelegateIsAUserToo(t *testing.T) {
	x := newExchange(t, Options{})
	x.AddUser(Person{"Cleo Clark", cleo}, password, "c@company.example")
	box := x.Mailbox(ann)
	if err := box.Share("C@company.example", Reviewer, box.Folder(MessageRoot), box.Folder(SentItems)); err != nil {
		t.Fatal(err)
	}
	c := asSelf(t, x, cleo)
	found := c.one(&ews.FindFolder{Traversal: "Deep", Shape: ews.FolderShape{Base: ews.DefaultShape}, Parents: []ews.FolderID{inMailbox(MessageRoot, ann)}})
	if list := found.Root.Folders.List; len(list) != 1 || list[0].DisplayName != "Sent Items" {
		t.Errorf("found %+v", list)
	}
	synced := c.one(&ews.SyncFolderHierarchy{Shape: ews.FolderShape{Base: ews.DefaultShape}, Folder: new(inMailbox(MessageRoot, ann))})
	if n := len(synced.Changes.List); n != 1 {
		t.Errorf("%d folders are synchronized, want 1", n)
	}
	if got := c.verdict(getFolder()); got != "NoError" {
		t.Errorf("her own mailbox: %s", got)
	}
	last := x.Requests()
	if r := last[len(last)-2]; r.Mailbox != ann || r.Account != cleo || r.Impersonated != "" {
		t.Errorf("the record says %+v", r)
	}
	if err := box.Share(cleo, Reviewer, x.Mailbox(bob).Folder(Inbox)); err == nil {
		t.Error("another's folder was shared")
	}
	if err := box.Share(cleo, "Friend"); err == nil {
		t.Error("an unknown level was taken")
	}
}

// TestDelegateIsTold: a delegate's subscription is asked for without naming the mailbox.
func TestDelegateIsTold(t *testing.T) {
	x := newExchange(t, Options{})
	x.AddUser(Person{"Cleo Clark", cleo}, password)
	box := x.Mailbox(ann)
	if err := box.Share(cleo, Reviewer, box.Folder(Inbox)); err != nil {
		t.Fatal(err)
	}
	c := asSelf(t, x, cleo)
	id, mark := c.pull(inMailbox(Inbox, ann))
	deliver(t, x, plain(1))
	if n := c.one(&ews.GetEvents{SubscriptionID: id, Watermark: mark}).Notification; len(n.names()) != 3 {
		t.Errorf("told of %v", n.names())
	}
	if err := box.Share(cleo, None, box.Folder(Inbox)); err != nil {
		t.Fatal(err)
	}
	if got := c.verdict(&ews.GetEvents{SubscriptionID: id, Watermark: mark}); got != "ErrorSubscriptionAccessDenied" {
		t.Errorf("after the right was taken away: %s", got)
	}
}

func TestScopeByGroupAndWhileRunning(t *testing.T) {
	x := newExchange(t, Options{})
	x.SetGroup(Group{Address: "crm@company.example", Name: "CRM users", Members: []mail.Address{ann, "sales@company.example", "guest@elsewhere.example"}})
	x.SetGroup(Group{Address: "sales@company.example", Members: []mail.Address{bob}})
	if err := x.ChangeAccount(login, func(a *Account) { a.Groups = []mail.Address{"crm@company.example"} }); err != nil {
		t.Fatal(err)
	}
	a, b := asUser(t, x, ann), asUser(t, x, bob)
	if got := [2]string{a.verdict(getFolder()), b.verdict(getFolder())}; got != [2]string{"NoError", "ErrorImpersonateUserDenied"} {
		t.Errorf("by group: %v; members of groups within are none of the group itself", got)
	}
	if err := x.ChangeAccount(login, func(a *Account) { a.Scope = []mail.Address{bob} }); err != nil {
		t.Fatal(err)
	}
	if got := b.verdict(getFolder()); got != "NoError" {
		t.Errorf("named besides the group: %s", got)
	}
	x.RemoveGroup("crm@company.example")
	if got := a.verdict(getFolder()); got != "ErrorImpersonateUserDenied" {
		t.Errorf("after the group went: %s", got)
	}
	if x.ChangeAccount("nobody", func(*Account) {}) == nil {
		t.Error("an unknown account was changed")
	}
}

func TestExpandDL(t *testing.T) {
	x := newExchange(t, Options{})
	x.SetGroup(Group{Address: "crm@company.example", Name: "CRM users", Members: []mail.Address{ann, "sales@company.example", "guest@elsewhere.example"}})
	x.SetGroup(Group{Address: "sales@company.example", Name: "Sales", Members: []mail.Address{bob}})
	x.SetGroup(Group{Address: "empty@company.example"})
	c := asSelf(t, x, login)
	want := []wireAddress{
		{"Ann Archer", string(ann), "SMTP", "Mailbox"},
		{"Sales", "sales@company.example", "SMTP", "PublicDL"},
		{"guest@elsewhere.example", "guest@elsewhere.example", "SMTP", "Contact"},
	}
	for _, name := range []string{"crm@company.example", "SMTP:CRM@company.example", "crm", "CRM Users"} {
		if got := c.one(&ews.ExpandDL{Group: ews.Mailbox{EmailAddress: name}}).Members; !slices.Equal(got, want) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if got := c.one(&ews.ExpandDL{Group: ews.Mailbox{EmailAddress: "empty"}}).Members; len(got) != 0 {
		t.Errorf("the empty group has %v", got)
	}
	if got := c.verdict(&ews.ExpandDL{Group: ews.Mailbox{EmailAddress: string(ann)}}); got != "ErrorNameResolutionNoResults" {
		t.Errorf("a mailbox is no group: %s", got)
	}
	if got := c.one(&ews.ResolveNames{Entry: "Sales"}).Resolutions; len(got) != 1 || got[0].Type != "PublicDL" {
		t.Errorf("resolved to %v", got)
	}
}

// TestDelegateReadsAttachments: rights are looked at whenever something is asked for.
func TestDelegateReadsAttachments(t *testing.T) {
	x := newExchange(t, Options{})
	x.AddUser(Person{"Cleo Clark", cleo}, password)
	fillFromTestdata(t, x)
	it := itemNamed(t, x, bob, Inbox, "Drawings, second edition")
	box := x.Mailbox(bob)
	c := asSelf(t, x, cleo)
	for _, tt := range []struct {
		level Level
		want  string
	}{{Reviewer, "NoError"}, {FolderVisible, "ErrorItemNotFound"}, {Editor, "NoError"}, {None, "ErrorItemNotFound"}} {
		if err := box.Share(cleo, tt.level, box.Folder(Inbox)); err != nil {
			t.Fatal(err)
		}
		id := asUser(t, x, bob).item(it, "item:Attachments").Attachments.List[0].ID.ID
		if got := c.verdict(&ews.GetAttachment{IDs: []string{id}}); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.level, got, tt.want)
		}
	}
}

// TestImpersonationGivesWhatTheOwnerHas: who acts for Ann sees what is shared with Ann, and
// no more of others than she does.
func TestImpersonationGivesWhatTheOwnerHas(t *testing.T) {
	x := newExchange(t, Options{})
	box := x.Mailbox(bob)
	if err := box.Share(string(ann), Reviewer, box.Folder(Inbox)); err != nil {
		t.Fatal(err)
	}
	c := asUser(t, x, ann)
	for role, want := range map[Role]string{Inbox: "NoError", SentItems: "ErrorFolderNotFound"} {
		got := c.verdict(&ews.GetFolder{Shape: ews.FolderShape{Base: ews.IDOnly}, IDs: []ews.FolderID{inMailbox(role, bob)}})
		if got != want {
			t.Errorf("%s: got %s, want %s", role, got, want)
		}
	}
	r := x.Requests()[0]
	if r.Impersonated != ann || r.Mailbox != bob {
		t.Errorf("on record: for %s, about %s", r.Impersonated, r.Mailbox)
	}
}
