package ews

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/crm"
	"postern/mail"
)

// load loads and returns what became of each id: its text, or the code of its fault.
func load(t *testing.T, src crm.Source, headers []crm.Header) (map[string]string, error) {
	t.Helper()
	got := map[string]string{}
	err := src.Load(t.Context(), ann, headers, func(i *crm.Item) error {
		if _, twice := got[i.ID]; twice {
			t.Errorf("%s was handed out twice", i.ID)
		}
		got[i.ID] = i.Text
		if i.Fault != nil {
			got[i.ID] = i.Fault.Code
		}
		return nil
	})
	return got, err
}

// TestMixedBatch: values and faults lie side by side, each with its own id.
func TestMixedBatch(t *testing.T) {
	m, headers := letters(6)
	delete(m.items, "id-001")
	m.trouble = func(op *GetItem, id string) string {
		if id == "id-003" {
			return "ErrorCorruptData"
		}
		return ""
	}
	m.t = t
	got, err := load(t, newServer(t, m.answer).source(t), headers)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"id-000": "text of id-000", "id-002": "text of id-002", "id-003": "ErrorCorruptData",
		"id-004": "text of id-004", "id-005": "text of id-005",
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestMIMEIsTheLastRung: what has no properties is read from the original, and S/MIME
// always is.
func TestMIMEIsTheLastRung(t *testing.T) {
	m, headers := letters(3)
	m.t = t
	m.items["id-001"].Mime = &Content{Bytes: []byte("Subject: x\r\nContent-Type: text/plain\r\n\r\nfrom the original\r\n")}
	headers[2].Class = "IPM.Note.SMIME"
	m.items["id-002"].Mime = &Content{Bytes: []byte("MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n")}
	m.trouble = func(op *GetItem, id string) string {
		if id == "id-001" && !op.Shape.IncludeMimeContent {
			return "ErrorContentConversionFailed"
		}
		return ""
	}
	s := newServer(t, m.answer)
	got := map[string]*crm.Item{}
	if err := s.source(t).Load(t.Context(), ann, headers, func(i *crm.Item) error { got[i.ID] = i; return nil }); err != nil {
		t.Fatal(err)
	}
	if i := got["id-001"]; i == nil || i.Fault != nil || strings.TrimSpace(i.Text) != "from the original" {
		t.Errorf("the damaged one: %+v", i)
	}
	if i := got["id-002"]; i == nil || i.Fault != nil || !i.Encrypted || len(i.Attachments) != 1 || len(i.Attachments[0].Content) == 0 {
		t.Errorf("the encrypted one: %+v", i)
	}
	for _, op := range s.ops {
		if get, ok := op.Op.(*GetItem); ok && get.Shape.IncludeMimeContent && get.IDs[0].ID == "id-000" {
			t.Error("MIME was asked for without need")
		}
	}
}

// TestCountMismatchMeansSingly: answers that cannot be told apart are asked for alone.
func TestCountMismatchMeansSingly(t *testing.T) {
	m, headers := letters(9)
	m.t = t
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		answers, fault := m.answer(r)
		if len(answers) > 1 {
			answers = slices.Delete(answers, 0, 1) // all the others move up
		}
		return answers, fault
	})
	got, err := load(t, s.source(t), headers)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		if got[h.ID] != "text of "+h.ID {
			t.Errorf("%s has %q", h.ID, got[h.ID])
		}
	}
}

// TestFaultsAreNotMisplaced: with an answer too few, a fault may be another item's.
func TestFaultsAreNotMisplaced(t *testing.T) {
	m, headers := letters(4)
	m.t = t
	m.trouble = func(_ *GetItem, id string) string {
		if id == "id-003" {
			return "ErrorItemNotFound"
		}
		return ""
	}
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		answers, fault := m.answer(r)
		if len(answers) == 4 {
			answers = slices.Delete(answers, 1, 3) // the fault stands in the second's place
		}
		return answers, fault
	})
	got, err := load(t, s.source(t), headers)
	if err != nil || len(got) != 3 {
		t.Errorf("got %v, %v, want all but the last", got, err)
	}
}

// TestNotTriedIsPutBack: a batch that Exchange gave up is continued where it stopped.
func TestNotTriedIsPutBack(t *testing.T) {
	m, headers := letters(5)
	m.t = t
	done := 0
	m.trouble = func(op *GetItem, id string) string {
		if op.IDs[0].ID == id {
			done = 0
		}
		if done++; done > 2 {
			return "ErrorBatchProcessingStopped"
		}
		return ""
	}
	s := newServer(t, m.answer)
	got, err := load(t, s.source(t), headers)
	if err != nil || len(got) != 5 {
		t.Errorf("got %v, %v", got, err)
	}
	if n := s.operations()["GetItem"]; n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
}

