package mail_test

import (
	"fmt"
	"strings"

	"postern/mail"
)

func ExampleParse() {
	m, err := mail.Parse(strings.NewReader(`From: Cyn <Cyn@Client.example>
To: Ann <ann@acme.example>, undisclosed-recipients:;
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
Date: Sat, 21 Nov 2026 19:05:09 +0100
Message-ID: <1@Client.example>
Content-Type: text/html

<p>Hello <b>Ann</b>,</p><p>yours</p>
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Subject(), m.From()[0].Address, m.To()[0].Address, m.MessageID())
	fmt.Println(m.Date())
	fmt.Println(m.Text)
	// Output:
	// Grüße cyn@client.example ann@acme.example 1@client.example
	// 2026-11-21 18:05:09 +0000 UTC
	// Hello Ann,
	//
	// yours
}

func ExampleParseAddress() {
	a, err := mail.ParseAddress(`"Smith, Ann" <Ann@BÜCHER.example>`)
	fmt.Println(a, a.Display(), err)
	_, err = mail.ParseAddress("/o=Acme/cn=Recipients/cn=ann")
	fmt.Println(err)
	// Output:
	// ann@xn--bcher-kva.example ann@bücher.example <nil>
	// an Exchange legacy name (/o=…/cn=…), not an SMTP address
}

func ExampleParseList() {
	for _, n := range mail.ParseList(`"ann@acme.example" <x@nowhere.example>, Team: bob@acme.example;, Zed`) {
		fmt.Printf("%q %q\n", n.Name, n.Address)
	}
	// Output:
	// "ann@acme.example" "x@nowhere.example"
	// "" "bob@acme.example"
	// "Zed" ""
}

func ExampleNormalizeDomain() {
	d, err := mail.NormalizeDomain(" @ACME.example ")
	fmt.Println(d, err)
	_, err = mail.NormalizeDomain("acme..example")
	fmt.Println(err)
	// Output:
	// acme.example <nil>
	// "acme..example" is not a domain: a dot too many in the domain
}

func ExampleTrimQuoted() {
	own, quoted := mail.TrimQuoted("Yes.\n\nOn Monday, 1 June 2026, Cyn wrote:\n> Shall we?\n")
	fmt.Printf("%q\n%q\n", own, quoted)
	// Output:
	// "Yes.\n\n"
	// "On Monday, 1 June 2026, Cyn wrote:\n> Shall we?\n"
}

func ExampleSafeHTML() {
	blocked := 0
	safe := mail.SafeHTML(`<p onclick="steal()">Hello<script>steal()</script> <img src="cid:logo"> <img src="https://tracker.example/1.gif"></p>`, mail.SafeOptions{
		CID:     func(id string) string { return "/attachments/" + id },
		Blocked: func(string) { blocked++ },
	})
	fmt.Println(safe)
	fmt.Println(blocked, "remote picture blocked")
	// Output:
	// <p>Hello <img src="/attachments/logo"> <img></p>
	// 1 remote picture blocked
}
