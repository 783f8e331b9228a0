package store

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"postern/crm"
)

// A vault seals what must not be readable in a copy of the database. Each organization has
// data keys of its own, which stand in the database wrapped by the master key. So keys can
// be changed while all runs (vaultrotate.go), the master key at the cost of a few rows, and an
// organization's secrets can be destroyed wherever copies of them lie: with its keys.
type vault struct {
	mu      sync.Mutex
	master  Master
	rings   map[crm.OrgID]*keyring
	signers map[crm.OrgID]ed25519.PrivateKey // see auditcheckpoint.go
}

func newVault(master Master) *vault {
	return &vault{master: master, rings: map[crm.OrgID]*keyring{}, signers: map[crm.OrgID]ed25519.PrivateKey{}}
}

func (v *vault) masterKey() Master {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.master
}

// A keyring is what an organization's row in data_key holds, unwrapped.
type keyring struct {
	version int64
	wrapped []byte // what the row holds
	handle  *keyset.Handle
	aead    tink.AEAD
	primary uint32 // the key that seals
	others  []uint32
}

// sealedColumns are all columns that hold sealed values. Nothing is sealed for any other,
// so that a rotation cannot miss one.
var sealedColumns = []sealedColumn{
	{"org", "id", "id", "hash_key"},
	{"connection", "org_id", "id", "password"},
	{"connection", "org_id", "id", "keytab"},
	{"connection", "org_id", "id", "client_key"},
	{"service_account", "org_id", "id", "password"},
	{"service_account", "org_id", "id", "keytab"},
	{"sign_in", "org_id", "user_id", "password"},
	{"egress", "org_id", "org_id", "proxy_password"},
	{"proposal", "org_id", "id", "change"},
}

// A sealedColumn names a column, and those that tell the organization and the row.
type sealedColumn struct{ table, org, row, column string }

// sql puts the names into a statement: TABLE, ORG, ROW, COLUMN, and KEY for what tells by
// which key a value is sealed.
func (c sealedColumn) sql(query string) string {
	return strings.NewReplacer("TABLE", c.table, "ORG", c.org, "ROW", c.row, "COLUMN", c.column, "KEY", fmt.Sprintf("substr(%s, 1, %d)", c.column, keyPrefix)).Replace(query)
}

// listed returns the column of a place.
func (p place) listed() (sealedColumn, error) {
	for _, c := range sealedColumns {
		if c.table == p.table && c.column == p.column {
			return c, nil
		}
	}
	return sealedColumn{}, fmt.Errorf("%s.%s is not among the columns that hold sealed values", p.table, p.column)
}

// seal seals a value for its place, by the organization's newest key. That key stays what
// it is until the transaction ends.
func (o *Org) seal(ctx context.Context, t *tx, at place, text []byte) ([]byte, error) {
	if _, err := at.listed(); err != nil {
		return nil, err
	}
	ring, err := o.keyring(ctx, t, t.d.shareLock)
	if err != nil {
		return nil, err
	}
	return ring.aead.Encrypt(text, at.bytes())
}

// open opens a sealed value. Its faults have the codes "key-wrong", "key-shredded" and
// "sealed-value-moved".
func (o *Org) open(ctx context.Context, q querier, at place, sealed []byte) ([]byte, error) {
	for {
		ring, err := o.keyring(ctx, q, "")
		if err != nil {
			return nil, err
		}
		if ring.has(sealedBy(sealed)) {
			return ring.open(at, sealed)
		}
		// A rotation may have ended since the value was read; then it is another by now.
		now, err := o.sealedAt(ctx, q, at)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(now, sealed) {
			return ring.open(at, sealed) // which says what is wrong
		}
		sealed = now
	}
}

// sealedAt reads the value that stands in a place.
func (o *Org) sealedAt(ctx context.Context, q querier, at place) (sealed []byte, err error) {
	c, err := at.listed()
	if err != nil {
		return nil, err
	}
	err = one(ctx, q, c.sql("select COLUMN from TABLE where ORG = $1 and ROW = $2"), []any{at.org, at.row}, &sealed)
	return sealed, err
}

func (r *keyring) open(at place, sealed []byte) ([]byte, error) {
	text, err := r.aead.Decrypt(sealed, at.bytes())
	switch {
	case err == nil:
		return text, nil
	case r.has(sealedBy(sealed)):
		return nil, &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "sealed-value-moved",
			Message: fmt.Sprintf("The sealed value in %s.%s, row %d, was changed, or belongs elsewhere: somebody altered the database.", at.table, at.column, at.row),
			Advice:  "Enter it anew where it is set, and look in the audit log and at who can write to the database: postern audit verify.", Err: err}
	}
	return nil, keyFault("key-wrong", fmt.Sprintf("The value in %s.%s was sealed by a key that is not there.", at.table, at.column), err)
}

