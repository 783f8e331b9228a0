package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

func TestPolicyVersions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		ctx := crm.WithActor(t.Context(), "Ann")
		first, err := s.org.Policy(ctx)
		s.must(err)
		if first.Version != 1 || !slices.Equal(first.Domains, []string{"acme.example"}) || !slices.Equal(first.Kinds, []crm.Kind{crm.Email}) {
			t.Errorf("the policy of new settings: %+v", first)
		}
		next := first
		next.Excluded = []crm.Pattern{" @BANK.example", "bank.example"}
		saved, err := s.org.SavePolicy(ctx, next, false)
		s.must(err)
		if saved.Version != 2 || saved.By != "Ann" || saved.Saved.IsZero() || !slices.Equal(saved.Excluded, []crm.Pattern{"bank.example"}) {
			t.Errorf("saved: %+v", saved)
		}
		if _, err := s.org.SavePolicy(ctx, next, false); !errors.Is(err, store.ErrStale) {
			t.Errorf("a policy made of an older one: %v", err)
		}
		if same, err := s.org.SavePolicy(ctx, saved, false); err != nil || same.Version != 2 {
			t.Errorf("the same again: version %d, %v", same.Version, err)
		}
		none := saved
		none.Domains = nil
		if _, err := s.org.SavePolicy(ctx, none, false); err == nil || crm.AsFault(err).Code != "policy-invalid" {
			t.Errorf("without a domain: %v", err)
		}
		s.must(s.org.SaveSettings(ctx, settings("acme.example", "other.example")))
		all, err := s.org.Policies(ctx)
		s.must(err)
		if len(all) != 3 || all[0].Version != 3 || !slices.Equal(all[0].Domains, []string{"acme.example", "other.example"}) || !slices.Equal(all[0].Excluded, saved.Excluded) {
			t.Errorf("history: %+v", all)
		}
		history, err := s.org.PolicyHistory(ctx)
		s.must(err)
		if len(history) != 3 || history[2].Version != 1 || len(history[2].Lines) != 1 || history[2].Lines[0].New != "acme.example" || !history[2].Widens() ||
			len(history[1].Lines) != 1 || history[1].Lines[0].New != "bank.example" || history[1].Widens() {
			t.Errorf("what each version changed: %+v", history)
		}
		kept, _, err := s.org.Settings(ctx)
		s.must(err)
		if !slices.Equal(kept.Domains, all[0].Domains) {
			t.Errorf("domains of the settings: %v", kept.Domains)
		}
		if old, err := s.org.PolicyVersion(ctx, 2); err != nil || len(old.Diff(&saved)) > 0 {
			t.Errorf("version 2: %+v, %v", old, err)
		}
		if _, err := s.org.PolicyVersion(ctx, 9); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("version 9: %v", err)
		}
	})
}

// boxes returns the addresses of the mailboxes that are on.
func (s *stage) boxes() string {
	s.t.Helper()
	list, err := s.org.Boxes(s.t.Context())
	s.must(err)
	var on []string
	for _, b := range list {
		on = append(on, b.Address.Local())
	}
	slices.Sort(on)
	return strings.Join(on, " ")
}

func TestMailboxesFollowThePolicy(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		board, sales := mail.Address("board@acme.example"), mail.Address("sales@acme.example")
		for i, step := range []struct {
			do   func()
			want string
		}{
			{func() {}, "ann bob"},
			{func() { s.savePolicy(func(p *crm.Policy) { p.Allow = []crm.Selector{"a*@acme.example"} }) }, "ann"},
			{func() { s.savePolicy(func(p *crm.Policy) { p.Allow = []crm.Selector{"group:sales@acme.example"} }) }, ""},
			{func() { s.must(s.org.SaveGroup(t.Context(), sales, []mail.Address{bob, zed})) }, "bob"},
			{func() { s.must(s.org.SaveGroup(t.Context(), sales, []mail.Address{bob, ann})) }, "ann bob"},
			{func() { s.savePolicy(func(p *crm.Policy) { p.Deny = []crm.Selector{"group:board@acme.example"} }) }, ""},
			{func() { s.must(s.org.SaveGroup(t.Context(), board, []mail.Address{ann})) }, "bob"},
			{func() { s.must(s.org.SaveGroup(t.Context(), board, nil)) }, "ann bob"},
			{func() {
				s.savePolicy(func(p *crm.Policy) { p.Domains = append(p.Domains, "other.example"); p.Allow, p.Deny = nil, nil })
			}, "ann bob zed"},
		} {
			before, err := s.org.Revision(t.Context())
			s.must(err)
			step.do()
			after, err := s.org.Revision(t.Context())
			s.must(err)
			if got := s.boxes(); got != step.want {
				t.Errorf("step %d: mailboxes %q, want %q", i, got, step.want)
			}
			if i > 0 && after == before {
				t.Errorf("step %d did not raise the revision", i)
			}
		}
	})
}

