package store_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

// A life is all that happens to a store, one act after the other. Each act may be done
// again after it was cut off anywhere.
type life struct {
	*stage
	st      *store.Store
	options store.Options // to open it again when it is over
}

func (l *life) acts() []func() error {
	ctx := l.t.Context()
	org := func() *store.Org { return l.st.Org(1) }
	save := func(p store.Page) error { _, err := org().SavePage(ctx, p); return err }
	gone := func(box *crm.Mailbox, items ...string) error {
		p := l.page(box)
		p.Gone, p.SetCursor, p.Next, p.Last = items, true, "next", true
		return save(p)
	}
	failed := func(it *crm.Item) store.Page {
		p := l.page(&l.ann, it)
		p.Entries[0].Item, p.Entries[0].Decision = nil, crm.Decision{Item: it.ID, Outcome: crm.Failed, Reason: "ErrorItemCorrupt", RetryAt: noon, Tries: 1}
		return p
	}
	named := func(id, name string, from mail.Address) *crm.Item {
		it := letter(id, from, string(ann), string(bob))
		it.ID = name
		return it
	}
	nameless := named("4", "nameless", cyn)
	nameless.MessageID = ""
	other := named("10", "other-nameless", cyn)
	other.MessageID = ""
	bobs := func(it *crm.Item) *crm.Item {
		copyOf := *it
		copyOf.ID = "bobs-" + it.ID
		return &copyOf
	}
	large := strings.Repeat("large", 20_000)
	attached := named("1", "item-1", cyn)
	attached.Attachments = []crm.Attachment{{ID: "a0", Name: "large", Size: 100_000}, {Name: "small", Content: []byte("along")}}
	joined := named("5", "joined", cyn)
	joined.References = []string{"1@mail.example", "6@mail.example", "7@mail.example"}
	changed := named("8", "item-1-moved", cyn)
	removed := letter("20", who, string(ann), "bcc:"+string(cyn))
	removed.Attachments = []crm.Attachment{{Name: "large", Content: []byte(large)}, {Name: "small", Content: []byte("removed")}}
	quarantine := func(do func(o *store.Org, id int64) error) func() error {
		return func() error {
			for _, left := range []bool{false, true} {
				list, _, err := org().Quarantine(ctx, store.QuarantineQuery{Left: left})
				if err != nil {
					return err
				}
				for _, q := range list {
					if err := do(org(), q.Decision); err != nil {
						return err
					}
				}
			}
			return nil
		}
	}
	return []func() error{
		func() error { // an import
			p := l.page(&l.ann, attached, letter("2", who, string(ann)), named("6", "item-6", cyn), named("7", "item-7", cyn))
			p.SetCursor, p.Next, p.Last = true, "start", true
			return save(p)
		},
		func() error { return save(l.page(&l.bob, named("1", "bobs-item", cyn))) },
		func() error { // threads that a letter joins
			return save(l.page(&l.ann, joined))
		},
		func() error { // a large attachment
			owed, err := org().PendingAttachments(ctx, l.ann.ID, noon.AddDate(9, 0, 0), 9)
			if err != nil || len(owed) == 0 {
				return err
			}
			blob, err := org().PutBlob(ctx, strings.NewReader(large), 1<<20)
			if err != nil {
				return err
			}
			return org().SaveAttachments(ctx, []store.AttachmentResult{{ID: owed[0].ID, State: store.AttachmentStored, Blob: &blob}})
		},
		func() error { // a contact added later brings older mail
			_, err := org().SaveContacts(ctx, []crm.Contact{{Name: "Late", Addresses: []mail.Address{who, bob}}})
			return err
		},
		func() error { return save(l.page(&l.ann, letter("2", who, string(ann)))) },
		func() error { return save(l.page(&l.ann, named("1", "item-1-moved", cyn))) },
		func() error { return gone(&l.ann, "item-1", "item-6", "item-2") }, // one moved, the others are deleted
		func() error { p := l.page(&l.ann); p.Read = map[string]bool{"item-1-moved": true}; return save(p) },
		func() error { _, err := org().SettleMissing(ctx, l.ann.ID, noon.Add(time.Hour)); return err },
		func() error { return save(l.page(&l.ann, changed)) }, // an item that turned into another message
		func() error { return save(l.page(&l.bob, bobs(other))) },
		func() error {
			return save(l.partial(&l.ann, 1, cut(nameless, crm.TextMissing), cut(other, crm.TextMissing), cut(named("3", "item-3", cyn), crm.BodyMissing)))
		},
		func() error { return save(l.page(&l.bob, named("3", "bobs-3", cyn))) },
		func() error { return save(failed(named("9", "broken", cyn))) },
		quarantine(func(o *store.Org, id int64) error { _, err := o.Leave(ctx, id); return err }),
		quarantine(func(o *store.Org, id int64) error { _, err := o.TryNow(ctx, id); return err }),
		func() error { return save(l.page(&l.bob, bobs(nameless))) },
		func() error { return save(l.page(&l.ann, nameless, other, named("9", "broken", cyn))) },
		func() error { // a listing from the start
			f := l.folder(&l.ann, "inbox")
			if f.Epoch == 0 {
				if err := org().ResetFolder(ctx, f.ID); err != nil {
					return err
				}
			}
			p := l.page(&l.ann, changed)
			p.Last = true
			return save(p)
		},
		func() error {
			p, err := org().Policy(ctx)
			if err == nil && len(p.Excluded) == 0 {
				p.Excluded = []crm.Pattern{crm.Pattern(zed), "bad.example"}
				_, err = org().SavePolicy(ctx, p, false)
			}
			return err
		},
		func() error { return org().SaveSettings(ctx, settings("acme.example", "other.example")) },
		func() error { // an address taken from a contact and from a user
			_, err := org().SaveContacts(ctx, []crm.Contact{{ID: l.cyn, Name: "Cyn", Addresses: []mail.Address{cyn2}}})
			if err == nil {
				_, err = org().SaveUsers(ctx, []crm.User{{ID: l.bobUser, Name: "Bob", Addresses: []mail.Address{"robert@acme.example"}, Active: true}})
			}
			return err
		},
		func() error { // what was filed is taken out again
			p, err := org().Policy(ctx)
			if err != nil || slices.Contains(p.Excluded, crm.Pattern(who)) {
				return org().FinishRemoval(ctx)
			}
			if err := save(l.page(&l.ann, removed)); err != nil {
				return err
			}
			p.Excluded = append(p.Excluded, crm.Pattern(who))
			_, err = org().SavePolicy(ctx, p, true)
			return err
		},
		func() error {
			return org().SaveUserLimits(ctx, l.annUser, crm.Limits{Categories: []string{"private"}})
		},
		func() error { return org().SaveGroup(ctx, "sales@acme.example", []mail.Address{ann}) },
		func() error { box := l.ann; box.State = crm.Live; return org().SaveMailbox(ctx, &box) },
		func() error { return org().LookNow(ctx) },
		func() error {
			_, err := org().SaveFolders(ctx, l.ann.ID, []store.Folder{{Folder: crm.Folder{ID: "sent-id", Name: "Archive", Kind: crm.Email}, Path: "Archive"}})
			return err
		},
		func() error {
			return l.st.SaveBudget(ctx, crm.Budget{Scope: crm.HostBudget, Key: "ex.test", Code: "busy", Limit: 1})
		},
		func() error { return l.st.SaveBudget(ctx, crm.Budget{Scope: crm.HostBudget, Key: "ex.test", Limit: 1}) },
		func() error {
			_, err := org().RaiseAlert(ctx, store.Alert{Code: "busy", Subject: "connection"})
			return err
		},
		func() error { _, err := org().CloseAlerts(ctx, "connection", ""); return err },
		func() error { return org().SetPassword(ctx, l.annUser, "hash") },
		func() error {
			token, err := org().NewSession(ctx, l.annUser, time.Hour)
			if err == nil {
				err = org().EndSession(ctx, token)
			}
			return err
		},
	}
}

