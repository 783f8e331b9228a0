package sim

import (
	"fmt"
	"net/http"
	"strings"

	"postern/mail"
)

// Mailboxes live on back ends. Requests are passed on to the right one, but for those
// about notifications: a subscription lives on the server that made it, and that is the
// one to be asked.
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/how-to-maintain-affinity-between-group-of-subscriptions-and-mailbox-server

// overrideCookie holds a client to the back end of its group.
const overrideCookie = "X-BackEndOverrideCookie"

func backEndName(n int) string { return fmt.Sprintf("sim%02d.company.example", n+1) }

// affine tells whether the client wants to stay with one back end.
func (c *call) affine() bool {
	return strings.EqualFold(c.r.Header.Get("X-PreferServerAffinity"), "true")
}

// route finds the back end that a request about notifications goes to: that of the
// cookie, else that of the mailbox that anchors the group, else that of the mailbox
// itself. The caller holds the lock.
func (c *call) route() int {
	home := 0
	if c.box != nil {
		home = c.box.server
	}
	switch c.record.Operation {
	case "Subscribe", "Unsubscribe", "GetEvents", "GetStreamingEvents":
	default:
		return home
	}
	if cookie, err := c.r.Cookie(overrideCookie); err == nil && c.affine() {
		name, _, _ := strings.Cut(cookie.Value, "~")
		for n := range max(c.x.options.Servers, 1) {
			if backEndName(n) == name {
				return n
			}
		}
	}
	if box := c.x.byAddress[mail.Address(strings.ToLower(c.record.Anchor))]; box != nil {
		return box.server
	}
	return home
}

// tie gives the client the cookie that holds it to this back end.
func (c *call) tie() {
	if c.affine() && c.record.Operation == "Subscribe" {
		http.SetCookie(c.w, &http.Cookie{Name: overrideCookie, Value: backEndName(c.backEnd) + "~1942062522", Path: "/", HttpOnly: true})
	}
}
