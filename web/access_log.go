package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/crm"
	"postern/report"
	"postern/store"
)

// logDays is how far back the plot of the access log goes.
const logDays = 30

type accessLogData struct {
	Tab      string
	Rows     []store.AccessRow
	Filter   accessFilter
	Results  map[store.AccessResult]string
	Choices  accessChoices
	Older    string // address of the next page, "" at the end
	Newest   string // of the first page, "" on it
	CSV      string // addresses of the exports
	JSON     string
	Totals   []store.AccessDay // by operation, in the time of the plot
	Requests int
	Failed   int
	Plot     plot
	Days     int // that requests are kept
	MinDays  int
	MaxDays  int
	Saved    bool
	Waiting  []crm.Proposal
}

// An accessFilter is what was asked for, in the words of the form.
type accessFilter struct{ report.AccessFilter }

// Any tells whether anything is filtered out.
func (f accessFilter) Any() bool { return f != (accessFilter{}) }

// More tells whether one of the filters is set that are folded away.
func (f accessFilter) More() bool {
	f.Mailbox, f.Operation, f.Result = "", "", ""
	return f.Any()
}

// Kind is the type of a field for a time: a moment does not fit into one for days.
func (accessFilter) Kind(value string) string {
	if _, err := time.Parse(time.DateOnly, value); err == nil || value == "" {
		return "date"
	}
	return "text"
}

// accessChoices are what there is to choose from.
type accessChoices struct {
	Operations, Accounts, Sources, UserAgents []string
}

// accessResults are the words for what came of a request.
var accessResults = map[store.AccessResult]string{
	store.AccessOK: "Done", store.AccessRefused: "Refused", store.AccessNoAnswer: "No answer", store.AccessLogOn: "Log-on step",
}

// readAccess reads the filters of the address as a query to the store.
func readAccess(form url.Values) (accessFilter, store.AccessQuery, error) {
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	f := report.AccessFilter{From: get("from"), To: get("to"), Mailbox: get("mailbox"), Operation: get("operation"), Account: get("account"), Source: get("source"),
		UserAgent: get("user_agent"), Result: get("result"), Code: get("code"), Request: get("request")}
	q, err := f.Query()
	if err != nil {
		err = problem{http.StatusBadRequest, "bad-filter", "This filter cannot be read", err.Error() + ".",
			"Write days as 2026-11-21 and moments as 2026-11-21T15:04:05Z, mailboxes as name@company.example."}
	}
	q.Before = form.Get("before")
	return accessFilter{f}, q, err
}

// accessLog shows the requests to Exchange, newest first.
func (s *server) accessLog(w http.ResponseWriter, r *http.Request) error {
	ctx, form := r.Context(), r.URL.Query()
	f, q, err := readAccess(form)
	if err != nil {
		return err
	}
	d := accessLogData{Tab: "log", Filter: f, Results: accessResults, MinDays: store.MinAccessDays, MaxDays: store.MaxAccessDays, Saved: form.Get("saved") == "1"}
	var next string
	if d.Rows, next, err = s.Org.AccessLog(ctx, q); err != nil {
		return err
	}
	form.Del("saved")
	d.links(form, next)
	if d.Choices, err = s.accessChoices(r); err != nil {
		return err
	}
	now := s.Now()
	days, err := s.Org.AccessDays(ctx, now.AddDate(0, 0, 1-logDays), now)
	if err != nil {
		return err
	}
	d.count(days, now)
	if d.Days, err = s.Org.AccessRetention(ctx); err != nil {
		return err
	}
	if d.Waiting, err = s.waiting(ctx, crm.RetentionProposal); err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "access-log", page{Title: "Access log", Place: "access", Data: d})
}

// links sets the addresses of the neighbouring pages and of the exports.
func (d *accessLogData) links(form url.Values, next string) {
	address := func(name string) string {
		if len(form) == 0 {
			return name
		}
		return name + "?" + form.Encode()
	}
	before := form.Get("before")
	form.Del("before")
	d.CSV, d.JSON = address("/access/log.csv"), address("/access/log.json")
	if before != "" {
		d.Newest = address("/access/log")
	}
	if next != "" {
		form.Set("before", next)
		d.Older = address("/access/log")
	}
}

