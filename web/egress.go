package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"postern/crm"
)

// addressesPath is the page about where requests to Exchange leave from; wellKnown is where
// firewalls read the same without signing in.
const (
	addressesPath = "/access/addresses"
	wellKnown     = "/.well-known/postern-egress"
)

func (s *server) egressRoutes(on func(pattern string, who role, do action)) {
	on("GET "+wellKnown+".json", anybody, s.publishedJSON)
	on("GET "+wellKnown+".csv", anybody, s.publishedText("text/csv", crm.Publication.CSV))
	on("GET "+wellKnown+".txt", anybody, s.publishedText("text/plain", crm.Publication.List))
	on("GET "+addressesPath, administrator, s.addresses)
	on("POST "+addressesPath, administrator, s.saveAddresses)
	on("GET "+addressesPath+"/{rule}", administrator, s.firewallRule)
	on("GET /api"+addressesPath, administrator, s.apiAddresses)
	on("PUT /api"+addressesPath, administrator, s.apiSaveAddresses)
}

// publication is what firewalls are told now.
func (s *server) publication(ctx context.Context) (crm.Publication, error) {
	e, err := s.Org.Egress(ctx)
	if err != nil {
		return crm.Publication{}, err
	}
	return s.publish(ctx, e)
}

// publish says what firewalls are told of an egress, with the server as it is set.
func (s *server) publish(ctx context.Context, e crm.Egress) (crm.Publication, error) {
	settings, _, err := s.Org.Settings(ctx)
	return e.Publish(s.Now(), settings), err
}

func (s *server) publishedJSON(w http.ResponseWriter, r *http.Request) error {
	p, err := s.publication(r.Context())
	if err == nil {
		writeJSON(w, http.StatusOK, p)
	}
	return err
}

func (s *server) publishedText(kind string, write func(crm.Publication) string) action {
	return func(w http.ResponseWriter, r *http.Request) error {
		p, err := s.publication(r.Context())
		if err == nil {
			w.Header().Set("Content-Type", kind+"; charset=utf-8")
			_, _ = io.WriteString(w, write(p)) // the reader may have left
		}
		return err
	}
}

// An addressView is one address of the pool.
type addressView struct {
	crm.EgressAddress
	Seen             string // as others see it; "" when only the proxy knows
	Here             bool   // on this machine
	Use, Plan, Ended bool   // in use now, from some day on, no more
}

// A plannedChange is what the firewalls' administrators are told in advance.
type plannedChange struct {
	At   time.Time
	Seen string
	Ends bool
}

// addressesData is the page: what firewalls see, and the form, as saved or as typed.
type addressesData struct {
	Tab     string
	List    []addressView
	Changes []plannedChange
	Missing []addressView // in use, and not on this machine
	Waiting []crm.Proposal
	Proxy   string
	Rules   []crm.FirewallRule
	Chain   string
	Shown   bool   // a chain was asked for
	Port    int    // that firewalls are asked to open
	URL     string // of the published list

	Form        egressForm
	PasswordSet bool
	Retype      bool // a password was typed, which does not come back with the form
	Errors      map[string][]crm.FieldError
	Saved       bool
}

// Field is what is wrong with one field of the form.
func (d addressesData) Field(name string) field { return field{name, d.Errors[name]} }

// An egressForm is the egress as a form has it. Times are in UTC.
type egressForm struct {
	Rows              []egressRow
	Proxy, ProxyLogin string
	password          crm.Secret
}

type egressRow struct{ Local, Public, From, Until string }

// formTime is how a browser writes a day and an hour.
const formTime = "2006-01-02T15:04"

func (s *server) addresses(w http.ResponseWriter, r *http.Request) error {
	kept, err := s.Org.Egress(r.Context())
	if err != nil {
		return err
	}
	f := egressForm{Proxy: kept.Proxy, ProxyLogin: kept.ProxyLogin}
	for _, a := range kept.Addresses {
		row := egressRow{Local: a.Local.String(), From: formatTime(a.From), Until: formatTime(a.Until)}
		if a.Public.IsValid() {
			row.Public = a.Public.String()
		}
		f.Rows = append(f.Rows, row)
	}
	return s.showAddresses(w, r, http.StatusOK, kept, addressesData{Form: f, Saved: r.URL.Query().Get("saved") == "1"})
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(formTime)
}

