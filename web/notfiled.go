package web

import (
	"net/http"
	"slices"
	"strings"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

type notFiledData struct {
	list
	Rows      []notFiledRow
	Mailboxes []store.MailboxView // to choose from; empty for a reader who sees the own one only
	Reasons   []crm.Reason
	Mailbox   crm.MailboxID
	Reason    crm.Reason
	Failed    bool
	Wrong     string                     // what is wrong with the text searched for
	Filed     map[crm.MessageID][]string // a Message-ID that was looked for and is filed: where
	None      bool                       // the reader has no mailbox
	Stranger  string                     // an address that was looked for, and left out for want of a contact
}

// A notFiledRow is an item that was not filed.
type notFiledRow struct{ store.NotFiledRow }

// Detail is the rule where it says more than the title of the reason does.
func (r notFiledRow) Detail() string {
	switch r.Reason {
	case crm.NotMail, crm.Draft, crm.Meeting, crm.Bounce, crm.IsPrivate, crm.Internal, crm.NoContact, crm.ThirdParty:
		return ""
	}
	return r.Rule
}

func notFiledRows(list []store.NotFiledRow) []notFiledRow {
	rows := make([]notFiledRow, len(list))
	for i, r := range list {
		rows[i] = notFiledRow{r}
	}
	return rows
}

// notFiled answers "why is this mail not here?". The text of such mail was never read; the
// ledger knows the reason, and finds a Message-ID or an address by its keyed hash.
func (s *server) notFiled(w http.ResponseWriter, r *http.Request) error {
	viewer, ctx, form := viewerOf(r), r.Context(), r.URL.Query()
	paging := readList(r)
	d := notFiledData{Reasons: crm.Reasons[:], Reason: crm.Reason(form.Get("reason")), Failed: form.Get("outcome") == "failed"}
	q := store.NotFiledQuery{Reason: d.Reason, Limit: paging.Limit, Offset: paging.Offset}
	if d.Failed {
		q.Outcome = crm.Failed
	}
	if viewer.Admin {
		boxes, _, err := s.Org.Mailboxes(ctx, store.ListQuery{Limit: store.Everything})
		if err != nil {
			return err
		}
		d.Mailboxes, q.Mailbox = boxes, crm.MailboxID(number64(form.Get("mailbox")))
	} else {
		own, err := s.Org.User(ctx, viewer.ID)
		if err != nil {
			return err
		}
		q.Mailbox, d.None = own.Mailbox, own.Mailbox == 0
	}
	d.Mailbox = q.Mailbox
	d.Wrong = readNeedle(paging.Text, &q)
	if d.Wrong == "" && !d.None {
		rows, total, err := s.Org.NotFiled(ctx, q)
		if err != nil {
			return err
		}
		d.Rows, d.list = notFiledRows(rows), newList(r, paging.Text, paging.Offset, len(rows), total)
		if q.MessageID != "" && total == 0 {
			if d.Filed, err = s.whereFiled(r, q); err != nil {
				return err
			}
		}
	}
	d.Text = paging.Text
	if viewer.Admin && slices.ContainsFunc(d.Rows, func(r notFiledRow) bool { return r.Reason == crm.NoContact }) {
		d.Stranger = string(q.Address)
	}
	return s.show(w, r, http.StatusOK, "not-filed", page{Title: "Not filed, why", Place: "not-filed", Data: d})
}

// readNeedle tells a Message-ID from an address: both hold an @, but people copy an id
// with its angle brackets, and an address that is one parses.
func readNeedle(text string, q *store.NotFiledQuery) (wrong string) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
	case strings.HasPrefix(text, "<"):
		if q.MessageID = mail.MessageID(text); q.MessageID == "" {
			return "This is no Message-ID. It stands in the message's headers, like <abc@mail.example>."
		}
	default:
		address, err := mail.ParseAddress(text)
		if err != nil {
			return "Enter an address, or a Message-ID in angle brackets such as <abc@mail.example>. Subjects cannot be searched: of mail that is not filed none is kept."
		}
		q.Address = address
	}
	return ""
}

// whereFiled finds a message that was looked for among those not filed, but is filed.
func (s *server) whereFiled(r *http.Request, q store.NotFiledQuery) (map[crm.MessageID][]string, error) {
	boxes := []crm.MailboxID{q.Mailbox}
	if q.Mailbox == 0 {
		all, _, err := s.Org.Mailboxes(r.Context(), store.ListQuery{Limit: store.Everything})
		if err != nil {
			return nil, err
		}
		boxes = boxes[:0]
		for _, b := range all {
			boxes = append(boxes, b.ID)
		}
	}
	found := map[crm.MessageID][]string{}
	for _, box := range boxes {
		list, err := s.Org.Explain(r.Context(), box, q.MessageID)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if e.Outcome == crm.Filed && e.Message != 0 {
				found[e.Message] = append(found[e.Message], e.Folder)
			}
		}
	}
	return found, nil
}
