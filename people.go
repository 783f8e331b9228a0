package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"postern/crm"
	"postern/roster"
	"postern/store"
)

// importFlags are what both imports of people have in common.
type importFlags struct {
	dataFlags
	File         string `arg:"" help:"The file; - reads the standard input."`
	DryRun       bool   `help:"Read and judge the file, import nothing."`
	AllOrNothing bool   `help:"Import nothing when a row is bad. Otherwise the good rows are imported."`
}

type contactsImport struct {
	importFlags
}

type usersImport struct {
	importFlags
}

func (c *contactsImport) Help() string {
	return `The first row of a CSV file names the columns: name (or first name and last name),
company, title, email; several addresses stand in several columns, or in one, separated
by semicolons. A file that begins with BEGIN:VCARD is read as vCards.`
}

func (u *usersImport) Help() string {
	return `The first row of the CSV file names the columns: name (or first name and last name),
email, admin, active. The first address is the one of the mailbox. An address belongs to
one active user only.`
}

func (c *contactsImport) Run(cmd *common) error {
	return importPeople(cmd, &c.importFlags, roster.Contacts, func(org *store.Org, f *roster.File[crm.Contact]) (store.Saved, error) {
		return org.SaveContacts(cmd.ctx, f.People)
	})
}

func (u *usersImport) Run(cmd *common) error {
	return importPeople(cmd, &u.importFlags, roster.Users, func(org *store.Org, f *roster.File[crm.User]) (store.Saved, error) {
		return saveUsers(cmd.ctx, org, f, u.AllOrNothing)
	})
}

// keepAdmins leaves those admins who are, where a file does not say who is: the next
// import must not lock them out.
func keepAdmins(ctx context.Context, org *store.Org, users []crm.User) error {
	for i := range users {
		for _, a := range users[i].Addresses {
			old, _, err := org.SignIn(ctx, a)
			switch {
			case err == nil:
				users[i].Admin = users[i].Admin || old.Admin
			case !errors.Is(err, store.ErrNotFound):
				return err
			}
		}
	}
	return nil
}

// saveUsers saves all users but those with an address that another user has, who are
// refused. With none of them when strict, it saves nobody.
func saveUsers(ctx context.Context, org *store.Org, f *roster.File[crm.User], strict bool) (store.Saved, error) {
	if !slices.Contains(f.Columns, "admin") {
		if err := keepAdmins(ctx, org, f.People); err != nil {
			return store.Saved{}, err
		}
	}
	for {
		saved, err := org.SaveUsers(ctx, f.People)
		taken, conflict := errors.AsType[*store.ConflictError](err)
		if !conflict {
			return saved, err
		}
		owner := "another active user"
		if u, err := org.User(ctx, taken.Owner); err == nil {
			owner = "the user " + u.Name
		}
		f.Refuse(taken.Index, roster.RowError{Column: "email", Value: taken.Address.Display(), Code: "address-taken",
			Message: "the address belongs to " + owner})
		if strict {
			return store.Saved{}, nil
		}
	}
}

// importPeople reads a file of people, saves the good rows in one transaction, and tells
// what became of each bad one. Its error is an exit status when a row was bad.
func importPeople[T crm.Contact | crm.User](c *common, i *importFlags,
	read func(io.Reader, string) (*roster.File[T], error), save func(*store.Org, *roster.File[T]) (store.Saved, error)) error {
	f, err := readPeople(i.File, read)
	if err != nil {
		return err
	}
	out, errOut := c.out, c.errOut
	held := i.DryRun || i.AllOrNothing && len(f.Bad) > 0
	var saved store.Saved
	if !held {
		if saved, err = savePeople(c, i, f, save); err != nil {
			return err
		}
		held = i.AllOrNothing && len(f.Bad) > 0
	}
	for _, note := range f.Notes {
		fmt.Fprintln(errOut, "note:", note)
	}
	for _, bad := range f.Bad {
		fmt.Fprintln(errOut, bad.Error())
	}
	switch bad := f.BadRows(); {
	case i.DryRun:
		fmt.Fprintf(out, "would import %d; %d rows cannot be imported; nothing was changed\n", len(f.People), bad)
	case held:
		fmt.Fprintf(out, "imported nothing; %d rows are bad, %d are good\n", bad, len(f.People))
	default:
		fmt.Fprintf(out, "imported %d (%d new, %d changed, %d same); %d rows not imported\n",
			len(f.People), saved.New, saved.Changed, saved.Same, bad)
	}
	if len(f.Bad) == 0 {
		return nil
	}
	switch {
	case held, len(f.People) == 0:
		fmt.Fprintln(errOut, "Nothing was changed. Correct the rows named above and import the file again.")
	default:
		fmt.Fprintln(errOut, "The good rows are in. Correct the rows named above and import the file again: what is in already stays as it is.")
	}
	return exitError(1)
}

// savePeople saves what was read: a file that cannot be read makes no data folder.
func savePeople[T crm.Contact | crm.User](c *common, i *importFlags, f *roster.File[T],
	save func(*store.Org, *roster.File[T]) (store.Saved, error)) (saved store.Saved, err error) {
	st, org, err := i.make(c, false)
	if err != nil {
		return saved, err
	}
	defer st.Close()
	if saved, err = save(org, f); err != nil {
		err = fmt.Errorf("nothing was imported: %w", err)
	}
	return saved, err
}

// readPeople opens the file and reads it.
func readPeople[T crm.Contact | crm.User](name string, read func(io.Reader, string) (*roster.File[T], error)) (*roster.File[T], error) {
	if name == "-" {
		return read(os.Stdin, "the standard input")
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, &crm.Fault{Verdict: crm.Refused, Code: "people-file-unreadable", Err: err,
			Message: fmt.Sprintf("The file cannot be opened: %v.", err), Advice: "Check the path and whether the file may be read."}
	}
	defer file.Close()
	return read(file, filepath.Base(name))
}
