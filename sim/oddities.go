package sim

import (
	"bytes"
	"fmt"
	"net/http"
)

// An Oddity is an answer that is none of the protocol's.
type Oddity string

const (
	OddHuge    Oddity = "huge"    // well-formed for as long as it lasts: 256 MiB
	OddGarbage Oddity = "garbage" // bytes
	OddDTD     Oddity = "dtd"     // a document type with entities that grow, and one from a file
	OddPage    Oddity = "page"    // a log-on page for people, with status 200
	OddSilent  Oddity = "silent"  // nothing, for as long as the client waits
)

const (
	hugeSize = 256 << 20
	poxRoot  = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
)

func (c *call) answerOddly(o Oddity) {
	switch o {
	case OddHuge:
		c.huge()
	case OddGarbage:
		c.write(http.StatusOK, "text/xml; charset=utf-8", bytes.Repeat([]byte("\x00\xff\xfe<\x7f&#0;"), 512))
	case OddDTD:
		c.write(http.StatusOK, "text/xml; charset=utf-8", documentType())
	case OddPage:
		c.page(http.StatusOK, "Outlook")
	case OddSilent:
		<-c.r.Context().Done()
		panic(http.ErrAbortHandler)
	default:
		c.page(http.StatusInternalServerError, fmt.Sprintf("500 - no such answer: %s", o))
	}
}

func (c *call) huge() {
	c.w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	c.w.WriteHeader(http.StatusOK)
	start := []byte(`<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="` + poxRoot + `"><Response><!--`)
	piece := bytes.Repeat([]byte("filler "), 16<<10)
	for n, err := c.w.Write(start); err == nil && c.record.Out < hugeSize; n, err = c.w.Write(piece) {
		c.record.Out += int64(n)
	}
}

// documentType is a document whose text would take gigabytes, and a file of the reader's.
func documentType() []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0"?><!DOCTYPE Autodiscover [<!ENTITY file SYSTEM "file:///etc/hostname"><!ENTITY e0 "aaaaaaaaaa">`)
	for i := range 9 {
		fmt.Fprintf(&b, `<!ENTITY e%d "`, i+1)
		for range 10 {
			fmt.Fprintf(&b, "&e%d;", i)
		}
		b.WriteString(`">`)
	}
	fmt.Fprintf(&b, `]><Autodiscover xmlns=%q><Response xmlns=%q><Account><AccountType>&e9;</AccountType>`, poxRoot, poxSchema)
	b.WriteString(`<Action>settings</Action><Protocol><Type>EXCH</Type><EwsUrl>https://&file;/EWS/Exchange.asmx</EwsUrl></Protocol></Account></Response></Autodiscover>`)
	return b.Bytes()
}
