package gate

import (
	"context"
	"io"
	"reflect"
	"slices"
	"sync"
	"time"

	"postern/crm"
	"postern/mail"
)

// A guard is a source of which only what is granted can be asked.
type guard struct {
	gate  *Gate
	era   int
	src   crm.Source
	known *listings
}

// listings are the folders of mailboxes as the source listed them, so that the guard knows
// by itself which folder a call is about.
type listings struct {
	mu    sync.Mutex
	byBox map[mail.Address]listing
}

// A listing is the folders of one mailbox by their ids, and where each stands.
type listing map[string]struct {
	crm.Folder
	path string
}

func (l *listings) put(box mail.Address, list []crm.Folder) {
	paths := crm.Paths(list)
	byID := make(listing, len(list))
	for i, f := range list {
		at := byID[f.ID]
		at.Folder, at.path = f, paths[i]
		byID[f.ID] = at
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byBox[box] = byID
}

func (l *listings) get(box mail.Address) listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byBox[box]
}

// excluded tells whether the limits exclude a folder, by itself or with one above it.
func (l listing) excluded(id string, limits *crm.Limits) bool {
	for range len(l) + 1 { // counted: a server may tell of a circle
		f, known := l[id]
		if !known {
			return false
		}
		if !limits.AllowsFolder(f.path, f.Folder) {
			return true
		}
		id = f.Parent
	}
	return true
}

// ofMailbox grants what concerns a mailbox as a whole.
func ofMailbox(box *crm.Mailbox) func(*Terms) error {
	return func(t *Terms) error { return t.allowBox(box) }
}

// ofNews grants notifications, which are wanted of mail alone.
func ofNews(box *crm.Mailbox) func(*Terms) error {
	return func(t *Terms) error { return t.allowMail(box) }
}

// ofFolder grants what concerns one folder: its kind of data and its place.
func (g guard) ofFolder(ctx context.Context, box *crm.Mailbox, f crm.Folder) (func(*Terms) error, error) {
	known, err := g.places(ctx, box, f.ID)
	if err != nil {
		return nil, err
	}
	return func(t *Terms) error {
		if err := t.allowBox(box); err != nil {
			return err
		}
		return known.allow(t, box.Address, f.ID, f.Kind)
	}, nil
}

// places returns the folders of a mailbox, by which to judge some of them. Where one was
// not listed yet all are listed first, if their place matters.
func (g guard) places(ctx context.Context, box *crm.Mailbox, ids ...string) (listing, error) {
	known := g.known.get(box.Address)
	listed := func(id string) bool { _, ok := known[id]; return ok }
	if !slices.ContainsFunc(ids, func(id string) bool { return !listed(id) }) || !g.gate.hasFolderRules(box.Address) {
		return known, nil
	}
	_, err := g.Folders(ctx, box)
	return g.known.get(box.Address), err
}

// allow says whether what lies in a folder may be read, by its kind of data and its place.
// Of a folder that was not listed the caller says the kind, and its place must not matter.
func (l listing) allow(t *Terms, box mail.Address, id string, kind crm.Kind) error {
	limits := t.limits(box)
	f, listed := l[id]
	if listed {
		kind = f.Kind // whatever the caller takes it for
	}
	if err := t.allowKind(kind); err != nil {
		return err
	}
	switch {
	case !listed && len(limits.ExcludedFolders) > 0:
		return &crm.Fault{Verdict: crm.Gone, Scope: crm.FolderScope, Code: "folder-unknown",
			Message: "The folder is not in the mailbox any more.", Advice: "Nothing to do: the folders are listed anew by themselves."}
	case l.excluded(id, &limits):
		return denied(crm.Fault{Code: "folder-excluded", Message: "The folder is excluded."})
	}
	return nil
}

// hasFolderRules tells whether the path of a folder matters.
func (g *Gate) hasFolderRules(box mail.Address) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.terms.limits(box).ExcludedFolders) > 0
}

// denied completes the fault of something that the policy does not grant.
func denied(f crm.Fault) error {
	f.Verdict, f.Scope, f.Advice = crm.Refused, crm.FolderScope, "Change the policy under Access → Policy if it is to be read."
	return &f
}

// pass makes a call that is granted. It ends when it is not any more, with the reason.
func (g guard) pass(ctx context.Context, granted func(*Terms) error, call func(context.Context) error) (err error) {
	ctx, leave, err := g.gate.enter(ctx, g.era, granted)
	if err != nil {
		return err
	}
	defer func() { err = leave(err) }() // also after a panic
	return call(ctx)
}

