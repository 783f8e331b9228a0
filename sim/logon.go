package sim

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/jcmturner/gokrb5/v8/keytab"

	"postern/ntlm"
)

// A Scheme is a way to sign in.
type Scheme string

const (
	Basic       Scheme = "Basic"
	NTLM        Scheme = "NTLM"
	Negotiate   Scheme = "Negotiate"   // Kerberos, and NTLM's messages as they are
	Certificate Scheme = "Certificate" // the client's, at the TLS handshake; see Account.Certificates
)

// A Protection says what Extended Protection asks of NTLM and Kerberos log-ons. They are bound to the
// certificate of the server that they came to, by its hash: what a middleman with a
// certificate of its own passes on does not fit.
//
// https://learn.microsoft.com/exchange/plan-and-deploy/post-installation-tasks/security-best-practices/exchange-extended-protection
type Protection string

const (
	ProtectionOff      Protection = ""        // the binding is not looked at
	ProtectionAllowed  Protection = "allow"   // there may be none, but a wrong one is refused
	ProtectionRequired Protection = "require" // there must be the right one, and a code over all messages
)

// A LogOn says how to sign in.
type LogOn struct {
	// Schemes are offered in this order; none = Basic alone. NTLM and Negotiate sign
	// connections in rather than requests, so the server must be one of Exchange.Server.
	Schemes    []Scheme   `json:"schemes"`
	Protection Protection `json:"protection,omitempty"`
	Domain     string     `json:"domain,omitempty"` // the Windows domain in NTLM's challenge; "" = COMPANY
	// Keytab is the file with the key of this server's service, "HTTP/" and its name, that
	// tickets are made with; none = Kerberos is not taken.
	Keytab []byte `json:"keytab,omitempty"`

	keys *keytab.Keytab
}

// SetLogOn changes how to sign in. Connections that are signed in stay so.
func (x *Exchange) SetLogOn(l LogOn) error {
	for _, s := range l.Schemes {
		if !slices.Contains([]Scheme{Basic, NTLM, Negotiate, Certificate}, s) {
			return fmt.Errorf("there is no scheme %q to sign in by", s)
		}
	}
	if !slices.Contains([]Protection{ProtectionOff, ProtectionAllowed, ProtectionRequired}, l.Protection) {
		return fmt.Errorf("there is no extended protection %q", l.Protection)
	}
	keys, err := readKeytab(l.Keytab)
	if err != nil {
		return fmt.Errorf("the keytab: %w", err)
	}
	l.keys = keys
	x.mu.Lock()
	defer x.mu.Unlock()
	x.logOn = l
	return nil
}

func (x *Exchange) logOnNow() LogOn {
	x.mu.RLock()
	defer x.mu.RUnlock()
	l := x.logOn
	if len(l.Schemes) == 0 {
		l.Schemes = []Scheme{Basic}
	}
	if l.Domain == "" {
		l.Domain = "COMPANY"
	}
	return l
}

// A connection is what the server knows of one: NTLM and Kerberos sign it in, not the
// requests on it.
type connection struct {
	leaf *x509.Certificate // the server's; nil without TLS

	mu     sync.Mutex
	begun  *ntlm.LogOn
	signed string // the login of who is signed in, "" = nobody
	scheme Scheme
}

type connectionKey struct{}

// connContext is http.Server.ConnContext for a server with this certificate.
func connContext(leaf *x509.Certificate) func(context.Context, net.Conn) context.Context {
	return func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, &connection{leaf: leaf})
	}
}

// signsIn finds out who sends the request, and answers it when nobody does.
func (c *call) signsIn(body io.Reader) bool {
	l := c.x.logOnNow()
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	conn, _ := c.r.Context().Value(connectionKey{}).(*connection)
	var challenge string
	switch sent := c.record.Authorization; {
	case !slices.Contains(l.Schemes, sent) && sent != "":
	case sent == Basic:
		login, password, _ := c.r.BasicAuth()
		c.account, c.record.Scheme = c.x.signIn(login, password), Basic
	case sent != "" && conn != nil:
		challenge = c.negotiate(l, conn, token)
	case conn != nil && slices.Contains(l.Schemes, Certificate) && c.r.TLS != nil && len(c.r.TLS.PeerCertificates) > 0:
		c.account, c.record.Scheme = c.x.certified(c.r.TLS.PeerCertificates[0]), Certificate
	case conn != nil:
		c.account = conn.whoIsSigned(c)
	}
	if c.account != nil {
		c.record.Account = c.account.Login
		return true
	}
	c.record.Scheme = ""
	_, _ = io.Copy(io.Discard, body)
	if challenge == "" {
		c.unauthorized(l.Schemes)
		return false
	}
	c.w.Header().Set("WWW-Authenticate", scheme+" "+challenge)
	c.page(http.StatusUnauthorized, unauthorizedText)
	return false
}

