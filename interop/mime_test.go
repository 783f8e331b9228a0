package interop

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"

	"golang.org/x/net/html/charset"
)

// compareMIME reads a message with the standard library, not with our own parser, and
// compares subject and text.
func compareMIME(t *testing.T, e expectation, raw []byte) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Errorf("%s: %v", e.File, err)
		return
	}
	subject, err := decodeWords(m.Header.Get("Subject"))
	if err != nil || subject != e.Subject {
		t.Errorf("%s: subject %q, %v, want %q", e.File, subject, err, e.Subject)
	}
	text, html := readPart(t, m.Header.Get, m.Body)
	if e.Text != "" && !sameText(text, e.Text) {
		t.Errorf("%s: text %q, want %q", e.File, text, e.Text)
	}
	if e.HTML != "" && !sameText(html, e.HTML) {
		t.Errorf("%s: HTML %q, want %q", e.File, html, e.HTML)
	}
}

func decodeWords(s string) (string, error) {
	words := mime.WordDecoder{CharsetReader: charset.NewReaderLabel}
	return words.DecodeHeader(s)
}

// readPart returns the first text and the first HTML of a part.
func readPart(t *testing.T, header func(string) string, body io.Reader) (text, html string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		kind, params = "text/plain", nil
	}
	if !strings.HasPrefix(kind, "multipart/") {
		content := readText(t, header("Content-Transfer-Encoding"), params["charset"], body)
		switch kind {
		case "text/plain":
			return content, ""
		case "text/html":
			return "", content
		}
		return "", ""
	}
	parts := multipart.NewReader(body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return text, html
		}
		if err != nil {
			t.Error(err)
			return text, html
		}
		t2, h2 := readPart(t, part.Header.Get, part)
		if text == "" {
			text = t2
		}
		if html == "" {
			html = h2
		}
	}
}

func readText(t *testing.T, encoding, label string, r io.Reader) string {
	t.Helper()
	switch strings.ToLower(encoding) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	if label != "" && !strings.EqualFold(label, "utf-8") {
		decoded, err := charset.NewReaderLabel(label, r)
		if err != nil {
			t.Error(err)
			return ""
		}
		r = decoded
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}
