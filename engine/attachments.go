package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"postern/crm"
	"postern/store"
)

// attachmentBatch is how many attachments are asked for in one step.
const attachmentBatch = 200

// attachments fetches the contents that are still owed for messages of this mailbox, as
// far as the policy of this moment has them fetched: they may be owed by another one. The
// messages are visible already.
func (p *pass) attachments(ctx context.Context) error {
	for {
		if err := p.obey(ctx); err != nil {
			return err
		}
		if l := &p.grant.Limits; l.HeadersOnly || l.Attachments != crm.StoreAttachments {
			return p.Org.LeaveOwedAttachments(ctx, p.rev, p.box.ID, leftAlone(p.withheld(0, &crm.Header{})))
		}
		owed, err := p.Org.PendingAttachments(ctx, p.box.ID, p.Now(), attachmentBatch)
		if err != nil || len(owed) == 0 {
			return err
		}
		if err := p.fetch(ctx, owed); err != nil && !p.overtaken(ctx, err) {
			return fmt.Errorf("fetch %d attachments: %w", len(owed), err)
		}
	}
}

// withheld says which rule keeps all but the header of a message from being read; "" when
// none does.
func (p *pass) withheld(folder crm.FolderID, h *crm.Header) string {
	switch {
	case p.grant.Limits.HeadersOnly:
		return "of messages the header alone is read"
	case p.grant.Outside[folder]:
		return "the policy excludes the folder"
	}
	_, rule := p.grant.Limits.Refuses(h)
	return rule
}

// leftAlone is the note of an attachment that a rule keeps from being fetched.
func leftAlone(rule string) string {
	if rule == "" {
		return ""
	}
	return "It is not fetched: " + rule + "."
}

// fetch stores the contents of attachments, or why they cannot be had. What the policy
// leaves alone is listed by its name, until another policy has it fetched.
func (p *pass) fetch(ctx context.Context, owed []store.PendingAttachment) error {
	var results, left []store.AttachmentResult
	var want, renew []store.PendingAttachment
	for _, a := range owed {
		rule := p.withheld(a.Folder, &a.Header)
		switch {
		case rule != "" || p.grant.Limits.Attachments == crm.NameAttachments:
			left = append(left, store.AttachmentResult{ID: a.ID, State: store.AttachmentListed, Note: leftAlone(rule)})
		case a.Attachment.Size > p.grant.Limits.AttachmentLimit:
			left = append(left, store.AttachmentResult{ID: a.ID, State: store.AttachmentTooLarge})
		case a.Attachment.ID == "": // the copy that it was to be fetched from has left
			renew = append(renew, a)
		default:
			want = append(want, a)
		}
	}
	err := p.contents(ctx, want, func(i int, r io.Reader, fault *crm.Fault) error {
		if fault != nil && fault.Verdict == crm.Gone && want[i].Tries == 0 {
			renew = append(renew, want[i]) // the item changed, and with it the attachment's id
			return nil
		}
		result, err := p.keep(ctx, want[i], r, fault)
		if result.State == store.AttachmentTooLarge {
			left = append(left, result)
		} else {
			results = append(results, result)
		}
		return err
	})
	if err != nil && ctx.Err() != nil {
		return err
	}
	if saved := cmp.Or(p.Org.SaveAttachments(ctx, results), p.Org.LeaveAttachments(ctx, p.rev, left)); saved != nil {
		return saved
	}
	if err != nil {
		return err
	}
	return p.renew(ctx, renew)
}

// contents asks for the contents of attachments, if there are any.
func (p *pass) contents(ctx context.Context, want []store.PendingAttachment, take func(int, io.Reader, *crm.Fault) error) error {
	if len(want) == 0 {
		return nil
	}
	list := make([]crm.Enclosure, len(want))
	for i := range want {
		list[i] = want[i].Enclosure
	}
	return p.src.Attachments(ctx, p.box, list, take)
}

// keep stores one attachment's content.
func (p *pass) keep(ctx context.Context, a store.PendingAttachment, r io.Reader, fault *crm.Fault) (store.AttachmentResult, error) {
	result := store.AttachmentResult{ID: a.ID}
	if fault != nil {
		return p.later(a, fault), nil
	}
	blob, err := p.Org.PutBlob(ctx, r, p.grant.Limits.AttachmentLimit)
	switch {
	case errors.Is(err, store.ErrTooLarge):
		result.State = store.AttachmentTooLarge
		_, err = io.Copy(io.Discard, r)
		return result, err
	case err != nil:
		return p.later(a, crm.AsFault(err)), err
	}
	result.State, result.Blob = store.AttachmentStored, &blob
	return result, nil
}

