package ews

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"postern/crm"
)

// endpoint asks without credentials: what answers by asking for them, or in SOAP, may be
// EWS; a web page or a redirect is not. What it offers and what time it has is noted.
func (c *check) endpoint(ctx context.Context) (found, error) {
	client := c.src.client
	t := &transaction{call: Call{Operation: "GetFolder"}, body: marshal(&Request{Header: Header{Version: Exchange2007SP1}, Op: rootOf(client.As(""))})}
	sent := client.now()
	err := client.probe(ctx, t, func(resp *http.Response) error {
		x := &codec{d: newDecoder(resp.Body)}
		if err := x.openEnvelope(new(Header)); err != nil {
			return client.unreadable(t, err)
		}
		return nil
	})
	if resp := t.resp; resp != nil {
		c.offers = offers(resp)
		if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			c.skew = new(at.Sub(sent.Add(client.now().Sub(sent) / 2)))
		}
	}
	e, _ := errors.AsType[*Error](err)
	switch {
	case err == nil:
		return found{detail: "answers without a log-on"}, nil
	case e != nil && e.Status == http.StatusUnauthorized:
		return found{detail: "asks for a log-on"}, nil
	case e != nil && e.Status == http.StatusForbidden:
		return found{}, c.fault("front-forbids", "Something in front of Exchange, as a firewall or a reverse proxy, forbids the request before anybody has logged on.",
			"Let requests through that come from the address above and carry the User-Agent of the settings.")
	}
	return found{}, err
}

// Limits of the clock. Kerberos refuses at five minutes as a rule; NTLM bears more.
const (
	clockWarn = 2 * time.Minute
	clockFail = 5 * time.Minute
)

// clock compares the server's with ours.
func (c *check) clock(context.Context) (found, error) {
	if c.skew == nil {
		return found{detail: "the server does not tell its time", skip: true}, nil
	}
	off := c.skew.Round(time.Second)
	detail := fmt.Sprintf("the server's is %s ahead of ours", off)
	if off < 0 {
		detail = fmt.Sprintf("the server's is %s behind ours", -off)
	}
	if off.Abs() <= 2*time.Second { // the header has whole seconds
		detail = "the same as ours"
	}
	f := c.fault("clock-skew", "The clocks differ: "+detail+".", "Have both follow a time server. Log-ons by Kerberos fail from five minutes on, and certificates are judged by our clock.")
	switch {
	case off.Abs() >= clockFail && c.Settings.Scheme == crm.Kerberos:
		return found{}, f
	case off.Abs() >= clockWarn:
		return found{detail: detail, warn: f}, nil
	}
	return found{detail: detail}, nil
}

// schemes compares the ways to log on that are offered with the one that is pinned.
func (c *check) schemes(context.Context) (found, error) {
	offered := strings.Join(c.offers, ", ")
	if len(c.offers) == 0 {
		if c.Settings.Scheme == crm.ClientTLS {
			return found{detail: "the client certificate is the log-on"}, nil
		}
		return found{}, c.fault("no-logon-scheme", "The server offers no way to log on.", "Enable Windows authentication for the EWS virtual directory.")
	}
	has := func(list ...string) bool {
		return slices.ContainsFunc(c.offers, func(o string) bool {
			return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(o, s) })
		})
	}
	wanted, ok := "", false
	switch c.Settings.Scheme {
	case crm.NTLM:
		wanted, ok = "NTLM", has("NTLM", "Negotiate")
	case crm.Kerberos:
		wanted, ok = "Kerberos (Negotiate)", has("Negotiate")
	case crm.Basic:
		wanted, ok = "Basic", has("Basic")
	case crm.ClientTLS:
		wanted, ok = "a client certificate", true
	default:
		wanted, ok = "any", has("NTLM", "Negotiate") || has("Basic") && c.src.client.private()
	}
	if !ok {
		return found{}, c.fault("scheme-not-offered", fmt.Sprintf("The server offers %s, and the settings allow %s only. The password was not sent.", offered, wanted),
			"Enable it for the EWS virtual directory, or choose another way to log on in the Email settings.")
	}
	got := found{detail: fmt.Sprintf("offered: %s; allowed by the settings: %s", offered, wanted)}
	switch {
	case c.Settings.Scheme == crm.Basic || !has("Basic"):
	case c.src.client.url.Scheme == "http": // to this machine: no password travels
	case has("NTLM", "Negotiate"):
		got.warn = c.fault("basic-offered", "The server offers Basic, too, by which passwords travel as they are. Postern does not use it here.",
			"Switch Basic off for the EWS virtual directory, unless another program needs it.")
	default:
		got.warn = c.fault("basic-offered", "The server offers Basic alone, by which the password travels as it is, inside TLS.",
			"Offer Windows authentication at the EWS virtual directory; Postern uses it as soon as it is there.")
	}
	return got, nil
}

