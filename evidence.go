package main

import (
	"encoding/json"
	"time"

	"postern/crm"
	"postern/ews"
	"postern/report"
	"postern/web"
)

// evidenceCommand writes what the page of the same name shows.
type evidenceCommand struct {
	dataFlags
	JSON bool `help:"Print JSON instead of a page to print."`
}

func (e *evidenceCommand) Run(c *common) error {
	st, org, err := e.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	found, err := report.Gather(c.ctx, org, ews.Connector(), time.Now())
	if err != nil {
		return err
	}
	if err := org.Audit(c.ctx, crm.AuditEntry{Action: "evidence.export"}); err != nil {
		return err
	}
	if e.JSON {
		return json.NewEncoder(c.out).Encode(found)
	}
	return web.WriteEvidence(c.out, found)
}
