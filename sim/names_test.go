package sim

import (
	"testing"

	"postern/ews"
)

func TestResolveNames(t *testing.T) {
	x := newExchange(t, Options{})
	c := asUser(t, x, ann)
	for entry, want := range map[string]string{
		"smtp:ANN@company.example": string(ann), "Archer": string(ann), "bo": string(bob), x.Mailbox(bob).LegacyDN(): string(bob), "zoe": "",
	} {
		a := c.ask(&ews.ResolveNames{Entry: entry, FullContact: true})
		m := a.messages()[0]
		if want == "" {
			if m.Code != "ErrorNameResolutionNoResults" || m.Class != "Error" {
				t.Errorf("%q: got %s", entry, m.Code)
			}
			continue
		}
		if len(m.Resolutions) != 1 || m.Resolutions[0].Address != want {
			t.Errorf("%q: got %+v, want %s", entry, m.Resolutions, want)
		}
	}
	x.AddMailbox(Person{"Ann Other", "other@company.example"})
	a := c.ask(&ews.ResolveNames{Entry: "ann"})
	if m := a.messages()[0]; m.Class != "Warning" || m.Code != "ErrorNameResolutionMultipleResults" || len(m.Resolutions) != 2 {
		t.Errorf("two of that name: %+v", m)
	}
}

func TestConvertID(t *testing.T) {
	x := newExchange(t, Options{})
	c := asUser(t, x, ann)
	for _, id := range []string{deliver(t, x, plain(0)).ID(), x.Mailbox(ann).Folder(Inbox).ID()} {
		for _, format := range []string{"HexEntryId", "EntryId", "OwaId", "EwsId"} {
			there := c.one(&ews.ConvertID{Format: format, IDs: []ews.AlternateID{{Format: "EwsId", ID: id, Mailbox: "blah@blah.example"}}}).Alternate
			back := c.one(&ews.ConvertID{Format: "EwsId", IDs: []ews.AlternateID{{Format: format, ID: there.ID, Mailbox: string(ann)}}}).Alternate
			if back.ID != id || there.Mailbox != string(ann) {
				t.Errorf("%s: %q and back %q of %s", format, there.ID, back.ID, there.Mailbox)
			}
		}
	}
}
