package mail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	message "github.com/emersion/go-message"
)

// parse reads a message that is written with LF for legibility.
func parse(t *testing.T, s string) *Message {
	t.Helper()
	m, err := Parse(strings.NewReader(s))
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return m
}

const letterHead = `From: Cyn <cyn@client.example>
To: Ann <ann@acme.example>, "Zed, Z." <zed@other.example>
Cc: bob@acme.example
Reply-To: office@client.example
Subject: =?utf-8?q?Gr=C3=BC=C3?= =?utf-8?q?=9Fe?=
Date: Sat, 21 Nov 2026 19:05:09 +0100
Message-ID: <First.Letter@Client.Example>
In-Reply-To: <offer@acme.example>
References: <start@acme.example> <offer@acme.example>
Sensitivity: Company-Confidential
MIME-Version: 1.0
`

func TestParseReadsALetter(t *testing.T) {
	s := letterHead + `Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/related; boundary="inner"

--inner
Content-Type: multipart/alternative; boundary=alt

--alt
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Sch=F6ne Gr=FC=
=DFe
--alt
Content-Type: text/html; charset=utf-8

<p>Schöne Grüße <img src="cid:logo@client.example"></p>
--alt--
--inner
Content-Type: image/png; name="logo.png"
Content-ID: <logo@client.example>
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--inner--
--outer
Content-Type: application/pdf
Content-Disposition: attachment; filename*0*=UTF-8''%E2%82%AC-Angebot; filename*1=".pdf"
Content-Transfer-Encoding: base64

JVBERi0x
LjQK
--outer--
`
	for _, ends := range []string{"\n", "\r\n", "\r"} {
		m := parse(t, strings.ReplaceAll(s, "\n", ends))
		if len(m.Odd) > 0 {
			t.Errorf("line ends %q: odd: %q", ends, m.Odd)
		}
		if m.Subject() != "Grüße" || m.MessageID() != "First.Letter@client.example" || m.Sensitivity() != "confidential" {
			t.Errorf("line ends %q: subject %q, id %q, sensitivity %q", ends, m.Subject(), m.MessageID(), m.Sensitivity())
		}
		if want := time.Date(2026, 11, 21, 18, 5, 9, 0, time.UTC); !m.Date().Equal(want) {
			t.Errorf("line ends %q: date %v, want %v", ends, m.Date(), want)
		}
		if want := []string{"start@acme.example", "offer@acme.example"}; !slices.Equal(m.References(), want) {
			t.Errorf("line ends %q: references %q, want %q", ends, m.References(), want)
		}
		if to := m.To(); len(to) != 2 || to[1].Name != "Zed, Z." || to[1].Address != "zed@other.example" {
			t.Errorf("line ends %q: to %+v", ends, to)
		}
		if m.From()[0].Address != "cyn@client.example" || m.Cc()[0].Address != "bob@acme.example" || m.ReplyTo()[0].Address != "office@client.example" || m.Bcc() != nil {
			t.Errorf("line ends %q: people %v %v %v %v", ends, m.From(), m.Cc(), m.ReplyTo(), m.Bcc())
		}
		if m.Text != "Schöne Grüße" || !strings.HasPrefix(m.HTML, "<p>Schöne Grüße") {
			t.Errorf("line ends %q: text %q, HTML %q", ends, m.Text, m.HTML)
		}
		if len(m.Attachments) != 2 {
			t.Fatalf("line ends %q: %d attachments", ends, len(m.Attachments))
		}
		if a := m.Attachments[0]; a.Name != "logo.png" || a.ContentID != "logo@client.example" || !a.Inline || string(a.Content) != "\x89PNG\r\n\x1a\n" {
			t.Errorf("line ends %q: picture %+v", ends, a)
		}
		if a := m.Attachments[1]; a.Name != "€-Angebot.pdf" || a.Type != "application/pdf" || a.Inline || string(a.Content) != "%PDF-1.4\n" {
			t.Errorf("line ends %q: document %+v", ends, a)
		}
	}
}

