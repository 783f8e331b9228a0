package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// contactForm is the form of a contact, as typed.
type contactForm struct {
	ID                              crm.ContactID // 0 = a new one
	Known                           string        // the name as it is saved
	Name, Company, Title, Addresses string
	Errors                          map[string]string // by field
}

// Home is where the form leads when it is given up.
func (f contactForm) Home() string {
	if f.ID == 0 {
		return "/contacts"
	}
	return contactURL(f.ID)
}

// Action is where the form is sent to.
func (f contactForm) Action() string {
	if f.ID == 0 {
		return "/contacts"
	}
	return contactURL(f.ID) + "/edit"
}

// Focus is the field to begin with: the first that is wrong.
func (f contactForm) Focus() string {
	if f.Errors["name"] == "" && f.Errors["addresses"] != "" {
		return "addresses"
	}
	return "name"
}

func contactURL(id crm.ContactID) string { return fmt.Sprintf("/contacts/%d", id) }

func (s *server) newContactForm(w http.ResponseWriter, r *http.Request) error {
	return s.showContactForm(w, r, http.StatusOK, contactForm{Addresses: r.URL.Query().Get("address")})
}

func (s *server) editContactForm(w http.ResponseWriter, r *http.Request) error {
	known, err := s.knownContact(r)
	if err != nil {
		return err
	}
	var lines []string
	for _, a := range known.Addresses {
		lines = append(lines, a.Display())
	}
	return s.showContactForm(w, r, http.StatusOK, contactForm{ID: known.ID, Known: known.Name, Name: known.Name, Company: known.Company, Title: known.Contact.Title, Addresses: strings.Join(lines, "\n")})
}

func (s *server) showContactForm(w http.ResponseWriter, r *http.Request, status int, f contactForm) error {
	p := page{Title: "New contact", Place: "contacts", Crumbs: []crumb{{"Contacts", "/contacts"}}, Data: f}
	if f.ID != 0 {
		p.Title = "Edit contact"
		p.Crumbs = append(p.Crumbs, crumb{f.Known, f.Home()})
	}
	return s.show(w, r, status, "contact-form", p)
}

func (s *server) newContact(w http.ResponseWriter, r *http.Request) error {
	return s.saveContact(w, r, crm.Contact{})
}

func (s *server) editContact(w http.ResponseWriter, r *http.Request) error {
	known, err := s.knownContact(r)
	if err != nil {
		return err
	}
	return s.saveContact(w, r, known.Contact)
}

// knownContact is the contact that the address of the page names.
func (s *server) knownContact(r *http.Request) (*store.ContactView, error) {
	id, err := pathID(r, "id")
	if err != nil {
		return nil, err
	}
	return s.Org.Contact(r.Context(), crm.ContactID(id))
}

// saveContact saves what the form says of a contact, known or new. The mail that was left out for want of an address comes by
// itself: the store has marked those items to be looked at again.
func (s *server) saveContact(w http.ResponseWriter, r *http.Request, known crm.Contact) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	value := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	f := contactForm{ID: known.ID, Known: known.Name, Name: value("name"), Company: value("company"), Title: value("title"), Addresses: value("addresses"), Errors: map[string]string{}}
	c := crm.Contact{ID: known.ID, Name: f.Name, Company: f.Company, Title: f.Title}
	if c.Name == "" {
		f.Errors["name"] = "Enter the person's name."
	}
	var wrong string
	if c.Addresses, wrong = readAddresses(f.Addresses); wrong == "" {
		var err error
		if wrong, err = s.ofUser(r.Context(), c.Addresses); err != nil {
			return err
		}
	}
	if wrong != "" {
		f.Errors["addresses"] = wrong
	}
	if len(f.Errors) > 0 {
		return s.showContactForm(w, r, http.StatusUnprocessableEntity, f)
	}
	saved, err := s.Org.SaveContacts(r.Context(), []crm.Contact{c})
	if err != nil {
		return err
	}
	id := known.ID
	if id == 0 {
		if id, err = s.contactWith(r, c); err != nil {
			return err
		}
	}
	http.Redirect(w, r, fmt.Sprintf("%s?saved=1&again=%d", contactURL(id), saved.Rematch), http.StatusSeeOther)
	return nil
}

// readAddresses reads addresses apart by commas, semicolons, blanks or lines.
func readAddresses(text string) (list []mail.Address, wrong string) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",; \t\r\n", r) }) {
		address, err := mail.ParseAddress(word)
		if err != nil {
			return nil, fmt.Sprintf("%q is no e-mail address: %v", word, err)
		}
		if !slices.Contains(list, address) {
			list = append(list, address)
		}
	}
	if len(list) == 0 {
		return nil, "Enter at least one address: it is how this person's mail is found."
	}
	return list, ""
}

// ofUser says which of the addresses is a user's. A contact with it would never get mail:
// such an address always counts as the user's.
func (s *server) ofUser(ctx context.Context, addresses []mail.Address) (wrong string, err error) {
	people, err := s.peopleAt(ctx, addresses)
	if err != nil {
		return "", err
	}
	for _, a := range addresses {
		if id := people[a].User; id != 0 {
			user, err := s.Org.User(ctx, id)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s is the address of the user %s; mail among users is not filed.", a.Display(), user.Name), nil
		}
	}
	return "", nil
}

// peopleAt tells who is behind addresses.
func (s *server) peopleAt(ctx context.Context, addresses []mail.Address) (crm.People, error) {
	var h crm.Header
	for _, a := range addresses {
		h.People = append(h.People, crm.Participant{Address: a})
	}
	people, _, err := s.Org.People(ctx, []crm.Header{h})
	return people, err
}

// A sharing is an address of a contact that others have, too: its mail is filed with each.
type sharing struct {
	Address mail.Address
	With    []crm.Contact
}

func (s *server) sharings(ctx context.Context, c crm.Contact) ([]sharing, error) {
	people, err := s.peopleAt(ctx, c.Addresses)
	if err != nil {
		return nil, err
	}
	var list []sharing
	for _, a := range c.Addresses {
		shared := sharing{Address: a}
		for _, id := range people[a].Contacts {
			if id == c.ID {
				continue
			}
			other, err := s.Org.Contact(ctx, id)
			if err != nil {
				return nil, err
			}
			shared.With = append(shared.With, other.Contact)
		}
		if len(shared.With) > 0 {
			list = append(list, shared)
		}
	}
	return list, nil
}

// contactWith finds the contact that was just saved: a namesake who shares the address
// was added to, so that the name and one address tell it.
func (s *server) contactWith(r *http.Request, c crm.Contact) (crm.ContactID, error) {
	list, _, err := s.Org.Contacts(r.Context(), store.ListQuery{Text: string(c.Addresses[0]), Limit: listSize})
	if err != nil {
		return 0, err
	}
	for _, found := range list {
		if strings.EqualFold(found.Name, c.Name) && slices.Contains(found.Addresses, c.Addresses[0]) {
			return found.ID, nil
		}
	}
	return 0, store.ErrNotFound
}