func (s *server) showAddresses(w http.ResponseWriter, r *http.Request, status int, kept crm.Egress, d addressesData) error {
	var err error
	if d.List, err = s.viewAddresses(kept); err != nil {
		return err
	}
	if d.Waiting, err = s.waiting(r.Context(), crm.EgressProposal); err != nil {
		return err
	}
	for _, a := range d.List {
		if a.Use && !a.Here {
			d.Missing = append(d.Missing, a)
		}
		if a.Seen != "" && a.Plan {
			d.Changes = append(d.Changes, plannedChange{a.From, a.Seen, false})
		}
		if a.Seen != "" && !a.Ended && !a.Until.IsZero() {
			d.Changes = append(d.Changes, plannedChange{a.Until, a.Seen, true})
		}
	}
	d.Chain = r.URL.Query().Get("chain")
	if d.Shown = crm.ValidChain(d.Chain); !d.Shown {
		d.Chain = crm.DefaultChain
	}
	d.Tab, d.Proxy, d.PasswordSet, d.URL = "addresses", kept.Proxy, !kept.ProxyPassword.Empty(), ownAddress(r)+wellKnown
	p, err := s.publish(r.Context(), kept)
	if err != nil {
		return err
	}
	d.Rules, d.Port = p.Rules(d.Chain), p.Port
	if n := len(d.Form.Rows); n == 0 || d.Form.Rows[n-1] != (egressRow{}) {
		d.Form.Rows = append(d.Form.Rows, egressRow{})
	}
	return s.show(w, r, status, "access-addresses", page{Title: "Addresses", Place: "access", Data: d})
}

func (s *server) viewAddresses(e crm.Egress) ([]addressView, error) {
	list := []addressView{}
	now := s.Now()
	for _, a := range e.Addresses {
		here, err := s.HasAddress(a.Local)
		if err != nil {
			return nil, fmt.Errorf("look at the addresses of this machine: %w", err)
		}
		v := addressView{EgressAddress: a, Here: here, Use: a.InUse(now), Plan: a.Planned(now), Ended: a.Past(now)}
		if seen, known := e.Seen(a); known {
			v.Seen = seen.String()
		}
		list = append(list, v)
	}
	return list, nil
}

// saveAddresses answers all buttons of the form.
func (s *server) saveAddresses(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	kept, err := s.Org.Egress(r.Context())
	if err != nil {
		return err
	}
	f := readEgressForm(r)
	d := addressesData{Form: f, Retype: !f.password.Empty()}
	if r.PostForm.Get("do") == "add" {
		d.Form.Rows = append(d.Form.Rows, egressRow{})
		return s.showAddresses(w, r, http.StatusOK, kept, d)
	}
	checked, wrong := f.check(kept)
	if len(wrong) > 0 {
		d.Errors = byField(wrong)
		return s.showAddresses(w, r, http.StatusUnprocessableEntity, kept, d)
	}
	if err := s.Org.SaveEgress(r.Context(), checked); err != nil {
		return err
	}
	http.Redirect(w, r, addressesPath+"?saved=1", http.StatusSeeOther)
	return nil
}

// readEgressForm reads the rows of the pool; empty ones are left out.
func readEgressForm(r *http.Request) egressForm {
	p := r.PostForm
	f := egressForm{Proxy: p.Get("proxy"), ProxyLogin: p.Get("proxy_login"), password: crm.NewSecret(p.Get("proxy_password"))}
	at := func(name string, i int) string {
		if list := p[name]; i < len(list) {
			return strings.TrimSpace(list[i])
		}
		return ""
	}
	for i := range p["local"] {
		row := egressRow{at("local", i), at("public", i), at("from", i), at("until", i)}
		if row != (egressRow{}) {
			f.Rows = append(f.Rows, row)
		}
	}
	return f
}

// check returns what is to be saved, or what is wrong with each field.
func (f egressForm) check(kept crm.Egress) (crm.Egress, []crm.FieldError) {
	e := crm.Egress{Proxy: f.Proxy, ProxyLogin: f.ProxyLogin, ProxyPassword: f.password}
	var wrong []crm.FieldError
	for _, row := range f.Rows {
		a, err := crm.ParseEgressAddress(row.text())
		if err != nil {
			wrong = append(wrong, crm.FieldError{Field: "addresses", Code: "malformed", Message: capital(err.Error()) + "."})
			continue
		}
		e.Addresses = append(e.Addresses, a)
	}
	checked, more := e.Check(kept)
	return checked, append(wrong, more...)
}

