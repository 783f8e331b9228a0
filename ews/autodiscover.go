package ews

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// A search finds the EWS endpoint of a mailbox by what its domain publishes, in the order
// that Microsoft gives, and within these rules:
//
//   - https with a valid certificate; plain http once, without credentials, and only to be
//     told of an https URL;
//   - at most maxRedirects redirects, none to where we were, none from https to http;
//   - credentials go to the server that an administrator has set and to hosts of the
//     mailbox' own domain, never to one that plain http or DNS has named: whoever sits in
//     between could have named it. Such a host is named to the administrator instead.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/exchange-web-services/autodiscover-for-exchange
type search struct {
	mailbox string // whose server is looked for
	server  string // host that an administrator has set; "" = none
	place   string // that host, with its port if it has one
	account bool   // there is something to log on with
	config  func(host string) Config
	// services looks up a host's SRV records.
	services func(ctx context.Context, service, proto, domain string) ([]*net.SRV, error)
	tell     func(hop)
	explain  func(host string, err error) string // why a host did not answer

	address   string // asked for; another one after a redirect to it
	redirects int
	refusals  int // of the credentials
	asked     map[string]bool
	addresses map[string]bool
	silent    map[string]bool // hosts that gave no answer at all
	clients   map[string]*Client
	peers     map[string]string // addresses that the hosts were reached at
	waiting   []string          // hosts that would be asked if an administrator confirmed them
}

const (
	maxRedirects = 10
	maxRefusals  = 2 // of the credentials, so that a wrong password locks no account
	maxServices  = 3 // SRV records that are tried
	hopTimeout   = 15 * time.Second
	maxDocument  = 1 << 20
)

// Errors of a search.
var (
	errNotPublished = errors.New("the domain publishes no Exchange server")
	errRedirects    = errors.New("too many redirects")
)

// errUnconfirmed says that the search ends at a host that is to be confirmed first.
type errUnconfirmed struct{ host string }

func (e *errUnconfirmed) Error() string { return "not confirmed: " + e.host }

// A hop is one step of a search, as it is told.
type hop struct {
	what     string // "SOAP", "POX", …
	url      string
	peer     string // address that answered
	answer   string
	decision string
	signed   bool // credentials were sent
	against  bool // a rule forbade what the answer wanted
	took     time.Duration
}

// A form is how an endpoint is asked.
type form string

const (
	soapForm  form = "SOAP"
	poxForm   form = "POX"
	jsonForm  form = "JSON"
	plainForm form = "Redirect by plain http"
)

// An endpoint of autodiscover.
type endpoint struct {
	form    form
	url     *url.URL
	doubted bool // named by plain http or DNS
}

// run returns the EWS endpoint.
func (s *search) run(ctx context.Context) (*url.URL, error) {
	s.address = s.mailbox
	s.asked, s.addresses, s.silent = map[string]bool{}, map[string]bool{}, map[string]bool{}
	s.clients, s.peers = map[string]*Client{}, map[string]string{}
	defer func() {
		for _, c := range s.clients {
			c.Close()
		}
	}()
	for {
		s.addresses[strings.ToLower(s.address)] = true
		found, again, err := s.round(ctx)
		switch {
		case err != nil:
			return nil, err
		case found != nil:
			return found, nil
		case again != "":
			s.address = again
		case len(s.waiting) > 0:
			return nil, &errUnconfirmed{s.waiting[0]}
		default:
			return nil, errNotPublished
		}
	}
}

// round asks for one address wherever that may be known.
func (s *search) round(ctx context.Context) (found *url.URL, again string, err error) {
	for _, places := range [...]func(context.Context) []endpoint{s.published, s.plain, s.inDNS} {
		for _, e := range places(ctx) {
			found, again, err = s.follow(ctx, e)
			if found != nil || again != "" || err != nil {
				return found, again, err
			}
			if ctx.Err() != nil {
				return nil, "", context.Cause(ctx)
			}
		}
	}
	return nil, "", nil
}

func (s *search) domain() string { return s.address[strings.LastIndexByte(s.address, '@')+1:] }

