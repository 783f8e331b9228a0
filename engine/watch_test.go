package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/mail"
	"postern/store"
)

// A scene is a Postern at work on an exchange, within a bubble of virtual time.
type scene struct {
	*testing.T
	x      *exchange
	org    *store.Org
	engine *engine.Engine
	stop   func()
}

func person(i int) string { return fmt.Sprintf("p%03d@acme.example", i) }

// play runs a scene with that many mailboxes, from the moment at which all are listened to.
func play(t *testing.T, mailboxes int, x *exchange, act func(s *scene)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Open(t.Context(), store.Options{Dir: dir, Exclusive: true, Step: func(string) error {
			if x.full.Load() {
				return errors.New("no room")
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		s := &scene{T: t, x: x, org: st.Org(1)}
		var users []crm.User
		for i := range mailboxes {
			users = append(users, crm.User{Name: person(i), Addresses: []mail.Address{mail.Address(person(i))}, Active: true})
		}
		if _, err := s.org.SaveUsers(t.Context(), users); err != nil {
			t.Fatal(err)
		}
		if err := s.org.SaveSettings(t.Context(), crm.Settings{Enabled: true, Server: "mail.acme.example", Domains: []string{"acme.example"}}); err != nil {
			t.Fatal(err)
		}
		s.start()
		time.Sleep(30 * time.Second)
		act(s)
		s.stop()
		if len(x.subs) > 0 {
			t.Errorf("%d subscriptions were not given back at the end", len(x.subs))
		}
	})
}

// start begins a process, stop ends it in good order.
func (s *scene) start() {
	s.engine = engine.New(engine.Config{Org: s.org, Connector: crm.Connector{
		Source: func(crm.Settings, crm.Transport) (crm.Source, error) { return s.x, nil }}})
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan struct{})
	s.stop = func() { cancel(); <-done }
	go func() { defer close(done); s.engine.Run(ctx) }()
}

// mode returns how a mailbox is followed.
func (s *scene) mode(name string) crm.Watch {
	s.Helper()
	box, err := s.org.MailboxByAddress(s.Context(), mail.Address(name))
	if err != nil {
		s.Fatal(err)
	}
	return s.engine.Watch(box.ID)
}

func TestMailboxesAreListenedToInGroups(t *testing.T) {
	const n = crm.MaxListen + 50
	play(t, n, newExchange(), func(s *scene) {
		heard := map[string]bool{}
		for _, stream := range s.x.connections() {
			if len(stream.list) > crm.MaxListen {
				s.Errorf("one connection carries %d mailboxes, %d are allowed", len(stream.list), crm.MaxListen)
			}
			for _, sub := range stream.list {
				heard[string(sub.Box.Address)] = true
				if sub.Anchor != stream.list[0].Anchor {
					s.Error("the subscriptions of one connection have different anchors")
				}
			}
		}
		if len(heard) != n {
			s.Errorf("%d mailboxes of %d are listened to", len(heard), n)
		}
		for i, made := range s.x.order {
			if made.box != made.anchor && !slices.ContainsFunc(s.x.order[:i], func(m subscribing) bool { return m.box == made.anchor }) {
				s.Errorf("%s was subscribed to before its anchor %s", made.box, made.anchor)
			}
		}
		if mode := s.mode(person(7)); mode.Mode != crm.Streaming {
			s.Errorf("the mailbox is shown as %+v, want streaming", mode)
		}
	})
}

func TestMailboxesOfDifferentServersShareNoConnection(t *testing.T) {
	x := newExchange()
	for i := range 6 {
		x.servers[person(i)] = fmt.Sprint("ex", i%2)
	}
	play(t, 6, x, func(s *scene) {
		for _, stream := range s.x.connections() {
			for _, sub := range stream.list {
				if a, b := x.servers[string(sub.Box.Address)], x.servers[string(stream.list[0].Box.Address)]; a != b {
					s.Errorf("mailboxes of %s and %s share a connection", a, b)
				}
			}
		}
		if len(s.x.connections()) != 2 {
			s.Errorf("there are %d connections for 2 servers", len(s.x.connections()))
		}
	})
}

func TestFirstEventIsActedOnAtOnceAndABurstIsGathered(t *testing.T) {
	play(t, 2, newExchange(), func(s *scene) {
		ann := person(0)
		before, looks := s.x.count(s.x.syncs, ann), s.x.count(s.x.looks, ann)
		s.x.arrive(ann)
		synctest.Wait() // no time goes by
		if got := s.x.count(s.x.syncs, ann) - before; got != 1 {
			s.Fatalf("after one event the folder was read %d times at once, want 1", got)
		}
		for range 50 {
			s.x.arrive(ann)
		}
		time.Sleep(3 * time.Second)
		if got := s.x.count(s.x.syncs, ann) - before; got != 2 {
			s.Errorf("after a burst the folder was read %d times in all, want 2", got)
		}
		if got := s.x.count(s.x.looks, ann) - looks; got != 0 {
			s.Errorf("an event made %d looks at all folders, want none", got)
		}
		counts, err := s.org.Counts(s.Context())
		if err != nil || counts.Items() != 51 {
			s.Errorf("%d items have a decision, want 51 (%v)", counts.Items(), err)
		}
	})
}

func TestTwentyThousandEventsInThreeSeconds(t *testing.T) {
	const boxes, events = 10, 20_000
	play(t, boxes, newExchange(), func(s *scene) {
		before := make([]int, boxes)
		for i := range before {
			before[i] = s.x.count(s.x.syncs, person(i))
		}
		for n := range events {
			s.x.arrive(person(n % boxes))
			if n%(events/300) == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		time.Sleep(time.Minute)
		if n, _ := s.org.Counts(s.Context()); n.Items() != events {
			s.Errorf("%d items have a decision, want %d", n.Items(), events)
		}
		for i := range before {
			if got := s.x.count(s.x.syncs, person(i)) - before[i]; got > 10 {
				s.Errorf("mailbox %d was read %d times for %d events", i, got, events/boxes)
			}
		}
	})
}

func TestUnknownFolderIsAskedForOnce(t *testing.T) {
	play(t, 1, newExchange(), func(s *scene) {
		ann := person(0)
		looks := s.x.count(s.x.looks, ann)
		for range 5 {
			s.x.tell(ann, crm.Notice{Folders: []string{"of another program"}})
			time.Sleep(10 * time.Second)
		}
		if got := s.x.count(s.x.looks, ann) - looks; got != 1 {
			s.Errorf("a folder that is none of ours made %d looks, want 1", got)
		}
	})
}

func TestLostSubscriptionDoesNotSilenceOthers(t *testing.T) {
	play(t, 5, newExchange(), func(s *scene) {
		bad := person(3)
		gone := &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "ErrorSubscriptionNotFound", Message: "The subscription has ended."}
		for n := range 4 { // again and again: in the group, alone, then not for a while
			s.x.tell(bad, crm.Notice{Lost: gone})
			time.Sleep(10 * time.Second)
			before := s.x.count(s.x.syncs, person(1))
			s.x.arrive(person(1))
			synctest.Wait()
			if s.x.count(s.x.syncs, person(1)) == before {
				s.Fatal("another mailbox of the group is not heard any more")
			}
			if alone := slices.ContainsFunc(s.x.connections(), func(c *stream) bool {
				return len(c.list) == 1 && string(c.list[0].Box.Address) == bad
			}); alone != (n == 1) {
				s.Errorf("after %d losses it has a connection of its own: %v", n+1, alone)
			}
		}
		if mode := s.mode(bad); mode.Mode != crm.Polling || mode.Why == "" {
			s.Errorf("the mailbox whose subscription keeps getting lost is shown as %+v, want polling, and why", mode)
		}
		looks := s.x.count(s.x.looks, bad)
		time.Sleep(5 * time.Minute)
		if got := s.x.count(s.x.looks, bad) - looks; got < 9 {
			s.Errorf("it was looked at %d times in 5 minutes, want each half minute", got)
		}
	})
}

func TestServerThatForgetsAllSubscriptionsIsHeldAgainstNone(t *testing.T) {
	play(t, 5, newExchange(), func(s *scene) {
		gone := &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "ErrorSubscriptionNotFound", Message: "The subscription has ended."}
		for range 4 { // as often as the server is restarted
			stream := s.x.connections()[0]
			for _, sub := range stream.list {
				s.x.Unsubscribe(s.Context(), sub)
				stream.tell(crm.Notice{Box: sub.Box.ID, Lost: gone})
			}
			stream.end <- gone
			time.Sleep(time.Minute)
			if open := s.x.connections(); len(open) != 1 || len(open[0].list) != 5 {
				s.Fatalf("afterwards there are %d connections, want one for all", len(open))
			}
		}
		if mode := s.mode(person(2)); mode.Mode != crm.Streaming {
			s.Errorf("shown as %+v, want streaming", mode)
		}
	})
}