// TestBusyStopsTheMailbox: throttling of a part is throttling of the whole, with the
// server's hint.
func TestBusyStopsTheMailbox(t *testing.T) {
	m, headers := letters(3)
	m.t = t
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		answers, fault := m.answer(r)
		if _, ok := r.Op.(*GetItem); ok {
			busy := Failed("ErrorInternalServerError", "")
			busy.XML = MessageXML{{Name: "InnerErrorResponseCode", Text: "ErrorServerBusy"}, {Name: "BackOffMilliseconds", Text: "5000"}}
			answers[1] = &ItemsResult{Result: busy}
		}
		return answers, fault
	})
	_, err := load(t, s.source(t), headers)
	f := crm.AsFault(err)
	if f.Code != "ErrorServerBusy" || f.Scope != crm.MailboxScope || f.After != 5*time.Second || f.Verdict != crm.Retry {
		t.Errorf("fault %+v", f)
	}
	if n := s.operations()["GetItem"]; n != 1 {
		t.Errorf("%d calls while the server asks for silence", n)
	}
}

// TestHalvesFindTheCulprit: one item that tears each answer costs itself alone.
func TestHalvesFindTheCulprit(t *testing.T) {
	m, headers := letters(64)
	m.t = t
	s := newServer(t, m.answer)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte("id-041")) && r.Header.Get("Authorization") != "" {
			w.Header().Set("Content-Type", "text/xml")
			io.WriteString(w, `<s:Envelope xmlns:s="`+nsSOAP+`">`)
			return true
		}
		return false
	}
	got, err := load(t, s.source(t), headers)
	if err != nil || len(got) != 64 || got["id-041"] != "torn-answer" || got["id-040"] != "text of id-040" {
		t.Errorf("got %d, culprit %q, %v", len(got), got["id-041"], err)
	}
	if n := s.count(); n > 2*7+5 {
		t.Errorf("%d requests to find one of 64", n)
	}
}

func TestLoadStopsWithTheCaller(t *testing.T) {
	m, headers := letters(3)
	m.t = t
	stop := errors.New("disk full")
	err := newServer(t, m.answer).source(t).Load(t.Context(), ann, headers, func(*crm.Item) error { return stop })
	if err != stop {
		t.Errorf("got %v, want the caller's own error", err)
	}
}

func TestPacks(t *testing.T) {
	sizes := []int64{1, packBytes, 2, 3, packBytes - 5, 1, packBytes * 3, 4}
	got := packs(len(sizes), 3, func(i int) int64 { return sizes[i] })
	want := [][]int{{0}, {1}, {2, 3, 4}, {5}, {6}, {7}}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBodyAndAttachments(t *testing.T) {
	yes := true
	m, headers := letters(1)
	m.t = t
	m.items["id-000"].Body = &Body{Type: "HTML", Text: "<p>Hello <b>you</b></p>"}
	m.items["id-000"].Attachments = []Attachment{
		{Element: FileAttachment, ID: "T1", Name: "../a.pdf", Type: "application/pdf", Size: 9, ContentID: "<c1>", IsInline: &yes},
		{Element: ItemAttachment, ID: "T2", Name: "Forwarded"},
		{Element: ReferenceAttachment, ID: "T3", Name: "cloud.docx"},
	}
	var got *crm.Item
	if err := newServer(t, m.answer).source(t).Load(t.Context(), ann, headers, func(i *crm.Item) error { got = i; return nil }); err != nil {
		t.Fatal(err)
	}
	want := []crm.Attachment{
		{ID: "T1", Name: "../a.pdf", Type: "application/pdf", Size: 9, ContentID: "c1", Inline: true},
		{ID: "T2", Name: "Forwarded", Type: "message/rfc822"},
		{ID: "T3", Name: "cloud.docx", Note: "link to a cloud file"},
	}
	if d := gocmp.Diff(want, got.Attachments); d != "" {
		t.Error(d)
	}
	if got.HTML != "<p>Hello <b>you</b></p>" || got.Text != mail.Text(got.HTML) {
		t.Errorf("body %q, text %q", got.HTML, got.Text)
	}
}

func TestAttachments(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789"), 300_000)
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		op := r.Op.(*GetAttachment)
		var list []Answer
		for _, id := range op.IDs {
			a := Attachment{Element: FileAttachment, ID: id, Name: id, Content: &Content{Bytes: []byte("content of " + id)}}
			switch id {
			case "big":
				a.Content.Bytes = big
			case "empty":
				a.Content.Bytes = nil
			case "mail":
				if op.Shape == nil || !op.Shape.IncludeMimeContent {
					t.Error("an attached item was asked for without its MIME")
				}
				a = Attachment{Element: ItemAttachment, ID: id, Item: []Item{{Element: MessageItem, Mime: &Content{Bytes: []byte("Subject: inner\r\n\r\n")}}}}
			case "link":
				a = Attachment{Element: ReferenceAttachment, ID: id}
			case "known":
				t.Error("what is there was asked for again")
			case "stale":
				list = append(list, &AttachmentsResult{Result: Failed("ErrorItemNotFound", "")})
				continue
			case "virus":
				list = append(list, &AttachmentsResult{Result: Failed("ErrorVirusDetected", "")})
				continue
			}
			list = append(list, &AttachmentsResult{Result: Succeeded(), Attachments: []Attachment{a}})
		}
		return list, nil
	})
	list := enclosed(crm.Attachment{ID: "a", Size: 10}, crm.Attachment{ID: "stale"}, crm.Attachment{ID: "mail", Type: "message/rfc822"}, crm.Attachment{ID: "empty"}, crm.Attachment{ID: "virus"},
		crm.Attachment{ID: "big", Size: packBytes}, crm.Attachment{ID: "b", Size: 10}, crm.Attachment{ID: "link"}, crm.Attachment{ID: "known", Content: []byte("known")})
	got := map[string]string{}
	err := s.source(t).Attachments(t.Context(), ann, list, func(i int, r io.Reader, f *crm.Fault) error {
		if f != nil {
			got[list[i].ID] = string(f.Verdict)
			return nil
		}
		b, err := io.ReadAll(r)
		got[list[i].ID] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "content of a", "b": "content of b", "mail": "Subject: inner\r\n\r\n", "empty": "", "big": string(big), "stale": string(crm.Gone), "virus": string(crm.Refused), "link": string(crm.Refused), "known": "known"}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := s.operations()["GetAttachment"]; n != 3 {
		t.Errorf("%d calls, want 3: small, big, small", n)
	}
}

