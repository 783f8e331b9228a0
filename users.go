package main

import (
	"context"
	"crypto/rand"
	"fmt"

	"postern/mail"
	"postern/store"
	"postern/web"
)

type contactsCommand struct {
	Import contactsImport `cmd:"" help:"Import contacts from a CSV or vCard file."`
}

type usersCommand struct {
	Import   usersImport   `cmd:"" help:"Import users from a CSV file."`
	Password usersPassword `cmd:"" help:"Give a user a new password."`
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
		return fmt.Errorf("user %s: %w", u.Address, err)
	}
	fmt.Fprintln(c.out, password)
	return nil
}

func setPassword(ctx context.Context, org *store.Org, address, password string) error {
	parsed, err := mail.ParseAddress(address)
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
