package crm

import (
	"encoding/csv"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// EgressPort is the port that firewalls are asked to open, over TCP, where the server's
// address names no other.
const EgressPort = 443

// A Publication is what firewalls in front of Exchange are told of an egress: the addresses as
// they see them, those of today and those to come. It names no proxy and no address of the
// inside. Its JSON is stable: fields may be added under the same Format, nothing else.
type Publication struct {
	Format    string             `json:"format"` // "postern-egress/1"
	Updated   *time.Time         `json:"updated"`
	Protocol  string             `json:"protocol"`
	Port      int                `json:"port"`
	ByProxy   bool               `json:"by_proxy"` // requests leave by a proxy; its addresses are listed as far as they were entered
	Addresses []PublishedAddress `json:"addresses"`
}

// A PublishedAddress is one address with the time in which it is used; nil = no limit.
type PublishedAddress struct {
	Address netip.Addr `json:"address"`
	Family  string     `json:"family"` // ipv4, ipv6
	From    *time.Time `json:"valid_from"`
	Until   *time.Time `json:"valid_until"`
}

// Publish returns what firewalls are told at a moment: all that is in use or planned, and
// the port of the server that it leads to.
func (e Egress) Publish(now time.Time, s Settings) Publication {
	p := Publication{Format: "postern-egress/1", Updated: orNil(e.Saved), Protocol: "tcp", Port: s.port(), ByProxy: e.Proxy != "", Addresses: []PublishedAddress{}}
	at := map[netip.Addr]int{}
	for _, a := range e.Addresses {
		seen, known := e.Seen(a)
		if !known || a.Past(now) {
			continue
		}
		family := "ipv6"
		if seen.Is4() {
			family = "ipv4"
		}
		i, there := at[seen]
		if !there {
			at[seen] = len(p.Addresses)
			p.Addresses = append(p.Addresses, PublishedAddress{seen, family, orNil(a.From), orNil(a.Until)})
			continue
		}
		// Several of ours share one behind address translation: it is used as long as any is.
		shared := &p.Addresses[i]
		if shared.From != nil && a.From.Before(*shared.From) {
			shared.From = orNil(a.From)
		}
		if shared.Until != nil && (a.Until.IsZero() || a.Until.After(*shared.Until)) {
			shared.Until = orNil(a.Until)
		}
	}
	return p
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// A FirewallRule lets the published addresses reach the published port in the language of one firewall.
// It only allows and only adds; Undo takes away exactly what Apply brought.
type FirewallRule struct {
	Name, Title string // Name is stable
	File        string // of Apply, for a download
	Apply, Undo string
	UndoFile    string
}

// DefaultChain is where nftables is to let the addresses in, unless told otherwise.
const DefaultChain = "inet filter forward"

// Rules are the rules for each firewall. chain is nftables' family, table and chain.
func (p Publication) Rules(chain string) []FirewallRule {
	return []FirewallRule{
		{Name: "nftables", Title: "nftables (Linux)", File: "postern.nft", Apply: p.nftables(chain), UndoFile: "postern-undo.sh", Undo: p.undoNFTables(chain)},
		{Name: "windows", Title: "Windows Firewall (PowerShell)", File: "postern.ps1", Apply: p.windows(), UndoFile: "postern-undo.ps1", Undo: p.undoWindows()},
		{Name: "edl", Title: "Address list (Palo Alto External Dynamic List)", File: "postern.txt", Apply: p.List()},
	}
}

// ValidChain tells whether a text is a family, a table and a chain of nftables.
func ValidChain(text string) bool {
	words := strings.Fields(text)
	for _, w := range words {
		if strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" || strings.Trim(w[:1], "0123456789-") == "" {
			return false
		}
	}
	return len(words) == 3 && strings.Join(words, " ") == text
}

// families are the two kinds of addresses, in nftables' words.
var families = [...]struct{ name, set, kind, match string }{
	{"ipv4", "postern_egress_4", "ipv4_addr", "ip"},
	{"ipv6", "postern_egress_6", "ipv6_addr", "ip6"},
}

// of returns the addresses of a family.
func (p Publication) of(family string) (list []string) {
	for _, a := range p.Addresses {
		if a.Family == family {
			list = append(list, a.Address.String())
		}
	}
	return list
}

// nothing is said where there is no address: a rule without addresses would let in anybody.
const nothing = "# No address is published: there is nothing to allow.\n"

// nftables writes a file for nft -f. The rules go in front of the chain's others, which stay
// as they are; a rule in a table of its own could not let through what another table drops.
func (p Publication) nftables(chain string) string {
	if len(p.Addresses) == 0 {
		return nothing
	}
	var b strings.Builder
	table := chain[:strings.LastIndexByte(chain, ' ')]
	fmt.Fprintf(&b, "# Lets Postern reach port %d. Load it with: nft -f FILE\n# It only adds. Before loading a newer one, run the undo of this one.\n", p.Port)
	for _, f := range families {
		if list := p.of(f.name); len(list) > 0 {
			fmt.Fprintf(&b, "add set %s %s { type %s; }\n", table, f.set, f.kind)
			fmt.Fprintf(&b, "add element %s %s { %s }\n", table, f.set, strings.Join(list, ", "))
			fmt.Fprintf(&b, "insert rule %s %s saddr @%s %s dport %d accept comment \"%s\"\n", chain, f.match, f.set, p.Protocol, p.Port, f.set)
		}
	}
	return b.String()
}

// undoNFTables writes a shell script: nft deletes rules by their handles alone.
func (p Publication) undoNFTables(chain string) string {
	if len(p.Addresses) == 0 {
		return nothing
	}
	var b strings.Builder
	table := chain[:strings.LastIndexByte(chain, ' ')]
	b.WriteString("#!/bin/sh\n# Takes away what the rules for Postern added, and nothing else.\nset -e\n")
	for _, f := range families {
		if len(p.of(f.name)) == 0 {
			continue
		}
		fmt.Fprintf(&b, "for handle in $(nft -a list chain %s | sed -n 's/.*comment \"%s\" # handle \\([0-9]*\\)$/\\1/p'); do nft delete rule %s handle \"$handle\"; done\n", chain, f.set, chain)
		fmt.Fprintf(&b, "nft delete set %s %s\n", table, f.set)
	}
	return b.String()
}

func (p Publication) windows() string {
	if len(p.Addresses) == 0 {
		return nothing
	}
	var list []string
	for _, a := range p.Addresses {
		list = append(list, "'"+a.Address.String()+"'")
	}
	return fmt.Sprintf("# Lets Postern reach port %d. It only adds. Before running a newer one, run the undo of this one.\n"+
		"New-NetFirewallRule -Name 'Postern-Egress' -DisplayName 'Postern: HTTPS from its fixed addresses' -Direction Inbound -Action Allow -Protocol TCP -LocalPort %d -RemoteAddress %s\n",
		p.Port, p.Port, strings.Join(list, ", "))
}

func (p Publication) undoWindows() string {
	if len(p.Addresses) == 0 {
		return nothing
	}
	return "# Takes away what the rule for Postern added, and nothing else.\nRemove-NetFirewallRule -Name 'Postern-Egress'\n"
}

// List is one address a line, as firewalls fetch it by themselves. It is empty when there is
// none, which allows nothing.
func (p Publication) List() string {
	var b strings.Builder
	for _, a := range p.Addresses {
		b.WriteString(a.Address.String() + "\n")
	}
	return b.String()
}

// CSV is a table with a header line; a time that is not limited is empty.
func (p Publication) CSV() string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"address", "family", "protocol", "port", "valid_from", "valid_until"}) // a Builder takes all
	for _, a := range p.Addresses {
		_ = w.Write([]string{a.Address.String(), a.Family, p.Protocol, fmt.Sprint(p.Port), rfc3339(a.From), rfc3339(a.Until)})
	}
	w.Flush()
	return b.String()
}

func rfc3339(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}