// logOn asks for the account's own root folder. It may have no mailbox; any answer of
// Exchange's own shows that it let the account in.
func (c *check) logOn(ctx context.Context, a crm.Account) (found, error) {
	if c.Settings.Model == crm.ByOwnSignIn {
		return found{detail: "each user logs on by the own account: see the mailboxes", skip: true}, nil
	}
	client, err := c.clientOf(a)
	if err != nil {
		return found{}, err
	}
	err = letIn(knock(ctx, client))
	if c.blocked(ctx, err) {
		return found{}, c.fault("agent-blocked", fmt.Sprintf("Exchange forbids EWS to the User-Agent %q, and answers another one.", c.Transport.UserAgent()), "Take it off the list of those that are blocked.")
	}
	name := a.Login
	if name == "" {
		name = "the client certificate"
	}
	if scheme := client.scheme(); scheme != AnyScheme {
		name += " by " + string(scheme)
	}
	return found{detail: name}, err
}

// knock asks for the root folder of the account itself.
func knock(ctx context.Context, c *Client) error {
	_, err := c.As("").GetFolder(ctx, rootOf(c.As("")))
	return err
}

// letIn takes an answer of Exchange's own, whatever it says, for a log-on that worked.
func letIn(err error) error {
	if e, ok := errors.AsType[*Error](err); ok && errors.Is(err, errFault) && codes[e.Code].verdict != crm.Reauth {
		return nil
	}
	return err
}

// protection logs on once more without binding that to the server's certificate. A server
// with Extended Protection refuses; one without would take a log-on of ours from somebody
// in between.
func (c *check) protection(ctx context.Context) (found, error) {
	scheme := c.src.client.scheme()
	if c.Settings.Model == crm.ByOwnSignIn || scheme != NTLM && scheme != negotiate || c.src.client.url.Scheme != "https" {
		return found{detail: "not shown: it is about log-ons by NTLM over TLS", skip: true}, nil
	}
	cfg := c.src.config(c.accounts()[0])
	cfg.Unbound = true
	client, err := New(cfg)
	if err != nil {
		return found{}, err
	}
	defer client.Close()
	err = letIn(knock(ctx, client))
	switch {
	case errors.Is(err, ErrPasswordRefused):
		return found{detail: "required: a log-on that is not bound to the certificate is refused"}, nil
	case err != nil:
		return found{}, err
	}
	return found{detail: "not required", warn: c.fault("extended-protection-off", "The server takes a log-on by NTLM that is not bound to its certificate: Extended Protection is off, or allowed only.",
		"Let the server require Extended Protection, so that nobody in between can pass log-ons on. Postern's are bound already.")}, nil
}

// blocked tells whether it is our name that Exchange forbids, as far as another one may be
// tried.
func (c *check) blocked(ctx context.Context, err error) bool {
	e, _ := errors.AsType[*Error](err)
	if e == nil || e.Status != http.StatusForbidden || c.Stranger == nil {
		return false
	}
	other, err := open(c.Settings, c.Stranger, c.tune...)
	if err != nil {
		return false
	}
	defer other.Close()
	return letIn(knock(ctx, other.client)) == nil
}

// version compares what the server says of itself with what was chosen.
func (c *check) version(ctx context.Context) (found, error) {
	var server ServerVersion
	if c.Settings.Model != crm.ByOwnSignIn {
		server = c.session("").Server()
	}
	for _, box := range c.Boxes[:min(len(c.Boxes), 3)] {
		if server.Major != nil || !c.signedIn(box) {
			continue
		}
		ss := c.session(box)
		if _, err := ss.GetFolder(ctx, rootOf(ss)); err == nil {
			server = ss.Server()
		}
	}
	if server.Major == nil {
		return found{detail: "the server does not tell its version", skip: true}, nil
	}
	i := release(server)
	if i < 0 {
		return found{}, c.fault("version-unsupported", fmt.Sprintf("The server is older than Exchange 2007 SP1 (it says %s).", server), "Exchange 2007 SP1 or later is needed.")
	}
	c.server = versions[i].name
	chosen := versionIndex(c.Settings.Version)
	if chosen < 0 {
		return found{detail: fmt.Sprintf("%s (%s); you chose none yet", versions[i].title, server)}, nil
	}
	if i < chosen {
		f := c.fault("version-older", fmt.Sprintf("The server is %s (%s), older than the version chosen.", versions[i].title, server), fmt.Sprintf("Choose %s.", versions[i].title))
		f.Scope = crm.MailboxScope // the client steps down by itself
		return found{}, f
	}
	if i > chosen {
		return found{detail: fmt.Sprintf("%s (%s); you chose the older %s, which works, too", versions[i].title, server, versions[chosen].title)}, nil
	}
	return found{detail: fmt.Sprintf("%s (%s)", versions[i].title, server)}, nil
}

