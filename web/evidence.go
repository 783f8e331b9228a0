package web

import (
	"fmt"
	"html/template"
	"io"
	"net/http"
	"time"

	"postern/crm"
	"postern/report"
)

// accessEvidence shows the evidence; it is made to be printed.
func (s *server) accessEvidence(w http.ResponseWriter, r *http.Request) error {
	e, err := report.Gather(r.Context(), s.Org, s.Connector, s.Now())
	if err != nil {
		return err
	}
	d := struct {
		Tab string
		*report.Evidence
	}{"evidence", e}
	return s.show(w, r, http.StatusOK, "access-evidence", page{Title: "Evidence", Place: "access", Data: d})
}

// evidenceFile is the same as a file that needs nothing beside it.
func (s *server) evidenceFile(w http.ResponseWriter, r *http.Request) error {
	e, err := report.Gather(r.Context(), s.Org, s.Connector, s.Now())
	if err != nil {
		return err
	}
	if err := s.Org.Audit(r.Context(), crm.AuditEntry{Action: "evidence.export"}); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="postern-evidence-%s.html"`, e.At.Format(time.DateOnly)))
	return s.pages.evidence(w, s.assets, e)
}

// WriteEvidence writes evidence as a file that needs nothing beside it.
func WriteEvidence(w io.Writer, e *report.Evidence) error {
	assets, err := loadAssets(assetFiles)
	if err != nil {
		return err
	}
	p, err := parsePages(func() time.Time { return e.At }, assets)
	if err != nil {
		return err
	}
	return p.evidence(w, assets, e)
}

func (p *pages) evidence(w io.Writer, assets *assets, e *report.Evidence) error {
	return p.byName["access-evidence"].ExecuteTemplate(w, "evidence-file", struct {
		Style template.CSS
		*report.Evidence
	}{template.CSS(assets.files["app.css"].content), e})
}

func (s *server) apiEvidence(w http.ResponseWriter, r *http.Request) error {
	e, err := report.Gather(r.Context(), s.Org, s.Connector, s.Now())
	if err == nil {
		writeJSON(w, http.StatusOK, e)
	}
	return err
}
