package store_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

// What widens access is told field by field, of all that people save. A turn is one change of
// a field: the audit log marks it as wider and four eyes hold it, or neither. A field of which
// nothing is said fails the test, so that none is added without deciding.
type turn[T any] struct {
	from, to func(*T)
	wider    bool
}

func wider[T any](from, to func(*T)) turn[T]   { return turn[T]{from, to, true} }
func tighter[T any](from, to func(*T)) turn[T] { return turn[T]{from, to, false} }

// both turns from what is tight to what is wide, and back.
func both[T any](tight, wide func(*T)) []turn[T] {
	return []turn[T]{wider(tight, wide), tighter(wide, tight)}
}

// Widenings are the turns of one kind of settings, by field.
type widenings[T any] struct {
	base  T
	save  func(context.Context, T) error
	turns map[string][]turn[T]
	never map[string]string // fields of which nothing widens, and why
	free  bool              // four eyes do not hold it
}

// TestEachFieldThatWidens goes through all fields of all that can widen access.
func TestEachFieldThatWidens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		w := widening{stage: newStage(t, st)}
		w.first, w.second = admins(t, w.org)
		t.Run("policy", judged(w, policyWidenings))
		t.Run("limits of a user", judged(w, userLimitWidenings))
		t.Run("settings", judged(w, settingsWidenings))
		t.Run("egress", judged(w, egressWidenings))
		t.Run("user", judged(w, userWidenings))
		t.Run("groups", judged(w, groupWidenings))
		t.Run("deployment", judged(w, func(*widening) widenings[crm.Deployment] { return deploymentWidenings(st) }))
		t.Run("what is seen", judged(w, sightWidenings))
	})
}

// TestFieldWithoutATurnIsFound: what TestEachFieldThatWidens rests on.
func TestFieldWithoutATurnIsFound(t *testing.T) {
	type inner struct{ Deep string }
	type outer struct {
		crm.Limits
		Plain  bool
		At     time.Time
		Secret crm.Secret
		List   []crm.Account
		inner
	}
	got := fieldsOf(reflect.TypeFor[outer]())
	for _, want := range []string{"Since", "MaxSize", "Plain", "At", "Secret", "List.Login", "List.Password", "Deep"} {
		if !slices.Contains(got, want) {
			t.Errorf("no field %s among %v", want, got)
		}
	}
	some := widenings[crm.Deployment]{turns: map[string][]turn[crm.Deployment]{"Mode": {{}}}}
	if got := some.undecided(); !slices.Equal(got, []string{"Ranges"}) {
		t.Errorf("fields without a turn: %v", got)
	}
}

// fieldsOf lists the fields of a struct by their paths, with those of structs of ours in it.
func fieldsOf(t reflect.Type) (paths []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		under := f.Type
		if under.Kind() == reflect.Slice {
			under = under.Elem()
		}
		if under.Kind() != reflect.Struct || !under.Field(0).IsExported() {
			paths = append(paths, f.Name)
			continue
		}
		prefix := f.Name + "."
		if f.Anonymous {
			prefix = ""
		}
		for _, path := range fieldsOf(under) {
			paths = append(paths, prefix+path)
		}
	}
	return paths
}

