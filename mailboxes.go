package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"postern/crm"
	"postern/store"
)

type mailboxesCommand struct {
	List mailboxesList `cmd:"" default:"withargs" help:"Show the state of each mailbox."`
	Look mailboxesLook `cmd:"" help:"Have mailboxes looked at now."`
}

type mailboxesList struct {
	dataFlags
	JSON bool `help:"Print JSON."`
}

func (l *mailboxesList) Run(c *common) error {
	st, org, err := l.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	boxes, _, err := org.Mailboxes(c.ctx, store.ListQuery{Limit: store.Everything})
	if err != nil {
		return err
	}
	if l.JSON {
		return json.NewEncoder(c.out).Encode(boxes)
	}
	whyOff, err := org.WhyOff(c.ctx)
	if err != nil {
		return err
	}
	w := table(c.out)
	fmt.Fprintln(w, "MAILBOX\tSTATE\tSINCE\tON SERVER AT LAST LOOK\tFILED\tNOT FILED\tFAILED\tLAST LOOK\tTROUBLE")
	for _, b := range boxes {
		trouble := ""
		if b.State == crm.Off {
			trouble = whyOff(&b.Mailbox)
		}
		if b.Trouble != nil {
			trouble = b.Trouble.Error() + " " + b.Trouble.Advice
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\n", b.Address, b.State, clock(b.Since), b.Items,
			b.Counts.Filed, b.Counts.NotFiled, b.Counts.Failed, clock(b.Checked), trouble)
	}
	return w.Flush()
}

// clock shows a time in the zone of the machine.
func clock(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

type mailboxesLook struct {
	dataFlags
	Mailbox []string `arg:"" optional:"" help:"Addresses of mailboxes; none = all."`
	Whole   bool     `help:"Read from the beginning, not only what is new: brings back decisions, messages, texts and activities that a proof misses."`
}

func (l *mailboxesLook) Run(c *common) error {
	st, org, err := l.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	var ids []crm.MailboxID
	for _, text := range l.Mailbox {
		box, err := mailbox(c, org, text)
		if err != nil {
			return err
		}
		ids = append(ids, box.ID)
	}
	if l.Whole {
		if err := listAnew(c.ctx, org, ids); err != nil {
			return err
		}
	}
	if err := org.LookNow(c.ctx, ids...); err != nil {
		return err
	}
	fmt.Fprintln(c.out, "marked; a running Postern looks within a second, else the next collect does")
	return nil
}

// listAnew makes the folders of mailboxes (none: of all) start from their beginning. What
// is filed and whole is ticked off then, everything else is read again.
func listAnew(ctx context.Context, org *store.Org, ids []crm.MailboxID) error {
	if len(ids) == 0 {
		boxes, _, err := org.Mailboxes(ctx, store.ListQuery{Limit: store.Everything})
		if err != nil {
			return err
		}
		for i := range boxes {
			ids = append(ids, boxes[i].ID)
		}
	}
	for _, id := range ids {
		folders, err := org.Folders(ctx, id)
		if err != nil {
			return err
		}
		for i := range folders {
			if err := org.ResetFolder(ctx, folders[i].ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// mailbox finds a mailbox by its address.
func mailbox(c *common, org *store.Org, text string) (*store.MailboxView, error) {
	address, err := parseAddress(text)
	if err != nil {
		return nil, err
	}
	box, err := org.MailboxByAddress(c.ctx, address)
	if err != nil {
		return nil, &crm.Fault{Verdict: crm.Refused, Code: "no-such-mailbox", Err: err,
			Message: fmt.Sprintf("There is no mailbox %s.", address), Advice: "postern mailboxes lists those that there are."}
	}
	return box, nil
}
