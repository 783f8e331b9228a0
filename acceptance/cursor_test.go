package acceptance

import (
	"errors"
	"net/http/httptest"
	"testing"

	"postern/crm"
	"postern/gate"
	"postern/sim"
	"postern/store"
)

// FuzzCursor: whatever a cursor holds, it is kept as it is, and a server that does not
// know it makes the folder be listed anew; it never breaks a request or a list.
func FuzzCursor(f *testing.F) {
	exchange, err := sim.New(sim.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { exchange.Close() })
	exchange.AddMailbox(sim.Person{Name: "Ann", Address: ann})
	exchange.AddAccount(sim.Account{Login: login, Password: password})
	server := httptest.NewServer(exchange)
	f.Cleanup(server.Close)
	g := gate.New(gate.Config{})
	g.Set(gate.Terms{
		Settings: crm.Settings{Enabled: true, Server: server.URL + "/EWS/Exchange.asmx", Version: "ExchangeSE", Login: login, Password: crm.NewSecret(password), UserAgent: "Fuzz/1"},
		Policy:   crm.Policy{Domains: []string{"acme.example"}, Kinds: []crm.Kind{crm.Email}}, Deployment: loopback,
	})
	src, _, err := g.Open(ewsConnector)
	if err != nil {
		f.Fatal(err)
	}
	st, err := store.Open(f.Context(), store.Options{Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { st.Close() })
	box := &crm.Mailbox{Address: ann}
	folders, err := src.Folders(f.Context(), box)
	if err != nil {
		f.Fatal(err)
	}
	var inbox crm.Folder
	for _, folder := range folders {
		if folder.Role == crm.Inbox {
			inbox = folder
		}
	}
	first, err := src.Changes(f.Context(), box, inbox, "")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", string(first.Next), string(first.Next) + "A", "AAAA", "<&>\"'", "\x00\x0b\xff", "1763719200000000.12", "1.", "9223372036854775808.1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := src.Changes(t.Context(), box, inbox, crm.Cursor(text))
		if err != nil && crm.AsFault(err).Verdict != crm.Resync {
			t.Errorf("cursor %q: got %v, want a page or a resync", text, err)
		}
		_, _, _, err = st.Org(1).Activities(t.Context(), store.MailQuery{Before: text})
		if _, fault := errors.AsType[*crm.Fault](err); fault {
			t.Errorf("place %q in a list: got the fault %v, want rows or a plain error", text, err)
		}
	})
}
