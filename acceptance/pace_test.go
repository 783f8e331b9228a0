package acceptance

import (
	"log/slog"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
	"postern/sim"
)

// TestSilenceIsKept: a server says "busy" in all forms that ask for silence. Nothing is asked for in the
// scope that it meant until the time is over, not by a process that is started meanwhile
// either, and then all mail comes.
func TestSilenceIsKept(t *testing.T) {
	const silence = 2 * time.Minute
	for kind, whole := range map[sim.Kind]bool{ // whether it is about the server or the account, not the mailbox alone
		sim.Busy503Hint: true, sim.BusyFault: false, sim.BusyInner: false, sim.BusyEntry: false, sim.BareFault: false,
	} {
		t.Run(string(kind), func(t *testing.T) {
			w := connected(t)
			w.collect()
			w.exchange.MakeTrouble(sim.Trouble{Kind: kind, Mailbox: ann, BackOff: silence})
			w.send(letter{from: cyn, to: ann + ", " + bob, subject: "offer", text: "Text."})
			w.pass(time.Hour)
			w.collect()
			if box := w.box(ann); box.State != crm.Waiting || box.Trouble == nil || box.Trouble.Message == "" {
				t.Fatalf("the mailbox is %s, trouble %v; want that it waits, and why", box.State, box.Trouble)
			}
			w.exchange.ForgetRequests()
			w.exchange.Calm()
			w.engine = w.newEngine(slog.New(slog.DiscardHandler)) // as after a restart
			w.must(w.org.LookNow(t.Context()))                    // and somebody is impatient
			w.collect()
			for _, r := range w.exchange.Requests() {
				if whole || r.Mailbox == ann {
					t.Errorf("%s for %s was sent while the server had asked for silence", r.Operation, r.Mailbox)
				}
			}
			if !whole && w.box(bob).Counts.Filed != 1 {
				t.Error("another mailbox had to wait, too")
			}
			w.pass(time.Hour)
			w.collect()
			for _, address := range []mail.Address{ann, bob} {
				w.live(address, 1)
			}
		})
	}
}
