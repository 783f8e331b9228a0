package ews

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/crm"
	"postern/mail"
)

// remedied tells what is missing of a red finding: a cause, whom it concerns, what to do.
func remedied(f crm.Finding) bool {
	return f.Fault != nil && f.For != "" && f.Fix != "" && f.Fault.Message != "" && f.Detail == f.Fault.Message &&
		f.Fault.Advice != "" && !strings.HasPrefix(f.Fault.Advice, "Nothing to do")
}

// TestCheckHasARemedyForWhatIsTriedAgain: that the engine tries again by itself is no remedy
// for somebody who looks for the cause.
func TestCheckHasARemedyForWhatIsTriedAgain(t *testing.T) {
	synced := 0
	for _, tt := range []struct {
		name   string
		answer func(r *Request) ([]Answer, *SOAPFault)
		step   string
		code   string
		who    crm.Audience
		cause  string // in its text
		fix    string // in what is to be copied
	}{
		{"torn", func(r *Request) ([]Answer, *SOAPFault) {
			if _, ok := r.Op.(*SyncFolderItems); ok {
				panic(http.ErrAbortHandler)
			}
			return whole(r)
		}, "Synchronization", "torn-answer", crm.ForOperator, "proxy or load balancer in between ended it", "Get-WinEvent"},
		{"state lost", func(r *Request) ([]Answer, *SOAPFault) {
			if op, ok := r.Op.(*SyncFolderItems); ok && op.SyncState != "" {
				return []Answer{&SyncFolderItemsResult{Result: Failed("ErrorInvalidSyncStateData", "")}}, nil
			}
			return whole(r)
		}, "Synchronization", "ErrorInvalidSyncStateData", crm.ForExchangeAdmin, "servers behind a load balancer differ", "Get-ExchangeServer"},
		{"busy", func(r *Request) ([]Answer, *SOAPFault) {
			if _, ok := r.Op.(*SyncFolderItems); ok {
				synced++
				return nil, &SOAPFault{Code: "ErrorServerBusy"}
			}
			return whole(r)
		}, "Synchronization", "ErrorServerBusy", crm.ForExchangeAdmin, "busy", "Get-ThrottlingPolicyAssociation -Identity 'svc'"},
		{"a passing error", func(r *Request) ([]Answer, *SOAPFault) {
			if _, ok := r.Op.(*SyncFolderHierarchy); !ok || r.Impersonation.PrimarySmtpAddress != "ann@example.com" {
				return whole(r)
			}
			return nil, &SOAPFault{Code: "ErrorInternalServerTransientError"}
		}, "Mailbox ann@example.com", "ErrorInternalServerTransientError", crm.ForExchangeAdmin, "passing error", "Test-ServiceHealth"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, tt.answer)
			_, all := steps(t, crm.Trial{Settings: s.settings(), Boxes: []mail.Address{"ann@example.com"}})
			f := find(t, all, tt.step)
			if !remedied(f) || f.Fault.Code != tt.code || f.For != tt.who || !strings.Contains(f.Detail, tt.cause) || !strings.Contains(f.Fix, tt.fix) {
				t.Errorf("%+v\n%+v", f, f.Fault)
			}
		})
	}
	if synced == 0 {
		t.Error("nothing was answered as busy")
	}
}

// TestSilentStreamIsHeldBack: whoever subscribed and hears nothing looks at what stands in
// front of Exchange.
func TestSilentStreamIsHeldBack(t *testing.T) {
	ended := make(chan struct{})
	defer close(ended)
	var reached atomic.Bool
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		switch op := r.Op.(type) {
		case *Subscribe:
			if op.Streaming {
				return []Answer{&SubscribeResult{Result: Succeeded(), SubscriptionID: "S1"}}, nil
			}
		case *GetStreamingEvents:
			reached.Store(true)
			<-ended
		}
		return whole(r)
	})
	var told crm.Finding
	for patience := 200 * time.Millisecond; !reached.Load() && patience < time.Minute; patience *= 2 {
		trial := crm.Trial{Settings: s.settings(), Boxes: []mail.Address{"ann@example.com"}}
		trial.Transport = direct{crm.Unpaced{}, trial.Settings}
		(&check{Trial: trial, patience: patience, tell: func(f crm.Finding) {
			if f.Code == "notifications" {
				told = f
			}
		}}).run(t.Context())
	}
	if !remedied(told) || told.For != crm.ForExchangeAdmin || !strings.Contains(told.Detail, "proxy or load balancer in front of Exchange holds the answer back") || !strings.Contains(told.Fix, "proxy_buffering off") {
		t.Errorf("%+v\n%+v", told, told.Fault)
	}
}

