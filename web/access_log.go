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
	"postern/mail"
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
}

// An accessFilter is what was asked for, in the words of the form.
type accessFilter struct {
	From, To, Mailbox, Operation, Account, Source, UserAgent, Result, Code, Request string
}

// Any tells whether anything is filtered out.
func (f accessFilter) Any() bool { return f != (accessFilter{}) }

// More tells whether one of the filters is set that are folded away.
func (f accessFilter) More() bool {
	f.Mailbox, f.Operation, f.Result = "", "", ""
	return f.Any()
}

// Kind is the type of a field for a time: a moment does not fit into one for days.
func (accessFilter) Kind(value string) string {
	if _, day, err := parseTime(value); err == nil && (day || value == "") {
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

// readAccess reads the filters of the address as a query to the store. What cannot be
// read is refused, not passed over: a log that shows more than was asked for misleads.
func readAccess(form url.Values) (accessFilter, store.AccessQuery, error) {
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	f := accessFilter{get("from"), get("to"), get("mailbox"), get("operation"), get("account"), get("source"), get("user_agent"), get("result"), get("code"), get("request")}
	q := store.AccessQuery{Operation: f.Operation, Account: f.Account, Source: f.Source, UserAgent: f.UserAgent, Result: store.AccessResult(f.Result),
		Code: f.Code, RequestID: f.Request, Before: form.Get("before")}
	var err error
	if q.From, _, err = parseTime(f.From); err != nil {
		return f, q, badFilter("from", f.From, err)
	}
	day := false
	if q.To, day, err = parseTime(f.To); err != nil {
		return f, q, badFilter("to", f.To, err)
	}
	if day {
		q.To = q.To.AddDate(0, 0, 1)
	}
	if f.Mailbox != "" {
		if q.Mailbox, err = mail.ParseAddress(f.Mailbox); err != nil {
			return f, q, badFilter("mailbox", f.Mailbox, err)
		}
	}
	if accessResults[q.Result] == "" && f.Result != "" {
		return f, q, badFilter("result", f.Result, fmt.Errorf("no such result"))
	}
	return f, q, nil
}

// parseTime reads a day, of the calendar of UTC, or a moment.
func parseTime(text string) (t time.Time, day bool, err error) {
	if text == "" {
		return t, false, nil
	}
	if t, err = time.Parse(time.DateOnly, text); err == nil {
		return t, true, nil
	}
	t, err = time.Parse(time.RFC3339, text)
	return t, false, err
}

func badFilter(name, value string, err error) error {
	return problem{http.StatusBadRequest, "bad-filter", "This filter cannot be read", fmt.Sprintf("%s=%s: %v.", name, value, err),
		"Write days as 2026-11-21 and moments as 2026-11-21T15:04:05Z, mailboxes as name@company.example."}
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
		if err := AuditAccessExport(r.Context(), s.Org, format, q); err != nil {
			return err
		}
		kind := map[string]string{CSV: "text/csv; charset=utf-8", JSON: "application/json"}[format]
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="access-log-%s.%s"`, s.Now().UTC().Format("2006-01-02-1504"), format))
		err = ExportAccess(w, format, func(take func(*store.AccessRow) error) error { return s.Org.EachAccess(r.Context(), q, take) })
		if err != nil {
			s.Log.Warn("export the access log", "err", err)
			panic(http.ErrAbortHandler)
		}
		return nil
	}
}

// A Summary is what was ever asked of Exchange, from where and under which name.
type Summary struct {
	Operations []operationJSON `json:"operations"`
	Origins    []originJSON    `json:"origins"`
}

type operationJSON struct {
	Operation string    `json:"operation"`
	Requests  int       `json:"requests"`
	Failed    int       `json:"failed"`
	Items     int64     `json:"items"`
	Sent      int64     `json:"sent_bytes"`
	Received  int64     `json:"received_bytes"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
}

type originJSON struct {
	UserAgent string    `json:"user_agent"`
	Source    string    `json:"source"`
	Host      string    `json:"host"`
	Account   string    `json:"account"`
	Requests  int       `json:"requests"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
}

// AccessSummary adds up the access log, from its beginning.
func AccessSummary(ctx context.Context, org *store.Org) (Summary, error) {
	sum := Summary{Operations: []operationJSON{}, Origins: []originJSON{}}
	operations, err := org.AccessOperations(ctx)
	if err != nil {
		return sum, err
	}
	for _, o := range operations {
		sum.Operations = append(sum.Operations, operationJSON{o.Operation, o.Requests, o.Failed, o.Items, o.Sent, o.Received, o.First, o.Last})
	}
	origins, err := org.AccessOrigins(ctx)
	for _, o := range origins {
		sum.Origins = append(sum.Origins, originJSON(o))
	}
	return sum, err
}

func (s *server) apiAccessSummary(w http.ResponseWriter, r *http.Request) error {
	sum, err := AccessSummary(r.Context(), s.Org)
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
		Next  string       `json:"next,omitempty"` // as ?before=
		Items []accessJSON `json:"items"`
	}{next, []accessJSON{}}
	for i := range list {
		answer.Items = append(answer.Items, accessToJSON(&list[i]))
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}
