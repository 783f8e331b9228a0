// Package kms has a key management service wrap Postern's keys: the transit engine of
// HashiCorp Vault, or of OpenBao, which speaks the same. The master key never leaves it;
// what comes here is a few hundred bytes when the program starts and when keys change.
//
//	master, err := kms.Open("hcvault://vault.example.com:8200/transit/keys/postern", credentials)
//
// Tink's own client for it would bring the whole of Vault's library, 8 MB in the program,
// for two calls. This is the one place besides the gate that opens connections: to the one
// address that the operator named, never to one from the database.
package kms

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tink-crypto/tink-go/v2/core/registry"
	"github.com/tink-crypto/tink-go/v2/tink"

	"postern/crm"
)

// Scheme begins the address of a key, as Tink writes it.
const Scheme = "hcvault://"

// timeout is for one call. Postern does not start without its key, so a service that is
// just restarting is worth some seconds.
const timeout = 20 * time.Second

// Credentials are how the service knows us.
type Credentials struct {
	Token     crm.Secret
	Namespace string // of Vault Enterprise; "" = none
	RootCAs   []byte // PEM of authorities to trust besides the system's
}

// Client asks one service.
type Client struct {
	credentials Credentials
	http        *http.Client
}

var _ registry.KMSClient = (*Client)(nil)

// New returns a client.
func New(c Credentials) (*Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if len(c.RootCAs) > 0 && !roots.AppendCertsFromPEM(c.RootCAs) {
		return nil, errors.New("the file of authorities holds no certificate in PEM form")
	}
	return &Client{c, &http.Client{
		Timeout:       timeout,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token goes nowhere else
	}}, nil
}

// Supported tells whether an address is that of a key here.
func (c *Client) Supported(address string) bool { return strings.HasPrefix(address, Scheme) }

// GetAEAD returns what wraps by the key with this address: hcvault://HOST:PORT/MOUNT/keys/NAME.
// It does not touch the network.
func (c *Client) GetAEAD(address string) (tink.AEAD, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, malformed(address, err)
	}
	mount, name, ok := strings.Cut(strings.Trim(u.Path, "/"), "/keys/")
	if !c.Supported(address) || u.Host == "" || u.User != nil || !ok || mount == "" || name == "" || strings.Contains(name, "/") {
		return nil, malformed(address, nil)
	}
	return &transit{c, u.Host, mount, name}, nil
}

func malformed(address string, err error) error {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "kms-malformed", Err: err,
		Message: fmt.Sprintf("%q is not the address of a key.", address), Advice: "Write hcvault://HOST:PORT/transit/keys/NAME."}
}

// A transit wraps by one key.
type transit struct {
	client            *Client
	host, mount, name string
}

// Encrypt wraps a key; at binds it to the place where it will stand.
func (t *transit) Encrypt(key, at []byte) ([]byte, error) {
	var answer struct{ Ciphertext string }
	if err := t.call("encrypt", map[string]string{"plaintext": encode(key), "associated_data": encode(at)}, &answer); err != nil {
		return nil, err
	}
	if answer.Ciphertext == "" {
		return nil, t.refused(errors.New("the answer holds no ciphertext"))
	}
	return []byte(answer.Ciphertext), nil
}

// errMismatch: the service has the key, but the ciphertext is none of it, or stood elsewhere.
var errMismatch = errors.New("not wrapped by this key for this place")

// Decrypt unwraps a key.
func (t *transit) Decrypt(wrapped, at []byte) ([]byte, error) {
	var answer struct{ Plaintext string }
	if err := t.call("decrypt", map[string]string{"ciphertext": string(wrapped), "associated_data": encode(at)}, &answer); err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(answer.Plaintext)
	if err != nil || len(key) == 0 {
		return nil, t.refused(errors.Join(errors.New("the answer holds no plaintext"), err))
	}
	return key, nil
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// call follows https://developer.hashicorp.com/vault/api-docs/secret/transit. What the
// service says goes into no error: it may repeat what it was sent.
func (t *transit) call(operation string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout) // Tink's interface has no context
	defer cancel()
	address := url.URL{Scheme: "https", Host: t.host, Path: "/v1/" + t.mount + "/" + operation + "/" + t.name}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), bytes.NewReader(text))
	if err != nil {
		return t.unreachable(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Vault-Request", "true")
	req.Header.Set("X-Vault-Token", t.client.credentials.Token.Reveal())
	if ns := t.client.credentials.Namespace; ns != "" {
		req.Header.Set("X-Vault-Namespace", ns)
	}
	res, err := t.client.http.Do(req)
	if err != nil {
		return t.unreachable(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	switch {
	case err != nil:
		return t.unreachable(err)
	case res.StatusCode == http.StatusBadRequest && operation == "decrypt":
		return errMismatch
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return t.unreachable(fmt.Errorf("status %d", res.StatusCode)) // 503: sealed
	case res.StatusCode != http.StatusOK:
		return t.refused(fmt.Errorf("status %d", res.StatusCode))
	}
	var envelope struct{ Data json.RawMessage }
	if err := json.Unmarshal(data, &envelope); err != nil {
		return t.refused(errors.New("the answer is no JSON"))
	}
	if err := json.Unmarshal(envelope.Data, answer); err != nil {
		return t.refused(errors.New("the answer lacks its data"))
	}
	return nil
}

func (t *transit) unreachable(err error) error {
	return &crm.Fault{Verdict: crm.Retry, Scope: crm.OrgScope, Code: "kms-unreachable", Err: err,
		Message: fmt.Sprintf("The key management service at %s does not answer: %v.", t.host, err),
		Advice:  "See whether it runs and is unsealed, and whether this machine may reach it. Nothing that is sealed can be read until then."}
}

func (t *transit) refused(err error) error {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "kms-refused", Err: err,
		Message: fmt.Sprintf("The key management service at %s refuses to use the key %s: %v.", t.host, t.name, err),
		Advice:  "Let the token encrypt and decrypt with this key, and see that it has not expired: vault token lookup."}
}