// published are the places that need no one to name them.
func (s *search) published(context.Context) []endpoint {
	var list []endpoint
	hosts := []string{s.domain(), "autodiscover." + s.domain()}
	if s.place != "" && !slices.Contains(hosts, s.place) {
		hosts = slices.Insert(hosts, 0, s.place)
	}
	for _, host := range hosts {
		list = append(list, s.places(host, false)...)
	}
	return list
}

// places of a host, best form first.
func (s *search) places(host string, doubted bool) []endpoint {
	at := func(path string) *url.URL { return &url.URL{Scheme: "https", Host: host, Path: path} }
	list := []endpoint{
		{soapForm, at("/autodiscover/autodiscover.svc"), doubted},
		{poxForm, at("/autodiscover/autodiscover.xml"), doubted},
	}
	if u, err := url.Parse(JSONEndpoint(host, s.address)); err == nil {
		list = append(list, endpoint{jsonForm, u, doubted})
	}
	return list
}

// plain is the one place that is asked by plain http.
func (s *search) plain(context.Context) []endpoint {
	return []endpoint{{plainForm, &url.URL{Scheme: "http", Host: "autodiscover." + s.domain(), Path: "/autodiscover/autodiscover.xml"}, true}}
}

// inDNS are the places that SRV records name, those on another port than 443 left out.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/exchange-web-services/how-to-generate-a-list-of-autodiscover-endpoints
func (s *search) inDNS(ctx context.Context) []endpoint {
	start := time.Now()
	h := hop{what: "SRV record", url: "_autodiscover._tcp." + s.domain(), decision: "nothing to ask"}
	records, err := s.services(ctx, "autodiscover", "tcp", s.domain())
	h.took = time.Since(start)
	records = slices.DeleteFunc(slices.Clone(records), func(r *net.SRV) bool { return r.Port != 443 || strings.Trim(r.Target, ".") == "" })
	slices.SortStableFunc(records, func(a, b *net.SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight))
	})
	var list []endpoint
	var names []string
	for _, r := range records[:min(len(records), maxServices)] {
		host := strings.ToLower(strings.Trim(r.Target, "."))
		if strings.ContainsAny(host, "/:@?#%[]\\ ") {
			continue
		}
		names = append(names, host)
		list = append(list, s.places(host, true)...)
	}
	switch {
	case err != nil:
		h.answer = "there is none"
	case len(list) == 0:
		h.answer = "none for port 443"
	default:
		h.answer, h.decision = strings.Join(names, ", "), "asked there, without credentials as long as nobody has confirmed the host"
	}
	s.tell(h)
	return list
}

// follow asks at an endpoint and goes wherever the answers lead. Nothing at all means that
// the next place is to be asked.
func (s *search) follow(ctx context.Context, e endpoint) (found *url.URL, again string, err error) {
	for {
		key := string(e.form) + " " + e.url.String() + " " + strings.ToLower(s.address)
		if s.asked[key] || s.silent[e.url.Host] && e.form != plainForm {
			return nil, "", nil
		}
		s.asked[key] = true
		h := hop{what: string(e.form), url: e.url.String()}
		told := s.ask(ctx, e, &h)
		var next endpoint
		switch {
		case told.endpoint != "":
			found, err = s.accept(e, told.endpoint, &h)
		case told.address != "":
			again, err = s.restart(told.address, &h)
		case told.redirect != "":
			next, err = s.redirect(e, told.redirect, &h)
		}
		s.tell(h)
		if found != nil || again != "" || err != nil || next.url == nil {
			return found, again, err
		}
		e = next
	}
}

// accept judges the EWS endpoint that an answer names.
func (s *search) accept(from endpoint, text string, h *hop) (*url.URL, error) {
	u, host, err := publishedEndpoint(text)
	if err != nil {
		h.against, h.decision = true, "not taken: it is no https address of a server"
		return nil, nil
	}
	h.answer = "EWS is at " + u.String()
	if !s.trusted(host, from.doubted) {
		h.against, h.decision = true, "to be confirmed: "+s.doubt(host, from.doubted)
		return nil, &errUnconfirmed{host}
	}
	h.decision = "found"
	return u, nil
}