// due returns the items of Ann's mailbox that are to be looked at again.
func (s *stage) due() []string {
	s.t.Helper()
	list, err := s.org.DueItems(s.t.Context(), s.ann.ID, time.Now().Add(time.Minute), 100)
	s.must(err)
	var items []string
	for _, d := range list {
		items = append(items, d.Item)
	}
	slices.Sort(items)
	return items
}

// kept are letters that each of these limits keeps out, one each.
func kept() (crm.Limits, map[crm.Reason]*crm.Item) {
	letters := map[crm.Reason]*crm.Item{
		crm.ExcludedAddress: letter("address", cyn2, string(ann)), crm.ExcludedDomain: letter("domain", cyn, string(ann), string(who)),
		crm.OutsidePeriod: letter("old", cyn, string(ann)), crm.IsPrivate: letter("private", cyn, string(ann)),
		crm.TooLarge: letter("large", cyn, string(ann)), crm.ExcludedCategory: letter("category", cyn, string(ann)),
	}
	letters[crm.OutsidePeriod].Sent = noon.Add(-24 * time.Hour)
	letters[crm.IsPrivate].Sensitivity = crm.Private
	letters[crm.TooLarge].Size = 5000
	letters[crm.ExcludedCategory].Categories = []string{"Private Life"}
	return crm.Limits{Excluded: []crm.Pattern{crm.Pattern(cyn2), "*.example.invalid", "nowhere.example"}, Since: noon.Add(-time.Hour), MaxSize: 4999,
		Sensitivities: []crm.Sensitivity{crm.Private}, Categories: []string{"private life"}}, letters
}

// What a policy kept out and the next may let in is looked at again; nothing else is.
func TestWiderPolicyBringsMail(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		limits, letters := kept()
		s.savePolicy(func(p *crm.Policy) { p.Limits = limits })
		s.save(s.page(&s.ann, slices.Collect(maps.Values(letters))...))
		s.save(s.page(&s.ann, letter("stranger", who, string(ann)))) // excluded, too
		counts, err := s.org.Counts(t.Context())
		s.must(err)
		for reason := range letters {
			if want := map[bool]int{true: 2, false: 1}[reason == crm.ExcludedDomain]; counts.By[reason] != want {
				t.Errorf("%d kept out as %s, want %d", counts.By[reason], reason, want)
			}
		}
		for _, step := range []struct {
			wider func(*crm.Policy)
			want  string
		}{
			{func(p *crm.Policy) { p.Excluded = p.Excluded[1:] }, "address"},
			{func(p *crm.Policy) { p.Since = noon.Add(-2 * time.Hour) }, ""},
			{func(p *crm.Policy) { p.Since = time.Time{} }, "old"},
			{func(p *crm.Policy) { p.MaxSize = 0 }, "large"},
			{func(p *crm.Policy) { p.Categories = nil }, "category"},
			{func(p *crm.Policy) { p.Sensitivities = nil }, "private"},
			{func(p *crm.Policy) { p.Excluded = nil }, "domain stranger"},
		} {
			before := s.due()
			p, err := s.org.Policy(t.Context())
			s.must(err)
			step.wider(&p)
			change, err := s.org.DryRun(t.Context(), p)
			s.must(err)
			s.savePolicy(step.wider)
			var fresh []string
			for _, item := range s.due() {
				if !slices.Contains(before, item) {
					fresh = append(fresh, strings.TrimPrefix(item, "item-"))
				}
			}
			if got := strings.Join(fresh, " "); got != step.want {
				t.Errorf("looked at again: %q, want %q", got, step.want)
			}
			if change.Again != len(fresh) || len(change.Lines) == 0 || change.Widens != true {
				t.Errorf("the dry run of %q said: %+v", step.want, change)
			}
		}
	})
}

