package ews

import (
	"net/http"
	"strings"
	"sync"
)

// A Group is subscriptions to mailboxes of one server that are read on one connection.
// Its requests carry what keeps them together on the server that holds them, behind
// whatever balances the load: the address of the group's anchor, and the cookies that
// answers to the group brought, which no other request may carry.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/exchange-web-services/how-to-maintain-affinity-between-group-of-subscriptions-and-mailbox-server
type Group struct {
	anchor *Session

	mu      sync.Mutex
	cookies []*http.Cookie
}

// Group returns the group of an anchor mailbox. It is always the same one.
func (c *Client) Group(anchor string) *Group {
	s := c.As(anchor)
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groups[anchor]
	if g == nil {
		g = &Group{anchor: s}
		c.groups[anchor] = g
	}
	return g
}

// Bounds of what a server may have us keep and send.
const (
	maxCookies    = 16
	maxCookieSize = 4 << 10
)

// backEndCookie says on which server the anchor's subscription is. It travels as a
// cookie; some servers want it as a header, too.
const backEndCookie = "X-BackEndOverrideCookie"

// Forget drops the cookies: the next answer brings new ones.
func (g *Group) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cookies = nil
}

// sign marks a request as the group's.
func (g *Group) sign(req *http.Request) {
	req.Header.Set("X-AnchorMailbox", g.anchor.Primary())
	req.Header.Set("X-PreferServerAffinity", "true")
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, cookie := range g.cookies {
		req.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value, Quoted: cookie.Quoted})
		if strings.EqualFold(cookie.Name, backEndCookie) {
			req.Header.Set(backEndCookie, cookie.Value)
		}
	}
}

// keep takes the cookies of an answer. Which back end it is says the anchor's alone.
// After a 400 all are dropped: one that grew too long is a cause of that.
func (g *Group) keep(resp *http.Response, mailbox string) {
	if resp.StatusCode == http.StatusBadRequest {
		g.Forget()
		return
	}
	list := resp.Cookies()
	if v := resp.Header.Get(backEndCookie); v != "" {
		list = append(list, &http.Cookie{Name: backEndCookie, Value: v})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, cookie := range list {
		if strings.EqualFold(cookie.Name, backEndCookie) && mailbox != g.anchor.mailbox {
			continue
		}
		g.set(cookie)
	}
}

func (g *Group) set(cookie *http.Cookie) {
	gone := cookie.MaxAge < 0 || cookie.Value == ""
	for i, known := range g.cookies {
		if known.Name == cookie.Name {
			g.cookies = append(g.cookies[:i], g.cookies[i+1:]...)
			break
		}
	}
	if !gone && len(g.cookies) < maxCookies && len(cookie.Name)+len(cookie.Value) <= maxCookieSize {
		g.cookies = append(g.cookies, cookie)
	}
}
