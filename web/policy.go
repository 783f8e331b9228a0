package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"postern/crm"
	"postern/store"
)

// policyData is the page of the policy: the form, what a change would do, and the versions.
type policyData struct {
	Tab     string
	Now     crm.Policy // that holds
	Form    policyForm
	Wrong   int         // fields with errors
	Trial   bool        // it was to be shown what it changes, not saved
	Change  *changeView // what the form would change; nil = not asked for
	Eyes    fourEyesView
	Seen    string // which form Change is about
	Remove  bool   // remove what was filed and would not be
	Unseen  bool   // it was to be saved and differs from what was shown
	Stale   bool   // another version was saved meanwhile
	Saved   bool
	Removed *store.Removed // by the version that holds
	From    int64          // the version that the form was filled with; 0 = the one that holds
	Groups  []policyGroup
	History []store.PolicyVersion
}

// Next is the number that the version would get.
func (d *policyData) Next() int64 { return d.Now.Version + 1 }

// A changeView is what a policy would change, with the reasons counted in their order.
type changeView struct {
	store.Change
	Reasons []reasonCount // why messages would not be filed
	Freed   []reasonCount // why items were not filed that are looked at again
}

// A policyGroup is a group that the policy names.
type policyGroup struct {
	Address string
	Known   bool
	Members int
	As      time.Time
}

func (s *server) policyRoutes(on func(pattern string, who role, do action)) {
	on("GET /access/policy", administrator, s.policy)
	on("POST /access/policy", administrator, s.policyForm)
	on("GET /my/limits", signedIn, s.myLimits)
	on("POST /my/limits", signedIn, s.saveMyLimits)
	on("GET /api/access/policy", administrator, s.apiPolicy)
	on("PUT /api/access/policy", administrator, s.apiSavePolicy)
	on("GET /api/access/policy/versions", administrator, s.apiPolicies)
	on("POST /api/access/policy/dry-run", administrator, s.apiDryRun)
	on("GET /api/my/limits", signedIn, s.apiMyLimits)
	on("PUT /api/my/limits", signedIn, s.apiSaveMyLimits)
}

// policy shows the policy that holds, or fills the form with ?from=, an older one.
func (s *server) policy(w http.ResponseWriter, r *http.Request) error {
	d, err := s.newPolicyData(r.Context())
	if err != nil {
		return err
	}
	shown := d.Now
	if from := number64(r.URL.Query().Get("from")); from != 0 && from != d.Now.Version {
		if shown, err = s.Org.PolicyVersion(r.Context(), from); err != nil {
			return err
		}
		d.From = from
	}
	d.Form = newPolicyForm(shown)
	d.Form.Version = d.Now.Version
	d.Saved = r.URL.Query().Get("saved") == "1"
	return s.showPolicy(w, r, http.StatusOK, d)
}

func (s *server) newPolicyData(ctx context.Context) (*policyData, error) {
	d := &policyData{Tab: "policy"}
	var err error
	if d.Now, err = s.Org.Policy(ctx); err != nil {
		return nil, err
	}
	if d.History, err = s.Org.PolicyHistory(ctx); err != nil {
		return nil, err
	}
	if len(d.History) > 0 {
		d.Removed = d.History[0].Removed
	}
	if d.Eyes, err = s.fourEyes(ctx); err != nil {
		return nil, err
	}
	known, err := s.Org.Groups(ctx)
	for _, name := range d.Now.GroupNames() {
		g := policyGroup{Address: string(name)}
		for _, k := range known {
			if k.Address == name {
				g = policyGroup{string(name), true, len(k.Members), k.Expanded}
			}
		}
		d.Groups = append(d.Groups, g)
	}
	return d, err
}

func (s *server) showPolicy(w http.ResponseWriter, r *http.Request, status int, d *policyData) error {
	return s.show(w, r, status, "access-policy", page{Title: "Policy", Place: "access", Data: d})
}

