package sim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/client"

	"postern/ews"
	"postern/mail"
	"postern/ntlm"
)

// TestPosternsClientLogsOn: both ends of each way to log on understand each other where
// Extended Protection asks for the most.
func TestPosternsClientLogsOn(t *testing.T) {
	r, c := realm(t)
	x := newExchange(t, Options{})
	x.SetGroup(Group{Address: "crm@company.example", Members: []mail.Address{ann, bob}})
	face, authority := faceOf(t, x, Front{})
	keys, err := r.Keytab(spn)
	if err != nil {
		t.Fatal(err)
	}
	user := client.NewWithPassword("svc-crm", "COMPANY.EXAMPLE", "ticket please", c)
	ticket := func(_ context.Context, leaf *x509.Certificate) ([]byte, error) {
		return base64.StdEncoding.DecodeString(strings.TrimPrefix(ticketToken(t, user, ntlm.Binding(leaf)), "Negotiate "))
	}
	for _, tt := range []struct {
		offered []Scheme
		pinned  ews.Scheme
		want    Scheme
	}{
		{[]Scheme{Basic}, ews.AnyScheme, Basic},
		{[]Scheme{Basic, NTLM}, ews.AnyScheme, NTLM},
		{[]Scheme{Negotiate, NTLM, Basic}, ews.NTLM, NTLM},
		{[]Scheme{Negotiate}, ews.NTLM, Negotiate},
		{[]Scheme{Negotiate, NTLM, Basic}, ews.Kerberos, Negotiate},
	} {
		if err := x.SetLogOn(LogOn{Schemes: tt.offered, Protection: ProtectionRequired, Keytab: keys}); err != nil {
			t.Fatal(err)
		}
		x.ForgetRequests()
		our, err := ews.New(ews.Config{
			URL: face.EWS(), Login: login, Password: func() string { return password }, Scheme: tt.pinned, Ticket: ticket,
			UserAgent: func() string { return "Acme-CRM-Sync/1.0" }, TLS: &tls.Config{RootCAs: authority.Pool()},
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, address)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		group, err := our.As(string(ann)).ExpandDL(t.Context(), &ews.ExpandDL{Group: ews.Mailbox{EmailAddress: "crm@company.example"}})
		if err != nil || len(group.Members) != 2 {
			t.Errorf("%v, pinned to %q: %v, %v", tt.offered, tt.pinned, group, err)
		}
		our.Close()
		list := x.Requests()
		if last := list[len(list)-1]; last.Scheme != tt.want || last.Impersonated != ann {
			t.Errorf("%v, pinned to %q: the last request was signed in by %q", tt.offered, tt.pinned, last.Scheme)
		}
		for _, r := range list {
			if r.UserAgent != "Acme-CRM-Sync/1.0" {
				t.Errorf("a request came as %q", r.UserAgent)
			}
			if tt.want != Basic && r.Authorization == Basic {
				t.Error("a password was sent although there was a better way")
			}
		}
	}
}
