package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"postern/crm"
	"postern/gate"
)

// egressCommand changes what is named and leaves the rest.
type egressCommand struct {
	dataFlags
	Address           []string `help:"Address of this machine that requests leave from, as 10.20.0.7, or with how others see it and when it is used: \"10.20.0.7=198.51.100.7 from=2026-12-01 until=2027-01-01T06:00Z\". Replaces the list; an empty text empties it." placeholder:"ADDRESS" sep:"none"`
	Proxy             *string  `help:"Outbound proxy, as http://proxy.example.com:3128, https://… or socks5://…; an empty text: none."`
	ProxyLogin        *string  `help:"Login for the proxy; an empty text: none."`
	ProxyPasswordFile string   `help:"File with the password for the proxy; - = standard input."`
	Format            string   `help:"Print what firewalls are told, as json, csv, nftables, windows or edl." enum:",json,csv,nftables,windows,edl" default:""`
	Undo              bool     `help:"With --format nftables or windows: print what takes the rules away again."`
	Chain             string   `help:"Family, table and chain of nftables that let the addresses in." default:"${chain}"`
}

func (e *egressCommand) Run(c *common) error {
	st, org, err := e.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	kept, err := org.Egress(c.ctx)
	if err != nil {
		return err
	}
	next, changed, err := e.apply(kept)
	if err != nil {
		return err
	}
	if changed {
		checked, wrong := next.Check(kept)
		if err := refuseFields(c, "settings-invalid", wrong); err != nil {
			return err
		}
		if err := org.SaveEgress(c.ctx, checked); err != nil {
			return err
		}
		if kept, err = org.Egress(c.ctx); err != nil {
			return err
		}
	}
	settings, _, err := org.Settings(c.ctx)
	if err != nil {
		return err
	}
	text, err := e.text(kept, settings)
	if err == nil {
		_, err = fmt.Fprint(c.out, text)
	}
	return err
}

// apply returns the egress with what was named on the command line.
func (e *egressCommand) apply(kept crm.Egress) (next crm.Egress, changed bool, err error) {
	next = kept
	next.ProxyPassword = crm.Secret{} // kept by Check unless it would go elsewhere
	if e.Address != nil {
		next.Addresses, changed = nil, true
		for _, text := range e.Address {
			if text == "" {
				continue
			}
			a, err := crm.ParseEgressAddress(text)
			if err != nil {
				return next, false, badArgument(err.Error()+".", "Write an address as 10.20.0.7, or as \"10.20.0.7=198.51.100.7 from=2026-12-01 until=2027-01-01\".", err)
			}
			next.Addresses = append(next.Addresses, a)
		}
	}
	if e.Proxy != nil {
		if next.Proxy, changed = *e.Proxy, true; next.Proxy == "" {
			next.ProxyLogin = ""
		}
	}
	if e.ProxyLogin != nil {
		next.ProxyLogin, changed = *e.ProxyLogin, true
	}
	if e.ProxyPasswordFile != "" {
		if next.ProxyPassword, err = readSecret(e.ProxyPasswordFile); err != nil {
			return next, false, err
		}
		changed = true
	}
	return next, changed, nil
}

// text is what is printed: all of it for who runs Postern, or what one firewall is told.
func (e *egressCommand) text(kept crm.Egress, s crm.Settings) (string, error) {
	p := kept.Publish(time.Now(), s)
	switch e.Format {
	case "":
		return describeEgress(kept)
	case "json":
		text, err := json.MarshalIndent(p, "", "  ")
		return string(text) + "\n", err
	case "csv":
		return p.CSV(), nil
	}
	if !crm.ValidChain(e.Chain) {
		return "", badArgument(fmt.Sprintf("%q is no chain of nftables.", e.Chain), "Give family, table and chain, as \""+crm.DefaultChain+"\".", nil)
	}
	for _, rule := range p.Rules(e.Chain) {
		if rule.Name != e.Format {
			continue
		}
		if !e.Undo {
			return rule.Apply, nil
		}
		if rule.UndoFile != "" {
			return rule.Undo, nil
		}
	}
	return "", badArgument("There is nothing to undo in a list of addresses.", "Take the rule away that names the list; --undo goes with --format nftables or windows.", nil)
}

func describeEgress(e crm.Egress) (string, error) {
	var b strings.Builder
	if len(e.Addresses) == 0 {
		b.WriteString("addresses     none prescribed: requests leave from wherever this machine sends them\n")
	}
	for _, a := range e.Addresses {
		has, err := (gate.Machine{}).Has(a.Local)
		if err != nil {
			return "", err
		}
		use := "in use"
		if now := time.Now(); a.Planned(now) {
			use = "planned"
		} else if a.Past(now) {
			use = "no longer in use"
		}
		where := map[bool]string{true: "on this machine", false: "NOT on this machine"}[has]
		fmt.Fprintf(&b, "address       %s (%s, %s)\n", a, use, where)
	}
	fmt.Fprintf(&b, "proxy         %s\n", orNone(e.Proxy))
	if e.Proxy != "" {
		fmt.Fprintf(&b, "proxy login   %s\nproxy secret  %s\n", orNone(e.ProxyLogin), map[bool]string{true: "none", false: "kept sealed"}[e.ProxyPassword.Empty()])
	}
	return b.String(), nil
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
