package web

import (
	"net/http"
	"strconv"
	"unicode/utf8"

	"postern/crm"
	"postern/store"
)

type contactsData struct {
	list
	Admin    bool
	Contacts []store.ContactView
}

func (s *server) contacts(w http.ResponseWriter, r *http.Request) error {
	q := readList(r)
	contacts, total, err := s.Org.Contacts(r.Context(), q)
	if err != nil {
		return err
	}
	d := contactsData{newList(r, q.Text, q.Offset, len(contacts), total), viewerOf(r).Admin, contacts}
	return s.show(w, r, http.StatusOK, "contacts", page{Title: "Contacts", Place: "contacts", Data: d})
}

// contactWeeks is how far back the plot of a contact goes.
const contactWeeks = 24

type contactData struct {
	*store.ContactView
	Rows     []row
	Total    int
	Next     string
	Weeks    plot
	InWeeks  int // messages within the plot
	Saved    bool
	Again    int // items that are looked at again since the contact is known
	Admin    bool
	Shared   []sharing
	WhoKnows []store.PersonCount
}

func (s *server) contact(w http.ResponseWriter, r *http.Request) error {
	contact, err := s.knownContact(r)
	if err != nil {
		return err
	}
	id, ctx := contact.ID, r.Context()
	d := contactData{ContactView: contact, Admin: viewerOf(r).Admin, Saved: r.URL.Query().Get("saved") == "1", Again: int(number64(r.URL.Query().Get("again")))}
	if d.Shared, err = s.sharings(ctx, contact.Contact); err != nil {
		return err
	}
	list, total, next, err := s.Org.Activities(ctx, store.MailQuery{Viewer: viewerOf(r).ID, Contact: id, Before: r.URL.Query().Get("before")})
	if err != nil {
		return err
	}
	d.Rows, d.Total, d.Next = rowsOf(list, messageURL, 0), total, olderURL(r, next)
	weeks, err := s.Org.Weeks(ctx, id, contactWeeks)
	if err != nil {
		return err
	}
	d.Weeks = s.weekPlot(weeks)
	for _, n := range weeks {
		d.InWeeks += n
	}
	if d.WhoKnows, err = s.Org.WhoKnows(ctx, id); err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "contact", page{Title: contact.Name, Place: "contacts", Crumbs: []crumb{{"Contacts", "/contacts"}}, Data: d})
}

// weekPlot shows messages per week, the last six in full colour: what is going on now.
func (s *server) weekPlot(weeks []int) plot {
	const recent = 6
	back, front, labels := make([]int, len(weeks)), make([]int, len(weeks)), make([]string, len(weeks))
	for i, n := range weeks {
		begin := s.Now().UTC().AddDate(0, 0, -7*(len(weeks)-1-i))
		labels[i] = "week of " + begin.Format("2 Jan") + ": " + plural(n, "message", "messages")
		if i < len(weeks)-recent {
			back[i] = n
		} else {
			front[i] = n
		}
	}
	p := newPlot(back, front, labels)
	p.First = s.Now().UTC().AddDate(0, 0, -7*(len(weeks)-1)).Format("Jan")
	p.Last = s.Now().UTC().Format("Jan")
	return p
}

// olderURL leads from a list that is paged by time to its next page; "" at the end.
func olderURL(r *http.Request, next string) string {
	if next == "" {
		return ""
	}
	q := r.URL.Query()
	q.Set("before", next)
	return r.URL.Path + "?" + q.Encode()
}

type usersData struct {
	list
	Users   []store.UserView
	Waiting []crm.Proposal // for an administrator
}

func (s *server) users(w http.ResponseWriter, r *http.Request) error {
	q := readList(r)
	users, total, err := s.Org.Users(r.Context(), q)
	if err != nil {
		return err
	}
	d := usersData{list: newList(r, q.Text, q.Offset, len(users), total), Users: users}
	if viewerOf(r).Admin {
		if d.Waiting, err = s.waiting(r.Context(), crm.UsersProposal, crm.LimitsProposal); err != nil {
			return err
		}
	}
	return s.show(w, r, http.StatusOK, "users", page{Title: "Users", Place: "users", Data: d})
}

type userData struct {
	*store.UserView
	Rows        []row
	Total       int
	Next        string
	Mailbox     *store.MailboxView // nil when there is none, or when it is not the reader's to see
	SetPassword bool
	Minimum     int
	Wrong       string // what is wrong with the password typed
	Done        bool
}

func (s *server) user(w http.ResponseWriter, r *http.Request) error {
	return s.showUser(w, r, http.StatusOK, "")
}

func (s *server) showUser(w http.ResponseWriter, r *http.Request, status int, wrong string) error {
	n, err := pathID(r, "id")
	if err != nil {
		return err
	}
	id, viewer, ctx := crm.UserID(n), viewerOf(r), r.Context()
	user, err := s.Org.User(ctx, id)
	if err != nil {
		return err
	}
	d := userData{UserView: user, SetPassword: viewer.Admin, Minimum: MinPassword, Wrong: wrong, Done: r.URL.Query().Get("password") == "set"}
	list, total, next, err := s.Org.Activities(ctx, store.MailQuery{Viewer: viewer.ID, User: id, Before: r.URL.Query().Get("before")})
	if err != nil {
		return err
	}
	d.Rows, d.Total, d.Next = rowsOf(list, messageURL, 0), total, olderURL(r, next)
	if user.Mailbox != 0 && (viewer.Admin || viewer.ID == id) {
		if d.Mailbox, err = s.Org.Mailbox(ctx, user.Mailbox); err != nil {
			return err
		}
	}
	return s.show(w, r, status, "user", page{Title: user.Name, Place: "users", Crumbs: []crumb{{"Users", "/users"}}, Data: d})
}

// setPassword lets an administrator give a user a password to sign in with.
func (s *server) setPassword(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	if _, err := s.Org.User(r.Context(), crm.UserID(id)); err != nil {
		return err
	}
	password := r.PostForm.Get("password")
	if utf8.RuneCountInString(password) < MinPassword {
		return s.showUser(w, r, http.StatusUnprocessableEntity, "Use at least "+strconv.Itoa(MinPassword)+" characters; a few words in a row are easy to keep in mind.")
	}
	if err := s.Org.SetPassword(r.Context(), crm.UserID(id), HashPassword(password)); err != nil {
		return err
	}
	http.Redirect(w, r, r.URL.Path[:len(r.URL.Path)-len("/password")]+"?password=set", http.StatusSeeOther)
	return nil
}
