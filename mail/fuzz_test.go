package mail

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"", "ann@acme.example", `"Smith, Ann" <"a b"@acme.example>`, "Team: a@b.example, <@r:c@d>;", "undisclosed-recipients:;",
		"=?utf-8?q?J=C3=B6rg?= <j@Bücher.example>", "(a(b)c) x@[192.0.2.1]", "<a@b, \"c", "SMTP:x@y", "'a@b'", "İ@ß.example", "a@xn--a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := ParseAddress(s); err == nil {
			if again, err := ParseAddress(string(a)); err != nil || again != a {
				t.Errorf("%q gives %q, which gives %q, %v", s, a, again, err)
			}
			if a.Local() == "" || a.Domain() == "" || a.Display() == "" {
				t.Errorf("%q gives %q with the parts %q and %q", s, a, a.Local(), a.Domain())
			}
		} else if a != "" {
			t.Errorf("%q gives %q and %v", s, a, err)
		}
		for _, n := range ParseList(s) {
			if !utf8.ValidString(n.Name+n.Raw) || strings.ContainsAny(n.Name, "\x00\r\n") {
				t.Errorf("%q has an entry that is not clean: %+q", s, n)
			}
			if again, err := ParseAddress(string(n.Address)); n.Address != "" && (err != nil || again != n.Address) {
				t.Errorf("%q has %q, which gives %q, %v", s, n.Address, again, err)
			}
		}
		if d, err := NormalizeDomain(s); err == nil {
			if again, err := NormalizeDomain(d); err != nil || again != d {
				t.Errorf("the domain %q gives %q, which gives %q, %v", s, d, again, err)
			}
		}
	})
}

func FuzzMessageID(f *testing.F) {
	for _, s := range []string{"", "<a@b>", "<A@B> (x) <c@d>", "a@b c@d", "<<>>", "(((", "<a\r\n b@c>", "<a(b)@c>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ids := append(References(s, s), MessageID(s))
		for _, id := range ids {
			if id == "" {
				continue
			}
			if len(id) > maxMessageID || !utf8.ValidString(id) || strings.ContainsAny(id, " \x00\t\r\n") {
				t.Errorf("%q gives %q", s, id)
			}
		}
		if id := MessageID(s); id != "" && !strings.ContainsAny(id, "<>()") && MessageID("<"+id+">") != id {
			t.Errorf("%q gives %q, which gives %q", s, id, MessageID("<"+id+">"))
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "Subject: s\n\nhello", letterHead + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b--\n",
		"Content-Type: text/html; charset=utf-7\n\n+AGE-", "From x\nA\nB: c\n d\n\nContent-Transfer-Encoding: base64\n\naGVsbG8=",
		"Content-Type: multipart/related; start=x\n\n--b\nContent-Id: x\n\ny\n--b", "Content-Transfer-Encoding: quoted-printable\n\na=3D=\nb= \n=zz",
		"Content-Type: text/plain; format=flowed; delsp=yes\n\n> a \n> b\n", "Date: 2026-11-21T18:05Z\nDate: 1 Jan 70\n\n",
		"Content-Disposition: attachment; filename*0*=utf-8''%41; filename*1=b\n\nx", "Content-Transfer-Encoding: uuencode\n\nbegin 644 x\n%:&5L;&\\\n`\nend\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		checkMessage(t, "fuzz", m)
		if d := m.Date(); !d.IsZero() && (d.Year() < 1969 || d.Year() > 2201) {
			t.Errorf("date %v", d)
		}
		h, err := ParseHeader(bytes.NewReader(data))
		if err != nil || h.Subject() != m.Subject() || h.MessageID() != m.MessageID() {
			t.Errorf("the header alone has subject %q, id %q, %v; the message %q, %q", h.Subject(), h.MessageID(), err, m.Subject(), m.MessageID())
		}
	})
}

func FuzzText(f *testing.F) {
	for _, s := range hostileHTML {
		if len(s) < 1000 {
			f.Add(s)
		}
	}
	for _, s := range []string{"<p>a<br>b", "<div style='display:none'>x<div>", "<pre> a\n</pre>", "<blockquote type=cite>a</blockquote>b", "On x wrote:\n> y\n", "<head>x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := Text(s)
		if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
			t.Errorf("%q gives the text %q", s, text)
		}
		if own, quoted := TrimQuoted(s); own+quoted != s {
			t.Errorf("%q is cut into %q and %q", s, own, quoted)
		}
		if own, cut := TrimQuotedHTML(s); !strings.HasPrefix(s, own) || cut == (own == s) {
			t.Errorf("%q is cut to %q, %v", s, own, cut)
		}
		if why := unsafe(SafeHTML(s, SafeOptions{})); why != "" {
			t.Errorf("%q is not made safe: %s", s, why)
		}
	})
}
