package crm

import "postern/mail"

// A User works for the customer and may own a mailbox.
type User struct {
	ID        UserID
	Org       OrgID
	Name      string
	Addresses []mail.Address // the first is the primary one, the address of the mailbox
	Admin     bool
	Active    bool
}

// FirstAdmin is the account by which somebody signs in to an installation in which nobody
// could yet. It is nobody's own, so it is no second person.
const FirstAdmin mail.Address = "admin@postern.localhost"

// Actor names the user in the audit log, as "Ann Smith <ann@acme.example>".
func (u *User) Actor() string {
	if len(u.Addresses) == 0 {
		return u.Name
	}
	return u.Name + " <" + string(u.Addresses[0]) + ">"
}

// A Contact is a person outside the company whose mail belongs in the CRM.
// Several contacts may share an address; each of them is then linked.
type Contact struct {
	ID        ContactID
	Org       OrgID
	Name      string
	Company   string
	Title     string
	Addresses []mail.Address
}

// A Person is what the CRM knows of one address: the contacts who have it and the
// active user who has it (0 = none). A known user counts on the user's side only
// when the domain of the address is allowed; that is for package match to judge.
type Person struct {
	Contacts []ContactID
	User     UserID
}

// People maps an address to who is behind it; an unknown address is absent.
type People map[mail.Address]Person
