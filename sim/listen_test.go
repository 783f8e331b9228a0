package sim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/ews"
)

// TestCertificatesToDistrust: what is wrong with a certificate is just what was wished for.
func TestCertificatesToDistrust(t *testing.T) {
	authority, err := NewAuthority("Private CA")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := NewAuthority("Private CA")
	if err != nil {
		t.Fatal(err)
	}
	x := newExchange(t, Options{})
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	for what, tt := range map[string]struct {
		by   *Authority
		wish Wish
		want any // nil = no error
	}{
		"good":          {authority, Wish{Names: []string{"mail.company.example"}}, nil},
		"wrong name":    {authority, Wish{Names: []string{"mail.elsewhere.example", "127.0.0.1"}}, &name},
		"expired":       {authority, Wish{Names: []string{"mail.company.example"}, To: time.Now().Add(-time.Hour)}, &invalid},
		"not valid yet": {authority, Wish{Names: []string{"mail.company.example"}, From: time.Now().Add(time.Hour)}, &invalid},
		"of a stranger": {stranger, Wish{Names: []string{"mail.company.example"}}, &unknown},
	} {
		certificate, err := tt.by.Certificate(tt.wish)
		if err != nil {
			t.Fatal(err)
		}
		face, err := x.Listen("127.0.0.1:0", Front{Certificate: &certificate})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := tls.Dial("tcp", strings.TrimPrefix(face.URL, "https://"), &tls.Config{RootCAs: authority.Pool(), ServerName: "mail.company.example"})
		if err == nil {
			conn.Close()
		}
		if tt.want == nil && err != nil || tt.want != nil && !errors.As(err, tt.want) {
			t.Errorf("%s: %v", what, err)
		}
		if err := face.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestCertificatesOnDisk: what is written for other programs is read as it was.
func TestCertificatesOnDisk(t *testing.T) {
	authority, err := NewAuthority("Private CA")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Certificate(Wish{Names: []string{"svc@company.example"}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := KeyPEM(certificate)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(CertificatePEM(certificate), key); err != nil {
		t.Error(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority.PEM()) || !pool.Equal(authority.Pool()) {
		t.Error("the authority is not read as it was")
	}
}

// TestTwoOrganizationsSeeTheirOwn: each has its own records, and sees from where it is asked.
func TestTwoOrganizationsSeeTheirOwn(t *testing.T) {
	for _, source := range []string{"127.0.0.2", "127.0.0.3"} {
		x := newExchange(t, Options{})
		face, err := x.Listen("127.0.0.1:0", Front{})
		if err != nil {
			t.Fatal(err)
		}
		defer face.Close()
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
		transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		}}
		defer transport.CloseIdleConnections()
		say(t, &http.Client{Transport: transport}, face.EWS(), "")
		list := x.Requests()
		if len(list) != 1 || list[0].Source != source || list[0].Secure || list[0].Host != strings.TrimPrefix(face.URL, "http://") || list[0].Method != "POST" {
			t.Errorf("%s: on record: %+v", source, list)
		}
	}
}

// TestRecordsAreKeptAsAsked: whoever wants to see all requests says so.
func TestRecordsAreKeptAsAsked(t *testing.T) {
	x := newExchange(t, Options{KeepRequests: 3})
	c := asUser(t, x, ann)
	for range 5 {
		c.ask(&ews.ResolveNames{Entry: "ann"})
	}
	if list := x.Requests(); len(list) != 3 || !list[0].At.Before(list[2].At) {
		t.Errorf("%d records, from %v", len(list), list[0].At)
	}
}
