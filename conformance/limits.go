package conformance

import (
	"context"
	"errors"
	"io"
	"strings"

	"postern/crm"
)

// What looks like markup, ends a section or is no character at all is text like any
// other. Characters that turn the writing round may be dropped from a subject.
func hostileTextStaysText(b *bench) {
	const subject = `<b>&amp;</b> ]]> "it's" --> <!-- <![CDATA[ ` + "\u2028 \ufdd0 \U0001F600 e\u0301 &#0;"
	const text = subject + " \u202egpj.exe"
	id := b.put(crm.Inbox, letter{n: 1, subject: subject, text: text})
	control := b.put(crm.Inbox, letter{n: 2, subject: "a\x00b\x01c\x0bd\x1fe\ufffef", text: "a\x00b\x01c\x0bd\x1fe\ufffef", from: `"a\x0bb" <clara@customer.example>`})
	l := b.list(b.folders[crm.Inbox])
	items := b.load(l.headers[id], l.headers[control])
	if got := l.headers[id].Subject; squeeze(got) != squeeze(subject) {
		b.Errorf("subject %q, want %q", got, subject)
	}
	if it := items[id]; it == nil || !strings.Contains(squeeze(it.Text), squeeze(text)) {
		b.Errorf("text of %+v, want %q", it, text)
	}
	it := items[control]
	if it == nil || it.Fault != nil {
		b.Fatalf("the message with control characters: %+v", it)
	}
	b.texts(it)
	for what, s := range map[string]string{"subject": it.Subject, "text": it.Text} {
		for _, letter := range []string{"a", "b", "c", "d", "e", "f"} {
			if !strings.Contains(s, letter) {
				b.Errorf("the %s is %q; letters around control characters are lost", what, s)
			}
		}
	}
}

// texts demands that all texts of an item can be stored.
func (b *bench) texts(it *crm.Item) {
	b.Helper()
	b.text("subject", it.Subject)
	b.text("text", it.Text)
	b.text("HTML", it.HTML)
	b.text("Message-ID", it.MessageID)
	for _, p := range it.People {
		b.text("name", p.Name)
		b.text("raw address", p.Raw)
	}
	for _, a := range it.Attachments {
		b.text("attachment's name", a.Name)
		b.text("attachment's type", a.Type)
	}
}

func garbledAnswersAreRead(b *bench) {
	want := b.fill(crm.Inbox, 5)
	b.System.Garble()
	l := b.list(b.folders[crm.Inbox])
	b.sameIDs("listing", want, l.ids())
	var headers []crm.Header
	for _, h := range l.headers {
		if h.Fault != nil {
			b.Errorf("header: %v", h.Fault)
		}
		headers = append(headers, h)
	}
	items := b.load(headers...)
	if len(items) != len(want) {
		b.Errorf("%d items loaded, want %d", len(items), len(want))
	}
	for _, it := range items {
		if it.Fault != nil {
			b.Errorf("item: %v", it.Fault)
		}
		b.texts(it)
	}
}

func endedContextEndsTheCall(b *bench) {
	inbox := b.folders[crm.Inbox]
	items := b.fill(crm.Inbox, 200)
	l := b.list(inbox)
	var headers []crm.Header
	for _, h := range l.headers {
		headers = append(headers, h)
	}
	attachments := b.attached(201, []file{{name: "a.bin", kind: "application/octet-stream", content: []byte("a")}})

	ended, cancel := context.WithCancel(b.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Folders": func() error { _, err := b.Source.Folders(ended, b.box); return err },
		"Changes": func() error { _, err := b.Source.Changes(ended, b.box, inbox, ""); return err },
		"Headers": func() error { _, err := b.Source.Headers(ended, b.box, items[:1]); return err },
		"Load":    func() error { return b.Source.Load(ended, b.box, headers, func(*crm.Item) error { return nil }) },
		"Attachments": func() error {
			return b.Source.Attachments(ended, b.box, attachments, func(_ int, r io.Reader, _ *crm.Fault) error { return nil })
		},
		"Original": func() error { _, err := b.Source.Original(ended, b.box, items[0]); return err },
		"Items":    func() error { return b.Source.Items(ended, b.box, inbox, func([]string) error { return nil }) },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			b.Errorf("%s with an ended context returned %v", name, err)
		}
	}

	running, cancel := context.WithCancel(b.Context())
	defer cancel()
	taken := 0
	err := b.Source.Load(running, b.box, headers, func(*crm.Item) error {
		taken++
		cancel()
		return nil
	})
	if err == nil && taken < len(headers) {
		b.Errorf("Load ended without an error after %d of %d items, its context being cancelled", taken, len(headers))
	}
	// The source is still good for others.
	b.sameIDs("Items afterwards", append(items, b.newest(items)), b.items(inbox))
}

// newest returns the one item of the inbox that is not among those known.
func (b *bench) newest(known []string) string {
	b.Helper()
	old := make(map[string]bool)
	for _, id := range known {
		old[id] = true
	}
	for id := range b.list(b.folders[crm.Inbox]).headers {
		if !old[id] {
			return id
		}
	}
	b.Fatal("there is no new item")
	return ""
}

// An error of the one who takes, such as a full disk, ends the call and comes back.
func takerEndsTheCall(b *bench) {
	full := errors.New("no room")
	b.fill(crm.Inbox, 30)
	attachments := b.attached(31, []file{{name: "a.bin", content: []byte("a"), kind: "application/octet-stream"}, {name: "b.bin", content: []byte("b"), kind: "application/octet-stream"}})
	l := b.list(b.folders[crm.Inbox])
	var headers []crm.Header
	for _, h := range l.headers {
		headers = append(headers, h)
	}
	for name, call := range map[string]func(took func() error) error{
		"Load": func(took func() error) error {
			return b.Source.Load(b.Context(), b.box, headers, func(*crm.Item) error { return took() })
		},
		"Attachments": func(took func() error) error {
			return b.Source.Attachments(b.Context(), b.box, attachments, func(int, io.Reader, *crm.Fault) error { return took() })
		},
		"Items": func(took func() error) error {
			return b.Source.Items(b.Context(), b.box, b.folders[crm.Inbox], func([]string) error { return took() })
		},
	} {
		times := 0
		err := call(func() error { times++; return full })
		if !errors.Is(err, full) || times != 1 {
			b.Errorf("%s returned %v after %d calls; want the taker's error after one", name, err, times)
		}
	}
	if got := len(b.load(headers...)); got != len(headers) {
		b.Errorf("afterwards %d items are loaded, want %d", got, len(headers))
	}
}
