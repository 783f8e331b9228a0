package conformance

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"postern/crm"
	"postern/mail"
)

func headerTellsAllButTheText(b *bench) {
	id := b.put(crm.SentItems, letter{
		n: 1, from: `"Ümit, User" <URSULA@company.example>`,
		to: "Clara Contact <clara@customer.example>, carl@customer.example", cc: "Dora <dora@third.example>", bcc: "Boss <boss@company.example>",
		subject: "Grüße, \u201cAngebot\u201d 𝄞",
		headers: []string{"In-Reply-To: <parent@customer.example>", "References: <root@customer.example> <parent@customer.example>"},
	})
	l := b.list(b.folders[crm.SentItems])
	for road, h := range map[string]crm.Header{"Changes": l.headers[id], "Headers": b.header(id)} {
		if h.ID != id || h.Fault != nil || h.Draft || h.Kind != crm.Email || !strings.HasPrefix(h.Class, "IPM.Note") || h.Sensitivity != crm.Normal {
			b.Errorf("%s: %+v; want an ordinary message", road, h)
		}
		if want := "Grüße, \u201cAngebot\u201d 𝄞"; h.Subject != want {
			b.Errorf("%s: subject %q, want %q", road, h.Subject, want)
		}
		if want := mail.MessageID(messageID(1)); h.MessageID != want {
			b.Errorf("%s: Message-ID %q, want %q", road, h.MessageID, want)
		}
		if want := mail.References("<root@customer.example>", "<parent@customer.example>"); !slices.Equal(h.References, want) {
			b.Errorf("%s: references %q, want %q", road, h.References, want)
		}
		if !h.Sent.Equal(sent(1)) || h.Received.IsZero() || h.Version == "" {
			b.Errorf("%s: sent %v, received %v, version %q; want sent %v and the others known", road, h.Sent, h.Received, h.Version, sent(1))
		}
		for _, want := range []crm.Participant{
			{Part: crm.From, Name: "Ümit, User", Address: "ursula@company.example"},
			{Part: crm.To, Name: "Clara Contact", Address: "clara@customer.example"},
			{Part: crm.To, Name: "", Address: "carl@customer.example"},
			{Part: crm.Cc, Name: "Dora", Address: "dora@third.example"},
			{Part: crm.Bcc, Name: "Boss", Address: "boss@company.example"},
		} {
			// Where a name is missing, a system may put the address in its place.
			found := slices.ContainsFunc(h.People, func(p crm.Participant) bool {
				return p.Part == want.Part && p.Address == want.Address && (p.Name == want.Name || want.Name == "")
			})
			if !found {
				b.Errorf("%s: %+v is not among the people %+v", road, want, h.People)
			}
		}
	}
}

// What a draft or a confidential message says must not be loaded, so the header tells.
func headerKnowsDraftsAndSecrets(b *bench) {
	if h := b.header(b.put(crm.Drafts, letter{n: 1})); !h.Draft {
		b.Error("a draft is not told as one")
	}
	for i, c := range []struct {
		marked string
		want   crm.Sensitivity
	}{{"Personal", crm.Personal}, {"Private", crm.Private}, {"Company-Confidential", crm.Confidential}} {
		h := b.header(b.put(crm.Inbox, letter{n: i + 2, headers: []string{"Sensitivity: " + c.marked}}))
		if h.Sensitivity != c.want || h.Draft {
			b.Errorf("marked %s: sensitivity %q, draft %v; want %q", c.marked, h.Sensitivity, h.Draft, c.want)
		}
	}
}

func headerKnowsMailMadeByPrograms(b *bench) {
	for i, c := range []struct {
		kind, text, class string
	}{
		{"multipart/report; report-type=delivery-status; boundary=b", "", "REPORT."},
		{"text/calendar; method=REQUEST; charset=utf-8", "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n", "IPM.Schedule.Meeting."},
	} {
		h := b.header(b.put(crm.Inbox, letter{n: i + 1, kind: c.kind, text: c.text}))
		if !strings.HasPrefix(h.Class, c.class) {
			b.Errorf("%s has the class %q, want %s…", c.kind, h.Class, c.class)
		}
	}
}

func headersOmitWhatIsGone(b *bench) {
	items := b.fill(crm.Inbox, 250) // more than fit in one call
	l := b.list(b.folders[crm.Inbox])
	b.System.Delete(b.box, items[0])
	moved := b.System.Move(b.box, items[1], b.folders[crm.SentItems].ID)
	list, err := b.Source.Headers(b.Context(), b.box, items)
	if err != nil {
		b.Fatal(err)
	}
	want := items[2:]
	if moved == items[1] {
		want = items[1:] // this system's ids outlive a move
	}
	b.sameIDs("Headers", want, headerIDs(list))
	for _, h := range list {
		if listed := l.headers[h.ID]; h.Subject != listed.Subject || h.MessageID != listed.MessageID || h.Folder != listed.Folder || len(h.People) != len(listed.People) {
			b.Errorf("Headers gives %+v, Changes gave %+v", h, listed)
		}
	}
	if list, err := b.Source.Headers(b.Context(), b.box, nil); err != nil || len(list) > 0 {
		b.Errorf("Headers of nothing: %d, %v", len(list), err)
	}
}

