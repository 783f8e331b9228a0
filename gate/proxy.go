package gate

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"postern/crm"
)

// maxProxyAnswer bounds what a proxy says before it passes bytes on.
const maxProxyAnswer = 16 << 10

// byProxy opens a connection through the organization's proxy, which looks the name up. The
// proxy itself is reached as a server is: from our addresses, at an address that is allowed.
func (w way) byProxy(ctx context.Context, to destination) (net.Conn, error) {
	u, err := url.Parse(w.terms.Egress.Proxy)
	if err != nil {
		return nil, malformed("the proxy")
	}
	at, err := parse(u.Host)
	if err != nil {
		return nil, err
	}
	conn, err := w.connect(ctx, at, false)
	if err != nil {
		return nil, noProxy(ctx, u.Host, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	tunnel, err := w.tunnel(ctx, conn, u, to)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, noProxy(ctx, u.Host, err)
	}
	return tunnel, nil
}

// tunnel asks the proxy at the other end of conn to pass bytes on.
func (w way) tunnel(ctx context.Context, conn net.Conn, u *url.URL, to destination) (net.Conn, error) {
	e := w.terms.Egress
	switch u.Scheme {
	case "socks5":
		return conn, socks(conn, e.ProxyLogin, e.ProxyPassword.Reveal(), to)
	case "https":
		cfg := w.tls(u.Hostname())
		cfg.Certificates, cfg.NextProtos = nil, []string{"http/1.1"} // our certificate is for Exchange alone
		secure := tls.Client(conn, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secure
	case "http":
	default:
		return nil, fmt.Errorf("no proxy by %q", u.Scheme)
	}
	return conn, connectTunnel(conn, e.ProxyLogin, e.ProxyPassword.Reveal(), to)
}

// connectTunnel opens a tunnel by HTTP. The login goes to the proxy and no further.
//
// https://www.rfc-editor.org/rfc/rfc9110#name-connect
func connectTunnel(conn net.Conn, login, password string, to destination) error {
	target := net.JoinHostPort(to.host, strconv.Itoa(int(to.port)))
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{"User-Agent": {""}}}
	if login != "" {
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(login+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(oneByOne{conn}, maxProxyAnswer)), req)
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return proxyLogon()
	case resp.StatusCode >= http.StatusInternalServerError:
		return proxyFailed(fmt.Sprintf("HTTP %d", resp.StatusCode))
	case resp.StatusCode/100 != 2:
		return proxyRefused(fmt.Sprintf("HTTP %d", resp.StatusCode))
	}
	return nil
}

// oneByOne keeps a buffered reader from taking what comes behind the proxy's answer.
type oneByOne struct{ io.Reader }

func (r oneByOne) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 1)]) }

// noProxy judges what kept a proxy from passing us on.
func noProxy(ctx context.Context, host string, err error) error {
	if _, judged := errors.AsType[*crm.Fault](err); judged || errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	return &crm.Fault{Verdict: crm.Retry, Scope: crm.OrgScope, Cause: crm.Unreachable, Code: "proxy-unreachable", Err: err,
		Message: fmt.Sprintf("The outbound proxy %s does not answer, or not as a proxy does.", host),
		Advice:  "Check the proxy, and the address and the kind of it under Addresses; it is tried again by itself."}
}

func proxyLogon() error {
	return &crm.Fault{Verdict: crm.Reauth, Scope: crm.OrgScope, Code: "proxy-password-refused",
		Message: "The outbound proxy refuses our login, or asks for one.", Advice: "Enter the login and the password for the proxy under Addresses. It is not tried again until then."}
}

func proxyRefused(why string) error {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "proxy-refused",
		Message: fmt.Sprintf("The outbound proxy does not let us through to the server (%s).", why), Advice: "Ask whoever runs the proxy to allow connections to the server."}
}

func proxyFailed(why string) error {
	return &crm.Fault{Verdict: crm.Retry, Scope: crm.OrgScope, After: time.Minute, Code: "proxy-failed",
		Message: fmt.Sprintf("The outbound proxy could not reach the server (%s).", why), Advice: "Check the server's name, and whether the proxy can reach it; it is tried again by itself."}
}