const unauthorizedText = "401 - Unauthorized: Access is denied due to invalid credentials."

// unauthorized tells the ways to sign in.
func (c *call) unauthorized(schemes []Scheme) {
	defer c.page(http.StatusUnauthorized, unauthorizedText)
	for _, s := range schemes {
		switch s {
		case Basic:
			c.w.Header().Add("WWW-Authenticate", `Basic realm="sim01.company.example"`)
		case NTLM, Negotiate:
			c.w.Header().Add("WWW-Authenticate", string(s))
		}
	}
}

// sentScheme is the scheme of an Authorization header, as we write it.
func sentScheme(r *http.Request) Scheme {
	name, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	for _, s := range []Scheme{Basic, NTLM, Negotiate} {
		if strings.EqualFold(name, string(s)) {
			return s
		}
	}
	return Scheme(name)
}

// whoIsSigned finds the account that the connection belongs to.
func (n *connection) whoIsSigned(c *call) *account {
	n.mu.Lock()
	defer n.mu.Unlock()
	c.record.Scheme = n.scheme
	c.x.mu.RLock()
	defer c.x.mu.RUnlock()
	return c.x.accounts[strings.ToLower(n.signed)]
}

// negotiate takes a message of NTLM's or Kerberos'. It returns the challenge that is to be
// sent, or sets the account.
func (c *call) negotiate(l LogOn, conn *connection, token string) (challenge string) {
	conn.mu.Lock()
	defer conn.mu.Unlock()
	conn.signed, conn.scheme = "", ""
	message, err := base64.StdEncoding.DecodeString(token)
	switch {
	case err != nil:
	case ntlm.IsNegotiate(message):
		if conn.begun, err = ntlm.Challenge(message, l.Domain, "SIM01", c.x.now()); err == nil {
			return base64.StdEncoding.EncodeToString(conn.begun.Message)
		}
	case ntlm.IsAuthenticate(message):
		c.ntlm(l, conn, message)
	case c.record.Authorization == Negotiate:
		c.kerberos(l, conn, message)
	}
	return ""
}

// ntlm takes the client's last message and sets the account if it proves one.
func (c *call) ntlm(l LogOn, conn *connection, message []byte) {
	if conn.begun == nil {
		return
	}
	proof, err := conn.begun.Read(message)
	conn.begun = nil
	if err != nil || !l.protects(proof.Binding, proof.Coded, conn.leaf) {
		return
	}
	for _, login := range []string{proof.Domain + `\` + proof.User, proof.User, proof.User + "@" + proof.Domain} {
		if !c.x.knows(login) {
			continue
		}
		if c.account = c.x.signInBy(login, proof.By); c.account != nil {
			conn.signed, conn.scheme = c.account.Login, c.record.Authorization
			c.record.Scheme = conn.scheme
		}
		return
	}
}

// protects tells whether a log-on is bound to the channel as Extended Protection wants it;
// sealed says that nobody can have taken the binding out.
func (l LogOn) protects(binding []byte, sealed bool, leaf *x509.Certificate) bool {
	switch l.Protection {
	case ProtectionAllowed:
		return binding == nil || leaf == nil || bytes.Equal(binding, ntlm.Binding(leaf))
	case ProtectionRequired:
		return sealed && leaf != nil && bytes.Equal(binding, ntlm.Binding(leaf))
	}
	return true
}

func (x *Exchange) knows(login string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.accounts[strings.ToLower(login)] != nil
}

// certified finds the account that a client certificate stands for, nil if none. That an
// authority vouches for it was seen to at the handshake.
func (x *Exchange) certified(leaf *x509.Certificate) *account {
	names := append([]string{leaf.Subject.CommonName, leaf.Subject.String()}, append(leaf.EmailAddresses, leaf.DNSNames...)...)
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, a := range x.accounts {
		for _, name := range a.Certificates {
			if !a.locked && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
				return a
			}
		}
	}
	return nil
}
