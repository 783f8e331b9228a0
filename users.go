package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/web"
)

type contactsCommand struct {
	Import contactsImport `cmd:"" help:"Import contacts from a CSV or vCard file."`
}

type usersCommand struct {
	Import   usersImport   `cmd:"" help:"Import users from a CSV file."`
	Password usersPassword `cmd:"" help:"Make a new password for a user, who cannot sign in without one, and print it."`
}

// usersPassword prints a new random password, so that none ever stands on a command line.
type usersPassword struct {
	dataFlags
	Address string `arg:"" help:"Address of the user."`
}

func (u *usersPassword) Run(c *common) error {
	st, org, err := u.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	password := rand.Text()
	err = setPassword(c.ctx, org, u.Address, password)
	if errors.Is(err, store.ErrNotFound) {
		return &crm.Fault{Verdict: crm.Refused, Code: "no-such-user", Err: err,
			Message: fmt.Sprintf("There is no active user with the address %s.", u.Address), Advice: "Import the user first: postern users import FILE.csv."}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s signs in with the new password %s (shown this once)\n", u.Address, password)
	return nil
}

func setPassword(ctx context.Context, org *store.Org, address, password string) error {
	parsed, err := parseAddress(address)
	if err != nil {
		return err
	}
	user, _, err := org.SignIn(ctx, parsed)
	if err != nil {
		return err
	}
	return org.SetPassword(ctx, user.ID, web.HashPassword(password))
}

// addresses makes a list of one.
func addresses(a mail.Address) []mail.Address { return []mail.Address{a} }