// undecided lists the fields about which the table says nothing.
func (c widenings[T]) undecided() (paths []string) {
	for _, path := range fieldsOf(reflect.TypeFor[T]()) {
		if len(c.turns[path]) == 0 && c.never[path] == "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// byStore is why a field is no person's to set.
const byStore = "kept by the store"

type widening struct {
	*stage
	first, second context.Context // who acts as each administrator
}

// judged holds a table against what becomes of each turn in it.
func judged[T any](w widening, table func(*widening) widenings[T]) func(*testing.T) {
	return func(t *testing.T) {
		stage := *w.stage
		stage.t = t
		w.stage = &stage
		run(t, &w, table(&w))
	}
}

func run[T any](t *testing.T, w *widening, c widenings[T]) {
	if paths := c.undecided(); len(paths) > 0 {
		t.Errorf("it is not said what widens of %v", paths)
	}
	for path, turns := range c.turns {
		if c.never[path] == "" && !slices.ContainsFunc(turns, func(u turn[T]) bool { return u.wider }) {
			t.Errorf("%s: nothing of it widens, and it is not said why", path)
		}
		for i, u := range turns {
			was, is := c.base, c.base
			u.from(&was)
			u.from(&is)
			u.to(&is)
			w.must(w.approved(func() error { return c.save(w.first, was) }))
			marked, held := w.widens(func() error { return c.save(w.first, is) })
			if marked != u.wider || held != (u.wider && !c.free) {
				t.Errorf("%s, turn %d: marked as wider %t, held %t; want %t", path, i+1, marked, held, u.wider)
			}
		}
	}
}

// approved saves as one person proposes and another approves.
func (w *widening) approved(save func() error) error {
	for range 10 { // some save several things in turn
		err := save()
		h, held := errors.AsType[*store.HeldError](err)
		if !held {
			return err
		}
		if err := w.org.Approve(w.second, h.Proposal.ID); err != nil {
			return err
		}
	}
	return errors.New("what was approved is held anew")
}

// policy saves the policy that holds with a change.
func (w *widening) policy(change func(*crm.Policy)) {
	w.t.Helper()
	w.must(w.approved(func() error {
		p, err := w.org.Policy(w.t.Context())
		w.must(err)
		change(&p)
		_, err = w.org.SavePolicy(w.first, p, false)
		return err
	}))
}

// widens saves, and tells whether that is marked as wider, and whether it is held.
func (w *widening) widens(save func() error) (marked, held bool) {
	w.t.Helper()
	_, before, err := w.org.AuditLog(w.t.Context(), store.AuditQuery{Limit: 1})
	w.must(err)
	err = save()
	if h, ok := errors.AsType[*store.HeldError](err); ok {
		w.must(w.org.Reject(w.second, h.Proposal.ID))
		return slices.ContainsFunc(h.Proposal.Effects, func(e crm.Effect) bool { return e.Widens }), true
	}
	w.must(err)
	list, n, err := w.org.AuditLog(w.t.Context(), store.AuditQuery{})
	w.must(err)
	if n == before {
		w.t.Error("a change was saved without an entry, or not at all")
	}
	return slices.ContainsFunc(list[:n-before], func(e crm.AuditEntry) bool { return e.Widens }), false
}

// limitTurns are those of what is left alone, whoever sets it.
func limitTurns[T any](of func(*T) *crm.Limits) map[string][]turn[T] {
	turns := func(tight, wide func(*crm.Limits)) []turn[T] {
		return both(func(v *T) { tight(of(v)) }, func(v *T) { wide(of(v)) })
	}
	size := func(n int64) func(*crm.Limits) { return func(l *crm.Limits) { l.MaxSize = n } }
	attachment := func(n int64) func(*crm.Limits) { return func(l *crm.Limits) { l.AttachmentLimit = n } }
	mode := func(m crm.AttachmentMode) func(*crm.Limits) { return func(l *crm.Limits) { l.Attachments = m } }
	since := func(at time.Time) func(*crm.Limits) { return func(l *crm.Limits) { l.Since = at } }
	folders := func(list ...string) func(*crm.Limits) { return func(l *crm.Limits) { l.ExcludedFolders = list } }
	people := func(list ...crm.Pattern) func(*crm.Limits) { return func(l *crm.Limits) { l.Excluded = list } }
	marks := func(list ...crm.Sensitivity) func(*crm.Limits) { return func(l *crm.Limits) { l.Sensitivities = list } }
	labels := func(list ...string) func(*crm.Limits) { return func(l *crm.Limits) { l.Categories = list } }
	headers := func(only bool) func(*crm.Limits) { return func(l *crm.Limits) { l.HeadersOnly = only } }
	return map[string][]turn[T]{
		"ExcludedFolders": turns(folders("Private", "Club"), folders("Club")),
		"Since":           slices.Concat(turns(since(noon), since(time.Time{})), turns(since(noon), since(noon.Add(-time.Hour)))),
		"MaxSize":         slices.Concat(turns(size(1<<20), size(0)), turns(size(1<<20), size(2<<20))),
		"Excluded":        turns(people("bank.example"), people()),
		"Sensitivities":   turns(marks(crm.Confidential, crm.Private), marks(crm.Private)),
		"Categories":      turns(labels("Personal"), labels()),
		"HeadersOnly":     turns(headers(true), headers(false)),
		"Attachments":     slices.Concat(turns(mode(crm.NameAttachments), mode(crm.FetchOnDemand)), turns(mode(crm.FetchOnDemand), mode(""))),
		"AttachmentLimit": turns(attachment(1<<20), attachment(2<<20)),
	}
}

func selectors(list []mail.Address) (picked []crm.Selector) {
	for _, a := range list {
		picked = append(picked, crm.Selector(a))
	}
	return picked
}

func policyWidenings(w *widening) widenings[crm.Policy] {
	w.must(w.org.SaveUserLimits(crm.WithUser(w.t.Context(), &crm.User{ID: w.bobUser}), w.bobUser, crm.Limits{HeadersOnly: true}))
	p, err := w.org.Policy(w.t.Context())
	w.must(err)
	p.Limits = crm.Limits{}
	domains := func(list ...string) func(*crm.Policy) { return func(p *crm.Policy) { p.Domains = list } }
	allow := func(list ...mail.Address) func(*crm.Policy) { return func(p *crm.Policy) { p.Allow = selectors(list) } }
	deny := func(list ...mail.Address) func(*crm.Policy) { return func(p *crm.Policy) { p.Deny = selectors(list) } }
	kinds := func(list ...crm.Kind) func(*crm.Policy) { return func(p *crm.Policy) { p.Kinds = list } }
	lock := func(list ...string) func(*crm.Policy) { return func(p *crm.Policy) { p.Locked = list } }
	attachment := func(n int64) func(*crm.Policy) { return func(p *crm.Policy) { p.AttachmentLimit = n } }
	turns := limitTurns(func(p *crm.Policy) *crm.Limits { return &p.Limits })
	turns["AttachmentLimit"] = slices.Concat(turns["AttachmentLimit"], // none is crm.DefaultAttachmentLimit
		both(attachment(0), attachment(1<<30)), both(attachment(1<<20), attachment(0)))
	turns["Domains"] = both(domains("acme.example"), domains("acme.example", "other.example"))
	turns["Allow"] = slices.Concat(both(allow(ann), allow()), both(allow(ann), allow(ann, bob)), []turn[crm.Policy]{wider(allow(ann), allow("*@acme.example"))})
	turns["Deny"] = slices.Concat(both(deny(bob), deny()), both(deny("group:board@acme.example"), deny()))
	turns["Kinds"] = slices.Concat(both(kinds(crm.Email), kinds(crm.Email, crm.Event)), both(kinds(), kinds(crm.Email)))
	turns["Locked"] = []turn[crm.Policy]{
		wider(lock(), lock("headers_only")), tighter(lock("headers_only"), lock()), // which Bob tightened
		tighter(lock(), lock("max_size")),
		tighter(lock(), func(p *crm.Policy) { p.HeadersOnly, p.Locked = true, []string{"headers_only"} })}
	return widenings[crm.Policy]{base: p, turns: turns,
		never: map[string]string{"Version": byStore, "Saved": byStore, "By": byStore},
		save: func(ctx context.Context, p crm.Policy) error {
			now, err := w.org.Policy(ctx)
			w.must(err)
			p.Version = now.Version
			_, err = w.org.SavePolicy(ctx, p, false)
			return err
		}}
}

// What a user set widens by what comes through then and did not before: where it is not set,
// that is what the policy lets through.
func userLimitWidenings(w *widening) widenings[crm.Limits] {
	month := noon.Add(-30 * 24 * time.Hour)
	w.policy(func(p *crm.Policy) {
		p.Limits, p.Locked = crm.Limits{AttachmentLimit: 100 << 20, Since: month}, []string{"categories"}
	})
	attachment := func(n int64) func(*crm.Limits) { return func(l *crm.Limits) { l.AttachmentLimit = n } }
	since := func(at time.Time) func(*crm.Limits) { return func(l *crm.Limits) { l.Since = at } }
	turns := limitTurns(func(l *crm.Limits) *crm.Limits { return l })
	turns["AttachmentLimit"] = slices.Concat(turns["AttachmentLimit"],
		both(attachment(50<<20), attachment(0)), both(attachment(crm.DefaultAttachmentLimit), attachment(0)), []turn[crm.Limits]{tighter(attachment(300<<20), attachment(0))})
	turns["Since"] = append(turns["Since"], tighter(since(month.Add(-time.Hour)), since(time.Time{})))
	labels := turns["Categories"]
	for i := range labels {
		labels[i].wider = false
	}
	return widenings[crm.Limits]{turns: turns, never: map[string]string{"Categories": "locked here"},
		save: func(ctx context.Context, l crm.Limits) error { return w.org.SaveUserLimits(ctx, w.bobUser, l) }}
}

// certificate is one as far as the store looks at it.
func certificate(name string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(name)}))
}

