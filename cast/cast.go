// Package cast is the company of the demonstration: its people, its customers, and the
// letters between them.
//
// Halden Instruments makes flow meters and calibrates them. Its six people write with
// eighteen contacts at eleven customers, with a supplier whom nobody has made a contact
// yet, with each other, and get what every company gets besides: newsletters, bounces,
// invitations, a hostile page. Every domain ends in .example, so no letter can reach
// anybody.
//
// The texts are in letters/*.txt and trickle.txt, in the format that letters/README.md
// describes; whoever wants another letter writes it there, no Go needed. [Letters] makes
// the past twenty weeks of them, [Trickle] what arrives while one is watching. Both give
// the same bytes for the same arguments.
//
// The texts are part of the program: as with [regexp.MustCompile], one that cannot be read
// is a fault of the build and panics, with file and line. The tests read them all.
package cast

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"strings"
	"sync"

	"postern/crm"
	"postern/mail"
)

const (
	Company = "Halden Instruments"
	Domain  = "halden.example"
)

// UsersCSV and ContactsCSV are the people of the cast as the commands "users import" and
// "contacts import" read them; several addresses are separated by semicolons.
var (
	//go:embed users.csv
	UsersCSV []byte
	//go:embed contacts.csv
	ContactsCSV []byte
)

// Users returns the people of the company; the first one is the administrator, and gets
// the most mail.
func Users() []crm.User {
	var users []crm.User
	for _, row := range rows("users.csv", UsersCSV, 3) {
		users = append(users, crm.User{
			Name:      row[0],
			Addresses: addresses("users.csv", row[1]),
			Admin:     row[2] == "yes",
			Active:    true,
		})
	}
	return users
}

// Contacts returns the people at the customers. Two of them share an address, and one has
// two.
func Contacts() []crm.Contact {
	var contacts []crm.Contact
	for _, row := range rows("contacts.csv", ContactsCSV, 4) {
		contacts = append(contacts, crm.Contact{
			Name:      row[0],
			Company:   row[1],
			Title:     row[2],
			Addresses: addresses("contacts.csv", row[3]),
		})
	}
	return contacts
}

// rows returns the rows of a file below its heading.
func rows(name string, file []byte, columns int) [][]string {
	r := csv.NewReader(strings.NewReader(string(file)))
	r.FieldsPerRecord = columns
	all, err := r.ReadAll()
	if err != nil {
		panic(fmt.Sprintf("cast: %s: %v", name, err))
	}
	return all[1:]
}

func addresses(name, list string) []mail.Address {
	var found []mail.Address
	for s := range strings.SplitSeq(list, ";") {
		a, err := mail.ParseAddress(s)
		if err != nil {
			panic(fmt.Sprintf("cast: %s: %v", name, err))
		}
		found = append(found, a)
	}
	return found
}

// A person as named in a letter.
type person struct {
	name      string
	address   mail.Address
	signature []string // further lines under the name
}

// people returns everybody with a name in the two files, by name.
var people = sync.OnceValue(func() map[string]person {
	known := make(map[string]person)
	for _, u := range Users() {
		known[u.Name] = person{u.Name, u.Addresses[0], []string{Company, "12 Shore Road, Leith"}}
	}
	for _, c := range Contacts() {
		known[c.Name] = person{c.Name, c.Addresses[0], []string{c.Title, c.Company}}
	}
	return known
})
