package kms_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"postern/crm"
	"postern/kms"
	"postern/store"
)

const token = "s.the-token"

// A vault is as much of the transit engine as is asked for.
type vault struct {
	*httptest.Server
	broken atomic.Int32 // a status that every call is answered with
	calls  atomic.Int32
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{}
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	v.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.calls.Add(1)
		var in struct {
			Plaintext, Ciphertext string
			AssociatedData        string `json:"associated_data"`
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		at, _ := base64.StdEncoding.DecodeString(in.AssociatedData)
		answer := func(name, value string) {
			_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "x", "data": map[string]string{name: value}})
		}
		switch {
		case v.broken.Load() != 0:
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(int(v.broken.Load()))
			fmt.Fprintf(w, `{"errors":["%s %s"]}`, in.Plaintext, r.Header.Get("X-Vault-Token")) // a service that tells too much
		case r.Header.Get("X-Vault-Token") != token || r.Method != http.MethodPost:
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/v1/transit/encrypt/postern":
			text, _ := base64.StdEncoding.DecodeString(in.Plaintext)
			answer("ciphertext", "vault:v1:"+base64.StdEncoding.EncodeToString(gcm.Seal(nil, nil, text, at)))
		case r.URL.Path == "/v1/transit/decrypt/postern":
			sealed, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(in.Ciphertext, "vault:v1:"))
			text, err := gcm.Open(nil, nil, sealed, at)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			answer("plaintext", base64.StdEncoding.EncodeToString(text))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	v.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // handshakes are meant to fail
	v.StartTLS()
	t.Cleanup(v.Close)
	return v
}

func (v *vault) master(t *testing.T, token string) *store.Master {
	t.Helper()
	roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.Certificate().Raw})
	client, err := kms.New(kms.Credentials{Token: crm.NewSecret(token), RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	address := "hcvault://" + strings.TrimPrefix(v.URL, "https://") + "/transit/keys/postern"
	a, err := client.GetAEAD(address)
	if err != nil {
		t.Fatal(err)
	}
	return &store.Master{Name: address, AEAD: a}
}

func code(err error) string {
	if f, ok := errors.AsType[*crm.Fault](err); ok {
		return f.Code
	}
	return fmt.Sprint(err)
}

// A data folder whose master key is in a KMS opens with it, says clearly what is wrong
// when it cannot be had, and asks it a few times only.
func TestMasterKeyInKMS(t *testing.T) {
	v := newVault(t)
	o := store.Options{Dir: t.TempDir(), Master: v.master(t, token)}
	st, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	settings := crm.Settings{Server: "mail.acme.example", Password: crm.NewSecret("pass word"), Domains: []string{"acme.example"}}
	for range 20 {
		if err := st.Org(1).SaveSettings(t.Context(), settings); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.Org(1).RotateKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := v.calls.Load(); n > 12 {
		t.Errorf("%d calls", n)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err = store.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got, _, err := st.Org(1).Settings(t.Context()); err != nil || got.Password.Reveal() != "pass word" {
		t.Errorf("opened anew: %v", err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}

	o.Master = newVault(t).master(t, token)
	if _, err := store.Open(t.Context(), o); code(err) != "key-wrong" {
		t.Errorf("another service: %v", err)
	}
	o.Master = v.master(t, "another token")
	if _, err := store.Open(t.Context(), o); code(err) != "kms-refused" {
		t.Errorf("another token: %v", err)
	}
	o.Master = v.master(t, token)
	for status, want := range map[int32]string{503: "kms-unreachable", 429: "kms-unreachable", 307: "kms-refused", 404: "kms-refused", 200: "kms-refused"} {
		v.broken.Store(status)
		_, err := store.Open(t.Context(), o)
		if code(err) != want || strings.Contains(fmt.Sprintf("%+v", err), token) {
			t.Errorf("status %d: %v", status, err)
		}
	}
	v.Close()
	if _, err := store.Open(t.Context(), o); code(err) != "kms-unreachable" {
		t.Errorf("gone: %v", err)
	}
}

// A certificate that is not trusted gets no token.
func TestUntrustedServiceIsRefused(t *testing.T) {
	v := newVault(t)
	client, err := kms.New(kms.Credentials{Token: crm.NewSecret(token)})
	if err != nil {
		t.Fatal(err)
	}
	a, err := client.GetAEAD("hcvault://" + strings.TrimPrefix(v.URL, "https://") + "/transit/keys/postern")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Encrypt([]byte("key"), nil); code(err) != "kms-unreachable" || v.calls.Load() != 0 {
		t.Errorf("%v after %d calls", err, v.calls.Load())
	}
}

func TestAddresses(t *testing.T) {
	client, err := kms.New(kms.Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	for address, good := range map[string]bool{
		"hcvault://vault.example:8200/transit/keys/postern": true, "hcvault://vault.example/a/b/keys/postern": true,
		"": false, "https://vault.example/transit/keys/postern": false, "hcvault:///transit/keys/postern": false, "hcvault://u:p@vault.example/transit/keys/x": false,
		"hcvault://vault.example/transit/postern": false, "hcvault://vault.example/keys/postern": false, "hcvault://vault.example/transit/keys/": false, "hcvault://vault.example/transit/keys/a/b": false,
	} {
		if _, err := client.GetAEAD(address); good != (err == nil) || !good && code(err) != "kms-malformed" {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := kms.New(kms.Credentials{RootCAs: []byte("no PEM")}); err == nil {
		t.Error("authorities that are none are taken")
	}
}