func settingsWidenings(w *widening) widenings[crm.Settings] {
	type S = crm.Settings
	set := func(do func(*S)) func(*S) { return do }
	enabled := func(on bool) func(*S) { return func(s *S) { s.Enabled = on } }
	server := func(name string) func(*S) { return func(s *S) { s.Server = name } }
	model := func(m crm.AuthModel) func(*S) { return func(s *S) { s.Model = m } }
	scheme := func(c crm.Scheme) func(*S) { return func(s *S) { s.Scheme = c } }
	login := func(name string) func(*S) { return func(s *S) { s.Login = name } }
	others := func(list ...crm.Account) func(*S) { return func(s *S) { s.Others = list } }
	kdc := func(text string) func(*S) { return func(s *S) { s.KDC = text } }
	domains := func(list ...string) func(*S) { return func(s *S) { s.Domains = list } }
	roots := func(text string) func(*S) { return func(s *S) { s.RootCAs = text } }
	shown := func(c crm.Scheme, file string) func(*S) {
		return func(s *S) { s.Scheme, s.ClientCertificate = c, file }
	}
	one, other := certificate("one"), certificate("other")
	return widenings[S]{base: settings("acme.example"),
		save: func(ctx context.Context, s S) error { return w.org.SaveSettings(ctx, s) },
		turns: map[string][]turn[S]{
			"Enabled": both(enabled(false), enabled(true)),
			"Server":  append(both(server(""), server("mail.acme.example")), wider(server("mail.acme.example"), server("other.example"))),
			"Model": {wider(model(crm.ByImpersonation), model(crm.ByDelegation)), wider(model(crm.ByDelegation), model(crm.ByImpersonation)),
				wider(model(crm.ByImpersonation), model(crm.ByOwnSignIn)), wider(model(crm.ByOwnSignIn), model(crm.ByImpersonation))},
			"Scheme": slices.Concat(both(scheme(crm.NTLM), scheme(crm.AnyScheme)), both(scheme(crm.Kerberos), scheme(crm.Basic)), // of one with a certificate the account is another
				[]turn[S]{wider(scheme(crm.NTLM), scheme(crm.ClientTLS)), wider(scheme(crm.ClientTLS), scheme(crm.NTLM)), wider(scheme(crm.ClientTLS), scheme(crm.Kerberos))}),
			"Login":        append(both(login(""), login("svc")), wider(login("svc"), login("administrator"))),
			"Others.Login": append(both(others(), others(crm.Account{Login: "second"})), wider(others(crm.Account{Login: "second"}), others(crm.Account{Login: "third"}))),
			"KDC":          append(both(kdc(""), kdc("kdc = kdc.acme.example")), wider(kdc("kdc = kdc.acme.example"), kdc("kdc = kdc.other.example"))),
			"ClientCertificate": slices.Concat(both(shown(crm.ClientTLS, ""), shown(crm.ClientTLS, one)),
				[]turn[S]{wider(shown(crm.ClientTLS, one), shown(crm.ClientTLS, other)), wider(shown(crm.ClientTLS, one+other), shown(crm.ClientTLS, other+one)),
					tighter(shown(crm.NTLM, one), shown(crm.NTLM, other))}),
			"Domains":  both(domains("acme.example"), domains("acme.example", "other.example")),
			"RootCAs":  append(both(roots(""), roots(one)), wider(roots(one), roots(other))),
			"Password": {tighter(set(func(s *S) { s.Password = crm.NewSecret("old") }), func(s *S) { s.Password = crm.NewSecret("new") })},
		},
		never: map[string]string{"Version": "another way to say the same", "Password": "of the same account", "Keytab": "of the same account", "ClientKey": "of the same certificate",
			"Others.Password": "of the same account", "Others.Keytab": "of the same account", "UserAgent": "a name", "Gzip": "another way to answer the same", "Saved": byStore}}
}

