package sim

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"postern/ews"
	"postern/mail"
)

func TestItemClass(t *testing.T) {
	calendar := func(method, more string) string {
		return "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/calendar; method=" + method + "\n\n" + more + "\n--b--\n"
	}
	for _, tt := range []struct{ want, raw string }{
		{classNote, "Subject: x\n\nThe words method=request alone mean nothing."},
		{classRequest, calendar("REQUEST", "")},
		{classRequest, calendar(`"request"`, "")},
		{classRequest, "Content-Type: TEXT/CALENDAR; METHOD=REQUEST\n\n"},
		{classCancelled, calendar("CANCEL", "")},
		{classAccepted, calendar("REPLY", "ATTENDEE;PARTSTAT=ACCEPTED:x")},
		{classDeclined, calendar("REPLY", "ATTENDEE;PARTSTAT=DECLINED:x")},
		{classTentative, calendar(`"REPLY"`, "ATTENDEE;PARTSTAT=TENTATIVE:x")},
		{classNote, calendar("PUBLISH", "")},
		{classBounce, "Content-Type: multipart/report; report-type=delivery-status\n\nAction: failed\n"},
		{classDelivered, "Content-Type: multipart/report; report-type=\"delivery-status\"\n\nAction: delivered\n"},
		{classReadReceipt, "Content-Type: multipart/report; report-type=disposition-notification\n\n"},
		{classNote, "Content-Type: multipart/report; report-type=feedback-report\n\n"},
		{classSigned, "Content-Type: multipart/signed; boundary=b\n\n"},
		{classEncrypted, "Content-Type: application/x-pkcs7-mime\n\n"},
		{classRightsManaged, "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/x-microsoft-rpmsg-message\n\n--b--\n"},
	} {
		h, err := mail.ParseHeader(strings.NewReader(tt.raw))
		if err != nil {
			t.Fatal(err)
		}
		if got := itemClass(h, []byte(tt.raw)); got != tt.want {
			t.Errorf("got %s, want %s for %q", got, tt.want, tt.raw)
		}
	}
}

func TestExtendedProperties(t *testing.T) {
	x := newExchange(t, Options{})
	items, err := x.Deliver(letterOf("Received: from a by b; Mon, 02 Mar 2026 10:00:00 +0100", "From: Ann Archer <ann@company.example>", "Sender: Bob <bob@company.example>", "To: bob@company.example",
		"Subject: Re: AW: The plan", "Date: Mon, 02 Mar 2026 09:00:00 +0100", "Message-ID: <1@company.example>", "In-Reply-To: <0@x.example>", "References: <0@x.example>", "X-Tag: blue", "", "Text"))
	if err != nil {
		t.Fatal(err)
	}
	sent, received := items[0], items[1]
	want := map[uint16][2]string{ // in the sender's copy, in the recipient's
		tagMessageClass: {classNote, classNote},
		tagSubject:      {"Re: AW: The plan", "Re: AW: The plan"},
		tagTopic:        {"The plan", "The plan"},
		tagSubmitTime:   {"2026-03-02T08:00:00Z", "2026-03-02T08:00:00Z"},
		tagDeliveryTime: {"2026-03-02T09:00:00Z", "2026-03-02T09:00:00Z"},
		tagFlags:        {"33", "0"},
		tagArticle:      {"1", "1"},
		tagMessageID:    {"<1@company.example>", "<1@company.example>"},
		tagReferences:   {"<0@x.example>", "<0@x.example>"},
		tagInReplyTo:    {"<0@x.example>", "<0@x.example>"},
		tagFromSMTP:     {string(ann), string(ann)},
		tagSenderSMTP:   {string(bob), string(bob)},
		tagFromAddress:  {string(ann), string(ann)},
		tagHidden:       {"false", "false"},
		0x1090:          {"", ""},
	}
	for tag, pair := range want {
		for i, it := range []*Item{sent, received} {
			v := view{x: x, item: it}
			got, _, ok := v.extended(ews.PropTag(tag, "String"))
			if got != pair[i] || ok != (pair[i] != "") {
				t.Errorf("%#x in the copy in %s: got %q, want %q", tag, it.Folder().Name(), got, pair[i])
			}
		}
	}
	header := ews.ExtendedFieldURI{DistinguishedSet: "InternetHeaders", Name: "x-tag", Type: "String"}
	v := view{x: x, item: received}
	if got, _, ok := v.extended(header); !ok || got != "blue" {
		t.Errorf("a header field by name: %q", got)
	}
	if got, _, ok := v.extended(ews.PropTag(tagTransportHeaders, "String")); !ok || !strings.HasPrefix(got, "Received: from a") {
		t.Errorf("transport headers of the received copy: %q", got)
	}
	v = view{x: x, item: sent}
	if got, _, ok := v.extended(ews.PropTag(tagTransportHeaders, "String")); ok {
		t.Errorf("a letter that never travelled has transport headers %q", got)
	}
}

func TestSpool(t *testing.T) {
	var s spool
	first, err := s.add([]byte("first"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.add(bytes.Repeat([]byte("x"), 100_000))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[span]int{first: 5, second: 100_000} {
		if got, err := s.read(at); err != nil || len(got) != want {
			t.Errorf("read %d bytes, %v, want %d", len(got), err, want)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.read(first); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

func TestLoadWithLimits(t *testing.T) {
	x := newExchange(t, Options{MaxLetters: 3, AlsoTo: "team@company.example"})
	sum, err := x.Load("testdata/letters", "company.example")
	if err != nil || sum.Messages != 3 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if got := len(x.Mailbox("team@company.example").Folder(Inbox).Items()); got != 3 {
		t.Errorf("the added recipient got %d letters", got)
	}
}

func TestJournalKeepsTheLatest(t *testing.T) {
	x := newExchange(t, Options{})
	c := asUser(t, x, ann)
	for range keptRequests {
		c.send(getFolder())
	}
	c.send(&ews.ResolveNames{Entry: "ann"})
	latest := x.Requests()
	if len(latest) != keptRequests || latest[keptRequests-1].Operation != "ResolveNames" || latest[0].Operation != "GetFolder" {
		t.Errorf("%d requests, the last is %s", len(latest), latest[len(latest)-1].Operation)
	}
	if got := x.Tallies()["GetFolder"].Requests; got != keptRequests {
		t.Errorf("%d GetFolder counted", got)
	}
	x.ForgetRequests()
	if len(x.Requests()) != 0 || len(x.Tallies()) != 0 {
		t.Error("the journal is not empty")
	}
}
