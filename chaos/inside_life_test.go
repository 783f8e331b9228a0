package chaos

import (
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing/synctest"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/sim"
)

// A life is what happens to the company of a world. All of it is drawn from the seed.
type life struct {
	*world
	users    []mail.Address // each has a mailbox
	contacts []mail.Address // known from the first day
	later    []mail.Address // become contacts some day
	letters  int
	sent     [][]byte // raw letters that were sent, to be sent again
	rough    bool     // crashes may come
	deaths   int
}

// begin founds the company and starts Postern. In a rough life it may die at any time.
func begin(w *world, rough bool) *life {
	l := &life{world: w, rough: rough}
	mailboxes := 3
	if rough {
		mailboxes += w.rng.IntN(4)
	}
	for i := range mailboxes {
		l.users = append(l.users, mail.Address(fmt.Sprintf("user%d@%s", i+1, company)))
	}
	for i := range 4 {
		l.contacts = append(l.contacts, mail.Address(fmt.Sprintf("contact%d@client.example", i+1)))
		l.later = append(l.later, mail.Address(fmt.Sprintf("prospect%d@client.example", i+1)))
	}
	for _, a := range l.users {
		w.exchange.AddMailbox(sim.Person{Name: string(a), Address: a})
	}
	for range w.rng.IntN(40) {
		l.send()
	}
	w.start()
	l.arm()
	w.proc.run()
	l.pause(time.Millisecond)
	l.admin((*process).connect)
	for i, a := range l.users {
		l.admin(func(p *process) error { return p.addUser(fmt.Sprint("User ", i+1), a) })
	}
	for i, a := range l.contacts {
		l.admin(func(p *process) error { return p.addContact(fmt.Sprint("Contact ", i+1), a) })
	}
	return l
}

// admin lets somebody do something with Postern. When it dies meanwhile, they wait until
// it is back and do it again.
func (l *life) admin(do func(*process) error) {
	for {
		err := do(l.proc)
		synctest.Wait()
		switch {
		case l.proc.dead():
			l.revive()
		case errors.Is(err, syscall.ENOSPC):
			l.pause(10 * time.Second)
		default:
			l.must(err)
			return
		}
	}
}

// arm draws whether and where this life of the process ends.
func (l *life) arm() {
	if l.rough && l.rng.IntN(3) > 0 {
		l.proc.crashAt = 1 + l.rng.IntN(1500)
	}
}

// pause lets time go by, and buries and revives the process when it dies meanwhile. When
// it returns everybody else waits for something, so that nothing comes in between.
func (l *life) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			if synctest.Wait(); l.proc.dead() {
				l.revive()
			}
			return
		case <-l.proc.died:
			l.revive()
		}
	}
}

// revive looks at what a dead process has left and starts another one.
func (l *life) revive() {
	l.deaths++
	l.front.hit("crash")
	l.log.note("the process died at %q", l.proc.last)
	l.proc.bury()
	l.cursors(l.image())
	if l.rough {
		time.Sleep(time.Duration(l.rng.Int64N(int64(20 * time.Second))))
	}
	l.start()
	l.arm()
	l.proc.run()
	synctest.Wait() // nobody does anything with it before it is up
}

// live lets things happen for a while.
func (l *life) live(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		l.pause(time.Duration(1+l.rng.Int64N(int64(20*time.Second))) + time.Duration(l.rng.IntN(1e6)))
		if l.rough {
			l.happen(l.everything())
		} else {
			l.happen(l.everyday())
		}
	}
}

// A chance is something that may happen, by its weight among a hundred.
type chance struct {
	weight int
	do     func()
}

// happen lets one thing happen.
func (l *life) happen(chances []chance) {
	n := l.rng.IntN(100)
	for _, c := range chances {
		if n -= c.weight; n < 0 {
			c.do()
			return
		}
	}
}