func egressWidenings(w *widening) widenings[crm.Egress] {
	type E = crm.Egress
	a, b, seen := netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8"), netip.MustParseAddr("192.0.2.7")
	pool := func(list ...crm.EgressAddress) func(*E) { return func(e *E) { e.Addresses = list } }
	local := func(list ...netip.Addr) func(*E) {
		return func(e *E) {
			e.Addresses = nil
			for _, a := range list {
				e.Addresses = append(e.Addresses, crm.EgressAddress{Local: a})
			}
		}
	}
	proxy := func(url string) func(*E) { return func(e *E) { e.Proxy = url } }
	from := func(at time.Time) func(*E) { return pool(crm.EgressAddress{Local: a, From: at}) }
	until := func(at time.Time) func(*E) { return pool(crm.EgressAddress{Local: a, Until: at}) }
	return widenings[E]{
		save: func(ctx context.Context, e E) error { return w.org.SaveEgress(ctx, e) },
		turns: map[string][]turn[E]{
			"Addresses.Local": slices.Concat(both(local(a), local(a, b)), both(local(a), local()), []turn[E]{wider(local(a), local(b))}),
			"Addresses.Public": {wider(local(a), pool(crm.EgressAddress{Local: a, Public: seen})), // firewalls are told of it
				wider(pool(crm.EgressAddress{Local: a, Public: seen}), local(a))},
			"Addresses.From":  slices.Concat(both(from(noon), from(time.Time{})), both(from(noon), from(noon.Add(-time.Hour)))),
			"Addresses.Until": slices.Concat(both(until(noon), until(time.Time{})), both(until(noon), until(noon.Add(time.Hour)))),
			"Proxy": {wider(proxy(""), proxy("http://proxy.example:3128")), wider(proxy("http://proxy.example:3128"), proxy("http://other.example:3128")),
				wider(proxy("http://proxy.example:3128"), proxy(""))},
		},
		never: map[string]string{"ProxyLogin": "of the same proxy", "ProxyPassword": "of the same proxy", "Saved": byStore}}
}

