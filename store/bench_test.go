//go:build unix

package store_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

// BenchmarkSavePage saves pages of 500 new messages of 8 KB and reports the CPU time of
// each message, which is what an import costs; on PostgreSQL without that of the server.
func BenchmarkSavePage(b *testing.B) {
	for name, from := range map[string]mail.Address{"filed": cyn, "not-filed": who} {
		b.Run(name, func(b *testing.B) {
			eachDatabase(b, func(b *testing.B, s *stage) { benchmarkSavePage(b, s, from) })
		})
	}
}

func benchmarkSavePage(b *testing.B, s *stage, from mail.Address) {
	const size = 500
	random := rand.New(rand.NewPCG(1, 2))
	n := 0
	measure(b, size, func() func() {
		items := make([]*crm.Item, size)
		for i := range items {
			n++
			items[i] = longLetter(random, n, from)
		}
		p := s.page(&s.ann, items...)
		return func() { s.save(p) }
	})
}

// BenchmarkDelivery saves one new message as it comes while a mailbox with 20,000 older
// ones is followed: what is known of its people and itself, then the page with the cursor,
// then what is due. It reports the CPU time of each.
func BenchmarkDelivery(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *stage) {
		const older = 20_000
		random := rand.New(rand.NewPCG(1, 2))
		n := 0
		items := func(size int) []*crm.Item {
			list := make([]*crm.Item, size)
			for i := range list {
				n++
				list[i] = longLetter(random, n, who)
			}
			return list
		}
		for range older / 500 {
			s.save(s.page(&s.ann, items(500)...))
		}
		full := s.page(&s.ann)
		full.Last = true
		s.save(full)
		s.deliver(s.page(&s.ann, longLetter(random, n+1, cyn)))
		n++
		measure(b, 1, func() func() {
			n++
			p := s.page(&s.ann, longLetter(random, n, cyn))
			return func() { s.deliver(p) }
		})
	})
}

// deliver asks the store what a look at one folder asks.
func (s *stage) deliver(p store.Page) {
	ctx, header := s.t.Context(), p.Entries[0].Header
	_, rev, err := s.org.People(ctx, []crm.Header{*header})
	s.must(err)
	_, err = s.org.Known(ctx, s.ann.ID, []string{header.ID})
	s.must(err)
	p.Rev, p.SetCursor, p.Next, p.Last, p.Mark = rev, true, crm.Cursor(header.ID), true, header.ID
	s.save(p)
	_, err = s.org.DueItems(ctx, s.ann.ID, noon, 100)
	s.must(err)
	_, err = s.org.PendingAttachments(ctx, s.ann.ID, noon, 200)
	s.must(err)
}

// BenchmarkSaveFolders saves the 13 folders of a mailbox, of which nothing has changed.
func BenchmarkSaveFolders(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *stage) {
		var names []string
		for i := range 13 {
			names = append(names, fmt.Sprint("folder-", i))
		}
		s.folders(&s.ann, names...)
		measure(b, 1, func() func() { return func() { s.folders(&s.ann, names...) } })
	})
}

// BenchmarkProvision makes the mailboxes of 20,000 users.
func BenchmarkProvision(b *testing.B) {
	eachDatabase(b, func(b *testing.B, s *stage) {
		const users = 20_000
		s.must(s.org.SaveSettings(b.Context(), settings("other.example")))
		list := make([]crm.User, users)
		for i := range list {
			list[i] = crm.User{Name: fmt.Sprint("User ", i), Addresses: []mail.Address{mail.Address(fmt.Sprintf("u%d@acme.example", i))}, Active: true}
		}
		s.saveUsers(list...)
		measure(b, users, func() func() {
			s.must(s.org.SaveSettings(b.Context(), settings("other.example")))
			return func() { s.must(s.org.SaveSettings(b.Context(), settings("acme.example"))) }
		})
	})
}

func eachDatabase(b *testing.B, bench func(b *testing.B, s *stage)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, newStage(b, storetest.OpenDB(b, store.Options{}).Store)) })
	b.Run("postgres", func(b *testing.B) {
		bench(b, newStage(b, storetest.OpenDB(b, store.Options{Postgres: storetest.Postgres(b)}).Store))
	})
}

// measure reports the CPU time of each of size things that what prepare returns does.
func measure(b *testing.B, size int, prepare func() func()) {
	var cpu time.Duration
	for b.Loop() {
		b.StopTimer()
		do := prepare()
		before := cpuTime()
		b.StartTimer()
		do()
		b.StopTimer()
		cpu += cpuTime() - before
		b.StartTimer()
	}
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N*size), "cpu-µs/each")
}

