package report

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// An Access is a request to Exchange as other programs read it.
type Access struct {
	At              time.Time          `json:"at"`
	TookSeconds     float64            `json:"took_seconds"`
	Mailbox         mail.Address       `json:"mailbox,omitempty"` // absent: the account acted for itself
	Operation       string             `json:"operation"`
	Folder          string             `json:"folder,omitempty"`
	FolderPath      string             `json:"folder_path,omitempty"`
	Items           int                `json:"items"`
	Sent            int64              `json:"sent_bytes"`
	Received        int64              `json:"received_bytes"`
	Result          store.AccessResult `json:"result"`
	Status          int                `json:"status"`
	Code            string             `json:"code,omitempty"`
	Hanging         bool               `json:"waits_for_notifications,omitempty"`
	UserAgent       string             `json:"user_agent"`
	Source          string             `json:"source"`
	Host            string             `json:"host"`
	Account         string             `json:"account"`
	RequestID       string             `json:"client_request_id"`
	ServerRequestID string             `json:"request_id,omitempty"`
	Test            bool               `json:"connection_test,omitempty"` // or of the search for a server
}

// NewAccess puts a request into JSON.
func NewAccess(a *store.AccessRow) Access {
	return Access{a.At, a.Took.Seconds(), a.Mailbox, a.Operation, a.Folder, a.Path, a.Items, a.Sent, a.Received, a.Result, a.Status, a.Code, a.Hanging,
		a.UserAgent, a.Source, a.Host, a.Account, a.RequestID, a.ServerRequestID, a.Test}
}

// accessColumns are those of the CSV file, in the words of Access.
var accessColumns = []string{"at", "took_seconds", "mailbox", "operation", "folder", "folder_path", "items", "sent_bytes", "received_bytes", "result", "status", "code",
	"waits_for_notifications", "user_agent", "source", "host", "account", "client_request_id", "request_id", "connection_test"}

func accessCells(a *store.AccessRow) []string {
	cells := []string{a.At.Format(time.RFC3339Nano), strconv.FormatFloat(a.Took.Seconds(), 'f', -1, 64), string(a.Mailbox), a.Operation, a.Folder, a.Path,
		strconv.Itoa(a.Items), strconv.FormatInt(a.Sent, 10), strconv.FormatInt(a.Received, 10), string(a.Result), strconv.Itoa(a.Status), a.Code,
		strconv.FormatBool(a.Hanging), a.UserAgent, a.Source, a.Host, a.Account, a.RequestID, a.ServerRequestID, strconv.FormatBool(a.Test)}
	for i, text := range cells {
		cells[i] = crm.SafeCell(text)
	}
	return cells
}

// ExportAccess notes in the audit log that somebody exports the access log, and returns what
// writes the requests that match. An array of JSON lacks its end when it was cut short.
func ExportAccess(ctx context.Context, org *store.Org, format string, q store.AccessQuery) (write func(io.Writer) error, err error) {
	err = noteExport(ctx, org, "access-log.export", format, []filtered{{"from", moment(q.From)}, {"to", moment(q.To)}, {"mailbox", string(q.Mailbox)}, {"operation", q.Operation},
		{"account", q.Account}, {"source", q.Source}, {"user-agent", q.UserAgent}, {"result", string(q.Result)}, {"code", q.Code}, {"request", q.RequestID}})
	if err != nil {
		return nil, err
	}
	return func(w io.Writer) error {
		return WriteAccess(w, format, func(take func(*store.AccessRow) error) error { return org.EachAccess(ctx, q, take) })
	}, nil
}

// A filtered is a field of a filter and what it lets through; "" = all.
type filtered struct{ field, value string }

// noteExport writes down who exports what, and in which format.
func noteExport(ctx context.Context, org *store.Org, action, format string, filter []filtered) error {
	lines := []string{"format " + format}
	for _, f := range filter {
		if f.value != "" {
			lines = append(lines, f.field+" "+f.value)
		}
	}
	return org.Audit(ctx, crm.AuditEntry{Action: action, Detail: strings.Join(lines, "\n")})
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// WriteAccess writes what each hands out, as it comes.
func WriteAccess(w io.Writer, format string, each func(take func(*store.AccessRow) error) error) error {
	if format == JSON {
		return accessArray(w, each)
	}
	out := csv.NewWriter(w)
	if err := out.Write(accessColumns); err != nil {
		return err
	}
	if err := each(func(a *store.AccessRow) error { return out.Write(accessCells(a)) }); err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

func accessArray(w io.Writer, each func(take func(*store.AccessRow) error) error) error {
	before := "["
	err := each(func(a *store.AccessRow) error {
		text, err := json.Marshal(NewAccess(a))
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\n%s", before, text)
		}
		before = ","
		return err
	})
	if err != nil {
		return err
	}
	if before == "[" {
		_, err = io.WriteString(w, "[]\n")
	} else {
		_, err = io.WriteString(w, "\n]\n")
	}
	return err
}
