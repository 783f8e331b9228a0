package ews

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A hint is what an endpoint of autodiscover answers: where EWS is, or where to ask next,
// or for whom. An empty one says nothing.
type hint struct{ endpoint, redirect, address string }

// ask sends one question and takes down in h what came of it.
func (s *search) ask(ctx context.Context, e endpoint, h *hop) hint {
	h.decision = "on to the next place"
	logOn := e.form == soapForm || e.form == poxForm
	if logOn && !s.mayLogOn(e, h) {
		return hint{}
	}
	ctx, cancel := context.WithTimeout(ctx, hopTimeout)
	defer cancel()
	start := time.Now()
	defer func() { h.took = time.Since(start) }()
	c, err := s.clientOf(e.url)
	if err != nil {
		h.answer = "no address of a server"
		return hint{}
	}
	t := &transaction{call: Call{Operation: "Autodiscover", Mailbox: s.mailbox}, url: e.url}
	var got hint
	read := func(resp *http.Response) (err error) {
		got, err = s.read(e.form, resp, h)
		return err
	}
	if logOn {
		t.body = s.question(e)
		err = c.send(ctx, t, true, read)
	} else {
		t.get = true
		err = c.probe(ctx, t, read)
	}
	h.peer, h.signed = s.peers[origin(e.url)], t.signed
	if err != nil {
		return s.failed(e, err, h)
	}
	return got
}

// mayLogOn tells whether an endpoint that asks for a log-on may be asked.
func (s *search) mayLogOn(e endpoint, h *hop) bool {
	host := hostOf(e.url)
	switch {
	case !s.trusted(host, e.doubted):
		s.waitFor(host)
		h.answer, h.against = "not asked", true
		h.decision = "waits until the host is confirmed: " + s.doubt(host, e.doubted)
	case !s.account:
		h.answer, h.decision = "not asked", "there is no account to log on with; on to the next place"
	case s.refusals >= maxRefusals:
		h.answer, h.decision = "not asked", "the log-on was refused before, and is not tried again so that the account is not locked; on to the next place"
	default:
		return true
	}
	return false
}

