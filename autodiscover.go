package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"postern/crm"
	"postern/ews"
	"postern/mail"
	"postern/store"
	"postern/web"
)

// autodiscoverCommand finds a server by what a domain publishes.
type autodiscoverCommand struct {
	dataFlags
	Address string `arg:"" help:"Address of a mailbox."`
	Confirm string `help:"Host that is known to be the server's: the account's credentials may go there." placeholder:"HOST"`

	PasswordFile string `help:"File with the account's password, - = standard input: the one that is kept goes to domains that were saved with it, and to no host that is to be confirmed. A keytab, a client key and further accounts can be typed by postern settings alone."`

	Save bool `help:"Write the server into the Email settings; a new one only if the password is their only secret."`
	JSON bool `help:"Print the steps and the server as one JSON object."`
}

func (a *autodiscoverCommand) Run(c *common) error {
	box, err := parseAddress(a.Address)
	if err != nil {
		return err
	}
	if a.Confirm != "" {
		if bad := crm.CheckHost(a.Confirm); bad != nil {
			return badArgument("--confirm names no host.", bad.Message, nil)
		}
	}
	st, org, err := a.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	kept, _, err := org.Settings(c.ctx)
	if err != nil {
		return err
	}
	typed := kept.WithoutSecrets()
	if a.PasswordFile != "" {
		if typed.Password, err = readSecret(a.PasswordFile); err != nil {
			return err
		}
	}
	look := typed
	look.Domains = []string{box.Domain()}
	look, wrong := look.CheckSearch(ews.Connector(), kept, a.Confirm)
	if err := refuseSearch(c, wrong); err != nil {
		return err
	}
	e, done := doctor(c, org)
	defer done()
	found := search{Mailbox: box}
	server, err := e.Discover(c.ctx, box, look, a.Confirm, func(f crm.Finding) {
		found.Steps = append(found.Steps, web.NewStepJSON(f))
		if !a.JSON {
			printHop(c.out, &f)
		}
	})
	if err == nil {
		found.Server = server
	}
	if err == nil && a.Save {
		typed.Server = server
		if typed.Password.Empty() {
			kept.Server = server // found by what is kept, which had been there
		}
		err = saveServer(c, org, typed, kept)
	}
	if a.JSON {
		return found.print(c.out, err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s\n", found.Server)
	return err
}

// refuseSearch is refuseFields where no flag takes all that may have to be typed again.
func refuseSearch(c *common, wrong []crm.FieldError) error {
	err := refuseFields(c, "settings-invalid", wrong)
	if f, ok := errors.AsType[*crm.Fault](err); ok {
		f.Advice = "Correct what is named above, with --password-file or by: postern settings --server HOST --keytab FILE --client-key FILE --account LOGIN=FILE."
	}
	return err
}

// A search is what autodiscover found, step by step.
type search struct {
	Mailbox mail.Address   `json:"mailbox"`
	Server  string         `json:"server,omitempty"`
	Code    string         `json:"code,omitempty"` // why none was found
	Message string         `json:"message,omitempty"`
	Advice  string         `json:"advice,omitempty"`
	Steps   []web.StepJSON `json:"steps"`
}

func (s *search) print(w io.Writer, err error) error {
	if err != nil {
		f := crm.AsFault(err)
		s.Code, s.Message, s.Advice = f.Code, f.Message, f.Advice
	}
	if failure := json.NewEncoder(w).Encode(s); failure != nil {
		return failure
	}
	if err != nil {
		return exitError(1)
	}
	return nil
}

// printHop says a step of a search in a line.
func printHop(w io.Writer, f *crm.Finding) {
	mark := "  "
	switch {
	case f.Warn:
		mark = "! "
	case f.OK:
		mark = "→ "
	}
	fmt.Fprintf(w, "%s%s\n    %s\n", mark, f.Step, f.Detail)
}

// saveServer saves the settings with the server that was found, as far as nothing is wrong
// with them.
func saveServer(c *common, org *store.Org, s, kept crm.Settings) error {
	checked, wrong := s.Check(ews.Connector(), kept)
	if err := refuseSearch(c, wrong); err != nil {
		return err
	}
	return org.SaveSettings(c.ctx, checked)
}
