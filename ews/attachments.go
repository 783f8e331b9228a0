package ews

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"postern/crm"
)

// linked is the fault of an attachment that is a link: there are no bytes to be had.
var linked = ruling{crm.Refused, crm.ItemScope, 0, "The attachment is a link to a file elsewhere.", "Open the message in Outlook to follow the link."}

func (r ruling) fault(code string) *crm.Fault {
	return &crm.Fault{Verdict: r.verdict, Scope: r.scope, After: r.after, Code: code, Message: r.message, Advice: r.advice}
}

// Attachments packs small attachments into one call and streams each of them. What came
// along with its message is not asked for again.
func (s *source) Attachments(ctx context.Context, box *crm.Mailbox, list []crm.Enclosure, take func(i int, r io.Reader, fault *crm.Fault) error) error {
	ss := s.session(box)
	b := &batch{s: s, answered: make([]bool, len(list))}
	b.ask = func(ctx context.Context, part []int) error {
		return s.getAttachments(ctx, ss, list, part, func(i int, r io.Reader, f *crm.Fault) error {
			b.answered[i] = true
			return take(i, r, f)
		})
	}
	b.alone = func(i int, f *crm.Fault) error { return take(i, nil, f) }
	var fetch []int
	for i := range list {
		if list[i].Content == nil {
			fetch = append(fetch, i)
		} else if err := take(i, bytes.NewReader(list[i].Content), nil); err != nil {
			return err
		}
	}
	count := attachPack
	if s.oneByOne() {
		count = 1
	}
	for _, pack := range packs(len(fetch), count, func(k int) int64 { return list[fetch[k]].Size }) {
		for k := range pack {
			pack[k] = fetch[pack[k]]
		}
		if err := b.run(ctx, pack); err != nil {
			return err
		}
	}
	return nil
}

// contentErr tells why a content that was streamed is not whole.
func contentErr(r *AttachmentsResult) error {
	for i := range r.Attachments {
		a := &r.Attachments[i]
		if a.Content != nil && a.Content.Err != nil {
			return a.Content.Err
		}
		for k := range a.Item {
			if m := a.Item[k].Mime; m != nil && m.Err != nil {
				return m.Err
			}
		}
	}
	return nil
}

func (s *source) oneByOne() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.singly
}

// getAttachments makes one call. A content goes to take while it comes in; that the
// server gave another number of answers shows only later, so from then on attachments
// are asked for one by one.
func (s *source) getAttachments(ctx context.Context, ss *Session, list []crm.Enclosure, part []int, take func(i int, r io.Reader, f *crm.Fault) error) error {
	op := &GetAttachment{}
	for _, i := range part {
		op.IDs = append(op.IDs, list[i].ID)
	}
	if slices.ContainsFunc(part, func(i int) bool { return list[i].Type == "message/rfc822" }) {
		op.Shape = &AttachmentShape{IncludeMimeContent: true} // of attached items; files have none
	}
	var flow *flow // of the content that is coming in
	defer func() {
		if flow != nil {
			flow.end(io.ErrUnexpectedEOF)
		}
	}()
	err := ss.GetAttachment(ctx, op, func(k int) io.Writer {
		if flow != nil {
			return io.Discard // of an item inside the attached one
		}
		flow = startFlow(func(r io.Reader) error { return take(part[k], r, nil) })
		return flow
	}, func(k int, r *AttachmentsResult) error {
		i, f := part[k], flow
		flow = nil
		err := r.Err()
		if f != nil {
			if err == nil {
				err = contentErr(r)
			}
			return stopped(f.end(err))
		}
		if err == nil && slices.ContainsFunc(r.Attachments, func(a Attachment) bool { return a.Element == ReferenceAttachment }) {
			return stopped(take(i, nil, linked.fault("attachment-is-link")))
		}
		if err == nil {
			return stopped(take(i, bytes.NewReader(nil), nil)) // an attachment of no bytes
		}
		fault := s.fault(err, crm.ItemScope)
		switch {
		case fault.Code == "ErrorBatchProcessingStopped":
			return nil
		case fault.Scope != crm.ItemScope:
			return fault
		}
		return stopped(take(i, nil, fault))
	})
	if errors.Is(err, ErrCount) {
		s.mu.Lock()
		s.singly = true
		s.mu.Unlock()
	}
	return err
}

// A flow turns what is written to it into what its taker reads.
type flow struct {
	*io.PipeWriter
	done chan error
}

func startFlow(take func(io.Reader) error) *flow {
	r, w := io.Pipe()
	f := &flow{w, make(chan error, 1)}
	go func() {
		err := caught(func() error { return take(r) })
		r.CloseWithError(io.ErrClosedPipe)
		f.done <- err
	}()
	return f
}

// caught makes an error of a panic in a goroutine of its own, where nobody else could: it
// would end the program.
func caught(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = crm.Stumbled(p)
		}
	}()
	return do()
}

// end tells the taker that there is no more, because of err if that is not nil, and
// waits for it.
func (f *flow) end(err error) error {
	f.CloseWithError(err)
	return <-f.done
}

// Write drops what the taker does not want; its error is told at the end.
func (f *flow) Write(p []byte) (int, error) {
	if n, err := f.PipeWriter.Write(p); err != io.ErrClosedPipe {
		return n, err
	}
	return len(p), nil
}

// Original streams the message as Exchange makes it anew from its properties.
func (s *source) Original(ctx context.Context, box *crm.Mailbox, id string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	o := &original{PipeReader: r, cancel: cancel, ended: make(chan struct{})}
	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	var failure error
	go func() {
		defer close(o.ended)
		op := &GetItem{Shape: ItemShape{Base: IDOnly, IncludeMimeContent: true}, IDs: []ItemID{{ID: id}}}
		err := caught(func() error {
			return s.session(box).GetItem(ctx, op, func(int) io.Writer { begin(); return w }, func(_ int, r *ItemsResult) error {
				if err := r.Err(); err != nil {
					return err
				}
				if len(r.Items) == 0 || r.Items[0].Mime == nil {
					return &noMIME
				}
				return r.Items[0].Mime.Err
			})
		})
		failure = s.err(err, crm.ItemScope)
		w.CloseWithError(failure)
	}()
	select {
	case <-begun:
	case <-o.ended:
		if failure != nil {
			cancel()
			return nil, failure
		}
	}
	return o, nil
}

type original struct {
	*io.PipeReader
	cancel context.CancelFunc
	ended  chan struct{}
}

// Close ends the download.
func (o *original) Close() error {
	o.cancel()
	o.PipeReader.Close()
	<-o.ended
	return nil
}