func loadBringsTheText(b *bench) {
	const html = `<html><body><p>Dear <b>Ursula</b>,</p><p>5 &lt; 6 &amp; 7</p><script>alert(1)</script></body></html>`
	plain := b.put(crm.Inbox, letter{n: 1, text: "Dear Ursula,\r\n5 < 6 & 7, \u00fc 𝄞\r\n"})
	rich := b.put(crm.Inbox, letter{n: 2, html: html})
	long := b.put(crm.Inbox, letter{n: 3, text: strings.Repeat("All work and no play. ", 100_000)})
	items := b.load(b.header(plain), b.header(rich), b.header(long))

	if it := items[plain]; it == nil || it.Fault != nil || !strings.Contains(squeeze(it.Text), "Dear Ursula, 5 < 6 & 7, \u00fc 𝄞") {
		b.Errorf("plain text: %+v", it)
	} else if it.Subject != "Letter 1" || len(it.People) == 0 || it.Encrypted {
		b.Errorf("the item lost its header: %+v", it.Header)
	}
	if it := items[rich]; it == nil || !strings.Contains(it.HTML, "<b>Ursula</b>") || !strings.Contains(it.HTML, "<script>") {
		b.Errorf("HTML is not as it came: %+v", it)
	} else if !strings.Contains(squeeze(it.Text), "5 < 6 & 7") || strings.Contains(it.Text, "alert") {
		b.Errorf("text made from HTML: %q", it.Text)
	}
	if it := items[long]; it == nil || strings.Count(it.Text, "All work") != 100_000 {
		b.Error("a text of two megabytes is not whole")
	}
	if items := b.load(); len(items) > 0 {
		b.Errorf("loading nothing gives %d items", len(items))
	}
}

func loadOmitsWhatIsGone(b *bench) {
	items := b.fill(crm.Inbox, 120)
	l := b.list(b.folders[crm.Inbox])
	var headers []crm.Header
	for _, id := range items {
		headers = append(headers, l.headers[id])
	}
	for _, id := range items[40:45] {
		b.System.Delete(b.box, id)
	}
	var got []string
	for id := range b.load(headers...) {
		got = append(got, id)
	}
	b.sameIDs("Load", slices.Concat(items[:40], items[45:]), got)
}

// One item that cannot be read must not hold up the page in which it is.
func damagedItemIsAValue(b *bench) {
	items := b.fill(crm.Inbox, 5)
	b.System.Damage(b.box, items[1], true)
	b.System.Damage(b.box, items[3], false)
	l := b.list(b.folders[crm.Inbox])
	b.sameIDs("listing", items, l.ids())
	var good []crm.Header
	for i, id := range items {
		h := l.headers[id]
		if i == 3 {
			if h.Fault == nil {
				b.Error("nothing of the item can be read, and its header has no fault")
			} else {
				b.judged("header", h.Fault, crm.Retry, crm.Refused, crm.Gone)
			}
			continue
		}
		if h.Fault != nil {
			b.Errorf("header %d: %v", i+1, h.Fault)
		}
		good = append(good, h)
	}
	loaded := b.load(good...)
	for i, id := range items {
		switch it := loaded[id]; {
		case i == 3:
		case it == nil:
			b.Errorf("item %d was not handed over", i+1)
		case i != 1 && (it.Fault != nil || it.Text == ""):
			b.Errorf("item %d: %v", i+1, it.Fault)
		case i == 1 && it.Fault == nil:
			b.Error("the text cannot be read, and the item has no fault")
		case i == 1:
			b.judged("item", it.Fault, crm.Retry, crm.Refused, crm.Gone)
			if it.Subject != l.headers[id].Subject {
				b.Errorf("the header of the damaged item is %q", it.Subject)
			}
		}
	}
}

// attached lays a letter with files into the inbox and returns its attachments in the
// order of the files.
func (b *bench) attached(n int, files []file) []crm.Enclosure {
	b.Helper()
	return b.enclosed(b.put(crm.Inbox, letter{n: n, files: files}), files)
}