func userWidenings(w *widening) widenings[crm.User] {
	type U = crm.User
	addresses := func(list ...mail.Address) func(*U) { return func(u *U) { u.Addresses = list } }
	admin := func(is bool) func(*U) { return func(u *U) { u.Admin = is } }
	active := func(is bool) func(*U) { return func(u *U) { u.Active = is } }
	return widenings[U]{base: U{ID: w.bobUser, Name: "Bob", Addresses: []mail.Address{bob}, Active: true},
		save: func(ctx context.Context, u U) error { _, err := w.org.SaveUsers(ctx, []U{u}); return err },
		turns: map[string][]turn[U]{
			"Addresses": append(both(addresses(bob), addresses(bob, "robert@acme.example")), wider(addresses(bob), addresses("robert@acme.example")),
				wider(addresses(bob, "robert@acme.example"), addresses("robert@acme.example"))),
			"Admin":  both(admin(false), admin(true)),
			"Active": both(active(false), active(true)),
		},
		never: map[string]string{"ID": byStore, "Org": byStore, "Name": "a name"}}
}

// memberships are the members of a group that the policy allows, of one that it denies, of
// one with which it does both, so that it is denied, and of one that it does not name.
type memberships struct{ Allowed, Denied, Both, Unnamed []mail.Address }