// enclosed are attachments as a source is asked for them.
func enclosed(attachments ...crm.Attachment) []crm.Enclosure {
	list := make([]crm.Enclosure, len(attachments))
	for i, a := range attachments {
		list[i].Attachment = a
	}
	return list
}

// TestTornAttachmentIsNotWhole: the taker sees the end of the world, not of the file.
func TestTornAttachmentIsNotWhole(t *testing.T) {
	s := newServer(t, nil)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "" {
			return false
		}
		whole := text(func(b *bytes.Buffer) {
			WriteResponse(b, s.server, "GetAttachment", &AttachmentsResult{Result: Succeeded(), Attachments: []Attachment{
				{Element: FileAttachment, ID: "a", Content: &Content{Bytes: bytes.Repeat([]byte("x"), 200_000)}},
			}})
		})
		w.Header().Set("Content-Type", "text/xml")
		io.WriteString(w, whole[:len(whole)/2])
		return true
	}
	var read error
	s.source(t).Attachments(t.Context(), ann, enclosed(crm.Attachment{ID: "a"}), func(_ int, r io.Reader, f *crm.Fault) error {
		_, read = io.Copy(io.Discard, r)
		return read
	})
	if read == nil {
		t.Error("a torn content was taken for a whole one")
	}
}

func TestOriginal(t *testing.T) {
	m, _ := letters(1)
	m.t = t
	m.items["id-000"].Mime = &Content{Bytes: []byte("Subject: x\r\n\r\n" + strings.Repeat("text\r\n", 50_000))}
	src := newServer(t, m.answer).source(t)
	r, err := src.Original(t.Context(), ann, "id-000")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || string(b) != string(m.items["id-000"].Mime.Bytes) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if r, err = src.Original(t.Context(), ann, "id-000"); err != nil {
		t.Fatal(err)
	}
	r.Close() // early
	if _, err := src.Original(t.Context(), ann, "unknown"); crm.AsFault(err).Verdict != crm.Gone {
		t.Errorf("got %v, want gone", err)
	}
}

// TestStumblingTakesNoConnection: a panic over what was read gives back what the request
// held, and the request is told of.
func TestStumblingTakesNoConnection(t *testing.T) {
	m, headers := letters(1)
	m.t = t
	src, b := newServer(t, m.answer).paced(t)
	stumble := func() {
		defer func() { recover() }()
		src.Load(t.Context(), ann, headers, func(*crm.Item) error { panic("stumbled") })
		t.Error("the panic was swallowed")
	}
	for range maxConns + 1 {
		stumble()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := src.Load(ctx, ann, headers, func(*crm.Item) error { return nil }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if n := len(b.faults); n != len(b.log) {
		t.Errorf("%d of %d requests were told of", n, len(b.log))
	}
}

// TestStumblingInTheBackground: where a goroutine of ours reads or takes, a panic becomes the
// error of who waits for it.
func TestStumblingInTheBackground(t *testing.T) {
	s := newServer(t, func(*Request) ([]Answer, *SOAPFault) {
		return []Answer{&AttachmentsResult{Result: Succeeded(), Attachments: []Attachment{{Element: FileAttachment, ID: "a", Content: &Content{Bytes: bytes.Repeat([]byte("x"), 200_000)}}}}}, nil
	})
	src, b := s.paced(t)
	err := src.Attachments(t.Context(), ann, enclosed(crm.Attachment{ID: "a"}), func(int, io.Reader, *crm.Fault) error { panic("stumbled") })
	if err == nil || crm.AsFault(err).Code != crm.Unforeseen {
		t.Errorf("a content: got %v", err)
	}
	b.closed = func(int) *crm.Fault { panic("stumbled") }
	if _, err := src.Original(t.Context(), ann, "id-000"); err == nil || crm.AsFault(err).Code != crm.Unforeseen {
		t.Errorf("an original: got %v", err)
	}
}
