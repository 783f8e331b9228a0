package ews

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An Error says that a request failed as a whole, or, made by Result.Err, that one part
// of it did. Branch on Code and Status, on the kinds of Err, never on texts.
type Error struct {
	Operation string
	Mailbox   string
	Status    int           // HTTP; 0 when there was no answer
	Code      string        // Exchange's code; "" when Exchange gave none
	Text      string        // what the server says, in its language
	XML       MessageXML    // what it adds for programs
	After     time.Duration // how long it asks to be left alone
	Location  string        // where it redirects to
	Page      bool          // the answer was a web page, or something else that Exchange never sends
	Known     bool          // Exchange has answered at this address before
	Admitted  bool          // and carried out a request under this User-Agent
	UserAgent string        // as sent
	RequestID string        // client-request-id
	Err       error         // what went wrong below Exchange, if that is it
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ews %s", e.Operation)
	if e.Mailbox != "" {
		fmt.Fprintf(&b, " for %s", e.Mailbox)
	}
	if e.Status != 0 && e.Status != http.StatusOK {
		fmt.Fprintf(&b, ": http %d", e.Status)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, ": %s", e.Code)
	}
	if e.Page {
		b.WriteString(": a page instead of an answer")
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// inner is the code to judge by: Exchange wraps some, as a rule ErrorServerBusy.
func (e *Error) inner() string {
	if inner := e.XML.Get("InnerErrorResponseCode"); e.Code == "ErrorInternalServerError" && inner != "" {
		return inner
	}
	return e.Code
}

// Err is nil when the results beside r can be relied on, else an *Error with its code.
// A message without a code or of an unknown class is a failure.
func (r *Result) Err() error {
	if r.OK() {
		return nil
	}
	e := &Error{Status: http.StatusOK, Code: r.Code, Text: r.Text, XML: r.XML, After: backOff(r.XML)}
	if r.Code == "" {
		e.Err = errNoCode
	}
	return e
}

var errNoCode = errors.New("response message without a code")

// failure makes an *Error of what is known about a transaction.
func (c *Client) failure(t *transaction, err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	e := &Error{
		Operation: t.call.Operation, Mailbox: t.call.Mailbox, Status: t.call.Status, RequestID: t.call.RequestID, Err: err,
		Known: c.answered.Load(), Admitted: c.admitted.Load() == t.call.UserAgent, UserAgent: t.call.UserAgent,
	}
	if t.resp != nil {
		e.Code = t.resp.Header.Get("X-CasErrorCode")
		e.Location = t.resp.Header.Get("Location")
		e.After = retryAfter(t.resp.Header.Get("Retry-After"), c.now())
		e.Page = foreign(t.resp.Header.Get("Content-Type"))
	}
	return e
}

// foreign tells of a type of content, if given, that it is not Exchange's: its answers
// are text/xml, with MTOM multipart/related.
func foreign(contentType string) bool {
	t := strings.ToLower(contentType)
	return strings.Contains(t, "html") || t != "" && !strings.Contains(t, "xml") && !strings.HasPrefix(t, "multipart/")
}

// backOff reads the hint that comes with ErrorServerBusy, in milliseconds.
func backOff(x MessageXML) time.Duration {
	ms, err := strconv.ParseInt(strings.TrimSpace(x.Get("BackOffMilliseconds")), 10, 64)
	if err != nil || ms < 0 {
		return 0
	}
	return min(time.Duration(ms), maxBackOff/time.Millisecond) * time.Millisecond
}

// maxBackOff is the longest hint that is believed.
const maxBackOff = 24 * time.Hour

// retryAfter reads a header of seconds or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(strings.TrimSpace(s)); err == nil && n >= 0 {
		return min(time.Duration(n), maxBackOff/time.Second) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return min(max(at.Sub(now), 0), maxBackOff)
	}
	return 0
}
