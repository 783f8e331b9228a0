package ews

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern/crm"
	"postern/mail"
)

// mailbox opens one and counts what is to be read there. One that cannot be read does not
// end the test.
func (c *check) mailbox(ctx context.Context, address mail.Address) (found, error) {
	if !c.signedIn(address) {
		return found{detail: "not initialized: the user has not entered the own log-on yet, or not for what is tried here", skip: true}, nil
	}
	c.box = address
	box := &crm.Mailbox{Address: address}
	folders, err := c.src.Folders(ctx, box)
	if err != nil {
		return found{}, c.switchedOff(err)
	}
	c.opened = append(c.opened, opened{box, folders})
	var counts []string
	for _, role := range [...]struct {
		role crm.Role
		name string
	}{{crm.Inbox, "inbox"}, {crm.SentItems, "sent items"}} {
		if i := slices.IndexFunc(folders, func(f crm.Folder) bool { return f.Role == role.role }); i >= 0 {
			counts = append(counts, fmt.Sprintf("%s %d", role.name, folders[i].Total))
		}
	}
	how := map[crm.AuthModel]string{crm.ByDelegation: "as a delegate", crm.ByOwnSignIn: "by the own log-on"}[c.Settings.Model]
	if how == "" {
		how = "by impersonation"
	}
	return found{detail: how + ": " + strings.Join(counts, ", ")}, nil
}

// signedIn tells whether there is an account to open a mailbox with: its owner may have
// entered none.
func (c *check) signedIn(box mail.Address) bool {
	if c.Settings.Model != crm.ByOwnSignIn {
		return true
	}
	a, err := c.Transport.Account(box)
	return err == nil && !a.Empty()
}

// ownerOff is the code of a mailbox that alone is closed to EWS.
const ownerOff = "ews-forbidden"

// switchedOff names the mailbox that Exchange closes EWS to, though it let the account and
// this program in. Exchange on premises holds accounts that impersonate to no switch of the
// mailboxes that they open, so it is not to be seen there, and does no harm; Exchange
// Online does.
//
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/how-to-control-access-to-ews-in-exchange
func (c *check) switchedOff(err error) error {
	f := *c.src.fault(err, crm.MailboxScope)
	switch {
	case f.Code == "ews-blocked" && c.Settings.Model == crm.ByOwnSignIn:
		f.Message = fmt.Sprintf("Exchange closes EWS to the owner of %s, for whom it is switched off, or to this program (User-Agent %q).", c.box, c.Transport.UserAgent())
		return &f
	case f.Code != ownerOff:
		return err
	}
	f.Message = fmt.Sprintf("Exchange closes EWS to the mailbox %s, though it let this program and the account in: EWS is switched off for the mailbox.", c.box)
	return &f
}

// An opened mailbox, and what is in it.
type opened struct {
	box     *crm.Mailbox
	folders []crm.Folder
}

// noneOpened is what the steps say that need a mailbox.
var noneOpened = found{detail: "no mailbox could be opened to try it on", skip: true}

// scope tells which folders may be read.
func (c *check) scope(o *opened) []bool {
	if c.InScope != nil {
		return c.InScope(o.box.Address, o.folders)
	}
	return crm.InScope(o.folders)
}

// folders says which of a mailbox are read and which are left alone.
func (c *check) folders(context.Context) (found, error) {
	if len(c.opened) == 0 {
		return noneOpened, nil
	}
	o := &c.opened[0]
	read, items, left := 0, 0, 0
	roles := map[crm.Role]bool{}
	for i, in := range c.scope(o) {
		f := &o.folders[i]
		switch {
		case in:
			read++
			items += max(f.Total, 0)
		case f.Role != crm.Root:
			left++
		}
		roles[f.Role] = true
	}
	if !roles[crm.Inbox] {
		return found{}, &crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "no-inbox",
			Message: fmt.Sprintf("The mailbox %s shows no inbox to this account.", o.box.Address), Advice: "Let the account see the mailbox from its top, or the inbox at least."}
	}
	return found{detail: fmt.Sprintf("%s: %d to be read, with %d items; %d left alone", o.box.Address, read, items, left)}, nil
}

// synchronize reads one change, and what has changed since.
func (c *check) synchronize(ctx context.Context) (found, error) {
	if len(c.opened) == 0 {
		return noneOpened, nil
	}
	o := &c.opened[0]
	at := -1
	for i, in := range c.scope(o) {
		if in && (at < 0 || o.folders[i].Role == crm.Inbox) {
			at = i
		}
	}
	if at < 0 {
		return found{detail: "the policy lets no folder of " + string(o.box.Address) + " be read", skip: true}, nil
	}
	op := &SyncFolderItems{Shape: ItemShape{Base: IDOnly}, Folder: &FolderID{ID: o.folders[at].ID}, Max: 1}
	first, err := c.src.session(o.box).SyncFolderItems(ctx, op)
	if err != nil {
		return found{}, err
	}
	op.SyncState = first.SyncState
	again, err := c.src.session(o.box).SyncFolderItems(ctx, op)
	if err != nil {
		return found{}, err
	}
	if again.SyncState == "" {
		return found{}, &Error{Operation: op.Operation(), Mailbox: string(o.box.Address), Err: ErrCount}
	}
	return found{detail: fmt.Sprintf("%s of %s: a page, its state, and on from there", o.folders[at].Name, o.box.Address)}, nil
}

// errHeard ends a connection for notifications on which something came.
var errHeard = errors.New("heard")

// notifications subscribes, waits for a sign of life, and gives the subscription back.
func (c *check) notifications(ctx context.Context) (found, error) {
	if len(c.opened) == 0 {
		return noneOpened, nil
	}
	box := c.opened[0].box
	sub, err := c.src.Subscribe(ctx, box, box)
	if err != nil {
		f := c.src.fault(err, crm.MailboxScope)
		if f.Code == "no-notifications" {
			return found{detail: "the server tells of no changes; mailboxes are looked at regularly", warn: f}, nil
		}
		return found{}, f
	}
	defer func() { _ = c.src.Unsubscribe(context.WithoutCancel(ctx), sub) }() // else it expires by itself
	if !sub.Streaming {
		if _, err := c.src.Pull(ctx, &sub); err != nil {
			return found{}, err
		}
		return found{detail: "by asking: the server does not stream"}, nil
	}
	op := &GetStreamingEvents{SubscriptionIDs: []string{sub.ID}, Timeout: 1}
	heard := "a sign of life"
	c.streams = true
	err = c.src.session(box).GetStreamingEvents(ctx, c.src.group(box), op, func(r *GetStreamingEventsResult) error {
		if !r.OK() {
			return nil
		}
		for i := range r.Notifications {
			if happened(r.Notifications[i].Events) {
				heard = "an event"
			}
		}
		return errHeard
	})
	if err != nil && !errors.Is(err, errHeard) {
		return found{}, err
	}
	return found{detail: "streamed: subscribed, heard " + heard + ", unsubscribed"}, nil
}