// clientOf returns the client of a host: it remembers connection and log-on from one
// question to the next.
func (s *search) clientOf(u *url.URL) (*Client, error) {
	if c := s.clients[origin(u)]; c != nil {
		return c, nil
	}
	if hostOf(u) == "" {
		return nil, ErrEndpoint
	}
	cfg := s.config(hostOf(u))
	dial := cfg.Dial
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err == nil {
			s.peers[origin(u)] = conn.RemoteAddr().String()
		}
		return conn, err
	}
	cfg.Timeout, cfg.MaxAnswer, cfg.MaxConns = hopTimeout, maxDocument, 1
	c, err := newClient(cfg, &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"})
	if err == nil {
		s.clients[origin(u)] = c
	}
	return c, err
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// question is the body of a request.
func (s *search) question(e endpoint) []byte {
	var b bytes.Buffer // which does not fail
	if e.form == soapForm {
		_ = WriteUserSettingsRequest(&b, &UserSettingsRequest{Version: Exchange2013, To: e.url.String(),
			Mailboxes: []string{s.address}, Settings: []string{SettingExternalEWS, SettingInternalEWS}})
	} else {
		_ = WritePOXRequest(&b, s.address)
	}
	return b.Bytes()
}

// read reads an answer.
func (s *search) read(f form, resp *http.Response, h *hop) (hint, error) {
	if f == plainForm { // only where it redirects to counts
		h.answer = errStatus(resp.StatusCode)
		return hint{}, nil
	}
	if resp.StatusCode != http.StatusOK {
		h.answer = errStatus(resp.StatusCode)
		return hint{}, nil
	}
	switch f {
	case soapForm:
		v, err := ReadUserSettingsAnswer(resp.Body)
		if err != nil {
			return hint{}, err
		}
		return v.hint(h), nil
	case poxForm:
		v, err := ReadPOXAnswer(resp.Body)
		if err != nil {
			return hint{}, err
		}
		return v.hint(h), nil
	}
	v, err := ReadDiscoveredURL(resp.Body)
	if err != nil {
		return hint{}, err
	}
	if v.URL == "" {
		h.answer = "it does not know the address" + code(v.ErrorCode)
	}
	return hint{endpoint: v.URL}, nil
}

func (v *UserSettingsAnswer) hint(h *hop) hint {
	h.answer = "it does not know the address" + code(v.Code)
	if len(v.Users) != 1 {
		return hint{}
	}
	u := &v.Users[0]
	switch u.Code {
	case AutodiscoverRedirectAddress:
		return hint{address: u.RedirectTarget}
	case AutodiscoverRedirectURL:
		return hint{redirect: u.RedirectTarget}
	case NoError, "":
		if url := u.Get(SettingExternalEWS); url != "" {
			return hint{endpoint: url}
		}
		return hint{endpoint: u.Get(SettingInternalEWS)}
	}
	h.answer = "it does not know the address" + code(u.Code)
	return hint{}
}

func (v *POXAnswer) hint(h *hop) hint {
	h.answer = "it does not know the address"
	switch {
	case v.Error != nil:
		h.answer += code(v.Error.Code)
	case strings.EqualFold(v.Action, POXRedirect):
		return hint{address: v.RedirectAddress}
	case strings.EqualFold(v.Action, POXRedirectURL):
		return hint{redirect: v.RedirectURL}
	case strings.EqualFold(v.Action, POXSettings):
		return hint{endpoint: v.EWS()}
	}
	return hint{}
}

// code shows a server's code, when it looks like one.
func code(c string) string {
	if c == "" || c == NoError || len(c) > 40 || strings.ContainsFunc(c, func(r rune) bool {
		return r > 'z' || r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a'
	}) {
		return ""
	}
	return " (" + c + ")"
}

// failed says what an answer means that was none, and follows redirects.
func (s *search) failed(e endpoint, err error, h *hop) hint {
	fail, ok := errors.AsType[*Error](err)
	if !ok {
		fail = &Error{Err: err}
	}
	switch status := fail.Status; {
	case errors.Is(err, ErrPasswordRefused), errors.Is(err, ErrLogonFailed):
		h.answer = "has refused the log-on" // and is not sent it again
		if h.signed {
			h.answer = "refuses the log-on"
			s.refusals++
		}
	case errors.Is(err, ErrNoScheme):
		h.answer = "offers no way to log on that is allowed"
	case status == http.StatusMovedPermanently && e.form != plainForm, status == http.StatusFound, status == http.StatusTemporaryRedirect && e.form != plainForm:
		if fail.Location != "" {
			return hint{redirect: fail.Location}
		}
		h.answer = errStatus(status)
	case status == 0:
		s.silent[e.url.Host] = s.silent[e.url.Host] || e.form != plainForm
		h.answer = s.explain(hostOf(e.url), err)
	case status != http.StatusOK:
		h.answer = errStatus(status)
	default:
		h.answer = "something else than autodiscover"
	}
	return hint{}
}

// probe sends a request without credentials, whatever the server asks for. An answer that
// asks for them is an *Error, of which the transaction has the header.
func (c *Client) probe(ctx context.Context, t *transaction, read func(*http.Response) error) error {
	if err := c.admit(ctx, t); err != nil {
		return c.failure(t, cause(ctx, err))
	}
	defer t.settle(ErrUndecided)
	l, err := c.lane(ctx, false)
	if err != nil {
		err = c.failure(t, cause(ctx, err))
		t.settle(t.outcome(ctx, err)...)
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	resp, err := c.leg(ctx, l, t, t.body, "")
	if err == nil {
		err = c.readAnswer(t, resp, read)
	}
	if err != nil {
		err = c.failure(t, cause(ctx, err))
	}
	whole := stop() && c.drained(t.resp)
	if t.call.Status == http.StatusUnauthorized {
		c.tell(l, t, ErrUndecided) // what a log-on is asked for says nothing
	} else {
		c.tell(l, t, t.outcome(ctx, err)...)
	}
	c.release(l, whole && !t.resp.Close)
	return err
}
