package sim

import (
	"bytes"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/ews"
	"postern/mail"
)

// asked is how a mailbox answers, by status and code.
func (c *caller) asked() (int, string) {
	c.t.Helper()
	status, body := c.send(getFolder())
	if status == http.StatusForbidden {
		return status, ""
	}
	a := readAnswer(c.t, body)
	return status, a.code()
}

func TestRenamedMailbox(t *testing.T) {
	x := newExchange(t, Options{})
	box := x.Mailbox(ann)
	it := deliver(t, x, plain(1))
	id := it.ID()
	x.AddAccount(Account{Login: login, Password: password, Scope: []mail.Address{ann}})
	const married = mail.Address("ann.miller@company.example")
	if err := box.Rename(married); err != nil {
		t.Fatal(err)
	}
	a := asUser(t, x, ann).ask(getFolder())
	if a.code() != "ErrorNonPrimarySmtpAddress" || a.Body.Fault.Values[0].Text != string(married) {
		t.Errorf("by the old address: %+v", a)
	}
	if _, code := asUser(t, x, married).asked(); code != "NoError" || it.ID() != id || box.Address() != married {
		t.Errorf("by the new one: %s", code)
	}
	if again := deliver(t, x, plain(2)); again.Mailbox() != box {
		t.Error("mail to the old address does not arrive")
	}
	if box.Rename(bob) == nil {
		t.Error("the address of another mailbox was taken")
	}
}

func TestBarredMailboxes(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, x *Exchange) {
		box := x.Mailbox(ann)
		c := asUser(t, x, ann)
		for name, tt := range map[string]struct {
			bar    func()
			status int
			code   string
		}{
			"disabled":        {box.Disable, 500, "ErrorAccountDisabled"},
			"without licence": {box.RemoveLicence, 403, ""},
			"without log-on":  {box.BreakLogon, 500, "ErrorMailboxLogonFailed"},
			"left alone":      {func() {}, 200, "NoError"},
		} {
			l := c.listen(30, c.subscribe())
			tt.bar()
			if status, code := c.asked(); status != tt.status || code != tt.code {
				t.Errorf("%s: status %d with %q", name, status, code)
			}
			if ended := l.ended(); ended != (tt.status != 200) {
				t.Errorf("%s: the stream ended: %v", name, ended)
			}
			l.leave()
			if status, _ := asUser(t, x, bob).asked(); status != http.StatusOK {
				t.Errorf("%s: Bob is refused, too: %d", name, status)
			}
			box.Enable()
			if _, code := c.asked(); code != "NoError" {
				t.Errorf("%s, then enabled: %s", name, code)
			}
		}
	})
}

