package sim

import (
	"fmt"

	"postern/mail"
)

// CrowdDomain is where the users of a crowd have their mailboxes.
const CrowdDomain = "company.example"

// CrowdUser is the owner of the i-th mailbox that Populate makes.
func CrowdUser(i int) Person {
	return Person{fmt.Sprintf("User %05d", i), mail.Address(fmt.Sprintf("user%05d@%s", i, CrowdDomain))}
}

// CrowdContact is the k-th person outside who writes to a crowd. Fifty clients employ
// them all.
func CrowdContact(k int) Person {
	return Person{fmt.Sprintf("Contact %d", k), mail.Address(fmt.Sprintf("contact%d@client%d.example", k, k%50))}
}

// Populate makes n empty mailboxes, those of CrowdUser 0 to n-1.
func (x *Exchange) Populate(n int) {
	for i := range n {
		x.AddMailbox(CrowdUser(i))
	}
}
