package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"postern/crm"
	"postern/engine"
	"postern/mail"
	"postern/store"
)

// collecting runs a test over an organization with one mailbox. step is asked before each
// durable step, as soon as there is an engine.
func collecting(t *testing.T, step func(name string) error, act func(t *testing.T, e *engine.Engine)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var e *engine.Engine
		st, err := store.Open(t.Context(), store.Options{Dir: dir, Step: func(name string) error {
			if e == nil {
				return nil
			}
			return step(name)
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		org := st.Org(1)
		if _, err := org.SaveUsers(t.Context(), []crm.User{{Name: "Ann", Addresses: []mail.Address{mail.Address(person(0))}, Active: true}}); err != nil {
			t.Fatal(err)
		}
		if err := org.SaveSettings(t.Context(), crm.Settings{Enabled: true, Server: "mail.acme.example", Domains: []string{"acme.example"}}); err != nil {
			t.Fatal(err)
		}
		e = engine.New(engine.Config{Org: org, Connector: crm.Connector{
			Source: func(crm.Settings, crm.Transport) (crm.Source, error) { return newExchange(), nil }}})
		act(t, e)
	})
}

const endOfPass = "commit before: save mailbox"

// TestEndOfTheProcessIsNoTrouble: that a pass could not be written down because all ends is
// told to nobody.
func TestEndOfTheProcessIsNoTrouble(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	saves := 0
	collecting(t, func(name string) error {
		if name == endOfPass {
			if saves++; saves == 2 { // the first says that the import has begun
				cancel()
			}
		}
		return nil
	}, func(t *testing.T, e *engine.Engine) {
		if err := e.CatchUp(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that it was ended", err)
		}
		if f, _ := e.Trouble(); saves < 2 || f != nil {
			t.Errorf("after %d saves the engine is in trouble: %v", saves, f)
		}
	})
}

// TestTroubleThatWasToldIsOver: whoever called has it, and nothing rests any more.
func TestTroubleThatWasToldIsOver(t *testing.T) {
	full := errors.New("no room")
	collecting(t, func(name string) error {
		if name == endOfPass {
			return full
		}
		return nil
	}, func(t *testing.T, e *engine.Engine) {
		if err := e.CatchUp(t.Context()); !errors.Is(err, full) {
			t.Errorf("got %v, want why nothing was written down", err)
		}
		if f, _ := e.Trouble(); f != nil {
			t.Errorf("the engine still says %v", f)
		}
	})
}

// TestMailboxesAreMadeUntilThatSucceeds: what could not be written down is not taken for
// done because the terms are those of the time before.
func TestMailboxesAreMadeUntilThatSucceeds(t *testing.T) {
	tries := 0
	collecting(t, func(name string) error {
		if name == "commit before: provision" {
			if tries++; tries == 1 {
				return errors.New("no room")
			}
		}
		return nil
	}, func(t *testing.T, e *engine.Engine) {
		if err := e.CatchUp(t.Context()); err == nil {
			t.Error("that the mailboxes could not be made was told to nobody")
		}
		if err := e.CatchUp(t.Context()); err != nil || tries != 2 {
			t.Errorf("%d tries, then %v; want a second that succeeds", tries, err)
		}
	})
}
