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

	Deactivate usersDeactivate `cmd:"" help:"Let a user sign in no more, and read the mailbox no more; what was filed stays."`
}

// usersDeactivate is for whom no file of users names, such as the account of the first start.
type usersDeactivate struct {
	dataFlags
	Address string `arg:"" help:"Address of the user."`
}

func (u *usersDeactivate) Run(c *common) error {
	st, org, err := u.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	user, err := findUser(c.ctx, org, u.Address)
	if err != nil {
		return err
	}
	user.Active = false
	if _, err := org.SaveUsers(c.ctx, []crm.User{*user}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s is not active any more\n", user.Actor())
	return err
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
	if err := setPassword(c.ctx, org, u.Address, password); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s signs in with the new password %s (shown this once)\n", u.Address, password)
	return nil
}

func setPassword(ctx context.Context, org *store.Org, address, password string) error {
	user, err := findUser(ctx, org, address)
	if err != nil {
		return err
	}
	return org.SetPassword(ctx, user.ID, web.HashPassword(password))
}

// findUser returns the active user who has an address.
func findUser(ctx context.Context, org *store.Org, text string) (*crm.User, error) {
	address, err := parseAddress(text)
	if err != nil {
		return nil, err
	}
	user, _, err := org.SignIn(ctx, address)
	if errors.Is(err, store.ErrNotFound) {
		return nil, &crm.Fault{Verdict: crm.Refused, Code: "no-such-user", Err: err,
			Message: fmt.Sprintf("There is no active user with the address %s.", address), Advice: "Import the user first: postern users import FILE.csv."}
	}
	return user, err
}

// addresses makes a list of one.
func addresses(a mail.Address) []mail.Address { return []mail.Address{a} }