func longLetter(random *rand.Rand, n int, from mail.Address) *crm.Item {
	it := letter(fmt.Sprint(n), from, string(ann), string(bob), "cc:"+fmt.Sprintf("x%d@nowhere.example", n%100))
	it.ID = strings.Repeat("AAMkAGI2TG93AAA", 10) + fmt.Sprint(n)
	it.References = []string{fmt.Sprint(n-1) + "@mail.example"}
	if n%5 == 0 {
		it.References = nil
	}
	it.Sent = it.Sent.Add(-time.Duration(n) * time.Hour)
	var text strings.Builder
	for text.Len() < 8<<10 {
		k := int(math.Pow(random.Float64(), 4)*5000) + 7 // common words are common
		for ; k > 0; k /= 4 {
			text.WriteByte("etaoinshrdlu"[k%12])
		}
		text.WriteByte(' ')
	}
	it.Text = text.String()
	it.HTML = "<html><body><p>" + it.Text + "</p></body></html>"
	return it
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAccess writes requests down as they come from many goroutines, a thousand in
// each round, and beside it the same rows by one plain insert each, in transactions as
// large as the writer's. The ratio of the two is what words, origins and totals cost.
func BenchmarkAccess(b *testing.B) {
	const size = 1000
	b.Run("writer", func(b *testing.B) {
		eachDatabase(b, func(b *testing.B, s *stage) {
			w := s.org.AccessWriter()
			n, before := 0, cpuTime()
			for b.Loop() {
				for _, a := range accesses(&n, size) {
					w.Record(a)
				}
			}
			s.must(w.Close())
			b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(n), "cpu-µs/each")
		})
	})
	b.Run("plain", func(b *testing.B) {
		db := storetest.OpenDB(b, store.Options{})
		db.Exec(b, "create table plain (at bigint, took bigint, mailbox text, operation text, folder text, user_agent text, source text, host text, account text, items bigint, sent bigint, received bigint, status bigint, code text, request text, server_request text)")
		n := 0
		measure(b, size, func() func() {
			list := accesses(&n, size)
			return func() {
				tx, err := db.SQL.BeginTx(b.Context(), nil)
				if err != nil {
					b.Fatal(err)
				}
				stmt, err := tx.PrepareContext(b.Context(), "insert into plain values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
				if err != nil {
					b.Fatal(err)
				}
				for _, a := range list {
					if _, err := stmt.ExecContext(b.Context(), a.At.UnixMicro(), a.Took.Microseconds(), string(a.Mailbox), a.Operation, a.Folder, a.UserAgent, a.Source, a.Host, a.Account,
						a.Items, a.Sent, a.Received, a.Status, a.Code, a.RequestID, a.ServerRequestID); err != nil {
						b.Fatal(err)
					}
				}
				if err := tx.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// accesses are requests of 500 mailboxes with 12 folders each.
func accesses(n *int, size int) []crm.Access {
	list := make([]crm.Access, size)
	for i := range list {
		*n++
		list[i] = crm.Access{
			At: noon.Add(time.Duration(*n) * time.Millisecond), Took: 20 * time.Millisecond, Mailbox: mail.Address(fmt.Sprintf("u%d@acme.example", *n%500)),
			Operation: []string{"SyncFolderItems", "GetItem", "SyncFolderHierarchy"}[*n%3], Folder: strings.Repeat("AAMkAGI2TG93AAA", 8) + fmt.Sprint(*n%6000),
			Items: *n % 50, Sent: 1200, Received: 34_000, UserAgent: "Acme-CRM/1.0", Source: "192.0.2.7:50123", Host: "mail.acme.example", Account: `ACME\svc`,
			RequestID: fmt.Sprintf("0f8fad5b-d9cb-469f-a165-%012d", *n), ServerRequestID: fmt.Sprintf("1f8fad5b-d9cb-469f-a165-%012d", *n), Status: 200,
		}
	}
	return list
}

// BenchmarkDryRun tells what another policy would do to what was filed: the time for each
// message, as one waits for it, by what the policy asks about.
func BenchmarkDryRun(b *testing.B) {
	const size = 20_000
	eachDatabase(b, func(b *testing.B, s *stage) {
		for n := 0; n < size; {
			items := make([]*crm.Item, 1000)
			for i := range items {
				n++
				items[i] = letter(fmt.Sprint(n), cyn, string(ann), string(bob), fmt.Sprintf("cc:x%d@nowhere.example", n%1000))
				items[i].Sent = items[i].Sent.Add(-time.Duration(n) * time.Minute)
			}
			s.save(s.page(&s.ann, items...))
		}
		for name, change := range map[string]func(*crm.Policy){
			"mailboxes":   func(p *crm.Policy) { p.Deny = []crm.Selector{crm.Selector(ann)} },
			"period":      func(p *crm.Policy) { p.Since = noon.AddDate(0, 0, -7) },
			"some people": func(p *crm.Policy) { p.Excluded = []crm.Pattern{"x1*@nowhere.example"} },
			"most people": func(p *crm.Policy) { p.Excluded = []crm.Pattern{"nowhere.example"} },
			"domains":     func(p *crm.Policy) { p.Domains = []string{"other.example"} },
		} {
			b.Run(name, func(b *testing.B) {
				p, err := s.org.Policy(b.Context())
				s.must(err)
				change(&p)
				for b.Loop() {
					_, err := s.org.DryRun(b.Context(), p)
					s.must(err)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*size), "µs/message")
			})
		}
	})
}
