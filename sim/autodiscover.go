package sim

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"postern/mail"
)

// Autodiscover is served beside EWS, in its three forms:
//
//	POST /autodiscover/autodiscover.xml                            POX, Exchange 2007 and later
//	POST /autodiscover/autodiscover.svc                            SOAP: GetUserSettings, 2010 and later
//	GET  /autodiscover/autodiscover.json?Email=…&Protocol=EWS      JSON, version 2, 2016 and later
//	GET  /autodiscover/autodiscover.json/v1.0/ADDRESS?Protocol=EWS
//
// POX and SOAP want a log-on as EWS does; JSON wants none. Requests are on record under the
// operations Autodiscover.POX, Autodiscover.SOAP and Autodiscover.JSON.
//
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/autodiscover-for-exchange
type form string

const (
	formPOX  form = "Autodiscover.POX"
	formSOAP form = "Autodiscover.SOAP"
	formJSON form = "Autodiscover.JSON"
)

const (
	pathPOX  = "/autodiscover/autodiscover.xml"
	pathSOAP = "/autodiscover/autodiscover.svc"
	pathJSON = "/autodiscover/autodiscover.json"
)

// formOf tells which form of Autodiscover a path asks for, "" for none. Case does not
// matter.
func formOf(path string) form {
	switch path = strings.ToLower(path); {
	case path == pathPOX:
		return formPOX
	case path == pathSOAP:
		return formSOAP
	case path == pathJSON, strings.HasPrefix(path, pathJSON+"/v1.0/"):
		return formJSON
	}
	return ""
}

// A Discovery is what Autodiscover has to say of a mailbox, the truth or something else.
// The zero value is the truth: the EWS face under the name by which the client came.
//
// What comes first in this list counts, of what is set.
type Discovery struct {
	// Offer is answered with 401 and these schemes, whatever credentials come. It is how a
	// stranger collects passwords.
	Offer []Scheme `json:"offer,omitempty"`
	// Location is answered with 302 in every form, before anybody is asked to sign in.
	Location string `json:"location,omitempty"`
	// Hops is how many times the client is sent on to the same address, under another
	// query each time, before it is answered; -1 = in a circle, for ever.
	Hops int `json:"hops,omitempty"`
	// Status is answered without more: 404, 503, …
	Status int `json:"status,omitempty"`
	// Answer is a body that is none of Autodiscover's.
	Answer Oddity `json:"answer,omitempty"`
	// Error is the code to refuse with, in the words of the form: "500" or "600" in POX,
	// "InvalidUser", "ServerBusy", … in SOAP and JSON.
	Error string `json:"error,omitempty"`
	// RedirectAddress asks the client to begin anew with this address.
	RedirectAddress mail.Address `json:"redirect_address,omitempty"`
	// RedirectURL asks it, in the answer, to go on at this address; in JSON by 302.
	RedirectURL string `json:"redirect_url,omitempty"`

	EWS         string `json:"ews,omitempty"`          // InternalEwsUrl; "" = this server
	ExternalEWS string `json:"external_ews,omitempty"` // ExternalEwsUrl; "" = the same
	Group       string `json:"group,omitempty"`        // GroupingInformation; "" = the mailbox' back end
	Online      bool   `json:"online,omitempty"`       // the mailbox is in the cloud
}

// Discover sets what Autodiscover says for one address ("ann@company.example"), for a
// domain ("@company.example") or for all others (""). What is nearest to the address
// counts; a request that names nobody gets what is said for all.
func (x *Exchange) Discover(whom string, d Discovery) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.discoveries == nil {
		x.discoveries = map[string]Discovery{}
	}
	x.discoveries[strings.ToLower(whom)] = d
}

// ForgetDiscoveries makes Autodiscover say the truth again.
func (x *Exchange) ForgetDiscoveries() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.discoveries = nil
}

// discovery finds what is to be said of an address. The caller holds the lock.
func (x *Exchange) discovery(address mail.Address) Discovery {
	for _, whom := range []string{string(address), "@" + address.Domain()} {
		if d, ok := x.discoveries[strings.ToLower(whom)]; ok {
			return d
		}
	}
	return x.discoveries[""]
}

// An enquiry is what a request to Autodiscover asks for.
type enquiry struct {
	users    []mail.Address
	settings []string // of SOAP
	protocol string   // of JSON
}

// maxEnquiry bounds a request to Autodiscover.
const maxEnquiry = 1 << 20

