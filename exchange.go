package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/crm"
	"postern/ews"
	"postern/store"
)

// exchangeCommand is for whoever runs Exchange: what to run there, and links to a page that
// shows it.
type exchangeCommand struct {
	Scripts exchangeScripts `cmd:"" default:"withargs" help:"List the scripts that let Postern in, or print one."`
	Share   exchangeShare   `cmd:"" help:"Make a link to a page with the scripts, for somebody without a sign-in."`
	Shares  exchangeShares  `cmd:"" help:"List the links that hold."`
	Revoke  exchangeRevoke  `cmd:"" help:"End a link."`
}

type exchangeScripts struct {
	dataFlags
	Name    string `arg:"" optional:"" help:"Script to print; none = list them."`
	Version string `help:"Version of Exchange; none = that of the Email settings." name:"for"`
	App     string `help:"Id of the application, for Exchange Online."`
}

func (e *exchangeScripts) Run(c *common) error {
	if err := checkPermit(e.Version, e.App); err != nil {
		return err
	}
	st, org, err := e.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	permit, err := permitFor(c, org, e.Version, e.App)
	if err != nil {
		return err
	}
	w := table(c.out)
	for _, script := range ews.Connector().Scripts(permit) {
		switch e.Name {
		case "":
			fmt.Fprintf(w, "%s\t%s\n", script.Name, script.Says)
		case script.Name:
			_, err := fmt.Fprint(c.out, script.Text)
			return err
		}
	}
	if e.Name != "" {
		return badArgument(fmt.Sprintf("There is no script named %s.", e.Name), "See postern exchange scripts.", nil)
	}
	return w.Flush()
}

type exchangeShare struct {
	dataFlags
	Days    int    `help:"Days that the link holds, 90 at most." default:"7"`
	Version string `help:"Version of Exchange; none = that of the Email settings." name:"for"`
	App     string `help:"Id of the application, for Exchange Online."`
}

func (e *exchangeShare) Run(c *common) error {
	if e.Days < 1 || e.Days > store.MaxShareDays {
		return badArgument(fmt.Sprintf("A link cannot hold for %d days.", e.Days), fmt.Sprintf("Choose 1 to %d.", store.MaxShareDays), nil)
	}
	if err := checkPermit(e.Version, e.App); err != nil {
		return err
	}
	st, org, err := e.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	if _, err := permitFor(c, org, e.Version, e.App); err != nil {
		return err
	}
	token, _, err := org.NewShare(c.ctx, e.Version, e.App, time.Duration(e.Days)*24*time.Hour)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "Send the address of your Postern with this path: /share/%s\nIt is shown this once, and holds for %d days.\n", token, e.Days)
	return err
}

// checkPermit says what is wrong with the version and the application that scripts are for.
func checkPermit(version, app string) error {
	known := version == "" || slices.ContainsFunc(ews.Connector().ScriptVersions, func(v crm.Version) bool { return v.Name == version })
	switch _, err := uuid.Parse(app); {
	case !known:
		return badArgument(fmt.Sprintf("There are no scripts for a version %q.", version), chooseVersion(), nil)
	case app != "" && err != nil:
		return badArgument("The id of the application is no GUID.", "Copy it from the application's page in Entra ID.", err)
	}
	return nil
}

// permitFor is what scripts are made of. None are made before it is known for which version:
// those for another one may do what is not wanted.
func permitFor(c *common, org *store.Org, version, app string) (crm.Permit, error) {
	permit, err := org.Permit(c.ctx, version, app)
	if err == nil && permit.Settings.Version == "" {
		err = badArgument("Nobody has said yet which version of Exchange the scripts are for, and the Email settings name none.", chooseVersion()+" postern check tells which one the server says it is.", nil)
	}
	return permit, err
}

// chooseVersion tells how a version is named, and which there are.
func chooseVersion() string {
	var names []string
	for _, v := range ews.Connector().ScriptVersions {
		names = append(names, v.Name)
	}
	return "Name it by --for, one of " + strings.Join(names, ", ") + "."
}

type exchangeShares struct{ dataFlags }

func (e *exchangeShares) Run(c *common) error {
	st, org, err := e.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	list, err := org.Shares(c.ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(c.out, "No link holds.")
		return err
	}
	w := table(c.out)
	fmt.Fprintln(w, "LINK\tMADE BY\tHOLDS UNTIL")
	for _, s := range list {
		fmt.Fprintf(w, "%d\t%s\t%s\n", s.ID, s.By, s.Expires.Local().Format(time.DateTime))
	}
	return w.Flush()
}

type exchangeRevoke struct {
	dataFlags
	ID int64 `arg:"" help:"Number of the link."`
}

func (e *exchangeRevoke) Run(c *common) error {
	st, org, err := e.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	if err = org.RevokeShare(c.ctx, e.ID); errors.Is(err, store.ErrNotFound) {
		return badArgument(fmt.Sprintf("There is no link %d that holds.", e.ID), "See postern exchange shares.", err)
	}
	if err == nil {
		_, err = fmt.Fprintf(c.out, "Link %d is ended; whoever has it sees nothing any more.\n", e.ID)
	}
	return err
}
