package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"postern/crm"
	"postern/engine"
	"postern/mail"
	"postern/store"
)

// A boxRow is a mailbox in a list, with the pass that may be under way and the way in
// which new mail comes to notice.
type boxRow struct {
	store.MailboxView
	engine.Progress
	Running bool
	Watch   crm.Watch
	Off     string // why it is off
}

// Meaning says what its state means.
func (b boxRow) Meaning() string {
	if b.State == crm.Off && b.Off != "" {
		return b.Off
	}
	return stateWords[b.State].Meaning
}

// Watched tells whether new mail comes to notice at all.
func (b boxRow) Watched() bool {
	return b.State == crm.Importing || b.State == crm.Live || b.State == crm.Waiting
}

// Stopped tells whether nothing is tried until somebody acts: a refused login is not sent
// again and again.
func (b boxRow) Stopped() bool {
	return b.State == crm.Attention && b.Trouble != nil && b.Trouble.Verdict == crm.Reauth
}

// Reasons lists why items were not filed, the commonest first.
func (b boxRow) Reasons() []reasonCount { return reasonsOf(b.Counts) }

// Percent of the pass that is done.
func (b boxRow) Percent() int {
	if b.Progress.Total == 0 {
		return 0
	}
	return min(100, 100*b.Done/b.Progress.Total)
}

type reasonCount struct {
	Reason crm.Reason
	Count  int
}

