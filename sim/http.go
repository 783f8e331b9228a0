package sim

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"

	"postern/ews"
	"postern/mail"
)

// Path is where the EWS face is found; case does not matter.
const Path = "/EWS/Exchange.asmx"

// maxRequest bounds a request: a letter put into a mailbox comes as base64 within one.
const maxRequest = 64 << 20

// A call is one request on its way through the server.
type call struct {
	x       *Exchange
	w       http.ResponseWriter
	r       *http.Request
	request *ews.Request
	schema  schema   // of the request
	account *account // who signed in
	self    *Mailbox // of the person for whom the request acts; nil when there is none
	box     *Mailbox // that the request is about: self, or one that another shares
	backEnd int      // which server carries the request out
	trouble *Trouble // what is to go wrong; nil for nothing
	record  RequestRecord
	logged  bool // the record was written down already
}

// ServeHTTP answers as Exchange does.
func (x *Exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := &countingReader{r: http.MaxBytesReader(w, r.Body, maxRequest)}
	c := &call{x: x, w: w, r: r, record: newRecord(r)}
	c.record.At = x.now()
	defer func() {
		if c.record.In = body.n; !c.logged {
			x.log.add(c.record)
		}
	}()
	if f := formOf(r.URL.Path); f != "" {
		c.autodiscover(f, body)
		return
	}
	if !strings.EqualFold(r.URL.Path, Path) {
		c.page(http.StatusNotFound, "404 - File or directory not found.")
		return
	}
	if !c.signsIn(body) {
		return
	}
	if c.isGoverned(nil) {
		return
	}
	switch r.Method {
	case http.MethodPost:
		c.post(body)
	case http.MethodGet, http.MethodHead:
		c.page(http.StatusOK, "You have created a service.")
	default:
		c.page(http.StatusMethodNotAllowed, "405 - HTTP verb used to access this page is not allowed.")
	}
}

func (c *call) post(body io.Reader) {
	// The whole request is taken in before a word is answered, as the real server does;
	// clients that write without reading depend on it.
	raw, err := io.ReadAll(body)
	if err != nil {
		c.fault(fault("ErrorRequestStreamTooBig", "The request is too big."))
		return
	}
	c.request, err = ews.ReadRequest(bytes.NewReader(raw))
	if err != nil {
		c.fault(fault("ErrorSchemaValidation", "The request failed schema validation: "+err.Error()))
		return
	}
	c.record.Operation = c.request.Op.Operation()
	if c.isGoverned(c.request) {
		return
	}
	if f := c.version(); f != nil {
		c.fault(f)
		return
	}
	if f := c.identify(); f != nil {
		c.fault(f)
		return
	}
	if c.isOff() || c.isBarred() {
		return
	}
	done, ok := c.admit()
	if !ok {
		c.fault(fault("ErrorExceededConnectionCount", "You have exceeded the available concurrent connections for your account."))
		return
	}
	defer done()
	c.trouble = c.meet()
	if c.trouble != nil {
		c.record.Trouble = c.trouble.Kind
		if c.disturb() {
			return
		}
	}
	if op, ok := c.request.Op.(*ews.GetStreamingEvents); ok {
		c.getStreamingEvents(op)
		return
	}
	answers, f := c.answer()
	if f != nil {
		c.fault(f)
		return
	}
	c.reply(answers)
}

// admit counts the request among those that are open for its mailbox, unless there are
// too many; whoever waits for notifications is counted apart.
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/ews-throttling-in-exchange
func (c *call) admit() (done func(), ok bool) {
	if _, hanging := c.request.Op.(*ews.GetStreamingEvents); hanging || c.box == nil {
		return func() {}, true
	}
	limit := int64(c.x.options.MaxOpen)
	switch {
	case limit > 0:
	case c.x.server.major < 15:
		limit = 10
	default:
		limit = 27
	}
	if c.box.open.Add(1) > limit {
		c.box.open.Add(-1)
		return nil, false
	}
	return func() { c.box.open.Add(-1) }, true
}

// version judges RequestServerVersion. None at all means the oldest behaviour.
func (c *call) version() *ews.SOAPFault {
	name := c.request.Version
	if name == "" {
		return nil
	}
	s, known := parseSchema(name)
	if !known && !strings.HasPrefix(name, "V20") || known && s > c.x.server.newest {
		if c.x.server.newest < schema2010 {
			return fault("ErrorSchemaValidation", "The request failed schema validation: The 'Version' attribute is invalid.")
		}
		return fault("ErrorInvalidServerVersion", "The specified server version is invalid.")
	}
	c.schema = s
	if !known {
		c.schema = schema2016
	}
	return nil
}

// identify finds out whose mailbox is meant, and which server has it.
func (c *call) identify() *ews.SOAPFault {
	c.x.mu.RLock()
	defer c.x.mu.RUnlock()
	if f := c.whose(); f != nil {
		return f
	}
	c.box = c.about()
	c.backEnd = c.route()
	if c.box != nil {
		c.record.Mailbox = c.box.address
	}
	return nil
}

