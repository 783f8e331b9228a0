package sim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"postern/ews"
)

// TestAccessFromOutside drives all that concerns access from another process.
func TestAccessFromOutside(t *testing.T) {
	x := newExchange(t, Options{})
	tell := func(path, body string) int {
		status, _ := tellServer(t, x, "POST", path, body)
		return status
	}
	c := asUser(t, x, ann)
	c.agent = "Acme-CRM-Sync/1.0"
	it := deliver(t, x, plain(1))
	delegate := asSelf(t, x, "svc")
	in := &ews.GetFolder{Shape: ews.FolderShape{Base: ews.DefaultShape}, IDs: []ews.FolderID{inMailbox(Inbox, ann)}}
	for _, tt := range []struct {
		path, body string
		c          *caller
		op         ews.Operation
		want       string
	}{
		{"/govern", `{"policy": "EnforceAllowList", "programs": ["Other/*"]}`, c, getFolder(), "403"},
		{"/govern", `{"policy": "EnforceAllowList", "programs": ["Acme-*"]}`, c, getFolder(), "NoError"},
		{"/govern", `{}`, c, getFolder(), "NoError"},
		{"/account", `{"login": "svc", "password": "` + password + `", "no_role": true}`, delegate, in, "ErrorAccessDenied"},
		{"/share", `{"mailbox": "ann@company.example", "delegate": "svc", "level": "Reviewer", "folders": ["inbox"]}`, delegate, in, "NoError"},
		{"/share", `{"mailbox": "ann@company.example", "delegate": "svc", "level": "None", "folders": ["inbox"]}`, delegate, in, "ErrorAccessDenied"},
		{"/group", `{"address": "crm@company.example", "members": ["bob@company.example"]}`, c, &ews.ExpandDL{Group: ews.Mailbox{EmailAddress: "crm"}}, "NoError"},
		{"/account", `{"login": "` + login + `", "password": "` + password + `", "groups": ["crm@company.example"]}`, c, getFolder(), "ErrorImpersonateUserDenied"},
		{"/group", `{"address": "crm@company.example", "members": ["ann@company.example"]}`, c, getFolder(), "NoError"},
		{"/group", `{"address": "crm@company.example", "remove": true}`, c, getFolder(), "ErrorImpersonateUserDenied"},
		{"/account", `{"login": "` + login + `", "password": "` + password + `"}`, c, getFolder(), "NoError"},
	} {
		if status := tell(tt.path, tt.body); status != http.StatusOK {
			t.Errorf("%s %s: status %d", tt.path, tt.body, status)
		}
		if got := tt.c.verdict(tt.op); got != tt.want {
			t.Errorf("after %s %s: got %s, want %s", tt.path, tt.body, got, tt.want)
		}
	}
	tell("/discover", `{"for": "@company.example", "hops": -1}`)
	if w := enquire(t, x, "POST", pathPOX, login, askPOX(ann)); w.Code != 302 {
		t.Errorf("in a circle: %d", w.Code)
	}
	tell("/discover", `{"forget": true}`)
	if w := enquire(t, x, "POST", pathPOX, login, askPOX(ann)); w.Code != 200 {
		t.Errorf("the truth: %d", w.Code)
	}
	for _, bad := range [][2]string{
		{"/govern", `{"policy": "Maybe"}`}, {"/govern", `{"mailbox": "zoe@company.example"}`}, {"/govern", `{"ews": true}`},
		{"/share", `{"mailbox": "ann@company.example", "delegate": "svc", "level": "Friend"}`}, {"/share", `{"mailbox": "zoe@company.example"}`},
		{"/share", `{"mailbox": "ann@company.example", "delegate": "svc", "level": "Reviewer", "folders": ["cellar"]}`},
		{"/group", `{}`}, {"/account", `{}`}, {"/logon", `{"schemes": ["Digest"]}`}, {"/discover", `nonsense`},
	} {
		if status := tell(bad[0], bad[1]); status != http.StatusBadRequest {
			t.Errorf("%v: status %d", bad, status)
		}
	}
	testRecordsFromOutside(t, x, c, it)
}

func testRecordsFromOutside(t *testing.T, x *Exchange, c *caller, it *Item) {
	tellServer(t, x, "POST", "/forget", "")
	c.item(it, "item:Body")
	_, body := tellServer(t, x, "GET", "/requests", "")
	var records []RequestRecord
	for line := range bytes.Lines(body) {
		var r RequestRecord
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		records = append(records, r)
	}
	if len(records) != 1 {
		t.Fatalf("%d records: %s", len(records), body)
	}
	r := records[0]
	if r.Operation != "GetItem" || r.UserAgent != "Acme-CRM-Sync/1.0" || r.Source != "192.0.2.1" || r.Authorization != Basic || r.Scheme != Basic ||
		r.Impersonated != ann || r.Mailbox != ann || r.ServerID == "" || len(r.Content) != 1 ||
		len(r.Touched) != 1 || r.Touched[0].Role != Inbox || r.Touched[0].Class != "IPF.Note" || r.Touched[0].Mailbox != ann {
		t.Errorf("on record: %+v", r)
	}
}
