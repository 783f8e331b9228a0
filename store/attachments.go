package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"postern/crm"
)

// AttachmentState says where the content of an attachment is.
type AttachmentState string

const (
	AttachmentPending  AttachmentState = "pending"   // to be fetched
	AttachmentStored   AttachmentState = "stored"    // here
	AttachmentTooLarge AttachmentState = "too_large" // above the limit, left at the server
	AttachmentBlocked  AttachmentState = "blocked"   // the server does not give it; Note says why
	AttachmentFailed   AttachmentState = "failed"    // could not be fetched; tried again when a time is set
	AttachmentListed   AttachmentState = "listed"    // name only, as the policy says; Note says why, if it is not for all
)

// A PendingAttachment is one whose content is to be fetched.
type PendingAttachment struct {
	ID            int64
	Mailbox       crm.MailboxID
	Item          string // the item of this mailbox that carries it
	Folder        crm.FolderID
	Tries         int
	Ordinal       int // its place in the message's list
	crm.Enclosure     // its header has what a policy goes by, as the copy was when it was last listed
}

// An AttachmentResult is what came of fetching one.
type AttachmentResult struct {
	ID      int64
	State   AttachmentState
	Blob    *Blob     // for AttachmentStored
	Note    string    // why not
	RetryAt time.Time // for AttachmentFailed and AttachmentPending; zero = not again
	Source  string    // the source's new id for it, when the item was asked for anew; "" = unchanged
}

// An AttachmentView is an attachment as a message page shows it.
type AttachmentView struct {
	ID        int64
	Message   crm.MessageID
	Name      string
	Type      string
	ContentID string
	Inline    bool
	Size      int64
	State     AttachmentState
	Note      string
}

// An attachmentRow is an attachment on its way into the database.
type attachmentRow struct {
	crm.Attachment
	state AttachmentState
	blob  *Blob
}

// newAttachments judges the attachments of an item by the limits, and stores the content
// of those that came along.
func (o *Org) newAttachments(ctx context.Context, it *crm.Item, limits *crm.Limits) ([]attachmentRow, error) {
	list := make([]attachmentRow, len(it.Attachments))
	for i, a := range it.Attachments {
		row := attachmentRow{Attachment: a, state: AttachmentPending}
		size := max(a.Size, int64(len(a.Content)))
		switch {
		case a.Note != "":
			row.state = AttachmentBlocked
		case limits.Attachments != crm.StoreAttachments:
			row.state = AttachmentListed
		case size > limits.AttachmentLimit:
			row.state = AttachmentTooLarge
		case a.Content != nil:
			blob, err := o.PutBlob(ctx, bytes.NewReader(a.Content), limits.AttachmentLimit)
			if err != nil {
				return nil, err
			}
			row.state, row.blob, row.Size = AttachmentStored, &blob, blob.Size
		}
		list[i] = row
	}
	return list, nil
}

