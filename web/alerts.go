package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// An alertLine is what is wrong now, told once for all mailboxes it is wrong with.
type alertLine struct {
	Fault     *crm.Fault
	Since     time.Time
	Addresses []mail.Address // of the mailboxes; none = the connection itself
}

// Headline says in a few words what happened.
func (a alertLine) Headline() string {
	title := a.Fault.Cause.Title()
	switch n := len(a.Addresses); n {
	case 0:
		return capital(cmp.Or(title, a.Fault.Message))
	case 1:
		return a.Addresses[0].Display() + ": " + cmp.Or(title, a.Fault.Message)
	default:
		return plural(n, "mailbox", "mailboxes") + ": " + cmp.Or(causeOfMany(a.Fault.Cause), a.Fault.Message)
	}
}

// URL leads to what is wrong, and to what can be done about it.
func (a alertLine) URL() string {
	if len(a.Addresses) == 0 {
		return "/#attention"
	}
	return "/mailboxes?code=" + url.QueryEscape(a.Fault.Code)
}

// mailboxSubject begins the subject of an alert that is about one mailbox.
const mailboxSubject = "mailbox "

// alertLines puts alerts of one code together. What concerns the connection comes first,
// then what concerns the most mailboxes.
func alertLines(alerts []store.Alert) []alertLine {
	at := map[string]int{}
	var lines []alertLine
	for _, a := range alerts {
		address, ofBox := strings.CutPrefix(a.Subject, mailboxSubject)
		key := a.Code
		if !ofBox {
			key = a.Subject + "\n" + a.Code
		}
		i, ok := at[key]
		if !ok {
			i = len(lines)
			at[key] = i
			lines = append(lines, alertLine{
				Fault: &crm.Fault{Code: a.Code, Cause: a.Cause, Message: a.Message, Advice: a.Advice},
				Since: a.Opened,
			})
		}
		l := &lines[i]
		if ofBox {
			l.Addresses = append(l.Addresses, mail.Address(address))
		}
		if a.Opened.Before(l.Since) {
			l.Since = a.Opened
		}
	}
	slices.SortStableFunc(lines, func(a, b alertLine) int {
		return cmp.Or(cmp.Compare(min(len(a.Addresses), 1), min(len(b.Addresses), 1)), cmp.Compare(len(b.Addresses), len(a.Addresses)))
	})
	return lines
}

// openAlerts tells what is wrong, first of all that nothing can be written down, which no
// row can tell.
func (s *server) openAlerts(ctx context.Context) ([]alertLine, error) {
	alerts, err := s.Org.Alerts(ctx, true, store.Everything)
	lines := alertLines(alerts)
	if f, since := s.Trouble(); f != nil {
		lines = slices.Insert(lines, 0, alertLine{Fault: f, Since: since})
	}
	return lines, err
}

// bannerLines is how many alerts each page tells; the first page tells all.
const bannerLines = 3

// A banner tells on every page what wants an administrator.
type banner struct {
	Lines []alertLine
	More  int // that are told on the first page alone
}

func newBanner(lines []alertLine) banner {
	n := min(len(lines), bannerLines)
	return banner{lines[:n], len(lines) - n}
}

type alertJSON struct {
	ID      int64     `json:"id"`
	Code    string    `json:"code"`
	Cause   crm.Cause `json:"cause,omitempty"`
	Subject string    `json:"subject"`
	Message string    `json:"message"`
	Advice  string    `json:"advice"`
	Opened  time.Time `json:"opened"`
	Seen    time.Time `json:"seen"`
	Count   int       `json:"count"`
}

func (s *server) apiAlerts(w http.ResponseWriter, r *http.Request) error {
	alerts, err := s.Org.Alerts(r.Context(), true, store.Everything)
	if err != nil {
		return err
	}
	answer := pageJSON[alertJSON]{Total: len(alerts), Items: []alertJSON{}}
	for _, a := range alerts {
		answer.Items = append(answer.Items, alertJSON{a.ID, a.Code, a.Cause, a.Subject, a.Message, a.Advice, a.Opened, a.Seen, a.Count})
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}
