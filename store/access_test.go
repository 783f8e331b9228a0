package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/crm"
	"postern/store"
	"postern/store/storetest"
)

// ask is a request as Exchange answers most of them.
func ask(at time.Time, operation string) crm.Access {
	return crm.Access{
		At: at, Took: 42 * time.Millisecond, Mailbox: ann, Operation: operation, Folder: "inbox", Items: 3, Sent: 900, Received: 12_000,
		UserAgent: "Acme/1.0", Source: "192.0.2.7:50123", Host: "mail.acme.example", Account: `ACME\svc`,
		RequestID: "0f8fad5b-d9cb-469f-a165-70867728950e", ServerRequestID: "not-a-uuid", Status: 200,
	}
}

// record writes requests down and waits until they can be read.
func record(t *testing.T, org *store.Org, list ...crm.Access) {
	t.Helper()
	w := org.AccessWriter()
	for _, a := range list {
		w.Record(a)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// operations are those of a list, by which the tests tell requests apart.
func operations(list []store.AccessRow) []string {
	var names []string
	for i := range list {
		names = append(names, list[i].Operation)
	}
	return names
}

func TestAccessIsReadAsItWasRecorded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		org := st.Org(1)
		plain := ask(noon, "GetItem")
		bare := crm.Access{At: noon.Add(time.Minute), Operation: "log-on", Source: "2001:db8::1", Hanging: true, Test: true}
		record(t, org, plain, bare)
		list, next, err := org.AccessLog(t.Context(), store.AccessQuery{})
		if err != nil || next != "" {
			t.Fatalf("next %q, %v", next, err)
		}
		want := []store.AccessRow{{Access: bare, Result: store.AccessNoAnswer}, {Access: plain, Result: store.AccessOK}}
		if !slices.Equal(list, want) {
			t.Errorf("got  %+v\nwant %+v", list, want)
		}
	})
}

func TestAccessFilters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		org := st.Org(1)
		var list []crm.Access
		for i, change := range []func(*crm.Access){
			func(a *crm.Access) {},
			func(a *crm.Access) { a.Mailbox = bob },
			func(a *crm.Access) { a.Account = `ACME\second` },
			func(a *crm.Access) { a.Source = "192.0.2.8:50123" },
			func(a *crm.Access) { a.UserAgent = "Acme/2.0" },
			func(a *crm.Access) { a.Code, a.Status = "ErrorAccessDenied", 200 },
			func(a *crm.Access) { a.Status = 503 },
			func(a *crm.Access) { a.Status = 401 },
			func(a *crm.Access) { a.Status = 0 },
			func(a *crm.Access) { a.RequestID = "9f8fad5b-d9cb-469f-a165-70867728950e" },
			func(a *crm.Access) { a.ServerRequestID = "AAAAAD5B-d9cb-469f-a165-70867728950e" },
		} {
			a := ask(noon.Add(time.Duration(i)*time.Minute), fmt.Sprint(i))
			change(&a)
			list = append(list, a)
		}
		record(t, org, list...)
		for _, c := range []struct {
			q    store.AccessQuery
			want []string
		}{
			{store.AccessQuery{Mailbox: bob}, []string{"1"}},
			{store.AccessQuery{Mailbox: "nobody@acme.example"}, nil},
			{store.AccessQuery{Operation: "2"}, []string{"2"}},
			{store.AccessQuery{Account: `ACME\second`}, []string{"2"}},
			{store.AccessQuery{Source: "192.0.2.8"}, []string{"3"}},
			{store.AccessQuery{UserAgent: "Acme/2.0"}, []string{"4"}},
			{store.AccessQuery{Code: "ErrorAccessDenied"}, []string{"5"}},
			{store.AccessQuery{Result: store.AccessRefused}, []string{"6", "5"}},
			{store.AccessQuery{Result: store.AccessLogOn}, []string{"7"}},
			{store.AccessQuery{Result: store.AccessNoAnswer}, []string{"8"}},
			{store.AccessQuery{Result: store.AccessOK, UserAgent: "Acme/1.0", Mailbox: ann}, []string{"10", "9", "3", "2", "0"}},
			{store.AccessQuery{RequestID: "9F8FAD5B-D9CB-469F-A165-70867728950E"}, []string{"9"}},
			{store.AccessQuery{RequestID: "aaaaad5b-d9cb-469f-a165-70867728950e"}, []string{"10"}},
			{store.AccessQuery{From: noon.Add(time.Minute), To: noon.Add(3 * time.Minute)}, []string{"2", "1"}},
		} {
			got, _, err := org.AccessLog(t.Context(), c.q)
			if err != nil || !slices.Equal(operations(got), c.want) {
				t.Errorf("%+v: %q, %v; want %q", c.q, operations(got), err, c.want)
			}
		}
		for _, r := range []store.AccessResult{store.AccessOK, store.AccessLogOn, store.AccessRefused, store.AccessNoAnswer} {
			got, _, err := org.AccessLog(t.Context(), store.AccessQuery{Result: r})
			if err != nil || len(got) == 0 || slices.ContainsFunc(got, func(row store.AccessRow) bool { return row.Result != r }) {
				t.Errorf("result %s: %+v, %v", r, got, err)
			}
		}
		if _, _, err := org.AccessLog(t.Context(), store.AccessQuery{Before: "yesterday"}); !errors.Is(err, store.ErrPlace) {
			t.Errorf("no place: %v", err)
		}
	})
}