func TestUserTightensTheOwnMailbox(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		s.savePolicy(func(p *crm.Policy) { p.Excluded = []crm.Pattern{"bank.example"}; p.Locked = []string{"headers_only"} })
		s.must(s.org.SaveUserLimits(t.Context(), s.annUser, crm.Limits{Excluded: []crm.Pattern{crm.Pattern(cyn)}, HeadersOnly: true}))
		for box, want := range map[*crm.Mailbox]crm.Reason{&s.ann: crm.ExcludedAddress, &s.bob: ""} {
			g, err := s.org.Grant(t.Context(), box)
			s.must(err)
			if got, _ := g.Limits.Refuses(&letter("1", cyn, string(ann)).Header); got != want || g.Refused != nil || g.Limits.HeadersOnly {
				t.Errorf("%s: refused as %q, want %q; %+v", box.Address, got, want, g)
			}
		}
		_, _, own, err := s.org.Granted(t.Context())
		s.must(err)
		if len(own) != 1 || len(own[ann].Excluded) != 1 {
			t.Errorf("granted: %+v", own)
		}
		p, err := s.org.Policy(t.Context())
		s.must(err)
		p.Locked = []string{"since"}
		if change, err := s.org.DryRun(t.Context(), p); err != nil || change.Widens {
			t.Errorf("locked, what nobody tightened: %+v, %v", change, err)
		}
		p.Locked = []string{"excluded"}
		if change, err := s.org.DryRun(t.Context(), p); err != nil || !change.Widens {
			t.Errorf("locked, what Ann tightened: %+v, %v", change, err)
		}
		if err := s.org.SaveUserLimits(t.Context(), 999, crm.Limits{}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("limits of nobody: %v", err)
		}
		if err := s.org.SaveUserLimits(t.Context(), s.annUser, crm.Limits{MaxSize: -1}); err == nil || crm.AsFault(err).Code != "policy-invalid" {
			t.Errorf("limits that are none: %v", err)
		}
	})
}

// TestOwnLimitThatIsThePolicys: a limit that says what the policy says anyway is kept and taken
// back as any other, at once, for the policy may change.
func TestOwnLimitThatIsThePolicys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		first, second := admins(t, s.org)
		for _, step := range []struct{ own, then int64 }{{5 << 20, 5 << 20}, {0, 50 << 20}} {
			p := s.savePolicy(func(p *crm.Policy) { p.AttachmentLimit = 5 << 20 })
			s.must(s.org.SaveUserLimits(first, s.annUser, crm.Limits{AttachmentLimit: step.own}))
			list, before, err := s.org.AuditLog(t.Context(), store.AuditQuery{Limit: 1})
			s.must(err)
			if e := list[0]; e.Action != "policy.user" || e.Detail != "saved unchanged" || e.Widens {
				t.Errorf("own limit %d: %+v", step.own, e)
			}
			s.must(s.org.SaveUserLimits(first, s.annUser, crm.Limits{AttachmentLimit: step.own, Categories: []string{}}))
			if _, n, err := s.org.AuditLog(t.Context(), store.AuditQuery{Limit: 1}); n != before || err != nil {
				t.Errorf("own limit %d, saved once more: %d entries, %v", step.own, n-before, err)
			}
			p.AttachmentLimit = 50 << 20
			_, err = s.org.SavePolicy(first, p, false)
			s.must(s.org.Approve(second, held(t, err).ID))
			g, err := s.org.Grant(t.Context(), &s.ann)
			s.must(err)
			if g.Limits.AttachmentLimit != step.then {
				t.Errorf("own limit %d: %d holds once the policy lets in more", step.own, g.Limits.AttachmentLimit)
			}
			if step.own > 0 { // what would let in more waits
				held(t, s.org.SaveUserLimits(first, s.annUser, crm.Limits{}))
			}
		}
	})
}

// A message of which the policy has no text fetched is filed, whole as it is, and made due
// when texts are let in.
func TestHeaderAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		s.savePolicy(func(p *crm.Policy) { p.HeadersOnly = true })
		named, nameless := letter("1", cyn, string(ann)), letter("2", cyn, string(ann))
		nameless.MessageID = ""
		p := s.page(&s.ann, named, nameless)
		for i := range p.Entries {
			p.Entries[i].Item = &crm.Item{Header: *p.Entries[i].Header, Missing: crm.BodyWithheld}
		}
		s.save(p)
		if got := s.sound(&s.ann); got["item-1"] != crm.Filed || got["item-2"] != crm.Filed || len(s.due()) > 0 {
			t.Errorf("filed %v, due %v", got, s.due())
		}
		known, err := s.org.Known(t.Context(), s.ann.ID, []string{"item-1", "item-2"})
		s.must(err)
		if len(known) != 2 {
			t.Errorf("known: %v", known)
		}
		if n, err := s.org.QuarantineCount(t.Context()); n != 0 || err != nil {
			t.Errorf("%d in quarantine, %v", n, err)
		}
		s.savePolicy(func(p *crm.Policy) { p.HeadersOnly = false })
		if got := s.due(); len(got) != 2 {
			t.Errorf("due: %v, want both", got)
		}
		if n, err := s.org.QuarantineCount(t.Context()); n != 0 || err != nil {
			t.Errorf("%d in quarantine, %v", n, err)
		}
		s.save(s.page(&s.ann, named, nameless))
		if rows := s.activities(store.MailQuery{}); len(rows) != 2 || rows[0].Missing+rows[1].Missing != "" || len(s.due()) > 0 {
			t.Errorf("in full: %+v, due %v", rows, s.due())
		}
		s.sound(&s.ann)
	})
}