// enclosed returns the attachments of a letter in the order of the files.
func (b *bench) enclosed(id string, files []file) []crm.Enclosure {
	b.Helper()
	it := b.load(b.header(id))[id]
	if it == nil || it.Fault != nil {
		b.Fatalf("load the letter with attachments: %+v", it)
	}
	var list []crm.Enclosure
	for _, f := range files {
		i := slices.IndexFunc(it.Attachments, func(a crm.Attachment) bool { return a.Name == f.name })
		if i < 0 {
			b.Fatalf("%q is not among the attachments %+v", f.name, it.Attachments)
		}
		list = append(list, crm.Enclosure{Attachment: it.Attachments[i], Header: it.Header})
	}
	return list
}

// read fetches attachments; faults stand in for contents where there are none.
func (b *bench) read(list []crm.Enclosure) (contents [][]byte, faults []*crm.Fault) {
	b.Helper()
	contents, faults = make([][]byte, len(list)), make([]*crm.Fault, len(list))
	seen := make([]int, len(list))
	err := b.Source.Attachments(b.Context(), b.box, list, func(i int, r io.Reader, fault *crm.Fault) (err error) {
		seen[i]++
		if faults[i] = fault; fault == nil {
			contents[i], err = io.ReadAll(r)
		}
		return err
	})
	if err != nil {
		b.Fatalf("Attachments: %v", err)
	}
	for i, n := range seen {
		if n != 1 {
			b.Errorf("attachment %d was handed over %d times", i+1, n)
		}
	}
	return contents, faults
}

func attachmentsComeWhole(b *bench) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	files := []file{
		{name: "every byte.bin", kind: "application/octet-stream", content: every},
		{name: "Angebot für Müller.pdf", kind: "application/pdf", content: []byte("%PDF-1.7\r\n\x00\xff")},
		{name: "logo.png", kind: "image/png", inline: "logo@customer.example", content: []byte("\x89PNG\r\n\x1a\n")},
		{name: "large.dat", kind: "application/octet-stream", content: bytes.Repeat(every, 12_000)}, // 3 MB
		{name: "one.bin", kind: "application/octet-stream", content: []byte{0}},
	}
	list := b.attached(1, files)
	list = append(list, b.attached(2, []file{{name: "other.txt", kind: "text/plain", content: []byte("of another message")}})...)
	files = append(files, file{name: "other.txt", content: []byte("of another message")})
	contents, faults := b.read(list)
	for i, f := range files {
		if faults[i] != nil {
			b.Errorf("%s: %v", f.name, faults[i])
		} else if !bytes.Equal(contents[i], f.content) {
			b.Errorf("%s came as %d bytes and not as the %d that were sent", f.name, len(contents[i]), len(f.content))
		}
	}
	if a := list[2]; !a.Inline || strings.Trim(a.ContentID, "<>") != "logo@customer.example" {
		b.Errorf("the picture in the text is %+v; want inline with its Content-ID", a)
	}
	if a := list[1]; a.Inline || a.Type != "application/pdf" {
		b.Errorf("the attachment is %+v; want a PDF that is not inline", a)
	}
}

func attachmentsFailOneByOne(b *bench) {
	text := func(name string) []file {
		return []file{{name: name, kind: "application/octet-stream", content: []byte(name)}}
	}
	list := b.attached(1, text("a.bin"))
	doomed := b.put(crm.Inbox, letter{n: 2, files: text("b.bin")})
	list = append(list, b.enclosed(doomed, text("b.bin"))...)
	list = append(list, b.attached(3, text("c.bin"))...)
	b.System.Delete(b.box, doomed)
	contents, faults := b.read(list)
	if faults[1] == nil {
		b.Errorf("the attachment of a deleted message came as %q", contents[1])
	} else {
		b.judged("the attachment of a deleted message", faults[1], crm.Gone, crm.Retry, crm.Refused)
	}
	if string(contents[0]) != "a.bin" || string(contents[2]) != "c.bin" {
		b.Errorf("the others came as %q (%v) and %q (%v)", contents[0], faults[0], contents[2], faults[2])
	}
}

func originalIsTheMessage(b *bench) {
	id := b.put(crm.Inbox, letter{n: 1, files: []file{{name: "a.bin", kind: "application/octet-stream", content: []byte("content")}}})
	r, err := b.Source.Original(b.Context(), b.box, id)
	if err != nil {
		b.Fatal(err)
	}
	m, err := mail.Parse(r)
	if err != nil {
		b.Errorf("the original is no message: %v", err)
	} else if got := m.Header.Get("Message-ID"); mail.MessageID(got) != mail.MessageID(messageID(1)) {
		b.Errorf("the original has the Message-ID %q, want %q", got, messageID(1))
	}
	if err := r.Close(); err != nil {
		b.Error(err)
	}
	b.System.Delete(b.box, id)
	r, err = b.Source.Original(b.Context(), b.box, id)
	if err == nil { // it may be found out on reading
		_, err = io.Copy(io.Discard, r)
		r.Close()
	}
	b.fault("the original of a deleted message", err, crm.Gone)
}
