package crm

import (
	"context"
	"fmt"
	"strconv"
	"strings"
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

// An actor is who acts: in words, and told apart from others.
type actor struct {
	name string
	who  Principal
}

// A Principal tells who acts apart from others: not by name, which two may have, nor by
// session, of which one may have several. All who run commands are one.
type Principal string

const (
	Nobody   Principal = ""         // the program itself, or somebody who is not signed in
	Operator Principal = "operator" // whoever runs commands
)

// PrincipalOf returns who a user is.
func PrincipalOf(id UserID) Principal { return Principal(fmt.Sprintf("user %d", id)) }

// User returns the user that it is; 0 = none.
func (p Principal) User() UserID {
	text, ok := strings.CutPrefix(string(p), "user ")
	id, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil {
		return 0
	}
	return UserID(id)
}

// WithActor returns a context in which what is done is done by somebody who has no account.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor{name, Nobody})
}

// WithUser returns a context in which what is done is done by a user.
func WithUser(ctx context.Context, u *User) context.Context {
	return context.WithValue(ctx, actorKey{}, actor{u.Actor(), PrincipalOf(u.ID)})
}

// WithOperator returns a context in which what is done is done by who runs a command.
func WithOperator(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor{name, Operator})
}

// ActorOf returns who acts, in words; the program itself when nobody is named.
func ActorOf(ctx context.Context) string {
	if a, ok := ctx.Value(actorKey{}).(actor); ok {
		return a.name
	}
	return "Postern"
}

// Acting returns who acts.
func Acting(ctx context.Context) Principal {
	a, _ := ctx.Value(actorKey{}).(actor)
	return a.who
}

// An AuditVerdict says whether an organization's audit log is as it was written.
type AuditVerdict struct {
	Entries    int64     // in the log
	Head       string    // hash of the last, hexadecimal
	Checkpoint int64     // the last entry that a signed checkpoint covers; later ones are proved by the chain alone
	Signed     time.Time // when that checkpoint was signed
	PublicKey  string    // by which checkpoints are checked, PEM

	Gaps []AuditGap // accepted by the operator, the first one first: said for ever, and no failure
	Sink AuditSink  // that is told the checkpoints; what it has not taken is no failure of the log

	Code string // what is wrong, stable: audit-edited, audit-deleted, …; "" = nothing
	Bad  int64  // the first entry that is not as it was written
	Why  string // a sentence
}

// Written is how many entries there would be without the gaps.
func (v AuditVerdict) Written() int64 {
	n := v.Entries
	for _, g := range v.Gaps {
		n += g.To - g.From + 1
	}
	return n
}

// Rolled tells whether the log may be that of an older copy that was put back: what an
// operator can accept.
func (v AuditVerdict) Rolled() bool { return v.Code == "audit-truncated" || v.Code == "audit-forked" }

// An AuditGap is where the log lost its end, when an older copy of the database was put back,
// and whoever operates the installation said so.
type AuditGap struct {
	From, To int64 // the entries that are missing
	After    int64 // the last entry that the log had when it was accepted; from From on they were written since
	Entry    int64 // the entry that accepts it
	At       time.Time
	By       string
	Why      string
}

// An AuditSink is a server beyond this machine that is told the signed checkpoints.
type AuditSink struct {
	Address string    // without what opens it; "" = there is none
	Told    int64     // the last entry of which it took the checkpoint; 0 = none
	ToldAt  time.Time // when it did
	Waiting int       // checkpoints that it has not taken yet
	Since   time.Time // when it began to take none; zero = it takes them
	Trouble string    // why it does not
}

// Silent tells whether it does not take what it is told.
func (s AuditSink) Silent() bool { return !s.Since.IsZero() }

// OK tells whether every entry is as it was written, but for gaps that were accepted.
func (v AuditVerdict) OK() bool { return v.Code == "" }
