package ews

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Namespaces. Many samples in Microsoft's documentation say https; the wire never does.
const (
	nsSOAP     = "http://schemas.xmlsoap.org/soap/envelope/"
	nsMessages = "http://schemas.microsoft.com/exchange/services/2006/messages"
	nsTypes    = "http://schemas.microsoft.com/exchange/services/2006/types"
	nsErrors   = "http://schemas.microsoft.com/exchange/services/2006/errors"
)

const envelopeStart = `<?xml version="1.0" encoding="utf-8"?>` + "\n" +
	`<s:Envelope xmlns:s="` + nsSOAP + `" xmlns:m="` + nsMessages + `" xmlns:t="` + nsTypes + `">`

// Schema versions, as sent in RequestServerVersion.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/requestserverversion
const (
	Exchange2007    = "Exchange2007"
	Exchange2007SP1 = "Exchange2007_SP1"
	Exchange2010    = "Exchange2010"
	Exchange2010SP1 = "Exchange2010_SP1"
	Exchange2010SP2 = "Exchange2010_SP2"
	Exchange2013    = "Exchange2013"
	Exchange2013SP1 = "Exchange2013_SP1"
)

// A ConnectingSID names the mailbox to act for. One of the four is set.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/connectingsid
type ConnectingSID struct {
	PrincipalName      string // user@domain of the directory
	SID                string // security identifier, S-1-5-…
	PrimarySmtpAddress string
	SmtpAddress        string // any address of the mailbox
}

func (v *ConnectingSID) fields(x *codec) {
	x.text("t:PrincipalName", &v.PrincipalName)
	x.text("t:SID", &v.SID)
	x.text("t:PrimarySmtpAddress", &v.PrimarySmtpAddress)
	x.text("t:SmtpAddress", &v.SmtpAddress)
}

// Empty tells whether nobody is named.
func (v *ConnectingSID) Empty() bool { return *v == ConnectingSID{} }

// ServerVersion says which Exchange answers. Major and minor are 8.x for 2007, 14.x for
// 2010, 15.0 for 2013, 15.1 for 2016, 15.2 for 2019 and SE, 15.20 for Exchange Online.
// Version is free text and decides nothing.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/serverversioninfo
type ServerVersion struct {
	Major, Minor           *int
	MajorBuild, MinorBuild *int
	Version                string
}

func (v *ServerVersion) fields(x *codec) {
	x.attrInt("MajorVersion", &v.Major)
	x.attrInt("MinorVersion", &v.Minor)
	x.attrInt("MajorBuildNumber", &v.MajorBuild)
	x.attrInt("MinorBuildNumber", &v.MinorBuild)
	x.attr("Version", &v.Version)
}

// String returns the numbers, as in 15.2.1544.11.
func (v ServerVersion) String() string {
	s := ""
	for _, p := range [...]*int{v.Major, v.Minor, v.MajorBuild, v.MinorBuild} {
		if p != nil {
			s += fmt.Sprintf(".%d", *p)
		}
	}
	return s[min(len(s), 1):]
}

// A Header is the SOAP header of a request or an answer.
type Header struct {
	// Of a request:
	Version       string // "" when the client sent none: the oldest behaviour
	Impersonation ConnectingSID
	TimeZone      string // Windows name of the zone for times without offset
	// Of an answer:
	Server ServerVersion
}

func (h *Header) fields(x *codec) {
	x.wrapped("t:RequestServerVersion", h.Version != "", func(x *codec) { x.attr("Version", &h.Version) })
	x.wrapped("t:ExchangeImpersonation", !h.Impersonation.Empty(), func(x *codec) { x.elem("t:ConnectingSID", &h.Impersonation) })
	x.wrapped("t:TimeZoneContext", h.TimeZone != "", func(x *codec) {
		x.wrapped("t:TimeZoneDefinition", true, func(x *codec) { x.attr("Id", &h.TimeZone) })
	})
	if x.reading() || h.Server != (ServerVersion{}) {
		x.elem("t:ServerVersionInfo", &h.Server)
	}
}

// wrapped is an element whose content belongs to its parent's value.
func (x *codec) wrapped(name string, present bool, fields func(*codec)) {
	switch {
	case !x.reading():
		if present {
			x.begin(name)
			fields(x)
			x.finish(name)
		}
	case x.child(name):
		x.take()
		x.within(fields)
	}
}

// A Value is one named value of MessageXml: BackOffMilliseconds, InnerErrorResponseCode,
// PrimarySmtpAddress, and for schema faults LineNumber, LinePosition, Violation.
type Value struct {
	Name, Text string
	attribute  string // the first one of an element that is no t:Value
}

func (v *Value) fields(x *codec) {
	if x.reading() && x.at.fresh && len(x.d.attrs) > 0 {
		v.attribute, _ = x.d.attr(string(x.d.attrs[0].name))
	}
	x.attr("Name", &v.Name)
	x.value(&v.Text)
}

// MessageXML is what a server adds to an error for programs.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/messagexml
type MessageXML []Value

