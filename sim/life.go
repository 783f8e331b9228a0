package sim

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"postern/mail"
)

// What becomes of mailboxes and accounts in the life of a company. Each of these ends the
// subscriptions of the mailbox, but for Rename.

// Rename gives the mailbox another primary address. The old one becomes an alias, which
// must not be used for impersonation by the primary address. An address that another
// mailbox has is an error.
func (m *Mailbox) Rename(address mail.Address) error {
	x := m.x
	x.mu.Lock()
	defer x.mu.Unlock()
	if other := x.byAddress[address]; other != nil && other != m {
		return fmt.Errorf("%s belongs to another mailbox", address)
	}
	was := m.address
	m.address, x.byAddress[address] = address, m
	m.tell(MailboxRenamed, was)
	return nil
}

// Disable disables the owner's account: ErrorAccountDisabled until Enable.
func (m *Mailbox) Disable() { m.bar("ErrorAccountDisabled") }

// RemoveLicence takes the right to use EWS away: HTTP 403 until Enable.
func (m *Mailbox) RemoveLicence() { m.bar("403") }

// BreakLogon makes the store refuse the owner: ErrorMailboxLogonFailed until Enable. It is
// how a missing licence shows in other versions.
func (m *Mailbox) BreakLogon() { m.bar("ErrorMailboxLogonFailed") }

// Enable makes up for Disable, RemoveLicence and BreakLogon.
func (m *Mailbox) Enable() {
	m.x.mu.Lock()
	defer m.x.mu.Unlock()
	m.barred = ""
}

// bar makes every request for the mailbox fail with a code.
func (m *Mailbox) bar(code string) {
	m.x.mu.Lock()
	defer m.x.mu.Unlock()
	m.barred = code
	m.x.switchboard.dropAll(m)
}

// MoveTo moves the mailbox to another back end, counted from 0. While that lasts, requests
// are answered with ErrorMailboxMoveInProgress; mail still comes in. Afterwards its sync
// states are lost.
func (m *Mailbox) MoveTo(server int, lasting time.Duration) error {
	x := m.x
	if server < 0 || server >= max(x.options.Servers, 1) {
		return fmt.Errorf("there is no server %d", server)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if m.moving != nil {
		m.moving.Stop()
		m.moving = nil
	}
	x.switchboard.dropAll(m)
	if lasting <= 0 {
		m.server = server
		m.epoch++
		return nil
	}
	var timer *time.Timer
	timer = time.AfterFunc(lasting, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if m.moving == timer { // no other move was begun meanwhile
			m.server, m.moving = server, nil
			m.epoch++
		}
	})
	m.moving = timer
	return nil
}

// Delete removes the mailbox for good.
func (m *Mailbox) Delete() {
	m.x.mu.Lock()
	defer m.x.mu.Unlock()
	m.delete()
}

func (m *Mailbox) delete() {
	x := m.x
	if m.deleted {
		return
	}
	m.deleted = true
	x.switchboard.dropAll(m)
	for i, box := range x.boxes {
		if box == m {
			x.boxes = append(x.boxes[:i:i], x.boxes[i+1:]...)
			break
		}
	}
	maps.DeleteFunc(x.byAddress, func(_ mail.Address, box *Mailbox) bool { return box == m })
	delete(x.byGUID, m.guid)
	delete(x.byDN, strings.ToLower(m.dn))
	m.tell(MailboxDeleted, "")
}

// Recreate deletes the mailbox and makes a new one with the same addresses, in which every
// id is another. A restored one has the folders and items of the old, as from a backup;
// else it is empty. The old value is not to be used any more.
func (m *Mailbox) Recreate(restored bool) *Mailbox {
	x := m.x
	x.mu.Lock()
	defer x.mu.Unlock()
	var aliases []mail.Address
	for address, box := range x.byAddress {
		if box == m {
			aliases = append(aliases, address)
		}
	}
	m.delete()
	fresh := x.addMailbox(Person{m.name, m.address}, aliases, m.generation+1)
	fresh.server = m.server
	if restored {
		m.restoreInto(fresh)
	}
	return fresh
}

// restoreInto copies folders and items.
func (m *Mailbox) restoreInto(fresh *Mailbox) {
	twins := map[*Folder]*Folder{}
	for _, f := range m.order { // parents come first
		twin := fresh.roles[f.role]
		switch {
		case f.gone:
			continue
		case twin == nil:
			twin = fresh.createFolder(twins[f.parent], f.name, f.class)
		}
		twins[f] = twin
		for _, it := range f.list() {
			double := &Item{
				box: fresh, letter: it.letter, searchKey: it.searchKey, own: it.own, mail: it.mail, added: it.added,
				read: it.read, draft: it.draft, edits: it.edits, damage: it.damage, ghost: it.ghost,
			}
			double.enter(twin)
			double.tell(Arrived, it.place())
		}
	}
}

// isBarred answers for a mailbox that cannot be used at the moment.
func (c *call) isBarred() bool {
	if c.box == nil {
		return false
	}
	c.x.mu.RLock()
	barred, moving := c.box.barred, c.box.moving != nil
	c.x.mu.RUnlock()
	switch {
	case barred == "403":
		c.forbid()
	case barred != "":
		c.fault(fault(barred, barredText[barred]))
	case moving:
		c.fault(fault("ErrorMailboxMoveInProgress", "The mailbox is being moved."))
	default:
		return false
	}
	return true
}

var barredText = map[string]string{
	"ErrorAccountDisabled":    "The account has been disabled.",
	"ErrorMailboxLogonFailed": "The mailbox logon failed.",
}

// SetPassword changes the password of an account; it is then not expired any more. An
// account that was locked stays so. An unknown login is an error.
func (x *Exchange) SetPassword(login, password string) error {
	return x.changeAccount(login, func(a *account) { a.Password, a.expired = password, false })
}

// ExpirePassword lets the password of an account expire: ErrorPasswordExpired until it is
// changed.
func (x *Exchange) ExpirePassword(login string) error {
	return x.changeAccount(login, func(a *account) { a.expired = true })
}

// Unlock makes up for too many wrong passwords.
func (x *Exchange) Unlock(login string) error {
	return x.changeAccount(login, func(a *account) { a.wrong, a.locked = 0, false })
}

func (x *Exchange) changeAccount(login string, change func(*account)) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	a := x.accounts[strings.ToLower(login)]
	if a == nil {
		return fmt.Errorf("there is no account %s", login)
	}
	change(a)
	return nil
}