func TestTornConnectionIsFollowedByALook(t *testing.T) {
	play(t, 3, newExchange(), func(s *scene) {
		ann := person(0)
		s.x.mu.Lock()
		s.x.items[ann]++ // and the event is lost with the connection
		stream := s.x.streams[0]
		s.x.mu.Unlock()
		stream.end <- &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "torn-answer"}
		time.Sleep(10 * time.Second)
		if n, _ := s.org.Counts(s.Context()); n.Items() != 1 {
			s.Error("what came while nobody listened was not found")
		}
		if mode := s.mode(ann); mode.Mode != crm.Streaming {
			s.Errorf("after a torn connection the mailbox is shown as %+v, want streaming again", mode)
		}
	})
}

func TestEventIsNotForgottenWhileNothingCanBeWritten(t *testing.T) {
	play(t, 1, newExchange(), func(s *scene) {
		s.x.full.Store(true)
		s.x.arrive(person(0))
		synctest.Wait()
		if f, _ := s.engine.Trouble(); f == nil {
			s.Error("the engine does not say that nothing can be written")
		}
		s.x.full.Store(false)
		time.Sleep(time.Minute)
		if n, _ := s.org.Counts(s.Context()); n.Items() != 1 {
			s.Errorf("%d items have a decision after there was room again, want the 1 of the only event", n.Items())
		}
		s.x.full.Store(true)
		s.x.arrive(person(0))
		time.Sleep(3 * time.Second)
		asked := s.x.count(s.x.syncs, person(0))
		for range 10 { // more comes, and is not asked for while it could not be kept
			s.x.arrive(person(0))
			time.Sleep(time.Second)
		}
		if got := s.x.count(s.x.syncs, person(0)) - asked; got > 0 {
			s.Errorf("the server was asked %d times while nothing could be written", got)
		}
		s.x.full.Store(false)
		time.Sleep(2 * time.Minute)
		if n, _ := s.org.Counts(s.Context()); n.Items() != 12 {
			s.Errorf("%d items have a decision after there was room again, want 12", n.Items())
		}
		if f, _ := s.engine.Trouble(); f != nil {
			s.Errorf("the engine still says %v", f)
		}
	})
}

