package web

import (
	"net/http"
	"net/url"
	"strings"

	"postern/crm"
	"postern/report"
	"postern/store"
)

const auditPath = "/access/audit"

func (s *server) auditRoutes(on func(pattern string, who role, do action)) {
	on("GET "+auditPath, administrator, s.auditLog)
	on("GET "+auditPath+".csv", administrator, s.exportAudit(report.CSV))
	on("GET "+auditPath+".json", administrator, s.exportAudit(report.JSON))
	on("POST "+auditPath+"/contacts", administrator, s.saveSecurityContacts)
	on("GET /api"+auditPath+"/contacts", administrator, s.apiSecurityContacts)
	on("PUT /api"+auditPath+"/contacts", administrator, s.apiSaveSecurityContacts)
	on("GET /api"+auditPath, administrator, s.apiAudit)
	on("GET /api"+auditPath+"/verdict", administrator, s.apiAuditVerdict)
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
	Word    wordData
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
	return d.Filter.Actor != "" || d.Filter.Action != "" || d.Filter.Widens || d.Filter.Quiet
}

// readAudit reads ?actor=, ?action=, ?widens=1 and ?signins=0 as a query to the store.
func readAudit(form url.Values, paging store.ListQuery) store.AuditQuery {
	return store.AuditQuery{Actor: form.Get("actor"), Action: form.Get("action"), Widens: form.Get("widens") == "1", Quiet: form.Get("signins") == "0", Limit: paging.Limit, Offset: paging.Offset}
}

// auditLog shows what people and settings did, the latest first, and whether the log is
// as it was written.
func (s *server) auditLog(w http.ResponseWriter, r *http.Request) error {
	word, err := s.word(r.Context())
	if err != nil {
		return err
	}
	word.Saved = r.URL.Query().Get("saved") == "contacts"
	return s.showAudit(w, r, http.StatusOK, word)
}

func (s *server) showAudit(w http.ResponseWriter, r *http.Request, status int, word wordData) error {
	q := readAudit(r.URL.Query(), readList(r))
	d := auditData{Tab: "audit", Filter: q, Word: word}
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
	if d.Verdict, err = s.Org.VerifyAudit(r.Context(), s.Org.SinkFile()...); err != nil {
		return err
	}
	form := r.URL.Query()
	form.Del("page")
	form.Del("saved")
	if len(form) > 0 {
		d.Export = "?" + form.Encode()
	}
	return s.show(w, r, status, "access-audit", page{Title: "Audit", Place: "access", Data: d})
}

func (s *server) apiAudit(w http.ResponseWriter, r *http.Request) error {
	rows, total, err := s.Org.AuditLog(r.Context(), readAudit(r.URL.Query(), apiListQuery(r)))
	if err != nil {
		return err
	}
	answer := pageJSON[report.AuditEntry]{Total: total, Items: []report.AuditEntry{}}
	for _, e := range rows {
		answer.Items = append(answer.Items, report.AuditEntry(e))
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (s *server) apiAuditVerdict(w http.ResponseWriter, r *http.Request) error {
	v, err := s.Org.VerifyAudit(r.Context(), s.Org.SinkFile()...)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, report.NewVerdict(v))
	return nil
}

// exportAudit hands out all entries that the filters let through, the first one first.
func (s *server) exportAudit(format string) action {
	return func(w http.ResponseWriter, r *http.Request) error {
		write, err := report.ExportAudit(r.Context(), s.Org, format, readAudit(r.URL.Query(), store.ListQuery{}))
		if err != nil {
			return err
		}
		kind := map[string]string{report.CSV: "text/csv", report.JSON: "application/json"}[format]
		w.Header().Set("Content-Type", kind+"; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="audit-`+s.Now().UTC().Format("2006-01-02")+"."+format+`"`)
		if err := write(w); err != nil {
			s.torn(r, err)
		}
		return nil
	}
}
