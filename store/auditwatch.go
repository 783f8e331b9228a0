package store

import (
	"context"
	"fmt"

	"postern/crm"
)

const (
	auditBroken = "audit.broken"
	// auditSubject is that of alerts about the log.
	auditSubject = "audit log"
)

// WatchAudit verifies the audit log. When something is wrong with it, it writes that into the
// log, by which the security contacts are told, and raises an alert, which is open until nothing
// is wrong any more: once, whatever else is found until then. Whoever serves calls it now and then.
func (o *Org) WatchAudit(ctx context.Context, files ...string) error {
	v, err := o.VerifyAudit(ctx, files...)
	if err != nil {
		return err
	}
	if v.OK() {
		_, err := o.CloseAlerts(ctx, auditSubject, "")
		return err
	}
	var known int
	err = one(ctx, o.read(), "select count(*) from alert where org_id = $1 and subject = $2 and closed_at = 0", []any{o.id, auditSubject}, &known)
	if err != nil || known > 0 {
		return err
	}
	// The entry comes first: were it lost between the two, nobody would be told.
	if err := o.Audit(ctx, crm.AuditEntry{Action: auditBroken, Subject: v.Code, Detail: fmt.Sprintf("first bad entry: %d\n%s", v.Bad, v.Why)}); err != nil {
		return err
	}
	_, err = o.RaiseAlert(ctx, Alert{Code: v.Code, Subject: auditSubject, Message: "The audit log is not as it was written. " + v.Why,
		Advice: "Find out who can write to the database and to the data folder. After a restore on purpose: postern audit accept --reason …"})
	return err
}