// everyday is what people do.
func (l *life) everyday() []chance {
	return []chance{
		{40, l.send}, {8, l.burst}, {14, l.move}, {8, l.remove}, {8, l.read}, {4, l.copy}, {4, l.again}, {6, l.folder}, {4, l.noFolder}, {4, l.contact},
	}
}

// everything is what may happen.
func (l *life) everything() []chance {
	return []chance{
		{29, l.send}, {5, l.burst}, {10, l.move}, {6, l.remove}, {8, l.read}, {2, l.copy}, {3, l.again},
		{4, l.folder}, {2, l.noFolder}, {3, l.contact}, {2, l.forget}, {2, l.settings}, {4, l.clock}, {6, l.spell}, {5, l.outage}, {2, l.kill}, {2, l.full}, {4, l.mailbox}, {1, l.newPassword},
	}
}

func pick[T any](l *life, list []T) T { return list[l.rng.IntN(len(list))] }

// letter writes a letter between people who may or may not be known.
func (l *life) letter() []byte {
	l.letters++
	user, other := pick(l, l.users), pick(l, l.users)
	var from, to mail.Address
	switch n := l.rng.IntN(10); {
	case n < 4:
		from, to = pick(l, l.contacts), user
	case n < 6:
		from, to = user, pick(l, l.contacts)
	case n < 7:
		from, to = pick(l, l.later), user
	case n < 8:
		from, to = user, pick(l, l.later)
	case n < 9:
		from, to = "stranger@nowhere.example", user
	default:
		from, to = user, other
	}
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: Letter %d\r\nDate: %s\r\n", from, to, l.letters, time.Now().UTC().Format(time.RFC1123Z))
	if l.rng.IntN(3) == 0 {
		fmt.Fprintf(&b, "Cc: %s\r\n", other)
	}
	if l.rng.IntN(10) > 0 {
		fmt.Fprintf(&b, "Message-ID: <%d.%d@chaos.example>\r\n", l.letters, l.seed)
	}
	if l.rng.IntN(20) == 0 {
		b.WriteString("Sensitivity: Private\r\n")
	}
	text := fmt.Sprintf("The text of letter %d of seed %d.\r\n", l.letters, l.seed)
	if l.rng.IntN(6) > 0 {
		return []byte(b.String() + "\r\n" + text)
	}
	content := make([]byte, 1<<l.rng.IntN(17))
	for i := range content {
		content[i] = byte(l.rng.Uint32())
	}
	fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\n%s\r\n--x\r\n"+
		"Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=list.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n", text)
	for encoded := base64.StdEncoding.EncodeToString(content); encoded != ""; {
		n := min(76, len(encoded))
		b.WriteString(encoded[:n] + "\r\n")
		encoded = encoded[n:]
	}
	b.WriteString("--x--\r\n")
	return []byte(b.String())
}

func (l *life) send() {
	raw := l.letter()
	l.sent = append(l.sent, raw)
	l.deliver(raw)
}

// again sends a letter a second time: the same message, more copies.
func (l *life) again() {
	if len(l.sent) > 0 {
		l.deliver(pick(l, l.sent))
	}
}

// deliver sends a letter and lets everybody take note of it before anything else happens.
func (l *life) deliver(raw []byte) {
	_, err := l.exchange.Deliver(raw)
	l.must(err)
	synctest.Wait()
}

func (l *life) burst() {
	for range 5 + l.rng.IntN(30) {
		l.send()
	}
}

// item picks an item of any mailbox; nil when the folder picked is empty.
func (l *life) item() *sim.Item {
	items := pick(l, l.places(l.box())).Items()
	if len(items) == 0 {
		return nil
	}
	return pick(l, items)
}

func (l *life) box() *sim.Mailbox { return l.exchange.Mailbox(pick(l, l.users)) }

// places are the folders in which mail may lie.
func (l *life) places(box *sim.Mailbox) []*sim.Folder {
	var list []*sim.Folder
	for _, f := range box.Folders() {
		switch f.Role() {
		case sim.Inbox, sim.SentItems, sim.DeletedItems, sim.JunkEmail, sim.NoRole:
			list = append(list, f)
		}
	}
	return list
}