// policyForm answers both buttons of the form: show what it changes, and save. What was
// not shown, or is not what was shown, is shown first.
func (s *server) policyForm(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errBadForm
	}
	d, err := s.newPolicyData(r.Context())
	if err != nil {
		return err
	}
	var typed crm.Policy
	var wrong []crm.FieldError
	d.Form, typed, wrong = readPolicyForm(r.PostForm)
	save := r.PostForm.Get("do") == "save"
	checked, more := typed.Check()
	if wrong = append(wrong, more...); len(wrong) > 0 {
		d.Wrong, d.Trial = d.Form.setErrors(wrong), !save
		return s.showPolicy(w, r, http.StatusUnprocessableEntity, d)
	}
	d.Seen, d.Remove = fingerprint(checked), r.PostForm.Get("remove") != ""
	if d.Unseen = save && r.PostForm.Get("seen") != d.Seen; save && !d.Unseen {
		switch _, err := s.savePolicy(r.Context(), checked, d.Remove); {
		case err == nil:
			http.Redirect(w, r, "/access/policy?saved=1", http.StatusSeeOther)
			return nil
		case !errors.Is(err, store.ErrStale):
			return err
		}
		d.Stale = true
	}
	d.Form.Version = d.Now.Version
	checked.Version = d.Now.Version
	d.Seen = fingerprint(checked)
	change, err := s.Org.DryRun(r.Context(), checked)
	if err != nil {
		return err
	}
	d.Change = viewChange(change)
	return s.showPolicy(w, r, http.StatusOK, d)
}

func viewChange(change store.Change) *changeView {
	v := &changeView{Change: change}
	for _, reason := range crm.Reasons {
		if n := change.Filed.By[reason]; n > 0 {
			v.Reasons = append(v.Reasons, reasonCount{reason, n})
		}
	}
	for _, reason := range append(crm.Reasons[:], crm.Withheld) {
		if n := change.AgainBy[reason]; n > 0 {
			v.Freed = append(v.Freed, reasonCount{reason, n})
		}
	}
	return v
}

// savePolicy saves a policy. Mailboxes come and go by it, so that the figures at the top of
// the pages are counted anew.
func (s *server) savePolicy(ctx context.Context, p crm.Policy, remove bool) (crm.Policy, error) {
	defer s.counted.forget()
	return s.Org.SavePolicy(ctx, p, remove)
}

// fingerprint tells one policy, and the version that it was made of, from another.
func fingerprint(p crm.Policy) string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // of texts, numbers and times: that cannot fail
	}
	sum := sha256.Sum256([]byte(strconv.FormatInt(p.Version, 10) + string(text)))
	return hex.EncodeToString(sum[:12])
}

func (s *server) apiPolicy(w http.ResponseWriter, r *http.Request) error {
	p, err := s.Org.Policy(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, p)
	return nil
}

func (s *server) apiPolicies(w http.ResponseWriter, r *http.Request) error {
	list, err := s.Org.Policies(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"items": append([]crm.Policy{}, list...)})
	return nil
}

// apiSavePolicy saves the policy of the body, whose version says what it was made of. With
// ?remove=1 what was filed and would not be now is removed.
func (s *server) apiSavePolicy(w http.ResponseWriter, r *http.Request) error {
	var p crm.Policy
	if err := readJSON(r, &p); err != nil {
		return err
	}
	checked, wrong := p.Check()
	if len(wrong) > 0 {
		writeFieldErrors(w, "saved", wrong)
		return nil
	}
	saved, err := s.savePolicy(r.Context(), checked, r.URL.Query().Get("remove") == "1")
	if errors.Is(err, store.ErrStale) {
		return problem{http.StatusConflict, "policy-stale", "Somebody saved another version meanwhile", "The policy that was sent was made of an older version.", "Read the policy again and make the change once more."}
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, saved)
	return nil
}

func (s *server) apiDryRun(w http.ResponseWriter, r *http.Request) error {
	var p crm.Policy
	if err := readJSON(r, &p); err != nil {
		return err
	}
	checked, wrong := p.Check()
	if len(wrong) > 0 {
		writeFieldErrors(w, "tried", wrong)
		return nil
	}
	change, err := s.Org.DryRun(r.Context(), checked)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, change)
	return nil
}
