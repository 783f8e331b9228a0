package ews

import (
	"io"
	"strings"
)

// Namespaces of autodiscover in its oldest form, "plain old XML".
const (
	nsPOXRequest  = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
	nsPOXResponse = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
	nsPOXAnswer   = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
)

// xmlStart precedes what is no envelope of ours.
const xmlStart = `<?xml version="1.0" encoding="utf-8"?>` + "\n"

// A POXRequest asks for the settings of a mailbox, as Exchange 2007 and later understand it.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/pox-autodiscover-request-for-exchange
type POXRequest struct {
	Address string
	Schema  string // of the answer that is wanted; "" when a client left it out
}

func (v *POXRequest) fields(x *codec) {
	x.wrapped("?:Request", true, func(x *codec) {
		x.text("?:EMailAddress", &v.Address)
		x.text("?:AcceptableResponseSchema", &v.Schema)
	})
}

// WritePOXRequest writes a request.
func WritePOXRequest(w io.Writer, address string) error {
	return writeDocument(w, "?:Autodiscover", nsPOXRequest, &POXRequest{Address: address, Schema: nsPOXAnswer})
}

// ReadPOXRequest reads a request. It is the server's half.
func ReadPOXRequest(r io.Reader) (*POXRequest, error) {
	v := new(POXRequest)
	return v, readDocument(r, "Autodiscover", v)
}

// What the answer to a POXRequest tells the client to do.
const (
	POXSettings    = "settings"     // use Protocols
	POXRedirect    = "redirectAddr" // begin again with RedirectAddress
	POXRedirectURL = "redirectUrl"  // ask at RedirectURL
)

// A POXAnswer answers a POXRequest.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/pox-autodiscover-response-for-exchange
type POXAnswer struct {
	DisplayName     string
	AccountType     string // "email"
	Action          string
	Cloud           bool // the mailbox lives in Exchange Online
	RedirectAddress string
	RedirectURL     string
	Protocols       []POXProtocol
	Error           *POXError
}

// A POXProtocol is one way to the mailbox.
type POXProtocol struct {
	Type   string // EXCH from inside, EXPR from outside, EXHTTP, WEB
	Server string
	EWSURL string
	ASURL  string // the same, by its older name
}

// A POXError says that the endpoint has no answer for the address.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/errorcode-pox
type POXError struct {
	Code    string // a number, as 500 or 600
	Message string
}

func (v *POXAnswer) fields(x *codec) {
	x.wrapped("?:Response", true, func(x *codec) {
		x.declare("xmlns", nsPOXAnswer)
		opt(x, "?:Error", &v.Error)
		x.wrapped("?:User", v.DisplayName != "", func(x *codec) { x.text("?:DisplayName", &v.DisplayName) })
		x.wrapped("?:Account", v.Action != "", func(x *codec) {
			x.text("?:AccountType", &v.AccountType)
			x.text("?:Action", &v.Action)
			cloud := (*bool)(nil)
			if v.Cloud {
				cloud = &v.Cloud
			}
			if x.bool("?:MicrosoftOnline", &cloud); cloud != nil {
				v.Cloud = *cloud
			}
			x.text("?:RedirectAddr", &v.RedirectAddress)
			x.text("?:RedirectUrl", &v.RedirectURL)
			each(x, &v.Protocols, elements[POXProtocol]("?:Protocol"))
		})
	})
}

func (v *POXProtocol) fields(x *codec) {
	x.text("?:Type", &v.Type)
	x.text("?:Server", &v.Server)
	x.text("?:ASUrl", &v.ASURL)
	x.text("?:EwsUrl", &v.EWSURL)
}

func (v *POXError) fields(x *codec) {
	x.text("?:ErrorCode", &v.Code)
	x.text("?:Message", &v.Message)
}

// WritePOXAnswer writes an answer.
func WritePOXAnswer(w io.Writer, v *POXAnswer) error {
	return writeDocument(w, "?:Autodiscover", nsPOXResponse, v)
}

// ReadPOXAnswer reads an answer.
func ReadPOXAnswer(r io.Reader) (*POXAnswer, error) {
	v := new(POXAnswer)
	return v, readDocument(r, "Autodiscover", v)
}

// EWS returns the endpoint that the answer names: the one for those outside first, since
// only that is sure to be reached from everywhere.
func (v *POXAnswer) EWS() string {
	for _, kind := range [...]string{"EXPR", "EXHTTP", "EXCH"} {
		for i := range v.Protocols {
			p := &v.Protocols[i]
			if !strings.EqualFold(p.Type, kind) {
				continue
			}
			if p.EWSURL != "" {
				return p.EWSURL
			}
			if p.ASURL != "" {
				return p.ASURL
			}
		}
	}
	return ""
}

// writeDocument writes an element with all in it, in one default namespace.
func writeDocument(w io.Writer, name, namespace string, v element) error {
	x := &codec{w: w, out: []byte(xmlStart), references: true}
	x.begin(name)
	x.attrs("xmlns", namespace)
	v.fields(x)
	x.finish(name)
	x.flush()
	return x.err
}

// readDocument reads a document whose root has this name, whatever its namespace: front
// ends of many makes answer here.
func readDocument(r io.Reader, root string, v element) error {
	x := &codec{d: newDecoder(r), loose: true}
	if x.d.next() != startTag {
		return x.d.err
	}
	if string(x.d.local) != root {
		x.d.fail("root element", errForeignRoot)
		return x.d.err
	}
	x.read(v)
	return x.closeEnvelope()
}
