package ews

import (
	"context"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"

	"postern/crm"
	"postern/mail"
)

// How much is asked for in one call.
const (
	syncPage   = 500  // changes; the schema allows 512
	headerPack = 100  // ids of headers
	bodyPack   = 200  // ids of bodies, and no more than packBytes
	mimePack   = 20   // ids of originals, and no more than packBytes
	attachPack = 100  // ids of attachments, and no more than packBytes
	findPage   = 1000 // ids of a listing: what Exchange's policy allows at most
	findLess   = 200  // where it allows less
	packBytes  = 8 << 20
)

// A source reads mailboxes for one organization. Each account has a client of its own, so
// that no connection serves two identities.
type source struct {
	client    *Client // of the account that the settings name
	transport crm.Transport
	config    func(crm.Account) Config
	own       bool // each mailbox is opened by its owner's account
	judge

	mu      sync.Mutex
	closed  bool
	members map[string]member              // by login; by mailbox where each has an account of its own
	roles   map[string]map[string]crm.Role // by mailbox and folder id
	names   map[string]resolved            // by legacy distinguished name
	// singly is set once the server has answered a batch with another number of
	// answers: attachments are then asked for one by one.
	singly bool
}

// maxConns bounds connections where the traffic does not. It is more than there are
// callers: who holds an admission must not wait for a connection of somebody who waits
// for one.
const maxConns = 4096

// A member is an account with its client.
type member struct {
	account crm.Account
	client  *Client
}

// open makes a source. It does not touch the network.
func open(s crm.Settings, transport crm.Transport, tune ...func(*Config)) (*source, error) {
	src := &source{transport: transport, own: s.Model == crm.ByOwnSignIn,
		members: map[string]member{}, roles: map[string]map[string]crm.Role{}, names: map[string]resolved{}}
	src.config = func(a crm.Account) Config {
		cfg := config(s, transport, a)
		cfg.Admit = src.admit
		for _, change := range tune {
			change(&cfg)
		}
		return cfg
	}
	first := crm.Account{Login: s.Login, Password: s.Password, Keytab: s.Keytab}
	var err error
	if src.client, err = New(src.config(first)); err != nil {
		return nil, err
	}
	if !src.own {
		src.members[s.Login] = member{first, src.client}
	}
	src.judge = judge{version: s.Version, login: s.Login, host: src.client.url.Hostname(), model: s.Model, several: src.own || len(s.Others) > 0}
	return src, nil
}

// Close closes idle connections.
func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.client.Close()
	for _, m := range s.members {
		m.client.Close()
	}
	return nil
}

