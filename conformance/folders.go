package conformance

import (
	"slices"

	"postern/crm"
)

// The engine collects by role and kind (crm.InScope); names are in the user's language.
func foldersTellWhatTheyAreFor(b *bench) {
	for _, role := range []crm.Role{crm.Inbox, crm.SentItems, crm.Drafts, crm.DeletedItems, crm.JunkEmail, crm.Outbox} {
		f, ok := b.folders[role]
		if !ok {
			b.Errorf("no folder has the role %s", role)
		} else if f.Kind != crm.Email || f.ID == "" || f.Name == "" {
			b.Errorf("%s is %+v; want a folder of mail with id and name", role, f)
		}
	}
	sub := b.System.NewFolder(b.box, b.folders[crm.Inbox].ID, "Acme")
	deep := b.System.NewFolder(b.box, sub, "Inbox") // a name that means nothing
	trash := b.System.NewFolder(b.box, b.folders[crm.DeletedItems].ID, "Acme")
	b.System.Put(b.box, deep, letter{n: 1}.raw())

	list, err := b.Source.Folders(b.Context(), b.box)
	if err != nil {
		b.Fatal(err)
	}
	scope := crm.InScope(list)
	for _, want := range []struct {
		id, parent, name string
		total            int
		inScope          bool
	}{
		{sub, b.folders[crm.Inbox].ID, "Acme", 0, true},
		{deep, sub, "Inbox", 1, true},
		{trash, b.folders[crm.DeletedItems].ID, "Acme", 0, false},
	} {
		i := slices.IndexFunc(list, func(f crm.Folder) bool { return f.ID == want.id })
		if i < 0 {
			b.Errorf("folder %q is not listed", want.name)
			continue
		}
		f := list[i]
		if f.Parent != want.parent || f.Name != want.name || f.Role != crm.NoRole || f.Kind != crm.Email || scope[i] != want.inScope {
			b.Errorf("folder is %+v (in scope: %v), want %+v", f, scope[i], want)
		}
		if f.Total != -1 && f.Total != want.total {
			b.Errorf("folder %q has %d items, want %d or -1 for unknown", f.Name, f.Total, want.total)
		}
	}
}

// A source need not tell a mark, but one that stands still says that nothing happened.
func folderMarkTellsThatSomethingHappened(b *bench) {
	var item string
	before := b.folders[crm.Inbox].Mark
	if before == "" {
		b.Skip("this source tells no marks")
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"a message came", func() { item = b.put(crm.Inbox, letter{n: 1}) }},
		{"it was changed", func() { b.System.SetSubject(b.box, item, "Another subject") }},
		{"it was marked as read", func() { b.System.MarkRead(b.box, item, true) }},
		{"it was deleted", func() { b.System.Delete(b.box, item) }},
	} {
		step.do()
		after := b.listFolders(b.box)[crm.Inbox].Mark
		if after == before {
			b.Errorf("%s, and the mark of the folder is still %q", step.name, after)
		}
		before = after
	}
}

func absentMailboxAndFolderAreFaults(b *bench) {
	_, err := b.Source.Folders(b.Context(), b.Absent)
	b.fault("folders of a mailbox that does not exist", err, crm.Gone, crm.Refused)

	id := b.System.NewFolder(b.box, b.folders[crm.Inbox].ID, "Acme")
	f := crm.Folder{ID: id, Name: "Acme", Kind: crm.Email}
	b.System.Put(b.box, id, letter{n: 1}.raw())
	l := b.list(f)
	b.System.DeleteFolder(b.box, id)
	for _, since := range []crm.Cursor{"", l.next} {
		_, err := b.Source.Changes(b.Context(), b.box, f, since)
		// A source may find the cursor lost first; the listing anew then says that it is gone.
		verdicts := []crm.Verdict{crm.Gone}
		if since != "" {
			verdicts = append(verdicts, crm.Resync)
		}
		b.fault("changes of a deleted folder", err, verdicts...)
	}
	if got := b.listFolders(b.box); len(got) != len(b.folders) {
		b.Errorf("%d folders with a role after one without was deleted, want %d", len(got), len(b.folders))
	}
}
