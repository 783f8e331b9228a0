package sim

import (
	"encoding/xml"
	"errors"
	"strings"
	"time"

	"postern/mail"
)

// Namespaces of POX ("plain old XML").
const (
	nsPOXRequest  = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
	nsPOXAnswer   = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
	nsPOXSettings = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
)

// readPOX reads who is asked for.
//
// https://learn.microsoft.com/exchange/client-developer/web-service-reference/pox-autodiscover-request-for-exchange
func readPOX(raw []byte) (enquiry, error) {
	var in struct {
		XMLName xml.Name
		Request struct {
			Address string `xml:"EMailAddress"`
			DN      string `xml:"LegacyDN"`
			Schema  string `xml:"AcceptableResponseSchema"`
		}
	}
	if err := xml.Unmarshal(raw, &in); err != nil {
		return enquiry{}, err
	}
	address := mail.Address(strings.ToLower(strings.TrimSpace(in.Request.Address)))
	switch {
	case in.XMLName.Space != nsPOXRequest || in.XMLName.Local != "Autodiscover":
		return enquiry{}, errors.New("not a request of Outlook's schema")
	case address == "" || in.Request.Schema != nsPOXSettings:
		return enquiry{}, errors.New("no address, or no schema for the answer")
	}
	return enquiry{users: []mail.Address{address}}, nil
}

type poxAnswer struct {
	XMLName  xml.Name `xml:"Autodiscover"`
	Space    string   `xml:"xmlns,attr"`
	Response poxResponse
}

type poxResponse struct {
	Space   string      `xml:"xmlns,attr,omitempty"`
	Error   *poxError   `xml:",omitempty"`
	User    *poxUser    `xml:",omitempty"`
	Account *poxAccount `xml:",omitempty"`
}

type poxError struct {
	Time      string `xml:"Time,attr"`
	ID        string `xml:"Id,attr"`
	ErrorCode string
	Message   string
	DebugData string
}

type poxUser struct {
	DisplayName             string
	LegacyDN                string
	AutoDiscoverSMTPAddress string
}

type poxAccount struct {
	AccountType     string
	Action          string
	MicrosoftOnline string
	RedirectAddr    string        `xml:",omitempty"`
	RedirectURL     string        `xml:"RedirectUrl,omitempty"`
	Protocols       []poxProtocol `xml:"Protocol"`
}

type poxProtocol struct {
	Type                string
	Server              string
	ServerDN            string
	ASURL               string `xml:"ASUrl"`
	EwsURL              string `xml:"EwsUrl"`
	GroupingInformation string
}

// poxText says what the codes mean.
//
// https://learn.microsoft.com/exchange/client-developer/web-service-reference/errorcode-pox
var poxText = map[string]string{
	"500": "The email address can't be found.",
	"501": "Bad address.",
	"600": "Invalid request.",
	"601": "The provider is not available.",
	"603": "The Active Directory is not available.",
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/pox-autodiscover-response-for-exchange
func (c *call) answerPOX(q enquiry, d *Discovery, bad error) {
	if bad != nil {
		c.poxError("600")
		return
	}
	out := poxAnswer{Space: nsPOXAnswer, Response: poxResponse{Space: nsPOXSettings}}
	account := &poxAccount{AccountType: "email", Action: "settings", MicrosoftOnline: "False"}
	if d.Online {
		account.MicrosoftOnline = "True"
	}
	out.Response.Account = account
	switch {
	case d.Error != "":
		c.poxError(d.Error)
		return
	case d.RedirectAddress != "":
		account.Action, account.RedirectAddr = "redirectAddr", string(d.RedirectAddress)
	case d.RedirectURL != "":
		account.Action, account.RedirectURL = "redirectUrl", d.RedirectURL
	default:
		w, ok := c.locate(q.users[0], d)
		if !ok {
			c.poxError("500")
			return
		}
		out.Response.User = &poxUser{DisplayName: w.name, LegacyDN: w.dn, AutoDiscoverSMTPAddress: string(w.address)}
		server := "/o=Company/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Configuration/cn=Servers/cn=" + strings.ToUpper(w.group)
		account.Protocols = []poxProtocol{
			{Type: "EXCH", Server: w.box.guid.String() + "@" + w.address.Domain(), ServerDN: server, ASURL: w.internal, EwsURL: w.internal, GroupingInformation: w.group},
			{Type: "EXPR", Server: c.r.Host, ServerDN: server, ASURL: w.external, EwsURL: w.external, GroupingInformation: w.group},
		}
	}
	c.marshal(out)
}

func (c *call) poxError(code string) {
	c.record.Code = code
	c.marshal(poxAnswer{Space: nsPOXAnswer, Response: poxResponse{Error: &poxError{
		Time: c.x.now().UTC().Format(time.TimeOnly), ID: "1234567890", ErrorCode: code, Message: poxText[code],
	}}})
}

// marshal answers with a document.
func (c *call) marshal(v any) {
	text, err := xml.Marshal(v)
	if err != nil {
		panic(err) // the types are known ones
	}
	c.sendXML(append([]byte(xml.Header), text...))
}
