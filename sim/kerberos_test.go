package sim

import (
	"crypto/tls"
	"encoding/base64"
	"net"
	"testing"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"

	"postern/ntlm"
)

const spn = "HTTP/mail.company.example"

// realm is one with an account and the service of a server.
func realm(t *testing.T) (*Realm, *config.Config) {
	t.Helper()
	r, err := NewRealm("company.example", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	for principal, password := range map[string]string{"svc-crm": "ticket please", "nobody": "x", spn: "of the machine"} {
		if err := r.Set(principal, password); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.NewFromString(r.Config("company.example"))
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

// ticketToken is the header of a log-on, bound to a channel unless bound is nil.
func ticketToken(t *testing.T, user *client.Client, bound []byte) string {
	t.Helper()
	ticket, key, err := user.GetServiceTicket(spn)
	if err != nil {
		t.Fatal(err)
	}
	token, err := spnego.NewKRB5TokenAPREQ(user, ticket, key, []int{gssapi.ContextFlagInteg}, nil)
	if err != nil {
		t.Fatal(err)
	}
	authenticator, err := types.NewAuthenticator(user.Credentials.Domain(), user.Credentials.CName())
	if err != nil {
		t.Fatal(err)
	}
	sum := make([]byte, 24)
	sum[0] = 16
	copy(sum[4:], bound)
	authenticator.Cksum = types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: sum}
	if token.APReq, err = messages.NewAPReq(ticket, key, authenticator); err != nil {
		t.Fatal(err)
	}
	raw, err := token.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	wrapped := spnego.SPNEGOToken{Init: true, NegTokenInit: spnego.NegTokenInit{MechTypes: []asn1.ObjectIdentifier{gssapi.OIDKRB5.OID()}, MechTokenBytes: raw}}
	if raw, err = wrapped.Marshal(); err != nil {
		t.Fatal(err)
	}
	return "Negotiate " + base64.StdEncoding.EncodeToString(raw)
}

func TestKerberos(t *testing.T) {
	r, c := realm(t)
	x := newExchange(t, Options{})
	face, authority := faceOf(t, x, Front{})
	keys, err := r.Keytab(spn)
	if err != nil {
		t.Fatal(err)
	}
	trust := &tls.Config{RootCAs: authority.Pool(), ServerName: "mail.company.example"}
	conn, err := tls.Dial("tcp", face.URL[len("https://"):], trust)
	if err != nil {
		t.Fatal(err)
	}
	own := ntlm.Binding(conn.ConnectionState().PeerCertificates[0])
	conn.Close()
	other := ntlm.Binding(authority.certificate)
	user := client.NewWithPassword("svc-crm", "COMPANY.EXAMPLE", "ticket please", c)
	stranger := client.NewWithPassword("nobody", "COMPANY.EXAMPLE", "x", c)
	for _, tt := range []struct {
		name       string
		user       *client.Client
		protection Protection
		bound      []byte
		want       int
	}{
		{"not bound", user, ProtectionOff, nil, 200},
		{"not bound where it is allowed", user, ProtectionAllowed, nil, 200},
		{"bound to another where it is allowed", user, ProtectionAllowed, other, 401},
		{"bound where it must be", user, ProtectionRequired, own, 200},
		{"not bound where it must be", user, ProtectionRequired, nil, 401},
		{"a user without an account", stranger, ProtectionOff, nil, 401},
	} {
		if err := x.SetLogOn(LogOn{Schemes: []Scheme{Negotiate}, Protection: tt.protection, Keytab: keys}); err != nil {
			t.Fatal(err)
		}
		token, line := ticketToken(t, tt.user, tt.bound), oneConnection(t, trust)
		if got := say(t, line, face.EWS(), token).StatusCode; got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
		if got := say(t, line, face.EWS(), "").StatusCode; got != tt.want {
			t.Errorf("%s: the next request on the connection: got %d, want %d", tt.name, got, tt.want)
		}
		if got := say(t, oneConnection(t, trust), face.EWS(), token).StatusCode; got != 401 {
			t.Errorf("%s: the same proof again: got %d", tt.name, got)
		}
		list := x.Requests()
		if r := list[len(list)-2]; tt.want == 200 && (r.Scheme != Negotiate || r.Account != login) {
			t.Errorf("%s: on record: %+v", tt.name, r)
		}
	}
	if err := x.SetLogOn(LogOn{Schemes: []Scheme{Negotiate}}); err != nil {
		t.Fatal(err)
	}
	if got := say(t, oneConnection(t, trust), face.EWS(), ticketToken(t, user, nil)).StatusCode; got != 401 {
		t.Errorf("a server without a keytab takes tickets: %d", got)
	}
	if x.SetLogOn(LogOn{Keytab: []byte("nonsense")}) == nil {
		t.Error("nonsense was taken for a keytab")
	}
	if r.Tickets() == 0 {
		t.Error("no ticket was counted")
	}
}

func TestRealmRefuses(t *testing.T) {
	r, c := realm(t)
	for name, user := range map[string]*client.Client{
		"wrong password": client.NewWithPassword("svc-crm", "COMPANY.EXAMPLE", "x", c),
		"unknown user":   client.NewWithPassword("eve", "COMPANY.EXAMPLE", "x", c),
	} {
		if err := user.Login(); err == nil {
			t.Errorf("%s: there is a ticket", name)
		}
	}
	raw, err := r.Keytab("svc-crm")
	if err != nil {
		t.Fatal(err)
	}
	keys := keytab.New()
	if err := keys.Unmarshal(raw); err != nil {
		t.Fatal(err)
	}
	user := client.NewWithKeytab("svc-crm", "COMPANY.EXAMPLE", keys, c)
	if err := user.Login(); err != nil {
		t.Errorf("by keytab: %v", err)
	}
	if _, _, err := user.GetServiceTicket("HTTP/elsewhere.example"); err == nil {
		t.Error("there is a ticket for an unknown service")
	}
	if err := r.Set("svc-crm", "changed"); err != nil {
		t.Fatal(err)
	}
	if client.NewWithKeytab("svc-crm", "COMPANY.EXAMPLE", keys, c).Login() == nil {
		t.Error("the old key works after the password was changed")
	}
	if _, err := r.Keytab("eve"); err == nil {
		t.Error("there is a keytab for nobody")
	}
	conn, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{0, 0, 0, 4, 1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("nonsense is answered with %d bytes", n)
	}
}
