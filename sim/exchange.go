package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postern/mail"
)

// Options say what kind of organization it is. The zero value is a server of today.
type Options struct {
	Version Version          // "" = ExchangeSE
	Now     func() time.Time // nil = time.Now; several goroutines may call it at once
	// FolderNames are display names of the folders with a role, in the language of the
	// mailboxes; English where missing. Clients must go by the role.
	FolderNames map[Role]string
	// LegacyRouting shows people of the organization by their legacy DN (routing type EX)
	// in place of their SMTP address, as Exchange does for mail that never left it.
	LegacyRouting bool
	// SyncStatePadding lengthens sync states by so many bytes.
	SyncStatePadding int
	// Generation makes all ids others than those of an organization of another generation:
	// a server that was set up anew, and remembers nothing.
	Generation uint64
	// MaxLetters bounds how many letters Load takes; 0 = all.
	MaxLetters int
	// AlsoTo is added to the recipients of every letter that Load takes, as if each had
	// gone to that address, too.
	AlsoTo mail.Address
	// Journal gets the history, one Event a line as JSON, as things happen; nil = none is
	// written. It slows each change down by the reading of a header.
	Journal io.Writer
	// Servers is how many back ends the mailboxes live on, in turn; 0 = one.
	Servers int
	// MaxSubscriptions is how many subscriptions a mailbox may have; 0 = as many as servers
	// of a company allow.
	MaxSubscriptions int
	// MaxOpen is how many requests may be open at once for one mailbox, those that wait for
	// notifications left out; 0 = as many as the version allows.
	MaxOpen int
	// MaxHanging is how many connections for notifications may be open that count against
	// one mailbox; 0 = as many as the version allows.
	MaxHanging int
	// KeepRequests is how many of the latest requests are kept in full; 0 = 1000.
	KeepRequests int
	// Script decides which trouble a request meets, if any, from what is known of it and
	// how often this operation was seen for this mailbox, this time included. As that does
	// not depend on what other mailboxes do meanwhile, a seed is enough to repeat a run.
	// It is called by several goroutines at once. What it says comes before MakeTrouble.
	Script func(r RequestRecord, n int) *Trouble
}

// An Exchange is a simulated organization. It is safe for concurrent use.
type Exchange struct {
	options     Options
	now         func() time.Time
	server      server
	letters     spool
	history     history
	opened      openLetters
	log         journal
	trouble     troubles
	switchboard switchboard
	made        atomic.Int64 // MIME messages made so far

	mu        sync.RWMutex
	boxes     []*Mailbox
	byAddress map[mail.Address]*Mailbox // aliases too
	byDN      map[string]*Mailbox       // legacy DN in lower case
	byGUID    map[guid]*Mailbox
	accounts  map[string]*account // login in lower case
	groups    map[mail.Address]*Group

	governance Governance
	logOn      LogOn
	proofs     map[[sha256.Size]byte]bool // of Kerberos, that were taken

	discoveries map[string]Discovery

	deliveries int64 // copies laid into mailboxes
}

// New returns an organization without mailboxes. An unknown Options.Version is an error.
func New(o Options) (*Exchange, error) {
	if o.Version == "" {
		o.Version = ExchangeSE
	}
	srv, ok := servers[o.Version]
	if !ok {
		return nil, fmt.Errorf("unknown Exchange version %q", o.Version)
	}
	x := &Exchange{
		options:     o,
		now:         o.Now,
		server:      srv,
		byAddress:   map[mail.Address]*Mailbox{},
		byDN:        map[string]*Mailbox{},
		byGUID:      map[guid]*Mailbox{},
		accounts:    map[string]*account{},
		switchboard: switchboard{byID: map[string]*subscription{}, hanging: map[string]int{}},
	}
	if x.now == nil {
		x.now = time.Now
	}
	x.opened.letters = &x.letters
	x.history.w = o.Journal
	x.log.keep = o.KeepRequests
	return x, nil
}

// Close gives the temporary file with the letters back. It returns an error, too, when
// the history could not be written.
func (x *Exchange) Close() error {
	x.history.mu.Lock()
	defer x.history.mu.Unlock()
	return errors.Join(x.history.err, x.letters.close())
}

// An Account is somebody who signs in: a service account that impersonates, or a user.
type Account struct {
	Login    string `json:"login"` // "svc-crm", `COMPANY\svc-crm` or "svc-crm@company.example"
	Password string `json:"password"`
	// Mailbox is the account's own; "" = the one whose address is the login, if any.
	Mailbox mail.Address `json:"mailbox,omitempty"`

	// Whom it may impersonate: the mailboxes of Scope and the direct members of Groups;
	// everybody when both are nil, nobody with NoRole.
	Scope  []mail.Address `json:"scope,omitempty"`
	Groups []mail.Address `json:"groups,omitempty"`
	NoRole bool           `json:"no_role,omitempty"`

	// Certificates are names (of the subject, or alternative ones) of client certificates
	// that sign the account in.
	Certificates []string `json:"certificates,omitempty"`
}

// account is an Account and how its sign-ins went.
type account struct {
	Account
	wrong   int // wrong passwords so far
	locked  bool
	expired bool // the password
}

