package sim

import (
	"fmt"
	"net/http"
	"strings"

	"postern/ews"
)

// An ApplicationPolicy says how a list of programs is meant.
type ApplicationPolicy string

const (
	NoList           ApplicationPolicy = ""
	EnforceAllowList ApplicationPolicy = "EnforceAllowList" // those of the list alone; nobody when it is empty
	EnforceBlockList ApplicationPolicy = "EnforceBlockList" // all but those of the list
)

// A Governance is what Set-OrganizationConfig and Set-CASMailbox say about EWS. What a
// mailbox says goes before what the organization says, each of the two settings by itself.
//
// Whoever signs in is judged, by the mailbox that is the account's own: delegates and
// accounts that impersonate are not held to the settings of the mailboxes that they read.
// So EWS can be off for everybody and on for one service account. Who is refused gets
// status 403.
//
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/controlling-client-application-access-to-ews-in-exchange
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/how-to-control-access-to-ews-in-exchange
type Governance struct {
	EWS      *bool             `json:"ews_enabled,omitempty"` // EwsEnabled; nil = not set, which is on
	Policy   ApplicationPolicy `json:"policy,omitempty"`      // EwsApplicationAccessPolicy
	Programs []string          `json:"programs,omitempty"`    // EwsAllowList or EwsBlockList: patterns of the User-Agent, "Name/*"

	// ImpersonationPasses lets requests that impersonate pass by the lists, as was seen on
	// servers of customers. Of the organization only.
	// https://github.com/microsoft/CSS-Exchange/issues/1637
	ImpersonationPasses bool `json:"impersonation_passes,omitempty"`
	// OwnersToo holds requests to what the mailboxes that they read say of EWS, as well, as
	// Exchange Online does since 2025: off for either is off. Of the organization only.
	OwnersToo bool `json:"owners_too,omitempty"`
}

func (g *Governance) check() error {
	switch g.Policy {
	case NoList, EnforceAllowList, EnforceBlockList:
		return nil
	}
	return fmt.Errorf("there is no application access policy %q", g.Policy)
}

// Govern sets what the organization says; it counts from the next request on.
func (x *Exchange) Govern(g Governance) error {
	if err := g.check(); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.governance = g
	return nil
}

// Govern sets what the mailbox says; the zero value leaves all to the organization.
func (m *Mailbox) Govern(g Governance) error {
	if err := g.check(); err != nil {
		return err
	}
	m.x.mu.Lock()
	defer m.x.mu.Unlock()
	m.governance = g
	return nil
}

// isGoverned answers for an account or a program that may not use EWS; request is nil as
// long as it was not read. Requests that may yet turn out to impersonate are judged then.
func (c *call) isGoverned(request *ews.Request) bool {
	c.x.mu.RLock()
	org, own := c.x.governance, Governance{}
	if box := c.x.own(c.account); box != nil {
		own = box.governance
	}
	c.x.mu.RUnlock()
	enabled := own.EWS
	if enabled == nil {
		enabled = org.EWS
	}
	if own.Policy == NoList {
		own = org
	}
	mayPass := org.ImpersonationPasses && (request == nil && c.r.Method == http.MethodPost || request != nil && !request.Impersonation.Empty())
	if (enabled == nil || *enabled) && (mayPass || own.admits(c.record.UserAgent)) {
		return false
	}
	c.forbid()
	return true
}

// isOff answers for a mailbox whose own EWS is off, where that counts.
func (c *call) isOff() bool {
	c.x.mu.RLock()
	off := c.x.governance.OwnersToo && c.box != nil && c.box.governance.EWS != nil && !*c.box.governance.EWS
	c.x.mu.RUnlock()
	if off {
		c.forbid()
	}
	return off
}

func (c *call) forbid() { c.page(http.StatusForbidden, "403 - Forbidden: Access is denied.") }

// admits tells whether the list lets a program pass.
func (g *Governance) admits(userAgent string) bool {
	listed := false
	for _, pattern := range g.Programs {
		listed = listed || matchesPattern(strings.ToLower(pattern), strings.ToLower(userAgent))
	}
	switch g.Policy {
	case EnforceAllowList:
		return listed
	case EnforceBlockList:
		return !listed
	}
	return true
}

// matchesPattern tells whether all of s is as the pattern says, in which * stands for
// anything.
func matchesPattern(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(s, part)
		if !found {
			return false
		}
		s = after
	}
	return strings.HasSuffix(s, last)
}
