package web

import (
	"net/http"
	"strings"

	"postern/store"
)

type searchData struct {
	Text     string
	Rows     []row
	Total    int
	Next     string
	Contacts []store.ContactView
	Users    []store.UserView
}

func (s *server) search(w http.ResponseWriter, r *http.Request) error {
	d := searchData{Text: strings.TrimSpace(r.URL.Query().Get("q"))}
	if err := s.find(r, &d); err != nil {
		return err
	}
	p := page{Title: "All filed mail", Query: d.Text, Data: d}
	if d.Text != "" {
		p.Title = d.Text
	}
	return s.show(w, r, http.StatusOK, "search", p)
}

// find looks for messages, all of them when nothing is searched for, and on the first
// page for people, too.
func (s *server) find(r *http.Request, d *searchData) error {
	ctx, before := r.Context(), r.URL.Query().Get("before")
	list, total, next, err := s.Org.Activities(ctx, store.MailQuery{Viewer: viewerOf(r).ID, Text: d.Text, Before: before})
	if err != nil {
		return err
	}
	d.Rows, d.Total, d.Next = rowsOf(list, messageURL, 0), total, olderURL(r, next)
	if before != "" || d.Text == "" {
		return nil
	}
	few := store.ListQuery{Text: d.Text, Limit: 6}
	if d.Contacts, _, err = s.Org.Contacts(ctx, few); err != nil {
		return err
	}
	d.Users, _, err = s.Org.Users(ctx, few)
	return err
}
