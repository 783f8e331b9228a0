package ews

import (
	"context"
	"errors"
	"slices"

	"postern/crm"
)

// errStop carries an error of the caller's callback past the judging of ours.
type errStop struct{ err error }

func (e errStop) Error() string { return e.err.Error() }

// divisible tells whether a call that failed as a whole may succeed in smaller parts.
func divisible(f *crm.Fault) bool {
	switch f.Code {
	case "timeout", "torn-answer", "unreadable-answer", "http-502", "http-504", "request-too-large", "answer-too-large",
		"count-mismatch", "ErrorTimeoutExpired", "ErrorRequestStreamTooBig", "ErrorInternalServerError",
		"ErrorInvalidPropertyRequest", "ErrorSchemaValidation", "soap-fault":
		return true
	}
	return false
}

// maxMisses is how many things in a row may fail alone, until it is no longer they but
// the server.
const maxMisses = 3

// A batch asks for many things in few calls, and tries in smaller parts what fails in
// large ones, so that a single bad thing costs itself alone.
type batch struct {
	s *source
	// ask makes one call for the things of these indices and marks those answered.
	ask func(ctx context.Context, part []int) error
	// alone is told what cannot be had even by itself.
	alone    func(i int, f *crm.Fault) error
	answered []bool
	misses   int
}

func (b *batch) run(ctx context.Context, part []int) error {
	for len(part) > 0 {
		err := b.ask(ctx, part)
		if stop, ok := errors.AsType[errStop](err); ok {
			return stop.err
		}
		before := len(part)
		part = slices.DeleteFunc(slices.Clone(part), func(i int) bool { return b.answered[i] })
		if len(part) < before {
			b.misses = 0
		}
		var f *crm.Fault
		switch {
		case err != nil:
			if f = b.s.fault(err, crm.ItemScope); ctx.Err() != nil || !divisible(f) {
				if f.Scope == crm.ItemScope {
					f.Scope = crm.MailboxScope
				}
				return f
			}
		case len(part) < before:
			continue // Exchange stopped before it came to the rest: put them back
		default:
			f = b.s.fault(&Error{Code: "ErrorBatchProcessingStopped"}, crm.ItemScope)
		}
		if len(part) > 1 {
			if err := b.run(ctx, part[:len(part)/2]); err != nil {
				return err
			}
			part = part[len(part)/2:]
			continue
		}
		for _, i := range part {
			if b.misses++; b.misses >= maxMisses && f.Code == "timeout" {
				f.Scope = crm.MailboxScope
				return f
			}
			b.answered[i] = true
			if err := b.alone(i, f); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// getItems makes one GetItem call. take is called for what is sure to belong to its id:
// an item that says so itself, and, once the number of answers has proved right,
// everything else by its position. Trouble that stops more than an item ends the call.
func (s *source) getItems(ctx context.Context, ss *Session, shape ItemShape, ids []ItemID, take func(i int, item *Item, f *crm.Fault) error) error {
	type answer struct {
		i    int
		item *Item
		err  error
	}
	var later []answer
	err := ss.GetItem(ctx, &GetItem{Shape: shape, IDs: ids}, nil, func(i int, r *ItemsResult) error {
		if i == 0 {
			later = later[:0]
		}
		a := answer{i: i, err: r.Err()}
		if len(r.Items) > 0 {
			a.item = &r.Items[0]
		} else if a.err == nil {
			a.err = ErrCount
		}
		if a.err == nil && a.item.ID.ID == ids[i].ID {
			return stopped(take(i, a.item, nil))
		}
		later = append(later, a)
		return nil
	})
	if err != nil {
		return err
	}
	for _, a := range later {
		if a.err == nil {
			if err := take(a.i, a.item, nil); err != nil {
				return errStop{err}
			}
			continue
		}
		f := s.fault(a.err, crm.ItemScope)
		if f.Code == "ErrorBatchProcessingStopped" {
			continue
		}
		if f.Scope != crm.ItemScope {
			return f
		}
		if err := take(a.i, nil, f); err != nil {
			return errStop{err}
		}
	}
	return nil
}

func stopped(err error) error {
	if err == nil {
		return nil
	}
	return errStop{err}
}

// packs divides things into parts of at most count things and packBytes bytes; a larger
// thing stands alone.
func packs(n, count int, size func(i int) int64) [][]int {
	var all [][]int
	var part []int
	var bytes int64
	for i := range n {
		if len(part) == count || len(part) > 0 && bytes+size(i) > packBytes {
			all = append(all, part)
			part, bytes = nil, 0
		}
		part = append(part, i)
		bytes += size(i)
	}
	if len(part) > 0 {
		all = append(all, part)
	}
	return all
}