func groupWidenings(w *widening) widenings[memberships] {
	w.policy(func(p *crm.Policy) {
		p.Allow = []crm.Selector{"group:allowed@acme.example", "group:both@acme.example"}
		p.Deny = []crm.Selector{"group:denied@acme.example", "group:both@acme.example"}
	})
	// As long as nobody knows who is to be denied, nobody is read.
	w.must(w.org.Reject(w.second, held(w.t, w.org.SaveGroup(w.first, "denied@acme.example", []mail.Address{bob})).ID))
	turns := func(of func(*memberships) *[]mail.Address, join, leave bool) []turn[memberships] {
		some, more := func(m *memberships) { *of(m) = []mail.Address{ann} }, func(m *memberships) { *of(m) = []mail.Address{ann, bob} }
		return []turn[memberships]{{some, more, join}, {more, some, leave}}
	}
	return widenings[memberships]{
		turns: map[string][]turn[memberships]{
			"Allowed": turns(func(m *memberships) *[]mail.Address { return &m.Allowed }, true, false),
			"Denied":  turns(func(m *memberships) *[]mail.Address { return &m.Denied }, false, true),
			"Both":    turns(func(m *memberships) *[]mail.Address { return &m.Both }, false, true),
			"Unnamed": turns(func(m *memberships) *[]mail.Address { return &m.Unnamed }, true, false), // the next policy may name it
		},
		save: func(ctx context.Context, m memberships) error {
			for group, members := range map[mail.Address][]mail.Address{"allowed@acme.example": m.Allowed, "denied@acme.example": m.Denied, "both@acme.example": m.Both, "unnamed@acme.example": m.Unnamed} {
				if err := w.org.SaveGroup(ctx, group, members); err != nil {
					return err
				}
			}
			return nil
		}}
}

// What the operator decides is marked for each organization, and none of them is asked.
func deploymentWidenings(st *store.Store) widenings[crm.Deployment] {
	type D = crm.Deployment
	mode := func(m crm.DeploymentMode) func(*D) { return func(d *D) { d.Mode = m } }
	ranges := func(list ...string) func(*D) { return func(d *D) { d.Ranges = prefixes(list...) } }
	return widenings[D]{free: true, base: D{Mode: crm.SingleTenant},
		save: func(ctx context.Context, d D) error { return st.SaveDeployment(ctx, d) },
		turns: map[string][]turn[D]{
			"Mode":   slices.Concat(both(mode(crm.SingleTenant), mode(crm.MultiTenant)), both(mode(crm.OnPremises), mode(crm.SingleTenant)), both(mode(crm.OnPremises), mode(crm.MultiTenant))),
			"Ranges": slices.Concat(both(ranges(), ranges("10.20.0.0/16")), both(ranges("10.20.0.0/16"), ranges("10.0.0.0/8")), both(ranges("10.20.0.0/16"), ranges("10.20.0.0/16", "fd00::/8"))),
		}}
}

// sight is who sees what was done, and whether a second person is asked.
type sight struct {
	Days     int
	Contacts []mail.Address
}

func sightWidenings(w *widening) widenings[sight] {
	days := func(n int) func(*sight) { return func(s *sight) { s.Days = n } }
	contacts := func(list ...mail.Address) func(*sight) { return func(s *sight) { s.Contacts = list } }
	return widenings[sight]{base: sight{Days: 90},
		turns: map[string][]turn[sight]{
			"Days":     both(days(90), days(30)),
			"Contacts": slices.Concat(both(contacts("sec@acme.example", "out@other.example"), contacts("sec@acme.example")), both(contacts("sec@acme.example"), contacts())),
		},
		save: func(ctx context.Context, s sight) error {
			if err := w.org.SetAccessRetention(ctx, s.Days); err != nil {
				return err
			}
			return w.org.SaveSecurityContacts(ctx, s.Contacts)
		}}
}

