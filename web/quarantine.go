package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

type quarantineData struct {
	list
	Rows      []store.QuarantineRow
	Mailboxes []crm.Mailbox // to choose from
	Mailbox   crm.MailboxID
	Left      bool // those that were left, instead of those that are tried again
	Tabs      []tab
	Done      string // what was just done to Items of them: try, leave
	Items     int
}

// readQuarantine reads ?mailbox= and ?show=left as a query to the store.
func readQuarantine(r *http.Request, paging store.ListQuery) store.QuarantineQuery {
	form := r.URL.Query()
	return store.QuarantineQuery{Mailbox: crm.MailboxID(number64(form.Get("mailbox"))), Left: form.Get("show") == "left", Limit: paging.Limit, Offset: paging.Offset}
}

// quarantineURL is where a part of the quarantine is shown.
func quarantineURL(box crm.MailboxID, left bool) string {
	q := url.Values{}
	if box != 0 {
		q.Set("mailbox", strconv.FormatInt(int64(box), 10))
	}
	if left {
		q.Set("show", "left")
	}
	if len(q) == 0 {
		return "/quarantine"
	}
	return "/quarantine?" + q.Encode()
}

// quarantine shows what could not be had from Exchange, or not whole.
func (s *server) quarantine(w http.ResponseWriter, r *http.Request) error {
	q, form := readQuarantine(r, readList(r)), r.URL.Query()
	rows, total, err := s.Org.Quarantine(r.Context(), q)
	if err != nil {
		return err
	}
	boxes, err := s.Org.Boxes(r.Context())
	if err != nil {
		return err
	}
	slices.SortFunc(boxes, func(a, b crm.Mailbox) int { return cmp.Compare(a.Address, b.Address) })
	d := quarantineData{
		list: newList(r, "", q.Offset, len(rows), total), Rows: rows, Mailboxes: boxes, Mailbox: q.Mailbox, Left: q.Left,
		Tabs: []tab{{"Tried again", quarantineURL(q.Mailbox, false), !q.Left}, {"Left", quarantineURL(q.Mailbox, true), q.Left}},
		Done: form.Get("done"), Items: int(number64(form.Get("items"))),
	}
	return s.show(w, r, http.StatusOK, "quarantine", page{Title: "Quarantine", Place: "quarantine", Data: d})
}

func (s *server) tryNow(w http.ResponseWriter, r *http.Request) error {
	return s.release(w, r, "try", s.Org.TryNow)
}

func (s *server) leave(w http.ResponseWriter, r *http.Request) error {
	return s.release(w, r, "leave", s.Org.Leave)
}

// release does with items of the form what its button says: with the one beside it, else
// with those that are ticked.
func (s *server) release(w http.ResponseWriter, r *http.Request, name string, do func(context.Context, ...int64) (int, error)) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	texts := r.PostForm["id"]
	if one := r.PostForm.Get("only"); one != "" {
		texts = []string{one}
	}
	var ids []int64
	for _, text := range texts {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return errBadForm
		}
		ids = append(ids, id)
	}
	items, err := do(r.Context(), ids...)
	if err != nil {
		return err
	}
	s.counted.forget()
	back, err := url.Parse(quarantineURL(crm.MailboxID(number64(r.PostForm.Get("mailbox"))), r.PostForm.Get("show") == "left"))
	if err != nil {
		return err
	}
	q := back.Query()
	q.Set("done", name)
	q.Set("items", strconv.Itoa(items))
	http.Redirect(w, r, back.Path+"?"+q.Encode(), http.StatusSeeOther)
	return nil
}

type quarantineJSON struct {
	ID      int64         `json:"id"`
	Mailbox crm.MailboxID `json:"mailbox"`
	Address mail.Address  `json:"address"`
	Folder  string        `json:"folder"`
	When    time.Time     `json:"when,omitzero"` // of the message
	Code    string        `json:"code"`
	Why     string        `json:"why"`
	Message crm.MessageID `json:"message,omitempty"` // filed with what there is
	Tries   int           `json:"tries"`
	RetryAt time.Time     `json:"retry_at,omitzero"` // absent = left
	Since   time.Time     `json:"since"`
}

func (s *server) apiQuarantine(w http.ResponseWriter, r *http.Request) error {
	rows, total, err := s.Org.Quarantine(r.Context(), readQuarantine(r, apiListQuery(r)))
	if err != nil {
		return err
	}
	answer := pageJSON[quarantineJSON]{Total: total, Items: []quarantineJSON{}}
	for _, q := range rows {
		answer.Items = append(answer.Items, quarantineJSON{q.Decision, q.Mailbox, q.Address, q.Folder, q.When, q.Code, q.Why, q.Message, q.Tries, q.RetryAt, q.Since})
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (s *server) apiTryNow(w http.ResponseWriter, r *http.Request) error {
	return s.apiRelease(w, r, s.Org.TryNow)
}

func (s *server) apiLeave(w http.ResponseWriter, r *http.Request) error {
	return s.apiRelease(w, r, s.Org.Leave)
}

// apiRelease does something with the items named and tells how many those were. One that
// is not in quarantine any more is passed over.
func (s *server) apiRelease(w http.ResponseWriter, r *http.Request, do func(context.Context, ...int64) (int, error)) error {
	var body struct {
		IDs []int64 `json:"ids"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	items, err := do(r.Context(), body.IDs...)
	if err != nil {
		return err
	}
	s.counted.forget()
	writeJSON(w, http.StatusOK, map[string]int{"items": items})
	return nil
}
