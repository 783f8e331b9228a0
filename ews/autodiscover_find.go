package ews

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"postern/crm"
	"postern/mail"
)

// services is a transport that looks up SRV records, too. Where it does not, they are left
// out.
type services interface {
	Services(ctx context.Context, service, proto, domain string) ([]*net.SRV, error)
}

// discover finds the server of a mailbox and tells each hop. It is crm.Connector's Discover.
func discover(ctx context.Context, box mail.Address, s crm.Settings, t crm.Transport, tell func(crm.Finding)) (string, error) {
	account, err := t.Account(box)
	if err != nil {
		return "", crm.AsFault(err)
	}
	search := &search{
		mailbox: string(box), account: !account.Empty() || s.Scheme == crm.ClientTLS,
		config:   func(host string) Config { return searchConfig(s, t, account, host) },
		services: func(context.Context, string, string, string) ([]*net.SRV, error) { return nil, nil },
		explain: func(host string, err error) string {
			f := judge{version: s.Version, login: account.Login, host: host}.fault(err, crm.OrgScope)
			return f.Message + " (" + f.Code + ")"
		},
		tell: func(h hop) { tell(h.finding()) },
	}
	if u, err := Endpoint(s.Server); err == nil {
		if search.server = hostOf(u); u.Scheme == "https" {
			search.place = u.Host
		}
	}
	if r, ok := t.(services); ok {
		search.services = r.Services
	}
	found, err := search.run(ctx)
	if unconfirmed, ok := errors.AsType[*errUnconfirmed](err); ok {
		return unconfirmed.host, search.fault(err)
	}
	if err != nil {
		return "", search.fault(err)
	}
	return found.String(), nil
}

// searchConfig is that of a client of one host.
func searchConfig(s crm.Settings, t crm.Transport, account crm.Account, host string) Config {
	s.Server = host // whose tickets are asked for
	cfg := config(s, t, account)
	cfg.TLS = t.TLS(host)
	cfg.Observe = func(c Call) {
		a := access(s, account.Login, c)
		a.Host = host
		t.Record(a)
	}
	cfg.Admit = func(ctx context.Context, call Call) (func(...error), error) {
		done, err := t.Admit(ctx, crm.Request{Operation: call.Operation, Mailbox: mail.Address(call.Mailbox)})
		if err != nil {
			return nil, err
		}
		// What places say that may be anybody's web server is not the Exchange server's word.
		return func(...error) { done(nil) }, nil
	}
	return cfg
}

// hopCode is the code of a finding that is an ordinary hop.
const hopCode = "autodiscover-hop"

// finding is a hop in our words.
func (h *hop) finding() crm.Finding {
	f := crm.Finding{Code: hopCode, Step: h.what + " " + h.url, Took: h.took, For: crm.ForExchangeAdmin}
	told := []string{h.answer, h.decision}
	if h.peer != "" {
		told = append(told, "at "+h.peer)
	}
	if h.what != "SRV record" {
		told = append(told, map[bool]string{true: "credentials were sent", false: "no credentials were sent"}[h.signed])
	}
	f.Detail = strings.Join(told, "; ")
	switch {
	case h.against:
		f.OK, f.Warn = true, true
		f.Fault = &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: "autodiscover-refused",
			Message: f.Detail, Advice: "Nothing to do when this is not your server; else see what the last step says."}
	case h.decision == "found", h.decision == "followed":
		f.OK = true
	default:
		f.Skip = true
	}
	return f
}

// fault says how a search ended that found nothing.
func (s *search) fault(err error) *crm.Fault {
	domain := s.mailbox[strings.LastIndexByte(s.mailbox, '@')+1:]
	f := &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Err: err, Code: "autodiscover-nothing",
		Message: fmt.Sprintf("What %s publishes leads to no Exchange server.", domain),
		Advice:  "Enter the server by hand. Exchange shows its address by: Get-WebServicesVirtualDirectory | Format-List Server, InternalUrl, ExternalUrl"}
	if s.refusals > 0 {
		f.Message = fmt.Sprintf("What %s publishes leads to no Exchange server that takes the log-on; %d refused it.", domain, s.refusals)
	}
	unconfirmed, ok := errors.AsType[*errUnconfirmed](err)
	switch {
	case ok:
		f.Code = "autodiscover-confirm"
		f.Message = fmt.Sprintf("Autodiscover leads to %s, which is not known to be yours. No credentials were sent there.", unconfirmed.host)
		f.Advice = fmt.Sprintf("If %[1]s is your Exchange server, confirm it: press Confirm %[1]s, or run postern autodiscover %[2]s --confirm %[1]s --password-file -.", unconfirmed.host, s.mailbox)
	case errors.Is(err, errRedirects):
		f.Code = "autodiscover-loop"
		f.Message = fmt.Sprintf("Autodiscover of %s redirects more than %d times.", domain, maxRedirects)
	case !errors.Is(err, errNotPublished):
		return judge{}.fault(err, crm.OrgScope)
	}
	return f
}
