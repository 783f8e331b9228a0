package crm

import (
	"testing"
	"time"
)

func TestKeySaysWhichMessageACopyIsOf(t *testing.T) {
	base := func() *Item {
		it := &Item{}
		it.Subject, it.Text = "An offer", "The text."
		it.Sent = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
		it.People = []Participant{{Part: From, Address: "a@x.example"}, {Part: To, Address: "b@x.example"}, {Part: Cc, Address: "c@x.example"}}
		return it
	}
	key := base().Key()
	for name, test := range map[string]struct {
		same   bool
		change func(*Item)
	}{
		"recipients in another order": {true, func(it *Item) { it.People[1], it.People[2] = it.People[2], it.People[1] }},
		"a Bcc":                       {true, func(it *Item) { it.People = append(it.People, Participant{Part: Bcc, Address: "d@x.example"}) }},
		"folded subject":              {true, func(it *Item) { it.Subject = "An\r\n\toffer " }},
		"parts of a second":           {true, func(it *Item) { it.Sent = it.Sent.Add(900 * time.Millisecond) }},
		"another item":                {true, func(it *Item) { it.ID, it.Version, it.Read, it.HTML = "2", "v2", true, "<p>" }},
		"another second":              {false, func(it *Item) { it.Sent = it.Sent.Add(time.Second) }},
		"no time":                     {false, func(it *Item) { it.Sent = time.Time{} }},
		"another text":                {false, func(it *Item) { it.Text += "." }},
		"another sender":              {false, func(it *Item) { it.People[0].Address = "z@x.example" }},
		"one recipient less":          {false, func(it *Item) { it.People = it.People[:2] }},
		"a Message-ID":                {false, func(it *Item) { it.MessageID = "1@x.example" }},
	} {
		it := base()
		test.change(it)
		if got := it.Key() == key; got != test.same {
			t.Errorf("%s: same key %v, want %v", name, got, test.same)
		}
	}
	a, b := base(), &Item{}
	a.MessageID, b.MessageID = "1@x.example", "1@x.example"
	if a.Key() != b.Key() {
		t.Error("one Message-ID makes two keys")
	}
}
