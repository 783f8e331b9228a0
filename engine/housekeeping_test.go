package engine_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"postern/crm"
	"postern/engine"
	"postern/store"
)

// Day by day what the access log has kept for long enough goes; the rest stays.
func TestAccessLogIsKeptForAsLongAsItIsToBe(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Open(t.Context(), store.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		org := st.Org(1)
		days, err := org.AccessRetention(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w := org.AccessWriter()
		for _, younger := range []time.Duration{-time.Hour, 12 * time.Hour, 36 * time.Hour} {
			w.Record(crm.Access{At: time.Now().AddDate(0, 0, -days).Add(younger), Operation: "GetItem", Status: 200})
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		nothing := crm.Connector{Source: func(crm.Settings, crm.Transport) (crm.Source, error) { return newExchange(), nil }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			engine.New(engine.Config{Org: org, Connector: nothing, Tick: time.Hour}).Run(ctx)
		}()
		for day, want := range []int{2, 1} {
			time.Sleep(time.Minute)
			list, _, err := org.AccessLog(t.Context(), store.AccessQuery{})
			if err != nil || len(list) != want {
				t.Errorf("on day %d there are %d requests, %v; want %d", day, len(list), err, want)
			}
			time.Sleep(24 * time.Hour)
		}
		cancel()
		<-done
	})
}