// accessChoices gathers what was ever used, to choose from.
func (s *server) accessChoices(r *http.Request) (c accessChoices, err error) {
	operations, err := s.Org.AccessOperations(r.Context())
	if err != nil {
		return c, err
	}
	origins, err := s.Org.AccessOrigins(r.Context())
	if err != nil {
		return c, err
	}
	for _, o := range operations {
		c.Operations = append(c.Operations, o.Operation)
	}
	for _, o := range origins {
		c.Accounts, c.Sources, c.UserAgents = append(c.Accounts, o.Account), append(c.Sources, o.Source), append(c.UserAgents, o.UserAgent)
	}
	for _, list := range []*[]string{&c.Operations, &c.Accounts, &c.Sources, &c.UserAgents} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return c, nil
}

// count adds the days up, by operation and for the plot.
func (d *accessLogData) count(days []store.AccessDay, now time.Time) {
	first := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-logDays)
	all, failed, labels := make([]int, logDays), make([]int, logDays), make([]string, logDays)
	by := map[string]int{} // operation → place in Totals
	for _, day := range days {
		i, known := by[day.Operation]
		if !known {
			i = len(d.Totals)
			by[day.Operation] = i
			d.Totals = append(d.Totals, store.AccessDay{Operation: day.Operation})
		}
		t := &d.Totals[i]
		t.Requests, t.Failed, t.Items, t.Sent, t.Received = t.Requests+day.Requests, t.Failed+day.Failed, t.Items+day.Items, t.Sent+day.Sent, t.Received+day.Received
		t.FailedTests += day.FailedTests
		d.Requests, d.Failed = d.Requests+day.Requests, d.Failed+day.Failed
		if n := int(day.Day.Sub(first) / (24 * time.Hour)); n >= 0 && n < logDays {
			all[n], failed[n] = all[n]+day.Requests, failed[n]+day.Failed
		}
	}
	for i := range labels {
		labels[i] = fmt.Sprintf("%s: %s, %s failed", first.AddDate(0, 0, i).Format("Mon 2 Jan"), plural(all[i], "request", "requests"), number(failed[i]))
	}
	slices.SortFunc(d.Totals, func(a, b store.AccessDay) int { return b.Requests - a.Requests })
	d.Plot = newPlot(all, failed, labels)
	d.Plot.First, d.Plot.Last = first.Format("2 Jan"), now.UTC().Format("2 Jan")
}

// saveAccessRetention says for how long requests are kept.
func (s *server) saveAccessRetention(w http.ResponseWriter, r *http.Request) error {
	days, err := strconv.Atoi(strings.TrimSpace(r.PostFormValue("days")))
	if err != nil {
		return errBadForm
	}
	if err := s.setAccessRetention(r.Context(), days); err != nil {
		return err
	}
	return redirectTo("/access/log?saved=1")(w, r)
}

func (s *server) setAccessRetention(ctx context.Context, days int) error {
	err := s.Org.SetAccessRetention(ctx, days)
	if f, ok := errors.AsType[*crm.Fault](err); ok && f.Verdict == crm.Refused {
		return problem{http.StatusBadRequest, f.Code, "Nothing was changed", f.Message, f.Advice}
	}
	return err
}

func (s *server) apiSaveAccessRetention(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Days int `json:"days"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if err := s.setAccessRetention(r.Context(), body.Days); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, body)
	return nil
}

// exportAccess writes what the filters let through as a file, as long as it takes. An
// export that ends early breaks the connection, so that nobody takes it for whole.
func (s *server) exportAccess(format string) action {
	return func(w http.ResponseWriter, r *http.Request) error {
		_, q, err := readAccess(r.URL.Query())
		if err != nil {
			return err
		}
		write, err := report.ExportAccess(r.Context(), s.Org, format, q)
		if err != nil {
			return err
		}
		kind := map[string]string{report.CSV: "text/csv; charset=utf-8", report.JSON: "application/json"}[format]
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="access-log-%s.%s"`, s.Now().UTC().Format("2006-01-02-1504"), format))
		if err := write(w); err != nil {
			s.torn(r, err)
		}
		return nil
	}
}

func (s *server) apiAccessSummary(w http.ResponseWriter, r *http.Request) error {
	sum, err := report.Summarize(r.Context(), s.Org)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, sum)
	return nil
}

func (s *server) apiAccessLog(w http.ResponseWriter, r *http.Request) error {
	_, q, err := readAccess(r.URL.Query())
	if err != nil {
		return err
	}
	q.Limit = readLimit(r)
	list, next, err := s.Org.AccessLog(r.Context(), q)
	if err != nil {
		return err
	}
	answer := struct {
		Next  string          `json:"next,omitempty"` // as ?before=
		Items []report.Access `json:"items"`
	}{next, []report.Access{}}
	for i := range list {
		answer.Items = append(answer.Items, report.NewAccess(&list[i]))
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}
