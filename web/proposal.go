package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"postern/crm"
	"postern/report"
	"postern/store"
)

const proposalsPath = "/access/policy/proposals"

func (s *server) proposalRoutes(on func(pattern string, who role, do action)) {
	on("GET "+proposalsPath+"/{id}", administrator, s.proposal)
	on("POST "+proposalsPath+"/{id}", administrator, s.decideProposal)
	on("POST /access/policy/four-eyes", administrator, s.saveFourEyes)
	on("GET /api"+proposalsPath, administrator, s.apiProposals)
	on("GET /api"+proposalsPath+"/{id}", administrator, s.apiProposal)
	on("POST /api"+proposalsPath+"/{id}/approve", administrator, s.apiDecide((*store.Org).Approve))
	on("POST /api"+proposalsPath+"/{id}/reject", administrator, s.apiDecide((*store.Org).Reject))
	on("GET /api/access/policy/four-eyes", administrator, s.apiFourEyes)
	on("PUT /api/access/policy/four-eyes", administrator, s.apiSaveFourEyes)
}

func proposalURL(id int64) string { return fmt.Sprintf("%s/%d", proposalsPath, id) }

// fourEyesView is what the page of the policy says of four eyes.
type fourEyesView struct {
	store.FourEyes
	Waiting, Decided []crm.Proposal
}

// Alone tells whether nobody but the operator can approve what the only administrator
// proposes.
func (v fourEyesView) Alone() bool { return v.On() && v.Admins < 2 }

func (s *server) fourEyes(ctx context.Context) (v fourEyesView, err error) {
	if v.FourEyes, err = s.Org.FourEyes(ctx); err != nil {
		return v, err
	}
	list, err := s.Org.Proposals(ctx)
	for _, p := range list {
		if p.Waits() {
			v.Waiting = append(v.Waiting, p)
		} else {
			v.Decided = append(v.Decided, p)
		}
	}
	return v, err
}

// waiting lists the proposals of some kinds that wait, for the pages that they would change.
func (s *server) waiting(ctx context.Context, kinds ...crm.ProposalKind) ([]crm.Proposal, error) {
	list, err := s.Org.Proposals(ctx)
	return slices.DeleteFunc(list, func(p crm.Proposal) bool { return !p.Waits() || !slices.Contains(kinds, p.Kind) }), err
}

// gist is what a proposal changes, in a line.
func gist(p crm.Proposal) string {
	const most = 160
	var parts []string
	for _, e := range p.Effects {
		for _, text := range append([]string{e.Subject}, strings.Split(e.Detail, "\n")...) {
			if text != "" {
				parts = append(parts, text)
			}
		}
	}
	text := []rune(strings.Join(parts, "; "))
	if len(text) > most {
		text = append(text[:most], '…')
	}
	return string(text)
}

// proposalData is the page of one proposal.
type proposalData struct {
	Tab      string
	Proposal crm.Proposal
	Made     bool        // just now, instead of what was to be saved
	Refused  *crm.Fault  // why it was not decided as was asked for
	Own      bool        // whoever looks at it made it
	Alone    bool        // and is the only administrator who can sign in
	Barred   *crm.Fault  // why whoever looks at it cannot approve it; nil = can
	Outdated bool        // the policy is another than the one that it was made of
	Change   *changeView // what a policy would change; nil = see Effects
	Remove   bool        // a policy, which removes what it would not file
}

// MayReject tells whether whoever looks at it may close it, as its author may, too.
func (d *proposalData) MayReject() bool {
	return d.Barred == nil || d.Barred.Code != "four-eyes-nobody"
}

func (s *server) proposal(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	return s.showProposal(w, r, http.StatusOK, id, proposalData{Made: r.URL.Query().Get("made") == "1"})
}

func (s *server) showProposal(w http.ResponseWriter, r *http.Request, status int, id int64, d proposalData) error {
	ctx := r.Context()
	var err error
	if d.Proposal, err = s.Org.Proposal(ctx, id); err != nil {
		return err
	}
	f, err := s.Org.FourEyes(ctx)
	if err != nil {
		return err
	}
	d.Tab, d.Own = "policy", d.Proposal.Who == crm.Acting(ctx)
	d.Alone = d.Own && f.Admins < 2
	if d.Proposal.Waits() {
		if err := s.Org.MayApprove(ctx, &d.Proposal); err != nil && !errors.As(err, &d.Barred) {
			return err
		}
	}
	if d.Change, d.Remove, err = s.proposedChange(ctx, &d.Proposal); errors.Is(err, store.ErrStale) {
		d.Outdated, err = true, nil
	}
	if err != nil {
		return err
	}
	p := page{Title: capital(d.Proposal.Name()), Place: "access", Crumbs: []crumb{{"Policy", "/access/policy"}}, Data: &d}
	if d.Proposal.Waits() {
		p.Deciding = 1
	}
	return s.show(w, r, status, "access-proposal", p)
}