// whose finds the mailbox of the person for whom the request acts: who is impersonated,
// else who signed in.
func (c *call) whose() *ews.SOAPFault {
	x := c.x
	if c.account.expired {
		return fault("ErrorPasswordExpired", "The password has expired.")
	}
	sid := c.request.Impersonation
	if sid.Empty() {
		c.self = x.own(c.account)
		return nil
	}
	name := sid.PrimarySmtpAddress
	for _, other := range []string{sid.SmtpAddress, sid.PrincipalName} {
		if name == "" {
			name = other
		}
	}
	if name == "" {
		return fault("ErrorInvalidExchangeImpersonationHeaderData", "ExchangeImpersonation SOAP header must be present with a known identity.")
	}
	c.record.Impersonated = mail.Address(strings.ToLower(strings.TrimSpace(name)))
	if c.account.NoRole {
		return fault("ErrorImpersonateUserDenied", "The account does not have permission to impersonate the requested user.")
	}
	box := x.byAddress[c.record.Impersonated]
	switch {
	case box == nil:
		return fault("ErrorNonExistentMailbox", "The SMTP address has no mailbox associated with it.")
	case sid.PrimarySmtpAddress != "" && !strings.EqualFold(name, string(box.address)):
		f := fault("ErrorNonPrimarySmtpAddress", "The primary SMTP address must be specified when referencing a mailbox.")
		f.XML = ews.MessageXML{{Name: "Primary", Text: string(box.address)}}
		return f
	case !x.may(c.account, box):
		return fault("ErrorImpersonateUserDenied", "The account does not have permission to impersonate the requested user.")
	}
	c.self = box
	return nil
}

// own is the mailbox of the account itself, nil if it has none. The caller holds the lock.
func (x *Exchange) own(a *account) *Mailbox {
	if a.Mailbox != "" {
		return x.byAddress[a.Mailbox]
	}
	login := a.Login[strings.LastIndexByte(a.Login, '\\')+1:]
	return x.byAddress[mail.Address(strings.ToLower(login))]
}

func fault(code, text string) *ews.SOAPFault {
	return &ews.SOAPFault{Faultcode: code, Code: code, Text: text, Message: text}
}

// serverVersion is what each answer says of the server.
func (x *Exchange) serverVersion() ews.ServerVersion {
	s := x.server
	return ews.ServerVersion{Major: &s.major, Minor: &s.minor, MajorBuild: &s.build, MinorBuild: &s.revision, Version: s.label}
}

// fault answers with a SOAP fault.
func (c *call) fault(f *ews.SOAPFault) {
	c.record.Code = f.ResponseCode()
	c.send(http.StatusInternalServerError, func(w io.Writer) error { return ews.WriteFault(w, c.x.serverVersion(), f) })
}

// reply answers with response messages.
func (c *call) reply(answers []ews.Answer) {
	write := func(w io.Writer) error {
		return ews.WriteResponse(w, c.x.serverVersion(), c.record.Operation, answers...)
	}
	if c.trouble != nil {
		write = c.spoilt(answers, write)
	}
	c.send(http.StatusOK, write)
}

// send writes an answer, packed when the client can take that.
func (c *call) send(status int, write func(io.Writer) error) {
	c.headers()
	h := c.w.Header()
	out := &countingWriter{w: c.w}
	defer func() { c.record.Out = out.n }()
	c.record.Status = status
	if c.met(BadEncoding) {
		h.Set("Content-Encoding", "gzip")
	}
	if c.met(BadEncoding) || !strings.Contains(c.r.Header.Get("Accept-Encoding"), "gzip") {
		c.w.WriteHeader(status)
		_ = write(out) // the client went away
		return
	}
	h.Set("Content-Encoding", "gzip")
	c.w.WriteHeader(status)
	z, _ := gzip.NewWriterLevel(out, gzip.BestSpeed) // the level is a known one
	_ = write(z)
	_ = z.Close()
}

// headers sets what every answer of EWS itself has.
func (c *call) headers() {
	h := c.w.Header()
	h.Set("Content-Type", "text/xml; charset=utf-8")
	h.Set("X-FEServer", "SIM01")
	h.Set("X-CalculatedBETarget", backEndName(c.backEnd))
	c.record.ServerID = c.requestID()
	h.Set("request-id", c.record.ServerID)
	if id := c.r.Header.Get("client-request-id"); id != "" && strings.EqualFold(c.r.Header.Get("return-client-request-id"), "true") {
		h.Set("client-request-id", id)
	}
	c.tie()
}

// requestID looks like a GUID and is the same for the same request in the same run.
func (c *call) requestID() string {
	digest := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", c.record.At.UnixNano(), c.record.Mailbox, c.record.Operation))
	var g guid
	copy(g[:], digest[:])
	return g.String()
}

// page answers with a page for people.
func (c *call) page(status int, text string) {
	c.record.Status = status
	page := "<!DOCTYPE html>\r\n<html><head><title>" + text + "</title></head><body><h2>" + text + "</h2></body></html>\r\n"
	h := c.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(page)))
	c.w.WriteHeader(status)
	n, _ := io.WriteString(c.w, page)
	c.record.Out = int64(n)
}

type countingReader struct {
	r io.Reader
	n int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += int64(n)
	return n, err
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.n += int64(n)
	return n, err
}