func (g guard) Folders(ctx context.Context, box *crm.Mailbox) (list []crm.Folder, err error) {
	err = g.pass(ctx, ofMailbox(box), func(ctx context.Context) (err error) {
		list, err = g.src.Folders(ctx, box)
		return err
	})
	if err == nil {
		g.known.put(box.Address, list)
	}
	return list, err
}

func (g guard) Changes(ctx context.Context, box *crm.Mailbox, f crm.Folder, since crm.Cursor) (page *crm.Page, err error) {
	granted, err := g.ofFolder(ctx, box, f)
	if err != nil {
		return nil, err
	}
	err = g.pass(ctx, granted, func(ctx context.Context) (err error) {
		page, err = g.src.Changes(ctx, box, f, since)
		return err
	})
	return page, err
}

// Headers leaves out what lies in a folder that may not be read: which one it is, the
// source says with the header.
func (g guard) Headers(ctx context.Context, box *crm.Mailbox, ids []string) ([]crm.Header, error) {
	list, err := g.headers(ctx, box, ids)
	if err != nil {
		return nil, err
	}
	known, err := g.places(ctx, box, foldersOf(list)...)
	if err != nil {
		return nil, err
	}
	g.gate.mu.RLock()
	defer g.gate.mu.RUnlock()
	return slices.DeleteFunc(list, func(h crm.Header) bool {
		return h.Fault == nil && known.allow(&g.gate.terms, box.Address, h.Folder, crm.Email) != nil
	}), nil
}

func (g guard) headers(ctx context.Context, box *crm.Mailbox, ids []string) (list []crm.Header, err error) {
	err = g.pass(ctx, ofItems(box, func(*Terms) error { return nil }), func(ctx context.Context) (err error) {
		list, err = g.src.Headers(ctx, box, ids)
		return err
	})
	return list, err
}

// foldersOf are the folders in which items lie, as far as that is known of them.
func foldersOf(headers []crm.Header) []string {
	var ids []string
	for i := range headers {
		if h := &headers[i]; h.Fault == nil {
			ids = append(ids, h.Folder)
		}
	}
	return ids
}

// ofItems grants what concerns items that are known by their ids: mail, since nothing else
// is filed. What is under way ends as soon as another policy holds for the mailbox.
func ofItems(box *crm.Mailbox, check func(*Terms) error) func(*Terms) error {
	var began *crm.Limits
	return func(t *Terms) error {
		if err := t.allowMail(box); err != nil {
			return err
		}
		limits := t.limits(box.Address)
		if began == nil {
			began = &limits
		} else if !reflect.DeepEqual(*began, limits) {
			return decideAnew("The policy was changed meanwhile.")
		}
		return check(t)
	}
}

// decideAnew is the fault of what was decided by another policy.
func decideAnew(message string) error {
	return &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "text-not-granted", After: time.Second,
		Message: message, Advice: "Nothing to do: the messages are decided about anew."}
}

// ofContents grants what of messages is more than their headers: each must be one whose
// text may be fetched, and lie where it may be read. also is asked first.
func (g guard) ofContents(ctx context.Context, box *crm.Mailbox, headers []crm.Header, also func(*crm.Limits) error) (func(*Terms) error, error) {
	known, err := g.places(ctx, box, foldersOf(headers)...)
	if err != nil {
		return nil, err
	}
	return ofItems(box, func(t *Terms) error {
		limits := t.limits(box.Address)
		if err := also(&limits); err != nil {
			return err
		}
		return t.allowContents(box.Address, known, headers)
	}), nil
}

// allowContents says whether more than the headers of these messages may be fetched.
func (t *Terms) allowContents(box mail.Address, known listing, headers []crm.Header) error {
	limits := t.limits(box)
	if limits.HeadersOnly && len(headers) > 0 {
		return denied(crm.Fault{Code: "texts-not-allowed", Message: "Texts of messages are not fetched."})
	}
	for i := range headers {
		h := &headers[i]
		if h.Fault != nil { // so that there is nothing to judge by
			return h.Fault
		}
		reason, _ := limits.Refuses(h)
		if known.allow(t, box, h.Folder, crm.Email) != nil {
			reason = crm.ExcludedFolder
		}
		if reason != "" {
			return decideAnew("The text of a message is not to be fetched: " + reason.Title() + ".")
		}
	}
	return nil
}

