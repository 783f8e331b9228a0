package store_test

import (
	"errors"
	"testing"
	"time"

	"postern/crm"
	"postern/store"
	"postern/store/storetest"
)

func TestShares(t *testing.T) {
	clock := noon
	storetest.EachDB(t, store.Options{Now: func() time.Time { return clock }}, func(t *testing.T, db *storetest.DB) {
		clock = noon
		ctx, org := crm.WithActor(t.Context(), "Ann"), db.Org(1)
		token, made, err := org.NewShare(ctx, "ExchangeSE", "", time.Hour)
		if err != nil || len(token) < 26 {
			t.Fatalf("token %q, %v", token, err)
		}
		if got, err := org.Share(ctx, token); err != nil || got.ID != made.ID || got.Version != "ExchangeSE" || got.By != "Ann" || !got.Expires.Equal(noon.Add(time.Hour)) {
			t.Errorf("the link: %+v, %v", got, err)
		}
		if where := stands(t, db, token); where != "" {
			t.Errorf("the token stands in %s", where)
		}
		gone := func(what string, org *store.Org, token string) {
			t.Helper()
			if _, err := org.Share(ctx, token); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		gone("another token", org, token[1:]+"A")
		gone("no token", org, "")
		gone("another organization", db.Org(2), token)
		second, revoked, err := org.NewShare(ctx, "Exchange2016", "", time.Hour)
		if err != nil || revoked.ID == made.ID {
			t.Fatal(revoked, err)
		}
		if err := org.RevokeShare(ctx, revoked.ID); err != nil {
			t.Error(err)
		}
		gone("a revoked link", org, second)
		if err := org.RevokeShare(ctx, revoked.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("revoked again: %v", err)
		}
		if list, err := org.Shares(ctx); err != nil || len(list) != 1 || list[0].ID != made.ID {
			t.Errorf("links that hold: %+v, %v", list, err)
		}
		clock = noon.Add(time.Hour)
		gone("an expired link", org, token)
		if list := append(audited(t, db, 1, "share.make"), audited(t, db, 1, "share.revoke")...); len(list) != 3 || !list[0].Widens || list[2].Widens || list[2].Subject != "link 2" {
			t.Errorf("audit log: %+v", list)
		}
	})
}