func TestLostEventIsFoundByTheSweep(t *testing.T) {
	play(t, 1, newExchange(), func(s *scene) {
		boxes, err := s.org.Boxes(s.Context())
		if err != nil || len(boxes) != 1 {
			s.Fatal(len(boxes), err)
		}
		if pause := boxes[0].Due.Sub(boxes[0].Checked); pause < 50*time.Minute || pause > time.Hour {
			s.Errorf("the next look at a mailbox that is listened to is due after %s, want about an hour", pause)
		}
		s.x.mu.Lock()
		s.x.items[person(0)]++
		s.x.mu.Unlock()
		time.Sleep(70 * time.Minute)
		if n, _ := s.org.Counts(s.Context()); n.Items() != 1 {
			s.Error("what the server did not tell was not found within an hour")
		}
	})
}

func TestServerThatDoesNotNotifyIsPolled(t *testing.T) {
	x := newExchange()
	x.refuse = func(string) error {
		return &crm.Fault{Verdict: crm.Refused, Scope: crm.MailboxScope, Code: "no-notifications", Message: "This version of Exchange does not tell of changes."}
	}
	play(t, 2, x, func(s *scene) {
		if mode := s.mode(person(1)); mode.Mode != crm.Polling || mode.Why != "This version of Exchange does not tell of changes." {
			s.Errorf("shown as %+v, want polling, and why", mode)
		}
		s.x.arrive(person(1))
		time.Sleep(35 * time.Second)
		if n, _ := s.org.Counts(s.Context()); n.Items() != 1 {
			s.Error("polling did not find what came")
		}
	})
}