// sealedBy returns the id of the key that sealed a value, as Tink writes it in front.
func sealedBy(sealed []byte) uint32 {
	if len(sealed) < keyPrefix {
		return 0
	}
	return binary.BigEndian.Uint32(sealed[1:keyPrefix])
}

// keyPrefix is the length of what Tink writes in front: a 1, and the key's id.
const keyPrefix = 5

func (r *keyring) has(id uint32) bool { return id == r.primary || slices.Contains(r.others, id) }

// A keyRow is a row of data_key.
type keyRow struct {
	wrapped            []byte
	master             string
	version            int64
	madeAt, shreddedAt int64
}

func (o *Org) keyRow(ctx context.Context, q querier, lock string) (keyRow, error) {
	var k keyRow
	err := one(ctx, q, "select keyset, master, version, made_at, shredded_at from data_key where org_id = $1"+lock, []any{o.id},
		&k.wrapped, &k.master, &k.version, &k.madeAt, &k.shreddedAt)
	return k, err
}

// keyring returns the keys as they are in the database, which it asks each time; they are
// unwrapped when they have changed.
func (o *Org) keyring(ctx context.Context, q querier, lock string) (*keyring, error) {
	row, err := o.keyRow(ctx, q, lock)
	if err != nil {
		return nil, fmt.Errorf("keys of organization %d: %w", o.id, err)
	}
	if row.shreddedAt > 0 {
		return nil, &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "key-shredded",
			Message: fmt.Sprintf("The keys of organization %d were destroyed on %s. What they sealed cannot be read by anybody.", o.id, fromMicros(row.shreddedAt).Format("2 January 2006 15:04 MST")),
			Advice:  "This cannot be undone. Delete what is left of the organization, or begin with a new data folder."}
	}
	v := o.s.vault
	v.mu.Lock()
	ring := v.rings[o.id]
	v.mu.Unlock()
	// A transaction that was undone may have left its keys, and another has made its own of the
	// same version since.
	if ring != nil && ring.version == row.version && bytes.Equal(ring.wrapped, row.wrapped) {
		return ring, nil
	}
	data, err := v.unwrap(o.keysetPlace(), row.wrapped)
	if err != nil {
		return nil, err
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(data)))
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if ring, err = newKeyring(handle, row); err != nil {
		return nil, err
	}
	v.mu.Lock()
	v.rings[o.id] = ring
	v.mu.Unlock()
	return ring, nil
}

func newKeyring(handle *keyset.Handle, row keyRow) (*keyring, error) {
	a, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("use keys: %w", err)
	}
	info := handle.KeysetInfo()
	r := &keyring{version: row.version, wrapped: row.wrapped, handle: handle, aead: a, primary: info.GetPrimaryKeyId()}
	for _, k := range info.GetKeyInfo() {
		if k.GetKeyId() != r.primary {
			r.others = append(r.others, k.GetKeyId())
		}
	}
	return r, nil
}

func (o *Org) keysetPlace() place { return place{o.id, "data_key", int64(o.id), "keyset"} }

// makeKeys gives an organization its first data key.
func (o *Org) makeKeys(ctx context.Context, t *tx) error {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	keys, err := o.wrapKeys(handle)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, "insert into data_key (org_id, keyset, master, version, made_at) values ($1, $2, $3, 1, $4)",
		o.id, keys.wrapped, keys.master, micros(o.s.now()))
	return err
}

// A keysToSave is what is to stand in an organization's row in data_key.
type keysToSave struct {
	wrapped []byte
	master  string // name of the key that wrapped them
	primary uint32
}

// wrapKeys wraps data keys by the master key of this moment: another may hold before they are
// saved.
func (o *Org) wrapKeys(handle *keyset.Handle) (keysToSave, error) {
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&buf)); err != nil {
		return keysToSave{}, fmt.Errorf("write keys: %w", err)
	}
	master := o.s.vault.masterKey()
	wrapped, err := master.wrap(o.keysetPlace(), buf.Bytes())
	return keysToSave{wrapped, master.Name, handle.KeysetInfo().GetPrimaryKeyId()}, err
}

// wrap seals a key by the master key.
func (m Master) wrap(at place, key []byte) ([]byte, error) {
	wrapped, err := m.AEAD.Encrypt(key, at.bytes())
	if err != nil {
		return nil, fmt.Errorf("wrap %s.%s by the master key: %w", at.table, at.column, err)
	}
	return wrapped, nil
}

// unwrap opens what wrap sealed.
func (v *vault) unwrap(at place, wrapped []byte) ([]byte, error) {
	master := v.masterKey()
	key, err := master.AEAD.Decrypt(wrapped, at.bytes())
	if err == nil || errors.As(err, new(*crm.Fault)) {
		return key, err
	}
	what := fmt.Sprintf("The master key (%s)", master.Name)
	if master.Name == masterFileName {
		what = `The file "key" in the data folder`
	}
	return nil, keyFault("key-wrong", what+" is not the one that this database was made with.", fmt.Errorf("unwrap %s.%s: %w", at.table, at.column, err))
}