// publishedEndpoint reads the URL of an EWS endpoint as a server tells it.
func publishedEndpoint(text string) (*url.URL, string, error) {
	if len(text) > 2048 || !strings.HasPrefix(strings.ToLower(text), "https://") {
		return nil, "", ErrEndpoint
	}
	u, err := Endpoint(text)
	if err != nil {
		return nil, "", err
	}
	return u, hostOf(u), nil
}

// restart begins again with another address.
func (s *search) restart(address string, h *hop) (string, error) {
	h.answer = "the mailbox goes by another address"
	at := strings.LastIndexByte(address, '@')
	domain := address[at+1:]
	switch {
	case at < 1 || len(address) > 320 || domain == "" || strings.ContainsAny(address, " /\\:?#%[]\r\n\t<>\""):
		h.against, h.decision = true, "not followed: that is no address"
		return "", nil
	case s.addresses[strings.ToLower(address)]:
		h.against, h.decision = true, "not followed: that one was asked for already"
		return "", nil
	}
	if s.redirects++; s.redirects > maxRedirects {
		h.against, h.decision = true, "not followed: too many redirects"
		return "", errRedirects
	}
	h.answer += ", " + address
	h.decision = "begin again with that"
	return address, nil
}

// redirect judges where an answer leads to. An endpoint without a URL means: nowhere.
func (s *search) redirect(from endpoint, location string, h *hop) (endpoint, error) {
	u, err := from.url.Parse(location)
	if err != nil || len(location) > 2048 {
		h.answer, h.against, h.decision = "redirects", true, "not followed: that is no address"
		return endpoint{}, nil
	}
	host := hostOf(u)
	h.answer = "redirects to " + u.Redacted()
	next := endpoint{form: from.form, url: u, doubted: from.doubted || from.form == plainForm}
	switch path := strings.ToLower(u.Path); {
	case strings.Contains(path, ".svc"):
		next.form = soapForm
	case strings.Contains(path, ".json"):
		next.form = jsonForm
	case from.form == plainForm || strings.HasSuffix(path, ".xml"):
		next.form = poxForm
	}
	h.against = true
	switch {
	case u.Scheme != "https":
		h.decision = "not followed: only https is"
		return endpoint{}, nil
	case u.User != nil || host == "":
		h.decision = "not followed: that is no address of a server"
		return endpoint{}, nil
	case s.asked[string(next.form)+" "+u.String()+" "+strings.ToLower(s.address)]:
		h.decision = "not followed: we were there"
		return endpoint{}, nil
	}
	if s.redirects++; s.redirects > maxRedirects {
		h.decision = "not followed: too many redirects"
		return endpoint{}, errRedirects
	}
	h.against, h.decision = false, "followed"
	return next, nil
}

// trusted tells whether the credentials may go to a host.
func (s *search) trusted(host string, doubted bool) bool {
	if host == s.server {
		return true
	}
	home := s.mailbox[strings.LastIndexByte(s.mailbox, '@')+1:]
	return !doubted && sameOwner(host, home)
}

// sameOwner tells whether two hosts belong to the same registered domain. Below a public
// suffix, as co.uk, each name has an owner of its own.
func sameOwner(host, domain string) bool {
	if net.ParseIP(host) != nil {
		return false
	}
	a, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return false
	}
	b, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(domain))
	return err == nil && a == b
}

// doubt says why a host is not trusted.
func (s *search) doubt(host string, doubted bool) string {
	if doubted {
		return host + " was named by plain http or by DNS, which anybody in between can forge"
	}
	return host + " belongs to another domain than the mailbox"
}

func hostOf(u *url.URL) string { return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) }

// waitFor notes that a host would be asked if somebody confirmed it.
func (s *search) waitFor(host string) {
	if !slices.Contains(s.waiting, host) {
		s.waiting = append(s.waiting, host)
	}
}

// errStatus is what a status says that is no answer.
func errStatus(status int) string { return fmt.Sprintf("no endpoint: http %d", status) }
