package mail

import (
	"bytes"
	"strings"
	"testing"
)

// corpus loads the first megabytes of the large corpus and the HTML in them.
func corpus(b *testing.B) (messages [][]byte, html []string) {
	const enough = 40 << 20
	size := 0
	largeCorpus(b, func(_ int, data []byte) {
		if size += len(data); size > enough {
			return
		}
		messages = append(messages, data)
		if m, err := Parse(bytes.NewReader(data)); err == nil && m.HTML != "" {
			html = append(html, m.HTML)
		}
	})
	return messages, html
}

func BenchmarkParse(b *testing.B) {
	messages, _ := corpus(b)
	b.SetBytes(int64(len(bytes.Join(messages, nil))))
	b.ReportAllocs()
	for b.Loop() {
		for _, data := range messages {
			if _, err := Parse(bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkParseHeader(b *testing.B) {
	messages, _ := corpus(b)
	b.SetBytes(int64(len(bytes.Join(messages, nil))))
	b.ReportAllocs()
	for b.Loop() {
		for _, data := range messages {
			if _, err := ParseHeader(bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkText(b *testing.B) {
	_, html := corpus(b)
	b.SetBytes(int64(len(strings.Join(html, ""))))
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range html {
			Text(s)
		}
	}
}

func BenchmarkSafeHTML(b *testing.B) {
	_, html := corpus(b)
	html = html[:min(len(html), 200)]
	b.SetBytes(int64(len(strings.Join(html, ""))))
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range html {
			SafeHTML(s, SafeOptions{})
		}
	}
}

func BenchmarkParseList(b *testing.B) {
	list := strings.Repeat(`"Smith, Ann" <ann@acme.example>, =?utf-8?q?J=C3=B6rg?= <j@client.example>, `, 500)
	b.SetBytes(int64(len(list)))
	b.ReportAllocs()
	for b.Loop() {
		ParseList(list)
	}
}

func BenchmarkParseNested(b *testing.B) {
	s := "Subject: s\n" + strings.Repeat("Content-Type: multipart/mixed; boundary=b\n\n--b\n", 5000)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		if _, err := Parse(strings.NewReader(s)); err != nil {
			b.Fatal(err)
		}
	}
}