// TestEachMethodThatSavesIsJudged: what is saved by people is in the table above, or it is
// said here why it need not be.
func TestEachMethodThatSavesIsJudged(t *testing.T) {
	inTable := []string{"SavePolicy", "SaveUserLimits", "SaveSettings", "SaveEgress", "SaveUsers", "SaveGroup", "SaveDeployment", "SetAccessRetention", "SaveSecurityContacts"}
	others := map[string]string{
		"SetFourEyes":     "TestEveryWideningWaits",
		"SaveSignIn":      "the own mailbox is the user's; always marked",
		"NewShare":        "shows no content; always marked",
		"SetPassword":     "TestPasswordBeforePromotion",
		"SaveContacts":    "which messages are filed, of what may be read",
		"NewSession":      "of who signed in",
		"SaveCheck":       "what was found",
		"SaveBudget":      "what a server asked for",
		"SaveAttachments": "what was fetched", "SaveFolders": "what was fetched", "SaveMailbox": "what was fetched", "SavePage": "what was fetched", "SetDrift": "what was fetched",
	}
	saves := regexp.MustCompile("^(Save|Set|New)[A-Z]")
	for _, of := range []reflect.Type{reflect.TypeFor[*store.Org](), reflect.TypeFor[*store.Store]()} {
		for i := range of.NumMethod() {
			name := of.Method(i).Name
			if saves.MatchString(name) && !slices.Contains(inTable, name) && others[name] == "" {
				t.Errorf("it is not said whether %s widens access", name)
			}
		}
	}
}

// TestHistorySaysWhatTheAuditLogSays: that a version locked what a user had tightened, the
// versions alone do not tell; nor that this user tightened it only later.
func TestHistorySaysWhatTheAuditLogSays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		s := newStage(t, st)
		lock := func(names ...string) func(*crm.Policy) { return func(p *crm.Policy) { p.Locked = names } }
		s.savePolicy(lock("headers_only")) // 2
		s.savePolicy(lock())               // 3
		s.must(s.org.SaveUserLimits(t.Context(), s.bobUser, crm.Limits{HeadersOnly: true, MaxSize: 1 << 20}))
		p := s.savePolicy(lock("since")) // 4
		lock("since", "headers_only", "categories")(&p)
		change, err := s.org.DryRun(t.Context(), p)
		s.must(err)
		s.savePolicy(lock(p.Locked...)) // 5
		history, err := s.org.PolicyHistory(t.Context())
		s.must(err)
		entries, _, err := s.org.AuditLog(t.Context(), store.AuditQuery{Action: "policy.save"})
		s.must(err)
		if len(history) != 5 || len(entries) != 5 {
			t.Fatalf("%d versions, %d entries", len(history), len(entries))
		}
		texts := func(lines []crm.Line) string {
			var list []string
			for _, l := range lines {
				list = append(list, l.String())
			}
			return strings.Join(list, "\n")
		}
		for i, v := range history {
			if e := entries[i]; v.Widens() != e.Widens || texts(v.Lines) != e.Detail {
				t.Errorf("version %d: history %t %q, audit log %t %q", v.Version, v.Widens(), texts(v.Lines), e.Widens, e.Detail)
			}
		}
		if !change.Widens || texts(change.Lines) != entries[0].Detail {
			t.Errorf("dry run: %+v", change)
		}
		if !history[0].Widens() || history[1].Widens() || history[3].Widens() {
			t.Errorf("history: %+v", history)
		}
		if got := entries[0].Detail; !strings.Contains(got, "+ Headers only (wider)") || strings.Contains(got, "Category (wider)") {
			t.Errorf("version 5: %q", got)
		}
	})
}
