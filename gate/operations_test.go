package gate

import (
	"errors"
	"testing"

	"postern/crm"
)

// What is not in the list of operations does not leave, whoever asks for it.
func TestOnlyListedOperationsLeave(t *testing.T) {
	g := New(Config{Operations: []crm.Operation{{Name: "GetItem"}}})
	for name, want := range map[string]bool{"GetItem": true, "DeleteItem": false, "SendItem": false, "getitem": false, "": false} {
		_, err := g.Trial(crm.Settings{}, "").Admit(t.Context(), crm.Request{Operation: name})
		f, refused := errors.AsType[*crm.Fault](err)
		if want != (err == nil) || refused && (f.Code != "operation-not-allowed" || f.Verdict != crm.Refused) {
			t.Errorf("%q: %v, want it to leave: %v", name, err, want)
		}
	}
	if _, err := New(Config{}).Trial(crm.Settings{}, "").Admit(t.Context(), crm.Request{Operation: "GetItem"}); err != nil {
		t.Errorf("without a list: %v", err)
	}
}
