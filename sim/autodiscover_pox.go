package sim

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"postern/ews"
	"postern/mail"
)

// poxSchema is the schema of the answers, which a request must ask for.
const poxSchema = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"

// readPOX reads who is asked for.
func readPOX(raw []byte) (enquiry, error) {
	request, err := ews.ReadPOXRequest(bytes.NewReader(raw))
	if err != nil {
		return enquiry{}, err
	}
	if request.Address == "" || request.Schema != poxSchema {
		return enquiry{}, errors.New("no address, or no schema for the answer")
	}
	return enquiry{users: []mail.Address{addressOf(request.Address)}}, nil
}

// addressOf is an address as a client writes it.
func addressOf(text string) mail.Address {
	return mail.Address(strings.ToLower(strings.TrimSpace(text)))
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
	out := &ews.POXAnswer{AccountType: "email", Cloud: d.Online}
	switch {
	case bad != nil:
		c.record.Code = "600"
	case d.Error != "":
		c.record.Code = d.Error
	case d.RedirectAddress != "":
		out.Action, out.RedirectAddress = ews.POXRedirect, string(d.RedirectAddress)
	case d.RedirectURL != "":
		out.Action, out.RedirectURL = ews.POXRedirectURL, d.RedirectURL
	default:
		w, ok := c.locate(q.users[0], d)
		if !ok {
			c.record.Code = "500"
			break
		}
		out.Action, out.DisplayName = ews.POXSettings, w.name
		out.Protocols = []ews.POXProtocol{
			{Type: "EXCH", Server: w.server, EWSURL: w.internal, ASURL: w.internal},
			{Type: "EXPR", Server: c.r.Host, EWSURL: w.external, ASURL: w.external},
		}
	}
	if code := c.record.Code; code != "" {
		out.Error = &ews.POXError{Code: code, Message: poxText[code]}
	}
	c.document(func(w io.Writer) error { return ews.WritePOXAnswer(w, out) })
}
