package web

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"postern/crm"
	"postern/store"
)

const auditPath = "/access/audit"

func (s *server) auditRoutes(on func(pattern string, who role, do action)) {
	on("GET "+auditPath, administrator, s.auditLog)
	on("GET "+auditPath+".csv", administrator, s.exportAudit(CSV))
	on("GET "+auditPath+".json", administrator, s.exportAudit(JSON))
	on("GET /api"+auditPath, administrator, s.apiAudit)
	on("GET /api"+auditPath+"/verdict", administrator, s.apiAuditVerdict)
}

// auditWords say to people what was done.
var auditWords = map[string]string{
	"access-log.export":    "Access log exported",
	"access-log.retention": "Retention of the access log changed",
	"audit-log.export":     "Audit log exported",
	"audit.accept":         "Gap in the audit log accepted",
	"contacts.save":        "Contacts saved",
	"deployment.save":      "Installation changed",
	"egress.save":          "Addresses saved",
	"four-eyes.off":        "Four eyes turned off",
	"four-eyes.on":         "Four eyes turned on",
	"guide.decide":         "Decision recorded",
	"keys.rotate":          "Data key changed",
	"keys.rotated":         "Old data keys destroyed",
	"keys.rotate-master":   "Master key changed",
	"keys.shred":           "Keys destroyed",
	"organization.add":     "Organization added",
	"password.set":         "Password set",
	"policy.group":         "Members of a group changed",
	"policy.remove":        "Filed mail removed by the policy",
	"policy.save":          "Policy saved",
	"policy.user":          "Limits of a user saved",
	"proposal.approve":     "Proposal approved",
	"proposal.expire":      "Proposal expired",
	"proposal.make":        "Change proposed",
	"proposal.reject":      "Proposal rejected",
	"proposal.stale":       "Proposal stale",
	"proposal.withdraw":    "Proposal withdrawn",
	"quarantine.leave":     "Quarantine: left",
	"quarantine.try":       "Quarantine: tried again",
	"settings.save":        "Email settings saved",
	"share.make":           "Link for the Exchange admin made",
	"share.revoke":         "Link for the Exchange admin revoked",
	"sign-in":              "Signed in",
	"sign-in.failed":       "Sign-in failed",
	"sign-out":             "Signed out",
	"users.save":           "Users saved",
}

// actionWord is the word for an action; one without is said as it is.
func actionWord(action string) string {
	if w := auditWords[action]; w != "" {
		return w
	}
	return action
}

type auditData struct {
	list
	Tab     string
	Rows    []auditRow
	Filter  store.AuditQuery
	Actors  []string
	Actions []string
	Verdict crm.AuditVerdict
	Export  string // the filters, for the addresses of the exports
}

// An auditRow is an entry with the parts of who did it.
type auditRow struct {
	crm.AuditEntry
	Name, Address string
}

func newAuditRow(e crm.AuditEntry) auditRow {
	name, address, _ := strings.Cut(e.Actor, " <")
	return auditRow{e, name, strings.TrimSuffix(address, ">")}
}

// Filtered tells whether anything is filtered out.
func (d auditData) Filtered() bool {
	return d.Filter.Actor != "" || d.Filter.Action != "" || d.Filter.Widens
}

// readAudit reads ?actor=, ?action= and ?widens=1 as a query to the store.
func readAudit(form url.Values, paging store.ListQuery) store.AuditQuery {
	return store.AuditQuery{Actor: form.Get("actor"), Action: form.Get("action"), Widens: form.Get("widens") == "1", Limit: paging.Limit, Offset: paging.Offset}
}

// auditLog shows what people and settings did, the latest first, and whether the log is
// as it was written.
func (s *server) auditLog(w http.ResponseWriter, r *http.Request) error {
	q := readAudit(r.URL.Query(), readList(r))
	d := auditData{Tab: "audit", Filter: q}
	entries, total, err := s.Org.AuditLog(r.Context(), q)
	if err != nil {
		return err
	}
	for _, e := range entries {
		d.Rows = append(d.Rows, newAuditRow(e))
	}
	d.list = newList(r, "", q.Offset, len(d.Rows), total)
	if d.Actors, d.Actions, err = s.Org.AuditWords(r.Context()); err != nil {
		return err
	}
	if d.Verdict, err = s.Org.VerifyAudit(r.Context()); err != nil {
		return err
	}
	form := r.URL.Query()
	form.Del("page")
	if len(form) > 0 {
		d.Export = "?" + form.Encode()
	}
	return s.show(w, r, http.StatusOK, "access-audit", page{Title: "Audit", Place: "access", Data: d})
}