// What the connection test was refused is told of the rest.
func TestAccessOfTheConnectionTest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		org := st.Org(1)
		refused := ask(noon, "GetFolder")
		refused.Code = "ErrorImpersonateUserDenied"
		probe := refused
		probe.Test = true
		passed := ask(noon, "GetFolder")
		passed.Test = true
		record(t, org, refused, probe, passed)
		record(t, org, probe)
		totals, err := org.AccessOperations(t.Context())
		if err != nil || len(totals) != 1 || totals[0].Requests != 4 || totals[0].Failed != 3 || totals[0].FailedTests != 2 {
			t.Errorf("in all: %+v, %v", totals, err)
		}
		days, err := org.AccessDays(t.Context(), noon, noon)
		if err != nil || len(days) != 1 || days[0].FailedTests != 2 {
			t.Errorf("on the day: %+v, %v", days, err)
		}
	})
}

// Pages follow one another without a gap, also among requests of one microsecond.
func TestAccessPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		org := st.Org(1)
		var list []crm.Access
		for i := range 25 {
			list = append(list, ask(noon.Add(time.Duration(i/10)*time.Microsecond), fmt.Sprint(i)))
		}
		record(t, org, list...)
		var got []string
		for q := (store.AccessQuery{Limit: 4}); ; {
			page, next, err := org.AccessLog(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, operations(page)...)
			if q.Before = next; next == "" {
				break
			}
		}
		var all []string
		err := org.EachAccess(t.Context(), store.AccessQuery{}, func(row *store.AccessRow) error { all = append(all, row.Operation); return nil })
		if slices.Sort(got); err != nil || len(slices.Compact(got)) != len(list) || len(all) != len(list) {
			t.Errorf("%d in pages, %d in all, %v; want %d", len(got), len(all), err, len(list))
		}
	})
}

// Another organization sees nothing of it.
func TestAccessOfAnotherOrganization(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		if err := st.SaveDeployment(t.Context(), crm.Deployment{Mode: crm.MultiTenant}); err != nil {
			t.Fatal(err)
		}
		other, err := st.AddOrg(t.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		record(t, st.Org(1), ask(noon, "GetItem"))
		org := st.Org(other.ID)
		list, _, err := org.AccessLog(t.Context(), store.AccessQuery{RequestID: ask(noon, "").RequestID})
		totals, err2 := org.AccessOperations(t.Context())
		origins, err3 := org.AccessOrigins(t.Context())
		boxes, err4 := org.AccessMailboxes(t.Context())
		if err := errors.Join(err, err2, err3, err4); err != nil || len(list)+len(totals)+len(origins)+len(boxes) > 0 {
			t.Errorf("%v %v %v %v %v", list, totals, origins, boxes, err)
		}
	})
}

// Many record at once; totals and rows agree.
func TestAccessOfMany(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		org := st.Org(1)
		w := org.AccessWriter()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				for j := range 100 {
					a := ask(noon.Add(time.Duration(j)*time.Second), []string{"GetItem", "SyncFolderItems"}[i%2])
					a.Code = map[bool]string{true: "ErrorServerBusy"}[j < 10]
					w.Record(a)
				}
			})
		}
		wg.Wait()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		n := 0
		err := org.EachAccess(t.Context(), store.AccessQuery{}, func(*store.AccessRow) error { n++; return nil })
		totals, err2 := org.AccessOperations(t.Context())
		if err := errors.Join(err, err2); err != nil || n != 2000 || len(totals) != 2 {
			t.Fatalf("%d rows, %+v, %v", n, totals, err)
		}
		for _, d := range totals {
			want := store.AccessDay{Operation: d.Operation, Requests: 1000, Failed: 100, Items: 3000, Sent: 900_000, Received: 12_000_000, First: noon, Last: noon.Add(99 * time.Second)}
			if d != want {
				t.Errorf("got %+v, want %+v", d, want)
			}
		}
		origins, err := org.AccessOrigins(t.Context())
		want := []store.AccessOrigin{{UserAgent: "Acme/1.0", Source: "192.0.2.7", Host: "mail.acme.example", Account: `ACME\svc`, Requests: 2000, First: noon, Last: noon.Add(99 * time.Second)}}
		if err != nil || !slices.Equal(origins, want) {
			t.Errorf("%+v, %v", origins, err)
		}
	})
}

