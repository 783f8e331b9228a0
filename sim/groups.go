package sim

import (
	"cmp"
	"slices"
	"strings"

	"postern/ews"
	"postern/mail"
)

// A Group is a distribution group of the directory. Its members are mailboxes, other groups
// and people outside.
type Group struct {
	Address mail.Address   `json:"address"`
	Name    string         `json:"name"`
	Members []mail.Address `json:"members"`
	DN      string         `json:"dn,omitempty"` // legacy distinguished name; made from the address when ""
}

// SetGroup adds a group, or replaces the one with the same address. A group without
// members stays one; RemoveGroup ends it.
func (x *Exchange) SetGroup(g Group) {
	local, domain, _ := strings.Cut(string(g.Address), "@")
	g.Name = cmp.Or(g.Name, local)
	g.DN = cmp.Or(g.DN, "/o="+domain+"/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn="+local)
	g.Members = slices.Clone(g.Members)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.groups == nil {
		x.groups = map[mail.Address]*Group{}
	}
	x.groups[g.Address] = &g
}

// RemoveGroup removes a group.
func (x *Exchange) RemoveGroup(address mail.Address) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.groups, address)
}

// findGroup finds a group by address, legacy DN, the local part of its address or its
// name. The caller holds the lock.
func (x *Exchange) findGroup(name string) *Group {
	name = strings.ToLower(strings.TrimSpace(name))
	if rest, ok := cutPrefixFold(name, "smtp:"); ok {
		name = rest
	}
	if g := x.groups[mail.Address(name)]; g != nil {
		return g
	}
	for _, g := range x.sortedGroups() {
		local, _, _ := strings.Cut(string(g.Address), "@")
		if local == name || strings.EqualFold(g.Name, name) || strings.EqualFold(g.DN, name) {
			return g
		}
	}
	return nil
}

func (x *Exchange) sortedGroups() []*Group {
	var list []*Group
	for _, g := range x.groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *Group) int { return cmp.Compare(a.Address, b.Address) })
	return list
}

// holds tells whether the mailbox is a direct member. Groups within are not looked into,
// as a scope by MemberOfGroup does not.
func (g *Group) holds(x *Exchange, box *Mailbox) bool {
	return g != nil && slices.ContainsFunc(g.Members, func(a mail.Address) bool { return x.byAddress[a] == box })
}

func (g *Group) entry() ews.Mailbox {
	return ews.Mailbox{Name: g.Name, EmailAddress: string(g.Address), RoutingType: ews.RoutingSMTP, BoxType: ews.PublicGroup}
}

// https://learn.microsoft.com/exchange/client-developer/web-service-reference/expanddl-operation
func (c *call) expandDL(op *ews.ExpandDL) []ews.Answer {
	c.x.mu.RLock()
	defer c.x.mu.RUnlock()
	group := c.x.findGroup(op.Group.EmailAddress)
	if group == nil {
		return []ews.Answer{c.failed("ErrorNameResolutionNoResults", "No results were found.")}
	}
	members := make([]ews.Mailbox, 0, len(group.Members))
	for _, address := range group.Members {
		box, nested := c.x.byAddress[address], c.x.groups[address]
		switch {
		case nested != nil:
			members = append(members, nested.entry())
		case box != nil:
			members = append(members, ews.Mailbox{Name: box.name, EmailAddress: string(box.address), RoutingType: ews.RoutingSMTP, BoxType: "Mailbox"})
		default:
			members = append(members, ews.Mailbox{Name: string(address), EmailAddress: string(address), RoutingType: ews.RoutingSMTP, BoxType: "Contact"})
		}
	}
	total := len(members)
	return []ews.Answer{&ews.ExpandDLResult{Result: ews.Succeeded(), Paging: ews.Paging{Total: &total, Last: new(true)}, Members: members}}
}
