package store

import (
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/tink"
)

// Nothing is sealed for a column that a rotation does not know.
func TestNothingIsSealedForAnUnlistedColumn(t *testing.T) {
	st, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	err = st.db.update(t.Context(), "test", func(t *tx) error {
		_, err := st.Org(1).seal(t.steady, t, place{1, "connection", 1, "login"}, []byte("x"))
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "connection.login") {
		t.Errorf("sealed for a column that is not listed: %v", err)
	}
}

// A database from before there were data keys, where all was sealed by the master key,
// opens and is as it was.
func TestKeysAreAdopted(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	st, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	h, err := st.Org(1).hasher(ctx)
	if err != nil {
		t.Fatal(err)
	}
	old, err := st.vault.masterKey().wrap(hashKeyPlace(1), h.key)
	if err != nil {
		t.Fatal(err)
	}
	err = st.db.update(ctx, "test", func(t *tx) error {
		if _, err := t.exec(ctx, "update org set hash_key = $1", old); err != nil {
			return err
		}
		_, err := t.exec(ctx, "delete from data_key")
		return err
	})
	if err != nil || st.Close() != nil {
		t.Fatal(err)
	}
	if st, err = Open(ctx, Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	now, err := st.Org(1).hasher(ctx)
	if err != nil || string(now.key) != string(h.key) {
		t.Errorf("the key of the hashes is another, %v", err)
	}
	if k, err := st.Org(1).Keys(ctx); err != nil || k.Key == 0 || k.Values != 1 || k.Left != 0 {
		t.Errorf("keys: %+v, %v", k, err)
	}
}

// A retiring master key is replaced by another while it wraps.
type retiring struct {
	tink.AEAD
	vault *vault
	next  Master
}

func (r retiring) Encrypt(text, about []byte) ([]byte, error) {
	r.vault.mu.Lock()
	r.vault.master = r.next
	r.vault.mu.Unlock()
	return r.AEAD.Encrypt(text, about)
}

// The row names the master key that wrapped what stands in it, not one that took its place
// meanwhile.
func TestMasterKeyIsNamedThatWrapped(t *testing.T) {
	st, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	org, old := st.Org(1), st.vault.masterKey()
	ring, err := org.keyring(t.Context(), org.read(), "")
	if err != nil {
		t.Fatal(err)
	}
	st.vault.master = Master{Name: "the one that wraps", AEAD: retiring{old.AEAD, st.vault, Master{Name: "the next", AEAD: old.AEAD}}}
	if err := org.addKey(t.Context(), ring); err != nil {
		t.Fatal(err)
	}
	if row, err := org.keyRow(t.Context(), org.read(), ""); err != nil || row.master != "the one that wraps" {
		t.Errorf("the row names %q, %v", row.master, err)
	}
}
