package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"postern/crm"
)

// deploymentCommand changes what the installation as a whole may do. Only who has the
// data folder can: no page does.
type deploymentCommand struct {
	folderFlags
	Mode        *string  `help:"For whom the installation is: multi (several organizations), single (one), on-premises (one, and nothing is contacted but the servers that it configured)."`
	AllowRange  []string `help:"Private addresses that connections may lead to, as 10.20.0.0/16; no wider than /8, of IPv6 /16." placeholder:"CIDR"`
	RevokeRange []string `help:"Range that was allowed." placeholder:"CIDR"`
}

func (d *deploymentCommand) Run(c *common) error {
	changes := d.Mode != nil || len(d.AllowRange)+len(d.RevokeRange) > 0
	enter := d.open
	if changes {
		enter = d.make
	}
	st, err := enter(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	kept, err := st.Deployment(c.ctx)
	if err != nil {
		return err
	}
	if changes {
		next, err := d.apply(kept)
		if err != nil {
			return err
		}
		if err := st.SaveDeployment(c.ctx, next); err != nil {
			return err
		}
		if kept, err = st.Deployment(c.ctx); err != nil {
			return err
		}
	}
	ranges := "none"
	if len(kept.Ranges) > 0 {
		ranges = strings.Trim(fmt.Sprint(kept.Ranges), "[]")
	}
	_, err = fmt.Fprintf(c.out, "mode            %s\napproved ranges %s\n", kept.Mode, ranges)
	return err
}

// apply returns the deployment with what was named on the command line.
func (d *deploymentCommand) apply(kept crm.Deployment) (crm.Deployment, error) {
	next := crm.Deployment{Mode: kept.Mode, Ranges: slices.Clone(kept.Ranges)}
	if d.Mode != nil {
		next.Mode = crm.DeploymentMode(*d.Mode)
	}
	for _, text := range d.RevokeRange {
		r, err := parseRange(text)
		if err != nil {
			return next, err
		}
		i := slices.Index(next.Ranges, r)
		if i < 0 {
			return next, badArgument(fmt.Sprintf("The range %s was not allowed.", r), "See postern deployment for those that are.", nil)
		}
		next.Ranges = slices.Delete(next.Ranges, i, i+1)
	}
	for _, text := range d.AllowRange {
		r, err := parseRange(text)
		if err != nil {
			return next, err
		}
		if widest := map[bool]int{true: 8, false: 16}[r.Addr().Is4()]; r.Bits() < widest {
			return next, badArgument(fmt.Sprintf("The range %s is wider than /%d: a name could lead a connection nearly anywhere.", r, widest),
				"Name the network of the Exchange servers alone, as 10.20.0.0/16 or fd12:3456::/32; several ranges can be named.", nil)
		}
		next.Ranges = append(next.Ranges, r)
	}
	return next, nil
}

// parseRange reads a range of addresses; a single address is one, too.
func parseRange(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	r, err := netip.ParsePrefix(text)
	if err != nil {
		return r, badArgument(fmt.Sprintf("%q is no range of addresses.", text), "Write it as 10.20.0.0/16 or fd12:3456::/32.", err)
	}
	return r.Masked(), nil
}
