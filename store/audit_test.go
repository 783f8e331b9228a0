package store

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"postern/crm"
)

// Two processes that write into one chain at the same time leave one chain.
func TestAuditChainOfTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	ctx := crm.WithActor(context.Background(), "Ann <ann@acme.example>")
	var wg sync.WaitGroup
	for p := range 2 {
		st, err := Open(ctx, Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		wg.Go(func() {
			for i := range 20 {
				if err := st.Org(1).Audit(ctx, crm.AuditEntry{Action: "test", Subject: fmt.Sprint(p, i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	st, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	seqs, err := ids(ctx, view{st.db}, "select seq from audit where org_id = 1 order by seq")
	if err != nil {
		t.Fatal(err)
	}
	if len(seqs) != 40 || seqs[0] != 1 || seqs[39] != 40 {
		t.Errorf("entries %v, want 1 to 40", seqs)
	}
}
