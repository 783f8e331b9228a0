package report

import (
	"errors"
	"fmt"
	"time"

	"postern/mail"
	"postern/store"
)

// An AccessFilter says in texts which requests of the access log are meant; "" = any.
type AccessFilter struct {
	From, To                                                              string // a day of UTC, To included, or a moment
	Mailbox, Operation, Account, Source, UserAgent, Result, Code, Request string
}

// A FilterError says which text of a filter cannot be read.
type FilterError struct {
	Field, Value string // field as the API names it
	Err          error
}

func (e *FilterError) Error() string { return fmt.Sprintf("%s=%s: %v", e.Field, e.Value, e.Err) }

func (e *FilterError) Unwrap() error { return e.Err }

// Query returns the filter as a query to the store. What cannot be read is a *FilterError,
// and not passed over: a log that shows more than was asked for misleads.
func (f AccessFilter) Query() (store.AccessQuery, error) {
	q := store.AccessQuery{Operation: f.Operation, Account: f.Account, Source: f.Source, UserAgent: f.UserAgent, Result: store.AccessResult(f.Result),
		Code: f.Code, RequestID: f.Request}
	var err error
	if q.From, err = parseTime(f.From, 0); err != nil {
		return q, &FilterError{"from", f.From, err}
	}
	if q.To, err = parseTime(f.To, 1); err != nil {
		return q, &FilterError{"to", f.To, err}
	}
	if f.Mailbox != "" {
		if q.Mailbox, err = mail.ParseAddress(f.Mailbox); err != nil {
			return q, &FilterError{"mailbox", f.Mailbox, err}
		}
	}
	if f.Result != "" && !q.Result.Known() {
		return q, &FilterError{"result", f.Result, errors.New("no such result")}
	}
	return q, nil
}

// parseTime reads a moment, or the beginning of a day of UTC so many days later.
func parseTime(text string, days int) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t.AddDate(0, 0, days), nil
	}
	return time.Parse(time.RFC3339, text)
}