// everything is what the tables have of mail.
func everything(t *testing.T, db *storetest.DB) []string {
	return slices.DeleteFunc(append(dump(t, db), query(t, db, "select 'blob', length(content) from blob")...),
		func(line string) bool { return strings.HasPrefix(line, "thread") })
}

// A removal takes out what the dry run says, and leaves what the ledger would have if the
// policy had held from the start.
func TestRemovalLeavesWhatAStricterPolicyWouldHaveFiled(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		limits, letters := kept()
		strict := func(p *crm.Policy) { p.Limits = limits; p.Limits.Sensitivities = nil }
		file := func() {
			var items []*crm.Item
			for _, reason := range slices.Sorted(maps.Keys(letters)) {
				items = append(items, letters[reason])
			}
			small := letter("stays", cyn, string(ann), string(bob))
			small.Attachments = []crm.Attachment{{Name: "stays", Content: []byte("stays")}}
			s.save(s.page(&s.ann, append(items, small)...))
			toBoth := *letters[crm.ExcludedCategory] // Bob gave it no category
			toBoth.ID, toBoth.Categories = "bobs", nil
			s.save(s.page(&s.bob, &toBoth))
		}
		letters[crm.TooLarge].Attachments = []crm.Attachment{{Name: "one", Content: []byte("one")}, {Name: "other", Content: []byte("stays")}}
		letters[crm.OutsidePeriod].Attachments = []crm.Attachment{{Name: "big", Content: []byte(strings.Repeat("big", 20_000))}}
		s.savePolicy(strict)
		file()
		want := everything(t, db)
		forget(t, db)
		db.Exec(t, "delete from blob")

		s.savePolicy(func(p *crm.Policy) { p.Limits = crm.Limits{} })
		file()
		p, err := s.org.Policy(t.Context())
		s.must(err)
		strict(&p)
		change, err := s.org.DryRun(t.Context(), p)
		s.must(err)
		by := map[crm.Reason]int{crm.ExcludedAddress: 1, crm.ExcludedDomain: 1, crm.OutsidePeriod: 1, crm.TooLarge: 1}
		if change.Filed.Messages != 4 || change.Filed.Copies != 5 || !maps.Equal(change.Filed.By, by) || len(change.Filed.Examples) != 4 || change.Widens {
			t.Errorf("dry run: %+v", change)
		}
		_, err = s.org.SavePolicy(t.Context(), p, true)
		s.must(err)
		if got := everything(t, db); !slices.Equal(got, want) {
			t.Errorf("it left something else:\n%s", difference(want, got))
		}
		s.sound(&s.ann)
		s.sound(&s.bob)
		if files := blobFiles(t, db.Options.Dir); len(files) > 0 {
			t.Errorf("files are left: %v", files)
		}
		history, err := s.org.PolicyHistory(t.Context())
		s.must(err)
		if got := history[0]; got.Version != p.Version+1 || got.Removed == nil || *got.Removed != (store.Removed{Messages: 4, Copies: 5, Done: true}) || history[1].Removed != nil {
			t.Errorf("removed: %+v", history)
		}
		again, err := s.org.DryRun(t.Context(), p)
		s.must(err)
		if again.Filed.Copies != 0 {
			t.Errorf("another dry run: %+v", again.Filed)
		}
	})
}