func TestMovedMailbox(t *testing.T) {
	inBubble(t, Options{Servers: 3}, func(t *testing.T, x *Exchange) {
		box := x.Mailbox(ann)
		c := asUser(t, x, ann)
		deliver(t, x, plain(1))
		state := c.step("", 10).SyncState
		id := c.subscribe()
		l := c.listen(30, id)
		l.envelopes()
		if err := box.MoveTo(1, time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := l.envelopes(); len(got) != 1 || got[0].Message.Code != "ErrorSubscriptionNotFound" || !l.ended() {
			t.Errorf("who listens: %+v", got)
		}
		if _, code := c.asked(); code != "ErrorMailboxMoveInProgress" {
			t.Errorf("under way: %s", code)
		}
		deliver(t, x, plain(2))
		time.Sleep(30 * time.Second)
		if err := box.MoveTo(2, time.Minute); err != nil { // another way
			t.Fatal(err)
		}
		time.Sleep(45 * time.Second)
		synctest.Wait()
		if _, code := c.asked(); code != "ErrorMailboxMoveInProgress" {
			t.Errorf("still under way: %s", code)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, header := group(t, x, ann, ann, "", getFolder()); header.Get("X-CalculatedBETarget") != "sim03.company.example" {
			t.Errorf("afterwards it is on %s", header.Get("X-CalculatedBETarget"))
		}
		if a := c.ask(&ews.SyncFolderItems{Shape: itemShape(), Folder: inbox(), SyncState: state, Max: 10}); a.code() != "ErrorInvalidSyncStateData" {
			t.Errorf("the old state: %s", a.code())
		}
		if m := c.step("", 10); len(m.Changes.List) != 2 {
			t.Errorf("%d items arrived with it", len(m.Changes.List))
		}
		if box.MoveTo(3, 0) == nil {
			t.Error("it moved to a server that there is not")
		}
		if err := box.MoveTo(0, 0); err != nil {
			t.Fatal(err)
		}
		if _, code := c.asked(); code != "NoError" {
			t.Errorf("moved at once: %s", code)
		}
	})
}

func TestDeletedMailbox(t *testing.T) {
	x := newExchange(t, Options{})
	box := x.Mailbox(ann)
	deliver(t, x, plain(1))
	box.Delete()
	box.Delete()
	if _, code := asUser(t, x, ann).asked(); code != "ErrorNonExistentMailbox" || x.Mailbox(ann) != nil || x.Mailbox("ann.archer@company.example") != nil {
		t.Errorf("got %s", code)
	}
	if items, err := x.Deliver(plain(2)); err != nil || len(items) != 0 {
		t.Errorf("mail arrived: %d, %v", len(items), err)
	}
	if err := x.Truth(func(c Copy) error { t.Errorf("it stands: %+v", c); return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestRecreatedMailbox(t *testing.T) {
	var journal bytes.Buffer
	x := newExchange(t, Options{Journal: &journal})
	box := x.Mailbox(ann)
	projects := box.CreateFolder(box.Folder(Inbox), "Projects")
	it := deliver(t, x, plain(1))
	it.Move(projects)
	it.MarkRead(true)
	delivered, id := it.truth().Delivered, it.ID()
	c := asUser(t, x, ann)
	state := c.step("", 10).SyncState

	fresh := box.Recreate(true)
	a := c.ask(&ews.GetItem{Shape: itemShape(), IDs: []ews.ItemID{{ID: id}}})
	if a.code() != "ErrorItemNotFound" || fresh.Folder(Inbox).ID() == box.order[0].ID() {
		t.Errorf("the old id: %s", a.code())
	}
	if a := c.ask(&ews.SyncFolderItems{Shape: itemShape(), Folder: inbox(), SyncState: state, Max: 10}); a.code() != "ErrorInvalidSyncStateData" {
		t.Errorf("the old state: %s", a.code())
	}
	var stands []Copy
	if err := x.Truth(func(c Copy) error { stands = append(stands, c); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(stands) != 1 || stands[0].FolderPath != "Inbox/Projects" || !stands[0].Read || stands[0].Delivered != delivered || stands[0].Item == id {
		t.Errorf("restored: %+v", stands)
	}
	all := happenings(t, journal.Bytes())
	if last := all[len(all)-1]; last["kind"] != Arrived || last["was_item"] != id || last["mailbox_id"] == all[0]["mailbox_id"] {
		t.Errorf("%v", last)
	}
	if again := deliver(t, x, []byte("From: <x@y.example>\r\nTo: ann.archer@company.example\r\n\r\n")); again.Mailbox() != fresh {
		t.Error("the alias is lost")
	}
	empty := fresh.Recreate(false)
	if len(empty.Folder(Inbox).Items()) != 0 || len(empty.Folders()) != len(standardFolders) {
		t.Errorf("an empty one holds %d folders", len(empty.Folders()))
	}
}

func TestPasswordsOfAccounts(t *testing.T) {
	x := newExchange(t, Options{})
	c := asUser(t, x, ann)
	if err := x.ExpirePassword(login); err != nil {
		t.Fatal(err)
	}
	if status, code := c.asked(); status != 500 || code != "ErrorPasswordExpired" {
		t.Errorf("expired: %d %s", status, code)
	}
	if err := x.SetPassword(login, "another"); err != nil {
		t.Fatal(err)
	}
	for range lockAfter {
		if w := try(x, "POST", Path, login, password); w.Code != http.StatusUnauthorized {
			t.Errorf("the old password: %d", w.Code)
		}
	}
	if err := x.SetPassword(login, password); err != nil {
		t.Fatal(err)
	}
	if w := try(x, "GET", Path, login, password); w.Code != http.StatusUnauthorized {
		t.Errorf("locked: %d", w.Code)
	}
	if err := x.Unlock(login); err != nil {
		t.Fatal(err)
	}
	if _, code := c.asked(); code != "NoError" {
		t.Errorf("unlocked: %s", code)
	}
	if x.SetPassword("nobody", "x") == nil {
		t.Error("the password of nobody was changed")
	}
}

// TestLifeGoesOnWhileClientsAsk changes mailboxes in all ways while clients subscribe,
// listen and ask; the race detector is the judge, and nobody may hang.
func TestLifeGoesOnWhileClientsAsk(t *testing.T) {
	inBubble(t, Options{Servers: 2, MaxHanging: 1000}, func(t *testing.T, x *Exchange) {
		x.Populate(4)
		var wg sync.WaitGroup
		for i := range 4 {
			c := asUser(t, x, CrowdUser(i).Address)
			wg.Go(func() {
				for range 20 {
					c.send(getFolder())
					a := c.ask(&ews.Subscribe{Streaming: true, AllFolders: true, Events: allEvents})
					pull := c.ask(&ews.Subscribe{AllFolders: true, Events: allEvents, Timeout: 1})
					if a.code() != "NoError" || pull.code() != "NoError" {
						time.Sleep(time.Minute)
						continue
					}
					l := c.open(1, a.messages()[0].Subscription)
					c.send(&ews.GetEvents{SubscriptionID: pull.messages()[0].Subscription, Watermark: pull.messages()[0].Watermark})
					time.Sleep(time.Minute)
					l.leave()
					<-l.done
				}
			})
			wg.Go(func() {
				for n := range 100 {
					box := x.Mailbox(CrowdUser(i).Address)
					steps := []func(){
						func() { _ = box.MoveTo(n%2, 5*time.Second) },
						box.Disable,
						box.Enable,
						func() { box.Recreate(n%3 == 0) },
						func() { _, _ = x.Deliver(bytes.ReplaceAll(plain(n), []byte(ann), []byte(CrowdUser(i).Address))) },
						x.LoseSyncStates,
					}
					steps[n%len(steps)]()
					time.Sleep(7 * time.Second)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Hour)
		if s := x.Stats(); s.Streams != 0 || s.Mailboxes != 6 {
			t.Errorf("left behind: %+v", s)
		}
	})
}