// Twenty ways in which messages in the wild are broken. Each still yields its text.
func TestParseReadsBrokenMessages(t *testing.T) {
	multi := "Subject: s\nContent-Type: multipart/mixed; boundary=b\n\n"
	tests := []struct {
		name, in     string
		text         string
		attachments  string // names
		odd, subject string
	}{
		{"mbox From line", "From ann Sat Nov 21 18:05:09 2026\nSubject: s\n\nhello", "hello", "", "mbox", "s"},
		{"empty lines in front", "\r\n\r\nSubject: s\r\n\r\nhello", "hello", "", "", "s"},
		{"header line without a colon", "Subject: s\nthis is no field\nX-Next: 1\n\nhello", "hello", "", "without a colon", "s"},
		{"no empty line", "Subject: s\nhello, all\nwho are here", "hello, all\nwho are here", "", "no empty line", "s"},
		{"no header", "hello", "hello", "", "no header", ""},
		{"blanks on the empty line", "Subject: s\n \nhello", "hello", "", "", "s"},
		{"blank in front of the colon", "Subject : s\n\nhello", "hello", "", "", "s"},
		{"raw Latin-1 in the header", "Subject: Gr\xfc\xdfe\n\nhello", "hello", "", "", "Grüße"},
		{"raw GB2312 in the header", "Subject: \xd6\xd0\xce\xc4\nContent-Type: text/plain; charset=gb2312\n\n\xd6\xd0", "中", "", "", "中文"},
		{"unknown charset", "Subject: s\nContent-Type: text/plain; charset=x-nonsense\n\nGr\xfc\xdfe", "Grüße", "", "", "s"},
		{"wrong charset", "Subject: s\nContent-Type: text/plain; charset=utf-8\n\nGr\xfc\xdfe", "Grüße", "", "", "s"},
		{"unknown encoding", "Subject: s\nContent-Transfer-Encoding: x-odd\n\nhello", "hello", "", "an unknown encoding", "s"},
		{"misspelt encoding", "Subject: s\nContent-Transfer-Encoding: 8 bit;\n\nhello", "hello", "", "", "s"},
		{"terminator missing", multi + "--b\n\nhello\n--b\nContent-Type: image/gif; name=x.gif\n\nGIF", "hello", "x.gif", "does not end", "s"},
		{"inner terminator missing", multi + "--b\nContent-Type: multipart/alternative; boundary=i\n\n--i\n\nhello\n--b\nContent-Type: a/b; name=x\n\nx\n--b--", "hello", "x", "does not end", "s"},
		{"boundary not declared", "Subject: s\nContent-Type: multipart/mixed\n\n--b\nContent-Type: text/plain\n\nhello\n--b--", "hello", "", "another than declared", "s"},
		{"another boundary", "Subject: s\nContent-Type: multipart/mixed; boundary=c\n\n--b\nContent-Type: text/plain\n\nhello\n--b--", "hello", "", "another than declared", "s"},
		{"multipart without parts", multi + "hello", "hello", "", "without parts", "s"},
		{"no empty line in a part", multi + "--b\nContent-Type: text/plain\n--b\n\nhello\n--b--", "hello", "", "", "s"},
		{"name with blanks, unquoted", multi + "--b\n\nhello\n--b\nContent-Disposition: attachment; filename=my file.txt\n\nx\n--b--", "hello", "my file.txt", "", "s"},
		{"name in encoded words", multi + "--b\n\nhello\n--b\nContent-Disposition: attachment; filename=\"=?utf-8?b?w7wudHh0?=\"\n\nx\n--b--", "hello", "ü.txt", "", "s"},
		{"quote without end", multi + "--b\n\nhello\n--b\nContent-Disposition: attachment; filename=\"x.txt\n\nx\n--b--", "hello", "x.txt", "", "s"},
		{"content type without slash", "Subject: s\nContent-Type: text\n\nhello", "hello", "", "", "s"},
		{"NUL in the text", "Subject: s\x00\n\nhel\x00lo", "hello", "", "", "s"},
		{"TNEF", multi + "--b\n\nhello\n--b\nContent-Type: application/ms-tnef; name=winmail.dat\n\nx\n--b--", "hello", "winmail.dat", "", "s"},
		{"forwarded as attachment", multi + "--b\n\nhello\n--b\nContent-Type: message/rfc822\n\nSubject: inner\n\nx\n--b--", "hello", "inner", "", "s"},
		{"base64 with dirt", "Subject: s\nContent-Transfer-Encoding: base64\n\naGVs\n bG8*h\nIQ==\n-- \nfooter", "hello!~\x8a(\xb5\xec", "", "", "s"},
		{"text with a name alone", "Subject: s\nContent-Type: text/plain; name=a.txt\n\nhello", "hello", "", "", "s"},
		{"uuencoded", "Subject: s\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 x\n%:&5L;&\\\n`\nend\n", "hello", "", "", "s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := parse(t, tt.in)
			checkMessage(t, tt.name, m)
			if tt.name != "base64 with dirt" && m.Text != tt.text {
				t.Errorf("text %q, want %q", m.Text, tt.text)
			}
			if !strings.HasPrefix(m.Text, "hello") && !strings.HasPrefix(m.Text, tt.text) {
				t.Errorf("text %q, want %q", m.Text, tt.text)
			}
			if m.Subject() != tt.subject {
				t.Errorf("subject %q, want %q", m.Subject(), tt.subject)
			}
			var names []string
			for _, a := range m.Attachments {
				names = append(names, a.Name)
			}
			if got := strings.Join(names, " "); got != tt.attachments {
				t.Errorf("attachments %q, want %q", got, tt.attachments)
			}
			if got := strings.Join(m.Odd, "; "); (tt.odd == "") != (got == "") || !strings.Contains(got, tt.odd) {
				t.Errorf("odd %q, want %q", got, tt.odd)
			}
		})
	}
}

