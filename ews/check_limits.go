package ews

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"postern/crm"
)

// outside asks for a mailbox that Exchange itself must refuse. That we are careful is no
// proof: the account must not be able to. Nothing of the mailbox is asked for but the id of
// its root folder.
func (c *check) outside(ctx context.Context) (found, error) {
	if c.Outside == "" {
		return found{detail: "not shown: no mailbox was named that must be refused", skip: true}, nil
	}
	if c.Settings.Model == crm.ByOwnSignIn {
		if len(c.opened) == 0 {
			return noneOpened, nil
		}
		client, err := c.src.clientFor(c.opened[0].box.Address)
		if err != nil {
			return found{}, err
		}
		return c.outsideBy(ctx, client, "the owner of "+string(c.opened[0].box.Address))
	}
	var last found
	for _, a := range c.accounts() {
		client, err := c.clientOf(a)
		if err != nil {
			return found{}, err
		}
		last, err = c.outsideBy(ctx, client, "the account "+a.Login)
		if err != nil || last.skip || last.warn != nil {
			return last, err
		}
	}
	return last, nil
}

// outsideBy asks by one of the accounts.
func (c *check) outsideBy(ctx context.Context, client *Client, who string) (found, error) {
	ss := client.As(string(c.Outside))
	answers, err := ss.GetFolder(ctx, rootOf(ss))
	if err == nil && len(answers) == 1 {
		err = answers[0].Err()
	}
	if err == nil {
		return found{}, &crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "wider-than-needed",
			Message: fmt.Sprintf("Exchange lets %s open %s, which is not among the mailboxes that it is meant for.", who, c.Outside),
			Advice:  "Narrow the account's rights to the mailboxes that are to be read."}
	}
	if own, ok := errors.AsType[*crm.Fault](err); ok {
		return found{detail: fmt.Sprintf("not shown: Postern itself does not ask for %s (%s)", c.Outside, own.Code), skip: true}, nil
	}
	f := c.src.fault(err, crm.MailboxScope)
	switch f.Cause {
	case crm.NotPermitted:
		return found{detail: fmt.Sprintf("Exchange refuses %s (%s)", c.Outside, f.Code)}, nil
	case crm.NoMailbox:
		if c.Settings.Model == crm.ByImpersonation {
			f.Message = fmt.Sprintf("Exchange knows no mailbox %s, so that its refusal shows nothing.", c.Outside)
			f.Advice = "Name a mailbox that exists and is not among those to be read."
			return found{detail: "not shown: there is no such mailbox", warn: f}, nil
		}
		return found{detail: fmt.Sprintf("Exchange shows no %s to the account (%s)", c.Outside, f.Code)}, nil
	}
	return found{}, f
}

// stranger asks once more under a User-Agent that the filter of Exchange must refuse.
func (c *check) stranger(ctx context.Context) (found, error) {
	if c.Stranger == nil {
		return found{detail: "not shown: Exchange is not said to filter by User-Agent", skip: true}, nil
	}
	other, err := open(c.Settings, c.Stranger, c.tune...)
	if err != nil {
		return found{}, unopened(err)
	}
	defer other.Close()
	box := &crm.Mailbox{}
	if len(c.opened) > 0 {
		box = c.opened[0].box
	}
	name := c.Stranger.UserAgent()
	ss := other.session(box)
	_, err = ss.GetFolder(ctx, rootOf(ss))
	e, _ := errors.AsType[*Error](err)
	switch {
	case e == nil && err != nil:
		return found{}, err
	case e != nil && (e.Status == http.StatusForbidden || e.Status == 0 && !timedOut(err) || other.fault(err, crm.MailboxScope).Cause == crm.Unlicensed):
		return found{detail: fmt.Sprintf("refused as %q", name)}, nil
	case e != nil && !errors.Is(err, errFault) && e.Status != http.StatusOK:
		return found{}, err
	}
	return found{}, &crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "wider-than-needed",
		Message: fmt.Sprintf("Exchange answers a program that calls itself %q, too: it does not hold the account to the User-Agent %q.", name, c.Transport.UserAgent()),
		Advice:  "Let only the User-Agent of the settings, and those of your other programs, use EWS."}
}

// usersEWS says what is not tested, so that nobody takes it for an error: with a service
// account, EWS may be off for everybody else.
func (c *check) usersEWS(context.Context) (found, error) {
	if c.Settings.Model == crm.ByOwnSignIn {
		return found{detail: "needed, as each user logs on by the own account: see the mailboxes", skip: true}, nil
	}
	return found{detail: "not needed: mailboxes are read by the service account, and EWS may be off for the users. What runs under a user's own log-on, as an add-in in Outlook, is not available then", skip: true}, nil
}
