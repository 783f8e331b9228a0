package tell

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"postern/crm"
	"postern/mail"
)

// A Dial opens connections, as net.Dialer's DialContext does; the gate has it.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// A Server is one that takes mail from us, as the operator named it.
type Server struct {
	host, port string
	tls        bool // from the first byte; STARTTLS otherwise
	user       string
	password   crm.Secret
	From       mail.Address
	Dial       Dial
	Roots      *x509.CertPool // nil = the system's
}

// timeout is for one mail, with all that is said before it.
const timeout = time.Minute

// NewServer reads smtps://USER:PASSWORD@HOST:PORT, or smtp:// for one that begins plainly. Port,
// and user with password, may be left out. What is not one is the fault "smtp-malformed", which
// does not repeat the text: a password may be in it.
func NewServer(text, from string) (*Server, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "smtps" && u.Scheme != "smtp" {
		return nil, malformed("POSTERN_SMTP does not name a mail server.")
	}
	s := &Server{host: u.Hostname(), port: u.Port(), tls: u.Scheme == "smtps", user: u.User.Username()}
	if s.port == "" {
		s.port = map[bool]string{true: "465", false: "587"}[s.tls]
	}
	if password, ok := u.User.Password(); ok {
		s.password = crm.NewSecret(password)
	}
	if (s.user == "") != s.password.Empty() {
		return nil, malformed("POSTERN_SMTP names a user without a password, or a password without a user.")
	}
	if from == "" {
		from = s.user
	}
	if s.From, err = mail.ParseAddress(from); err != nil {
		return nil, malformed("Mail for security contacts has no sender.")
	}
	return s, nil
}

func malformed(message string) error {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "smtp-malformed", Message: message,
		Advice: "Write POSTERN_SMTP=smtps://USER:PASSWORD@HOST:PORT (smtp:// for STARTTLS), signs such as @ and / in a password as %40 and %2F, and the sender as POSTERN_SMTP_FROM."}
}

// Address is where the server is, for people and for who dials.
func (s *Server) Address() string { return net.JoinHostPort(s.host, s.port) }

// Send hands over a plain mail. What is wrong is said in a sentence without the password.
func (s *Server) Send(ctx context.Context, to mail.Address, subject, text string) error {
	m := gomail.NewMsg()
	if err := errors.Join(m.From(string(s.From)), m.To(string(to))); err != nil {
		return fmt.Errorf("an address is none: %w", err)
	}
	m.Subject(line(subject))
	m.SetDate()
	m.SetMessageIDWithValue(rand.Text() + "@" + s.From.Domain())
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetBodyString(gomail.TypeTextPlain, text)
	c, err := s.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return s.redact(c.DialAndSendWithContext(ctx, m))
}

// maxTrouble is as much as is kept of what a server says.
const maxTrouble = 300

func (s *Server) redact(err error) error { return redact(err, s.password) }

// redact makes a line of what went wrong, without secrets, should the server repeat them.
func redact(err error, secrets ...crm.Secret) error {
	if err == nil {
		return nil
	}
	text := line(err.Error())
	for _, s := range secrets {
		if !s.Empty() {
			text = strings.ReplaceAll(text, s.Reveal(), s.String())
		}
	}
	if len(text) > maxTrouble {
		text = strings.ToValidUTF8(text[:maxTrouble], "") + "…"
	}
	return errors.New(text)
}

func (s *Server) client() (*gomail.Client, error) {
	policy := gomail.TLSMandatory
	if s.tls || s.loopback() {
		policy = gomail.TLSOpportunistic // of smtps there is TLS already
	}
	config := &tls.Config{ServerName: s.host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12}
	options := []gomail.Option{gomail.WithTimeout(timeout), gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(config), gomail.WithDialContextFunc(s.dial(config))}
	if s.user != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(s.user), gomail.WithPassword(s.password.Reveal()))
	}
	return gomail.NewClient(s.host, options...)
}

// dial goes to the server whatever port the client means, and begins TLS where that comes first.
func (s *Server) dial(config *tls.Config) gomail.DialContextFunc {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		conn, err := s.Dial(ctx, network, s.Address())
		if err != nil || !s.tls {
			return conn, err
		}
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return secured, nil
	}
}

// loopback tells whether the server is this very machine, to which nobody listens on the way.
func (s *Server) loopback() bool {
	a, err := netip.ParseAddr(s.host)
	return s.host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// line makes one line of a text: what follows a header's end would be another header.
func line(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
}
