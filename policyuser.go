package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

type policyUser struct {
	dataFlags
	Address string `arg:"" help:"Address of the user."`
	ownFlags
	Reset bool `help:"Take back all that was tightened; what is named then is set alone."`
	JSON  bool `help:"Print JSON."`
}

func (u *policyUser) Run(c *common) error {
	st, org, err := u.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	user, err := findUser(c.ctx, org, u.Address)
	if err != nil {
		return err
	}
	all, err := org.UserLimits(c.ctx)
	if err != nil {
		return err
	}
	own := all[user.ID]
	if u.Reset {
		own = crm.Limits{}
	}
	if err := u.apply(&own); err != nil {
		return err
	}
	checked, wrong := own.Check()
	if err := refuseFields(c, "policy-invalid", wrong); err != nil {
		return err
	}
	if err := org.SaveUserLimits(c.ctx, user.ID, checked); err != nil {
		return err
	}
	p, err := org.Policy(c.ctx)
	if err != nil {
		return err
	}
	effective := p.Tighten(checked)
	if u.JSON {
		return json.NewEncoder(c.out).Encode(map[string]any{"own": checked, "effective": effective, "locked": p.Locked})
	}
	t := table(c.out)
	fmt.Fprintln(t, "LIMIT\tOWN\tHOLDS\t")
	for i, f := range effective.Text() {
		locked := ""
		if slices.Contains(p.Locked, f.Field) {
			locked = "locked"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.Field, strings.Join(checked.Text()[i].Values, ", "), strings.Join(f.Values, ", "), locked)
	}
	return t.Flush()
}

type policyGroup struct {
	dataFlags
	Address string   `arg:"" optional:"" help:"Address of the group; none = list the groups."`
	Members []string `arg:"" optional:"" help:"Addresses of its members; none with --empty, else they are shown."`
	Empty   bool     `help:"Nobody belongs to it."`
	JSON    bool     `help:"Print JSON."`
}

func (g *policyGroup) Run(c *common) error {
	st, org, err := g.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	var group mail.Address
	if g.Address != "" {
		if group, err = parseAddress(g.Address); err != nil {
			return err
		}
	}
	if len(g.Members) > 0 || g.Empty {
		var members []mail.Address
		for _, text := range g.Members {
			a, err := parseAddress(text)
			if err != nil {
				return err
			}
			members = append(members, a)
		}
		if err := org.SaveGroup(c.ctx, group, members); err != nil {
			return err
		}
	}
	groups, err := org.Groups(c.ctx)
	if err != nil {
		return err
	}
	if group != "" {
		groups = slices.DeleteFunc(groups, func(x store.Group) bool { return x.Address != group })
	}
	if g.JSON {
		return json.NewEncoder(c.out).Encode(groups)
	}
	t := table(c.out)
	fmt.Fprintln(t, "GROUP\tAS OF\tMEMBERS")
	for _, x := range groups {
		fmt.Fprintf(t, "%s\t%s\t%s\n", x.Address, clock(x.Expanded), join(x.Members))
	}
	return t.Flush()
}
