package sim

import (
	"slices"
	"testing"

	"postern/ews"
)

func TestClientsMayWrite(t *testing.T) {
	x := newExchange(t, Options{})
	c := asUser(t, x, ann)
	raw := plain(9)
	m := c.one(&ews.CreateItem{Disposition: "SaveOnly", Folder: inbox(), Items: []ews.Item{{Element: ews.MessageItem, Mime: &ews.Content{Bytes: raw}, IsRead: new(true)}}})
	id := m.Items.List[0].ID
	it := x.Mailbox(ann).Folder(Inbox).Items()[0]
	if it.ID() != id.ID || c.item(it, "message:IsRead").IsRead != "true" {
		t.Errorf("created %+v", m.Items.List[0])
	}

	update := func(key string, u ews.FieldUpdate) wireAnswer {
		return c.ask(&ews.UpdateItem{Conflict: "NeverOverwrite", Disposition: "SaveOnly", Changes: []ews.ItemChange{{ID: ews.ItemID{ID: id.ID, ChangeKey: key}, Updates: []ews.FieldUpdate{u}}}})
	}
	stamp := ews.ExtendedProperty{Field: ews.ExtendedFieldURI{DistinguishedSet: "PublicStrings", Name: "x-stamp", Type: "String"}, Value: "42"}
	for _, u := range []ews.FieldUpdate{
		{Element: ews.SetField, Path: ews.Field("item:Subject"), Item: ews.Item{Element: ews.MessageItem, Subject: "Renamed"}},
		{Element: ews.SetField, Path: ews.Field("item:Categories"), Item: ews.Item{Element: ews.MessageItem, Categories: []string{"Red", "Blue"}}},
		{Element: ews.SetField, Path: ews.Path{Extended: stamp.Field}, Item: ews.Item{Element: ews.MessageItem, Extended: []ews.ExtendedProperty{stamp}}},
	} {
		if a := update(it.changeKey(), u); a.code() != "NoError" {
			t.Errorf("update %s: %s", u.Path.FieldURI, a.code())
		}
	}
	if a := update(id.ChangeKey, ews.FieldUpdate{Element: ews.DeleteField, Path: ews.Field("item:Categories")}); a.code() != "ErrorIrresolvableConflict" {
		t.Errorf("an update of an old version: %s", a.code())
	}
	shape := itemShape("item:Subject", "item:Categories")
	shape.Additional = append(shape.Additional, ews.Path{Extended: stamp.Field})
	got := c.one(&ews.GetItem{Shape: shape, IDs: []ews.ItemID{{ID: id.ID}}}).Items.List[0]
	if got.Subject != "Renamed" || !slices.Equal(got.Categories, []string{"Red", "Blue"}) || len(got.Extended) != 1 || got.Extended[0].Value != "42" {
		t.Errorf("after the updates: %+v", got)
	}

	moved := c.one(&ews.MoveItem{To: &ews.FolderID{Distinguished: "junkemail"}, IDs: []ews.ItemID{{ID: id.ID}}}).Items.List[0].ID
	if moved.ID == id.ID || it.Folder().Role() != JunkEmail {
		t.Error("the item did not move")
	}
	c.one(&ews.CopyItem{MoveItem: ews.MoveItem{To: inbox(), IDs: []ews.ItemID{{ID: moved.ID}}}})
	c.one(&ews.DeleteItem{Type: "MoveToDeletedItems", IDs: []ews.ItemID{{ID: moved.ID}}})
	if it.Folder().Role() != DeletedItems {
		t.Errorf("deleted into %s", it.Folder().Name())
	}
	c.one(&ews.DeleteItem{Type: "HardDelete", IDs: []ews.ItemID{{ID: it.ID()}}})
	if it.Folder() != nil || len(x.Mailbox(ann).Folder(Inbox).Items()) != 1 {
		t.Error("the copy went with the item, or the item stayed")
	}
}

func TestSentItemsArrive(t *testing.T) {
	x := newExchange(t, Options{})
	c := asUser(t, x, ann)
	m := c.one(&ews.CreateItem{Disposition: "SendAndSaveCopy", Items: []ews.Item{{Element: ews.MessageItem, Subject: "Häuser", Body: &ews.Body{Type: "HTML", Text: "<p>Hello ☺</p>"},
		To: []ews.Mailbox{{Name: "Bob", EmailAddress: string(bob)}}, Sensitivity: "Private"}}})
	if len(m.Items.List) != 1 || len(x.Mailbox(ann).Folder(SentItems).Items()) != 1 {
		t.Errorf("the sender's copy: %+v", m)
	}
	arrived := x.Mailbox(bob).Folder(Inbox).Items()
	if len(arrived) != 1 {
		t.Fatalf("Bob got %d letters", len(arrived))
	}
	got := asUser(t, x, bob).item(arrived[0], "item:Subject", "item:Body", "message:From")
	if got.Subject != "Häuser" || got.Body.Text != "<p>Hello ☺</p>" || got.From.Address != string(ann) {
		t.Errorf("got %+v", got)
	}
}