// TestSilenceIsAnotherThingInEachStep: a firewall before anything was sent, the server after
// it was.
func TestSilenceIsAnotherThingInEachStep(t *testing.T) {
	ended := make(chan struct{})
	defer close(ended)
	s := newServer(t, nil)
	s.before = func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-ended:
		}
		return true
	}
	for _, tt := range []struct {
		step       string
		who        crm.Audience
		cause, fix string
	}{
		{"notifications", crm.ForExchangeAdmin, "took the request and did not answer", "Test-ServiceHealth"},
		{"sync", crm.ForExchangeAdmin, "took the request and did not answer", "Restart-WebAppPool MSExchangeServicesAppPool"},
		{"endpoint", crm.ForExchangeAdmin, "took the request and did not answer", "Test-ServiceHealth"},
		{"connection", crm.ForOperator, "firewall that drops packets", "curl --verbose"},
	} {
		settings := s.settings()
		var told crm.Finding
		c := &check{Trial: crm.Trial{Settings: settings, Transport: direct{crm.Unpaced{}, settings}}, patience: 50 * time.Millisecond, tell: func(f crm.Finding) { told = f }}
		if _, err := c.name(t.Context()); err != nil {
			t.Fatal(err)
		}
		box := &crm.Mailbox{Address: "ann@example.com"}
		c.opened = []opened{{box, []crm.Folder{{ID: "F-inbox", Role: crm.Inbox, Kind: crm.Email}}}}
		for _, st := range c.steps() {
			if st.code != tt.step {
				continue
			}
			if st.code == "connection" { // to this machine one is always there at once
				st.try = c.endpoint
			}
			c.step(t.Context(), st)
		}
		c.src.Close()
		if !remedied(told) || told.Fault.Code != "timeout" || told.For != tt.who || !strings.Contains(told.Detail, tt.cause) || !strings.Contains(told.Fix, tt.fix) {
			t.Errorf("%s: %+v\n%+v", tt.step, told, told.Fault)
		}
	}
}

// TestNoCodeOfExchangeIsLeftToItself: whatever a server may answer to the check.
func TestNoCodeOfExchangeIsLeftToItself(t *testing.T) {
	settings := crm.Settings{Version: "ExchangeSE", Login: `ACME\svc`}
	c := &check{Trial: crm.Trial{Settings: settings, Transport: direct{crm.Unpaced{}, settings}}}
	waits := 0
	for code := range codes {
		f := crm.Finding{Code: "sync", For: crm.ForExchangeAdmin, Fault: c.judge().fault(&Error{Code: code}, crm.MailboxScope)}
		if f.Fault.Advice != itself {
			continue
		}
		waits++
		if c.prescribe(&f); f.Fault.Code != code || f.Fault.Advice == itself || f.Fix == "" {
			t.Errorf("%s: %+v", code, f.Fault)
		}
	}
	if waits == 0 {
		t.Error("no code is tried again by itself")
	}
}

// TestFilterPromisesNothingInForce: what is to be copied says of the policy what it is where
// it is in force, not that it is.
func TestFilterPromisesNothingInForce(t *testing.T) {
	settings := crm.Settings{UserAgent: "Acme/1"}
	c := &check{Trial: crm.Trial{Settings: settings, Transport: direct{crm.Unpaced{}, settings}}}
	if fix := c.filter(); !strings.Contains(fix, "# Where EwsApplicationAccessPolicy is EnforceAllowList: ") || strings.Contains(fix, "already") {
		t.Error(fix)
	}
}