// attach writes the attachments of new messages. A later copy brings those that an
// earlier one lacked altogether, and the ids to fetch what is still owed by a copy that
// is gone.
func (s *saving) attach(ctx context.Context) error {
	var args []any
	var again []*filing
	for _, f := range s.filings {
		for _, a := range f.attachments {
			if err := s.o.keepBlob(ctx, s.t, a.blob); err != nil {
				return err
			}
		}
		switch {
		case f.fresh:
			args = s.attachmentArgs(args, f)
		case len(f.attachments) > 0:
			again = append(again, f)
		}
	}
	if err := s.insertAttachments(ctx, args); err != nil {
		return err
	}
	for _, f := range again {
		if err := s.attachAgain(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *saving) attachmentArgs(args []any, f *filing) []any {
	for i, a := range f.attachments {
		var sum []byte
		if a.blob != nil {
			sum = a.blob.SHA256[:]
		}
		args = append(args, s.o.id, f.message, i, s.box, f.hash[:], clean(a.ID), clean(a.Name), clean(a.Type), clean(a.ContentID), a.Inline, a.Size,
			a.state, clean(a.Note), sum)
	}
	return args
}

func (s *saving) insertAttachments(ctx context.Context, args []any) error {
	return s.t.insert(ctx, `insert into attachment (org_id, message_id, position, mailbox_id, item_hash, source_id, name, type, content_id, inline, size,
		state, note, sha256) values`, "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "on conflict (org_id, message_id, position) do nothing", args, nil)
}

func (s *saving) attachAgain(ctx context.Context, f *filing) error {
	var there int
	if err := one(ctx, s.t, "select count(*) from attachment where org_id = $1 and message_id = $2", []any{s.o.id, f.message}, &there); err != nil {
		return err
	}
	if there == 0 {
		if err := s.insertAttachments(ctx, s.attachmentArgs(nil, f)); err != nil {
			return err
		}
		_, err := s.t.exec(ctx, "update message set attachments = $3 where org_id = $1 and id = $2", s.o.id, f.message, len(f.attachments))
		return err
	}
	for i, a := range f.attachments {
		_, err := s.t.exec(ctx, `update attachment set mailbox_id = $4, item_hash = $5, source_id = $6
			where org_id = $1 and message_id = $2 and position = $3 and name = $7 and state in ('pending', 'failed', 'listed', 'too_large')
				and (mailbox_id = $4 and item_hash = $5 or not exists (select 1 from copy c where c.org_id = $1 and c.mailbox_id = attachment.mailbox_id
					and c.item_hash = attachment.item_hash and c.message_id = $2 and c.missing_at = 0 and c.gone_at = 0))`,
			s.o.id, f.message, i, s.box, f.hash[:], clean(a.ID), clean(a.Name))
		if err != nil {
			return err
		}
	}
	return nil
}

// liveCopy joins an attachment a with the copy c that its id belongs to, if that is there,
// and with its folder f.
const liveCopy = ` join copy c on c.org_id = a.org_id and c.mailbox_id = a.mailbox_id and c.item_hash = a.item_hash
		and c.message_id = a.message_id and c.missing_at = 0 and c.gone_at = 0
	join folder f on f.org_id = c.org_id and f.id = c.folder_id`

// owed returns attachments with the live copies that their ids belong to.
func (o *Org) owed(ctx context.Context, condition string, args ...any) ([]PendingAttachment, error) {
	var list []PendingAttachment
	ofMessage := map[int64][]int{} // indexes of list
	var messages []int64
	err := rows(ctx, o.read(), `select a.id, a.mailbox_id, c.item, c.folder_id, a.tries, a.position, a.source_id, a.name, a.type, a.content_id, a.inline, a.size,
			f.source_id, c.size, c.sensitivity, c.categories, m.when_at, m.id
		from attachment a`+liveCopy+` join message m on m.org_id = a.org_id and m.id = a.message_id
		where a.org_id = $1 and `+condition, append([]any{o.id}, args...), func(r *sql.Rows) error {
		p := PendingAttachment{Enclosure: crm.Enclosure{Header: crm.Header{Envelope: crm.Envelope{Kind: crm.Email}}}}
		var message int64
		a, h := &p.Attachment, &p.Header
		err := r.Scan(&p.ID, &p.Mailbox, &p.Item, &p.Folder, &p.Tries, &p.Ordinal, &a.ID, &a.Name, &a.Type, &a.ContentID, &a.Inline, &a.Size,
			&h.Folder, &h.Size, &h.Sensitivity, categories{&h.Categories}, stamp{&h.Sent}, &message)
		if err != nil {
			return err
		}
		h.ID = p.Item
		if ofMessage[message] == nil {
			messages = append(messages, message)
		}
		ofMessage[message] = append(ofMessage[message], len(list))
		list = append(list, p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = in(ctx, o.read(), "select message_id, part, who, mailbox_id from participant where org_id = $1 and readable and message_id in (%s)", []any{o.id}, messages,
		func(r *sql.Rows) error {
			var message int64
			var who crm.Participant
			var box crm.MailboxID
			if err := r.Scan(&message, &who.Part, &who.Address, &box); err != nil {
				return err
			}
			for _, i := range ofMessage[message] {
				if p := &list[i]; box == 0 || box == p.Mailbox { // a Bcc is told by the copy that carries it
					p.Header.People = append(p.Header.People, who)
				}
			}
			return nil
		})
	return list, err
}

// PendingAttachments returns attachments of a mailbox whose content is to be fetched now,
// the newest message first. One whose Attachment.ID is "" has gone over from another copy.
func (o *Org) PendingAttachments(ctx context.Context, box crm.MailboxID, now time.Time, limit int) ([]PendingAttachment, error) {
	return o.owed(ctx, `a.mailbox_id = $2 and a.state in ('pending', 'failed') and (a.due_at <= $3 or a.due_at > $4) and (a.state = 'pending' or a.due_at > 0)
		order by a.due_at, a.id limit $5`, box, micros(now), micros(now.Add(farthestRetry)), limit)
}

// handOver lets attachments of messages whose contents are not here go over to another copy
// when the one that they were to be fetched from has left, and rings for its mailbox if they
// are owed. Their ids are none there yet: Attachment.ID is "" until they are renewed.
func (s *saving) handOver(ctx context.Context, messages []int64) error {
	const live = "c.org_id = attachment.org_id and c.message_id = attachment.message_id and c.missing_at = 0 and c.gone_at = 0"
	var boxes []int64
	err := in(ctx, s.t, `update attachment set source_id = '', state = case state when 'failed' then 'pending' else state end, due_at = 0,
			mailbox_id = (select c.mailbox_id from copy c where `+live+` order by c.mailbox_id, c.item_hash limit 1),
			item_hash = (select c.item_hash from copy c where `+live+` order by c.mailbox_id, c.item_hash limit 1)
		where org_id = $1 and state in ('pending', 'failed', 'listed', 'too_large') and message_id in (%s) and exists (select 1 from copy c where `+live+`)
			and not exists (select 1 from copy c where `+live+` and c.mailbox_id = attachment.mailbox_id and c.item_hash = attachment.item_hash)
		returning mailbox_id, state`, []any{s.o.id}, messages, func(r *sql.Rows) error {
		var box int64
		var state AttachmentState
		if err := r.Scan(&box, &state); err != nil {
			return err
		}
		if state == AttachmentPending {
			boxes = append(boxes, box)
		}
		return nil
	})
	if err != nil || len(boxes) == 0 {
		return err
	}
	return s.o.ring(ctx, s.t, unique(boxes))
}

// categories reads those of a copy, see categoriesColumn.
type categories struct{ list *[]string }

func (c categories) Scan(v any) error {
	text, ok := v.(string)
	if !ok || text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), c.list)
}

// OwedAttachment returns an attachment whose content is not here. ErrNotFound when its
// content is here, or no copy of its message is left.
func (o *Org) OwedAttachment(ctx context.Context, id int64) (*PendingAttachment, error) {
	return first(o.owed(ctx, "a.id = $2 and a.state <> 'stored'", id))
}

// SaveAttachments keeps what came of fetching attachments.
func (o *Org) SaveAttachments(ctx context.Context, list []AttachmentResult) error {
	return o.db.update(ctx, "save attachments", func(t *tx) error {
		if err := o.lockShared(ctx, t); err != nil {
			return err
		}
		for _, a := range list {
			err := o.keepBlob(ctx, t, a.Blob)
			if errors.Is(err, errContentGone) { // fetched again
				a = AttachmentResult{ID: a.ID, State: AttachmentPending, RetryAt: o.s.now()}
			} else if err != nil {
				return err
			}
			switch {
			case a.State == AttachmentStored && a.Blob != nil:
				_, err = t.exec(ctx, "update attachment set state = 'stored', sha256 = $3, size = $4, note = '', due_at = 0 where org_id = $1 and id = $2",
					o.id, a.ID, a.Blob.SHA256[:], a.Blob.Size)
			case a.State == AttachmentStored:
				err = fmt.Errorf("attachment %d: stored without a blob", a.ID)
			default:
				_, err = t.exec(ctx, `update attachment set state = $3, note = $4, due_at = $5, tries = tries + 1,
					source_id = case when $6 = '' then source_id else $6 end where org_id = $1 and id = $2`,
					o.id, a.ID, a.State, clean(a.Note), micros(a.RetryAt), clean(a.Source))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// LeaveAttachments keeps that the policy, as of a revision, leaves attachments alone. When
// something was changed since, nothing is written: they are owed as before.
func (o *Org) LeaveAttachments(ctx context.Context, rev int64, list []AttachmentResult) error {
	if len(list) == 0 {
		return nil
	}
	return o.leaving(ctx, rev, func(t *tx) error {
		for _, a := range list {
			_, err := t.exec(ctx, "update attachment set state = $3, note = $4, due_at = 0 where org_id = $1 and id = $2 and state <> 'stored'",
				o.id, a.ID, a.State, clean(a.Note))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// LeaveOwedAttachments is LeaveAttachments of all that is owed to a mailbox, later tries
// included. When nothing is, nothing is written.
func (o *Org) LeaveOwedAttachments(ctx context.Context, rev int64, box crm.MailboxID, note string) error {
	const owed = "attachment where org_id = $1 and mailbox_id = $2 and state in ('pending', 'failed')"
	var n int
	if err := one(ctx, o.read(), "select count(*) from "+owed, []any{o.id, box}, &n); err != nil || n == 0 {
		return err
	}
	return o.leaving(ctx, rev, func(t *tx) error {
		_, err := t.exec(ctx, "update attachment set state = 'listed', note = $3, due_at = 0 where org_id = $1 and mailbox_id = $2 and state in ('pending', 'failed')",
			o.id, box, clean(note))
		return err
	})
}

// leaving runs a transaction unless what it was decided by has changed.
func (o *Org) leaving(ctx context.Context, rev int64, do func(*tx) error) error {
	return o.db.update(ctx, "leave attachments", func(t *tx) error {
		var now int64
		err := one(ctx, t, "select revision from org where id = $1"+t.d.shareLock, []any{o.id}, &now)
		if err != nil || now != rev {
			return err
		}
		return do(t)
	})
}

// oweAgain makes owed what was left alone of attachments, in mailboxes of which more may be
// read now, and returns these. Each is judged anew when its turn has come. Where contents are
// fetched on demand, whoever opens one is told anew.
func (o *Org) oweAgain(ctx context.Context, t *tx, was, is granted) ([]int64, error) {
	owners, err := o.owners(ctx, t)
	if err != nil {
		return nil, err
	}
	wider, larger := map[crm.AttachmentMode][]int64{}, map[crm.AttachmentMode][]int64{} // mailboxes
	for id, b := range owners {
		old, now := was.limits(b.User), is.limits(b.User)
		loosened := crm.Loosened(old, now)
		if now.HeadersOnly || len(loosened) == 0 {
			continue
		}
		wider[now.Attachments] = append(wider[now.Attachments], int64(id))
		if slices.ContainsFunc(loosened, letsInLarger) {
			larger[now.Attachments] = append(larger[now.Attachments], int64(id))
		}
	}
	// The first condition of each is that of the index.
	var owing []int64
	for _, again := range []struct {
		state     AttachmentState
		mailboxes map[crm.AttachmentMode][]int64
	}{{AttachmentListed, wider}, {AttachmentTooLarge, larger}} {
		const which = "state in ('listed', 'too_large') and org_id = $1 and state = $2 and mailbox_id in (%s)"
		args := []any{o.id, again.state}
		_, err := execIn(ctx, t, "update attachment set state = 'listed', note = '' where "+which+" and (note <> '' or state <> 'listed')", args, again.mailboxes[crm.FetchOnDemand])
		if err != nil {
			return nil, err
		}
		list := again.mailboxes[crm.StoreAttachments]
		err = in(ctx, t, "select distinct mailbox_id from attachment where "+which, args, list, func(r *sql.Rows) error {
			var box int64
			if err := r.Scan(&box); err != nil {
				return err
			}
			owing = append(owing, box)
			return nil
		})
		if err != nil {
			return nil, err
		}
		if _, err := execIn(ctx, t, "update attachment set state = 'pending', note = '', tries = 0, due_at = 0 where "+which, args, list); err != nil {
			return nil, err
		}
	}
	return unique(owing), nil
}

// letsInLarger tells whether by the loosening of a limit attachments may be stored that were
// too large.
func letsInLarger(limit string) bool {
	return limit == "attachment_limit" || limit == "attachments" || limit == "headers_only"
}

// unread tells of an attachment that is owed that it cannot be had where its message lies.
const unread = `attachment.state in ('pending', 'failed') and not exists (select 1 from copy c
	join folder f on f.org_id = c.org_id and f.id = c.folder_id join mailbox b on b.org_id = c.org_id and b.id = c.mailbox_id and b.state <> 'off'
	where c.org_id = attachment.org_id and c.mailbox_id = attachment.mailbox_id and c.item_hash = attachment.item_hash
		and c.message_id = attachment.message_id and c.missing_at = 0 and c.gone_at = 0)`

// attachmentColumns are what an AttachmentView is read from. What is owed and cannot be had
// for the time being, as from a folder that is excluded, stays owed and is no promise.
const attachmentColumns = `id, message_id, name, type, content_id, inline, size, case when ` + unread + ` then 'listed' else state end,
	case when ` + unread + ` then 'Its message is in no folder that is read at the moment.' else note end`

func (a *AttachmentView) fields() []any {
	return []any{&a.ID, &a.Message, &a.Name, &a.Type, &a.ContentID, &a.Inline, &a.Size, &a.State, &a.Note}
}

// OpenAttachment opens the content of an attachment, which the caller closes. ErrNotFound
// when there is no such attachment; when it is there but its content is not, the view
// says why and the reader is nil.
func (o *Org) OpenAttachment(ctx context.Context, id int64) (*AttachmentView, io.ReadSeekCloser, error) {
	var a AttachmentView
	var sum []byte
	err := one(ctx, o.read(), "select "+attachmentColumns+", sha256 from attachment where org_id = $1 and id = $2", []any{o.id, id}, append(a.fields(), &sum)...)
	if err != nil {
		return nil, nil, err
	}
	if a.State != AttachmentStored || len(sum) != sha256.Size {
		return &a, nil, nil
	}
	content, err := o.openBlob(ctx, sum)
	if err != nil {
		return nil, nil, fmt.Errorf("attachment %d: %w", id, err)
	}
	return &a, content, nil
}