// clientFor returns the client of the account that opens a mailbox. An account with other
// credentials than before is another one: it gets connections of its own, and a new try.
func (s *source) clientFor(box mail.Address) (*Client, error) {
	a, err := s.transport.Account(box)
	if err != nil {
		return nil, s.fault(err, crm.MailboxScope)
	}
	key := a.Login
	if s.own {
		key = string(box)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, known := s.members[key]
	if known && m.account.Equal(a) {
		return m.client, nil
	}
	if known {
		m.client.Close()
	}
	c, err := New(s.config(a))
	if err != nil {
		return nil, unopened(err)
	}
	if s.closed {
		c.Close()
	}
	s.members[key] = member{a, c}
	return c, nil
}

// session returns what acts for a mailbox. Where no account may, all its calls say why.
func (s *source) session(box *crm.Mailbox) *Session {
	c, err := s.clientFor(box.Address)
	if err != nil {
		return &Session{c: s.client, mailbox: string(box.Address), barred: err}
	}
	return c.As(string(box.Address))
}

// Facts tells what the mailbox's session has learned.
func (s *source) Facts(box *crm.Mailbox) crm.Facts {
	ss := s.session(box)
	facts := crm.Facts{Server: ss.BackEnd()}
	if primary, err := mail.ParseAddress(ss.Primary()); err == nil && primary != box.Address {
		facts.Primary = primary
	}
	return facts
}

// err makes a fault of an error of a call, nil of none.
func (s *source) err(err error, scope crm.Scope) error {
	if err == nil {
		return nil
	}
	return s.fault(err, scope)
}

// distinguished folders whose role matters.
var distinguished = []crm.Role{crm.Root, crm.Inbox, crm.SentItems, crm.Drafts, crm.Outbox, crm.DeletedItems, crm.JunkEmail}

// Tags of the folder properties that tell cheaply whether anything happened in it.
const (
	tagHidden      = 0x10F4
	tagCommitTime  = 0x670A // when an item was last saved
	tagDeleteCount = 0x670B // how many were ever deleted
)

var folderShape = FolderShape{Base: IDOnly, Additional: []Path{
	Field("folder:ParentFolderId"), Field("folder:FolderClass"), Field("folder:DisplayName"), Field("folder:TotalCount"),
	Tag(tagHidden, "Boolean"), Tag(tagCommitTime, "SystemTime"), Tag(tagDeleteCount, "Integer"),
}}

// Folders lists what lies below the root that users see. Search folders hold no items of
// their own and are left out.
func (s *source) Folders(ctx context.Context, box *crm.Mailbox) ([]crm.Folder, error) {
	roles, err := s.rolesOf(ctx, box)
	if err != nil {
		return nil, err
	}
	list, err := s.hierarchy(ctx, box, roles)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(list, func(f crm.Folder) bool { return f.Role == crm.Inbox }) {
		// Another mailbox stands under this address now, as after a restore: all ids
		// are new, those of the roles, too.
		s.mu.Lock()
		delete(s.roles, string(box.Address))
		s.mu.Unlock()
		if roles, err = s.rolesOf(ctx, box); err != nil {
			return nil, err
		}
		for i := range list {
			list[i].Role = roles[list[i].ID]
		}
	}
	return list, nil
}

// rolesOf tells which folder has which role. The answer holds as long as the mailbox.
func (s *source) rolesOf(ctx context.Context, box *crm.Mailbox) (map[string]crm.Role, error) {
	s.mu.Lock()
	roles := s.roles[string(box.Address)]
	s.mu.Unlock()
	if roles != nil {
		return roles, nil
	}
	ss := s.session(box)
	op := &GetFolder{Shape: FolderShape{Base: IDOnly}}
	for _, role := range distinguished {
		op.IDs = append(op.IDs, ss.Folder(string(role)))
	}
	answers, err := ss.GetFolder(ctx, op)
	if err != nil {
		return nil, s.fault(err, crm.MailboxScope)
	}
	roles = make(map[string]crm.Role)
	for i := range answers {
		err := answers[i].Err()
		f := s.err(err, crm.MailboxScope)
		switch {
		case err == nil && len(answers[i].Folders) == 1:
			roles[answers[i].Folders[0].ID.ID] = distinguished[i]
		case i > 0 && crm.AsFault(f).Verdict == crm.Gone: // not every mailbox has each of them
		case err == nil:
			return nil, s.fault(ErrCount, crm.MailboxScope)
		default:
			return nil, f
		}
	}
	s.mu.Lock()
	s.roles[string(box.Address)] = roles
	s.mu.Unlock()
	return roles, nil
}

func (s *source) hierarchy(ctx context.Context, box *crm.Mailbox, roles map[string]crm.Role) ([]crm.Folder, error) {
	ss := s.session(box)
	var list []crm.Folder
	place := map[string]int{} // in list; a folder may come twice, the last one counts
	op := &SyncFolderHierarchy{Shape: folderShape, Folder: new(ss.Folder(string(crm.Root)))}
	for {
		page, err := ss.SyncFolderHierarchy(ctx, op)
		if err != nil {
			return nil, s.fault(err, crm.MailboxScope)
		}
		for i := range page.Changes {
			change := &page.Changes[i]
			f := folderOf(&change.Folder, roles)
			at, known := place[f.ID]
			switch {
			case change.Kind == Deleted && known:
				list[at].ID = ""
				delete(place, f.ID)
			case change.Kind == Deleted || change.Folder.Element == SearchFolder:
			case known:
				list[at] = f
			default:
				place[f.ID] = len(list)
				list = append(list, f)
			}
		}
		if page.Last || page.SyncState == op.SyncState {
			return slices.DeleteFunc(list, func(f crm.Folder) bool { return f.ID == "" }), nil
		}
		op.SyncState = page.SyncState
	}
}

func folderOf(f *Folder, roles map[string]crm.Role) crm.Folder {
	out := crm.Folder{ID: f.ID.ID, Name: f.Name, Role: roles[f.ID.ID], Kind: folderKind(f), Total: -1}
	if f.Parent != nil {
		out.Parent = f.Parent.ID
	}
	if f.Total != nil {
		out.Total = *f.Total
	}
	if saved, ok := Property(f.Extended, tagCommitTime); ok {
		deletes, _ := Property(f.Extended, tagDeleteCount)
		// The time is told in seconds; what came within the same one shows in the total.
		out.Mark = saved + "/" + deletes + "/" + strconv.Itoa(out.Total)
	}
	return out
}

// folderKind goes by the folder's class, which old folders lack, and its element. Hidden
// folders and those of other programs have no kind.
func folderKind(f *Folder) crm.Kind {
	if hidden, _ := Property(f.Extended, tagHidden); strings.EqualFold(hidden, "true") {
		return ""
	}
	is := func(class string) bool {
		return strings.EqualFold(f.Class, class) || len(f.Class) > len(class) && strings.EqualFold(f.Class[:len(class)+1], class+".")
	}
	switch {
	case f.Element == CalendarFolder || is("IPF.Appointment"):
		return crm.Event
	case f.Element == ContactsFolder || is("IPF.Contact"):
		return crm.ContactKind
	case f.Element == TasksFolder || is("IPF.Task"):
		return crm.Task
	case f.Class == "" || is("IPF.Note") || is("IPF.Imap"):
		return crm.Email
	}
	return ""
}

// Changes lists ids in one call and gets their headers in a few.
func (s *source) Changes(ctx context.Context, box *crm.Mailbox, f crm.Folder, since crm.Cursor) (*crm.Page, error) {
	op := &SyncFolderItems{Shape: ItemShape{Base: IDOnly}, Folder: &FolderID{ID: f.ID}, SyncState: string(since), Max: syncPage}
	r, err := s.listing(ctx, box, op)
	if err != nil {
		return nil, err
	}
	// Servers were seen that cut deletions at the page's size and call the page the last:
	// one that is full is not believed.
	page := &crm.Page{Next: crm.Cursor(r.SyncState), More: !r.Last || int64(len(r.Changes)) >= op.Max}
	if page.More && page.Next == since {
		page.More = false // a server that does not move on would be asked for ever
	}
	listed, gone := replay(r.Changes, page)
	page.Gone = gone
	page.Headers, err = s.headers(ctx, box, listed)
	if err != nil {
		return nil, err
	}
	for i := range page.Headers {
		page.Headers[i].Folder = f.ID
	}
	return page, nil
}

// listing asks for a page. One change that Exchange stumbles over fails the whole page:
// it is asked for again from the same state, with half as many changes each time.
func (s *source) listing(ctx context.Context, box *crm.Mailbox, op *SyncFolderItems) (*SyncFolderItemsResult, error) {
	for timeouts := 0; ; op.Max /= 2 {
		r, err := s.session(box).SyncFolderItems(ctx, op)
		if err == nil {
			return r, nil
		}
		f := s.fault(err, crm.FolderScope)
		poisoned := divisible(f) || f.Scope == crm.ItemScope && f.Verdict == crm.Retry
		if f.Code == "timeout" {
			timeouts++
		}
		if f.Scope == crm.ItemScope {
			f.Scope = crm.FolderScope
		}
		if ctx.Err() != nil || !poisoned || op.Max == 1 || timeouts == maxMisses {
			return nil, f
		}
	}
}

// replay boils a page's changes down to where they lead: items to be read, ids that
// went, and read marks. The same item may occur several times; the last change counts.
// A read mark of an item that is read anew is in its header.
func replay(changes []SyncChange, page *crm.Page) (listed []Item, gone []string) {
	last := make(map[string]*SyncChange, len(changes))
	var order []string
	for i := range changes {
		c := &changes[i]
		id := c.ID.ID
		if c.Kind == Created || c.Kind == Updated {
			id = c.Item.ID.ID
		}
		before := last[id]
		if before == nil {
			order = append(order, id)
		}
		if c.Kind == ReadFlagChanged && before != nil && before.Kind != ReadFlagChanged {
			continue
		}
		last[id] = c
	}
	for _, id := range order {
		switch c := last[id]; c.Kind {
		case Deleted:
			gone = append(gone, id)
		case ReadFlagChanged:
			if page.Read == nil {
				page.Read = map[string]bool{}
			}
			page.Read[id] = c.IsRead
		default:
			if id != "" {
				listed = append(listed, c.Item)
			}
		}
	}
	return listed, gone
}

// Headers fetches headers of known ids, whatever kind of item they are.
func (s *source) Headers(ctx context.Context, box *crm.Mailbox, ids []string) ([]crm.Header, error) {
	listed := make([]Item, len(ids))
	for i, id := range ids {
		listed[i] = Item{Element: MessageItem, ID: ItemID{ID: id}}
	}
	list, err := s.headers(ctx, box, listed, Field("item:ParentFolderId"))
	return slices.DeleteFunc(list, func(h crm.Header) bool { return h.Fault != nil && h.Fault.Verdict == crm.Gone }), err
}

// maxRewinds bounds how often a listing goes back because the list moved meanwhile.
const maxRewinds = 20

// Items lists by FindItem. Paging is no snapshot: it runs from the oldest, so that what
// arrives lands at the end, and pages overlap by one. When the overlap is not met, items
// before it have gone and others have moved up unseen: then it goes back.
func (s *source) Items(ctx context.Context, box *crm.Mailbox, f crm.Folder, take func(ids []string) error) error {
	view := &PageView{Max: new(findPage), BasePoint: "Beginning"}
	op := &FindItem{
		Traversal: "Shallow", Shape: ItemShape{Base: IDOnly}, View: view, Parents: []FolderID{{ID: f.ID}},
		Sort: []Order{{Direction: "Ascending", Path: Field("item:DateTimeReceived")}},
	}
	seen := newSightings()
	rewinds, idle, overlaps := 0, 0, false
	for {
		answers, err := s.session(box).FindItem(ctx, op)
		if err == nil {
			err = answers[0].Err()
		}
		if err != nil {
			f := s.fault(err, crm.FolderScope)
			if f.Code == "ErrorExceededFindCountLimit" && *view.Max > findLess {
				view.Max = new(findLess)
				continue
			}
			return f
		}
		page := &answers[0]
		fresh := seen.fresh(page.Items)
		if len(fresh) > 0 {
			if err := take(fresh); err != nil {
				return err
			}
			idle = 0
		} else {
			idle++
		}
		n := len(page.Items)
		if overlaps && len(fresh) == n && n > 0 && rewinds < maxRewinds {
			rewinds++
			overlaps = false
			view.Offset -= min(view.Offset, findPage)
			continue
		}
		if page.Last == nil || *page.Last || n == 0 || idle > maxRewinds {
			return nil
		}
		view.Offset += max(n-1, 1)
		overlaps = n > 1
	}
}

// sightings remembers ids by a hash, because a folder may hold millions.
type sightings struct {
	seed maphash.Seed
	set  map[uint64]struct{}
}

func newSightings() *sightings { return &sightings{maphash.MakeSeed(), map[uint64]struct{}{}} }

// fresh returns the ids that were not seen before.
func (s *sightings) fresh(items []Item) []string {
	var ids []string
	for i := range items {
		h := maphash.String(s.seed, items[i].ID.ID)
		if _, known := s.set[h]; !known {
			s.set[h] = struct{}{}
			ids = append(ids, items[i].ID.ID)
		}
	}
	return ids
}
