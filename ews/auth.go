package ews

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/bodgit/ntlmssp"
)

// A Scheme is a way to log on.
type Scheme string

const (
	AnyScheme   Scheme = ""            // what the server offers: NTLM rather than Basic
	Basic       Scheme = "Basic"       // over TLS, or to this machine, only
	NTLM        Scheme = "NTLM"        // per connection, bound to the server's certificate
	Kerberos    Scheme = "Kerberos"    // a ticket with each request, see Config.Ticket
	Certificate Scheme = "Certificate" // the client's, at the TLS handshake; no request says who we are
	negotiate   Scheme = "Negotiate"   // the wider scheme: Kerberos' home, in which IIS takes plain NTLM, too
)

// Errors of logging on.
var (
	// ErrPasswordRefused says that the server does not take this login and password. The
	// client does not try them again, so that the account is not locked.
	ErrPasswordRefused = errors.New("the server refuses login or password")
	// ErrLogonFailed says that a login that worked before was refused once, which happens
	// under load.
	ErrLogonFailed = errors.New("the server refused a login that it took before")
	// ErrNoScheme says that the server offers no way to log on that is known and allowed.
	ErrNoScheme = errors.New("the server offers no way to log on that can be used")
	// ErrDowngrade says that a server which took NTLM now wants the password itself.
	ErrDowngrade = errors.New("the server took NTLM before, and now wants the password itself")
	// ErrCertificateRefused says that the server does not take our certificate for a log-on.
	ErrCertificateRefused = errors.New("the server refuses the client certificate")
)

// An OfferError says that the server offers no way to log on that may be answered. It is
// ErrNoScheme or ErrDowngrade.
type OfferError struct {
	Pinned  Scheme
	Offered []string // names of schemes, as the server calls them
	Err     error
}

func (e *OfferError) Error() string {
	return fmt.Sprintf("%v (offered: %s)", e.Err, strings.Join(e.Offered, ", "))
}

func (e *OfferError) Unwrap() error { return e.Err }

// logonPatience is how many calls in a row may be refused with credentials that worked
// before, until they count as refused.
const logonPatience = 3

// authorize exchanges one request on the lane with whatever the scheme asks for. There
// are at most two 401 on the way that are not final: one that tells the schemes, one
// with NTLM's challenge. Kerberos and certificates need neither.
func (c *Client) authorize(ctx context.Context, l *lane, t *transaction) (*http.Response, error) {
	switch c.cfg.Scheme {
	case Kerberos:
		return c.byTicket(ctx, l, t)
	case Certificate:
		return c.byCertificate(ctx, l, t)
	}
	scheme := c.scheme()
	if scheme == AnyScheme {
		resp, err := c.leg(ctx, l, t, t.body, "")
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			return resp, err
		}
		if scheme, err = c.choose(resp); err != nil {
			return resp, err
		}
		if err := discard(resp); err != nil {
			return nil, err
		}
		c.setScheme(scheme)
	}
	var resp *http.Response
	var err error
	if scheme == Basic {
		token := base64.StdEncoding.EncodeToString([]byte(c.cfg.Login + ":" + t.password))
		resp, err = c.leg(ctx, l, t, t.body, "Basic "+token)
	} else {
		resp, err = c.ntlm(ctx, l, t, scheme)
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized {
		next, _ := c.choose(resp) // the server may have changed what it offers
		c.setScheme(next)
		return resp, c.refused(t.password)
	}
	c.noteAnswer(resp, scheme)
	return resp, nil
}

// noteAnswer takes note that a log-on has worked, if Exchange itself has answered, not
// something in front of it.
func (c *Client) noteAnswer(resp *http.Response, scheme Scheme) {
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusInternalServerError {
		c.accepted(scheme == NTLM || scheme == negotiate)
	}
}