func TestMailboxWithTooManySubscriptionsIsPolledForAnHour(t *testing.T) {
	x, asked := newExchange(), 0
	x.refuse = func(string) error {
		asked++
		return &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, After: time.Hour, Code: "ErrorExceededSubscriptionCount", Message: "The mailbox has too many subscriptions."}
	}
	play(t, 1, x, func(s *scene) {
		if mode := s.mode(person(0)); mode.Mode != crm.Polling || mode.Why != "The mailbox has too many subscriptions." {
			s.Errorf("shown as %+v, want polling, and why", mode)
		}
		time.Sleep(55 * time.Minute)
		x.mu.Lock()
		if asked != 1 {
			s.Errorf("it was subscribed to %d times within the hour", asked)
		}
		x.refuse = nil
		x.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if mode := s.mode(person(0)); mode.Mode != crm.Streaming {
			s.Errorf("after the hour: %+v, want streaming", mode)
		}
	})
}

func TestServerThatCannotStreamIsPulledFrom(t *testing.T) {
	x := newExchange()
	x.pulling = true
	play(t, 2, x, func(s *scene) {
		if mode := s.mode(person(1)); mode.Mode != crm.Pulling || mode.Why == "" {
			s.Errorf("shown as %+v, want pulling, and why", mode)
		}
		looks := s.x.count(s.x.looks, person(1))
		s.x.arrive(person(1))
		time.Sleep(65 * time.Second)
		if n, _ := s.org.Counts(s.Context()); n.Items() != 1 {
			s.Error("pulling did not find what came")
		}
		if got := s.x.count(s.x.looks, person(1)) - looks; got != 0 {
			s.Errorf("it was looked at %d times, too", got)
		}
	})
}

func TestWhileNoConnectionCanBeHadEverythingIsPolled(t *testing.T) {
	x := newExchange()
	x.deaf = &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "ErrorExceededConnectionCount", Message: "Too many connections."}
	play(t, 2, x, func(s *scene) {
		if mode := s.mode(person(0)); mode.Mode != crm.Polling || mode.Why != "Too many connections." {
			s.Errorf("shown as %+v, want polling, and why", mode)
		}
		s.x.arrive(person(0))
		time.Sleep(35 * time.Second)
		if n, _ := s.org.Counts(s.Context()); n.Items() != 1 {
			s.Error("what came was not found")
		}
		s.x.mu.Lock()
		s.x.deaf = nil
		s.x.mu.Unlock()
		time.Sleep(6 * time.Minute)
		if mode := s.mode(person(0)); mode.Mode != crm.Streaming {
			s.Errorf("when the server had connections again: %+v, want streaming", mode)
		}
	})
}

// TestStartWhileNoConnectionCanBeHad: the rows say that all is to be looked at in an hour,
// since somebody told of everything, but now nobody does.
func TestStartWhileNoConnectionCanBeHad(t *testing.T) {
	play(t, 2, newExchange(), func(s *scene) {
		s.stop()
		s.x.deaf = &crm.Fault{Verdict: crm.Retry, Scope: crm.MailboxScope, Code: "ErrorExceededConnectionCount", Message: "Too many connections."}
		s.x.arrive(person(1))
		s.start()
		time.Sleep(40 * time.Second)
		if n, _ := s.org.Counts(s.Context()); n.Items() != 1 {
			s.Error("what came meanwhile was not found")
		}
		s.x.arrive(person(0))
		time.Sleep(40 * time.Second)
		if n, _ := s.org.Counts(s.Context()); n.Items() != 2 {
			s.Error("what came later was not found")
		}
	})
}

// TestMailboxThatDoesNotAnswerWhenPulled holds up no other, and is polled.
func TestMailboxThatDoesNotAnswerWhenPulled(t *testing.T) {
	x := newExchange()
	x.pulling, x.mute = true, person(0)
	play(t, 3, x, func(s *scene) {
		s.x.arrive(person(2))
		time.Sleep(70 * time.Second)
		if n, _ := s.org.Counts(s.Context()); n.Items() != 1 {
			s.Error("a mailbox that does not answer holds up another")
		}
		time.Sleep(20 * time.Minute)
		if mode := s.mode(person(0)); mode.Mode != crm.Polling || mode.Why == "" {
			s.Errorf("it is shown as %+v, want polling, and why", mode)
		}
		if mode := s.mode(person(2)); mode.Mode != crm.Pulling {
			s.Errorf("the other is shown as %+v, want pulling", mode)
		}
		s.x.mu.Lock()
		for id, name := range s.x.subs {
			if name == s.x.mute {
				delete(s.x.subs, id) // given up, and expires by itself
			}
		}
		s.x.mu.Unlock()
	})
}

