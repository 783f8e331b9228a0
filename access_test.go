package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/crm"
	"postern/store"
)

// accessed makes a data folder whose access log has three requests of a day.
func accessed(t *testing.T) (data string) {
	t.Helper()
	data = t.TempDir()
	st, err := store.Open(t.Context(), store.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	w := st.Org(1).AccessWriter()
	for i := range 3 {
		w.Record(crm.Access{At: time.Date(2026, 11, 20+i, 12, 0, 0, 0, time.UTC), Mailbox: "ann@acme.example", Operation: []string{"GetItem", "GetFolder", "GetItem"}[i],
			UserAgent: "+Acme", Source: "192.0.2.7:50123", Status: 200, RequestID: fmt.Sprint("request-", i)})
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAccessCommands(t *testing.T) {
	data := accessed(t)
	for _, c := range []struct {
		args        string
		words, lack string
	}{
		{"access list", "request-0|request-1|request-2|192.0.2.7:50123", ""},
		{"access", "request-2", ""},
		{"access list --limit 1", "request-2", "request-1"},
		{"access list --operation GetFolder", "request-1", "request-0"},
		{"access list --from 2026-11-21 --to 2026-11-21", "request-1", "request-0|request-2"},
		{"access list --mailbox bob@acme.example", "TIME", "request"},
		{"access list --json --request request-2", `"client_request_id":"request-2"`, "request-1"},
		{"access list --csv --limit 1", "'+Acme", "request-1"},
		{"access summary", "GetItem|+Acme|192.0.2.7 ", "50123"},
		{"access summary --json", `"operation":"GetItem","requests":2`, ""},
		{"access retention", "90 days", ""},
		{"access retention 30", "30 days", ""},
	} {
		code, out, errOut := imported(t, data, strings.Fields(c.args)...)
		if code != 0 {
			t.Errorf("%s: exit %d: %s", c.args, code, errOut)
		}
		for word := range strings.SplitSeq(c.words, "|") {
			if !strings.Contains(out, word) {
				t.Errorf("%s lacks %q:\n%s", c.args, word, out)
			}
		}
		for word := range strings.SplitSeq(c.lack, "|") {
			if word != "" && strings.Contains(out, word) {
				t.Errorf("%s has %q:\n%s", c.args, word, out)
			}
		}
	}
	for args, word := range map[string]string{
		"access list --from yesterday": "bad-argument", "access list --mailbox ann": "bad-argument", "access retention 0": "retention-out-of-bounds", "access list --result fine": "--result",
	} {
		if code, _, errOut := imported(t, data, strings.Fields(args)...); code == 0 || !strings.Contains(errOut, word) {
			t.Errorf("%s: exit %d: %s", args, code, errOut)
		}
	}
}

func TestAccessExportCommand(t *testing.T) {
	data := accessed(t)
	_, out, _ := imported(t, data, "access", "export")
	if table, err := csv.NewReader(strings.NewReader(out)).ReadAll(); err != nil || len(table) != 4 {
		t.Errorf("%v, %v", table, err)
	}
	_, out, _ = imported(t, data, "access", "export", "--format", "json", "--operation", "GetItem")
	var list []map[string]any
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
}
