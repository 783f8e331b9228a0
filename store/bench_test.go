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