func (l *life) move() {
	if it := l.item(); it != nil {
		it.Move(pick(l, l.places(it.Mailbox())))
	}
}

func (l *life) remove() {
	if it := l.item(); it != nil {
		it.Delete()
	}
}

func (l *life) read() {
	if it := l.item(); it != nil {
		it.MarkRead(l.rng.IntN(2) == 0)
	}
}

func (l *life) copy() {
	if it := l.item(); it != nil {
		it.Copy(pick(l, l.places(it.Mailbox())))
	}
}

func (l *life) folder() {
	box := l.box()
	parent := box.Folder(sim.MessageRoot)
	if l.rng.IntN(2) == 0 {
		parent = pick(l, l.places(box))
	}
	box.CreateFolder(parent, fmt.Sprint("Folder ", l.rng.IntN(10)))
}

func (l *life) noFolder() {
	if f := pick(l, l.places(l.box())); f.Role() == sim.NoRole {
		f.Delete()
	}
}

// contact makes one more correspondent known.
func (l *life) contact() {
	if len(l.later) > 1 { // one stays a prospect for ever
		a := l.later[0]
		l.later, l.contacts = l.later[1:], append(l.contacts, a)
		l.admin(func(p *process) error { return p.addContact(string(a), a) })
	}
}

// mailbox lets something happen to a mailbox as a whole.
func (l *life) mailbox() {
	i := l.rng.IntN(len(l.users))
	box := l.exchange.Mailbox(l.users[i])
	l.front.hit("mailbox")
	after := func(do func()) { time.AfterFunc(time.Duration(l.rng.Int64N(int64(10*time.Minute))), do) }
	switch l.rng.IntN(8) {
	case 0:
		l.letters++
		l.must(box.Rename(mail.Address(fmt.Sprintf("user%d.%d@%s", i+1, l.letters, company))))
	case 1:
		box.Disable()
		after(box.Enable)
	case 2:
		box.RemoveLicence()
		after(box.Enable)
	case 3:
		box.BreakLogon()
		after(box.Enable)
	case 4:
		l.must(box.MoveTo(l.rng.IntN(servers), time.Duration(l.rng.Int64N(int64(5*time.Minute)))))
	case 5:
		box.Recreate(l.rng.IntN(2) == 0)
	default:
		l.exchange.LoseSubscriptions()
	}
}

// newPassword changes the password of the service account, or lets it expire first. Some
// time later an administrator enters the new one.
func (l *life) newPassword() {
	l.front.hit("password")
	if l.rng.IntN(2) == 0 {
		l.must(l.exchange.ExpirePassword(login))
		l.pause(time.Duration(l.rng.Int64N(int64(5 * time.Minute))))
	}
	l.password += "x"
	l.must(l.exchange.SetPassword(login, l.password))
	l.pause(time.Duration(l.rng.Int64N(int64(10 * time.Minute))))
	l.patient()
	l.must(l.exchange.Unlock(login)) // a directory forgets wrong passwords after a while
	l.settings()
}

// patient checks that the account was not brought near to being locked.
func (l *life) patient() {
	if n := l.exchange.WrongPasswords(login); n > 9 {
		l.wrong("", "the account was tried with a wrong password %d times", n)
	}
}

// settings has an administrator save the settings anew, as people do to see whether that
// helps.
func (l *life) settings() { l.admin((*process).connect) }

func (l *life) forget() { l.exchange.LoseSyncStates() }

// clock sets our clock wrong, by ten minutes at most.
func (l *life) clock() {
	const most = 10 * time.Minute
	l.offset.Store(l.rng.Int64N(int64(2*most)) - int64(most))
	l.front.hit("clock")
}

func (l *life) spell()  { l.front.spell(l.rng) }
func (l *life) outage() { l.front.outage(l.rng) }

func (l *life) kill() {
	l.proc.crash("nothing")
	l.revive()
}

