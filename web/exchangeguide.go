package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"postern/crm"
	"postern/store"
)

// decideAction is how a decision stands in the audit log, which is where it is kept.
const decideAction = "guide.decide"

// A decision is one of those that are taken before Exchange is opened, in this order: for
// whom the installation is, from where it comes, under which name, and as whom.
type decision struct {
	Name, Title string
	Value       string // as it is now
	Says        string
	URL         string    // where it is changed; "" = by the operator, on the command line
	Was         string    // as it was decided
	By          string    // who decided; "" = nobody yet
	At          time.Time // when
	Open        bool      // it is the turn of this one: those before are decided
}

// Decided tells whether what holds is what was decided.
func (d *decision) Decided() bool { return d.By != "" && d.Was == d.Value }

// decisions are the four, with what was last decided about each.
func (s *server) decisions(ctx context.Context) ([]decision, error) {
	deployment, err := s.Org.Deployment(ctx)
	if err != nil {
		return nil, err
	}
	egress, err := s.Org.Egress(ctx)
	if err != nil {
		return nil, err
	}
	settings, _, err := s.Org.Settings(ctx)
	if err != nil {
		return nil, err
	}
	list := []decision{
		{Name: "deployment", Title: "Deployment", Value: deploymentValue(deployment), Says: "For whom this installation is. The operator decides, by postern deployment."},
		{Name: "addresses", Title: "Addresses", Value: egressValue(egress), Says: "From where requests come, so that the firewall lets in these alone.", URL: addressesPath},
		{Name: "user-agent", Title: "User-Agent", Value: cmp.Or(settings.UserAgent, crm.DefaultUserAgent), Says: "Under which name they come, so that Exchange can tell them from others.", URL: settingsPath},
		{Name: "model", Title: "Authentication", Value: modelValue(settings), Says: "As whom mailboxes are opened.", URL: settingsPath},
	}
	entries, _, err := s.Org.AuditLog(ctx, store.AuditQuery{Action: decideAction, Limit: 100})
	if err != nil {
		return nil, err
	}
	open := true
	for i := range list {
		d := &list[i]
		for _, e := range entries { // the latest comes first
			if e.Subject == d.Name {
				d.Was, d.By, d.At = e.Detail, e.Actor, e.At
				break
			}
		}
		d.Open = open && !d.Decided()
		open = open && d.Decided()
	}
	return list, nil
}

// decide records a decision, as it was shown, when its turn has come.
func (s *server) decide(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	list, err := s.decisions(r.Context())
	if err != nil {
		return err
	}
	for _, d := range list {
		if d.Name != r.PostForm.Get("name") {
			continue
		}
		if !d.Open || d.Value != r.PostForm.Get("value") {
			return s.showExchange(w, r, http.StatusConflict, exchangeData{Wrong: "This was changed meanwhile, or what comes before it is not decided yet: look at it again."})
		}
		if err := s.Org.Audit(r.Context(), crm.AuditEntry{Action: decideAction, Subject: d.Name, Detail: d.Value}); err != nil {
			return err
		}
		http.Redirect(w, r, exchangePath, http.StatusSeeOther)
		return nil
	}
	return errBadForm
}

func deploymentValue(d crm.Deployment) string {
	value := map[crm.DeploymentMode]string{crm.MultiTenant: "several organizations", crm.SingleTenant: "this organization alone",
		crm.OnPremises: "on premises: nothing is contacted but what is configured"}[d.Mode]
	if len(d.Ranges) > 0 {
		value += "; private addresses allowed: " + strings.Trim(fmt.Sprint(d.Ranges), "[]")
	}
	return value
}

func egressValue(e crm.Egress) string {
	var list []string
	for _, a := range e.Addresses {
		list = append(list, a.Local.String())
	}
	value := "no fixed address"
	if len(list) > 0 {
		value = strings.Join(list, ", ")
	}
	if e.Proxy != "" {
		value += " by the proxy " + e.Proxy
	}
	return value
}

func modelValue(s crm.Settings) string {
	value := s.Model.Words().Decision
	if s.Model != crm.ByOwnSignIn && s.Login != "" {
		value += ": " + s.Login
	}
	return value
}

// decisionJSON is a decision as the API has it.
type decisionJSON struct {
	Name    string     `json:"name"`
	Value   string     `json:"value"`
	Decided bool       `json:"decided"`
	By      string     `json:"by,omitempty"`
	At      *time.Time `json:"at,omitempty"`
}

func (d *decision) json() decisionJSON {
	j := decisionJSON{Name: d.Name, Value: d.Value, Decided: d.Decided(), By: d.By}
	if !d.At.IsZero() {
		j.At = &d.At
	}
	return j
}