var errStopped = errors.New("stopped")

// live runs a life whose every step is told to step, which may stop it. The store is then
// closed as if the process had been killed, opened again, and the act done again.
func live(t *testing.T, o store.Options, step func(string) error) *life {
	t.Helper()
	begun := false
	o.Dir = t.TempDir()
	o.Now = func() time.Time { return noon }
	o.Step = func(name string) error {
		if begun {
			return step(name)
		}
		return nil
	}
	open := func() *store.Store {
		t.Helper()
		st, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	l := &life{st: open(), options: store.Options{Dir: o.Dir, Postgres: o.Postgres}}
	defer func() { l.must(l.st.Close()) }()
	l.stage = newStage(t, l.st)
	begun = true
	for i, act := range l.acts() {
		err := act()
		if errors.Is(err, errStopped) {
			begun = false
			l.must(l.st.Close())
			l.st = open()
			l.org = l.st.Org(1)
			err = act()
		}
		if err != nil {
			t.Fatalf("act %d: %v", i, err)
		}
	}
	return l
}

// content is all that a life leaves, apart from what differs from one data folder to the
// next, and is proved to be sound.
func (l *life) content(t *testing.T) []string {
	t.Helper()
	db := storetest.OpenDB(t, l.options)
	l.t = t
	l.org = db.Org(1)
	l.sound(&l.ann)
	l.sound(&l.bob)
	if n, err := l.org.Duplicates(t.Context()); n != 0 || err != nil {
		t.Errorf("%d duplicates, %v", n, err)
	}
	lines := query(t, db, "select 'contact', c.name, c.company, a.address from contact c left join contact_address a on a.contact_id = c.id",
		"select 'user', c.name, c.password, a.address, a.active from account c left join user_address a on a.user_id = c.id",
		"select 'mailbox', address, state, due_at from mailbox", "select 'folder', source_id, name, cursor, listed, epoch from folder",
		"select 'policy', version, text from policy", "select 'limits', user_id, text from user_limits", "select 'group', address, members from policy_group", "select 'removal', version, messages, copies, done_at from removal", "select 'discarded', sha256 from discarded",
		"select 'budget', scope, key from budget",
		"select 'alert', code, closed_at from alert", "select 'blob', length(content) from blob")
	for _, line := range dump(t, db) {
		if !strings.HasPrefix(line, "trace") { // keyed by what each data folder makes for itself
			lines = append(lines, line)
		}
	}
	return lines
}

// What the hook tells of is what is durable: at least 60 different steps.
func TestStepsOfALife(t *testing.T) {
	check := func(t *testing.T, o store.Options) {
		steps := map[string]int{}
		live(t, o, func(name string) error { steps[name]++; return nil })
		t.Logf("%d steps: %s", len(steps), strings.Join(slices.Sorted(maps.Keys(steps)), ", "))
		if len(steps) < 60 {
			t.Errorf("%d different steps, want 60", len(steps))
		}
		for _, name := range []string{"save page/insert decision", "save page/update folder", "commit before: save page", "commit after: save page",
			"settle missing/update copy", "save contacts/insert activity_link", "save folders/delete folder", "save page/delete message",
			"remove/delete copy", "delete discarded/delete blob", "blob: remove", "blob: create", "blob: write", "blob: sync", "blob: make folder", "blob: rename", "blob: sync folder"} {
			if steps[name] == 0 {
				t.Errorf("no step %q", name)
			}
		}
	}
	t.Run("sqlite", func(t *testing.T) { check(t, store.Options{}) })
	t.Run("postgres", func(t *testing.T) { check(t, store.Options{Postgres: storetest.Postgres(t)}) })
}

// Stopped before or after any of its steps, a life that is taken up again leaves the same.
func TestStoppedAtEachStep(t *testing.T) {
	var names []string
	whole := live(t, store.Options{}, func(name string) error {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		return nil
	})
	want := whole.content(t)
	for i, name := range names {
		if testing.Short() && i%8 != 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			stopped := 0
			l := live(t, store.Options{}, func(step string) error {
				if step == name {
					stopped++
					return errStopped
				}
				return nil
			})
			if stopped != 1 {
				t.Errorf("stopped %d times, want once: an error of a step is not to be retried", stopped)
			}
			if got := l.content(t); !slices.Equal(got, want) {
				t.Errorf("it left something else:\n%s", difference(want, got))
			}
		})
	}
}

