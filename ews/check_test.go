package ews

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/crm"
	"postern/mail"
)

// steps runs a check and returns each step with what came of it.
func steps(t *testing.T, s crm.Settings, boxes ...mail.Address) (list []string, all []crm.Finding) {
	t.Helper()
	Connector().Check(t.Context(), crm.Trial{Settings: s, Transport: direct{crm.Unpaced{}, s}, Boxes: boxes}, func(f crm.Finding) {
		all = append(all, f)
		switch {
		case f.Skip:
			list = append(list, f.Step+": skipped")
		case f.OK:
			list = append(list, f.Step+": ok")
		default:
			list = append(list, f.Step+": "+f.Fault.Code)
		}
	})
	return list, all
}

// TestCheckTellsEachStep: Ann may be impersonated, Bob may not.
func TestCheckTellsEachStep(t *testing.T) {
	s := newServer(t, func(r *Request) ([]Answer, *SOAPFault) {
		switch r.Impersonation.PrimarySmtpAddress {
		case "":
			return []Answer{&FoldersResult{Result: Failed("ErrorNonExistentMailbox", "the account has no mailbox")}}, nil
		case "bob@example.com":
			return nil, &SOAPFault{Code: "ErrorImpersonateUserDenied"}
		}
		return anything(r)
	})
	got, all := steps(t, s.settings(), "bob@example.com", "ann@example.com")
	want := []string{
		"Name and address: ok", "Connection and certificate: ok", "Exchange Web Services: ok", "Log-on: ok", "Version: ok",
		"Mailbox bob@example.com: ErrorImpersonateUserDenied", "Mailbox ann@example.com: ok",
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if f := all[5].Fault; !strings.Contains(f.Advice, `New-ManagementRoleAssignment`) || !strings.Contains(f.Advice, "svc") {
		t.Errorf("advice %q", f.Advice)
	}
	if all[6].Detail != "inbox 7, sent items 7" || !strings.Contains(all[4].Detail, "Exchange 2019 (15.2.1544)") {
		t.Errorf("details %q, %q", all[6].Detail, all[4].Detail)
	}
}

func TestCheckEndsWhereItFails(t *testing.T) {
	ok := []string{"Name and address: ok", "Connection and certificate: ok", "Exchange Web Services: ok"}
	tests := []struct {
		name   string
		change func(*server, *crm.Settings)
		want   []string
	}{
		{"malformed server", func(_ *server, c *crm.Settings) { c.Server = "http://mail.example.com" }, []string{"Name and address: server-malformed"}},
		{"nobody there", func(s *server, _ *crm.Settings) { s.Close() }, []string{ok[0], "Connection and certificate: port-closed"}},
		{"a web page", func(s *server, _ *crm.Settings) {
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				fmt.Fprint(w, "<html><body>hello</body></html>")
				return true
			}
		}, []string{ok[0], ok[1], "Exchange Web Services: not-exchange-web-page"}},
		{"a log-on page", func(s *server, _ *crm.Settings) {
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, "/owa", http.StatusFound)
				return true
			}
		}, []string{ok[0], ok[1], "Exchange Web Services: logon-page"}},
		{"nothing at this path", func(s *server, _ *crm.Settings) {
			s.before = func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true }
		}, []string{ok[0], ok[1], "Exchange Web Services: no-ews-here"}},
		{"wrong password", func(_ *server, c *crm.Settings) { c.Password = crm.NewSecret("wrong") }, append(ok[:3:3], "Log-on: password-refused")},
		{"too old", func(s *server, _ *crm.Settings) { s.server = ServerVersion{Major: new(6), Minor: new(5)} }, append(ok[:3:3], "Log-on: ok", "Version: version-unsupported")},
	}
	names := []string{"Name and address", "Connection and certificate", "Exchange Web Services", "Log-on", "Version", "Mailbox ann@example.com"}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, anything)
			settings := s.settings()
			tt.change(s, &settings)
			got, all := steps(t, settings, "ann@example.com")
			for _, name := range names[len(tt.want):] {
				tt.want = append(tt.want, name+": skipped")
			}
			if d := gocmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			for _, f := range all {
				if f.Fault != nil && (f.Fault.Message == "" || f.Fault.Advice == "") {
					t.Errorf("without words: %+v", f.Fault)
				}
			}
		})
	}
}

// TestCheckProposesTheVersionFound: an older server than chosen is told, and the test
// goes on.
func TestCheckProposesTheVersionFound(t *testing.T) {
	for _, tt := range []struct {
		found         ServerVersion
		chosen, title string // title "" when there is nothing to propose
	}{
		{ServerVersion{Major: new(8), Minor: new(1)}, "Exchange2010", "Exchange 2007 SP1 or later"},
		{ServerVersion{Major: new(14), Minor: new(3)}, "Exchange2013", "Exchange 2010 SP2 or SP3"},
		{ServerVersion{Major: new(15), Minor: new(0), MajorBuild: new(516)}, "Exchange2013_SP1", "Exchange 2013"},
		{ServerVersion{Major: new(15), Minor: new(0), MajorBuild: new(1497)}, "Exchange2016", "Exchange 2013 SP1 or later"},
		{ServerVersion{Major: new(15), Minor: new(2), MajorBuild: new(1544)}, "ExchangeSE", "Exchange 2019"},
		{ServerVersion{Major: new(15), Minor: new(2), MajorBuild: new(2562)}, "ExchangeSE", ""},
		{ServerVersion{Major: new(15), Minor: new(1)}, "Exchange2007_SP1", ""},
		{ServerVersion{Major: new(15), Minor: new(20)}, "Exchange2019", ""},
		{ServerVersion{Major: new(17), Minor: new(0)}, "ExchangeSE", ""},
	} {
		s := newServer(t, anything)
		s.server = tt.found
		settings := s.settings()
		settings.Version = tt.chosen
		got, all := steps(t, settings, "ann@example.com")
		want := "Version: ok"
		if tt.title != "" {
			want = "Version: version-older"
			if all[4].Fault.Advice != "Choose "+tt.title+"." {
				t.Errorf("%v: advice %q, want %s", tt.found, all[4].Fault.Advice, tt.title)
			}
		}
		if got[4] != want || got[5] != "Mailbox ann@example.com: ok" {
			t.Errorf("%v: %v", tt.found, got[4:])
		}
	}
}
