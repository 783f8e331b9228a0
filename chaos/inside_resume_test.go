package chaos

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"postern/sim"
	"postern/store"
)

// TestResumesWithinTenSeconds kills a process that follows a mailbox: what came while it
// was dead, and what comes then, is filed within ten seconds of the next start.
func TestResumesWithinTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, wiring{})
		w.front.setRate(0)
		w.exchange.AddMailbox(sim.Person{Name: "Ann", Address: "ann@" + company})
		w.start()
		w.must(w.proc.connect())
		w.must(w.proc.addUser("Ann", "ann@"+company))
		w.must(w.proc.addContact("Cyn", "cyn@client.example"))
		w.proc.run()
		letters := 0
		send := func() {
			letters++
			_, err := w.exchange.Deliver(fmt.Appendf(nil, "From: cyn@client.example\r\nTo: ann@%s\r\nMessage-ID: <%d@chaos.example>\r\nSubject: Letter\r\n\r\nText\r\n", company, letters))
			w.must(err)
		}
		filed := func(within time.Duration, when string) {
			time.Sleep(within)
			synctest.Wait()
			_, n, _, err := w.proc.org.Activities(w.Context(), store.MailQuery{})
			w.must(err)
			if n != letters {
				t.Errorf("%s: %d of %d letters are filed\n%s", when, n, letters, w.log.last(20))
			}
		}
		send()
		filed(10*time.Second, "at first")
		send()
		filed(5*time.Second, "while it listens")
		for range 5 {
			send()
			w.proc.crash("nothing")
			w.proc.bury()
			send()
			w.start()
			w.proc.run()
			time.Sleep(time.Second)
			send()
			filed(9*time.Second, "after a crash")
		}
		w.proc.halt()
	})
}
