package sim

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"postern/ews"
	"postern/mail"
)

func decoded(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lines brings line ends into one form.
func lines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// TestLettersAreShownAsWritten compares the properties of each letter in testdata with
// what a person reads in it.
func TestLettersAreShownAsWritten(t *testing.T) {
	x := newExchange(t, Options{})
	fillFromTestdata(t, x)
	shown := map[string]wireItem{}
	for _, box := range x.Mailboxes() {
		c := asUser(t, x, box.Address())
		for _, role := range []Role{Inbox, SentItems} {
			for _, it := range box.Folder(role).Items() {
				got := c.item(it, "item:Subject", "item:Body", "item:Attachments")
				shown[got.Subject] = got
			}
		}
	}
	for _, want := range expectations(t) {
		got, ok := shown[want.Subject]
		if !ok {
			t.Errorf("%s: no item with subject %q", want.File, want.Subject)
			continue
		}
		text, kind := want.Text, "Text"
		if want.HTML != "" {
			text, kind = want.HTML, "HTML"
		}
		if got.Body.Type != kind || strings.TrimRight(lines(got.Body.Text), "\n") != strings.TrimRight(text, "\n") {
			t.Errorf("%s: got %s %q, want %s %q", want.File, got.Body.Type, got.Body.Text, kind, text)
		}
	}
}

func TestMIMEIsMadeAnew(t *testing.T) {
	x := newExchange(t, Options{})
	it := deliver(t, x, plain(7))
	c := asUser(t, x, ann)
	first := decoded(t, c.item(it, "item:MimeContent").Mime)
	second := decoded(t, c.item(it, "item:MimeContent").Mime)
	if bytes.Equal(first, second) {
		t.Error("two calls gave the same bytes")
	}
	for _, mime := range [][]byte{first, second} {
		m, err := mail.Parse(bytes.NewReader(mime))
		if err != nil || m.Subject() != "Letter 7" || m.Text != "Text of letter 7.\n" {
			t.Errorf("got %q %q, %v", m.Subject(), m.Text, err)
		}
	}
}

func TestBccIsSeenInTheSendersCopyOnly(t *testing.T) {
	x := newExchange(t, Options{})
	x.AddMailbox(Person{"Carol Cooper", "carol@company.example"})
	raw := letterOf("From: Ann <ann@company.example>", "To: bob@company.example", "Bcc: carol@company.example,", "\tclara@customer.example", "Subject: Secret copy", "", "Text")
	items, err := x.Deliver(raw)
	if err != nil || len(items) != 3 {
		t.Fatalf("%d items, %v", len(items), err)
	}
	for _, it := range items {
		owner := it.Mailbox().Address()
		got := asUser(t, x, owner).item(it, "message:BccRecipients", "item:MimeContent")
		mime := strings.ToLower(string(decoded(t, got.Mime)))
		seen := len(got.Bcc) == 2 && strings.Contains(mime, "bcc:") && strings.Contains(mime, "clara@")
		hidden := len(got.Bcc) == 0 && !strings.Contains(mime, "bcc:") && !strings.Contains(mime, "clara@") && strings.Contains(mime, "subject: secret copy")
		if own := owner == ann; own != seen || own == hidden {
			t.Errorf("copy of %s in %s shows %v", owner, it.Folder().Name(), got.Bcc)
		}
	}
}

func TestAttachments(t *testing.T) {
	x := newExchange(t, Options{})
	fillFromTestdata(t, x)
	it := itemNamed(t, x, bob, Inbox, "Drawings, second edition")
	c := asUser(t, x, bob)
	list := c.item(it, "item:Attachments").Attachments.List
	if len(list) != 2 || list[0].Name != "Zeichnung Tür.pdf" || list[1].Name != "../parts.csv" {
		t.Fatalf("got %+v", list)
	}
	get := func(id string) wireAnswer { return c.ask(&ews.GetAttachment{IDs: []string{id}}) }
	a := get(list[1].ID.ID)
	if got := string(decoded(t, a.messages()[0].Attachments.List[0].Content)); got != "part;number\r\nhinge;12\r\n" {
		t.Errorf("content %q", got)
	}
	it.SetSubject("Drawings, third edition")
	if a = get(list[1].ID.ID); a.code() != "ErrorItemNotFound" {
		t.Errorf("an attachment id outlived its item's version: %s", a.code())
	}
	if renewed := c.item(it, "item:Attachments").Attachments.List; renewed[1].ID == list[1].ID {
		t.Error("the attachment id did not change with the item")
	}

	forwarded := itemNamed(t, x, bob, SentItems, "Fwd: Delivery in January")
	nested := c.item(forwarded, "item:Attachments").Attachments.List
	if len(nested) != 1 || nested[0].XMLName.Local != "ItemAttachment" {
		t.Fatalf("a letter within a letter: %+v", nested)
	}
	a = get(nested[0].ID.ID)
	inner := a.messages()[0].Attachments.List[0].Item
	if len(inner) != 1 || inner[0].Subject != "Delivery in January" || !strings.HasPrefix(inner[0].Body.Text, "The lorry leaves on the 14th.") {
		t.Errorf("the inner letter: %+v", inner)
	}
}

func TestClassesOfMail(t *testing.T) {
	x := newExchange(t, Options{})
	fillFromTestdata(t, x)
	c := asUser(t, x, ann)
	for subject, want := range map[string]struct{ class, element, body, attachment string }{
		"Review":                              {"IPM.Schedule.Meeting.Request", "MeetingRequest", "Please come to the review.", ""},
		"Undelivered Mail Returned to Sender": {"REPORT.IPM.Note.NDR", "Message", "The mailbox klara@customer.example does not exist.", ""},
		"Signed order":                        {"IPM.Note.SMIME.MultipartSigned", "Message", "Twelve of the large ones.", smimeName},
		"Sealed":                              {"IPM.Note.SMIME", "Message", "", smimeName},
		"Your offer of Friday":                {"IPM.Note", "Message", "Dear Ann,", ""},
	} {
		got := c.item(itemNamed(t, x, ann, Inbox, subject), "item:ItemClass", "item:Body", "item:Attachments")
		if got.Class != want.class || got.XMLName.Local != want.element || !strings.HasPrefix(got.Body.Text, want.body) || want.body == "" && got.Body.Text != "" {
			t.Errorf("%s: got %s as %s with body %q", subject, got.Class, got.XMLName.Local, got.Body.Text)
		}
		if want.attachment != "" && (len(got.Attachments.List) != 1 || got.Attachments.List[0].Name != want.attachment) {
			t.Errorf("%s: attachments %+v", subject, got.Attachments.List)
		}
	}
}

func TestBodyInEachForm(t *testing.T) {
	x := newExchange(t, Options{})
	it := fillFromTestdata(t, x)
	c := asUser(t, x, ann)
	get := func(form string, max *int) wireBody {
		s := itemShape("item:Body")
		s.BodyType, s.MaximumBodySize = form, max
		return *c.one(&ews.GetItem{Shape: s, IDs: []ews.ItemID{{ID: it.ID()}}}).Items.List[0].Body
	}
	if b := get("", nil); b.Type != "HTML" {
		t.Errorf("best: %s", b.Type)
	}
	if b := get("Text", nil); b.Type != "Text" || b.Text != "Hello Ann,\r\n\r\nthe plan is in the table below.\r\n\r\nClara\r\n" {
		t.Errorf("text: %s %q", b.Type, b.Text)
	}
	if b := get("Text", new(9)); b.Text != "Hello Ann" || !b.Truncated {
		t.Errorf("nine characters: %q, truncated %t", b.Text, b.Truncated)
	}
	plainItem := itemNamed(t, x, ann, Inbox, "Your offer of Friday")
	it = plainItem
	if b := get("HTML", nil); b.Type != "HTML" || !strings.Contains(b.Text, "<pre>Dear Ann,") {
		t.Errorf("HTML of plain text: %s %q", b.Type, b.Text)
	}
}

func TestPeopleWithoutSMTPAddress(t *testing.T) {
	x := newExchange(t, Options{LegacyRouting: true})
	it := deliver(t, x, letterOf("From: Bob Baker <bob@company.example>", "To: Ann <Ann@Company.example>, clara@customer.example", "Subject: x", "", "x"))
	shape := itemShape("message:From", "message:ToRecipients")
	shape.Additional = append(shape.Additional, ews.Tag(tagSenderSMTP, "String"))
	got := asUser(t, x, ann).one(&ews.GetItem{Shape: shape, IDs: []ews.ItemID{{ID: it.ID()}}}).Items.List[0]
	if got.From.Routing != "EX" || got.From.Address != x.Mailbox(bob).LegacyDN() {
		t.Errorf("sender %+v", got.From)
	}
	if len(got.To) != 2 || got.To[0].Routing != "EX" || got.To[1] != (wireAddress{Name: "clara@customer.example", Address: "clara@customer.example", Routing: "SMTP", Type: "OneOff"}) {
		t.Errorf("recipients %+v", got.To)
	}
	if len(got.Extended) != 1 || got.Extended[0].Value != string(bob) {
		t.Errorf("0x5D01 is %+v", got.Extended)
	}
}

func TestSearchKeyStaysOnMoveAndCopy(t *testing.T) {
	x := newExchange(t, Options{})
	it, other := deliver(t, x, plain(0)), deliver(t, x, plain(0))
	c := asUser(t, x, ann)
	key := func(it *Item) string {
		s := ews.ItemShape{Base: ews.IDOnly, Additional: []ews.Path{ews.Tag(tagSearchKey, "Binary")}}
		return c.one(&ews.GetItem{Shape: s, IDs: []ews.ItemID{{ID: it.ID()}}}).Items.List[0].Extended[0].Value
	}
	before, twin := key(it), key(it.Copy(it.Mailbox().Folder(Drafts)))
	it.Move(it.Mailbox().Folder(JunkEmail))
	if after := key(it); after != before || twin != before {
		t.Errorf("search key %q, after the move %q, of the copy %q", before, after, twin)
	}
	if key(other) == before {
		t.Error("two items have the same search key")
	}
}

// TestNobodyReadsUnnoticed: each way to the content of an item is written down, and no
// other is.
func TestNobodyReadsUnnoticed(t *testing.T) {
	x := newExchange(t, Options{})
	fillFromTestdata(t, x)
	it := itemNamed(t, x, bob, Inbox, "Drawings, second edition")
	c := asUser(t, x, bob)
	headers := []string{"item:Subject", "message:From", "message:ToRecipients", "item:Size", "item:ItemClass", "item:HasAttachments", "message:InternetMessageId"}
	c.item(it, headers...)
	c.one(&ews.FindItem{Traversal: "Shallow", Shape: ews.ItemShape{Base: ews.AllProperties}, Parents: []ews.FolderID{*inbox()}})
	c.step("", 512)
	if got := it.Asked(); got != (Asked{}) {
		t.Errorf("headers alone count as %+v", got)
	}
	for _, r := range x.Requests() {
		if len(r.Content) > 0 {
			t.Errorf("%s is noted as a reader of content", r.Operation)
		}
	}
	id := c.item(it, "item:Attachments").Attachments.List[0].ID.ID
	c.item(it, "item:Body")
	c.item(it, "item:MimeContent")
	c.one(&ews.GetItem{Shape: ews.ItemShape{Base: ews.DefaultShape}, IDs: []ews.ItemID{{ID: it.ID()}}})
	c.one(&ews.GetAttachment{IDs: []string{id}})
	if got, want := it.Asked(), (Asked{Body: 3, MIME: 1, Attachments: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	latest := x.Requests()
	if last := latest[len(latest)-1]; last.Operation != "GetAttachment" || last.Mailbox != bob || !slices.Equal(last.Content, []string{it.ID()}) || last.Out == 0 || last.In == 0 {
		t.Errorf("noted as %+v", last)
	}
	if got := x.Tallies()["GetItem"]; got.Requests != 5 || got.Out == 0 {
		t.Errorf("tally %+v", got)
	}
}