// lockAfter is the number of wrong passwords after which an account is locked, as a
// directory's policy would have it: a client that hammers locks its customer out.
const lockAfter = 10

// AddUser adds a mailbox and the account of its owner, who signs in by the address and may
// impersonate nobody.
func (x *Exchange) AddUser(owner Person, password string, aliases ...mail.Address) *Mailbox {
	x.AddAccount(Account{Login: string(owner.Address), Password: password, NoRole: true})
	return x.AddMailbox(owner, aliases...)
}

// AddAccount adds an account, or replaces the one with the same login.
func (x *Exchange) AddAccount(a Account) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.accounts[strings.ToLower(a.Login)] = &account{Account: a}
}

// ChangeAccount changes an account in any way but its login, from the next request on. An
// unknown login is an error.
func (x *Exchange) ChangeAccount(login string, change func(*Account)) error {
	return x.changeAccount(login, func(a *account) {
		fresh := *a // requests under way go on with what they began with
		change(&fresh.Account)
		fresh.Login = a.Login
		x.accounts[strings.ToLower(login)] = &fresh
	})
}

// WrongPasswords tells how often the login was tried with a wrong password.
func (x *Exchange) WrongPasswords(login string) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if a := x.accounts[strings.ToLower(login)]; a != nil {
		return a.wrong
	}
	return 0
}

// signIn checks login and password. A wrong password counts against the account; after
// ten it is locked, and then the right one does not help either.
func (x *Exchange) signIn(login, password string) *account {
	return x.signInBy(login, func(known string) bool { return known == password })
}

// signInBy leaves it to proves whether the caller knows the password.
func (x *Exchange) signInBy(login string, proves func(password string) bool) *account {
	x.mu.RLock()
	a := x.accounts[strings.ToLower(login)]
	right := a != nil && proves(a.Password)
	locked := right && a.locked
	x.mu.RUnlock()
	switch {
	case right && !locked: // the common case does not hold others up
		return a
	case a != nil && !right:
		x.mu.Lock()
		defer x.mu.Unlock()
		a.wrong++
		a.locked = a.locked || a.wrong >= lockAfter
	}
	return nil
}

// may tells whether the account may act as the owner of a mailbox. The caller holds the
// lock.
func (x *Exchange) may(a *account, box *Mailbox) bool {
	if a.NoRole {
		return false
	}
	if a.Scope == nil && a.Groups == nil {
		return true
	}
	for _, address := range a.Scope {
		if x.byAddress[address] == box {
			return true
		}
	}
	return slices.ContainsFunc(a.Groups, func(g mail.Address) bool { return x.groups[g].holds(x, box) })
}

// A Person is somebody whose address is known.
type Person struct {
	Name    string
	Address mail.Address
}

// AddMailbox adds a mailbox with its ordinary folders. Mail to an alias is laid into it,
// too. An address that has a mailbox already returns that one.
func (x *Exchange) AddMailbox(owner Person, aliases ...mail.Address) *Mailbox {
	x.mu.Lock()
	defer x.mu.Unlock()
	if box := x.byAddress[owner.Address]; box != nil {
		return box
	}
	return x.addMailbox(owner, aliases, x.options.Generation)
}

// addMailbox makes a mailbox; generation tells it from those that had the address before.
func (x *Exchange) addMailbox(owner Person, aliases []mail.Address, generation uint64) *Mailbox {
	local, domain, _ := strings.Cut(string(owner.Address), "@")
	box := &Mailbox{
		x:          x,
		address:    owner.Address,
		name:       owner.Name,
		generation: generation,
		dn:         fmt.Sprintf("/o=%s/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=%s", domain, local),
		folders:    map[uint64]*Folder{},
		items:      map[uint64]*Item{},
		roles:      map[Role]*Folder{},
	}
	if box.name == "" {
		box.name = local
	}
	seed := []byte(owner.Address)
	if generation > 0 {
		seed = binary.BigEndian.AppendUint64(seed, generation)
	}
	digest := sha256.Sum256(seed)
	copy(box.guid[:], digest[:])
	box.server = len(x.boxes) % max(x.options.Servers, 1)
	box.addStandardFolders(x.options.FolderNames)
	x.boxes = append(x.boxes, box)
	x.byGUID[box.guid] = box
	x.byDN[strings.ToLower(box.dn)] = box
	for _, address := range append(aliases, owner.Address) {
		if x.byAddress[address] == nil {
			x.byAddress[address] = box
		}
	}
	box.tell(MailboxCreated, "")
	return box
}

// Mailbox returns the mailbox of an address or alias, nil when there is none.
func (x *Exchange) Mailbox(address mail.Address) *Mailbox {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.byAddress[address]
}

// Mailboxes returns all mailboxes in the order in which they came.
func (x *Exchange) Mailboxes() []*Mailbox {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return append([]*Mailbox(nil), x.boxes...)
}

// LoseSyncStates forgets every sync state given out so far: each use of one is answered
// with ErrorInvalidSyncStateData.
func (x *Exchange) LoseSyncStates() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, box := range x.boxes {
		box.epoch++
	}
}
