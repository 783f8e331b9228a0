package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// newContactData is the form of a new contact, as typed.
type newContactData struct {
	Name, Company, Title, Addresses string
	Errors                          map[string]string // by field
}

func (s *server) newContactForm(w http.ResponseWriter, r *http.Request) error {
	return s.showNewContact(w, r, http.StatusOK, newContactData{Addresses: r.URL.Query().Get("address")})
}

func (s *server) showNewContact(w http.ResponseWriter, r *http.Request, status int, d newContactData) error {
	return s.show(w, r, status, "contact-new", page{Title: "New contact", Place: "contacts", Crumbs: []crumb{{"Contacts", "/contacts"}}, Data: d})
}

// newContact saves a contact. The mail that was left out for want of it comes by itself:
// the store has marked those items to be looked at again.
func (s *server) newContact(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	value := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	d := newContactData{Name: value("name"), Company: value("company"), Title: value("title"), Addresses: value("addresses"), Errors: map[string]string{}}
	c := crm.Contact{Name: d.Name, Company: d.Company, Title: d.Title}
	if c.Name == "" {
		d.Errors["name"] = "Enter the person's name."
	}
	var wrong string
	if c.Addresses, wrong = readAddresses(d.Addresses); wrong != "" {
		d.Errors["addresses"] = wrong
	}
	if len(d.Errors) > 0 {
		return s.showNewContact(w, r, http.StatusUnprocessableEntity, d)
	}
	saved, err := s.Org.SaveContacts(r.Context(), []crm.Contact{c})
	if err != nil {
		return err
	}
	id, err := s.contactWith(r, c)
	if err != nil {
		return err
	}
	http.Redirect(w, r, fmt.Sprintf("/contacts/%d?saved=1&again=%d", id, saved.Rematch), http.StatusSeeOther)
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