// byTicket sends the request with a ticket at once: to be asked for it first would cost
// each request another one.
func (c *Client) byTicket(ctx context.Context, l *lane, t *transaction) (*http.Response, error) {
	token, err := c.cfg.Ticket(ctx, l.leaf)
	if err != nil {
		if errors.Is(err, ErrPasswordRefused) {
			err = c.refused(t.password)
		}
		return nil, err
	}
	resp, err := c.leg(ctx, l, t, t.body, string(negotiate)+" "+base64.StdEncoding.EncodeToString(token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		if err == nil {
			c.noteAnswer(resp, Kerberos)
		}
		return resp, err
	}
	if list := offers(resp); !slices.Contains(list, string(negotiate)) {
		return resp, &OfferError{Kerberos, list, ErrNoScheme}
	}
	return resp, c.refused(t.password)
}

// byCertificate sends the request bare: who we are was said when the connection was made
// secure.
func (c *Client) byCertificate(ctx context.Context, l *lane, t *transaction) (*http.Response, error) {
	resp, err := c.leg(ctx, l, t, t.body, "")
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		return resp, &OfferError{Certificate, offers(resp), ErrCertificateRefused}
	}
	if err == nil {
		c.noteAnswer(resp, Certificate)
	}
	return resp, err
}

// offers lists the names of the schemes that a server offers, known ones as we write them.
func offers(resp *http.Response) (list []string) {
	for _, h := range resp.Header.Values("WWW-Authenticate") {
		name, _, _ := strings.Cut(strings.TrimSpace(h), " ")
		for _, s := range [...]Scheme{Basic, NTLM, negotiate} {
			if strings.EqualFold(name, string(s)) {
				name = string(s)
			}
		}
		if len(list) < maxOffers && !slices.Contains(list, name) && isToken(name) {
			list = append(list, name)
		}
	}
	return list
}

const maxOffers = 8

// isToken tells whether a name is one, and none that is there to be shown to people.
func isToken(name string) bool {
	return name != "" && len(name) <= 20 && !strings.ContainsFunc(name, func(r rune) bool {
		return r > 'z' || r < 'a' && r > 'Z' || r < 'A' && r > '9' || r < '0' && r != '-'
	})
}

// choose picks a scheme from what the server offers, or says with an OfferError why none.
func (c *Client) choose(resp *http.Response) (Scheme, error) {
	list, pinned := offers(resp), c.cfg.Scheme
	has := func(s Scheme) bool { return slices.Contains(list, string(s)) }
	basic := has(Basic) && pinned != NTLM && c.private()
	switch {
	case has(NTLM) && pinned != Basic:
		return NTLM, nil
	case has(negotiate) && pinned != Basic:
		return negotiate, nil
	case basic && !c.provenStrong():
		return Basic, nil
	case basic:
		return AnyScheme, &OfferError{pinned, list, ErrDowngrade}
	}
	return AnyScheme, &OfferError{pinned, list, ErrNoScheme}
}

// provenStrong tells whether NTLM has worked. Whoever then offers nothing but Basic may
// stand in between and be after the password.
func (c *Client) provenStrong() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.strong
}

// private tells whether a password may be sent as it is.
func (c *Client) private() bool { return c.url.Scheme == "https" || loopback(c.url.Hostname()) }