// proposedChange is the dry run of a policy that waits; nil when it is none. ErrStale when
// another policy holds than the one that it was made of.
func (s *server) proposedChange(ctx context.Context, p *crm.Proposal) (*changeView, bool, error) {
	change, remove, err := s.Org.DryRunProposal(ctx, p)
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, remove, err
	}
	return viewChange(change), remove, nil
}

// decideProposal answers both buttons of the page.
func (s *server) decideProposal(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	decide := map[string]func(*store.Org, context.Context, int64) error{"approve": (*store.Org).Approve, "reject": (*store.Org).Reject}[r.PostForm.Get("do")]
	if decide == nil {
		return errBadForm
	}
	s.counted.forget()
	err = decide(s.Org, r.Context(), id)
	if f, ok := errors.AsType[*crm.Fault](err); ok && faultStatus[f.Code] != 0 {
		return s.showProposal(w, r, faultStatus[f.Code], id, proposalData{Refused: f})
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, proposalURL(id), http.StatusSeeOther)
	return nil
}

func (s *server) saveFourEyes(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	on, known := map[string]bool{"on": true, "off": false}[r.PostForm.Get("set")]
	if !known {
		return errBadForm
	}
	if err := s.Org.SetFourEyes(r.Context(), on); err != nil {
		return err
	}
	http.Redirect(w, r, "/access/policy#four-eyes", http.StatusSeeOther)
	return nil
}

// answerHeld answers a change that was not made, because somebody else is to approve it.
func (s *server) answerHeld(w http.ResponseWriter, r *http.Request, held *store.HeldError) {
	s.counted.forget()
	if isAPI(r) {
		writeJSON(w, http.StatusAccepted, map[string]any{"proposal": report.NewProposal(held.Proposal)})
		return
	}
	http.Redirect(w, r, proposalURL(held.Proposal.ID)+"?made=1", http.StatusSeeOther)
}

func (s *server) apiProposals(w http.ResponseWriter, r *http.Request) error {
	list, err := s.Org.Proposals(r.Context())
	if err != nil {
		return err
	}
	items := []report.Proposal{}
	for _, p := range list {
		items = append(items, report.NewProposal(p))
	}
	writeJSON(w, http.StatusOK, map[string]any{"items": items})
	return nil
}

func (s *server) apiProposal(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	return s.writeProposal(w, r, id)
}

// writeProposal writes a proposal; one of a policy that waits with its dry run.
func (s *server) writeProposal(w http.ResponseWriter, r *http.Request, id int64) error {
	p, err := s.Org.Proposal(r.Context(), id)
	if err != nil {
		return err
	}
	answer := struct {
		report.Proposal
		Outdated bool          `json:"outdated,omitempty"`
		Remove   bool          `json:"remove,omitempty"`
		Change   *store.Change `json:"change,omitempty"`
	}{Proposal: report.NewProposal(p)}
	change, remove, err := s.proposedChange(r.Context(), &p)
	answer.Remove = remove
	switch {
	case errors.Is(err, store.ErrStale):
		answer.Outdated = true
	case err != nil:
		return err
	case change != nil:
		answer.Change = &change.Change
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (s *server) apiDecide(decide func(*store.Org, context.Context, int64) error) action {
	return func(w http.ResponseWriter, r *http.Request) error {
		id, err := pathID(r, "id")
		if err != nil {
			return err
		}
		s.counted.forget()
		if err := decide(s.Org, r.Context(), id); err != nil {
			return err
		}
		return s.writeProposal(w, r, id)
	}
}

type fourEyesJSON struct {
	On     bool      `json:"on"`
	Since  time.Time `json:"since,omitzero"`
	By     string    `json:"by,omitempty"`
	Admins int       `json:"administrators"` // who can sign in, and so approve
}

func newFourEyesJSON(f store.FourEyes) fourEyesJSON {
	return fourEyesJSON{f.On(), f.Since, f.By, f.Admins}
}

func (s *server) apiFourEyes(w http.ResponseWriter, r *http.Request) error {
	f, err := s.Org.FourEyes(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, newFourEyesJSON(f))
	return nil
}

func (s *server) apiSaveFourEyes(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		On bool `json:"on"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if err := s.Org.SetFourEyes(r.Context(), body.On); err != nil {
		return err
	}
	return s.apiFourEyes(w, r)
}