// While the log cannot be written nobody is let through; then all is there, once, also
// when the answer to a commit was lost.
func TestAccessLogThatCannotBeWritten(t *testing.T) {
	for _, step := range []string{"access log/insert access", "commit before: access log", "commit after: access log"} {
		t.Run(step, func(t *testing.T) {
			var mu sync.Mutex
			var trouble error = syscall.ENOSPC
			failed := make(chan struct{}, 100)
			o := store.Options{Step: func(name string) error {
				mu.Lock()
				defer mu.Unlock()
				if name == step && trouble != nil {
					failed <- struct{}{}
					return trouble
				}
				return nil
			}}
			storetest.EachDB(t, o, func(t *testing.T, db *storetest.DB) {
				mu.Lock()
				trouble = syscall.ENOSPC
				mu.Unlock()
				org := db.Org(1)
				w := org.AccessWriter()
				if err := w.Ready(); err != nil {
					t.Errorf("before: %v", err)
				}
				w.Record(ask(noon, "GetItem"))
				<-failed
				<-failed // it was tried twice, so the first failure is known
				if f, ok := errors.AsType[*crm.Fault](w.Ready()); !ok || f.Code != store.DiskFull {
					t.Errorf("meanwhile: %v", w.Ready())
				}
				w.Record(ask(noon.Add(time.Second), "GetItem"))
				mu.Lock()
				trouble = nil
				mu.Unlock()
				for end := time.Now().Add(30 * time.Second); w.Ready() != nil; time.Sleep(10 * time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("afterwards: %v", w.Ready())
					}
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
				list, _, err := org.AccessLog(t.Context(), store.AccessQuery{})
				totals, err2 := org.AccessOperations(t.Context())
				if err := errors.Join(err, err2); err != nil || len(list) != 2 || len(totals) != 1 || totals[0].Requests != 2 {
					t.Errorf("%d rows, %+v, %v", len(list), totals, err)
				}
			})
		})
	}
}

// What could not be written at the end is told of.
func TestAccessLostAtTheEnd(t *testing.T) {
	o := store.Options{Step: func(name string) error {
		if name == "commit before: access log" {
			return syscall.ENOSPC
		}
		return nil
	}}
	storetest.EachDB(t, o, func(t *testing.T, db *storetest.DB) {
		w := db.Org(1).AccessWriter()
		for range 3 {
			w.Record(ask(noon, "GetItem"))
		}
		err := w.Close()
		if f, ok := errors.AsType[*crm.Fault](err); !ok || f.Code != store.DiskFull {
			t.Errorf("%v", err)
		}
	})
}

func TestAccessRetention(t *testing.T) {
	now := noon
	storetest.EachDB(t, store.Options{Now: func() time.Time { return now }}, func(t *testing.T, db *storetest.DB) {
		now = noon
		org, ctx := db.Org(1), t.Context()
		if days, err := org.AccessRetention(ctx); err != nil || days != 90 {
			t.Errorf("%d days, %v", days, err)
		}
		for _, days := range []int{0, -1, store.MaxAccessDays + 1} {
			if f, ok := errors.AsType[*crm.Fault](org.SetAccessRetention(ctx, days)); !ok || f.Code != "retention-out-of-bounds" {
				t.Errorf("%d days: %v", days, f)
			}
		}
		var old []crm.Access
		for i := range 4500 {
			a := ask(noon.Add(time.Duration(i/3)*time.Second), "GetItem")
			a.Mailbox = bob
			old = append(old, a)
		}
		record(t, org, old...)
		now = noon.AddDate(0, 0, 30)
		record(t, org, ask(now, "SyncFolderItems"))
		if n, err := org.ExpireAccess(ctx); n != 0 || err != nil {
			t.Errorf("after 30 of 90 days %d expired, %v", n, err)
		}
		if err := org.SetAccessRetention(ctx, 10); err != nil {
			t.Fatal(err)
		}
		if n, err := org.ExpireAccess(ctx); n != 4500 || err != nil {
			t.Errorf("%d expired, %v", n, err)
		}
		list, _, err := org.AccessLog(ctx, store.AccessQuery{})
		boxes, err2 := org.AccessMailboxes(ctx)
		totals, err3 := org.AccessOperations(ctx)
		if err := errors.Join(err, err2, err3); err != nil || !slices.Equal(operations(list), []string{"SyncFolderItems"}) || len(boxes) != 1 || boxes[0].Address != ann ||
			len(totals) != 2 || totals[0].Requests != 4500 {
			t.Errorf("%q, %+v, %+v, %v", operations(list), boxes, totals, err)
		}
		days, err := org.AccessDays(ctx, noon, now)
		if err != nil || len(days) != 2 || !days[0].Day.Equal(noon.Truncate(24*time.Hour)) || days[1].Operation != "SyncFolderItems" {
			t.Errorf("%+v, %v", days, err)
		}
	})
}