// autodiscover answers a request in one of the forms.
func (c *call) autodiscover(f form, body io.Reader) {
	c.record.Operation = string(f)
	raw, err := io.ReadAll(io.LimitReader(body, maxEnquiry))
	if err != nil {
		return // the client went away
	}
	if !c.x.serves(f) {
		c.page(http.StatusNotFound, "404 - File or directory not found.")
		return
	}
	var q enquiry
	var bad error
	switch f {
	case formPOX:
		q, bad = readPOX(raw)
	case formSOAP:
		q, bad = readUserSettings(raw)
	case formJSON:
		q = readDiscoveryJSON(c.r)
	}
	var first mail.Address
	if len(q.users) > 0 {
		first = q.users[0]
		c.record.Mailbox = first
	}
	c.x.mu.RLock()
	d := c.x.discovery(first)
	c.x.mu.RUnlock()
	if c.misleads(&d) {
		return
	}
	if f == formJSON {
		c.answerJSON(q, &d)
		return
	}
	if !c.signsIn(http.NoBody) {
		return
	}
	if f == formPOX {
		c.answerPOX(q, &d, bad)
		return
	}
	c.answerUserSettings(q, bad)
}

// serves tells whether this release has the form.
func (x *Exchange) serves(f form) bool {
	s := x.server
	switch f {
	case formSOAP:
		return s.major >= 14
	case formJSON:
		return s.major > 15 || s.major == 15 && s.minor >= 1
	}
	return true
}

// misleads answers as no honest server would, or sends the client elsewhere below the
// level of the forms.
func (c *call) misleads(d *Discovery) bool {
	switch hop := c.hop(); {
	case len(d.Offer) > 0:
		c.unauthorized(d.Offer)
	case d.Location != "":
		c.sendTo(d.Location)
	case d.Hops < 0:
		c.sendTo(c.here("hop=" + strconv.Itoa(hop%3+1)))
	case hop < d.Hops:
		c.sendTo(c.here("hop=" + strconv.Itoa(hop+1)))
	case d.Status != 0:
		c.page(d.Status, fmt.Sprintf("%d - %s", d.Status, http.StatusText(d.Status)))
	case d.Answer != "":
		c.answerOddly(d.Answer)
	default:
		return false
	}
	return true
}

// hop is how often the client was sent on.
func (c *call) hop() int {
	n, err := strconv.Atoi(c.r.URL.Query().Get("hop"))
	if err != nil {
		return 0
	}
	return n
}

// here is the address that was asked, with something in the query changed.
func (c *call) here(pair string) string {
	name, value, _ := strings.Cut(pair, "=")
	u := *c.r.URL
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	u.Scheme, u.Host = c.origin()
	return u.String()
}

// origin is how the client came to this server.
func (c *call) origin() (scheme, host string) {
	if c.r.TLS != nil {
		return "https", c.r.Host
	}
	return "http", c.r.Host
}

func (c *call) sendTo(location string) {
	c.w.Header().Set("Location", location)
	c.page(http.StatusFound, "Object moved")
}

// whereabouts are what the honest answers are made of.
type whereabouts struct {
	address            mail.Address
	name, dn           string
	internal, external string // EWS
	group              string
	server             string // by which clients of the mailbox know it
	version, schemas   string // of the server
}

// locate finds the mailbox of an address; ok is false when there is none.
func (c *call) locate(address mail.Address, d *Discovery) (w whereabouts, ok bool) {
	x := c.x
	x.mu.RLock()
	defer x.mu.RUnlock()
	box := x.byAddress[address]
	if box == nil {
		return w, false
	}
	scheme, host := c.origin()
	w = whereabouts{
		address: box.address, name: box.name, dn: box.dn, internal: d.EWS, external: d.ExternalEWS, group: d.Group,
		server: box.guid.String() + "@" + box.address.Domain(),
	}
	if w.internal == "" {
		w.internal = scheme + "://" + host + Path
	}
	if w.external == "" {
		w.external = w.internal
	}
	if w.group == "" {
		w.group, _, _ = strings.Cut(backEndName(box.server), ".")
	}
	s := x.server
	w.version = fmt.Sprintf("%d.%02d.%04d.%03d", s.major, s.minor, s.build, s.revision)
	w.schemas = strings.Join(schemas[:s.newest+1], ", ")
	return w, true
}

// document answers with XML.
func (c *call) document(write func(io.Writer) error) {
	var b bytes.Buffer
	_ = write(&b) // a buffer does not fail
	c.write(http.StatusOK, "text/xml; charset=utf-8", b.Bytes())
}

// write answers with a whole body.
func (c *call) write(status int, contentType string, body []byte) {
	c.record.Status = status
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-FEServer", "SIM01")
	c.record.ServerID = c.requestID()
	h.Set("request-id", c.record.ServerID)
	c.w.WriteHeader(status)
	n, _ := c.w.Write(body) // the client went away
	c.record.Out = int64(n)
}
