package store

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"postern/crm"
)

// Audit writes an entry of its own into the audit log, for what changes nothing that the
// store keeps: a sign-in, an export, a test. Methods that change something write theirs in
// the same transaction.
func (o *Org) Audit(ctx context.Context, e crm.AuditEntry) error {
	return o.db.update(ctx, "audit", func(t *tx) error { return o.audit(ctx, t, e) })
}

// audit adds an entry to the organization's chain. Action, Subject, Detail and Widens are
// the caller's; the actor is the one of the context unless the entry names one. The head
// of the chain stays locked until the transaction ends: entries that several processes
// add at once stand one behind the other.
func (o *Org) audit(ctx context.Context, t *tx, e crm.AuditEntry) error {
	head, err := o.auditHead(ctx, t)
	if err != nil {
		return err
	}
	if head, err = o.append(ctx, t, head, head.seq+1, e); err != nil {
		return err
	}
	// What was done is done, also when it cannot be signed now; Checkpoint makes up for it.
	t.after(fmt.Sprint("sign ", o.id), func() { _ = o.signHead(head) })
	return nil
}

// append adds an entry with that number behind the head, and returns the new one. It seals
// only what is added to a sealed end: an end that somebody else wrote stays without a seal.
func (o *Org) append(ctx context.Context, t *tx, head auditHead, seq int64, e crm.AuditEntry) (auditHead, error) {
	open := o.signer
	if t.begun[o.id] {
		open = o.openSigningKey // to be forgotten when the transaction is undone
	}
	key, err := open(head.signingKey)
	if err != nil {
		return head, err
	}
	sealed := head.sealed(o.id, key)
	if e.Actor == "" {
		e.Actor = crm.ActorOf(ctx)
	}
	e.Actor, e.Action, e.Subject, e.Detail = clean(e.Actor), clean(e.Action), clean(e.Subject), clean(e.Detail)
	e.Seq, e.At = seq, o.s.now()
	hash := auditHash(o.id, &e, head.hash)
	_, err = t.exec(ctx, `insert into audit (org_id, seq, done_at, actor, action, subject, detail, widens, hash)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		o.id, e.Seq, micros(e.At), e.Actor, e.Action, e.Subject, e.Detail, e.Widens, hash)
	if err != nil {
		return head, err
	}
	o.s.mu.Lock()
	head.checkpoint = cmp.Or(o.s.signed[o.id], head.checkpoint)
	o.s.mu.Unlock()
	head.seq, head.hash, head.seal = e.Seq, hash, nil
	if sealed {
		head.seal = ed25519.Sign(key, head.message(o.id))
	}
	t.effects = append(t.effects, crm.Effect{Action: e.Action, Subject: e.Subject, Detail: e.Detail, Widens: e.Widens})
	_, err = t.exec(ctx, "update audit_head set seq = $2, hash = $3, checkpoint = $4, seal = $5 where org_id = $1", o.id, head.seq, head.hash, head.checkpoint, head.seal)
	if err != nil {
		return head, err
	}
	return head, o.tell(ctx, t, &e)
}

// An auditHead is the end of a chain.
type auditHead struct {
	seq        int64
	hash       []byte
	signingKey []byte // sealed
	checkpoint string // hash of a line that the file of checkpoints has
	seal       []byte // signature of message
}

// auditHeadColumns are those that fields reads into.
const auditHeadColumns = "seq, hash, signing_key, checkpoint, seal"

func (h *auditHead) fields() []any {
	return []any{&h.seq, &h.hash, &h.signingKey, &h.checkpoint, &h.seal}
}

// message is what the seal signs.
func (h *auditHead) message(org crm.OrgID) []byte {
	return fmt.Appendf(nil, "postern audit end 1\n%d\n%d\n%x\n%s\n", org, h.seq, h.hash, h.checkpoint)
}

// sealed tells whether this end of the chain was written by who has the key, or nothing was
// written yet.
func (h *auditHead) sealed(org crm.OrgID, key ed25519.PrivateKey) bool {
	return h.seq == 0 || ed25519.Verify(key.Public().(ed25519.PublicKey), h.message(org), h.seal)
}

// auditHead locks the end of the chain, and begins the chain where there is none.
func (o *Org) auditHead(ctx context.Context, t *tx) (auditHead, error) {
	var h auditHead
	read := func() error {
		return one(ctx, t, "select "+auditHeadColumns+" from audit_head where org_id = $1"+t.d.rowLock, []any{o.id}, h.fields()...)
	}
	err := read()
	if !errors.Is(err, ErrNotFound) {
		return h, err
	}
	key, err := o.newSigningKey()
	if err != nil {
		return h, err
	}
	n, err := t.exec(ctx, `insert into audit_head (org_id, seq, hash, signing_key, checkpoint) values ($1, 0, $2, $3, '')
		on conflict (org_id) do nothing`, o.id, []byte{}, key)
	if err != nil {
		return h, err
	}
	if n > 0 {
		t.begun[o.id] = true
	}
	err = read()
	return h, err
}

// auditHash is the hash of an entry, over all that it says, where it stands, and the
// hash of the entry before it. Each text goes in behind its length, so that no two
// entries read alike.
func auditHash(org crm.OrgID, e *crm.AuditEntry, before []byte) []byte {
	b := []byte("postern audit 1\x00")
	b = binary.BigEndian.AppendUint64(b, uint64(org))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Seq))
	b = binary.BigEndian.AppendUint64(b, uint64(micros(e.At)))
	for _, text := range []string{e.Actor, e.Action, e.Subject, e.Detail, string(before)} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
		b = append(b, text...)
	}
	if e.Widens {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

// auditColumns are those that scanAudit reads.
const auditColumns = "seq, done_at, actor, action, subject, detail, widens, hash"

func scanAudit(r *sql.Rows) (e crm.AuditEntry, hash []byte, err error) {
	if err := r.Scan(&e.Seq, stamp{&e.At}, &e.Actor, &e.Action, &e.Subject, &e.Detail, &e.Widens, &hash); err != nil {
		return e, nil, err
	}
	e.Hash = hex.EncodeToString(hash)
	return e, hash, nil
}

// An AuditQuery asks for a part of the audit log, the latest first.
type AuditQuery struct {
	Actor  string // "" = all
	Action string // "" = all
	Widens bool   // those alone that widen what may be reached
	Quiet  bool   // without sign-ins, failed ones among them, and sign-outs
	Limit  int    // 0 = 50
	Offset int
}

// where returns the condition, and its arguments.
func (q AuditQuery) where(org crm.OrgID) (string, []any) {
	where, args := "org_id = $1", []any{org}
	for _, f := range [...]struct{ column, want string }{{"actor", q.Actor}, {"action", q.Action}} {
		if f.want != "" {
			args = append(args, f.want)
			where += fmt.Sprintf(" and %s = $%d", f.column, len(args))
		}
	}
	if q.Widens {
		where += " and widens"
	}
	if q.Quiet {
		where += " and action not in ('sign-in', 'sign-in.failed', 'sign-out')"
	}
	return where, args
}

// AuditLog returns a part of the audit log, and how many entries match in all.
func (o *Org) AuditLog(ctx context.Context, q AuditQuery) ([]crm.AuditEntry, int, error) {
	where, args := q.where(o.id)
	var total int
	if err := one(ctx, o.read(), "select count(*) from audit where "+where, args, &total); err != nil {
		return nil, 0, err
	}
	var list []crm.AuditEntry
	query := fmt.Sprintf("select %s from audit where %s order by seq desc limit $%d offset $%d", auditColumns, where, len(args)+1, len(args)+2)
	err := rows(ctx, o.read(), query, append(args, ListQuery{Limit: q.Limit}.limit(), q.Offset), func(r *sql.Rows) error {
		e, _, err := scanAudit(r)
		if err != nil {
			return err
		}
		list = append(list, e)
		return nil
	})
	return list, total, err
}

// EachAudit hands out all entries that match, the first one first.
func (o *Org) EachAudit(ctx context.Context, q AuditQuery, take func(*crm.AuditEntry) error) error {
	where, args := q.where(o.id)
	return rows(ctx, o.read(), "select "+auditColumns+" from audit where "+where+" order by seq", args, func(r *sql.Rows) error {
		e, _, err := scanAudit(r)
		if err != nil {
			return err
		}
		return take(&e)
	})
}

// AuditWords lists who stands in the log, and the actions.
func (o *Org) AuditWords(ctx context.Context) (actors, actions []string, err error) {
	if actors, err = texts(ctx, o.read(), "select distinct actor from audit where org_id = $1 order by actor", o.id); err != nil {
		return nil, nil, err
	}
	actions, err = texts(ctx, o.read(), "select distinct action from audit where org_id = $1 order by action", o.id)
	return actors, actions, err
}