func reasonsOf(c store.Counts) []reasonCount {
	var list []reasonCount
	for reason, n := range c.By {
		if n > 0 {
			list = append(list, reasonCount{reason, n})
		}
	}
	slices.SortFunc(list, func(a, b reasonCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}

func (s *server) boxRows(ctx context.Context, boxes []store.MailboxView) ([]boxRow, error) {
	whyOff, err := s.Org.WhyOff(ctx)
	rows := make([]boxRow, len(boxes))
	for i, box := range boxes {
		if rows[i] = s.boxRow(box); box.State == crm.Off && err == nil {
			rows[i].Off = whyOff(&box.Mailbox)
		}
	}
	return rows, err
}

func (s *server) boxRow(box store.MailboxView) boxRow {
	row := boxRow{MailboxView: box, Watch: s.Watch(box.ID)}
	row.Progress, row.Running = s.Progress(box.ID)
	return row
}

type mailboxesData struct {
	list
	Boxes    []boxRow
	Budgets  []budgetRow
	Code     string // only those whose trouble has this code
	Disabled bool   // collecting is off
	Looking  bool
}

func (s *server) mailboxes(w http.ResponseWriter, r *http.Request) error {
	q, code := readList(r), r.URL.Query().Get("code")
	boxes, total, err := s.listBoxes(r.Context(), q, code)
	if err != nil {
		return err
	}
	settings, _, err := s.Org.Settings(r.Context())
	if err != nil {
		return err
	}
	rows, err := s.boxRows(r.Context(), boxes)
	if err != nil {
		return err
	}
	d := mailboxesData{
		list: newList(r, q.Text, q.Offset, len(boxes), total), Boxes: rows, Budgets: budgetRows(s.Budgets(), s.Now()),
		Code: code, Disabled: !settings.Enabled, Looking: r.URL.Query().Get("looking") == "1",
	}
	return s.show(w, r, http.StatusOK, "mailboxes", page{Title: "Mailboxes", Place: "mailboxes", Data: d})
}

// listBoxes returns a part of the list of mailboxes: those found by the text, or, with a
// code, those that have this trouble or an alert of it.
func (s *server) listBoxes(ctx context.Context, q store.ListQuery, code string) ([]store.MailboxView, int, error) {
	if code == "" {
		return s.Org.Mailboxes(ctx, q)
	}
	boxes, err := s.Org.Boxes(ctx)
	if err != nil {
		return nil, 0, err
	}
	alerts, err := s.Org.Alerts(ctx, true, store.Everything)
	if err != nil {
		return nil, 0, err
	}
	told := map[mail.Address]bool{}
	for _, a := range alerts {
		if address, of := strings.CutPrefix(a.Subject, mailboxSubject); of && a.Code == code {
			told[mail.Address(address)] = true
		}
	}
	boxes = slices.DeleteFunc(boxes, func(b crm.Mailbox) bool {
		return !told[b.Address] && (b.Trouble == nil || b.Trouble.Code != code)
	})
	slices.SortFunc(boxes, func(a, b crm.Mailbox) int { return cmp.Compare(a.Address, b.Address) })
	var views []store.MailboxView
	for _, box := range boxes[min(q.Offset, len(boxes)):min(q.Offset+q.Limit, len(boxes))] {
		view, err := s.Org.Mailbox(ctx, box.ID)
		if err != nil {
			return nil, 0, err
		}
		views = append(views, *view)
	}
	return views, len(boxes), nil
}

type mailboxData struct {
	boxRow
	Folders []folderRow // those that are read
	Aside   []folderRow // those that are not
	Held    int         // items in quarantine; for administrators
	Admin   bool
	Looking bool
}

type folderRow struct {
	store.Folder
	Counts store.Counts
}

// Reason says why a folder is not read.
func (f folderRow) Reason() string {
	switch {
	case f.Kind != crm.Email:
		return "holds no mail"
	case f.Role == crm.Drafts, f.Role == crm.Outbox:
		return "not sent yet"
	case f.Role == crm.JunkEmail, f.Role == crm.DeletedItems:
		return "left alone"
	}
	return "out of scope"
}

// ownMailbox tells whether the reader may look into this mailbox: an administrator into
// all, everybody else into the own one.
func ownMailbox(viewer *crm.User, box *store.MailboxView) bool {
	return viewer.Admin || box.User == viewer.ID
}

func (s *server) mailbox(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	ctx, viewer := r.Context(), viewerOf(r)
	box, err := s.Org.Mailbox(ctx, crm.MailboxID(id))
	if err != nil {
		return err
	}
	if !ownMailbox(viewer, box) {
		return store.ErrNotFound // not even that it exists
	}
	folders, err := s.Org.Folders(ctx, box.ID)
	if err != nil {
		return err
	}
	counts, err := s.Org.FolderCounts(ctx, box.ID)
	if err != nil {
		return err
	}
	rows, err := s.boxRows(ctx, []store.MailboxView{*box})
	if err != nil {
		return err
	}
	d := mailboxData{boxRow: rows[0], Admin: viewer.Admin, Looking: r.URL.Query().Get("looking") == "1"}
	for _, f := range folders {
		if f.InScope {
			d.Folders = append(d.Folders, folderRow{f, counts[f.ID]})
		} else if f.Role != crm.Root {
			d.Aside = append(d.Aside, folderRow{Folder: f})
		}
	}
	if viewer.Admin {
		if _, d.Held, err = s.Org.Quarantine(ctx, store.QuarantineQuery{Mailbox: box.ID, Limit: 1}); err != nil {
			return err
		}
	}
	p := page{Title: box.Address.Display(), Place: "mailboxes", Data: d}
	if viewer.Admin {
		p.Crumbs = []crumb{{"Mailboxes", "/mailboxes"}}
	}
	return s.show(w, r, http.StatusOK, "mailbox", p)
}

// lookNow reads one mailbox, or all, as soon as may be.
func (s *server) lookNow(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	back := "/mailboxes"
	var ids []crm.MailboxID
	if text := r.PostForm.Get("mailbox"); text != "" {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return errBadForm
		}
		if _, err := s.Org.Mailbox(r.Context(), crm.MailboxID(id)); err != nil {
			return err
		}
		ids = append(ids, crm.MailboxID(id))
		back += "/" + text
	}
	if err := s.LookNow(r.Context(), ids...); err != nil {
		return err
	}
	http.Redirect(w, r, back+"?looking=1", http.StatusSeeOther)
	return nil
}
