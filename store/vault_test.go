package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"postern/crm"
	"postern/mail"
	"postern/store"
	"postern/store/storetest"
)

// furnished gives an organization a value in every column that holds sealed ones.
func furnished(t *testing.T, org *store.Org) {
	t.Helper()
	word := crm.NewSecret
	s := settings("acme.example")
	s.Model, s.Password, s.Keytab, s.ClientKey = crm.ByOwnSignIn, word("pass word"), word("key tab"), word("client key")
	s.Others = []crm.Account{{Login: "second", Password: word("second word"), Keytab: word("second tab")}}
	if err := org.SaveSettings(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, err := org.SaveUsers(t.Context(), []crm.User{{Name: "Ann", Addresses: []mail.Address{ann}, Active: true}}); err != nil {
		t.Fatal(err)
	}
	user, _, err := org.SignIn(t.Context(), ann)
	if err != nil {
		t.Fatal(err)
	}
	if err := org.SaveSignIn(t.Context(), user.ID, crm.Account{Login: "ann", Password: word("own word")}); err != nil {
		t.Fatal(err)
	}
	if err := org.SaveEgress(t.Context(), crm.Egress{Proxy: "http://proxy.example:3128", ProxyLogin: "us", ProxyPassword: word("proxy word")}); err != nil {
		t.Fatal(err)
	}
	waiting(t, org)
	if k := keysOf(t, org); k.Values != store.SealedColumns {
		t.Fatalf("%d values are sealed in %d columns: this function must fill them all", k.Values, store.SealedColumns)
	}
}

// opens tells whether what furnished sealed can be read; "" or the code of the fault.
func opens(t *testing.T, org *store.Org) string {
	t.Helper()
	s, _, err := org.Settings(t.Context())
	e, err2 := org.Egress(t.Context())
	own, err3 := org.SignIns(t.Context())
	if err := errors.Join(err, err2, err3); err != nil {
		return code(err)
	}
	got := []string{s.Password.Reveal(), s.Keytab.Reveal(), s.ClientKey.Reveal(), e.ProxyPassword.Reveal(), own[ann].Password.Reveal()}
	for _, a := range s.Others {
		got = append(got, a.Password.Reveal(), a.Keytab.Reveal())
	}
	if want := []string{"pass word", "key tab", "client key", "proxy word", "own word", "second word", "second tab"}; !slices.Equal(got, want) {
		t.Errorf("what was sealed is now %q", got)
	}
	return ""
}

// sealedBy counts the values by the id of the key that sealed them, in all columns of all
// tables, whatever they are for: a column that rotation has forgotten is found.
func sealedBy(t *testing.T, db *storetest.DB, keys ...uint32) map[uint32]int {
	t.Helper()
	found := map[uint32]int{}
	for table, columns := range columnsOf(t, db) {
		for _, column := range columns {
			rows, err := db.SQL.QueryContext(t.Context(), fmt.Sprintf("select %s from %s where %[1]s is not null", column, table))
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var v []byte
				if err := rows.Scan(&v); err != nil {
					t.Fatal(err)
				}
				for _, key := range keys {
					if bytes.HasPrefix(v, binary.BigEndian.AppendUint32([]byte{1}, key)) {
						found[key]++
					}
				}
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return found
}

// columnsOf returns the columns of bytes of each table.
func columnsOf(t *testing.T, db *storetest.DB) map[string][]string {
	t.Helper()
	query := "select m.name, c.name from sqlite_schema m, pragma_table_info(m.name) c where m.type = 'table' and lower(c.type) = 'blob'"
	if db.Options.Postgres != "" {
		query = "select table_name, column_name from information_schema.columns where table_schema = 'public' and data_type = 'bytea'"
	}
	rows, err := db.SQL.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	columns := map[string][]string{}
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			t.Fatal(err)
		}
		columns[table] = append(columns[table], column)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	return columns
}

func keysOf(t *testing.T, org *store.Org) store.KeyStatus {
	t.Helper()
	k, err := org.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// secondOrg adds an organization.
func secondOrg(t *testing.T, db *storetest.DB) *store.Org {
	t.Helper()
	if err := db.SaveDeployment(t.Context(), crm.Deployment{Mode: crm.MultiTenant}); err != nil {
		t.Fatal(err)
	}
	o, err := db.AddOrg(t.Context(), "second")
	if err != nil {
		t.Fatal(err)
	}
	return db.Org(o.ID)
}

// A sealed value opens in its place alone, and one that was touched opens nowhere.
func TestSwappedCiphertext(t *testing.T) {
	tests := []struct{ name, code, statement string }{
		{"changed", "sealed-value-moved", "update connection set password = substr(password, 1, 5) || substr(hash_key, 6, length(password) - 5) from org where org.id = 1 and connection.org_id = 1"},
		{"cut off", "sealed-value-moved", "update connection set password = substr(password, 1, length(password) - 1)"},
		{"from another column", "sealed-value-moved", "update connection set password = (select proxy_password from egress where org_id = 1) where org_id = 1"},
		{"from another table's row", "sealed-value-moved", "update egress set proxy_password = (select hash_key from org where id = 1) where org_id = 1"},
		{"from another organization", "key-wrong", "update connection set password = (select password from connection where org_id = 2) where org_id = 1"},
		{"another organization's keys", "key-wrong", "update data_key set keyset = (select keyset from data_key where org_id = 2), version = version + 1 where org_id = 1"},
		{"another organization's keys and value", "key-wrong", "update data_key set keyset = (select keyset from data_key where org_id = 2), version = version + 1 where org_id = 1; update connection set password = (select password from connection where org_id = 2) where org_id = 1"},
	}
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		first, second := db.Org(1), secondOrg(t, db)
		furnished(t, first)
		furnished(t, second)
		tables := []string{"connection", "egress", "org", "data_key"}
		for _, table := range tables {
			db.Exec(t, "create table kept_"+table+" as select * from "+table)
		}
		for _, c := range tests {
			t.Run(c.name, func(t *testing.T) {
				for statement := range strings.SplitSeq(c.statement, ";") {
					if db.Exec(t, statement) == 0 {
						t.Fatal("nothing was touched")
					}
				}
				if got := opens(t, first); got != c.code {
					t.Errorf("it opens with %q, want %q", got, c.code)
				}
				db.Exec(t, "update connection set password = (select password from kept_connection k where k.id = connection.id)")
				db.Exec(t, "update egress set proxy_password = (select proxy_password from kept_egress k where k.org_id = egress.org_id)")
				db.Exec(t, "update data_key set keyset = (select keyset from kept_data_key k where k.org_id = data_key.org_id), version = version + 1")
				if got := opens(t, first) + opens(t, second); got != "" {
					t.Fatalf("after all was put back: %s", got)
				}
			})
		}
	})
}

// While keys are rotated, others read and write as ever; afterwards nothing is sealed by
// an old key, and the old key is gone.
func TestRotateKeysWhileRunning(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		furnished(t, db.Org(1))
		other, err := store.Open(t.Context(), db.Options)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		ctx, stop := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		for _, st := range []*store.Store{db.Store, other} {
			busy.Go(func() {
				for ctx.Err() == nil {
					furnished(t, st.Org(1))
					if got := opens(t, st.Org(1)); got != "" {
						t.Errorf("meanwhile: %s", got)
						return
					}
				}
			})
		}
		var keys []uint32
		for range 5 {
			keys = append(keys, keysOf(t, db.Org(1)).Key)
			if _, err := db.Org(1).RotateKeys(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		busy.Wait()
		now := keysOf(t, db.Org(1))
		if slices.Contains(keys, now.Key) || len(now.Older) > 0 || now.Values != store.SealedColumns || now.Left != 0 {
			t.Errorf("after five rotations of %v: %+v", keys, now)
		}
		if found := sealedBy(t, db, append(keys, now.Key)...); len(found) != 1 || found[now.Key] != now.Values {
			t.Errorf("values by key: %v, want %d by %d", found, now.Values, now.Key)
		}
		if got := opens(t, other.Org(1)); got != "" {
			t.Errorf("the other process: %s", got)
		}
	})
}

// A rotation that is cut short leaves everything readable, and the next one ends it.
func TestRotationIsCutShort(t *testing.T) {
	for _, at := range []string{"seal anew/update org", "seal anew/update egress", "commit before: seal anew", "drop old keys/update data_key", "commit after: drop old keys"} {
		t.Run(at, func(t *testing.T) {
			cut := errors.New("cut")
			var armed bool
			db := storetest.OpenDB(t, store.Options{Step: func(step string) error {
				if armed && step == at {
					return cut
				}
				return nil
			}})
			org := db.Org(1)
			furnished(t, org)
			old := keysOf(t, org).Key
			armed = true
			if _, err := org.RotateKeys(t.Context()); !errors.Is(err, cut) {
				t.Fatalf("it was not cut short: %v", err)
			}
			armed = false
			if got := opens(t, org); got != "" {
				t.Errorf("then: %s", got)
			}
			between := keysOf(t, org)
			if between.Key == old {
				t.Errorf("no key was added: %+v", between)
			}
			if _, err := org.RotateKeys(t.Context()); err != nil {
				t.Fatal(err)
			}
			now := keysOf(t, org)
			if len(now.Older) > 0 || now.Left > 0 || len(between.Older) > 0 && now.Key != between.Key || opens(t, org) != "" {
				t.Errorf("after the next one: %+v, before %+v", now, between)
			}
		})
	}
}

func newMaster(t *testing.T) *store.Master {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	m, err := store.NewMaster("environment", base64.StdEncoding.EncodeToString(key)+"\n")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The master key can be changed, and kept elsewhere, without touching what is sealed.
func TestRotateMaster(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		furnished(t, db.Org(1))
		furnished(t, secondOrg(t, db))
		data := keysOf(t, db.Org(1)).Key
		keyFile := filepath.Join(db.Options.Dir, "key")
		before, err := os.ReadFile(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		running, err := store.Open(t.Context(), db.Options)
		if err != nil {
			t.Fatal(err)
		}
		defer running.Close()
		if err := db.RotateMaster(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if after, err := os.ReadFile(keyFile); err != nil || bytes.Equal(before, after) || len(after) > len(before)+10 { // one key, as before
			t.Errorf("the file holds %d bytes after %d, %v", len(after), len(before), err)
		}
		furnished(t, running.Org(1)) // it notices
		if got := opens(t, running.Org(1)) + opens(t, running.Org(2)); got != "" || keysOf(t, db.Org(1)).Key != data {
			t.Errorf("after the file's key was rotated: %s", got)
		}

		master := newMaster(t)
		if err := db.RotateMaster(t.Context(), master); err != nil {
			t.Fatal(err)
		}
		if got := opens(t, db.Org(1)) + opens(t, db.Org(2)); got != "" {
			t.Errorf("with the new master key: %s", got)
		}
		if v := verdict(t, db.Org(1)); !v.OK() || v.Checkpoint != v.Entries {
			t.Errorf("audit log: %+v", v)
		}
		if _, err := store.Open(t.Context(), db.Options); code(err) != "key-wrong" {
			t.Errorf("opening with the file, which is no longer it: %v", err)
		}
		o := db.Options
		o.Master = newMaster(t)
		if _, err := store.Open(t.Context(), o); code(err) != "key-wrong" {
			t.Errorf("opening with another one: %v", err)
		}
		o.Master = master
		if err := os.Remove(keyFile); err != nil { // not needed any more
			t.Fatal(err)
		}
		again, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if got := opens(t, again.Org(2)); got != "" || keysOf(t, again.Org(2)).Master != "environment" {
			t.Errorf("opened anew: %s", got)
		}
		if err := again.RotateMaster(t.Context(), nil); err != nil { // back into a file
			t.Fatal(err)
		}
		if st, err := store.Open(t.Context(), db.Options); err != nil || opens(t, st.Org(1)) != "" || st.Close() != nil {
			t.Errorf("back in the file: %v", err)
		}
	})
}

func TestMalformedMasterKeyIsRefused(t *testing.T) {
	for _, text := range []string{"", "no base64!", "c2hvcnQ=", strings.Repeat("A", 44)} {
		if _, err := store.NewMaster("environment", text); code(err) != "master-key-malformed" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Destroyed keys leave nothing that could be opened, in the file either, and say so; other
// organizations go on, and the audit log remembers.
func TestShredKeys(t *testing.T) {
	storetest.EachDB(t, store.Options{}, func(t *testing.T, db *storetest.DB) {
		first, second := db.Org(1), secondOrg(t, db)
		furnished(t, first)
		furnished(t, second)
		var wrapped []byte
		if err := db.SQL.QueryRow("select keyset from data_key where org_id = 1").Scan(&wrapped); err != nil {
			t.Fatal(err)
		}
		if db.Options.Postgres == "" && !inFiles(t, db.Options.Dir, wrapped) {
			t.Fatal("the search of this test finds nothing")
		}
		for range 2 { // the second changes nothing
			if err := first.ShredKeys(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if db.Options.Postgres == "" && inFiles(t, db.Options.Dir, wrapped) {
			t.Error("the wrapped keys still stand in a file")
		}
		if got := opens(t, first); got != "key-shredded" {
			t.Errorf("afterwards: %q", got)
		}
		if err := first.SaveSettings(t.Context(), settings("acme.example")); code(err) != "key-shredded" {
			t.Errorf("saving: %v", err)
		}
		if k := keysOf(t, first); k.Shredded.IsZero() || k.Key != 0 || k.Values != store.SealedColumns {
			t.Errorf("status: %+v", k)
		}
		if got := opens(t, second); got != "" {
			t.Errorf("the other organization: %s", got)
		}
		again, err := store.Open(t.Context(), db.Options)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if got := opens(t, again.Org(1)); got != "key-shredded" {
			t.Errorf("opened anew: %q", got)
		}
		if v := verdict(t, again.Org(1)); !v.OK() || v.Checkpoint != v.Entries {
			t.Errorf("audit log: %+v", v)
		}
	})
}

// inFiles tells whether a file of the data folder holds these bytes.
func inFiles(t *testing.T, dir string, want []byte) bool {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "postern.db*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range list {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, want) {
			return true
		}
	}
	return false
}