// later is the result for an attachment that could not be had this time. What Exchange
// refuses for good stays so, with its reason.
func (p *pass) later(a store.PendingAttachment, f *crm.Fault) store.AttachmentResult {
	result := store.AttachmentResult{ID: a.ID, State: store.AttachmentFailed, Note: f.Error()}
	if f.Verdict == crm.Refused {
		result.State = store.AttachmentBlocked
	} else {
		result.RetryAt = p.Now().Add(max(f.After, ladder(a.Tries, time.Minute, time.Hour, 24*time.Hour, 7*24*time.Hour)))
	}
	return result
}

// renew asks anew for items whose attachment ids are no longer known and takes the new
// ids over; the attachments stay owed.
func (p *pass) renew(ctx context.Context, stale []store.PendingAttachment) error {
	if len(stale) == 0 {
		return nil
	}
	items := make(map[string][]store.PendingAttachment)
	var ids []string
	for _, a := range stale {
		if items[a.Item] == nil {
			ids = append(ids, a.Item)
		}
		items[a.Item] = append(items[a.Item], a)
	}
	headers, err := p.src.Headers(ctx, p.box, ids)
	if err != nil {
		return err
	}
	results := make(map[int64]store.AttachmentResult, len(stale))
	for _, a := range stale {
		results[a.ID] = p.later(a, vanished)
	}
	var left []store.AttachmentResult
	headers = slices.DeleteFunc(headers, func(h crm.Header) bool {
		rule := p.withheld(0, &h) // as the message is now; its folder was looked at with the rest
		for _, a := range items[h.ID] {
			switch {
			case h.Fault != nil:
				results[a.ID] = p.later(a, h.Fault)
			case rule != "":
				left = append(left, store.AttachmentResult{ID: a.ID, State: store.AttachmentListed, Note: leftAlone(rule)})
				delete(results, a.ID)
			}
		}
		return h.Fault != nil || rule != ""
	})
	if err := p.Org.LeaveAttachments(ctx, p.rev, left); err != nil {
		return err
	}
	err = p.src.Load(ctx, p.box, headers, func(item *crm.Item) error {
		for _, a := range items[item.ID] {
			if a.Ordinal < len(item.Attachments) {
				results[a.ID] = store.AttachmentResult{ID: a.ID, State: store.AttachmentPending, Source: item.Attachments[a.Ordinal].ID, RetryAt: p.Now()}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var list []store.AttachmentResult
	for _, r := range results {
		list = append(list, r)
	}
	return p.Org.SaveAttachments(ctx, list)
}

// LoadAttachment fetches the content of one attachment now, for organizations that have
// contents fetched on demand. Where there is nothing to be fetched, since the policy leaves
// it alone or no copy of the message is left, its row says why.
func (e *Engine) LoadAttachment(ctx context.Context, id int64) error {
	owed, err := e.Org.OwedAttachment(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := e.visit(ctx, owed.Mailbox)
	if err != nil {
		return err
	}
	if err := p.obey(ctx); err != nil {
		return err
	}
	if err := p.fetch(ctx, []store.PendingAttachment{*owed}); err != nil {
		return err
	}
	renewed, err := e.Org.OwedAttachment(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && renewed.Attachment.ID == owed.Attachment.ID {
		return nil
	}
	if err != nil {
		return err
	}
	return p.fetch(ctx, []store.PendingAttachment{*renewed}) // the message was moved: it has another id by now
}

// Original fetches a message as MIME from the newest copy that is still there. Exchange
// makes it anew at each call; it is not the sender's bytes.
func (e *Engine) Original(ctx context.Context, viewer crm.UserID, message crm.MessageID) (io.ReadCloser, error) {
	view, err := e.Org.Message(ctx, viewer, message)
	if err != nil {
		return nil, err
	}
	for _, c := range view.Copies {
		if !c.Gone.IsZero() {
			continue
		}
		p, err := e.visit(ctx, c.Mailbox)
		if err != nil {
			return nil, err
		}
		r, err := p.src.Original(ctx, p.box, c.Item)
		if err == nil || crm.AsFault(err).Verdict != crm.Gone {
			return r, err
		}
	}
	return nil, store.ErrNotFound
}

// visit prepares a call to a mailbox outside a pass.
func (e *Engine) visit(ctx context.Context, id crm.MailboxID) (*pass, error) {
	view, err := e.Org.Mailbox(ctx, id)
	if err != nil {
		return nil, err
	}
	line, err := e.current(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.gate.Allows(&view.Mailbox); err != nil {
		return nil, err
	}
	if held := line.stopped(e.Now()); held != nil {
		return nil, held
	}
	return e.newPass(ctx, line, &view.Mailbox)
}
