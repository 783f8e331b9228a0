package web

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Passwords are kept as argon2id with the costs that OWASP's password storage page names
// first for small servers: 19 MiB, two passes, one lane. The costs stand in each hash, so
// that they can be raised later.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
	argonLanes  = 1
	argonSalt   = 16
	argonKey    = 32
)

// MinPassword is the least number of characters of a new password.
const MinPassword = 10

// HashPassword returns the hash of a password to keep.
func HashPassword(password string) string {
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonLanes, argonKey)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes, encode(salt), encode(key))
}

// hasher bounds how many hashes are computed at once: each needs 19 MiB, and a flood of
// sign-ins must not take the memory of the collector.
type hasher struct {
	slots chan struct{}
	decoy string // compared with when there is no account, so that the answer takes as long
}

func newHasher() hasher {
	return hasher{slots: make(chan struct{}, 2), decoy: HashPassword(rand.Text())}
}

// matches tells whether password belongs to hash. An empty hash matches nothing, at the
// same cost.
func (h hasher) matches(ctx context.Context, hash, password string) (bool, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	known := hash != ""
	if !known {
		hash = h.decoy
	}
	ok, err := verify(hash, password)
	return ok && known, err
}

func verify(hash, password string) (bool, error) {
	parts := strings.Split(hash, "$")
	var version, memory, passes, lanes int
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, fmt.Errorf("password hash of an unknown kind")
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &lanes); err != nil {
		return false, fmt.Errorf("password hash: %w", err)
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, fmt.Errorf("password hash: %w", err)
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		return false, fmt.Errorf("password hash: %w", err)
	}
	got := argon2.IDKey([]byte(password), salt, uint32(passes), uint32(memory), uint8(lanes), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}
