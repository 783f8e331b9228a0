package ews

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"postern/crm"
	"postern/mail"
)

// A check tries settings step by step and tells each step as it ends. It ends early when
// a step fails that the rest builds on; what was not reached is told as skipped.
type check struct {
	crm.Trial
	tune   []func(*Config)
	tell   func(crm.Finding)
	src    *source
	failed bool // a step that the rest builds on
}

// checkTimeout bounds each step, so that a test ends while somebody waits for it.
const checkTimeout = 30 * time.Second

func (c *check) run(ctx context.Context) {
	c.step(ctx, "Name and address", c.name)
	if c.src != nil {
		defer c.src.Close()
	}
	c.step(ctx, "Connection and certificate", c.connection)
	c.step(ctx, "Exchange Web Services", c.endpoint)
	c.step(ctx, "Log-on", c.logOn)
	c.step(ctx, "Version", c.version)
	for _, box := range c.Boxes {
		c.mailbox(ctx, box)
	}
}

// step runs one step, unless an earlier one failed.
func (c *check) step(ctx context.Context, name string, try func(context.Context) (string, error)) {
	if c.failed {
		c.tell(crm.Finding{Step: name, Skip: true})
		return
	}
	f := c.try(ctx, name, try)
	c.failed = !f.OK && f.Fault.Code != "version-older"
	c.tell(f)
}

func (c *check) try(ctx context.Context, name string, try func(context.Context) (string, error)) crm.Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	start := time.Now()
	detail, err := try(ctx)
	f := crm.Finding{Step: name, OK: err == nil, Detail: detail, Took: time.Since(start)}
	if err != nil {
		j := judge{version: c.Settings.Version, login: c.Settings.Login}
		if c.src != nil {
			j = c.src.judge
		}
		f.Fault = j.fault(err, crm.MailboxScope)
		f.Detail = f.Fault.Message
	}
	return f
}

// name opens the source, which judges the settings, and looks the host up.
func (c *check) name(ctx context.Context) (string, error) {
	src, err := open(c.Settings, c.Transport, c.tune...)
	if err != nil {
		return "", unopened(err)
	}
	c.src = src
	addrs, err := c.Transport.Resolve(ctx, src.host)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s is %s", src.client.url, addrs[0]), nil
}

func (c *check) connection(ctx context.Context) (string, error) {
	client := c.src.client
	l, err := client.lane(ctx, true)
	if err != nil {
		return "", err
	}
	defer client.release(l, true)
	if l.leaf == nil {
		return "connected, without TLS, to this machine", nil
	}
	return fmt.Sprintf("certificate good until %s", l.leaf.NotAfter.Format(time.DateOnly)), nil
}

// endpoint asks without credentials: what answers by asking for them, or in SOAP, may be
// EWS; a web page or a redirect is not.
func (c *check) endpoint(ctx context.Context) (string, error) {
	client := c.src.client
	t := &transaction{call: Call{Operation: "GetFolder"}, body: marshal(&Request{Header: Header{Version: Exchange2007SP1}, Op: rootFolder()})}
	l, err := client.lane(ctx, false)
	if err != nil {
		return "", client.failure(t, err)
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	resp, err := client.leg(ctx, l, t, t.body, "")
	detail := "asks for a log-on"
	switch {
	case err != nil:
		err = client.failure(t, cause(ctx, err))
	case resp.StatusCode != http.StatusUnauthorized:
		detail = "answers"
		err = client.readAnswer(t, resp, func(resp *http.Response) error {
			x := &codec{d: newDecoder(resp.Body)}
			if err := x.openEnvelope(new(Header)); err != nil {
				return client.unreadable(t, err)
			}
			return nil
		})
	}
	whole := stop() && client.drained(t.resp)
	client.tell(l, t)
	client.release(l, whole)
	return detail, err
}

func rootFolder() *GetFolder {
	return &GetFolder{Shape: FolderShape{Base: IDOnly}, IDs: []FolderID{{Distinguished: string(crm.Root)}}}
}

// logOn asks for the account's own root folder. It may have no mailbox; any answer of
// Exchange's own shows that it let the account in.
func (c *check) logOn(ctx context.Context) (string, error) {
	_, err := c.src.client.As("").GetFolder(ctx, rootFolder())
	if e, ok := errors.AsType[*Error](err); ok && errors.Is(err, errFault) && codes[e.Code].verdict != crm.Reauth {
		err = nil
	}
	return fmt.Sprintf("%s by %s", c.Settings.Login, c.src.client.scheme()), err
}

// version compares what the server says of itself with what was chosen.
func (c *check) version(ctx context.Context) (string, error) {
	found := c.src.client.As("").Server()
	for _, box := range c.Boxes[:min(len(c.Boxes), 3)] {
		if found.Major != nil {
			break
		}
		ss := c.src.client.As(string(box))
		if _, err := ss.GetFolder(ctx, rootFolder()); err == nil {
			found = ss.Server()
		}
	}
	if found.Major == nil {
		return "the server does not tell its version", nil
	}
	i := release(found)
	if i < 0 {
		return "", &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "version-unsupported", Message: fmt.Sprintf("The server is older than Exchange 2007 SP1 (it says %s).", found), Advice: "Exchange 2007 SP1 or later is needed."}
	}
	chosen := versionIndex(c.Settings.Version)
	if i < chosen {
		return "", &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "version-older",
			Message: fmt.Sprintf("The server is %s (%s), older than the version chosen.", versions[i].title, found), Advice: fmt.Sprintf("Choose %s.", versions[i].title)}
	}
	if i > chosen {
		return fmt.Sprintf("%s (%s); you chose the older %s, which works, too", versions[i].title, found, versions[chosen].title), nil
	}
	return fmt.Sprintf("%s (%s)", versions[i].title, found), nil
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

// mailbox impersonates one mailbox and counts what is to be read there. One that cannot
// be read does not end the test.
func (c *check) mailbox(ctx context.Context, box mail.Address) {
	name := "Mailbox " + string(box)
	if c.failed {
		c.tell(crm.Finding{Step: name, Skip: true})
		return
	}
	f := c.try(ctx, name, func(ctx context.Context) (string, error) { return c.counts(ctx, box) })
	c.failed = f.Fault != nil && f.Fault.Scope == crm.OrgScope
	c.tell(f)
}

func (c *check) counts(ctx context.Context, box mail.Address) (string, error) {
	answers, err := c.src.client.As(string(box)).GetFolder(ctx, &GetFolder{
		Shape: FolderShape{Base: IDOnly, Additional: []Path{Field("folder:TotalCount")}},
		IDs:   []FolderID{{Distinguished: string(crm.Inbox)}, {Distinguished: string(crm.SentItems)}},
	})
	if err != nil {
		return "", err
	}
	var counts [2]int
	for i := range answers {
		if err := answers[i].Err(); err != nil {
			if e, _ := errors.AsType[*Error](err); e != nil {
				e.Operation, e.Mailbox = "GetFolder", string(box)
			}
			return "", err
		}
		if len(answers[i].Folders) == 1 && answers[i].Folders[0].Total != nil {
			counts[i] = *answers[i].Folders[0].Total
		}
	}
	return fmt.Sprintf("inbox %d, sent items %d", counts[0], counts[1]), nil
}