func TestParseKnowsSpecialMessages(t *testing.T) {
	tests := []struct {
		contentType string
		want        Kind
	}{
		{"text/plain", Ordinary},
		{"multipart/report; report-type=delivery-status; boundary=b", Report},
		{"multipart/report; report-type=disposition-notification; boundary=b", Receipt},
		{"text/calendar; method=REQUEST", Meeting},
		{"text/calendar; method=PUBLISH", Ordinary},
		{"text/calendar", Ordinary},
		{"multipart/signed; boundary=b", Signed},
		{"application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", OpaqueSigned},
		{"application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", Encrypted},
		{"application/x-pkcs7-mime; name=smime.p7m", Encrypted},
		{"application/pkcs7-mime; smime-type=certs-only", Ordinary},
		{"multipart/encrypted; boundary=b", Encrypted},
		{"application/x-microsoft-rpmsg-message; name=message.rpmsg", Encrypted},
	}
	for _, tt := range tests {
		m := parse(t, "Content-Type: "+tt.contentType+"\n\n--b\n\nexplanation\n--b\nContent-Type: message/delivery-status\n\nAction: failed\n--b--\n")
		if m.Kind != tt.want {
			t.Errorf("%s: kind %q, want %q", tt.contentType, m.Kind, tt.want)
		}
		if (tt.want == Report || tt.want == Signed) && m.Text != "explanation" {
			t.Errorf("%s: text %q", tt.contentType, m.Text)
		}
	}
}

func TestParseJoinsTextsAroundPictures(t *testing.T) {
	m := parse(t, "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>above</p>\n--b\nContent-Type: image/png\nContent-Disposition: inline\n\nx\n--b\n\nbelow & <beyond>\n--b--\n")
	if want := "<p>above</p>\n<div style=\"white-space:pre-wrap\">below &amp; &lt;beyond&gt;</div>"; m.HTML != want {
		t.Errorf("HTML %q, want %q", m.HTML, want)
	}
	if m.Text != "above\nbelow & <beyond>" || len(m.Attachments) != 1 || !m.Attachments[0].Inline {
		t.Errorf("text %q, attachments %+v", m.Text, m.Attachments)
	}
}

func TestParseJoinsFlowedLines(t *testing.T) {
	m := parse(t, "Content-Type: text/plain; format=flowed\n\none \ntwo\n> quoted \n> further\nthree\n-- \nAnn\n")
	if want := "one two\n> quoted further\nthree\n-- \nAnn\n"; m.Text != want {
		t.Errorf("text %q, want %q", m.Text, want)
	}
}

// Today's parsers are busy for many seconds with these; a test that takes too long is
// ended by its own limit. What can be read is read.
func TestParseIsBounded(t *testing.T) {
	var deep, deepEnded strings.Builder
	deep.WriteString("Subject: s\n")
	for i := range 5000 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	deep.WriteString("\nhello\n")
	deepEnded.WriteString(deep.String())
	for i := range 5000 {
		fmt.Fprintf(&deepEnded, "--b%d--\n", 4999-i)
	}
	const many = 100_000
	tests := []struct{ name, in, odd string }{
		{"5,000 nested multiparts", deep.String(), "more than 30 multiparts"},
		{"5,000 nested multiparts that end", deepEnded.String(), "more than 30 multiparts"},
		{"the same boundary 5,000 times", "Subject: s\n" + strings.Repeat("Content-Type: multipart/mixed; boundary=b\n\n--b\n", 5000), "more than 30 multiparts"},
		{"100,000 parts", "Subject: s\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", many), "more than 1000 parts"},
		{"100,000 multiparts without parts", "Subject: s\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nContent-Type: multipart/mixed; boundary=c\n\nx\n", many), "more than 1000 parts"},
		{"a header of 3 MB", "Subject: s\n" + strings.Repeat("X: y\n", 600_000) + "\nhello", "header is longer"},
		{"one field of 3 MB", "Subject: s\nX:" + strings.Repeat(" yyy\n", 600_000) + "\nhello", "header is longer"},
		{"lines of two dashes", "Subject: s\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--\n", many) + "--b\n\nhello", "does not end"},
		{"nested forwards", "Subject: s\n" + strings.Repeat("Content-Type: message/rfc822\n\n", 1000) + "hello", ""},
		{"100,000 parameters", "Subject: s\nContent-Type: text/plain; " + strings.Repeat("a*1*=b;", many) + "\n\nhello", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := parse(t, tt.in)
			if m.Subject() != "s" {
				t.Errorf("subject %q", m.Subject())
			}
			if got := strings.Join(m.Odd, "; "); !strings.Contains(got, tt.odd) {
				t.Errorf("odd %q, want %q", got, tt.odd)
			}
			if len(m.Attachments) > maxParts {
				t.Errorf("%d attachments", len(m.Attachments))
			}
		})
	}
}

