package report

import (
	"errors"
	"testing"
	"time"

	"postern/mail"
	"postern/store"
)

func TestAccessFilter(t *testing.T) {
	day := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		filter AccessFilter
		want   store.AccessQuery
		bad    string // field that cannot be read
	}{
		{filter: AccessFilter{}},
		{filter: AccessFilter{From: "2026-11-20", To: "2026-11-20"}, want: store.AccessQuery{From: day, To: day.AddDate(0, 0, 1)}},
		{filter: AccessFilter{To: "2026-11-20T15:04:05Z"}, want: store.AccessQuery{To: time.Date(2026, 11, 20, 15, 4, 5, 0, time.UTC)}},
		{filter: AccessFilter{Mailbox: "Ann@Acme.Example", Result: "log-on", Request: "r-1", UserAgent: "Acme/1"},
			want: store.AccessQuery{Mailbox: mail.Address("ann@acme.example"), Result: store.AccessLogOn, RequestID: "r-1", UserAgent: "Acme/1"}},
		{filter: AccessFilter{From: "yesterday"}, bad: "from"},
		{filter: AccessFilter{To: "2026-13-01"}, bad: "to"},
		{filter: AccessFilter{Mailbox: "nobody"}, bad: "mailbox"},
		{filter: AccessFilter{Result: "fine"}, bad: "result"},
	} {
		got, err := c.filter.Query()
		if bad, ok := errors.AsType[*FilterError](err); ok != (c.bad != "") || ok && bad.Field != c.bad {
			t.Errorf("%+v: %v, want what is wrong with %q", c.filter, err, c.bad)
		}
		if c.bad == "" && got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.filter, got, c.want)
		}
	}
}