// What left a mailbox of the policy, or a folder, is taken out of there alone.
func TestRemovalOfMailboxesAndFolders(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		both, blind := letter("both", cyn, string(ann), string(bob)), letter("blind", ann, string(cyn), "bcc:"+string(who))
		s.saveContacts(crm.Contact{Name: "Who", Addresses: []mail.Address{who}})
		s.save(s.page(&s.ann, both, blind, letter("anns", cyn, string(ann))))
		again := *both
		again.ID = "bobs"
		plain := letter("blind", ann, string(cyn))
		plain.ID = "bobs-blind"
		s.save(s.page(&s.bob, &again, plain))
		p, err := s.org.Policy(t.Context())
		s.must(err)
		p.Deny = []crm.Selector{crm.Selector(ann)}
		change, err := s.org.DryRun(t.Context(), p)
		s.must(err)
		if change.Filed.Messages != 1 || change.Filed.Copies != 3 || change.Filed.By[crm.ExcludedMailbox] != 1 || !slices.Equal(change.Goes, []string{string(ann)}) {
			t.Errorf("dry run: %+v", change)
		}
		p, err = s.org.SavePolicy(t.Context(), p, true)
		s.must(err)
		rows := s.activities(store.MailQuery{})
		if len(rows) != 2 {
			t.Fatalf("activities: %+v", rows)
		}
		for _, row := range rows {
			m, err := s.org.Message(t.Context(), s.annUser, row.Message)
			s.must(err)
			if len(m.Copies) != 1 || m.Copies[0].User != s.bobUser || slices.ContainsFunc(m.Links, func(l store.LinkView) bool { return l.Part == crm.Bcc }) {
				t.Errorf("left: %+v", m)
			}
		}
		if mine := s.activities(store.MailQuery{Viewer: s.annUser, Mine: true}); len(mine) != 0 {
			t.Errorf("My Emails of Ann: %+v", mine)
		}
		s.sound(&s.ann)
		s.sound(&s.bob)
		p.Deny, p.ExcludedFolders = nil, []string{"inbox"}
		p, err = s.org.SavePolicy(t.Context(), p, true)
		s.must(err)
		if got := s.due(); len(got) != 3 {
			t.Errorf("Ann's mailbox is back, due: %v", got)
		}
		if rows := s.activities(store.MailQuery{}); len(rows) != 0 {
			t.Errorf("activities of an excluded folder: %+v", rows)
		}
		counts, err := s.org.Counts(t.Context())
		s.must(err)
		if counts.By[crm.ExcludedFolder] != 2 {
			t.Errorf("ledger: %+v", counts)
		}
		s.sound(&s.bob)
	})
}

// A removal of many messages takes several steps; stopped after any of them it goes on, and
// whoever changes what is granted waits until it is done.
func TestRemovalGoesOnWhereItStopped(t *testing.T) {
	steps, stop := 0, false
	o := store.Options{Step: func(name string) error {
		if name == "commit after: remove" {
			if steps++; stop {
				return errStopped
			}
		}
		return nil
	}}
	storetest.EachDB(t, o, func(t *testing.T, db *storetest.DB) {
		steps, stop = 0, true
		s := newStage(t, db.Store)
		const n = 450
		var items []*crm.Item
		for i := range n {
			items = append(items, letter(fmt.Sprint(i), cyn, string(ann)))
		}
		s.save(s.page(&s.ann, items...))
		p, err := s.org.Policy(t.Context())
		s.must(err)
		p.Excluded = []crm.Pattern{"client.example"}
		_, err = s.org.SavePolicy(t.Context(), p, true)
		for ; errors.Is(err, errStopped); err = s.org.FinishRemoval(t.Context()) {
			if got := len(s.sound(&s.ann)); got != n {
				t.Fatalf("%d rows in the ledger, want %d", got, n)
			}
		}
		s.must(err)
		if steps < 3 {
			t.Errorf("%d steps, want one for each 200 messages", steps)
		}
		if counts, err := s.org.Counts(t.Context()); err != nil || counts.By[crm.ExcludedDomain] != n {
			t.Errorf("ledger: %+v, %v", counts, err)
		}

		s.savePolicy(func(p *crm.Policy) { p.Excluded = nil })
		s.save(s.page(&s.ann, items...))
		p, err = s.org.Policy(t.Context())
		s.must(err)
		p.Excluded = []crm.Pattern{"client.example"}
		if _, err = s.org.SavePolicy(t.Context(), p, true); !errors.Is(err, errStopped) {
			t.Fatal(err)
		}
		stop = false
		s.savePolicy(func(p *crm.Policy) { p.Excluded = nil }) // finishes it first
		if rows := s.activities(store.MailQuery{}); len(rows) != 0 || len(s.due()) != 100 {
			t.Errorf("%d activities, %d due; want none, and as many as are asked for", len(rows), len(s.due()))
		}
	})
}