// A step that fails as a full disk does is judged like one.
func TestStepOnAFullDisk(t *testing.T) {
	full := ""
	o := store.Options{Step: func(name string) error {
		if name == full {
			return syscall.ENOSPC
		}
		return nil
	}}
	storetest.EachDB(t, o, func(t *testing.T, db *storetest.DB) {
		full = ""
		s := newStage(t, db.Store)
		for _, full = range []string{"save page/insert body", "commit before: save page"} {
			_, err := s.org.SavePage(t.Context(), s.page(&s.ann, letter("1", cyn, string(ann))))
			if fault, ok := errors.AsType[*crm.Fault](err); !ok || fault.Code != store.DiskFull || len(s.ledger(&s.ann)) != 0 {
				t.Errorf("%s: %v", full, err)
			}
		}
		full = "blob: sync"
		_, err := s.org.PutBlob(t.Context(), strings.NewReader(strings.Repeat("x", 100_000)), 1<<20)
		if fault, ok := errors.AsType[*crm.Fault](err); !ok || fault.Code != store.DiskFull || len(blobFiles(t, db.Options.Dir)) != 0 {
			t.Errorf("%s: %v", full, err)
		}
	})
}

// A data folder whose making was stopped anywhere can be opened.
func TestStoppedWhileOpening(t *testing.T) {
	var names []string
	o := store.Options{Dir: t.TempDir(), Step: func(name string) error { names = append(names, name); return nil }}
	storetest.OpenDB(t, o)
	if !slices.Contains(names, "key: link") || !slices.Contains(names, "make organization/insert org") {
		t.Errorf("steps: %q", names)
	}
	for i, name := range names {
		o := store.Options{Dir: t.TempDir()}
		n := 0
		o.Step = func(string) error {
			if n++; n == i+1 {
				return errStopped
			}
			return nil
		}
		if st, err := store.Open(t.Context(), o); err == nil {
			t.Errorf("%s: it is open", name)
			st.Close()
		} else if !errors.Is(err, errStopped) && name != "key: remove" {
			t.Errorf("%s: %v", name, err)
		}
		newStage(t, storetest.OpenDB(t, o).Store)
	}
}
