package store_test

import (
	"errors"
	"testing"

	"github.com/tink-crypto/tink-go/v2/tink"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

// A transaction that was undone took its keys with it: the next one seals and signs by those
// that it keeps itself, so that another process can open and check what it wrote.
func TestKeysThatWereUndone(t *testing.T) {
	undone := errors.New("undone")
	steps := map[string]func(db *storetest.DB) error{
		"save settings": func(db *storetest.DB) error { // the first entry of its log
			return db.Org(1).SaveSettings(t.Context(), settings("acme.example"))
		},
		"add organization": func(db *storetest.DB) error {
			_, err := db.AddOrg(t.Context(), "second")
			return err
		},
	}
	for name, do := range steps {
		t.Run(name, func(t *testing.T) {
			armed := false
			o := store.Options{Step: func(step string) error {
				if armed && step == "commit before: "+name {
					return undone
				}
				return nil
			}}
			storetest.EachDB(t, o, func(t *testing.T, db *storetest.DB) {
				armed = false
				if name == "add organization" {
					if err := db.SaveDeployment(t.Context(), crm.Deployment{Mode: crm.MultiTenant}); err != nil {
						t.Fatal(err)
					}
				}
				armed = true
				if err := do(db); !errors.Is(err, undone) {
					t.Fatalf("it was not undone: %v", err)
				}
				armed = false
				if err := do(db); err != nil {
					t.Fatal(err)
				}
				other, err := store.Open(t.Context(), db.Options)
				if err != nil {
					t.Fatal(err)
				}
				defer other.Close()
				orgs, err := other.Orgs(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range orgs {
					org := other.Org(o.ID)
					if err := org.SaveSettings(t.Context(), settings("new.example")); err != nil {
						t.Errorf("organization %d, from another process: %v", o.ID, err)
					}
					if _, err := org.SaveContacts(t.Context(), []crm.Contact{{Name: "Cyn", Addresses: []mail.Address{cyn}}}); err != nil {
						t.Errorf("organization %d, from another process: %v", o.ID, err)
					}
					if v := verdict(t, org); !v.OK() || v.Checkpoint != v.Entries {
						t.Errorf("organization %d: the log is %+v", o.ID, v)
					}
				}
			})
		})
	}
}

// The log that a rotation of the master key begins can be signed by who has the new one.
func TestRotateMasterBeginsTheLog(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		if err := db.RotateMaster(t.Context(), &store.Master{Name: "out of reach", AEAD: noKMS{}}); err == nil {
			t.Error("a master key that wraps nothing was taken")
		}
		if v := verdict(t, db.Org(1)); !v.OK() {
			t.Errorf("the log without entries is %+v", v)
		}
		o := db.Options
		o.Master = newMaster(t)
		if err := db.RotateMaster(t.Context(), o.Master); err != nil {
			t.Fatal(err)
		}
		again, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if err := again.Org(1).SaveSettings(t.Context(), settings("acme.example")); err != nil {
			t.Errorf("a change, signed: %v", err)
		}
		if v := verdict(t, again.Org(1)); !v.OK() || v.Entries == 0 || v.Checkpoint != v.Entries {
			t.Errorf("the log is %+v", v)
		}
	})
}

// A noKMS is a master key that cannot be reached.
type noKMS struct{}

func (noKMS) Encrypt([]byte, []byte) ([]byte, error) { return nil, errors.New("no answer") }
func (noKMS) Decrypt([]byte, []byte) ([]byte, error) { return nil, errors.New("no answer") }

// A hookedAEAD has something done each time before it seals or opens anything.
type hookedAEAD struct {
	tink.AEAD
	sealing, opening func()
}

func (h *hookedAEAD) Encrypt(text, place []byte) ([]byte, error) {
	h.sealing()
	return h.AEAD.Encrypt(text, place)
}

func (h *hookedAEAD) Decrypt(sealed, place []byte) ([]byte, error) {
	h.opening()
	return h.AEAD.Decrypt(sealed, place)
}

// Whoever reads, or rotates, while another process ends one rotation after the other goes on
// by the keys that there are then.
func TestRotationsOvertakeEachOther(t *testing.T) {
	master, nothing := newMaster(t), func() {}
	hooked := &hookedAEAD{master.AEAD, nothing, nothing}
	storetest.EachDB(t, store.Options{Master: &store.Master{Name: master.Name, AEAD: hooked}}, func(t *testing.T, db *storetest.DB) {
		furnished(t, db.Org(1))
		o := db.Options
		o.Master = master
		other, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		rotate := func() {
			if _, err := other.Org(1).RotateKeys(t.Context()); err != nil {
				t.Error(err)
			}
		}
		rotate()
		overtaken := 0
		hooked.opening = func() {
			if overtaken++; overtaken <= 4 {
				rotate()
			}
		}
		if got := opens(t, db.Org(1)); got != "" || overtaken < 4 {
			t.Errorf("read after %d more rotations: %s", overtaken, got)
		}
		hooked.opening = nothing
		wrapped := 0
		hooked.sealing = func() {
			if wrapped++; wrapped == 2 { // the old keys are about to be dropped
				rotate()
				rotate()
			}
		}
		if _, err := db.Org(1).RotateKeys(t.Context()); err != nil || wrapped < 2 {
			t.Errorf("a rotation, overtaken by another (%d keysets): %v", wrapped, err)
		}
		hooked.sealing = nothing
		if k := keysOf(t, db.Org(1)); k.Left != 0 || len(k.Older) > 0 || opens(t, db.Org(1)) != "" {
			t.Errorf("at the end: %+v", k)
		}
	})
}
