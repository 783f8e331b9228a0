package store

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"postern/crm"
	"postern/mail"
)

// A vault seals what must not be readable in a copy of the database. Its key is the file
// "key" of the data folder, readable by its owner alone; whoever backs up the one should
// keep the other elsewhere.
type vault struct{ aead tink.AEAD }

// openVault reads the key; it makes one where there is none, unless a database is there
// already: a new key would open nothing in it, and stand in the way of the right one.
func openVault(dir string, steps steps) (*vault, error) {
	path := filepath.Join(dir, "key")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, e := os.Stat(databaseFile(dir)); e == nil {
			return nil, keyFault("key-missing", fmt.Sprintf("The file \"key\" is missing in the data folder %s.", dir), err)
		}
		data, err = newKey(path, steps)
	}
	if err != nil {
		return nil, err
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(data)))
	if err != nil {
		return nil, keyFault("key-damaged", fmt.Sprintf("The file \"key\" in the data folder %s holds no key.", dir), err)
	}
	a, err := aead.New(handle)
	if err != nil {
		return nil, keyFault("key-damaged", fmt.Sprintf("The file \"key\" in the data folder %s holds no key of the right kind.", dir), err)
	}
	return &vault{a}, nil
}

// newKey writes a new key. The first of several processes wins.
func newKey(path string, steps steps) (key []byte, err error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&buf)); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if err := steps.before("key: create"); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "key-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, removeFile("key", f.Name(), steps)) }()
	if err := writeFile("key", f, &buf, steps); err != nil {
		return nil, err
	}
	if err := steps.before("key: link"); err != nil {
		return nil, err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := syncFolder("key", filepath.Dir(path), steps); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// A place is where a sealed value stands. A value moved elsewhere does not open.
type place struct {
	org    crm.OrgID
	table  string
	row    int64
	column string
}

func (p place) bytes() []byte {
	return fmt.Appendf(nil, "%d/%s/%d/%s", p.org, p.table, p.row, p.column)
}

func (v *vault) seal(at place, text []byte) ([]byte, error) { return v.aead.Encrypt(text, at.bytes()) }

func (v *vault) open(at place, sealed []byte) ([]byte, error) {
	text, err := v.aead.Decrypt(sealed, at.bytes())
	if err != nil {
		return nil, keyFault("key-wrong", "The file \"key\" in the data folder is not the one that this database was made with.",
			fmt.Errorf("open %s.%s: %w", at.table, at.column, err))
	}
	return text, nil
}

// A hasher makes the keyed hashes by which mail that was not filed can be found again by
// who already knows an address or a Message-ID, and by nobody without the key. 64 bits
// suffice: two that meet cost one look at a header too many.
type hasher struct{ key []byte }

func newHashKey() []byte {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	return key
}

func (h hasher) address(a mail.Address) int64 { return h.sum("address\x00", string(a)) }
func (h hasher) messageID(id string) int64    { return h.sum("message-id\x00", id) }

func (h hasher) sum(kind, text string) int64 {
	m := hmac.New(sha256.New, h.key)
	m.Write([]byte(kind))
	m.Write([]byte(text))
	return int64(binary.BigEndian.Uint64(m.Sum(nil)))
}

// hash16 names a long text such as an item id.
func hash16(s string) [16]byte {
	sum := sha256.Sum256([]byte(s))
	return [16]byte(sum[:16])
}
