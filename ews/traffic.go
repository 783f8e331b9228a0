package ews

import (
	"context"
	"errors"

	"postern/crm"
	"postern/mail"
)

// admit lets a request of the client out as the traffic says, and tells that what came
// of it.
func (s *source) admit(ctx context.Context, call Call) (func(...error), error) {
	primary, _ := mail.ParseAddress(call.Primary) // what is no address was not learned
	done, err := s.transport.Admit(ctx, crm.Request{Operation: call.Operation, Mailbox: mail.Address(call.Mailbox), Primary: primary, Hanging: call.Hanging})
	if err != nil {
		return nil, err
	}
	return func(errs ...error) { done(s.verdict(errs)) }, nil
}

// verdict is the fault that says most about the server: that it asks for a pause, else
// the error of the whole. What concerns an item or a folder only is none.
func (s *source) verdict(errs []error) *crm.Fault {
	var worst *crm.Fault
	for _, err := range errs {
		scope := crm.MailboxScope
		if e, ok := errors.AsType[*Error](err); ok && e.Operation == "" {
			scope = crm.ItemScope // a part of an answer
		}
		f := s.fault(err, scope)
		switch {
		case f.Scope == crm.ItemScope || f.Scope == crm.FolderScope:
		case worst == nil, f.Cause == crm.Throttled && worst.Cause != crm.Throttled:
			worst = f
		}
	}
	return worst
}