// text is the row as the command line has it.
func (row egressRow) text() string {
	text := row.Local
	if row.Public != "" {
		text += "=" + row.Public
	}
	for _, t := range [][2]string{{" from=", row.From}, {" until=", row.Until}} {
		if t[1] == "" {
			continue
		}
		text += t[0] + t[1]
		if len(t[1]) == len(formTime) {
			text += "Z"
		}
	}
	return text
}

// firewallRule hands out the rule for one firewall, or with ?undo=1 what takes it away.
func (s *server) firewallRule(w http.ResponseWriter, r *http.Request) error {
	p, err := s.publication(r.Context())
	if err != nil {
		return err
	}
	chain := r.URL.Query().Get("chain")
	if chain == "" {
		chain = crm.DefaultChain
	}
	if !crm.ValidChain(chain) {
		return errBadForm
	}
	for _, rule := range p.Rules(chain) {
		if rule.Name != r.PathValue("rule") {
			continue
		}
		file, text := rule.File, rule.Apply
		if r.URL.Query().Get("undo") == "1" {
			file, text = rule.UndoFile, rule.Undo
		}
		if file == "" {
			return errNoPage
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="`+file+`"`)
		_, _ = io.WriteString(w, text) // the reader may have left
		return nil
	}
	return errNoPage
}

// egressJSON is the egress as the API has it. The password goes in only.
type egressJSON struct {
	Addresses        []egressAddressJSON `json:"addresses"`
	Proxy            string              `json:"proxy"`
	ProxyLogin       string              `json:"proxy_login"`
	ProxyPassword    string              `json:"proxy_password,omitempty"`
	ProxyPasswordSet bool                `json:"proxy_password_set"`
	Publication      *crm.Publication    `json:"publication,omitempty"` // goes out only
}

type egressAddressJSON struct {
	Local  netip.Addr `json:"local"`
	Public netip.Addr `json:"public"` // "" = as local
	From   *time.Time `json:"valid_from"`
	Until  *time.Time `json:"valid_until"`
	State  string     `json:"state,omitempty"` // used, planned, ended; goes out only
	Here   *bool      `json:"on_this_machine,omitempty"`
}

func (s *server) egressToJSON(ctx context.Context, e crm.Egress) (egressJSON, error) {
	p, err := s.publish(ctx, e)
	if err != nil {
		return egressJSON{}, err
	}
	j := egressJSON{Addresses: []egressAddressJSON{}, Proxy: e.Proxy, ProxyLogin: e.ProxyLogin, ProxyPasswordSet: !e.ProxyPassword.Empty(), Publication: &p}
	list, err := s.viewAddresses(e)
	for _, a := range list {
		state := "used"
		switch {
		case a.Plan:
			state = "planned"
		case a.Ended:
			state = "ended"
		}
		j.Addresses = append(j.Addresses, egressAddressJSON{a.Local, a.Public, timeOrNil(a.From), timeOrNil(a.Until), state, &a.Here})
	}
	return j, err
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (j egressJSON) egress() crm.Egress {
	e := crm.Egress{Proxy: j.Proxy, ProxyLogin: j.ProxyLogin, ProxyPassword: crm.NewSecret(j.ProxyPassword)}
	for _, a := range j.Addresses {
		address := crm.EgressAddress{Local: a.Local, Public: a.Public}
		if a.From != nil {
			address.From = *a.From
		}
		if a.Until != nil {
			address.Until = *a.Until
		}
		e.Addresses = append(e.Addresses, address)
	}
	return e
}

func (s *server) apiAddresses(w http.ResponseWriter, r *http.Request) error {
	kept, err := s.Org.Egress(r.Context())
	if err != nil {
		return err
	}
	j, err := s.egressToJSON(r.Context(), kept)
	if err == nil {
		writeJSON(w, http.StatusOK, j)
	}
	return err
}

func (s *server) apiSaveAddresses(w http.ResponseWriter, r *http.Request) error {
	var body egressJSON
	if err := readJSON(r, &body); err != nil {
		return err
	}
	kept, err := s.Org.Egress(r.Context())
	if err != nil {
		return err
	}
	checked, wrong := body.egress().Check(kept)
	if len(wrong) > 0 {
		writeFieldErrors(w, "saved", wrong)
		return nil
	}
	if err := s.Org.SaveEgress(r.Context(), checked); err != nil {
		return err
	}
	return s.apiAddresses(w, r)
}
