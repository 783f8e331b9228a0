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
	for _, database := range []string{"sqlite", "postgres"} {
		for name, from := range map[string]mail.Address{"filed": cyn, "not-filed": who} {
			b.Run(database+"/"+name, func(b *testing.B) {
				var o store.Options
				if database == "postgres" {
					o.Postgres = storetest.Postgres(b)
				}
				benchmarkSavePage(b, newStage(b, storetest.OpenDB(b, o).Store), from)
			})
		}
	}
}

func benchmarkSavePage(b *testing.B, s *stage, from mail.Address) {
	const size = 500
	random := rand.New(rand.NewPCG(1, 2))
	n := 0
	var cpu time.Duration
	for b.Loop() {
		b.StopTimer()
		items := make([]*crm.Item, size)
		for i := range items {
			n++
			items[i] = longLetter(random, n, from)
		}
		p := s.page(&s.ann, items...)
		before := cpuTime()
		b.StartTimer()
		s.save(p)
		b.StopTimer()
		cpu += cpuTime() - before
		b.StartTimer()
	}
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N*size), "cpu-µs/message")
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
