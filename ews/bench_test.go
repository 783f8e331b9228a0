package ews

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/asm/base64"
)

// mimeAnswer is an answer to GetItem with the originals of real messages.
func mimeAnswer(tb testing.TB) ([]byte, int) {
	files, _ := filepath.Glob(filepath.Join(shared(tb, "corpus/small"), "*.eml"))
	var answers []Answer
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			tb.Fatal(err)
		}
		answers = append(answers, &ItemsResult{Result: Succeeded(), Items: []Item{{
			Element: MessageItem, ID: ItemID{ID: "AAMkADc1", ChangeKey: "CQAAABYA"}, Mime: &Content{Bytes: b, CharacterSet: "UTF-8"},
		}}})
	}
	var out bytes.Buffer
	if err := WriteResponse(&out, ServerVersion{}, "GetItem", answers...); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes(), len(answers)
}

// reportCPU adds what the process has burnt, which other work on the machine does not
// change, to a benchmark's figures.
func reportCPU(b *testing.B) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	b.Cleanup(func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") })
}

// BenchmarkScan is the yardstick: every tag found, every long text decoded as base64,
// nothing understood.
func BenchmarkScan(b *testing.B) {
	answer, _ := mimeAnswer(b)
	window := make([]byte, 0, len(answer))
	out := make([]byte, len(answer))
	b.SetBytes(int64(len(answer)))
	reportCPU(b)
	for b.Loop() {
		window = append(window[:0], answer...) // as if read
		for rest := window; ; {
			i := bytes.IndexByte(rest, '<')
			if i < 0 {
				break
			}
			if i > 100 {
				base64.StdEncoding.Decode(out, rest[:i])
			}
			rest = rest[i+1:]
		}
	}
}

// BenchmarkDecode reads the same bytes into items, their content streamed.
func BenchmarkDecode(b *testing.B) {
	answer, n := mimeAnswer(b)
	d := newDecoder(nil)
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	reportCPU(b)
	for b.Loop() {
		d.reset(bytes.NewReader(answer))
		x := &codec{d: d, sink: func() io.Writer { return io.Discard }}
		if err := x.openEnvelope(new(Header)); err != nil {
			b.Fatal(err)
		}
		got := 0
		eachMessage(x, func() {
			var r ItemsResult
			x.read(&r)
			got++
		})
		if err := x.closeEnvelope(); err != nil || got != n {
			b.Fatal(got, err)
		}
	}
}

// headerAnswer is an answer to GetItem with the headers of n messages.
func headerAnswer(tb testing.TB, n int) []byte {
	no := false
	var answers []Answer
	for range n {
		answers = append(answers, &ItemsResult{Result: Succeeded(), Items: []Item{{
			Element: MessageItem, ID: ItemID{ID: "AAMkADc1NzNlYTk1LTYwZDgtNDAyZC1hYTNhLTA0", ChangeKey: "CQAAABYAAAA"}, Class: "IPM.Note",
			Subject: "Re: the offer & the terms", Sensitivity: "Normal", Size: 12345, IsDraft: &no, IsRead: &no,
			ConversationID: &ItemID{ID: "AAQkADc1NzNlYTk1"}, InternetMessageID: "<1@example.com>", References: "<0@example.com>",
			From:   &Mailbox{Name: "Ann", EmailAddress: "ann@example.com", RoutingType: "SMTP"},
			Sender: &Mailbox{Name: "Ann", EmailAddress: "ann@example.com", RoutingType: "SMTP"},
			To:     []Mailbox{{Name: "Bob", EmailAddress: "bob@example.com", RoutingType: "SMTP"}, {Name: "Cleo", EmailAddress: "cleo@example.com", RoutingType: "SMTP"}},
		}}})
	}
	var out bytes.Buffer
	if err := WriteResponse(&out, ServerVersion{}, "GetItem", answers...); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// BenchmarkDecodeHeaders reads small elements, many of them.
func BenchmarkDecodeHeaders(b *testing.B) {
	answer := headerAnswer(b, 100)
	d := newDecoder(nil)
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	reportCPU(b)
	for b.Loop() {
		d.reset(bytes.NewReader(answer))
		x := &codec{d: d}
		if err := x.openEnvelope(new(Header)); err != nil {
			b.Fatal(err)
		}
		eachMessage(x, func() {
			var r ItemsResult
			x.read(&r)
		})
		if err := x.closeEnvelope(); err != nil {
			b.Fatal(err)
		}
	}
}
