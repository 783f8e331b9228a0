package store

import (
	"bytes"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/signature"
)

// newSigningKey makes the key that signs an organization's checkpoints, sealed.
func (o *Org) newSigningKey() ([]byte, error) {
	handle, err := keyset.NewHandle(signature.ED25519KeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&buf)); err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	return o.s.vault.seal(o.signingKeyPlace(), buf.Bytes())
}

func (o *Org) signingKeyPlace() place {
	return place{o.id, "audit_head", int64(o.id), "signing_key"}
}
