package sim

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// A Front is how an organization is reached.
type Front struct {
	Certificate *tls.Certificate // of the server; nil = without TLS
	// ClientRoots are the authorities of client certificates; nil = none is asked for.
	ClientRoots *x509.CertPool
	// Handler, when set, answers in place of the organization: a middleman, say.
	Handler http.Handler
}

// Server returns a web server for the organization that knows its connections, as NTLM
// needs. It speaks HTTP/1.1 alone, as IIS does to those who sign in so. It is served by
// ServeTLS(l, "", "") when there is a certificate.
func (x *Exchange) Server(f Front) *http.Server {
	s := &http.Server{
		Handler:           f.Handler,
		ReadHeaderTimeout: 10 * time.Second,
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ErrorLog:          log.New(io.Discard, "", 0), // handshakes that clients give up are what tests are about
	}
	if s.Handler == nil {
		s.Handler = x
	}
	var leaf *x509.Certificate
	if f.Certificate != nil {
		leaf = f.Certificate.Leaf
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*f.Certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
		if f.ClientRoots != nil {
			s.TLSConfig.ClientAuth, s.TLSConfig.ClientCAs = tls.VerifyClientCertIfGiven, f.ClientRoots
		}
	}
	s.ConnContext = connContext(leaf)
	return s
}

// A Face is a server that listens.
type Face struct {
	URL    string // "https://127.0.0.1:41811", without a path
	server *http.Server
	done   chan struct{}
}

// Listen serves the organization at an address such as "127.0.0.1:0", until Close.
func (x *Exchange) Listen(address string, f Front) (*Face, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	face := &Face{URL: "http://" + l.Addr().String(), server: x.Server(f), done: make(chan struct{})}
	serve := face.server.Serve
	if f.Certificate != nil {
		face.URL = "https://" + l.Addr().String()
		serve = func(l net.Listener) error { return face.server.ServeTLS(l, "", "") }
	}
	go func() {
		defer close(face.done)
		_ = serve(l) // until Close
	}()
	return face, nil
}

// EWS is the address of the EWS face.
func (f *Face) EWS() string { return f.URL + Path }

// Close ends the server and all its connections.
func (f *Face) Close() error {
	err := f.server.Close()
	<-f.done
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
