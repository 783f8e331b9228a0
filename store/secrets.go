package store

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"postern/crm"
	"postern/mail"
)

// A Master is the key that wraps all other keys. It is kept apart from the database: who
// has a copy of that alone can read nothing that is sealed.
type Master struct {
	Name string    // where it is kept, for people: "file key", "environment", the address in a KMS
	AEAD tink.AEAD // its errors may be Faults
}

// NewMaster makes a master key of 32 random bytes in base64, as `openssl rand -base64 32`
// prints them; blanks around do not matter. name says where they were kept.
func NewMaster(name, text string) (*Master, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err == nil && len(key) != 32 {
		err = fmt.Errorf("%d bytes instead of 32", len(key))
	}
	if err != nil {
		return nil, &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "master-key-malformed",
			Message: fmt.Sprintf("The master key (%s) is not 32 bytes in base64.", name), Advice: "Make one by: openssl rand -base64 32.", Err: err}
	}
	a, err := subtle.NewAESGCM(key)
	if err != nil {
		return nil, fmt.Errorf("use the master key: %w", err)
	}
	return &Master{Name: name, AEAD: a}, nil
}

// A masterFile is the master key of who chose no other: the file "key" of the data folder,
// readable by its owner alone. Whoever backs up the folder should keep this file elsewhere.
type masterFile struct {
	dir   string
	steps steps
	aead  atomic.Pointer[tink.AEAD]
}

const masterFileName = "file key"

// openMasterFile reads the key; it makes one where there is none, unless a database is
// there already: a new key would open nothing in it, and stand in the way of the right one.
func openMasterFile(dir string, steps steps) (*masterFile, error) {
	m := &masterFile{dir: dir, steps: steps}
	_, err := os.Stat(m.path())
	if errors.Is(err, fs.ErrNotExist) {
		if _, e := os.Stat(databaseFile(dir)); e == nil {
			return nil, keyFault("key-missing", fmt.Sprintf("The file \"key\" is missing in the data folder %s.", dir), err)
		}
		err = m.make()
	}
	if err != nil {
		return nil, err
	}
	_, err = m.read()
	return m, err
}

func (m *masterFile) path() string { return filepath.Join(m.dir, "key") }

// read reads the file anew.
func (m *masterFile) read() (*keyset.Handle, error) {
	data, err := os.ReadFile(m.path())
	if err != nil {
		return nil, err
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(data)))
	if err != nil {
		return nil, keyFault("key-damaged", fmt.Sprintf("The file \"key\" in the data folder %s holds no key.", m.dir), err)
	}
	a, err := aead.New(handle)
	if err != nil {
		return nil, keyFault("key-damaged", fmt.Sprintf("The file \"key\" in the data folder %s holds no key of the right kind.", m.dir), err)
	}
	m.aead.Store(&a)
	return handle, nil
}

func (m *masterFile) Encrypt(text, at []byte) ([]byte, error) {
	return (*m.aead.Load()).Encrypt(text, at)
}

// Decrypt reads the file again when the key does not fit: another process may have
// rotated it.
func (m *masterFile) Decrypt(sealed, at []byte) ([]byte, error) {
	text, err := (*m.aead.Load()).Decrypt(sealed, at)
	if err == nil {
		return text, nil
	}
	if _, e := m.read(); e != nil {
		return nil, e
	}
	return (*m.aead.Load()).Decrypt(sealed, at)
}

// make writes a new key. The first of several processes wins.
func (m *masterFile) make() error {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	return m.write(handle, func(from string) error {
		if err := m.steps.before("key: link"); err != nil {
			return err
		}
		if err := os.Link(from, m.path()); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
}

// replace puts another key in the place of the one that is there.
func (m *masterFile) replace(handle *keyset.Handle) error {
	err := m.write(handle, func(from string) error {
		if err := m.steps.before("key: rename"); err != nil {
			return err
		}
		return os.Rename(from, m.path())
	})
	if err != nil {
		return err
	}
	_, err = m.read()
	return err
}

// write writes a key to a file beside, and has that put in place.
func (m *masterFile) write(handle *keyset.Handle, place func(from string) error) (err error) {
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&buf)); err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	if err := m.steps.before("key: create"); err != nil {
		return err
	}
	f, err := os.CreateTemp(m.dir, "key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeFile("key", f.Name(), m.steps)) }()
	if err := writeFile("key", f, io.Reader(&buf), m.steps); err != nil {
		return err
	}
	if err := place(f.Name()); err != nil {
		return err
	}
	return syncFolder("key", m.dir, m.steps)
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
