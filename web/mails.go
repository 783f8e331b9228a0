package web

import (
	"net/http"
	"net/url"
	"strconv"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// A row is a message in a list, and where it leads.
type row struct {
	store.ActivityRow
	URL      string
	Selected bool
}

// Who is the person that the row is about: the contact, else whoever is not us.
func (r row) Who() store.PersonRef {
	switch {
	case r.Contact.Contact != 0:
		return r.Contact
	case r.Direction == mail.Outbound && len(r.To) > 0:
		return r.To[0]
	}
	return r.From
}

// Outbound tells whether we wrote it.
func (r row) Outbound() bool { return r.Direction == mail.Outbound }

func rowsOf(list []store.ActivityRow, link func(crm.MessageID) string, selected crm.MessageID) []row {
	rows := make([]row, len(list))
	for i, a := range list {
		rows[i] = row{a, link(a.Message), a.Message == selected}
	}
	return rows
}

func messageURL(id crm.MessageID) string { return "/messages/" + strconv.FormatInt(int64(id), 10) }

// A tab is one of a few ways to look at a list.
type tab struct {
	Title, URL string
	Current    bool
}

// mailFilter is what the address of My Emails says.
type mailFilter struct {
	show    string // "", inbox, sent, unread
	threads bool
	before  string
	message crm.MessageID
}

func readMailFilter(q url.Values) mailFilter {
	f := mailFilter{show: q.Get("show"), threads: q.Get("threads") == "1", before: q.Get("before")}
	id, _ := strconv.ParseInt(q.Get("message"), 10, 64) // a bad one selects nothing
	f.message = crm.MessageID(id)
	return f
}

// url says the filter as the address of the page; every view can be passed on as a link.
func (f mailFilter) url() string {
	q := url.Values{}
	if f.show != "" {
		q.Set("show", f.show)
	}
	if f.threads {
		q.Set("threads", "1")
	}
	if f.before != "" {
		q.Set("before", f.before)
	}
	if f.message != 0 {
		q.Set("message", strconv.FormatInt(int64(f.message), 10))
	}
	if len(q) == 0 {
		return "/mails"
	}
	return "/mails?" + q.Encode()
}

// query says the filter to the store.
func (f mailFilter) query(viewer crm.UserID) store.MailQuery {
	q := store.MailQuery{Viewer: viewer, Mine: true, Threads: f.threads, Before: f.before, Unread: f.show == "unread"}
	switch f.show {
	case "inbox":
		q.Direction = mail.Inbound
	case "sent":
		q.Direction = mail.Outbound
	}
	return q
}

type mailsData struct {
	Rows         []row
	Total        int
	Tabs         []tab
	Threads      tab
	Filtered     bool
	Newest, Next string // addresses of other pages of the list
	Chosen       bool   // a message was chosen, not just shown because it is the first
	Back         string
	Message      *messageData
}

func (s *server) mails(w http.ResponseWriter, r *http.Request) error {
	viewer, filter := viewerOf(r), readMailFilter(r.URL.Query())
	list, total, next, err := s.Org.Activities(r.Context(), filter.query(viewer.ID))
	if err != nil {
		return err
	}
	d := mailsData{Total: total, Tabs: mailTabs(filter), Threads: threadsTab(filter), Filtered: filter.show != "", Chosen: filter.message != 0}
	if filter.before != "" {
		newest := filter
		newest.before, newest.message = "", 0
		d.Newest = newest.url()
	}
	if next != "" {
		older := filter
		older.before, older.message = next, 0
		d.Next = older.url()
	}
	selected := filter.message
	if selected == 0 && len(list) > 0 {
		selected = list[0].Message
	}
	d.Rows = rowsOf(list, func(id crm.MessageID) string {
		f := filter
		f.message = id
		return f.url()
	}, selected)
	back := filter
	back.message = 0
	d.Back = back.url()
	if selected != 0 {
		if d.Message, err = s.loadMessage(r, selected); err != nil {
			return err
		}
	}
	return s.show(w, r, http.StatusOK, "mails", page{Title: "My Emails", Place: "mails", Full: true, Data: d})
}

func mailTabs(f mailFilter) []tab {
	f.before, f.message = "", 0
	var tabs []tab
	for _, t := range [...][2]string{{"", "All"}, {"inbox", "Inbox"}, {"sent", "Sent"}, {"unread", "Unread"}} {
		to := f
		to.show = t[0]
		tabs = append(tabs, tab{t[1], to.url(), f.show == t[0]})
	}
	return tabs
}

func threadsTab(f mailFilter) tab {
	current := f.threads
	f.threads, f.before, f.message = !f.threads, "", 0
	return tab{"Threads", f.url(), current}
}