// TestWhoStumblesOverWhatIsToldGoesOn: what a server tells is read in the background, where
// a panic would end the program, and with it all organizations. What comes is found by looks,
// the pages say why in a sentence, and later it is tried again.
func TestWhoStumblesOverWhatIsToldGoesOn(t *testing.T) {
	for _, test := range []struct {
		call      string
		pulling   bool
		meanwhile crm.WatchMode
		again     crm.WatchMode
	}{
		{"Subscribe", false, crm.Polling, crm.Streaming},
		{"Listen", false, crm.Polling, crm.Streaming},
		{"Pull", true, crm.Pulling, crm.Pulling}, // subscriptions that are all lost are made anew
	} {
		t.Run(test.call, func(t *testing.T) {
			x := newExchange()
			x.stumble, x.pulling = test.call, test.pulling
			play(t, 3, x, func(s *scene) {
				time.Sleep(5 * time.Minute)
				s.x.arrive(person(1))
				time.Sleep(5 * time.Minute)
				if n, _ := s.org.Counts(s.Context()); n.Items() != 1 {
					s.Error("what came meanwhile was not found")
				}
				if mode := s.mode(person(1)); mode.Mode != test.meanwhile || mode.Why == "" || strings.Contains(mode.Why, "goroutine") {
					s.Errorf("it is shown as %+v, want %s, and why in a sentence", mode, test.meanwhile)
				}
				s.x.mu.Lock()
				s.x.stumble = ""
				clear(s.x.subs) // those that were given up expire by themselves
				s.x.mu.Unlock()
				time.Sleep(time.Hour)
				if mode := s.mode(person(1)); mode.Mode != test.again {
					s.Errorf("once it is understood, it is shown as %+v, want %s", mode, test.again)
				}
			})
		})
	}
}

func TestMailboxTakenOffTheListIsLeftAloneWithinASecond(t *testing.T) {
	play(t, 3, newExchange(), func(s *scene) {
		users, _, err := s.org.Users(s.Context(), store.ListQuery{})
		if err != nil {
			s.Fatal(err)
		}
		off := users[1].User
		off.Active = false
		if _, err := s.org.SaveUsers(s.Context(), []crm.User{off}); err != nil {
			s.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
		for _, stream := range s.x.connections() {
			for _, sub := range stream.list {
				if sub.Box.Address == off.Addresses[0] {
					s.Error("it is still listened to")
				}
			}
		}
		s.x.mu.Lock()
		for id, name := range s.x.subs {
			if name == string(off.Addresses[0]) {
				delete(s.x.subs, id) // nothing more is asked for it, so it expires by itself
			}
		}
		s.x.mu.Unlock()
		if len(s.x.connections()) != 1 || len(s.x.connections()[0].list) != 2 {
			s.Errorf("the others are not listened to: %d connections", len(s.x.connections()))
		}
	})
}

// TestRevocationTakesLessThanASecond: of connections that hang open and of what else is
// under way, whatever is taken away.
func TestRevocationTakesLessThanASecond(t *testing.T) {
	for name, revoke := range map[string]func(s *scene) error{
		"the connection": func(s *scene) error {
			return s.org.SaveSettings(s.Context(), crm.Settings{Enabled: false, Server: "mail.acme.example", Domains: []string{"acme.example"}})
		},
		"the server": func(s *scene) error {
			return s.org.SaveSettings(s.Context(), crm.Settings{Enabled: true, Server: "mail2.acme.example", Domains: []string{"acme.example"}})
		},
		"the kind": func(s *scene) error {
			p, err := s.org.Policy(s.Context())
			if err == nil {
				p.Kinds = []crm.Kind{crm.Task}
				_, err = s.org.SavePolicy(s.Context(), p, false)
			}
			return err
		},
		"every mailbox": func(s *scene) error {
			p, err := s.org.Policy(s.Context())
			if err == nil {
				p.Deny = []crm.Selector{"*@acme.example"}
				_, err = s.org.SavePolicy(s.Context(), p, false)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, 20, newExchange(), func(s *scene) {
				before := s.x.connections()
				if len(before) == 0 {
					s.Fatal("nobody listens")
				}
				if err := revoke(s); err != nil {
					s.Fatal(err)
				}
				time.Sleep(time.Second)
				for _, stream := range s.x.connections() {
					if slices.Contains(before, stream) {
						s.Error("a connection of before hangs on after a second")
					}
				}
				s.x.mu.Lock()
				defer s.x.mu.Unlock()
				clear(s.x.subs) // what may not be asked for any more cannot be given back either
			})
		})
	}
}
