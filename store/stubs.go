package store

import (
	"context"
	"errors"
	"io"
	"time"

	"postern/crm"
	"postern/mail"
)

var errUnwritten = errors.New("not written yet")

func (o *Org) People(ctx context.Context, headers []crm.Header) (crm.People, int64, error) {
	return nil, 0, errUnwritten
}
func (o *Org) SaveContacts(ctx context.Context, list []crm.Contact) (Saved, error) {
	return Saved{}, errUnwritten
}
func (o *Org) SaveUsers(ctx context.Context, list []crm.User) (Saved, error) {
	return Saved{}, errUnwritten
}
func (o *Org) Contact(ctx context.Context, id crm.ContactID) (*ContactView, error) {
	return nil, errUnwritten
}
func (o *Org) Contacts(ctx context.Context, q ListQuery) ([]ContactView, int, error) {
	return nil, 0, errUnwritten
}
func (o *Org) User(ctx context.Context, id crm.UserID) (*UserView, error) { return nil, errUnwritten }
func (o *Org) Users(ctx context.Context, q ListQuery) ([]UserView, int, error) {
	return nil, 0, errUnwritten
}

func (o *Org) SetPassword(ctx context.Context, user crm.UserID, hash string) error {
	return errUnwritten
}
func (o *Org) SignIn(ctx context.Context, address mail.Address) (*crm.User, string, error) {
	return nil, "", errUnwritten
}
func (o *Org) NewSession(ctx context.Context, user crm.UserID, ttl time.Duration) (token string, err error) {
	return "", errUnwritten
}
func (o *Org) Session(ctx context.Context, token string) (*crm.User, error) { return nil, errUnwritten }
func (o *Org) EndSession(ctx context.Context, token string) error           { return errUnwritten }

func (o *Org) Settings(ctx context.Context) (crm.Settings, crm.ConnectionID, error) {
	return crm.Settings{}, 0, errUnwritten
}
func (o *Org) SaveSettings(ctx context.Context, s crm.Settings) error { return errUnwritten }
func (o *Org) Rules(ctx context.Context) (Rules, error)               { return Rules{}, errUnwritten }
func (o *Org) SaveRules(ctx context.Context, r Rules) error           { return errUnwritten }

func (o *Org) Provision(ctx context.Context) ([]crm.Mailbox, error) { return nil, errUnwritten }
func (o *Org) Mailboxes(ctx context.Context, q ListQuery) ([]MailboxView, int, error) {
	return nil, 0, errUnwritten
}
func (o *Org) Mailbox(ctx context.Context, id crm.MailboxID) (*MailboxView, error) {
	return nil, errUnwritten
}
func (o *Org) MailboxByAddress(ctx context.Context, a mail.Address) (*MailboxView, error) {
	return nil, errUnwritten
}
func (o *Org) DueMailboxes(ctx context.Context, now time.Time, limit int) ([]crm.Mailbox, error) {
	return nil, errUnwritten
}
func (o *Org) SaveMailbox(ctx context.Context, box *crm.Mailbox) error   { return errUnwritten }
func (o *Org) LookNow(ctx context.Context, boxes ...crm.MailboxID) error { return errUnwritten }
func (o *Org) Folders(ctx context.Context, box crm.MailboxID) ([]Folder, error) {
	return nil, errUnwritten
}
func (o *Org) SaveFolders(ctx context.Context, box crm.MailboxID, list []Folder) ([]Folder, error) {
	return nil, errUnwritten
}
func (o *Org) ResetFolder(ctx context.Context, id crm.FolderID) error { return errUnwritten }

func (o *Org) SavePage(ctx context.Context, p Page) (PageResult, error) {
	return PageResult{}, errUnwritten
}
func (o *Org) Known(ctx context.Context, box crm.MailboxID, items []string) (map[string]string, error) {
	return nil, errUnwritten
}
func (o *Org) DueItems(ctx context.Context, box crm.MailboxID, now time.Time, limit int) ([]DueItem, error) {
	return nil, errUnwritten
}
func (o *Org) Ledger(ctx context.Context, box crm.MailboxID, folder crm.FolderID, each func(LedgerRow) error) error {
	return errUnwritten
}
func (o *Org) Explain(ctx context.Context, box crm.MailboxID, messageID string) ([]Explanation, error) {
	return nil, errUnwritten
}
func (o *Org) NotFiled(ctx context.Context, q NotFiledQuery) ([]NotFiledRow, int, error) {
	return nil, 0, errUnwritten
}
func (o *Org) Counts(ctx context.Context) (Counts, error) { return Counts{}, errUnwritten }
func (o *Org) FolderCounts(ctx context.Context, box crm.MailboxID) (map[crm.FolderID]Counts, error) {
	return nil, errUnwritten
}
func (o *Org) Duplicates(ctx context.Context) (int, error) { return 0, errUnwritten }

func (o *Org) PendingAttachments(ctx context.Context, box crm.MailboxID, now time.Time, limit int) ([]PendingAttachment, error) {
	return nil, errUnwritten
}
func (o *Org) PutBlob(ctx context.Context, r io.Reader, limit int64) (Blob, error) {
	return Blob{}, errUnwritten
}
func (o *Org) SaveAttachments(ctx context.Context, list []AttachmentResult) error {
	return errUnwritten
}
func (o *Org) OpenAttachment(ctx context.Context, id int64) (*AttachmentView, io.ReadSeekCloser, error) {
	return nil, nil, errUnwritten
}

func (o *Org) Activities(ctx context.Context, q MailQuery) (rows []ActivityRow, total int, next string, err error) {
	return nil, 0, "", errUnwritten
}
func (o *Org) Message(ctx context.Context, viewer crm.UserID, id crm.MessageID) (*MessageView, error) {
	return nil, errUnwritten
}
func (o *Org) Weeks(ctx context.Context, contact crm.ContactID, n int) ([]int, error) {
	return nil, errUnwritten
}
func (o *Org) WhoKnows(ctx context.Context, contact crm.ContactID) ([]PersonCount, error) {
	return nil, errUnwritten
}
func (o *Org) Home(ctx context.Context, now time.Time) (*HomeStats, error) { return nil, errUnwritten }

// OwedAttachment returns an attachment whose content is not here, whatever its state, by a
// live copy, and the mailbox of that copy; ErrNotFound when there is none. It serves
// contents that are fetched on demand.
func (o *Org) OwedAttachment(ctx context.Context, id int64) (*PendingAttachment, crm.MailboxID, error) {
	return nil, 0, errUnwritten
}