// Content that comes while its last reference is removed is there afterwards, whoever was
// first.
func TestContentThatIsRemovedAndComesAgain(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		content := strings.Repeat("large", 20_000)
		attached := func(id string, from mail.Address) *crm.Item {
			it := letter(id, from, string(ann))
			it.Attachments = []crm.Attachment{{ID: "a", Name: "large", Size: 100_000}}
			return it
		}
		owed := func() store.PendingAttachment {
			list, err := s.org.PendingAttachments(t.Context(), s.ann.ID, time.Now(), 9)
			s.must(err)
			if len(list) != 1 {
				t.Fatalf("owed: %+v", list)
			}
			return list[0]
		}
		fetch := func() *store.Blob {
			blob, err := s.org.PutBlob(t.Context(), strings.NewReader(content), 1<<20)
			s.must(err)
			return &blob
		}
		s.save(s.page(&s.ann, attached("1", cyn2)))
		s.must(s.org.SaveAttachments(t.Context(), []store.AttachmentResult{{ID: owed().ID, State: store.AttachmentStored, Blob: fetch()}}))
		s.save(s.page(&s.ann, attached("2", cyn)))
		blob := fetch() // stands already, and is about to go
		p, err := s.org.Policy(t.Context())
		s.must(err)
		p.Excluded = []crm.Pattern{crm.Pattern(cyn2)}
		_, err = s.org.SavePolicy(t.Context(), p, true)
		s.must(err)
		second := owed()
		s.must(s.org.SaveAttachments(t.Context(), []store.AttachmentResult{{ID: second.ID, State: store.AttachmentStored, Blob: blob}}))
		if again := owed(); again.ID != second.ID {
			t.Errorf("owed: %+v, want the attachment whose content went", again)
		}
		s.must(s.org.SaveAttachments(t.Context(), []store.AttachmentResult{{ID: second.ID, State: store.AttachmentStored, Blob: fetch()}}))
		s.sound(&s.ann)
	})
}

// Whatever policies follow each other, with and without removal, the ledger holds, and after
// a removal nothing is filed that the policy refuses.
func TestLedgerHoldsUnderAnyPolicies(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		s := newStage(t, db.Store)
		rapid.Check(t, func(rt *rapid.T) {
			forget(t, db)
			db.Exec(t, "delete from blob")
			s.savePolicy(func(p *crm.Policy) { p.Limits, p.Deny = crm.Limits{}, nil })
			limits, letters := kept()
			var items []*crm.Item
			for _, reason := range slices.Sorted(maps.Keys(letters)) {
				it := letters[reason]
				it.Attachments = []crm.Attachment{{Name: string(reason), Content: []byte("all have the same")}}
				items = append(items, it)
			}
			for range rapid.IntRange(1, 4).Draw(rt, "policies") {
				s.save(s.page(&s.ann, items...))
				bobs := *rapid.SampledFrom(items).Draw(rt, "Bob has")
				bobs.ID = "bobs-" + bobs.ID
				s.save(s.page(&s.bob, &bobs))
				p, err := s.org.Policy(t.Context())
				s.must(err)
				p.Excluded = rapid.SliceOfN(rapid.SampledFrom(limits.Excluded), 0, 3).Draw(rt, "excluded")
				p.MaxSize = rapid.SampledFrom([]int64{0, limits.MaxSize}).Draw(rt, "size")
				p.Since = rapid.SampledFrom([]time.Time{{}, limits.Since}).Draw(rt, "since")
				p.Deny = rapid.SampledFrom([][]crm.Selector{nil, nil, {crm.Selector(bob)}}).Draw(rt, "deny")
				change, err := s.org.DryRun(context.WithoutCancel(t.Context()), p)
				s.must(err)
				remove := rapid.Bool().Draw(rt, "remove")
				before := len(s.activities(store.MailQuery{}))
				saved, err := s.org.SavePolicy(t.Context(), p, remove)
				s.must(err)
				s.sound(&s.ann)
				s.sound(&s.bob)
				if t.Failed() {
					rt.Fatal("the ledger does not hold")
				}
				if after := len(s.activities(store.MailQuery{})); remove && before-after != change.Filed.Messages || !remove && before != after {
					rt.Fatalf("%d activities, %d before; the dry run said %+v", after, before, change.Filed)
				}
				if rest, err := s.org.DryRun(t.Context(), saved); err != nil || remove && rest.Filed.Copies > 0 {
					rt.Fatalf("left after a removal: %+v, %v", rest.Filed, err)
				}
			}
		})
	})
}
