package tell_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// A mailServer takes mail on loopback, as RFC 5321 has it.
type mailServer struct {
	port     string
	roots    *x509.CertPool // that vouch for it
	starttls bool           // offered
	mu       sync.Mutex
	refuse   string   // answer to every recipient; "" = they are taken
	mails    []string // with the lines of the envelope before them
	logins   []string
	plain    int // sessions that went on without TLS
}

// startServer listens; implicit = TLS from the first byte.
func startServer(t *testing.T, implicit, starttls bool) *mailServer {
	t.Helper()
	cert, roots := certificate(t)
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := &mailServer{port: port, roots: roots, starttls: starttls}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if implicit {
				conn = tls.Server(conn, config)
			}
			sessions.Go(func() { s.serve(conn, config, implicit) })
		}
	})
	t.Cleanup(func() { l.Close(); sessions.Wait() })
	return s
}

func (s *mailServer) serve(conn net.Conn, config *tls.Config, secured bool) {
	defer func() { conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second)) // a client that hangs ends the test, not it
	text := textproto.NewConn(conn)
	_ = text.PrintfLine("220 test ESMTP")
	var envelope []string
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch verb {
		case "EHLO":
			_ = text.PrintfLine("250-test")
			if s.starttls && !secured {
				_ = text.PrintfLine("250-STARTTLS")
			}
			_ = text.PrintfLine("250 AUTH PLAIN")
		case "STARTTLS":
			_ = text.PrintfLine("220 go on")
			conn = tls.Server(conn, config)
			text, secured = textproto.NewConn(conn), true
		case "AUTH":
			words := strings.Fields(line)
			login, _ := base64.StdEncoding.DecodeString(words[len(words)-1])
			s.mu.Lock()
			s.logins = append(s.logins, string(login))
			s.mu.Unlock()
			_ = text.PrintfLine("235 welcome")
		case "RCPT":
			envelope = append(envelope, line)
			s.mu.Lock()
			refuse := s.refuse
			s.mu.Unlock()
			if refuse != "" {
				_ = text.PrintfLine("%s", refuse)
				continue
			}
			_ = text.PrintfLine("250 ok")
		case "MAIL":
			envelope = []string{line}
			_ = text.PrintfLine("250 ok")
		case "DATA":
			_ = text.PrintfLine("354 go on")
			lines, err := text.ReadDotLines()
			if err != nil {
				return
			}
			s.take(strings.Join(append(envelope, lines...), "\n"), secured)
			_ = text.PrintfLine("250 taken")
		case "QUIT":
			_ = text.PrintfLine("221 bye")
			return
		default:
			_ = text.PrintfLine("250 ok")
		}
	}
}

func (s *mailServer) take(mail string, secured bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, mail)
	if !secured {
		s.plain++
	}
}

// got returns what was taken so far.
func (s *mailServer) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.mails...)
}

// answer has every recipient be answered so.
func (s *mailServer) answer(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = line
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"smtp.test.example", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
