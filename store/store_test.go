package store_test

import (
	"testing"

	"postern/store"
	"postern/store/storetest"
)

func TestOpen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, st *store.Store) {
		if _, err := st.Org(1).Counts(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
