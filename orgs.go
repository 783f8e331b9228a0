package main

import "fmt"

// orgsCommand lists the organizations and adds one.
type orgsCommand struct {
	List orgsListCommand `cmd:"" default:"withargs" help:"List the organizations."`
	Add  orgsAddCommand  `cmd:"" help:"Add an organization."`
}

type orgsListCommand struct{ folderFlags }

func (o *orgsListCommand) Run(c *common) error {
	st, err := o.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	list, err := st.Orgs(c.ctx)
	if err != nil {
		return err
	}
	for _, org := range list {
		if _, err := fmt.Fprintln(c.out, org.Name); err != nil {
			return err
		}
	}
	return nil
}

type orgsAddCommand struct {
	folderFlags
	Name string `arg:"" help:"Letters, digits and hyphens: the first label of the host name under which its pages are."`
}

func (o *orgsAddCommand) Run(c *common) error {
	st, err := o.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	org, err := st.AddOrg(c.ctx, o.Name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s is there. Its pages are at %s.HOST of a running Postern.\n", org.Name, org.Name)
	return err
}
