package main

import (
	"fmt"

	"postern/crm"
	"postern/mail"
)

type explainCommand struct {
	dataFlags
	Mailbox   string `arg:"" help:"Address of the mailbox."`
	MessageID string `arg:"" help:"Message-ID, with or without angle brackets."`
}

func (e *explainCommand) Run(c *common) error {
	st, org, err := e.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	box, err := mailbox(c, org, e.Mailbox)
	if err != nil {
		return err
	}
	found, err := org.Explain(c.ctx, box.ID, mail.MessageID(e.MessageID))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return &crm.Fault{Verdict: crm.Gone, Code: "no-such-message",
			Message: fmt.Sprintf("No item with that Message-ID was met in %s.", box.Address),
			Advice:  "Check the id; a message that has not arrived or lies in junk, drafts or deleted items has no decision."}
	}
	for _, x := range found {
		fmt.Fprintf(c.out, "%s: %s – %s\n", x.Folder, words(x.Outcome), x.Reason.Title())
		fmt.Fprintf(c.out, "  rule     %s\n  decided  %s\n", x.Rule, clock(x.DecidedAt))
		if x.Outcome == crm.Failed {
			fmt.Fprintf(c.out, "  tries    %d, next %s\n", x.Tries, clock(x.RetryAt))
		}
		for _, l := range x.Links {
			fmt.Fprintf(c.out, "  %-8s %s, by %s (%s)\n", side(l.User), l.Name, l.Address, l.Part)
		}
		for _, k := range x.Known {
			fmt.Fprintf(c.out, "  %-8s %s, by %s\n", side(k.User), k.Name, k.Address)
		}
	}
	return nil
}

func side(user crm.UserID) string {
	if user != 0 {
		return "user"
	}
	return "contact"
}

// words says an outcome to people.
func words(o crm.Outcome) string {
	switch o {
	case crm.Filed:
		return "filed"
	case crm.NotFiled:
		return "not filed"
	}
	return "failed, to be tried again"
}