func (g guard) Load(ctx context.Context, box *crm.Mailbox, headers []crm.Header, take func(*crm.Item) error) error {
	granted, err := g.ofContents(ctx, box, headers, func(*crm.Limits) error { return nil })
	if err != nil {
		return err
	}
	return g.pass(ctx, granted, func(ctx context.Context) error { return g.src.Load(ctx, box, headers, take) })
}

// attachments checks whether attachments are fetched at all.
func attachments(limits *crm.Limits) error {
	if limits.Attachments == crm.NameAttachments {
		return denied(crm.Fault{Code: "attachments-not-allowed", Message: "Attachments are not fetched, nor originals, which hold them."})
	}
	return nil
}

// Attachments asks about the message of each what Load asks: it may have been filed by
// another policy than the one that holds.
func (g guard) Attachments(ctx context.Context, box *crm.Mailbox, list []crm.Enclosure, take func(int, io.Reader, *crm.Fault) error) error {
	headers := make([]crm.Header, len(list))
	for i := range list {
		headers[i] = list[i].Header
	}
	granted, err := g.ofContents(ctx, box, headers, attachments)
	if err != nil {
		return err
	}
	return g.pass(ctx, granted, func(ctx context.Context) error { return g.src.Attachments(ctx, box, list, take) })
}

// Original looks at the header first, by which it is granted or not, and stays granted
// until it is closed. Without a header nothing can be granted.
func (g guard) Original(ctx context.Context, box *crm.Mailbox, id string) (io.ReadCloser, error) {
	headers, err := g.headers(ctx, box, []string{id})
	switch {
	case err != nil:
		return nil, err
	case len(headers) == 0:
		return nil, &crm.Fault{Verdict: crm.Gone, Scope: crm.ItemScope, Code: "vanished", Message: "The message is not there any more.", Advice: "Nothing to do: another copy of it is asked for."}
	}
	granted, err := g.ofContents(ctx, box, headers, attachments)
	if err != nil {
		return nil, err
	}
	ctx, leave, err := g.gate.enter(ctx, g.era, granted)
	if err != nil {
		return nil, err
	}
	r, err := g.src.Original(ctx, box, id)
	if err != nil {
		return nil, leave(err)
	}
	return &original{r, leave}, nil
}

type original struct {
	io.ReadCloser
	leave func(error) error
}

func (o *original) Close() error { return o.leave(o.ReadCloser.Close()) }

func (g guard) Items(ctx context.Context, box *crm.Mailbox, f crm.Folder, take func([]string) error) error {
	granted, err := g.ofFolder(ctx, box, f)
	if err != nil {
		return err
	}
	return g.pass(ctx, granted, func(ctx context.Context) error { return g.src.Items(ctx, box, f, take) })
}

// Facts asks nobody.
func (g guard) Facts(box *crm.Mailbox) crm.Facts { return g.src.Facts(box) }

type notifyingGuard struct {
	guard
	notifier crm.Notifier
}

func (g notifyingGuard) Subscribe(ctx context.Context, box, anchor *crm.Mailbox) (s crm.Subscription, err error) {
	err = g.pass(ctx, ofNews(box), func(ctx context.Context) (err error) {
		s, err = g.notifier.Subscribe(ctx, box, anchor)
		return err
	})
	return s, err
}

// Listen ends for all mailboxes when one of them may no longer be read: what was granted
// is one connection.
func (g notifyingGuard) Listen(ctx context.Context, list []crm.Subscription, tell func(crm.Notice)) error {
	granted := func(t *Terms) error {
		for i := range list {
			if err := t.allowMail(list[i].Box); err != nil {
				return err
			}
		}
		return nil
	}
	return g.pass(ctx, granted, func(ctx context.Context) error { return g.notifier.Listen(ctx, list, tell) })
}

func (g notifyingGuard) Pull(ctx context.Context, s *crm.Subscription) (n crm.Notice, err error) {
	err = g.pass(ctx, ofNews(s.Box), func(ctx context.Context) (err error) {
		n, err = g.notifier.Pull(ctx, s)
		return err
	})
	return n, err
}

// Unsubscribe sends nothing for a mailbox that may no longer be read: its subscription
// expires by itself.
func (g notifyingGuard) Unsubscribe(ctx context.Context, s crm.Subscription) error {
	return g.pass(ctx, ofMailbox(s.Box), func(ctx context.Context) error { return g.notifier.Unsubscribe(ctx, s) })
}
