// Package tell says outside what must be known outside: it gives the security contacts of an
// organization word by mail of what widens access to its mailboxes, and a sink the signed
// checkpoints of the audit log (see [Sink]).
//
//	server, err := tell.NewServer(os.Getenv("POSTERN_SMTP"), from)
//	teller := tell.Teller{Org: org, Send: server.Send, …}
//	teller.Run(ctx)
//
// What is owed stands in the outbox of the store since the very transaction that widened
// something, so a crash forgets none. A mail says what the audit log says: what, who, when, from
// what to what. It holds nothing of a mailbox and no secret, for that log has none. A mail that
// was taken when the process ended may be sent twice.
package tell

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// A Teller gives word for one organization.
type Teller struct {
	Org  *store.Org
	Name string                                                                 // of the organization
	Send func(ctx context.Context, to mail.Address, subject, text string) error // hands a mail over
	URL  string                                                                 // at which people open the pages; "" = not known
	Log  *slog.Logger
}

// pause is between two looks at what is owed.
const pause = 5 * time.Second

// Run gives word until ctx ends.
func (t *Teller) Run(ctx context.Context) {
	every(ctx, func() {
		if err := t.Once(ctx); err != nil && ctx.Err() == nil {
			t.Log.Error("tell the security contacts", "err", err)
		}
	})
}

// every does it now, and again after each pause, until ctx ends.
func every(ctx context.Context, do func()) {
	for {
		do()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// Once sends what is due.
func (t *Teller) Once(ctx context.Context) error {
	owed, err := t.Org.OwedWords(ctx)
	if err != nil {
		return err
	}
	for _, w := range owed {
		err := t.Send(ctx, w.To, t.subject(w), t.text(w))
		switch {
		case err == nil:
			err = t.Org.WordSent(ctx, w)
		case ctx.Err() != nil:
			return ctx.Err() // not the server's fault
		default:
			err = t.Org.WordFailed(ctx, w, err.Error())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Teller) subject(w store.Word) string {
	what := crm.AuditTitle(w.Entries[0].Action)
	if n := len(w.Entries); n > 1 {
		what = fmt.Sprintf("%d changes of access", n)
	}
	return fmt.Sprintf("Postern, %s: %s", t.Name, what)
}

func (t *Teller) text(w store.Word) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Access of Postern to mailboxes of %s changed. You are told because this address is,\nor was until then, named as a security contact there.\n", t.Name)
	for i := range w.Entries {
		b.WriteString(entryText(&w.Entries[i]))
	}
	if t.URL != "" {
		fmt.Fprintf(&b, "\nThe log: %s/access/audit\n", strings.TrimSuffix(t.URL, "/"))
	} else {
		b.WriteString("\nThe log: Access > Audit, in Postern.\n")
	}
	return b.String()
}

// maxLines is how much of an entry a mail tells. One of an import has a line or more for each user.
const maxLines = 100

func entryText(e *crm.AuditEntry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nEntry %d, %s\n", e.Seq, e.At.UTC().Format("2 January 2006 15:04:05 UTC"))
	what := crm.AuditTitle(e.Action)
	if e.Subject != "" {
		what += ": " + e.Subject
	}
	if e.Widens {
		what += " (widens access)"
	}
	fmt.Fprintf(&b, "  %s\n  by %s\n", line(what), line(e.Actor))
	n := 0
	for detail := range strings.Lines(e.Detail) {
		if n++; n <= maxLines {
			fmt.Fprintf(&b, "    %s\n", line(detail))
		}
	}
	if n > maxLines {
		fmt.Fprintf(&b, "    and %d lines more, which the log has in entry %d\n", n-maxLines, e.Seq)
	}
	return b.String()
}