// release finds the version that a server's numbers mean, -1 for those before 2007 SP1.
//
// https://learn.microsoft.com/en-us/exchange/new-features/build-numbers-and-release-dates
func release(v ServerVersion) int {
	n := func(p *int) int {
		if p == nil {
			return 0
		}
		return *p
	}
	major, minor, build := n(v.Major), n(v.Minor), n(v.MajorBuild)
	name := versionOnline
	switch {
	case major < 8 || major == 8 && minor == 0:
		return -1
	case major == 8:
		name = version2007
	case major == 14 && minor == 0:
		name = "Exchange2010"
	case major == 14 && minor == 1:
		name = "Exchange2010_SP1"
	case major <= 14:
		name = "Exchange2010_SP2"
	case major == 15 && minor == 0 && build < 847:
		name = "Exchange2013"
	case major == 15 && minor == 0:
		name = "Exchange2013_SP1"
	case major == 15 && minor == 1:
		name = "Exchange2016"
	case major == 15 && minor == 2 && build < 2562:
		name = "Exchange2019"
	case major == 15 && minor == 2:
		name = "ExchangeSE"
	}
	return versionIndex(name)
}

const (
	latencyTries = 5
	latencySlow  = time.Second
)

// latency is the median of a few small requests on a connection that is open.
func (c *check) latency(ctx context.Context) (found, error) {
	ss := c.session("")
	if c.Settings.Model == crm.ByOwnSignIn {
		i := slices.IndexFunc(c.Boxes, c.signedIn)
		if i < 0 {
			return found{detail: "there is no mailbox to ask", skip: true}, nil
		}
		ss = c.session(c.Boxes[i])
	}
	var took []time.Duration
	for range latencyTries {
		start := time.Now()
		_, err := ss.GetFolder(ctx, rootOf(ss))
		if e, ok := errors.AsType[*Error](err); err != nil && (!ok || e.Status == 0) {
			return found{}, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	median := took[len(took)/2]
	got := found{detail: fmt.Sprintf("%s, the median of %d (%s to %s)", ms(median), len(took), ms(took[0]), ms(took[len(took)-1]))}
	if median > latencySlow {
		got.warn = c.fault("slow-server", fmt.Sprintf("A small request takes %s.", ms(median)), "Imports will take long. Check the line to the server, and its load.")
	}
	return got, nil
}

// autodiscover compares what the domain publishes with the server that was set. Nothing
// depends on it, but Outlook and telephones do.
func (c *check) autodiscover(ctx context.Context) (found, error) {
	switch {
	case len(c.Boxes) == 0:
		return found{detail: "there is no mailbox to look for", skip: true}, nil
	case c.Search == nil:
		return found{detail: "not looked for: no credentials are shown to a domain before it is saved", skip: true}, nil
	}
	box := c.Boxes[0]
	server, err := discover(ctx, box, c.Settings, c.Search, c.tell)
	if err != nil {
		f := crm.AsFault(err)
		return found{detail: fmt.Sprintf("not found for %s (%s); the server that was set is used: %s", box, f.Code, strings.TrimSuffix(f.Message, ".")), skip: true}, nil
	}
	u, err := Endpoint(server)
	if err != nil {
		return found{}, err
	}
	if hostOf(u) != strings.ToLower(c.src.host) {
		return found{detail: "published: " + server, warn: c.fault("autodiscover-elsewhere",
			fmt.Sprintf("What the domain publishes leads to %s, not to the server that was set, %s.", hostOf(u), c.src.host),
			"Check which of the two the mailboxes live on. Both may be right when one is for inside and one for outside.")}, nil
	}
	return found{detail: "the domain publishes this server"}, nil
}