// Get returns the value with this name, "" if there is none.
func (m MessageXML) Get(name string) string {
	for _, v := range m {
		if v.Name == name {
			return v.Text
		}
	}
	return ""
}

// fields writes t:Value elements. Reading, other elements are values, too: LineNumber
// with its text, FieldURI with its attribute.
func (m *MessageXML) fields(x *codec) {
	each(x, (*[]Value)(m), func(x *codec, v *Value) {
		if !x.reading() {
			x.elem("t:Value", v)
			return
		}
		if x.advance(); !x.at.have {
			return
		}
		element := string(x.d.local)
		x.take()
		x.read(v)
		if v.Name == "" {
			v.Name = element
			if v.Text == "" {
				v.Text = v.attribute
			}
		}
		v.attribute = ""
	})
}

// ResponseClass of a response message.
type ResponseClass string

const (
	Success ResponseClass = "Success"
	Warning ResponseClass = "Warning" // the results are there, but see the code; or not tried
	Failure ResponseClass = "Error"
)

// NoError is the response code of a success.
const NoError = "NoError"

// A Result is what every response message has: whether that one part of the request
// succeeded.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/responsecode
type Result struct {
	Class   ResponseClass
	Code    string // stable; the only thing to branch on
	Text    string // in the server's language
	LinkKey *int   // DescriptiveLinkKey; always 0 in the field
	XML     MessageXML
}

func (r *Result) fields(x *codec) {
	x.attr("ResponseClass", (*string)(&r.Class))
	x.text("m:MessageText", &r.Text)
	x.text("m:ResponseCode", &r.Code)
	x.int("m:DescriptiveLinkKey", &r.LinkKey)
	x.wrapped("m:MessageXml", len(r.XML) > 0, r.XML.fields)
}

func (r *Result) result() *Result { return r }

// OK tells whether the results beside it can be relied on. ErrorNameResolutionMultipleResults
// comes as a warning with results; a part of a batch that was not tried, too, without.
func (r *Result) OK() bool {
	return r.Class == Success || r.Class == Warning && r.Code != "ErrorBatchProcessingStopped"
}

// Succeeded is the result of a success.
func Succeeded() Result { return Result{Class: Success, Code: NoError} }

// Failed is the result of an error.
func Failed(code, text string) Result { return Result{Class: Failure, Code: code, Text: text} }

// An Operation is the body of a request: *GetItem, *SyncFolderItems, …
type Operation interface {
	element
	// Operation returns the name of the operation, which is the name of its element.
	Operation() string
}

// An Answer is one response message to an operation: *ItemsResult, *FindItemResult, …
type Answer interface {
	element
	result() *Result
}

// Unknown is an operation that this package does not know.
type Unknown struct{ Name string }

func (u *Unknown) Operation() string { return u.Name }
func (*Unknown) fields(*codec)       {}

// newOperation lists the operations that ReadRequest understands.
func newOperation(name string) Operation {
	switch name {
	case "GetFolder":
		return new(GetFolder)
	case "FindFolder":
		return new(FindFolder)
	case "CreateFolder":
		return new(CreateFolder)
	case "SyncFolderHierarchy":
		return new(SyncFolderHierarchy)
	case "SyncFolderItems":
		return new(SyncFolderItems)
	case "FindItem":
		return new(FindItem)
	case "GetItem":
		return new(GetItem)
	case "GetAttachment":
		return new(GetAttachment)
	case "ResolveNames":
		return new(ResolveNames)
	case "ExpandDL":
		return new(ExpandDL)
	case "CreateItem":
		return new(CreateItem)
	case "UpdateItem":
		return new(UpdateItem)
	case "MoveItem":
		return new(MoveItem)
	case "CopyItem":
		return new(CopyItem)
	case "DeleteItem":
		return new(DeleteItem)
	case "ConvertId":
		return new(ConvertID)
	case "Subscribe":
		return new(Subscribe)
	case "Unsubscribe":
		return new(Unsubscribe)
	case "GetEvents":
		return new(GetEvents)
	case "GetStreamingEvents":
		return new(GetStreamingEvents)
	}
	return &Unknown{Name: name}
}

// A Request is a whole request as a server reads it.
type Request struct {
	Header
	Op Operation // *Unknown when the operation is none of ours
}

// ReadRequest reads a request. It is the server's half of the protocol.
func ReadRequest(r io.Reader) (*Request, error) {
	x := &codec{d: newDecoder(r)}
	var req Request
	if err := x.openEnvelope(&req.Header); err != nil {
		return nil, err
	}
	req.Op = newOperation(string(x.d.local))
	x.read(req.Op)
	if err := x.closeEnvelope(); err != nil {
		return nil, err
	}
	return &req, nil
}

// WriteRequest writes a request.
func WriteRequest(w io.Writer, req *Request) error {
	x := &codec{w: w}
	x.envelope(&req.Header, func() {
		name := "m:" + req.Op.Operation()
		x.elem(name, req.Op)
	})
	return x.err
}

