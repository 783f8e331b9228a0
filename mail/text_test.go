package mail

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTextOfHTML(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"empty", "", ""},
		{"plain", "hello", "hello"},
		{"paragraphs", "<p>one</p><p>two\n  three</p>", "one\n\ntwo three"},
		{"divs", "<div>one</div><div>two<div>three</div></div>", "one\ntwo\nthree"},
		{"line breaks", "one<br>two<br/><br>three<br><br><br><br>four", "one\ntwo\n\nthree\n\nfour"},
		{"inline", "<b>o</b>ne <i>two</i>", "one two"},
		{"list", "before<ul><li>one</li><li>two<li>three</ul>after", "before\n\n- one\n- two\n- three\n\nafter"},
		{"table", "<table><tr><td>a</td><td>b</td></tr><tr><th>c<th>d</table>", "a b\nc d"},
		{"link", `<a href="https://acme.example/?very=long">our offer</a>.`, "our offer."},
		{"entities", "&lt;b&gt; &amp; &eacute;&#233;&#x20AC;&nbsp;&bogus;", "<b> & éé€ &bogus;"},
		{"head", "<html><head><title>T</title><style>p{}</style></head><body>hello</body></html>", "hello"},
		{"head without end", "<head><title>T</title><body>hello", "hello"},
		{"script", "one<script>if (a<b) alert('</p>')</script>two", "onetwo"},
		{"comments", "one<!-- two --><!--[if mso]><p>three</p><![endif]-->four", "onefour"},
		{"hidden", `<div style="display: none">pre<div>header</div></div><p>hello</p>`, "hello"},
		{"hidden in capitals", `<span style="DISPLAY:NONE">x</span>hello`, "hello"},
		{"hidden by Outlook", `<span style="mso-hide:all">x</span>hello`, "hello"},
		{"hidden attribute", `<p hidden>x</p>hello`, "hello"},
		{"hidden without end", `<div style="display:none"><p>hello`, "hello"},
		{"hidden paragraph without end", `<p style="display:none">x<p>hello`, "hello"},
		{"hidden picture", `<img style="display:none">hello`, "hello"},
		{"not hidden", `<p style="border:none">hello</p>`, "hello"},
		{"padding of newsletters", "hello\u200b\u200b&#847;&shy; you\ufeff", "hello you"},
		{"pre", "<pre>one\n  two\n</pre>three", "one\n  two\n\nthree"},
		{"preserves words around inline blocks", "one\n<span>two</span>\nthree", "one two three"},
		{"broken", "<p>one</b></p></div><3 & four", "one\n\n<3 & four"},
		{"unclosed tag", "one<a href='x", "one"},
		{"NUL", "o\x00ne&#0;", "one\uFFFD"},
		{"not UTF-8", "o\xffne", "one"},
		{"Japanese", "<p>例え\u3000テスト</p>", "例え テスト"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Text(tt.in); got != tt.want {
				t.Errorf("Text(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestTextIsBounded(t *testing.T) {
	for _, unit := range []string{"word ", "<div>", `<div style="display:none">`, "<", "<!--", "<script>", "&", "é", "<p style='display:none'>x", "<head>", "<ul><li>"} {
		got := Text(strings.Repeat(unit, (5<<20)/len(unit)))
		if len(got) > maxText || !utf8.ValidString(got) {
			t.Errorf("%q: %d bytes", unit, len(got))
		}
	}
}

func TestQuotationsAreFound(t *testing.T) {
	quotations := map[string]string{
		"English":             "On Mon, 1 Jun 2026 at 10:00, Cyn <cyn@client.example> wrote:\n> Shall we?\n",
		"on two lines":        "On Mon, 1 Jun 2026 at 10:00, Cyn Longname-Doublename\n<cyn@client.example> wrote:\n\n> Shall we?\n",
		"without >":           "On 1 Jun 2026, at 10:00, Cyn <cyn@client.example> wrote:\n\nShall we?\n",
		"writes":              "Cyn Client <cyn@client.example> writes:\n> Shall we?\n",
		"German":              "Am 01.06.2026 um 10:00 schrieb Cyn Client:\n> Wollen wir?\n",
		"German, Outlook":     "Von: Cyn Client\nGesendet: Montag, 1. Juni 2026 10:00\nAn: Ann\nBetreff: Angebot\n\nWollen wir?\n",
		"French":              "Le lun. 1 juin 2026 à 10:00, Cyn Client <cyn@client.example> a écrit :\n> On y va ?\n",
		"Spanish":             "El lun, 1 jun 2026 a las 10:00, Cyn (<cyn@client.example>) escribió:\n> ¿Vamos?\n",
		"Italian":             "Il giorno lun 1 giu 2026 alle ore 10:00 Cyn <cyn@client.example> ha scritto:\n> Andiamo?\n",
		"Dutch":               "Op ma 1 jun. 2026 om 10:00 schreef Cyn <cyn@client.example>:\n> Zullen we?\n",
		"Portuguese":          "Em seg., 1 de jun. de 2026 às 10:00, Cyn <cyn@client.example> escreveu:\n> Vamos?\n",
		"Polish":              "W dniu 1.06.2026 o 10:00, Cyn Client pisze:\n> Idziemy?\n",
		"Swedish":             "Den mån 1 juni 2026 kl 10:00 skrev Cyn <cyn@client.example>:\n> Ska vi?\n",
		"Japanese":            "2026年6月1日(月) 10:00 Cyn Client <cyn@client.example>:\n> どうですか\n",
		"Chinese":             "Cyn Client <cyn@client.example> 于2026年6月1日周一 10:00写道：\n> 好吗\n",
		"Outlook":             "-----Original Message-----\nFrom: Cyn\nSent: Monday\nTo: Ann\n\nShall we?\n",
		"Outlook, German":     "-----Ursprüngliche Nachricht-----\nVon: Cyn\n\nWollen wir?\n",
		"Outlook, header":     "________________________________\nFrom: Cyn <cyn@client.example>\nSent: Monday, June 1, 2026 10:00 AM\nTo: Ann <ann@acme.example>\nSubject: Offer\n\nShall we?\n",
		"marks alone":         "> Shall we?\n>\n> Or not?\n",
		"with a list footer":  "On Mon, 1 Jun 2026 at 10:00, Cyn <cyn@client.example> wrote:\n> Shall we?\n________________________________________\nList mailing list\nlist@acme.example\n",
		"nested":              "On Tue, 2 Jun 2026, Ann wrote:\n> On Mon, 1 Jun 2026, Cyn wrote:\n>> Shall we?\n",
		"CRLF":                "On Mon, 1 Jun 2026 at 10:00, Cyn <cyn@client.example> wrote:\r\n> Shall we?\r\n",
		"forwarded by a list": "---------- Forwarded message ---------\nFrom: Cyn\nDate: Monday\nTo: Ann\n\nShall we?\n",
	}
	const own = "Yes, on Tuesday.\n\nAnn\n\n"
	for name, q := range quotations {
		if got, quoted := TrimQuoted(own + q); got != own || quoted != q {
			t.Errorf("%s: own %q, quoted %q", name, got, quoted)
		}
		if got, quoted := TrimQuoted(q); got != q || quoted != "" {
			t.Errorf("%s: nothing but a quotation is cut to %q", name, got)
		}
	}
}

func TestAnswersBelowQuotationsStay(t *testing.T) {
	for _, text := range []string{
		"On Mon, 1 Jun 2026, Cyn <cyn@client.example> wrote:\n> Shall we?\n\nYes.\n",
		"Hello,\n\nOn Mon, 1 Jun 2026, Cyn <cyn@client.example> wrote:\n> Shall we?\nYes.\n> When?\nTuesday.\n",
		"no quotation at all\n",
		"On Tuesday I wrote this: a letter about\nwhat he wrote:\n\n\n> quote\nmore",
		"",
		"\n\n",
		"From: here to there\nwe go\n",
	} {
		if own, quoted := TrimQuoted(text); own != text || quoted != "" {
			t.Errorf("%q is cut: %q", text, quoted)
		}
	}
}

func TestQuotationsInHTMLAreFound(t *testing.T) {
	const own = `<p>Yes, on Tuesday.</p>`
	cut := map[string]string{
		"Outlook on the web":  `<div id="appendonsend"></div><hr><div id="divRplyFwdMsg"><b>From:</b> Cyn</div><p>Shall we?</p>`,
		"Outlook":             `<div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm"><p><b>From:</b> Cyn</p></div><p>Shall we?</p>`,
		"Gmail":               `<div class="gmail_quote"><div class="gmail_attr">On Monday Cyn wrote:</div><blockquote class="gmail_quote">Shall we?</blockquote></div><br>`,
		"Thunderbird":         `<div class="moz-cite-prefix">On 01.06.26 Cyn wrote:<br></div><blockquote type="cite"><p>Shall we?</p><blockquote type="cite">nested</blockquote></blockquote>`,
		"Apple Mail":          `<blockquote type="cite"><div>On 1. Jun 2026, Cyn wrote:</div><div>Shall we?</div></blockquote></div>`,
		"as in text":          `<p>-----Original Message-----</p><p>From: Cyn</p>`,
		"without an end":      `<blockquote type=cite>Shall we?`,
		"with nested of type": `<div class="gmail_quote"><div>a<div>b</div></div>c</div>`,
	}
	for name, q := range cut {
		got, ok := TrimQuotedHTML(own + q)
		if !ok || !strings.HasPrefix(got, own) || strings.Contains(got, "Shall we") || strings.Contains(Text(got), "Cyn") {
			t.Errorf("%s: cut %v, own %q", name, ok, got)
		}
		if got, ok := TrimQuotedHTML(q); ok || got != q {
			t.Errorf("%s: nothing but a quotation is cut to %q", name, got)
		}
	}
	for name, s := range map[string]string{
		"answer below":         `<blockquote type="cite">Shall we?</blockquote><p>Yes.</p>`,
		"answers between":      `<p>Hello</p><blockquote type="cite">Shall we?</blockquote><p>Yes.</p>`,
		"an ordinary citation": `<p>Hello</p><blockquote>To be or not to be</blockquote>`,
		"a style sheet":        `<style>.gmail_quote { color: red }</style><p>Hello</p>`,
		"nothing":              ``,
	} {
		if got, ok := TrimQuotedHTML(s); ok || got != s {
			t.Errorf("%s: cut to %q", name, got)
		}
	}
}