func TestParseReturnsWhatItReadBeforeAnError(t *testing.T) {
	broken := errors.New("line cut")
	r := io.MultiReader(strings.NewReader("Subject: s\n\nhello"), iotest.ErrReader(broken))
	m, err := Parse(r)
	if !errors.Is(err, broken) || m.Subject() != "s" || m.Text != "hello" {
		t.Errorf("got %v with subject %q and text %q", err, m.Subject(), m.Text)
	}
	r = io.MultiReader(strings.NewReader("Subject: s\nX-Next: 1"), iotest.ErrReader(broken))
	if h, err := ParseHeader(r); !errors.Is(err, broken) || h.Subject() != "s" {
		t.Errorf("header: got %v with subject %q", err, h.Subject())
	}
}

func TestParseHeaderReadsNoMoreThanItMust(t *testing.T) {
	body := strings.NewReader(strings.Repeat("x\n", 1<<20))
	h, err := ParseHeader(iotest.OneByteReader(io.MultiReader(strings.NewReader(letterHead+"\n"), body)))
	if err != nil || h.Subject() != "Grüße" || len(h.To()) != 2 {
		t.Errorf("subject %q, to %v, %v", h.Subject(), h.To(), err)
	}
	if read := 2<<20 - body.Len(); read > 8192 {
		t.Errorf("%d bytes of the body were read", read)
	}
	want := parse(t, letterHead)
	if got, want := slices.Collect(h.All()), slices.Collect(want.All()); !slices.Equal(got, want) {
		t.Errorf("fields %q, want those of Parse: %q", got, want)
	}
}

// TestCorpusAgreesWithAnotherParser compares the parts of each message with those that
// go-message finds, where it reads the message without complaint. It does not see the boundary
// lines of messages that mix line ends, nor the blanks behind the last line: more parts, or
// more blanks, are no difference.
func TestCorpusAgreesWithAnotherParser(t *testing.T) {
	compared, more := 0, 0
	compare := func(name string, data []byte) {
		theirs, ok := foreignParts(data)
		if !ok {
			return
		}
		s := splitter{data: data}
		s.start()
		root, _ := s.part("text/plain")
		ours := leaves(root)
		if len(ours) > len(theirs) {
			more++
			return
		}
		compared++
		same := func(a, b []byte) bool { return bytes.Equal(bytes.TrimRight(a, " "), bytes.TrimRight(b, " ")) }
		if !slices.EqualFunc(ours, theirs, same) {
			t.Errorf("%s: we find %d parts, they %d, or they differ in content", name, len(ours), len(theirs))
		}
	}
	smallCorpus(t, compare)
	if !testing.Short() {
		largeCorpus(t, func(n int, data []byte) { compare(fmt.Sprintf("large %d", n), data) })
	}
	t.Logf("%d messages have the same parts; of %d we read more", compared, more)
	if more > 10 {
		t.Errorf("more parts than the other parser sees in %d messages", more)
	}
}

func leaves(p *part) [][]byte {
	if len(p.children) == 0 {
		b, _ := decodeTransfer(p.Get("Content-Transfer-Encoding"), p.body)
		return [][]byte{b}
	}
	var list [][]byte
	for _, c := range p.children {
		list = append(list, leaves(c)...)
	}
	return list
}

func foreignParts(data []byte) (list [][]byte, ok bool) {
	e, err := message.Read(bytes.NewReader(data))
	if err != nil && !message.IsUnknownCharset(err) {
		return nil, false
	}
	err = e.Walk(func(_ []int, e *message.Entity, err error) error {
		if err != nil && !message.IsUnknownCharset(err) {
			return err
		}
		if e.MultipartReader() != nil {
			return nil
		}
		b, err := io.ReadAll(e.Body)
		list = append(list, b)
		return err
	})
	return list, err == nil
}
