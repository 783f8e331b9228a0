package chaos

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"postern/sim"
	"postern/store"
)

func TestResumesAfterCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, wiring{})
		w.exchange.AddMailbox(sim.Person{Name: "Ann", Address: "ann@acme.example"})
		w.start()
		w.must(w.proc.addUser("Ann", "ann@acme.example"))
		w.must(w.proc.addContact("Cyn", "cyn@client.example"))
		w.must(w.proc.connect())
		w.proc.run()
		for i := range 10 {
			_, err := w.exchange.Deliver(fmt.Appendf(nil, "From: cyn@client.example\r\nTo: ann@acme.example\r\nMessage-ID: <%d@x>\r\nSubject: s\r\n\r\nHello\r\n", i))
			w.must(err)
			time.Sleep(time.Minute)
			if i == 5 {
				w.proc.crash("nothing")
				w.proc.bury()
				w.start()
				w.proc.run()
			}
		}
		_, n, _, err := w.proc.org.Activities(w.Context(), store.MailQuery{})
		w.must(err)
		t.Log(n, len(w.front.lines), time.Now())
		w.proc.halt()
		t.Log(w.log.last(20))
	})
}