// ntlm sends the request on a connection that NTLM has authenticated, or authenticates it.
func (c *Client) ntlm(ctx context.Context, l *lane, t *transaction, scheme Scheme) (*http.Response, error) {
	if l.signed {
		resp, err := c.leg(ctx, l, t, t.body, "")
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			return resp, err
		}
		// the server has forgotten the connection: authenticate it again, once
		if err := discard(resp); err != nil {
			return nil, err
		}
		l.signed = false
	}
	client, err := newNTLM(c.cfg.Login, t.password)
	if err != nil {
		return nil, err
	}
	hello, err := client.Authenticate(nil, nil)
	if err != nil {
		return nil, err
	}
	prefix := string(scheme) + " "
	resp, err := c.leg(ctx, l, t, nil, prefix+base64.StdEncoding.EncodeToString(hello))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	challenge := offered(resp, prefix)
	if len(challenge) == 0 {
		return resp, nil // refused without a challenge
	}
	if err := discard(resp); err != nil {
		return nil, err
	}
	leaf := l.leaf
	if c.cfg.Unbound {
		leaf = nil
	}
	proof, err := answerChallenge(client, challenge, leaf)
	if err != nil {
		return nil, err
	}
	resp, err = c.leg(ctx, l, t, t.body, prefix+base64.StdEncoding.EncodeToString(proof))
	if err == nil && resp.StatusCode != http.StatusUnauthorized {
		l.signed = true
	}
	return resp, err
}

// newNTLM takes the login as DOMAIN\user or user@domain.
func newNTLM(login, password string) (*ntlmssp.Client, error) {
	domain, user, ok := strings.Cut(login, `\`)
	if !ok {
		domain, user = "", login
	}
	return ntlmssp.NewClient(ntlmssp.SetUserInfo(user, password), ntlmssp.SetDomain(domain))
}

// answerChallenge computes NTLM's last message. With TLS it carries a hash of the
// server's certificate (Extended Protection) and a code over all three messages, so a
// middleman can neither pass it on nor take that out. A challenge is a stranger's bytes:
// should the library stumble over them, that is this connection's error.
func answerChallenge(client *ntlmssp.Client, challenge []byte, leaf *x509.Certificate) (proof []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("ntlm challenge: %v", p)
		}
	}()
	return client.Authenticate(challenge, channelBinding(leaf))
}

// channelBinding is tls-server-end-point: the certificate's hash by the function of its
// signature, by SHA-256 where that is an outdated one or unknown.
//
// https://www.rfc-editor.org/rfc/rfc5929#section-4
func channelBinding(leaf *x509.Certificate) *ntlmssp.ChannelBindings {
	if leaf == nil {
		return nil
	}
	hash := crypto.SHA256
	switch leaf.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write(leaf.Raw)
	return &ntlmssp.ChannelBindings{ApplicationData: h.Sum([]byte(ntlmssp.TLSServerEndPoint + ":"))}
}

// offered returns the token that the server sent with a scheme.
func offered(resp *http.Response, prefix string) []byte {
	for _, h := range resp.Header.Values("WWW-Authenticate") {
		if len(h) > len(prefix) && strings.EqualFold(h[:len(prefix)], prefix) {
			if b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(h[len(prefix):])); err == nil {
				return b
			}
		}
	}
	return nil
}

// discard reads what is left of an answer, so that the connection can be used again.
func discard(resp *http.Response) error {
	n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxDiscard+1))
	if err == nil && n > maxDiscard {
		err = errBounds
	}
	if err == nil && resp.Close {
		err = errHungUp
	}
	return err
}

const maxDiscard = 64 << 10

// errHungUp says that the server closes the connection between the legs of a log-on. No
// request was carried out on it.
var errHungUp = errors.New("the server closed the connection while logging on")

func (c *Client) scheme() Scheme {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.chosen
}

func (c *Client) setScheme(s Scheme) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.chosen = s
}

// accepted notes that the credentials work.
func (c *Client) accepted(strong bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proven, c.denials, c.bad = true, 0, nil
	c.strong = c.strong || strong
}

// refused notes a final 401 and says what it means.
func (c *Client) refused(password string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.denials++
	if c.proven && c.denials < logonPatience {
		return ErrLogonFailed
	}
	c.proven, c.bad = false, &password
	return ErrPasswordRefused
}

// mayTry returns the password to use, or ErrPasswordRefused when it is the one that was
// refused.
func (c *Client) mayTry() (string, error) {
	password := c.cfg.Password()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bad != nil && *c.bad == password {
		return "", ErrPasswordRefused
	}
	return password, nil
}
