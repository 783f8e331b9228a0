package crm

import (
	"context"
	"time"
)

// An AuditEntry says who did what to an organization's settings, people and data. Each
// carries the hash of the one before, so that none can be changed, swapped or taken out
// unnoticed.
type AuditEntry struct {
	Seq     int64 // 1, 2, 3 … within the organization
	At      time.Time
	Actor   string // who, as "Ann Smith <ann@acme.example>", "command line (root)" or "Postern"
	Action  string // stable: settings.save, policy.save, sign-in, keys.rotate, …
	Subject string // what it was done to; "" when the action says it
	Detail  string // what changed, one line each, old → new; no secret
	Widens  bool   // more may be reached, read or kept than before
	Hash    string // hexadecimal
}

type actorKey struct{}

// WithActor returns a context in which what is done is done by somebody.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorOf returns who acts; the program itself when nobody is named.
func ActorOf(ctx context.Context) string {
	if actor, ok := ctx.Value(actorKey{}).(string); ok {
		return actor
	}
	return "Postern"
}

// An AuditVerdict says whether an organization's audit log is as it was written.
type AuditVerdict struct {
	Entries    int64     // in the log
	Head       string    // hash of the last, hexadecimal
	Checkpoint int64     // the last entry that a signed checkpoint covers; later ones are proved by the chain alone
	Signed     time.Time // when that checkpoint was signed
	PublicKey  string    // by which checkpoints are checked, PEM

	Code string // what is wrong, stable: audit-edited, audit-deleted, …; "" = nothing
	Bad  int64  // the first entry that is not as it was written
	Why  string // a sentence
}

// OK tells whether every entry is as it was written.
func (v AuditVerdict) OK() bool { return v.Code == "" }