// auditJSON is an entry as other programs read it.
type auditJSON struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Subject string    `json:"subject,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Widens  bool      `json:"widens"`
	Hash    string    `json:"hash"`
}

func (s *server) apiAudit(w http.ResponseWriter, r *http.Request) error {
	rows, total, err := s.Org.AuditLog(r.Context(), readAudit(r.URL.Query(), apiListQuery(r)))
	if err != nil {
		return err
	}
	answer := pageJSON[auditJSON]{Total: total, Items: []auditJSON{}}
	for _, e := range rows {
		answer.Items = append(answer.Items, auditJSON(e))
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// VerdictJSON is a verdict on the audit log as other programs read it.
type VerdictJSON struct {
	OK         bool      `json:"ok"`
	Entries    int64     `json:"entries"`
	Head       string    `json:"head"`
	Checkpoint int64     `json:"checkpoint"` // the last entry that a signed checkpoint covers
	Signed     time.Time `json:"signed,omitzero"`
	PublicKey  string    `json:"public_key"`
	Code       string    `json:"code,omitempty"`
	Bad        int64     `json:"first_bad_entry,omitempty"`
	Why        string    `json:"why,omitempty"`
	Gaps       []gapJSON `json:"accepted_gaps,omitempty"`
}

// gapJSON is a gap that was accepted, as other programs read it.
type gapJSON struct {
	From  int64     `json:"from"` // the entries that are missing
	To    int64     `json:"to"`
	After int64     `json:"after"` // the last entry that the log had then
	Entry int64     `json:"entry"` // the one that accepts it
	At    time.Time `json:"at"`
	By    string    `json:"by"`
	Why   string    `json:"why"`
}

func newGaps(list []crm.AuditGap) (gaps []gapJSON) {
	for _, g := range list {
		gaps = append(gaps, gapJSON(g))
	}
	return gaps
}

// NewVerdictJSON puts a verdict into JSON.
func NewVerdictJSON(v crm.AuditVerdict) VerdictJSON {
	return VerdictJSON{v.OK(), v.Entries, v.Head, v.Checkpoint, v.Signed, v.PublicKey, v.Code, v.Bad, v.Why, newGaps(v.Gaps)}
}

func (s *server) apiAuditVerdict(w http.ResponseWriter, r *http.Request) error {
	v, err := s.Org.VerifyAudit(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, NewVerdictJSON(v))
	return nil
}

// exportAudit hands out all entries that the filters let through, the first one first.
func (s *server) exportAudit(format string) action {
	return func(w http.ResponseWriter, r *http.Request) error {
		kind := map[string]string{CSV: "text/csv", JSON: "application/json"}[format]
		w.Header().Set("Content-Type", kind+"; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="audit-`+s.Now().UTC().Format("2006-01-02")+"."+format+`"`)
		return ExportAudit(r.Context(), s.Org, w, format, readAudit(r.URL.Query(), store.ListQuery{}))
	}
}

// ExportAudit writes the entries that match, the first one first, and writes into the
// audit log that it does.
func ExportAudit(ctx context.Context, org *store.Org, w io.Writer, format string, q store.AuditQuery) error {
	if err := org.Audit(ctx, crm.AuditEntry{Action: "audit-log.export", Detail: "format " + format}); err != nil {
		return err
	}
	return WriteAudit(w, format, func(take func(*crm.AuditEntry) error) error { return org.EachAudit(ctx, q, take) })
}

// WriteAudit writes what each hands out, as it comes: CSV, or JSON with an entry a line.
func WriteAudit(w io.Writer, format string, each func(take func(*crm.AuditEntry) error) error) error {
	if format == JSON {
		out := json.NewEncoder(w)
		return each(func(e *crm.AuditEntry) error { return out.Encode(auditJSON(*e)) })
	}
	out := csv.NewWriter(w)
	if err := out.Write([]string{"seq", "at", "actor", "action", "subject", "detail", "widens", "hash"}); err != nil {
		return err
	}
	err := each(func(e *crm.AuditEntry) error {
		return out.Write([]string{strconv.FormatInt(e.Seq, 10), e.At.Format(time.RFC3339Nano), crm.SafeCell(e.Actor), crm.SafeCell(e.Action),
			crm.SafeCell(e.Subject), crm.SafeCell(e.Detail), strconv.FormatBool(e.Widens), e.Hash})
	})
	out.Flush()
	if err == nil {
		err = out.Error()
	}
	return err
}
