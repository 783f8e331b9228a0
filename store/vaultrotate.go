package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"postern/crm"
)

// KeyStatus says how an organization's secrets are sealed.
type KeyStatus struct {
	Master   string    // where the master key is that wraps the data keys
	Key      uint32    // id of the key that seals now; 0 = destroyed
	Made     time.Time // when
	Older    []uint32  // keys of a rotation that has not ended
	Values   int       // sealed
	Left     int       // of them, by older keys
	Shredded time.Time // when the keys were destroyed; zero = they were not
}

// Keys says how the organization's secrets are sealed.
func (o *Org) Keys(ctx context.Context) (KeyStatus, error) {
	row, err := o.keyRow(ctx, o.read(), "")
	if err != nil {
		return KeyStatus{}, err
	}
	s := KeyStatus{Master: row.master, Made: fromMicros(row.madeAt), Shredded: fromMicros(row.shreddedAt)}
	var prefix []byte
	if row.shreddedAt == 0 {
		ring, err := o.keyring(ctx, o.read(), "")
		if err != nil {
			return KeyStatus{}, err
		}
		s.Key, s.Older, prefix = ring.primary, ring.others, ring.prefix()
	}
	for _, c := range sealedColumns {
		var all, left int
		query := c.sql("select count(*), coalesce(sum(case when KEY <> $2 then 1 else 0 end), 0) from TABLE where ORG = $1 and length(COLUMN) > 0")
		if err := one(ctx, o.read(), query, []any{o.id, prefix}, &all, &left); err != nil {
			return KeyStatus{}, err
		}
		s.Values, s.Left = s.Values+all, s.Left+left
	}
	return s, nil
}

// prefix is what Tink writes in front of all that the newest key seals.
func (r *keyring) prefix() []byte { return binary.BigEndian.AppendUint32([]byte{1}, r.primary) }

// RotateKeys gives the organization a new key, seals everything anew by it, a few values
// at a time, and destroys the old one. Other processes go on meanwhile: they notice by a
// key that they do not know, or by the row's version before they seal. A rotation that
// was cut short is ended by the next one, which makes no further key then. It returns
// how many values were sealed anew.
func (o *Org) RotateKeys(ctx context.Context) (int, error) {
	ring, err := o.keyring(ctx, o.read(), "")
	if err != nil {
		return 0, err
	}
	if len(ring.others) == 0 {
		if err := o.addKey(ctx, ring); err != nil && !errors.Is(err, ErrStale) { // another process rotates
			return 0, err
		}
	}
	values := 0
	for _, c := range sealedColumns {
		for done := false; !done; {
			n := 0
			err := o.db.update(ctx, "seal anew", func(t *tx) (err error) {
				n, err = o.sealAnew(ctx, t, c)
				return err
			})
			if err != nil {
				return values, err
			}
			values, done = values+n, n < resealBatch
		}
	}
	return values, o.dropOldKeys(ctx)
}

// resealBatch is how many values are sealed anew in one transaction.
const resealBatch = 50

// changeKeys replaces the keyset, unless another process has changed it meanwhile.
func (o *Org) changeKeys(ctx context.Context, t *tx, old *keyring, now keysToSave) error {
	n, err := t.exec(ctx, "update data_key set keyset = $3, master = $4, version = version + 1, made_at = case when $5 then $6 else made_at end where org_id = $1 and version = $2 and shredded_at = 0",
		o.id, old.version, now.wrapped, now.master, now.primary != old.primary, micros(o.s.now()))
	if err == nil && n == 0 {
		return ErrStale
	}
	return err
}

// addKey adds a key, which seals from then on.
func (o *Org) addKey(ctx context.Context, ring *keyring) error {
	m := keyset.NewManagerFromHandle(ring.handle)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	handle, err := m.Handle()
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	keys, err := o.wrapKeys(handle) // may ask a KMS, so it is done before the transaction
	if err != nil {
		return err
	}
	return o.db.update(ctx, "add key", func(t *tx) error {
		if err := o.changeKeys(ctx, t, ring, keys); err != nil {
			return err
		}
		return o.audit(ctx, t, crm.AuditEntry{Action: "keys.rotate", Detail: fmt.Sprintf("data key: %d → %d", ring.primary, id)})
	})
}