// WriteResponse writes the answer to the operation with this name. Characters that XML
// forbids are written as references, as Exchange does.
func WriteResponse(w io.Writer, v ServerVersion, operation string, answers ...Answer) error {
	x := &codec{w: w, references: true}
	response := "m:" + operation + "Response"
	x.envelope(&Header{Server: v}, func() {
		x.begin(response)
		x.begin("m:ResponseMessages")
		for _, a := range answers {
			x.elem(response+"Message", a)
		}
		x.finish("m:ResponseMessages")
		x.finish(response)
	})
	return x.err
}

func (x *codec) envelope(h *Header, body func()) {
	x.out = append(x.out, envelopeStart...)
	x.elem("s:Header", h)
	x.begin("s:Body")
	body()
	x.finish("s:Body")
	x.finish("s:Envelope")
	x.flush()
}

// ErrNotSOAP says that a document is XML, or looks like it, but no SOAP envelope.
var ErrNotSOAP = errors.New("not a SOAP envelope")

// openEnvelope reads up to the start tag of what the body holds.
func (x *codec) openEnvelope(h *Header) error {
	d := x.d
	if d.next() != startTag {
		return d.err
	}
	if d.ns != 's' || string(d.local) != "Envelope" {
		d.fail("root element", ErrNotSOAP)
		return d.err
	}
	for d.next() == startTag {
		switch {
		case d.ns == 's' && string(d.local) == "Header":
			x.read(h)
		case d.ns == 's' && string(d.local) == "Body":
			if d.next() != startTag {
				d.fail("empty body", ErrNotSOAP)
			}
			return d.err
		default:
			d.skip()
		}
	}
	d.fail("envelope without a body", ErrNotSOAP)
	return d.err
}

// closeEnvelope reads behind the end of the document: what is cut short is no answer.
func (x *codec) closeEnvelope() error {
	d := x.d
	for d.err == nil {
		switch d.next() {
		case startTag:
			d.skip()
		case docEnd:
			return nil
		}
	}
	return d.err
}

// A SOAPFault is the answer to a request that was refused as a whole.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/fault
type SOAPFault struct {
	Faultcode string // with or without a prefix
	Text      string // in the server's language
	Code      string // of the detail; "" when the fault has none
	Message   string
	XML       MessageXML
}

// ResponseCode returns the code to trust: that of the detail, else the local part of
// faultcode.
func (f *SOAPFault) ResponseCode() string {
	if f.Code != "" {
		return f.Code
	}
	return f.Faultcode[strings.LastIndexByte(f.Faultcode, ':')+1:]
}

func (f *SOAPFault) Error() string {
	return fmt.Sprintf("soap fault %s: %s", f.ResponseCode(), f.Text)
}

// fields reads a fault of SOAP 1.1 or 1.2, with names in any namespace. WriteFault
// writes them.
func (f *SOAPFault) fields(x *codec) {
	x.text("?:faultcode", &f.Faultcode)
	x.text("?:faultstring", &f.Text)
	x.wrapped("?:detail", false, f.detail)
	x.wrapped("s:Code", false, func(x *codec) { x.text("s:Value", &f.Faultcode) })
	x.wrapped("s:Reason", false, func(x *codec) { x.text("s:Text", &f.Text) })
	x.wrapped("s:Detail", false, f.detail)
}

func (f *SOAPFault) detail(x *codec) {
	x.text("e:ResponseCode", &f.Code)
	x.text("e:Message", &f.Message)
	x.wrapped("t:MessageXml", len(f.XML) > 0, f.XML.fields)
}

// WriteFault writes a SOAP fault as Exchange does; send it with HTTP status 500.
func WriteFault(w io.Writer, v ServerVersion, f *SOAPFault) error {
	x := &codec{w: w, references: true}
	x.envelope(&Header{Server: v}, func() {
		x.begin("s:Fault")
		x.unqualified("faultcode", "t:"+f.ResponseCode())
		x.unqualified("faultstring", f.Text)
		x.begin("detail")
		x.begin("e:ResponseCode")
		x.attrs("xmlns:e", nsErrors)
		x.chars(f.ResponseCode())
		x.finish("e:ResponseCode")
		x.begin("e:Message")
		x.attrs("xmlns:e", nsErrors)
		x.chars(f.Message)
		x.finish("e:Message")
		x.wrapped("t:MessageXml", len(f.XML) > 0, f.XML.fields)
		x.finish("detail")
		x.finish("s:Fault")
	})
	return x.err
}

func (x *codec) unqualified(name, text string) {
	x.begin(name)
	x.chars(text)
	x.finish(name)
}

// readFault reads the fault whose start tag is at hand.
func (x *codec) readFault() *SOAPFault {
	f := new(SOAPFault)
	x.loose = true
	x.read(f)
	x.loose = false
	return f
}

// marshal writes a request into memory; it is sent with its length.
func marshal(req *Request) []byte {
	var b bytes.Buffer
	WriteRequest(&b, req) // a bytes.Buffer does not fail
	return b.Bytes()
}