// full fills our disk for a while.
func (l *life) full() {
	l.front.hit("disk-full")
	l.proc.full.Store(true)
	p := l.proc
	time.AfterFunc(time.Duration(1+l.rng.Int64N(int64(2*time.Minute))), func() { p.full.Store(false) })
}

// calm ends all trouble.
func (l *life) calm() {
	l.rough = false
	l.proc.disarm()
	l.proc.full.Store(false)
	l.front.calm()
	for _, box := range l.exchange.Mailboxes() {
		box.Enable()
	}
}

// recover waits until everything has been caught up with. What only waits for a clock is
// not waited for: the clock is put forward.
func (l *life) recover() error {
	const patience = 60 // rounds; each item that is tried again at growing times takes a few
	began := l.now()
	for round := 0; ; round++ {
		l.pause(2*time.Minute + time.Duration(l.rng.IntN(1e6)))
		open, next := l.owed(began)
		if open == "" {
			if open = l.differs(); open == "" {
				return nil
			}
			next = l.now().Add(10 * time.Minute) // what was not told of is found by the next sweep
		}
		if round == patience {
			return fmt.Errorf("not caught up %s after all trouble has ended: %s%s", l.now().Sub(began), open, l.debts())
		}
		if l.refusedLogin() {
			l.log.note("an administrator enters the password again")
			l.admin((*process).connect)
		}
		if skip := next.Sub(l.now()); skip > 0 && !next.IsZero() {
			l.offset.Add(int64(skip))
		}
	}
}

// debts lists what is to be tried again.
func (l *life) debts() string {
	var b strings.Builder
	for _, query := range []string{
		"select 'decision', mailbox_id, item, outcome || ' ' || reason || ' ' || tries, due_at from decision where due_at > 0",
		"select 'attachment', mailbox_id, message_id || ' ' || name, state || ' ' || note || ' ' || tries, due_at from attachment where state in ('pending', 'failed')",
		"select 'copy', mailbox_id, item, missing_at, gone_at from copy where missing_at > 0 and gone_at = 0",
	} {
		l.query(l.proc.dir, query, func(r *sql.Rows) error {
			var what, box, item, state, due string
			err := r.Scan(&what, &box, &item, &state, &due)
			fmt.Fprintf(&b, "\n  %s of mailbox %s: %s, %s, %s", what, box, item, state, due)
			return err
		})
	}
	return b.String()
}

// refusedLogin tells whether a mailbox waits for an administrator to enter the password.
func (l *life) refusedLogin() bool {
	boxes, err := l.proc.org.Boxes(l.Context())
	l.must(err)
	for _, b := range boxes {
		if b.Trouble != nil && b.Trouble.Verdict == crm.Reauth {
			return true
		}
	}
	return false
}

// owed says what has not been done yet, and when something of it will be done.
func (l *life) owed(since time.Time) (what string, next time.Time) {
	boxes, err := l.proc.org.Boxes(l.Context())
	l.must(err)
	soon := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, b := range boxes {
		switch {
		case b.State != crm.Live:
			what = fmt.Sprintf("mailbox %s is %s: %v", b.Address, b.State, b.Trouble)
			soon(b.Due)
		case b.Checked.Before(since):
			what = fmt.Sprintf("mailbox %s was not looked at", b.Address)
			soon(b.Due)
		}
		due, err := l.proc.org.NextDue(l.Context(), b.ID)
		l.must(err)
		if !due.IsZero() {
			what = fmt.Sprintf("mailbox %s has an item that is to be tried again at %s", b.Address, due)
			soon(due)
		}
	}
	l.query(l.proc.dir, "select item from copy where missing_at > 0 and gone_at = 0", func(r *sql.Rows) error {
		var item string
		err := r.Scan(&item)
		what = fmt.Sprintf("item %s may have been moved or deleted", item)
		soon(l.now().Add(time.Minute))
		return err
	})
	if len(boxes) < len(l.users) {
		what = fmt.Sprintf("%d of %d mailboxes are known", len(boxes), len(l.users))
	}
	return what, next
}