// sealAnew seals some values of a column by the newest key.
func (o *Org) sealAnew(ctx context.Context, t *tx, c sealedColumn) (int, error) {
	ring, err := o.keyring(ctx, t, t.d.shareLock)
	if err != nil {
		return 0, err
	}
	return o.reseal(ctx, t, c, ring, resealBatch, ring.open)
}

// reseal opens values that another key sealed, as many as the limit, and seals them by
// the newest of these.
func (o *Org) reseal(ctx context.Context, t *tx, c sealedColumn, to *keyring, limit int, open func(place, []byte) ([]byte, error)) (int, error) {
	type value struct {
		row    int64
		sealed []byte
	}
	var list []value
	query := c.sql("select ROW, COLUMN from TABLE where ORG = $1 and length(COLUMN) > 0 and KEY <> $2 order by ROW limit $3")
	err := rows(ctx, t, query+t.d.rowLock, []any{o.id, to.prefix(), limit}, func(r *sql.Rows) error {
		var v value
		if err := r.Scan(&v.row, &v.sealed); err != nil {
			return err
		}
		list = append(list, v)
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, v := range list {
		at := place{o.id, c.table, v.row, c.column}
		text, err := open(at, v.sealed)
		if err != nil {
			return 0, err
		}
		sealed, err := to.aead.Encrypt(text, at.bytes())
		if err != nil {
			return 0, fmt.Errorf("seal %s.%s: %w", c.table, c.column, err)
		}
		if _, err := t.exec(ctx, c.sql("update TABLE set COLUMN = $3 where ORG = $1 and ROW = $2"), o.id, v.row, sealed); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

// dropOldKeys destroys the keys that seal nothing any more. The row stays locked from the
// last look for such values to the end, and who seals holds it, too: no value is left
// behind by a process that still knew the old key.
func (o *Org) dropOldKeys(ctx context.Context) error {
	ring, err := o.keyring(ctx, o.read(), "")
	if err != nil || len(ring.others) == 0 {
		return err
	}
	m := keyset.NewManagerFromHandle(ring.handle)
	for _, id := range ring.others {
		if err := m.Delete(id); err != nil {
			return fmt.Errorf("destroy an old key: %w", err)
		}
	}
	handle, err := m.Handle()
	if err != nil {
		return fmt.Errorf("destroy an old key: %w", err)
	}
	keys, err := o.wrapKeys(handle)
	if err != nil {
		return err
	}
	err = o.db.forget(ctx, "drop old keys", func(t *tx) error {
		if now, err := o.keyring(ctx, t, t.d.rowLock); err != nil || now.version != ring.version {
			return cmp.Or(err, ErrStale)
		}
		for _, c := range sealedColumns {
			if _, err := o.reseal(ctx, t, c, ring, 1<<20, ring.open); err != nil {
				return err
			}
		}
		if err := o.changeKeys(ctx, t, ring, keys); err != nil {
			return err
		}
		return o.audit(ctx, t, crm.AuditEntry{Action: "keys.rotated", Detail: fmt.Sprintf("data keys destroyed: %d", len(ring.others))})
	})
	if errors.Is(err, ErrStale) { // another process was faster
		return nil
	}
	return err
}

// ShredKeys destroys the organization's keys: what they sealed, here and in every copy of
// the database that holds no older keys, cannot be read any more. Copies from before the
// last rotation of the master key end with that key.
func (o *Org) ShredKeys(ctx context.Context) error {
	err := o.db.forget(ctx, "shred keys", func(t *tx) error {
		row, err := o.keyRow(ctx, t, t.d.rowLock)
		if err != nil || row.shreddedAt > 0 {
			return err
		}
		_, err = t.exec(ctx, "update data_key set keyset = $2, version = version + 1, shredded_at = $3 where org_id = $1", o.id, []byte{}, micros(o.s.now()))
		if err != nil {
			return err
		}
		if err := o.changed(ctx, t); err != nil {
			return err
		}
		return o.audit(ctx, t, crm.AuditEntry{Action: "keys.shred", Detail: "all data keys were destroyed"})
	})
	o.s.mu.Lock()
	delete(o.s.keys, o.id)
	o.s.mu.Unlock()
	o.s.vault.mu.Lock()
	delete(o.s.vault.rings, o.id)
	o.s.vault.mu.Unlock()
	return err
}

// forget is update for keys that are to be destroyed: it has the database overwrite what
// they were. The copies in a backup, or in an archive of PostgreSQL's log, are out of its
// reach.
func (d *database) forget(ctx context.Context, name string, fn func(t *tx) error) error {
	if d.goose == goose.DialectPostgres {
		if err := d.update(ctx, name, fn); err != nil {
			return err
		}
		_, err := d.write.ExecContext(ctx, "vacuum full data_key")
		return d.fault(err)
	}
	if _, err := d.write.ExecContext(ctx, "pragma secure_delete = on"); err != nil {
		return d.fault(err)
	}
	if err := d.update(ctx, name, fn); err != nil {
		return err
	}
	var busy, frames, moved int
	if err := d.write.QueryRowContext(ctx, "pragma wal_checkpoint(truncate)").Scan(&busy, &frames, &moved); err != nil || busy == 0 {
		return d.fault(err)
	}
	return &crm.Fault{Verdict: crm.Retry, Scope: crm.OrgScope, Code: "log-not-emptied",
		Message: "The keys are destroyed in the database, but another process reads it, and its log still has a copy of them.",
		Advice:  "Give the command again when no other process of Postern runs."}
}

// adoptKeys gives data keys to organizations of a database that was made before there
// were any: all was sealed by the master key itself.
func (s *Store) adoptKeys(ctx context.Context) error {
	list, err := ids(ctx, view{s.db}, "select id from org where not exists (select 1 from data_key k where k.org_id = org.id)")
	if err != nil {
		return err
	}
	for _, id := range list {
		o := s.Org(crm.OrgID(id))
		err := s.db.update(ctx, "adopt keys", func(t *tx) error {
			if err := o.makeKeys(ctx, t); err != nil {
				return err
			}
			ring, err := o.keyring(ctx, t, "")
			if err != nil {
				return err
			}
			for _, c := range sealedColumns {
				if _, err := o.reseal(ctx, t, c, ring, 1<<20, s.vault.unwrap); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// A wrapped is a key in the database that the master key wraps.
type wrapped struct {
	place
	key []byte
}

// wrappedKeys returns all keys that the master key wraps.
func (s *Store) wrappedKeys(ctx context.Context, q querier, lock string) ([]wrapped, error) {
	var list []wrapped
	for _, c := range [...][2]string{{"data_key", "keyset"}, {"audit_head", "signing_key"}} {
		query := sealedColumn{table: c[0], column: c[1]}.sql("select org_id, COLUMN from TABLE where length(COLUMN) > 0 order by org_id")
		err := rows(ctx, q, query+lock, nil, func(r *sql.Rows) error {
			w := wrapped{place: place{table: c[0], column: c[1]}}
			if err := r.Scan(&w.org, &w.key); err != nil {
				return err
			}
			w.row = int64(w.org)
			list = append(list, w)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// RotateMaster has another master key wrap all keys; what they seal stays as it is. With
// nil the file "key" gets a new key. Processes that run must be started with the new one,
// unless it is the file: that they read again by themselves.
func (s *Store) RotateMaster(ctx context.Context, to *Master) error {
	if to != nil {
		return s.rewrap(ctx, *to)
	}
	m, ok := s.vault.masterKey().AEAD.(*masterFile)
	if !ok {
		m = &masterFile{dir: s.dir, steps: s.steps}
		if err := m.make(); err != nil {
			return err
		}
		if _, err := m.read(); err != nil {
			return err
		}
		return s.rewrap(ctx, Master{masterFileName, m})
	}
	old, err := m.read()
	if err != nil {
		return err
	}
	both, only, err := succeed(old)
	if err != nil {
		return err
	}
	// The file has both until all is wrapped by the new one: a crash in between costs nothing.
	if err := m.replace(both); err != nil {
		return err
	}
	if err := s.rewrap(ctx, s.vault.masterKey()); err != nil {
		return err
	}
	return m.replace(only)
}

// succeed returns keys with a new one in front, and that one alone.
func succeed(old *keyset.Handle) (both, only *keyset.Handle, err error) {
	m := keyset.NewManagerFromHandle(old)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err == nil {
		both, err = m.Handle()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	for _, k := range old.KeysetInfo().GetKeyInfo() {
		if err := m.Delete(k.GetKeyId()); err != nil {
			return nil, nil, fmt.Errorf("make a key: %w", err)
		}
	}
	only, err = m.Handle()
	return both, only, err
}

// rewrap wraps all keys by another master key, all or none.
func (s *Store) rewrap(ctx context.Context, to Master) error {
	if err := s.beginLogs(ctx); err != nil {
		return err
	}
	for {
		before, err := s.wrappedKeys(ctx, view{s.db}, "")
		if err != nil {
			return err
		}
		after := slices.Clone(before) // a KMS is asked before the transaction
		for i, w := range before {
			key, err := s.vault.unwrap(w.place, w.key)
			if err != nil {
				return err
			}
			if after[i].key, err = to.wrap(w.place, key); err != nil {
				return err
			}
			if w.table == "audit_head" { // to be at hand while the master key is neither the one nor the other
				if _, err := s.Org(w.org).signer(w.key); err != nil {
					return err
				}
			}
		}
		err = s.db.update(ctx, "rotate master key", func(t *tx) error { return s.saveWrapped(ctx, t, before, after, to.Name) })
		if !errors.Is(err, ErrStale) { // else keys were changed meanwhile
			if err != nil {
				return err
			}
			s.vault.mu.Lock()
			s.vault.master = to
			s.vault.mu.Unlock()
			return nil
		}
	}
}

// beginLogs begins the audit logs that have no entry yet: a signing key that is made while the
// master key changes would be wrapped by the old one.
func (s *Store) beginLogs(ctx context.Context) error {
	orgs, err := s.Orgs(ctx)
	if err != nil {
		return err
	}
	for _, o := range orgs {
		err := s.db.update(ctx, "begin audit log", func(t *tx) error {
			_, err := s.Org(o.ID).auditHead(ctx, t)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) saveWrapped(ctx context.Context, t *tx, before, after []wrapped, master string) error {
	now, err := s.wrappedKeys(ctx, t, t.d.rowLock)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(now, before, func(a, b wrapped) bool { return a.place == b.place && bytes.Equal(a.key, b.key) }) {
		return ErrStale
	}
	for _, w := range after {
		if _, err := t.exec(ctx, sealedColumn{table: w.table, column: w.column}.sql("update TABLE set COLUMN = $2 where org_id = $1"), w.org, w.key); err != nil {
			return err
		}
	}
	if _, err := t.exec(ctx, "update data_key set master = $1, version = version + 1", master); err != nil {
		return err
	}
	for _, w := range after {
		if w.table == "data_key" {
			e := crm.AuditEntry{Action: "keys.rotate-master", Detail: "master key: another in the same place, " + master}
			if old := s.vault.masterKey().Name; old != master {
				e.Detail = "master key: " + old + " → " + master
			}
			if err := s.Org(w.org).audit(ctx, t, e); err != nil {
				return err
			}
		}
	}
	return nil
}
